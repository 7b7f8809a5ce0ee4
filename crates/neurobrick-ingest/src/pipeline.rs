//! From paths to a store: recognizes formats, goes on past a bad session, skips what has not changed.

mod find;
mod session;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use neurobrick_schema::{SessionDigest, SessionId, Store};

use self::session::{Outcome, bring_in, is_unchanged};
use crate::alf::Alf;
use crate::boris::Boris;
use crate::brainvision::BrainVision;
use crate::counts_npz::CountsNpz;
use crate::deeplabcut::DeepLabCut;
use crate::edf::Edf;
use crate::error::IngestError;
use crate::isolation::{Isolation, is_running};
use crate::mapping::Mapping;
use crate::myo::Myo;
use crate::nwb::Nwb;
use crate::reader::Reader;
use crate::suite2p::Suite2p;
use crate::tensors::Tensors;

pub use self::find::recognize;
pub(crate) use self::session::{Staged, read_into};

/// All readers of this crate, in the order in which they are asked. Whatever takes readers takes others, too.
pub const READERS: [&dyn Reader; 11] =
    [&Mapping, &CountsNpz, &Alf, &Nwb, &Edf, &BrainVision, &Tensors, &DeepLabCut, &Boris, &Myo, &Suite2p];

/// How to ingest.
#[derive(Clone, Debug)]
pub struct IngestOptions<'r> {
    /// Who is asked, in order; formats have distinct names.
    pub readers: &'r [&'r dyn Reader],
    /// Sessions that are read at the same time; at least one is.
    pub n_workers: usize,
    /// Reads every session in a process of its own; `None` reads it in this one. That process must know the same readers,
    /// see [`serve`](crate::serve).
    pub isolation: Option<Isolation>,
}

impl Default for IngestOptions<'_> {
    /// One session after the other, in this process, by [`READERS`].
    fn default() -> Self {
        Self { readers: &READERS, n_workers: 1, isolation: None }
    }
}

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
    Written(Ingested),
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

/// A session that went in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// What it is known by.
    pub digest: SessionDigest,
    /// Short name of its format.
    pub format: &'static str,
    /// Number of units.
    pub n_units: usize,
    /// Number of trials.
    pub n_trials: usize,
    /// Number of spikes.
    pub n_spikes: u64,
    /// Number of signals: traces, positions, events.
    pub n_signals: usize,
    /// Number of tables of intervals besides the trials.
    pub n_interval_tables: usize,
    /// Whether it took the place of an older copy, since its files or what is written about them have changed.
    pub is_replaced: bool,
    /// What it was named after, where that was changed to make a name of a session.
    pub renamed_from: Option<String>,
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

/// The error, after the path unless it names it itself.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, text) = (self.path.display().to_string(), self.error.to_string());
        if text.contains(&path) { f.write_str(&text) } else { write!(f, "{path}: {text}") }
    }
}

/// What went in and what did not.
#[derive(Debug, Default)]
pub struct IngestSummary {
    /// Sessions that were written, in order.
    pub written: Vec<Ingested>,
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

/// A session as [`plan`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it would be called.
    pub session: SessionId,
    /// What it is named after, where that is changed to make a name of a session.
    pub renamed_from: Option<String>,
    /// Short name of its format.
    pub format: &'static str,
    /// The file or folder that stands for it.
    pub path: PathBuf,
    /// Number of files it is made from.
    pub n_files: usize,
    /// Their length together, in bytes.
    pub bytes: u64,
    /// Whether the store has it from the same files already.
    pub is_unchanged: bool,
}

/// What [`ingest`] would read.
#[derive(Debug, Default)]
pub struct Plan {
    /// The sessions, in order.
    pub found: Vec<Found>,
    /// What would be refused before it is read, and why.
    pub refused: Vec<Refusal>,
}

/// Lists what [`ingest`] would read, without reading or writing any of it. Files are hashed where the store has a
/// session of that name.
pub fn plan<P: AsRef<Path>>(paths: &[P], store: Option<&Store>, readers: &[&dyn Reader]) -> Plan {
    let (found, mut refused) = find::find(paths, readers);
    let mut listed = Vec::new();
    for (reader, source) in found {
        match source.total_bytes() {
            Ok(bytes) => listed.push(Found {
                is_unchanged: store.is_some_and(|store| is_unchanged(&source, store)),
                renamed_from: source.renamed_from(),
                session: source.session,
                format: reader.format(),
                path: source.main,
                n_files: source.files.len(),
                bytes,
            }),
            Err(error) => {
                refused.push(Refusal { session: Some(source.session), path: source.main, error });
            }
        }
    }
    Plan { found: listed, refused }
}

/// Reads everything below `paths` into a store.
///
/// A session that cannot be read is refused as a whole and does not stop the others; a refused session leaves what the
/// store had of it before. A session is skipped when the store has it, undamaged, from files with the same hashes. The
/// store is locked meanwhile; what an earlier call was killed over is deleted.
///
/// Errors: only [`IngestError::Store`] and [`IngestError::StoreNotWritten`] when the store is in use or cannot be
/// written, since no other session would go in either. Everything else is in the summary.
pub fn ingest<P: AsRef<Path>>(
    paths: &[P],
    store: &Store,
    options: &IngestOptions<'_>,
    progress: &mut dyn FnMut(IngestEvent),
) -> Result<IngestSummary, IngestError> {
    let _lock = store.lock()?;
    store.remove_unfinished(is_running)?;
    let mut summary = IngestSummary::default();
    let (found, refused) = find::find(paths, options.readers);
    for Refusal { path, error, .. } in &refused {
        progress(IngestEvent::Refused { path: path.clone(), message: error.to_string() });
    }
    summary.refused = refused;
    let mut outcomes: Vec<Option<Outcome>> = found.iter().map(|_| None).collect();
    let work =
        Work { found: &found, store, options, next: AtomicUsize::new(0), is_stopped: AtomicBool::new(false) };
    thread::scope(|scope| {
        let (events, received) = mpsc::channel();
        for _ in 0..options.n_workers.clamp(1, found.len().max(1)) {
            let (events, work) = (events.clone(), &work);
            scope.spawn(move || work.run(&events));
        }
        drop(events);
        for (position, outcome) in received {
            let (reader, source) = &found[position];
            if let Some(outcome) = outcome {
                if let Some(event) = outcome.event(&source.main) {
                    progress(event);
                }
                outcomes[position] = Some(outcome);
            } else {
                let (session, format) = (source.session.clone(), reader.format());
                progress(IngestEvent::Started { session, format, position, total: found.len() });
            }
        }
    });
    for ((_, source), outcome) in found.into_iter().zip(outcomes) {
        match outcome {
            Some(Outcome::Written(ingested)) => summary.written.push(ingested),
            Some(Outcome::Unchanged(session)) => summary.unchanged.push(session),
            Some(Outcome::Refused(error)) => {
                summary.refused.push(Refusal { session: Some(source.session), path: source.main, error });
            }
            Some(Outcome::Stop(error)) => return Err(error),
            // Not begun, since another one stopped the run.
            None => {}
        }
    }
    Ok(summary)
}

/// What the workers share.
struct Work<'a> {
    found: &'a [find::Found<'a>],
    store: &'a Store,
    options: &'a IngestOptions<'a>,
    /// The next session that nobody has begun.
    next: AtomicUsize,
    /// Whether the store cannot be written, so that no other session is begun.
    is_stopped: AtomicBool,
}

impl Work<'_> {
    /// Brings in one session after the other; tells of each when it begins, and how it fared.
    fn run(&self, events: &mpsc::Sender<(usize, Option<Outcome>)>) {
        while !self.is_stopped.load(Ordering::Relaxed) {
            let position = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((reader, source)) = self.found.get(position) else { break };
            // The receiver lives until all senders are gone.
            let _ = events.send((position, None));
            let outcome = bring_in(*reader, source, self.store, self.options);
            if matches!(outcome, Outcome::Stop(_)) {
                self.is_stopped.store(true, Ordering::Relaxed);
            }
            let _ = events.send((position, Some(outcome)));
        }
    }
}

impl Outcome {
    fn event(&self, path: &Path) -> Option<IngestEvent> {
        match self {
            Self::Written(ingested) => Some(IngestEvent::Written(ingested.clone())),
            Self::Unchanged(session) => Some(IngestEvent::Unchanged { session: session.clone() }),
            Self::Refused(error) => {
                Some(IngestEvent::Refused { path: path.to_path_buf(), message: error.to_string() })
            }
            Self::Stop(_) => None,
        }
    }
}
