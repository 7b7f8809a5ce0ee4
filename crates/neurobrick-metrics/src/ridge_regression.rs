//! Ridge regression with an unpenalized intercept, and the choice of its penalty by cross-validation.
//!
//! Matches scikit-learn's `Ridge` and `GridSearchCV(Ridge())`: unscaled features, contiguous unshuffled folds, R²
//! averaged over outputs. With penalties `logspace(-4, 0, 9)` and five folds it is the velocity decoder of the
//! Neural Latents Benchmark.

use faer::linalg::solvers::Solve;
use faer::{Mat, Par};
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::linalg::{cholesky, column_means, gram, matrix_of, product, subtract_from_columns};
use crate::{MetricError, contiguous_folds, r2};

/// A fitted ridge regression from `P` features to `K` outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct RidgeRegression {
    coefficients: Array2<f64>,
    intercept: Vec<f64>,
    alpha: f64,
}

/// What a search over penalties tried and found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeSearch {
    /// Penalties tried.
    pub alphas: Vec<f64>,
    /// Number of contiguous folds.
    pub n_folds: usize,
    /// Mean R² over folds, one per penalty.
    pub mean_r2: Vec<f64>,
    /// The penalty with the highest mean R², the first of equals.
    pub chosen: f64,
}

impl RidgeRegression {
    /// Minimizes `Σ ‖y − xβ − b‖² + alpha ‖β‖²` over rows; `x` is `[rows, P]`, `y` is `[rows, K]`.
    ///
    /// Solves in the smaller of features and rows. Fails on a shape mismatch, without rows, on values that are not
    /// finite, on a negative penalty, and if the system is singular.
    pub fn fit(x: &ArrayView2<f64>, y: &ArrayView2<f64>, alpha: f64) -> Result<Self, MetricError> {
        check(x, y)?;
        if !(alpha.is_finite() && alpha >= 0.0) {
            return Err(MetricError::InvalidSetting { what: "alpha", value: alpha, must: "at least zero" });
        }
        let (mut features, mut outputs) = (matrix_of(x), matrix_of(y));
        let (x_means, y_means) = (column_means(features.as_ref()), column_means(outputs.as_ref()));
        subtract_from_columns(&mut features, &x_means);
        subtract_from_columns(&mut outputs, &y_means);
        let beta = solve(&features, &outputs, alpha)?;
        let coefficients = Array2::from_shape_fn((beta.nrows(), beta.ncols()), |(i, j)| beta[(i, j)]);
        let offset =
            |k: usize| -> f64 { x_means.iter().zip(coefficients.column(k)).map(|(m, b)| m * b).sum() };
        let intercept = y_means.iter().enumerate().map(|(k, mean)| mean - offset(k)).collect();
        Ok(Self { coefficients, intercept, alpha })
    }

    /// Chooses the penalty by `n_folds` contiguous folds over the rows and refits on all of them.
    pub fn fit_search(
        x: &ArrayView2<f64>,
        y: &ArrayView2<f64>,
        alphas: &[f64],
        n_folds: usize,
    ) -> Result<(Self, RidgeSearch), MetricError> {
        check(x, y)?;
        if alphas.is_empty() {
            return Err(MetricError::Empty { what: "list of penalties" });
        }
        let folds = contiguous_folds(x.nrows(), n_folds)?;
        let mut mean_r2 = vec![0.0; alphas.len()];
        for held_out in 0..n_folds {
            let rows_where = |test: bool| -> Vec<usize> {
                (0..folds.len()).filter(|&row| (folds[row] == held_out) == test).collect()
            };
            let (fit_rows, test_rows) = (rows_where(false), rows_where(true));
            let (x_fit, y_fit) = (x.select(Axis(0), &fit_rows), y.select(Axis(0), &fit_rows));
            let (x_test, y_test) = (x.select(Axis(0), &test_rows), y.select(Axis(0), &test_rows));
            for (total, &alpha) in mean_r2.iter_mut().zip(alphas) {
                let predicted = Self::fit(&x_fit.view(), &y_fit.view(), alpha)?.predict(&x_test.view())?;
                *total += r2::uniform(&y_test.view(), &predicted.view())? / n_folds as f64;
            }
        }
        let best = (1..alphas.len()).fold(0, |best, i| if mean_r2[i] > mean_r2[best] { i } else { best });
        let search = RidgeSearch { alphas: alphas.to_vec(), n_folds, mean_r2, chosen: alphas[best] };
        Ok((Self::fit(x, y, search.chosen)?, search))
    }

    /// Predictions `[rows, K]` for features `[rows, P]`; fails if the number of features differs.
    pub fn predict(&self, x: &ArrayView2<f64>) -> Result<Array2<f64>, MetricError> {
        if x.ncols() != self.coefficients.nrows() {
            let (expected, got) = (vec![x.nrows(), self.coefficients.nrows()], x.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what: "features", expected, got });
        }
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

    /// The penalty.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
}

/// `(XᵀX + αI)⁻¹ Xᵀ Y`, or `Xᵀ (XXᵀ + αI)⁻¹ Y` with fewer rows than features.
fn solve(x: &Mat<f64>, y: &Mat<f64>, alpha: f64) -> Result<Mat<f64>, MetricError> {
    let is_primal = x.ncols() <= x.nrows();
    let mut system =
        if is_primal { gram(x.as_ref(), Par::rayon(0)) } else { product(x.as_ref(), x.transpose()) };
    for i in 0..system.nrows() {
        system[(i, i)] += alpha;
    }
    let factor = cholesky(system.as_ref(), "ridge regression")?;
    if is_primal {
        return Ok(factor.solve(product(x.transpose(), y.as_ref())));
    }
    Ok(product(x.transpose(), factor.solve(y).as_ref()))
}

fn check(x: &ArrayView2<f64>, y: &ArrayView2<f64>) -> Result<(), MetricError> {
    if x.nrows() != y.nrows() {
        let (expected, got) = (vec![x.nrows(), y.ncols()], y.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "outputs", expected, got });
    }
    if x.is_empty() || y.is_empty() {
        return Err(MetricError::Empty { what: "training data" });
    }
    for (what, values) in [("features", x), ("outputs", y)] {
        if let Some(((row, column), &value)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what, value, index: vec![row, column] });
        }
    }
    Ok(())
}
