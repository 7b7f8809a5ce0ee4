//! Recordings made up for the tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part; a failed unwrap is a failed test"
)]

use neurobrick_schema::*;

pub fn info(session: &str) -> SessionInfo {
    SessionInfo {
        session: SessionId::new(session).unwrap(),
        subject: SubjectId::new("mouse-7").unwrap(),
        dataset: DatasetId::new("made-up").unwrap(),
        card: Card {
            source: "made up for a test".into(),
            citation: "nobody".into(),
            license: "CC0-1.0".into(),
            species: Some("Mus musculus".into()),
            consent: Consent::NonHuman,
            ethics: None,
            changes: vec!["none".into()],
            source_files: vec![SourceFile { name: "a/b.npy".into(), bytes: 3, blake3: "00".into() }],
            notes: Some("tabs\tand \"quotes\"".into()),
        },
    }
}

pub fn units(n: usize) -> Vec<Unit> {
    (0..n)
        .map(|i| Unit {
            id: format!("u{i}"),
            region: if i % 2 == 0 { "VISp".into() } else { "root".into() },
            depth_um: (i % 3 != 0).then_some(i as f64 * 20.5),
            quality: (i % 2 == 0).then_some(0.5),
        })
        .collect()
}

pub fn trials(n: usize) -> Trials {
    let intervals = (0..n).map(|i| Interval::new(i as f64, i as f64 + 1.5).unwrap()).collect();
    let column = |name: &str, values| Column { name: name.into(), unit: None, description: None, values };
    let columns = vec![
        column("contrast", ColumnValues::Float((0..n).map(|i| (i > 0).then_some(i as f64 / 3.0)).collect())),
        column(
            "choice",
            ColumnValues::Int((0..n).map(|i| (i != 1).then_some(1 - i64::from(i == 2))).collect()),
        ),
        column(
            "side",
            ColumnValues::Text((0..n).map(|i| (i != 2).then(|| format!("ß{i}\n,\"'\0"))).collect()),
        ),
        column("rewarded", ColumnValues::Bool((0..n).map(|i| (i != 3).then_some(i % 2 == 0)).collect())),
    ];
    Trials::new(intervals, columns).unwrap()
}

pub fn spikes_recording(session: &str) -> Recording {
    let times: Vec<f64> = (0..500).map(|i| f64::from(i) * 0.011 + 0.001).collect();
    let units_of = (0..500).map(|i| i * 7 % 4).collect();
    let activity = Activity::Spikes(Spikes::new(times, units_of).unwrap());
    Recording::new(info(session), units(5), activity, trials(4)).unwrap()
}

pub fn counts_recording(session: &str) -> Recording {
    let values = (0..4_u16 * 5 * 6).map(|i| i % 5).collect();
    let activity = Activity::Counts(BinnedCounts::new(0.01, 4, 5, 6, values).unwrap());
    Recording::new(info(session), units(5), activity, trials(4)).unwrap()
}

pub fn column(name: &str, values: ColumnValues) -> Column {
    Column { name: name.into(), unit: Some("uV".into()), description: None, values }
}

/// Lists of 0, 1, 2 ... floats in `n` rows, each within a list of its own.
pub fn ragged(n: usize) -> ColumnValues {
    let ends: Vec<usize> = (0..n)
        .scan(0, |end, i| {
            *end += i;
            Some(*end)
        })
        .collect();
    let n_inner = ends.last().copied().unwrap_or(0);
    let floats =
        ColumnValues::Float((0..2 * n_inner).map(|i| (i % 3 > 0).then_some(i as f64 * 0.5)).collect());
    let inner = ListValues::new((1..=n_inner).map(|i| 2 * i).collect(), floats).unwrap();
    ColumnValues::List(ListValues::new(ends, ColumnValues::List(inner)).unwrap())
}

/// A session with everything that a session can have.
pub fn full_recording(session: &str) -> Recording {
    let mut parts = spikes_recording(session).into_parts();
    parts.metadata.insert("general/lab".into(), "no lab, \"made\" up".into());
    parts.unit_columns =
        vec![column("waveforms", ragged(5)), column("label", ColumnValues::Text(vec![None; 5]))];
    let groups = ColumnValues::Text(vec![Some("shank0".into()), None, Some(String::new())]);
    parts.electrodes = Table::new(3, vec![column("group", groups)]).unwrap();
    parts.intervals = vec![
        IntervalTable { name: "epochs".into(), description: Some("sleep, wake".into()), rows: trials(3) },
        IntervalTable { name: "Licks.left-1".into(), description: None, rows: Trials::default() },
    ];
    let samples = |name: &str, samples| SignalColumn {
        name: name.into(),
        unit: Some("m".into()),
        description: Some("from the left wall".into()),
        samples,
    };
    let position = vec![
        samples(
            "x",
            Samples::Float((0..40).map(|i| if i % 7 == 3 { f64::NAN } else { f64::from(i) }).collect()),
        ),
        samples("state", Samples::Int((0..40).collect())),
    ];
    let position = Signal::new("position", None, Clock::Regular { start_s: -0.5, rate_hz: 120.0 }, position);
    let clock = Clock::Irregular { times_s: vec![0.25, 0.25, 1e9] };
    let emg = vec![samples("biceps", Samples::Float32(vec![-0.0, f32::NAN, 3.5]))];
    let emg = Signal::new("EMG", Some("raw".into()), clock, emg);
    let licks = Signal::new("licks", None, Clock::Irregular { times_s: vec![1.0] }, vec![]);
    parts.signals = vec![position.unwrap(), emg.unwrap(), licks.unwrap()];
    Recording::from_parts(parts).unwrap()
}
