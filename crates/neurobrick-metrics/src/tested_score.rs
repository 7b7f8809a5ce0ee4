//! The score of a decoder with everything needed to judge it, its null distribution among it.

use serde::{Deserialize, Serialize};

use crate::{Baseline, ConfidenceInterval, Counted, MetricError, NullDistribution, Split};

/// What a decoder is scored by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecodingMetric {
    /// Mean over classes of the share decoded right; chance is one over the number of classes.
    BalancedAccuracy,
    /// R² about the mean of the test data, averaged over outputs.
    R2,
}

/// A decoder's score. As a [`Score`](crate::Score) it cannot be built without its size, interval, naive baseline and
/// split; instead of a null model it carries the distribution of scores on labels without meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct TestedScore(Unchecked);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    metric: DecodingMetric,
    value: f64,
    n: Counted,
    interval: ConfidenceInterval,
    null: NullDistribution,
    baseline: Baseline,
    split: Split,
}

impl TestedScore {
    /// Builds a score; fails with [`MetricError::InvalidScore`] if the value, a bound, the baseline or the null is not
    /// finite, bounds are in the wrong order, nothing was counted, the null has no draw, or the baseline no name.
    pub fn new(
        (metric, value): (DecodingMetric, f64),
        n: Counted,
        interval: ConfidenceInterval,
        null: NullDistribution,
        baseline: Baseline,
        split: Split,
    ) -> Result<Self, MetricError> {
        Unchecked { metric, value, n, interval, null, baseline, split }.try_into()
    }

    /// What it is scored by.
    pub fn metric(&self) -> DecodingMetric {
        self.0.metric
    }

    /// The value.
    pub fn value(&self) -> f64 {
        self.0.value
    }

    /// The amount of data behind it.
    pub fn n(&self) -> &Counted {
        &self.0.n
    }

    /// Its interval.
    pub fn interval(&self) -> &ConfidenceInterval {
        &self.0.interval
    }

    /// Scores on labels without meaning.
    pub fn null(&self) -> &NullDistribution {
        &self.0.null
    }

    /// The naive baseline on the same data.
    pub fn baseline(&self) -> &Baseline {
        &self.0.baseline
    }

    /// The split it was measured on.
    pub fn split(&self) -> Split {
        self.0.split
    }
}

impl TryFrom<Unchecked> for TestedScore {
    type Error = MetricError;

    fn try_from(parts: Unchecked) -> Result<Self, MetricError> {
        let invalid = |field, why| Err(MetricError::InvalidScore { field, why });
        let ConfidenceInterval { lo, hi, .. } = parts.interval;
        if !parts.value.is_finite() {
            return invalid("value", format!("{} is not finite", parts.value));
        }
        if parts.n.entries == 0 || parts.n.sessions == 0 {
            return invalid("n", format!("{:?} counts no data", parts.n));
        }
        if !(lo.is_finite() && hi.is_finite() && lo <= hi) {
            return invalid("interval", format!("[{lo}, {hi}] is not an interval"));
        }
        if parts.null.n_draws == 0 || !parts.null.mean.is_finite() || !parts.null.p_value.is_finite() {
            return invalid("null", format!("{:?} says nothing", parts.null));
        }
        if parts.baseline.name.trim().is_empty() || !parts.baseline.value.is_finite() {
            return invalid("baseline", format!("{:?} has no name or no value", parts.baseline));
        }
        Ok(Self(parts))
    }
}

impl From<TestedScore> for Unchecked {
    fn from(score: TestedScore) -> Self {
        score.0
    }
}
