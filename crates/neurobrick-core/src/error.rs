//! What can go wrong when a model meets data or weights.

use neurobrick_schema::SessionId;

use crate::TokenizeError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The model has no stitch for this session.
    #[error("the model knows no session {session}; add it before use (it knows {known})")]
    UnknownSession {
        /// The session asked for.
        session: SessionId,
        /// The sessions the model knows, comma-separated.
        known: String,
    },
    /// Two sessions of one id.
    #[error("session {session} is listed twice; session ids must be unique within a model")]
    DuplicateSession {
        /// The repeated session.
        session: SessionId,
    },
    /// The counts do not have the size the model was built for.
    #[error("session {session}: expected {what} = {expected}, received {received}")]
    SizeMismatch {
        /// The session.
        session: SessionId,
        /// Which axis.
        what: &'static str,
        /// Size the model was built for.
        expected: usize,
        /// Size received.
        received: usize,
    },
    /// A session has no such unit.
    #[error("session {session} has no unit {unit}; its {n_units} units are counted from 0")]
    UnknownUnit {
        /// The session.
        session: SessionId,
        /// The unit asked for.
        unit: usize,
        /// Number of units of the session.
        n_units: usize,
    },
    /// A model was built without a prompt table and asked to use one, or cannot attend as asked.
    #[error("the model cannot {what}; {hint}")]
    Unsupported {
        /// What was asked.
        what: String,
        /// What to do.
        hint: String,
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
    /// Windows cannot be cut into tokens.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// Weights do not fit the model.
    #[error(
        "weights do not fit the model: missing [{missing}], unexpected [{unexpected}], wrong shape [{misshapen}]"
    )]
    WeightsMismatch {
        /// Parameters of the model that the file lacks.
        missing: String,
        /// Tensors of the file that the model lacks.
        unexpected: String,
        /// Parameters with another shape in the file.
        misshapen: String,
    },
    /// A weights file could not be decoded.
    #[error("weights cannot be read: {reason}")]
    BadWeights {
        /// What is wrong with it.
        reason: String,
    },
}
