//! The verb `fetch`: runs the program that speaks with servers, and shows what it tells.
//!
//! It is a program of its own since TLS and an asynchronous runtime would be compiled into everything else otherwise.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use neurobrick::PipelineError;
use neurobrick::pipeline::{Observer, Progress};
use serde::Deserialize;

use crate::checks::cargo;
use crate::screen::say;
use crate::verbs::{Failure, with_screen};

/// What the program tells; see `neurobrick-fetch`.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Session { session: String, position: u64, of: u64 },
    Bytes { session: String, done: u64, total: u64 },
    Copied { session: String, bytes: u64 },
    Unchanged { session: String, bytes: u64 },
    Refused { session: String, reason: String },
    Listed { session: String, subject: String, dataset: String, license: String },
}

/// Copies sessions of the store at `url` into `store`, or says what is there if there is no store to copy to.
pub(crate) fn fetch(
    root: &Path,
    url: &str,
    sessions: &[String],
    store: Option<&Path>,
) -> Result<(), Failure> {
    let mut command = Command::new(cargo());
    command.args(["run", "--release", "--locked", "--quiet", "--package", "neurobrick-schema"]);
    command.arg("--manifest-path").arg(root.join("Cargo.toml"));
    command.args(["--features", "remote", "--bin", "neurobrick-fetch", "--"]);
    match store {
        Some(store) => command.arg(url).arg(store),
        None => command.args(["--list", url]),
    };
    command.args(sessions).stdout(Stdio::piped()).stdin(Stdio::null());
    let refused = with_screen(1, |screen| follow(command, screen))?;
    if let Some(store) = store {
        say(&format!("store: {}", store.display()));
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(PipelineError::Refused { n_refused: refused.len(), details: refused.join("\n") }.into())
}

/// A program that does not outlive who listens to it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended, which is well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the program to its end and returns why sessions were refused.
fn follow(mut command: Command, screen: &mut dyn Observer) -> Result<Vec<String>, PipelineError> {
    let failed = |action| move |source| PipelineError::Io { action, path: "neurobrick-fetch".into(), source };
    screen.note("fetch: compiling what speaks with servers, unless that was done before");
    let mut child = Running(command.spawn().map_err(failed("start"))?);
    let mut state = Progress { stage: "fetch".to_owned(), done: 0, total: 0, message: String::new() };
    let mut refused = Vec::new();
    for line in child.0.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(failed("listen to"))?;
        let event = serde_json::from_str(&line).map_err(|error| {
            failed("understand")(std::io::Error::other(format!("{error} in what it told: {line}")))
        })?;
        match event {
            Event::Session { session, position, of } => {
                (state.done, state.total, state.message) = (position, of, session);
                screen.progress(&state);
            }
            Event::Bytes { session, done, total } => {
                state.message = format!("{session}, {} of {} MiB", done >> 20, total.div_ceil(1 << 20));
                screen.progress(&state);
            }
            Event::Copied { session, bytes } => screen.note(&format!("{session}: copied, {}", mib(bytes))),
            Event::Unchanged { session, bytes } => {
                screen.note(&format!("{session}: unchanged, {}", mib(bytes)));
            }
            Event::Refused { session, reason } => {
                screen.note(&format!("refused: {session}"));
                refused.push(reason);
            }
            Event::Listed { session, subject, dataset, license } => {
                say(&format!("{session}  subject {subject}, dataset {dataset}, license {license}"));
            }
        }
    }
    let status = child.0.wait().map_err(failed("wait for"))?;
    // 65: sessions were refused, for the reasons above. Of anything else the program has told on standard error.
    if status.success() || (status.code() == Some(65) && !refused.is_empty()) {
        return Ok(refused);
    }
    let source = std::io::Error::other(format!("ended with {status}; what it said stands above"));
    Err(failed("run")(source))
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
