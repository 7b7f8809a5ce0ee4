//! Text tables of numbers without a header: columns parted by commas, tabs or spaces; lines with `#` are remarks. May be packed
//! with gzip.

use std::path::Path;

use crate::array::{Array, Values};
use crate::error::IngestError;
use crate::text_file::read_bytes;

/// Reads column `position`, counted from zero.
pub(crate) fn column(path: &Path, position: usize) -> Result<Array, IngestError> {
    let bytes = read_bytes(path)?;
    let part = format!("column {position}");
    let text =
        String::from_utf8(bytes).map_err(|error| IngestError::malformed(path, part.as_str(), error))?;
    let mut values = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut cells =
            text.split(|c: char| c == ',' || c == ';' || c.is_whitespace()).filter(|cell| !cell.is_empty());
        let cell = cells.nth(position).unwrap_or("");
        let value = cell.parse::<f64>().map_err(|_| {
            let detail = format!("{cell:?} in line {} is not a number; correct it at the source", line + 1);
            IngestError::bad_value(path, &part, values.len(), detail)
        })?;
        values.push(value);
    }
    Ok(Array { shape: vec![values.len()], values: Values::Float(values) })
}
