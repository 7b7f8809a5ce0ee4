//! A lab's own export through `mapping.toml`: real files against SciPy's sums, one small recording in every format, and
//! what is refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_ingest::{IngestError, IngestOptions, Mapping, ingest};
use neurobrick_schema::{Activity, Clock, ColumnValues, Recording, Samples, Store};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    foreign::fixtures().join("../formats/mapping").join(name)
}

fn read(path: &Path) -> Result<Recording, IngestError> {
    foreign::read(&Mapping, path)
}

fn golden() -> Value {
    serde_json::from_str(&fs::read_to_string(folder("golden.json")).unwrap()).unwrap()
}

#[track_caller]
fn check_sums<'a>(values: impl Iterator<Item = &'a f64>, golden: &Value) {
    let bits: Vec<u64> = values.map(|value| value.to_bits()).collect();
    let sum = bits.iter().fold(0_u64, |sum, &bits| sum.wrapping_add(bits));
    let placed =
        bits.iter().zip(1_u64..).fold(0_u64, |sum, (&b, place)| sum.wrapping_add(place.wrapping_mul(b)));
    assert_eq!(&serde_json::json!({ "n": bits.len(), "sum": sum, "placed": placed }), golden);
}

fn times_of(recording: &Recording, unit: usize) -> Vec<f64> {
    let Activity::Spikes(spikes) = recording.activity() else { unreachable!("spike times") };
    let pairs = spikes.times_s().iter().zip(spikes.units());
    pairs.filter(|(_, of)| **of as usize == unit).map(|(&time, _)| time).collect()
}

#[test]
fn songbird_signals_and_events_are_those_of_scipy() {
    let bird = read(&folder("songbird-hvc")).unwrap();
    let golden = golden();
    for (name, key, n_columns, rate) in [("calcium", "neural", 75, 30.0), ("song", "song", 141, 200.0)] {
        let signal = bird.signal(name).unwrap();
        assert_eq!(signal.columns().len(), n_columns);
        assert_eq!(*signal.clock(), Clock::Regular { start_s: 0.0, rate_hz: rate });
        let values = signal.columns().iter().flat_map(|column| match &column.samples {
            Samples::Float(values) => values,
            other => unreachable!("{other:?}"),
        });
        check_sums(values, &golden[key]);
    }
    assert_eq!((bird.n_units() as u64, bird.n_spikes()), (golden["event_units"].as_u64().unwrap(), 3336));
    assert_eq!((bird.units()[1].id.as_str(), bird.units()[9].id.as_str()), ("2", "11"));
    let Activity::Spikes(spikes) = bird.activity() else { unreachable!("spike times") };
    let mut by_unit: Vec<(u32, f64)> =
        spikes.units().iter().copied().zip(spikes.times_s().iter().copied()).collect();
    by_unit.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    check_sums(by_unit.iter().map(|(_, time)| time), &golden["events"]);
}

#[test]
fn nested_cells_of_structures_become_units() {
    let rat = read(&folder("nelpy-linear-track")).unwrap();
    let golden = golden();
    let units = golden["units"].as_array().unwrap();
    let n_active = (0..rat.n_units()).filter(|&unit| !times_of(&rat, unit).is_empty()).count();
    assert_eq!((rat.n_units(), n_active, rat.n_spikes(), units.len()), (37, 31, 28_829, 37));
    for (unit, golden) in units.iter().enumerate() {
        check_sums(times_of(&rat, unit).iter(), golden);
    }
    assert_eq!((rat.units()[0].id.as_str(), rat.units()[0].region.as_str()), ("u.1.1", "CA1"));
}

#[test]
fn an_array_for_every_unit() {
    let neuron = read(&folder("case-studies")).unwrap();
    let golden = golden();
    for unit in 0..2 {
        check_sums(times_of(&neuron, unit).iter(), &golden["retina"][unit]);
    }
    assert_eq!((neuron.units()[1].id.as_str(), neuron.units()[1].region.as_str()), ("high", "unknown"));
}

const DATASET: &str = "dataset = \"made\"\nsource = \"a test\"\ncitation = \"\"\nlicense = \"CC0-1.0\"\nconsent = \"unknown\"\n";

/// Writes a mapping beside copies of the made files.
fn made(mapping: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["arrays.npz", "v5.mat", "v7.mat", "v73.mat"] {
        fs::copy(folder("made").join(name), dir.path().join(name)).unwrap();
    }
    let times = [15_i64, 30, 45, 60, 75];
    let data: Vec<u8> = times.iter().flat_map(|time| time.to_le_bytes()).collect();
    fs::write(dir.path().join("times.npy"), foreign::npy("<i8", "(5,)", &data)).unwrap();
    foreign::parquet(
        &dir.path().join("spikes.parquet"),
        vec![("t", foreign::ints(&times)), ("unit", foreign::texts(&["10", "2", "10", "2", "10"]))],
    );
    fs::write(dir.path().join("spikes.csv"), "t,unit\n15,10\n30,2\n45,10\n60,2\n75,10\n").unwrap();
    fs::write(dir.path().join("spikes.tsv"), "# t unit\n15\t10\n30\t2\n\n45\t10\n60\t2\n75\t10\n").unwrap();
    fs::write(dir.path().join("trials.csv"), "on,off,side,speed\n0,1000,left,0.5\n1000,2500,right,\n")
        .unwrap();
    fs::write(dir.path().join("dataset.toml"), DATASET).unwrap();
    fs::write(dir.path().join("mapping.toml"), mapping).unwrap();
    dir
}

const HEAD: &str = "[[session]]\nname = \"s\"\nsubject = \"a\"\n";

fn spikes(times: &str, units: &str) -> String {
    let clock = "unit = \"samples\", rate_hz = 30";
    format!("{HEAD}spikes.times = {{ {times}, {clock} }}\nspikes.units = {{ {units} }}\n")
}

#[test]
fn every_format_gives_the_same_spikes() {
    let array = |file: &str, array: &str| format!("file = \"{file}\", array = {array}");
    for (times, units) in [
        (array("arrays.npz", "\"times\""), array("arrays.npz", "\"units\"")),
        ("file = \"times.npy\"".to_owned(), array("v7.mat", "\"units\"")),
        (array("v5.mat", "\"times\""), array("v5.mat", "\"units\"")),
        (array("v7.mat", "\"times\""), array("v73.mat", "\"units\"")),
        (array("v73.mat", "\"times\""), array("v5.mat", "\"units\"")),
        (array("spikes.csv", "\"t\""), array("spikes.csv", "\"unit\"")),
        (array("spikes.parquet", "\"t\""), array("spikes.parquet", "\"unit\"")),
        (array("spikes.tsv", "0"), array("spikes.tsv", "1")),
    ] {
        let recording = read(made(&spikes(&times, &units)).path()).unwrap();
        let ids: Vec<&str> = recording.units().iter().map(|unit| unit.id.as_str()).collect();
        assert_eq!(ids, ["2", "10"], "{times}");
        assert_eq!(times_of(&recording, 0), [1.0, 2.0], "{times}");
        assert_eq!(times_of(&recording, 1), [0.5, 1.5, 2.5], "{times}");
    }
}

#[test]
fn cells_tables_and_fields_of_every_matlab_version() {
    for file in ["v5.mat", "v7.mat", "v73.mat"] {
        let text = format!(
            "{HEAD}units = [{{ id = \"c\", times = {{ file = \"{file}\", array = \"cells{{*}}\", unit = \"ms\" }} }}, \
             {{ id = \"one\", times = {{ file = \"{file}\", array = \"cells{{3}}\", unit = \"us\" }} }}]\n\
             [session.trials]\n\
             start = {{ file = \"trials.csv\", array = \"on\", unit = \"ms\" }}\n\
             end = {{ file = \"trials.csv\", array = \"off\", unit = \"ms\" }}\n\
             columns = [{{ name = \"side\", file = \"trials.csv\", array = \"side\" }},\n\
             {{ name = \"speed\", file = \"trials.csv\", array = \"speed\", unit = \"m/s\" }},\n\
             {{ name = \"flag\", file = \"{file}\", array = \"flag\" }}]\n\
             [[session.signals]]\nname = \"rows\"\nstart_s = 1.0\nrate_hz = 2.0\n\
             columns = [{{ name = \"p\", file = \"{file}\", array = \"position\", time_axis = 1, unit = \"m\" }}]\n\
             [[session.signals]]\nname = \"columns\"\nstart_s = 1.0\nrate_hz = 2.0\n\
             columns = [{{ name = \"s\", file = \"{file}\", array = \"single\" }}]\n\
             [[session.signals]]\nname = \"one\"\nstart_s = 0.0\nrate_hz = 2.0\n\
             columns = [{{ name = \"rate\", file = \"{file}\", array = \"nested.deep.rate\" }}]\n"
        );
        let recording = read(made(&text).path()).unwrap_or_else(|error| unreachable!("{file}: {error}"));
        let ids: Vec<&str> = recording.units().iter().map(|unit| unit.id.as_str()).collect();
        assert_eq!(ids, ["c.1", "c.2", "c.3", "one"], "{file}: an empty cell is a unit without spikes");
        assert_eq!(times_of(&recording, 0), [0.0005, 0.0005, 0.0025, 0.0025, 0.0025], "{file}");
        assert!(times_of(&recording, 1).is_empty(), "{file}");
        assert_eq!(times_of(&recording, 3)[4].to_bits(), (75.0_f64 / 1e6).to_bits());
        let trials = recording.trials();
        assert_eq!(trials.intervals()[1].end_s.to_bits(), 2.5_f64.to_bits());
        let column = |name: &str| trials.column(name).unwrap().values.clone();
        assert_eq!(column("speed"), ColumnValues::Float(vec![Some(0.5), None]));
        assert_eq!(column("side"), ColumnValues::Text(["left", "right"].map(|s| Some(s.into())).to_vec()));
        let flags = match file {
            // The library writes truth values as whole numbers of MATLAB's class `logical`.
            "v73.mat" => ColumnValues::Int(vec![Some(1), Some(0)]),
            _ => ColumnValues::Bool(vec![Some(true), Some(false)]),
        };
        assert_eq!(column("flag"), flags, "{file}");
        let samples = |signal: &str, column: &str| {
            recording.signal(signal).unwrap().column(column).unwrap().samples.clone()
        };
        assert_eq!(samples("rows", "p.0"), Samples::Float(vec![0.5, 1.5, f64::NAN]), "{file}");
        assert_eq!(samples("rows", "p.1"), Samples::Float(vec![2.5, 3.5, 4.5]), "{file}");
        assert_eq!(samples("columns", "s.1"), Samples::Float32(vec![2.0, 4.0, 6.0]), "{file}");
        assert_eq!(samples("one", "rate"), Samples::Float32(vec![2.5]), "{file}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let good = spikes("file = \"arrays.npz\", array = \"times\"", "file = \"arrays.npz\", array = \"units\"");
    let all: [(&str, &str, &[&str]); 13] = [
        (
            "arrays.npz\", array = \"times",
            "../arrays.npz\", array = \"times",
            &["mapping.toml", "in this folder"],
        ),
        (
            "arrays.npz\", array = \"times",
            "gone.npz\", array = \"times",
            &["gone.npz", "mapping.toml names it"],
        ),
        ("array = \"times\"", "array = \"time\"", &["arrays.npz", "\"time\"", "times, units"]),
        (
            "file = \"arrays.npz\", array = \"units\"",
            "file = \"spikes.csv\", array = \"units\"",
            &["spikes.csv", "\"units\" (did you mean `unit`?); it has t, unit; correct the name"],
        ),
        ("array = \"times\"", "array = \"position\"", &["arrays.npz", "[2, 3]", "one axis"]),
        (", rate_hz = 30", "", &["mapping.toml", "rate_hz belongs to"]),
        ("unit = \"samples\"", "unit = \"s\"", &["mapping.toml", "rate_hz belongs to"]),
        ("unit = \"samples\"", "unit = \"hours\"", &["mapping.toml", "hours"]),
        (
            "file = \"arrays.npz\", array = \"times\"",
            "file = \"arrays.npz\"",
            &["mapping.toml", "array = \"name\""],
        ),
        (
            "file = \"arrays.npz\", array = \"units\"",
            "file = \"spikes.tsv\", array = 2",
            &["spikes.tsv", "line 2"],
        ),
        (
            "file = \"arrays.npz\", array = \"units\"",
            "file = \"trials.csv\", array = \"side\"",
            &["trials.csv", "is 2, but 5"],
        ),
        ("array = \"times\"", "array = \"times\", row = 1", &["mapping.toml", "row"]),
        ("array = \"units\"", "array = \"position\"", &["arrays.npz", "broken numbers"]),
    ];
    assert!(read(made(&good).path()).is_ok());
    for (from, to, says) in all {
        assert!(good.contains(from), "{from}");
        let message =
            read(made(&good.replacen(from, to, 1)).path()).map(|_| to.to_owned()).unwrap_err().to_string();
        for part in says {
            assert!(message.contains(part), "{to}: {message:?} does not say {part:?}");
        }
    }
    for (array, says) in [
        ("cells{4}", "no item 4"),
        ("cells{1}{1}", "item 1"),
        ("cells{x}", "not a path"),
        ("nested.deep.x", "no field \"x\""),
        ("nested.deep", "lead on"),
        ("none", "times"),
        ("cell{*}", "no array \"cell\" (did you mean `cells`?); it has "),
        ("cells.time", "cells is a 1x3 cell and has no field \"time\": one of its items comes first"),
        ("cells{*}.time", "\"cells{*}.time\" does not fit the file: cells{1} is a "),
        ("nested.deap.rate", "nested is a "),
        ("nested.deap.rate", "no field \"deap\" (did you mean `deep`?); correct it in mapping.toml"),
    ] {
        for file in ["v5.mat", "v7.mat", "v73.mat"] {
            let text = format!(
                "{HEAD}units = [{{ id = \"c\", times = {{ file = \"{file}\", array = \"{array}\", unit = \"s\" }} }}]\n"
            );
            let message = read(made(&text).path()).map(|_| array.to_owned()).unwrap_err().to_string();
            let is_told = message.contains(says) && !message.contains("fetch the file");
            assert!(is_told && message.contains(file), "{array} of {file}: {message}");
        }
    }
}

#[test]
fn a_matlab_file_that_is_cut_off_says_so() {
    for file in ["v5.mat", "v73.mat"] {
        let text = format!("file = \"{file}\", array = \"times\"");
        let dir = made(&spikes(&text, &text));
        let path = dir.path().join(file);
        let whole = fs::read(&path).unwrap();
        // The first variable of version 5 is cut in its values.
        let n_kept = if file == "v5.mat" { 200 } else { whole.len() - 100 };
        fs::write(&path, &whole[..n_kept]).unwrap();
        let told = read(dir.path()).unwrap_err().to_string();
        assert!(told.contains("it is cut off: ") && told.contains(" bytes are there"), "{told}");
    }
}

#[test]
fn damaged_matlab_files_are_refused_or_read_but_never_a_panic() {
    for file in ["v5.mat", "v7.mat", "v73.mat"] {
        let dir = made(&spikes(
            &format!("file = \"{file}\", array = \"times\""),
            &format!("file = \"{file}\", array = \"units\""),
        ));
        let path = dir.path().join(file);
        let good = fs::read(&path).unwrap();
        let n_cases = good.len().min(800);
        let mut n_refused = 0;
        for case in 0..n_cases {
            let mut bad = good.clone();
            let at = case * good.len() / n_cases;
            if case % 4 == 0 {
                bad.truncate(at);
            } else {
                bad[at] ^= [1, 0x80, 0xff][case % 4 - 1];
            }
            fs::write(&path, bad).unwrap();
            if let Err(error) = read(dir.path()) {
                n_refused += 1;
                let message = error.to_string();
                let names_file = message.contains(file) || message.contains("mapping.toml");
                assert!(names_file && !message.contains("gave up"), "byte {at}: {message}");
            }
        }
        assert!(n_refused > n_cases / 10, "{file}: only {n_refused} of {n_cases} were refused");
    }
}

#[test]
fn a_mapped_folder_goes_into_a_store_once() {
    let store_dir = tempfile::tempdir().unwrap();
    let store = Store::create(store_dir.path()).unwrap();
    let roots = ["songbird-hvc", "nelpy-linear-track", "case-studies"].map(folder);
    let first = ingest(&roots, &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert!(first.is_complete(), "{:?}", first.refused);
    let second = ingest(&roots, &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((first.written.len(), second.unchanged.len()), (3, 3));
}
