//! A made-up recording for tests, of any parts.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part")]

use std::collections::BTreeMap;

use neurobrick_schema::{
    Activity, Card, Column, Consent, DatasetId, Interval, Recording, RecordingParts, SessionId, SessionInfo,
    Signal, Spikes, SubjectId, Table, Trials, Unit,
};

pub fn parts(n_units: usize, spikes: Spikes) -> RecordingParts {
    let card = Card {
        source: "made up for a test".into(),
        citation: String::new(),
        license: "CC0-1.0".into(),
        species: None,
        consent: Consent::NonHuman,
        ethics: None,
        changes: Vec::new(),
        source_files: Vec::new(),
        notes: None,
    };
    let info = SessionInfo {
        session: SessionId::new("made").unwrap(),
        subject: SubjectId::new("nobody").unwrap(),
        dataset: DatasetId::new("made-up").unwrap(),
        card,
    };
    let unit = |i: usize| Unit { id: format!("u{i}"), region: "CA1".into(), depth_um: None, quality: None };
    RecordingParts {
        info,
        metadata: BTreeMap::new(),
        units: (0..n_units).map(unit).collect(),
        unit_columns: Vec::new(),
        electrodes: Table::default(),
        activity: Activity::Spikes(spikes),
        trials: Trials::new(vec![Interval::new(0.0, 1.0).unwrap()], Vec::<Column>::new()).unwrap(),
        intervals: Vec::new(),
        signals: Vec::<Signal>::new(),
    }
}

pub fn recording(n_units: usize, spikes: Spikes) -> Recording {
    Recording::from_parts(parts(n_units, spikes)).unwrap()
}
