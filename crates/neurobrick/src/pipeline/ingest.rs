//! Foreign files into a store, and a look at a store.

use std::path::{Path, PathBuf};

use neurobrick_ingest::{IngestEvent, IngestOptions, IngestSummary, Ingested, Plan, READERS};
use neurobrick_schema::{SessionId, SessionSummary, Store, summary};

use crate::PipelineError;
use crate::pipeline::{Observer, Progress};

/// Ingests `paths` into the store at `store`, which is created if needed, one session after the other. Goes on past bad
/// sessions.
///
/// # Errors
/// If the store is in use or cannot be written. Refused recordings are in the summary.
pub fn ingest(
    paths: &[PathBuf],
    store: &Path,
    observer: &mut dyn Observer,
) -> Result<IngestSummary, PipelineError> {
    ingest_with(paths, store, &IngestOptions::default(), observer)
}

/// Ingests recordings of a run; refusing one refuses the run.
///
/// # Errors
/// Those of [`ingest`], and if a recording is refused.
pub(super) fn ingest_all(
    recordings: &[PathBuf],
    store: &Path,
    observer: &mut dyn Observer,
) -> Result<(), PipelineError> {
    let ingested = ingest(recordings, store, observer)?;
    if ingested.is_complete() {
        return Ok(());
    }
    let lines = ingested.refused.iter().map(ToString::to_string);
    let details = lines.collect::<Vec<_>>().join("\n");
    Err(PipelineError::Refused { n_refused: ingested.refused.len(), details })
}

/// The same, several sessions at once or each in a process of its own.
///
/// # Errors
/// Those of [`ingest`].
pub fn ingest_with(
    paths: &[PathBuf],
    store: &Path,
    options: &IngestOptions<'_>,
    observer: &mut dyn Observer,
) -> Result<IngestSummary, PipelineError> {
    let store = if store.join("store.json").exists() { Store::open(store)? } else { Store::create(store)? };
    let mut state = Progress { stage: "ingest".to_owned(), done: 0, total: 0, message: String::new() };
    let summary = neurobrick_ingest::ingest(paths, &store, options, &mut |event| match event {
        IngestEvent::Started { session, format, position, total } => {
            state.done = position as u64;
            state.total = total as u64;
            state.message = format!("{session} ({format})");
            observer.progress(&state);
        }
        IngestEvent::Written(Ingested {
            digest,
            n_units,
            n_trials,
            n_spikes,
            n_signals,
            is_replaced,
            ..
        }) => {
            let old = if is_replaced {
                "; replaces an older copy, since its files or what is written about them have changed"
            } else {
                ""
            };
            observer.note(&format!(
                "{}: {n_units} units, {n_trials} trials, {n_spikes} spikes, {n_signals} signals{old}",
                digest.session
            ));
        }
        IngestEvent::Unchanged { session } => observer.note(&format!("{session}: unchanged")),
        // The reason, which can be long, is told once: by whoever shows the summary.
        IngestEvent::Refused { path, .. } => observer.note(&format!("refused: {}", path.display())),
        _ => {}
    })?;
    if state.total > 0 {
        state.done = state.total;
        state.message = format!("{} written, {} unchanged", summary.written.len(), summary.unchanged.len());
        observer.progress(&state);
    }
    Ok(summary)
}

/// What [`ingest`] would read, and what of it the store has already.
///
/// # Errors
/// If there is a store that cannot be opened.
pub fn plan_ingest(paths: &[PathBuf], store: &Path) -> Result<Plan, PipelineError> {
    let store = store.join("store.json").exists().then(|| Store::open(store)).transpose()?;
    Ok(neurobrick_ingest::plan(paths, store.as_ref(), &READERS))
}

/// Summaries of some sessions of a store, or of all if none are named.
///
/// # Errors
/// If a session is missing or damaged.
pub fn inspect(store: &Path, sessions: &[SessionId]) -> Result<Vec<SessionSummary>, PipelineError> {
    let store = Store::open(store)?;
    let sessions = if sessions.is_empty() { store.sessions()? } else { sessions.to_vec() };
    sessions.iter().map(|s| Ok(summary(&store.read(s)?))).collect()
}
