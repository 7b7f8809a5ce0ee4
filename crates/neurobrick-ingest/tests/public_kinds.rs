//! Published recordings of further kinds (tracking of Trodes, packed text, time courses of regions, behavior without
//! spikes) against the sums of NumPy and pandas; and kinds that are known and refused with what to do.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_ingest::{Alf, IngestError, IngestOptions, Mapping, READERS, Reader, ingest, recognize};
use neurobrick_schema::{Activity, Clock, ColumnValues, Interval, Recording, Samples, Signal, Store};
use serde_json::{Value, json};

fn formats(name: &str) -> PathBuf {
    foreign::fixtures().join("../formats").join(name)
}

fn golden(key: &str) -> Value {
    let text = fs::read_to_string(formats("mapping/golden.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[key].clone()
}

fn sessions(path: &Path) -> Vec<Recording> {
    Mapping.sessions(path).unwrap().iter().map(|source| Mapping.read(source).unwrap()).collect()
}

#[track_caller]
fn check_sums(values: impl IntoIterator<Item = f64>, golden: &Value) {
    let bits: Vec<u64> = values.into_iter().map(f64::to_bits).collect();
    let (sum, placed) = bits.iter().zip(1_u64..).fold((0_u64, 0_u64), |(sum, placed), (&bits, place)| {
        (sum.wrapping_add(bits), placed.wrapping_add(place.wrapping_mul(bits)))
    });
    assert_eq!(&json!({ "n": bits.len(), "sum": sum, "placed": placed }), golden);
}

#[track_caller]
fn check_column(signal: &Signal, column: &str, golden: &Value) {
    let samples = &signal.column(column).unwrap().samples;
    check_sums((0..samples.len()).map(|index| samples.value(index)), golden);
}

fn times(signal: &Signal) -> Vec<f64> {
    let Clock::Irregular { times_s } = signal.clock() else { unreachable!("times of their own") };
    times_s.clone()
}

#[test]
fn records_of_trodes_are_read_by_field() {
    let golden = golden("tracking");
    let rat = sessions(&formats("mapping/nelpy-linear-track")).remove(0);
    let tracking = rat.signal("tracking").unwrap();
    check_sums(times(tracking), &golden["times"]);
    for column in ["x", "y"] {
        assert!(matches!(tracking.column(column).unwrap().samples, Samples::Int(_)));
        check_column(tracking, column, &golden[column]);
    }
}

#[test]
fn packed_text_and_time_courses_of_regions() {
    let golden = golden("nitime");
    let all = sessions(&formats("mapping/nitime"));
    let [neuron, regions, events] = &all[..] else { unreachable!("three sessions") };
    let Activity::Spikes(spikes) = neuron.activity() else { unreachable!("spike times") };
    check_sums(spikes.times_s().iter().copied(), &golden["spikes"]);
    let stimulus = neuron.signal("stimulus").unwrap();
    check_sums(times(stimulus), &golden["times"]);
    check_column(stimulus, "amplitude", &golden["amplitude"]);

    let bold = regions.signal("bold").unwrap();
    let names: Vec<&str> =
        bold.columns().iter().map(|column| column.name.trim_start_matches("region.")).collect();
    assert_eq!(json!(names), golden["regions"]);
    for (name, golden) in names.iter().zip(golden["bold"].as_array().unwrap()) {
        check_column(bold, &format!("region.{name}"), golden);
    }
    let Clock::Regular { rate_hz, .. } = bold.clock() else { unreachable!("a clock") };
    assert!((1.0 / rate_hz - 1.89).abs() < 1e-12);
    for (column, golden) in ["bold", "events"].iter().zip(golden["events"].as_array().unwrap()) {
        check_column(events.signal("bold").unwrap(), column, golden);
    }
}

#[test]
fn packed_text_that_is_cut_off_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(formats("mapping/nitime")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = dir.path().join("grasshopper_stimulus1_first_20000.txt.gz");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let message = Mapping.read(&Mapping.sessions(dir.path()).unwrap()[0]).unwrap_err().to_string();
    assert!(message.contains("20000.txt.gz: the packed text cannot be decoded"), "{message}");
}

#[test]
fn trials_without_spikes() {
    let golden = golden("day");
    let day = sessions(&formats("mapping/ibl-trials")).remove(0);
    let bounds = day.trials().intervals();
    check_sums(bounds.iter().map(|trial| trial.start_s), &golden["starts"]);
    check_sums(bounds.iter().map(|trial| trial.end_s), &golden["ends"]);
    let ColumnValues::Int(choice) = &day.trials().column("choice").unwrap().values else { unreachable!() };
    check_sums(choice.iter().flatten().map(|&choice| choice as f64), &golden["choice"]);
    let ColumnValues::Float(left) = &day.trials().column("contrastLeft").unwrap().values else {
        unreachable!()
    };
    assert_eq!(json!(left.iter().filter(|value| value.is_none()).count()), golden["n_without_left"]);
    let said = day.info().card.changes.last().unwrap();
    assert!(said.ends_with("; 1 of 626 trials have no times and were left out"), "{said}");
}

/// A session of ALF without probes, with objects alone and with trials alone; and with clusters, whose spikes are missing.
#[test]
fn a_session_without_probes_is_behavior() {
    let golden = golden("wheel");
    let wheel = foreign::read(&Alf, &formats("alf-behavior")).unwrap();
    let position = wheel.signal("wheel").unwrap();
    check_sums(times(position), &golden["timestamps"]);
    check_column(position, "position", &golden["position"]);
    let moves = &wheel.interval_table("wheelMoves").unwrap().rows;
    assert_eq!(
        json!(moves.intervals().iter().map(|one| [one.start_s, one.end_s]).collect::<Vec<_>>()),
        golden["moves"]
    );
    let ColumnValues::Float(peaks) = &moves.column("peakAmplitude").unwrap().values else { unreachable!() };
    assert_eq!(json!(peaks), golden["peaks"]);
    assert_eq!((wheel.n_units(), wheel.trials().len()), (0, 0));
    assert!(wheel.info().card.changes.last().unwrap().contains("no probe has spikes: behavior only"));

    let dir = tempfile::tempdir().unwrap();
    let top = foreign::alf_folder(dir.path());
    let alf = top.join("Ada/2024-05-06/001/alf");
    fs::remove_dir_all(alf.join("probe01")).unwrap();
    fs::remove_file(alf.join("probe00/spikes.times.npy")).unwrap();
    let error = foreign::read(&Alf, &top).unwrap_err();
    assert!(
        matches!(&error, IngestError::MissingFile { path, .. } if path.ends_with("probe00/spikes.times.npy")),
        "{error}"
    );
    fs::remove_dir_all(alf.join("probe00")).unwrap();
    let session = foreign::read(&Alf, &top).unwrap();
    assert_eq!(session.trials().intervals()[1], Interval { start_s: 1.0, end_s: 2.5 });
    fs::remove_file(alf.join("_ibl_trials.table.pqt")).unwrap();
    let message = foreign::read(&Alf, &top).unwrap_err().to_string();
    assert!(message.contains("_ibl_trials.table.pqt"), "{message}");
}

#[test]
fn these_go_into_a_store_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let roots = ["mapping/nitime", "mapping/ibl-trials", "alf-behavior"].map(formats);
    let first = ingest(&roots, &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert!(first.is_complete(), "{:?}", first.refused);
    let second = ingest(&roots, &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((first.written.len(), second.unchanged.len()), (5, 5));
}

#[test]
fn known_kinds_are_refused_with_what_to_do() {
    let made = tempfile::tempdir().unwrap();
    let mut cases = vec![
        (formats("unread/raw_session"), "_iblrig_encoderEvents.raw.ssv", "extract it with ibllib"),
        (
            formats("unread/rest_responses"),
            "1f187d80fd59677b395fcdb18e68e4401bfa1cc9",
            "the folder that holds alf",
        ),
        (formats("one-cache"), "datasets.pqt", "download the session's data sets with ONE"),
    ];
    for (name, says) in [
        ("functional.nii", "average regions of interest"),
        ("example4d.nii.gz", "average regions of interest"),
        ("kit_test_bin_raw.fif", "mne.export.export_raw"),
        ("test_egi.raw", "convert it to NWB with NeuroConv"),
        ("trials_test.pickle", "save the arrays in it as NPZ"),
        ("session1.rds", "as CSV or Parquet"),
    ] {
        let folder = made.path().join(name.replace('.', "_")).join("below");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), "x").unwrap();
        cases.push((folder.join(name), name, says));
        cases.push((made.path().join(name.replace('.', "_")), name, says));
    }
    for (path, name, says) in cases {
        let error = recognize(&path, &READERS).err().unwrap();
        assert!(matches!(&error, IngestError::KnownUnread { path, .. } if path.ends_with(name)), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    // A mapping that names such a file says the same.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("dataset.toml"), foreign::DATASET).unwrap();
    fs::write(dir.path().join("bold.nii"), "x").unwrap();
    fs::write(
        dir.path().join("mapping.toml"),
        "[[session]]\nname = \"s\"\nsubject = \"a\"\n[[session.signals]]\nname = \"b\"\nstart_s = 0.0\nrate_hz = 1\n\
         columns = [{ name = \"b\", file = \"bold.nii\" }]\n",
    )
    .unwrap();
    let message = foreign::read(&Mapping, dir.path()).unwrap_err().to_string();
    assert!(message.contains("bold.nii is a volume of images over time"), "{message}");
}
