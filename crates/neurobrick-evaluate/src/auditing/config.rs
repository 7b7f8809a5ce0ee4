//! What an audit looks at.

use std::path::PathBuf;

use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluation::DecodeTarget;
use crate::{DataConfig, EvaluateError};

/// Leak and shortcut tests on tables of features, and on labels decoded from sessions of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// Seed of splits, shuffles and resamples.
    pub seed: u64,
    /// Shuffles behind every null distribution.
    #[serde(default = "two_hundred")]
    pub n_shuffles: usize,
    /// Tables of features.
    #[serde(default)]
    pub tables: Vec<TableAudit>,
    /// Sessions of a store.
    #[serde(default)]
    pub sessions: Vec<SessionsAudit>,
}

fn two_hundred() -> usize {
    200
}

/// A text table with a header, cells separated by commas and without quotes: one row per trial or window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableAudit {
    /// Name in the report.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Column of the label; every text in it is a class.
    pub label: String,
    /// Column of the group that a claim should generalize over: run, block, session, subject.
    pub group: String,
    /// Column of the trial that rows belong to; absent means that every row is a trial of its own.
    #[serde(default)]
    pub trial: Option<String>,
    /// Columns of start and end in seconds, on the clock of the group.
    pub span: [String; 2],
    /// Columns of features, numbers.
    pub features: Vec<String>,
    /// Column of the stimulus, where stimuli come back.
    #[serde(default)]
    pub stimulus: Option<String>,
    /// What else might tell the label. Time and group are always tried.
    #[serde(default)]
    pub nuisances: Vec<NuisanceColumns>,
    /// Columns of a model's outputs, to be looked at for collapse.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// How rows are split.
    pub split: RowSplit,
}

/// Columns that might tell the label without being the code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NuisanceColumns {
    /// Name in the report.
    pub name: String,
    /// The columns, numbers.
    pub columns: Vec<String>,
}

/// How the rows of a table were split for the score under audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RowSplit {
    /// A random share of the rows tests.
    RandomRows {
        /// The share.
        test: f64,
    },
    /// A random share of the trials tests.
    RandomTrials {
        /// The share.
        test: f64,
    },
    /// These groups test, all others train.
    HeldOutGroups {
        /// Texts of the group column.
        test: Vec<String>,
    },
    /// A column says `train` or `test`; rows with another text are left out.
    Column {
        /// The column.
        name: String,
    },
}

/// A label decoded from the counts of each session, under the split that training and evaluation use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionsAudit {
    /// The sessions; each is audited by itself.
    pub sessions: Vec<SessionId>,
    /// Store, window and split.
    pub data: DataConfig,
    /// The label.
    pub label: DecodeTarget,
    /// Trial columns whose values together make a stimulus.
    #[serde(default)]
    pub stimulus_columns: Vec<String>,
    /// Trial columns of numbers that might tell the label. Time and the spikes of all units together are always tried.
    #[serde(default)]
    pub nuisances: Vec<NuisanceColumns>,
    /// Blocks of consecutive trials that are held out in turn.
    #[serde(default = "five")]
    pub n_blocks: usize,
    /// A folder of a trained model, or of its run, whose latents are looked at for collapse; may hold `{session}`.
    #[serde(default)]
    pub model: Option<String>,
}

fn five() -> usize {
    5
}

impl AuditConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// If there is nothing to audit, a number is out of range, or a label has several classes.
    pub fn validate(&self) -> Result<(), EvaluateError> {
        let refuse =
            |field: &str, message: String| Err(EvaluateError::BadValue { field: field.to_owned(), message });
        if self.tables.is_empty() && self.sessions.is_empty() {
            return refuse("tables", "name a table or sessions; there is nothing to audit".to_owned());
        }
        if self.n_shuffles < 50 {
            let message = format!("{} are too few to tell one in twenty; use 50 or more", self.n_shuffles);
            return refuse("n_shuffles", message);
        }
        for table in &self.tables {
            if let RowSplit::RandomRows { test } | RowSplit::RandomTrials { test } = table.split
                && !(test > 0.0 && test < 1.0)
            {
                return refuse("tables.split", format!("a share of {test} is not between 0 and 1"));
            }
            if table.features.is_empty() {
                return refuse("tables.features", format!("name the columns of features of {}", table.name));
            }
        }
        for sessions in &self.sessions {
            if sessions.sessions.is_empty() {
                return refuse("sessions.sessions", "name at least one session".to_owned());
            }
            if sessions.n_blocks < 2 {
                return refuse("sessions.n_blocks", "needs at least 2 to hold one out".to_owned());
            }
            sessions.label.validate_binary("sessions.label")?;
        }
        Ok(())
    }
}
