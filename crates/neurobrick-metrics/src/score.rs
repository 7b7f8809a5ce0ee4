//! A score that carries what is needed to judge it: its size, interval, null, baseline and split.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{MetricError, NullModel, student};

/// The part of the data on which a number was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Used to fit parameters.
    Train,
    /// Used to choose hyper-parameters.
    Valid,
    /// Used once, to report.
    Test,
}

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Percentile bootstrap over trials, null held fixed.
    TrialBootstrap,
    /// Percentile bootstrap over sessions, then over trials within each, null held fixed.
    SessionBootstrap,
    /// Student's interval of the mean of one score per session.
    SessionStudent,
    /// Wilson's intervals of the classes, joined.
    ClassWilson,
    /// Percentile bootstrap over groups of points or answers (a model family, a participant, windows that share spikes).
    GroupBootstrap,
    /// Wilson's score interval of a proportion (1927).
    Wilson,
}

impl fmt::Display for IntervalMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TrialBootstrap => "percentile bootstrap over trials, null fixed",
            Self::SessionBootstrap => "percentile bootstrap over sessions and trials, null fixed",
            Self::SessionStudent => "Student's t over sessions",
            Self::ClassWilson => "Wilson score intervals of the classes, joined",
            Self::GroupBootstrap => "percentile bootstrap over groups",
            Self::Wilson => "Wilson score interval",
        })
    }
}

/// An interval around a value, in the unit of the value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfidenceInterval {
    /// Lower end; NaN if the data cannot support an interval (a single trial, no resample with a spike).
    pub lo: f64,
    /// Upper end; NaN as `lo`.
    pub hi: f64,
    /// Coverage aimed at, such as 0.95.
    pub level: f64,
    /// How it was made.
    pub method: IntervalMethod,
    /// Resamples that entered; 0 for a closed form.
    pub n_resamples: usize,
}

impl ConfidenceInterval {
    /// Student's interval of the mean of one score per session: it generalizes to other sessions like these, as far as they
    /// are independent (sessions of one animal are not quite). With two or three sessions it is very wide, where a bootstrap
    /// would say little more than the least and the greatest score; it assumes that means of so many scores are about
    /// normal. Bounds are NaN with fewer than two.
    ///
    /// ```
    /// let gains = [0.02, 0.05, 0.01, 0.03, 0.04];
    /// let interval = neurobrick_metrics::ConfidenceInterval::of_mean(&gains, 0.95);
    /// // scipy.stats.t.interval(0.95, 4, loc=0.03, scale=scipy.stats.sem(gains))
    /// assert!((interval.lo - 0.010_367_568_385_224).abs() < 1e-12);
    /// assert!((interval.hi - 0.049_632_431_614_776).abs() < 1e-12);
    /// ```
    pub fn of_mean(scores: &[f64], level: f64) -> Self {
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let half = if scores.len() < 2 {
            f64::NAN
        } else {
            let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (n - 1.0);
            student::critical((1.0 - level) / 2.0, n - 1.0) * (variance / n).sqrt()
        };
        let method = IntervalMethod::SessionStudent;
        Self { lo: mean - half, hi: mean + half, level, method, n_resamples: 0 }
    }
}

/// How much data a value rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Trials.
    pub trials: usize,
    /// Units (0 for a score that is not about units).
    pub units: usize,
    /// Scored entries: (trial, bin, unit) for rates, trials for labels.
    pub entries: usize,
    /// Spikes among them.
    pub spikes: f64,
    /// Recording sessions.
    pub sessions: usize,
}

/// The naive predictor that a score is read against, and what it reaches on the same data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Name as reports show it.
    pub name: String,
    /// Its value, in the unit of the score.
    pub value: f64,
}

/// A measured value with everything needed to judge it. It cannot be built without.
///
/// ```
/// use neurobrick_metrics::{Baseline, ConfidenceInterval, Counted, IntervalMethod, NullModel, Score, Split};
///
/// let score = Score::new(
///     0.21,
///     Counted { trials: 40, units: 3, entries: 4800, spikes: 912.0, sessions: 1 },
///     ConfidenceInterval { lo: 0.17, hi: 0.25, level: 0.95, method: IntervalMethod::TrialBootstrap, n_resamples: 1000 },
///     NullModel::EvaluatedMean,
///     Baseline { name: "ridge".into(), value: 0.18 },
///     Split::Test,
/// )?;
/// assert!(score.value() > score.baseline().value);
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Score(Unchecked);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    value: f64,
    n: Counted,
    interval: ConfidenceInterval,
    null: NullModel,
    baseline: Baseline,
    split: Split,
}

impl Score {
    /// Builds a score; fails with [`MetricError::InvalidScore`] if a part is missing its meaning: a value, bound or
    /// baseline that is not finite, bounds in the wrong order, a level outside (0, 1), no trials, no session, or a
    /// baseline without a name.
    pub fn new(
        value: f64,
        n: Counted,
        interval: ConfidenceInterval,
        null: NullModel,
        baseline: Baseline,
        split: Split,
    ) -> Result<Self, MetricError> {
        Unchecked { value, n, interval, null, baseline, split }.try_into()
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

    /// The null model that scores zero (or chance).
    pub fn null(&self) -> NullModel {
        self.0.null
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

impl TryFrom<Unchecked> for Score {
    type Error = MetricError;

    fn try_from(parts: Unchecked) -> Result<Self, MetricError> {
        let invalid = |field, why| Err(MetricError::InvalidScore { field, why });
        let ConfidenceInterval { lo, hi, level, .. } = parts.interval;
        if !parts.value.is_finite() {
            return invalid("value", format!("{} is not finite", parts.value));
        }
        if parts.n.trials == 0 || parts.n.entries == 0 || parts.n.sessions == 0 {
            return invalid("n", format!("{:?} counts no data", parts.n));
        }
        if !parts.n.spikes.is_finite() || parts.n.spikes < 0.0 {
            return invalid("n", format!("{} spikes", parts.n.spikes));
        }
        if !(lo.is_finite() && hi.is_finite() && lo <= hi) {
            return invalid("interval", format!("[{lo}, {hi}] is not an interval"));
        }
        if !(level > 0.0 && level < 1.0) {
            return invalid("interval", format!("level {level} is not within (0, 1)"));
        }
        if parts.baseline.name.trim().is_empty() {
            return invalid("baseline", "it has no name".to_owned());
        }
        if !parts.baseline.value.is_finite() {
            return invalid("baseline", format!("{} is not finite", parts.baseline.value));
        }
        Ok(Self(parts))
    }
}

impl From<Score> for Unchecked {
    fn from(score: Score) -> Self {
        score.0
    }
}
