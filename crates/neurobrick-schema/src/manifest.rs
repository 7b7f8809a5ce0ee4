//! A list of files with their lengths and hashes: a folder is valid exactly when it matches its manifest.
//!
//! Neither Parquet nor safetensors notices a flipped bit in the data, so every folder that is written here carries
//! `manifest.json`: name, length and BLAKE3 of each file, and a digest of the list itself. The file must be byte for
//! byte what [`Manifest::write`] makes of it, hence damage to the manifest is noticed as well. Long files of a session
//! also have the hashes of their pieces, so that they are checked as they are decoded, and of a part no more is read
//! than that part.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use blake3::Hash;
use blake3::hazmat::ChainingValue;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::checked_file::CheckedFile;
use crate::error::SchemaError;
use crate::pieces;

/// Newest version of the manifest's own layout: with pieces.
const VERSION: u32 = 2;
/// Version of a manifest without pieces, which is written as ever. All digests count as of this version: pieces follow
/// from the hashes of the files, so they change nothing that a digest stands for.
const VERSION_1: u32 = 1;

/// One file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name inside the folder.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 of the content, 64 lower-case hexadecimal digits.
    pub blake3: String,
    /// BLAKE3 chaining value of every MiB, in order, 64 lower-case hexadecimal digits each; none for a file that is
    /// checked whole. Together they give `blake3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<String>,
}

impl FileEntry {
    /// Measures a file and lists it under `name`.
    ///
    /// Errors: [`SchemaError::MissingFile`], [`SchemaError::Io`].
    pub fn of_file(path: &Path, name: impl Into<String>) -> Result<Self, SchemaError> {
        let mut file = open(path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).map_err(SchemaError::io("read", path))?;
        let blake3 = hasher.finalize().to_hex().to_string();
        Ok(Self { name: name.into(), bytes: hasher.count(), blake3, pieces: Vec::new() })
    }

    /// The same, with pieces where the file is long.
    fn in_pieces(path: &Path, name: impl Into<String>) -> Result<Self, SchemaError> {
        drop(open(path)?);
        let (bytes, blake3, pieces) = pieces::of_file(path)?;
        let pieces = pieces.into_iter().map(|piece| Hash::from_bytes(piece).to_hex().to_string()).collect();
        Ok(Self { name: name.into(), bytes, blake3: blake3.to_hex().to_string(), pieces })
    }

    /// The hashes of its pieces, which must give its own.
    pub(crate) fn pieces(&self, path: &Path) -> Result<Vec<ChainingValue>, SchemaError> {
        let pieces = self.pieces.iter().map(|piece| Hash::from_hex(piece).map(Hash::into));
        let pieces: Result<Vec<ChainingValue>, _> = pieces.collect();
        let wrong = || SchemaError::damaged(path, "the hashes of its pieces are not those of its BLAKE3");
        let pieces = pieces.map_err(|_| wrong())?;
        let root = pieces::root(&pieces).filter(|_| pieces.len() == pieces::n_pieces(self.bytes));
        if root.is_none_or(|root| root.to_hex().as_str() != self.blake3) {
            return Err(wrong());
        }
        Ok(pieces)
    }

    pub(crate) fn check_length(&self, path: &Path, bytes: u64) -> Result<(), SchemaError> {
        if bytes == self.bytes {
            return Ok(());
        }
        Err(SchemaError::damaged(path, format!("{bytes} bytes long, the manifest says {}", self.bytes)))
    }

    pub(crate) fn check(&self, path: &Path, bytes: u64, blake3: &str) -> Result<(), SchemaError> {
        self.check_length(path, bytes)?;
        if blake3 != self.blake3 {
            return Err(SchemaError::damaged(
                path,
                format!("BLAKE3 {blake3}, the manifest says {}", self.blake3),
            ));
        }
        Ok(())
    }
}

/// BLAKE3 of a file's content, 64 lower-case hexadecimal digits.
///
/// Errors: [`SchemaError::MissingFile`], [`SchemaError::Io`].
pub fn hash_file(path: &Path) -> Result<String, SchemaError> {
    FileEntry::of_file(path, "").map(|entry| entry.blake3)
}

fn open(path: &Path) -> Result<File, SchemaError> {
    if !path.is_file() {
        return Err(SchemaError::MissingFile { path: path.to_path_buf() });
    }
    File::open(path).map_err(SchemaError::io("open", path))
}

/// The files of a folder, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    files: Vec<FileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    version: u32,
    files: Vec<FileEntry>,
    digest: String,
}

impl Manifest {
    /// Longest manifest that is read, in bytes: that of some 800 GB.
    pub(crate) const MAX_BYTES: u64 = 64 << 20;
    /// Name of the manifest inside its folder.
    pub const FILE_NAME: &'static str = "manifest.json";

    /// Measures the files `names` of a folder.
    ///
    /// Errors: [`SchemaError::InvalidValue`] for a name with a path separator, a leading dot, or the manifest's own;
    /// [`SchemaError::Duplicate`]; [`SchemaError::MissingFile`]; [`SchemaError::Io`].
    pub fn of_dir<S: AsRef<str>>(dir: &Path, names: &[S]) -> Result<Self, SchemaError> {
        Self::measured(dir, names, |path, name| FileEntry::of_file(path, name))
    }

    /// The same, with pieces of files of more than 4 MiB.
    pub(crate) fn of_session(dir: &Path, names: &[String]) -> Result<Self, SchemaError> {
        Self::measured(dir, names, |path, name| FileEntry::in_pieces(path, name))
    }

    fn measured<S: AsRef<str>>(
        dir: &Path,
        names: &[S],
        measure: impl Fn(&Path, &str) -> Result<FileEntry, SchemaError>,
    ) -> Result<Self, SchemaError> {
        let mut files = names
            .iter()
            .map(|name| {
                check_name(name.as_ref())?;
                measure(&dir.join(name.as_ref()), name.as_ref())
            })
            .collect::<Result<Vec<_>, _>>()?;
        files.sort_by(|a, b| a.name.cmp(&b.name));
        check_unique(&files)?;
        Ok(Self { files })
    }

    /// The files, sorted by name.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The entry of that name.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|entry| entry.name == name)
    }

    /// BLAKE3 over all names, lengths and hashes: one value that stands for the whole content.
    pub fn digest(&self) -> String {
        self.digest_as(VERSION_1)
    }

    fn version(&self) -> u32 {
        if self.files.iter().all(|file| file.pieces.is_empty()) { VERSION_1 } else { VERSION }
    }

    /// The digest also covers the version, so that damage to its digit does not pass for a newer file.
    fn digest_as(&self, version: u32) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{version}\n").as_bytes());
        for file in &self.files {
            hasher.update(format!("{}\0{}\0{}\n", file.name, file.bytes, file.blake3).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Sum of the lengths of all files, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Writes `manifest.json` into the folder, atomically. Do this last.
    ///
    /// Errors: [`SchemaError::Io`].
    pub fn write(&self, dir: &Path) -> Result<(), SchemaError> {
        let path = dir.join(Self::FILE_NAME);
        atomic::write_file(&path, &self.encode(&path)?)
    }

    fn encode(&self, path: &Path) -> Result<Vec<u8>, SchemaError> {
        let version = self.version();
        let on_disk = OnDisk { version, files: self.files.clone(), digest: self.digest_as(version) };
        let mut bytes = serde_json::to_vec_pretty(&on_disk)
            .map_err(|error| SchemaError::Encode { path: path.to_path_buf(), detail: error.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the manifest of a folder without looking at the files.
    ///
    /// Errors: [`SchemaError::MissingFile`]; [`SchemaError::Damaged`] when a byte of the manifest is not as written;
    /// [`SchemaError::UnsupportedVersion`]; [`SchemaError::Io`].
    pub fn read(dir: &Path) -> Result<Self, SchemaError> {
        let path = dir.join(Self::FILE_NAME);
        let file = open(&path)?;
        let mut bytes = Vec::new();
        file.take(Self::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(SchemaError::io("read", &path))?;
        Self::decode(&bytes, &path)
    }

    /// Checks and decodes the bytes of a manifest that lies at `path`.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self, SchemaError> {
        if bytes.len() as u64 > Self::MAX_BYTES {
            return Err(SchemaError::damaged(path, format!("longer than {} bytes", Self::MAX_BYTES)));
        }
        let on_disk: OnDisk =
            serde_json::from_slice(bytes).map_err(|error| SchemaError::damaged(path, error))?;
        let manifest = Self { files: on_disk.files };
        if on_disk.digest != manifest.digest_as(on_disk.version) {
            return Err(SchemaError::damaged(path, "its list of files does not match its own digest"));
        }
        if on_disk.version > VERSION {
            return Err(SchemaError::UnsupportedVersion {
                path: path.to_path_buf(),
                found: on_disk.version,
                supported: VERSION,
            });
        }
        if bytes != manifest.encode(path)? {
            return Err(SchemaError::damaged(path, "not byte for byte as it was written"));
        }
        for file in &manifest.files {
            check_name(&file.name)?;
            if !file.pieces.is_empty() {
                file.pieces(path)?;
            }
        }
        check_unique(&manifest.files)?;
        Ok(manifest)
    }

    /// Reads the manifest of a folder and checks every file against it; also that there are no others.
    ///
    /// Errors: those of [`Manifest::read`]; [`SchemaError::MissingFile`], [`SchemaError::UnexpectedFile`] and
    /// [`SchemaError::Damaged`] name the first file that is not as listed.
    pub fn verify(dir: &Path) -> Result<Self, SchemaError> {
        let manifest = Self::read(dir)?;
        manifest.check_names(dir)?;
        for entry in &manifest.files {
            let path = dir.join(&entry.name);
            let found = FileEntry::of_file(&path, entry.name.as_str())?;
            entry.check(&path, found.bytes, &found.blake3)?;
        }
        Ok(manifest)
    }

    /// Checks that the folder holds the listed files and no others, without reading them.
    ///
    /// Errors: [`SchemaError::MissingFile`], [`SchemaError::UnexpectedFile`], [`SchemaError::Io`].
    pub fn check_names(&self, dir: &Path) -> Result<(), SchemaError> {
        let found = atomic::entry_names(dir)?;
        if let Some(missing) = self.files.iter().find(|file| !found.contains(&file.name)) {
            return Err(SchemaError::MissingFile { path: dir.join(&missing.name) });
        }
        match found.iter().find(|name| *name != Self::FILE_NAME && self.file(name).is_none()) {
            Some(extra) => Err(SchemaError::UnexpectedFile { path: dir.join(extra) }),
            None => Ok(()),
        }
    }

    /// Reads one listed file into memory and checks exactly those bytes, so that what is decoded is what was checked.
    ///
    /// Errors: [`SchemaError::MissingFile`] also for a name that is not listed; [`SchemaError::Damaged`];
    /// [`SchemaError::Io`].
    pub fn read_file(&self, dir: &Path, name: &str) -> Result<Vec<u8>, SchemaError> {
        let path = dir.join(name);
        let Some(entry) = self.file(name) else {
            return Err(SchemaError::MissingFile { path });
        };
        let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let file = open(&path)?;
        entry.check_length(&path, length)?;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        file.take(entry.bytes).read_to_end(&mut bytes).map_err(SchemaError::io("read", &path))?;
        entry.check(&path, bytes.len() as u64, &blake3::hash(&bytes).to_hex())?;
        Ok(bytes)
    }

    /// Opens one listed file, which gives out what has been checked and nothing else: piece by piece where it has
    /// pieces, for who reads `n_columns` in turns, else whole.
    pub(crate) fn open_file(
        &self,
        dir: &Path,
        name: &str,
        n_columns: usize,
    ) -> Result<CheckedFile, SchemaError> {
        match self.file(name) {
            Some(entry) if !entry.pieces.is_empty() => {
                let path = dir.join(name);
                drop(open(&path)?);
                CheckedFile::by_pieces(&path, entry, n_columns)
            }
            _ => self.read_file(dir, name).map(CheckedFile::whole),
        }
    }
}

fn check_name(name: &str) -> Result<(), SchemaError> {
    let is_plain = !name.is_empty()
        && !name.starts_with('.')
        && name != Manifest::FILE_NAME
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control());
    if is_plain {
        return Ok(());
    }
    Err(SchemaError::InvalidValue {
        what: "file name in a manifest".into(),
        found: format!("{name:?}"),
        rule: "a plain name without separators and without a leading dot, other than manifest.json",
    })
}

fn check_unique(sorted: &[FileEntry]) -> Result<(), SchemaError> {
    match sorted.windows(2).find(|pair| pair[0].name >= pair[1].name) {
        Some(pair) => Err(SchemaError::Duplicate { what: "file in a manifest", name: pair[1].name.clone() }),
        None => Ok(()),
    }
}
