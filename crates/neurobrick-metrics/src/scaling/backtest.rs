//! Whether a law fitted to small sizes foretells the large ones.

use serde::{Deserialize, Serialize};

use super::{PowerLaw, check_positive};
use crate::MetricError;

/// A forecast of the largest sizes from the smaller ones, against the naive forecast that nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backtest {
    /// The law fitted to the smaller sizes.
    pub law: PowerLaw,
    /// Points it was fitted to and points it was tried on.
    pub n_points: [usize; 2],
    /// Mean absolute error of the law's forecast, as a share of the observed value.
    pub relative_error: f64,
    /// The same for the mean of the points at the largest fitted size.
    pub naive_relative_error: f64,
}

/// Fits points of sizes up to `largest_fitted` and forecasts those beyond. Fails as [`PowerLaw::fit`] on the fitted
/// points, and without a point beyond.
pub fn backtest(sizes: &[f64], errors: &[f64], largest_fitted: f64) -> Result<Backtest, MetricError> {
    check_positive("sizes", sizes, errors.len())?;
    let (near, far): (Vec<_>, Vec<_>) =
        sizes.iter().copied().zip(errors.iter().copied()).partition(|(size, _)| *size <= largest_fitted);
    if far.is_empty() {
        return Err(MetricError::Empty { what: "set of points beyond the largest fitted size" });
    }
    let (near_sizes, near_errors): (Vec<f64>, Vec<f64>) = near.iter().copied().unzip();
    let law = PowerLaw::fit(&near_sizes, &near_errors)?;
    let last = near_sizes.iter().copied().fold(0.0, f64::max);
    let at_last: Vec<f64> = near.iter().filter(|(size, _)| *size >= last).map(|(_, error)| *error).collect();
    let naive = crate::bits::mean(&at_last);
    let miss = |forecast: &dyn Fn(f64) -> f64| {
        far.iter().map(|(size, error)| (forecast(*size) - error).abs() / error).sum::<f64>()
            / far.len() as f64
    };
    Ok(Backtest {
        law,
        n_points: [near.len(), far.len()],
        relative_error: miss(&|size| law.predict(size)),
        naive_relative_error: miss(&|_| naive),
    })
}
