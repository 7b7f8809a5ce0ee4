//! A process of its own for every session: a file that kills its decoder, fills the memory or never ends costs that
//! session and nothing else.
//!
//! The parent starts `program args`, which must call [`serve`] with its standard input and output, and sends one line
//! of JSON that says what to read and where to write it. The child sets its own limits, names every part before it
//! decodes it, writes the session into a folder that the parent has made and will put in place, and ends with one line
//! that says how it went. It lives no longer than its parent, whose end closes its standard input.

mod child;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::IngestError;
use crate::pipeline::Staged;
use crate::reader::{Reader, Source};

pub use self::child::serve;

/// What a child may write to its standard error before the rest is dropped.
const MAX_STDERR_BYTES: u64 = 64 << 10;
/// Longest line of a child that is read: names of parts and messages are far shorter.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// How to start a process that reads one session, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// The program; most often the one that is running.
    pub program: PathBuf,
    /// Its arguments, with which it must call [`serve`].
    pub args: Vec<String>,
    /// Address space that a child may take, in bytes. Held on Unix only.
    pub memory_bytes: u64,
    /// Time that a child may take.
    pub time: Duration,
}

/// What a child is asked to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    format: String,
    source: Source,
    into: PathBuf,
    memory_bytes: u64,
}

/// A line of a child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Answer {
    /// This part is decoded next.
    Reading(String),
    /// All is written.
    Staged(Staged),
    /// The session was refused; the error in words.
    Refused(String),
    /// The folder could not be written; the error in words.
    NotWritten(String),
}

/// How the talk with a child ended.
enum End {
    Answered(Answer),
    Closed,
    TimedOut,
}

impl Isolation {
    /// Has a child read a session into an empty folder.
    ///
    /// Errors: [`IngestError::RefusedInChild`], [`IngestError::ChildStopped`], [`IngestError::StoreNotWritten`].
    pub(crate) fn read_into(
        &self,
        reader: &dyn Reader,
        source: &Source,
        dir: &Path,
    ) -> Result<Staged, IngestError> {
        let path = &source.main;
        let stopped = |part: Option<String>, reason: String| IngestError::ChildStopped {
            path: path.clone(),
            part,
            reason,
        };
        let request = Request {
            format: reader.format().to_owned(),
            source: source.clone(),
            into: dir.to_path_buf(),
            memory_bytes: self.memory_bytes,
        };
        let mut line = serde_json::to_vec(&request).map_err(|error| stopped(None, error.to_string()))?;
        line.push(b'\n');
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(IngestError::io("start", &self.program))?;
        // Closed after the child has ended, not before: that is how it would learn that its parent is gone.
        let mut stdin = child.stdin.take();
        if let Some(stdin) = &mut stdin {
            // A child that is gone already says so by its status.
            let _ = stdin.write_all(&line);
        }
        let stderr = child.stderr.take().map(|pipe| thread::spawn(move || head(pipe, MAX_STDERR_BYTES)));
        let (end, part) = self.listen(&mut child);
        if !matches!(end, End::Answered(_)) {
            // Of no effect on one that has ended.
            let _ = child.kill();
        }
        let status = child.wait().map_err(IngestError::io("wait for", &self.program))?;
        drop(stdin);
        let said = stderr.and_then(|reader| reader.join().ok()).unwrap_or_default();
        match end {
            End::Answered(Answer::Staged(staged)) => Ok(staged),
            End::Answered(Answer::Refused(message)) => {
                Err(IngestError::RefusedInChild { path: path.clone(), message })
            }
            End::Answered(Answer::NotWritten(message)) => Err(IngestError::StoreNotWritten { message }),
            End::TimedOut => {
                let reason = format!(
                    "it took longer than the {} s allowed; allow more time if the file is that large",
                    self.time.as_secs_f64()
                );
                Err(stopped(part, reason))
            }
            End::Closed | End::Answered(Answer::Reading(_)) => match self.reason(status, &said) {
                Ended::Refused(reason) => Err(stopped(part, reason)),
                Ended::DiskLimit(message) => Err(IngestError::StoreNotWritten { message }),
            },
        }
    }

    /// Follows what a child says, until it has finished or its time is over; also the part it read last.
    fn listen(&self, child: &mut Child) -> (End, Option<String>) {
        let deadline = Instant::now() + self.time;
        let (lines, received) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            // Ends with the child's end of the pipe.
            thread::spawn(move || {
                let mut pipe = BufReader::new(pipe);
                loop {
                    let mut line = Vec::new();
                    match pipe.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
                        Ok(n) if n > 0 && lines.send(line).is_ok() => {}
                        _ => break,
                    }
                }
            });
        }
        let mut part = None;
        loop {
            match received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match serde_json::from_slice(&line) {
                    Ok(Answer::Reading(next)) => part = Some(next),
                    Ok(answer) => return (End::Answered(answer), part),
                    // Half a line of a child that was stopped while it wrote; its status says the rest.
                    Err(_) => {}
                },
                Err(RecvTimeoutError::Disconnected) => return (End::Closed, part),
                Err(RecvTimeoutError::Timeout) => return (End::TimedOut, part),
            }
        }
    }

    /// Why a child ended without an answer.
    fn reason(&self, status: ExitStatus, said: &str) -> Ended {
        if said.contains("memory allocation of") {
            return Ended::Refused(format!(
                "it needs more memory than the {} MiB allowed; allow more if the file is that large, else it is damaged",
                self.memory_bytes >> 20
            ));
        }
        let signal = signal_of(status);
        // The number that Linux, macOS and the BSDs give to a file that grows over its limit.
        if signal == Some(25) {
            return Ended::DiskLimit("a file of the session is longer than the system allows".into());
        }
        let how = match signal {
            Some(signal) => format!("its reader was stopped by signal {signal}"),
            None => format!("its reader ended without an answer ({status})"),
        };
        let last = said.lines().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {line}"));
        Ended::Refused(format!(
            "{how}{}; the file is probably damaged, fetch it again from its source",
            last.unwrap_or_default()
        ))
    }
}

/// Whom the end of a child speaks against.
enum Ended {
    /// The file.
    Refused(String),
    /// The place it was written to.
    DiskLimit(String),
}

/// The first bytes of a pipe as text; the rest is read and dropped, so that the writer is not held up.
fn head(mut pipe: impl Read, n_bytes: u64) -> String {
    let mut bytes = Vec::new();
    let read = pipe.by_ref().take(n_bytes).read_to_end(&mut bytes);
    if read.is_ok() {
        // What is dropped may fail to be read as well.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_status: ExitStatus) -> Option<i32> {
    None
}

/// Whether a process of that number runs on this machine; yes where that cannot be found out.
#[cfg(unix)]
pub(crate) fn is_running(process: u32) -> bool {
    let Some(process) = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    // Not permitted means that there is one, of another user.
    !matches!(rustix::process::test_kill_process(process), Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
pub(crate) fn is_running(_process: u32) -> bool {
    true
}
