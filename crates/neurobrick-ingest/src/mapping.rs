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
//! Counts take the place of spikes where a recording has no others, and signals may be cut into trials:
//!
//! ```toml
//! [session.counts]
//! bin_size_s = 0.02
//! axes = ["trial", "bin", "unit"]    # in the order of the arrays; bin or unit may be absent, and trial
//! arrays = [{ id = "ca1", region = "CA1", file = "counts.npz", array = "ca1" }]
//!
//! [[session.signals]]
//! name = "wheel"
//! axes = ["trial", "time"]           # and channel
//! start_s = -0.5                     # from the start of the trial to the first sample
//! rate_hz = 50
//! columns = [{ name = "velocity", file = "wheel.npy" }]
//! ```
//!
//! Without `trials.start` such trials lie end to end; with it, `end` may be left out where counts say how long a trial is.
//!
//! Files: `npy`, `npz`, `mat` (versions 5 to 7, and 7.3), `csv` and `parquet` by name of the column; `csv`, `tsv` and `txt`
//! without a header by position from zero (`array = 0`). `dataset.toml` beside it gives the card.
//!
//! Samples of a signal that are missing stay missing: an empty cell of a text table and the word NaN are NaN, as they are in
//! arrays, and `session.json` says how many there are. Missing in times, or labels of units, they are refused. Trials that
//! all lie before or after the data are refused as well, since one of both is then in another unit of measure.

mod arrays;
mod config;
mod counts;
mod signals;
mod trials;
mod unit_table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use neurobrick_schema::{Activity, ColumnValues, Recording, RecordingParts, Signal, Spikes, Table, Unit};

pub(crate) use self::config::MappingFile;
use self::config::{ColumnMap, SessionMap, TimeUnit, TimesMap, called};
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
        let counted = map.counts.as_ref().map(|counts| files.counts(counts)).transpose()?;
        let cuts = map.signals.iter().filter(|signal| signal.axes.is_some());
        let cuts = cuts.map(|signal| files.cut(signal)).collect::<Result<Vec<_>, _>>()?;
        let laid = files.trials(&map, counted.as_ref(), &cuts, &dataset)?;
        dataset.check_notes(&source.root, laid.trials.columns())?;
        let mut step = laid.step.clone();
        let mut cuts = cuts.into_iter();
        let mut signals: Vec<Signal> = Vec::new();
        for signal in &map.signals {
            let cut = if signal.axes.is_some() { cuts.next() } else { None };
            signals.push(match cut {
                Some(cut) => files.lay(signal, cut, &laid, &mut step)?,
                None => files.signal(signal)?,
            });
        }
        let (mut units, activity) = if let Some(counted) = counted {
            let (units, counts) = counted.of_rows(&laid.rows, &files)?;
            (units, Activity::Counts(counts))
        } else {
            let (units, spikes) = files.units(&map)?;
            (units, Activity::Spikes(spikes))
        };
        files.check_units_of_measure(&map, &laid.trials, &activity, &signals)?;
        let unit_columns = match &map.unit_table {
            Some(table) => {
                let (columns, more) = files.unit_table(table, &mut units)?;
                step += &more;
                columns
            }
            None => Vec::new(),
        };
        let step = format!("read by neurobrick as mapping.toml says{step}");
        let info = dataset.info(source.session.clone(), map.subject.clone(), source.hash_files()?, step);
        Recording::from_parts(RecordingParts {
            info,
            metadata: BTreeMap::new(),
            units,
            unit_columns,
            electrodes: Table::default(),
            activity,
            trials: laid.trials,
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
        self.times_or_missing(map, false)
    }

    /// Times, where NaN may stand for one that is missing.
    fn times_or_missing(&self, map: &TimesMap, may_lack: bool) -> Result<Vec<f64>, IngestError> {
        let array = self.one(&map.file, map.array.as_ref())?;
        self.seconds(map, array, may_lack)
    }

    /// Times in seconds, one after another.
    fn seconds(&self, map: &TimesMap, array: Array, may_lack: bool) -> Result<Vec<f64>, IngestError> {
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
            if !(time.is_finite() || may_lack && time.is_nan()) {
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
                times_s.extend(self.seconds(&map.times, array, false)?);
                unit_of.resize(times_s.len(), index);
            }
        }
        let spikes = Spikes::from_unsorted(times_s, unit_of);
        Ok((units, spikes.map_err(IngestError::invalid(&self.path(MappingFile::NAME)))?))
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

    fn not_numbers(&self, map: &ColumnMap, found: &str) -> IngestError {
        IngestError::WrongType {
            path: self.path(&map.file),
            part: format!("column {:?}", map.name),
            found: found.to_owned(),
            expected: "numbers",
        }
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
