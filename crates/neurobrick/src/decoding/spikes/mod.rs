//! Behavior decoded from single spikes by a model that learns on many sessions (POYO, Azabou et al. 2023).

mod error;
mod record;
mod session;
mod task;
mod windows;

pub use error::SpikeDecodingError;
pub(crate) use record::save_decoder_model;
pub use record::{DecoderSpec, load_decoder_model};
pub(crate) use session::DecoderSession;
pub(crate) use task::{BehaviorTask, predict};
pub(crate) use windows::SpikeWindows;
