//! A reader of another crate: found, read here and in a process of its own, and unknown to a process that was not told.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use neurobrick_ingest::{
    IngestError, IngestOptions, Isolation, READERS, Reader, Source, ingest, plan, recognize, serve,
};
use neurobrick_schema::{
    Activity, Card, Consent, DatasetId, Recording, SessionId, SessionInfo, Spikes, Store, SubjectId, Trials,
    Unit,
};

/// Tells a process of this test that it is a child, and which readers it knows.
const CHILD: &str = "NEUROBRICK_OUTSIDE_READER";

/// A file `*.one`, which is one spike.
struct One;

impl Reader for One {
    fn format(&self) -> &'static str {
        "one"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(path.extension().is_some_and(|ending| ending == "one"))
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let main = path.to_path_buf();
        let root = path.parent().unwrap().to_path_buf();
        Ok(vec![Source { session: SessionId::new("lone").unwrap(), root, main, files: vec!["a.one".into()] }])
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let card = Card {
            source: "a test".into(),
            citation: String::new(),
            license: "CC0-1.0".into(),
            species: None,
            consent: Consent::NonHuman,
            ethics: None,
            changes: Vec::new(),
            source_files: source.hash_files()?,
            notes: None,
        };
        let info = SessionInfo {
            session: source.session.clone(),
            subject: SubjectId::new("nobody").unwrap(),
            dataset: DatasetId::new("made-up").unwrap(),
            card,
        };
        let unit = Unit { id: "u".into(), region: "CA1".into(), depth_um: None, quality: None };
        let spikes = Activity::Spikes(Spikes::new(vec![1.0], vec![0]).unwrap());
        Ok(Recording::new(info, vec![unit], spikes, Trials::default()).unwrap())
    }
}

fn with_one() -> Vec<&'static dyn Reader> {
    READERS.into_iter().chain([&One as &dyn Reader]).collect()
}

/// What [`Isolation`] starts: this very program, which runs nothing but this.
#[test]
fn a_child_of_its_own() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let readers = if told == "told" { with_one() } else { READERS.to_vec() };
    // The name of this test stands on the line already.
    std::io::stdout().write_all(b"\n").unwrap();
    if let Err(error) = serve(std::io::stdin(), std::io::stdout(), &readers) {
        std::io::stderr().write_all(error.to_string().as_bytes()).unwrap();
        std::process::exit(1);
    }
}

fn isolation(readers: &str) -> Isolation {
    let program = std::env::current_exe().unwrap();
    let script = format!(
        "{CHILD}={readers} exec '{}' --exact a_child_of_its_own --nocapture --test-threads=1",
        program.display()
    );
    Isolation {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script],
        memory_bytes: 2 << 30,
        time: Duration::from_mins(1),
    }
}

#[test]
fn a_reader_of_ones_own_is_asked_like_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.one");
    fs::write(&file, "1").unwrap();
    let readers = with_one();
    assert_eq!(recognize(&file, &readers).unwrap().format(), "one");
    let error = recognize(&file, &READERS).unwrap_err().to_string();
    assert!(error.contains("suite2p") && !error.contains("one,"), "{error}");
    assert_eq!(plan(&[&file], None, &readers).found[0].format, "one");
    assert_eq!(plan(&[&file], None, &READERS).refused.len(), 1);
    for (place, isolation) in [("here", None), ("apart", Some(isolation("told")))] {
        let store = Store::create(folder.path().join(place)).unwrap();
        let options = IngestOptions { readers: &readers, isolation, ..IngestOptions::default() };
        let summary = ingest(&[&file], &store, &options, &mut |_| {}).unwrap();
        assert!(summary.is_complete(), "{place}: {summary:?}");
        assert_eq!((summary.written[0].format, summary.written[0].n_spikes), ("one", 1), "{place}");
        assert_eq!(store.read(&SessionId::new("lone").unwrap()).unwrap().n_spikes(), 1, "{place}");
    }
    let store = Store::create(folder.path().join("untold")).unwrap();
    let options =
        IngestOptions { readers: &readers, isolation: Some(isolation("untold")), ..IngestOptions::default() };
    let refused = ingest(&[&file], &store, &options, &mut |_| {}).unwrap().refused;
    let message = refused[0].to_string();
    assert!(message.contains("a.one") && message.contains("no reader is called \"one\""), "{message}");
}
