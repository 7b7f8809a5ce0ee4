//! Logistic probe for binary labels: few trials, many features, L2 penalty, class-balanced weights.
//!
//! The objective is scikit-learn's `LogisticRegression(C, class_weight="balanced")` after `StandardScaler`:
//! `½ ‖w‖² + C Σ s_i ln(1 + exp(−y_i f_i))` with `s_i = n / (2 n_class)` and an intercept that is not penalized. It is
//! solved in the dual, where only the `[trials, trials]` kernel enters: Newton's method in the form of Rasmussen
//! and Williams (2006, algorithm 3.1), extended by the intercept.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, MatRef};
use ndarray::{Array1, ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::linalg::{cholesky, matrix_of, product};
use crate::{MetricError, stratified_folds};

const MAX_STEPS: usize = 200;
const MAX_HALVINGS: usize = 40;
/// Half squared Newton decrement, relative to the objective, at which a fit is done.
const TOLERANCE: f64 = 1e-14;

/// How the penalty is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeGrid {
    /// Inverse penalties to try.
    pub cs: Vec<f64>,
    /// Stratified folds over the training trials.
    pub n_folds: usize,
    /// Seed of the folds.
    pub seed: u64,
}

impl ProbeGrid {
    /// Four folds and `C` from 1e-6 to 1e2 by decades.
    pub fn with_seed(seed: u64) -> Self {
        Self { cs: (-6..=2).map(|decade| 10f64.powi(decade)).collect(), n_folds: 4, seed }
    }
}

/// A fitted probe.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticProbe {
    means: Vec<f64>,
    scales: Vec<f64>,
    /// For standardized features.
    coefficients: Vec<f64>,
    intercept: f64,
    c: f64,
}

impl LogisticProbe {
    /// Fits at a given inverse penalty `c`; `x` is `[trials, features]`.
    ///
    /// Fails on unequal numbers of trials, values that are not finite, a `c` that is not above zero, and labels of a
    /// single class.
    pub fn fit(x: &ArrayView2<f64>, labels: &[bool], c: f64) -> Result<Self, MetricError> {
        check(x, labels)?;
        Standardized::new(x).fit(labels, c)
    }

    /// Chooses `c` by stratified cross-validation on the training trials (highest balanced log-likelihood of the
    /// held-out trials, the smaller `c` on a tie) and refits on all of them.
    ///
    /// Also returns the mean held-out loss of each `c`. Fails as [`LogisticProbe::fit`] and if a class has fewer
    /// trials than there are folds.
    pub fn fit_search(
        x: &ArrayView2<f64>,
        labels: &[bool],
        grid: &ProbeGrid,
    ) -> Result<(Self, Vec<f64>), MetricError> {
        check(x, labels)?;
        if grid.cs.is_empty() {
            return Err(MetricError::Empty { what: "list of inverse penalties" });
        }
        let folds = stratified_folds(labels, grid.n_folds, grid.seed)?;
        let losses = Self::cross_validate(x, labels, &folds, &grid.cs)?;
        let is_better = |i: usize, best: usize| {
            losses[i].total_cmp(&losses[best]).then(grid.cs[i].total_cmp(&grid.cs[best])).is_lt()
        };
        let best = (1..losses.len()).fold(0, |best, i| if is_better(i, best) { i } else { best });
        Ok((Self::fit(x, labels, grid.cs[best])?, losses))
    }

    /// Mean over folds of the balanced log-loss (nats, each class weighs one half) on the held-out trials, for each
    /// `c`. `folds` names the fold of each trial, `0..=max`; standardization is fitted within each fold.
    pub fn cross_validate(
        x: &ArrayView2<f64>,
        labels: &[bool],
        folds: &[usize],
        cs: &[f64],
    ) -> Result<Vec<f64>, MetricError> {
        check(x, labels)?;
        if folds.len() != labels.len() {
            let (expected, got) = (vec![labels.len()], vec![folds.len()]);
            return Err(MetricError::ShapeMismatch { what: "folds", expected, got });
        }
        let n_folds = folds.iter().max().map_or(0, |last| last + 1);
        let mut losses = vec![0.0; cs.len()];
        for held_out in 0..n_folds {
            let rows = |test: bool| -> Vec<usize> {
                (0..folds.len()).filter(|&trial| (folds[trial] == held_out) == test).collect()
            };
            let pick = |rows: &[usize]| -> Vec<bool> { rows.iter().map(|&trial| labels[trial]).collect() };
            let (fit_rows, test_rows) = (rows(false), rows(true));
            let (fit_labels, test_labels) = (pick(&fit_rows), pick(&test_rows));
            let weights = balanced_weights(&test_labels)?;
            let standardized = Standardized::new(&x.select(Axis(0), &fit_rows).view());
            let test = x.select(Axis(0), &test_rows);
            for (total, &c) in losses.iter_mut().zip(cs) {
                let decision = standardized.fit(&fit_labels, c)?.decision(&test.view())?;
                let terms = decision.iter().zip(&test_labels).zip(&weights);
                let loss: f64 = terms.map(|((&f, &label), s)| s * softplus(if label { -f } else { f })).sum();
                *total += loss / test_labels.len() as f64 / n_folds as f64;
            }
        }
        Ok(losses)
    }

    /// Decision values (log-odds under balanced classes) of `x`, `[trials, features]`; fails if the number of
    /// features differs.
    pub fn decision(&self, x: &ArrayView2<f64>) -> Result<Array1<f64>, MetricError> {
        if x.ncols() != self.means.len() {
            let (expected, got) = (vec![x.nrows(), self.means.len()], x.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what: "features", expected, got });
        }
        let scaled: Array1<f64> = self.coefficients.iter().zip(&self.scales).map(|(w, s)| w / s).collect();
        let offset = scaled.dot(&ArrayView1::from(&self.means));
        Ok(x.dot(&scaled) + (self.intercept - offset))
    }

    /// `true` where the decision value is above zero.
    pub fn predict(&self, x: &ArrayView2<f64>) -> Result<Vec<bool>, MetricError> {
        Ok(self.decision(x)?.iter().map(|&f| f > 0.0).collect())
    }

    /// Coefficients for standardized features.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Intercept for standardized features.
    pub fn intercept(&self) -> f64 {
        self.intercept
    }

    /// Inverse penalty.
    pub fn c(&self) -> f64 {
        self.c
    }
}

fn check(x: &ArrayView2<f64>, labels: &[bool]) -> Result<(), MetricError> {
    if x.nrows() != labels.len() {
        let (expected, got) = (vec![x.nrows()], vec![labels.len()]);
        return Err(MetricError::ShapeMismatch { what: "labels", expected, got });
    }
    if x.is_empty() {
        return Err(MetricError::Empty { what: "training data" });
    }
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), &value)) => {
            Err(MetricError::NotFinite { what: "features", value, index: vec![row, column] })
        }
        None => Ok(()),
    }
}

/// `n / (2 n_class)` for each trial.
fn balanced_weights(labels: &[bool]) -> Result<Vec<f64>, MetricError> {
    let positive = labels.iter().filter(|&&label| label).count();
    let negative = labels.len() - positive;
    if positive == 0 || negative == 0 {
        return Err(MetricError::SingleClass { trials: labels.len(), class: negative == 0 });
    }
    let n = labels.len() as f64;
    Ok(labels.iter().map(|&label| n / (2.0 * if label { positive } else { negative } as f64)).collect())
}

/// `ln(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Training features with zero mean and unit variance (constant ones stay at zero), and their kernel.
struct Standardized {
    means: Vec<f64>,
    scales: Vec<f64>,
    features: Mat<f64>,
    /// `[trials, trials]`.
    kernel: Mat<f64>,
}

/// A point of the dual: `w = Xᵀ a`, with decision values `f = K a + b`.
#[derive(Clone)]
struct Point {
    a: Vec<f64>,
    b: f64,
    f: Vec<f64>,
}

impl Point {
    fn objective(&self, labels: &[bool], costs: &[f64]) -> f64 {
        let quadratic: f64 = self.a.iter().zip(&self.f).map(|(a, f)| a * (f - self.b)).sum();
        let terms = self.f.iter().zip(labels).zip(costs);
        let loss: f64 = terms.map(|((&f, &label), cost)| cost * softplus(if label { -f } else { f })).sum();
        quadratic / 2.0 + loss
    }

    /// Half the decrease that the gradient promises along the step from here to `target`.
    fn decrement(&self, target: &Self, labels: &[bool], costs: &[f64]) -> f64 {
        let along: f64 = (0..labels.len())
            .map(|i| {
                let step = target.f[i] - self.f[i];
                let residual = if labels[i] { sigmoid(-self.f[i]) } else { -sigmoid(self.f[i]) };
                let penalty = self.a[i] * (step - (target.b - self.b));
                costs[i] * residual * step - penalty
            })
            .sum();
        along.abs() / 2.0
    }
}

impl Standardized {
    fn new(x: &ArrayView2<f64>) -> Self {
        let mut features = matrix_of(x);
        let n = features.nrows() as f64;
        let (mut means, mut scales) = (Vec::new(), Vec::new());
        for j in 0..features.ncols() {
            let column = features.col_as_slice_mut(j);
            let mean = column.iter().sum::<f64>() / n;
            let scale = (column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            // Rounding leaves a constant column with a scale of some 1e-17 instead of zero.
            let scale = if scale > 1e-14 * mean.abs() && scale > 0.0 { scale } else { 1.0 };
            for value in column {
                *value = (*value - mean) / scale;
            }
            means.push(mean);
            scales.push(scale);
        }
        let kernel = product(features.as_ref(), features.transpose());
        Self { means, scales, features, kernel }
    }

    fn fit(&self, labels: &[bool], c: f64) -> Result<LogisticProbe, MetricError> {
        if !(c.is_finite() && c > 0.0) {
            return Err(MetricError::InvalidSetting { what: "c", value: c, must: "above zero" });
        }
        let costs: Vec<f64> = balanced_weights(labels)?.iter().map(|s| c * s).collect();
        let point = self.newton(labels, &costs)?;
        let a = Mat::from_fn(point.a.len(), 1, |i, _| point.a[i]);
        let weights = product(self.features.transpose(), a.as_ref());
        Ok(LogisticProbe {
            means: self.means.clone(),
            scales: self.scales.clone(),
            coefficients: weights.col(0).iter().copied().collect(),
            intercept: point.b,
            c,
        })
    }

    fn newton(&self, labels: &[bool], costs: &[f64]) -> Result<Point, MetricError> {
        let n = labels.len();
        let mut point = Point { a: vec![0.0; n], b: 0.0, f: vec![0.0; n] };
        let mut objective = point.objective(labels, costs);
        let mut decrement = f64::INFINITY;
        for _ in 0..MAX_STEPS {
            let target = self.newton_target(&point, labels, costs)?;
            decrement = point.decrement(&target, labels, costs);
            let mut scale = 1.0;
            for _ in 0..MAX_HALVINGS {
                let mix = |from: f64, to: f64| from + scale * (to - from);
                let trial = Point {
                    a: point.a.iter().zip(&target.a).map(|(p, t)| mix(*p, *t)).collect(),
                    b: mix(point.b, target.b),
                    f: point.f.iter().zip(&target.f).map(|(p, t)| mix(*p, *t)).collect(),
                };
                let trial_objective = trial.objective(labels, costs);
                if trial_objective <= objective + 1e-15 * objective.abs() {
                    (point, objective) = (trial, trial_objective);
                    break;
                }
                scale /= 2.0;
            }
            if decrement <= TOLERANCE * objective.abs() {
                return Ok(point);
            }
        }
        Err(MetricError::NotConverged { what: "logistic probe", steps: MAX_STEPS, decrement })
    }

    /// The minimum of the quadratic model at `point`: `(K + W⁻¹) a + b = f + W⁻¹ g`, `Σ a = 0`, with the curvatures
    /// `W` and the negative gradient `g` of the loss. Written with `W^½` so that no curvature is divided by.
    fn newton_target(&self, point: &Point, labels: &[bool], costs: &[f64]) -> Result<Point, MetricError> {
        let n = labels.len();
        let curvature: Vec<f64> =
            point.f.iter().zip(costs).map(|(&f, cost)| cost * sigmoid(f) * sigmoid(-f)).collect();
        let roots: Vec<f64> = curvature.iter().map(|w| w.sqrt()).collect();
        let system = Mat::from_fn(n, n, |i, j| {
            roots[i] * self.kernel[(i, j)] * roots[j] + f64::from(u8::from(i == j))
        });
        let factor = cholesky(system.as_ref(), "logistic probe")?;
        let right: Vec<f64> = (0..n)
            .map(|i| {
                let residual = if labels[i] { sigmoid(-point.f[i]) } else { -sigmoid(point.f[i]) };
                curvature[i] * point.f[i] + costs[i] * residual
            })
            .collect();
        let from_right = self.filtered(&factor, &roots, &right);
        let from_ones = self.filtered(&factor, &roots, &curvature);
        let b = from_right.iter().sum::<f64>() / from_ones.iter().sum::<f64>();
        let a: Vec<f64> = from_right.iter().zip(&from_ones).map(|(r, o)| r - b * o).collect();
        let f = times(self.kernel.as_ref(), &a).into_iter().map(|f| f + b).collect();
        Ok(Point { a, b, f })
    }

    /// `v − W^½ B⁻¹ W^½ K v`, which is `(K + W⁻¹)⁻¹ W⁻¹ v`.
    fn filtered(&self, factor: &Llt<f64>, roots: &[f64], v: &[f64]) -> Vec<f64> {
        let kernel_v = times(self.kernel.as_ref(), v);
        let solved = factor.solve(Mat::from_fn(v.len(), 1, |i, _| roots[i] * kernel_v[i]));
        (0..v.len()).map(|i| v[i] - roots[i] * solved[(i, 0)]).collect()
    }
}

fn times(matrix: MatRef<f64>, v: &[f64]) -> Vec<f64> {
    let column = Mat::from_fn(v.len(), 1, |i, _| v[i]);
    product(matrix, column.as_ref()).col(0).iter().copied().collect()
}
