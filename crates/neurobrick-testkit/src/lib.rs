//! Golden numbers, synthetic populations and contract tests for models and tokenizers.
//!
//! - [`model_contract!`] tests a [`PopulationModel`](neurobrick_core::PopulationModel) of one's own against what
//!   training and evaluation rely on: no leaks, independence of the other trials of a batch, exact saving,
//!   sessions by id. [`tokenizer_contract!`] tests a [`Tokenizer`](neurobrick_core::Tokenizer).
//! - [`synthetic_session`] draws a recording with low-dimensional dynamics, [`synthetic_data`] its windows;
//!   [`lorenz_population`] has chaotic dynamics and tells the true rates; a [`SharedBrain`] is recorded in many sessions
//!   that share latents, region by region, and tells the truth behind each.
//! - [`strategies`] are inputs for property tests.
//! - [`golden`] reads reference numbers, [`MtmGolden`] those of the MtM model; a [`Parity`] keeps how far a model is from
//!   them.
//!
//! ```
//! use neurobrick_testkit::synthetic_data;
//!
//! let data = synthetic_data(42, 20, 50, 12, 4);
//! assert_eq!(data.counts().dim(), (20, 50, 12)); // [trial, bin, unit]
//! assert_eq!(data.regions().names().len(), 3);
//! ```
//!
//! This crate is for tests: its functions panic where others return errors, and say so. Its features are
//! those of `neurobrick-core`, for [`test_device`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

pub mod contract;
mod device;
mod golden;
mod mtm_golden;
mod parity;
pub mod strategies;
mod synthetic;
pub mod tokenizer_contract;

pub use device::{DEVICE_VARIABLE, test_compute_device, test_device, test_device_f64};
pub use golden::{Golden, GoldenArray, burn_layout, golden, golden_json, golden_path, part, state_dict};
pub use mtm_golden::{MtmBatch, MtmCase, MtmGolden, MtmRecords, MtmSizes};
pub use parity::{Parity, largest_difference, largest_difference_of, relative_difference};
pub use synthetic::{
    LorenzPopulation, SharedBrain, SharedSession, lorenz_population, lorenz_step, synthetic_data,
    synthetic_session,
};
