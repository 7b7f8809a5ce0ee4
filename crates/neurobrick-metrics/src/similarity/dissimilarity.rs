//! Representational dissimilarity matrices and how they agree.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::check_one;
use crate::{MetricError, pearson};

/// How far two conditions are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DissimilarityKind {
    /// Mean squared difference over features.
    Euclidean,
    /// One minus Pearson's correlation over features.
    Correlation,
    /// Symmetrized Kullback-Leibler divergence of Poisson rates, mean over features; rates must be above zero.
    Poisson,
}

/// Dissimilarities of all pairs of conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Dissimilarity {
    /// Upper triangle by rows: (0, 1), (0, 2), …, (1, 2), …
    pairs: Vec<f64>,
    n_conditions: usize,
}

impl Dissimilarity {
    /// From patterns `[conditions, features]`. Fails on fewer than two conditions, values not finite, patterns without
    /// variation under [`DissimilarityKind::Correlation`], and rates not above zero under
    /// [`DissimilarityKind::Poisson`].
    pub fn new(patterns: &ArrayView2<f64>, kind: DissimilarityKind) -> Result<Self, MetricError> {
        check_one(patterns, 2, "patterns")?;
        if kind == DissimilarityKind::Poisson
            && let Some(((row, column), &value)) = patterns.indexed_iter().find(|(_, rate)| **rate <= 0.0)
        {
            return Err(MetricError::NegativeRate { value, index: vec![row, column] });
        }
        let n_features = patterns.ncols() as f64;
        Self::of(patterns.nrows(), |i, j| {
            let pairs = patterns.row(i).into_iter().zip(patterns.row(j));
            match kind {
                DissimilarityKind::Euclidean => {
                    Ok(pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / n_features)
                }
                DissimilarityKind::Correlation => {
                    Ok(1.0 - pearson(&patterns.row(i).to_vec(), &patterns.row(j).to_vec())?)
                }
                DissimilarityKind::Poisson => {
                    Ok(pairs.map(|(a, b)| (a - b) * (a / b).ln()).sum::<f64>() / n_features)
                }
            }
        })
    }

    /// Crossnobis distance: the product of the differences in two independent halves of the data, mean over features.
    /// Noise cancels in expectation, so equal conditions are at distance zero and estimates may be negative. Whiten
    /// the features first. Fails as [`Self::new`] and on halves of different shapes.
    pub fn crossnobis(first: &ArrayView2<f64>, second: &ArrayView2<f64>) -> Result<Self, MetricError> {
        super::check_pair(first, second, 2)?;
        if first.ncols() != second.ncols() {
            let (expected, got) = (first.shape().to_vec(), second.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what: "second half", expected, got });
        }
        let n_features = first.ncols() as f64;
        Self::of(first.nrows(), |i, j| {
            let a = &first.row(i) - &first.row(j);
            let b = &second.row(i) - &second.row(j);
            Ok(a.dot(&b) / n_features)
        })
    }

    /// From the upper triangle by rows, without the diagonal, as measured by others. Fails on a number of pairs that no matrix
    /// has, and on values that are not finite.
    pub fn from_pairs(pairs: Vec<f64>) -> Result<Self, MetricError> {
        if let Some((index, &value)) = pairs.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what: "dissimilarities", value, index: vec![index] });
        }
        let n_pairs = |n: usize| n * (n - 1) / 2;
        let Some(n_conditions) = (2..=pairs.len() + 1).find(|&n| n_pairs(n) >= pairs.len()) else {
            return Err(MetricError::Empty { what: "list of dissimilarities" });
        };
        if n_pairs(n_conditions) != pairs.len() {
            let (expected, got) = (vec![n_pairs(n_conditions)], vec![pairs.len()]);
            return Err(MetricError::ShapeMismatch { what: "upper triangle", expected, got });
        }
        Ok(Self { pairs, n_conditions })
    }

    fn of(
        n_conditions: usize,
        distance: impl Fn(usize, usize) -> Result<f64, MetricError>,
    ) -> Result<Self, MetricError> {
        let pairs = (0..n_conditions)
            .flat_map(|i| (i + 1..n_conditions).map(move |j| (i, j)))
            .map(|(i, j)| distance(i, j))
            .collect::<Result<_, _>>()?;
        Ok(Self { pairs, n_conditions })
    }

    /// The upper triangle by rows.
    pub fn pairs(&self) -> &[f64] {
        &self.pairs
    }

    /// The symmetric matrix with zeros on the diagonal.
    pub fn matrix(&self) -> Array2<f64> {
        let mut out = Array2::zeros((self.n_conditions, self.n_conditions));
        let indices = (0..self.n_conditions).flat_map(|i| (i + 1..self.n_conditions).map(move |j| (i, j)));
        for ((i, j), value) in indices.zip(&self.pairs) {
            out[[i, j]] = *value;
            out[[j, i]] = *value;
        }
        out
    }

    /// Pearson's correlation of the pairs of two matrices over the same conditions. Fails on different numbers of
    /// conditions, fewer than three, and without variation.
    pub fn pearson(&self, other: &Self) -> Result<f64, MetricError> {
        pearson(&self.pairs, &other.pairs)
    }

    /// Spearman's rank correlation, equal values sharing their mean rank. Fails as [`Self::pearson`].
    pub fn spearman(&self, other: &Self) -> Result<f64, MetricError> {
        pearson(&ranks(&self.pairs), &ranks(&other.pairs))
    }
}

/// Ranks from one, ties at their mean.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for group in order.chunk_by(|&a, &b| values[a] >= values[b]) {
        let mean = below as f64 + f64::midpoint(1.0, group.len() as f64);
        for &index in group {
            ranks[index] = mean;
        }
        below += group.len();
    }
    ranks
}
