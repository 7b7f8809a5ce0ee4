//! A law of two sizes, as of model and data.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::check_positive;
use super::power_law::{HUBER_DELTA, LOWEST_LOG_FLOOR};
use crate::MetricError;

const STEPS: usize = 2000;
const TOLERANCE: f64 = 1e-12;
/// Shares of the smallest error at which the floor starts.
const START_FLOORS: [f64; 3] = [1e-6, 0.5, 0.9];
/// Exponents to start from, for either axis.
const START_EXPONENTS: [f64; 3] = [0.1, 0.3, 0.8];

/// `floor + scales[0] · first^−exponents[0] + scales[1] · second^−exponents[1]` (Hoffmann et al. 2022): an error that falls
/// with either size toward what more of both cannot remove.
///
/// ```
/// use neurobrick_metrics::scaling::TwoAxisLaw;
///
/// let grid: Vec<(f64, f64)> = [1.0, 4.0, 16.0].iter().flat_map(|n| [1.0, 4.0, 16.0].map(|d| (*n, d))).collect();
/// let (first, second): (Vec<f64>, Vec<f64>) = grid.into_iter().unzip();
/// let errors: Vec<f64> =
///     first.iter().zip(&second).map(|(n, d)| 0.2 + 0.5 * n.powf(-0.5) + 0.3 * d.powf(-0.3)).collect();
/// let law = TwoAxisLaw::fit(&first, &second, &errors)?;
/// assert!((law.predict(64.0, 64.0) - 0.2 - 0.0625 - 0.0861).abs() < 1e-3);
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoAxisLaw {
    /// Error that remains at any sizes, at least zero.
    pub floor: f64,
    /// Error above the floor that each axis leaves at size 1.
    pub scales: [f64; 2],
    /// How fast each falls.
    pub exponents: [f64; 2],
}

/// Logarithms of floor and scales, and the exponents: `[floor, scale, exponent, scale, exponent]`.
type Point = [f64; 5];

impl TwoAxisLaw {
    /// Minimizes Huber's loss of the residuals of the logarithms, from a grid of starts.
    ///
    /// Fails on unequal lengths, fewer than six points or two sizes of either axis, and on values that are not finite and
    /// above zero.
    pub fn fit(first: &[f64], second: &[f64], errors: &[f64]) -> Result<Self, MetricError> {
        check_positive("first sizes", first, errors.len())?;
        check_positive("second sizes", second, errors.len())?;
        check_positive("errors", errors, errors.len())?;
        let distinct = |sizes: &[f64]| {
            let mut sizes = sizes.to_vec();
            sizes.sort_unstable_by(f64::total_cmp);
            sizes.dedup();
            sizes.len()
        };
        if errors.len() < 6 || distinct(first) < 2 || distinct(second) < 2 {
            let (what, must) = ("number of points", "at least 6, with 2 sizes on either axis");
            return Err(MetricError::InvalidSetting { what, value: errors.len() as f64, must });
        }
        let points: Vec<[f64; 3]> =
            first.iter().zip(second).zip(errors).map(|((a, b), y)| [a.ln(), b.ln(), y.ln()]).collect();
        let lowest = errors.iter().copied().fold(f64::INFINITY, f64::min);
        let mean = |of: usize| points.iter().map(|point| point[of]).sum::<f64>() / points.len() as f64;
        let above = mean(2).exp();
        let mut starts = Vec::new();
        for share in START_FLOORS {
            for a in START_EXPONENTS {
                for b in START_EXPONENTS {
                    // Each axis starts with half of what is above the floor at the middle of the points.
                    let half = (0.5 * (above - share * lowest).max(1e-3 * above)).ln();
                    starts.push([(share * lowest).ln(), half + a * mean(0), a, half + b * mean(1), b]);
                }
            }
        }
        let fits: Vec<(f64, Point)> = starts.into_par_iter().map(|start| descend(&points, start)).collect();
        let best = fits.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
        let (_, [floor, scale, exponent, other_scale, other_exponent]) =
            best.ok_or(MetricError::Empty { what: "list of starts" })?;
        // At the bound there is no floor.
        let floor = if floor <= lowest.ln() - 12.0 { 0.0 } else { floor.exp() };
        Ok(Self { floor, scales: [scale.exp(), other_scale.exp()], exponents: [exponent, other_exponent] })
    }

    /// The error at two sizes.
    pub fn predict(&self, first: f64, second: f64) -> f64 {
        let term = |axis: usize, size: f64| self.scales[axis] * size.powf(-self.exponents[axis]);
        self.floor + term(0, first) + term(1, second)
    }
}

/// Log of the prediction and the share of its three terms.
fn predicted(at: &Point, [a, b, _]: &[f64; 3]) -> (f64, [f64; 3]) {
    let terms = [at[0], at[1] - at[2] * a, at[3] - at[4] * b];
    let high = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts = terms.map(|term| (term - high).exp());
    let sum: f64 = parts.iter().sum();
    (high + sum.ln(), parts.map(|part| part / sum))
}

fn loss_of(points: &[[f64; 3]], at: &Point) -> f64 {
    let huber = |r: f64| {
        if r.abs() <= HUBER_DELTA { 0.5 * r * r } else { HUBER_DELTA * (r.abs() - 0.5 * HUBER_DELTA) }
    };
    points.iter().map(|point| huber(predicted(at, point).0 - point[2])).sum()
}

/// Levenberg-Marquardt steps on Huber's loss, reweighted at each step.
fn descend(points: &[[f64; 3]], start: Point) -> (f64, Point) {
    let (mut at, mut loss) = (start, loss_of(points, &start));
    let mut damping = 1e-3;
    for _ in 0..STEPS {
        let (mut normal, mut gradient) = ([[0.0; 5]; 5], [0.0; 5]);
        for point in points {
            let (log_error, [floor, first, second]) = predicted(&at, point);
            let residual = log_error - point[2];
            let slope = [floor, first, -first * point[0], second, -second * point[1]];
            let weight = (HUBER_DELTA / residual.abs()).min(1.0);
            for i in 0..5 {
                gradient[i] += weight * slope[i] * residual;
                for j in 0..5 {
                    normal[i][j] += weight * slope[i] * slope[j];
                }
            }
        }
        let mut moved = false;
        for _ in 0..12 {
            let mut system = normal;
            for (i, row) in system.iter_mut().enumerate() {
                row[i] += damping * (normal[i][i] + 1e-12);
            }
            if let Some(step) = solve(system, gradient) {
                let mut next = at;
                for (value, change) in next.iter_mut().zip(step) {
                    *value -= change;
                }
                next[0] = next[0].clamp(LOWEST_LOG_FLOOR, 40.0);
                let next_loss = loss_of(points, &next);
                if next_loss < loss {
                    moved = loss - next_loss > TOLERANCE * loss;
                    (at, loss) = (next, next_loss);
                    damping = (damping / 3.0).max(1e-12);
                    break;
                }
            }
            damping *= 4.0;
        }
        if !moved {
            break;
        }
    }
    (loss, at)
}

/// Gauss elimination with pivots; `None` for a singular system.
fn solve(mut a: [[f64; 5]; 5], mut b: [f64; 5]) -> Option<[f64; 5]> {
    for k in 0..5 {
        let pivot = (k..5).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()))?;
        a.swap(k, pivot);
        b.swap(k, pivot);
        for i in k + 1..5 {
            let factor = a[i][k] / a[k][k];
            let above = a[k];
            for (value, over) in a[i].iter_mut().zip(above).skip(k) {
                *value -= factor * over;
            }
            b[i] -= factor * b[k];
        }
    }
    let mut x = [0.0; 5];
    for k in (0..5).rev() {
        let rest: f64 = (k + 1..5).map(|j| a[k][j] * x[j]).sum();
        x[k] = (b[k] - rest) / a[k][k];
    }
    x.iter().all(|v| v.is_finite()).then_some(x)
}
