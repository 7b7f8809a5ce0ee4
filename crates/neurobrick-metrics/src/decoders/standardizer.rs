//! Features to mean zero and variance one, by the training rows.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::MetricError;

/// Means and standard deviations (population) of training columns; columns that do not vary are only centered.
#[derive(Clone, Debug, PartialEq)]
pub struct Standardizer {
    means: Array1<f64>,
    scales: Array1<f64>,
}

impl Standardizer {
    /// From `x` (`[rows, P]`); fails without rows and on values that are not finite.
    pub fn fit(x: &ArrayView2<f64>) -> Result<Self, MetricError> {
        check_finite(x, "features")?;
        let means = x.sum_axis(Axis(0)) / x.nrows() as f64;
        let variances = (x - &means).mapv(|v| v * v).sum_axis(Axis(0)) / x.nrows() as f64;
        Ok(Self { means, scales: variances.mapv(|v| if v > 0.0 { v.sqrt() } else { 1.0 }) })
    }

    /// Standardized rows; fails on another number of columns.
    pub fn apply(&self, x: &ArrayView2<f64>) -> Result<Array2<f64>, MetricError> {
        check_columns(x, self.means.len(), "features")?;
        Ok((x - &self.means) / &self.scales)
    }

    /// Mean of each column.
    pub fn means(&self) -> &Array1<f64> {
        &self.means
    }

    /// What each column is divided by.
    pub fn scales(&self) -> &Array1<f64> {
        &self.scales
    }
}

pub(super) fn check_finite(x: &ArrayView2<f64>, what: &'static str) -> Result<(), MetricError> {
    if x.is_empty() {
        return Err(MetricError::Empty { what });
    }
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), &value)) => {
            Err(MetricError::NotFinite { what, value, index: vec![row, column] })
        }
        None => Ok(()),
    }
}

pub(super) fn check_columns(
    x: &ArrayView2<f64>,
    n_columns: usize,
    what: &'static str,
) -> Result<(), MetricError> {
    if x.ncols() == n_columns {
        return Ok(());
    }
    let (expected, got) = (vec![x.nrows(), n_columns], x.shape().to_vec());
    Err(MetricError::ShapeMismatch { what, expected, got })
}

pub(super) fn check_rows(y: &ArrayView2<f64>, n_rows: usize, what: &'static str) -> Result<(), MetricError> {
    if y.nrows() == n_rows {
        return Ok(());
    }
    let (expected, got) = (vec![n_rows, y.ncols()], y.shape().to_vec());
    Err(MetricError::ShapeMismatch { what, expected, got })
}
