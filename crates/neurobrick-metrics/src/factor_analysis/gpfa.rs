//! Gaussian-process factor analysis (Yu et al. 2009): factors that are smooth on time scales learned per factor, for
//! trials of any lengths.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, Par};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::StaticFactors;
use super::mirrored::mirrored_inverse;
use super::smoothness::{best_gamma, kernel};
use super::stationary::StationaryInverse;
use crate::MetricError;
use crate::linalg::cholesky;

/// Steps of factor analysis that find the start.
const START_STEPS: usize = 200;

/// Least white share. It is the least variance of a bin given all others, relative to the whole: the recursion over bins
/// divides by that, so that the rounding of its sums, 1e-16 of the whole and more with every bin, stays ten decimals below.
const LEAST_WHITE: f64 = 1e-6;

/// Settings of [`Gpfa::fit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpfaConfig {
    /// Number of factors.
    pub n_factors: usize,
    /// Steps of expectation maximization.
    pub n_steps: usize,
    /// Time scale of all factors at the start, bins.
    pub start_tau_bins: f64,
    /// Share of each factor's variance that is white noise, from 1e-6 to below 1; fixed.
    pub white_share: f64,
    /// Lowest noise of a unit as a share of its variance.
    pub noise_floor: f64,
}

impl Default for GpfaConfig {
    /// Three factors of 5 bins; the reference implementation's shares.
    fn default() -> Self {
        Self { n_factors: 3, n_steps: 100, start_tau_bins: 5.0, white_share: 1e-3, noise_floor: 0.01 }
    }
}

/// The parameters of the model `y_t = d + C x_t + noise`, with factor `k` a Gaussian process of covariance
/// `(1 − ε) exp(−(t − s)² / 2 τ_k²) + ε [t = s]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpfa {
    /// Loadings `C`, `[N, K]`.
    pub loadings: Array2<f64>,
    /// Offset `d` of each unit.
    pub offsets: Vec<f64>,
    /// Noise variance of each unit, above zero.
    pub noise: Vec<f64>,
    /// Time scale `τ` of each factor in bins, above zero.
    pub taus_bins: Vec<f64>,
    /// White share `ε`, from 1e-6 to below 1.
    pub white_share: f64,
}

/// Latents of trials given all their bins.
#[derive(Clone, Debug, PartialEq)]
pub struct GpfaPosterior {
    /// Posterior means, `[T, K]` per trial.
    pub means: Vec<Array2<f64>>,
    /// Posterior variance of each latent in each bin, `[T, K]` per trial.
    pub variances: Vec<Array2<f64>>,
    /// Log-likelihood of all trials, nats.
    pub log_likelihood: f64,
}

/// All trials of one length.
struct Length {
    n_bins: usize,
    /// Which trials these are.
    trials: Vec<usize>,
    /// Posterior covariance of each of them, row `factor · T + bin`.
    covariance: Mat<f64>,
    /// Posterior means, rows as above, a column for each of `trials`.
    latents: Mat<f64>,
    /// Log-likelihood of each of `trials`, nats.
    log_likelihoods: Vec<f64>,
}

impl Gpfa {
    /// Fits trials `[T, N]`, usually square roots of counts, from a start by factor analysis.
    ///
    /// Fails without trials, on trials that differ in units, on values that are not finite, on a unit without
    /// variance, and on settings out of range.
    pub fn fit(trials: &[ArrayView2<f64>], config: &GpfaConfig) -> Result<Self, MetricError> {
        let all = concatenate(Axis(0), trials)
            .map_err(|_| MetricError::Empty { what: "set of trials with equal units" })?;
        if !(config.noise_floor.is_finite() && config.noise_floor > 0.0) {
            let (what, must) = ("noise_floor", "above zero");
            return Err(MetricError::InvalidSetting { what, value: config.noise_floor, must });
        }
        let start = StaticFactors::fit(&all.view(), config.n_factors, START_STEPS)?;
        let mut model = Self {
            loadings: start.loadings(),
            offsets: start.means().to_vec(),
            noise: start.noise().to_vec(),
            taus_bins: vec![config.start_tau_bins; config.n_factors],
            white_share: config.white_share,
        };
        for _ in 0..config.n_steps {
            model.step(trials, config.noise_floor)?;
        }
        Ok(model)
    }

    /// One step of expectation maximization; returns the log-likelihood before it. `noise_floor` is the lowest noise of
    /// a unit as a share of its variance. Fails as [`Self::infer`] and on a unit without variance.
    pub fn step(&mut self, trials: &[ArrayView2<f64>], noise_floor: f64) -> Result<f64, MetricError> {
        self.check(trials)?;
        let lengths = self.lengths(trials)?;
        let (n_units, n_factors) = self.loadings.dim();
        let (mut log_likelihood, mut n_rows) = (0.0, 0.0);
        // Second moments of (x, 1) and their products with y.
        let mut moments = Mat::<f64>::zeros(n_factors + 1, n_factors + 1);
        let mut cross = Mat::<f64>::zeros(n_factors + 1, n_units);
        let mut squares = vec![0.0; n_units];
        for length in &lengths {
            let n_bins = length.n_bins;
            log_likelihood += length.log_likelihoods.iter().sum::<f64>();
            n_rows += (n_bins * length.trials.len()) as f64;
            for (column, &trial) in length.trials.iter().enumerate() {
                let latents = length.latents.col_as_slice(column);
                for (bin, row) in trials[trial].rows().into_iter().enumerate() {
                    let at = |k: usize| if k < n_factors { latents[k * n_bins + bin] } else { 1.0 };
                    for k in 0..=n_factors {
                        for l in 0..=n_factors {
                            moments[(k, l)] += at(k) * at(l);
                        }
                        for (sum, y) in cross.row_mut(k).iter_mut().zip(row) {
                            *sum += at(k) * y;
                        }
                    }
                    for (square, y) in squares.iter_mut().zip(row) {
                        *square += y * y;
                    }
                }
            }
            for (k, l) in (0..n_factors).flat_map(|k| (0..n_factors).map(move |l| (k, l))) {
                let spread: f64 =
                    (0..n_bins).map(|bin| length.covariance[(k * n_bins + bin, l * n_bins + bin)]).sum();
                moments[(k, l)] += length.trials.len() as f64 * spread;
            }
        }
        let solved = cholesky(moments.as_ref(), "moments of the latents")?.solve(&cross);
        for i in 0..n_units {
            let explained: f64 = (0..=n_factors).map(|k| solved[(k, i)] * cross[(k, i)]).sum();
            let mean = cross[(n_factors, i)] / n_rows;
            let variance = squares[i] / n_rows - mean * mean;
            if variance <= 0.0 {
                return Err(MetricError::NoVariation { what: "a unit over all trials" });
            }
            self.noise[i] = ((squares[i] - explained) / n_rows).max(noise_floor * variance);
            self.offsets[i] = solved[(n_factors, i)];
            for k in 0..n_factors {
                self.loadings[[i, k]] = solved[(k, i)];
            }
        }
        for k in 0..n_factors {
            let over_time: Vec<Mat<f64>> = lengths.iter().map(|length| length.moments_over_time(k)).collect();
            let parts: Vec<_> = lengths
                .iter()
                .zip(&over_time)
                .map(|(length, moments)| (length.n_bins, length.trials.len(), moments))
                .collect();
            let gamma = best_gamma(&parts, self.taus_bins[k].powi(-2), self.white_share)?;
            self.taus_bins[k] = gamma.sqrt().recip();
        }
        Ok(log_likelihood)
    }

    /// Posterior of the latents of trials `[T, N]` and their log-likelihood.
    ///
    /// Fails on parameters that do not fit each other, trials with another number of units, and values that are not
    /// finite.
    pub fn infer(&self, trials: &[ArrayView2<f64>]) -> Result<GpfaPosterior, MetricError> {
        self.check(trials)?;
        let lengths = self.lengths(trials)?;
        let n_factors = self.loadings.ncols();
        let empty = || Array2::zeros((0, n_factors));
        let (mut means, mut variances) = (vec![empty(); trials.len()], vec![empty(); trials.len()]);
        let mut log_likelihood = 0.0;
        for length in &lengths {
            let n_bins = length.n_bins;
            let variance = Array2::from_shape_fn((n_bins, n_factors), |(bin, k)| {
                length.covariance[(k * n_bins + bin, k * n_bins + bin)]
            });
            for (column, &trial) in length.trials.iter().enumerate() {
                let latents = length.latents.col(column);
                means[trial] =
                    Array2::from_shape_fn((n_bins, n_factors), |(bin, k)| latents[k * n_bins + bin]);
                variances[trial].clone_from(&variance);
                log_likelihood += length.log_likelihoods[column];
            }
        }
        Ok(GpfaPosterior { means, variances, log_likelihood })
    }

    /// The posterior of all trials, in one entry per distinct number of bins.
    fn lengths(&self, trials: &[ArrayView2<f64>]) -> Result<Vec<Length>, MetricError> {
        let mut sizes: Vec<usize> = trials.iter().map(|trial| trial.dim().0).collect();
        sizes.sort_unstable();
        sizes.dedup();
        // Waking another thread for one length costs more than a short trial's work.
        if let [n_bins] = sizes[..] {
            return Ok(vec![self.length(trials, n_bins)?]);
        }
        sizes.into_par_iter().map(|n_bins| self.length(trials, n_bins)).collect()
    }

    fn length(&self, trials: &[ArrayView2<f64>], n_bins: usize) -> Result<Length, MetricError> {
        let (n_units, n_factors) = self.loadings.dim();
        let mut precision = Mat::<f64>::zeros(n_bins * n_factors, n_bins * n_factors);
        let mut log_determinants = n_bins as f64 * self.noise.iter().map(|v| v.ln()).sum::<f64>();
        for (k, tau) in self.taus_bins.iter().enumerate() {
            let prior = kernel(n_bins, tau.powi(-2), self.white_share);
            let inverse = StationaryInverse::new(&prior, "covariance of a Gaussian process")?;
            log_determinants += inverse.log_determinant;
            precision
                .as_mut()
                .submatrix_mut(k * n_bins, k * n_bins, n_bins, n_bins)
                .copy_from(inverse.matrix());
        }
        let read_in =
            Array2::from_shape_fn((n_units, n_factors), |(i, k)| self.loadings[[i, k]] / self.noise[i]);
        let evidence = self.loadings.t().dot(&read_in);
        for ((k, l), value) in evidence.indexed_iter() {
            for bin in 0..n_bins {
                precision[(k * n_bins + bin, l * n_bins + bin)] += value;
            }
        }
        let (covariance, log_determinant) =
            mirrored_inverse(&precision, n_bins, "posterior of Gaussian-process factors")?;
        log_determinants += log_determinant;
        let members: Vec<usize> =
            (0..trials.len()).filter(|&trial| trials[trial].nrows() == n_bins).collect();
        let mut statistics = Mat::<f64>::zeros(n_bins * n_factors, members.len());
        let mut distances = vec![0.0; members.len()];
        for (column, &trial) in members.iter().enumerate() {
            let statistics = statistics.col_as_slice_mut(column);
            for (bin, row) in trials[trial].rows().into_iter().enumerate() {
                for (i, y) in row.iter().enumerate() {
                    let deviation = y - self.offsets[i];
                    distances[column] += deviation * deviation / self.noise[i];
                    for k in 0..n_factors {
                        statistics[k * n_bins + bin] += read_in[[i, k]] * deviation;
                    }
                }
            }
        }
        let mut latents = Mat::<f64>::zeros(statistics.nrows(), statistics.ncols());
        matmul(latents.as_mut(), Accum::Replace, covariance.as_ref(), statistics.as_ref(), 1.0, Par::Seq);
        let constant = (n_units * n_bins) as f64 * std::f64::consts::TAU.ln();
        let log_likelihoods = (0..members.len())
            .map(|column| {
                let explained: f64 =
                    latents.col(column).iter().zip(statistics.col(column).iter()).map(|(x, z)| x * z).sum();
                -0.5 * (constant + log_determinants + distances[column] - explained)
            })
            .collect();
        Ok(Length { n_bins, trials: members, covariance, latents, log_likelihoods })
    }

    fn check(&self, trials: &[ArrayView2<f64>]) -> Result<(), MetricError> {
        let (n_units, n_factors) = self.loadings.dim();
        for (what, expected, got) in [
            ("offsets", n_units, self.offsets.len()),
            ("noise", n_units, self.noise.len()),
            ("taus_bins", n_factors, self.taus_bins.len()),
        ] {
            if expected != got {
                let (expected, got) = (vec![expected], vec![got]);
                return Err(MetricError::ShapeMismatch { what, expected, got });
            }
        }
        let settings = [("noise", &self.noise), ("taus_bins", &self.taus_bins)];
        for (what, &value) in settings.iter().flat_map(|(what, list)| list.iter().map(move |v| (*what, v))) {
            if !(value.is_finite() && value > 0.0) {
                return Err(MetricError::InvalidSetting { what, value, must: "above zero" });
            }
        }
        if !(LEAST_WHITE..1.0).contains(&self.white_share) {
            let (what, must) = (
                "white_share",
                "at least 1e-6, below which the recursion over bins loses its digits, and below 1",
            );
            return Err(MetricError::InvalidSetting { what, value: self.white_share, must });
        }
        if trials.is_empty() || n_units == 0 || n_factors == 0 {
            return Err(MetricError::Empty { what: "set of trials, units or factors" });
        }
        for (index, trial) in trials.iter().enumerate() {
            if trial.ncols() != n_units || trial.nrows() == 0 {
                let (expected, got) = (vec![trial.nrows().max(1), n_units], trial.shape().to_vec());
                return Err(MetricError::ShapeMismatch { what: "trial", expected, got });
            }
            if let Some(((bin, unit), &value)) = trial.indexed_iter().find(|(_, v)| !v.is_finite()) {
                let index = vec![index, bin, unit];
                return Err(MetricError::NotFinite { what: "trials", value, index });
            }
        }
        Ok(())
    }
}

impl Length {
    /// Second moments of a factor over time, `[T, T]`, summed over the trials.
    fn moments_over_time(&self, factor: usize) -> Mat<f64> {
        let (n_bins, first) = (self.n_bins, factor * self.n_bins);
        let n_trials = self.trials.len() as f64;
        let mut out = Mat::from_fn(n_bins, n_bins, |s, t| n_trials * self.covariance[(first + s, first + t)]);
        let means = self.latents.as_ref().subrows(first, n_bins);
        matmul(out.as_mut(), Accum::Add, means, means.transpose(), 1.0, Par::Seq);
        out
    }
}
