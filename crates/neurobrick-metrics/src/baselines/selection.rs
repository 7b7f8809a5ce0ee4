//! The yardstick for hyper-parameters: pooled Poisson cost of predicted rates on validation counts.

use std::f64::consts::LN_2;

use faer::MatRef;
use rayon::prelude::*;

use crate::MetricError;
use crate::likelihood::entry_cost;

/// Validation counts of the targets, stored by their spikes.
pub(crate) struct Yardstick {
    n_rows: usize,
    /// Per target, the rows with spikes and how many.
    spikes: Vec<Vec<(usize, f64)>>,
    n_spikes: f64,
    null_cost: f64,
}

impl Yardstick {
    /// From counts `[rows, targets]` of `n_trials` trials; fails without a spike.
    pub(crate) fn new(counts: MatRef<f64>, n_trials: usize) -> Result<Self, MetricError> {
        let n_rows = counts.nrows();
        let spikes: Vec<Vec<(usize, f64)>> = (0..counts.ncols())
            .map(|j| counts.col(j).iter().copied().enumerate().filter(|(_, n)| *n > 0.0).collect())
            .collect();
        let per_target: Vec<f64> = spikes.iter().map(|column| column.iter().map(|(_, n)| n).sum()).collect();
        let n_spikes = per_target.iter().sum();
        if n_spikes == 0.0 {
            return Err(MetricError::NoSpikes { targets: counts.ncols(), trials: n_trials });
        }
        // The mean rate costs `n − n ln(n / rows)` per unit.
        let null_cost =
            per_target.iter().map(|&n| n_rows as f64 * entry_cost(n / n_rows as f64, n / n_rows as f64));
        let null_cost = null_cost.sum();
        Ok(Self { n_rows, spikes, n_spikes, null_cost })
    }

    /// Cost of `rate(row, target)`, summed over targets in order. Rates must be positive.
    pub(crate) fn cost(&self, rate: impl Fn(usize, usize) -> f64 + Sync) -> f64 {
        let per_target: Vec<f64> =
            (0..self.spikes.len()).into_par_iter().map(|j| self.target_cost(j, &rate)).collect();
        per_target.iter().sum()
    }

    /// Cost of one target.
    pub(crate) fn target_cost(&self, target: usize, rate: impl Fn(usize, usize) -> f64) -> f64 {
        let expected: f64 = (0..self.n_rows).map(|row| rate(row, target)).sum();
        let logs: f64 = self.spikes[target].iter().map(|&(row, n)| n * rate(row, target).ln()).sum();
        expected - logs
    }

    /// Pooled bits/spike over the mean of the validation data that a cost amounts to.
    pub(crate) fn bits_per_spike(&self, cost: f64) -> f64 {
        (self.null_cost - cost) / self.n_spikes / LN_2
    }
}
