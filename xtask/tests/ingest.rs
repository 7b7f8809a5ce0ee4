//! The verb `ingest`, with real processes: parallel equals serial, and neither a kill, nor a limit, nor a full disk
//! leaves anything but whole sessions.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use neurobrick::schema::Store;

fn fixtures(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(part)
}

fn ingest(source: &Path, store: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("ingest").arg(source).arg("--store").arg(store).args(flags);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Digest of every session; panics where one is not whole.
fn whole_sessions(store: &Path) -> BTreeMap<String, String> {
    let Ok(store) = Store::open(store) else { return BTreeMap::new() };
    let sessions = store.sessions().unwrap();
    sessions
        .iter()
        .map(|session| {
            store.verify(session).unwrap();
            (session.to_string(), store.digest(session).unwrap())
        })
        .collect()
}

#[test]
fn parallel_equals_serial_and_a_second_run_skips_all() {
    let folder = tempfile::tempdir().unwrap();
    let recordings = fixtures("recordings/steinmetz2019-binned");
    let (one, many) = (folder.path().join("one"), folder.path().join("many"));
    let dry = ingest(&recordings, &one, &["--dry-run"]).output().unwrap();
    assert!(text(&dry).contains("session01_Cori_2016-12-14") && !one.exists(), "{}", text(&dry));
    for (store, jobs) in [(&one, "1"), (&many, "3")] {
        let output = ingest(&recordings, store, &["--jobs", jobs]).output().unwrap();
        assert!(output.status.success() && text(&output).contains("11 written"), "{}", text(&output));
    }
    assert_eq!(whole_sessions(&one), whole_sessions(&many));
    assert_eq!(whole_sessions(&one).len(), 11);
    let again = ingest(&recordings, &one, &[]).output().unwrap();
    assert!(text(&again).contains("0 written, 11 unchanged, 0 refused"), "{}", text(&again));
}

#[test]
fn killed_at_any_point_the_store_holds_whole_sessions_and_the_next_run_finishes() {
    let folder = tempfile::tempdir().unwrap();
    let recordings = fixtures("recordings/steinmetz2019-binned");
    let expected = folder.path().join("expected");
    assert!(ingest(&recordings, &expected, &[]).output().unwrap().status.success());
    let expected = whole_sessions(&expected);
    let store = folder.path().join("store");
    let n_folders = || {
        let folders = fs::read_dir(&store).into_iter().flatten().flatten().filter(|e| e.path().is_dir());
        folders.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
    };
    // Soon after the start, and while the second, the fourth and the sixth session are on their way.
    for (n_sessions, delay_ms) in [(0, 5), (0, 40), (1, 0), (3, 2), (5, 7)] {
        let mut child = ingest(&recordings, &store, &["--jobs", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while n_folders() < n_sessions && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(delay_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = whole_sessions(&store);
        assert!(found.iter().all(|(session, digest)| expected[session] == *digest));
        assert!(found.len() >= n_sessions && found.len() < expected.len(), "{} sessions", found.len());
    }
    let output = ingest(&recordings, &store, &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(whole_sessions(&store), expected);
    let names = fs::read_dir(&store).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    assert_eq!(names.filter(|name| name.starts_with('.')).count(), 0, "leftovers");
}

#[test]
fn a_session_over_its_limits_is_refused_and_the_others_go_in() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let eeg = fixtures("formats/eeg");
    fs::copy(eeg.join("dataset.toml"), source.join("dataset.toml")).unwrap();
    fs::copy(eeg.join("test_uneven_samp.edf"), source.join("small.edf")).unwrap();
    // One channel of 2^27 samples, which are zeros on disk without taking any room there.
    let header = format!(
        "{:<8}{:<80}{:<80}{:<8}{:<8}{:<8}{:<44}{:<8}{:<8}{:<4}{:<16}{:<80}{:<8}{:<8}{:<8}{:<8}{:<8}{:<80}{:<8}{:<32}",
        "0",
        "X X X X",
        "",
        "01.01.20",
        "00.00.00",
        512,
        "",
        1 << 13,
        1,
        1,
        "EEG",
        "",
        "uV",
        "-100",
        "100",
        "-32768",
        "32767",
        "",
        1 << 14,
        ""
    );
    fs::write(source.join("large.edf"), &header).unwrap();
    let file = fs::OpenOptions::new().write(true).open(source.join("large.edf")).unwrap();
    file.set_len(512 + (1 << 28)).unwrap();
    let store = folder.path().join("store");
    let output = ingest(&source, &store, &["--memory-mib", "512", "--jobs", "2"]).output().unwrap();
    let message = text(&output);
    assert_eq!(output.status.code(), Some(65), "{message}");
    assert!(message.contains("large.edf: it needs more memory than the 512 MiB allowed"), "{message}");
    assert_eq!(whole_sessions(&store).into_keys().collect::<Vec<_>>(), ["small"]);
}

#[test]
fn a_full_disk_leaves_what_was_whole() {
    let folder = tempfile::tempdir().unwrap();
    let source = fixtures("recordings/steinmetz2019-binned");
    let store = folder.path().join("store");
    assert!(ingest(&fixtures("formats/eeg"), &store, &[]).output().unwrap().status.success());
    let before = whole_sessions(&store);
    assert!(!before.is_empty());
    // Files end at 100 KiB: with a signal, which stops the run, and with an error as from a full disk.
    for (trap, says) in [("", "make room"), ("trap '' XFSZ; ", "File too large")] {
        let script = format!("{trap}ulimit -f 200; exec \"$0\" \"$@\"");
        let output = Command::new("/bin/sh")
            .args(["-c", script.as_str(), env!("CARGO_BIN_EXE_xtask"), "ingest"])
            .arg(&source)
            .arg("--store")
            .arg(&store)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(73), "{}", text(&output));
        assert!(text(&output).contains(says), "{}", text(&output));
        assert_eq!(whole_sessions(&store), before);
    }
}

#[test]
fn a_refusal_is_told_once_and_new_names_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a-folder-with-a-long-name-".repeat(4)).join("empty");
    fs::create_dir_all(&deep).unwrap();
    let store = folder.path().join("store");
    let output = ingest(&deep, &store, &[]).output().unwrap();
    let told = text(&output);
    assert_eq!(output.status.code(), Some(65), "{told}");
    assert_eq!(told.matches("holds no recording in a known format").count(), 1, "{told}");
    assert!(!told.contains("0/0"), "{told}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let header = table.lines().find(|line| line.starts_with("session")).unwrap();
    assert!(header.len() < 100, "paths stand below their rows: {table}");

    let empty = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("inspect").arg(&store).output().unwrap();
    assert!(text(&empty).contains("has no sessions; ingest recordings into it"), "{}", text(&empty));

    let human = fixtures("formats/nwb/human-mtl");
    let told = text(&ingest(&human, &store, &[]).output().unwrap());
    assert!(told.contains("    named after sub-4_ses-4_ecephys+image, in characters"), "{told}");
    assert!(told.contains("no trials; `trials = \"<table>\"` in dataset.toml takes one"), "{told}");
    let dry = text(&ingest(&human, &store, &["--dry-run"]).output().unwrap());
    assert!(dry.contains("sub-4_ses-4_ecephys+image.nwb; named after"), "{dry}");
}
