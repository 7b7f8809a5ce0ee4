//! Two alternatives, one true: does a model find the true one the less surprising?
//!
//! Any cost will do: the perplexity of a text, the negative log-likelihood of a spike sequence against an altered copy.

use serde::{Deserialize, Serialize};

use crate::{Bootstrap, ConfidenceInterval, IntervalMethod, MetricError, roc_auc};

/// Costs of the true and the altered alternative of each item.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoAlternative {
    /// Cost of the altered minus cost of the true alternative.
    margins: Vec<f64>,
}

/// Two models on the same items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedAccuracy {
    /// Accuracy of the first minus that of the second.
    pub difference: f64,
    /// Items that only the first, and only the second, gets right.
    pub only: [usize; 2],
    /// Two-sided p-value of the exact sign test on these items: the chance of so lopsided a split under equal models.
    pub p_value: f64,
}

impl TwoAlternative {
    /// From costs by item, lower = preferred. Fails on unequal lengths, without items, and on costs that are not
    /// finite.
    pub fn new(cost_of_true: &[f64], cost_of_altered: &[f64]) -> Result<Self, MetricError> {
        if cost_of_true.len() != cost_of_altered.len() {
            let (expected, got) = (vec![cost_of_true.len()], vec![cost_of_altered.len()]);
            return Err(MetricError::ShapeMismatch { what: "costs of altered items", expected, got });
        }
        if cost_of_true.is_empty() {
            return Err(MetricError::Empty { what: "list of items" });
        }
        for (what, costs) in
            [("costs of true items", cost_of_true), ("costs of altered items", cost_of_altered)]
        {
            if let Some((index, &value)) = costs.iter().enumerate().find(|(_, v)| !v.is_finite()) {
                return Err(MetricError::NotFinite { what, value, index: vec![index] });
            }
        }
        Ok(Self { margins: cost_of_true.iter().zip(cost_of_altered).map(|(t, a)| a - t).collect() })
    }

    /// Whether each item is right; a tie is wrong, for the model cannot tell.
    pub fn right(&self) -> Vec<bool> {
        self.margins.iter().map(|margin| *margin > 0.0).collect()
    }

    /// Share of items that are right; chance is 0.5.
    pub fn accuracy(&self) -> f64 {
        share(&self.right())
    }

    /// How well the size of the margin tells right items from wrong ones: the area under the ROC curve, chance 0.5.
    /// Fails if all items are right or all are wrong.
    pub fn discrimination(&self) -> Result<f64, MetricError> {
        let sizes: Vec<f64> = self.margins.iter().map(|margin| margin.abs()).collect();
        roc_auc(&self.right(), &sizes)
    }

    /// This model against another on the same items; fails on another number of items.
    pub fn compare(&self, other: &Self) -> Result<PairedAccuracy, MetricError> {
        if self.margins.len() != other.margins.len() {
            return Err(MetricError::NotPaired { what: "items" });
        }
        let (ours, theirs) = (self.right(), other.right());
        let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count();
        let only = [only(&ours, &theirs), only(&theirs, &ours)];
        let difference = self.accuracy() - other.accuracy();
        Ok(PairedAccuracy { difference, only, p_value: sign_test(only) })
    }
}

/// Share of right answers with an interval that resamples whole clusters (participants, sessions), since answers of
/// one cluster are not independent. Fails on unequal lengths and with fewer than two clusters.
pub fn clustered_accuracy(
    right: &[bool],
    cluster_of_answer: &[usize],
    bootstrap: &Bootstrap,
) -> Result<(f64, ConfidenceInterval), MetricError> {
    if right.len() != cluster_of_answer.len() {
        let (expected, got) = (vec![right.len()], vec![cluster_of_answer.len()]);
        return Err(MetricError::ShapeMismatch { what: "clusters of answers", expected, got });
    }
    let mut clusters = cluster_of_answer.to_vec();
    clusters.sort_unstable();
    clusters.dedup();
    if clusters.len() < 2 {
        let (what, must) = ("number of clusters", "at least 2");
        return Err(MetricError::InvalidSetting { what, value: clusters.len() as f64, must });
    }
    let mut sums = vec![(0.0, 0.0); clusters.len()];
    for (right, cluster) in right.iter().zip(cluster_of_answer) {
        let (hits, answers) = &mut sums[clusters.partition_point(|other| other < cluster)];
        *hits += f64::from(u8::from(*right));
        *answers += 1.0;
    }
    let values = bootstrap.values(|resample| {
        let weights = bootstrap.weights(resample, 0, sums.len());
        let total = |of: &dyn Fn(&(f64, f64)) -> f64| -> f64 {
            weights.iter().zip(&sums).map(|(weight, sum)| weight * of(sum)).sum()
        };
        total(&|sum| sum.0) / total(&|sum| sum.1)
    });
    Ok((share(right), bootstrap.interval(values, IntervalMethod::GroupBootstrap)))
}

fn share(right: &[bool]) -> f64 {
    right.iter().filter(|&&right| right).count() as f64 / right.len() as f64
}

/// Two-sided exact binomial test of an even split.
fn sign_test([a, b]: [usize; 2]) -> f64 {
    let (n, fewer) = ((a + b) as f64, a.min(b));
    let term = |k: usize| {
        let k = k as f64;
        (libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0) - n * 2f64.ln()).exp()
    };
    (2.0 * (0..=fewer).map(term).sum::<f64>()).min(1.0)
}
