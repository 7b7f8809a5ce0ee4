//! An ingest that finds no room stops with whole sessions, and the next one finishes the work.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use neurobrick_ingest::{IngestError, IngestOptions, IngestSummary, ingest};
use neurobrick_schema::{SchemaError, Store};

/// Names the folder with `counts`, `alf-data` and `store` that a child process is to ingest.
const FOLDER: &str = "NEUROBRICK_TEST_FOLDER";
/// What a child answers that found no room.
const NO_ROOM: i32 = 73;

fn run(sources: &Path, store: &Store) -> Result<IngestSummary, IngestError> {
    let paths = ["counts", "alf-data"].map(|name| sources.join(name));
    ingest(&paths, store, &IngestOptions::default(), &mut |_| {})
}

fn digests(store: &Store) -> BTreeMap<String, String> {
    let sessions = store.sessions().unwrap();
    sessions
        .iter()
        .map(|session| {
            store.verify(session).unwrap();
            (session.to_string(), store.digest(session).unwrap())
        })
        .collect()
}

/// The child's side; nothing where no folder is named.
#[test]
fn a_child_ingests() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    match run(folder, &Store::open(folder.join("store")).unwrap()) {
        Ok(summary) => assert!(summary.is_complete(), "{:?}", summary.refused),
        Err(IngestError::Store(SchemaError::Io { .. })) => std::process::exit(NO_ROOM),
        Err(error) => unreachable!("{error}"),
    }
}

#[test]
fn what_found_no_room_is_ingested_by_the_next_run_with_equal_digests() {
    let folder = tempfile::tempdir().unwrap();
    foreign::counts_folder(folder.path());
    foreign::alf_folder(folder.path());
    let expected = Store::create(folder.path().join("expected")).unwrap();
    run(folder.path(), &expected).unwrap();
    let expected = digests(&expected);
    assert_eq!(expected.len(), 2);
    let (mut sizes, mut is_done) = (Vec::new(), false);
    for n_blocks in 0..200 {
        let path = folder.path().join("store");
        let store = Store::create(&path).unwrap();
        // Files end at so many blocks, with an error as from a full disk.
        let script = format!("trap '' XFSZ; ulimit -f {n_blocks}; exec \"$0\" \"$@\"");
        let output = Command::new("/bin/sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "a_child_ingests", "--nocapture"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        is_done = output.status.success();
        if is_done {
            break;
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(NO_ROOM), "{n_blocks} blocks: {told}");
        let found = digests(&store);
        assert!(found.iter().all(|(session, digest)| expected[session] == *digest), "{n_blocks} blocks");
        assert!(found.len() < expected.len(), "{n_blocks} blocks");
        let summary = run(folder.path(), &store).unwrap();
        // What was whole stays, and only the rest is read.
        assert_eq!(summary.unchanged.len(), found.len(), "{n_blocks} blocks");
        assert_eq!(digests(&store), expected, "{n_blocks} blocks");
        let names = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.as_encoded_bytes().starts_with(b".tmp")).collect();
        assert!(left.is_empty(), "{n_blocks} blocks leave {left:?}");
        sizes.push(found.len());
        fs::remove_dir_all(&path).unwrap();
    }
    assert!(is_done && sizes.len() > 3, "stopped with {sizes:?} whole sessions");
}
