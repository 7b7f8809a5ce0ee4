//! Labels and behavior decoded from counts and latents, every score with its null, interval and naive baseline.

mod behavior;
mod encoding;
mod folder;
mod labels;
pub(crate) mod neds;
mod network;
mod result;
pub(crate) mod spikes;
mod standardized;
mod target;

pub(crate) use behavior::{Behavior, Predicted, decode_behavior, judge_prediction, rows};
pub(crate) use encoding::{Encoded, judge_encoding};
pub use encoding::{EncodingEvaluation, EncodingScores};
pub(crate) use folder::BehaviorKind;
pub(crate) use labels::{PredictedClasses, SHRINKAGES, decode_labels, judge_classes};
pub use neds::{NedsSpec, load_neds_model};
pub use network::{NetworkConfig, NetworkDecoder, NetworkKind, NetworkRows, NetworkTargets};
pub use result::{DecodeResult, DecodeRow};
pub use spikes::{DecoderSpec, SpikeDecodingError, load_decoder_model};
pub use standardized::{BehaviorScale, SessionScales};
pub use target::BehaviorTarget;

use ndarray::{Array2, Array3, Axis};

/// What is decoded from: a name and values `[trial, bin, P]` of all usable trials.
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) values: Array3<f64>,
    /// What linear decoders of labels see of a whole window, `[trial, P]`.
    pub(crate) of_window: Array2<f64>,
}

impl Feature {
    /// Square roots of counts `[trial, bin, unit]`: of each bin, and of a window's sum.
    pub(crate) fn raw_counts(counts: &Array3<f64>) -> Self {
        let of_window = counts.sum_axis(Axis(1)).mapv(f64::sqrt);
        Self { name: "raw_counts".to_owned(), values: counts.mapv(f64::sqrt), of_window }
    }

    /// Latents, and their means over a window.
    pub(crate) fn latents(name: &str, values: Array3<f64>) -> Self {
        let of_window = values.sum_axis(Axis(1)) / values.len_of(Axis(1)).max(1) as f64;
        Self { name: name.to_owned(), values, of_window }
    }
}

/// How scores get their nulls and intervals.
#[derive(Clone)]
pub(crate) struct Judging {
    pub(crate) seed: u64,
    pub(crate) n_blocks: usize,
    pub(crate) n_shuffles: usize,
    pub(crate) n_resamples: usize,
    /// Networks that are asked for.
    pub(crate) networks: Option<NetworkConfig>,
}
