//! Objectives, optimizers, schedules, loops and checkpoints for masked pretraining.
//!
//! The loop is our own: masked objectives, clipping by the global norm, momentum cycling and exact resume have no
//! place in `burn-train`. Order, masks and dropout of a step are functions of (seed, step); a run that is killed
//! and resumed ends with the bits of one that was never stopped, on any number of threads. The crate names no
//! model: everything is generic over `PopulationModel`.
//!
//! ```
//! use neurobrick_train::OneCycle;
//!
//! // The schedule of MtM: 15 % warm-up from a tenth of the peak, beta1 cycling 0.95 -> 0.85 -> 0.95.
//! let schedule = OneCycle { max_lr: 1e-3, pct_start: 0.15, ..OneCycle::default() };
//! let start = schedule.at(0, 1000);
//! assert!((start.lr - 1e-4).abs() < 1e-12 && (start.beta1 - 0.95).abs() < 1e-12);
//! ```
//!
//! The crate has no features.

mod adamw;
mod checkpoint;
mod config;
mod error;
mod gradients;
mod predict;
mod schedule;
mod shards;
mod task;
mod trainer;
mod validation;
mod workers;

pub use adamw::{AdamW, AdamWState};
pub use checkpoint::{Checkpoint, latest_checkpoint, load_model_dir, save_model_dir};
pub use config::{AdamWConfig, TrainConfig, Trainable};
pub use error::TrainError;
pub use gradients::Gradients;
pub use predict::{Predictions, latents, predict};
pub use schedule::{OneCycle, PenaltyFactors, PenaltyRamps, Ramp, Rates};
pub use shards::{BatchLoss, Objective, loss_and_gradients, loss_targets, objective_and_gradients};
pub use task::{EvalTask, Region, TaskPlan, TaskQuery};
pub use trainer::{StepReport, TrainEvent, TrainOutcome, TrainSession, Trainer};
pub use validation::{SchemeScore, ValidationReport, validate};
pub use workers::run_jobs;
