//! Columns as Arrow arrays, and the tables that are made of them: trials, intervals, electrodes.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, LargeListArray, RecordBatch, StringArray,
};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::checked_file::CheckedFile;
use crate::columns::{Column, ColumnValues, ListValues, Table};
use crate::error::SchemaError;
use crate::session_file::{ColumnFile, ColumnType};
use crate::tables::{batch, column, read, write};
use crate::trials::{Interval, Trials};

/// The Arrow fields of columns, all nullable but the lists.
pub(crate) fn fields(columns: impl Iterator<Item = (String, ColumnType)>) -> impl Iterator<Item = Field> {
    columns.map(|(name, kind)| Field::new(name, data_type(&kind), is_nullable(&kind)))
}

fn data_type(kind: &ColumnType) -> DataType {
    match kind {
        ColumnType::Float => DataType::Float64,
        ColumnType::Int => DataType::Int64,
        ColumnType::Text => DataType::Utf8,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::List(items) => DataType::LargeList(item_field(items)),
    }
}

fn is_nullable(kind: &ColumnType) -> bool {
    !matches!(kind, ColumnType::List(_))
}

fn item_field(kind: &ColumnType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type(kind), is_nullable(kind)))
}

/// Name and type of columns in memory.
pub(crate) fn kinds(columns: &[Column]) -> impl Iterator<Item = (String, ColumnType)> {
    columns.iter().map(|column| (column.name.clone(), ColumnType::of(&column.values)))
}

/// Name and type of columns as `session.json` lists them.
pub(crate) fn listed_kinds(columns: &[ColumnFile]) -> impl Iterator<Item = (String, ColumnType)> {
    columns.iter().map(|column| (column.name.clone(), column.r#type.clone()))
}

/// The Arrow array of a column.
pub(crate) fn to_array(path: &Path, values: &ColumnValues) -> Result<ArrayRef, SchemaError> {
    Ok(match values {
        ColumnValues::Float(values) => Arc::new(values.iter().copied().collect::<Float64Array>()),
        ColumnValues::Int(values) => Arc::new(values.iter().copied().collect::<Int64Array>()),
        ColumnValues::Text(values) => Arc::new(values.iter().map(Option::as_deref).collect::<StringArray>()),
        ColumnValues::Bool(values) => Arc::new(values.iter().copied().collect::<BooleanArray>()),
        ColumnValues::List(list) => {
            let encode = |detail: String| SchemaError::Encode { path: path.to_path_buf(), detail };
            let offsets = std::iter::once(&0).chain(list.ends()).map(|&end| i64::try_from(end));
            let offsets =
                offsets.collect::<Result<Vec<i64>, _>>().map_err(|error| encode(error.to_string()))?;
            let array = LargeListArray::try_new(
                item_field(&ColumnType::of(list.items())),
                OffsetBuffer::new(ScalarBuffer::from(offsets)),
                to_array(path, list.items())?,
                None,
            );
            Arc::new(array.map_err(|error| encode(error.to_string()))?)
        }
    })
}

/// Values that are still being read, batch after batch.
pub(crate) enum Growing {
    Float(Vec<Option<f64>>),
    Int(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Bool(Vec<Option<bool>>),
    List(Vec<usize>, Box<Growing>),
}

impl Growing {
    pub(crate) fn new(kind: &ColumnType) -> Self {
        match kind {
            ColumnType::Float => Self::Float(Vec::new()),
            ColumnType::Int => Self::Int(Vec::new()),
            ColumnType::Text => Self::Text(Vec::new()),
            ColumnType::Bool => Self::Bool(Vec::new()),
            ColumnType::List(items) => Self::List(Vec::new(), Box::new(Self::new(items))),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::List(ends, _) => ends.len(),
        }
    }

    /// Appends an array of the type it was made for.
    pub(crate) fn extend(&mut self, path: &Path, array: &dyn Array) -> Result<(), SchemaError> {
        fn cast<'a, T: 'static>(path: &Path, array: &'a dyn Array) -> Result<&'a T, SchemaError> {
            let found = array.as_any().downcast_ref();
            found.ok_or_else(|| SchemaError::damaged(path, "a column has an unexpected type"))
        }
        match self {
            Self::Float(values) => values.extend(cast::<Float64Array>(path, array)?),
            Self::Int(values) => values.extend(cast::<Int64Array>(path, array)?),
            Self::Bool(values) => values.extend(cast::<BooleanArray>(path, array)?),
            Self::Text(values) => {
                values.extend(cast::<StringArray>(path, array)?.iter().map(|text| text.map(str::to_owned)));
            }
            Self::List(ends, items) => {
                let lists: &LargeListArray = cast(path, array)?;
                for row in 0..lists.len() {
                    items.extend(path, lists.value(row).as_ref())?;
                    ends.push(items.len());
                }
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<ColumnValues, SchemaError> {
        Ok(match self {
            Self::Float(values) => ColumnValues::Float(values),
            Self::Int(values) => ColumnValues::Int(values),
            Self::Text(values) => ColumnValues::Text(values),
            Self::Bool(values) => ColumnValues::Bool(values),
            Self::List(ends, items) => ColumnValues::List(ListValues::new(ends, items.finish()?)?),
        })
    }
}

/// All columns of a table that are listed in `session.json`, while they are being read.
pub(crate) struct GrowingColumns<'a> {
    listed: &'a [ColumnFile],
    values: Vec<Growing>,
}

impl<'a> GrowingColumns<'a> {
    pub(crate) fn new(listed: &'a [ColumnFile]) -> Self {
        Self { listed, values: listed.iter().map(|column| Growing::new(&column.r#type)).collect() }
    }

    /// Appends the columns of a batch from position `first` on.
    pub(crate) fn extend(
        &mut self,
        path: &Path,
        batch: &RecordBatch,
        first: usize,
    ) -> Result<(), SchemaError> {
        for (values, array) in self.values.iter_mut().zip(&batch.columns()[first..]) {
            values.extend(path, array.as_ref())?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<Column>, SchemaError> {
        let join = |(file, values): (&ColumnFile, Growing)| {
            Ok(Column {
                name: file.name.clone(),
                unit: file.unit.clone(),
                description: file.description.clone(),
                values: values.finish()?,
            })
        };
        self.listed.iter().zip(self.values).map(join).collect()
    }
}

fn trials_schema(columns: impl Iterator<Item = (String, ColumnType)>) -> SchemaRef {
    let bounds = ["start_s", "end_s"].into_iter().map(|name| Field::new(name, DataType::Float64, false));
    Arc::new(Schema::new(bounds.chain(fields(columns)).collect::<Vec<_>>()))
}

/// `trials.parquet` and its like: one row per interval, `start_s`, `end_s` and the session's own columns.
pub(crate) fn write_trials(path: &Path, trials: &Trials) -> Result<(), SchemaError> {
    let schema = trials_schema(kinds(trials.columns()));
    let intervals = trials.intervals();
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from_iter_values(intervals.iter().map(|interval| interval.start_s))),
        Arc::new(Float64Array::from_iter_values(intervals.iter().map(|interval| interval.end_s))),
    ];
    for column in trials.columns() {
        arrays.push(to_array(path, &column.values)?);
    }
    write(path, &schema, [batch(path, &schema, arrays)].into_iter())
}

pub(crate) fn read_trials(
    path: &Path,
    bytes: CheckedFile,
    n_trials: usize,
    columns: &[ColumnFile],
) -> Result<Trials, SchemaError> {
    let schema = trials_schema(listed_kinds(columns));
    let mut intervals = Vec::new();
    let mut growing = GrowingColumns::new(columns);
    read(path, bytes, &schema, n_trials, |batch| {
        let starts: &Float64Array = column(path, batch, 0)?;
        let ends: &Float64Array = column(path, batch, 1)?;
        intervals.extend(
            starts.values().iter().zip(ends.values()).map(|(&start_s, &end_s)| Interval { start_s, end_s }),
        );
        growing.extend(path, batch, 2)
    })?;
    Trials::new(intervals, growing.finish()?)
}

/// `electrodes.parquet`: one row per electrode.
pub(crate) fn write_table(path: &Path, table: &Table) -> Result<(), SchemaError> {
    let schema: SchemaRef = Arc::new(Schema::new(fields(kinds(table.columns())).collect::<Vec<_>>()));
    let arrays = table.columns().iter().map(|column| to_array(path, &column.values));
    let arrays = arrays.collect::<Result<Vec<ArrayRef>, _>>()?;
    write(path, &schema, [batch(path, &schema, arrays)].into_iter())
}

pub(crate) fn read_table(
    path: &Path,
    bytes: CheckedFile,
    n_rows: usize,
    columns: &[ColumnFile],
) -> Result<Table, SchemaError> {
    let schema: SchemaRef = Arc::new(Schema::new(fields(listed_kinds(columns)).collect::<Vec<_>>()));
    let mut growing = GrowingColumns::new(columns);
    read(path, bytes, &schema, n_rows, |batch| growing.extend(path, batch, 0))?;
    Table::new(n_rows, growing.finish()?)
}
