//! A write that finds no room leaves the sessions that were there, and the next one finishes the work.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use neurobrick_schema::*;

/// Names the store that a child process is to write.
const STORE: &str = "NEUROBRICK_TEST_STORE";
/// What a child answers that found no room.
const NO_ROOM: i32 = 73;

fn recordings() -> [Recording; 3] {
    [made::spikes_recording("a"), made::full_recording("b"), made::counts_recording("c")]
}

fn write_all(store: &Store) -> Result<(), SchemaError> {
    recordings().iter().try_for_each(|recording| store.write(recording).map(drop))
}

fn digests(store: &Store) -> Vec<String> {
    let sessions = store.sessions().unwrap();
    sessions
        .iter()
        .map(|session| {
            store.verify(session).unwrap();
            store.digest(session).unwrap()
        })
        .collect()
}

/// The child's side; nothing where no store is named.
#[test]
fn a_child_writes() {
    let Ok(store) = std::env::var(STORE) else { return };
    if let Err(error) = write_all(&Store::open(store).unwrap()) {
        let path = match &error {
            SchemaError::Io { path, .. } => path.file_name().unwrap().to_owned(),
            _ => unreachable!("{error}"),
        };
        std::io::Write::write_all(&mut std::io::stderr(), path.as_encoded_bytes()).unwrap();
        std::process::exit(NO_ROOM);
    }
}

/// Runs [`a_child_writes`] where files end at so many blocks: with an error as from a full disk, or with a signal.
fn child(store: &Store, n_blocks: u32, is_signal: bool) -> Output {
    let trap = if is_signal { "" } else { "trap '' XFSZ; " };
    Command::new("/bin/sh")
        .args(["-c", &format!("{trap}ulimit -f {n_blocks}; ulimit -c 0; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_writes", "--nocapture"])
        .env(STORE, store.path())
        .output()
        .unwrap()
}

#[test]
fn what_found_no_room_is_written_by_the_next_run_with_equal_digests() {
    let folder = tempfile::tempdir().unwrap();
    let expected = Store::create(folder.path().join("expected")).unwrap();
    write_all(&expected).unwrap();
    let expected = digests(&expected);
    // The second one replaces an older recording of the same session.
    let old = made::spikes_recording("b");
    let (mut n_stopped, mut short) = (0, BTreeSet::new());
    for is_signal in [false, true] {
        let mut is_done = false;
        for n_blocks in (0..200).step_by(if is_signal { 5 } else { 2 }) {
            let store = Store::create(folder.path().join(format!("{n_blocks}-{is_signal}"))).unwrap();
            let old_digest = store.write(&old).unwrap().digest;
            let output = child(&store, n_blocks, is_signal);
            is_done = output.status.success();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            if is_done {
                break;
            }
            n_stopped += 1;
            let is_expected = if is_signal {
                output.status.signal().is_some()
            } else {
                short.insert(told.clone());
                output.status.code() == Some(NO_ROOM)
            };
            assert!(is_expected, "{n_blocks} blocks: {:?}, {told}", output.status);
            let store = Store::open(store.path()).unwrap();
            let found = digests(&store);
            assert!(
                found.iter().all(|digest| expected.contains(digest) || *digest == old_digest),
                "{n_blocks} blocks"
            );
            assert!(!found.is_empty() && found != expected, "{n_blocks} blocks");
            let names = fs::read_dir(store.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let n_left = names.filter(|name| name.as_encoded_bytes().starts_with(b".")).count();
            assert!(is_signal || n_left == 0, "{n_blocks} blocks leave {n_left} unfinished folders");
            write_all(&store).unwrap();
            assert_eq!(digests(&store), expected, "{n_blocks} blocks");
        }
        assert!(is_done, "the files of a session are small");
    }
    assert!(n_stopped > 4 && short.len() > 2, "stopped {n_stopped} times, at {short:?}");
}
