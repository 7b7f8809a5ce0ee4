//! Recordings of a made-up brain with a cursor, and what a run said of itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use ndarray::arr2;
use neurobrick::schema::{
    Activity, Clock, Recording, RecordingParts, Samples, Signal, SignalColumn, Spikes, Store,
};
use neurobrick::train::ValidationReport;
use neurobrick::{Compute, MetricsRecord};
use neurobrick_testkit::{SharedBrain, test_compute_device};

/// The device that tests run on.
pub(crate) fn compute(n_threads: usize) -> Compute {
    Compute { device: test_compute_device(), n_threads }
}

/// The cursor of `SharedBrain::cursor`: the two latents themselves, in another unit.
pub(crate) fn cursor(brain: &SharedBrain, session: u64, n_trials: usize, n_units: usize) -> Recording {
    brain.session(session, n_trials, n_units).with_behavior(&arr2(&[[5.0, 0.0], [0.0, 5.0]]))
}

/// Validations of a run.
pub(crate) fn validations(run: &Path) -> Vec<(u64, ValidationReport)> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    records
        .filter_map(|record| match record {
            MetricsRecord::Validation { step, report, .. } => Some((step, report)),
            MetricsRecord::Step(_) => None,
        })
        .collect()
}

/// A store of these recordings.
pub(crate) fn write(store: &Path, recordings: &[Recording]) {
    let store = Store::create(store).unwrap();
    for recording in recordings {
        store.write(recording).unwrap();
    }
}

/// Spikes of other units and behavior of another size at the times that are asked for.
pub(crate) fn with_other_values(recording: Recording, is_other: impl Fn(f64) -> bool) -> Recording {
    let n_units = u32::try_from(recording.n_units()).unwrap();
    let parts = recording.into_parts();
    let Activity::Spikes(spikes) = &parts.activity else { panic!("single spikes were made") };
    let units = spikes.times_s().iter().zip(spikes.units());
    let units = units.map(|(&time, &unit)| if is_other(time) { (unit + 1) % n_units } else { unit });
    let spikes = Spikes::from_unsorted(spikes.times_s().to_vec(), units.collect()).unwrap();
    let signals = parts
        .signals
        .iter()
        .map(|signal| with_samples(signal, |time, value| if is_other(time) { 100.0 - value } else { value }));
    let signals = signals.collect();
    Recording::from_parts(RecordingParts { activity: Activity::Spikes(spikes), signals, ..parts }).unwrap()
}

/// A signal with other values, by their times.
pub(crate) fn with_samples(signal: &Signal, new: impl Fn(f64, f64) -> f64) -> Signal {
    let columns = signal.columns().iter().map(|column| {
        let values = (0..signal.len()).map(|i| new(signal.time_s(i), column.samples.value(i))).collect();
        SignalColumn { samples: Samples::Float(values), ..column.clone() }
    });
    let clock = Clock::Irregular { times_s: (0..signal.len()).map(|i| signal.time_s(i)).collect() };
    Signal::new(signal.name(), None, clock, columns.collect()).unwrap()
}
