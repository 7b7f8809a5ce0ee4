//! Configuration of POYO: pretraining and fine-tuning of a decoder of behavior that reads single spikes.

use neurobrick_core::KindTable;
use neurobrick_data::WindowConfig;
use neurobrick_models::PoyoConfig;
use neurobrick_schema::SessionId;
use neurobrick_train::{AdamWConfig, LoopConfig, OneCycle, TrainError};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{BehaviorTarget, DataConfig, Start};
use crate::PipelineError;

/// A model that reads single spikes and decodes behavior.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SpikeDecoderConfig {
    /// POYO.
    Poyo(PoyoConfig),
}

impl<'de> Deserialize<'de> for SpikeDecoderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = KindTable::deserialize(deserializer)?;
        match table.kind() {
            "poyo" => table.fields().map(Self::Poyo),
            _ => Err(table.unknown(&["poyo"])),
        }
    }
}

impl SpikeDecoderConfig {
    /// Sizes of the model.
    pub fn sizes(&self) -> &PoyoConfig {
        let Self::Poyo(sizes) = self;
        sizes
    }

    /// Checks every value, and that the model reads windows of this length and answers these targets.
    ///
    /// # Errors
    /// If a value is out of range, or the window or the number of targets differs.
    pub fn validate(&self, window: &WindowConfig, targets: &[BehaviorTarget]) -> Result<(), PipelineError> {
        let sizes = self.sizes();
        sizes.validate()?;
        window.n_bins()?;
        let length_s = window.end_s - window.start_s;
        let refuse = |field: &str, message: String| {
            Err(PipelineError::BadValue { field: format!("model.{field}"), message })
        };
        if (sizes.window_s - length_s).abs() > 1e-6 * length_s {
            return refuse("window_s", format!("is {}, but the window has {length_s} s", sizes.window_s));
        }
        if sizes.n_outputs != targets.len() {
            let message = format!("is {}, but `behaviors` lists {}", sizes.n_outputs, targets.len());
            return refuse("n_outputs", message);
        }
        Ok(())
    }
}

/// How many units of a session a training window sees: drawn from a triangle for every window (Azabou et al. 2023). A window of
/// a session with fewer units sees all of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitDropout {
    /// Fewest units (published: 30; 60 for the Neural Latents Benchmark).
    pub min: usize,
    /// Most likely number (published: 100; 300).
    pub mode: usize,
    /// Most units (published: 300; 1000).
    pub max: usize,
}

/// One training run of a decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecoderTrainConfig {
    /// Number of optimizer steps.
    pub n_steps: u64,
    /// Windows per batch, of all sessions together (published: 128).
    pub batch_size: usize,
    /// Steps at the beginning in which only units and session tokens learn ("unit identification"; published: 10 epochs of
    /// fine-tuning, or all of them); 0 trains everything from the start.
    #[serde(default)]
    pub n_frozen_steps: u64,
    /// Training windows are shifted by up to this many seconds to either side, anew in every step, as far as no window that
    /// validates or tests is touched (published: half a window, over windows that follow each other); 0 leaves them in place.
    #[serde(default)]
    pub jitter_s: f64,
    /// How many units training windows see; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_dropout: Option<UnitDropout>,
    /// Learning rate and momentum.
    pub schedule: OneCycle,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: AdamWConfig,
    /// Largest global norm of the gradient (of the mean loss); larger gradients are scaled down. As published: not clipped.
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
fn thousand() -> u64 {
    1000
}

impl DecoderTrainConfig {
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
        let refuse = |field: &str, message: String| {
            Err(PipelineError::BadValue { field: format!("train.{field}"), message })
        };
        check_batches(&self.loop_config(), self.batch_size)?;
        if !(self.jitter_s >= 0.0 && self.jitter_s.is_finite()) {
            return refuse("jitter_s", format!("must be zero or positive; received {}", self.jitter_s));
        }
        if let Some(UnitDropout { min, mode, max }) = self.unit_dropout
            && !(0 < min && min <= mode && mode <= max)
        {
            let message = format!("needs 0 < min <= mode <= max; received {min}, {mode}, {max}");
            return refuse("unit_dropout", message);
        }
        Ok(())
    }
}

/// Checks what every `train` table has: the loop and the size of a batch.
///
/// # Errors
/// On the first value out of range.
pub(super) fn check_batches(settings: &LoopConfig, batch_size: usize) -> Result<(), PipelineError> {
    let refuse = |field: &str, message: String| {
        Err(PipelineError::BadValue { field: format!("train.{field}"), message })
    };
    match settings.validate() {
        Err(TrainError::BadConfig { field, expected, received }) => {
            refuse(field, format!("must be {expected}; received {received}"))
        }
        Err(other) => Err(other.into()),
        Ok(()) if batch_size == 0 => refuse("batch_size", "must be positive".to_owned()),
        Ok(()) => Ok(()),
    }
}

/// Checks that a fine-tuning names a session.
///
/// # Errors
/// If there is none.
pub(super) fn check_sessions(sessions: &[SessionId]) -> Result<(), PipelineError> {
    if sessions.is_empty() {
        let message = "name at least one session to fine-tune on".to_owned();
        return Err(PipelineError::BadValue { field: "sessions".to_owned(), message });
    }
    Ok(())
}

/// Checks the targets of a decoder.
///
/// # Errors
/// If there is none, one is out of range, or a name is given twice.
pub(super) fn check_targets(targets: &[BehaviorTarget]) -> Result<(), PipelineError> {
    let refuse = |message: String| Err(PipelineError::BadValue { field: "behaviors".to_owned(), message });
    if targets.is_empty() {
        return refuse("name at least one; there is nothing to decode".to_owned());
    }
    for (i, target) in targets.iter().enumerate() {
        target.validate()?;
        if targets[..i].iter().any(|other| other.name == target.name) {
            return refuse(format!("two targets are called `{}`", target.name));
        }
    }
    Ok(())
}

/// Pretraining of a decoder of behavior on many sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainDecoderConfig {
    /// Seed of every random choice.
    pub seed: u64,
    /// Sessions to train on; empty means all sessions of the store.
    #[serde(default)]
    pub sessions: Vec<SessionId>,
    /// Sessions never to train on.
    #[serde(default)]
    pub exclude: Vec<SessionId>,
    /// Data. The model answers in the middle of every bin; its input is not binned.
    pub data: DataConfig,
    /// What is decoded: one output for each, in this order.
    pub behaviors: Vec<BehaviorTarget>,
    /// The model.
    pub model: SpikeDecoderConfig,
    /// How to train.
    pub train: DecoderTrainConfig,
}

impl PretrainDecoderConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        check_targets(&self.behaviors)?;
        self.model.validate(&self.data.window, &self.behaviors)?;
        self.train.validate()
    }
}

/// What fine-tuning of a decoder starts from.
pub type DecoderStart = Start<SpikeDecoderConfig>;

/// Fine-tuning of a decoder of behavior on sessions, each by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinetuneDecoderConfig {
    /// Seed of every random choice.
    pub seed: u64,
    /// Sessions; each gets a model of its own.
    pub sessions: Vec<SessionId>,
    /// What to start from.
    pub start: DecoderStart,
    /// Data.
    pub data: DataConfig,
    /// What is decoded: the names that the model was pretrained for, in its order. Signals and columns may be others.
    pub behaviors: Vec<BehaviorTarget>,
    /// How to train.
    pub train: DecoderTrainConfig,
}

impl FinetuneDecoderConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        check_sessions(&self.sessions)?;
        check_targets(&self.behaviors)?;
        if let DecoderStart::Scratch(model) = &self.start {
            model.validate(&self.data.window, &self.behaviors)?;
        }
        self.train.validate()
    }
}
