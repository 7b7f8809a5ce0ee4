//! Why behavior cannot be decoded from the spikes of a session.

use neurobrick_data::DataError;
use neurobrick_schema::SessionId;

/// Data that a decoder of behavior cannot be trained or scored on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpikeDecodingError {
    /// The session exists as counts only.
    #[error("session {session} has counts only; a model that reads single spikes needs their times")]
    NeedsSpikeTimes {
        /// The session.
        session: SessionId,
    },
    /// The session has no such signal or column.
    #[error("session {session} has no behavior `{target}`: {source}")]
    NoBehavior {
        /// The session.
        session: SessionId,
        /// Name of the target.
        target: String,
        /// What it has.
        source: Box<DataError>,
    },
    /// Behavior is missing (NaN) in too many windows.
    #[error(
        "session {session}: the behavior has a value in every bin of {n_covered} of {n_windows} {part} windows, and at least {needed} \
         are needed; `{target}` misses most. A signal slower than the bins needs `rule = \"linear\"`"
    )]
    TooFewWindows {
        /// The session.
        session: SessionId,
        /// Which part of the split.
        part: &'static str,
        /// Windows in which every target has a value in every bin.
        n_covered: usize,
        /// Windows of this part.
        n_windows: usize,
        /// How many are needed.
        needed: usize,
        /// The target that is missing in most of them.
        target: String,
    },
    /// The behavior never changes in the training windows, so it has no scale.
    #[error(
        "session {session}: `{target}` (column `{column}` of the signal `{signal}`) is {value} in every training window; there is \
         nothing to decode. Exclude the session or leave the behavior out"
    )]
    Constant {
        /// The session.
        session: SessionId,
        /// Name of the target.
        target: String,
        /// Its signal.
        signal: String,
        /// The column of the signal.
        column: String,
        /// Its value.
        value: f64,
    },
    /// The behavior has no value in any training window.
    #[error(
        "session {session}: `{target}` has no value in any training window; a signal slower than the bins needs `rule = \"linear\"`"
    )]
    NoTraining {
        /// The session.
        session: SessionId,
        /// Name of the target.
        target: String,
    },
    /// No training trial has the label.
    #[error(
        "session {session}: no training trial has the label `{label}` with the classes {classes}; it is read from column `{column}`, \
         which has {found}. Exclude the session or leave the label out"
    )]
    NoLabel {
        /// The session.
        session: SessionId,
        /// Name of the label.
        label: String,
        /// Texts of its classes.
        classes: String,
        /// The column it is read from.
        column: String,
        /// Texts in the column, the first of them.
        found: String,
    },
    /// The model was trained for other targets.
    #[error("the model decodes {known}, not {asked}; list the same names in the same order")]
    OtherTargets {
        /// What it was trained for.
        known: String,
        /// What it is asked for.
        asked: String,
    },
}
