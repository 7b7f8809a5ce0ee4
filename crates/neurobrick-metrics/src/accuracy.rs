//! How well labels were decoded: accuracy, balanced accuracy, their intervals and chance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ConfidenceInterval, IntervalMethod, MetricError};

/// Accuracy of binary predictions with what is needed to read it.
///
/// With 40 test trials the interval of an accuracy of 0.8 spans 0.65 to 0.90: such a number cannot rank models.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Share of trials predicted right.
    pub accuracy: f64,
    /// Wilson's interval of `accuracy`.
    pub interval: ConfidenceInterval,
    /// Mean over the two classes of the share predicted right; chance is 0.5.
    pub balanced: f64,
    /// Interval of `balanced` from Wilson's intervals of both classes.
    pub balanced_interval: ConfidenceInterval,
    /// Accuracy of always answering the class that is more frequent in training.
    pub majority: f64,
    /// Test trials of class `false` and `true`.
    pub trials_per_class: [usize; 2],
}

impl Accuracy {
    /// Compares `predicted` with `truth`; `train` are the training labels that define the majority class (`true` on
    /// a tie), `level` the confidence of the intervals, such as 0.95. Fails on unequal lengths, without test or training trials, and if `truth` holds one class only.
    pub fn new(truth: &[bool], predicted: &[bool], train: &[bool], level: f64) -> Result<Self, MetricError> {
        if truth.len() != predicted.len() {
            let (expected, got) = (vec![truth.len()], vec![predicted.len()]);
            return Err(MetricError::ShapeMismatch { what: "predicted labels", expected, got });
        }
        if truth.is_empty() || train.is_empty() {
            return Err(MetricError::Empty { what: "list of labels" });
        }
        let right_of = |class: bool| -> Vec<f64> {
            let pairs = truth.iter().zip(predicted).filter(|(t, _)| **t == class);
            pairs.map(|(t, p)| f64::from(u8::from(t == p))).collect()
        };
        let right = [right_of(false), right_of(true)];
        let trials_per_class = [right[0].len(), right[1].len()];
        if let Some(missing) = trials_per_class.iter().position(|&n| n == 0) {
            return Err(MetricError::SingleClass { trials: truth.len(), class: missing == 0 });
        }
        let n_right: f64 = right.iter().flatten().sum();
        let n = truth.len() as f64;
        let majority = 2 * train.iter().filter(|&&label| label).count() >= train.len();
        let share = |right: &[f64]| right.iter().sum::<f64>() / right.len() as f64;
        Ok(Self {
            accuracy: n_right / n,
            interval: wilson(n_right, n, level),
            balanced: f64::midpoint(share(&right[0]), share(&right[1])),
            balanced_interval: joined_interval(
                right.iter().map(|right| [right.iter().sum(), right.len() as f64]),
                level,
            ),
            majority: truth.iter().filter(|&&label| label == majority).count() as f64 / n,
            trials_per_class,
        })
    }
}

/// Interval of a balanced accuracy: of the mean over the classes of `truth` of the share of their rows predicted right, from
/// Wilson's intervals of each. They do not shrink to nothing where all or none of a class are right, as resamples of trials would
/// (recovery of variances; Zou and Donner 2008, doi:10.1002/sim.3095). `level` is its confidence, such as 0.95.
///
/// # Errors
/// On unequal lengths and without rows.
pub fn balanced_interval(
    truth: &[usize],
    predicted: &[usize],
    level: f64,
) -> Result<ConfidenceInterval, MetricError> {
    if truth.len() != predicted.len() {
        let (expected, got) = (vec![truth.len()], vec![predicted.len()]);
        return Err(MetricError::ShapeMismatch { what: "predicted labels", expected, got });
    }
    if truth.is_empty() {
        return Err(MetricError::Empty { what: "list of labels" });
    }
    // Right and all rows of each class.
    let mut classes: BTreeMap<usize, [f64; 2]> = BTreeMap::new();
    for (t, p) in truth.iter().zip(predicted) {
        let [right, all] = classes.entry(*t).or_default();
        *right += f64::from(u8::from(t == p));
        *all += 1.0;
    }
    Ok(joined_interval(classes.into_values(), level))
}

/// The interval from the rows that are right and all rows of each class.
fn joined_interval(classes: impl ExactSizeIterator<Item = [f64; 2]>, level: f64) -> ConfidenceInterval {
    let n_classes = classes.len() as f64;
    let (mut center, mut below, mut above) = (0.0, 0.0, 0.0);
    for [n_right, n] in classes {
        let (share, interval) = (n_right / n, wilson(n_right, n, level));
        center += share / n_classes;
        below += (share - interval.lo).powi(2) / (n_classes * n_classes);
        above += (interval.hi - share).powi(2) / (n_classes * n_classes);
    }
    ConfidenceInterval {
        lo: (center - below.sqrt()).max(0.0),
        hi: (center + above.sqrt()).min(1.0),
        level,
        method: IntervalMethod::ClassWilson,
        n_resamples: 0,
    }
}

/// Wilson's score interval (1927) of `successes` out of `n`.
pub(crate) fn wilson(successes: f64, n: f64, level: f64) -> ConfidenceInterval {
    let z = normal_quantile(f64::midpoint(1.0, level));
    let p = successes / n;
    let center = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    ConfidenceInterval {
        lo: ((center - half) / scale).max(0.0),
        hi: ((center + half) / scale).min(1.0),
        level,
        method: IntervalMethod::Wilson,
        n_resamples: 0,
    }
}

/// Quantile of the standard normal for `p` in [0.5, 1): bisection on the error function, to the last bits.
fn normal_quantile(p: f64) -> f64 {
    let (mut lo, mut hi) = (0.0, 40.0);
    for _ in 0..100 {
        let middle = f64::midpoint(lo, hi);
        let upper_tail = 0.5 * libm::erfc(middle / std::f64::consts::SQRT_2);
        if upper_tail > 1.0 - p {
            lo = middle;
        } else {
            hi = middle;
        }
    }
    f64::midpoint(lo, hi)
}
