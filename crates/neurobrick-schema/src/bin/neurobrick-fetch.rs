//! Sessions of a store behind a URL into a store of this machine: what `cargo xtask fetch` runs.
//!
//! `neurobrick-fetch URL STORE [SESSION ..]` copies, `neurobrick-fetch --list URL [SESSION ..]` says what is there. It tells what
//! happens in lines of JSON on standard output, one object each, with `event` as `session`, `bytes`, `copied`, `unchanged`,
//! `refused` or `listed`. It goes on past sessions that cannot be had, and ends with 65 if there are some.
#![expect(clippy::print_stderr, reason = "a program tells why it ends")]

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use neurobrick_schema::{Fetched, RemoteStore, SchemaError, SessionId, Store};
use serde_json::{Value, json};

/// Pause between two words on the bytes of a session.
const TELL_EVERY: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["--list", url, sessions @ ..] => list(url, sessions),
        [url, store, sessions @ ..] => fetch(url, Path::new(store), sessions),
        _ => {
            eprintln!("usage: neurobrick-fetch URL STORE [SESSION ..] | --list URL [SESSION ..]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(65),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(event: &Value) {
    // A reader that has gone does not stop the work.
    let _ = writeln!(std::io::stdout(), "{event}");
}

fn chosen(remote: &RemoteStore, named: &[&str]) -> Result<Vec<SessionId>, SchemaError> {
    if named.is_empty() {
        return remote.sessions();
    }
    named.iter().map(|name| SessionId::new(*name)).collect()
}

/// Lists, and returns how many sessions could not be read.
fn list(url: &str, named: &[&str]) -> Result<usize, SchemaError> {
    let remote = RemoteStore::open(url)?;
    let mut n_refused = 0;
    for session in chosen(&remote, named)? {
        match remote.info(&session) {
            Ok(info) => tell(&json!({
                "event": "listed", "session": session, "subject": info.subject, "dataset": info.dataset,
                "license": info.card.license,
            })),
            Err(error) => n_refused += refused(&session, error)?,
        }
    }
    Ok(n_refused)
}

/// Copies, and returns how many sessions could not be had.
fn fetch(url: &str, store: &Path, named: &[&str]) -> Result<usize, SchemaError> {
    let remote = RemoteStore::open(url)?;
    let sessions = chosen(&remote, named)?;
    let store = if store.join("store.json").exists() { Store::open(store)? } else { Store::create(store)? };
    let _lock = store.lock()?;
    let mut n_refused = 0;
    for (position, session) in sessions.iter().enumerate() {
        tell(&json!({ "event": "session", "session": session, "position": position, "of": sessions.len() }));
        let mut told = Instant::now();
        let on_bytes = |done: u64, total: u64| {
            if done == total || told.elapsed() > TELL_EVERY {
                told = Instant::now();
                tell(&json!({ "event": "bytes", "session": session, "done": done, "total": total }));
            }
        };
        match remote.fetch(session, &store, on_bytes) {
            Ok(Fetched::Copied(digest)) => {
                tell(&json!({ "event": "copied", "session": session, "bytes": digest.bytes }));
            }
            Ok(Fetched::Same(digest)) => {
                tell(&json!({ "event": "unchanged", "session": session, "bytes": digest.bytes }));
            }
            Err(error) => n_refused += refused(session, error)?,
        }
    }
    Ok(n_refused)
}

/// Counts a session as refused; of a disk that is full or a server that is gone, the next one hears no better.
fn refused(session: &SessionId, error: SchemaError) -> Result<usize, SchemaError> {
    if matches!(error, SchemaError::Io { .. }) {
        return Err(error);
    }
    tell(&json!({ "event": "refused", "session": session, "reason": error.to_string() }));
    Ok(1)
}
