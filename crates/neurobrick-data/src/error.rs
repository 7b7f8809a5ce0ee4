//! What can go wrong between a store and a training example.

use neurobrick_schema::{SchemaError, SessionId};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The store could not be read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The window does not hold a whole number of bins.
    #[error(
        "a window of {length_s} s does not divide into bins of {bin_size_s} s; choose a multiple of the bin size"
    )]
    UnevenWindow {
        /// Length of the window, in seconds.
        length_s: f64,
        /// Size of a bin, in seconds.
        bin_size_s: f64,
    },
    /// The recording exists only as counts, on another grid than the one asked for.
    #[error(
        "session {session}: counts come in bins of {recorded_s} s over {recorded_bins} bins from trial start, which cannot give {asked}"
    )]
    IncompatibleGrid {
        /// The session.
        session: SessionId,
        /// Recorded bin size, in seconds.
        recorded_s: f64,
        /// Recorded bins per trial.
        recorded_bins: usize,
        /// What was asked for.
        asked: String,
    },
    /// The trial column to align to is missing or holds no numbers.
    #[error("session {session}: no numeric trial column `{column}` to align to; this session has: {known}")]
    UnknownAlignment {
        /// The session.
        session: SessionId,
        /// The column asked for.
        column: String,
        /// The columns there are.
        known: String,
    },
    /// Nothing is left to learn from.
    #[error(
        "session {session}: {n_trials} usable trials cannot be split into train, valid and test parts of {fractions}; at least one trial each is needed"
    )]
    TooFewTrials {
        /// The session.
        session: SessionId,
        /// Number of usable trials.
        n_trials: usize,
        /// The fractions asked for.
        fractions: String,
    },
    /// A fraction lies outside `(0, 1)` or they sum to more than one.
    #[error(
        "split fractions must be positive and sum to 1; received train {train}, valid {valid}, test {test}"
    )]
    BadFractions {
        /// Fraction of training trials.
        train: f64,
        /// Fraction of validation trials.
        valid: f64,
        /// Fraction of test trials.
        test: f64,
    },
    /// One trial cannot both train and validate.
    #[error("max_calibration must be at least 2; received {received}")]
    TooFewCalibration {
        /// Trials allowed.
        received: usize,
    },
    /// More spikes of one unit in one bin than a count can hold.
    #[error("session {session}: unit {unit} has more than {max} spikes in one bin of trial {trial}; the spike times look damaged", max = u16::MAX)]
    CountOverflow {
        /// The session.
        session: SessionId,
        /// Index of the unit.
        unit: usize,
        /// Index of the trial.
        trial: usize,
    },
}
