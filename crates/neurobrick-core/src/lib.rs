//! The seams between data, models and training: what a model of one's own must know.
//!
//! A [`PopulationModel`] maps counts `[B, T, N]` with hidden entries zeroed to log rates and latents. What is
//! hidden and what is scored comes from a [`MaskScheme`] as a [`Masking`]. Sessions are addressed by their id,
//! never by position or number of units; [`sessions`] keeps a model's table of them. A [`Tokenizer`] cuts windows into [`Tokens`] that know their units and times.
//! [`weights`] saves and strictly loads any model by parameter name.
//!
//! ```
//! use neurobrick_core::MaskScheme;
//! use neurobrick_data::RegionTable;
//!
//! let regions = RegionTable::new(&["CA1", "CA1", "VISp"]);
//! let scheme = MaskScheme::Neuron { ratio: 0.3 };
//! let masking = scheme.draw(2, 40, &regions, 42, [0, 0]);
//! // Co-smoothing hides whole units: every bin of a unit shares its fate.
//! let unit = masking.hidden().slice(ndarray::s![0, .., 2]).to_vec();
//! assert!(unit.iter().all(|&h| h == unit[0]));
//! ```
//!
//! Axes: `B` batch, `T` time bins, `N` units, `L` latents, always in this order. Masks: `true` = hidden, or
//! counted in the loss.
//!
//! Features `tch`, `vulkan`, `wgpu` and `cuda` compile further backends of [`ComputeDevice`].

mod alignment;
mod compute;
mod error;
mod kind;
mod masking;
mod mode;
mod model;
mod path;
pub mod sessions;
mod tokens;
pub mod weights;

pub use alignment::Alignment;
pub use compute::{ComputeDevice, DeviceError};
pub use error::ModelError;
pub use kind::KindTable;
pub use masking::{Context, MaskScheme, Masking, Prompt};
pub use mode::{DropoutStreams, Mode};
pub use model::{ModelInput, Output, Penalty, PopulationModel, SessionSpec};
pub use path::ModulePath;
pub use tokens::{TokenPlace, TokenPlaces, TokenizeError, Tokenizer, Tokens};
