//! One step of LFADS's gated recurrent unit, forward and backward, on rows of one bin that lie in arrays of all bins.
//!
//! Arrays of all bins are `[B, T, ..]`, as tensors are: the rows of a bin are one window apart, so that neither drives and
//! states nor their gradients are copied from bin to bin.

use pulp::NullaryFnOnce;

use crate::exp_erf::exp;
use crate::product::{Matrix, product};
use crate::simd::run;

/// Rows of `width` numbers, `stride` apart, from the beginning of `data`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    pub(crate) fn row(self, i: usize, width: usize) -> &'a [f32] {
        &self.data[i * self.stride..i * self.stride + width]
    }

    pub(crate) fn matrix(self, n: usize, width: usize) -> Matrix<'a> {
        Matrix::strided(self.data, n, width, self.stride)
    }
}

/// As [`Rows`], to be written.
pub(crate) struct RowsMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) stride: usize,
}

impl RowsMut<'_> {
    #[inline(always)]
    pub(crate) fn row(&mut self, i: usize, width: usize) -> &mut [f32] {
        &mut self.data[i * self.stride..i * self.stride + width]
    }

    fn again(&mut self) -> RowsMut<'_> {
        RowsMut { data: self.data, stride: self.stride }
    }

    fn read(&self) -> Rows<'_> {
        Rows { data: self.data, stride: self.stride }
    }

    /// Columns from `from` on.
    fn columns(&mut self, from: usize) -> &mut [f32] {
        &mut self.data[from..]
    }
}

/// The unit for `n` examples.
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

    /// Turns drives in `gates` `[B, 3 H]` into gates and candidate, moves `state` `[B, H]` on and writes it to `out`, and the
    /// state times the reset gate to `reset`, both `[B, H]`.
    pub(crate) fn step(
        &self,
        mut gates: RowsMut<'_>,
        state: &mut [f32],
        mut reset: RowsMut<'_>,
        out: RowsMut<'_>,
    ) {
        let Self { n, h, clip, .. } = *self;
        if h == 0 || n == 0 {
            return;
        }
        let stride = gates.stride;
        product(gates.data, stride, 1.0, 1.0, Matrix::new(state, n, h), self.gate_weights(), 1);
        run(Gate { gates: gates.again(), state, reset: reset.again(), h });
        let reset = reset.read().matrix(n, h);
        product(gates.columns(2 * h), stride, 1.0, 1.0, reset, self.candidate_weights(), 1);
        run(Mix { gates, state, out, h, clip });
    }

    /// The unit for the backward pass.
    pub(crate) fn back(self) -> CellBack<'a> {
        let (gates, candidate) = (self.gate_weights(), self.candidate_weights());
        CellBack { gates: gates.t().to_vec(), candidate: candidate.t().to_vec(), cell: self }
    }
}

/// The unit with its weights the other way round: products of every bin read them in order.
pub(crate) struct CellBack<'a> {
    cell: Cell<'a>,
    /// `[2 H, H]`.
    gates: Vec<f32>,
    /// `[H, H]`.
    candidate: Vec<f32>,
}

impl CellBack<'_> {
    /// From `d_state`, the gradient by the state after a step, to that by the state before it; `gates`, as the step left them,
    /// become the gradient by the drives.
    pub(crate) fn step(
        &self,
        mut gates: RowsMut<'_>,
        previous: Rows<'_>,
        d_state: &mut [f32],
        scratch: &mut [f32],
    ) {
        let Cell { n, h, clip, .. } = self.cell;
        if h == 0 || n == 0 {
            return;
        }
        run(MixBack { gates: gates.again(), previous, d_state, h, clip });
        let d_candidates = Matrix::strided(&gates.data[2 * h..], n, h, gates.stride);
        product(scratch, h, 0.0, 1.0, d_candidates, Matrix::new(&self.candidate, h, h), 1);
        run(GateBack { gates: gates.again(), previous, back: scratch, d_state, h });
        let d_both = gates.read().matrix(n, 2 * h);
        product(d_state, h, 1.0, 1.0, d_both, Matrix::new(&self.gates, 2 * h, h), 1);
    }

    /// Gradient by the recurrent weights from all steps: states before them and what was left of these by the reset gates,
    /// `[.., H]`, and gradients by drives, `[.., 3 H]`, whose rows are `stride` apart.
    pub(crate) fn weight_gradient(&self, previous: &[f32], reset: Rows<'_>, d_gates: Rows<'_>) -> Vec<f32> {
        let h = self.cell.h;
        let mut gradient = vec![0.0; 3 * h * h];
        if h == 0 || previous.is_empty() {
            return gradient;
        }
        let rows = previous.len() / h;
        let d_both = d_gates.matrix(rows, 2 * h);
        product(&mut gradient, 3 * h, 0.0, 1.0, Matrix::new(previous, rows, h).t(), d_both, 1);
        let d_candidates = Matrix::strided(&d_gates.data[2 * h..], rows, h, d_gates.stride);
        let candidates = &mut gradient[2 * h..];
        product(candidates, 3 * h, 0.0, 1.0, reset.matrix(rows, h).t(), d_candidates, 1);
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

/// Update and reset by the logistic function, and the state that was reset.
struct Gate<'a> {
    gates: RowsMut<'a>,
    state: &'a [f32],
    reset: RowsMut<'a>,
    h: usize,
}

impl NullaryFnOnce for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { mut gates, state, mut reset, h } = self;
        for (i, state) in state.chunks_exact(h).enumerate() {
            let (gates, reset) = (gates.row(i, 2 * h), reset.row(i, h));
            for gate in gates.iter_mut() {
                *gate = sigmoid(*gate);
            }
            for ((out, &r), &s) in reset.iter_mut().zip(&gates[h..]).zip(state) {
                *out = r * s;
            }
        }
    }
}

/// The candidate by the hyperbolic tangent, and the new state.
struct Mix<'a> {
    gates: RowsMut<'a>,
    state: &'a mut [f32],
    out: RowsMut<'a>,
    h: usize,
    clip: f32,
}

impl NullaryFnOnce for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { mut gates, state, mut out, h, clip } = self;
        for (i, state) in state.chunks_exact_mut(h).enumerate() {
            let (update, rest) = gates.row(i, 3 * h).split_at_mut(h);
            for ((s, &z), candidate) in state.iter_mut().zip(&*update).zip(&mut rest[h..]) {
                *candidate = tanh(*candidate);
                *s = mixed(z, *s, *candidate).clamp(-clip, clip);
            }
            out.row(i, h).copy_from_slice(state);
        }
    }
}

/// Gradients by drives of update and candidate, and what passes to the state before by the update gate.
struct MixBack<'a> {
    gates: RowsMut<'a>,
    previous: Rows<'a>,
    d_state: &'a mut [f32],
    h: usize,
    clip: f32,
}

impl NullaryFnOnce for MixBack<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { mut gates, previous, d_state, h, clip } = self;
        for (i, d_state) in d_state.chunks_exact_mut(h).enumerate() {
            let (update, rest) = gates.row(i, 3 * h).split_at_mut(h);
            let cells = update.iter_mut().zip(&mut rest[h..]).zip(previous.row(i, h));
            for (((update, candidate), &p), d) in cells.zip(d_state) {
                let (z, c) = (*update, *candidate);
                let through = if mixed(z, p, c).abs() <= clip { *d } else { 0.0 };
                *update = through * (p - c) * (z * (1.0 - z));
                *candidate = through * (1.0 - z) * (1.0 - c * c);
                *d = through * z;
            }
        }
    }
}

/// The gradient by the drive of the reset gate, and what passes to the state before by it; `back` is the gradient by the state
/// that was reset.
struct GateBack<'a> {
    gates: RowsMut<'a>,
    previous: Rows<'a>,
    back: &'a [f32],
    d_state: &'a mut [f32],
    h: usize,
}

impl NullaryFnOnce for GateBack<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { mut gates, previous, back, d_state, h } = self;
        for (i, (d_state, back)) in d_state.chunks_exact_mut(h).zip(back.chunks_exact(h)).enumerate() {
            let resets = &mut gates.row(i, 2 * h)[h..];
            let cells = resets.iter_mut().zip(previous.row(i, h)).zip(back);
            for (((reset, &p), &b), d) in cells.zip(d_state) {
                let r = *reset;
                *reset = b * p * (r * (1.0 - r));
                *d = b.mul_add(r, *d);
            }
        }
    }
}

/// Adds rows to others, times factors where there are some.
pub(crate) struct AddRows<'a> {
    pub(crate) x: Rows<'a>,
    pub(crate) factors: Option<Rows<'a>>,
    pub(crate) total: RowsMut<'a>,
    pub(crate) n: usize,
    pub(crate) width: usize,
}

impl NullaryFnOnce for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { x, factors, mut total, n, width } = self;
        for i in 0..n {
            let (x, total) = (x.row(i, width), total.row(i, width));
            match factors {
                Some(factors) => {
                    for ((t, &x), &f) in total.iter_mut().zip(x).zip(factors.row(i, width)) {
                        *t = x.mul_add(f, *t);
                    }
                }
                None => {
                    for (t, &x) in total.iter_mut().zip(x) {
                        *t += x;
                    }
                }
            }
        }
    }
}

/// Writes rows, times factors where there are some, to others.
pub(crate) struct ScaleRows<'a> {
    pub(crate) x: Rows<'a>,
    pub(crate) factors: Option<Rows<'a>>,
    pub(crate) out: RowsMut<'a>,
    pub(crate) n: usize,
    pub(crate) width: usize,
}

impl NullaryFnOnce for ScaleRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { x, factors, mut out, n, width } = self;
        for i in 0..n {
            let (x, out) = (x.row(i, width), out.row(i, width));
            match factors {
                Some(factors) => {
                    for ((o, &x), &f) in out.iter_mut().zip(x).zip(factors.row(i, width)) {
                        *o = x * f;
                    }
                }
                None => out.copy_from_slice(x),
            }
        }
    }
}
