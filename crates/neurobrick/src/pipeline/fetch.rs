//! Sessions of a store behind a URL into a store of this machine.

use std::path::Path;

use neurobrick_schema::{Fetched, RemoteStore, SchemaError, SessionDigest, SessionId, SessionInfo, Store};

use crate::PipelineError;
use crate::pipeline::{Observer, Progress};

/// Copies `sessions` of the store at `url`, or all of them if none are named, into the store at `store`, which is created if
/// needed. Sessions that are there already are left as they are. Goes on past sessions that cannot be had.
///
/// # Errors
/// If either store cannot be opened or the local one is in use; at the end, if a session could not be had: the others
/// are then in the store.
pub fn fetch(
    url: &str,
    sessions: &[SessionId],
    store: &Path,
    observer: &mut dyn Observer,
) -> Result<Vec<Fetched>, PipelineError> {
    let remote = RemoteStore::open(url)?;
    let sessions = if sessions.is_empty() { remote.sessions()? } else { sessions.to_vec() };
    let store = if store.join("store.json").exists() { Store::open(store)? } else { Store::create(store)? };
    let _lock = store.lock()?;
    let (mut fetched, mut failed) = (Vec::new(), Vec::new());
    let mut state =
        Progress { stage: "fetch".to_owned(), done: 0, total: sessions.len() as u64, message: String::new() };
    for session in &sessions {
        state.message = session.to_string();
        observer.progress(&state);
        let told = |done: u64, total: u64| {
            state.message = format!("{session}, {} of {} MiB", done >> 20, total >> 20);
            observer.progress(&state);
        };
        match remote.fetch(session, &store, told) {
            Ok(found) => {
                let (word, digest) = match &found {
                    Fetched::Copied(digest) => ("copied", digest),
                    Fetched::Same(digest) => ("unchanged", digest),
                };
                observer.note(&format!("{session}: {word}, {:.1} MiB", mib(digest)));
                fetched.push(found);
            }
            // Of a disk that is full or a server that is gone, the next session hears no better.
            Err(error @ SchemaError::Io { .. }) => return Err(error.into()),
            Err(error) => {
                observer.note(&format!("refused: {session}"));
                failed.push(error.to_string());
            }
        }
        state.done += 1;
    }
    state.message = format!("{} of {} sessions", fetched.len(), sessions.len());
    observer.progress(&state);
    if failed.is_empty() {
        return Ok(fetched);
    }
    Err(PipelineError::Refused { n_refused: failed.len(), details: failed.join("\n") })
}

fn mib(digest: &SessionDigest) -> f64 {
    digest.bytes as f64 / f64::from(1 << 20)
}

/// Identity and provenance of `sessions` of the store at `url`, or of all of them if none are named, without their tables.
///
/// # Errors
/// If the store cannot be opened or a session is missing or damaged.
pub fn remote_sessions(url: &str, sessions: &[SessionId]) -> Result<Vec<SessionInfo>, PipelineError> {
    let remote = RemoteStore::open(url)?;
    let sessions = if sessions.is_empty() { remote.sessions()? } else { sessions.to_vec() };
    sessions.iter().map(|session| Ok(remote.info(session)?)).collect()
}
