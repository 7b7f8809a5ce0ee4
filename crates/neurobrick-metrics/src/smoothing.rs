//! Gaussian smoothing of `[B, T, N]` arrays over time, each trial on its own.

use ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::MetricError;

/// The kernel ends this many standard deviations from its center, as in `scipy.ndimage.gaussian_filter1d`.
const TRUNCATE: f64 = 4.0;

/// A row counts as dense if more than one in this many values is not zero.
const DENSE_FROM: usize = 4;

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
    let n_bins = values.len_of(Axis(1));
    let reached = reached_bins(&stencils(n_bins, sigma_bins, edge));
    let mut smoothed = Array3::zeros(values.dim());
    let trials: Vec<_> = smoothed.outer_iter_mut().zip(values.outer_iter()).collect();
    trials.into_par_iter().for_each(|(out, trial)| smooth_trial(trial, &reached, out));
    Ok(smoothed)
}

/// Adds every bin to those it reaches. Zeros are passed over, which makes counts, most of them zero, cheap; a sum
/// has the same terms in the same order either way.
fn smooth_trial(trial: ArrayView2<f64>, reached: &[Vec<(usize, f64)>], mut out: ArrayViewMut2<f64>) {
    let mut active = Vec::with_capacity(trial.ncols());
    for (row, targets) in trial.outer_iter().zip(reached) {
        active.clear();
        active.extend(row.iter().copied().enumerate().filter(|&(_, value)| value != 0.0));
        let is_dense = active.len() * DENSE_FROM > row.len();
        for &(target, weight) in targets {
            let mut out = out.row_mut(target);
            if is_dense {
                out.scaled_add(weight, &row);
            } else {
                for &(unit, value) in &active {
                    out[unit] += weight * value;
                }
            }
        }
    }
}

/// The stencils seen from their sources: for each bin, the bins it adds to and its weights there.
fn reached_bins(stencils: &[Vec<(usize, f64)>]) -> Vec<Vec<(usize, f64)>> {
    let mut reached = vec![Vec::new(); stencils.len()];
    for (target, stencil) in stencils.iter().enumerate() {
        for &(source, weight) in stencil {
            reached[source].push((target, weight));
        }
    }
    reached
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
