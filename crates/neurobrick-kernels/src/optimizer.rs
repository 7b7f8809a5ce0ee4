//! The arithmetic of an update: sums of gradients, their norm, AdamW.

use pulp::NullaryFnOnce;

use crate::lanes::{WIDE_LANES, fold_wide};
use crate::simd::{run, vectorized};

/// Adds `b` to `a`, element by element.
///
/// # Panics
/// If the lengths differ.
pub fn add_assign(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "add_assign: lengths of a and b");
    vectorized(|| {
        for (a, &b) in a.iter_mut().zip(b) {
            *a += b;
        }
    });
}

/// Sum of the squares of `x` in double precision (the squares are exact), in an order that does not depend on the
/// processor.
///
/// ```
/// assert_eq!(neurobrick_kernels::sum_squares(&[3.0, 4.0]), 25.0);
/// ```
pub fn sum_squares(x: &[f32]) -> f64 {
    run(SumSquares { x })
}

/// Kernel of [`sum_squares`].
struct SumSquares<'a> {
    x: &'a [f32],
}

impl NullaryFnOnce for SumSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { x } = self;
        let mut lanes = [0.0; WIDE_LANES];
        let (chunks, rest) = x.as_chunks::<WIDE_LANES>();
        for chunk in chunks {
            add_squares(&mut lanes, chunk);
        }
        add_squares(&mut lanes, rest);
        fold_wide(lanes)
    }
}

#[inline(always)]
fn add_squares(lanes: &mut [f64; WIDE_LANES], x: &[f32]) {
    for (l, &v) in lanes.iter_mut().zip(x) {
        *l = f64::from(v).mul_add(f64::from(v), *l);
    }
}

/// What AdamW is run with, at one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWRates {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment per update.
    pub beta1: f64,
    /// Decay of the second moment per update.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; each update multiplies the weight by 1 − `lr` · `weight_decay`.
    pub weight_decay: f64,
}

/// The constants of one AdamW update, computed in double precision and rounded once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWStep {
    /// Multiplies the gradient first (clipping by norm).
    grad_scale: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    /// 1 / √(1 − beta2^t).
    root_scale: f32,
    eps: f32,
    /// lr / (1 − beta1^t).
    rate: f32,
    /// 1 − lr · `weight_decay`.
    keep: f32,
}

impl AdamWStep {
    /// The constants of update number `n_updates` (from 1) of a parameter; `grad_scale` multiplies its gradient.
    ///
    /// # Panics
    /// If `n_updates` is zero: the bias correction would divide by zero.
    pub fn new(rates: &AdamWRates, n_updates: u64, grad_scale: f64) -> Self {
        assert!(n_updates > 0, "updates are numbered from 1");
        let &AdamWRates { lr, beta1, beta2, eps, weight_decay } = rates;
        let exponent = n_updates as f64;
        Self {
            grad_scale: single(grad_scale),
            beta1: single(beta1),
            one_minus_beta1: single(1.0 - beta1),
            beta2: single(beta2),
            one_minus_beta2: single(1.0 - beta2),
            root_scale: single((1.0 - beta2.powf(exponent)).sqrt().recip()),
            eps: single(eps),
            rate: single(lr / (1.0 - beta1.powf(exponent))),
            keep: single(1.0 - lr * weight_decay),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the rounding to single precision is meant")]
fn single(value: f64) -> f32 {
    value as f32
}

/// One AdamW update (Loshchilov and Hutter 2019) in the order of PyTorch's `_single_tensor_adamw`, in one pass.
///
/// With g = `grad_scale` · `grad`: `first` = β₁ `first` + (1 − β₁) g, `second` = β₂ `second` + (1 − β₂) g²,
/// `weight` = (1 − lr λ) `weight` − lr / (1 − β₁ᵗ) · `first` / (√`second` / √(1 − β₂ᵗ) + eps). Each operation is
/// rounded by itself, so the bits equal those of the same operations on whole arrays.
///
/// ```
/// use neurobrick_kernels::{AdamWRates, AdamWStep, adamw};
///
/// let rates = AdamWRates { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 0.0, weight_decay: 0.0 };
/// let (mut weight, mut first, mut second) = ([1.0], [0.0], [0.0]);
/// adamw(&mut weight, &[4.0], &mut first, &mut second, &AdamWStep::new(&rates, 1, 1.0));
/// assert!((weight[0] - 0.9).abs() < 1e-6); // the first update moves by lr, whatever the gradient
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn adamw(weight: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32], step: &AdamWStep) {
    assert_eq!(grad.len(), weight.len(), "adamw: lengths of grad and weight");
    assert_eq!(first.len(), weight.len(), "adamw: lengths of first and weight");
    assert_eq!(second.len(), weight.len(), "adamw: lengths of second and weight");
    let step = *step;
    vectorized(|| {
        for (((weight, &grad), first), second) in weight.iter_mut().zip(grad).zip(first).zip(second) {
            let g = grad * step.grad_scale;
            *first = *first * step.beta1 + g * step.one_minus_beta1;
            *second = *second * step.beta2 + g * g * step.one_minus_beta2;
            let denominator = second.sqrt() * step.root_scale + step.eps;
            *weight = *weight * step.keep - *first / denominator * step.rate;
        }
    });
}
