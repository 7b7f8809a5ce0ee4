//! From tables and sessions to rows that can be audited, and what an audit writes.

mod config;
mod result;
mod session_rows;
mod table_rows;

pub use config::{AuditConfig, NuisanceColumns, RowSplit, SessionsAudit, TableAudit};
pub use result::{AuditResult, NamedAudit};
pub use session_rows::session_rows;
pub use table_rows::table_rows;

use ndarray::Array2;

/// Numbers of equal texts, in order of first appearance.
fn numbered(texts: impl IntoIterator<Item = String>) -> Vec<usize> {
    let mut known: Vec<String> = Vec::new();
    let number = |text: String| {
        let place = known.iter().position(|other| *other == text);
        place.unwrap_or_else(|| {
            known.push(text);
            known.len() - 1
        })
    };
    texts.into_iter().map(number).collect()
}

/// One column per value, one where a row has it.
fn one_hot(values: &[usize]) -> Array2<f64> {
    let n = values.iter().max().map_or(0, |last| last + 1);
    Array2::from_shape_fn((values.len(), n), |(i, j)| f64::from(u8::from(values[i] == j)))
}
