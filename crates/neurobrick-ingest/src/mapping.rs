//! Reader for a lab's own export: `mapping.toml` says which array of which file is what, and in which unit of measure.
//!
//! ```toml
//! [[session]]
//! name = "day-1"
//! subject = "rat-1"
//!
//! # All spikes in two arrays ...
//! spikes.times = { file = "spikes.npz", array = "samples", unit = "samples", rate_hz = 30000 }
//! spikes.units = { file = "spikes.npz", array = "cluster" }
//! # ... or an array for every unit; a star stands for every cell, and empty cells are passed over.
//! # units = [{ id = "u", region = "CA1", times = { file = "spikes.mat", array = "spikes{1}{*}.time", unit = "s" } }]
//!
//! # What is known of the units, a row each; region, depth_um and quality fill the columns of these names.
//! [session.unit_table]
//! ids = { file = "units.csv", array = "cluster" }
//! columns = [{ name = "region", file = "units.csv", array = "area" }, { name = "snr", file = "units.csv", array = "snr" }]
//!
//! [session.trials]
//! start = { file = "trials.csv", array = "onset_ms", unit = "ms" }
//! end = { file = "trials.csv", array = "offset_ms", unit = "ms" }
//! columns = [{ name = "choice", file = "trials.csv", array = "choice" }]
//!
//! [[session.signals]]
//! name = "song"
//! start_s = 0.0
//! rate_hz = 200
//! columns = [{ name = "band", file = "song.mat", array = "SONG", time_axis = 1 }]
//! ```
//!
//! Files: `npy`, `npz`, `mat` (versions 5 to 7, and 7.3), `csv` and `parquet` by name of the column; `csv`, `tsv` and `txt`
//! without a header by position from zero (`array = 0`). `dataset.toml` beside it gives the card.
//!
//! Samples of a signal that are missing stay missing: an empty cell of a text table and the word NaN are NaN, as they are in
//! arrays, and `session.json` says how many there are. Missing in times, or labels of units, they are refused. Trials that
//! all lie before or after the data are refused as well, since one of both is then in another unit of measure.

mod arrays;
mod config;
mod unit_table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use neurobrick_schema::{
    Activity, Clock, Column, ColumnValues, Interval, Recording, RecordingParts, Samples, SessionId, Signal,
    SignalColumn, Spikes, Table, Trials, Unit,
};

pub(crate) use self::config::MappingFile;
use self::config::{ColumnMap, SessionMap, SignalMap, TimeUnit, TimesMap, TrialsMap, called};
use crate::array::{Array, Values};
use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::reader::{Reader, Source};

/// Folders with a `mapping.toml`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mapping;

impl Reader for Mapping {
    fn format(&self) -> &'static str {
        "mapping"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(path.join(MappingFile::NAME).is_file())
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let source = |session: SessionMap| {
            let mut files = vec![DatasetFile::NAME.to_owned(), MappingFile::NAME.to_owned()];
            files.extend(session.files());
            let main = path.join(MappingFile::NAME);
            Source { session: session.name, root: path.to_path_buf(), main, files }
        };
        Ok(MappingFile::read(path)?.session.into_iter().map(source).collect())
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let dataset = DatasetFile::read(&source.root, Place::Beside, &[])?;
        dataset.refuse_names(&source.root, "mapping.toml names session and subject")?;
        dataset.refuse_trials(&source.root, "mapping.toml says where the trials are")?;
        let sessions = MappingFile::read(&source.root)?.session;
        let Some(map) = sessions.into_iter().find(|map| map.name == source.session) else {
            let detail = format!("session {} is no longer in it", source.session);
            return Err(IngestError::DatasetFile { path: source.main.clone(), detail });
        };
        let files = Files { root: &source.root };
        let (mut units, spikes) = files.units(&map)?;
        let (unit_columns, step) = match &map.unit_table {
            Some(table) => files.unit_table(table, &mut units)?,
            None => Default::default(),
        };
        let trials = match &map.trials {
            Some(trials) => files.trials(trials, &dataset)?,
            None => Trials::default(),
        };
        dataset.check_notes(&source.root, trials.columns())?;
        let signals = map.signals.iter().map(|signal| files.signal(signal)).collect::<Result<Vec<_>, _>>()?;
        files.check_units_of_measure(&source.session, &trials, &spikes, &signals)?;
        let step = format!("read by neurobrick as mapping.toml says{step}");
        let info = dataset.info(source.session.clone(), map.subject.clone(), source.hash_files()?, step);
        Recording::from_parts(RecordingParts {
            info,
            metadata: BTreeMap::new(),
            units,
            unit_columns,
            electrodes: Table::default(),
            activity: Activity::Spikes(spikes),
            trials,
            intervals: Vec::new(),
            signals,
        })
        .map_err(IngestError::invalid(&source.main))
    }
}

/// The files of a folder.
struct Files<'a> {
    root: &'a Path,
}

impl Files<'_> {
    fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// The one array that a path without stars leads to.
    fn one(&self, file: &str, array: Option<&config::ArrayName>) -> Result<Array, IngestError> {
        let mut found = arrays::load(self.root, file, array)?;
        match (found.pop(), found.is_empty()) {
            (Some((_, array)), true) => Ok(array),
            _ => Err(IngestError::DatasetFile {
                path: self.path(MappingFile::NAME),
                detail: format!(
                    "{array:?} of {file} must lead to one array; stars are for the times of units"
                ),
            }),
        }
    }

    fn times(&self, map: &TimesMap) -> Result<Vec<f64>, IngestError> {
        let array = self.one(&map.file, map.array.as_ref())?;
        self.seconds(map, array)
    }

    /// Times in seconds, one after another.
    fn seconds(&self, map: &TimesMap, array: Array) -> Result<Vec<f64>, IngestError> {
        let path = self.path(&map.file);
        let part = format!("times {}", called(map.array.as_ref()));
        let Array { shape, values } = array.squeezed();
        if shape.len() > 1 {
            let expected = "one axis of times".to_owned();
            return Err(IngestError::WrongShape { path, part, found: shape, expected });
        }
        let found = values.kind().to_owned();
        let Some(mut times) = values.into_f64() else {
            return Err(IngestError::WrongType { path, part, found, expected: "numbers" });
        };
        for (index, time) in times.iter_mut().enumerate() {
            *time = match (map.unit, map.rate_hz) {
                (TimeUnit::Seconds, _) => *time,
                (TimeUnit::Milliseconds, _) => *time / 1e3,
                (TimeUnit::Microseconds, _) => *time / 1e6,
                (TimeUnit::Samples, rate_hz) => *time / rate_hz.unwrap_or(f64::NAN),
            };
            if !time.is_finite() {
                let detail = format!("{time} is not a time; remove it at the source");
                return Err(IngestError::bad_value(&path, &part, index, detail));
            }
        }
        Ok(times)
    }

    fn units(&self, map: &SessionMap) -> Result<(Vec<Unit>, Spikes), IngestError> {
        let region = |region: &Option<String>| region.clone().unwrap_or_else(|| Unit::UNKNOWN_REGION.into());
        let unit = |id: String, region: String| Unit { id, region, depth_um: None, quality: None };
        let (mut units, mut times_s, mut unit_of): (Vec<Unit>, Vec<f64>, Vec<u32>) = Default::default();
        if let Some(spikes) = &map.spikes {
            times_s = self.times(&spikes.times)?;
            let labels = labels(self.one(&spikes.units.file, spikes.units.array.as_ref())?.squeezed().values);
            let path = self.path(&spikes.units.file);
            let labels = labels.map_err(|found| IngestError::WrongType {
                path: path.clone(),
                part: format!("units {}", called(spikes.units.array.as_ref())),
                found: found.to_owned(),
                expected: "whole numbers or text",
            })?;
            if labels.len() != times_s.len() {
                return Err(IngestError::Disagreement {
                    path,
                    what: "number of spikes".into(),
                    found: labels.len().to_string(),
                    expected: times_s.len().to_string(),
                });
            }
            let mut index_of: BTreeMap<(u64, String), u32> =
                labels.iter().map(|label| (sort_key(label), 0)).collect();
            for (index, position) in index_of.values_mut().zip(0..) {
                *index = position;
            }
            unit_of = labels.iter().map(|label| index_of[&sort_key(label)]).collect();
            units = index_of.into_keys().map(|(_, id)| unit(id, region(&spikes.region))).collect();
        }
        for map in &map.units {
            for (stars, array) in arrays::load(self.root, &map.times.file, map.times.array.as_ref())? {
                let index = u32::try_from(units.len()).unwrap_or(u32::MAX);
                let id = stars.iter().fold(map.id.clone(), |id, star| format!("{id}.{star}"));
                units.push(unit(id, region(&map.region)));
                times_s.extend(self.seconds(&map.times, array)?);
                unit_of.resize(times_s.len(), index);
            }
        }
        let spikes = Spikes::from_unsorted(times_s, unit_of);
        Ok((units, spikes.map_err(IngestError::invalid(&self.path(MappingFile::NAME)))?))
    }

    fn trials(&self, map: &TrialsMap, dataset: &DatasetFile) -> Result<Trials, IngestError> {
        let (starts, ends) = (self.times(&map.start)?, self.times(&map.end)?);
        if starts.len() != ends.len() {
            return Err(IngestError::Disagreement {
                path: self.path(&map.end.file),
                what: "number of ends of trials".into(),
                found: ends.len().to_string(),
                expected: starts.len().to_string(),
            });
        }
        let intervals = starts.into_iter().zip(ends).map(|(start_s, end_s)| Interval { start_s, end_s });
        let column = |map: &ColumnMap| {
            let values = self.column_values(map)?;
            let (unit, description) = (map.unit.clone(), map.description.clone());
            Ok::<_, IngestError>(dataset.describe(Column {
                name: map.name.clone(),
                unit,
                description,
                values,
            }))
        };
        let columns = map.columns.iter().map(column).collect::<Result<_, _>>()?;
        Trials::new(intervals.collect(), columns).map_err(IngestError::invalid(&self.path(MappingFile::NAME)))
    }

    /// A column of trials or units; NaN is missing.
    fn column_values(&self, map: &ColumnMap) -> Result<ColumnValues, IngestError> {
        Ok(match self.one(&map.file, map.array.as_ref())?.squeezed().values {
            Values::Float(values) => ColumnValues::Float(missing(values)),
            Values::Float32(values) => {
                ColumnValues::Float(missing(values.into_iter().map(f64::from).collect()))
            }
            Values::Int(values) => ColumnValues::Int(values.into_iter().map(Some).collect()),
            Values::Bool(values) => ColumnValues::Bool(values.into_iter().map(Some).collect()),
            Values::Text(values) => ColumnValues::Text(values.into_iter().map(Some).collect()),
            other => return Err(self.not_numbers(map, other.kind())),
        })
    }

    /// Refuses trials that all lie before or after the data: their times, or those of the data, are in another unit of
    /// measure than the mapping says.
    fn check_units_of_measure(
        &self,
        session: &SessionId,
        trials: &Trials,
        spikes: &Spikes,
        signals: &[Signal],
    ) -> Result<(), IngestError> {
        let spiked = spikes.times_s().first().copied().zip(spikes.times_s().last().copied());
        let sampled = signals.iter().filter(|signal| !signal.is_empty());
        let sampled = sampled.map(|signal| (signal.time_s(0), signal.time_s(signal.len() - 1)));
        let join = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.max(b.1));
        let data = spiked.into_iter().chain(sampled).reduce(join);
        let tried = trials.intervals().iter().map(|trial| (trial.start_s, trial.end_s)).reduce(join);
        let (Some(data), Some(tried)) = (data, tried) else { return Ok(()) };
        if trials.intervals().iter().any(|trial| trial.start_s <= data.1 && trial.end_s >= data.0) {
            return Ok(());
        }
        let detail = format!(
            "session {session}: none of the {} trials touches the data: trials run from {} s to {} s, spikes and signals \
             from {} s to {} s; correct the unit (s, ms, us or samples with rate_hz) of the times that are wrong, or leave \
             the trials out",
            trials.len(),
            tried.0,
            tried.1,
            data.0,
            data.1
        );
        Err(IngestError::DatasetFile { path: self.path(MappingFile::NAME), detail })
    }

    fn not_numbers(&self, map: &ColumnMap, found: &str) -> IngestError {
        IngestError::WrongType {
            path: self.path(&map.file),
            part: format!("column {:?}", map.name),
            found: found.to_owned(),
            expected: "numbers",
        }
    }

    fn signal(&self, map: &SignalMap) -> Result<Signal, IngestError> {
        let clock = match (&map.times, map.start_s, map.rate_hz) {
            (Some(times), _, _) => Clock::Irregular { times_s: self.times(times)? },
            (None, start_s, rate_hz) => {
                Clock::Regular { start_s: start_s.unwrap_or(f64::NAN), rate_hz: rate_hz.unwrap_or(f64::NAN) }
            }
        };
        let mut columns = Vec::new();
        for column in &map.columns {
            columns.extend(self.signal_columns(column)?);
        }
        let signal = Signal::new(map.name.as_str(), map.description.clone(), clock, columns);
        signal.map_err(IngestError::invalid(&self.path(MappingFile::NAME)))
    }

    /// One column, or one for each entry of the axis that is not time.
    fn signal_columns(&self, map: &ColumnMap) -> Result<Vec<SignalColumn>, IngestError> {
        let text = match &map.array {
            Some(config::ArrayName::Name(name)) => arrays::samples_of_text(self.root, &map.file, name)?,
            _ => None,
        };
        let array = text.map_or_else(|| self.one(&map.file, map.array.as_ref()), Ok)?;
        let Array { shape, values } = array.squeezed();
        let samples = match values {
            Values::Float(values) => Samples::Float(values),
            Values::Float32(values) => Samples::Float32(values),
            Values::Int(values) => Samples::Int(values),
            Values::Bool(values) => Samples::Int(values.into_iter().map(i64::from).collect()),
            other => return Err(self.not_numbers(map, other.kind())),
        };
        let column = |name: String, samples| SignalColumn {
            name,
            unit: map.unit.clone(),
            description: map.description.clone(),
            samples,
        };
        match shape[..] {
            [_] => Ok(vec![column(map.name.clone(), samples)]),
            [n_rows, n_columns] => {
                let (n_series, n_samples) =
                    if map.time_axis == 0 { (n_columns, n_rows) } else { (n_rows, n_columns) };
                let place = |series: usize, sample: usize| {
                    if map.time_axis == 0 { sample * n_columns + series } else { series * n_columns + sample }
                };
                let one = |series: usize| {
                    let order: Vec<usize> = (0..n_samples).map(|sample| place(series, sample)).collect();
                    column(format!("{}.{series}", map.name), pick(&samples, &order))
                };
                Ok((0..n_series).map(one).collect())
            }
            _ => Err(IngestError::WrongShape {
                path: self.path(&map.file),
                part: format!("column {:?}", map.name),
                found: shape,
                expected: "one or two axes".into(),
            }),
        }
    }
}

fn pick(samples: &Samples, order: &[usize]) -> Samples {
    match samples {
        Samples::Float(values) => Samples::Float(order.iter().map(|&index| values[index]).collect()),
        Samples::Float32(values) => Samples::Float32(order.iter().map(|&index| values[index]).collect()),
        Samples::Int(values) => Samples::Int(order.iter().map(|&index| values[index]).collect()),
    }
}

fn missing(values: Vec<f64>) -> Vec<Option<f64>> {
    values.into_iter().map(|value| Some(value).filter(|value| !value.is_nan())).collect()
}

/// Names of units; whole numbers may be written as real ones, as MATLAB does.
fn labels(values: Values) -> Result<Vec<String>, &'static str> {
    let kind = values.kind();
    match values {
        Values::Int(values) => Ok(values.iter().map(i64::to_string).collect()),
        Values::Text(values) => Ok(values),
        Values::Bool(_) | Values::Reference(_) | Values::Compound(_) | Values::Lists(_) => Err(kind),
        numbers => {
            let numbers = numbers.into_f64().unwrap_or_default();
            let is_whole = numbers.iter().all(|value| value.fract() == 0.0 && value.abs() < 9e15);
            if is_whole { Ok(numbers.iter().map(f64::to_string).collect()) } else { Err("broken numbers") }
        }
    }
}

/// Numbers in the order of counting before texts in the order of letters.
fn sort_key(label: &str) -> (u64, String) {
    (label.parse().unwrap_or(u64::MAX), label.to_owned())
}
