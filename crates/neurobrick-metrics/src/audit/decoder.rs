//! The decoder of the audit: discriminant analysis, on leading components where there are many features.

use faer::Par;
use ndarray::{Array2, ArrayView2, Axis};

use super::AuditSplit;
use crate::decoders::{DiscriminantAnalysis, Shrinkage, Standardizer};
use crate::linalg::{gram, leading_eigenvectors, matrix_of};
use crate::{MetricError, balanced_accuracy, roc_auc};

/// Features beyond this many are projected on this many leading components of the training rows.
const MOST_FEATURES: usize = 64;

/// Features of both sides, standardized and projected by the training rows alone.
pub(super) struct Design {
    train: Array2<f64>,
    test: Array2<f64>,
    split: AuditSplit,
}

impl Design {
    pub(super) fn new(features: &ArrayView2<f64>, split: &AuditSplit) -> Result<Self, MetricError> {
        let train = features.select(Axis(0), &split.train);
        let test = features.select(Axis(0), &split.test);
        let scaler = Standardizer::fit(&train.view())?;
        let (mut train, mut test) = (scaler.apply(&train.view())?, scaler.apply(&test.view())?);
        if train.ncols() > MOST_FEATURES {
            let k = MOST_FEATURES.min(train.nrows());
            let covariance = gram(matrix_of(&train.view()).as_ref(), Par::rayon(0));
            let directions = leading_eigenvectors(covariance.as_ref(), k)?;
            let directions =
                Array2::from_shape_fn((directions.nrows(), directions.ncols()), |(i, j)| directions[(i, j)]);
            (train, test) = (train.dot(&directions), test.dot(&directions));
        }
        Ok(Self { train, test, split: split.clone() })
    }

    /// Classes predicted on the test rows and, for two classes, the log-odds of the second.
    fn decode(&self, labels: &[usize]) -> Result<(Vec<usize>, Option<Vec<f64>>), MetricError> {
        // The decoder numbers classes without gaps.
        let of_train: Vec<usize> = self.split.train.iter().map(|&row| labels[row]).collect();
        let mut classes = of_train.clone();
        classes.sort_unstable();
        classes.dedup();
        let renumbered: Vec<usize> =
            of_train.iter().map(|label| classes.partition_point(|class| class < label)).collect();
        let fit = DiscriminantAnalysis::fit(&self.train.view(), &renumbered, Shrinkage::LedoitWolf)?;
        let scores = fit.scores(&self.test.view())?;
        let odds = (n_classes(labels) == 2 && classes.len() == 2)
            .then(|| scores.rows().into_iter().map(|row| row[1] - row[0]).collect());
        let predicted = fit.predict(&self.test.view())?.into_iter().map(|class| classes[class]).collect();
        Ok((predicted, odds))
    }

    pub(super) fn predict(&self, labels: &[usize]) -> Result<Vec<usize>, MetricError> {
        Ok(self.decode(labels)?.0)
    }

    /// Area under the ROC curve for two classes, else balanced accuracy.
    pub(super) fn score(&self, labels: &[usize]) -> Result<f64, MetricError> {
        let truth: Vec<usize> = self.split.test.iter().map(|&row| labels[row]).collect();
        match self.decode(labels)? {
            (_, Some(odds)) => {
                let highest = labels.iter().max().copied().unwrap_or_default();
                let is_second: Vec<bool> = truth.iter().map(|&label| label == highest).collect();
                roc_auc(&is_second, &odds)
            }
            (predicted, None) => balanced_accuracy(&truth, &predicted),
        }
    }
}

pub(super) fn n_classes(labels: &[usize]) -> usize {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    classes.len()
}

pub(super) fn chance(labels: &[usize]) -> f64 {
    1.0 / n_classes(labels) as f64
}

pub(super) fn metric_name(labels: &[usize]) -> &'static str {
    if n_classes(labels) == 2 { "area under the ROC curve" } else { "balanced accuracy" }
}
