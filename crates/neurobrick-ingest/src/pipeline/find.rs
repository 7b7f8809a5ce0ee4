//! What lies below the given paths: sessions by every reader that knows them, each once.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use neurobrick_schema::SessionId;

use super::Refusal;
use crate::error::IngestError;
use crate::mapping::Mapping;
use crate::reader::{Reader, Source};
use crate::unread;

/// A session and the reader that found it.
pub(super) type Found<'r> = (&'r dyn Reader, Source);

/// All sessions below `paths`, in order, and what was refused already.
pub(super) fn find<'r, P: AsRef<Path>>(
    paths: &[P],
    readers: &[&'r dyn Reader],
) -> (Vec<Found<'r>>, Vec<Refusal>) {
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for path in paths.iter().map(AsRef::as_ref) {
        match readable_below(path, readers, &mut refused) {
            Ok(parts) => list(parts, &mut found, &mut refused),
            Err(error) => refused.push(Refusal { session: None, path: path.to_path_buf(), error }),
        }
    }
    let mut first_path: HashMap<SessionId, PathBuf> = HashMap::new();
    let mut each_once = Vec::new();
    for (reader, source) in found {
        if let Some(first) = first_path.get(&source.session) {
            let (session, second) = (source.session.clone(), source.main.clone());
            let error = IngestError::DuplicateSession { session, first: first.clone(), second };
            refused.push(Refusal { session: Some(source.session), path: source.main, error });
        } else {
            first_path.insert(source.session.clone(), source.main.clone());
            each_once.push((reader, source));
        }
    }
    (each_once, refused)
}

/// The reader that serves a path.
///
/// Errors: [`IngestError::UnknownFormat`], or [`IngestError::KnownUnread`] where what lies there is known and not read;
/// [`IngestError::Io`].
pub fn recognize<'r>(path: &Path, readers: &[&'r dyn Reader]) -> Result<&'r dyn Reader, IngestError> {
    if let Err(source) = path.metadata() {
        return Err(IngestError::Io { action: "read", path: path.to_path_buf(), source });
    }
    for &reader in readers {
        if reader.probe(path)? {
            return Ok(reader);
        }
    }
    if let Some(error) = unread::first_below(path)? {
        return Err(error);
    }
    let known = readers.iter().map(|reader| reader.format()).collect::<Vec<_>>().join(", ");
    Err(IngestError::UnknownFormat { path: path.to_path_buf(), known })
}

/// What to read at a path: the path itself, and the folders in it, by every reader that knows them. Readers that search
/// folders find some sessions twice. A folder that cannot be looked into is refused by its name.
///
/// Errors: [`IngestError::UnknownFormat`]; [`IngestError::Io`] where the path itself cannot be looked into, or where a
/// reader that searches it meets such a folder: what lies beside that would be read without the card above it.
fn readable_below<'r>(
    path: &Path,
    readers: &[&'r dyn Reader],
    refused: &mut Vec<Refusal>,
) -> Result<Vec<(&'r dyn Reader, PathBuf)>, IngestError> {
    let mut parts = readers_of(path, readers)?;
    let n_refused = refused.len();
    if path.is_dir() {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(IngestError::io("list", path))? {
            entries.push(entry.map_err(IngestError::io("list", path))?.path());
        }
        entries.sort();
        for entry in entries {
            match fs::metadata(&entry) {
                Ok(metadata) if !metadata.is_dir() => {}
                // A link that leads nowhere, or what was deleted just now.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                found => {
                    match found
                        .map_err(IngestError::io("read", &entry))
                        .and_then(|_| readers_of(&entry, readers))
                    {
                        Ok(knowing) => parts.extend(knowing),
                        Err(error) => refused.push(Refusal { session: None, path: entry, error }),
                    }
                }
            }
        }
    }
    if parts.is_empty() && refused.len() == n_refused {
        // Gives the error that says what is known.
        parts.push((recognize(path, readers)?, path.to_path_buf()));
    }
    Ok(parts)
}

/// All readers that know a path. Where a mapping file says what is what, nothing else is looked for.
fn readers_of<'r>(
    path: &Path,
    readers: &[&'r dyn Reader],
) -> Result<Vec<(&'r dyn Reader, PathBuf)>, IngestError> {
    let mut knowing = Vec::new();
    for &reader in readers {
        if path.exists() && reader.probe(path)? {
            knowing.push((reader, path.to_path_buf()));
            if reader.format() == Mapping.format() {
                break;
            }
        }
    }
    Ok(knowing)
}

/// Lists the sessions of all parts, each once; a part that cannot be listed is refused, also once.
fn list<'r>(parts: Vec<(&'r dyn Reader, PathBuf)>, found: &mut Vec<Found<'r>>, refused: &mut Vec<Refusal>) {
    let mut found_here: Vec<Found<'_>> = Vec::new();
    let (mut listed, mut messages) = (HashSet::new(), HashSet::new());
    for (reader, part) in parts {
        // A reader that searches folders has been here already, and knows of the dataset.toml above.
        let is_here =
            |(other, source): &Found<'_>| other.format() == reader.format() && source.main.starts_with(&part);
        if found_here.iter().any(is_here) {
            continue;
        }
        match reader.sessions(&part) {
            Ok(sources) => found_here.extend(
                sources
                    .into_iter()
                    .filter(|source| listed.insert((source.main.clone(), source.session.clone())))
                    .map(|source| (reader, source)),
            ),
            Err(error) if messages.insert(error.to_string()) => {
                refused.push(Refusal { session: None, path: part, error });
            }
            Err(_) => {}
        }
    }
    found.extend(found_here);
}
