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
    let column =
        |name: &str, values| TrialColumn { name: name.into(), unit: None, description: None, values };
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
