//! NEDS, spikes and behavior predicted from each other; see this folder's README for citation and parity.

mod config;
mod input;
mod loss;
mod masking;
mod model;
mod weights;

pub use config::{NedsConfig, NedsLabel, NedsModalities};
pub use input::{NedsInput, NedsWindows};
pub use loss::{NedsCounted, NedsTargets};
pub use masking::{NedsMask, NedsMasking, NedsScheme};
pub use model::{Neds, NedsOutput};
pub use weights::NedsPlace;
