//! Gaussian-process factor analysis (Yu et al. 2009): factors that are smooth on time scales learned per factor, for
//! trials of any lengths.

use faer::Mat;
use faer::linalg::solvers::{DenseSolveCore, Llt, Solve};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::StaticFactors;
use super::smoothness::{best_gamma, kernel};
use crate::MetricError;
use crate::linalg::{cholesky, product};

/// Steps of factor analysis that find the start.
const START_STEPS: usize = 200;

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
    /// Share of each factor's variance that is white noise, within (0, 1); fixed.
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
    /// White share `ε`, within (0, 1).
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

/// What depends on the length of a trial only.
struct Length {
    n_bins: usize,
    /// Posterior covariance, row `bin · K + factor`.
    covariance: Mat<f64>,
    log_determinants: f64,
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
        // Per length: second moments of each factor over time.
        let mut over_time: Vec<(usize, usize, Vec<Mat<f64>>)> = lengths
            .iter()
            .map(|length| (length.n_bins, 0, vec![Mat::zeros(length.n_bins, length.n_bins); n_factors]))
            .collect();
        for trial in trials {
            let (position, length) = find(&lengths, trial.nrows());
            let (latents, likelihood) = self.latents(trial, length);
            log_likelihood += likelihood;
            n_rows += trial.nrows() as f64;
            let at =
                |bin: usize, k: usize| if k < n_factors { latents[(bin * n_factors + k, 0)] } else { 1.0 };
            for bin in 0..trial.nrows() {
                for k in 0..=n_factors {
                    for l in 0..=n_factors {
                        moments[(k, l)] += at(bin, k) * at(bin, l);
                        if k < n_factors && l < n_factors {
                            moments[(k, l)] += length.covariance[(bin * n_factors + k, bin * n_factors + l)];
                        }
                    }
                    for (i, y) in trial.row(bin).iter().enumerate() {
                        cross[(k, i)] += at(bin, k) * y;
                    }
                }
                for (square, y) in squares.iter_mut().zip(trial.row(bin)) {
                    *square += y * y;
                }
            }
            let (_, count, factors) = &mut over_time[position];
            *count += 1;
            for (k, sum) in factors.iter_mut().enumerate() {
                *sum += Mat::from_fn(trial.nrows(), trial.nrows(), |s, t| {
                    length.covariance[(s * n_factors + k, t * n_factors + k)] + at(s, k) * at(t, k)
                });
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
            let parts: Vec<_> = over_time.iter().map(|(n, count, sums)| (*n, *count, &sums[k])).collect();
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
        let mut posterior = GpfaPosterior { means: Vec::new(), variances: Vec::new(), log_likelihood: 0.0 };
        for trial in trials {
            let (_, length) = find(&lengths, trial.nrows());
            let (latents, likelihood) = self.latents(trial, length);
            posterior.log_likelihood += likelihood;
            let shape = (trial.nrows(), n_factors);
            posterior.means.push(Array2::from_shape_fn(shape, |(t, k)| latents[(t * n_factors + k, 0)]));
            posterior.variances.push(Array2::from_shape_fn(shape, |(t, k)| {
                length.covariance[(t * n_factors + k, t * n_factors + k)]
            }));
        }
        Ok(posterior)
    }

    /// Latents of one trial, row `bin · K + factor`, and the trial's log-likelihood.
    fn latents(&self, trial: &ArrayView2<f64>, length: &Length) -> (Mat<f64>, f64) {
        let (n_units, n_factors) = self.loadings.dim();
        let mut statistics = Mat::<f64>::zeros(length.n_bins * n_factors, 1);
        let mut distance = 0.0;
        for (bin, row) in trial.rows().into_iter().enumerate() {
            for i in 0..n_units {
                let deviation = row[i] - self.offsets[i];
                distance += deviation * deviation / self.noise[i];
                for k in 0..n_factors {
                    statistics[(bin * n_factors + k, 0)] += self.loadings[[i, k]] * deviation / self.noise[i];
                }
            }
        }
        let latents = product(length.covariance.as_ref(), statistics.as_ref());
        let explained: f64 = latents.col(0).iter().zip(statistics.col(0).iter()).map(|(x, z)| x * z).sum();
        let constant = (n_units * length.n_bins) as f64 * std::f64::consts::TAU.ln();
        (latents, -0.5 * (constant + length.log_determinants + distance - explained))
    }

    /// One entry per distinct number of bins.
    fn lengths(&self, trials: &[ArrayView2<f64>]) -> Result<Vec<Length>, MetricError> {
        let mut sizes: Vec<usize> = trials.iter().map(|trial| trial.dim().0).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes.into_iter().map(|n_bins| self.length(n_bins)).collect()
    }

    fn length(&self, n_bins: usize) -> Result<Length, MetricError> {
        let (n_units, n_factors) = self.loadings.dim();
        let mut precision = Mat::<f64>::zeros(n_bins * n_factors, n_bins * n_factors);
        let mut log_determinants = n_bins as f64 * self.noise.iter().map(|v| v.ln()).sum::<f64>();
        for (k, tau) in self.taus_bins.iter().enumerate() {
            let prior = kernel(n_bins, tau.powi(-2), self.white_share);
            let factor = cholesky(prior.as_ref(), "covariance of a Gaussian process")?;
            log_determinants += log_determinant(&factor);
            let inverse = factor.inverse();
            for (s, t) in (0..n_bins).flat_map(|s| (0..n_bins).map(move |t| (s, t))) {
                precision[(s * n_factors + k, t * n_factors + k)] += inverse[(s, t)];
            }
        }
        for (k, l) in (0..n_factors).flat_map(|k| (0..n_factors).map(move |l| (k, l))) {
            let evidence: f64 =
                (0..n_units).map(|i| self.loadings[[i, k]] * self.loadings[[i, l]] / self.noise[i]).sum();
            for bin in 0..n_bins {
                precision[(bin * n_factors + k, bin * n_factors + l)] += evidence;
            }
        }
        let factor = cholesky(precision.as_ref(), "posterior of Gaussian-process factors")?;
        log_determinants += log_determinant(&factor);
        Ok(Length { n_bins, covariance: factor.inverse(), log_determinants })
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
        if !(self.white_share > 0.0 && self.white_share < 1.0) {
            let (what, must) = ("white_share", "within (0, 1)");
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

fn find(lengths: &[Length], n_bins: usize) -> (usize, &Length) {
    let position = lengths.partition_point(|length| length.n_bins < n_bins);
    (position, &lengths[position])
}

pub(super) fn log_determinant(factor: &Llt<f64>) -> f64 {
    let triangle = factor.L();
    2.0 * (0..triangle.nrows()).map(|i| triangle[(i, i)].ln()).sum::<f64>()
}
