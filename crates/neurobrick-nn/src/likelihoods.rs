//! Negative log-likelihoods entry by entry, as Burn expressions for any backend and precision.
//!
//! [`poisson_nll_sum`](crate::poisson_nll_sum) is the fused loss that training uses; these are for losses of one's own.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Tensor, TensorData};

/// How the term of a Poisson likelihood that depends on counts alone is treated. It does not move a gradient, but
/// absolute losses compare only under one treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountTerm {
    /// Left out.
    Omitted,
    /// Stirling's approximation for counts above 1 and zero below, as `torch.nn.PoissonNLLLoss(full=True)`: 0.652 for a
    /// count of 2 where ln 2! is 0.693.
    Stirling,
    /// ln y!.
    Exact,
}

/// `exp(o) − y·o` plus the term of the counts, in nats: counts `y` under log rates `o`, of one shape.
pub fn poisson_nll<const D: usize>(log_rates: Tensor<D>, counts: Tensor<D>, term: CountTerm) -> Tensor<D> {
    let nll = log_rates.clone().exp() - counts.clone() * log_rates;
    match term {
        CountTerm::Omitted => nll,
        CountTerm::Stirling => nll + stirling(counts),
        CountTerm::Exact => nll + log_gamma(counts + 1.0),
    }
}

/// `y ln y − y + ½ ln(2π y)` where `y > 1`, zero elsewhere.
fn stirling<const D: usize>(counts: Tensor<D>) -> Tensor<D> {
    let small = counts.clone().lower_equal_elem(1.0);
    // Filled before the logarithm, so that zero counts make no NaN.
    let y = counts.mask_fill(small.clone(), 2.0);
    let half_log = (y.clone() * std::f64::consts::TAU).log() * 0.5;
    (y.clone() * y.clone().log() - y + half_log).mask_fill(small, 0.0)
}

/// `½ (ln v + (y − m)² / v)` of targets `y` under mean `m` and variance `v = exp(log_var)`, in nats, without the constant
/// `½ ln 2π`: `torch.nn.GaussianNLLLoss(full=False)` for variances above its floor of 1e-6.
pub fn gaussian_nll<const D: usize>(mean: Tensor<D>, log_var: Tensor<D>, targets: Tensor<D>) -> Tensor<D> {
    let square = (targets - mean).square();
    (log_var.clone() + square * log_var.neg().exp()) * 0.5
}

/// Targets `y > 0` under a gamma distribution of shape `a = exp(log_shape)` and rate `b = exp(log_rate)`, in nats:
/// `ln Γ(a) − a ln b − (a − 1) ln y + b y`. LFADS uses it for deconvolved calcium fluorescence.
pub fn gamma_nll<const D: usize>(log_shape: Tensor<D>, log_rate: Tensor<D>, targets: Tensor<D>) -> Tensor<D> {
    let shape = log_shape.exp();
    let rate_term = log_rate.clone().exp() * targets.clone() - shape.clone() * log_rate;
    log_gamma(shape.clone()) + rate_term - (shape - 1.0) * targets.log()
}

/// Targets `y ≥ 0` that are zero with probability `1 − q` and else `shift` plus a gamma variable; `q = σ(logit)`. In nats,
/// as the zero-inflated gamma of Wei et al. (2020, doi:10.1101/637652) and Zhu et al. (2022).
///
/// # Panics
/// If `shift` is negative.
pub fn zero_inflated_gamma_nll<const D: usize>(
    logit: Tensor<D>,
    log_shape: Tensor<D>,
    log_rate: Tensor<D>,
    targets: Tensor<D>,
    shift: f64,
) -> Tensor<D> {
    assert!(shift >= 0.0, "the smallest event must not be negative, received {shift}");
    let silent = targets.clone().lower_equal_elem(shift);
    // ln(1 + e^x) without overflow, for −ln σ(x) = softplus(−x) and −ln(1 − σ(x)) = softplus(x).
    let softplus = |x: Tensor<D>| x.clone().clamp_min(0.0) + (x.abs().neg().exp() + 1.0).log();
    let above = (targets - shift).mask_fill(silent.clone(), 1.0);
    let event = gamma_nll(log_shape, log_rate, above) + softplus(logit.clone().neg());
    event.mask_where(silent, softplus(logit))
}

/// Cross-entropy of counts `[B, T, N]` under logits `[B, T, N, K + 1]` of the classes `0..=K`, in nats, entry by entry: counts
/// above `K` are of the last class, and parts of a spike are dropped. NDT-3 predicts spikes so (Ye et al. 2025,
/// doi:10.1101/2025.02.02.634313; 21 classes), which no Poisson spread binds.
///
/// # Panics
/// If shapes do not fit, or a count is −1 or less, for which there is no class.
pub fn count_cross_entropy(logits: Tensor<4>, counts: Tensor<3>) -> Tensor<3> {
    let [b, t, n, n_classes] = logits.dims();
    assert_eq!(counts.dims(), [b, t, n], "counts of the shape of the logits");
    let classes = counts.clamp_max(n_classes as f64 - 1.0).int().reshape([b, t, n, 1]);
    log_softmax(logits, 3).gather(3, classes).neg().reshape([b, t, n])
}

/// Expected counts `[B, T, N]` under logits `[B, T, N, K + 1]` of the classes `0..=K`: rates in spikes per bin, at most `K`.
pub fn expected_counts(logits: Tensor<4>) -> Tensor<3> {
    let [b, t, n, n_classes] = logits.dims();
    let classes: Vec<f64> = (0..n_classes).map(|class| class as f64).collect();
    let classes = TensorData::new(classes, [1, 1, 1, n_classes]);
    let classes = Tensor::<4>::from_data(classes, (&logits.device(), logits.dtype()));
    (softmax(logits, 3) * classes).sum_dim(3).reshape([b, t, n])
}

/// Lanczos' coefficients for g = 7 and nine terms (Godfrey's table).
const LANCZOS: [f64; 9] = [
    0.999_999_999_999_809_9,
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

/// ln Γ(x) for `x > 0` by Lanczos' approximation (1964); relative error about 1e-15 in double precision away from the
/// zeros at 1 and 2. Its gradient is that of the approximation.
pub fn log_gamma<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // ln Γ(x) = ln Γ(x + 1) − ln x, and the series is for Γ(z + 1) with z = x.
    let mut series = Tensor::full(x.shape(), LANCZOS[0], (&x.device(), x.dtype()));
    for (i, coefficient) in (1..).zip(&LANCZOS[1..]) {
        series = series + (x.clone() + f64::from(i)).recip() * *coefficient;
    }
    let t = x.clone() + 7.5;
    let power = (x.clone() + 0.5) * t.clone().log() - t;
    power + series.log() + std::f64::consts::TAU.ln() * 0.5 - x.log()
}
