//! Many sessions of one made-up brain: latents shared over sessions, regions that read different ones, all of it known.

use std::ops::Range;

use ndarray::{Array2, Array3, s};
use neurobrick_data::SessionData;
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::{Activity, BinnedCounts, Recording, Unit};

use super::{BIN_SIZE_S, info, trials, whole_trials};

/// Highest rate in spikes per bin; the probability of no spike, from which counts are drawn, underflows above 700.
const MAX_RATE: f64 = 500.0;

/// A brain that can be recorded again and again. Its moments are known in closed form, so that whatever is computed from a
/// recording can be checked against the truth.
///
/// Linear Gaussian latents and Poisson counts, after Macke et al. 2011 ("Empirical models of spiking in neural populations",
/// Advances in Neural Information Processing Systems 24), with latents that turn. No published generator of sessions with
/// shared latents and known regions was found, so the sizes below are ours.
///
/// - **Latents.** Every region has `n_pairs` pairs of its own. A pair turns by `2π / period_bins` per bin, where pair `k` of
///   all has `period_bins = 10 + 4k`, shrinks by `memory` and takes new noise that makes up for it, so that every latent has
///   mean 0 and variance 1 in every bin, and correlation `memoryᵈ cos(2πd / period_bins)` with itself `d` bins later.
/// - **Conditions and sessions.** A latent is `√shared` times that of its condition, which all sessions of a brain have in
///   common, and `√(1 - shared)` times one of its trial alone. Two trials of a condition, of the same session or not, have
///   latents with correlation `shared`; trials of different conditions have none.
/// - **Units.** A unit belongs to one region, weighs the latents of that region with weights of length `gain`, and sees no
///   others. Its rate is log-normal over time with the mean drawn for it, between the two of `rates_hz`.
/// - **Counts** in bins of 20 ms are Poisson given the rates, independent in every bin and unit.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedBrain {
    /// Seeds the latents of the conditions. Sessions of one seed are of one brain.
    pub seed: u64,
    /// Names of the regions, dealt to the units of a session in turn.
    pub regions: Vec<String>,
    /// Pairs of latents of every region.
    pub n_pairs: usize,
    /// Number of conditions; trial `i` has condition `i % n_conditions`.
    pub n_conditions: usize,
    /// Bins of a trial.
    pub n_bins: usize,
    /// What a latent keeps from one bin to the next, from 0 to 1.
    pub memory: f64,
    /// Part of the variance of latents that belongs to the condition, from 0 to 1.
    pub shared: f64,
    /// Standard deviation of log rates over time.
    pub gain: f64,
    /// Mean rates of units lie between these, in spikes per second.
    pub rates_hz: [f64; 2],
}

impl SharedBrain {
    /// Three regions with two pairs of latents each, 16 conditions, trials of 2 s, half of the variance shared.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            regions: super::REGIONS.map(str::to_owned).to_vec(),
            n_pairs: 2,
            n_conditions: 16,
            n_bins: 100,
            memory: 0.95,
            shared: 0.5,
            gain: 0.6,
            rates_hz: [2.0, 20.0],
        }
    }

    /// One region with one pair of latents, read strongly by units that fire much, in trials of half a second of which no two
    /// are alike: a cursor that a decoder of single spikes learns within seconds.
    pub fn cursor(seed: u64) -> Self {
        Self {
            regions: vec!["M1".to_owned()],
            n_pairs: 1,
            n_bins: 25,
            memory: 0.98,
            shared: 0.0,
            gain: 1.0,
            rates_hz: [10.0, 40.0],
            ..Self::new(seed)
        }
    }

    /// Number of latents of all regions.
    pub fn n_latents(&self) -> usize {
        self.regions.len() * 2 * self.n_pairs
    }

    /// Positions of a region's latents among all; `region` counts [`SharedBrain::regions`].
    pub fn latents_of(&self, region: usize) -> Range<usize> {
        region * 2 * self.n_pairs..(region + 1) * 2 * self.n_pairs
    }

    /// Bins in which a latent comes full circle.
    pub fn period_bins(&self, latent: usize) -> f64 {
        10.0 + 4.0 * (latent / 2) as f64
    }

    /// Records the brain. `session` seeds units, trials and counts; the id is `shared-<seed>-<session>`, the conditions are
    /// in the column `condition` as `c0`, `c1` and so on.
    ///
    /// # Panics
    /// If a size is zero, `memory` or `shared` is not within 0 and 1, `gain` is not finite, `rates_hz` are not two positive
    /// finite rates in ascending order, or a rate rises beyond 500 spikes per bin, above which counts are not Poisson.
    pub fn session(&self, session: u64, n_trials: usize, n_units: usize) -> SharedSession {
        let sizes = [self.n_latents(), self.n_conditions, self.n_bins, n_trials, n_units];
        assert!(sizes.iter().all(|&size| size > 0), "sizes of a brain must be positive: {sizes:?}");
        for part in [self.memory, self.shared] {
            assert!((0.0..=1.0).contains(&part), "{part} is not between 0 and 1");
        }
        let [low, high] = self.rates_hz;
        assert!(
            low > 0.0 && low <= high && high.is_finite(),
            "rates_hz are {low} and {high}, expected positive rates in ascending order"
        );
        assert!(self.gain.is_finite(), "gain is {}, expected a finite number", self.gain);
        let conditions: Vec<usize> = (0..n_trials).map(|trial| trial % self.n_conditions).collect();
        let own_seed = Stream::new(session, Domain::Synthetic, [5, self.seed, 0]).bits();
        let latents = self.latents(own_seed, &conditions);
        let (loadings, log_means) = self.units(own_seed, n_units);
        let rates = Array3::from_shape_fn((n_trials, self.n_bins, n_units), |(trial, bin, unit)| {
            let drive = latents.slice(s![trial, bin, ..]).dot(&loadings.row(unit));
            (log_means[unit] + drive - self.gain * self.gain / 2.0).exp()
        });
        let highest = rates.iter().copied().fold(0.0, f64::max);
        assert!(
            highest <= MAX_RATE,
            "a rate rises to {highest} spikes per bin, expected at most {MAX_RATE}: lower rates_hz or gain"
        );
        let name = format!("shared-{}-{session}", self.seed);
        let recording = self.record(name, own_seed, &conditions, &rates);
        SharedSession { recording, latents, rates, loadings, conditions }
    }

    /// Latents of every trial `[trial, bin, latent]`.
    fn latents(&self, own_seed: u64, conditions: &[usize]) -> Array3<f64> {
        let mut latents = Array3::zeros((conditions.len(), self.n_bins, self.n_latents()));
        for (trial, &condition) in conditions.iter().enumerate() {
            for latent in (0..self.n_latents()).step_by(2) {
                let at = latent as u64;
                let of_condition = Stream::new(self.seed, Domain::Synthetic, [6, condition as u64, at]);
                let of_trial = Stream::new(own_seed, Domain::Synthetic, [7, trial as u64, at]);
                let parts = [(self.shared, of_condition), (1.0 - self.shared, of_trial)];
                for (variance, mut draws) in parts {
                    for (bin, pair) in self.turns(latent, &mut draws).enumerate() {
                        for (axis, value) in pair.into_iter().enumerate() {
                            latents[[trial, bin, latent + axis]] += variance.sqrt() * value;
                        }
                    }
                }
            }
        }
        latents
    }

    /// The pair of latents that begins at `latent`, bin by bin.
    fn turns(&self, latent: usize, draws: &mut Stream) -> impl Iterator<Item = [f64; 2]> {
        let (sin, cos) = (std::f64::consts::TAU / self.period_bins(latent)).sin_cos();
        let new = (1.0 - self.memory * self.memory).sqrt();
        let mut pair = [draws.normal(), draws.normal()];
        (0..self.n_bins).map(move |bin| {
            if bin > 0 {
                let [x, y] = pair;
                let turned = [cos * x - sin * y, sin * x + cos * y];
                pair = turned.map(|value| self.memory * value + new * draws.normal());
            }
            pair
        })
    }

    /// Weights `[unit, latent]` and the log of the mean rate of every unit, in spikes per bin.
    fn units(&self, own_seed: u64, n_units: usize) -> (Array2<f64>, Vec<f64>) {
        let mut loadings = Array2::zeros((n_units, self.n_latents()));
        let mut log_means = Vec::with_capacity(n_units);
        for unit in 0..n_units {
            let mut draws = Stream::new(own_seed, Domain::Synthetic, [8, unit as u64, 0]);
            let [low, high] = self.rates_hz;
            log_means.push((draws.uniform_in(low, high) * BIN_SIZE_S).ln());
            let own = self.latents_of(unit % self.regions.len());
            let mut weights = loadings.slice_mut(s![unit, own]);
            weights.mapv_inplace(|_: f64| draws.normal());
            let length = weights.dot(&weights).sqrt();
            weights.mapv_inplace(|weight| self.gain * weight / length);
        }
        (loadings, log_means)
    }

    fn record(&self, name: String, own_seed: u64, conditions: &[usize], rates: &Array3<f64>) -> Recording {
        let (n_trials, n_bins, n_units) = rates.dim();
        let mut counts = Vec::with_capacity(rates.len());
        for trial in 0..n_trials {
            let mut draws = Stream::new(own_seed, Domain::Synthetic, [9, trial as u64, 0]);
            for unit in 0..n_units {
                let rates = rates.slice(s![trial, .., unit]);
                counts.extend(rates.iter().map(|&rate| u16::try_from(draws.poisson(rate)).unwrap()));
            }
        }
        let counts = BinnedCounts::new(BIN_SIZE_S, n_trials, n_units, n_bins, counts).unwrap();
        let unit = |unit: usize| Unit {
            id: format!("u{unit}"),
            region: self.regions[unit % self.regions.len()].clone(),
            depth_um: None,
            quality: None,
        };
        let labels = conditions.iter().map(|condition| Some(format!("c{condition}"))).collect();
        Recording::new(
            info(name, "synthetic shared latents, not a recording"),
            (0..n_units).map(unit).collect(),
            Activity::Counts(counts),
            trials(n_bins, ("condition", "latents that trials of all sessions share"), labels),
        )
        .unwrap()
    }
}

/// A recording of a [`SharedBrain`], with the truth behind it.
#[derive(Clone, Debug)]
pub struct SharedSession {
    /// Counts in bins of 20 ms, as they would be stored.
    pub recording: Recording,
    /// Latents `[trial, bin, latent]`; without a unit, mean 0 and variance 1.
    pub latents: Array3<f64>,
    /// True expected spikes per bin `[trial, bin, unit]`.
    pub rates: Array3<f64>,
    /// Weights of the latents in log rates `[unit, latent]`; zero for latents of other regions.
    pub loadings: Array2<f64>,
    /// Condition of every trial.
    pub conditions: Vec<usize>,
}

impl SharedSession {
    /// The recording as windows over whole trials, counts `[trial, bin, unit]`.
    pub fn data(&self) -> SessionData {
        whole_trials(&self.recording, self.rates.dim().1)
    }
}
