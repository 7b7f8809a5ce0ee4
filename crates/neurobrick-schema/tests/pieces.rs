//! Long files are checked piece by piece: as strictly as whole ones, and only as far as they are read.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use std::fs;
use std::path::PathBuf;

use neurobrick_schema::manifest::Manifest;
use neurobrick_schema::*;

const MIB: usize = 1 << 20;

/// A million and more spikes, in two row groups, with a long signal of a column more than pieces are kept.
fn long(session: &str) -> Recording {
    let recording = made::spikes_recording(session);
    let n = 1_200_000_u32;
    let times_s = (0..n).map(|spike| f64::from(spike) * 1e-3).collect();
    let n_units = u32::try_from(recording.n_units()).unwrap();
    let spikes = Spikes::new(times_s, (0..n).map(|spike| spike.wrapping_mul(40_503) / 7 % n_units).collect());
    let column = |index: u32| SignalColumn {
        name: format!("c{index}"),
        unit: None,
        description: None,
        samples: Samples::Float((0..150_000).map(|at| f64::from(at * index).sin()).collect()),
    };
    let clock = Clock::Regular { start_s: 0.0, rate_hz: 100.0 };
    Recording::from_parts(RecordingParts {
        info: recording.info().clone(),
        metadata: recording.metadata().clone(),
        units: recording.units().to_vec(),
        unit_columns: Vec::new(),
        electrodes: Table::default(),
        activity: Activity::Spikes(spikes.unwrap()),
        trials: Trials::default(),
        intervals: Vec::new(),
        signals: vec![Signal::new("position", None, clock, (1..9).map(column).collect()).unwrap()],
    })
    .unwrap()
}

struct Made {
    _folder: tempfile::TempDir,
    store: Store,
    recording: Recording,
    dir: PathBuf,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        let recording = long("day-1");
        store.write(&recording).unwrap();
        let dir = store.path().join("day-1");
        Self { _folder: folder, store, recording, dir }
    }

    fn read(&self) -> Result<Recording, SchemaError> {
        self.store.read(&self.recording.info().session)
    }
}

#[test]
fn long_files_come_back_and_stay_known_by_the_digest_of_their_content() {
    let made = Made::new();
    assert!(made.read().unwrap() == made.recording);
    let manifest = Manifest::read(&made.dir).unwrap();
    let with_pieces: Vec<&str> = manifest
        .files()
        .iter()
        .filter(|file| !file.pieces.is_empty())
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(with_pieces, ["signal.position.parquet", "spikes.parquet"]);
    assert!(fs::read_to_string(made.dir.join("manifest.json")).unwrap().contains("\"version\": 2"));
    // What a store of before has: the same files without pieces, by the same digest.
    let names: Vec<&str> = manifest.files().iter().map(|file| file.name.as_str()).collect();
    let old = Manifest::of_dir(&made.dir, &names).unwrap();
    assert_eq!(old.digest(), manifest.digest());
    old.write(&made.dir).unwrap();
    assert!(fs::read_to_string(made.dir.join("manifest.json")).unwrap().contains("\"version\": 1"));
    assert!(made.read().unwrap() == made.recording);
    let spikes = made.store.spike_file(&made.recording.info().session).unwrap();
    assert_eq!(spikes.read_between(10.0, 10.01, None).unwrap().len(), 10);
}

#[test]
fn damage_in_any_piece_is_noticed() {
    let made = Made::new();
    for name in ["spikes.parquet", "signal.position.parquet"] {
        let path = made.dir.join(name);
        let good = fs::read(&path).unwrap();
        let places = (0..good.len()).step_by(MIB / 3).chain([good.len() - 1, good.len() - 200, MIB - 1, MIB]);
        for at in places {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            let message = made.read().err().map(|error| error.to_string()).unwrap_or_default();
            let says =
                message.contains("day-1") && message.contains(name) && message.contains("ingest it again");
            assert!(says && message.contains("BLAKE3"), "byte {at} of {name}: {message}");
        }
        for length in [0, MIB, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            let message = made.read().err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(&format!("{length} bytes long")), "{message}");
        }
        fs::write(&path, &good).unwrap();
    }
    assert!(made.read().unwrap() == made.recording);
}

#[test]
fn pieces_of_another_file_are_refused() {
    let made = Made::new();
    let path = made.dir.join("manifest.json");
    let good = fs::read_to_string(&path).unwrap();
    let piece = Manifest::read(&made.dir).unwrap().file("spikes.parquet").unwrap().pieces[1].clone();
    let other = format!("{}{}", &piece[1..], &piece[..1]);
    for bad in
        [good.replace(&piece, &other), good.replace(&format!("\"{piece}\","), ""), good.replace(&piece, "")]
    {
        assert!(bad != good);
        fs::write(&path, &bad).unwrap();
        let message = made.read().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("manifest.json is damaged"), "{message}");
    }
}

#[test]
fn of_a_range_of_time_no_more_is_read_than_it_needs() {
    let made = Made::new();
    let path = made.dir.join("spikes.parquet");
    let mut bytes = fs::read(&path).unwrap();
    bytes[MIB + 7] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let spikes = made.store.spike_file(&made.recording.info().session).unwrap();
    // The second row group begins after 1048576 ms.
    assert_eq!(spikes.read_between(1100.0, 1100.01, None).unwrap().len(), 10);
    let message = spikes.read_between(200.0, 300.0, None).unwrap_err().to_string();
    assert!(message.contains("spikes.parquet") && message.contains("BLAKE3"), "{message}");
}
