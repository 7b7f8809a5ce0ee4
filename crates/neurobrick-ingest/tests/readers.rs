//! Small good recordings are read as written, and no damage at all makes a reader panic.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::Path;

use foreign::read;
use neurobrick_ingest::{Alf, CountsNpz, Reader};
use neurobrick_schema::{Activity, Clock, ColumnValues, Interval, Samples};

#[test]
fn good_recordings_are_read_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let counts = read(&CountsNpz, &foreign::counts_folder(folder.path())).unwrap();
    let Activity::Counts(values) = counts.activity() else { unreachable!("counts") };
    assert_eq!(
        (values.row(1, 0), values.bin_size_s().to_bits()),
        (&[12, 13, 14, 15][..], 0.02_f64.to_bits())
    );
    assert!((counts.trials().intervals()[1].end_s - 3.08).abs() < 1e-12);
    let column = |name: &str| counts.trials().column(name).unwrap().values.clone();
    assert_eq!(column("contrast"), ColumnValues::Float(vec![Some(0.5), None]));
    assert_eq!(column("outcome"), ColumnValues::Int(vec![Some(1), Some(-1)]));
    assert_eq!(column("side"), ColumnValues::Text(vec![Some("left".into()), None]));
    assert_eq!(column("go"), ColumnValues::Bool(vec![Some(true), Some(false)]));

    let alf = read(&Alf, &foreign::alf_folder(folder.path())).unwrap();
    assert_eq!((alf.info().session.as_str(), alf.info().subject.as_str()), ("Ada_2024-05-06_001", "Ada"));
    let ids: Vec<&str> = alf.units().iter().map(|unit| unit.id.as_str()).collect();
    let probes =
        ["probe00/0", "probe00/2", "probe00/5", "probe01/sorter/0", "probe01/sorter/2", "probe01/sorter/5"];
    assert_eq!(ids, probes);
    assert_eq!((alf.units()[1].depth_um, alf.units()[1].quality), (Some(40.5), None));
    let Activity::Spikes(spikes) = alf.activity() else { unreachable!("spikes") };
    assert_eq!(spikes.times_s(), [0.1, 0.15, 0.2, 0.2, 0.3, 0.9, 2.0]);
    assert_eq!(spikes.units(), [0, 3, 2, 5, 1, 4, 2]);
    assert_eq!(
        alf.trials().column("contrastLeft").unwrap().values,
        ColumnValues::Float(vec![Some(0.25), None])
    );
}

/// Wheel, licks and wheel moves of a session, as ALF lays them beside the trials.
#[test]
fn alf_objects_become_signals_and_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let top = foreign::alf_folder(folder.path());
    let alf = top.join("Ada/2024-05-06/001/alf");
    let f64s =
        |name: &str, shape: &str, values: &[f64]| fs::write(alf.join(name), foreign::npy_f64(shape, values));
    f64s("_ibl_wheel.timestamps.npy", "(3,)", &[0.0, 0.5, 2.0]).unwrap();
    f64s("_ibl_wheel.position.npy", "(3,)", &[1.0, f64::NAN, -1.0]).unwrap();
    f64s("_ibl_wheel.other.npy", "(2,)", &[1.0, 2.0]).unwrap();
    f64s("licks.times.npy", "(2,)", &[0.25, 0.75]).unwrap();
    f64s("pupil.times.npy", "(2,)", &[0.75, 0.25]).unwrap();
    f64s("leftCamera.times.npy", "(2,)", &[0.0, 0.1]).unwrap();
    let energy = foreign::npy("|u1", "(2, 3)", &[1, 2, 3, 4, 5, 6]);
    fs::write(alf.join("leftCamera.ROIMotionEnergy.npy"), energy).unwrap();
    f64s("_ibl_wheelMoves.intervals.npy", "(2, 2)", &[0.0, 1.0, 2.0, 3.5]).unwrap();
    f64s("wheelMoves.peakAmplitude.npy", "(2,)", &[0.5, f64::NAN]).unwrap();
    f64s("gain.factor.npy", "(1,)", &[0.5]).unwrap();
    let sources = Alf.sessions(&top).unwrap();
    assert_eq!(sources[0].files.len(), 2 + 6 + 10);
    let recording = Alf.read(&sources[0]).unwrap();
    let samples = |signal: &str, column: &str| {
        recording.signal(signal).unwrap().column(column).unwrap().samples.clone()
    };
    assert_eq!(samples("wheel", "position"), Samples::Float(vec![1.0, f64::NAN, -1.0]));
    assert_eq!(samples("leftCamera", "ROIMotionEnergy.1"), Samples::Int(vec![2, 5]));
    assert_eq!(*recording.signal("licks").unwrap().clock(), Clock::Irregular { times_s: vec![0.25, 0.75] });
    let moves = &recording.interval_table("wheelMoves").unwrap().rows;
    assert_eq!(moves.intervals()[1], Interval { start_s: 2.0, end_s: 3.5 });
    assert_eq!(moves.column("peakAmplitude").unwrap().values, ColumnValues::Float(vec![Some(0.5), None]));
    let step = recording.info().card.changes.last().unwrap();
    for says in
        ["gain.factor (no times)", "wheel.other (shape [2] for 3 times)", "pupil (sample 1 of signal pupil"]
    {
        assert!(step.contains(says), "{step:?} does not say {says:?}");
    }
}

/// Flips bytes and cuts a file in many places: an error or a recording, never a panic, never much memory.
#[test]
fn a_reader_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let counts = foreign::counts_folder(folder.path());
    let alf = foreign::alf_folder(folder.path());
    let cases: [(&dyn Reader, &Path, &str); 5] = [
        (&CountsNpz, &counts, "s1.npz"),
        (&Alf, &alf, "Ada/2024-05-06/001/alf/probe00/spikes.times.npy"),
        (&Alf, &alf, "Ada/2024-05-06/001/alf/probe00/spikes.clusters.npy"),
        (&Alf, &alf, "Ada/2024-05-06/001/alf/probe00/clusters.metrics.pqt"),
        (&Alf, &alf, "Ada/2024-05-06/001/alf/_ibl_trials.table.pqt"),
    ];
    let mut n_refused = 0;
    for (reader, root, name) in cases {
        let path = root.join(name);
        let good = fs::read(&path).unwrap();
        for step in 0..400 {
            let mut bad = good.clone();
            if step % 4 == 0 {
                bad.truncate(step * good.len() / 400);
            } else {
                bad[step * good.len() / 400] ^= [1, 0x80, 0xff][step % 4 - 1];
            }
            fs::write(&path, bad).unwrap();
            n_refused += usize::from(read(reader, root).is_err());
        }
        fs::write(&path, &good).unwrap();
        read(reader, root).unwrap();
    }
    assert!(n_refused > 1000, "only {n_refused} of 2000 were refused");
}
