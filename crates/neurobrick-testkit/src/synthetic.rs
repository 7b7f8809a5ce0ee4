//! Populations driven by low-dimensional dynamics, with known structure and from a seed.

mod behavior;
mod lorenz;
mod shared;

pub use lorenz::{LorenzPopulation, lorenz_population, lorenz_step};
pub use shared::{SharedBrain, SharedSession};

use neurobrick_data::{Alignment, SessionData, WindowConfig};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::{
    Activity, BinnedCounts, Card, Column, ColumnValues, Consent, DatasetId, Interval, Recording, SessionId,
    SessionInfo, SubjectId, Trials, Unit,
};

/// Size of a bin, in seconds.
const BIN_SIZE_S: f64 = 0.02;
/// Regions, dealt to the units in turn.
const REGIONS: [&str; 3] = ["CA1", "LP", "VISp"];

/// A recording of `n_units` units (counts in bins of 20 ms) that follow `n_latents` latents.
///
/// Latents come in pairs that rotate, pair `k` with `k + 1` turns per window. Every trial has its own phase and
/// amplitude of each pair and its own direction of rotation of the first. A unit's log rate is a base rate (mean
/// 0.1 to 0.6 spikes per bin) plus a random mixture of the latents; counts are Poisson. What one unit does in a
/// trial can be told from the others and from the past, and not from the trial average. Latents are the same for
/// all seeds in kind, units differ; the id is `synthetic-<seed>`, regions are dealt in turn, and the column
/// `choice` (`left` or `right`) holds the direction of rotation.
///
/// # Panics
/// If a size is zero.
pub fn synthetic_session(
    seed: u64,
    n_trials: usize,
    n_bins: usize,
    n_units: usize,
    n_latents: usize,
) -> Recording {
    assert!(n_latents > 0, "at least one latent is needed");
    let mut draws = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
    let base: Vec<f64> = (0..n_units).map(|_| draws.uniform_in(0.1, 0.6).ln()).collect();
    let scale = 0.8 / (n_latents as f64).sqrt();
    let loadings: Vec<f64> = (0..n_units * n_latents).map(|_| scale * draws.normal()).collect();

    let mut counts = vec![0u16; n_trials * n_units * n_bins];
    let mut choices = Vec::with_capacity(n_trials);
    for trial in 0..n_trials {
        let mut draws = Stream::new(seed, Domain::Synthetic, [1, trial as u64, 0]);
        let is_right = draws.bernoulli(0.5);
        choices.push(Some(if is_right { "right" } else { "left" }.to_owned()));
        let pairs: Vec<(f64, f64)> = (0..n_latents.div_ceil(2))
            .map(|_| (draws.uniform_in(0.8, 1.8), draws.uniform_in(0.0, std::f64::consts::TAU)))
            .collect();
        for bin in 0..n_bins {
            let turn = std::f64::consts::TAU * bin as f64 / n_bins as f64;
            let latents: Vec<f64> = (0..n_latents)
                .map(|l| {
                    let (pair, (amplitude, phase)) = (l / 2, pairs[l / 2]);
                    let direction = if pair == 0 && !is_right { -1.0 } else { 1.0 };
                    let angle = direction * (pair + 1) as f64 * turn + phase;
                    amplitude * if l % 2 == 0 { angle.cos() } else { angle.sin() }
                })
                .collect();
            for unit in 0..n_units {
                let weights = &loadings[unit * n_latents..(unit + 1) * n_latents];
                let drive: f64 = weights.iter().zip(&latents).map(|(w, z)| w * z).sum();
                let count = draws.poisson((base[unit] + drive).exp());
                counts[(trial * n_units + unit) * n_bins + bin] = u16::try_from(count).unwrap();
            }
        }
    }
    let counts = BinnedCounts::new(BIN_SIZE_S, n_trials, n_units, n_bins, counts).unwrap();
    let described = ("choice", "direction in which the first pair of latents rotates");
    let info = info(format!("synthetic-{seed}"), "synthetic rotations, not a recording");
    Recording::new(info, units(n_units), Activity::Counts(counts), trials(n_bins, described, choices))
        .unwrap()
}

/// [`synthetic_session`] as windows over whole trials, counts `[trial, bin, unit]`.
///
/// # Panics
/// If a size is zero.
pub fn synthetic_data(
    seed: u64,
    n_trials: usize,
    n_bins: usize,
    n_units: usize,
    n_latents: usize,
) -> SessionData {
    whole_trials(&synthetic_session(seed, n_trials, n_bins, n_units, n_latents), n_bins)
}

/// Windows over whole trials.
fn whole_trials(recording: &Recording, n_bins: usize) -> SessionData {
    let end_s = n_bins as f64 * BIN_SIZE_S;
    let window = WindowConfig { align: Alignment::TrialStart, start_s: 0.0, end_s, bin_size_s: BIN_SIZE_S };
    SessionData::new(recording, &window).unwrap()
}

fn info(session: String, source: &str) -> SessionInfo {
    SessionInfo {
        session: SessionId::new(session).unwrap(),
        subject: SubjectId::new("synthetic").unwrap(),
        dataset: DatasetId::new("synthetic").unwrap(),
        card: Card {
            source: source.to_owned(),
            citation: String::new(),
            license: "CC0-1.0".to_owned(),
            species: None,
            consent: Consent::NonHuman,
            ethics: None,
            changes: Vec::new(),
            source_files: Vec::new(),
            notes: None,
        },
    }
}

fn units(n_units: usize) -> Vec<Unit> {
    let unit = |i: usize| Unit {
        id: format!("u{i}"),
        region: REGIONS[i % REGIONS.len()].to_owned(),
        depth_um: None,
        quality: None,
    };
    (0..n_units).map(unit).collect()
}

/// Trials of `n_bins` bins, half a second apart.
fn trials(n_bins: usize, (name, description): (&str, &str), labels: Vec<Option<String>>) -> Trials {
    let length_s = n_bins as f64 * BIN_SIZE_S;
    let starts = (0..labels.len()).map(|i| i as f64 * (length_s + 0.5));
    let intervals = starts.map(|s| Interval::new(s, s + length_s).unwrap()).collect();
    let label = Column {
        name: name.to_owned(),
        unit: None,
        description: Some(description.to_owned()),
        values: ColumnValues::Text(labels),
    };
    Trials::new(intervals, vec![label]).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Axis;

    /// A unit's counts follow the latents of the trial: across trials, units share variance in a bin that
    /// independent Poisson counts would not share.
    #[test]
    fn counts_replay_from_the_seed_and_are_overdispersed_by_the_trial() {
        let data = synthetic_data(3, 400, 10, 6, 2);
        assert_eq!(data.counts(), synthetic_data(3, 400, 10, 6, 2).counts());
        assert_ne!(data.counts(), synthetic_data(4, 400, 10, 6, 2).counts());
        let counts = data.counts().mapv(f64::from);
        let mean = counts.mean_axis(Axis(0)).unwrap();
        let variance = counts.var_axis(Axis(0), 1.0);
        // Poisson counts have a Fano factor of 1, with a standard error of sqrt(2 / 400) = 0.07 in each of 60
        // entries, 0.01 in the mean; the latents add to it.
        let fano = (&variance / &mean).mean().unwrap();
        assert!(fano > 1.05, "{fano}");
        let rate = mean.mean().unwrap();
        assert!((0.1..1.5).contains(&rate), "{rate}");
    }
}
