//! Decoders of behavior that learn on many sessions, beside what judges all decoders.

mod folder;
pub(crate) mod neds;
pub(crate) mod spikes;
mod standardized;

pub(crate) use folder::BehaviorKind;
pub use neds::{NedsSpec, load_neds_model};
pub use spikes::{DecoderSpec, SpikeDecodingError, load_decoder_model};
pub use standardized::{BehaviorScale, SessionScales};

pub use neurobrick_evaluate::decoding::{
    BehaviorTarget, DecodeResult, DecodeRow, EncodingEvaluation, EncodingScores, NetworkConfig,
    NetworkDecoder, NetworkKind, NetworkRows, NetworkTargets,
};
