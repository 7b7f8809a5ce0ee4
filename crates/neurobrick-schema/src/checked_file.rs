//! A file that gives out bytes only after they have been checked.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::hazmat::ChainingValue;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::error::SchemaError;
use crate::manifest::FileEntry;
use crate::pieces::{PIECE_BYTES, n_pieces, read_piece};

/// Most pieces that are kept at once.
const MAX_KEPT: usize = 64;

/// A file of a store, by its checked pieces. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct CheckedFile(Arc<Inner>);

#[derive(Debug)]
enum Inner {
    /// Checked, and in memory.
    Whole(Bytes),
    /// On disk. A file that is replaced or changed under way is found out by the next piece.
    Pieces { source: Source, n_bytes: u64, pieces: Vec<ChainingValue>, kept: Mutex<Kept> },
    /// On disk, from a store that has no hashes of pieces: checked when it was opened.
    CheckedBefore { source: Source, n_bytes: u64 },
}

/// Where pieces come from.
#[derive(Debug)]
enum Source {
    Disk(Mutex<File>),
    #[cfg(feature = "remote")]
    Remote(Box<dyn Ranges>),
}

/// A file that is read by ranges of bytes, from far away.
#[cfg(feature = "remote")]
pub(crate) trait Ranges: std::fmt::Debug + Send + Sync {
    /// The bytes from `start` on and before `end`.
    fn read(&self, start: u64, end: u64) -> io::Result<Bytes>;
}

/// The pieces that were used last, and which have been checked at all.
#[derive(Debug)]
struct Kept {
    recent: Vec<(usize, Bytes)>,
    n_recent: usize,
    /// Memory of a piece that is no longer kept, for the next one.
    spare: Vec<u8>,
    is_checked: Vec<bool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever a panic left behind, every read says where it begins.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Damage that is found while a decoder reads.
fn damage(detail: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}

impl CheckedFile {
    /// Takes a file that was read and checked already.
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Inner::Whole(bytes.into())))
    }

    /// Opens a file of which `entry` lists the pieces; each is checked when it is first needed. Who reads `n_columns` in
    /// turns finds the piece of each again.
    pub(crate) fn by_pieces(path: &Path, entry: &FileEntry, n_columns: usize) -> Result<Self, SchemaError> {
        let file = File::open(path).map_err(SchemaError::io("open", path))?;
        let n_bytes = file.metadata().map_err(SchemaError::io("measure", path))?.len();
        entry.check_length(path, n_bytes)?;
        Self::of_source(Source::Disk(Mutex::new(file)), path, entry, n_columns)
    }

    /// The same for a file that is far away.
    #[cfg(feature = "remote")]
    pub(crate) fn by_ranges(
        ranges: Box<dyn Ranges>,
        path: &Path,
        entry: &FileEntry,
        n_columns: usize,
    ) -> Result<Self, SchemaError> {
        Self::of_source(Source::Remote(ranges), path, entry, n_columns)
    }

    fn of_source(
        source: Source,
        path: &Path,
        entry: &FileEntry,
        n_columns: usize,
    ) -> Result<Self, SchemaError> {
        let (n_bytes, pieces) = (entry.bytes, entry.pieces(path)?);
        let n_recent = (n_columns + 1).min(MAX_KEPT);
        let is_checked = vec![false; pieces.len()];
        let kept = Kept { recent: Vec::new(), n_recent, spare: Vec::new(), is_checked };
        Ok(Self(Arc::new(Inner::Pieces { source, n_bytes, pieces, kept: Mutex::new(kept) })))
    }

    /// Opens a file that has no pieces and checks it at once, in small steps, and keeps none of it.
    pub(crate) fn checked_now(path: &Path, entry: &FileEntry) -> Result<Self, SchemaError> {
        let mut file = File::open(path).map_err(SchemaError::io("open", path))?;
        let mut hasher = blake3::Hasher::new();
        // One byte more than is due tells of a file that is too long.
        let limited = (&mut file).take(entry.bytes.saturating_add(1));
        hasher.update_reader(limited).map_err(SchemaError::io("read", path))?;
        entry.check(path, hasher.count(), &hasher.finalize().to_hex())?;
        Ok(Self(Arc::new(Inner::CheckedBefore {
            source: Source::Disk(Mutex::new(file)),
            n_bytes: entry.bytes,
        })))
    }

    /// Checks the pieces that nobody has needed, so that every byte of the file has been.
    pub(crate) fn check_rest(&self, path: &Path) -> Result<(), SchemaError> {
        if let Inner::Pieces { pieces, kept, .. } = &*self.0 {
            for index in 0..pieces.len() {
                if !locked(kept).is_checked[index] {
                    self.piece(index).map_err(|error| unread(path, error.into()))?;
                }
            }
        }
        Ok(())
    }

    /// The piece of that index; empty behind the end.
    fn piece(&self, index: usize) -> io::Result<Bytes> {
        let start = index.saturating_mul(PIECE_BYTES);
        let mut spare = Vec::new();
        let (source, n_bytes) = match &*self.0 {
            Inner::Whole(bytes) => {
                let end = start.saturating_add(PIECE_BYTES).min(bytes.len());
                return Ok(bytes.slice(start.min(end)..end));
            }
            Inner::Pieces { source, n_bytes, kept, .. } => {
                let mut kept = locked(kept);
                if let Some(at) = kept.recent.iter().position(|(kept, _)| *kept == index) {
                    kept.recent[at..].rotate_left(1);
                    return Ok(kept.recent[kept.recent.len() - 1].1.clone());
                }
                spare = std::mem::take(&mut kept.spare);
                (source, *n_bytes)
            }
            Inner::CheckedBefore { source, n_bytes } => (source, *n_bytes),
        };
        if index >= n_pieces(n_bytes) {
            return Ok(Bytes::new());
        }
        let due = (n_bytes - start as u64).min(PIECE_BYTES as u64);
        let (bytes, hash) = source.piece(index, due, spare)?;
        if bytes.len() as u64 != due {
            return Err(damage(format!("{} of {due} bytes from byte {start} on", bytes.len())));
        }
        if let Inner::Pieces { pieces, kept, .. } = &*self.0 {
            // Compared without regard to time: nobody has a secret here.
            if pieces[index] != hash {
                return Err(damage(format!(
                    "the {due} bytes from byte {start} on do not have the BLAKE3 of the manifest"
                )));
            }
            let mut kept = locked(kept);
            kept.is_checked[index] = true;
            if kept.recent.len() >= kept.n_recent
                && let Ok(mut spare) = kept.recent.remove(0).1.try_into_mut()
            {
                // Unless a decoder still has a part of it.
                spare.clear();
                kept.spare = spare.into();
            }
            kept.recent.push((index, bytes.clone()));
        }
        Ok(bytes)
    }
}

impl Source {
    /// The piece of that index, `due` bytes long, and its hash; `spare` is memory to read it into.
    fn piece(&self, index: usize, due: u64, mut spare: Vec<u8>) -> io::Result<(Bytes, ChainingValue)> {
        let start = (index * PIECE_BYTES) as u64;
        match self {
            Self::Disk(file) => {
                spare.reserve_exact(usize::try_from(due).unwrap_or(PIECE_BYTES));
                let mut file = locked(file);
                file.seek(SeekFrom::Start(start))?;
                let hash = read_piece(&mut *file, index, &mut spare)?;
                Ok((spare.into(), hash))
            }
            #[cfg(feature = "remote")]
            Self::Remote(ranges) => {
                let bytes = ranges.read(start, start + due)?;
                let hash = crate::pieces::hash_piece(&bytes, index);
                Ok((bytes, hash))
            }
        }
    }
}

/// What a decoder could not read: damage, or what the operating system refused.
pub(crate) fn unread(path: &Path, error: ParquetError) -> SchemaError {
    let detail = error.to_string();
    if let ParquetError::External(source) = error
        && let Ok(source) = source.downcast::<io::Error>()
    {
        return match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => SchemaError::damaged(path, source),
            _ => SchemaError::io("read", path)(*source),
        };
    }
    SchemaError::damaged(path, detail)
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        match &*self.0 {
            Inner::Whole(bytes) => bytes.len() as u64,
            Inner::Pieces { n_bytes, .. } | Inner::CheckedBefore { n_bytes, .. } => *n_bytes,
        }
    }
}

impl ChunkReader for CheckedFile {
    type T = ReadOn;

    fn get_read(&self, start: u64) -> Result<ReadOn, ParquetError> {
        Ok(ReadOn { file: self.clone(), at: start, rest: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64).filter(|&end| end <= self.len());
        let (Some(_), Ok(start)) = (end, usize::try_from(start)) else {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} of {}", self.len())));
        };
        if let Inner::Whole(bytes) = &*self.0 {
            return Ok(bytes.slice(start..start + length));
        }
        let first = self.piece(start / PIECE_BYTES)?;
        let from = start % PIECE_BYTES;
        if from + length <= first.len() {
            return Ok(first.slice(from..from + length));
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&first[from..]);
        let mut index = start / PIECE_BYTES;
        while bytes.len() < length {
            index += 1;
            let piece = self.piece(index)?;
            bytes.extend_from_slice(&piece[..piece.len().min(length - bytes.len())]);
        }
        Ok(bytes.into())
    }
}

/// Reads a checked file from a place on.
pub(crate) struct ReadOn {
    file: CheckedFile,
    at: u64,
    /// What is left of the piece at hand.
    rest: Bytes,
}

impl Read for ReadOn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && self.at < self.file.len() {
            let at = usize::try_from(self.at).map_err(|_| damage("longer than memory".to_owned()))?;
            self.rest = self.file.piece(at / PIECE_BYTES)?.slice(at % PIECE_BYTES..);
        }
        let n_bytes = buffer.len().min(self.rest.len());
        buffer[..n_bytes].copy_from_slice(&self.rest.split_to(n_bytes));
        self.at += n_bytes as u64;
        Ok(n_bytes)
    }
}
