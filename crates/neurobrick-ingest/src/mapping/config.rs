//! The content of `mapping.toml`.

use std::path::{Component, Path};

use neurobrick_schema::{SessionId, SubjectId};
use serde::Deserialize;

use crate::error::IngestError;

/// The whole file; unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MappingFile {
    pub(super) session: Vec<SessionMap>,
}

/// One session and where its parts lie.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionMap {
    pub(super) name: SessionId,
    pub(super) subject: SubjectId,
    pub(super) spikes: Option<SpikesMap>,
    #[serde(default)]
    pub(super) units: Vec<UnitMap>,
    pub(super) unit_table: Option<UnitTableMap>,
    pub(super) trials: Option<TrialsMap>,
    #[serde(default)]
    pub(super) signals: Vec<SignalMap>,
}

/// Spikes of all units in two arrays of equal length.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpikesMap {
    pub(super) times: TimesMap,
    pub(super) units: ArrayMap,
    pub(super) region: Option<String>,
}

/// Spikes of one unit in an array, or of several where the array's path has stars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnitMap {
    pub(super) id: String,
    pub(super) region: Option<String>,
    pub(super) times: TimesMap,
}

/// What is known of units beside their spikes: arrays with a row per unit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnitTableMap {
    /// Which unit every row is of; without it the rows are in the order of `units`.
    pub(super) ids: Option<ArrayMap>,
    pub(super) columns: Vec<ColumnMap>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialsMap {
    pub(super) start: TimesMap,
    pub(super) end: TimesMap,
    #[serde(default)]
    pub(super) columns: Vec<ColumnMap>,
}

/// A signal on a clock of its own (`start_s`, `rate_hz`) or with a time for every sample.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalMap {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) times: Option<TimesMap>,
    pub(super) start_s: Option<f64>,
    pub(super) rate_hz: Option<f64>,
    #[serde(default)]
    pub(super) columns: Vec<ColumnMap>,
}

/// An array of times and what they are counted in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimesMap {
    pub(super) file: String,
    pub(super) array: Option<ArrayName>,
    pub(super) unit: TimeUnit,
    /// Samples per second, for times that count samples.
    pub(super) rate_hz: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum TimeUnit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "us")]
    Microseconds,
    #[serde(rename = "samples")]
    Samples,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArrayMap {
    pub(super) file: String,
    pub(super) array: Option<ArrayName>,
}

/// A column of trials or of a signal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnMap {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) array: Option<ArrayName>,
    pub(super) unit: Option<String>,
    pub(super) description: Option<String>,
    /// Which axis of a table of samples is time; the other gives one column each.
    #[serde(default)]
    pub(super) time_axis: usize,
}

/// An array by its name, or a column of a text table without a header by its position.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ArrayName {
    Position(usize),
    Name(String),
}

/// What an array is called in messages: its name, its position, or nothing where the file holds one alone.
pub(super) fn called(array: Option<&ArrayName>) -> String {
    match array {
        Some(ArrayName::Name(name)) => format!("{name:?}"),
        Some(ArrayName::Position(position)) => format!("at position {position}"),
        None => "without a name".to_owned(),
    }
}

impl MappingFile {
    /// Name of the file.
    pub(crate) const NAME: &'static str = "mapping.toml";

    pub(super) fn read(dir: &Path) -> Result<Self, IngestError> {
        let path = dir.join(Self::NAME);
        let text = std::fs::read_to_string(&path).map_err(IngestError::io("read", &path))?;
        let file: Self = toml::from_str(&text)
            .map_err(|error| IngestError::DatasetFile { path: path.clone(), detail: error.to_string() })?;
        for session in &file.session {
            session.check(&path)?;
        }
        Ok(file)
    }
}

impl SessionMap {
    /// Names of all files of the session, each once.
    pub(super) fn files(&self) -> Vec<String> {
        let spikes = self.spikes.iter().flat_map(|spikes| [&spikes.times.file, &spikes.units.file]);
        let units = self.units.iter().map(|unit| &unit.times.file);
        let trials = self.trials.iter().flat_map(|trials| {
            [&trials.start.file, &trials.end.file].into_iter().chain(trials.columns.iter().map(|c| &c.file))
        });
        let signals = self.signals.iter().flat_map(|signal| {
            signal.times.iter().map(|times| &times.file).chain(signal.columns.iter().map(|c| &c.file))
        });
        let table = self.unit_table.iter().flat_map(|table| {
            table.ids.iter().map(|ids| &ids.file).chain(table.columns.iter().map(|c| &c.file))
        });
        let mut files: Vec<String> =
            spikes.chain(units).chain(table).chain(trials).chain(signals).cloned().collect();
        files.sort();
        files.dedup();
        files
    }

    fn times(&self) -> impl Iterator<Item = &TimesMap> {
        let spikes = self.spikes.iter().map(|spikes| &spikes.times);
        let units = self.units.iter().map(|unit| &unit.times);
        let trials = self.trials.iter().flat_map(|trials| [&trials.start, &trials.end]);
        spikes
            .chain(units)
            .chain(trials)
            .chain(self.signals.iter().filter_map(|signal| signal.times.as_ref()))
    }

    fn check(&self, path: &Path) -> Result<(), IngestError> {
        let refuse = |detail: String| {
            let detail = format!("session {}: {detail}", self.name);
            Err(IngestError::DatasetFile { path: path.to_path_buf(), detail })
        };
        if self.spikes.is_some() && !self.units.is_empty() {
            return refuse("give either spikes or units, not both".into());
        }
        if let Some(table) = &self.unit_table {
            if self.spikes.is_none() && self.units.is_empty() {
                return refuse("unit_table describes units, and there are none; give spikes or units".into());
            }
            // Units out of labels are in an order of ours.
            if self.spikes.is_some() && table.ids.is_none() {
                return refuse(
                    "unit_table.ids must say which unit every row is of, as spikes.units does".into(),
                );
            }
            let gives_region = table.columns.iter().any(|column| column.name == "region");
            let is_given = self.spikes.as_ref().is_some_and(|spikes| spikes.region.is_some())
                || self.units.iter().any(|unit| unit.region.is_some());
            if gives_region && is_given {
                return refuse("give regions either as text or as a column of unit_table, not both".into());
            }
        }
        for file in self.files() {
            let is_inside = Path::new(&file).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_inside || file.is_empty() {
                return refuse(format!("file {file:?} must lie in this folder"));
            }
        }
        for times in self.times() {
            let has_rate = times.rate_hz.is_some_and(|rate| rate.is_finite() && rate > 0.0);
            if (times.unit == TimeUnit::Samples) != has_rate || times.rate_hz.is_some() != has_rate {
                return refuse(format!(
                    "times of {:?}: a positive rate_hz belongs to unit = \"samples\", and to no other",
                    times.file
                ));
            }
        }
        for signal in &self.signals {
            if signal.times.is_some() == (signal.start_s.is_some() && signal.rate_hz.is_some())
                || (signal.times.is_some() && (signal.start_s.is_some() || signal.rate_hz.is_some()))
            {
                return refuse(format!("signal {}: give either times, or start_s and rate_hz", signal.name));
            }
            if signal.columns.iter().any(|column| column.time_axis > 1) {
                return refuse(format!("signal {}: time_axis is 0 or 1", signal.name));
            }
        }
        Ok(())
    }
}
