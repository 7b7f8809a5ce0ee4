//! Forward prediction by ridge autoregression: each forward bin of each unit from recent means of all units.

use faer::linalg::solvers::Solve;
use faer::{Mat, MatRef, Par};
use ndarray::{Array3, ArrayView3, Axis, s};
use serde::{Deserialize, Serialize};

use super::counts::{check_grid, check_train_valid, positive_means};
use super::last_mean::{recent_means, visible_bins, visible_part};
use super::selection::Yardstick;
use crate::linalg::{cholesky, column_means, gram, matrix_of, product, rows_of, subtract_from_columns};
use crate::{MetricError, RATE_FLOOR};

/// Hyper-parameters to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardRidgeGrid {
    /// Number of last visible bins averaged into each unit's feature; more than there are means all.
    pub windows_bins: Vec<usize>,
    /// Penalties relative to the mean sum of squares of a centered feature.
    pub penalties: Vec<f64>,
    /// Weight of the mean of the forward bin over training trials against the unit's overall mean, within [0, 1].
    pub bin_weights: Vec<f64>,
    /// Share of the forecast deviation that is averaged over all forward bins, within [0, 1]: at 1 the bins share
    /// one regression, which is less noisy with few trials.
    pub pooling: Vec<f64>,
    /// Lowest rate as a fraction of the unit's mean, above zero.
    pub floors: Vec<f64>,
}

impl Default for ForwardRidgeGrid {
    fn default() -> Self {
        Self {
            windows_bins: vec![5, 10, 20, 40, 90],
            penalties: vec![1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10_000.0],
            bin_weights: vec![0.0, 0.5, 1.0],
            pooling: vec![0.0, 1.0],
            floors: vec![0.1, 0.3, 0.5, 0.7],
        }
    }
}

/// What was chosen, and how well it did on the validation trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardRidgeChoice {
    /// Number of last visible bins averaged.
    pub window_bins: usize,
    /// Relative penalty.
    pub penalty: f64,
    /// The penalty as it enters the normal equations (scikit-learn's `alpha`).
    pub alpha: f64,
    /// Weight of the forward bin's own mean.
    pub bin_weight: f64,
    /// Share averaged over forward bins.
    pub pooling: f64,
    /// Lowest rate as a fraction of the unit's mean.
    pub floor: f64,
    /// Pooled bits/spike on the validation trials' forward bins.
    pub valid_bits_per_spike: f64,
}

/// A fitted ridge autoregression, one regression per unit and forward bin, all units' recent means as features.
#[derive(Clone, Debug)]
pub struct ForwardRidge {
    grid: ForwardRidgeGrid,
    choice: ForwardRidgeChoice,
    /// Mean of each feature over training trials.
    feature_means: Vec<f64>,
    /// `[N, n_forward · N]`, forward bins outermost.
    beta: Mat<f64>,
    /// Mean of each forward bin and unit over training trials, `n_forward · N`.
    bin_means: Vec<f64>,
    unit_means: Vec<f64>,
    n_visible: usize,
    n_forward: usize,
}

/// Centered training features and targets, one row per trial.
struct Regression {
    feature_means: Vec<f64>,
    features: Mat<f64>,
    targets: Mat<f64>,
}

impl ForwardRidge {
    /// Fits the last `n_forward` bins of each trial on the bins before; solves in the smaller of trials and units.
    ///
    /// Fails as [`LastMean::fit`](super::LastMean::fit).
    pub fn fit(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        n_forward: usize,
        grid: &ForwardRidgeGrid,
    ) -> Result<Self, MetricError> {
        check_train_valid(train, valid)?;
        let n_visible = visible_bins(train, n_forward)?;
        grid.check()?;
        let n_units = train.len_of(Axis(2));
        let units: Vec<usize> = (0..n_units).collect();
        let forward = valid.slice(s![.., n_visible.., ..]);
        let yardstick = Yardstick::new(rows_of(&forward, &units).as_ref(), valid.len_of(Axis(0)))?;
        let mut targets = Mat::from_fn(train.len_of(Axis(0)), n_forward * n_units, |b, column| {
            train[[b, n_visible + column / n_units, column % n_units]]
        });
        let bin_means = column_means(targets.as_ref());
        subtract_from_columns(&mut targets, &bin_means);
        let mut best = Self {
            grid: grid.clone(),
            choice: ForwardRidgeChoice {
                window_bins: 0,
                penalty: 0.0,
                alpha: 0.0,
                bin_weight: 0.0,
                pooling: 0.0,
                floor: 0.0,
                valid_bits_per_spike: f64::NEG_INFINITY,
            },
            feature_means: Vec::new(),
            beta: Mat::new(),
            bin_means,
            unit_means: positive_means(train),
            n_visible,
            n_forward,
        };
        for &window_bins in &grid.windows_bins {
            let mut features = matrix_of(&recent_means(train, n_visible, window_bins).view());
            let feature_means = column_means(features.as_ref());
            subtract_from_columns(&mut features, &feature_means);
            let regression = Regression { feature_means, features, targets };
            best.try_window(&regression, valid, window_bins, &yardstick)?;
            targets = regression.targets;
        }
        Ok(best)
    }

    /// Rates `[B, n_forward, N]` of the forward bins; reads only the visible bins of `counts`, which may lack the
    /// forward ones. Fails on invalid counts and if there are too few bins or another number of units.
    pub fn predict(&self, counts: &ArrayView3<f64>) -> Result<Array3<f64>, MetricError> {
        let n_units = self.unit_means.len();
        let visible = visible_part(counts, self.n_visible, n_units)?;
        let features =
            centered_features(&visible, self.n_visible, self.choice.window_bins, &self.feature_means);
        let linear = product(features.as_ref(), self.beta.as_ref());
        let linear = pooled(&linear, self.n_forward, self.choice.pooling);
        let shape = (counts.len_of(Axis(0)), self.n_forward, n_units);
        Ok(Array3::from_shape_fn(shape, |(b, t, n)| {
            self.rate(linear.as_ref(), b, t * n_units + n, self.choice.bin_weight, self.choice.floor)
        }))
    }

    /// What was tried.
    pub fn grid(&self) -> &ForwardRidgeGrid {
        &self.grid
    }

    /// What was chosen.
    pub fn choice(&self) -> &ForwardRidgeChoice {
        &self.choice
    }

    fn try_window(
        &mut self,
        regression: &Regression,
        valid: &ArrayView3<f64>,
        window_bins: usize,
        yardstick: &Yardstick,
    ) -> Result<(), MetricError> {
        let (x, n_units) = (regression.features.as_ref(), self.unit_means.len());
        let is_primal = x.ncols() <= x.nrows();
        let kernel = if is_primal { gram(x, Par::rayon(0)) } else { product(x, x.transpose()) };
        let energy = (0..kernel.nrows()).map(|i| kernel[(i, i)]).sum::<f64>() / n_units as f64;
        let valid_features = centered_features(valid, self.n_visible, window_bins, &regression.feature_means);
        let valid_basis =
            if is_primal { valid_features } else { product(valid_features.as_ref(), x.transpose()) };
        let (grid, n_forward) = (self.grid.clone(), self.n_forward);
        let mut best_coefficients = None;
        for &penalty in &grid.penalties {
            let alpha = penalty * if energy > 0.0 { energy } else { 1.0 };
            let coefficients = solve(regression, &kernel, alpha, is_primal)?;
            let linear = product(valid_basis.as_ref(), coefficients.as_ref());
            let before = self.choice;
            for &pooling in &grid.pooling {
                let linear = pooled(&linear, n_forward, pooling);
                for (&bin_weight, &floor) in grid
                    .bin_weights
                    .iter()
                    .flat_map(|weight| grid.floors.iter().map(move |floor| (weight, floor)))
                {
                    let cost = yardstick.cost(|row, unit| {
                        let column = (row % n_forward) * n_units + unit;
                        self.rate(linear.as_ref(), row / n_forward, column, bin_weight, floor)
                    });
                    let valid_bits_per_spike = yardstick.bits_per_spike(cost);
                    if valid_bits_per_spike > self.choice.valid_bits_per_spike {
                        self.choice = ForwardRidgeChoice {
                            window_bins,
                            penalty,
                            alpha,
                            bin_weight,
                            pooling,
                            floor,
                            valid_bits_per_spike,
                        };
                    }
                }
            }
            if self.choice != before {
                best_coefficients = Some(coefficients);
            }
        }
        if let Some(coefficients) = best_coefficients {
            self.feature_means.clone_from(&regression.feature_means);
            self.beta = if is_primal { coefficients } else { product(x.transpose(), coefficients.as_ref()) };
        }
        Ok(())
    }

    fn rate(&self, linear: MatRef<f64>, trial: usize, column: usize, bin_weight: f64, floor: f64) -> f64 {
        let mean = self.unit_means[column % self.unit_means.len()];
        let center = mean + bin_weight * (self.bin_means[column] - mean);
        (center + linear[(trial, column)]).max(floor * mean).max(RATE_FLOOR)
    }
}

impl ForwardRidgeGrid {
    fn check(&self) -> Result<(), MetricError> {
        let windows: Vec<f64> = self.windows_bins.iter().map(|&w| w as f64).collect();
        check_grid("windows_bins", &windows, "above zero", |w| w > 0.0)?;
        check_grid("penalties", &self.penalties, "above zero", |p| p > 0.0)?;
        check_grid("bin_weights", &self.bin_weights, "within [0, 1]", |w| (0.0..=1.0).contains(&w))?;
        check_grid("pooling", &self.pooling, "within [0, 1]", |w| (0.0..=1.0).contains(&w))?;
        check_grid("floors", &self.floors, "above zero", |f| f > 0.0)
    }
}

/// Coefficients of the features (primal) or of the training trials (dual), `[·, n_forward · N]`.
fn solve(
    regression: &Regression,
    kernel: &Mat<f64>,
    alpha: f64,
    is_primal: bool,
) -> Result<Mat<f64>, MetricError> {
    let (x, y) = (regression.features.as_ref(), regression.targets.as_ref());
    let mut system = kernel.clone();
    for i in 0..system.nrows() {
        system[(i, i)] += alpha;
    }
    let factor = cholesky(system.as_ref(), "forward ridge")?;
    Ok(if is_primal { factor.solve(product(x.transpose(), y)) } else { factor.solve(y) })
}

/// Recent means of all units minus their training means, `[B, N]`.
fn centered_features(
    counts: &ArrayView3<f64>,
    n_visible: usize,
    window_bins: usize,
    feature_means: &[f64],
) -> Mat<f64> {
    let mut features = matrix_of(&recent_means(counts, n_visible, window_bins).view());
    subtract_from_columns(&mut features, feature_means);
    features
}

/// Moves each unit's deviations in the `n_forward` bins toward their mean by `share`.
fn pooled(linear: &Mat<f64>, n_forward: usize, share: f64) -> Mat<f64> {
    let n_units = linear.ncols() / n_forward;
    let means = Mat::from_fn(linear.nrows(), n_units, |trial, unit| {
        (0..n_forward).map(|bin| linear[(trial, bin * n_units + unit)]).sum::<f64>() / n_forward as f64
    });
    Mat::from_fn(linear.nrows(), linear.ncols(), |trial, column| {
        let own = linear[(trial, column)];
        own + share * (means[(trial, column % n_units)] - own)
    })
}
