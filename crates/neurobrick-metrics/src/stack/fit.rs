//! The Poisson regression from features to counts.

use faer::linalg::solvers::Solve;
use faer::{Mat, Par};
use ndarray::{Array3, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use super::StackFeatures;
use crate::linalg::{cholesky, gram, on_one_thread};
use crate::{MetricError, RATE_FLOOR};

const MAX_STEPS: usize = 50;
const MAX_HALVINGS: usize = 30;
/// Half the squared Newton decrement at which the fit is done, in nats over all rows.
const TOLERANCE: f64 = 1e-8;
/// What rounding leaves of an objective, relative to it: sums of some thousand rows.
const ROUNDING: f64 = 1e-11;
/// A feature further from its mean than this many standard deviations says no more than one at that distance.
const LIMIT: f64 = 6.0;
/// Features that vary less than this are constant.
const MIN_DEVIATION: f64 = 1e-9;
/// Beyond e⁵ times the mean no count supports a rate.
const MAX_LOG_RATIO: f64 = 5.0;

/// What other sessions teach about combining predictors; see the [module](crate::stack).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StackFields")]
pub struct Stack {
    /// Mean of every feature over the examples.
    centers: Vec<f64>,
    /// Its standard deviation.
    scales: Vec<f64>,
    /// Weight of every standardized feature in the log rate.
    weights: Vec<f64>,
    intercept: f64,
    /// Rows it was learned from.
    n_rows: usize,
    /// Spikes among them.
    n_spikes: f64,
}

/// A [`Stack`] as a file has it, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StackFields {
    centers: Vec<f64>,
    scales: Vec<f64>,
    weights: Vec<f64>,
    intercept: f64,
    n_rows: usize,
    n_spikes: f64,
}

impl TryFrom<StackFields> for Stack {
    type Error = MetricError;

    fn try_from(fields: StackFields) -> Result<Self, MetricError> {
        let StackFields { centers, scales, weights, intercept, n_rows, n_spikes } = fields;
        let expected = vec![weights.len()];
        for (what, got) in [("centers of a stack", centers.len()), ("scales of a stack", scales.len())] {
            if got != weights.len() {
                return Err(MetricError::ShapeMismatch { what, expected, got: vec![got] });
            }
        }
        let all = centers.iter().chain(&scales).chain(&weights).chain([&intercept, &n_spikes]);
        if let Some((index, &value)) = all.enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(MetricError::NotFinite { what: "numbers of a stack", value, index: vec![index] });
        }
        if let Some(&value) = scales.iter().find(|&&scale| scale <= 0.0) {
            let (what, must) = ("scale of a stack", "above zero");
            return Err(MetricError::InvalidSetting { what, value, must });
        }
        Ok(Self { centers, scales, weights, intercept, n_rows, n_spikes })
    }
}

impl Stack {
    /// Learns from examples: features and the counts `[B, T, targets]` that they were to predict.
    ///
    /// Minimizes the sum over rows of `rate − count · ln rate`, plus `penalty / 2` times the squared weights of the
    /// standardized features, by Newton's method.
    ///
    /// Fails without examples or spikes, on shapes that differ, on invalid counts or features, on a penalty that is not
    /// above zero, and if Newton's method does not converge.
    pub fn fit(examples: &[(&StackFeatures, ArrayView3<f64>)], penalty: f64) -> Result<Self, MetricError> {
        if !(penalty.is_finite() && penalty > 0.0) {
            return Err(MetricError::InvalidSetting { what: "penalty", value: penalty, must: "above zero" });
        }
        let Some((first, _)) = examples.first() else {
            return Err(MetricError::Empty { what: "list of examples" });
        };
        let n_features = first.n_features();
        let (mut counts, mut offsets) = (Vec::new(), Vec::new());
        for (features, observed) in examples {
            features.check(observed.dim())?;
            if features.n_features() != n_features {
                let (expected, got) = (vec![n_features], vec![features.n_features()]);
                return Err(MetricError::ShapeMismatch { what: "features", expected, got });
            }
            for (at, &count) in observed.indexed_iter() {
                crate::likelihood::check_count(count, || vec![at.0, at.1, at.2])?;
                counts.push(count);
                offsets.push(features.start_at(at));
            }
        }
        let n_spikes: f64 = counts.iter().sum();
        if n_spikes == 0.0 {
            return Err(MetricError::Empty { what: "set of targets with a spike" });
        }
        let mut stack = Self {
            centers: Vec::new(),
            scales: Vec::new(),
            weights: vec![0.0; n_features],
            intercept: 0.0,
            n_rows: counts.len(),
            n_spikes,
        };
        // The last column is the intercept's.
        let mut x = Mat::from_fn(counts.len(), n_features + 1, |_, _| 1.0);
        for j in 0..n_features {
            let values = x.col_as_slice_mut(j);
            let all = examples.iter().flat_map(|(features, _)| &features.columns[j]);
            for (slot, &value) in values.iter_mut().zip(all) {
                *slot = value;
            }
            let (center, scale) = moments(values)?;
            for value in values.iter_mut() {
                *value = standardized(*value, center, scale);
            }
            stack.centers.push(center);
            stack.scales.push(scale);
        }
        let weights = newton(&x, &counts, &offsets, penalty)?;
        stack.intercept = weights[n_features];
        stack.weights.copy_from_slice(&weights[..n_features]);
        Ok(stack)
    }

    /// Rates `[B, T, targets]` in spikes/bin; fails if the number of features differs.
    pub fn rates(&self, features: &StackFeatures) -> Result<Array3<f64>, MetricError> {
        Ok(self.log_rates(features)?.mapv(|eta| eta.exp().max(RATE_FLOOR)))
    }

    /// Their natural logs.
    pub(super) fn log_rates(&self, features: &StackFeatures) -> Result<Array3<f64>, MetricError> {
        if features.n_features() != self.weights.len() {
            let (expected, got) = (vec![self.weights.len()], vec![features.n_features()]);
            return Err(MetricError::ShapeMismatch { what: "features", expected, got });
        }
        let mut log_rates =
            Array3::from_shape_fn(features.dim(), |at| features.start_at(at) + self.intercept);
        for (j, column) in features.columns.iter().enumerate() {
            let (center, scale, weight) = (self.centers[j], self.scales[j], self.weights[j]);
            log_rates.zip_mut_with(column, |sum, &value| *sum += weight * standardized(value, center, scale));
        }
        for (mut column, mean) in log_rates.axis_iter_mut(Axis(2)).zip(&features.log_means) {
            column.mapv_inplace(|eta| eta.min(mean + MAX_LOG_RATIO));
        }
        Ok(log_rates)
    }

    /// Features it reads.
    pub fn n_features(&self) -> usize {
        self.weights.len()
    }

    /// Rows (unit, bin and trial) it was learned from.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Spikes among them.
    pub fn n_spikes(&self) -> f64 {
        self.n_spikes
    }
}

fn standardized(value: f64, center: f64, scale: f64) -> f64 {
    ((value - center) / scale).clamp(-LIMIT, LIMIT)
}

/// Mean and standard deviation; a constant feature keeps its scale of one and so says nothing.
fn moments(values: &[f64]) -> Result<(f64, f64), MetricError> {
    if let Some((row, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(MetricError::NotFinite { what: "features", value, index: vec![row] });
    }
    let n = values.len() as f64;
    let center = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|value| (value - center).powi(2)).sum::<f64>() / n).sqrt();
    Ok((center, if deviation > MIN_DEVIATION { deviation } else { 1.0 }))
}

/// Weights of the columns of `x`, the last one not penalized.
fn newton(x: &Mat<f64>, counts: &[f64], offsets: &[f64], penalty: f64) -> Result<Vec<f64>, MetricError> {
    let (n, p) = (x.nrows(), x.ncols());
    let ridge = |weights: &[f64]| penalty / 2.0 * weights[..p - 1].iter().map(|w| w * w).sum::<f64>();
    let mut weights = vec![0.0; p];
    let mut fit = Fit::new(offsets.to_vec(), counts);
    let mut value = fit.loss;
    let mut decrement = f64::INFINITY;
    let mut scaled = Mat::zeros(n, p);
    for step_number in 1..=MAX_STEPS {
        let residuals = Mat::from_fn(n, 1, |row, _| fit.rates[row] - counts[row]);
        let mut gradient = on_one_thread(x.transpose(), residuals.as_ref());
        let roots: Vec<f64> = fit.rates.iter().map(|rate| rate.sqrt()).collect();
        for j in 0..p {
            let target = scaled.col_as_slice_mut(j);
            for ((slot, x), root) in target.iter_mut().zip(x.col_as_slice(j)).zip(&roots) {
                *slot = x * root;
            }
        }
        let mut hessian = gram(scaled.as_ref(), Par::Seq);
        for j in 0..p - 1 {
            gradient[(j, 0)] += penalty * weights[j];
            hessian[(j, j)] += penalty;
        }
        let step = cholesky(hessian.as_ref(), "stack")?.solve(&gradient);
        decrement = (0..p).map(|j| gradient[(j, 0)] * step[(j, 0)]).sum::<f64>() / 2.0;
        if decrement <= TOLERANCE {
            return Ok(weights);
        }
        let direction = on_one_thread(x.as_ref(), step.as_ref());
        let mut scale = 1.0;
        for halving in 0..=MAX_HALVINGS {
            let trial: Vec<f64> = weights.iter().enumerate().map(|(j, w)| w - scale * step[(j, 0)]).collect();
            let along = fit.log_rates.iter().zip(direction.col_as_slice(0));
            let trial_fit = Fit::new(along.map(|(eta, d)| eta - scale * d).collect(), counts);
            let trial_value = trial_fit.loss + ridge(&trial);
            if trial_value <= value {
                (weights, fit, value) = (trial, trial_fit, trial_value);
                break;
            }
            if halving == MAX_HALVINGS {
                // What a step could still gain is lost in the rounding of the objective: this is the optimum.
                if decrement <= ROUNDING * (1.0 + value.abs()) {
                    return Ok(weights);
                }
                return Err(MetricError::NotConverged { what: "stack", steps: step_number, decrement });
            }
            scale /= 2.0;
        }
    }
    Err(MetricError::NotConverged { what: "stack", steps: MAX_STEPS, decrement })
}

/// What weights make of the rows.
struct Fit {
    log_rates: Vec<f64>,
    rates: Vec<f64>,
    /// Sum of `rate − count · ln rate`.
    loss: f64,
}

impl Fit {
    fn new(log_rates: Vec<f64>, counts: &[f64]) -> Self {
        let rates: Vec<f64> = log_rates.iter().map(|eta| eta.exp()).collect();
        let loss = log_rates.iter().zip(&rates).zip(counts).map(|((eta, rate), y)| rate - y * eta).sum();
        Self { log_rates, rates, loss }
    }
}
