//! Two predictors of the same counts as one: an opinion pool whose weight validation trials choose.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ndarray::{Array3, ArrayView2, ArrayView3, Axis, Zip};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::counts::check_counts;
use super::selection::Yardstick;
use crate::likelihood::{checked_rate, entry_cost};
use crate::linalg::rows_of;
use crate::student::upper_tail;
use crate::{MetricError, RATE_FLOOR};

/// How rates are pooled (Genest and Zidek 1986, doi:10.1214/ss/1177013825).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// `w r₁ + (1 − w) r₂`.
    Linear,
    /// `r₁ʷ r₂¹⁻ʷ`: an average of log rates.
    Logarithmic,
}

/// A pool of two predictors. Weights of 0 and 1 are among those tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatePool {
    /// How rates are pooled.
    pub pooling: Pooling,
    /// Weight `w` of the first predictor.
    pub weight: f64,
    /// Pooled bits/spike on the validation trials.
    pub valid_bits_per_spike: f64,
}

/// Chance of a value more than one standard deviation above the mean of a normal distribution.
const BEYOND_ONE_ERROR: f64 = 0.158_655_253_931_457_05;
/// Weights tried: tenths.
const N_WEIGHTS: u8 = 10;

impl RatePool {
    /// Chooses pooling and weight by the likelihood of the validation `counts`; all arrays are `[B, T, N]`, rates in
    /// spikes/bin, positive up to [`RATE_FLOOR`]. On these trials the pool is at least as good as either predictor.
    ///
    /// ```
    /// use ndarray::Array3;
    /// use neurobrick_metrics::baselines::RatePool;
    ///
    /// let counts = Array3::from_shape_fn((6, 4, 2), |(b, t, n)| ((b + t + n) % 2) as f64);
    /// let (good, bad) = (counts.mapv(|n| 0.2 + 0.6 * n), counts.mapv(|n| 0.8 - 0.6 * n));
    /// let pool = RatePool::fit(&good.view(), &bad.view(), &counts.view())?;
    /// assert_eq!(pool.weight, 1.0);
    /// # Ok::<(), neurobrick_metrics::MetricError>(())
    /// ```
    ///
    /// Fails on shapes that differ, on counts or rates that are negative or NaN, and without a spike.
    pub fn fit(
        first: &ArrayView3<f64>,
        second: &ArrayView3<f64>,
        counts: &ArrayView3<f64>,
    ) -> Result<Self, MetricError> {
        let tried = Tried::new(first, second, counts)?;
        Ok(tried.pool(tried.best()))
    }

    /// [`Self::fit`] for a second predictor that is known to be good: of all pools that are within one standard error of
    /// the best, the one with the least weight on the first predictor, so that with few validation trials the second
    /// stands unless the first clearly helps. After the rule of Breiman, Friedman, Olshen and Stone (1984, section 3.4.3),
    /// but with the error of the paired difference, which is smaller than that of the score itself: with many trials this
    /// is nearly the best pool. One error means as unlikely a difference as under the normal distribution (16 %), by
    /// Student's distribution of the number of clusters.
    ///
    /// `clusters` labels the trials: those of one label, such as windows that overlap, are one observation. With a single
    /// one there is no error to judge by, and the second predictor stands.
    ///
    /// Fails as [`Self::fit`] does, and if there is not one label per trial.
    pub fn fit_cautious(
        first: &ArrayView3<f64>,
        second: &ArrayView3<f64>,
        counts: &ArrayView3<f64>,
        clusters: &[usize],
    ) -> Result<Self, MetricError> {
        if clusters.len() != counts.len_of(Axis(0)) {
            let (expected, got) = (vec![counts.len_of(Axis(0))], vec![clusters.len()]);
            return Err(MetricError::ShapeMismatch { what: "labels of trials", expected, got });
        }
        let tried = Tried::new(first, second, counts)?;
        Ok(tried.pool(tried.least_within_an_error(clusters)))
    }

    /// Pooled rates `[B, T, N]`, those of a predictor itself where it has all the weight; fails on shapes that differ and
    /// on rates that are negative or NaN.
    pub fn rates(
        &self,
        first: &ArrayView3<f64>,
        second: &ArrayView3<f64>,
    ) -> Result<Array3<f64>, MetricError> {
        check_rates(second, first)?;
        check_rates(first, second)?;
        Ok(Zip::from(first).and(second).map_collect(|&a, &b| self.pooling.rate(self.weight, a, b)))
    }
}

/// Every pooling and weight on the validation counts.
struct Tried {
    candidates: Vec<(Pooling, f64)>,
    /// Poisson cost of every candidate in every trial, in nats.
    costs: Vec<Vec<f64>>,
    yardstick: Yardstick,
}

impl Tried {
    fn new(
        first: &ArrayView3<f64>,
        second: &ArrayView3<f64>,
        counts: &ArrayView3<f64>,
    ) -> Result<Self, MetricError> {
        check_counts(counts, "validation counts")?;
        check_rates(first, counts)?;
        check_rates(second, counts)?;
        let units: Vec<usize> = (0..counts.dim().2).collect();
        let yardstick = Yardstick::new(rows_of(counts, &units).as_ref(), counts.dim().0)?;
        // At the ends the poolings agree; there is one candidate for each.
        let weights = |pooling, tenths: RangeInclusive<u8>| {
            tenths.map(move |w| (pooling, f64::from(w) / f64::from(N_WEIGHTS)))
        };
        let candidates: Vec<(Pooling, f64)> = weights(Pooling::Linear, 0..=N_WEIGHTS)
            .chain(weights(Pooling::Logarithmic, 1..=N_WEIGHTS - 1))
            .collect();
        let cost = |&(pooling, weight): &(Pooling, f64)| -> Vec<f64> {
            let trials = first.outer_iter().zip(second.outer_iter()).zip(counts.outer_iter());
            let of_trial = |((a, b), n): ((ArrayView2<f64>, ArrayView2<f64>), ArrayView2<f64>)| {
                let entries = a.iter().zip(&b).zip(&n);
                entries.map(|((&a, &b), &n)| entry_cost(pooling.rate(weight, a, b), n)).sum()
            };
            trials.map(of_trial).collect()
        };
        let costs = candidates.par_iter().map(cost).collect();
        Ok(Self { candidates, costs, yardstick })
    }

    fn total(&self, candidate: usize) -> f64 {
        self.costs[candidate].iter().sum()
    }

    /// The first of the best.
    fn best(&self) -> usize {
        (1..self.candidates.len()).fold(0, |best, i| if self.total(i) < self.total(best) { i } else { best })
    }

    fn least_within_an_error(&self, clusters: &[usize]) -> usize {
        let best = self.best();
        let is_close = |&candidate: &usize| {
            let mut differences: BTreeMap<usize, f64> = BTreeMap::new();
            let pairs = self.costs[candidate].iter().zip(&self.costs[best]);
            for ((cost, least), &cluster) in pairs.zip(clusters) {
                *differences.entry(cluster).or_default() += cost - least;
            }
            !is_beyond_one_error(&differences.into_values().collect::<Vec<_>>())
        };
        let by_weight = |a: &usize, b: &usize| {
            let order = self.candidates[*a].1.total_cmp(&self.candidates[*b].1);
            order.then(self.total(*a).total_cmp(&self.total(*b)))
        };
        // The best is always close to itself.
        (0..self.candidates.len()).filter(is_close).min_by(by_weight).unwrap_or(best)
    }

    fn pool(&self, candidate: usize) -> RatePool {
        let (pooling, weight) = self.candidates[candidate];
        let valid_bits_per_spike = self.yardstick.bits_per_spike(self.total(candidate));
        RatePool { pooling, weight, valid_bits_per_spike }
    }
}

/// Whether the mean of the differences is above zero by more than one standard error.
fn is_beyond_one_error(differences: &[f64]) -> bool {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    if differences.len() < 2 || mean <= 0.0 {
        return false;
    }
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    upper_tail(mean / (variance / n).sqrt(), n - 1.0) < BEYOND_ONE_ERROR
}

impl Pooling {
    fn rate(self, weight: f64, first: f64, second: f64) -> f64 {
        let (first, second) = (first.max(RATE_FLOOR), second.max(RATE_FLOOR));
        // Exact at the ends, where arithmetic would round.
        if weight >= 1.0 {
            return first;
        }
        if weight <= 0.0 {
            return second;
        }
        match self {
            Self::Linear => weight * first + (1.0 - weight) * second,
            Self::Logarithmic => (weight * first.ln() + (1.0 - weight) * second.ln()).exp(),
        }
    }
}

fn check_rates(rates: &ArrayView3<f64>, like: &ArrayView3<f64>) -> Result<(), MetricError> {
    if rates.dim() != like.dim() {
        let (expected, got) = (like.shape().to_vec(), rates.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "rates", expected, got });
    }
    for ((trial, bin, unit), &rate) in rates.indexed_iter() {
        checked_rate(rate, || vec![trial, bin, unit])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_is_what_the_number_of_clusters_makes_it() {
        // Mean 1 and standard error 0.5: beyond it for many, and with three (1 + 2 degrees of freedom) too.
        assert!(is_beyond_one_error(&[0.0, 1.0, 2.0]));
        // t = 1: not beyond for three, where as unlikely a value is 1.32.
        assert!(!is_beyond_one_error(&[1.0 - 3f64.sqrt(), 1.0, 1.0 + 3f64.sqrt()]));
        // t = 1.27, between the 1.20 of four and the 1.32 of three.
        let spread = |n: f64| n.sqrt() / 1.27;
        let four = spread(4.0) * (3.0f64 / 4.0).sqrt();
        assert!(is_beyond_one_error(&[1.0 - four, 1.0 - four, 1.0 + four, 1.0 + four]));
        let three = spread(3.0);
        assert!(!is_beyond_one_error(&[1.0 - three, 1.0, 1.0 + three]));
        assert!(!is_beyond_one_error(&[9.0]), "one says nothing of errors");
        assert!(is_beyond_one_error(&[0.5, 0.5]) && !is_beyond_one_error(&[0.0, 0.0]), "no spread");
        assert!(!is_beyond_one_error(&[-1.0, -1.0, -1.0]));
    }
}
