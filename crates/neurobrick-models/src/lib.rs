//! Published models of neural population activity, one folder each: config, model, README with citation and
//! parity.
//!
//! | model | paper | reads |
//! |---|---|---|
//! | [`NdtStitch`] | Zhang et al. 2024 (MtM; NDT-1 with stitching) | counts of many sessions, one token per time bin |
//! | [`Ndt1`] | Ye and Pandarinath 2021 | counts, one token per time bin within a band |
//! | [`Ndt2`] | Ye et al. 2023 | counts of many sessions and subjects, one token per bin and patch of units |
//! | [`Poyo`] | Azabou et al. 2023 | single spikes of many sessions; decodes behavior |
//! | [`Neds`] | Zhang et al. 2025 | counts, labels and behaviors of many sessions; predicts each from the others |
//! | [`LinearStitch`] | reduced-rank Poisson regression with stitching | counts, each bin by itself |
//! | [`Lfads`] | Pandarinath et al. 2018 (LFADS) | counts of many sessions, whole windows from both ends |
//! | [`GruStitch`] | recurrent network with stitching | counts, a bin and the ones before it |
//!
//! ```
//! use burn::tensor::Device;
//! use neurobrick_core::{PopulationModel, SessionSpec};
//! use neurobrick_models::{NdtStitch, NdtStitchConfig};
//! use neurobrick_schema::SessionId;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let session = SessionId::new("mouse-1_day-2")?;
//! let spec = SessionSpec { session, n_units: 30, log_mean_rates: None };
//! let model = NdtStitch::new(NdtStitchConfig::small(40), &[spec], 42, &Device::flex())?;
//! assert_eq!(model.sessions().len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Features `tch`, `vulkan`, `wgpu` and `cuda` pass on those of `neurobrick-core`: further devices to compute on.

mod any;
mod config;
mod gru_stitch;
mod lfads;
mod linear_stitch;
mod ndt1;
mod ndt2;
mod ndt_stitch;
mod neds;
mod poyo;
mod precision;
mod rows;
mod stitches;
pub mod torch;

pub use any::AnyModel;
pub use config::ModelConfig;
pub use gru_stitch::{GruStitch, GruStitchConfig};
pub use lfads::{Lfads, LfadsConfig, LfadsStates};
pub use linear_stitch::{LinearStitch, LinearStitchConfig};
pub use ndt_stitch::{NdtStitch, NdtStitchConfig, NdtStreamError};
pub use ndt1::{Ndt1, Ndt1Config, Ndt1Embedding};
pub use ndt2::{Ndt2, Ndt2Config};
pub use neds::{
    Neds, NedsConfig, NedsCounted, NedsInput, NedsLabel, NedsMask, NedsMasking, NedsModalities, NedsOutput,
    NedsPlace, NedsScheme, NedsTargets, NedsWindows,
};
pub use poyo::{Poyo, PoyoConfig, PoyoRows, PoyoWindow};
pub use precision::rounded;
