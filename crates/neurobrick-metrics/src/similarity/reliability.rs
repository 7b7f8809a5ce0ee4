//! What a noisy response lets any model explain.
//!
//! A correlation with a noisy response has a ceiling below one. The types here keep apart what may be divided by what: a
//! [`Correlation`] is normalized by the *square root* of the response's reliability, an explained variance by the explainable
//! variance, and neither is a plain number, so that an R² cannot be divided by the ceiling of a correlation.

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::ranks;
use crate::{MetricError, pearson};

/// A correlation of two lists, which only the lists can make.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
pub struct Correlation(f64);

impl Correlation {
    /// Pearson's. Fails as [`pearson`](crate::pearson).
    pub fn pearson(a: &[f64], b: &[f64]) -> Result<Self, MetricError> {
        Ok(Self(pearson(a, b)?))
    }

    /// Spearman's: Pearson's of the ranks, equal values sharing their mean rank. Fails as [`pearson`](crate::pearson).
    pub fn spearman(a: &[f64], b: &[f64]) -> Result<Self, MetricError> {
        // Ranks of what is no number would hide it.
        pearson(a, b)?;
        Ok(Self(pearson(&ranks(a), &ranks(b))?))
    }

    /// Its value, from −1 to 1.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// How well repetitions of a measurement agree: the expected correlation of the mean over `n_repeats` repetitions with
/// the mean over as many others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    value: f64,
    n_repeats: f64,
}

/// A correlation divided by the highest that a noisy response allows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormalizedScore {
    /// The correlation as measured.
    pub raw: f64,
    /// The highest that a perfect model could be expected to reach.
    pub ceiling: f64,
    /// `raw / ceiling`; beyond 1 is chance or a ceiling estimated too low, and is not cut.
    pub normalized: f64,
}

impl Reliability {
    /// Correlation of two halves of `n_repeats_per_half` repetitions each, over conditions. Fails as
    /// [`pearson`](crate::pearson), and on zero repetitions.
    pub fn of_halves(first: &[f64], second: &[f64], n_repeats_per_half: usize) -> Result<Self, MetricError> {
        Self::new(pearson(first, second)?, n_repeats_per_half as f64)
    }

    fn new(value: f64, n_repeats: f64) -> Result<Self, MetricError> {
        if !(n_repeats.is_finite() && n_repeats > 0.0) {
            let (what, must) = ("number of repetitions", "above zero");
            return Err(MetricError::InvalidSetting { what, value: n_repeats, must });
        }
        Ok(Self { value, n_repeats })
    }

    /// Reliability of the mean over another number of repetitions (Spearman 1910, Brown 1910); the halves' correlation
    /// is that of half the data, so ask for twice their repetitions. Fails unless the reliability is above −1/(k − 1),
    /// where the formula has its pole, and on zero repetitions.
    pub fn at(self, n_repeats: f64) -> Result<Self, MetricError> {
        let factor = n_repeats / self.n_repeats;
        let denominator = 1.0 + (factor - 1.0) * self.value;
        if denominator <= 0.0 {
            let (what, must) = ("reliability", "higher for this number of repetitions");
            return Err(MetricError::InvalidSetting { what, value: self.value, must });
        }
        Self::new(factor * self.value / denominator, n_repeats)
    }

    /// The correlation.
    pub fn value(self) -> f64 {
        self.value
    }

    /// Repetitions behind each mean.
    pub fn n_repeats(self) -> f64 {
        self.n_repeats
    }

    /// The highest correlation with the mean response that a model without noise can be expected to reach. Fails if
    /// the reliability is not above zero: then there is nothing to explain.
    pub fn ceiling(self) -> Result<f64, MetricError> {
        if self.value > 0.0 {
            return Ok(self.value.sqrt());
        }
        Err(MetricError::InvalidSetting { what: "reliability", value: self.value, must: "above zero" })
    }

    /// A model's correlation with the mean response over this many repetitions, normalized. Fails as
    /// [`Self::ceiling`].
    ///
    /// An R² is no correlation, and is refused when the code is compiled; it belongs to [`fraction_explainable`]:
    ///
    /// ```compile_fail
    /// # use neurobrick_metrics::similarity::Reliability;
    /// let halves = Reliability::of_halves(&[1.0, 2.0, 4.0], &[1.0, 3.0, 4.0], 5)?;
    /// let r2: f64 = 0.4;
    /// halves.normalize(r2)?;
    /// # Ok::<(), neurobrick_metrics::MetricError>(())
    /// ```
    pub fn normalize(self, correlation: Correlation) -> Result<NormalizedScore, MetricError> {
        let (raw, ceiling) = (correlation.value(), self.ceiling()?);
        Ok(NormalizedScore { raw, ceiling, normalized: raw / ceiling })
    }
}

/// A unit's explained variance, its ceiling and the one divided by the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedVariance {
    /// Share of the variance over single repetitions that the predictions explain, `1 − mean squared error / variance`.
    pub raw: f64,
    /// The share that is not noise, the highest that a perfect model could be expected to reach.
    pub ceiling: f64,
    /// `raw / ceiling`, the fraction of explainable variance explained; beyond 1 is chance, and is not cut.
    pub normalized: f64,
}

/// Fraction of explainable variance explained (FEVE, Cadena et al. 2019) of one unit: predictions by condition against
/// responses `[conditions, repetitions]`, `1 − (mean squared error − noise) / (variance − noise)`, with the noise
/// variance estimated from the repetitions. It takes the predictions, not a score, for only against single repetitions is
/// their error one that this noise is in.
///
/// Fails on mismatched lengths, fewer than two repetitions or conditions, values not finite, and if the noise leaves
/// nothing to explain.
pub fn fraction_explainable(
    predicted: &[f64],
    responses: &ArrayView2<f64>,
) -> Result<ExplainedVariance, MetricError> {
    let (n_conditions, n_repeats) = responses.dim();
    if predicted.len() != n_conditions {
        let (expected, got) = (vec![n_conditions], vec![predicted.len()]);
        return Err(MetricError::ShapeMismatch { what: "predictions", expected, got });
    }
    super::check_one(responses, 2, "responses")?;
    if n_repeats < 2 {
        return Err(MetricError::Empty { what: "set of two repetitions" });
    }
    if let Some((index, &value)) = predicted.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        return Err(MetricError::NotFinite { what: "predictions", value, index: vec![index] });
    }
    let means = responses.sum_axis(Axis(1)) / n_repeats as f64;
    let entries = (n_conditions * n_repeats) as f64;
    let grand = responses.sum() / entries;
    let total = |center: &dyn Fn(usize) -> f64| -> f64 {
        responses.indexed_iter().map(|((condition, _), y)| (y - center(condition)).powi(2)).sum()
    };
    let noise = total(&|condition| means[condition]) / (n_conditions * (n_repeats - 1)) as f64;
    let variance = total(&|_| grand) / (entries - 1.0);
    let error = total(&|condition| predicted[condition]) / entries;
    if variance <= noise {
        let (what, must) = ("explainable variance", "above zero");
        return Err(MetricError::InvalidSetting { what, value: variance - noise, must });
    }
    Ok(ExplainedVariance {
        raw: 1.0 - error / variance,
        ceiling: (variance - noise) / variance,
        normalized: 1.0 - (error - noise) / (variance - noise),
    })
}
