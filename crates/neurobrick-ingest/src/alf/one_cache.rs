//! Cache tables of ONE, the client of the International Brain Laboratory: what a session is, and how long its files are.
//!
//! `sessions.pqt` and `datasets.pqt` lie in a folder above the session, with whole numbers as identifiers. A file of
//! another length than the tables say was not downloaded to its end. The hashes in the tables are MD5 and not checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{MAX_SESSION_DEPTH, relative};
use crate::error::IngestError;
use crate::parquet_table::ParquetTable;

const SESSIONS: &str = "sessions.pqt";
const DATASETS: &str = "datasets.pqt";
const WHY: &str = "both tables of a ONE cache are needed; fetch it again or remove the other";
/// What of a session is kept.
const ABOUT: [&str; 3] = ["lab", "project", "task_protocol"];

/// What the tables say of a session.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Laboratory, project and protocol.
    pub(super) metadata: BTreeMap<String, String>,
    /// Length of files, by their path below the session.
    lengths: BTreeMap<String, u64>,
}

/// The tables above a session's folder, one of them or both; with them a session changes.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let tables = [DATASETS, SESSIONS].map(|name| folder_above(dir).map(|folder| folder.join(name)));
    tables.into_iter().flatten().filter(|table| table.is_file()).collect()
}

/// The nearest folder above a session's with a table.
fn folder_above(dir: &Path) -> Option<&Path> {
    let mut above = dir.ancestors().skip(1).take(MAX_SESSION_DEPTH);
    above.find(|above| above.join(DATASETS).is_file() || above.join(SESSIONS).is_file())
}

/// What tables above a session's folder say of it; nothing where there are none, or where they do not have it.
pub(super) fn known(dir: &Path) -> Result<Known, IngestError> {
    let Some(root) = folder_above(dir) else {
        return Ok(Known::default());
    };
    let datasets = ParquetTable::read(&root.join(DATASETS), WHY)?;
    let sessions = ParquetTable::read(&root.join(SESSIONS), WHY)?;
    if !datasets.has("session_path") || !datasets.has("eid_0") || !sessions.has("id_0") {
        // Of another version: files are then as long as they are.
        return Ok(Known::default());
    }
    let session = relative(root, dir);
    let (paths, names) = (datasets.texts("session_path")?, datasets.texts("rel_path")?);
    let (lengths, ids) = (datasets.floats("file_size")?, ids(&datasets, ["eid_0", "eid_1"])?);
    let mut known = Known::default();
    let mut id = None;
    for (((path, name), length), dataset_id) in paths.iter().zip(names).zip(lengths).zip(ids) {
        if *path == session {
            id = Some(dataset_id);
            // Lengths are missing for some files, and real numbers for the others.
            if let Some(length) =
                length.filter(|length| length.fract() == 0.0 && (0.0..9e15).contains(length))
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked just before"
                )]
                known.lengths.insert(name, length as u64);
            }
        }
    }
    let row = self::ids(&sessions, ["id_0", "id_1"])?.into_iter().position(|session| Some(session) == id);
    for column in ABOUT.into_iter().filter(|column| sessions.has(column)) {
        if let (Some(row), Some(neurobrick_schema::ColumnValues::Text(values))) =
            (row, sessions.values(column)?)
            && let Some(text) = values[row].as_ref().filter(|text| !text.is_empty())
        {
            known.metadata.insert(format!("one.{column}"), text.clone());
        }
    }
    Ok(known)
}

fn ids(table: &ParquetTable, names: [&str; 2]) -> Result<Vec<[i64; 2]>, IngestError> {
    let [first, second] = names;
    Ok(table.ints(first)?.into_iter().zip(table.ints(second)?).map(|(a, b)| [a, b]).collect())
}

impl Known {
    /// Compares the files of a session, named relative to `root`, with the tables.
    ///
    /// Errors: [`IngestError::Disagreement`] with the first file of another length; [`IngestError::Io`].
    pub(super) fn check(&self, root: &Path, dir: &Path, files: &[String]) -> Result<(), IngestError> {
        for path in files.iter().map(|name| root.join(name)) {
            let Some(&expected) = self.lengths.get(&relative(dir, &path)) else { continue };
            let found = path.metadata().map_err(IngestError::io("measure", &path))?.len();
            if found != expected {
                return Err(IngestError::Disagreement {
                    path,
                    what: "length in bytes".into(),
                    found: found.to_string(),
                    expected: expected.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::fs;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn table(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn any_tables_are_read_or_refused() {
        let ints = |values: [i64; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let texts = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let datasets = table(vec![
            ("file_size", Arc::new(Float64Array::from(vec![4.0, f64::NAN]))),
            ("rel_path", texts(["alf/x.npy", "alf/y.npy"])),
            ("session_path", texts(["a/1", "a/1"])),
            ("eid_0", ints([1, 1])),
            ("eid_1", ints([2, 2])),
        ]);
        let sessions =
            table(vec![("id_0", ints([0, 1])), ("id_1", ints([2, 2])), ("lab", texts(["first", "second"]))]);
        let folder = crate::fuzz::scratch();
        let session = folder.path().join("a/1");
        fs::create_dir_all(&session).unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        write(SESSIONS, &sessions);
        write(DATASETS, &datasets);
        let found = known(&session).unwrap();
        assert_eq!((found.metadata["one.lab"].as_str(), found.lengths["alf/x.npy"]), ("second", 4));
        for (name, whole) in [(DATASETS, &datasets), (SESSIONS, &sessions)] {
            crate::fuzz::check(&[whole], |bytes| {
                write(name, bytes);
                known(&session).is_ok()
            });
            write(name, whole);
        }
    }
}
