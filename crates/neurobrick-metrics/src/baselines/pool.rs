//! Two predictors of the same counts as one: an opinion pool whose weight validation trials choose.

use ndarray::{Array3, ArrayView3, Zip};
use serde::{Deserialize, Serialize};

use super::counts::check_counts;
use super::selection::Yardstick;
use crate::likelihood::checked_rate;
use crate::linalg::rows_of;
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

/// A pool of two predictors. Weights of 0 and 1 are among those tried, so on the validation trials it is at least as
/// good as either.
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

/// Weights tried: tenths.
const N_WEIGHTS: u8 = 10;

impl RatePool {
    /// Chooses pooling and weight by the likelihood of the validation `counts`; all arrays are `[B, T, N]`, rates in
    /// spikes/bin, positive up to [`RATE_FLOOR`].
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
        check_counts(counts, "validation counts")?;
        check_rates(first, counts)?;
        check_rates(second, counts)?;
        let units: Vec<usize> = (0..counts.dim().2).collect();
        let yardstick = Yardstick::new(rows_of(counts, &units).as_ref(), counts.dim().0)?;
        let (first, second) = (rows_of(first, &units), rows_of(second, &units));
        let mut best: Option<Self> = None;
        for pooling in [Pooling::Linear, Pooling::Logarithmic] {
            for tenths in 0..=N_WEIGHTS {
                let weight = f64::from(tenths) / f64::from(N_WEIGHTS);
                let rate = |row, unit| pooling.rate(weight, first[(row, unit)], second[(row, unit)]);
                let valid_bits_per_spike = yardstick.bits_per_spike(yardstick.cost(rate));
                if best.is_none_or(|best| valid_bits_per_spike > best.valid_bits_per_spike) {
                    best = Some(Self { pooling, weight, valid_bits_per_spike });
                }
            }
        }
        best.ok_or(MetricError::Empty { what: "weights" })
    }

    /// Pooled rates `[B, T, N]`; fails on shapes that differ and on rates that are negative or NaN.
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

impl Pooling {
    fn rate(self, weight: f64, first: f64, second: f64) -> f64 {
        let (first, second) = (first.max(RATE_FLOOR), second.max(RATE_FLOOR));
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
