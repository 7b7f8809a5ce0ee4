//! How well any model of dissimilarities could agree with several measurements of them.

use serde::{Deserialize, Serialize};

use super::dissimilarity::{Dissimilarity, ranks};
use crate::{MetricError, pearson};

/// The noise ceiling of dissimilarity matrices measured in several subjects (Nili et al. 2014,
/// doi:10.1371/journal.pcbi.1003553), for Spearman's correlation: where between its bounds the true model would come out, the
/// measurements do not say.
#[derive(Clone, Debug, PartialEq)]
pub struct RdmCeiling {
    /// Ranks of the pairs, by matrix.
    ranks: Vec<Vec<f64>>,
    lower: f64,
    upper: f64,
}

/// How a model agrees with the matrices of several subjects, beside the ceiling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RdmAgreement {
    /// Spearman's correlation with each matrix.
    pub of_matrices: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Lower bound of the ceiling.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
}

impl RdmCeiling {
    /// From one matrix or more of each subject; `subject_of_matrix` numbers them, all different where each has one.
    ///
    /// The upper bound is the mean correlation of the matrices' ranks with the mean of all ranks, which no ranking can exceed by
    /// much; the lower one that with the mean over all other subjects, which is a prediction. The mean is not ranked again: as
    /// it stands it correlates best. A matrix of the same subject in another session is no other subject: left in, it would
    /// raise the lower bound by what is that subject's own.
    ///
    /// Fails on unequal lengths, other conditions, fewer than two subjects, and without variation.
    pub fn new(matrices: &[Dissimilarity], subject_of_matrix: &[usize]) -> Result<Self, MetricError> {
        if matrices.len() != subject_of_matrix.len() {
            let (expected, got) = (vec![matrices.len()], vec![subject_of_matrix.len()]);
            return Err(MetricError::ShapeMismatch { what: "subjects of matrices", expected, got });
        }
        let is_several = subject_of_matrix.iter().any(|subject| *subject != subject_of_matrix[0]);
        let Some(first) = matrices.first().filter(|_| is_several) else {
            return Err(MetricError::Empty { what: "list of two subjects" });
        };
        for matrix in matrices {
            if matrix.pairs().len() != first.pairs().len() {
                let (expected, got) = (vec![first.pairs().len()], vec![matrix.pairs().len()]);
                return Err(MetricError::ShapeMismatch { what: "pairs of a matrix", expected, got });
            }
        }
        let all: Vec<Vec<f64>> = matrices.iter().map(|matrix| ranks(matrix.pairs())).collect();
        let mean_of = |keep: &dyn Fn(usize) -> bool| -> Vec<f64> {
            let mut sum = vec![0.0; first.pairs().len()];
            for matrix in (0..all.len()).filter(|&matrix| keep(matrix)) {
                sum.iter_mut().zip(&all[matrix]).for_each(|(sum, rank)| *sum += rank);
            }
            // A correlation does not care for the number that a mean is divided by.
            sum
        };
        let everybody = mean_of(&|_| true);
        let (mut lower, mut upper) = (0.0, 0.0);
        for (own, subject) in all.iter().zip(subject_of_matrix) {
            lower += pearson(own, &mean_of(&|other| subject_of_matrix[other] != *subject))?;
            upper += pearson(own, &everybody)?;
        }
        let n = all.len() as f64;
        Ok(Self { lower: lower / n, upper: upper / n, ranks: all })
    }

    /// The lower bound: what the other subjects predict.
    pub fn lower(&self) -> f64 {
        self.lower
    }

    /// The upper bound.
    pub fn upper(&self) -> f64 {
        self.upper
    }

    /// Mean of a model's rank correlations with the matrices, beside the bounds. They are not divided: the mean of correlations
    /// has no single ceiling, and lies between two. Fails on other conditions and without variation.
    pub fn place(&self, model: &Dissimilarity) -> Result<RdmAgreement, MetricError> {
        let own = ranks(model.pairs());
        let of_matrices =
            self.ranks.iter().map(|ranks| pearson(ranks, &own)).collect::<Result<Vec<_>, _>>()?;
        let mean = of_matrices.iter().sum::<f64>() / of_matrices.len() as f64;
        Ok(RdmAgreement { of_matrices, mean, lower: self.lower, upper: self.upper })
    }
}
