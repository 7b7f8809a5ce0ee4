//! Partial least squares regression.

use faer::linalg::solvers::Solve;
use faer::{Mat, Par};
use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::Standardizer;
use super::standardizer::{check_columns, check_finite, check_rows};
use crate::MetricError;
use crate::linalg::{gram, leading_eigenvectors, matrix_of, product};

/// PLS2 regression on standardized features and outputs (Wold 1975; scikit-learn's `PLSRegression`): components of the
/// features with the largest covariance with the outputs, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialLeastSquares {
    x: Standardizer,
    y: Standardizer,
    /// Of standardized features and outputs, `[P, K]`.
    coefficients: Array2<f64>,
    n_components: usize,
}

impl PartialLeastSquares {
    /// Fits `n_components` components of `x` (`[rows, P]`) to `y` (`[rows, K]`); stops early when the features or the
    /// outputs are used up. Fails on mismatched rows, without rows or components, and on values that are not finite.
    pub fn fit(x: &ArrayView2<f64>, y: &ArrayView2<f64>, n_components: usize) -> Result<Self, MetricError> {
        check_rows(y, x.nrows(), "outputs")?;
        check_finite(y, "outputs")?;
        if n_components == 0 {
            let (what, must) = ("n_components", "above zero");
            return Err(MetricError::InvalidSetting { what, value: 0.0, must });
        }
        let (x_scaler, y_scaler) = (Standardizer::fit(x)?, Standardizer::fit(y)?);
        let mut features = matrix_of(&x_scaler.apply(x)?.view());
        let outputs = matrix_of(&y_scaler.apply(y)?.view());
        let (mut weights, mut loadings, mut y_loadings) = (Vec::new(), Vec::new(), Vec::new());
        let start = energy(&features);
        for _ in 0..n_components.min(x.ncols()) {
            let cross = product(features.transpose(), outputs.as_ref());
            let direction = leading_eigenvectors(gram(cross.as_ref(), Par::Seq).as_ref(), 1)?;
            let mut weight = product(cross.as_ref(), direction.as_ref());
            let norm = energy(&weight).sqrt();
            let scores = product(features.as_ref(), weight.as_ref());
            let square = energy(&scores) / (norm * norm);
            // What is left is rounding.
            if norm == 0.0 || square <= 1e-20 * start {
                break;
            }
            weight.col_mut(0).iter_mut().for_each(|w| *w /= norm);
            let scores = product(features.as_ref(), weight.as_ref());
            let loading = faer::Scale(1.0 / square) * product(features.transpose(), scores.as_ref());
            let y_loading = faer::Scale(1.0 / square) * product(outputs.transpose(), scores.as_ref());
            // Deflated features are orthogonal to the scores, so the outputs need no deflation.
            features -= product(scores.as_ref(), loading.transpose());
            weights.push(weight);
            loadings.push(loading);
            y_loadings.push(y_loading);
        }
        let joined = |parts: &[Mat<f64>], rows| Mat::from_fn(rows, parts.len(), |i, j| parts[j][(i, 0)]);
        let (w, p, q) =
            (joined(&weights, x.ncols()), joined(&loadings, x.ncols()), joined(&y_loadings, y.ncols()));
        let inner = product(p.transpose(), w.as_ref());
        let coefficients = product(w.as_ref(), inner.partial_piv_lu().solve(q.transpose()).as_ref());
        let coefficients = Array2::from_shape_fn((x.ncols(), y.ncols()), |(i, j)| coefficients[(i, j)]);
        Ok(Self { x: x_scaler, y: y_scaler, coefficients, n_components: weights.len() })
    }

    /// Predictions `[rows, K]`; fails if the number of features differs.
    pub fn predict(&self, x: &ArrayView2<f64>) -> Result<Array2<f64>, MetricError> {
        check_columns(x, self.coefficients.nrows(), "features")?;
        Ok(self.x.apply(x)?.dot(&self.coefficients) * self.y.scales() + self.y.means())
    }

    /// Coefficients `[P, K]` of raw features and outputs.
    pub fn coefficients(&self) -> Array2<f64> {
        let columns: Array1<f64> = self.x.scales().mapv(|scale| 1.0 / scale);
        &self.coefficients * self.y.scales() * columns.insert_axis(Axis(1))
    }

    /// Components that were fitted.
    pub fn n_components(&self) -> usize {
        self.n_components
    }
}

fn energy(x: &Mat<f64>) -> f64 {
    (0..x.ncols()).map(|j| x.col(j).iter().map(|v| v * v).sum::<f64>()).sum()
}
