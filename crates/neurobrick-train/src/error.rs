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
    /// A session has no trial in a part that training needs.
    #[error("session {session} has no {part} trial; check its split")]
    NoTrials {
        /// The session.
        session: String,
        /// Which part.
        part: &'static str,
    },
    /// There is nothing to train on.
    #[error("no session to train on; name at least one")]
    NoSessions,
    /// The validation trials hold no spike under any scheme.
    #[error("no spike in any counted entry of the validation trials; early stopping has nothing to look at")]
    NothingToValidate,
    /// A model without parameters lives on no device.
    #[error("the model has no parameters, so its device is unknown")]
    NoDevice,
    /// Checkpoints are there, and none is valid.
    #[error("no checkpoint in {} is valid, although there are some ({reason}); delete the folder to start anew", path.display())]
    DamagedCheckpoints {
        /// The folder.
        path: PathBuf,
        /// Why the newest is not.
        reason: String,
    },
    /// A file or folder could not be written or removed.
    #[error("cannot {action} {}: {source}", path.display())]
    Write {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
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
    /// The loss is a number, its gradients are none.
    #[error(
        "the norm of the gradients became {norm} at step {step} (session {session}, scheme {scheme}); lower `max_lr`"
    )]
    DivergedGradients {
        /// The step.
        step: u64,
        /// Session of the batch.
        session: String,
        /// Mask scheme of the batch.
        scheme: &'static str,
        /// The norm.
        norm: f64,
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
