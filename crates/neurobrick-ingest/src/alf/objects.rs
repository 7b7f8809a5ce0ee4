//! Objects of a session beside spikes and trials: `<object>.<attribute>.npy` right in the folder `alf`.
//!
//! An object with `times` or `timestamps` is a signal (wheel, licks, motion energy); one with `intervals` `[n, 2]` is a
//! table of intervals (wheel moves). A namespace such as `_ibl_` is no part of the name. ALF files state no unit of
//! measure, so none is made up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_schema::{
    Clock, Column, ColumnValues, Interval, IntervalTable, Samples, Signal, SignalColumn, Trials,
};

use crate::array::{Array, Values};
use crate::error::IngestError;
use crate::npy::read_npy;
use crate::single_file::plain_name;

/// Objects that the reader of spikes and trials knows, or that belong to it.
const OTHERS: [&str; 6] = ["spikes", "clusters", "channels", "templates", "waveforms", "trials"];
const TIMES: [&str; 2] = ["times", "timestamps"];
const INTERVALS: &str = "intervals";

/// The arrays of each object by attribute.
pub(super) type Objects = BTreeMap<String, BTreeMap<String, PathBuf>>;

/// Lists the objects of a folder `alf`.
pub(super) fn find(alf: &Path) -> Result<Objects, IngestError> {
    let mut objects = Objects::new();
    // Without the folder there is no session either, which the reader says better.
    if !alf.is_dir() {
        return Ok(objects);
    }
    for entry in fs::read_dir(alf).map_err(IngestError::io("list", alf))? {
        let path = entry.map_err(IngestError::io("list", alf))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((object, attribute)) = name.strip_suffix(".npy").and_then(|name| name.split_once('.'))
        else {
            continue;
        };
        let namespace = object.strip_prefix('_').and_then(|rest| rest.split_once('_'));
        let object = namespace.map_or(object, |(_, object)| object);
        if !OTHERS.contains(&object) && path.is_file() {
            objects.entry(object.to_owned()).or_default().insert(attribute.to_owned(), path);
        }
    }
    Ok(objects)
}

/// Reads all objects; what is neither signal nor table is named in `left`.
pub(super) fn read(
    objects: &Objects,
    left: &mut Vec<String>,
) -> Result<(Vec<Signal>, Vec<IntervalTable>), IngestError> {
    let (mut signals, mut intervals) = (Vec::new(), Vec::new());
    for (object, files) in objects {
        let mut arrays = BTreeMap::new();
        for (attribute, path) in files {
            arrays.insert(attribute.as_str(), read_npy(path)?.to_array()?);
        }
        let name = plain_name(object);
        if let Some(times) = TIMES.iter().find_map(|times| arrays.remove(times)) {
            match signal(name, times, arrays, object, left) {
                Ok(signal) => signals.push(signal),
                Err(reason) => left.push(format!("{object} ({reason})")),
            }
        } else if let Some(bounds) = arrays.remove(INTERVALS) {
            match table(bounds, arrays, object, left) {
                Ok(rows) => intervals.push(IntervalTable { name, description: None, rows }),
                Err(reason) => left.push(format!("{object} ({reason})")),
            }
        } else {
            left.extend(arrays.keys().map(|attribute| format!("{object}.{attribute} (no times)")));
        }
    }
    Ok((signals, intervals))
}

fn signal(
    name: String,
    times: Array,
    arrays: BTreeMap<&str, Array>,
    object: &str,
    left: &mut Vec<String>,
) -> Result<Signal, String> {
    let shape = times.shape.clone();
    let times_s = times.values.into_f64().filter(|_| shape.len() == 1);
    let times_s = times_s.ok_or_else(|| format!("times of shape {shape:?}"))?;
    let mut columns = Vec::new();
    for (attribute, Array { shape, values }) in arrays {
        let samples = match values {
            Values::Float(values) => Samples::Float(values),
            Values::Float32(values) => Samples::Float32(values),
            Values::Int(values) => Samples::Int(values),
            Values::Bool(values) => Samples::Int(values.into_iter().map(i64::from).collect()),
            other => {
                left.push(format!("{object}.{attribute} ({})", other.kind()));
                continue;
            }
        };
        let column = |name, samples| SignalColumn { name, unit: None, description: None, samples };
        match shape[..] {
            [n] if n == times_s.len() => columns.push(column(attribute.to_owned(), samples)),
            [n, n_columns] if n == times_s.len() => {
                columns
                    .extend((0..n_columns).map(|index| {
                        column(format!("{attribute}.{index}"), samples.every(index, n_columns))
                    }));
            }
            _ => left.push(format!("{object}.{attribute} (shape {shape:?} for {} times)", times_s.len())),
        }
    }
    Signal::new(name, None, Clock::Irregular { times_s }, columns).map_err(|error| error.to_string())
}

fn table(
    bounds: Array,
    arrays: BTreeMap<&str, Array>,
    object: &str,
    left: &mut Vec<String>,
) -> Result<Trials, String> {
    let shape = bounds.shape.clone();
    let bounds = bounds.values.into_f64().filter(|_| shape.len() == 2 && shape[1] == 2);
    let bounds = bounds.ok_or_else(|| format!("intervals of shape {shape:?}"))?;
    let intervals = bounds.as_chunks::<2>().0.iter().map(|&[start_s, end_s]| Interval { start_s, end_s });
    let mut columns = Vec::new();
    for (attribute, Array { shape, values }) in arrays {
        let real = |values: &mut dyn Iterator<Item = f64>| {
            ColumnValues::Float(values.map(|value| Some(value).filter(|value| !value.is_nan())).collect())
        };
        let values = match values {
            Values::Float(values) => real(&mut values.into_iter()),
            Values::Float32(values) => real(&mut values.into_iter().map(f64::from)),
            Values::Int(values) => ColumnValues::Int(values.into_iter().map(Some).collect()),
            Values::Bool(values) => ColumnValues::Bool(values.into_iter().map(Some).collect()),
            other => {
                left.push(format!("{object}.{attribute} ({})", other.kind()));
                continue;
            }
        };
        if shape == [bounds.len() / 2] {
            columns.push(Column { name: attribute.to_owned(), unit: None, description: None, values });
        } else {
            left.push(format!("{object}.{attribute} (shape {shape:?})"));
        }
    }
    Trials::new(intervals.collect(), columns).map_err(|error| error.to_string())
}
