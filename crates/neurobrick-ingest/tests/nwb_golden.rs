//! Everything that NWB files hold is read as h5py reads it, to the last bit; see `fixtures/formats/nwb/golden.py`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use neurobrick_ingest::{IngestError, Nwb, Reader};
use neurobrick_schema::{Activity, Clock, Column, ColumnValues, Recording, Samples, Trials};
use serde_json::{Map, Value};

fn folder() -> PathBuf {
    foreign::fixtures().join("../formats/nwb")
}

fn read(path: &Path) -> Result<Recording, IngestError> {
    let sources = Nwb.sessions(path)?;
    assert_eq!(sources.len(), 1, "{}", path.display());
    Nwb.read(&sources[0])
}

fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The innermost values as whole numbers, and where lists end, innermost first.
fn codes(values: &ColumnValues, ends: &mut Vec<u64>) -> Vec<Option<u64>> {
    match values {
        ColumnValues::Float(values) => values.iter().map(|v| v.map(f64::to_bits)).collect(),
        ColumnValues::Int(values) => values.iter().map(|v| v.map(i64::cast_unsigned)).collect(),
        ColumnValues::Text(values) => values.iter().map(|v| v.as_deref().map(fnv)).collect(),
        ColumnValues::Bool(values) => values.iter().map(|v| v.map(u64::from)).collect(),
        ColumnValues::List(list) => {
            let codes = codes(list.items(), ends);
            ends.push(list.ends().iter().zip(1..).map(|(&end, row)| row * end as u64).sum());
            codes
        }
    }
}

#[track_caller]
fn check_sums(what: &str, codes: &[Option<u64>], ends: &[u64], golden: &Value) {
    let kept = codes.iter().zip(1_u64..).filter_map(|(code, place)| Some((place, (*code)?)));
    let sum = kept.clone().fold(0_u64, |sum, (_, code)| sum.wrapping_add(code));
    let placed = kept.fold(0_u64, |sum, (place, code)| sum.wrapping_add(place.wrapping_mul(code)));
    let missing = codes.iter().filter(|code| code.is_none()).count();
    let found = serde_json::json!({
        "n": codes.len(), "missing": missing, "sum": sum, "placed": placed, "ends": ends,
    });
    assert_eq!(&found, golden, "{what}");
}

#[track_caller]
fn check_values(what: &str, values: &ColumnValues, golden: &Value) {
    let mut ends = Vec::new();
    let codes = codes(values, &mut ends);
    check_sums(what, &codes, &ends, golden);
}

/// Compares columns by name; all that the file has must be there.
#[track_caller]
fn check_columns(what: &str, columns: &[Column], golden: &Map<String, Value>) {
    for (name, golden) in golden {
        let own = format!("nwb.{name}");
        let column = columns.iter().find(|column| column.name == *name || column.name == own);
        let column = column.unwrap_or_else(|| unreachable!("{what} has no column {name}"));
        check_values(&format!("{what}, column {name}"), &column.values, golden);
    }
    let extra = columns.iter().map(|column| column.name.trim_start_matches("nwb."));
    let extra: Vec<&str> = extra.filter(|name| *name != "id" && !golden.contains_key(*name)).collect();
    assert!(extra.is_empty(), "{what} has more columns: {extra:?}");
}

fn check_units(what: &str, recording: &Recording, golden: &Value) {
    let Activity::Spikes(spikes) = recording.activity() else { unreachable!("NWB files have spike times") };
    let mut columns = golden["columns"].as_object().unwrap().clone();
    let own = |values: Vec<Option<f64>>| ColumnValues::Float(values);
    if let Some(depths) = columns.remove("depth_um") {
        let found = recording.units().iter().map(|unit| unit.depth_um).collect();
        check_values(&format!("{what}, depths"), &own(found), &depths);
    }
    check_columns(&format!("{what}, units"), recording.unit_columns(), &columns);
    let pairs = spikes.times_s().iter().map(|time| time.to_bits()).zip(spikes.units());
    let sum = pairs.clone().fold(0_u64, |sum, (bits, _)| sum.wrapping_add(bits));
    let placed =
        pairs.fold(0_u64, |sum, (bits, &unit)| sum.wrapping_add(bits.wrapping_mul(u64::from(unit) + 1)));
    let found = (recording.n_units() as u64, spikes.len() as u64, sum, placed);
    let number = |key: &str| golden[key].as_u64().unwrap();
    assert_eq!(found, (number("n"), number("n_spikes"), number("sum"), number("placed")), "{what}");
}

fn check_intervals(what: &str, rows: &Trials, golden: &Value) {
    assert_eq!(rows.len() as u64, golden["n"].as_u64().unwrap(), "{what}");
    let bounds = rows.intervals().iter();
    let starts: Vec<Option<u64>> = bounds.clone().map(|interval| Some(interval.start_s.to_bits())).collect();
    let ends: Vec<Option<u64>> = bounds.map(|interval| Some(interval.end_s.to_bits())).collect();
    check_sums(&format!("{what}, starts"), &starts, &[], &golden["bounds"][0]);
    check_sums(&format!("{what}, ends"), &ends, &[], &golden["bounds"][1]);
    check_columns(what, rows.columns(), golden["columns"].as_object().unwrap());
}

fn check_signal(what: &str, recording: &Recording, golden: &Value) {
    let name = what.rsplit(' ').next().unwrap();
    let signal = recording.signal(name).unwrap_or_else(|| unreachable!("{what} was not read"));
    let present = |bits: u64, is_nan: bool| (!is_nan).then_some(bits);
    let columns = golden["columns"].as_array().unwrap();
    assert_eq!(signal.columns().len(), columns.len(), "{what}");
    for (column, golden) in signal.columns().iter().zip(columns) {
        let codes: Vec<Option<u64>> = match &column.samples {
            Samples::Float(values) => values.iter().map(|v| present(v.to_bits(), v.is_nan())).collect(),
            Samples::Float32(values) => {
                values.iter().map(|&v| present(f64::from(v).to_bits(), v.is_nan())).collect()
            }
            Samples::Int(values) => values.iter().map(|v| Some(v.cast_unsigned())).collect(),
        };
        check_sums(&format!("{what}, column {}", column.name), &codes, &[], golden);
    }
    match signal.clock() {
        Clock::Regular { start_s, rate_hz } => {
            let expected = [&golden["start_s"], &golden["rate_hz"]].map(|v| v.as_f64().unwrap().to_bits());
            assert_eq!([start_s.to_bits(), rate_hz.to_bits()], expected, "{what}");
        }
        Clock::Irregular { times_s } => {
            let codes: Vec<Option<u64>> = times_s.iter().map(|time| Some(time.to_bits())).collect();
            check_sums(&format!("{what}, times"), &codes, &[], &golden["times"]);
        }
    }
}

/// Compares a file with its sums; a file without anything must be refused.
fn check_file(path: &Path, golden: &Value) -> Option<Recording> {
    let what = path.file_name().unwrap().to_string_lossy().into_owned();
    let keys = ["intervals", "signals"].map(|key| golden[key].as_object().unwrap());
    let is_empty = golden.get("units").is_none() && keys.iter().all(|parts| parts.is_empty());
    let recording = match read(path) {
        Ok(recording) => recording,
        Err(error) => {
            assert!(is_empty && matches!(error, IngestError::NothingRead { .. }), "{error}");
            assert!(error.to_string().contains(&what), "{error}");
            return None;
        }
    };
    if let Some(units) = golden.get("units") {
        check_units(&what, &recording, units);
    }
    if let Some(electrodes) = golden.get("electrodes") {
        let columns = recording.electrodes().columns();
        check_columns(&format!("{what}, electrodes"), columns, electrodes.as_object().unwrap());
    }
    for (name, golden) in keys[0] {
        let what = format!("{what}, intervals {name}");
        match recording.interval_table(name) {
            Some(table) => check_intervals(&what, &table.rows, golden),
            None => check_intervals(&what, recording.trials(), golden),
        }
    }
    for (name, golden) in keys[1] {
        check_signal(&format!("{what}, signal {name}"), &recording, golden);
    }
    let events = ["Clustering", "EventDetection", "FeatureExtraction"];
    let found: BTreeSet<&str> = recording.signals().iter().map(neurobrick_schema::Signal::name).collect();
    let extra = found.iter().filter(|name| !keys[1].contains_key(**name));
    let extra: Vec<_> = extra.filter(|name| !events.iter().any(|event| name.ends_with(event))).collect();
    assert!(extra.is_empty(), "{what} has more signals: {extra:?}");
    Some(recording)
}

#[test]
fn every_file_is_read_as_h5py_reads_it() {
    let text = std::fs::read_to_string(folder().join("golden.json")).unwrap();
    let golden: Map<String, Value> = serde_json::from_str(&text).unwrap();
    let n_read = golden.iter().filter_map(|(name, golden)| check_file(&folder().join(name), golden)).count();
    assert_eq!((golden.len(), n_read), (53, 31));
}
