//! What can be wrong with a report before it is written.

use std::path::PathBuf;

/// Errors of this crate. The first group is for whoever fills the [`RunReport`](crate::RunReport).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// An array does not have the length that its axes give.
    #[error("{what} has {got} values, its axes give {expected}: fill it row-major over [T, N]")]
    Shape {
        /// Which array of which part.
        what: String,
        /// Product of the axes.
        expected: usize,
        /// Length received.
        got: usize,
    },
    /// A part names a session that is not in the list.
    #[error("{part} names session {session:?}, which is not among the report's sessions: {known}")]
    UnknownSession {
        /// Which part.
        part: &'static str,
        /// The session named.
        session: String,
        /// Sessions listed, comma separated.
        known: String,
    },
    /// An interval's ends are in the wrong order.
    #[error("the interval of {what} runs from {low} to {high}: give the lower end first")]
    Interval {
        /// Which estimate.
        what: String,
        /// Lower end received.
        low: f64,
        /// Upper end received.
        high: f64,
    },
    /// A duration or bin width is not positive and finite.
    #[error("{what} is {got} s: give a positive finite number of seconds")]
    Seconds {
        /// Which one.
        what: String,
        /// Value received.
        got: f64,
    },
    /// The template could not be filled.
    #[error("the page could not be rendered")]
    Template(#[from] askama::Error),
    /// The page could not be written.
    #[error("cannot write {path}: check that the folder exists and is writable", path = path.display())]
    Write {
        /// Where it was to go.
        path: PathBuf,
        /// What the system said.
        source: neurobrick_schema::SchemaError,
    },
}

/// Result of this crate.
pub type Result<T, E = ReportError> = std::result::Result<T, E>;
