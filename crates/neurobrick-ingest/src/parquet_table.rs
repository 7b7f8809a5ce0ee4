//! Foreign Parquet tables, small ones: read whole, column by column, into the types of the schema.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type,
};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use neurobrick_schema::ColumnValues;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::IngestError;
use crate::guard::guarded;

/// Longest table that is read. Far above any list of trials or clusters; a damaged footer cannot ask for more.
const MAX_ROWS: i64 = 10_000_000;

/// A Parquet file in memory.
#[derive(Debug)]
pub(crate) struct ParquetTable {
    path: PathBuf,
    names: Vec<String>,
    batches: Vec<RecordBatch>,
}

impl ParquetTable {
    /// Reads a whole file.
    pub(crate) fn read(path: &Path, needed_for: &'static str) -> Result<Self, IngestError> {
        if !path.is_file() {
            return Err(IngestError::MissingFile { path: path.to_path_buf(), needed_for });
        }
        let bytes = Bytes::from(fs::read(path).map_err(IngestError::io("read", path))?);
        guarded(path, || {
            let malformed =
                |error: parquet::errors::ParquetError| IngestError::malformed(path, "the table", error);
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(malformed)?;
            let n_rows = builder.metadata().file_metadata().num_rows();
            if !(0..=MAX_ROWS).contains(&n_rows) {
                return Err(IngestError::malformed(path, "the table", format!("it claims {n_rows} rows")));
            }
            let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
            let batches = builder
                .build()
                .map_err(malformed)?
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| IngestError::malformed(path, "the table", error))?;
            Ok(Self { path: path.to_path_buf(), names, batches })
        })
    }

    /// Names of the columns, in order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is such a column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.names.iter().any(|name| name == column)
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The values of a column that must be there; `None` for a type that the schema has no place for.
    ///
    /// NaN is how such tables write a missing number, hence it becomes `None` as null does.
    pub(crate) fn values(&self, column: &str) -> Result<Option<ColumnValues>, IngestError> {
        let arrays = self.arrays(column)?;
        let mut values: Option<ColumnValues> = None;
        for array in arrays {
            let Some(next) = convert(array) else { return Ok(None) };
            values = Some(match (values, next) {
                (None, next) => next,
                (Some(mut values), next) => {
                    append(&mut values, next);
                    values
                }
            });
        }
        Ok(values)
    }

    fn arrays(&self, column: &str) -> Result<Vec<&dyn Array>, IngestError> {
        if !self.has(column) {
            return Err(IngestError::missing_column(&self.path, column, &self.names));
        }
        Ok(self.batches.iter().filter_map(|batch| batch.column_by_name(column)).map(AsRef::as_ref).collect())
    }

    fn wrong_type(&self, column: &str, found: Option<&ColumnValues>, expected: &'static str) -> IngestError {
        IngestError::WrongType {
            path: self.path.clone(),
            part: format!("column {column:?}"),
            found: found.map_or("another type", ColumnValues::type_name).to_owned(),
            expected,
        }
    }

    /// A column of numbers as `f64`; missing stays missing.
    pub(crate) fn floats(&self, column: &str) -> Result<Vec<Option<f64>>, IngestError> {
        match self.values(column)? {
            Some(ColumnValues::Float(values)) => Ok(values),
            Some(ColumnValues::Int(values)) => {
                Ok(values.into_iter().map(|value| value.map(|v| v as f64)).collect())
            }
            other => Err(self.wrong_type(column, other.as_ref(), "numbers")),
        }
    }

    /// A column of whole numbers without gaps.
    pub(crate) fn ints(&self, column: &str) -> Result<Vec<i64>, IngestError> {
        match self.values(column)? {
            Some(ColumnValues::Int(values)) => self.complete(column, values),
            other => Err(self.wrong_type(column, other.as_ref(), "whole numbers")),
        }
    }

    /// A column of text without gaps.
    pub(crate) fn texts(&self, column: &str) -> Result<Vec<String>, IngestError> {
        match self.values(column)? {
            Some(ColumnValues::Text(values)) => self.complete(column, values),
            other => Err(self.wrong_type(column, other.as_ref(), "text")),
        }
    }

    /// Refuses gaps.
    pub(crate) fn complete<T>(&self, column: &str, values: Vec<Option<T>>) -> Result<Vec<T>, IngestError> {
        let fill = |(row, value): (usize, Option<T>)| {
            value.ok_or_else(|| {
                let detail =
                    "missing, but every row needs one; complete it at the source or leave the row out";
                IngestError::bad_value(&self.path, &format!("column {column:?}"), row, detail)
            })
        };
        values.into_iter().enumerate().map(fill).collect()
    }
}

fn ints<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &dyn Array) -> Option<ColumnValues> {
    let array = array.as_primitive_opt::<T>()?;
    Some(ColumnValues::Int(array.iter().map(|value| value.map(Into::into)).collect()))
}

fn floats<T: ArrowPrimitiveType<Native: Into<f64>>>(array: &dyn Array) -> Option<ColumnValues> {
    let array = array.as_primitive_opt::<T>()?;
    let values = array.iter().map(|value| value.map(Into::into).filter(|value: &f64| !value.is_nan()));
    Some(ColumnValues::Float(values.collect()))
}

fn texts<O: arrow_array::OffsetSizeTrait>(array: &dyn Array) -> Option<ColumnValues> {
    let array = array.as_string_opt::<O>()?;
    Some(ColumnValues::Text(array.iter().map(|value| value.map(str::to_owned)).collect()))
}

fn bools(array: &dyn Array) -> Option<ColumnValues> {
    array.as_boolean_opt().map(|array| ColumnValues::Bool(array.iter().collect()))
}

fn convert(array: &dyn Array) -> Option<ColumnValues> {
    floats::<Float64Type>(array)
        .or_else(|| floats::<Float32Type>(array))
        .or_else(|| ints::<Int64Type>(array))
        .or_else(|| ints::<Int32Type>(array))
        .or_else(|| ints::<Int16Type>(array))
        .or_else(|| ints::<Int8Type>(array))
        .or_else(|| ints::<UInt32Type>(array))
        .or_else(|| ints::<UInt16Type>(array))
        .or_else(|| ints::<UInt8Type>(array))
        .or_else(|| texts::<i32>(array))
        .or_else(|| texts::<i64>(array))
        .or_else(|| bools(array))
}

/// Joins two batches of a column; all batches of a file have one type.
fn append(values: &mut ColumnValues, next: ColumnValues) {
    match (values, next) {
        (ColumnValues::Float(values), ColumnValues::Float(next)) => values.extend(next),
        (ColumnValues::Int(values), ColumnValues::Int(next)) => values.extend(next),
        (ColumnValues::Text(values), ColumnValues::Text(next)) => values.extend(next),
        (ColumnValues::Bool(values), ColumnValues::Bool(next)) => values.extend(next),
        _ => {}
    }
}
