//! Scores into weights.

use neurobrick_kernels::exp;

/// Scores handled at a time.
const LANES: usize = 16;

/// Replaces `scores` by their softmax. Maximum and sum run over lanes, which the compiler may not choose by itself.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [f32]) {
    let mut maxima = [f32::NEG_INFINITY; LANES];
    for chunk in scores.chunks(LANES) {
        for (max, score) in maxima.iter_mut().zip(chunk) {
            *max = if *score > *max { *score } else { *max };
        }
    }
    let max = maxima.iter().fold(f32::NEG_INFINITY, |max, lane| max.max(*lane));
    let mut sums = [0.0; LANES];
    for chunk in scores.chunks_mut(LANES) {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exp(*score - max);
            *sum += *score;
        }
    }
    let scale = 1.0 / sums.iter().sum::<f32>();
    for score in scores {
        *score *= scale;
    }
}
