//! Gaussian posteriors over latent variables, their priors, and the divergences between them in closed form.
//!
//! Priors are those of LFADS (Pandarinath et al. 2018; `lfads_torch.modules.priors` at 007a555). The reference estimates
//! the divergence of the autoregressive prior from one sample; the closed form here has the same mean and no noise.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

/// Independent Gaussians, one per entry.
#[derive(Clone, Debug)]
pub struct DiagonalGaussian<const D: usize> {
    /// Means `[B, ..]`.
    pub mean: Tensor<D>,
    /// Natural logs of the variances `[B, ..]`.
    pub log_var: Tensor<D>,
}

impl<const D: usize> DiagonalGaussian<D> {
    /// Standard deviations.
    pub fn std(&self) -> Tensor<D> {
        (self.log_var.clone() * 0.5).exp()
    }

    /// `mean + std · noise`.
    pub fn sample(&self, noise: Tensor<D>) -> Tensor<D> {
        self.mean.clone() + self.std() * noise
    }
}

/// `½ (ln p_var − ln q_var + (q_var + (q_mean − p_mean)²) / p_var − 1)`, the divergence of one Gaussian from another.
fn divergence<const D: usize>(log_var: Tensor<D>, square: Tensor<D>, prior_log_var: Tensor<D>) -> Tensor<D> {
    // `square` is what is expected of the squared distance from the prior's mean.
    let precision = prior_log_var.clone().neg().exp();
    (prior_log_var - log_var + square * precision - 1.0) * 0.5
}

/// Independent Gaussians with a learned mean and a fixed variance: LFADS's prior of initial conditions.
#[derive(Module, Debug)]
pub struct GaussianPrior {
    /// Means `[D]`, zero at the start.
    pub mean: Param<Tensor<1>>,
    variance: f64,
}

impl GaussianPrior {
    /// A prior of `width` dimensions around zero (LFADS: variance 0.1).
    pub fn new(width: usize, variance: f64, device: &Device) -> Self {
        Self { mean: Param::from_tensor(Tensor::zeros([width], device)), variance }
    }

    /// Kullback-Leibler divergence of `posterior` `[B, D]` from the prior, in nats: one value per trial `[B]`.
    pub fn divergence(&self, posterior: &DiagonalGaussian<2>) -> Tensor<1> {
        let [b, width] = posterior.mean.dims();
        let distance = posterior.mean.clone() - self.mean.val().unsqueeze();
        let square = posterior.log_var.clone().exp() + distance.square();
        let prior = Tensor::full([b, width], self.variance.ln(), (&square.device(), square.dtype()));
        divergence(posterior.log_var.clone(), square, prior).sum_dim(1).reshape([b])
    }
}

/// An autoregressive process of order one per dimension, `z_t = α z_{t−1} + ε` with `α = exp(−1/τ)` and `ε` of variance
/// `v`, stationary from its first bin: LFADS's prior of inferred inputs.
#[derive(Module, Debug)]
pub struct AutoregressivePrior {
    /// Natural log of the time constants τ `[D]`, in bins.
    pub log_tau: Param<Tensor<1>>,
    /// Natural log of the variances v of the noise `[D]`.
    pub log_noise_var: Param<Tensor<1>>,
}

impl AutoregressivePrior {
    /// A prior of `width` dimensions (LFADS: τ = 10 bins, v = 0.1).
    pub fn new(width: usize, tau: f64, noise_var: f64, device: &Device) -> Self {
        let constant = |value: f64| {
            Param::from_tensor(Tensor::from_data(TensorData::new(vec![value; width], [width]), device))
        };
        Self { log_tau: constant(tau.ln()), log_noise_var: constant(noise_var.ln()) }
    }

    /// `α` `[D]`.
    fn coefficient(&self) -> Tensor<1> {
        self.log_tau.val().neg().exp().neg().exp()
    }

    /// Kullback-Leibler divergence of `posterior` `[B, T, D]` from the prior, in nats: one value per trial `[B]`.
    ///
    /// For a posterior that factorizes over bins the expectation is closed: the first bin against the stationary variance
    /// `v / (1 − α²)`, every other against `α z_{t−1}`, whose own variance adds `α² var(z_{t−1})`.
    pub fn divergence(&self, posterior: &DiagonalGaussian<3>) -> Tensor<1> {
        let [b, t, width] = posterior.mean.dims();
        let (mean, log_var) = (posterior.mean.clone(), posterior.log_var.clone());
        let variance = log_var.clone().exp();
        let alpha = self.coefficient();
        let log_noise = self.log_noise_var.val();
        let stationary = log_noise.clone() - (alpha.clone().square().neg() + 1.0).log();
        let row = |x: Tensor<1>, bins: usize| x.reshape([1, 1, width]).expand([b, bins, width]);

        let first = |x: &Tensor<3>| x.clone().narrow(1, 0, 1);
        let square = first(&variance) + first(&mean).square();
        let mut sum = divergence(first(&log_var), square, row(stationary, 1)).sum_dim(1);
        if t > 1 {
            let later = |x: &Tensor<3>| x.clone().narrow(1, 1, t - 1);
            let earlier = |x: &Tensor<3>| x.clone().narrow(1, 0, t - 1);
            let alpha = row(alpha, t - 1);
            let step = later(&mean) - alpha.clone() * earlier(&mean);
            let square = later(&variance) + alpha.square() * earlier(&variance) + step.square();
            sum = sum + divergence(later(&log_var), square, row(log_noise, t - 1)).sum_dim(1);
        }
        sum.sum_dim(2).reshape([b])
    }

    /// Log density `[B]` of `z` `[B, T, D]`, in nats.
    pub fn log_density(&self, z: Tensor<3>) -> Tensor<1> {
        let [b, t, width] = z.dims();
        let alpha = self.coefficient();
        let log_noise = self.log_noise_var.val();
        let stationary = log_noise.clone() - (alpha.clone().square().neg() + 1.0).log();
        let row = |x: Tensor<1>, bins: usize| x.reshape([1, 1, width]).expand([b, bins, width]);
        let density = |distance: Tensor<3>, log_var: Tensor<3>| {
            let scaled = distance.square() * log_var.clone().neg().exp();
            ((scaled + log_var + std::f64::consts::TAU.ln()) * -0.5).sum_dim(1)
        };
        let mut sum = density(z.clone().narrow(1, 0, 1), row(stationary, 1));
        if t > 1 {
            let earlier = z.clone().narrow(1, 0, t - 1);
            let step = z.narrow(1, 1, t - 1) - row(alpha, t - 1) * earlier;
            sum = sum + density(step, row(log_noise, t - 1));
        }
        sum.sum_dim(2).reshape([b])
    }
}
