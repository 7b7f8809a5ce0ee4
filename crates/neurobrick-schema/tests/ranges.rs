//! A range of time reads few row groups, and finds what reading all finds; and rows of every kind of column.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use std::fs;

use neurobrick_schema::*;

/// 2.5 million spikes, one every millisecond, of 7 units: three row groups.
fn long_recording() -> Recording {
    let n = 2_500_000_u32;
    let times = (0..n).map(|i| f64::from(i) * 1e-3).collect();
    let units = (0..n).map(|i| i % 7).collect();
    let mut parts = made::spikes_recording("long").into_parts();
    let unit = |i: u32| Unit { id: i.to_string(), region: "CA1".into(), depth_um: None, quality: None };
    parts.units = (0..7).map(unit).collect();
    parts.unit_columns = Vec::new();
    parts.activity = Activity::Spikes(Spikes::new(times, units).unwrap());
    Recording::from_parts(parts).unwrap()
}

#[test]
fn a_range_of_time_reads_the_row_groups_that_it_touches() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let recording = long_recording();
    store.write(&recording).unwrap();
    let file = store.spike_file(&recording.info().session).unwrap();
    assert_eq!(file.n_spikes(), 2_500_000);
    assert_eq!(file.row_groups_between(0.0, 1e9), (3, 3));
    assert_eq!(file.row_groups_between(100.0, 200.0), (1, 3));
    assert_eq!(file.row_groups_between(1048.0, 1049.0), (2, 3));
    assert_eq!(file.row_groups_between(-5.0, 0.0), (0, 3));
    // Half-open, like every interval.
    let found = file.read_between(1048.0, 1049.0, None).unwrap();
    assert_eq!((found.len(), found.times_s()[0], found.units()[0]), (1000, 1048.0, 1_048_000 % 7));
    let some = file.read_between(1048.0, 1049.0, Some(&[5, 2])).unwrap();
    assert!(some.units().iter().all(|unit| [2, 5].contains(unit)) && some.len() == 286, "{}", some.len());
    assert!(file.read_between(10.0, 5.0, None).unwrap().is_empty());
    // Batch by batch, all of them, no batch large.
    let (mut n, mut largest) = (0, 0);
    for batch in file.between(f64::NEG_INFINITY, f64::INFINITY, None).unwrap() {
        let batch = batch.unwrap();
        n += batch.len();
        largest = largest.max(batch.len());
    }
    assert!(n == 2_500_000 && largest <= 1 << 16, "{n} {largest}");
}

#[test]
fn ranges_are_read_on_many_threads_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let recording = long_recording();
    store.write(&recording).unwrap();
    let file = store.spike_file(&recording.info().session).unwrap();
    let Activity::Spikes(spikes) = recording.activity() else { unreachable!() };
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (file, times_s) = (&file, spikes.times_s());
            scope.spawn(move || {
                for round in 0..5 {
                    let start_s = f64::from(thread * 600 + round * 10);
                    let found = file.read_between(start_s, start_s + 500.0, None).unwrap();
                    let first = times_s.partition_point(|&time| time < start_s);
                    let last = times_s.partition_point(|&time| time < start_s + 500.0);
                    assert!(found.times_s() == &times_s[first..last], "from {start_s} s");
                }
            });
        }
    });
}

#[test]
fn a_damaged_or_missing_file_of_spikes_is_noticed_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let recording = made::spikes_recording("day-1");
    let session = &recording.info().session;
    store.write(&recording).unwrap();
    let path = store.path().join("day-1/spikes.parquet");
    let good = fs::read(&path).unwrap();
    let Activity::Spikes(spikes) = recording.activity() else { unreachable!() };
    let all =
        store.spike_file(session).unwrap().read_between(f64::NEG_INFINITY, f64::INFINITY, None).unwrap();
    assert_eq!(&all, spikes);
    for at in (0..good.len()).step_by(23) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(matches!(store.spike_file(session), Err(SchemaError::DamagedSession { .. })), "byte {at}");
    }
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    assert!(matches!(store.spike_file(session), Err(SchemaError::DamagedSession { .. })));
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    assert!(matches!(store.spike_file(session), Err(SchemaError::DamagedSession { .. })));
    let counts = made::counts_recording("day-2");
    store.write(&counts).unwrap();
    let error = store.spike_file(&counts.info().session).unwrap_err();
    assert!(matches!(error, SchemaError::NoSpikeTimes { .. }), "{error}");
}

#[test]
fn a_summary_tells_rates_gaps_and_quality() {
    let mut parts = made::spikes_recording("day-1").into_parts();
    let unit = |i: u32| Unit { id: i.to_string(), region: "CA1".into(), depth_um: None, quality: None };
    parts.units = (0..3).map(unit).collect();
    parts.unit_columns = Vec::new();
    // Unit 0 every second, with a gap from 40 to 60 s; unit 1 bursts; unit 2 is silent.
    let mut spikes: Vec<(f64, u32)> =
        (0..=100).filter(|i| !(41..60).contains(i)).map(|i| (f64::from(i), 0)).collect();
    spikes.extend((0..5).map(|i| (10.0 + 0.001 * f64::from(i), 1)));
    let (times, units) = spikes.into_iter().unzip();
    parts.activity = Activity::Spikes(Spikes::from_unsorted(times, units).unwrap());
    let found = summary(&Recording::from_parts(parts).unwrap());
    assert_eq!(found.longest_silence, Some(Silence { start_s: 40.0, length_s: 20.0 }));
    assert_eq!((found.n_silent_units, found.n_refractory_units), (1, 1));
    let [low, middle, high] = found.rate_quantiles_hz.unwrap();
    assert_eq!((low, middle, high), (0.0, 0.05, 0.82));
    let text = found.to_string();
    for part in [
        "longest silence of all units 20.000 s, from 40.000 s",
        "1 units with over 1 %",
        "license",
        "consent",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_summary_says_what_its_rate_is_over_and_what_trials_hold() {
    let second = |from: f64| (0..2000).map(move |i| from + f64::from(i) / 100.0);
    let mut parts = made::spikes_recording("day-1").into_parts();
    let times: Vec<f64> = second(0.0).chain(second(600.0)).collect();
    let units = vec![0; times.len()];
    parts.activity = Activity::Spikes(Spikes::new(times, units).unwrap());
    let found = summary(&Recording::from_parts(parts).unwrap());
    let text = found.to_string();
    assert!(text.contains("4000 in 620.0 s, 20.01 Hz per unit over the 40.0 s without gaps"), "{text}");
    assert!(text.contains("columns   contrast: float, "), "{text}");
    assert!(text.contains("\n          choice: int, 0 | 1, 1 missing"), "{text}");
    assert_eq!((found.warnings.len(), found.trial_values[1].values.join(" ")), (0, "0 1".to_owned()));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["trial_values"][1]["kind"], "int");

    // Without gaps and without trials there is nothing to say about either.
    let mut parts = made::spikes_recording("day-1").into_parts();
    parts.trials = Trials::default();
    let text = summary(&Recording::from_parts(parts).unwrap()).to_string();
    assert!(!text.contains("without gaps") && !text.contains("columns") && !text.contains("table below"));
    assert!(text.contains("trials    0; windows can slide instead (`align = { every = 1.0 }`)"), "{text}");
    let mut parts = made::full_recording("day-1").into_parts();
    parts.trials = Trials::default();
    let text = summary(&Recording::from_parts(parts).unwrap()).to_string();
    assert!(text.contains("`trials = \"<table>\"` in the dataset.toml"), "{text}");
}

#[test]
fn a_summary_warns_of_times_that_cannot_be() {
    let mut parts = made::spikes_recording("day-1").into_parts();
    let clock = Clock::Irregular { times_s: vec![-1_542_900_540.736, 0.0, 0.5] };
    let column = SignalColumn {
        name: "x".into(),
        unit: None,
        description: None,
        samples: Samples::Float(vec![0.0, 1.0, 2.0]),
    };
    parts.signals = vec![Signal::new("events", None, clock, vec![column]).unwrap()];
    let found = summary(&Recording::from_parts(parts.clone()).unwrap());
    assert_eq!(found.warnings.len(), 1);
    let text = found.to_string();
    let says =
        "warning   timestamps of signal events look wrong: nothing for 49 years from -1542900540.736 s on";
    assert!(text.contains(says), "{text}");
    parts.signals.clear();
    parts.activity = Activity::Spikes(Spikes::new(vec![0.0, 0.5, 1e7], vec![0; 3]).unwrap());
    let found = summary(&Recording::from_parts(parts).unwrap());
    assert!(
        found.warnings[0].contains("of the spikes look wrong: nothing for 116 days"),
        "{:?}",
        found.warnings
    );
}
