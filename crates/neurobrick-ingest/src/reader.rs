//! The seam between a foreign format and the rest: what a reader must be able to do.

use std::path::{Path, PathBuf};

use neurobrick_schema::manifest::FileEntry;
use neurobrick_schema::{Recording, SessionId, SourceFile};
use serde::{Deserialize, Serialize};

use crate::error::IngestError;

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
                let FileEntry { name, bytes, blake3 } =
                    FileEntry::of_file(&self.root.join(name), name.as_str())?;
                Ok(SourceFile { name, bytes, blake3 })
            })
            .collect()
    }
}

/// Reads one foreign format.
///
/// Object-safe, since which reader serves a path is known only when the path is looked at. Implemented by all of
/// [`READERS`](crate::READERS).
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
