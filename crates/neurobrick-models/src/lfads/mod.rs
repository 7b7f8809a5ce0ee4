//! LFADS, latent factor analysis via dynamical systems; see this folder's README for citation and parity.

mod config;
mod encoder;
mod generator;
mod model;
mod stitch;
mod weights;

pub use config::LfadsConfig;
pub use model::{Lfads, LfadsStates};
