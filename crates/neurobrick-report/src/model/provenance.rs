//! Where a run comes from: its sessions, data sources, model, command and machine.

use serde::{Deserialize, Serialize};

use crate::{nullable, numbers};

/// What a session was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionRole {
    /// Seen during pretraining.
    Pretrain,
    /// Unseen by pretraining; fine-tuned and evaluated.
    FineTune,
    /// Scored; the report does not know what pretraining saw.
    Evaluated,
    /// Ingested into the store, used by no model.
    IngestedOnly,
}

impl SessionRole {
    /// The words shown on the page.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::FineTune => "fine-tune",
            Self::Evaluated => "evaluated",
            Self::IngestedOnly => "only ingested",
        }
    }
}

/// One recording and its part in the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFacts {
    /// Session id; the other parts of a report refer to it.
    pub id: String,
    /// Animal or person.
    pub subject: String,
    /// Number of units: those that a filter left, of a session that is only ingested all.
    pub n_units: u64,
    /// Number of trials: the windows that a model sees, of a session that is only ingested all.
    pub n_trials: u64,
    /// Number of spikes of these units in these trials; of a session that is only ingested all that are stored.
    pub n_spikes: u64,
    /// Mean rate of these units, in Hz.
    #[serde(with = "nullable::scalar")]
    pub mean_rate_hz: f64,
    /// Number of distinct brain regions.
    pub n_regions: u64,
    /// What the session was used for.
    pub role: SessionRole,
    /// Trials used for fitting.
    pub n_train: u64,
    /// Trials used for model selection.
    pub n_valid: u64,
    /// Trials that are scored; nothing in the run is fitted to them or chosen on them.
    pub n_test: u64,
}

impl SessionFacts {
    /// Trials of the split: train, valid, test; "–" where none was made.
    pub(crate) fn split_in_words(&self) -> [String; 3] {
        let is_split = self.role != SessionRole::IngestedOnly;
        [self.n_train, self.n_valid, self.n_test]
            .map(|n| if is_split { numbers::count(n) } else { numbers::UNDEFINED.to_owned() })
    }
}

/// A published data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Name, with version or archive number.
    pub name: String,
    /// License identifier, for example `CC-BY-4.0`.
    pub license: String,
    /// How to cite it.
    pub citation: String,
}

/// A labeled fact, shown as one table row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value as text.
    pub value: String,
}

/// The model of the run and what it is meant for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// Name of the model.
    pub name: String,
    /// License of the weights.
    pub license: String,
    /// Number of trained parameters, all sessions' stitches included.
    pub n_parameters: Option<u64>,
    /// Width, depth, heads and the like.
    #[serde(default)]
    pub architecture: Vec<Fact>,
    /// What it is good for.
    #[serde(default)]
    pub intended_use: Vec<String>,
    /// What it must not be used for.
    #[serde(default)]
    pub not_for: Vec<String>,
}

/// Hash of one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataHash {
    /// File or session.
    pub name: String,
    /// BLAKE3 in hexadecimal.
    pub blake3: String,
}

/// Wall time of one step of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Name of the step.
    pub name: String,
    /// Wall time in seconds.
    #[serde(with = "nullable::scalar")]
    pub wall_time_s: f64,
}

/// What is needed to run it again, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reproduction {
    /// The command, as typed.
    pub command: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// The resolved configuration as TOML.
    pub config_toml: String,
    /// Versions of program, compiler and main libraries.
    #[serde(default)]
    pub versions: Vec<Fact>,
    /// Hashes of the data.
    #[serde(default)]
    pub data_hashes: Vec<DataHash>,
    /// Device, for example "CPU (Flex)".
    pub device: String,
    /// Number of threads.
    pub n_threads: u64,
    /// Wall time by step, in order.
    #[serde(default)]
    pub stages: Vec<Stage>,
    /// Largest resident memory in bytes, where it was measured.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
}
