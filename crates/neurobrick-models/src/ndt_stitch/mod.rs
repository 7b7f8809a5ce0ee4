//! NDT-1-stitch, the model of MtM ("universal translator"); see this folder's README for citation and parity.

mod config;
mod model;
mod stream;

pub use config::NdtStitchConfig;
pub use model::NdtStitch;
pub use stream::NdtStreamError;
