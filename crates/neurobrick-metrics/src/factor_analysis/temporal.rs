//! Factors with a power spectrum over the bins of a trial, fitted to raw counts by variational Bayes.
//!
//! A trial's deviations from the mean rates go through an orthonormal cosine transform over bins; its coefficient at
//! frequency `f` is `y_f = L x_f + noise`, `x_fk ~ N(0, d_fk)`, white noise `ψ_i` per unit. With a smooth spectrum a
//! factor is a smooth process, so the posterior smooths over time as much as the data ask for, per factor, and every
//! solve stays `K x K`. Loadings have a normal prior of variance `ψ_i / a_k` with `a_k` learned (automatic relevance
//! determination, Bishop 1999): with the conjugate gamma the posterior covariance of all rows is `ψ_i V`, one matrix,
//! and a mask of hidden units subtracts their share of it exactly.

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, MatRef};
use ndarray::{Array2, Array3, ArrayView3, Axis};
use neurobrick_random::{Domain, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::expectation::{covariances, evidence, means, read_in};
use super::spectral::{cosines, forward, inverse};
use crate::MetricError;
use crate::baselines::Query;
use crate::baselines::counts::check_counts;
use crate::linalg::{cholesky, leading_subspace, product, rows_of, subtract_from_columns, trials_of};

/// Lowest noise of a unit relative to the mean over units; silent units would otherwise have none.
const NOISE_FLOOR: f64 = 1e-3;
/// Lowest power of a factor at a frequency, relative to a mean power of one.
const POWER_FLOOR: f64 = 1e-5;
/// The first quarter of the frequencies finds the factors to start from.
const START_SHARE: usize = 4;
/// Iterations of the randomized search for them.
const START_STEPS: usize = 4;

/// Settings of [`TemporalFactors::fit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemporalFactorsConfig {
    /// Ceiling of the number of factors; relevance determination prunes the rest.
    pub n_factors: usize,
    /// Passes over the data.
    pub n_steps: usize,
    /// Standard deviation, in frequencies, of the smoothing of log spectra after each step; 0 for none.
    pub spectrum_sigma: f64,
    /// Seed of the random start.
    pub seed: u64,
}

impl Default for TemporalFactorsConfig {
    fn default() -> Self {
        Self { n_factors: 50, n_steps: 80, spectrum_sigma: 1.0, seed: 0 }
    }
}

/// A fitted model; see the module. All latents and rates are `[B, T, ·]` with the number of bins of the fit.
#[derive(Clone, Debug, PartialEq)]
pub struct TemporalFactors {
    unit_means: Vec<f64>,
    /// `[N, K]`.
    loadings: Mat<f64>,
    noise: Vec<f64>,
    /// Posterior covariance of a row of loadings over its noise, `[K, K]`.
    spread: Mat<f64>,
    /// `[T, K]`.
    spectra: Mat<f64>,
    /// Precision of the loadings' prior.
    relevance: Vec<f64>,
    cosines: Mat<f64>,
}

impl TemporalFactors {
    /// Fits counts `[B, T, N]`.
    ///
    /// Fails on counts that are empty, negative or not finite, without any spike, and on settings out of range.
    pub fn fit(counts: &ArrayView3<f64>, config: &TemporalFactorsConfig) -> Result<Self, MetricError> {
        check_counts(counts, "training counts")?;
        let (_, n_bins, n_units) = counts.dim();
        let limit = n_units.min(counts.len_of(Axis(0)) * n_bins);
        if config.n_factors == 0 || config.n_factors > limit {
            let (value, must) = (config.n_factors as f64, "between 1 and the number of units and of samples");
            return Err(MetricError::InvalidSetting { what: "n_factors", value, must });
        }
        let sigma = config.spectrum_sigma;
        if !(sigma.is_finite() && sigma >= 0.0) {
            let (value, must) = (sigma, "at least zero");
            return Err(MetricError::InvalidSetting { what: "spectrum_sigma", value, must });
        }
        let units: Vec<usize> = (0..n_units).collect();
        let mut rows = rows_of(counts, &units);
        let unit_means = crate::linalg::column_means(rows.as_ref());
        if unit_means.iter().all(|mean| *mean == 0.0) {
            return Err(MetricError::Empty { what: "set of units with a spike" });
        }
        subtract_from_columns(&mut rows, &unit_means);
        let cosines = cosines(n_bins);
        let data = forward(rows.as_ref(), &cosines);
        let mut model = Self::start(&data, unit_means, cosines, config)?;
        let energy: Vec<f64> = (0..n_units).map(|i| data.col(i).iter().map(|y| y * y).sum()).collect();
        let smoothing = Smoothing::new(n_bins, sigma);
        for _ in 0..config.n_steps {
            model.step(&data, &energy, &smoothing)?;
        }
        Ok(model)
    }

    /// Principal directions of the slow part of the standardized data, and a spectrum that falls off.
    fn start(
        data: &Mat<f64>,
        unit_means: Vec<f64>,
        cosines: Mat<f64>,
        config: &TemporalFactorsConfig,
    ) -> Result<Self, MetricError> {
        let (n_bins, n_units, n_factors) = (cosines.nrows(), data.ncols(), config.n_factors);
        let power: Vec<f64> = (0..n_units)
            .map(|i| data.col(i).iter().map(|y| y * y).sum::<f64>() / data.nrows() as f64)
            .collect();
        let floor = NOISE_FLOOR * power.iter().sum::<f64>() / n_units as f64;
        let noise: Vec<f64> = power.iter().map(|p| 0.9 * p.max(floor)).collect();
        let n_slow = n_bins.div_ceil(START_SHARE).max(n_factors.div_ceil(data.nrows() / n_bins)).min(n_bins);
        let n_rows = data.nrows() / n_bins * n_slow;
        let scaled = Mat::from_fn(n_rows, n_units, |row, i| data[(row, i)] / noise[i].sqrt());
        let mut stream = Stream::new(config.seed, Domain::Init, [n_units as u64, n_factors as u64, 0]);
        let probe = Mat::from_fn(n_units, n_factors, |_, _| stream.normal());
        let (directions, squares) = leading_subspace(scaled.as_ref(), probe, START_STEPS)?;
        let loadings = Mat::from_fn(n_units, n_factors, |i, k| {
            0.7 * (squares[k] / n_rows as f64 * noise[i]).sqrt() * directions[(i, k)]
        });
        let decay = n_bins as f64 / 6.0;
        let spectra = Mat::from_fn(n_bins, n_factors, |f, _| 2.0 * (-(f as f64) / decay).exp() + 0.02);
        Ok(Self {
            unit_means,
            loadings,
            noise,
            spread: Mat::zeros(n_factors, n_factors),
            spectra,
            relevance: vec![1.0; n_factors],
            cosines,
        })
    }

    /// One step of variational expectation maximization.
    fn step(&mut self, data: &Mat<f64>, energy: &[f64], smoothing: &Smoothing) -> Result<(), MetricError> {
        let (n_units, n_factors, n_bins) = (self.noise.len(), self.loadings.ncols(), self.spectra.nrows());
        let n_trials = data.nrows() / n_bins;
        let all: Vec<usize> = (0..n_units).collect();
        let evidence = self.evidence(&all, n_units as f64);
        let covariances = covariances(&evidence, &self.spectra)?;
        let read_in = read_in(self.loadings.as_ref(), &self.noise);
        let latents = means(&product(data.as_ref(), read_in.as_ref()), &covariances);
        let mut second = Mat::zeros(n_factors, n_factors);
        for (frequency, covariance) in covariances.iter().enumerate() {
            let block = latents.as_ref().subrows(frequency * n_trials, n_trials);
            let mut moment = product(block.transpose(), block);
            moment += faer::Scale(n_trials as f64) * covariance;
            for k in 0..n_factors {
                self.spectra[(frequency, k)] = moment[(k, k)] / n_trials as f64;
            }
            second += &moment;
        }
        let cross = product(data.transpose(), latents.as_ref());
        for (k, relevance) in self.relevance.iter().enumerate() {
            second[(k, k)] += relevance;
        }
        self.spread = cholesky(second.as_ref(), "loadings of factors")?.inverse();
        self.loadings = product(cross.as_ref(), self.spread.as_ref());
        let floor = NOISE_FLOOR * energy.iter().sum::<f64>() / (n_units * data.nrows()) as f64;
        for (i, noise) in self.noise.iter_mut().enumerate() {
            let explained: f64 = (0..n_factors).map(|k| self.loadings[(i, k)] * cross[(i, k)]).sum();
            *noise = ((energy[i] - explained) / data.nrows() as f64).max(floor);
        }
        self.relevance = (0..n_factors)
            .map(|k| {
                let squares: f64 = (0..n_units).map(|i| self.loadings[(i, k)].powi(2) / self.noise[i]).sum();
                n_units as f64 / (squares + n_units as f64 * self.spread[(k, k)])
            })
            .collect();
        smoothing.apply(&mut self.spectra);
        self.normalize();
        Ok(())
    }

    /// Makes the mean power of every factor one, moving its scale into the loadings.
    fn normalize(&mut self) {
        let (n_bins, n_factors) = (self.spectra.nrows(), self.loadings.ncols());
        let scales: Vec<f64> = (0..n_factors)
            .map(|k| (self.spectra.col(k).iter().sum::<f64>() / n_bins as f64).sqrt())
            .collect();
        for (k, scale) in scales.iter().enumerate() {
            self.spectra.col_mut(k).iter_mut().for_each(|power| *power /= scale * scale);
            self.loadings.col_mut(k).iter_mut().for_each(|loading| *loading *= scale);
            self.relevance[k] /= scale * scale;
            for (value, other) in self.spread.col_mut(k).iter_mut().zip(&scales) {
                *value *= scale * other;
            }
        }
    }

    /// Posterior means of the latents `[B, T, K]` given only the `visible` units of `counts` (`[B, T, N]`).
    ///
    /// Fails on another number of bins or units, without visible units, on an index out of range or listed twice, and
    /// on invalid counts of visible units.
    pub fn latents(&self, counts: &ArrayView3<f64>, visible: &[usize]) -> Result<Array3<f64>, MetricError> {
        let posterior = self.posterior(&self.in_frequencies(counts, visible)?, visible)?;
        let rows = inverse(posterior.latents.as_ref(), &self.cosines);
        Ok(trials_of(rows.as_ref(), counts.len_of(Axis(0)), counts.len_of(Axis(1))))
    }

    /// [`Self::latents`] for many sets of visible units at once.
    pub fn latents_many(
        &self,
        counts: &ArrayView3<f64>,
        visible: &[Vec<usize>],
    ) -> Result<Vec<Array3<f64>>, MetricError> {
        visible.par_iter().map(|units| self.latents(counts, units)).collect()
    }

    /// Expected counts `[B, T, targets]`, possibly negative, of the query's targets; in leave-one-out each visible
    /// target is hidden in turn, exactly as if it were not among the visible units. Fails as [`Self::latents`].
    pub fn predict(&self, counts: &ArrayView3<f64>, query: &Query) -> Result<Array3<f64>, MetricError> {
        let rows = self.deviations(counts, query)?;
        let mut out = trials_of(rows.as_ref(), counts.len_of(Axis(0)), counts.len_of(Axis(1)));
        for (mut lane, &unit) in out.axis_iter_mut(Axis(2)).zip(&query.targets) {
            lane += self.unit_means[unit];
        }
        Ok(out)
    }

    /// Expected deviations from the mean counts, rows `trial · T + bin`.
    pub(crate) fn deviations(
        &self,
        counts: &ArrayView3<f64>,
        query: &Query,
    ) -> Result<Mat<f64>, MetricError> {
        query.validate(self.noise.len())?;
        self.deviations_in(&self.in_frequencies(counts, &query.visible)?, query)
    }

    /// The same for counts that are transformed already, of the visible units at least.
    pub(crate) fn deviations_in(
        &self,
        known: &InFrequencies,
        query: &Query,
    ) -> Result<Mat<f64>, MetricError> {
        query.validate(self.noise.len())?;
        let posterior = self.posterior(known, &query.visible)?;
        let own = query.own_positions(self.noise.len());
        let mut out = Mat::zeros(known.data.nrows(), query.targets.len());
        // The posterior without one visible unit, before the rank-one change that takes out its loadings.
        let without = if own.iter().any(Option::is_some) {
            let weight = query.visible.len().saturating_sub(1) as f64;
            covariances(&self.evidence(&query.visible, weight), &self.spectra)?
        } else {
            Vec::new()
        };
        let columns: Vec<Vec<f64>> = query
            .targets
            .par_iter()
            .zip(&own)
            .map(|(&unit, own)| match own {
                None => posterior.read(self.loadings.as_ref(), unit),
                Some(position) => self.read_without(&posterior, &without, unit, *position),
            })
            .collect();
        for (j, column) in columns.iter().enumerate() {
            out.col_as_slice_mut(j).copy_from_slice(column);
        }
        Ok(inverse(out.as_ref(), &self.cosines))
    }

    /// The target's coefficients given all visible units but itself: with `q = l / ψ` and `S` the posterior
    /// covariance that still counts the unit, `l · x = (z − q y) · S l / (1 − q · S l)` (Sherman and Morrison 1950).
    fn read_without(
        &self,
        posterior: &Posterior,
        covariances: &[Mat<f64>],
        unit: usize,
        position: usize,
    ) -> Vec<f64> {
        let n_factors = self.loadings.ncols();
        let n_trials = posterior.statistics.nrows() / covariances.len();
        let mut out = vec![0.0; posterior.statistics.nrows()];
        for (frequency, covariance) in covariances.iter().enumerate() {
            let mut weights = vec![0.0; n_factors];
            for k in 0..n_factors {
                let loading = self.loadings[(unit, k)];
                for (weight, value) in weights.iter_mut().zip(covariance.col(k).iter()) {
                    *weight += loading * value;
                }
            }
            let own: f64 = weights.iter().enumerate().map(|(k, w)| w * self.loadings[(unit, k)]).sum::<f64>()
                / self.noise[unit];
            let rows = frequency * n_trials..(frequency + 1) * n_trials;
            for (k, weight) in weights.iter().enumerate() {
                let column = posterior.statistics.col(k).iter();
                for (value, z) in out[rows.clone()].iter_mut().zip(column.skip(rows.start)) {
                    *value += weight * z;
                }
            }
            let seen = posterior.seen.col(position).iter().skip(rows.start);
            for (value, y) in out[rows].iter_mut().zip(seen) {
                *value = (*value - own * y) / (1.0 - own);
            }
        }
        out
    }

    /// Deviations of `units` from their means by frequency, ready for many queries; no other unit is read.
    ///
    /// Fails on another number of bins or units than in the fit, and on invalid counts.
    pub(crate) fn in_frequencies(
        &self,
        counts: &ArrayView3<f64>,
        units: &[usize],
    ) -> Result<InFrequencies, MetricError> {
        let (n_trials, n_bins, n_units) = (counts.len_of(Axis(0)), self.spectra.nrows(), self.noise.len());
        if counts.dim() != (n_trials, n_bins, n_units) {
            let (expected, got) = (vec![n_trials, n_bins, n_units], counts.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what: "counts", expected, got });
        }
        // The rules of a query's visible units are these, too.
        Query { visible: units.to_vec(), targets: vec![0], leave_one_out: true }.validate(n_units)?;
        let seen = counts.select(Axis(2), units);
        check_counts(&seen.view(), "visible counts")?;
        let positions: Vec<usize> = (0..units.len()).collect();
        let mut rows = rows_of(&seen.view(), &positions);
        let means_of: Vec<f64> = units.iter().map(|&unit| self.unit_means[unit]).collect();
        subtract_from_columns(&mut rows, &means_of);
        let mut column_of = vec![None; n_units];
        units.iter().enumerate().for_each(|(column, &unit)| column_of[unit] = Some(column));
        Ok(InFrequencies { data: forward(rows.as_ref(), &self.cosines), column_of })
    }

    fn posterior(&self, known: &InFrequencies, visible: &[usize]) -> Result<Posterior, MetricError> {
        let n_units = self.noise.len();
        let column = |&unit: &usize| {
            let column = known.column_of.get(unit).copied().flatten();
            column.ok_or(MetricError::OutOfRange { what: "visible unit", index: unit, limit: n_units })
        };
        let columns = visible.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let mut seen = Mat::zeros(known.data.nrows(), visible.len());
        for (j, &column) in columns.iter().enumerate() {
            seen.col_as_slice_mut(j).copy_from_slice(known.data.col_as_slice(column));
        }
        let full = read_in(self.loadings.as_ref(), &self.noise);
        let read_in = Mat::from_fn(visible.len(), full.ncols(), |i, k| full[(visible[i], k)]);
        let statistics = product(seen.as_ref(), read_in.as_ref());
        let covariances = covariances(&self.evidence(visible, visible.len() as f64), &self.spectra)?;
        let latents = means(&statistics, &covariances);
        Ok(Posterior { seen, statistics, latents })
    }

    fn evidence(&self, units: &[usize], weight: f64) -> Mat<f64> {
        evidence(self.loadings.as_ref(), &self.noise, units, self.spread.as_ref(), weight)
    }

    /// Mean count of each unit in the training data.
    pub fn unit_means(&self) -> &[f64] {
        &self.unit_means
    }

    /// Loadings `[N, K]` of factors with mean power one.
    pub fn loadings(&self) -> Array2<f64> {
        array_of(self.loadings.as_ref())
    }

    /// Noise variance of each unit.
    pub fn noise(&self) -> &[f64] {
        &self.noise
    }

    /// Posterior covariance of any unit's loadings divided by its noise, `[K, K]`: each visible unit adds it to the
    /// precision of the latents.
    pub fn loading_covariance(&self) -> Array2<f64> {
        array_of(self.spread.as_ref())
    }

    /// Power of each factor by frequency of the orthonormal cosine transform over bins, `[T, K]`.
    pub fn spectra(&self) -> Array2<f64> {
        array_of(self.spectra.as_ref())
    }

    /// How many factors the data needed: the sum over factors of the share of each one's loadings that the data
    /// determine rather than the prior.
    pub fn effective_factors(&self) -> f64 {
        (0..self.loadings.ncols()).map(|k| 1.0 - self.relevance[k] * self.spread[(k, k)]).sum()
    }
}

/// Deviations from the means of some units by frequency of the cosine transform over bins.
#[derive(Debug)]
pub(crate) struct InFrequencies {
    /// `[T · B, units]`.
    data: Mat<f64>,
    /// Column of every unit of the session that was transformed.
    column_of: Vec<Option<usize>>,
}

struct Posterior {
    /// Visible deviations by frequency, `[T · B, visible]`.
    seen: Mat<f64>,
    /// `Lᵀ Ψ⁻¹ y`, `[T · B, K]`.
    statistics: Mat<f64>,
    latents: Mat<f64>,
}

impl Posterior {
    fn read(&self, loadings: MatRef<f64>, unit: usize) -> Vec<f64> {
        let mut out = vec![0.0; self.latents.nrows()];
        for k in 0..self.latents.ncols() {
            for (value, latent) in out.iter_mut().zip(self.latents.col(k).iter()) {
                *value += loadings[(unit, k)] * latent;
            }
        }
        out
    }
}

/// Gaussian smoothing of log spectra over frequencies, rows rescaled at the ends.
struct Smoothing(Option<Mat<f64>>);

impl Smoothing {
    fn new(n_bins: usize, sigma: f64) -> Self {
        Self((sigma > 0.0).then(|| {
            let weight = |i: usize, j: usize| (-0.5 * ((i as f64 - j as f64) / sigma).powi(2)).exp();
            Mat::from_fn(n_bins, n_bins, |i, j| {
                weight(i, j) / (0..n_bins).map(|other| weight(i, other)).sum::<f64>()
            })
        }))
    }

    fn apply(&self, spectra: &mut Mat<f64>) {
        let floored = |power: f64| power.max(f64::MIN_POSITIVE).ln();
        if let Some(weights) = &self.0 {
            let logs = Mat::from_fn(spectra.nrows(), spectra.ncols(), |f, k| floored(spectra[(f, k)]));
            *spectra = product(weights.as_ref(), logs.as_ref());
            spectra.col_iter_mut().for_each(|column| column.iter_mut().for_each(|log| *log = log.exp()));
        }
        for k in 0..spectra.ncols() {
            let mean = spectra.col(k).iter().sum::<f64>() / spectra.nrows() as f64;
            let lowest = (POWER_FLOOR * mean).max(f64::MIN_POSITIVE);
            spectra.col_mut(k).iter_mut().for_each(|power| *power = power.max(lowest));
        }
    }
}

fn array_of(matrix: MatRef<f64>) -> Array2<f64> {
    Array2::from_shape_fn((matrix.nrows(), matrix.ncols()), |(i, j)| matrix[(i, j)])
}
