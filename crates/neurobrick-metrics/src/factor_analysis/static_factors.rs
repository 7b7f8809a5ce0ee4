//! Maximum-likelihood factor analysis of `[samples, units]` by expectation maximization.

use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Par};
use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::expectation::{evidence, read_in};
use crate::MetricError;
use crate::linalg::{
    cholesky, column_means, gram, leading_eigenvectors, matrix_of, product, subtract_from_columns,
};

/// Lowest noise of a unit as a share of its variance: keeps units that a factor explains fully (Heywood cases) from
/// stopping the fit.
const NOISE_FLOOR: f64 = 1e-6;
/// EM ends when the mean log-likelihood of a sample rises by less than this, nats.
const TOLERANCE: f64 = 1e-13;

/// A fitted factor model `x = μ + L z + noise`, `z` standard normal, noise independent between units (Rubin and
/// Thayer 1982).
///
/// ```
/// use ndarray::Array2;
/// use neurobrick_metrics::StaticFactors;
///
/// let x = Array2::from_shape_fn((200, 4), |(i, j)| ((i * 37 % 101) as f64 / 50.0) + ((i * (j + 3)) % 7) as f64 * 0.1);
/// let model = StaticFactors::fit(&x.view(), 1, 200)?;
/// let hidden = model.predict(&x.view(), &[0, 1, 2], &[3])?;
/// assert_eq!(hidden.dim(), (200, 1));
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StaticFactors {
    means: Vec<f64>,
    /// `[N, K]`.
    loadings: Mat<f64>,
    noise: Vec<f64>,
}

impl StaticFactors {
    /// Fits `n_factors` factors in at most `max_steps` steps of EM, from the principal components.
    ///
    /// Units that never vary have zero loadings and the smallest noise of the others. Fails without samples, on
    /// values that are not finite, if no unit varies, and if there are no factors or more than units.
    pub fn fit(x: &ArrayView2<f64>, n_factors: usize, max_steps: usize) -> Result<Self, MetricError> {
        check(x)?;
        if n_factors == 0 || n_factors > x.ncols() {
            let (value, must) = (n_factors as f64, "between 1 and the number of units");
            return Err(MetricError::InvalidSetting { what: "n_factors", value, must });
        }
        let mut centered = matrix_of(x);
        let means = column_means(centered.as_ref());
        subtract_from_columns(&mut centered, &means);
        let mut covariance = gram(centered.as_ref(), Par::rayon(0));
        for j in 0..covariance.ncols() {
            covariance.col_mut(j).iter_mut().for_each(|value| *value /= x.nrows() as f64);
        }
        let variances: Vec<f64> = (0..x.ncols()).map(|i| covariance[(i, i)]).collect();
        let smallest = variances.iter().copied().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
        if smallest.is_infinite() {
            return Err(MetricError::Empty { what: "set of units that vary" });
        }
        let floors: Vec<f64> =
            variances.iter().map(|v| NOISE_FLOOR * if *v > 0.0 { *v } else { smallest }).collect();
        let mut noise: Vec<f64> =
            variances.iter().zip(&floors).map(|(v, floor)| (0.5 * v).max(*floor)).collect();
        let scales: Vec<f64> = variances.iter().map(|v| if *v > 0.0 { v.sqrt() } else { 1.0 }).collect();
        let correlation =
            Mat::from_fn(x.ncols(), x.ncols(), |i, j| covariance[(i, j)] / scales[i] / scales[j]);
        let directions = leading_eigenvectors(correlation.as_ref(), n_factors)?;
        let spread = product(correlation.as_ref(), directions.as_ref());
        let mut loadings = Mat::from_fn(x.ncols(), n_factors, |i, k| {
            let eigenvalue: f64 = (0..x.ncols()).map(|j| directions[(j, k)] * spread[(j, k)]).sum();
            scales[i] * directions[(i, k)] * (0.5 * eigenvalue.max(0.0)).sqrt()
        });
        let mut last = f64::NEG_INFINITY;
        for _ in 0..max_steps {
            let model = Self { means: Vec::new(), loadings, noise };
            let likelihood = model.expected_log_likelihood(&covariance)?;
            let (gain, remaining) = model.gain((0..x.ncols()).collect::<Vec<_>>().as_slice())?;
            let cross = product(covariance.as_ref(), gain.as_ref());
            let mut second = product(gain.transpose(), cross.as_ref());
            second += &remaining;
            let solved = cholesky(second.as_ref(), "factor analysis")?.solve(cross.transpose());
            loadings = solved.transpose().to_owned();
            noise = (0..x.ncols())
                .map(|i| {
                    let explained: f64 = (0..n_factors).map(|k| loadings[(i, k)] * cross[(i, k)]).sum();
                    (variances[i] - explained).max(floors[i])
                })
                .collect();
            if likelihood - last < TOLERANCE {
                break;
            }
            last = likelihood;
        }
        Ok(Self { means, loadings, noise })
    }

    /// Fits every rank in `ranks` on `train` and keeps the one under which `valid` is likeliest.
    pub fn fit_rank(
        train: &ArrayView2<f64>,
        valid: &ArrayView2<f64>,
        ranks: &[usize],
        max_steps: usize,
    ) -> Result<Self, MetricError> {
        let mut best: Option<(f64, Self)> = None;
        for &rank in ranks {
            let model = Self::fit(train, rank, max_steps)?;
            let likelihood = model.log_likelihood(valid)?;
            if best.as_ref().is_none_or(|(highest, _)| likelihood > *highest) {
                best = Some((likelihood, model));
            }
        }
        best.map(|(_, model)| model).ok_or(MetricError::Empty { what: "list of ranks" })
    }

    /// Mean log-likelihood of a row of `x`, nats.
    pub fn log_likelihood(&self, x: &ArrayView2<f64>) -> Result<f64, MetricError> {
        self.check_units(x)?;
        check(x)?;
        let mut centered = matrix_of(x);
        subtract_from_columns(&mut centered, &self.means);
        let mut scatter = gram(centered.as_ref(), Par::rayon(0));
        for j in 0..scatter.ncols() {
            scatter.col_mut(j).iter_mut().for_each(|value| *value /= x.nrows() as f64);
        }
        self.expected_log_likelihood(&scatter)
    }

    /// Posterior means of the latents `[samples, K]` given only the `visible` columns of `x` (`[samples, N]`).
    ///
    /// Fails on another number of units, an index out of range, and visible values that are not finite.
    pub fn latents(&self, x: &ArrayView2<f64>, visible: &[usize]) -> Result<Array2<f64>, MetricError> {
        let latents = self.posterior(x, visible)?;
        Ok(Array2::from_shape_fn((latents.nrows(), latents.ncols()), |(i, k)| latents[(i, k)]))
    }

    /// Expected `targets` (`[samples, targets]`) given only the `visible` columns; a target that is visible comes back
    /// smoothed by its own value, so hide what is to be predicted. Fails as [`Self::latents`].
    pub fn predict(
        &self,
        x: &ArrayView2<f64>,
        visible: &[usize],
        targets: &[usize],
    ) -> Result<Array2<f64>, MetricError> {
        self.check_indices(targets)?;
        let latents = self.posterior(x, visible)?;
        let read_out = Mat::from_fn(latents.ncols(), targets.len(), |k, j| self.loadings[(targets[j], k)]);
        let linear = product(latents.as_ref(), read_out.as_ref());
        Ok(Array2::from_shape_fn((x.nrows(), targets.len()), |(i, j)| {
            linear[(i, j)] + self.means[targets[j]]
        }))
    }

    /// Mean of each unit.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// Loadings `[N, K]`, defined up to a rotation.
    pub fn loadings(&self) -> Array2<f64> {
        Array2::from_shape_fn((self.loadings.nrows(), self.loadings.ncols()), |(i, k)| self.loadings[(i, k)])
    }

    /// Noise variance of each unit.
    pub fn noise(&self) -> Array1<f64> {
        Array1::from(self.noise.clone())
    }

    fn posterior(&self, x: &ArrayView2<f64>, visible: &[usize]) -> Result<Mat<f64>, MetricError> {
        self.check_units(x)?;
        self.check_indices(visible)?;
        let seen = x.select(Axis(1), visible);
        check(&seen.view())?;
        let mut seen = matrix_of(&seen.view());
        let means: Vec<f64> = visible.iter().map(|&unit| self.means[unit]).collect();
        subtract_from_columns(&mut seen, &means);
        let (gain, _) = self.gain(visible)?;
        Ok(product(seen.as_ref(), gain.as_ref()))
    }

    /// What turns deviations of the visible units into latents, `[visible, K]`, and the covariance that remains.
    fn gain(&self, visible: &[usize]) -> Result<(Mat<f64>, Mat<f64>), MetricError> {
        let n_factors = self.loadings.ncols();
        let none = Mat::zeros(n_factors, n_factors);
        let mut precision = evidence(self.loadings.as_ref(), &self.noise, visible, none.as_ref(), 0.0);
        for k in 0..n_factors {
            precision[(k, k)] += 1.0;
        }
        let covariance = cholesky(precision.as_ref(), "posterior of factors")?.inverse();
        let full = read_in(self.loadings.as_ref(), &self.noise);
        let seen = Mat::from_fn(visible.len(), n_factors, |i, k| full[(visible[i], k)]);
        Ok((product(seen.as_ref(), covariance.as_ref()), covariance))
    }

    /// Mean log-likelihood of rows with second moments `scatter` about the model's means.
    fn expected_log_likelihood(&self, scatter: &Mat<f64>) -> Result<f64, MetricError> {
        let n_units = self.noise.len();
        let all: Vec<usize> = (0..n_units).collect();
        let (gain, covariance) = self.gain(&all)?;
        let factor = cholesky(covariance.as_ref(), "posterior of factors")?;
        let half: f64 = (0..covariance.nrows()).map(|k| factor.L()[(k, k)].ln()).sum();
        let log_determinant = self.noise.iter().map(|v| v.ln()).sum::<f64>() - 2.0 * half;
        // tr(Σ⁻¹ S) with Σ⁻¹ = Ψ⁻¹ − Ψ⁻¹ L C Lᵀ Ψ⁻¹.
        let read_in = read_in(self.loadings.as_ref(), &self.noise);
        let explained = product(scatter.as_ref(), read_in.as_ref());
        let mut distance: f64 = (0..n_units).map(|i| scatter[(i, i)] / self.noise[i]).sum();
        for k in 0..gain.ncols() {
            distance -= (0..n_units).map(|i| gain[(i, k)] * explained[(i, k)]).sum::<f64>();
        }
        Ok(-0.5 * (n_units as f64 * std::f64::consts::TAU.ln() + log_determinant + distance))
    }

    fn check_units(&self, x: &ArrayView2<f64>) -> Result<(), MetricError> {
        if x.ncols() == self.noise.len() {
            return Ok(());
        }
        let (expected, got) = (vec![x.nrows(), self.noise.len()], x.shape().to_vec());
        Err(MetricError::ShapeMismatch { what: "samples", expected, got })
    }

    fn check_indices(&self, units: &[usize]) -> Result<(), MetricError> {
        let limit = self.noise.len();
        match units.iter().find(|&&unit| unit >= limit) {
            Some(&index) => Err(MetricError::OutOfRange { what: "unit", index, limit }),
            None => Ok(()),
        }
    }
}

fn check(x: &ArrayView2<f64>) -> Result<(), MetricError> {
    if x.is_empty() {
        return Err(MetricError::Empty { what: "samples" });
    }
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), &value)) => {
            Err(MetricError::NotFinite { what: "samples", value, index: vec![row, column] })
        }
        None => Ok(()),
    }
}
