//! EDF, EDF+, BDF and BrainVision: real files against pyEDFlib and MNE, gaps and annotations, and damage.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_ingest::{BrainVision, Edf, IngestError, IngestOptions, Reader, ingest};
use neurobrick_schema::{Clock, ColumnValues, Interval, Recording, Samples, Store};
use serde_json::Value;

fn folder() -> PathBuf {
    foreign::fixtures().join("../formats/eeg")
}

fn read(path: &Path) -> Result<Recording, IngestError> {
    let is_brainvision = path.extension().is_some_and(|ending| ending == "vhdr");
    foreign::read(if is_brainvision { &BrainVision } else { &Edf as &dyn Reader }, path)
}

/// Compares a number with one that another program computed in another order of operations.
#[track_caller]
fn check_close(what: &str, found: f64, golden: &Value) {
    let expected = golden.as_f64().unwrap();
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {found}, not {expected}");
}

#[test]
fn every_channel_is_read_as_other_programs_read_it() {
    let golden: Value =
        serde_json::from_str(&fs::read_to_string(folder().join("golden.json")).unwrap()).unwrap();
    let golden = golden.as_object().unwrap();
    assert_eq!(golden.len(), 5);
    for (file, golden) in golden {
        let recording = read(&folder().join(file)).unwrap();
        let channels = golden["channels"].as_array().unwrap();
        let n_columns: usize = recording.signals().iter().map(|signal| signal.columns().len()).sum();
        assert_eq!(n_columns, channels.len(), "{file}");
        let mut seen = std::collections::HashMap::new();
        for channel in channels {
            let label = channel["label"].as_str().unwrap();
            let count = seen.entry(label).and_modify(|n| *n += 1).or_insert(1);
            let name = if *count == 1 { label.to_owned() } else { format!("{label}-{count}") };
            let found = recording.signals().iter().find_map(|s| Some((s, s.column(&name)?)));
            let (signal, column) = found.unwrap_or_else(|| unreachable!("{file} has no {name}"));
            let what = format!("{file}, {name}");
            let values: Vec<f64> = (0..signal.len()).map(|i| column.samples.value(i)).collect();
            assert_eq!(values.len() as u64, channel["n"].as_u64().unwrap(), "{what}");
            if let Some(bits) = channel.get("bits") {
                let found = values.iter().fold(0_u64, |sum, value| sum.wrapping_add(value.to_bits()));
                assert_eq!(Some(found), bits.as_u64(), "{what}");
            }
            check_close(&what, values.iter().sum(), &channel["sum"]);
            check_close(&what, values.iter().map(|v| v * v).sum(), &channel["squares"]);
            check_close(&what, values[0], &channel["first"]);
            check_close(&what, values[values.len() - 1], &channel["last"]);
            let Clock::Regular { start_s, rate_hz } = signal.clock() else { unreachable!("{what}") };
            assert_eq!(start_s.to_bits(), 0.0_f64.to_bits(), "{what}");
            check_close(&what, *rate_hz, &channel["rate"]);
            if let Some(unit) = channel["unit"].as_str() {
                assert_eq!(column.unit.as_deref().unwrap_or(""), unit, "{what}");
            }
        }
        if let Some(markers) = recording.interval_table("markers") {
            // MNE passes over the first marker, which says that the recording starts.
            let later: Vec<&Interval> = markers.rows.intervals().iter().skip(1).collect();
            let golden = golden["annotations"].as_array().unwrap();
            assert_eq!(later.len(), golden.len());
            for (interval, golden) in later.iter().zip(golden) {
                check_close(file, interval.start_s, &golden[0]);
                check_close(file, interval.duration_s(), &golden[1]);
            }
        }
    }
}

/// An EDF+ file of two records of a second: a channel of four samples, and annotations.
fn edf_plus(lists: [&str; 2]) -> Vec<u8> {
    plus_file(2, lists)
}

/// The same as EDF+ with two, or as BDF+ with three bytes per sample.
fn plus_file(sample_bytes: usize, lists: [&str; 2]) -> Vec<u8> {
    const N: usize = 16;
    let (reserved, label) = [("EDF+D", "EDF Annotations"), ("BDF+D", "BDF Annotations")][sample_bytes - 2];
    let mut bytes = Vec::new();
    let mut put = |text: &str, n: usize| bytes.extend(format!("{text:<n$}").bytes());
    for (text, n) in [
        ("0", 8),
        ("X X X Secret_Name", 80),
        ("Startdate 01-JAN-2024 X X X", 80),
        ("01.01.24", 8),
        ("10.00.00", 8),
        ("768", 8),
        (reserved, 44),
        ("2", 8),
        ("1", 8),
        ("2", 4),
    ] {
        put(text, n);
    }
    for (first, second, n) in [
        ("EMG", label, 16),
        ("needle", "", 80),
        ("mV", "", 8),
        ("-1", "-1", 8),
        ("1", "1", 8),
        ("-100", "-32768", 8),
        ("100", "32767", 8),
        ("HP:10Hz", "", 80),
        ("4", "16", 8),
        ("", "", 32),
    ] {
        put(first, n);
        put(second, n);
    }
    for (record, list) in lists.into_iter().enumerate() {
        for sample in [-100_i16, 0, 50, i16::try_from(record).unwrap()] {
            bytes.extend(&i32::from(sample).to_le_bytes()[..sample_bytes]);
        }
        let mut list = list.as_bytes().to_vec();
        list.resize(sample_bytes * N, 0);
        bytes.extend(list);
    }
    if sample_bytes == 3 {
        bytes[..8].copy_from_slice(b"\xffBIOSEMI");
    }
    bytes
}

fn edf_file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("dataset.toml"), foreign::DATASET).unwrap();
    let path = dir.path().join("gaps.edf");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

const LISTS: [&str; 2] = ["+0\x14\x14\0+0.5\x150.25\x14lick\x14ß\x14\0", "+5.5\x14\x14start\x14\0"];

#[test]
fn gaps_and_annotations_have_their_times() {
    let (_dir, path) = edf_file(&edf_plus(LISTS));
    let recording = read(&path).unwrap();
    let signal = recording.signal("samples").unwrap();
    let times_s = vec![0.0, 0.25, 0.5, 0.75, 5.5, 5.75, 6.0, 6.25];
    assert_eq!(*signal.clock(), Clock::Irregular { times_s });
    let emg = signal.column("EMG").unwrap();
    assert_eq!((emg.unit.as_deref(), emg.description.as_deref()), (Some("mV"), Some("needle; HP:10Hz")));
    assert_eq!(emg.samples, Samples::Float(vec![-1.0, 0.0, 0.5, 0.0, -1.0, 0.0, 0.5, 0.01]));
    let annotations = &recording.interval_table("annotations").unwrap().rows;
    let at = |start_s, end_s| Interval { start_s, end_s };
    assert_eq!(annotations.intervals(), [at(0.5, 0.75), at(0.5, 0.75), at(5.5, 5.5)]);
    let labels = ["lick", "ß", "start"].map(|label| Some(label.to_owned())).to_vec();
    assert_eq!(annotations.column("label").unwrap().values, ColumnValues::Text(labels));
    let card = format!("{:?} {:?}", recording.info(), recording.metadata());
    assert!(!card.contains("Secret"), "{card}");
    let (_dir, path) = edf_file(&plus_file(3, LISTS));
    let (edf, bdf) = (recording, read(&path).unwrap());
    assert_eq!((bdf.signals(), bdf.intervals()), (edf.signals(), edf.intervals()), "24 bits, some negative");
    let (_dir, path) = edf_file(&edf_plus([LISTS[0], "+1\x14\x14\0"]));
    let recording = read(&path).unwrap();
    assert_eq!(*recording.signal("samples").unwrap().clock(), Clock::Regular { start_s: 0.0, rate_hz: 4.0 });
}

/// Limits that are the same, or too far apart, give no scale; the channel is kept as it lies in the file.
#[test]
fn channels_without_a_scale_are_kept_as_whole_numbers() {
    let limits = 256 + 2 * (16 + 80 + 8);
    for (from, to) in [("0", "0"), ("-1", "-1"), ("-1e308", "1e308"), ("0", "5e-324")] {
        let mut bytes = edf_plus(LISTS);
        bytes[limits..][..8].copy_from_slice(format!("{from:<8}").as_bytes());
        bytes[limits + 16..][..8].copy_from_slice(format!("{to:<8}").as_bytes());
        let (_dir, path) = edf_file(&bytes);
        let recording = read(&path).unwrap();
        let emg = recording.signal("samples").unwrap().column("EMG").unwrap();
        assert_eq!(emg.samples, Samples::Int(vec![-100, 0, 50, 0, -100, 0, 50, 1]), "{from} to {to}");
        assert_eq!((emg.unit.as_deref(), emg.description.as_deref()), (None, Some("needle; HP:10Hz")));
        let step = recording.info().card.changes.last().unwrap();
        assert!(
            step.contains("channel \"EMG\" says to go from") && step.contains("without a unit"),
            "{step}"
        );
    }
    let (_dir, path) = edf_file(&edf_plus(LISTS));
    let step = read(&path).unwrap().info().card.changes.last().unwrap().clone();
    assert!(!step.contains("scale"), "{step}");
}

#[test]
fn what_cannot_be_right_is_refused() {
    let good = edf_plus(LISTS);
    let put = |at: usize, text: &str| {
        let mut bytes = good.clone();
        bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
        bytes
    };
    let cases: [(Vec<u8>, &str); 9] = [
        (good[..good.len() - 1].to_vec(), "are not 2 records of 40 bytes"),
        (good[..700].to_vec(), "a header of 768 bytes"),
        (put(0, "1"), "neither as EDF nor as BDF"),
        (put(236, "3 "), "are not 3 records"),
        (put(244, "x"), "the length of a record is \"x\""),
        (put(252, "99999999"), "for 9999 channels"),
        (put(184, "512"), "a header of 512 bytes for 2 channels"),
        (edf_plus(["+0\x14\x14\0", "\0"]), "1 of 2 records say"),
        (edf_plus(["+0\x14\x14\0+x\x14a\x14\0", "+1\x14\x14\0"]), "\"+x\" is not a time"),
    ];
    for (bytes, says) in cases {
        let (_dir, path) = edf_file(&bytes);
        let message = read(&path).map(|_| says.to_owned()).unwrap_err().to_string();
        assert!(message.contains(says) && message.contains("gaps.edf"), "{message:?} does not say {says:?}");
    }
    let bytes = put(256 + 2 * (16 + 80 + 8 + 8 + 8), "100 ");
    let (_dir, path) = edf_file(&bytes);
    assert!(read(&path).unwrap_err().to_string().contains("goes from 100 to 100"));
}

#[test]
fn damaged_files_are_refused_or_read_but_never_a_panic() {
    let header = "test_old_layout_latin1_software_filter.vhdr";
    for name in [header, "test_uneven_samp.edf", "test_bdf_stim_channel.bdf"] {
        let dir = tempfile::tempdir().unwrap();
        for file in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
            fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
        let path = dir.path().join(name);
        let good = fs::read(&path).unwrap();
        let n_bytes = good.len().min(2400);
        let mut n_refused = 0;
        for at in 0..n_bytes / 4 {
            let (mut bad, at) = (good.clone(), at * 4);
            if at % 16 == 0 {
                bad.truncate(at);
            } else {
                bad[at] ^= [1, 0x80, 0xff][at / 4 % 3];
            }
            fs::write(&path, bad).unwrap();
            if let Err(error) = read(&path) {
                n_refused += 1;
                let message = error.to_string();
                assert!(
                    message.contains(&*dir.path().to_string_lossy()) && !message.contains("gave up"),
                    "byte {at}: {message}"
                );
            }
        }
        assert!(n_refused > n_bytes / 20, "{name}: only {n_refused} were refused");
    }
}

#[test]
fn a_folder_of_eeg_goes_into_a_store_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let first = ingest(&[folder()], &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert!(first.is_complete(), "{:?}", first.refused);
    let second = ingest(&[folder()], &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((first.written.len(), second.unchanged.len()), (5, 5));
}
