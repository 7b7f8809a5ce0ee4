//! What can be configured.

use std::path::PathBuf;

use neurobrick_data::{SplitConfig, UnitFilter, WindowConfig};
use neurobrick_evaluate::evaluation::is_reserved;
use neurobrick_models::ModelConfig;
use neurobrick_schema::SessionId;
use neurobrick_stream::Precision;
use neurobrick_train::{TrainConfig, TrainError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AlignmentConfig, DataConfig, ScoringConfig, StackConfig};
use crate::PipelineError;

/// Pretraining on many sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// Seed of every random choice.
    pub seed: u64,
    /// Sessions to train on; empty means all sessions of the store.
    #[serde(default)]
    pub sessions: Vec<SessionId>,
    /// Sessions never to train on.
    #[serde(default)]
    pub exclude: Vec<SessionId>,
    /// Data.
    pub data: DataConfig,
    /// The model.
    pub model: ModelConfig,
    /// How to train.
    pub train: TrainConfig,
    /// What closed forms learn from the same sessions; absent: nothing.
    #[serde(default = "StackConfig::none")]
    pub stack: StackConfig,
    /// Layers of sessions that start from a closed form; absent: at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<AlignmentConfig>,
}

/// What fine-tuning starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start<M = ModelConfig> {
    /// A model folder written by `pretrain`.
    Pretrained(PathBuf),
    /// A fresh model: the control without pretraining.
    Scratch(M),
}

/// Fine-tuning on sessions, each by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinetuneConfig {
    /// Seed of every random choice.
    pub seed: u64,
    /// Sessions; each gets a model of its own.
    pub sessions: Vec<SessionId>,
    /// What to start from.
    pub start: Start,
    /// Data.
    pub data: DataConfig,
    /// How to train.
    pub train: TrainConfig,
    /// From scratch: layers of the session that start from a closed form, by conditions of its own trials; absent: at
    /// random. A pretrained model brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<AlignmentConfig>,
}

/// A finished model and what to call it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSource {
    /// Name in tables. `fine_tuned`, `new_stitch` and `from_scratch` have a meaning in reports.
    pub name: String,
    /// Folder with one run folder per session, as written by `finetune`, or a run of `pretrain` on these sessions.
    pub path: PathBuf,
    /// How its matrices are stored (`f32`, `bf16` or `int8`): scores what a smaller model for a closed loop costs.
    #[serde(default)]
    #[schemars(with = "String", extend("enum" = ["f32", "bf16", "int8"]))]
    pub precision: Precision,
}

/// What a program of one's own predicts, and what to call it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictionSource {
    /// Name in tables.
    pub name: String,
    /// Folder with `SESSION.safetensors` for each session, which answers what the verb `questions` asks.
    pub path: PathBuf,
    /// Whether other sessions have entered it; only then is it pooled with a stack.
    #[serde(default)]
    pub is_pretrained: bool,
    /// What a reader of the report must know: what it is, and what it was trained on.
    pub note: String,
}

/// What closed forms learned from other sessions, and what to call it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackSource {
    /// Name in tables. `stack` has a meaning in reports.
    pub name: String,
    /// Folder of the pretraining run that learned it, or its `stack.json`.
    pub path: PathBuf,
}

/// Checks a model's values, and that it reads as many bins as the window has.
///
/// # Errors
/// If a value is out of range, or the bins differ.
pub(crate) fn check_model(model: &ModelConfig, window: &WindowConfig) -> Result<(), PipelineError> {
    model.validate()?;
    let (n_bins, n_given) = (model.n_bins(), window.n_bins()?);
    if n_bins == n_given {
        return Ok(());
    }
    let message = format!("is {n_bins}, but the window has {n_given} bins");
    Err(PipelineError::BadValue { field: "model.n_bins".to_owned(), message })
}

/// Checks a table of training and names it in the error, since a file may have several.
///
/// # Errors
/// If a value is out of range.
pub(crate) fn check_train(table: &str, train: &TrainConfig) -> Result<(), PipelineError> {
    match train.validate() {
        Err(TrainError::BadConfig { field, expected, received }) => Err(PipelineError::BadValue {
            field: format!("{table}.{field}"),
            message: format!("must be {expected}; received {received}"),
        }),
        other => Ok(other?),
    }
}

impl EvaluateConfig {
    /// Checks scoring and the names of models.
    ///
    /// # Errors
    /// If a value is out of range, a name is used twice or belongs to a baseline, or has a `+`, which joins the names of
    /// what is pooled.
    pub fn validate(&self) -> Result<(), PipelineError> {
        self.scoring.validate()?;
        let models = self.models.iter().map(|m| ("models.name", &m.name));
        let predictions = self.predictions.iter().map(|p| ("predictions.name", &p.name));
        let stacks = self.stacks.iter().map(|s| ("stacks.name", &s.name));
        let names: Vec<_> = models.chain(predictions).chain(stacks).collect();
        for (i, (field, name)) in names.iter().enumerate() {
            let is_twice = names[..i].iter().any(|(_, other)| other == name);
            if is_twice || is_reserved(name) {
                let message = format!("`{name}` is taken; every model and stack needs a name of its own");
                return Err(PipelineError::BadValue { field: (*field).to_owned(), message });
            }
            if name.contains('+') {
                let message = format!("`{name}` has a `+`, which tables use for pools; take another sign");
                return Err(PipelineError::BadValue { field: (*field).to_owned(), message });
            }
        }
        Ok(())
    }
}

impl DemoConfig {
    /// Checks everything before the first step.
    ///
    /// # Errors
    /// If a value is out of range, a list of sessions is empty, or a session is in both.
    pub fn validate(&self) -> Result<(), PipelineError> {
        check_model(&self.model, &self.window)?;
        let tables = [
            ("pretrain", &self.pretrain),
            ("finetune", &self.finetune),
            ("new_stitch", &self.new_stitch),
            ("from_scratch", &self.from_scratch),
        ];
        for (name, train) in tables {
            check_train(name, train)?;
        }
        self.stack.validate()?;
        self.scoring.validate()?;
        let lists =
            [("pretrain_sessions", &self.pretrain_sessions), ("finetune_sessions", &self.finetune_sessions)];
        for (field, list) in lists {
            if list.is_empty() {
                let message = "name at least one session".to_owned();
                return Err(PipelineError::BadValue { field: field.to_owned(), message });
            }
        }
        match self.pretrain_sessions.iter().find(|s| self.finetune_sessions.contains(s)) {
            None => Ok(()),
            Some(both) => Err(PipelineError::BadValue {
                field: "finetune_sessions".to_owned(),
                message: format!("{both} is also in pretrain_sessions; an unseen session cannot be both"),
            }),
        }
    }
}

/// Evaluation of fine-tuned models on test trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Seed of intervals, folds and unit samples; splits must be those of training, so use the same seed.
    pub seed: u64,
    /// Sessions to score.
    pub sessions: Vec<SessionId>,
    /// Models to score; without any, the baselines are scored alone.
    #[serde(default)]
    pub models: Vec<ModelSource>,
    /// Predictions of other programs to score beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<PredictionSource>,
    /// Stacks to score, which need no gradient step; pretrained models are also scored in a pool with the first.
    #[serde(default)]
    pub stacks: Vec<StackSource>,
    /// Data.
    pub data: DataConfig,
    /// What is scored.
    #[serde(default)]
    pub scoring: ScoringConfig,
}

/// The main job, end to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DemoConfig {
    /// Title of the report.
    pub title: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Folders of recordings to ingest.
    pub recordings: Vec<PathBuf>,
    /// Sessions to pretrain on.
    pub pretrain_sessions: Vec<SessionId>,
    /// Sessions the pretrained model never sees.
    pub finetune_sessions: Vec<SessionId>,
    /// The window cut from every trial.
    pub window: WindowConfig,
    /// Fractions of trials.
    #[serde(default)]
    pub split: SplitConfig,
    /// Units that are good enough; all where nothing is said.
    #[serde(default, skip_serializing_if = "UnitFilter::is_empty")]
    pub units: UnitFilter,
    /// The model.
    pub model: ModelConfig,
    /// Layers of sessions that start from a closed form, in pretraining, in sessions met later, and in the control from
    /// scratch by conditions of its own; absent: at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<AlignmentConfig>,
    /// What a reader of the report must know beside the standard notes, for example how rates were chosen.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What closed forms learn from the pretraining sessions; absent: nothing.
    #[serde(default = "StackConfig::none")]
    pub stack: StackConfig,
    /// How to pretrain.
    pub pretrain: TrainConfig,
    /// How to fine-tune end to end.
    pub finetune: TrainConfig,
    /// How to train the control from scratch: as many steps and as high a rate as serve it best.
    pub from_scratch: TrainConfig,
    /// How to train a new stitch under the frozen core.
    pub new_stitch: TrainConfig,
    /// What is scored.
    #[serde(default)]
    pub scoring: ScoringConfig,
}
