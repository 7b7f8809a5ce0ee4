//! From paths to a store: recognizes formats, goes on past a bad session, skips what has not changed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use neurobrick_schema::{Recording, SchemaError, SessionDigest, SessionId, Store};

use crate::alf::Alf;
use crate::brainvision::BrainVision;
use crate::counts_npz::CountsNpz;
use crate::edf::Edf;
use crate::error::IngestError;
use crate::mapping::Mapping;
use crate::nwb::Nwb;
use crate::reader::{Reader, Source};

/// All readers, in the order in which they are asked.
pub const READERS: [&dyn Reader; 6] = [&Mapping, &CountsNpz, &Alf, &Nwb, &Edf, &BrainVision];

/// What happens during [`ingest`], for a progress display.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngestEvent {
    /// A session is about to be read.
    Started {
        /// The session.
        session: SessionId,
        /// Short name of its format.
        format: &'static str,
        /// Its position among all sessions found, from zero.
        position: usize,
        /// Number of sessions found.
        total: usize,
    },
    /// The session is in the store.
    Written {
        /// What it is known by.
        digest: SessionDigest,
        /// Number of units.
        n_units: usize,
        /// Number of trials.
        n_trials: usize,
        /// Number of spikes.
        n_spikes: u64,
    },
    /// The store has it from the same files already, undamaged.
    Unchanged {
        /// The session.
        session: SessionId,
    },
    /// A path or a session was refused.
    Refused {
        /// The path.
        path: PathBuf,
        /// The message of the error, which [`IngestSummary`] holds.
        message: String,
    },
}

/// A path or session that did not go in.
#[derive(Debug)]
pub struct Refusal {
    /// The session, once its name was known.
    pub session: Option<SessionId>,
    /// The folder or file it stands for.
    pub path: PathBuf,
    /// Why.
    pub error: IngestError,
}

/// What went in and what did not.
#[derive(Debug, Default)]
pub struct IngestSummary {
    /// Sessions that were written, in order.
    pub written: Vec<SessionDigest>,
    /// Sessions that the store had already.
    pub unchanged: Vec<SessionId>,
    /// What was refused, and why.
    pub refused: Vec<Refusal>,
}

impl IngestSummary {
    /// Whether nothing was refused.
    pub fn is_complete(&self) -> bool {
        self.refused.is_empty()
    }
}

/// Reads everything below `paths` into a store.
///
/// A session that cannot be read is refused as a whole and does not stop the others; a refused session leaves what the
/// store had of it before. A session is skipped when the store has it, undamaged, from files with the same hashes.
///
/// Errors: only [`IngestError::Store`] when the store's folder cannot be written, since no other session would go in
/// either. Everything else is in the summary.
pub fn ingest<P: AsRef<Path>>(
    paths: &[P],
    store: &Store,
    progress: &mut dyn FnMut(IngestEvent),
) -> Result<IngestSummary, IngestError> {
    let mut run = Run { store, progress, summary: IngestSummary::default() };
    let mut found: Vec<(&dyn Reader, Source)> = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        match readable_below(path) {
            Ok(parts) => run.list(parts, &mut found),
            Err(error) => run.refuse(None, path, error),
        }
    }
    let mut first_path: HashMap<SessionId, PathBuf> = HashMap::new();
    let total = found.len();
    for (position, (reader, source)) in found.into_iter().enumerate() {
        let (session, format) = (source.session.clone(), reader.format());
        if let Some(first) = first_path.get(&session) {
            let error =
                IngestError::DuplicateSession { session, first: first.clone(), second: source.main.clone() };
            run.refuse(Some(source.session.clone()), &source.main, error);
            continue;
        }
        first_path.insert(session.clone(), source.main.clone());
        (run.progress)(IngestEvent::Started { session, format, position, total });
        run.session(reader, &source)?;
    }
    Ok(run.summary)
}

/// The reader that serves a path.
///
/// Errors: [`IngestError::UnknownFormat`]; [`IngestError::Io`].
pub fn recognize(path: &Path) -> Result<&'static dyn Reader, IngestError> {
    if let Err(source) = path.metadata() {
        return Err(IngestError::Io { action: "read", path: path.to_path_buf(), source });
    }
    for reader in READERS {
        if reader.probe(path)? {
            return Ok(reader);
        }
    }
    let known = READERS.map(Reader::format).join(", ");
    Err(IngestError::UnknownFormat { path: path.to_path_buf(), known })
}

/// What to read at a path: the path itself, and the folders in it, by every reader that knows them. Readers that search
/// folders find some sessions twice.
fn readable_below(path: &Path) -> Result<Vec<(&'static dyn Reader, PathBuf)>, IngestError> {
    let mut parts = readers_of(path)?;
    if let Ok(entries) = std::fs::read_dir(path) {
        let mut folders: Vec<PathBuf> =
            entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect();
        folders.sort();
        for folder in folders {
            parts.extend(readers_of(&folder).unwrap_or_default());
        }
    }
    if parts.is_empty() {
        // Gives the error that says what is known.
        parts.push((recognize(path)?, path.to_path_buf()));
    }
    Ok(parts)
}

/// All readers that know a path. Where a mapping file says what is what, nothing else is looked for.
fn readers_of(path: &Path) -> Result<Vec<(&'static dyn Reader, PathBuf)>, IngestError> {
    let mut readers = Vec::new();
    for reader in READERS {
        if path.exists() && reader.probe(path)? {
            readers.push((reader, path.to_path_buf()));
            if reader.format() == Mapping.format() {
                break;
            }
        }
    }
    Ok(readers)
}

struct Run<'a> {
    store: &'a Store,
    progress: &'a mut dyn FnMut(IngestEvent),
    summary: IngestSummary,
}

impl Run<'_> {
    fn refuse(&mut self, session: Option<SessionId>, path: &Path, error: IngestError) {
        (self.progress)(IngestEvent::Refused { path: path.to_path_buf(), message: error.to_string() });
        self.summary.refused.push(Refusal { session, path: path.to_path_buf(), error });
    }

    /// Lists the sessions of all parts, each once; a part that cannot be listed is refused, also once.
    fn list(&mut self, parts: Vec<(&'static dyn Reader, PathBuf)>, found: &mut Vec<(&dyn Reader, Source)>) {
        let mut found_here = Vec::new();
        let (mut listed, mut messages) = (HashSet::new(), HashSet::new());
        for (reader, part) in parts {
            // A reader that searches folders has been here already, and knows of the dataset.toml above.
            let is_here = |(other, source): &(&dyn Reader, Source)| {
                other.format() == reader.format() && source.main.starts_with(&part)
            };
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
                Err(error) if messages.insert(error.to_string()) => self.refuse(None, &part, error),
                Err(_) => {}
            }
        }
        found.extend(found_here);
    }

    fn session(&mut self, reader: &dyn Reader, source: &Source) -> Result<(), IngestError> {
        let session = &source.session;
        if self.is_unchanged(source) {
            (self.progress)(IngestEvent::Unchanged { session: session.clone() });
            self.summary.unchanged.push(session.clone());
            return Ok(());
        }
        let read = reader.read(source).and_then(|recording| self.check_owner(source, recording));
        match read.map(|recording| (self.store.write(&recording), recording)) {
            Ok((Ok(digest), recording)) => {
                (self.progress)(IngestEvent::Written {
                    digest: digest.clone(),
                    n_units: recording.n_units(),
                    n_trials: recording.trials().len(),
                    n_spikes: recording.n_spikes(),
                });
                self.summary.written.push(digest);
            }
            Ok((Err(error @ SchemaError::Io { .. }), _)) => return Err(error.into()),
            Ok((Err(error), _)) => self.refuse(Some(session.clone()), &source.main, error.into()),
            Err(error) => self.refuse(Some(session.clone()), &source.main, error),
        }
        Ok(())
    }

    /// Whether the store has the session from the same bytes, undamaged.
    fn is_unchanged(&self, source: &Source) -> bool {
        // Whatever fails here is met again, and reported, when the session is read anew.
        let same = self
            .store
            .info(&source.session)
            .is_ok_and(|stored| source.hash_files().is_ok_and(|files| stored.card.source_files == files));
        same && self.store.verify(&source.session).is_ok()
    }

    /// Refuses to replace a session of another dataset.
    fn check_owner(&self, source: &Source, recording: Recording) -> Result<Recording, IngestError> {
        match self.store.info(&source.session) {
            Ok(stored) if stored.dataset != recording.info().dataset => Err(IngestError::SessionTaken {
                path: source.main.clone(),
                session: source.session.clone(),
                dataset: stored.dataset,
            }),
            // Not there, or damaged and to be replaced.
            _ => Ok(recording),
        }
    }
}
