//! Reduced-rank regression: all outputs from a few linear combinations of the features.

use faer::{Mat, Par};
use ndarray::{Array2, ArrayView2};

use crate::linalg::{gram, leading_eigenvectors, matrix_of};
use crate::{MetricError, RidgeRegression};

/// A regression whose coefficients have at most a given rank (Izenman 1975): the full regression projected on the
/// leading principal directions of its fitted values. Without a penalty this is the least-squares optimum of that rank.
#[derive(Clone, Debug, PartialEq)]
pub struct ReducedRank {
    coefficients: Array2<f64>,
    intercept: Vec<f64>,
    rank: usize,
}

impl ReducedRank {
    /// Fits `x` (`[rows, P]`) to `y` (`[rows, K]`); `alpha` is the penalty of the full regression. A rank of `K` or
    /// more is the full regression. Fails as [`RidgeRegression::fit`] and on a rank of zero.
    pub fn fit(
        x: &ArrayView2<f64>,
        y: &ArrayView2<f64>,
        rank: usize,
        alpha: f64,
    ) -> Result<Self, MetricError> {
        if rank == 0 {
            return Err(MetricError::InvalidSetting { what: "rank", value: 0.0, must: "above zero" });
        }
        let full = RidgeRegression::fit(x, y, alpha)?;
        let means = x.sum_axis(ndarray::Axis(0)) / x.nrows() as f64;
        let fitted = matrix_of(&(x - &means).dot(&full.coefficients()).view());
        let directions: Mat<f64> = leading_eigenvectors(gram(fitted.as_ref(), Par::rayon(0)).as_ref(), rank)?;
        let directions =
            Array2::from_shape_fn((directions.nrows(), directions.ncols()), |(i, j)| directions[(i, j)]);
        let coefficients = full.coefficients().dot(&directions).dot(&directions.t());
        // Centered targets have mean zero at the mean of the features.
        let centers = means.dot(&full.coefficients()) + ndarray::ArrayView1::from(full.intercept());
        let intercept = (centers - means.dot(&coefficients)).to_vec();
        Ok(Self { coefficients, intercept, rank: rank.min(y.ncols()) })
    }

    /// Predictions `[rows, K]`; fails if the number of features differs.
    pub fn predict(&self, x: &ArrayView2<f64>) -> Result<Array2<f64>, MetricError> {
        super::standardizer::check_columns(x, self.coefficients.nrows(), "features")?;
        Ok(x.dot(&self.coefficients) + ndarray::ArrayView1::from(&self.intercept))
    }

    /// Coefficients `[P, K]`.
    pub fn coefficients(&self) -> ArrayView2<'_, f64> {
        self.coefficients.view()
    }

    /// Intercept of each output.
    pub fn intercept(&self) -> &[f64] {
        &self.intercept
    }

    /// The rank asked for, at most the number of outputs.
    pub fn rank(&self) -> usize {
        self.rank
    }
}
