//! Objectives, optimizers, schedules, loops and checkpoints.
//!
//! The loop is our own: masked objectives, clipping by the global norm, momentum cycling and exact resume have no
//! place in `burn-train`. Order, masks and dropout of a step are functions of (seed, step); a run that is killed
//! and resumed ends with the bits of one that was never stopped, on any number of threads. The crate names no
//! model: masked pretraining ([`MaskedSpikes`]) is generic over `PopulationModel`, the loop over what it learns
//! ([`TrainTask`]).
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
//! Features `tch`, `vulkan`, `wgpu` and `cuda` pass on those of `neurobrick-core`: further devices to compute on.

mod adamw;
mod checkpoint;
mod config;
mod error;
mod gradients;
mod masked;
mod model_dir;
mod predict;
mod schedule;
mod shards;
mod task;
mod train_task;
mod trainer;
mod validation;
mod workers;

pub use adamw::{AdamW, AdamWState};
pub use checkpoint::{Checkpoint, LatestCheckpoint, latest_checkpoint};
pub use config::{AdamWConfig, LoopConfig, TrainConfig, Trainable};
pub use error::TrainError;
pub use gradients::Gradients;
pub use masked::{MaskedSpikes, TrainSession};
pub use model_dir::{ParityExample, load_any_model_dir, load_model_dir, save_any_model_dir, save_model_dir};
pub use predict::{Predictions, latents, predict};
pub use schedule::{OneCycle, PenaltyFactors, PenaltyRamps, Ramp, Rates};
pub use shards::{
    BatchLoss, Objective, ShardResult, loss_and_gradients, loss_targets, objective_and_gradients,
    sharded_gradients,
};
pub use task::{EvalTask, Region, TaskPlan, TaskQuery};
pub use train_task::{TaskStep, TrainTask};
pub use trainer::{StepReport, TrainEvent, TrainOutcome, Trainer};
pub use validation::{BehaviorR2, LabelAccuracy, SchemeScore, ValidationReport, to_array, validate};
pub use workers::{device_of, run_jobs, threads_on};
