//! How IBL's `BrainWideBench` (2026) scores predicted activity (its suite TS2), averages seeds and ranks systems, and the
//! baselines of that suite.
//!
//! [`ActivityScore`] is the Poisson D² of each unit averaged over units, with the pooled bits/spike beside it;
//! [`clipped_mean`] averages over sessions with negative scores set to zero; [`ranks`] orders systems on one session by
//! one-sided Welch tests over seeds. [`Readout`] predicts hidden units from visible ones, [`Forecast`] the last bins of a window
//! from those before. Values are for comparison with published tables: they carry no interval.

mod forecasts;
mod readouts;

pub use forecasts::Forecast;
pub use readouts::{Bins, Readout};

use ndarray::{Array3, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use crate::likelihood::{check_count, check_shapes, checked_rate, entry_cost};
use crate::student::upper_tail;
use crate::{MetricError, RATE_FLOOR};

/// Logarithms of expected counts, `[B, T, N]`.
type Log = Array3<f64>;

/// The least rate that a straight line may predict for each unit: a tenth of its mean, and never zero.
fn floors(means: &[f64]) -> Vec<f64> {
    means.iter().map(|mean| (0.1 * mean).max(RATE_FLOOR)).collect()
}

/// Scores of predicted activity on one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivityScore {
    /// Mean over units with a spike of the share of deviance explained about the unit's mean over the scored samples. Units
    /// with the same count everywhere have no deviance to explain and are left out as well.
    pub poisson_d2: f64,
    /// The same of each unit; NaN without a spike, or with the same count everywhere.
    pub per_unit: Vec<f64>,
    /// Bits/spike pooled over units, those with a mean below 1e-9 left out.
    pub bits_per_spike: f64,
}

impl ActivityScore {
    /// Scores log rates against counts, both `[B, T, N]` (scored samples, bins and units only).
    ///
    /// Fails on a shape mismatch, log rates that are NaN or whose rate overflows, invalid counts, and without a spike.
    pub fn new(log_rates: &ArrayView3<f64>, counts: &ArrayView3<f64>) -> Result<Self, MetricError> {
        check_shapes(log_rates.shape(), counts.shape())?;
        let n_units = counts.len_of(Axis(2));
        let (mut per_unit, mut scored) = (Vec::with_capacity(n_units), Vec::new());
        let (mut gain, mut spikes) = (0.0, 0.0);
        for unit in 0..n_units {
            let (observed, predicted) =
                (counts.index_axis(Axis(2), unit), log_rates.index_axis(Axis(2), unit));
            for ((sample, bin), &count) in observed.indexed_iter() {
                check_count(count, || vec![sample, bin, unit])?;
            }
            let (sum, n) = (observed.sum(), observed.len() as f64);
            let mean = (sum / n).max(RATE_FLOOR);
            let (mut model, mut null, mut saturated) = (0.0, 0.0, 0.0);
            for ((at, &log_rate), &count) in predicted.indexed_iter().zip(&observed) {
                let rate = checked_rate(log_rate.exp(), || vec![at.0, at.1, unit])?;
                // A unit that diverged must not leave the mean as if it had been silent.
                if rate.is_infinite() {
                    let index = vec![at.0, at.1, unit];
                    return Err(MetricError::NotFinite { what: "rates", value: rate, index });
                }
                model += entry_cost(rate, count);
                null += entry_cost(mean, count);
                saturated += entry_cost(count, count);
            }
            let varies = observed.iter().any(|count| count - mean != 0.0);
            if sum > 0.0 && varies {
                let d2 = 1.0 - (model - saturated) / (null - saturated);
                scored.push(d2);
                per_unit.push(d2);
            } else {
                per_unit.push(f64::NAN);
            }
            if sum / n >= 1e-9 {
                gain += null - model;
                spikes += sum;
            }
        }
        if scored.is_empty() {
            return Err(MetricError::Empty { what: "set of units with a spike and counts that vary" });
        }
        let poisson_d2 = crate::bits::mean(&scored);
        Ok(Self { poisson_d2, per_unit, bits_per_spike: gain / spikes / std::f64::consts::LN_2 })
    }
}

/// Mean over sessions with scores below zero set to zero; NaN without sessions.
pub fn clipped_mean(scores: &[f64]) -> f64 {
    let clipped: Vec<f64> = scores.iter().map(|score| score.max(0.0)).collect();
    crate::bits::mean(&clipped)
}

/// Rank of each system on one session from its scores over seeds, 1 for the best. Systems are taken by falling mean; one
/// shares the rank of the group before it unless the group's first is better by a one-sided Welch test at level `alpha`.
///
/// ```
/// use neurobrick_metrics::bwb::ranks;
///
/// let seeds_of = [vec![0.21, 0.22, 0.23], vec![0.40, 0.41, 0.42], vec![0.39, 0.42, 0.40]];
/// assert_eq!(ranks(&seeds_of, 0.05)?, [3, 1, 1]);
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
///
/// Fails without systems, with fewer than two seeds of one, and on scores that are not finite.
pub fn ranks(scores: &[Vec<f64>], alpha: f64) -> Result<Vec<usize>, MetricError> {
    if scores.is_empty() {
        return Err(MetricError::Empty { what: "list of systems" });
    }
    for seeds in scores {
        if seeds.len() < 2 {
            let (what, must) = ("number of seeds", "at least 2");
            return Err(MetricError::InvalidSetting { what, value: seeds.len() as f64, must });
        }
        if let Some((index, &value)) = seeds.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what: "scores over seeds", value, index: vec![index] });
        }
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| crate::bits::mean(&scores[b]).total_cmp(&crate::bits::mean(&scores[a])));
    let mut ranks = vec![0; scores.len()];
    let (mut first, mut rank) = (order[0], 1);
    for (place, &system) in order.iter().enumerate() {
        if place > 0 && welch_p(&scores[first], &scores[system]) < alpha {
            (first, rank) = (system, place + 1);
        }
        ranks[system] = rank;
    }
    Ok(ranks)
}

/// Chance of a difference as large as this under equal means (Welch 1947), one-sided: that `a` is better than `b`.
fn welch_p(a: &[f64], b: &[f64]) -> f64 {
    let part = |seeds: &[f64]| {
        let n = seeds.len() as f64;
        let mean = crate::bits::mean(seeds);
        let variance = seeds.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance / n, n)
    };
    let ((mean_a, spread_a, n_a), (mean_b, spread_b, n_b)) = (part(a), part(b));
    let spread = spread_a + spread_b;
    if spread <= 0.0 {
        // Without spread over seeds any difference is certain, and none is none.
        return if mean_a > mean_b { 0.0 } else { 1.0 };
    }
    let t = (mean_a - mean_b) / spread.sqrt();
    let freedom = spread * spread / (spread_a * spread_a / (n_a - 1.0) + spread_b * spread_b / (n_b - 1.0));
    upper_tail(t, freedom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn welch_matches_scipy() {
        // scipy.stats.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue
        let a = [0.31, 0.33, 0.30];
        for (b, want) in P_VALUES {
            let got = welch_p(&a, &b);
            assert!((got - want).abs() < 1e-12, "{b:?}: {got} {want}");
        }
    }

    const P_VALUES: [([f64; 3], f64); 3] = [
        ([0.30, 0.29, 0.28], 0.051_034_148_336_591_784),
        ([0.20, 0.35, 0.28], 0.244_201_026_449_161_5),
        ([0.40, 0.41, 0.42], 0.999_233_127_542_720_5),
    ];
}
