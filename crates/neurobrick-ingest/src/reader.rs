//! The seam between a foreign format and the rest: what a reader must be able to do.

use std::path::{Path, PathBuf};

use neurobrick_schema::manifest::FileEntry;
use neurobrick_schema::{Recording, SessionId, SourceFile};
use serde::{Deserialize, Serialize};

use crate::error::IngestError;
use crate::single_file::plain_name;

/// One session as a reader found it, not yet read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What the session will be called.
    pub session: SessionId,
    /// Folder that the names of `files` are relative to.
    pub root: PathBuf,
    /// The file or folder that stands for the session in messages.
    pub main: PathBuf,
    /// Names of all files that the recording is made from, relative to `root`, with `/` between parts.
    pub files: Vec<String>,
}

impl Source {
    /// The name of the file or folder that the session is called after, where that holds characters that a session's name
    /// cannot have.
    pub fn renamed_from(&self) -> Option<String> {
        let parts = self.main.components().rev().filter_map(|part| part.as_os_str().to_str());
        let names = parts.flat_map(|part| {
            let stem = Path::new(part).file_stem().and_then(|stem| stem.to_str()).unwrap_or(part);
            // A folder of NWB-Zarr ends with `.nwb.zarr`.
            [part, stem, stem.trim_end_matches(".nwb")]
        });
        let session = self.session.as_str();
        let mut renamed = names.filter(|name| *name != session && plain_name(name) == session);
        renamed.next().map(str::to_owned)
    }

    /// Length of all its files together, in bytes.
    ///
    /// Errors: [`IngestError::Io`] with the file that is missing or cannot be measured.
    pub fn total_bytes(&self) -> Result<u64, IngestError> {
        self.files.iter().try_fold(0, |total, name| {
            let path = self.root.join(name);
            let metadata = path.metadata().map_err(IngestError::io("measure", &path))?;
            Ok(total + metadata.len())
        })
    }

    /// Length and BLAKE3 of all its files: the part of the provenance card that tells whether anything has changed.
    ///
    /// Errors: [`IngestError::Store`] with the file that is missing or cannot be read.
    pub fn hash_files(&self) -> Result<Vec<SourceFile>, IngestError> {
        self.files
            .iter()
            .map(|name| {
                let FileEntry { name, bytes, blake3, .. } =
                    FileEntry::of_file(&self.root.join(name), name.as_str())?;
                Ok(SourceFile { name, bytes, blake3 })
            })
            .collect()
    }
}

/// Reads one foreign format.
///
/// Object-safe, since which reader serves a path is known only when the path is looked at. Implemented by all of
/// [`READERS`](crate::READERS), and by whoever has a format of their own: [`IngestOptions::readers`](crate::IngestOptions)
/// takes any. With [`Isolation`](crate::Isolation) a session is read in another process, which must know the reader: hand
/// [`serve`](crate::serve) the same list there.
///
/// ```
/// use std::path::Path;
///
/// use neurobrick_ingest::{IngestError, IngestOptions, READERS, Reader, Source, ingest};
/// use neurobrick_schema::{
///     Activity, Card, Consent, DatasetId, Recording, SchemaError, SessionId, SessionInfo, Spikes, Store, SubjectId, Trials,
///     Unit,
/// };
///
/// /// One unit per folder: a file `spikes.txt` with a time in seconds on every line.
/// struct TimesOnLines;
///
/// impl Reader for TimesOnLines {
///     fn format(&self) -> &'static str {
///         "times_on_lines"
///     }
///
///     fn probe(&self, path: &Path) -> Result<bool, IngestError> {
///         Ok(path.join("spikes.txt").is_file())
///     }
///
///     fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
///         let (session, root) = (SessionId::new("day-1")?, path.to_path_buf());
///         Ok(vec![Source { session, main: root.clone(), root, files: vec!["spikes.txt".into()] }])
///     }
///
///     fn read(&self, source: &Source) -> Result<Recording, IngestError> {
///         let path = source.root.join("spikes.txt");
///         let invalid = |source: SchemaError| IngestError::Invalid { path: path.clone(), source };
///         let text = std::fs::read_to_string(&path)
///             .map_err(|source| IngestError::Io { action: "read", path: path.clone(), source })?;
///         let times_s: Result<Vec<f64>, _> = text.lines().map(str::parse).collect();
///         let times_s = times_s.map_err(|error| IngestError::Malformed {
///             path: path.clone(),
///             part: "a line".into(),
///             detail: error.to_string(),
///         })?;
///         let spikes = Spikes::new(times_s.clone(), vec![0; times_s.len()]).map_err(invalid)?;
///         let card = Card {
///             source: "rig 2".into(),
///             citation: String::new(),
///             license: "CC-BY-4.0".into(),
///             species: None,
///             consent: Consent::NonHuman,
///             ethics: None,
///             changes: vec!["read from times on lines".into()],
///             source_files: source.hash_files()?,
///             notes: None,
///         };
///         let info = SessionInfo {
///             session: source.session.clone(),
///             subject: SubjectId::new("ada")?,
///             dataset: DatasetId::new("my-lab-2026")?,
///             card,
///         };
///         let unit = Unit { id: "1".into(), region: Unit::UNKNOWN_REGION.into(), depth_um: None, quality: None };
///         Recording::new(info, vec![unit], Activity::Spikes(spikes), Trials::default()).map_err(invalid)
///     }
/// }
///
/// let folder = tempfile::tempdir()?;
/// std::fs::create_dir(folder.path().join("day-1"))?;
/// std::fs::write(folder.path().join("day-1/spikes.txt"), "0.25\n0.5\n")?;
/// let store = Store::create(folder.path().join("store"))?;
/// let readers: Vec<&dyn Reader> = [&TimesOnLines as &dyn Reader].into_iter().chain(READERS).collect();
/// let options = IngestOptions { readers: &readers, ..IngestOptions::default() };
/// let summary = ingest(&[folder.path().join("day-1")], &store, &options, &mut |_| {})?;
/// assert_eq!((summary.written[0].format, summary.written[0].n_spikes), ("times_on_lines", 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Reader: Sync {
    /// Short name of the format, as it stands in messages.
    fn format(&self) -> &'static str;

    /// Whether the folder or file looks like this format. Looks at names, and at the first bytes where names do not tell.
    ///
    /// Errors: [`IngestError::Io`].
    fn probe(&self, path: &Path) -> Result<bool, IngestError>;

    /// The sessions at or below a path, sorted by name of their files.
    ///
    /// Errors: a folder that belongs to the format but from which no session can be named.
    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError>;

    /// Reads one session with all checks; never a part of one, never repaired.
    ///
    /// Errors: any [`IngestError`] that names the file and what is wrong with it.
    fn read(&self, source: &Source) -> Result<Recording, IngestError>;
}

/// Its format, by which it is known.
impl std::fmt::Debug for dyn Reader + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.format())
    }
}
