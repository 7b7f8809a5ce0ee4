//! Two alternatives, one true: does a model find the true one the less surprising?
//!
//! Any cost will do: the perplexity of a text, the negative log-likelihood of a spike sequence against an altered copy. Where
//! costs are negative log-likelihoods in nats, the margin says how sure the model is, and [`Calibration`] whether rightly so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::accuracy::wilson;
use crate::{Bootstrap, ConfidenceInterval, IntervalMethod, MetricError, no_difference, pearson, roc_auc};

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
    /// Items on which the first, and the second, has more credit: right where the other ties or is wrong, or a tie where the
    /// other is wrong.
    pub only: [usize; 2],
    /// Two-sided p-value of the exact sign test on these items: the chance of so lopsided a split under equal models.
    pub p_value: f64,
}

/// Two models on the same items, of which several belong together (alternatives of one trial, answers of one person).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusteredComparison {
    /// Accuracy of the first minus that of the second.
    pub difference: f64,
    /// Its bootstrap interval over clusters.
    pub interval: ConfidenceInterval,
    /// Two-sided p-value of Student's paired test over the clusters' mean differences, each cluster alike; `difference` and its
    /// interval weigh items alike.
    pub p_value: f64,
}

/// Items that a model is about as sure of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBin {
    /// Items.
    pub n: usize,
    /// Mean of the model's own probability of being right.
    pub confidence: f64,
    /// Share that is right, a tie counting half.
    pub accuracy: f64,
}

/// Whether a model is as often right as it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The reliability curve: bins of equal width over confidences from 0.5 to 1, those without items left out.
    pub bins: Vec<CalibrationBin>,
    /// Expected calibration error (Guo et al. 2017, arXiv:1706.04599): the gap between confidence and accuracy, mean over items.
    pub expected_error: f64,
    /// Mean over items of the confidence minus the accuracy: above zero, the model is surer than it has reason to be.
    pub overconfidence: f64,
}

impl TwoAlternative {
    /// From costs by item, lower = preferred. Fails on unequal lengths, without items, and on costs (or differences of two)
    /// that are not finite.
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
        Self::of_margins(cost_of_true.iter().zip(cost_of_altered).map(|(t, a)| a - t).collect())
    }

    /// From the cost of the altered minus that of the true alternative of each item, above zero where the true one is preferred,
    /// such as [`log_likelihood_ratio`](crate::log_likelihood_ratio). Fails without items and on margins that are not finite.
    pub fn of_margins(margins: Vec<f64>) -> Result<Self, MetricError> {
        if margins.is_empty() {
            return Err(MetricError::Empty { what: "list of items" });
        }
        if let Some((index, &value)) = margins.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what: "margins", value, index: vec![index] });
        }
        Ok(Self { margins })
    }

    /// Cost of the altered minus cost of the true alternative, by item.
    pub fn margins(&self) -> &[f64] {
        &self.margins
    }

    /// 1 for an item that is right, 0 for a wrong one, and 1/2 for a tie, of which a guess gets half: so chance is 0.5 also for
    /// a model that cannot tell any apart. All accuracies here are means of credits.
    pub fn credits(&self) -> Vec<f64> {
        let credit = |margin: &f64| {
            if *margin > 0.0 {
                1.0
            } else if *margin < 0.0 {
                0.0
            } else {
                0.5
            }
        };
        self.margins.iter().map(credit).collect()
    }

    /// Whether each item is strictly right, the true alternative preferred: a tie is not, though it has half a credit.
    pub fn strictly_right(&self) -> Vec<bool> {
        self.margins.iter().map(|margin| *margin > 0.0).collect()
    }

    /// Share of items that are right, a tie counting half; chance is 0.5.
    pub fn accuracy(&self) -> f64 {
        mean(&self.credits())
    }

    /// Wilson's interval of [`Self::accuracy`] over items, at a level such as 0.95: for items that are independent of each
    /// other. It takes the model as given, as a test of further items would, and is too wide where many items are ties.
    pub fn interval(&self, level: f64) -> ConfidenceInterval {
        wilson(self.credits().iter().sum(), self.margins.len() as f64, level)
    }

    /// [`Self::accuracy`] with the interval of a bootstrap over clusters of items (trials, sessions),
    /// since items of one cluster are not independent; its bounds are NaN with fewer than two. Fails on unequal lengths.
    pub fn clustered(
        &self,
        cluster_of_item: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<(f64, ConfidenceInterval), MetricError> {
        self.check_clusters(cluster_of_item)?;
        let credits = self.credits();
        let over =
            |items: &[usize]| Some(items.iter().map(|&i| credits[i]).sum::<f64>() / items.len() as f64);
        Ok((self.accuracy(), bootstrap.clustered(cluster_of_item, over)))
    }

    /// Confidence against accuracy, for margins that are log-likelihood ratios in nats: with even odds beforehand, a model's own
    /// probability of being right is `1 / (1 + exp(−|margin|))`. Fails without a bin.
    pub fn calibration(&self, n_bins: usize) -> Result<Calibration, MetricError> {
        if n_bins == 0 {
            let (what, must) = ("number of bins", "at least 1");
            return Err(MetricError::InvalidSetting { what, value: 0.0, must });
        }
        let mut bins = vec![CalibrationBin { n: 0, confidence: 0.0, accuracy: 0.0 }; n_bins];
        for (margin, credit) in self.margins.iter().zip(self.credits()) {
            let confidence = 1.0 / (1.0 + (-margin.abs()).exp());
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to n_bins")]
            let place = ((2.0 * confidence - 1.0) * n_bins as f64) as usize;
            let bin = &mut bins[place.min(n_bins - 1)];
            bin.n += 1;
            bin.confidence += confidence;
            bin.accuracy += credit;
        }
        bins.retain(|bin| bin.n > 0);
        let n = self.margins.len() as f64;
        // Sums so far, so the gaps are weighted by their items.
        let gaps = || bins.iter().map(|bin| bin.confidence - bin.accuracy);
        let expected_error = gaps().map(f64::abs).sum::<f64>() / n;
        let overconfidence = gaps().sum::<f64>() / n;
        for bin in &mut bins {
            bin.confidence /= bin.n as f64;
            bin.accuracy /= bin.n as f64;
        }
        Ok(Calibration { bins, expected_error, overconfidence })
    }

    /// How well the size of the margin tells items that are strictly right from all others: the area under the ROC curve,
    /// chance 0.5. Fails if all items are strictly right or none is.
    pub fn discrimination(&self) -> Result<f64, MetricError> {
        let sizes: Vec<f64> = self.margins.iter().map(|margin| margin.abs()).collect();
        roc_auc(&self.strictly_right(), &sizes)
    }

    /// This model against another on the same items; fails on another number of items.
    pub fn compare(&self, other: &Self) -> Result<PairedAccuracy, MetricError> {
        if self.margins.len() != other.margins.len() {
            return Err(MetricError::NotPaired { what: "items" });
        }
        let (ours, theirs) = (self.credits(), other.credits());
        let only = |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| a > b).count();
        let only = [only(&ours, &theirs), only(&theirs, &ours)];
        let difference = self.accuracy() - other.accuracy();
        Ok(PairedAccuracy { difference, only, p_value: sign_test(only) })
    }

    /// This model against another on the same items, which belong to clusters. The p-value is NaN with fewer than two of them.
    /// Fails on other numbers of items and of clusters.
    pub fn compare_clustered(
        &self,
        other: &Self,
        cluster_of_item: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<ClusteredComparison, MetricError> {
        if self.margins.len() != other.margins.len() {
            return Err(MetricError::NotPaired { what: "items" });
        }
        self.check_clusters(cluster_of_item)?;
        let differences: Vec<f64> =
            self.credits().iter().zip(other.credits()).map(|(ours, theirs)| ours - theirs).collect();
        let over =
            |items: &[usize]| Some(items.iter().map(|&i| differences[i]).sum::<f64>() / items.len() as f64);
        let mut clusters: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (&cluster, &difference) in cluster_of_item.iter().zip(&differences) {
            clusters.entry(cluster).or_default().push(difference);
        }
        let of_clusters: Vec<f64> = clusters.values().map(|items| mean(items)).collect();
        Ok(ClusteredComparison {
            difference: mean(&differences),
            interval: bootstrap.clustered(cluster_of_item, over),
            p_value: no_difference(&of_clusters),
        })
    }

    /// Pearson's correlation over items of [`Self::credits`], between this model and another: whether both fail on the same
    /// items. Without ties it is φ, the correlation of two yes and no. Fails on another number of items, and if all items of one
    /// have the same credit: all right, all wrong or all ties.
    pub fn error_correlation(&self, other: &Self) -> Result<f64, MetricError> {
        if self.margins.len() != other.margins.len() {
            return Err(MetricError::NotPaired { what: "items" });
        }
        pearson(&self.credits(), &other.credits())
    }

    fn check_clusters(&self, cluster_of_item: &[usize]) -> Result<(), MetricError> {
        if self.margins.len() == cluster_of_item.len() {
            return Ok(());
        }
        let (expected, got) = (vec![self.margins.len()], vec![cluster_of_item.len()]);
        Err(MetricError::ShapeMismatch { what: "clusters of items", expected, got })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
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
