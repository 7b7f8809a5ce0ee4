//! Forward prediction by persistence: a unit continues at the mean of its last visible bins, shrunk to its mean.

use ndarray::{Array2, Array3, ArrayView3, Axis, s};
use serde::{Deserialize, Serialize};

use super::counts::{check_counts, check_grid, check_train_valid, positive_means};
use super::selection::Yardstick;
use crate::linalg::rows_of;
use crate::{MetricError, RATE_FLOOR};

/// Hyper-parameters to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastMeanGrid {
    /// Number of last visible bins to average; more than there are means all.
    pub windows_bins: Vec<usize>,
    /// Weight of the recent mean, the rest goes to the unit's mean over training; within [0, 1).
    pub weights: Vec<f64>,
}

impl Default for LastMeanGrid {
    fn default() -> Self {
        Self { windows_bins: vec![5, 10, 20, 40, 90], weights: vec![0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9] }
    }
}

/// What was chosen, and how well it did on the validation trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastMeanChoice {
    /// Number of last visible bins averaged.
    pub window_bins: usize,
    /// Weight of the recent mean.
    pub weight: f64,
    /// Pooled bits/spike on the validation trials' forward bins.
    pub valid_bits_per_spike: f64,
}

/// A fitted persistence predictor.
#[derive(Clone, Debug)]
pub struct LastMean {
    grid: LastMeanGrid,
    choice: LastMeanChoice,
    means: Vec<f64>,
    n_visible: usize,
    n_forward: usize,
}

impl LastMean {
    /// Chooses window and weight for predicting the last `n_forward` bins of each trial from the bins before.
    ///
    /// Fails on counts that are empty, negative or not finite, unless `0 < n_forward < T`, on a grid that is empty
    /// or out of range, and without a spike in the forward bins of the validation trials.
    pub fn fit(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        n_forward: usize,
        grid: &LastMeanGrid,
    ) -> Result<Self, MetricError> {
        check_train_valid(train, valid)?;
        let n_visible = visible_bins(train, n_forward)?;
        let windows: Vec<f64> = grid.windows_bins.iter().map(|&w| w as f64).collect();
        check_grid("windows_bins", &windows, "above zero", |w| w > 0.0)?;
        check_grid("weights", &grid.weights, "within [0, 1)", |w| (0.0..1.0).contains(&w))?;
        let units: Vec<usize> = (0..train.len_of(Axis(2))).collect();
        let forward = valid.slice(s![.., n_visible.., ..]);
        let yardstick = Yardstick::new(rows_of(&forward, &units).as_ref(), valid.len_of(Axis(0)))?;
        let means = positive_means(train);
        let mut choice =
            LastMeanChoice { window_bins: 0, weight: 0.0, valid_bits_per_spike: f64::NEG_INFINITY };
        for &window_bins in &grid.windows_bins {
            let recent = recent_means(valid, n_visible, window_bins);
            for &weight in &grid.weights {
                let cost =
                    yardstick.cost(|row, unit| shrunk(recent[[row / n_forward, unit]], means[unit], weight));
                let valid_bits_per_spike = yardstick.bits_per_spike(cost);
                if valid_bits_per_spike > choice.valid_bits_per_spike {
                    choice = LastMeanChoice { window_bins, weight, valid_bits_per_spike };
                }
            }
        }
        Ok(Self { grid: grid.clone(), choice, means, n_visible, n_forward })
    }

    /// Rates `[B, n_forward, N]` of the forward bins; reads only the visible bins of `counts`, which may lack the
    /// forward ones. Fails on invalid counts and if there are too few bins or another number of units.
    pub fn predict(&self, counts: &ArrayView3<f64>) -> Result<Array3<f64>, MetricError> {
        let visible = visible_part(counts, self.n_visible, self.means.len())?;
        let recent = recent_means(&visible, self.n_visible, self.choice.window_bins);
        let shape = (counts.len_of(Axis(0)), self.n_forward, self.means.len());
        Ok(Array3::from_shape_fn(shape, |(b, _, n)| {
            shrunk(recent[[b, n]], self.means[n], self.choice.weight)
        }))
    }

    /// What was tried.
    pub fn grid(&self) -> &LastMeanGrid {
        &self.grid
    }

    /// What was chosen.
    pub fn choice(&self) -> &LastMeanChoice {
        &self.choice
    }
}

fn shrunk(recent: f64, mean: f64, weight: f64) -> f64 {
    (mean + weight * (recent - mean)).max(RATE_FLOOR)
}

/// Bins before the forward ones.
pub(crate) fn visible_bins(counts: &ArrayView3<f64>, n_forward: usize) -> Result<usize, MetricError> {
    match counts.len_of(Axis(1)).checked_sub(n_forward) {
        Some(n_visible) if n_visible > 0 && n_forward > 0 => Ok(n_visible),
        _ => Err(MetricError::InvalidSetting {
            what: "n_forward",
            value: n_forward as f64,
            must: "above zero and below the number of bins",
        }),
    }
}

/// The first `n_visible` bins, checked.
pub(crate) fn visible_part<'a>(
    counts: &'a ArrayView3<f64>,
    n_visible: usize,
    n_units: usize,
) -> Result<ArrayView3<'a, f64>, MetricError> {
    let (n_trials, n_bins, units) = counts.dim();
    if n_bins < n_visible || units != n_units {
        let (expected, got) = (vec![n_trials, n_visible, n_units], counts.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "counts", expected, got });
    }
    let visible = counts.slice(s![.., ..n_visible, ..]);
    check_counts(&visible, "visible counts")?;
    Ok(visible)
}

/// Mean of each unit over the last `window` of the first `n_visible` bins, `[B, N]`.
pub(crate) fn recent_means(counts: &ArrayView3<f64>, n_visible: usize, window: usize) -> Array2<f64> {
    let start = n_visible.saturating_sub(window);
    counts.slice(s![.., start..n_visible, ..]).sum_axis(Axis(1)) / (n_visible - start) as f64
}
