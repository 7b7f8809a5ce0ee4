//! A gated recurrent unit with a clipped state over all bins of a window, forward and backward.
//!
//! The unit is that of LFADS: update z, reset r and candidate n of a drive `x` and a state `h` are
//! `z = σ(x_z + h W_z)`, `r = σ(x_r + h W_r)`, `n = tanh(x_n + (r ∘ h) W_n)`, and `h' = clip(z ∘ h + (1 − z) ∘ n)`.
//! Gradients of weights are one product over all bins at the end.

use crate::cell::{AddRows, Cell, Rows, RowsMut};
use crate::simd::run;

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

/// What a recurrence runs on: one cell, or several side by side that do not see each other.
#[derive(Clone, Copy, Debug)]
pub struct GruInputs<'a> {
    /// `[B, T, 3 H]` for every cell: drive of update, reset and candidate, cell after cell.
    pub drive: &'a [f32],
    /// The cells.
    pub cells: &'a [GruCell<'a>],
}

/// One cell of a recurrence.
#[derive(Clone, Copy, Debug)]
pub struct GruCell<'a> {
    /// First state `[B, H]`.
    pub start: &'a [f32],
    /// `[H, 3 H]`.
    pub recurrent: &'a [f32],
    /// Bound of the state.
    pub clip: f32,
    /// Whether the last bin comes first.
    pub reverse: bool,
}

/// What the backward pass needs of the forward pass beside its states.
#[derive(Clone, Debug)]
pub struct GruTrace {
    /// Gates and candidates, as the drive.
    gates: Vec<f32>,
    /// States before every bin times reset gates, as the states.
    reset: Vec<f32>,
}

/// Gradients of a recurrence.
#[derive(Clone, Debug, PartialEq)]
pub struct GruGradients {
    /// By the drive.
    pub drive: Vec<f32>,
    /// By the first state `[B, H]` of every cell.
    pub starts: Vec<Vec<f32>>,
    /// By the recurrent weights `[H, 3 H]` of every cell.
    pub recurrents: Vec<Vec<f32>>,
}

/// One cell among several: where its rows lie.
#[derive(Clone, Copy)]
struct Lane {
    shape: GruShape,
    number: usize,
    n_cells: usize,
    reverse: bool,
}

impl Lane {
    /// The bin of a step of the recurrence.
    fn bin(self, step: usize) -> usize {
        if self.reverse { self.shape.n_bins - 1 - step } else { step }
    }

    /// Beginning and stride of the rows of `width` numbers of a bin.
    fn place(self, bin: usize, width: usize) -> (usize, usize) {
        let both = width * self.n_cells;
        (bin * both + self.number * width, self.shape.n_bins * both)
    }

    fn rows(self, data: &[f32], bin: usize, width: usize) -> Rows<'_> {
        let (from, stride) = self.place(bin, width);
        Rows { data: &data[from..], stride }
    }

    fn rows_mut(self, data: &mut [f32], bin: usize, width: usize) -> RowsMut<'_> {
        let (from, stride) = self.place(bin, width);
        RowsMut { data: &mut data[from..], stride }
    }

    /// All rows of all bins, one after the other.
    fn all(self, data: &[f32], width: usize) -> Rows<'_> {
        Rows { data: &data[self.number * width..], stride: width * self.n_cells }
    }

    /// The state before every bin, `[B, T, H]`, from the states after them.
    fn before(self, start: &[f32], states: &[f32]) -> Vec<f32> {
        let GruShape { n_bins, d_hidden: h, .. } = self.shape;
        let states = self.all(states, h);
        let mut previous = Vec::with_capacity(start.len() * n_bins);
        for (example, start) in start.chunks_exact(h).enumerate() {
            let state = |bin: usize| states.row(example * n_bins + bin, h);
            if self.reverse {
                (1..n_bins).for_each(|bin| previous.extend_from_slice(state(bin)));
                previous.extend_from_slice(start);
            } else {
                previous.extend_from_slice(start);
                (0..n_bins - 1).for_each(|bin| previous.extend_from_slice(state(bin)));
            }
        }
        previous
    }
}

fn check(shape: GruShape, inputs: GruInputs<'_>) {
    let GruShape { n_examples, n_bins, d_hidden: h } = shape;
    let wanted = n_examples * n_bins * 3 * h * inputs.cells.len();
    assert_eq!(inputs.drive.len(), wanted, "gru: drive of {} cells of {shape:?}", inputs.cells.len());
    for cell in inputs.cells {
        assert_eq!(cell.start.len(), n_examples * h, "gru: start of {shape:?}");
    }
}

fn lanes<'a>(shape: GruShape, cells: &'a [GruCell<'a>]) -> impl Iterator<Item = (Lane, &'a GruCell<'a>)> {
    let n_cells = cells.len();
    cells
        .iter()
        .enumerate()
        .map(move |(number, cell)| (Lane { shape, number, n_cells, reverse: cell.reverse }, cell))
}

/// States `[B, T, H]` after every bin, of several cells side by side, and what the backward pass needs beside them.
///
/// ```
/// use neurobrick_kernels::{GruCell, GruInputs, GruShape, gru};
///
/// let shape = GruShape { n_examples: 1, n_bins: 2, d_hidden: 1 };
/// let drive = [-50.0, 0.0, 50.0, 50.0, 0.0, 50.0]; // take the candidate, then keep the state
/// let cell = GruCell { start: &[0.0], recurrent: &[0.0; 3], clip: 0.75, reverse: false };
/// assert_eq!(gru(shape, GruInputs { drive: &drive, cells: &[cell] }).0, [0.75, 0.75]);
/// ```
///
/// # Panics
/// If a slice has another length than its shape says.
pub fn gru(shape: GruShape, inputs: GruInputs<'_>) -> (Vec<f32>, GruTrace) {
    check(shape, inputs);
    let h = shape.d_hidden;
    let mut states = vec![0.0; inputs.drive.len() / 3];
    let mut trace = GruTrace { gates: inputs.drive.to_vec(), reset: states.clone() };
    if states.is_empty() {
        return (states, trace);
    }
    for (lane, own) in lanes(shape, inputs.cells) {
        let cell = Cell::new(shape.n_examples, h, own.recurrent, own.clip);
        let mut state = own.start.to_vec();
        for bin in (0..shape.n_bins).map(|step| lane.bin(step)) {
            let gates = lane.rows_mut(&mut trace.gates, bin, 3 * h);
            let [reset, out] = [&mut trace.reset, &mut states].map(|data| lane.rows_mut(data, bin, h));
            cell.step(gates, &mut state, reset, out);
        }
    }
    (states, trace)
}

/// Gradients of [`gru`] from `d_states`, those by its states; `states` and `trace` are what it returned.
///
/// # Panics
/// If a slice has another length than its shape says.
pub fn gru_backward(
    shape: GruShape,
    inputs: GruInputs<'_>,
    states: &[f32],
    trace: GruTrace,
    d_states: &[f32],
) -> GruGradients {
    check(shape, inputs);
    let GruShape { n_examples, n_bins, d_hidden: h } = shape;
    let GruTrace { mut gates, reset } = trace;
    assert_eq!(3 * states.len(), inputs.drive.len(), "gru_backward: states of {shape:?}");
    assert_eq!(d_states.len(), states.len(), "gru_backward: gradients by the states of {shape:?}");
    assert_eq!(gates.len(), 3 * states.len(), "gru_backward: gates of {shape:?}");
    let (mut starts, mut recurrents) = (Vec::new(), Vec::new());
    for (lane, own) in lanes(shape, inputs.cells) {
        let mut d_state = vec![0.0; n_examples * h];
        if states.is_empty() {
            starts.push(d_state);
            recurrents.push(vec![0.0; 3 * h * h]);
            continue;
        }
        let cell = Cell::new(n_examples, h, own.recurrent, own.clip).back();
        let mut scratch = d_state.clone();
        for step in (0..n_bins).rev() {
            let bin = lane.bin(step);
            let total = RowsMut { data: &mut d_state, stride: h };
            run(AddRows { x: lane.rows(d_states, bin, h), factors: None, total, n: n_examples, width: h });
            let previous = match step.checked_sub(1) {
                None => Rows { data: own.start, stride: h },
                Some(step) => lane.rows(states, lane.bin(step), h),
            };
            cell.step(lane.rows_mut(&mut gates, bin, 3 * h), previous, &mut d_state, &mut scratch);
        }
        let previous = lane.before(own.start, states);
        recurrents.push(cell.weight_gradient(&previous, lane.all(&reset, h), lane.all(&gates, 3 * h)));
        starts.push(d_state);
    }
    GruGradients { drive: gates, starts, recurrents }
}
