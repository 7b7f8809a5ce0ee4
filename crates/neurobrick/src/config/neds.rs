//! Configuration of NEDS: pretraining and fine-tuning of a model that predicts spikes and behavior from each other.

use neurobrick_core::KindTable;
use neurobrick_data::WindowConfig;
use neurobrick_models::{NedsConfig, NedsLabel, NedsMasking, NedsModalities};
use neurobrick_schema::SessionId;
use neurobrick_train::{AdamWConfig, LoopConfig, OneCycle};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::poyo::{check_batches, check_sessions};
use super::{BehaviorTarget, DataConfig, DecodeTarget, Start};
use crate::PipelineError;

/// A model that predicts spikes and behavior from each other.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MultimodalConfig {
    /// NEDS.
    Neds(NedsConfig),
}

impl<'de> Deserialize<'de> for MultimodalConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = KindTable::deserialize(deserializer)?;
        match table.kind() {
            "neds" => table.fields().map(Self::Neds),
            _ => Err(table.unknown(&["neds"])),
        }
    }
}

impl MultimodalConfig {
    /// Sizes of the model.
    pub fn sizes(&self) -> &NedsConfig {
        let Self::Neds(sizes) = self;
        sizes
    }

    /// Checks every value, and that the model reads as many bins as the window has.
    ///
    /// # Errors
    /// If a value is out of range, or the bins differ.
    pub fn validate(&self, data: &DataConfig) -> Result<(), PipelineError> {
        self.validate_window(&data.window)
    }

    /// Checks every value, and that the model reads as many bins as this window has.
    pub(super) fn validate_window(&self, window: &WindowConfig) -> Result<(), PipelineError> {
        let sizes = self.sizes();
        sizes.validate()?;
        let n_bins = window.n_bins()?;
        if sizes.n_bins == n_bins {
            return Ok(());
        }
        let message = format!("is {}, but the window has {n_bins} bins", sizes.n_bins);
        Err(PipelineError::BadValue { field: "model.n_bins".to_owned(), message })
    }
}

/// What the model reads and predicts beside spikes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModalitiesConfig {
    /// Labels of trials. Trials without one are shown none, and are not asked for it.
    pub labels: Vec<DecodeTarget>,
    /// Continuous behavior, standardized by session over its training windows. Bins without one are shown none.
    pub behaviors: Vec<BehaviorTarget>,
}

impl ModalitiesConfig {
    /// Names and numbers of classes, which are what the model itself must know.
    pub fn of_model(&self) -> NedsModalities {
        let label = |target: &DecodeTarget| NedsLabel {
            name: target.name().to_owned(),
            n_classes: target.classes().len(),
        };
        NedsModalities {
            labels: self.labels.iter().map(label).collect(),
            behaviors: self.behaviors.iter().map(|target| target.name.clone()).collect(),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If there is nothing beside spikes, a name is given twice, or classes of a label are named twice, empty or fewer than two.
    pub fn validate(&self) -> Result<(), PipelineError> {
        self.of_model().validate()?;
        for target in &self.labels {
            target.validate("modalities.labels")?;
        }
        Ok(self.behaviors.iter().try_for_each(BehaviorTarget::validate)?)
    }
}

/// One training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NedsTrainConfig {
    /// Number of optimizer steps.
    pub n_steps: u64,
    /// Trials per batch; every batch is of one session (published: 16).
    #[serde(default = "sixteen")]
    pub batch_size: usize,
    /// Steps at the beginning in which only encoders, read-outs and tokens of sessions learn; 0, as published, trains everything
    /// from the start.
    #[serde(default)]
    pub n_frozen_steps: u64,
    /// Which tokens are hidden.
    #[serde(default)]
    pub masking: NedsMasking,
    /// Weight of the cross-entropy of labels beside the losses of spikes and behaviors; absent: one over the number of bins,
    /// which is near what was published. With more, labels outweigh spikes, whose loss is a mean over bins with few of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_weight: Option<f64>,
    /// Learning rate and momentum.
    pub schedule: OneCycle,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: AdamWConfig,
    /// Largest global norm of the gradient; larger gradients are scaled down. As published: not clipped.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Shards a batch is cut into. They run on as many threads as there are; their gradients are added in order,
    /// so the result depends on this number and not on the number of threads.
    #[serde(default = "two")]
    pub n_shards: usize,
    /// Steps between validations.
    pub valid_every: u64,
    /// Validations without improvement after which the run stops; absent never stops early.
    #[serde(default)]
    pub patience: Option<u64>,
    /// Steps between checkpoints.
    #[serde(default = "thousand")]
    pub checkpoint_every: u64,
}

fn two() -> usize {
    2
}
fn sixteen() -> usize {
    16
}
fn thousand() -> u64 {
    1000
}

impl NedsTrainConfig {
    /// What the loop must know.
    pub(crate) fn loop_config(&self) -> LoopConfig {
        LoopConfig {
            n_steps: self.n_steps,
            schedule: self.schedule.clone(),
            optimizer: self.optimizer.clone(),
            clip_norm: self.clip_norm,
            n_shards: self.n_shards,
            valid_every: self.valid_every,
            patience: self.patience,
            checkpoint_every: self.checkpoint_every,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        check_batches(&self.loop_config(), self.batch_size)?;
        self.masking.validate()?;
        match self.label_weight {
            Some(weight) if !(weight > 0.0 && weight.is_finite()) => Err(PipelineError::BadValue {
                field: "train.label_weight".to_owned(),
                message: format!("must be positive and finite; received {weight}"),
            }),
            _ => Ok(()),
        }
    }
}

/// Pretraining on many sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainNedsConfig {
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
    /// What is read and predicted beside spikes.
    pub modalities: ModalitiesConfig,
    /// The model.
    pub model: MultimodalConfig,
    /// How to train.
    pub train: NedsTrainConfig,
}

impl PretrainNedsConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        self.modalities.validate()?;
        self.model.validate(&self.data)?;
        self.train.validate()
    }
}

/// Fine-tuning on sessions, each by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinetuneNedsConfig {
    /// Seed of every random choice.
    pub seed: u64,
    /// Sessions; each gets a model of its own.
    pub sessions: Vec<SessionId>,
    /// What to start from.
    pub start: Start<MultimodalConfig>,
    /// Data.
    pub data: DataConfig,
    /// What is read and predicted beside spikes: the names and numbers of classes that the model was pretrained for, in its
    /// order. Columns and signals may be others.
    pub modalities: ModalitiesConfig,
    /// How to train.
    pub train: NedsTrainConfig,
}

impl FinetuneNedsConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        check_sessions(&self.sessions)?;
        self.modalities.validate()?;
        if let Start::Scratch(model) = &self.start {
            model.validate(&self.data)?;
        }
        self.train.validate()
    }
}
