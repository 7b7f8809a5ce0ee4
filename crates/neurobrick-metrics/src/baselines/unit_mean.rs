//! Each unit's mean rate over training trials and bins.

use ndarray::{Array3, ArrayView3};
use serde::{Deserialize, Serialize};

use super::counts::{check_counts, positive_means};
use crate::MetricError;

/// The mean rate of each unit; the train-mean null as a predictor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitMean {
    means: Vec<f64>,
}

impl UnitMean {
    /// Means over `[B, T, N]`; a unit silent in training gets half a spike over all bins. Fails on counts that are
    /// empty, negative or not finite.
    pub fn fit(train: &ArrayView3<f64>) -> Result<Self, MetricError> {
        check_counts(train, "training counts")?;
        Ok(Self { means: positive_means(train) })
    }

    /// Mean of each unit, spikes/bin.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// The means, repeated: `[n_trials, n_bins, N]`.
    pub fn predict(&self, n_trials: usize, n_bins: usize) -> Array3<f64> {
        Array3::from_shape_fn((n_trials, n_bins, self.means.len()), |(_, _, n)| self.means[n])
    }
}
