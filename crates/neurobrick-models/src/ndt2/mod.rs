//! NDT-2, the Neural Data Transformer over time and units; see this folder's README for citation and parity.

mod config;
mod model;
mod tokens;

pub use config::Ndt2Config;
pub use model::Ndt2;
