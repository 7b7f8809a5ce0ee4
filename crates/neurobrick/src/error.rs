//! What can go wrong in a run, and the exit code it deserves.

use std::path::{Path, PathBuf};

use neurobrick_core::{DeviceError, ModelError};
use neurobrick_data::DataError;
use neurobrick_evaluate::EvaluateError;
use neurobrick_ingest::IngestError;
use neurobrick_metrics::MetricError;
use neurobrick_models::NdtStreamError;
use neurobrick_report::ReportError;
use neurobrick_schema::SchemaError;
use neurobrick_stream::StreamError;
use neurobrick_train::TrainError;

use crate::decoding::SpikeDecodingError;

/// An error of a pipeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A configuration file cannot be understood.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where there is one.
        message: String,
    },
    /// A value of a configuration does not make sense.
    #[error("`{field}`: {message}")]
    BadValue {
        /// The field.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The device asked for cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Another process works in the run folder.
    #[error("run folder {} is in use by another process; wait for it or choose another folder", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The run folder holds another run.
    #[error("{} already holds a run {difference}; choose another folder, or delete this one", path.display())]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// What differs.
        difference: String,
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
    /// A file of a run is not what it should be.
    #[error("{}: {message}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Some recordings were refused.
    #[error("refused recordings: {n_refused}\n{details}")]
    Refused {
        /// How many.
        n_refused: usize,
        /// One line each.
        details: String,
    },
    /// A store or recording.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A foreign file.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Windows and splits.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Sessions, scores and claims.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Scores.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// Behavior that cannot be decoded from single spikes.
    #[error(transparent)]
    SpikeDecoding(#[from] SpikeDecodingError),
    /// A stream of bins.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The page.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl From<NdtStreamError> for PipelineError {
    fn from(error: NdtStreamError) -> Self {
        match error {
            NdtStreamError::Model(error) => Self::Model(error),
            NdtStreamError::Stream(error) => Self::Stream(error),
            // Errors of later versions must not be lost.
            other => Self::BadValue { field: "model".to_owned(), message: other.to_string() },
        }
    }
}

impl PipelineError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Exit code of a process that ends with this error: 2 for usage and configuration, 73 if something cannot be
    /// written, 75 if another process is in the way, 65 for bad data.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config { .. }
            | Self::BadValue { .. }
            | Self::OtherRun { .. }
            | Self::Device(_)
            | Self::SpikeDecoding(SpikeDecodingError::OtherTargets { .. })
            | Self::Model(ModelError::BadConfig { .. }) => 2,
            Self::Locked { .. } => 75,
            Self::Ingest(IngestError::StoreNotWritten { .. }) | Self::Report(ReportError::Write { .. }) => 73,
            Self::Io { action, .. } => of_file(action),
            Self::Schema(error) | Self::Ingest(IngestError::Store(error)) => of_store(error),
            Self::Data(error) => of_data(error),
            Self::Train(error) => of_training(error),
            Self::Evaluate(error) => of_evaluation(error),
            _ => 65,
        }
    }
}

fn of_evaluation(error: &EvaluateError) -> u8 {
    match error {
        EvaluateError::BadValue { .. } => 2,
        EvaluateError::Io { action, .. } => of_file(action),
        EvaluateError::Schema(error) => of_store(error),
        EvaluateError::Data(error) => of_data(error),
        EvaluateError::Train(error) => of_training(error),
        _ => 65,
    }
}

fn of_training(error: &TrainError) -> u8 {
    match error {
        TrainError::BadConfig { .. }
        | TrainError::ForeignCheckpoint { .. }
        | TrainError::Model(ModelError::BadConfig { .. }) => 2,
        TrainError::Write { .. } => 73,
        TrainError::Schema(error) => of_store(error),
        _ => 65,
    }
}

fn of_data(error: &DataError) -> u8 {
    match error {
        DataError::UnevenWindow { .. } | DataError::BadFractions { .. } => 2,
        _ => 65,
    }
}

fn of_store(error: &SchemaError) -> u8 {
    match error {
        SchemaError::StoreInUse { .. } => 75,
        SchemaError::Io { action, .. } => of_file(action),
        _ => 65,
    }
}

/// What was tried with a file says whether it should have been written.
fn of_file(action: &str) -> u8 {
    if ["read", "list", "open"].contains(&action) { 65 } else { 73 }
}
