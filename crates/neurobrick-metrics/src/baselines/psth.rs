//! The PSTH: mean over training trials of the same condition, smoothed over bins, shrunk to the unit's mean.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use super::counts::{check_grid, check_train_valid, positive_means};
use super::selection::Yardstick;
use crate::linalg::rows_of;
use crate::{Edge, MetricError, RATE_FLOOR, smooth_over_time};

/// Hyper-parameters to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PsthGrid {
    /// Standard deviations of the smoothing over bins.
    pub sigmas_bins: Vec<f64>,
    /// Weight of the unit's mean, in trials: a condition with as many trials is shrunk half way. Above zero.
    pub prior_trials: Vec<f64>,
}

impl Default for PsthGrid {
    fn default() -> Self {
        Self { sigmas_bins: vec![1.0, 2.0, 4.0, 8.0], prior_trials: vec![1.0, 4.0, 16.0, 64.0, 256.0] }
    }
}

/// What was chosen, and how well it did on the validation trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PsthChoice {
    /// Standard deviation of the smoothing over bins.
    pub sigma_bins: f64,
    /// Weight of the unit's mean, in trials.
    pub prior_trials: f64,
    /// Pooled bits/spike on the validation trials.
    pub valid_bits_per_spike: f64,
}

/// A fitted PSTH per condition.
#[derive(Clone, Debug)]
pub struct Psth {
    grid: PsthGrid,
    choice: PsthChoice,
    /// Row of `rates` of each condition label.
    row_of: BTreeMap<usize, usize>,
    /// `[conditions, T, N]`, spikes/bin.
    rates: Array3<f64>,
    means: Vec<f64>,
}

impl Psth {
    /// Fits on training trials and their condition labels (any numbers), chooses on validation trials.
    ///
    /// Fails on counts that are empty, negative or not finite, on label lists of the wrong length, on a grid that
    /// is empty or out of range, and without a validation spike.
    pub fn fit(
        train: &ArrayView3<f64>,
        train_conditions: &[usize],
        valid: &ArrayView3<f64>,
        valid_conditions: &[usize],
        grid: &PsthGrid,
    ) -> Result<Self, MetricError> {
        check_train_valid(train, valid)?;
        check_labels(train, train_conditions)?;
        check_labels(valid, valid_conditions)?;
        check_grid("sigmas_bins", &grid.sigmas_bins, "at least zero", |sigma| sigma >= 0.0)?;
        check_grid("prior_trials", &grid.prior_trials, "above zero", |trials| trials > 0.0)?;
        let (_, n_bins, n_units) = train.dim();
        let units: Vec<usize> = (0..n_units).collect();
        let yardstick = Yardstick::new(rows_of(valid, &units).as_ref(), valid.len_of(Axis(0)))?;
        let mut psth = Self {
            grid: grid.clone(),
            choice: PsthChoice {
                sigma_bins: 0.0,
                prior_trials: 0.0,
                valid_bits_per_spike: f64::NEG_INFINITY,
            },
            row_of: BTreeMap::new(),
            rates: Array3::zeros((0, n_bins, n_units)),
            means: positive_means(train),
        };
        let (row_of, trials, averages) = condition_averages(train, train_conditions);
        psth.row_of = row_of;
        for &sigma_bins in &grid.sigmas_bins {
            let smoothed = smooth_over_time(&averages.view(), sigma_bins, Edge::Renormalized)?;
            for &prior_trials in &grid.prior_trials {
                let rates = shrunk(&smoothed, &trials, &psth.means, prior_trials);
                let rows: Vec<_> = valid_conditions.iter().map(|label| psth.row_of.get(label)).collect();
                let cost = yardstick.cost(|row, unit| match rows[row / n_bins] {
                    Some(&condition) => rates[[condition, row % n_bins, unit]],
                    None => psth.means[unit],
                });
                let valid_bits_per_spike = yardstick.bits_per_spike(cost);
                if valid_bits_per_spike > psth.choice.valid_bits_per_spike {
                    psth.choice = PsthChoice { sigma_bins, prior_trials, valid_bits_per_spike };
                    psth.rates = rates;
                }
            }
        }
        Ok(psth)
    }

    /// Rates `[B, T, N]` of trials with these conditions; the unit's mean where a condition was never trained.
    pub fn predict(&self, conditions: &[usize]) -> Array3<f64> {
        let (_, n_bins, n_units) = self.rates.dim();
        let rows: Vec<_> = conditions.iter().map(|label| self.row_of.get(label)).collect();
        Array3::from_shape_fn((conditions.len(), n_bins, n_units), |(b, t, n)| match rows[b] {
            Some(&condition) => self.rates[[condition, t, n]],
            None => self.means[n],
        })
    }

    /// What was tried.
    pub fn grid(&self) -> &PsthGrid {
        &self.grid
    }

    /// What was chosen.
    pub fn choice(&self) -> &PsthChoice {
        &self.choice
    }
}

fn check_labels(counts: &ArrayView3<f64>, labels: &[usize]) -> Result<(), MetricError> {
    if labels.len() == counts.len_of(Axis(0)) {
        return Ok(());
    }
    let (expected, got) = (vec![counts.len_of(Axis(0))], vec![labels.len()]);
    Err(MetricError::ShapeMismatch { what: "condition labels", expected, got })
}

/// Row of each label, trials per row, and means `[conditions, T, N]`.
fn condition_averages(
    counts: &ArrayView3<f64>,
    labels: &[usize],
) -> (BTreeMap<usize, usize>, Vec<f64>, Array3<f64>) {
    let mut row_of: BTreeMap<usize, usize> = labels.iter().map(|&label| (label, 0)).collect();
    for (row, value) in row_of.values_mut().enumerate() {
        *value = row;
    }
    let (_, n_bins, n_units) = counts.dim();
    let mut trials = vec![0.0; row_of.len()];
    let mut averages = Array3::zeros((row_of.len(), n_bins, n_units));
    for (label, trial) in labels.iter().zip(counts.outer_iter()) {
        trials[row_of[label]] += 1.0;
        let mut sum = averages.index_axis_mut(Axis(0), row_of[label]);
        sum += &trial;
    }
    for (mut average, n) in averages.outer_iter_mut().zip(&trials) {
        average /= *n;
    }
    (row_of, trials, averages)
}

fn shrunk(averages: &Array3<f64>, trials: &[f64], means: &[f64], prior_trials: f64) -> Array3<f64> {
    Array3::from_shape_fn(averages.dim(), |(condition, bin, unit)| {
        let own = trials[condition] * averages[[condition, bin, unit]];
        ((own + prior_trials * means[unit]) / (trials[condition] + prior_trials)).max(RATE_FLOOR)
    })
}
