//! A reader in a process of its own: whatever happens to it, one session is refused by name and the others go in.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::Path;
use std::time::Duration;

use neurobrick_ingest::{IngestError, IngestOptions, IngestSummary, Isolation, READERS, ingest, plan, serve};
use neurobrick_schema::Store;

/// Ingests session `s1` with a shell script in the place of the reader.
fn with_child(
    script: &str,
    time: Duration,
) -> (Store, tempfile::TempDir, Result<IngestSummary, IngestError>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let counts = foreign::counts_folder(folder.path());
    let isolation = Isolation {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        memory_bytes: 64 << 20,
        time,
    };
    let options = IngestOptions { n_workers: 2, isolation: Some(isolation), ..IngestOptions::default() };
    let result = ingest(&[counts], &store, &options, &mut |_| {});
    (store, folder, result)
}

fn names(store: &Store) -> Vec<String> {
    fs::read_dir(store.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn whatever_stops_a_child_becomes_an_error_that_names_file_and_part() {
    let reading = r#"read line; echo '{"reading":"/units/spike_times"}'; "#;
    for (script, expected) in [
        ("kill -SEGV $$", "signal 11"),
        ("kill -KILL $$", "signal 9"),
        (
            "echo one >&2; echo 'thread main has overflowed its stack' >&2; kill -ABRT $$",
            "overflowed its stack",
        ),
        ("echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$", "more memory than the 64 MiB"),
        ("exit 3", "ended without an answer (exit status: 3)"),
        ("echo '{\"staged\":'", "ended without an answer"),
        ("exec sleep 60", "longer than the 0.5 s allowed"),
    ] {
        // Only the one that sleeps is to run out of time, however long a busy machine takes to start a shell.
        let time =
            if script.contains("sleep") { Duration::from_millis(500) } else { Duration::from_secs(20) };
        let (store, _folder, result) = with_child(&format!("{reading}{script}"), time);
        let refused = result.unwrap().refused;
        let message = refused[0].error.to_string();
        let is_stop = matches!(&refused[0].error, IngestError::ChildStopped { part: Some(part), .. } if part == "/units/spike_times");
        assert!(is_stop && message.contains(expected), "{script}: {message}");
        assert!(message.contains("s1.npz, while reading /units/spike_times"), "{message}");
        assert_eq!(names(&store), ["store.json"], "{script}");
    }
}

#[test]
fn a_child_that_refuses_or_cannot_write_says_so_in_its_words() {
    let (_, _folder, result) = with_child(r#"echo '{"refused":"s1.npz is odd"}'"#, Duration::from_secs(20));
    assert_eq!(result.unwrap().refused[0].error.to_string(), "s1.npz is odd");
    for script in [r#"echo '{"not_written":"disk full"}'"#, "kill -XFSZ $$"] {
        let (store, _folder, result) = with_child(script, Duration::from_secs(20));
        let error = result.unwrap_err();
        assert!(matches!(error, IngestError::StoreNotWritten { .. }), "{script}: {error}");
        assert_eq!(names(&store), ["store.json"]);
    }
}

#[test]
fn a_child_that_lies_about_what_it_wrote_is_not_believed() {
    let staged = r#"{"staged":{"digest":{"session":"s1","digest":"00","bytes":1},"dataset":"made-up","subject":"a","n_units":3,"n_trials":2,"n_spikes":1,"n_signals":0,"n_interval_tables":0}}"#;
    let (store, _folder, result) =
        with_child(&format!("read line; echo '{staged}'"), Duration::from_secs(20));
    assert_eq!(result.unwrap().refused.len(), 1);
    assert_eq!(names(&store), ["store.json"]);
}

#[test]
fn a_request_that_is_none_is_refused() {
    for request in ["", "{}", r#"{"format":"nwb"}"#] {
        let error = serve(request.as_bytes(), std::io::sink(), &READERS).unwrap_err().to_string();
        assert!(error.contains("for the use of `ingest` alone"), "{error}");
    }
}

#[test]
fn a_store_has_one_writer_and_its_leftovers_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let counts = foreign::counts_folder(folder.path());
    let mut child = std::process::Command::new("/bin/sh").args(["-c", "exit 0"]).spawn().unwrap();
    child.wait().unwrap();
    let (dead, own) = (format!(".tmp-s9-{}-0", child.id()), format!(".tmp-s9-{}-0", std::process::id()));
    for name in [&dead, &own] {
        fs::create_dir(store.path().join(name)).unwrap();
        fs::write(store.path().join(name).join("units.parquet"), "half").unwrap();
    }
    let lock = store.lock().unwrap();
    let paths: [&Path; 1] = [&counts];
    let error = ingest(&paths, &store, &IngestOptions::default(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("written by another process"), "{error}");
    drop(lock);
    assert_eq!(
        plan(&paths, Some(&store), &READERS).found.iter().filter(|found| found.is_unchanged).count(),
        0
    );
    assert_eq!(ingest(&paths, &store, &IngestOptions::default(), &mut |_| {}).unwrap().written.len(), 1);
    let left = names(&store);
    assert!(!left.contains(&dead) && left.contains(&own), "{left:?}");
    let planned = plan(&paths, Some(&store), &READERS);
    assert!(planned.found[0].is_unchanged && planned.found[0].n_files == 5, "{planned:?}");
}
