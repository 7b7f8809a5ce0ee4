//! Populations driven by the Lorenz system, with their true rates: the field's usual test of latent dynamics.

use ndarray::{Array3, s};
use neurobrick_data::SessionData;
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::{Activity, BinnedCounts, Recording};

use super::{BIN_SIZE_S, info, trials, units, whole_trials};

/// σ, ρ and β of Lorenz (1963).
const PARAMETERS: [f64; 3] = [10.0, 28.0, 8.0 / 3.0];
/// Euler step of the system per millisecond.
const STEP: f64 = 0.006;
/// Steps that are thrown away.
const N_BURN_IN: usize = 500;
/// Milliseconds of a bin.
const MS_PER_BIN: usize = 20;
/// Rate at the center of the attractor, in spikes per millisecond: 5 Hz.
const BASE_RATE: f64 = 0.005;

/// A population with known rates.
#[derive(Clone, Debug)]
pub struct LorenzPopulation {
    /// Counts in bins of 20 ms, `[trial, bin, unit]`; the trials of a condition are as many apart as there are conditions.
    pub data: SessionData,
    /// True expected spikes per bin `[trial, bin, unit]`.
    pub rates: Array3<f64>,
    /// Latents at the middle of every bin `[trial, bin, 3]`, centered per condition and at most 1 in size.
    pub latents: Array3<f64>,
    /// Condition of every trial: its first state of the system.
    pub conditions: Vec<usize>,
}

/// One explicit Euler step of the Lorenz system.
pub fn lorenz_step([x, y, z]: [f64; 3], step: f64) -> [f64; 3] {
    let [sigma, rho, beta] = PARAMETERS;
    [x + step * sigma * (y - x), y + step * (x * (rho - z) - y), z + step * (x * y - beta * z)]
}

/// Poisson counts of `n_units` units around the Lorenz system, after the generator of the LFADS run manager (synthetic
/// data of Pandarinath et al. 2018; published size: 65 conditions of 20 to 30 trials, 50 bins, 25 to 35 units).
///
/// A condition is a first state, normal around (0, 0, 25), run for 500 steps before the trial and then with one Euler step
/// of 0.006 per millisecond. Latents are centered per condition and divided by their largest size over all. Weights are
/// uniform in `[1, 2)` with a random sign; the rate is 5 Hz times the exponential of their product with the latents, summed
/// over the milliseconds of a bin. Unlike the published code, the equation of y has its decay, and counts are Poisson
/// rather than binary per millisecond.
///
/// `dynamics` seeds the conditions, `session` the units and counts: sessions of one `dynamics` share their latents. The
/// id is `lorenz-<dynamics>-<session>`, the conditions are in the column `condition`.
///
/// # Panics
/// If a size is zero.
pub fn lorenz_population(
    dynamics: u64,
    session: u64,
    n_conditions: usize,
    n_repeats: usize,
    n_bins: usize,
    n_units: usize,
) -> LorenzPopulation {
    assert!(n_conditions * n_repeats * n_bins * n_units > 0, "sizes of a population must be positive");
    let paths = scaled_paths(dynamics, n_conditions, n_bins);
    let mut draws = Stream::new(session, Domain::Synthetic, [2, 0, 0]);
    let weights: Vec<[f64; 3]> = (0..n_units)
        .map(|_| [(); 3].map(|()| draws.uniform_in(1.0, 2.0) * if draws.bernoulli(0.5) { 1.0 } else { -1.0 }))
        .collect();
    let n_trials = n_conditions * n_repeats;
    let conditions: Vec<usize> = (0..n_trials).map(|trial| trial % n_conditions).collect();
    let mut by_condition = Array3::zeros((n_conditions, n_bins, n_units));
    for ((condition, bin, unit), rate) in by_condition.indexed_iter_mut() {
        let ms = &paths[condition][bin * MS_PER_BIN..(bin + 1) * MS_PER_BIN];
        let drive = |x: &[f64; 3]| x.iter().zip(&weights[unit]).map(|(x, w)| x * w).sum::<f64>();
        *rate = ms.iter().map(|x| BASE_RATE * drive(x).exp()).sum();
    }
    let rates = by_condition.select(ndarray::Axis(0), &conditions);
    let latents = Array3::from_shape_fn((n_trials, n_bins, 3), |(trial, bin, k)| {
        paths[conditions[trial]][bin * MS_PER_BIN + MS_PER_BIN / 2][k]
    });
    let mut counts = Vec::with_capacity(rates.len());
    for trial in 0..n_trials {
        let mut draws = Stream::new(session, Domain::Synthetic, [3, trial as u64, 0]);
        for unit in 0..n_units {
            let rates = rates.slice(s![trial, .., unit]);
            counts.extend(rates.iter().map(|&rate| u16::try_from(draws.poisson(rate)).unwrap()));
        }
    }
    let counts = BinnedCounts::new(BIN_SIZE_S, n_trials, n_units, n_bins, counts).unwrap();
    let labels = conditions.iter().map(|c| Some(format!("c{c}"))).collect();
    let recording = Recording::new(
        info(format!("lorenz-{dynamics}-{session}"), "synthetic Lorenz dynamics, not a recording"),
        units(n_units),
        Activity::Counts(counts),
        trials(n_bins, ("condition", "first state of the Lorenz system"), labels),
    );
    LorenzPopulation { data: whole_trials(&recording.unwrap(), n_bins), rates, latents, conditions }
}

/// The path of every condition, a state per millisecond.
fn scaled_paths(dynamics: u64, n_conditions: usize, n_bins: usize) -> Vec<Vec<[f64; 3]>> {
    let n_steps = n_bins * MS_PER_BIN;
    let mut paths: Vec<Vec<[f64; 3]>> = (0..n_conditions)
        .map(|condition| {
            let mut draws = Stream::new(dynamics, Domain::Synthetic, [4, condition as u64, 0]);
            let mut x = [draws.normal(), draws.normal(), 25.0 + draws.normal()];
            let mut advance = || {
                x = lorenz_step(x, STEP);
                x
            };
            (0..N_BURN_IN).for_each(|_| {
                advance();
            });
            (0..n_steps).map(|_| advance()).collect()
        })
        .collect();
    for path in &mut paths {
        for k in 0..3 {
            let mean = path.iter().map(|x| x[k]).sum::<f64>() / n_steps as f64;
            for x in path.iter_mut() {
                x[k] -= mean;
            }
        }
    }
    for k in 0..3 {
        let largest = paths.iter().flatten().fold(0.0f64, |m, x| m.max(x[k].abs()));
        for x in paths.iter_mut().flatten() {
            x[k] /= largest;
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden_json;

    #[test]
    fn steps_are_those_of_the_published_equations() {
        let golden = golden_json("synthetic/lorenz.json");
        let mut x = [1.0, 1.0, 25.0];
        for expected in golden["lorenz/euler_dt_0p006"].values.chunks_exact(3) {
            x = lorenz_step(x, 0.006);
            for (a, b) in x.iter().zip(expected) {
                assert!((a - b).abs() < 1e-9, "{a} is not {b}");
            }
        }
    }

    #[test]
    fn counts_have_the_true_rates_and_sessions_share_latents() {
        let one = lorenz_population(1, 1, 4, 100, 10, 6);
        let other = lorenz_population(1, 2, 4, 2, 10, 9);
        assert_eq!(one.latents.slice(s![..4, .., ..]), other.latents.slice(s![..4, .., ..]));
        assert_eq!(one.data.counts(), lorenz_population(1, 1, 4, 100, 10, 6).data.counts());
        let (seen, expected) = (one.data.counts().mapv(f64::from).sum(), one.rates.sum());
        // Four standard deviations of a Poisson total.
        assert!((seen - expected).abs() < 4.0 * expected.sqrt(), "{seen} spikes, {expected} expected");
        let mean_hz = expected / one.rates.len() as f64 / BIN_SIZE_S;
        assert!((3.0..30.0).contains(&mean_hz), "{mean_hz} Hz");
    }
}
