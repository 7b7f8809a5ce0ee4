//! Records as JSON files.

use std::fs;
use std::path::Path;

use neurobrick_schema::atomic::write_file;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::EvaluateError;

/// Writes `value` as JSON, atomically.
///
/// # Errors
/// If it cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), EvaluateError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| EvaluateError::BadFile { path: path.to_owned(), message: e.to_string() })?;
    bytes.push(b'\n');
    Ok(write_file(path, &bytes)?)
}

/// Reads a JSON file.
///
/// # Errors
/// If it cannot be read, or is not what it should be.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, EvaluateError> {
    let bytes = fs::read(path).map_err(EvaluateError::io("read", path))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| EvaluateError::BadFile { path: path.to_owned(), message: e.to_string() })
}
