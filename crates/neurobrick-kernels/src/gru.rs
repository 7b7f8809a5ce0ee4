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

/// States `[B, T, H]` after every bin, and the gates `[B, T, 3 H]`, which the backward pass needs.
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
    let GruShape { n_examples, n_bins, d_hidden: h } = shape;
    assert_eq!(inputs.drive.len(), n_examples * n_bins * 3 * h, "gru: drive of {shape:?}");
    assert_eq!(inputs.start.len(), n_examples * h, "gru: start of {shape:?}");
    let cell = Cell::new(n_examples, h, inputs.recurrent, inputs.clip);
    let mut states = vec![0.0; n_examples * n_bins * h];
    let mut gates = inputs.drive.to_vec();
    let mut state = inputs.start.to_vec();
    let mut scratch = vec![0.0; state.len()];
    if states.is_empty() {
        return (states, gates);
    }
    for step in 0..n_bins {
        let bin = bin_of(step, n_bins, inputs.reverse);
        let gates = RowsMut { data: &mut gates[bin * 3 * h..], stride: n_bins * 3 * h };
        let out = RowsMut { data: &mut states[bin * h..], stride: n_bins * h };
        cell.step(gates, &mut state, &mut scratch, out);
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
    let GruShape { n_examples, n_bins, d_hidden: h } = shape;
    assert_eq!(states.len(), n_examples * n_bins * h, "gru_backward: states of {shape:?}");
    assert_eq!(d_states.len(), states.len(), "gru_backward: gradients by the states of {shape:?}");
    assert_eq!(gates.len(), 3 * states.len(), "gru_backward: gates of {shape:?}");
    let cell = Cell::new(n_examples, h, inputs.recurrent, inputs.clip);
    let mut drive = vec![0.0; gates.len()];
    let mut d_state = vec![0.0; n_examples * h];
    let mut scratch = d_state.clone();
    if states.is_empty() {
        return GruGradients { drive, start: d_state, recurrent: vec![0.0; 3 * h * h] };
    }
    let (wide, narrow) = (n_bins * 3 * h, n_bins * h);
    for step in (0..n_bins).rev() {
        let bin = bin_of(step, n_bins, inputs.reverse);
        let x = Rows { data: &d_states[bin * h..], stride: narrow };
        let total = RowsMut { data: &mut d_state, stride: h };
        run(AddRows { x, factors: None, total, n: n_examples, width: h });
        let gates = Rows { data: &gates[bin * 3 * h..], stride: wide };
        let previous = match step.checked_sub(1) {
            None => Rows { data: inputs.start, stride: h },
            Some(step) => {
                Rows { data: &states[bin_of(step, n_bins, inputs.reverse) * h..], stride: narrow }
            }
        };
        let d_gates = RowsMut { data: &mut drive[bin * 3 * h..], stride: wide };
        cell.step_back(gates, previous, &mut d_state, d_gates, &mut scratch);
    }
    let mut previous = previous_states(inputs.start, states, n_bins, h, inputs.reverse);
    let [gates, d_gates] = [gates, &drive[..]].map(|data| Rows { data, stride: 3 * h });
    let recurrent = cell.weight_gradient(&mut previous, gates, d_gates);
    GruGradients { drive, start: d_state, recurrent }
}

fn bin_of(step: usize, n_bins: usize, reverse: bool) -> usize {
    if reverse { n_bins - 1 - step } else { step }
}

/// The state before every bin, `[B, T, H]`, from the states after them.
fn previous_states(start: &[f32], states: &[f32], n_bins: usize, h: usize, reverse: bool) -> Vec<f32> {
    let mut previous = Vec::with_capacity(states.len());
    for (start, states) in start.chunks_exact(h).zip(states.chunks_exact(n_bins * h)) {
        if reverse {
            previous.extend_from_slice(&states[h..]);
            previous.extend_from_slice(start);
        } else {
            previous.extend_from_slice(start);
            previous.extend_from_slice(&states[..(n_bins - 1) * h]);
        }
    }
    previous
}
