//! Poisson regression with log link and ridge penalty, by Newton's method.
//!
//! The objective is that of scikit-learn's `PoissonRegressor`: mean over rows of `μ − y ln μ`, plus `alpha/2 ‖w‖²`;
//! the intercept is not penalized.

use faer::linalg::solvers::Solve;
use faer::{ColRef, Mat, MatRef, Par};
use ndarray::{Array1, ArrayView1, ArrayView2};

use crate::MetricError;
use crate::linalg::{cholesky, gram, matrix_of, on_one_thread};

const MAX_STEPS: usize = 100;
const MAX_HALVINGS: usize = 60;

/// A fitted Poisson regression: `rate = exp(x · coefficients + intercept)`.
#[derive(Clone, Debug, PartialEq)]
pub struct PoissonRegression {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) intercept: f64,
}

impl PoissonRegression {
    /// Fits counts `y` (one per row) on `x`, `[rows, P]`.
    ///
    /// Fails on unequal numbers of rows, on values that are not finite, on negative counts or penalty, if `y` holds
    /// no spike (the optimum is at minus infinity), and if Newton's method does not converge or meets a singular
    /// system (collinear features without a penalty).
    pub fn fit(x: &ArrayView2<f64>, y: &ArrayView1<f64>, alpha: f64) -> Result<Self, MetricError> {
        if y.len() != x.nrows() {
            let (expected, got) = (vec![x.nrows()], vec![y.len()]);
            return Err(MetricError::ShapeMismatch { what: "counts", expected, got });
        }
        if !(alpha.is_finite() && alpha >= 0.0) {
            return Err(MetricError::InvalidSetting { what: "alpha", value: alpha, must: "at least zero" });
        }
        if let Some(((row, column), &value)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what: "features", value, index: vec![row, column] });
        }
        for (row, &count) in y.iter().enumerate() {
            crate::likelihood::check_count(count, || vec![row])?;
        }
        if y.sum() == 0.0 {
            return Err(MetricError::Empty { what: "spike train of the target" });
        }
        Self::newton(matrix_of(x).as_ref(), &y.to_vec(), alpha, None, 1e-14)
    }

    /// Predicted rates, one per row of `x` (`[rows, P]`); fails if the number of features differs.
    pub fn predict(&self, x: &ArrayView2<f64>) -> Result<Array1<f64>, MetricError> {
        if x.ncols() != self.coefficients.len() {
            let (expected, got) = (vec![x.nrows(), self.coefficients.len()], x.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what: "features", expected, got });
        }
        Ok((x.dot(&ArrayView1::from(&self.coefficients)) + self.intercept).mapv(f64::exp))
    }

    /// Coefficient of each feature.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Log-rate at features of zero.
    pub fn intercept(&self) -> f64 {
        self.intercept
    }

    /// Newton steps with halving from `start` (default: the constant rate) until half the squared decrement falls
    /// below `tolerance`. `y` must hold a spike.
    pub(crate) fn newton(
        x: MatRef<f64>,
        y: &[f64],
        alpha: f64,
        start: Option<&Self>,
        tolerance: f64,
    ) -> Result<Self, MetricError> {
        let n = y.len() as f64;
        let mut fit = start.cloned().unwrap_or_else(|| Self {
            coefficients: vec![0.0; x.ncols()],
            intercept: (y.iter().sum::<f64>() / n).ln(),
        });
        let mut log_rates = linear(x, &fit.coefficients, fit.intercept);
        let mut rates = exp(&log_rates);
        let mut objective = fit.objective(&log_rates, &rates, y, alpha);
        let mut decrement = f64::INFINITY;
        for _ in 0..MAX_STEPS {
            let gradient = fit.gradient(x, &rates, y, alpha);
            let step = cholesky(hessian(x, &rates, alpha).as_ref(), "Poisson regression")?
                .solve(Mat::from_fn(gradient.len(), 1, |i, _| gradient[i]));
            decrement = gradient.iter().enumerate().map(|(i, g)| g * step[(i, 0)]).sum::<f64>() / 2.0;
            let direction = Self {
                coefficients: (0..x.ncols()).map(|j| step[(j, 0)]).collect(),
                intercept: step[(x.ncols(), 0)],
            };
            let log_direction = linear(x, &direction.coefficients, direction.intercept);
            let mut scale = 1.0;
            for _ in 0..MAX_HALVINGS {
                let trial = fit.minus(&direction, scale);
                let trial_log: Vec<f64> =
                    log_rates.iter().zip(&log_direction).map(|(eta, d)| eta - scale * d).collect();
                let trial_rates = exp(&trial_log);
                let trial_objective = trial.objective(&trial_log, &trial_rates, y, alpha);
                // Equality up to rounding is progress too: close to the optimum no digit of the objective moves.
                if trial_objective <= objective + 1e-15 * (1.0 + objective.abs()) {
                    (fit, log_rates, rates, objective) = (trial, trial_log, trial_rates, trial_objective);
                    break;
                }
                scale /= 2.0;
            }
            if decrement <= tolerance * (1.0 + objective.abs()) {
                return Ok(fit);
            }
        }
        Err(MetricError::NotConverged { what: "Poisson regression", steps: MAX_STEPS, decrement })
    }

    fn minus(&self, direction: &Self, scale: f64) -> Self {
        Self {
            coefficients: self
                .coefficients
                .iter()
                .zip(&direction.coefficients)
                .map(|(w, d)| w - scale * d)
                .collect(),
            intercept: self.intercept - scale * direction.intercept,
        }
    }

    fn objective(&self, log_rates: &[f64], rates: &[f64], y: &[f64], alpha: f64) -> f64 {
        let cost: f64 =
            log_rates.iter().zip(rates).zip(y).map(|((eta, rate), count)| rate - count * eta).sum();
        let penalty: f64 = self.coefficients.iter().map(|w| w * w).sum();
        cost / y.len() as f64 + alpha / 2.0 * penalty
    }

    /// With respect to the coefficients, then the intercept.
    fn gradient(&self, x: MatRef<f64>, rates: &[f64], y: &[f64], alpha: f64) -> Vec<f64> {
        let n = y.len() as f64;
        let residuals = Mat::from_fn(y.len(), 1, |row, _| rates[row] - y[row]);
        let sums = on_one_thread(x.transpose(), residuals.as_ref());
        let of_weight = |(j, w): (usize, &f64)| sums[(j, 0)] / n + alpha * w;
        let mut gradient: Vec<f64> = self.coefficients.iter().enumerate().map(of_weight).collect();
        gradient.push(residuals.col_as_slice(0).iter().sum::<f64>() / n);
        gradient
    }
}

/// `x · coefficients + intercept` per row.
pub(crate) fn linear(x: MatRef<f64>, coefficients: &[f64], intercept: f64) -> Vec<f64> {
    let sums = on_one_thread(x, ColRef::from_slice(coefficients).as_mat());
    sums.col_as_slice(0).iter().map(|sum| sum + intercept).collect()
}

fn exp(log_rates: &[f64]) -> Vec<f64> {
    log_rates.iter().map(|eta| eta.exp()).collect()
}

fn hessian(x: MatRef<f64>, rates: &[f64], alpha: f64) -> Mat<f64> {
    let n = rates.len() as f64;
    let roots: Vec<f64> = rates.iter().map(|rate| (rate / n).sqrt()).collect();
    let mut weighted = Mat::zeros(x.nrows(), x.ncols() + 1);
    for j in 0..x.ncols() {
        for ((out, value), root) in weighted.col_mut(j).iter_mut().zip(x.col(j).iter()).zip(&roots) {
            *out = value * root;
        }
    }
    for (out, root) in weighted.col_mut(x.ncols()).iter_mut().zip(&roots) {
        *out = *root;
    }
    // Fits run in parallel over units; one of them stays on one thread.
    let mut hessian = gram(weighted.as_ref(), Par::Seq);
    for j in 0..x.ncols() {
        hessian[(j, j)] += alpha;
    }
    hessian
}
