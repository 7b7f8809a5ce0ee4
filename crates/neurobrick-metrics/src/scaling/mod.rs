//! Scaling laws: how an error falls with data or compute, how sure that is, and what it would take to go lower.
//!
//! [`PowerLaw`] is `floor + scale · x^−exponent` for errors, which saturate; [`LogLinear`] is `a + b ln x` for scores
//! in the middle of their range; [`TwoAxisLaw`] is a power law of two sizes at once. [`ScalingInterval`]s come from resampling groups of points (a model family, a
//! subject), because points of one group are not independent; [`backtest`] asks whether the law fitted to the smaller
//! sizes would have foretold the larger ones.

mod backtest;
mod log_linear;
mod power_law;
mod robust_fit;
mod two_axes;

pub use backtest::{Backtest, backtest};
pub use log_linear::{LogLinear, LogLinearBootstrap};
pub use power_law::{PowerLaw, PowerLawBootstrap, ScalingInterval};
pub use two_axes::TwoAxisLaw;

use crate::MetricError;

/// Fails on unequal lengths and on values that are not finite and above zero.
fn check_positive(what: &'static str, values: &[f64], n: usize) -> Result<(), MetricError> {
    if values.len() != n {
        let (expected, got) = (vec![n], vec![values.len()]);
        return Err(MetricError::ShapeMismatch { what, expected, got });
    }
    match values.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
        Some(&value) => Err(MetricError::InvalidSetting { what, value, must: "finite and above zero" }),
        None => Ok(()),
    }
}
