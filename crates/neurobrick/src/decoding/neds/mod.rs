//! Spikes and behavior predicted from each other by a model that learns on many sessions (NEDS, Zhang et al. 2025).

mod predict;
mod record;
mod session;
mod task;

pub(crate) use predict::{NedsDecoded, decode, encode};
pub(crate) use record::save_neds_model;
pub use record::{NedsSpec, load_neds_model};
pub(crate) use session::{NedsSession, check_classes};
pub(crate) use task::NedsTask;
