//! Scores into weights.

use crate::exp_erf::exp;
use crate::lanes::{LANES, sum};

/// Replaces scores by their softmax; a score of −∞ becomes zero, and NaN if all are −∞, as in PyTorch.
///
/// Inlined, so that it runs in the instructions of the kernel that calls it.
///
/// ```
/// let mut scores = [0.0, f32::NEG_INFINITY, 0.0];
/// neurobrick_kernels::softmax(&mut scores);
/// assert_eq!(scores, [0.5, 0.0, 0.5]);
/// ```
#[inline(always)]
pub fn softmax(scores: &mut [f32]) {
    let shift = largest(scores);
    for x in scores.iter_mut() {
        *x = exp(*x - shift);
    }
    let factor = sum(scores, |x| x).recip();
    for x in scores {
        *x *= factor;
    }
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = if x > *lane { x } else { *lane };
    }
    lanes.iter().fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most })
}
