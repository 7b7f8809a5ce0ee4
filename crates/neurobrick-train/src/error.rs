//! What can go wrong while training.

use std::path::PathBuf;

use neurobrick_core::ModelError;
use neurobrick_schema::SchemaError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The model refused its input or weights.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file could not be written, read or verified.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A configuration value is out of range.
    #[error("`{field}` must be {expected}; received {received}")]
    BadConfig {
        /// Name of the field.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// What was received.
        received: String,
    },
    /// The loss is no longer a number.
    #[error("the loss became {loss} at step {step} (session {session}, scheme {scheme}); lower `max_lr`")]
    Diverged {
        /// The step.
        step: u64,
        /// Session of the batch.
        session: String,
        /// Mask scheme of the batch.
        scheme: &'static str,
        /// The loss.
        loss: f64,
    },
    /// A checkpoint belongs to another run.
    #[error("checkpoint {} was written by a run with other settings ({what}); resume with the same configuration or start a new run folder", path.display())]
    ForeignCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A file of a checkpoint or model folder cannot be understood.
    #[error("{} cannot be read: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A worker thread could not be started or stopped early.
    #[error("a worker thread failed: {reason}")]
    Worker {
        /// Why.
        reason: String,
    },
    /// An evaluation has nothing to score.
    #[error("session {session}: {task} has nothing to score: {reason}")]
    NothingToScore {
        /// The session.
        session: String,
        /// The task.
        task: String,
        /// Why.
        reason: String,
    },
}
