//! Gaussian smoothing of `[B, T, N]` arrays over time, each trial on its own.

use ndarray::{Array2, Array3, ArrayView3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::MetricError;

/// The kernel ends this many standard deviations from its center, as in `scipy.ndimage.gaussian_filter1d`.
const TRUNCATE: f64 = 4.0;

/// What stands beyond the first and last bin of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// Nothing: the weights inside the trial are rescaled to sum to one. Unbiased for a constant, uses no bin twice.
    Renormalized,
    /// The trial mirrored about its edge (`d c b a | a b c d | d c b a`; SciPy's `reflect`).
    Reflected,
}

/// Convolves every trial and unit of `values` (`[B, T, N]`) with a Gaussian of standard deviation `sigma_bins`.
///
/// Zero leaves the values as they are. Fails on a negative or non-finite sigma. NaN spreads to its neighbors.
pub fn smooth_over_time(
    values: &ArrayView3<f64>,
    sigma_bins: f64,
    edge: Edge,
) -> Result<Array3<f64>, MetricError> {
    if !(sigma_bins.is_finite() && sigma_bins >= 0.0) {
        return Err(MetricError::InvalidSetting {
            what: "sigma_bins",
            value: sigma_bins,
            must: "at least zero",
        });
    }
    if sigma_bins == 0.0 {
        return Ok(values.to_owned());
    }
    let (n_trials, n_bins, n_units) = values.dim();
    let stencils = stencils(n_bins, sigma_bins, edge);
    let trials: Vec<Vec<f64>> = (0..n_trials)
        .into_par_iter()
        .map(|trial| {
            let trial = values.index_axis(Axis(0), trial);
            let mut out = Array2::zeros((n_bins, n_units));
            for (mut row, stencil) in out.outer_iter_mut().zip(&stencils) {
                for &(source, weight) in stencil {
                    row.scaled_add(weight, &trial.row(source));
                }
            }
            out.into_raw_vec_and_offset().0
        })
        .collect();
    let mut smoothed = Array3::zeros(values.dim());
    for (mut out, trial) in smoothed.outer_iter_mut().zip(&trials) {
        out.iter_mut().zip(trial).for_each(|(value, smooth)| *value = *smooth);
    }
    Ok(smoothed)
}

/// For each bin, the bins it is made of and their weights.
fn stencils(n_bins: usize, sigma_bins: f64, edge: Edge) -> Vec<Vec<(usize, f64)>> {
    #[expect(clippy::cast_possible_truncation, reason = "a kernel longer than i64 bins would fit no trial")]
    let radius = (TRUNCATE * sigma_bins + 0.5) as i64;
    let gaussian = |offset: i64| (-0.5 * (offset as f64 / sigma_bins).powi(2)).exp();
    let n = i64::try_from(n_bins).unwrap_or(i64::MAX);
    (0..n)
        .map(|bin| {
            let mut weights = vec![0.0; n_bins];
            for offset in -radius..=radius {
                let inside = match edge {
                    Edge::Renormalized => Some(bin + offset).filter(|source| (0..n).contains(source)),
                    Edge::Reflected => {
                        let folded = (bin + offset).rem_euclid(2 * n);
                        Some(folded.min(2 * n - 1 - folded))
                    }
                };
                if let Some(source) = inside.and_then(|source| usize::try_from(source).ok()) {
                    weights[source] += gaussian(offset);
                }
            }
            let total: f64 = weights.iter().sum();
            weights.into_iter().enumerate().filter(|(_, w)| *w > 0.0).map(|(s, w)| (s, w / total)).collect()
        })
        .collect()
}
