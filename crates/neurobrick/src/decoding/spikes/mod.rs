//! Behavior decoded from single spikes by a model that learns on many sessions (POYO, Azabou et al. 2023).

mod error;
mod record;
mod session;
mod task;
mod windows;

pub use error::SpikeDecodingError;
pub use record::{BehaviorScale, DecoderSpec, SessionScales, load_decoder_model};
pub(crate) use record::{is_decoder_dir, save_decoder_model};
pub(crate) use session::DecoderSession;
pub(crate) use task::{BehaviorTask, predict};
pub(crate) use windows::SpikeWindows;
