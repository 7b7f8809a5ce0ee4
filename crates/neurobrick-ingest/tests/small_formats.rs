//! HDF5 tensors, DeepLabCut, BORIS, Myo, Suite2p and NWB-Zarr: every number as h5py, pandas and NumPy read it, and damage.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_ingest::{Alf, Boris, DeepLabCut, IngestError, Myo, Nwb, Reader, Suite2p, Tensors};
use neurobrick_schema::{Activity, BinnedCounts, Clock, ColumnValues, Interval, Recording, Samples, Signal};
use serde_json::Value;

fn folder(part: &str) -> PathBuf {
    foreign::fixtures().join("../formats").join(part)
}

fn golden() -> Value {
    serde_json::from_str(&fs::read_to_string(folder("golden.json")).unwrap()).unwrap()
}

/// The session of that name in a folder.
#[track_caller]
fn read(reader: &dyn Reader, folder: &Path, session: &str) -> Result<Recording, IngestError> {
    let sources = reader.sessions(folder)?;
    let names: Vec<&str> = sources.iter().map(|source| source.session.as_str()).collect();
    let source = sources.iter().find(|source| source.session.as_str() == session);
    reader.read(source.unwrap_or_else(|| unreachable!("{session} is not among {names:?}")))
}

#[track_caller]
fn check_sums(what: &str, values: impl Iterator<Item = f64>, golden: &Value) {
    let (mut n, mut n_nan, mut bits, mut placed) = (0_u64, 0_u64, 0_u64, 0_u64);
    for value in values {
        n += 1;
        if value.is_nan() {
            n_nan += 1;
        } else {
            bits = bits.wrapping_add(value.to_bits());
            placed = placed.wrapping_add(value.to_bits().wrapping_mul(n));
        }
    }
    let number =
        |key: &str| golden[key].as_u64().unwrap_or_else(|| unreachable!("{what}: no {key} in {golden}"));
    assert_eq!(
        (n, n_nan, bits, placed),
        (number("n"), number("nan"), number("bits"), number("placed")),
        "{what}"
    );
}

fn values<'a>(signal: &'a Signal, column: &str) -> impl Iterator<Item = f64> + 'a {
    let column = signal.column(column).unwrap_or_else(|| unreachable!("no column {column}"));
    (0..signal.len()).map(|index| column.samples.value(index))
}

/// A block of counts `[trial, bin, unit]`, as the tensor has it.
fn block(
    recording: &Recording,
    split: &str,
    units: std::ops::Range<usize>,
    bins: std::ops::Range<usize>,
) -> Vec<f64> {
    let Activity::Counts(counts) = recording.activity() else { unreachable!("tensors are counts") };
    let ColumnValues::Text(splits) = &recording.trials().column("split").unwrap().values else {
        unreachable!("splits have names")
    };
    let trials = (0..counts.n_trials()).filter(|&trial| splits[trial].as_deref() == Some(split));
    let one = |counts: &BinnedCounts, trial, bin, unit| f64::from(counts.row(trial, unit)[bin]);
    let mut found = Vec::new();
    for trial in trials {
        for bin in bins.clone() {
            found.extend(units.clone().map(|unit| one(counts, trial, bin, unit)));
        }
    }
    found
}

#[test]
fn tensors_of_all_spellings_are_read_as_h5py_reads_them() {
    let golden = &golden()["tensors"];
    let folder = folder("tensors");
    // Session, file, tensor, split, units and bins of it.
    let cases = [
        ("nlb_input.mc_maze.train", "nlb_input.h5", "mc_maze/train_spikes_heldin", "train", 0..4, 0..5),
        ("nlb_input.mc_maze.train", "nlb_input.h5", "mc_maze/train_spikes_heldout", "train", 4..6, 0..5),
        (
            "nlb_input.mc_maze.train",
            "nlb_input.h5",
            "mc_maze/train_spikes_heldin_forward",
            "train",
            0..4,
            5..7,
        ),
        (
            "nlb_input.mc_maze.train",
            "nlb_input.h5",
            "mc_maze/train_spikes_heldout_forward",
            "train",
            4..6,
            5..7,
        ),
        ("nlb_input.mc_maze.eval", "nlb_input.h5", "mc_maze/eval_spikes_heldin", "eval", 0..4, 0..5),
        ("nlb_target.mc_rtt", "nlb_target.h5", "mc_rtt/eval_spikes_heldout", "eval", 0..2, 0..6),
        ("nlb_target.mc_rtt", "nlb_target.h5", "mc_rtt/eval_spikes_heldout_forward", "eval", 0..2, 6..8),
        ("nlb_target.area2_bump", "nlb_target.h5", "area2_bump/eval_spikes_heldout", "eval", 0..2, 0..6),
        ("ndt", "ndt.h5", "train_data_heldin", "train", 0..3, 0..3),
        ("ndt", "ndt.h5", "eval_data_heldout", "eval", 3..4, 0..3),
        ("lfads", "lfads.h5", "train_data", "train", 0..3, 0..4),
        ("lfads", "lfads.h5", "valid_data", "valid", 0..3, 0..4),
        ("lfads_torch", "lfads_torch.h5", "valid_recon_data", "valid", 0..4, 0..5),
    ];
    for (session, file, tensor, split, units, bins) in cases {
        let recording = read(&Tensors, &folder, session).unwrap();
        check_sums(tensor, block(&recording, split, units, bins).into_iter(), &golden[file][tensor]);
    }
    assert_eq!(Tensors.sessions(&folder).unwrap().len(), 11);
}

#[test]
fn what_belongs_to_the_trials_of_tensors_comes_along() {
    let folder = folder("tensors");
    let golden = &golden()["tensors"];
    let train = read(&Tensors, &folder, "nlb_input.mc_maze.train").unwrap();
    let behavior = train.signal("behavior").unwrap();
    // Two later bins of each trial have no behavior.
    assert_eq!((behavior.len(), behavior.columns()[0].samples.n_nan()), (6 * 7, 6 * 2));
    let pairs = |index: usize| behavior.columns().iter().map(move |column| column.samples.value(index));
    let known = (0..behavior.len()).flat_map(pairs).filter(|value| !value.is_nan());
    check_sums("behavior", known, &golden["nlb_input.h5"]["mc_maze/train_behavior"]);
    assert_eq!(*behavior.clock(), Clock::Regular { start_s: 0.0, rate_hz: 1.0 / 0.005 });
    assert!(matches!(train.trials().column("decode_mask.1").unwrap().values, ColumnValues::Bool(_)));
    let held_out = train.unit_column("held_out").unwrap();
    let expected = [false, false, false, false, true, true].map(Some).to_vec();
    assert_eq!(held_out.values, ColumnValues::Bool(expected));
    let lfads = read(&Tensors, &folder, "lfads").unwrap();
    let expected = [0, 2, 3, 5, 6, 1, 4].map(Some).to_vec();
    assert_eq!(lfads.trials().column("inds").unwrap().values, ColumnValues::Int(expected));
    assert_eq!(lfads.signal("ext_input").unwrap().len(), 7 * 4);
    assert!(!lfads.trials().has_times(), "its trials may be pieces that overlap");
    let step = lfads.info().card.changes.last().unwrap();
    assert!(step.contains("train_truth") && step.contains("conversion_factor"), "{step}");
    let ndt = read(&Tensors, &folder, "ndt").unwrap();
    let columns: Vec<&str> = ndt.trials().columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["split", "jitter", "behavior.0", "behavior.1"]);
    let jitter = vec![None, None, None, None, Some(3), Some(-1)];
    assert_eq!(ndt.trials().column("jitter").unwrap().values, ColumnValues::Int(jitter));
    let maze = read(&Tensors, &folder, "nlb_target.mc_maze").unwrap();
    let step = maze.info().card.changes.last().unwrap();
    for left in ["heldin_forward (not there for all units", "psth", "eval_cond_idx"] {
        assert!(step.contains(left), "{left}: {step}");
    }
    // Trials of different lengths are filled up with NaN, of which a store of counts has none.
    let error = read(&Tensors, &folder, "nlb_target.dmfc_rsg").unwrap_err().to_string();
    assert!(error.contains("dmfc_rsg/eval_spikes_heldout") && error.contains("NaN is no count"), "{error}");
}

#[test]
fn tensors_without_a_bin_size_or_with_other_than_counts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["ndt.h5", "lfads_torch.h5"] {
        fs::copy(self::folder("tensors").join(file), folder.path().join(file)).unwrap();
    }
    fs::write(folder.path().join("dataset.toml"), foreign::DATASET).unwrap();
    let error = read(&Tensors, folder.path(), "ndt").unwrap_err().to_string();
    assert!(error.contains("bin_size_s = <a positive number>"), "{error}");
    fs::write(folder.path().join("dataset.toml"), format!("{}bin_size_s = 0.02\n", foreign::DATASET))
        .unwrap();
    read(&Tensors, folder.path(), "ndt").unwrap();
    // One count of real numbers becomes a half.
    let mut bytes = fs::read(folder.path().join("lfads_torch.h5")).unwrap();
    let place = bytes.windows(4).position(|window| window == 1.0_f32.to_le_bytes()).unwrap();
    bytes[place..place + 4].copy_from_slice(&0.5_f32.to_le_bytes());
    fs::write(folder.path().join("lfads_torch.h5"), bytes).unwrap();
    let error = read(&Tensors, folder.path(), "lfads_torch").unwrap_err().to_string();
    assert!(error.contains("lfads_torch.h5") && error.contains("0.5 is no count"), "{error}");
}

#[test]
fn tensors_that_contradict_each_other_are_refused() {
    let folder = folder("tensors-odd");
    for (session, says) in [
        ("two_for_one", "/train_data_heldin cannot be read: train_data holds counts of the same trials"),
        ("apart", "shape of /train_spikes_heldin_forward is [1, 3000000, 1], but [3000000, 3000000, 1]"),
        ("no_bins", "/train_data is empty"),
    ] {
        let error = read(&Tensors, &folder, session).unwrap_err().to_string();
        assert!(error.contains(&format!("{session}.h5")) && error.contains(says), "{session}: {error}");
    }
}

#[test]
fn behavior_keeps_the_width_of_its_numbers() {
    let wide = read(&Tensors, &folder("tensors-odd"), "wide").unwrap();
    let Samples::Float(values) = &wide.signal("behavior").unwrap().columns()[0].samples else {
        unreachable!("64-bit numbers become 64-bit samples")
    };
    let expected: Vec<f64> = (0..12).map(|index| f64::from(index) / 10.0).collect();
    assert_eq!(*values, expected);
    let narrow = read(&Tensors, &folder("tensors"), "nlb_input.mc_maze.train").unwrap();
    assert!(matches!(narrow.signal("behavior").unwrap().columns()[0].samples, Samples::Float32(_)));
}

#[test]
fn poses_are_read_as_pandas_reads_them() {
    let golden = golden();
    let folder = folder("poses");
    let mut n_columns = 0;
    for session in ["openfield_dlc", "two_mouse_dlc_head"] {
        let recording = read(&DeepLabCut, &folder, session).unwrap();
        for (name, golden) in golden["poses"][format!("{session}.csv")].as_object().unwrap() {
            let parts: Vec<&str> = name.split('/').collect();
            let (signal, column) = match parts[..] {
                [part, coord] => ("pose".to_owned(), format!("{part}.{coord}")),
                [individual, part, coord] => (format!("pose.{individual}"), format!("{part}.{coord}")),
                _ => unreachable!("{name}"),
            };
            check_sums(name, values(recording.signal(&signal).unwrap(), &column), golden);
            n_columns += 1;
        }
        assert_eq!(*recording.signals()[0].clock(), Clock::Regular { start_s: 0.0, rate_hz: 30.0 });
    }
    assert_eq!(n_columns, 12 + 42);
    assert_eq!(DeepLabCut.sessions(&folder).unwrap().len(), 2, "BORIS files are not poses");
}

#[test]
fn an_observers_labels_are_paired() {
    let folder = folder("poses");
    let recording = read(&Boris, &folder, "two_mouse_boris").unwrap();
    let table = &recording.interval_table("behavior").unwrap().rows;
    let golden = &golden()["poses"]["two_mouse_boris.csv"];
    check_sums("starts", table.intervals().iter().map(|bout| bout.start_s), &golden["starts"]);
    check_sums("stops", table.intervals().iter().map(|bout| bout.end_s), &golden["stops"]);
    // The source says 11.7 % of its frames, which it counts whole.
    let share: f64 = table.intervals().iter().map(Interval::duration_s).sum::<f64>() / 190.0;
    assert!((share - 0.117).abs() < 0.001, "{share}");
    assert_eq!(recording.metadata()["Player #1"], "e3v813a-20210610T122332-122642_reencode.avi");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("dataset.toml"), foreign::DATASET).unwrap();
    let text = fs::read_to_string(folder.join("two_mouse_boris.csv")).unwrap();
    // Videos one after the other have one key; only their folders are cut off.
    let more = "Player #1,C:\\Ada\\second.avi\nPlayer #1,/home/ada/third.avi\nDescription,light/dark; ratio 1/2\n\nTime,";
    let header = text.replacen("Time,", more, 1);
    fs::write(dir.path().join("two_mouse_boris.csv"), header.replacen("2021-06-15 ", "15/06/2021 ", 1))
        .unwrap();
    let recording = read(&Boris, dir.path(), "two_mouse_boris").unwrap();
    let videos = "e3v813a-20210610T122332-122642_reencode.avi; second.avi; third.avi";
    for (key, value) in [
        ("Player #1", videos),
        ("Description", "light/dark; ratio 1/2"),
        ("Observation date", "15/06/2021 13:41:51"),
    ] {
        assert_eq!(recording.metadata()[key], value);
    }
    for (from, to, says) in [
        ("interact,,,STOP", "interact,,,START", "row 18: \"interact\" of \"adult\" starts again"),
        ("interact,,,START", "interact,,,STOP", "row 17: \"interact\" of \"adult\" stops without a start"),
        ("34.725", "4.725", "row 18: \"interact\" of \"adult\" stops before it starts"),
        ("34.725", "half past", "row 18: \"half past\" is not a time"),
        ("START", "BEGIN", "none of START, STOP and POINT"),
        ("Behavior,", "Conduct,", "no line names the columns Time, Subject, Behavior, Status"),
    ] {
        fs::write(dir.path().join("two_mouse_boris.csv"), text.replacen(from, to, 1)).unwrap();
        let error = read(&Boris, dir.path(), "two_mouse_boris").unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("two_mouse_boris.csv"), "{says}: {error}");
    }
    let cut = text.trim_end().rsplit_once('\n').unwrap().0;
    fs::write(dir.path().join("two_mouse_boris.csv"), cut).unwrap();
    assert!(read(&Boris, dir.path(), "two_mouse_boris").unwrap_err().to_string().contains("never stops"));
}

#[test]
fn broken_lines_of_an_armband_are_named() {
    let folder = folder("myo");
    let recording = read(&Myo, &folder, "10000-1_1").unwrap();
    let signal = recording.signal("emg").unwrap();
    for (index, golden) in golden()["myo"]["10000-1_1.txt"].as_array().unwrap().iter().enumerate() {
        let column = &signal.columns()[index].name;
        check_sums(column, values(signal, column), golden);
    }
    for (session, says) in [
        ("64917-2_4_malformed", "line 201: 10 fields where eight channels and a label are due"),
        ("64917-3_7_malformed", "line 201: 10 fields where eight channels and a label are due"),
    ] {
        let error = read(&Myo, &folder, session).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains(session), "{error}");
    }
}

#[test]
fn traces_of_an_imaging_plane_are_read_as_numpy_reads_them() {
    let recording = read(&Suite2p, &folder("suite2p"), "2022_08_08").unwrap();
    let golden = &golden()["suite2p"];
    for (file, name) in [("F.npy", "fluorescence"), ("spks.npy", "deconvolved")] {
        let signal = recording.signal(name).unwrap();
        let rows = golden[file].as_array().unwrap();
        assert_eq!(signal.columns().len(), rows.len());
        for (column, golden) in signal.columns().iter().zip(rows) {
            check_sums(&column.name, values(signal, &column.name), golden);
        }
    }
    let about = recording.signal("fluorescence").unwrap().columns()[0].description.as_deref();
    assert!(about.is_some_and(|about| about.contains("cell, with probability 0.")), "{about:?}");
    let dir = tempfile::tempdir().unwrap();
    let plane = dir.path().join("day/suite2p/plane1");
    fs::create_dir_all(&plane).unwrap();
    fs::write(dir.path().join("dataset.toml"), format!("{}rate_hz = 30\n", foreign::DATASET)).unwrap();
    for file in ["F.npy", "iscell.npy"] {
        fs::copy(folder("suite2p/2022_08_08/suite2p/plane0").join(file), plane.join(file)).unwrap();
    }
    assert_eq!(read(&Suite2p, dir.path(), "day.plane1").unwrap().signals().len(), 1);
    // A name in dataset.toml is that of the first plane.
    let named = format!("{}rate_hz = 30\nsession = \"m1\"\n", foreign::DATASET);
    fs::write(plane.parent().unwrap().join("dataset.toml"), named).unwrap();
    assert_eq!(read(&Suite2p, dir.path(), "m1.plane1").unwrap().signals().len(), 1);
    fs::remove_file(plane.parent().unwrap().join("dataset.toml")).unwrap();
    fs::write(plane.join("iscell.npy"), foreign::npy_f64("(19, 2)", &[1.0; 38])).unwrap();
    let error = read(&Suite2p, dir.path(), "day.plane1").unwrap_err().to_string();
    assert!(
        error.contains("F.npy") && error.contains("20 and 500") && error.contains("19 and 500"),
        "{error}"
    );
}

#[test]
fn nwb_in_zarr_gives_what_nwb_in_hdf5_gives() {
    let zarr = read(&Nwb, &folder("zarr"), "excerpt").unwrap();
    let hdf5 = read(&Nwb, &folder("nwb/variants"), "excerpt_plain").unwrap();
    assert_eq!(zarr.activity(), hdf5.activity());
    assert_eq!(zarr.trials(), hdf5.trials());
    assert_eq!(zarr.signals(), hdf5.signals());
    assert_eq!(zarr.units(), hdf5.units());
    let (Activity::Spikes(spikes), sum) = (zarr.activity(), 11_520_763.722_708_121_f64) else {
        unreachable!()
    };
    assert!((spikes.times_s().iter().sum::<f64>() - sum).abs() < 1e-6, "the README of the file says so");
    // Only the columns that refer to groups are missing.
    let names = |recording: &Recording| -> Vec<String> {
        recording.unit_columns().iter().map(|column| column.name.clone()).collect()
    };
    let expected: Vec<String> = names(&hdf5).into_iter().filter(|name| name != "electrode_group").collect();
    assert_eq!(names(&zarr), expected);
    for column in zarr.unit_columns() {
        assert_eq!(Some(column), hdf5.unit_column(&column.name));
    }
    let step = zarr.info().card.changes.last().unwrap();
    assert!(step.contains("/units/electrode_group (references to objects are pickled here"), "{step}");
    assert_eq!(zarr.info().card.source_files.len(), 190);
    assert_eq!(zarr.metadata()["general/subject/subject_id"], hdf5.metadata()["general/subject/subject_id"]);
}

#[test]
fn missing_chunks_of_zarr_are_named_and_refused_for_spikes() {
    let dir = tempfile::tempdir().unwrap();
    copy_tree(&folder("zarr"), dir.path());
    let root = dir.path().join("excerpt.nwb.zarr");
    fs::remove_file(root.join("processing/behavior/wheel_velocity/data/0")).unwrap();
    let recording = read(&Nwb, dir.path(), "excerpt").unwrap();
    let step = recording.info().card.changes.last().unwrap();
    assert!(
        step.contains(
            "1 chunks of /processing/behavior/wheel_velocity/data are missing, its fill value stands there"
        ),
        "{step}"
    );
    for part in ["units/spike_times_index", "units/spike_times"] {
        let chunk = root.join(part).join("0");
        let bytes = fs::read(&chunk).unwrap();
        fs::remove_file(&chunk).unwrap();
        let error = read(&Nwb, dir.path(), "excerpt").unwrap_err().to_string();
        assert!(error.contains(&format!("/{part} cannot be decoded")), "{error}");
        fs::write(&chunk, bytes).unwrap();
    }
}

#[test]
fn tables_of_a_one_cache_tell_what_a_session_is_and_how_long_its_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = "cortexlab/Subjects/KS005/2019-04-04/004";
    let session = dir.path().join(path);
    fs::create_dir_all(&session).unwrap();
    copy_tree(&foreign::alf_folder(dir.path()).join("Ada/2024-05-06/001"), &session);
    fs::remove_dir_all(dir.path().join("alf-data")).unwrap();
    fs::write(dir.path().join("dataset.toml"), foreign::DATASET).unwrap();
    copy_tree(&folder("one-cache"), dir.path());
    let recording = read(&Alf, dir.path(), "KS005_2019-04-04_004").unwrap();
    assert_eq!(recording.metadata()["one.lab"], "cortexlab");
    assert_eq!(recording.metadata()["one.project"], "ibl_neuropixel_brainwide_01");
    // The tables know how long the spikes of another session are.
    let other = dir.path().join("mainenlab/Subjects/ZFM-01935/2021-02-05/001");
    fs::create_dir_all(&other).unwrap();
    copy_tree(&session, &other);
    let error = read(&Alf, dir.path(), "ZFM-01935_2021-02-05_001").unwrap_err().to_string();
    assert!(error.contains("length in bytes is 100, but 120309104"), "{error}");
    // A made-up table that knows the length of the spikes of this session.
    let length = fs::metadata(session.join("alf/probe00/spikes.times.npy")).unwrap().len() as f64;
    let write = |length: f64| {
        foreign::parquet(
            &dir.path().join("datasets.pqt"),
            vec![
                ("file_size", foreign::floats(&[length, f64::NAN])),
                (
                    "rel_path",
                    foreign::texts(&["alf/probe00/spikes.times.npy", "alf/probe00/spikes.clusters.npy"]),
                ),
                ("session_path", foreign::texts(&[path, path])),
                ("eid_0", foreign::ints(&[1, 1])),
                ("eid_1", foreign::ints(&[2, 2])),
            ],
        );
    };
    write(length);
    let recording = read(&Alf, dir.path(), "KS005_2019-04-04_004").unwrap();
    assert!(recording.metadata().is_empty());
    // The tables are among what the session was made from, so that a change in them is one of the session.
    let names = |recording: &Recording| -> Vec<String> {
        recording.info().card.source_files.iter().map(|file| file.name.clone()).collect()
    };
    let found = names(&recording);
    assert_eq!(found[found.len() - 2..], ["datasets.pqt", "sessions.pqt"]);
    // Also where they lie above the folder that was given.
    fs::copy(dir.path().join("dataset.toml"), dir.path().join("cortexlab/Subjects/dataset.toml")).unwrap();
    let recording = read(&Alf, &dir.path().join("cortexlab/Subjects"), "KS005_2019-04-04_004").unwrap();
    let found = names(&recording);
    assert_eq!(found[found.len() - 2..], ["../../datasets.pqt", "../../sessions.pqt"]);
    fs::remove_file(dir.path().join("cortexlab/Subjects/dataset.toml")).unwrap();
    write(length + 8.0);
    let error = read(&Alf, dir.path(), "KS005_2019-04-04_004").unwrap_err().to_string();
    assert!(error.contains("spikes.times.npy: length in bytes"), "{error}");
    fs::remove_file(dir.path().join("sessions.pqt")).unwrap();
    let error = read(&Alf, dir.path(), "KS005_2019-04-04_004").unwrap_err().to_string();
    assert!(error.contains("sessions.pqt is missing"), "{error}");
}

/// Damages files one byte or one cut at a time; a reader must answer with a recording or an error that names the folder.
#[test]
fn damage_to_any_of_them_is_an_answer_not_a_crash() {
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let cases: [(&dyn Reader, &str, &str); 7] = [
        (&Tensors, "tensors", "ndt.h5"),
        (&Tensors, "tensors", "nlb_input.h5"),
        (&DeepLabCut, "poses", "two_mouse_dlc_head.csv"),
        (&Boris, "poses", "two_mouse_boris.csv"),
        (&Myo, "myo", "10000-1_1.txt"),
        (&Suite2p, "suite2p", "2022_08_08/suite2p/plane0/F.npy"),
        (&Nwb, "zarr", "excerpt.nwb.zarr/units/spike_times/0"),
    ];
    let mut n_refused = 0;
    for (reader, part, file) in cases {
        let dir = tempfile::tempdir().unwrap();
        copy_tree(&folder(part), dir.path());
        let whole = fs::read(dir.path().join(file)).unwrap();
        for _ in 0..30 {
            let mut bytes = whole.clone();
            if random(4) == 0 {
                bytes.truncate(random(whole.len()));
            } else {
                for _ in 0..=random(4) {
                    let place = random(whole.len());
                    bytes[place] = u8::try_from(random(256)).unwrap();
                }
            }
            fs::write(dir.path().join(file), &bytes).unwrap();
            let name = Path::new(file).file_name().unwrap().to_string_lossy().into_owned();
            match reader.sessions(dir.path()) {
                Ok(sources) => {
                    for source in sources {
                        if let Err(error) = reader.read(&source) {
                            n_refused += usize::from(source.files.iter().any(|f| f.ends_with(&name)));
                            let root = source.main.file_name().unwrap().to_string_lossy().into_owned();
                            assert!(
                                error.to_string().contains(&root) || error.to_string().contains(&name),
                                "{error}"
                            );
                        }
                    }
                }
                Err(error) => assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}"),
            }
        }
    }
    assert!(n_refused > 60, "{n_refused}");
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
