//! A power law with a floor, fitted robustly from many starts.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::check_positive;
use crate::{Bootstrap, ConfidenceInterval, IntervalMethod, MetricError};

/// Residuals of the logarithm beyond this count by their size, not their square (Hoffmann et al. 2022).
pub(super) const HUBER_DELTA: f64 = 1e-3;
/// Steps of a fit; with so small a delta it is nearly a fit of absolute deviations, which converges slowly.
const STEPS: usize = 2000;
/// A fit ends when its loss falls by less than this share.
const TOLERANCE: f64 = 1e-12;
/// Shares of the smallest value at which the floor starts.
const START_FLOORS: [f64; 4] = [1e-6, 0.3, 0.7, 0.95];
/// Exponents to start from.
const START_EXPONENTS: [f64; 4] = [0.05, 0.15, 0.4, 1.0];
/// Logarithm of the lowest floor, which stands for none.
pub(super) const LOWEST_LOG_FLOOR: f64 = -40.0;

/// `floor + scale · size^−exponent`: an error that falls with size toward what more of it cannot remove.
///
/// ```
/// use neurobrick_metrics::scaling::PowerLaw;
///
/// let sizes = [1.0, 2.0, 4.0, 8.0, 16.0];
/// let errors = sizes.map(|n: f64| 0.2 + 0.5 * n.powf(-0.5));
/// let law = PowerLaw::fit(&sizes, &errors)?;
/// assert!((law.floor - 0.2).abs() < 1e-3);
/// assert!((law.size_for(0.3).unwrap() - 25.0).abs() < 0.5);
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerLaw {
    /// Error that remains at any size, at least zero.
    pub floor: f64,
    /// Error above the floor at size 1.
    pub scale: f64,
    /// How fast the error above the floor falls.
    pub exponent: f64,
}

/// Interval of one quantity under resampled groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingInterval {
    /// From the fit to all points.
    pub value: f64,
    /// Percentile interval over resamples.
    pub interval: ConfidenceInterval,
}

/// The fit to all points and to every resample of groups.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerLawBootstrap {
    law: PowerLaw,
    resampled: Vec<PowerLaw>,
    bootstrap: Bootstrap,
}

/// Logarithms of floor and scale, and the exponent.
#[derive(Clone, Copy)]
struct Candidate {
    log_floor: f64,
    log_scale: f64,
    exponent: f64,
}

impl PowerLaw {
    /// Minimizes Huber's loss of the residuals of the logarithms, from a grid of starts.
    ///
    /// Fails on unequal lengths, fewer than four points or three sizes, and on sizes or errors that are not finite and
    /// above zero.
    pub fn fit(sizes: &[f64], errors: &[f64]) -> Result<Self, MetricError> {
        Self::fit_weighted(sizes, errors, &vec![1.0; errors.len()])
    }

    fn fit_weighted(sizes: &[f64], errors: &[f64], weights: &[f64]) -> Result<Self, MetricError> {
        check_positive("sizes", sizes, errors.len())?;
        check_positive("errors", errors, errors.len())?;
        let mut distinct = sizes.to_vec();
        distinct.sort_unstable_by(f64::total_cmp);
        distinct.dedup();
        if errors.len() < 4 || distinct.len() < 3 {
            let (what, must) = ("number of sizes", "at least 3, with at least 4 points");
            return Err(MetricError::InvalidSetting { what, value: distinct.len() as f64, must });
        }
        let lowest = errors.iter().copied().fold(f64::INFINITY, f64::min);
        let starts: Vec<Candidate> = START_FLOORS
            .iter()
            .flat_map(|share| START_EXPONENTS.iter().map(move |exponent| (share, exponent)))
            .map(|(share, &exponent)| {
                let floor = share * lowest;
                // The scale that makes the mean logarithm right.
                let logs = sizes.iter().zip(errors).map(|(x, y)| (y - floor).ln() + exponent * x.ln());
                let log_scale = logs.sum::<f64>() / errors.len() as f64;
                Candidate { log_floor: floor.ln(), log_scale, exponent }
            })
            .collect();
        let points: Vec<[f64; 3]> = sizes
            .iter()
            .zip(errors)
            .zip(weights)
            .filter(|(_, weight)| **weight > 0.0)
            .map(|((x, y), weight)| [x.ln(), y.ln(), *weight])
            .collect();
        let fits: Vec<(f64, Candidate)> =
            starts.into_par_iter().map(|start| descend(&points, start)).collect();
        let best = fits.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
        let (_, Candidate { log_floor, log_scale, exponent }) =
            best.ok_or(MetricError::Empty { what: "list of starts" })?;
        // At the bound there is no floor.
        let floor = if log_floor <= lowest.ln() - 12.0 { 0.0 } else { log_floor.exp() };
        Ok(Self { floor, scale: log_scale.exp(), exponent })
    }

    /// The error at a size.
    pub fn predict(&self, size: f64) -> f64 {
        self.floor + self.scale * size.powf(-self.exponent)
    }

    /// The size at which the error falls to `error`; `None` if it is not above the floor or the error does not fall.
    pub fn size_for(&self, error: f64) -> Option<f64> {
        (error > self.floor && self.exponent > 0.0)
            .then(|| (self.scale / (error - self.floor)).powf(self.exponent.recip()))
    }
}

impl PowerLawBootstrap {
    /// Fits all points, then `bootstrap.n_resamples` resamples of whole groups; resamples with fewer than three sizes
    /// are left out. Fails as [`PowerLaw::fit`], on another number of groups, and with a single group.
    pub fn new(
        sizes: &[f64],
        errors: &[f64],
        group_of_point: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, MetricError> {
        if group_of_point.len() != sizes.len() {
            let (expected, got) = (vec![sizes.len()], vec![group_of_point.len()]);
            return Err(MetricError::ShapeMismatch { what: "groups of points", expected, got });
        }
        let law = PowerLaw::fit(sizes, errors)?;
        let mut groups = group_of_point.to_vec();
        groups.sort_unstable();
        groups.dedup();
        if groups.len() < 2 {
            let (what, must) = ("number of groups", "at least 2");
            return Err(MetricError::InvalidSetting { what, value: groups.len() as f64, must });
        }
        let position: Vec<usize> =
            group_of_point.iter().map(|group| groups.partition_point(|other| other < group)).collect();
        let resampled = (0..bootstrap.n_resamples)
            .into_par_iter()
            .filter_map(|resample| {
                let of_group = bootstrap.weights(resample, 0, groups.len());
                let weights: Vec<f64> = position.iter().map(|&group| of_group[group]).collect();
                PowerLaw::fit_weighted(sizes, errors, &weights).ok()
            })
            .collect();
        Ok(Self { law, resampled, bootstrap: *bootstrap })
    }

    /// The fit to all points.
    pub fn law(&self) -> &PowerLaw {
        &self.law
    }

    /// Interval of anything that follows from the law: a parameter, the error at a size. Resamples in which it is not
    /// finite are left out and not counted.
    pub fn interval(&self, quantity: impl Fn(&PowerLaw) -> f64) -> ScalingInterval {
        let values = self.resampled.iter().map(&quantity).collect();
        let interval = self.bootstrap.interval(values, IntervalMethod::GroupBootstrap);
        ScalingInterval { value: quantity(&self.law), interval }
    }

    /// The size it takes to reach `error`, and the share of resamples in which no size does. `None` if the fit itself
    /// never reaches it.
    pub fn size_for(&self, error: f64) -> Option<(ScalingInterval, f64)> {
        self.law.size_for(error)?;
        let never = self.resampled.iter().filter(|law| law.size_for(error).is_none()).count();
        let share = never as f64 / self.resampled.len() as f64;
        // Out of reach is beyond any size, so it must stay in the quantiles.
        let finite = |law: &PowerLaw| law.size_for(error).unwrap_or(f64::MAX);
        Some((self.interval(finite), share))
    }
}

/// Levenberg-Marquardt steps on Huber's loss, reweighted at each step; the loss and where it ends.
fn descend(points: &[[f64; 3]], start: Candidate) -> (f64, Candidate) {
    let mut at = start;
    let mut loss = loss_of(points, at);
    let mut damping = 1e-3;
    for _ in 0..STEPS {
        let (normal, gradient) = linearized(points, at);
        let mut moved = false;
        for _ in 0..12 {
            let mut system = normal;
            for (i, row) in system.iter_mut().enumerate() {
                row[i] += damping * (normal[i][i] + 1e-12);
            }
            let Some(step) = solve3(system, gradient) else {
                damping *= 4.0;
                continue;
            };
            let next = Candidate {
                log_floor: (at.log_floor - step[0]).clamp(LOWEST_LOG_FLOOR, 40.0),
                log_scale: at.log_scale - step[1],
                exponent: at.exponent - step[2],
            };
            let next_loss = loss_of(points, next);
            if next_loss < loss {
                moved = loss - next_loss > TOLERANCE * loss;
                (at, loss) = (next, next_loss);
                damping = (damping / 3.0).max(1e-12);
                break;
            }
            damping *= 4.0;
        }
        if !moved {
            break;
        }
    }
    (loss, at)
}

/// Predicted logarithm and the share of the floor in the prediction.
fn predicted(at: Candidate, log_size: f64) -> (f64, f64) {
    let falling = at.log_scale - at.exponent * log_size;
    let high = falling.max(at.log_floor);
    let (a, b) = ((at.log_floor - high).exp(), (falling - high).exp());
    (high + (a + b).ln(), a / (a + b))
}

fn loss_of(points: &[[f64; 3]], at: Candidate) -> f64 {
    let huber = |r: f64| {
        if r.abs() <= HUBER_DELTA { 0.5 * r * r } else { HUBER_DELTA * (r.abs() - 0.5 * HUBER_DELTA) }
    };
    points.iter().map(|[x, y, weight]| weight * huber(predicted(at, *x).0 - y)).sum()
}

/// Weighted normal matrix and gradient in (log floor, log scale, exponent).
fn linearized(points: &[[f64; 3]], at: Candidate) -> ([[f64; 3]; 3], [f64; 3]) {
    let (mut normal, mut gradient) = ([[0.0; 3]; 3], [0.0; 3]);
    for [x, y, weight] in points {
        let (log_error, share) = predicted(at, *x);
        let residual = log_error - y;
        let slope = [share, 1.0 - share, -(1.0 - share) * x];
        let weight = weight * (HUBER_DELTA / residual.abs()).min(1.0);
        for i in 0..3 {
            gradient[i] += weight * slope[i] * residual;
            for j in 0..3 {
                normal[i][j] += weight * slope[i] * slope[j];
            }
        }
    }
    (normal, gradient)
}

/// Cramer's rule; `None` for a singular system.
fn solve3(a: [[f64; 3]; 3], b: [f64; 3]) -> Option<[f64; 3]> {
    let determinant = |m: &[[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = determinant(&a);
    let with = |column: usize| {
        let mut m = a;
        for i in 0..3 {
            m[i][column] = b[i];
        }
        determinant(&m) / whole
    };
    let x = [with(0), with(1), with(2)];
    x.iter().all(|v| v.is_finite()).then_some(x)
}
