//! NDT-1, the first Neural Data Transformer; see this folder's README for citation and parity.

mod config;
mod model;

pub use config::{Ndt1Config, Ndt1Embedding};
pub use model::Ndt1;
