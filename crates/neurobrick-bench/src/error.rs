//! What can go wrong while measuring.

use std::path::PathBuf;

use neurobrick_core::ModelError;
use neurobrick_schema::SchemaError;
use neurobrick_train::TrainError;

/// Why a measurement cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A line of the protocol cannot be read.
    #[error("cannot read the line `{line}`: {reason}")]
    Line {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A request came before the side had been opened.
    #[error("the first request must be `open`, received `{received}`")]
    NotOpen {
        /// What was asked.
        received: String,
    },
    /// A case without sessions.
    #[error("a case needs at least one session, received 0")]
    NoSession,
    /// A case cannot be built from its configuration.
    #[error("{name}: {reason}")]
    Config {
        /// The configuration or case.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A material file lacks something.
    #[error("material file {}: {reason}", path.display())]
    Material {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or pipe could not be read or written.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Threads could not be started.
    #[error("cannot start {n_threads} threads: {reason}")]
    Threads {
        /// How many.
        n_threads: usize,
        /// Why not.
        reason: String,
    },
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A training step.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A file.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}
