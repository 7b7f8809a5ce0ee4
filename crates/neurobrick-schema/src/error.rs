//! The one error type of the crate: bad values, bad files, damaged stores.

use std::io;
use std::path::{Path, PathBuf};

use crate::ids::SessionId;
use crate::names::nearest_name;

/// What can be wrong with a recording or with the store it rests in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// An identifier breaks the rule for names.
    #[error(
        "{kind} id {value:?} is invalid: {reason}; use 1 to 128 characters of A-Z a-z 0-9 . _ - that do not start with a dot"
    )]
    InvalidId {
        /// Which id: `session`, `subject` or `dataset`.
        kind: &'static str,
        /// What was given.
        value: String,
        /// Which part of the rule it breaks.
        reason: &'static str,
    },
    /// An interval ends before it starts or has a bound that is not finite.
    #[error(
        "interval {index} runs from {start_s} s to {end_s} s; both must be finite and the start not after the end"
    )]
    InvalidInterval {
        /// Position in the list of intervals.
        index: usize,
        /// Start in seconds.
        start_s: f64,
        /// End in seconds.
        end_s: f64,
    },
    /// Two parts that must have the same length do not.
    #[error("{what}: expected {expected} entries, found {found}")]
    LengthMismatch {
        /// Which part.
        what: String,
        /// Length it should have.
        expected: usize,
        /// Length it has.
        found: usize,
    },
    /// A number is NaN or infinite; a missing value is `None`.
    #[error("{what}: entry {index} is {value}; numbers must be finite, and a missing value is None")]
    NonFinite {
        /// Which part.
        what: String,
        /// Position in that part.
        index: usize,
        /// What was found.
        value: f64,
    },
    /// Spike times do not ascend.
    #[error(
        "spike {index} at {time_s} s comes after one at {previous_s} s; sort spikes by time, or use Spikes::from_unsorted"
    )]
    UnsortedSpikes {
        /// Position of the first spike out of order.
        index: usize,
        /// Its time in seconds.
        time_s: f64,
        /// The time before it, in seconds.
        previous_s: f64,
    },
    /// The times of a signal do not ascend.
    #[error(
        "sample {index} of signal {signal} at {time_s} s comes after one at {previous_s} s; times must ascend"
    )]
    UnsortedTimes {
        /// The signal.
        signal: String,
        /// Position of the first sample out of order.
        index: usize,
        /// Its time in seconds.
        time_s: f64,
        /// The time before it, in seconds.
        previous_s: f64,
    },
    /// Nothing at all was recorded.
    #[error("session {session} has no units, trials, intervals or signals; leave it out")]
    NothingRecorded {
        /// The session.
        session: SessionId,
    },
    /// A spike names a unit that the recording does not have.
    #[error("spike {index} belongs to unit index {unit}, but the recording has {n_units} units")]
    UnitOutOfRange {
        /// Position of the spike.
        index: usize,
        /// Unit index it names.
        unit: u32,
        /// Number of units.
        n_units: usize,
    },
    /// A name that must be unique occurs twice.
    #[error("{what} {name:?} occurs twice; names must be unique")]
    Duplicate {
        /// Kind of thing that is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A value is outside what the schema allows.
    #[error("{what} is {found}; it must be {rule}")]
    InvalidValue {
        /// Which value.
        what: String,
        /// What was found.
        found: String,
        /// What is allowed.
        rule: &'static str,
    },
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
    /// The folder is no store.
    #[error("{} is not a store: it has no store.json; create one by ingesting into an empty folder", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// There is nothing where a store should be.
    #[error("there is no store at {}: the path does not exist; check it, or make a store there by ingesting into it", path.display())]
    NoSuchStore {
        /// The path.
        path: PathBuf,
    },
    /// A new store would mix with other files.
    #[error("{} holds files but no store.json; choose an empty or new folder for the store", path.display())]
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("{} has format version {found}, this build reads up to {supported}; update neurobrick", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Newest version that can be read.
        supported: u32,
    },
    /// The store has no such session.
    #[error("the store {} has no session {session}{}", store.display(), there_are(session, known))]
    SessionNotFound {
        /// Which session.
        session: SessionId,
        /// The store's folder.
        store: PathBuf,
        /// The sessions that it has.
        known: Vec<SessionId>,
    },
    /// A session of counts was asked for spike times.
    #[error("session {session} exists as counts only; it has no spike times")]
    NoSpikeTimes {
        /// Which session.
        session: SessionId,
    },
    /// Another process writes to the store.
    #[error("the store {} is being written by another process; wait until it has finished", store.display())]
    StoreInUse {
        /// The store's folder.
        store: PathBuf,
    },
    /// A file listed in the manifest is not there.
    #[error("{} is missing although the manifest lists it", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// A file that the manifest does not list lies in the folder.
    #[error("{} is not listed in the manifest; move it away", path.display())]
    UnexpectedFile {
        /// The file.
        path: PathBuf,
    },
    /// A file has other bytes than the manifest says.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
    /// One session of a store cannot be trusted.
    #[error(
        "session {session} cannot be used: {cause}; remove it and ingest it again, or restore it from a copy"
    )]
    DamagedSession {
        /// Which session.
        session: SessionId,
        /// What was found.
        cause: Box<SchemaError>,
    },
    /// Encoding a table failed.
    #[error("cannot encode {}: {detail}", path.display())]
    Encode {
        /// The file that was to be written.
        path: PathBuf,
        /// The encoder's message.
        detail: String,
    },
}

/// Sessions that a message lists.
const MAX_LISTED: usize = 8;

/// Which session was probably meant, and which there are, for the end of a message.
fn there_are(session: &SessionId, known: &[SessionId]) -> String {
    if known.is_empty() {
        return "; it has none, ingest recordings into it".into();
    }
    let near = nearest_name(session.as_str(), known.iter().map(SessionId::as_str));
    let near = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
    let listed: Vec<&str> = known.iter().take(MAX_LISTED).map(SessionId::as_str).collect();
    let more = known.len() - listed.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{near}; it has {}{more}", listed.join(", "))
}

impl SchemaError {
    /// Turns an [`io::Error`] into [`SchemaError::Io`] with its place.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// A [`SchemaError::Damaged`] from anything that can be shown.
    #[expect(clippy::needless_pass_by_value, reason = "call sites pass fresh strings and errors")]
    pub(crate) fn damaged(path: &Path, detail: impl ToString) -> Self {
        Self::Damaged { path: path.to_path_buf(), detail: detail.to_string() }
    }

    /// Says which session failed, unless that is no fault of the session.
    pub(crate) fn of_session(self, session: &SessionId) -> Self {
        match self {
            cause @ (Self::Io { .. } | Self::UnsupportedVersion { .. } | Self::NoSpikeTimes { .. }) => cause,
            cause => Self::DamagedSession { session: session.clone(), cause: Box::new(cause) },
        }
    }
}
