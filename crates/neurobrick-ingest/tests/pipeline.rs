//! Ingesting goes on past what is bad, skips what is unchanged, and never replaces what it should not.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::Path;

use neurobrick_ingest::{IngestError, IngestEvent, IngestOptions, IngestSummary, READERS, ingest, recognize};
use neurobrick_schema::{SessionId, Store};

fn run(paths: &[&Path], store: &Store) -> IngestSummary {
    ingest(paths, store, &IngestOptions::default(), &mut |_| {}).unwrap()
}

#[test]
fn a_bad_session_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let counts = foreign::counts_folder(folder.path());
    let alf = foreign::alf_folder(folder.path());
    fs::copy(counts.join("s1.npz"), counts.join("s0.npz")).unwrap();
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    let mut events = Vec::new();
    let summary = ingest(&[&nothing, &counts, &alf], &store, &IngestOptions::default(), &mut |event| {
        events.push(event);
    })
    .unwrap();
    let written: Vec<&str> = summary.written.iter().map(|written| written.digest.session.as_str()).collect();
    assert_eq!(written, ["s1", "Ada_2024-05-06_001"]);
    assert_eq!(store.sessions().unwrap().len(), 2);
    assert!(
        matches!(&summary.refused[0].error, IngestError::UnknownFormat { known, .. } if known.starts_with("mapping, counts_npz, alf, nwb, edf, brainvision, tensors"))
    );
    assert!(
        matches!(&summary.refused[1].error, IngestError::MissingFile { path, .. } if path.ends_with("s0_trials.csv"))
    );
    assert_eq!(summary.refused[1].session, Some(SessionId::new("s0").unwrap()));
    assert!(!summary.is_complete() && summary.refused.len() == 2);
    let started = |event: &&IngestEvent| matches!(event, IngestEvent::Started { total: 3, .. });
    assert_eq!((events.len(), events.iter().filter(started).count()), (7, 3));
    assert!(recognize(&nothing, &READERS).is_err());
}

#[test]
#[cfg(unix)]
fn a_folder_that_cannot_be_looked_into_is_refused_by_name() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let all = folder.path().join("all");
    foreign::counts_folder(&all);
    // Leads in a circle, so that nobody can look into it, the superuser neither.
    symlink("circle", all.join("circle")).unwrap();
    symlink("nowhere", all.join("fetched-later")).unwrap();
    let summary = run(&[&all], &store);
    assert_eq!((summary.written.len(), summary.refused.len()), (1, 1));
    assert!(matches!(&summary.refused[0].error, IngestError::Io { path, .. } if path.ends_with("circle")));
    fs::remove_file(all.join("circle")).unwrap();
    let closed = all.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&closed).is_err() {
        let refused = run(&[&all], &store).refused;
        assert!(refused.iter().any(|refusal| refusal.error.to_string().contains("closed")), "{refused:?}");
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn only_what_has_changed_or_is_damaged_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let counts = foreign::counts_folder(folder.path());
    let session = SessionId::new("s1").unwrap();
    let sizes =
        |summary: &IngestSummary| (summary.written.len(), summary.unchanged.len(), summary.refused.len());
    assert_eq!(sizes(&run(&[&counts], &store)), (1, 0, 0));
    let digest = store.digest(&session).unwrap();
    assert_eq!(sizes(&run(&[&counts], &store)), (0, 1, 0));
    // A damaged copy in the store is written anew.
    fs::write(store.path().join("s1/units.parquet"), "x").unwrap();
    assert_eq!(sizes(&run(&[&counts], &store)), (1, 0, 0));
    assert_eq!(store.digest(&session).unwrap(), digest);
    // So is a session whose card has changed.
    fs::write(counts.join("dataset.toml"), foreign::DATASET.replace("CC0-1.0", "CC-BY-4.0")).unwrap();
    assert_eq!(sizes(&run(&[&counts], &store)), (1, 0, 0));
    assert_eq!(store.info(&session).unwrap().card.license, "CC-BY-4.0");
    // A source that has gone bad leaves the stored session alone.
    fs::write(counts.join("s1.npz"), "x").unwrap();
    assert_eq!(sizes(&run(&[&counts], &store)), (0, 0, 1));
    store.verify(&session).unwrap();
}

#[test]
fn one_name_is_one_session() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let first = foreign::counts_folder(&folder.path().join("a"));
    let second = foreign::counts_folder(&folder.path().join("b"));
    let summary = run(&[&first, &second], &store);
    assert_eq!(summary.written.len(), 1);
    assert!(
        matches!(&summary.refused[0].error, IngestError::DuplicateSession { second: at, .. } if at.starts_with(&second))
    );
    fs::write(second.join("dataset.toml"), foreign::DATASET.replace("made-up", "other")).unwrap();
    fs::write(second.join("s1_units.csv"), "unit,brain_area\n0,VISp\n1,root\n8,VISp\n").unwrap();
    let summary = run(&[&second], &store);
    assert!(
        matches!(&summary.refused[0].error, IngestError::SessionTaken { dataset, .. } if dataset.as_str() == "made-up")
    );
    let told = summary.refused[0].error.to_string();
    let folder = format!("or delete {}", store.path().join("s1").display());
    assert!(told.contains("from other files") && told.contains(&folder), "{told}");
}

#[test]
fn what_is_written_about_a_recording_later_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let data = folder.path().join("data");
    let file = data.join("sub-4/day-1.nwb");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::copy(foreign::fixtures().join("../formats/nwb/made/made.nwb"), &file).unwrap();
    let session = SessionId::new("day-1").unwrap();
    let check = |path: &Path, is_replaced: bool, dataset: &str, subject: &str| {
        let summary = run(&[path], &store);
        assert!(summary.is_complete(), "{:?}", summary.refused);
        assert_eq!(summary.written[0].is_replaced, is_replaced);
        let info = store.info(&session).unwrap();
        assert_eq!((info.dataset.as_str(), info.subject.as_str()), (dataset, subject));
        store.verify(&session).unwrap();
        assert_eq!(run(&[path], &store).unchanged, std::slice::from_ref(&session));
    };
    let subject = "rat_7";
    check(&data, false, "unknown", subject);
    fs::write(data.join("dataset.toml"), foreign::DATASET).unwrap();
    check(&data, true, "made-up", subject);
    fs::write(data.join("dataset.toml"), format!("{}subject = \"Ada\"\n", foreign::DATASET)).unwrap();
    check(&data, true, "made-up", "Ada");
    // From where the dataset.toml is not seen, the card would be lost.
    let refused = run(&[&file], &store).refused;
    let told = refused[0].error.to_string();
    assert!(matches!(&refused[0].error, IngestError::CardLost { .. }), "{told}");
    assert!(told.contains("dataset made-up") && told.contains("give the folder"), "{told}");
    // What cannot be read leaves the older copy as it is.
    fs::write(data.join("dataset.toml"), foreign::DATASET.replace("consent", "assent")).unwrap();
    assert!(!run(&[&data], &store).is_complete());
    store.verify(&session).unwrap();
}

#[test]
fn a_file_may_hold_several_subjects_and_none_replaces_another() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("dataset.toml"), foreign::DATASET).unwrap();
    fs::write(data.join("spikes.csv"), "t,unit\n0.5,1\n1.5,2\n").unwrap();
    let mapping = "[[session]]\nname = \"s\"\nsubject = \"a\"\n\
                   spikes.times = { file = \"spikes.csv\", array = \"t\", unit = \"s\" }\n\
                   spikes.units = { file = \"spikes.csv\", array = \"unit\" }\n";
    fs::write(data.join("mapping.toml"), mapping).unwrap();
    assert!(!run(&[&data], &store).written[0].is_replaced);
    let info = || store.info(&SessionId::new("s").unwrap()).unwrap();
    // The same bytes, said to be of another subject.
    fs::write(data.join("mapping.toml"), mapping.replace("\"a\"", "\"b\"")).unwrap();
    let summary = run(&[&data], &store);
    assert!(matches!(&summary.refused[0].error, IngestError::SessionTaken { .. }), "{:?}", summary.refused);
    assert_eq!(info().subject.as_str(), "a");
    // The same subject, said to be of another dataset, in a mapping that has changed.
    fs::write(data.join("mapping.toml"), mapping.replace("[[session]]", "# Read again.\n[[session]]"))
        .unwrap();
    fs::write(data.join("dataset.toml"), foreign::DATASET.replace("made-up", "renamed")).unwrap();
    let summary = run(&[&data], &store);
    assert!(summary.is_complete() && summary.written[0].is_replaced, "{:?}", summary.refused);
    assert_eq!(info().dataset.as_str(), "renamed");
    // A part of the recording does not replace the whole.
    fs::write(data.join("spikes.csv"), "t,unit\n0.5,1\n").unwrap();
    fs::write(data.join("dataset.toml"), foreign::DATASET).unwrap();
    let summary = run(&[&data], &store);
    assert!(matches!(&summary.refused[0].error, IngestError::SessionTaken { .. }), "{:?}", summary.refused);
}

#[test]
fn a_store_that_cannot_be_written_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    let counts = foreign::counts_folder(folder.path());
    fs::remove_dir_all(store.path()).unwrap();
    let error = ingest(&[&counts], &store, &IngestOptions::default(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, IngestError::Store(_)) && error.to_string().contains("store"), "{error}");
}
