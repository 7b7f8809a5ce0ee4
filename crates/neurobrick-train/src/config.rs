//! How a run trains.

use neurobrick_core::MaskScheme;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{OneCycle, PenaltyRamps, TrainError};

/// AdamW (Loshchilov and Hutter 2019) as in PyTorch; beta1 comes from the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, on every parameter (as MtM: norms, biases and tables too).
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    /// PyTorch's defaults, which MtM uses.
    fn default() -> Self {
        Self { beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// Which parameters learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    /// Everything, end to end.
    #[default]
    All,
    /// Stitches and session tokens; the core stays frozen.
    SessionsOnly,
}

/// One training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Number of optimizer steps.
    pub n_steps: u64,
    /// Trials per batch; every batch is of one session.
    #[serde(default = "sixteen")]
    pub batch_size: usize,
    /// Schemes, one drawn uniformly for every batch.
    #[serde(default = "mtm")]
    pub schemes: Vec<MaskScheme>,
    /// Learning rate and momentum.
    #[serde(default)]
    pub schedule: OneCycle,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: AdamWConfig,
    /// When the penalties of a model set in, for models that have some (LFADS).
    #[serde(default, skip_serializing_if = "is_default")]
    pub penalty_ramps: PenaltyRamps,
    /// Largest global norm of the gradient (of the summed loss); larger gradients are scaled down. MtM does not
    /// clip: `None`.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// Which parameters learn.
    #[serde(default)]
    pub trainable: Trainable,
    /// Shards a batch is cut into. They run on as many threads as there are; their gradients are added in order,
    /// so the result depends on this number and not on the number of threads.
    #[serde(default = "two")]
    pub n_shards: usize,
    /// Steps between validations.
    #[serde(default = "quarter_thousand")]
    pub valid_every: u64,
    /// Validations without improvement after which the run stops; `None` never stops early.
    #[serde(default)]
    pub patience: Option<u64>,
    /// Steps between checkpoints.
    #[serde(default = "thousand")]
    pub checkpoint_every: u64,
    /// As published with MtM: batches are cut once, incomplete ones dropped, and validation draws new masks every
    /// time, which makes its scores noisy.
    #[serde(default)]
    pub faithful: bool,
}

fn is_default(ramps: &PenaltyRamps) -> bool {
    *ramps == PenaltyRamps::default()
}
fn two() -> usize {
    2
}
fn sixteen() -> usize {
    16
}
fn quarter_thousand() -> u64 {
    250
}
fn thousand() -> u64 {
    1000
}
fn mtm() -> Vec<MaskScheme> {
    MaskScheme::MTM.to_vec()
}

/// What the loop itself must know of a run, whatever it learns.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopConfig {
    /// Number of optimizer steps.
    pub n_steps: u64,
    /// Learning rate and momentum.
    pub schedule: OneCycle,
    /// The optimizer.
    pub optimizer: AdamWConfig,
    /// Largest global norm of the gradient; larger gradients are scaled down. `None` does not clip.
    pub clip_norm: Option<f64>,
    /// Shards a batch is cut into: more threads than these do not help.
    pub n_shards: usize,
    /// Steps between validations.
    pub valid_every: u64,
    /// Validations without improvement after which the run stops; `None` never stops early.
    pub patience: Option<u64>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
}

impl TrainConfig {
    /// What the loop must know.
    pub fn loop_config(&self) -> LoopConfig {
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

    /// Checks every value once, before a run starts.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), TrainError> {
        require("batch_size", self.batch_size, self.batch_size > 0, "positive")?;
        require("schemes", "[]", !self.schemes.is_empty(), "a list of at least one scheme")?;
        for scheme in &self.schemes {
            if let Some((field, expected, received)) = scheme.fault() {
                require(field, received, false, expected)?;
            }
        }
        self.loop_config().validate()
    }
}

impl LoopConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), TrainError> {
        let positive = [
            ("n_steps", self.n_steps),
            ("n_shards", self.n_shards as u64),
            ("valid_every", self.valid_every),
            ("checkpoint_every", self.checkpoint_every),
        ];
        for (field, value) in positive {
            require(field, value, value > 0, "positive")?;
        }
        let OneCycle { max_lr, pct_start, div_factor, final_div_factor, base_momentum, max_momentum } =
            self.schedule;
        require("schedule.max_lr", max_lr, max_lr > 0.0 && max_lr.is_finite(), "positive and finite")?;
        require("schedule.pct_start", pct_start, (0.0..=1.0).contains(&pct_start), "in [0, 1]")?;
        require("schedule.div_factor", div_factor, div_factor >= 1.0, "at least 1")?;
        require("schedule.final_div_factor", final_div_factor, final_div_factor >= 1.0, "at least 1")?;
        for (field, beta) in [
            ("schedule.base_momentum", base_momentum),
            ("schedule.max_momentum", max_momentum),
            ("optimizer.beta2", self.optimizer.beta2),
        ] {
            require(field, beta, (0.0..1.0).contains(&beta), "in [0, 1)")?;
        }
        require("optimizer.eps", self.optimizer.eps, self.optimizer.eps > 0.0, "positive")?;
        let decay = self.optimizer.weight_decay;
        require("optimizer.weight_decay", decay, decay >= 0.0 && decay.is_finite(), "zero or positive")?;
        if let Some(norm) = self.clip_norm {
            require("clip_norm", norm, norm > 0.0 && norm.is_finite(), "positive and finite")?;
        }
        Ok(())
    }
}

fn require(
    field: &'static str,
    value: impl std::fmt::Display,
    ok: bool,
    expected: &str,
) -> Result<(), TrainError> {
    if ok {
        return Ok(());
    }
    Err(TrainError::BadConfig { field, expected: expected.to_owned(), received: value.to_string() })
}
