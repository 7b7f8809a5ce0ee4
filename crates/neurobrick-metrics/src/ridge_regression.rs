//! Ridge regression with an unpenalized intercept, and the choice of its penalty by cross-validation.
//!
//! Matches scikit-learn's `Ridge` and `GridSearchCV(Ridge())`: unscaled features, contiguous unshuffled folds, R²
//! averaged over outputs. With penalties `logspace(-4, 0, 9)` and five folds it is the velocity decoder of the
//! Neural Latents Benchmark.

mod search;

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Par};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::linalg::{cholesky, column_means, gram, matrix_of, product, subtract_from_columns};
use crate::{MetricError, contiguous_folds};

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

/// Features with their penalized system factored once, for many lists of outputs (shuffled ones, for a null).
#[derive(Clone, Debug)]
pub struct RidgeSolver {
    /// Centered, `[rows, P]`.
    features: Mat<f64>,
    x_means: Vec<f64>,
    factor: Llt<f64>,
    is_primal: bool,
    alpha: f64,
}

impl RidgeSolver {
    /// Factors `XᵀX + alpha` in the smaller of features and rows; fails without rows, on values that are not finite, on a
    /// negative penalty, and if the system is singular.
    pub fn new(x: &ArrayView2<f64>, alpha: f64) -> Result<Self, MetricError> {
        check_table("features", x)?;
        check_alpha(alpha)?;
        let mut features = matrix_of(x);
        let x_means = column_means(features.as_ref());
        subtract_from_columns(&mut features, &x_means);
        let is_primal = features.ncols() <= features.nrows();
        let system = if is_primal {
            gram(features.as_ref(), Par::rayon(0))
        } else {
            product(features.as_ref(), features.transpose())
        };
        let factor = cholesky(with_penalty(system, alpha).as_ref(), "ridge regression")?;
        Ok(Self { features, x_means, factor, is_primal, alpha })
    }

    /// Fits outputs `[rows, K]`; fails on another number of rows and on values that are not finite.
    pub fn fit(&self, y: &ArrayView2<f64>) -> Result<RidgeRegression, MetricError> {
        check_outputs(y, self.features.nrows())?;
        let mut outputs = matrix_of(y);
        let y_means = column_means(outputs.as_ref());
        subtract_from_columns(&mut outputs, &y_means);
        let x = self.features.as_ref();
        let beta = if self.is_primal {
            self.factor.solve(product(x.transpose(), outputs.as_ref()))
        } else {
            product(x.transpose(), self.factor.solve(&outputs).as_ref())
        };
        let coefficients = Array2::from_shape_fn((beta.nrows(), beta.ncols()), |(i, j)| beta[(i, j)]);
        let offset =
            |k: usize| -> f64 { self.x_means.iter().zip(coefficients.column(k)).map(|(m, b)| m * b).sum() };
        let intercept = y_means.iter().enumerate().map(|(k, mean)| mean - offset(k)).collect();
        Ok(RidgeRegression { coefficients, intercept, alpha: self.alpha })
    }
}

impl RidgeRegression {
    /// Minimizes `Σ ‖y − xβ − b‖² + alpha ‖β‖²` over rows; `x` is `[rows, P]`, `y` is `[rows, K]`.
    ///
    /// Solves in the smaller of features and rows. Fails on a shape mismatch, without rows, on values that are not
    /// finite, on a negative penalty, and if the system is singular.
    pub fn fit(x: &ArrayView2<f64>, y: &ArrayView2<f64>, alpha: f64) -> Result<Self, MetricError> {
        check_outputs(y, x.nrows())?;
        RidgeSolver::new(x, alpha)?.fit(y)
    }

    /// Chooses the penalty by `n_folds` contiguous folds over the rows and refits on all of them.
    pub fn fit_search(
        x: &ArrayView2<f64>,
        y: &ArrayView2<f64>,
        alphas: &[f64],
        n_folds: usize,
    ) -> Result<(Self, RidgeSearch), MetricError> {
        Self::fit_search_in(x, y, alphas, &contiguous_folds(x.nrows(), n_folds)?)
    }

    /// Chooses the penalty by cross-validation over folds that `fold_of_row` numbers from zero (give rows of one trial one
    /// fold), and refits on all rows.
    ///
    /// Products of features are formed twice in all, not once per fold and penalty. Fails as [`Self::fit`], without
    /// penalties, with fewer than two folds, and on an empty fold.
    pub fn fit_search_in(
        x: &ArrayView2<f64>,
        y: &ArrayView2<f64>,
        alphas: &[f64],
        fold_of_row: &[usize],
    ) -> Result<(Self, RidgeSearch), MetricError> {
        let (mean_r2, n_folds) = search::mean_r2(x, y, alphas, fold_of_row)?;
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

fn with_penalty(mut system: Mat<f64>, alpha: f64) -> Mat<f64> {
    for i in 0..system.nrows() {
        system[(i, i)] += alpha;
    }
    system
}

fn check_alpha(alpha: f64) -> Result<(), MetricError> {
    if alpha.is_finite() && alpha >= 0.0 {
        return Ok(());
    }
    Err(MetricError::InvalidSetting { what: "alpha", value: alpha, must: "at least zero" })
}

fn check_outputs(y: &ArrayView2<f64>, n_rows: usize) -> Result<(), MetricError> {
    if y.nrows() != n_rows {
        let (expected, got) = (vec![n_rows, y.ncols()], y.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "outputs", expected, got });
    }
    check_table("outputs", y)
}

fn check_table(what: &'static str, values: &ArrayView2<f64>) -> Result<(), MetricError> {
    if values.is_empty() {
        return Err(MetricError::Empty { what: "training data" });
    }
    match values.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), &value)) => {
            Err(MetricError::NotFinite { what, value, index: vec![row, column] })
        }
        None => Ok(()),
    }
}
