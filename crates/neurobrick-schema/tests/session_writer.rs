//! A session written batch by batch is the one that is written at once, byte for byte.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use std::collections::BTreeMap;
use std::fs;

use neurobrick_schema::*;

/// Spikes in three row groups, with ties, and every other part that a session can have.
fn long(session: &str) -> Recording {
    let of = made::full_recording(session).into_parts();
    let n_units = u32::try_from(of.units.len()).unwrap();
    let n = 2_300_001_u32;
    let times_s = (0..n).map(|spike| f64::from(spike / 3) * 1e-3).collect();
    let units = (0..n).map(|spike| spike.wrapping_mul(40_503) / 7 % n_units).collect();
    let activity = Activity::Spikes(Spikes::new(times_s, units).unwrap());
    Recording::from_parts(RecordingParts { activity, ..of }).unwrap()
}

fn spikes(recording: &Recording) -> &Spikes {
    let Activity::Spikes(spikes) = recording.activity() else { unreachable!("spikes") };
    spikes
}

fn with_spikes(recording: &Recording, spikes: Spikes) -> Recording {
    let parts = recording.clone().into_parts();
    Recording::from_parts(RecordingParts { activity: Activity::Spikes(spikes), ..parts }).unwrap()
}

fn part(of: &Spikes, from: usize, to: usize) -> Spikes {
    Spikes::new(of.times_s()[from..to].to_vec(), of.units()[from..to].to_vec()).unwrap()
}

fn files(store: &Store, session: &SessionId) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(store.path().join(session.as_str())).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn batches_of_any_length_make_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (at_once, in_batches) = (folder.path().join("at-once"), folder.path().join("in-batches"));
    let (at_once, in_batches) = (Store::create(at_once).unwrap(), Store::create(in_batches).unwrap());
    for (recording, lengths) in [
        (long("long"), &[65_537, 1 << 20, (1 << 20) + 1, 3_000_000][..]),
        (made::spikes_recording("short"), &[1, 7, 499, 500]),
    ] {
        let session = &recording.info().session;
        let expected = at_once.write(&recording).unwrap();
        let all = spikes(&recording);
        for (index, &length) in lengths.iter().enumerate() {
            // The first spikes come with the recording, or none do.
            let n_first = if index % 2 == 0 { 0 } else { length.min(all.len()) };
            let mut writer = in_batches.writer(with_spikes(&recording, part(all, 0, n_first))).unwrap();
            for from in (n_first..all.len()).step_by(length) {
                writer = writer.append(&part(all, from, all.len().min(from + length))).unwrap();
                writer = writer.append(&Spikes::default()).unwrap();
            }
            assert_eq!(writer.finish().unwrap(), expected, "batches of {length}");
            assert!(files(&in_batches, session) == files(&at_once, session), "batches of {length}");
        }
        assert!(in_batches.read(session).unwrap() == recording);
    }
}

#[test]
fn a_session_that_is_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let recording = made::spikes_recording("a");
    let old = store.write(&recording).unwrap().digest;
    let batch = |time_s, unit| Spikes::new(vec![time_s], vec![unit]).unwrap();
    let last_s = *spikes(&recording).times_s().last().unwrap();
    let n_units = u32::try_from(recording.n_units()).unwrap();
    let writer = || store.writer(recording.clone()).unwrap();
    let early = writer().append(&batch(last_s - 1e-9, 0)).err().unwrap();
    assert!(
        matches!(early, SchemaError::UnsortedSpikes { previous_s, .. } if previous_s.to_bits() == last_s.to_bits())
    );
    let stray = writer().append(&batch(last_s, n_units)).err().unwrap();
    assert!(matches!(stray, SchemaError::UnitOutOfRange { index: 0, unit, .. } if unit == n_units));
    drop(writer().append(&batch(last_s, 0)).unwrap());
    let counts = store.writer(made::counts_recording("c")).err().unwrap();
    assert!(matches!(counts, SchemaError::NoSpikeTimes { .. }));
    assert_eq!(store.digest(&recording.info().session).unwrap(), old);
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 2, "store.json and the session");
}
