//! What can go wrong with a stream.

/// Why a stream could not be built or could not answer. A refused call leaves the stream as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Sizes that no model has.
    #[error("`{field}` must be {wanted}, received {received}")]
    BadSize {
        /// The size.
        field: &'static str,
        /// What it must be.
        wanted: String,
        /// What was given.
        received: usize,
    },
    /// Parameters that the source of weights does not have.
    #[error("the weights lack: {missing}")]
    MissingWeights {
        /// Their names, separated by commas.
        missing: String,
    },
    /// A parameter of another shape.
    #[error("`{name}` must have shape {expected:?}, received {received:?} with {n_values} values")]
    Misshapen {
        /// The parameter.
        name: String,
        /// Shape the sizes ask for; of a table of sessions, the fewest rows.
        expected: Vec<usize>,
        /// Shape that was given.
        received: Vec<usize>,
        /// Number of values that were given.
        n_values: usize,
    },
    /// A parameter with a value that is no number.
    #[error("`{name}` holds {value} at position {position}")]
    BadWeight {
        /// The parameter.
        name: String,
        /// Position in row-major order.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A bin with another number of units.
    #[error("a bin of this session has {expected} counts, received {received}")]
    WrongLength {
        /// Units of the session.
        expected: usize,
        /// Counts given.
        received: usize,
    },
    /// A count below zero or not finite.
    #[error("counts must be finite and not negative, received {value} for unit {unit}")]
    BadCount {
        /// Position of the unit.
        unit: usize,
        /// The count.
        value: f32,
    },
    /// The window is over: the model has no position for a further bin.
    #[error("the window of {n_bins} bins is full; call `begin_window()` before the next bin")]
    WindowFull {
        /// Bins of a window.
        n_bins: usize,
    },
    /// A forecast past the end of the window.
    #[error(
        "cannot forecast {asked} bins: {left} of the window are left; call `begin_window()` for a new one"
    )]
    ForecastTooLong {
        /// Bins asked for.
        asked: usize,
        /// Bins left in the window.
        left: usize,
    },
    /// A decoder that does not fit the model or itself.
    #[error("decoder `{name}`: {message}")]
    BadDecoder {
        /// The decoder.
        name: String,
        /// What is wrong.
        message: String,
    },
}
