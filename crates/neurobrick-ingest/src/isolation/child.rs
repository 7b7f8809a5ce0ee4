//! The child's side: limits first, then the session, then the answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use neurobrick_schema::SchemaError;

use super::{Answer, Request};
use crate::error::IngestError;
use crate::guard;
use crate::pipeline::read_into;
use crate::reader::Reader;

/// Answers the one request of a parent with [`Isolation`](super::Isolation): reads a session into a folder.
///
/// For a process that was started for nothing else: it limits the memory of the whole process, and ends it when `input`
/// is closed before the work is done. `readers` are those that the parent asks, or more: the parent names the format.
///
/// Errors: what is wrong with the request, or with sending the answer; what is wrong with the session is the answer.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    readers: &[&dyn Reader],
) -> Result<(), IngestError> {
    let mut input = BufReader::new(input);
    let mut line = String::new();
    input.read_line(&mut line).map_err(bad_request)?;
    let request: Request = serde_json::from_str(&line).map_err(bad_request)?;
    let reader = readers.iter().find(|reader| reader.format() == request.format);
    let reader = *reader.ok_or_else(|| bad_request(format!("no reader is called {:?}", request.format)))?;
    limit_memory(request.memory_bytes).map_err(bad_request)?;
    thread::spawn(move || {
        // Nothing more is sent: this returns when the parent is gone.
        let _ = std::io::copy(&mut input, &mut std::io::sink());
        std::process::exit(1);
    });
    let output = Arc::new(Mutex::new(output));
    let spoken = Arc::clone(&output);
    guard::listen(Box::new(move |part| {
        // Were the parent gone, the thread above would end this process.
        let _ = say(&spoken, &Answer::Reading(part.to_owned()));
    }));
    let answer = match read_into(reader, &request.source, &request.into) {
        Ok(staged) => Answer::Staged(staged),
        Err(error @ IngestError::Store(SchemaError::Io { .. })) => Answer::NotWritten(error.to_string()),
        Err(error) => Answer::Refused(error.to_string()),
    };
    say(&output, &answer).map_err(bad_request)
}

fn bad_request(error: impl ToString) -> IngestError {
    IngestError::RefusedInChild {
        path: "<standard input>".into(),
        message: format!("this verb is for the use of `ingest` alone: {}", error.to_string()),
    }
}

fn say(output: &Mutex<impl Write>, answer: &Answer) -> Result<(), std::io::Error> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(&line)?;
    output.flush()
}

#[cfg(unix)]
fn limit_memory(bytes: u64) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::As, Rlimit { current: Some(bytes), maximum: Some(bytes) })?;
    // A decoder that crashes should leave a message, not gigabytes of its memory.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

#[cfg(not(unix))]
fn limit_memory(_bytes: u64) -> std::io::Result<()> {
    Ok(())
}
