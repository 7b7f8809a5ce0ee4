//! What can be configured.

use std::path::PathBuf;

use neurobrick_data::{SplitConfig, WindowConfig};
use neurobrick_models::ModelConfig;
use neurobrick_schema::SessionId;
use neurobrick_train::{EvalTask, TrainConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where windows come from and how trials are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The store.
    pub store: PathBuf,
    /// The window cut from every trial.
    pub window: WindowConfig,
    /// Fractions of trials.
    #[serde(default)]
    pub split: SplitConfig,
}

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
}

/// What fine-tuning starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// A model folder written by `pretrain`.
    Pretrained(PathBuf),
    /// A fresh model: the control without pretraining.
    Scratch(ModelConfig),
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
}

/// A finished model and what to call it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSource {
    /// Name in tables. `fine_tuned`, `new_stitch` and `from_scratch` have a meaning in reports.
    pub name: String,
    /// Folder with one run folder per session, as written by `finetune`.
    pub path: PathBuf,
}

/// A binary label decoded from behavior columns of the trial table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DecodeTarget {
    /// Which of two numeric columns is larger; trials where they are equal or missing are left out.
    Larger {
        /// Name in tables.
        name: String,
        /// Label `true` if this column is larger.
        first: String,
        /// Label `false` if this column is larger.
        second: String,
    },
    /// Which of two texts a column holds; other trials are left out.
    Category {
        /// Name in tables.
        name: String,
        /// The column.
        column: String,
        /// Text of label `true`.
        positive: String,
        /// Text of label `false`.
        negative: String,
    },
}

impl DecodeTarget {
    /// Name in tables.
    pub fn name(&self) -> &str {
        match self {
            Self::Larger { name, .. } | Self::Category { name, .. } => name,
        }
    }
}

/// What is scored and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScoringConfig {
    /// Tasks.
    pub tasks: Vec<EvalTask>,
    /// Largest number of units that leave-one-out tasks predict, drawn by seed; absent means all.
    pub max_units: Option<usize>,
    /// Whether to fit the baselines.
    pub baselines: bool,
    /// Trial columns whose values together make a condition of the PSTH baseline.
    pub condition_columns: Vec<String>,
    /// Labels to decode.
    pub decode: Vec<DecodeTarget>,
    /// Resamples of the bootstrap over trials.
    pub n_resamples: usize,
    /// Test spikes a unit needs to count as active.
    pub active_min_spikes: u32,
}

impl Default for ScoringConfig {
    fn default() -> Self {
        Self {
            tasks: EvalTask::ALL.to_vec(),
            max_units: None,
            baselines: true,
            condition_columns: Vec::new(),
            decode: Vec::new(),
            n_resamples: 1000,
            active_min_spikes: 50,
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
    /// Models to score.
    pub models: Vec<ModelSource>,
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
    /// The model.
    pub model: ModelConfig,
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
