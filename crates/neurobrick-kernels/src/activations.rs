//! Activation functions, element by element, forward and backward.

use crate::exp_erf::normal_cdf;
use crate::simd::vectorized;

/// 1/√(2π).
const DENSITY: f32 = 0.398_942_3;

/// Exact GELU, x Φ(x) with Φ the normal distribution function (Hendrycks and Gimpel 2016; PyTorch's
/// `approximate="none"`).
///
/// Off by at most 1.5e-7 · max(1, |x|). NaN at −∞ (−∞ times 0), as in PyTorch.
///
/// ```
/// let mut out = [0.0];
/// neurobrick_kernels::gelu(&[1.0], &mut out);
/// assert!((out[0] - 0.841_344_7).abs() < 2e-7);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn gelu(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "gelu: lengths of x and out");
    vectorized(|| {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = x * normal_cdf(x).0;
        }
    });
}

/// Gradient of [`gelu`]: `d`, the gradient by its output, becomes that by `x`, `d` · (Φ(x) + x φ(x)) with φ the
/// normal density.
///
/// The factor is off by at most 3e-7. NaN at ±∞ (∞ times 0), as in PyTorch.
///
/// # Panics
/// If the lengths differ.
pub fn gelu_backward(x: &[f32], d: &mut [f32]) {
    assert_eq!(x.len(), d.len(), "gelu_backward: lengths of x and d");
    vectorized(|| {
        for (d, &x) in d.iter_mut().zip(x) {
            let (cdf, bell) = normal_cdf(x);
            *d *= (x * DENSITY).mul_add(bell, cdf);
        }
    });
}

/// Softsign, x / (1 + |x|), off by at most 1.5 units in the last place. NaN at ±∞, as in PyTorch.
///
/// ```
/// let mut out = [0.0];
/// neurobrick_kernels::softsign(&[-3.0], &mut out);
/// assert_eq!(out, [-0.75]);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn softsign(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "softsign: lengths of x and out");
    vectorized(|| {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = x / (1.0 + x.abs());
        }
    });
}

/// Gradient of [`softsign`]: `d`, the gradient by its output, becomes that by `x`, `d` / (1 + |x|)².
///
/// # Panics
/// If the lengths differ.
pub fn softsign_backward(x: &[f32], d: &mut [f32]) {
    assert_eq!(x.len(), d.len(), "softsign_backward: lengths of x and d");
    vectorized(|| {
        for (d, &x) in d.iter_mut().zip(x) {
            let root = 1.0 / (1.0 + x.abs());
            *d *= root * root;
        }
    });
}
