//! `session.json`: everything about a stored session that is not a table.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

use crate::activity::Activity;
use crate::card::SessionInfo;
use crate::columns::{Column, ColumnValues, Table};
use crate::error::SchemaError;
use crate::ids::SessionId;
use crate::recording::Recording;
use crate::signals::{Clock, Samples, Signal};

/// Newest version of the layout of a session folder that is read.
const VERSION: u32 = 2;
/// Version of a folder of units, trials and activity only. Such a folder is written as ever, so that its bytes, and
/// the digests that runs have kept of them, do not change.
const VERSION_1: u32 = 1;

/// A stored session, without its tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "neurobrick session")]
pub(crate) struct SessionFile {
    /// Version of the layout: 1, or 2 where there is anything that version 1 could not hold.
    pub(crate) version: u32,
    /// Identity and provenance.
    pub(crate) info: SessionInfo,
    /// Rows of `units.parquet`.
    pub(crate) n_units: usize,
    /// Rows of `trials.parquet`.
    pub(crate) n_trials: usize,
    /// Spikes of all units.
    pub(crate) n_spikes: u64,
    /// Which table holds the activity.
    pub(crate) activity: ActivityFile,
    /// The columns of `trials.parquet` after `start_s` and `end_s`, in order.
    pub(crate) trial_columns: Vec<ColumnFile>,
    /// Whether the source does not say when trials were, so that their times are stand-ins, end to end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) trials_end_to_end: bool,
    /// The columns of `units.parquet` after `id`, `region`, `depth_um` and `quality`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unit_columns: Vec<ColumnFile>,
    /// What `electrodes.parquet` holds; without it there is no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) electrodes: Option<TableFile>,
    /// The tables `intervals.<name>.parquet`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) intervals: Vec<IntervalsFile>,
    /// The tables `signal.<name>.parquet`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) signals: Vec<SignalFile>,
    /// What the source says about session and subject in its own words, by the place where it says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Rows and columns of a table without times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableFile {
    /// Number of rows.
    pub(crate) n_rows: usize,
    /// The columns, in order.
    pub(crate) columns: Vec<ColumnFile>,
}

/// A table of intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntervalsFile {
    /// Name of the table.
    pub(crate) name: String,
    /// What the intervals are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Number of rows.
    pub(crate) n_rows: usize,
    /// The columns after `start_s` and `end_s`, in order.
    pub(crate) columns: Vec<ColumnFile>,
}

/// A signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalFile {
    /// Name of the signal.
    pub(crate) name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Number of samples.
    pub(crate) n_samples: usize,
    /// When the samples were taken.
    pub(crate) clock: ClockFile,
    /// The columns, in order; on an irregular clock `time_s` comes before them.
    pub(crate) columns: Vec<SignalColumnFile>,
}

/// When the samples of a signal were taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ClockFile {
    /// Sample `i` at `start_s + i / rate_hz`.
    Regular {
        /// Time of the first sample in seconds from session start.
        start_s: f64,
        /// Samples per second.
        rate_hz: f64,
    },
    /// The first column, `time_s`, holds the time of every sample.
    Irregular {},
}

/// What a column of a signal means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalColumnFile {
    /// Name of the column.
    pub(crate) name: String,
    /// Type of its samples.
    pub(crate) r#type: SampleType,
    /// Unit of measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// How many samples are NaN.
    pub(crate) n_nan: usize,
}

/// Type of the samples of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SampleType {
    /// 64-bit floating point.
    Float,
    /// 32-bit floating point.
    Float32,
    /// 64-bit integer.
    Int,
}

/// Which table holds the activity, and its grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ActivityFile {
    /// `spikes.parquet`: time and unit of each spike.
    Spikes {},
    /// `counts.parquet`: one row per trial and unit.
    Counts {
        /// Width of a bin in seconds.
        bin_size_s: f64,
        /// Number of bins of each trial.
        n_bins: usize,
    },
}

/// What a column means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnFile {
    /// Name of the column.
    pub(crate) name: String,
    /// Type of its values.
    pub(crate) r#type: ColumnType,
    /// Unit of measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

/// Type of the values of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnType {
    /// 64-bit floating point.
    Float,
    /// 64-bit integer.
    Int,
    /// UTF-8 text.
    Text,
    /// Boolean.
    Bool,
    /// A list of values of one type in every row.
    List(Box<ColumnType>),
}

impl ColumnType {
    pub(crate) fn of(values: &ColumnValues) -> Self {
        match values {
            ColumnValues::Float(_) => Self::Float,
            ColumnValues::Int(_) => Self::Int,
            ColumnValues::Text(_) => Self::Text,
            ColumnValues::Bool(_) => Self::Bool,
            ColumnValues::List(list) => Self::List(Box::new(Self::of(list.items()))),
        }
    }
}

impl ColumnFile {
    fn of(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            r#type: ColumnType::of(&column.values),
            unit: column.unit.clone(),
            description: column.description.clone(),
        }
    }

    fn all(columns: &[Column]) -> Vec<Self> {
        columns.iter().map(Self::of).collect()
    }
}

impl SignalFile {
    fn of(signal: &Signal) -> Self {
        let columns = signal.columns().iter().map(|column| SignalColumnFile {
            name: column.name.clone(),
            r#type: match column.samples {
                Samples::Float(_) => SampleType::Float,
                Samples::Float32(_) => SampleType::Float32,
                Samples::Int(_) => SampleType::Int,
            },
            unit: column.unit.clone(),
            description: column.description.clone(),
            n_nan: column.samples.n_nan(),
        });
        Self {
            name: signal.name().to_owned(),
            description: signal.description().map(str::to_owned),
            n_samples: signal.len(),
            clock: match *signal.clock() {
                Clock::Regular { start_s, rate_hz } => ClockFile::Regular { start_s, rate_hz },
                Clock::Irregular { .. } => ClockFile::Irregular {},
            },
            columns: columns.collect(),
        }
    }
}

impl SessionFile {
    pub(crate) fn of(recording: &Recording) -> Self {
        let trial_columns = ColumnFile::all(recording.trials().columns());
        let electrodes = recording.electrodes();
        let file = Self {
            version: VERSION_1,
            info: recording.info().clone(),
            n_units: recording.n_units(),
            n_trials: recording.trials().len(),
            n_spikes: recording.n_spikes(),
            activity: match recording.activity() {
                Activity::Spikes(_) => ActivityFile::Spikes {},
                Activity::Counts(counts) => {
                    ActivityFile::Counts { bin_size_s: counts.bin_size_s(), n_bins: counts.n_bins() }
                }
            },
            trial_columns,
            trials_end_to_end: !recording.trials().has_times(),
            unit_columns: ColumnFile::all(recording.unit_columns()),
            electrodes: (*electrodes != Table::default()).then(|| TableFile {
                n_rows: electrodes.len(),
                columns: ColumnFile::all(electrodes.columns()),
            }),
            intervals: recording
                .intervals()
                .iter()
                .map(|table| IntervalsFile {
                    name: table.name.clone(),
                    description: table.description.clone(),
                    n_rows: table.rows.len(),
                    columns: ColumnFile::all(table.rows.columns()),
                })
                .collect(),
            signals: recording.signals().iter().map(SignalFile::of).collect(),
            metadata: recording.metadata().clone(),
        };
        let version = if file.fits_version_1() { VERSION_1 } else { VERSION };
        Self { version, ..file }
    }

    fn fits_version_1(&self) -> bool {
        let has_lists = self.trial_columns.iter().any(|column| matches!(column.r#type, ColumnType::List(_)));
        self.n_units > 0
            && !has_lists
            && !self.trials_end_to_end
            && self.unit_columns.is_empty()
            && self.electrodes.is_none()
            && self.intervals.is_empty()
            && self.signals.is_empty()
            && self.metadata.is_empty()
    }

    pub(crate) fn encode(&self, path: &Path) -> Result<Vec<u8>, SchemaError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| SchemaError::Encode { path: path.to_path_buf(), detail: error.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Refuses a file that lies in the folder of another session.
    pub(crate) fn of_session(self, session: &SessionId, path: &Path) -> Result<Self, SchemaError> {
        if self.info.session == *session {
            return Ok(self);
        }
        let detail =
            format!("it describes session {}, but lies in the folder of {session}", self.info.session);
        Err(SchemaError::damaged(path, detail))
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self, SchemaError> {
        #[derive(Deserialize)]
        struct VersionOnly {
            version: u32,
        }
        let version: VersionOnly =
            serde_json::from_slice(bytes).map_err(|error| SchemaError::damaged(path, error))?;
        if version.version > VERSION {
            return Err(SchemaError::UnsupportedVersion {
                path: path.to_path_buf(),
                found: version.version,
                supported: VERSION,
            });
        }
        serde_json::from_slice(bytes).map_err(|error| SchemaError::damaged(path, error))
    }
}

/// The JSON Schema of `session.json`, for editors and validators.
pub fn json_schema() -> Schema {
    schema_for!(SessionFile)
}
