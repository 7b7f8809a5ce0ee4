//! Why a foreign file was refused: always which file, which part of it, and what to do.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

use neurobrick_schema::{DatasetId, SchemaError, SessionId, SubjectId, nearest_name};

/// What can be wrong with foreign files, or with putting them into a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// No reader knows what lies at a path.
    #[error("{} holds no recording in a known format ({known}); give the folder that holds the recordings, or say in a mapping.toml \
         beside one's own MATLAB, NPZ, CSV or Parquet files what is in them", path.display())]
    UnknownFormat {
        /// The path.
        path: PathBuf,
        /// The formats that are known, joined by commas.
        known: String,
    },
    /// What lies at a path is of a kind that is known and not read.
    #[error("{} is {what}; {instead}", path.display())]
    KnownUnread {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do with it.
        instead: &'static str,
    },
    /// A file that the format needs is not there.
    #[error("{} is missing; {needed_for}", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
        /// What it is needed for, and how to get it.
        needed_for: &'static str,
    },
    /// There is no file that describes the dataset.
    #[error("{} is missing: every copy of the data must say where it comes from; {place}:\n{template}", path.display())]
    MissingDatasetFile {
        /// Where it is looked for first.
        path: PathBuf,
        /// Where it may lie, in words.
        place: &'static str,
        /// Lines to fill in.
        template: String,
    },
    /// A table lacks a column that the format needs.
    #[error("{} has no column {column:?}{near}; it has {found}; correct the name where it is asked for, or export it again with that column", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The name that is most like it, as a question; empty when none is like it.
        near: String,
        /// The columns it has, joined by commas.
        found: String,
    },
    /// A file lacks an array that the format or a mapping asks for.
    #[error("{} has no array {array:?}{near}; it has {found}; correct the name where it is asked for, or save the file with that array", path.display())]
    MissingArray {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// The name that is most like it, as a question; empty when none is like it.
        near: String,
        /// The arrays it has, joined by commas.
        found: String,
    },
    /// A path into a file of cells and structures leads to no array.
    #[error("{}: the path {array:?} does not fit the file: {detail}; correct it in mapping.toml", path.display())]
    PathDoesNotFit {
        /// The file.
        path: PathBuf,
        /// The path.
        array: String,
        /// Where it fails, and what lies there.
        detail: String,
    },
    /// An array or a column has another type of value than the format says.
    #[error("{}: {part} holds {found}, expected {expected}; save it again with that type", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The array or column.
        part: String,
        /// Type in the file.
        found: String,
        /// Type that the format needs.
        expected: &'static str,
    },
    /// An array has another shape than the format says.
    #[error("{}: {part} has shape {found:?}, expected {expected}; check that all files are of one session", path.display())]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The array.
        part: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that is needed, in words.
        expected: String,
    },
    /// The bytes of a file are not what its format says: cut off, damaged, or of another kind.
    #[error("{}: {part} cannot be decoded: {detail}; fetch the file again from its source", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which part of the file.
        part: String,
        /// What the decoder met.
        detail: String,
    },
    /// A part that a recording cannot do without is of a kind that is not read.
    #[error("{}: {part} cannot be read: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Which part of the file.
        part: String,
        /// What it is.
        reason: String,
    },
    /// A valid file holds nothing that a recording is made of.
    #[error("{}: nothing was recorded that can be read: {detail}; leave the file out", path.display())]
    NothingRead {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        detail: String,
    },
    /// One value of an array or a table is not acceptable.
    #[error("{}: {part}, entry {index}: {detail}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The array or column.
        part: String,
        /// Position, counted from zero without a header line.
        index: usize,
        /// What was found, what is allowed, and what to do.
        detail: String,
    },
    /// Two files of a session contradict each other.
    #[error("{}: {what} is {found}, but {expected} by the other files of the session; check that they belong together", path.display())]
    Disagreement {
        /// The file.
        path: PathBuf,
        /// What they disagree on.
        what: String,
        /// Value in this file.
        found: String,
        /// Value in the others.
        expected: String,
    },
    /// A session without anything recorded.
    #[error("{}: {what} is empty; remove the session or fetch the file again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What is empty.
        what: String,
    },
    /// The file that describes the dataset is not usable.
    #[error("{} is not usable: {detail}", path.display())]
    DatasetFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line, and what to do.
        detail: String,
    },
    /// The parts of a file do not make a valid recording.
    #[error("{}: {source}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The rule that is broken.
        source: SchemaError,
    },
    /// Two sources give the same session.
    #[error("{} gives session {session} that {} has given already; rename one of them", second.display(), first.display())]
    DuplicateSession {
        /// The session.
        session: SessionId,
        /// Where it came from first.
        first: PathBuf,
        /// Where it came from again.
        second: PathBuf,
    },
    /// The store holds another recording of that name, from another dataset or subject.
    #[error("{} gives session {session}, which the store has of subject {subject} of dataset {dataset} from other files; \
         rename it, use another store, or delete {} if the one in the store is no longer wanted", path.display(), folder.display())]
    SessionTaken {
        /// Where it came from.
        path: PathBuf,
        /// The session.
        session: SessionId,
        /// The dataset of the stored one.
        dataset: DatasetId,
        /// The subject of the stored one.
        subject: SubjectId,
        /// The folder of the stored one.
        folder: Box<Path>,
    },
    /// The store has the recording with what a `dataset.toml` says about it, and now none was found.
    #[error("{} gives session {session}, which the store has as part of dataset {dataset} by a dataset.toml that was not found \
         now; give the folder in which that file lies, or delete {} to have the session without it", path.display(), folder.display())]
    CardLost {
        /// Where it came from.
        path: PathBuf,
        /// The session.
        session: SessionId,
        /// The dataset of the stored one.
        dataset: DatasetId,
        /// The folder of the stored one.
        folder: Box<Path>,
    },
    /// A decoder stopped in the middle of a file.
    #[error("{}: the decoder gave up: {detail}; the file is probably damaged, fetch it again from its source", path.display())]
    DecoderPanicked {
        /// The file.
        path: PathBuf,
        /// What it said.
        detail: String,
    },
    /// A process of its own read the session and refused it.
    #[error("{message}")]
    RefusedInChild {
        /// The file or folder that stands for the session.
        path: PathBuf,
        /// The error in words; it names the file.
        message: String,
    },
    /// The process that read a session did not finish.
    #[error("{}{}: {reason}", path.display(), part.as_ref().map(|part| format!(", while reading {part}")).unwrap_or_default())]
    ChildStopped {
        /// The file or folder that stands for the session.
        path: PathBuf,
        /// The part of the file that was being read, once one was.
        part: Option<String>,
        /// What stopped it, and what to do.
        reason: String,
    },
    /// The process that read a session could not write it.
    #[error("the store was not written: {message}; make room or choose another place, and start again")]
    StoreNotWritten {
        /// The error in words; it names the file.
        message: String,
    },
    /// Values cannot be put into a file of the format asked for.
    #[error("{what} cannot be written to {}: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        what: String,
        /// Why not.
        reason: String,
    },
    /// The store could not take the session.
    #[error(transparent)]
    Store(#[from] SchemaError),
}

/// The name that is most like `wanted`, to put into a message; empty when none is like it.
pub(crate) fn did_you_mean(wanted: &str, known: &[&str]) -> String {
    nearest_name(wanted, known.iter().copied())
        .map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"))
}

fn near(wanted: &str, found: &[String]) -> String {
    did_you_mean(wanted, &found.iter().map(String::as_str).collect::<Vec<_>>())
}

fn listed(found: &[String]) -> String {
    if found.is_empty() { "none".into() } else { found.join(", ") }
}

impl IngestError {
    /// Turns an [`io::Error`] into [`IngestError::Io`] with its place.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    #[expect(clippy::needless_pass_by_value, reason = "call sites pass fresh strings and errors")]
    pub(crate) fn malformed(path: &Path, part: impl Into<String>, detail: impl ToString) -> Self {
        Self::Malformed { path: path.to_path_buf(), part: part.into(), detail: detail.to_string() }
    }

    pub(crate) fn bad_value(path: &Path, part: &str, index: usize, detail: impl Into<String>) -> Self {
        Self::BadValue { path: path.to_path_buf(), part: part.into(), index, detail: detail.into() }
    }

    /// That a file has no array `array`, and which of those that it has is most like it.
    pub(crate) fn missing_array(path: &Path, array: &str, found: &[String]) -> Self {
        let (path, array) = (path.to_path_buf(), array.to_owned());
        Self::MissingArray { path, near: near(&array, found), found: listed(found), array }
    }

    /// The same for a column of a table.
    pub(crate) fn missing_column(path: &Path, column: &str, found: &[String]) -> Self {
        let (path, column) = (path.to_path_buf(), column.to_owned());
        Self::MissingColumn { path, near: near(&column, found), found: listed(found), column }
    }

    /// Names the file that a broken rule of the schema comes from.
    pub(crate) fn invalid(path: &Path) -> impl FnOnce(SchemaError) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Invalid { path, source }
    }

    /// The message of a decoder that panicked.
    pub(crate) fn panicked(path: &Path, payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self::DecoderPanicked {
            path: path.to_path_buf(),
            detail: text.unwrap_or_else(|| "no message".into()),
        }
    }
}
