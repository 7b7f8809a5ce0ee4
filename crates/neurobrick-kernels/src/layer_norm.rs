//! Layer normalization over the last axis, forward and backward.

use pulp::NullaryFnOnce;

use crate::lanes::{LANES, fold, sum};
use crate::simd::run;

/// Layer normalization (Ba, Kiros and Hinton 2016; PyTorch's `LayerNorm`) of the rows of `x`.
///
/// out = (x − μ) · s · γ + β with s = 1 / √(σ² + eps), μ the mean of the row and σ² its biased variance, computed
/// around the mean. `x` and `out` are `[rows, width]`, `gamma` and `beta` `[width]`; `stats`, `[rows, 2]`, receives
/// μ and s for [`layer_norm_backward`]. The sums run over 32 lanes, so their relative rounding error is below
/// (width/32 + 6) · 2⁻²⁴ for terms of one sign. A row with a NaN or an infinity becomes NaN.
///
/// ```
/// let (mut out, mut stats) = ([0.0; 2], [0.0; 2]);
/// neurobrick_kernels::layer_norm(&[1.0, 3.0], &[1.0; 2], &[0.0; 2], 0.0, &mut out, &mut stats);
/// assert_eq!((out, stats), ([-1.0, 1.0], [2.0, 1.0]));
/// ```
///
/// # Panics
/// If `gamma` is empty or a length does not fit.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32], stats: &mut [f32]) {
    let width = gamma.len();
    assert!(width > 0, "layer_norm: width must be positive");
    assert_eq!(beta.len(), width, "layer_norm: lengths of beta and gamma");
    assert_eq!(x.len() % width, 0, "layer_norm: x in rows of gamma's length");
    assert_eq!(out.len(), x.len(), "layer_norm: lengths of out and x");
    assert_eq!(stats.len(), x.len() / width * 2, "layer_norm: two statistics per row");
    run(Forward { x, gamma, beta, eps, out, stats });
}

/// Kernel of [`layer_norm`].
struct Forward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
    stats: &'a mut [f32],
}

impl NullaryFnOnce for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { x, gamma, beta, eps, out, stats } = self;
        let width = gamma.len();
        let rows = x.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for ((x, out), stat) in rows.zip(stats.as_chunks_mut::<2>().0) {
            let mean = sum(x, |v| v) / width as f32;
            let variance = sum(x, |v| (v - mean) * (v - mean)) / width as f32;
            let scale = 1.0 / (variance + eps).sqrt();
            *stat = [mean, scale];
            for (((o, &x), &g), &b) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
                *o = ((x - mean) * scale).mul_add(g, b);
            }
        }
    }
}

/// Gradients of [`layer_norm`] given `d`, the gradient by its output, and the `stats` it left.
///
/// With x̂ = (x − μ) s and h = γ · `d`: Σ rows `d` · x̂ is added to `d_gamma` and Σ rows `d` to `d_beta`, rows in
/// order; then `d` becomes the gradient by `x`, s (h − mean h − x̂ mean(h x̂)).
///
/// # Panics
/// If `gamma` is empty or a length does not fit.
pub fn layer_norm_backward(
    x: &[f32],
    gamma: &[f32],
    stats: &[f32],
    d: &mut [f32],
    d_gamma: &mut [f32],
    d_beta: &mut [f32],
) {
    let width = gamma.len();
    assert!(width > 0, "layer_norm_backward: width must be positive");
    assert_eq!(x.len() % width, 0, "layer_norm_backward: x in rows of gamma's length");
    assert_eq!(stats.len(), x.len() / width * 2, "layer_norm_backward: two statistics per row");
    assert_eq!(d.len(), x.len(), "layer_norm_backward: lengths of d and x");
    assert_eq!(d_gamma.len(), width, "layer_norm_backward: lengths of d_gamma and gamma");
    assert_eq!(d_beta.len(), width, "layer_norm_backward: lengths of d_beta and gamma");
    run(Backward { x, gamma, stats, d, d_gamma, d_beta });
}

/// Kernel of [`layer_norm_backward`].
struct Backward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    stats: &'a [f32],
    d: &'a mut [f32],
    d_gamma: &'a mut [f32],
    d_beta: &'a mut [f32],
}

impl NullaryFnOnce for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { x, gamma, stats, d, d_gamma, d_beta } = self;
        let width = gamma.len();
        let rows = x.chunks_exact(width).zip(d.chunks_exact_mut(width));
        for ((x, d), &[mean, scale]) in rows.zip(stats.as_chunks::<2>().0) {
            let (h, hx) = row_sums(x, gamma, d, mean, scale);
            let (h, hx) = (h / width as f32, hx / width as f32);
            let sums = d_gamma.iter_mut().zip(d_beta.iter_mut());
            for (((d, &x), &g), (d_gamma, d_beta)) in d.iter_mut().zip(x).zip(gamma).zip(sums) {
                let normed = (x - mean) * scale;
                *d_gamma = normed.mul_add(*d, *d_gamma);
                *d_beta += *d;
                *d = scale * (g.mul_add(*d, -h) - normed * hx);
            }
        }
    }
}

/// Σ h and Σ h x̂ of one row.
#[inline(always)]
fn row_sums(x: &[f32], gamma: &[f32], d_out: &[f32], mean: f32, scale: f32) -> (f32, f32) {
    let (mut h, mut hx) = ([0.0; LANES], [0.0; LANES]);
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (gamma, gamma_rest) = gamma.as_chunks::<LANES>();
    let (d_out, d_out_rest) = d_out.as_chunks::<LANES>();
    for ((x, gamma), d_out) in x.iter().zip(gamma).zip(d_out) {
        add_terms(&mut h, &mut hx, x, gamma, d_out, mean, scale);
    }
    add_terms(&mut h, &mut hx, x_rest, gamma_rest, d_out_rest, mean, scale);
    (fold(h), fold(hx))
}

#[inline(always)]
fn add_terms(
    h: &mut [f32; LANES],
    hx: &mut [f32; LANES],
    x: &[f32],
    gamma: &[f32],
    d_out: &[f32],
    mean: f32,
    scale: f32,
) {
    let lanes = h.iter_mut().zip(hx);
    for ((((h, hx), &x), &g), &dy) in lanes.zip(x).zip(gamma).zip(d_out) {
        let term = g * dy;
        *h += term;
        *hx = term.mul_add((x - mean) * scale, *hx);
    }
}
