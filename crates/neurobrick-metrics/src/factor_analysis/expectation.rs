//! What all factor models share: the posterior of the latents given some units, by frequency.

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, MatRef, Par};
use rayon::prelude::*;

use crate::MetricError;
use crate::linalg::{cholesky, gram, product};

/// Loadings divided by the noise, `[N, K]`: what turns counts into the latents' sufficient statistics.
pub(super) fn read_in(loadings: MatRef<f64>, noise: &[f64]) -> Mat<f64> {
    Mat::from_fn(loadings.nrows(), loadings.ncols(), |i, k| loadings[(i, k)] / noise[i])
}

/// `Σ_i l_i l_iᵀ / ψ_i` over `units`, plus `weight` times the loadings' posterior covariance.
pub(super) fn evidence(
    loadings: MatRef<f64>,
    noise: &[f64],
    units: &[usize],
    spread: MatRef<f64>,
    weight: f64,
) -> Mat<f64> {
    let scaled = Mat::from_fn(units.len(), loadings.ncols(), |row, k| {
        loadings[(units[row], k)] / noise[units[row]].sqrt()
    });
    let mut sum = gram(scaled.as_ref(), Par::rayon(0));
    for j in 0..sum.ncols() {
        for i in 0..sum.nrows() {
            sum[(i, j)] += weight * spread[(i, j)];
        }
    }
    sum
}

/// Posterior covariance `(evidence + 1/spectrum)⁻¹` at each frequency; `spectra` is `[T, K]`.
pub(super) fn covariances(evidence: &Mat<f64>, spectra: &Mat<f64>) -> Result<Vec<Mat<f64>>, MetricError> {
    (0..spectra.nrows())
        .into_par_iter()
        .map(|frequency| {
            let mut precision = evidence.clone();
            for k in 0..precision.nrows() {
                precision[(k, k)] += 1.0 / spectra[(frequency, k)];
            }
            Ok(cholesky(precision.as_ref(), "posterior of factors")?.inverse())
        })
        .collect()
}

/// Posterior means from sufficient statistics, rows `frequency · B + trial`.
pub(super) fn means(statistics: &Mat<f64>, covariances: &[Mat<f64>]) -> Mat<f64> {
    let n_trials = statistics.nrows() / covariances.len();
    let mut out = Mat::zeros(statistics.nrows(), statistics.ncols());
    for (frequency, covariance) in covariances.iter().enumerate() {
        let rows = statistics.as_ref().subrows(frequency * n_trials, n_trials);
        let block = product(rows, covariance.as_ref());
        out.as_mut().subrows_mut(frequency * n_trials, n_trials).copy_from(block);
    }
    out
}
