//! A law of two sizes, as of model and data.

use serde::{Deserialize, Serialize};

use super::check_positive;
use super::robust_fit::{Point, best_law, n_distinct};
use crate::MetricError;

/// Sizes that an axis needs: with two, any exponent fits with a floor of its own.
const LEAST_SIZES: usize = 3;
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

impl TwoAxisLaw {
    /// Minimizes Huber's loss of the residuals of the logarithms, from a grid of starts.
    ///
    /// Fails on unequal lengths, fewer than six points or three sizes of either axis, and on values that are not finite and
    /// above zero.
    pub fn fit(first: &[f64], second: &[f64], errors: &[f64]) -> Result<Self, MetricError> {
        check_positive("first sizes", first, errors.len())?;
        check_positive("second sizes", second, errors.len())?;
        check_positive("errors", errors, errors.len())?;
        if errors.len() < 6 {
            let (what, must) = ("number of points", "at least 6");
            return Err(MetricError::InvalidSetting { what, value: errors.len() as f64, must });
        }
        for (what, sizes) in [("number of first sizes", first), ("number of second sizes", second)] {
            let n = n_distinct(sizes.iter().copied());
            if n < LEAST_SIZES {
                return Err(MetricError::InvalidSetting { what, value: n as f64, must: "at least 3" });
            }
        }
        let point = |((a, b), y): ((&f64, &f64), &f64)| Point {
            log_sizes: [a.ln(), b.ln()],
            log_error: y.ln(),
            weight: 1.0,
        };
        let points: Vec<Point<2>> = first.iter().zip(second).zip(errors).map(point).collect();
        let lowest = errors.iter().copied().fold(f64::INFINITY, f64::min);
        let mean = |of: &dyn Fn(&Point<2>) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
        let above = mean(&|point| point.log_error).exp();
        let middle = [mean(&|point| point.log_sizes[0]), mean(&|point| point.log_sizes[1])];
        let mut starts = Vec::new();
        for share in START_FLOORS {
            for a in START_EXPONENTS {
                for b in START_EXPONENTS {
                    // Each axis starts with half of what is above the floor at the middle of the points.
                    let half = (0.5 * (above - share * lowest).max(1e-3 * above)).ln();
                    starts.push([(share * lowest).ln(), half + a * middle[0], a, half + b * middle[1], b]);
                }
            }
        }
        let [floor, scale, exponent, other_scale, other_exponent] = best_law(&points, starts)?;
        Ok(Self { floor, scales: [scale, other_scale], exponents: [exponent, other_exponent] })
    }

    /// The error at two sizes.
    pub fn predict(&self, first: f64, second: f64) -> f64 {
        let term = |axis: usize, size: f64| self.scales[axis] * size.powf(-self.exponents[axis]);
        self.floor + term(0, first) + term(1, second)
    }
}
