//! Predictions become claims: scores beside baselines, nulls and intervals, for models of any make.
//!
//! - [`evaluation`]: models and baselines on the test trials of a session, pools, paired differences, comparisons of runs,
//!   and the report of them; stacks of closed forms that other sessions taught.
//! - [`decoding`]: labels and behavior from counts, latents and models that answer them.
//! - [`protocols`]: numbers as published benchmarks define them.
//! - [`scaling`]: laws through scores on a ladder of sizes. [`auditing`]: rows for tests of leaks and shortcuts.
//! - [`DataConfig`] and [`load_sessions`]: windows and splits out of a store; [`RunManifest`]: the record behind every number.
//!
//! Configuration structs stand beside the code that interprets them. No model is named here, and none has to be a Burn module:
//!
//! ```
//! use ndarray::Array3;
//! use neurobrick_data::{SplitConfig, TrialSplit};
//! use neurobrick_evaluate::evaluation::{ModelPredictions, ScoringConfig, evaluate_session};
//! use neurobrick_train::{EvalTask, TrainSession};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let data = neurobrick_testkit::synthetic_data(1, 60, 20, 6, 2);
//! let split = TrialSplit::of(&data, &SplitConfig::default(), 1)?;
//! let session = TrainSession::new(data.into(), split)?;
//! // Whatever answers a question with rates `[trial, bin, unit]` is a model; this one always answers the same.
//! let predict = |plan: &neurobrick_train::TaskPlan, trials: &[usize]| {
//!     Ok(Array3::from_elem((trials.len(), plan.n_bins - plan.first_bin, plan.units.len()), 0.2))
//! };
//! let mut own = [ModelPredictions { name: "own".into(), is_pretrained: false, predict: Box::new(predict) }];
//! let scoring = ScoringConfig { tasks: vec![EvalTask::CoSmoothingGroup], n_resamples: 100, ..Default::default() };
//! let scored = evaluate_session(&session, &mut own, &[], &scoring, 1, |_| {})?;
//! assert!(scored.tasks[0].predictors.iter().any(|predictor| predictor.name == "own+linear"));
//! # Ok(())
//! # }
//! ```
//!
//! The crate has no features; devices beside the processor are features of `neurobrick-core`.

pub mod auditing;
mod compute;
pub mod decoding;
mod error;
pub mod evaluation;
mod inline;
mod json;
mod metrics_record;
pub mod protocols;
mod run_manifest;
pub mod scaling;
mod sessions;

pub use compute::Compute;
pub use error::EvaluateError;
pub use inline::in_line;
pub use json::{read_json, write_json};
pub use metrics_record::MetricsRecord;
pub use run_manifest::{CodeVersion, RunManifest, SessionHash, peak_memory_bytes};
pub use sessions::{DataConfig, LoadedSession, load_sessions, read_recording};
