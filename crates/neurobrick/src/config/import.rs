//! Configuration of `import`: what a published state dict holds.

use std::path::PathBuf;

use neurobrick_core::{Context, ModelError, Prompt};
use neurobrick_data::WindowConfig;
use neurobrick_models::ModelConfig;
use neurobrick_models::torch::{Checkpoint, TorchNames, TorchSession};
use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The vocabulary of sessions of `torch_brain` and BrainWideBench.
pub(crate) const SESSION_WORDS: &str = "session_emb.vocab";

/// A model whose weights come from a state dict under published names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// Whose names the state dict has.
    pub names: TorchNames,
    /// Entry of a checkpoint that holds the weights; absent: the first there is of `state_dict`, `model_state_dict` and
    /// `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Kind and sizes of the model.
    pub model: ModelConfig,
    /// The window the model was trained on: recordings it is to read later are cut the same.
    pub window: WindowConfig,
    /// Sessions of the state dict to take over. Others in it are refused with MtM and BrainWideBench, whose stitches
    /// would be left over.
    pub sessions: Vec<ImportSession>,
    /// Sessions that the state dict does not know: they get weights of their own to be trained.
    #[serde(default)]
    pub new_sessions: Vec<NewSession>,
    /// An example to check the model with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parity: Option<ImportParity>,
    /// Seed of the weights of new sessions.
    #[serde(default)]
    pub seed: u64,
}

/// A session of a state dict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportSession {
    /// Its id here.
    pub session: SessionId,
    /// Number of units.
    pub n_units: usize,
    /// What the state dict calls it; by default the number of units with MtM and the id with all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stitch: Option<String>,
    /// Row in the table of sessions; by default that of the vocabulary if the checkpoint has one, or else the place in this
    /// list, from 1 with BrainWideBench, whose row 0 stands for no session. With LFADS the number of its read-in and read-out,
    /// which is its place among the data files in alphabetical order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// Units that the encoders read, the first of the session (LFADS); absent: all. Held-out units come after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_read: Option<usize>,
    /// Row in the table of subjects (NDT-2).
    #[serde(default)]
    pub subject_row: usize,
}

impl ImportSession {
    /// Refuses a number of units that are read where the names are not those of LFADS, whose encoders alone read a part.
    pub(crate) fn check_n_read(&self, names: TorchNames) -> Result<(), ModelError> {
        match self.n_read {
            Some(n_read) if names != TorchNames::Lfads => Err(ModelError::BadConfig {
                field: "n_read",
                expected: format!(
                    "absent for session {} of `{}`, which reads all units",
                    self.session,
                    names.label()
                ),
                received: n_read.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// A session that no state dict knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// Its id.
    pub session: SessionId,
    /// Number of units.
    pub n_units: usize,
}

/// An example of what the published code answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportParity {
    /// A safetensors file with `counts` and `log_rates`, both `[B, T, N]`.
    pub file: PathBuf,
    /// The session.
    pub session: SessionId,
    /// How bins attend.
    #[serde(default = "full")]
    pub context: Context,
    /// The prompt, for models that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// Largest difference of a log rate that is allowed.
    #[serde(default = "thousandth")]
    pub tolerance: f64,
}

fn full() -> Context {
    Context::Full
}

fn thousandth() -> f64 {
    1e-3
}

impl ImportConfig {
    /// Where the checkpoint keeps each session.
    ///
    /// # Errors
    /// If it has a vocabulary of sessions without one that is named, or `n_read` is given for others than LFADS.
    pub fn places(&self, checkpoint: &Checkpoint) -> Result<Vec<TorchSession>, ModelError> {
        let stitch = |s: &ImportSession| match self.names {
            TorchNames::Mtm => s.n_units.to_string(),
            _ => s.session.as_str().to_owned(),
        };
        let place = |(i, s): (usize, &ImportSession)| {
            s.check_n_read(self.names)?;
            let stitch = s.stitch.clone().unwrap_or_else(|| stitch(s));
            let row = match s.row {
                Some(row) => row,
                None => checkpoint.row_of(SESSION_WORDS, &stitch)?.unwrap_or(self.names.first_row() + i),
            };
            Ok(TorchSession { stitch, row, subject_row: s.subject_row, n_units: s.n_units, n_read: s.n_read })
        };
        self.sessions.iter().enumerate().map(place).collect()
    }
}
