//! The percentile bootstrap: resampled trial weights, addressed by seed, and quantiles of the resampled values.

use std::collections::BTreeMap;

use neurobrick_random::{Domain, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{ConfidenceInterval, IntervalMethod};

/// Settings of a percentile bootstrap (Efron 1979). The resampling unit is the trial; the null is never refitted
/// inside a resample, because it is part of the question, not of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Seed of the resamples; the same seed pairs the resamples of two predictors.
    pub seed: u64,
    /// Number of resamples; some hundred at least, for bounds that do not depend on the seed.
    pub n_resamples: usize,
    /// Coverage, a share such as 0.95.
    pub level: f64,
}

impl Bootstrap {
    /// 1,000 resamples at level 0.95.
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, n_resamples: 1000, level: 0.95 }
    }

    /// Interval of any statistic of rows, whole clusters of rows resampled (trials, sessions, subjects): rows of one cluster
    /// are not independent. `statistic` gets the drawn rows, repeats included; resamples in which it is `None` or not
    /// finite are left out. Bounds are NaN with fewer than two clusters.
    pub fn clustered(
        &self,
        cluster_of_row: &[usize],
        statistic: impl Fn(&[usize]) -> Option<f64> + Send + Sync,
    ) -> ConfidenceInterval {
        let mut clusters: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (row, cluster) in cluster_of_row.iter().enumerate() {
            clusters.entry(*cluster).or_default().push(row);
        }
        let clusters: Vec<Vec<usize>> = clusters.into_values().collect();
        if clusters.len() < 2 {
            return self.undefined(IntervalMethod::GroupBootstrap);
        }
        let values = self.values(|resample| {
            let drawn = self.draws(resample, clusters.len());
            let rows: Vec<usize> = drawn.into_iter().flat_map(|i| clusters[i].iter().copied()).collect();
            statistic(&rows).unwrap_or(f64::NAN)
        });
        self.interval(values, IntervalMethod::GroupBootstrap)
    }

    /// How often each of `n` items occurs in resample number `resample`; `slot` addresses independent draws within
    /// one resample (a session, a class).
    pub(crate) fn weights(&self, resample: usize, slot: usize, n: usize) -> Vec<f64> {
        let mut stream = Stream::new(self.seed, Domain::Bootstrap, [resample as u64, slot as u64, 0]);
        let mut weights = vec![0.0; n];
        for _ in 0..n {
            weights[stream.below(n)] += 1.0;
        }
        weights
    }

    /// The `n` indices drawn from `0..n` in resample number `resample`, for the outer level of a hierarchy.
    pub(crate) fn draws(&self, resample: usize, n: usize) -> Vec<usize> {
        let mut stream = Stream::new(self.seed, Domain::Bootstrap, [resample as u64, 0, 1]);
        (0..n).map(|_| stream.below(n)).collect()
    }

    /// `statistic(resample)` for every resample, in order, whatever the number of threads.
    pub(crate) fn values(&self, statistic: impl Fn(usize) -> f64 + Send + Sync) -> Vec<f64> {
        (0..self.n_resamples).into_par_iter().map(statistic).collect()
    }

    /// The percentile interval of resampled values; resamples without a finite value (no spike drawn) are left out
    /// and not counted.
    pub(crate) fn interval(&self, mut values: Vec<f64>, method: IntervalMethod) -> ConfidenceInterval {
        values.retain(|v| v.is_finite());
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        ConfidenceInterval {
            lo: quantile(&values, tail),
            hi: quantile(&values, 1.0 - tail),
            level: self.level,
            method,
            n_resamples: values.len(),
        }
    }

    /// The answer where no interval exists: NaN bounds, no resample.
    pub(crate) fn undefined(&self, method: IntervalMethod) -> ConfidenceInterval {
        self.interval(Vec::new(), method)
    }
}

/// Quantile of sorted values by linear interpolation (type 7, the default of NumPy and R); NaN without values.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = q.clamp(0.0, 1.0) * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 0..=last by construction"
    )]
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_as_numpy() {
        // numpy.quantile([1, 2, 4, 8], [0, .1, .5, .975, 1])
        let values = [1.0, 2.0, 4.0, 8.0];
        for (q, want) in [(0.0, 1.0), (0.1, 1.3), (0.5, 3.0), (0.975, 7.7), (1.0, 8.0)] {
            assert!((quantile(&values, q) - want).abs() < 1e-12, "{q}");
        }
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn weights_sum_to_the_sample_and_replay() {
        let bootstrap = Bootstrap::with_seed(3);
        let weights = bootstrap.weights(7, 0, 40);
        assert!((weights.iter().sum::<f64>() - 40.0).abs() < 1e-12);
        assert_eq!(weights, bootstrap.weights(7, 0, 40));
        assert_ne!(weights, bootstrap.weights(8, 0, 40));
        assert_ne!(weights, bootstrap.weights(7, 1, 40));
    }
}
