//! neurobrick: LEGO-like crates for foundation models of neural data, behind one door.
//!
//! | room | crate | re-exported as |
//! |---|---|---|
//! | what a recording is, and its store | `neurobrick-schema` | [`schema`] |
//! | foreign files | `neurobrick-ingest` | [`ingest`] |
//! | windows, splits, batches | `neurobrick-data` | [`data`] |
//! | the seams | `neurobrick-core` | [`core`] |
//! | tokenizers | `neurobrick-tokenize` | [`tokenize`] |
//! | bricks | `neurobrick-nn` | [`nn`] |
//! | models | `neurobrick-models` | [`models`] |
//! | scores and baselines | `neurobrick-metrics` | [`metrics`] |
//! | training | `neurobrick-train` | [`train`] |
//! | predictions become claims | `neurobrick-evaluate` | [`evaluate`] |
//! | pages | `neurobrick-report` | [`report`] |
//! | bin by bin, for closed loops | `neurobrick-stream` | [`stream`] |
//! | random streams | `neurobrick-random` | [`random`] |
//!
//! [`pipeline`] holds the end-to-end runs that `cargo xtask` offers as verbs; [`config`] their configuration files.
//! [`protocols`] reads and writes the files of published benchmarks and gives numbers as they define them.
//!
//! ```
//! use neurobrick::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let session = SessionId::new("mouse-1_day-2")?;
//! let spec = SessionSpec::with_mean_rates(session, &[0.1, 0.4, 0.02], 4000);
//! let model = NdtStitch::new(NdtStitchConfig::small(40), &[spec], 42, &Device::flex())?;
//! assert_eq!(model.sessions()[0].n_units, 3);
//! # Ok(())
//! # }
//! ```
//!
//! Features `tch`, `vulkan`, `wgpu` and `cuda` compile further backends to choose as a [`Compute`]'s device.

pub mod config;
pub mod decoding;
mod error;
pub mod pipeline;
pub mod prelude;
pub mod protocols;
#[cfg(doctest)]
mod readme;
mod run_folder;

pub use error::PipelineError;
pub use run_folder::RunFolder;

pub use neurobrick_evaluate::{
    CodeVersion, Compute, LoadedSession, MetricsRecord, RunManifest, SessionHash, load_sessions,
    peak_memory_bytes,
};
pub use neurobrick_evaluate::{auditing, evaluation, scaling};

pub use neurobrick_core as core;
pub use neurobrick_data as data;
pub use neurobrick_evaluate as evaluate;
pub use neurobrick_ingest as ingest;
pub use neurobrick_metrics as metrics;
pub use neurobrick_models as models;
pub use neurobrick_nn as nn;
pub use neurobrick_random as random;
pub use neurobrick_report as report;
pub use neurobrick_schema as schema;
pub use neurobrick_stream as stream;
pub use neurobrick_tokenize as tokenize;
pub use neurobrick_train as train;
