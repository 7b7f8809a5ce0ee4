//! `session.json`: everything about a stored session that is not a table.

use std::path::Path;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

use crate::activity::Activity;
use crate::card::SessionInfo;
use crate::error::SchemaError;
use crate::recording::Recording;

/// Version of the layout of a session folder.
const VERSION: u32 = 1;

/// A stored session, without its tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "neurobrick session")]
pub(crate) struct SessionFile {
    /// Version of the layout, 1.
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

/// What a trial column means.
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

/// Type of the values of a trial column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
}

impl SessionFile {
    pub(crate) fn of(recording: &Recording) -> Self {
        use crate::trials::ColumnValues as V;
        Self {
            version: VERSION,
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
            trial_columns: recording
                .trials()
                .columns()
                .iter()
                .map(|column| ColumnFile {
                    name: column.name.clone(),
                    r#type: match column.values {
                        V::Float(_) => ColumnType::Float,
                        V::Int(_) => ColumnType::Int,
                        V::Text(_) => ColumnType::Text,
                        V::Bool(_) => ColumnType::Bool,
                    },
                    unit: column.unit.clone(),
                    description: column.description.clone(),
                })
                .collect(),
        }
    }

    pub(crate) fn encode(&self, path: &Path) -> Result<Vec<u8>, SchemaError> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| SchemaError::Encode { path: path.to_path_buf(), detail: error.to_string() })?;
        bytes.push(b'\n');
        Ok(bytes)
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
