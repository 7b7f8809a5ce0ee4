//! `signal.<name>.parquet`: one row per sample, `time_s` first where the clock is irregular.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Float64Array, Int64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::checked_file::CheckedFile;
use crate::error::SchemaError;
use crate::session_file::{ClockFile, SampleType, SignalFile};
use crate::signals::{Clock, Samples, Signal, SignalColumn, TIME_COLUMN};
use crate::tables::{ROW_GROUP_ROWS, batch, column, read, write};

fn schema(is_irregular: bool, columns: impl Iterator<Item = (String, SampleType)>) -> SchemaRef {
    let time = is_irregular.then(|| Field::new(TIME_COLUMN, DataType::Float64, false));
    let columns = columns.map(|(name, kind)| {
        let data_type = match kind {
            SampleType::Float => DataType::Float64,
            SampleType::Float32 => DataType::Float32,
            SampleType::Int => DataType::Int64,
        };
        Field::new(name, data_type, false)
    });
    Arc::new(Schema::new(time.into_iter().chain(columns).collect::<Vec<_>>()))
}

fn sample_type(samples: &Samples) -> SampleType {
    match samples {
        Samples::Float(_) => SampleType::Float,
        Samples::Float32(_) => SampleType::Float32,
        Samples::Int(_) => SampleType::Int,
    }
}

pub(crate) fn write_signal(path: &Path, signal: &Signal) -> Result<(), SchemaError> {
    let times_s = match signal.clock() {
        Clock::Irregular { times_s } => Some(times_s),
        Clock::Regular { .. } => None,
    };
    let kinds = signal.columns().iter().map(|column| (column.name.clone(), sample_type(&column.samples)));
    let schema = schema(times_s.is_some(), kinds);
    // One row group at a time, so that encoding takes no second copy of a long signal.
    let starts = (0..signal.len().max(1)).step_by(ROW_GROUP_ROWS);
    let batches = starts.map(|start| {
        let rows = start..signal.len().min(start + ROW_GROUP_ROWS);
        let times =
            times_s.map(|times| -> ArrayRef { Arc::new(Float64Array::from(times[rows.clone()].to_vec())) });
        let columns = signal.columns().iter().map(|column| -> ArrayRef {
            match &column.samples {
                Samples::Float(values) => Arc::new(Float64Array::from(values[rows.clone()].to_vec())),
                Samples::Float32(values) => Arc::new(Float32Array::from(values[rows.clone()].to_vec())),
                Samples::Int(values) => Arc::new(Int64Array::from(values[rows.clone()].to_vec())),
            }
        });
        batch(path, &schema, times.into_iter().chain(columns).collect())
    });
    write(path, &schema, batches)
}

pub(crate) fn read_signal(path: &Path, bytes: CheckedFile, file: &SignalFile) -> Result<Signal, SchemaError> {
    let is_irregular = matches!(file.clock, ClockFile::Irregular {});
    let schema = schema(is_irregular, file.columns.iter().map(|column| (column.name.clone(), column.r#type)));
    let mut times_s = Vec::new();
    let mut all: Vec<Samples> = file
        .columns
        .iter()
        .map(|column| match column.r#type {
            SampleType::Float => Samples::Float(Vec::new()),
            SampleType::Float32 => Samples::Float32(Vec::new()),
            SampleType::Int => Samples::Int(Vec::new()),
        })
        .collect();
    read(path, bytes, &schema, file.n_samples, |batch| {
        if is_irregular {
            times_s.extend_from_slice(column::<Float64Array>(path, batch, 0)?.values());
        }
        for (index, samples) in all.iter_mut().enumerate() {
            let index = index + usize::from(is_irregular);
            match samples {
                Samples::Float(values) => {
                    values.extend_from_slice(column::<Float64Array>(path, batch, index)?.values());
                }
                Samples::Float32(values) => {
                    values.extend_from_slice(column::<Float32Array>(path, batch, index)?.values());
                }
                Samples::Int(values) => {
                    values.extend_from_slice(column::<Int64Array>(path, batch, index)?.values());
                }
            }
        }
        Ok(())
    })?;
    for (column, samples) in file.columns.iter().zip(&all) {
        if samples.n_nan() != column.n_nan {
            let detail = format!(
                "column {:?} has {} NaN, session.json says {}",
                column.name,
                samples.n_nan(),
                column.n_nan
            );
            return Err(SchemaError::damaged(path, detail));
        }
    }
    let clock = match file.clock {
        ClockFile::Regular { start_s, rate_hz } => Clock::Regular { start_s, rate_hz },
        ClockFile::Irregular {} => Clock::Irregular { times_s },
    };
    let columns = file.columns.iter().zip(all).map(|(column, samples)| SignalColumn {
        name: column.name.clone(),
        unit: column.unit.clone(),
        description: column.description.clone(),
        samples,
    });
    Signal::new(file.name.as_str(), file.description.clone(), clock, columns.collect())
}
