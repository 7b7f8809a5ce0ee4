//! A gated recurrent unit with a clipped state over all bins of a window, forward and backward.
//!
//! The unit is that of LFADS: update z, reset r and candidate n of a drive `x` and a state `h` are
//! `z = σ(x_z + h W_z)`, `r = σ(x_r + h W_r)`, `n = tanh(x_n + (r ∘ h) W_n)`, and `h' = clip(z ∘ h + (1 − z) ∘ n)`.
//! Steps work on contiguous rows; gradients of weights are one product over all bins at the end.

use crate::exp_erf::exp;
use crate::product::{Matrix, product, product_of};
use crate::simd::vectorized;

/// Sizes of a recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GruShape {
    /// Examples.
    pub n_examples: usize,
    /// Bins.
    pub n_bins: usize,
    /// Hidden units.
    pub d_hidden: usize,
}

/// What a recurrence runs on.
#[derive(Clone, Copy, Debug)]
pub struct GruInputs<'a> {
    /// `[B, T, 3 H]`: drive of update, reset and candidate.
    pub drive: &'a [f32],
    /// First state `[B, H]`.
    pub start: &'a [f32],
    /// `[H, 3 H]`.
    pub recurrent: &'a [f32],
    /// Bound of the state.
    pub clip: f32,
    /// Whether the last bin comes first.
    pub reverse: bool,
}

/// Gradients of a recurrence.
#[derive(Clone, Debug, PartialEq)]
pub struct GruGradients {
    /// By the drive, `[B, T, 3 H]`.
    pub drive: Vec<f32>,
    /// By the first state, `[B, H]`.
    pub start: Vec<f32>,
    /// By the recurrent weights, `[H, 3 H]`.
    pub recurrent: Vec<f32>,
}

/// States `[B, T, H]` after every bin, and the gates `[T, B, 3 H]` in the order of the recurrence, which the backward pass
/// needs.
///
/// ```
/// use neurobrick_kernels::{GruInputs, GruShape, gru};
///
/// let shape = GruShape { n_examples: 1, n_bins: 2, d_hidden: 1 };
/// let drive = [-50.0, 0.0, 50.0, 50.0, 0.0, 50.0]; // take the candidate, then keep the state
/// let inputs = GruInputs { drive: &drive, start: &[0.0], recurrent: &[0.0; 3], clip: 0.75, reverse: false };
/// assert_eq!(gru(shape, inputs).0, [0.75, 0.75]);
/// ```
///
/// # Panics
/// If a slice has another length than its shape says.
pub fn gru(shape: GruShape, inputs: GruInputs<'_>) -> (Vec<f32>, Vec<f32>) {
    let GruShape { n_examples, n_bins, d_hidden } = shape;
    let width = 3 * d_hidden;
    assert_eq!(inputs.drive.len(), n_examples * n_bins * width, "gru: drive of {shape:?}");
    assert_eq!(inputs.start.len(), n_examples * d_hidden, "gru: start of {shape:?}");
    let cell = Cell::new(n_examples, d_hidden, inputs.recurrent, inputs.clip);
    let mut states = vec![0.0; n_examples * n_bins * d_hidden];
    let mut gates = vec![0.0; n_bins * n_examples * width];
    let mut state = inputs.start.to_vec();
    let mut scratch = vec![0.0; state.len()];
    for (step, gates) in gates.chunks_exact_mut((n_examples * width).max(1)).enumerate() {
        let bin = bin_of(step, n_bins, inputs.reverse);
        take_bin(inputs.drive, bin, n_bins, width, gates);
        cell.step(gates, &mut state, &mut scratch);
        put_bin(&state, bin, n_bins, d_hidden, &mut states);
    }
    (states, gates)
}

/// Gradients of [`gru`] from `d_states` `[B, T, H]`, those by its states; `states` and `gates` are what it returned.
///
/// # Panics
/// If a slice has another length than its shape says.
pub fn gru_backward(
    shape: GruShape,
    inputs: GruInputs<'_>,
    states: &[f32],
    gates: &[f32],
    d_states: &[f32],
) -> GruGradients {
    let GruShape { n_examples, n_bins, d_hidden } = shape;
    let width = 3 * d_hidden;
    assert_eq!(states.len(), n_examples * n_bins * d_hidden, "gru_backward: states of {shape:?}");
    assert_eq!(d_states.len(), states.len(), "gru_backward: gradients by the states of {shape:?}");
    assert_eq!(gates.len(), n_bins * n_examples * width, "gru_backward: gates of {shape:?}");
    let cell = Cell::new(n_examples, d_hidden, inputs.recurrent, inputs.clip);
    let order = |step| bin_of(step, n_bins, inputs.reverse);
    let mut previous = previous_states(inputs.start, states, n_bins, d_hidden, order);
    let mut d_gates = vec![0.0; gates.len()];
    let mut d_state = vec![0.0; n_examples * d_hidden];
    let (mut scratch, mut d_bin) = (d_state.clone(), d_state.clone());
    let mut drive = vec![0.0; gates.len()];
    for step in (0..n_bins).rev() {
        take_bin(d_states, order(step), n_bins, d_hidden, &mut d_bin);
        add(&d_bin, &mut d_state);
        let (rows, cells) = (step * n_examples * width, step * n_examples * d_hidden);
        let d_gates = &mut d_gates[rows..rows + n_examples * width];
        let gates = &gates[rows..rows + n_examples * width];
        let previous = &previous[cells..cells + n_examples * d_hidden];
        cell.step_back(gates, previous, &mut d_state, d_gates, &mut scratch);
        put_bin(d_gates, order(step), n_bins, width, &mut drive);
    }
    let recurrent = cell.weight_gradient(&mut previous, gates, &d_gates);
    GruGradients { drive, start: d_state, recurrent }
}

fn bin_of(step: usize, n_bins: usize, reverse: bool) -> usize {
    if reverse { n_bins - 1 - step } else { step }
}

/// Copies bin `bin` of `x` `[B, T, width]` to `out` `[B, width]`.
pub(crate) fn take_bin(x: &[f32], bin: usize, n_bins: usize, width: usize, out: &mut [f32]) {
    if width == 0 {
        return;
    }
    for (row, out) in x.chunks_exact(n_bins * width).zip(out.chunks_exact_mut(width)) {
        out.copy_from_slice(&row[bin * width..(bin + 1) * width]);
    }
}

/// Copies `x` `[B, width]` to bin `bin` of `out` `[B, T, width]`.
pub(crate) fn put_bin(x: &[f32], bin: usize, n_bins: usize, width: usize, out: &mut [f32]) {
    if width == 0 {
        return;
    }
    for (x, row) in x.chunks_exact(width).zip(out.chunks_exact_mut(n_bins * width)) {
        row[bin * width..(bin + 1) * width].copy_from_slice(x);
    }
}

/// `total += x`.
pub(crate) fn add(x: &[f32], total: &mut [f32]) {
    vectorized(|| {
        for (t, &x) in total.iter_mut().zip(x) {
            *t += x;
        }
    });
}

/// The state before every step, `[T, B, H]`, from states `[B, T, H]`.
fn previous_states(
    start: &[f32],
    states: &[f32],
    n_bins: usize,
    d_hidden: usize,
    order: impl Fn(usize) -> usize,
) -> Vec<f32> {
    let mut previous = vec![0.0; states.len()];
    for (step, out) in previous.chunks_exact_mut(start.len().max(1)).enumerate() {
        if step == 0 {
            out.copy_from_slice(start);
        } else {
            take_bin(states, order(step - 1), n_bins, d_hidden, out);
        }
    }
    previous
}

/// One step of the unit for `n` examples.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'a> {
    n: usize,
    h: usize,
    recurrent: &'a [f32],
    clip: f32,
}

impl<'a> Cell<'a> {
    pub(crate) fn new(n: usize, h: usize, recurrent: &'a [f32], clip: f32) -> Self {
        assert_eq!(recurrent.len(), 3 * h * h, "gru: recurrent weights of {h} units");
        Self { n, h, recurrent, clip }
    }

    fn gate_weights(&self) -> Matrix<'a> {
        Matrix::strided(self.recurrent, self.h, 2 * self.h, 3 * self.h)
    }

    fn candidate_weights(&self) -> Matrix<'a> {
        Matrix::strided(&self.recurrent[2 * self.h..], self.h, self.h, 3 * self.h)
    }

    /// Turns drives in `gates` `[B, 3 H]` into gates and candidate and moves `state` `[B, H]` on.
    pub(crate) fn step(&self, gates: &mut [f32], state: &mut [f32], scratch: &mut [f32]) {
        let (n, h) = (self.n, self.h);
        if h == 0 {
            return;
        }
        product(gates, 3 * h, 1.0, 1.0, Matrix::new(state, n, h), self.gate_weights(), 1);
        vectorized(|| {
            for ((gates, state), reset_state) in
                gates.chunks_exact_mut(3 * h).zip(state.chunks_exact(h)).zip(scratch.chunks_exact_mut(h))
            {
                for gate in &mut gates[..2 * h] {
                    *gate = sigmoid(*gate);
                }
                for ((out, &r), &s) in reset_state.iter_mut().zip(&gates[h..2 * h]).zip(state) {
                    *out = r * s;
                }
            }
        });
        let candidates = &mut gates[2 * h..];
        product(candidates, 3 * h, 1.0, 1.0, Matrix::new(scratch, n, h), self.candidate_weights(), 1);
        let clip = self.clip;
        vectorized(|| {
            for (gates, state) in gates.chunks_exact_mut(3 * h).zip(state.chunks_exact_mut(h)) {
                let (update, rest) = gates.split_at_mut(h);
                for ((s, &z), candidate) in state.iter_mut().zip(&*update).zip(&mut rest[h..]) {
                    *candidate = tanh(*candidate);
                    *s = mixed(z, *s, *candidate).clamp(-clip, clip);
                }
            }
        });
    }

    /// From `d_state`, the gradient by the state after a step, to that by the state before it; writes the gradient by
    /// the drives to `d_gates`.
    pub(crate) fn step_back(
        &self,
        gates: &[f32],
        previous: &[f32],
        d_state: &mut [f32],
        d_gates: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (n, h, clip) = (self.n, self.h, self.clip);
        if h == 0 {
            return;
        }
        vectorized(|| {
            let rows = gates.chunks_exact(3 * h).zip(previous.chunks_exact(h));
            for (((gates, previous), d_state), d_gates) in
                rows.zip(d_state.chunks_exact_mut(h)).zip(d_gates.chunks_exact_mut(3 * h))
            {
                let (d_update, d_rest) = d_gates.split_at_mut(h);
                let cells = gates[..h].iter().zip(&gates[2 * h..]).zip(previous);
                let slopes = d_update.iter_mut().zip(&mut d_rest[h..]).zip(d_state);
                for (((&z, &c), &p), ((d_z, d_c), d)) in cells.zip(slopes) {
                    let through = if mixed(z, p, c).abs() <= clip { *d } else { 0.0 };
                    *d_z = through * (p - c) * (z * (1.0 - z));
                    *d_c = through * (1.0 - z) * (1.0 - c * c);
                    *d = through * z;
                }
            }
        });
        let d_candidates = Matrix::strided(&d_gates[2 * h..], n, h, 3 * h);
        product(scratch, h, 0.0, 1.0, d_candidates, self.candidate_weights().t(), 1);
        vectorized(|| {
            let rows = gates.chunks_exact(3 * h).zip(previous.chunks_exact(h)).zip(scratch.chunks_exact(h));
            for (((gates, previous), back), (d_state, d_gates)) in
                rows.zip(d_state.chunks_exact_mut(h).zip(d_gates.chunks_exact_mut(3 * h)))
            {
                let cells = gates[h..2 * h].iter().zip(previous).zip(back);
                for (((&r, &p), &b), (d, d_r)) in cells.zip(d_state.iter_mut().zip(&mut d_gates[h..2 * h])) {
                    *d_r = b * p * (r * (1.0 - r));
                    *d = b.mul_add(r, *d);
                }
            }
        });
        let d_both = Matrix::strided(d_gates, n, 2 * h, 3 * h);
        product(d_state, h, 1.0, 1.0, d_both, self.gate_weights().t(), 1);
    }

    /// Gradient by the recurrent weights from all steps, whose rows lie one after the other; `previous` is overwritten.
    pub(crate) fn weight_gradient(&self, previous: &mut [f32], gates: &[f32], d_gates: &[f32]) -> Vec<f32> {
        let h = self.h;
        let mut gradient = vec![0.0; 3 * h * h];
        if h == 0 || previous.is_empty() {
            return gradient;
        }
        let rows = previous.len() / h;
        let d_both = Matrix::strided(d_gates, rows, 2 * h, 3 * h);
        product(&mut gradient, 3 * h, 0.0, 1.0, Matrix::new(previous, rows, h).t(), d_both, 1);
        vectorized(|| {
            for (previous, gates) in previous.chunks_exact_mut(h).zip(gates.chunks_exact(3 * h)) {
                for (p, &r) in previous.iter_mut().zip(&gates[h..2 * h]) {
                    *p *= r;
                }
            }
        });
        let d_candidates = Matrix::strided(&d_gates[2 * h..], rows, h, 3 * h);
        let candidates = &mut gradient[2 * h..];
        product(candidates, 3 * h, 0.0, 1.0, Matrix::new(previous, rows, h).t(), d_candidates, 1);
        gradient
    }
}

/// What a state becomes before it is clipped. Forward and backward round it alike, so that they agree on what is clipped.
#[inline(always)]
fn mixed(update: f32, state: f32, candidate: f32) -> f32 {
    update.mul_add(state - candidate, candidate)
}

/// `1 / (1 + e^−x)`, off by at most 1.2e-7.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `1 − 2 / (e^2x + 1)`, off by at most 1.8e-7.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// `a b` of contiguous matrices `[rows, inner]` and `[inner, cols]`, added to `out`.
pub(crate) fn add_product(a: &[f32], b: &[f32], inner: usize, cols: usize, out: &mut [f32]) {
    if inner == 0 || cols == 0 {
        return;
    }
    let rows = a.len() / inner;
    product(out, cols, 1.0, 1.0, Matrix::new(a, rows, inner), Matrix::new(b, inner, cols), 1);
}

/// `d bᵀ` of `[rows, cols]` and `[inner, cols]`, written to `out` `[rows, inner]`.
pub(crate) fn product_back(d: &[f32], b: &[f32], inner: usize, cols: usize, out: &mut [f32]) {
    if inner == 0 {
        return;
    }
    let rows = out.len() / inner;
    product(out, inner, 0.0, 1.0, Matrix::new(d, rows, cols), Matrix::new(b, inner, cols).t(), 1);
}

/// `aᵀ d` of `[rows, inner]` and `[rows, cols]`: the gradient of weights.
pub(crate) fn weight_product(a: &[f32], d: &[f32], inner: usize, cols: usize) -> Vec<f32> {
    if inner == 0 || cols == 0 {
        return Vec::new();
    }
    let rows = a.len() / inner;
    product_of(Matrix::new(a, rows, inner).t(), Matrix::new(d, rows, cols), 1)
}
