//! Labels and behavior decoded from counts and latents, every score with its null, interval and naive baseline.

mod behavior;
mod labels;
mod result;

pub(crate) use behavior::{Behavior, decode_behavior};
pub(crate) use labels::decode_labels;
pub use result::{DecodeResult, DecodeRow};

use ndarray::Array3;

/// What is decoded from: a name and values `[trial, bin, P]` of all usable trials.
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) values: Array3<f64>,
}

/// How scores get their nulls and intervals.
#[derive(Clone, Copy)]
pub(crate) struct Judging {
    pub(crate) seed: u64,
    pub(crate) n_blocks: usize,
    pub(crate) n_shuffles: usize,
    pub(crate) n_resamples: usize,
}
