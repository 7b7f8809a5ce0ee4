//! Why an evaluation cannot be made.

use std::path::{Path, PathBuf};

use neurobrick_data::DataError;
use neurobrick_metrics::MetricError;
use neurobrick_schema::{SchemaError, SessionId};
use neurobrick_train::TrainError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// A value of a configuration does not make sense.
    #[error("`{field}`: {message}")]
    BadValue {
        /// The field.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A session is not in the store.
    #[error("session {session} is not in the store {}; it has: {known}", store.display())]
    SessionNotInStore {
        /// The session.
        session: SessionId,
        /// The store.
        store: PathBuf,
        /// What the store has.
        known: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {message}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A store or recording.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Windows and splits.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What is asked of a session, and what models of the seam answer.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Scores.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// What a predictor of one's own answered with instead of rates.
    #[error(transparent)]
    Predictor(Box<dyn std::error::Error + Send + Sync>),
}

impl EvaluateError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
