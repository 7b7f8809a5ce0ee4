//! POYO, decoding from single spikes; see this folder's README for citation and parity.

mod config;
mod model;
mod weights;
mod window;

pub use config::PoyoConfig;
pub use model::Poyo;
pub use weights::PoyoRows;
pub use window::PoyoWindow;
