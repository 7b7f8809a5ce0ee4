//! Configuration of a scaling curve.

use std::path::PathBuf;

use neurobrick_data::{SplitConfig, SplitOrder, UnitFilter, WindowConfig};
use neurobrick_models::{ModelConfig, Ndt1Config, Ndt2Config, NdtStitchConfig};
use neurobrick_schema::SessionId;
use neurobrick_train::{EvalTask, TrainConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AlignmentConfig, ScaleTarget, ScoringConfig, check_model, check_train};
use crate::PipelineError;

/// What grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleAxis {
    /// Numbers of sessions to pretrain on, taken from the pool in an order of its own for every repeat; smaller sets lie
    /// within larger ones.
    Sessions(Vec<usize>),
    /// Largest number of trials of every pretraining session (training and validation together).
    Trials(Vec<usize>),
    /// Widths of the network: of tokens (`d_model`), with stitch, embedding and MLP in the proportions of the model.
    Width(Vec<usize>),
}

impl ScaleAxis {
    /// The sizes.
    pub fn sizes(&self) -> &[usize] {
        match self {
            Self::Sessions(sizes) | Self::Trials(sizes) | Self::Width(sizes) => sizes,
        }
    }

    /// What the sizes count.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Sessions(_) => "pretraining sessions",
            Self::Trials(_) => "trials per pretraining session",
            Self::Width(_) => "width",
        }
    }
}

/// How the number of pretraining steps goes with the size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleSteps {
    /// The same number at every size: the cost is fixed, and more sessions or trials are each seen less often.
    #[default]
    Fixed,
    /// The number is the smallest size's and grows in proportion: every session or trial is seen as often at every size.
    Proportional,
}

/// What is scored on every rung: models alone. Pools with a linear predictor and decoded labels have no place on a ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScaleScoring {
    /// Tasks.
    pub tasks: Vec<EvalTask>,
    /// Largest number of units that leave-one-out tasks predict, drawn by seed; absent means all.
    pub max_units: Option<usize>,
    /// Whether to fit the baselines, beside the control.
    pub baselines: bool,
    /// Trial columns whose values together make a condition of the PSTH baseline.
    pub condition_columns: Vec<String>,
    /// Resamples of the bootstrap.
    pub n_resamples: usize,
    /// Test spikes a unit needs to count as active.
    pub active_min_spikes: u32,
}

impl Default for ScaleScoring {
    fn default() -> Self {
        let ScoringConfig {
            tasks,
            max_units,
            baselines,
            condition_columns,
            n_resamples,
            active_min_spikes,
            ..
        } = ScoringConfig::default();
        Self { tasks, max_units, baselines, condition_columns, n_resamples, active_min_spikes }
    }
}

impl ScaleScoring {
    /// The same as `evaluate` takes it.
    pub(crate) fn resolved(&self) -> ScoringConfig {
        ScoringConfig {
            tasks: self.tasks.clone(),
            max_units: self.max_units,
            baselines: self.baselines,
            with_linear: false,
            condition_columns: self.condition_columns.clone(),
            n_resamples: self.n_resamples,
            active_min_spikes: self.active_min_spikes,
            ..ScoringConfig::default()
        }
    }
}

/// Pretraining on ever more, evaluated on sessions left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleConfig {
    /// Seed of splits, weights and masks; repeats add their number to it in pretraining.
    pub seed: u64,
    /// Folders of recordings to ingest.
    pub recordings: Vec<PathBuf>,
    /// Sessions to pretrain on.
    pub pool: Vec<SessionId>,
    /// Sessions left out of pretraining, fine-tuned and scored.
    pub evaluate: Vec<SessionId>,
    /// What grows.
    pub axis: ScaleAxis,
    /// Times the ladder is climbed, each with another order of the pool and another start of the weights.
    #[serde(default = "two")]
    pub repeats: u64,
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
    /// Layers of sessions that start from a closed form, in pretraining, when a session is met, and in the control from scratch
    /// by conditions of its own; absent: at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<AlignmentConfig>,
    /// How to pretrain.
    pub pretrain: TrainConfig,
    /// How its number of steps goes with the size.
    #[serde(default)]
    pub steps: ScaleSteps,
    /// How to fine-tune.
    pub finetune: TrainConfig,
    /// How to train the control from scratch.
    pub from_scratch: TrainConfig,
    /// What is scored.
    #[serde(default)]
    pub scoring: ScaleScoring,
    /// Scores whose price is asked for.
    #[serde(default)]
    pub targets: Vec<ScaleTarget>,
}

fn two() -> u64 {
    2
}

impl ScaleConfig {
    /// Checks everything before the first step.
    ///
    /// # Errors
    /// If a value is out of range, sizes do not ascend, a model of one of them would be out of range, or a session is in
    /// both lists.
    pub fn validate(&self) -> Result<(), PipelineError> {
        check_model(&self.model, &self.window)?;
        self.alignment.iter().try_for_each(AlignmentConfig::validate)?;
        let tables = [
            ("pretrain", &self.pretrain),
            ("finetune", &self.finetune),
            ("from_scratch", &self.from_scratch),
        ];
        for (name, train) in tables {
            check_train(name, train)?;
        }
        self.scoring.resolved().validate()?;
        let refuse =
            |field: &str, message: String| Err(PipelineError::BadValue { field: field.to_owned(), message });
        let sizes = self.axis.sizes();
        if sizes.len() < 2 || sizes[0] == 0 || sizes.windows(2).any(|pair| pair[0] >= pair[1]) {
            return refuse("axis", format!("needs at least two ascending sizes above zero, got {sizes:?}"));
        }
        if let ScaleAxis::Sessions(_) = self.axis
            && sizes[sizes.len() - 1] > self.pool.len()
        {
            let message =
                format!("asks for {} sessions, the pool has {}", sizes[sizes.len() - 1], self.pool.len());
            return refuse("axis", message);
        }
        if let (ScaleAxis::Trials(_), Some(few)) = (&self.axis, sizes.iter().find(|&&n| n < 2)) {
            return refuse("axis", format!("{few} trials cannot both train and validate; name 2 or more"));
        }
        if let (ScaleAxis::Trials(_), SplitOrder::Blocks(_)) = (&self.axis, &self.split.order) {
            let message =
                "blocks of time cannot be cut to numbers of trials; choose another order, or another axis";
            return refuse("split.order", message.to_owned());
        }
        let has_width =
            matches!(self.model, ModelConfig::NdtStitch(_) | ModelConfig::Ndt1(_) | ModelConfig::Ndt2(_));
        if matches!(self.axis, ScaleAxis::Width(_)) && !has_width {
            let message = "only transformers have a width to scale; scale sessions or trials of this model";
            return refuse("axis", message.to_owned());
        }
        if matches!(self.axis, ScaleAxis::Width(_)) && self.steps == ScaleSteps::Proportional {
            let message =
                "a wider network sees the same trials as often: `proportional` is for sessions and trials";
            return refuse("steps", message.to_owned());
        }
        for &size in sizes {
            if let Err(error) = self.model_of(size).validate() {
                return refuse("axis", format!("size {size} makes no model: {error}"));
            }
        }
        if self.repeats == 0 {
            return refuse("repeats", "must be positive".to_owned());
        }
        for (field, list) in [("pool", &self.pool), ("evaluate", &self.evaluate)] {
            if list.is_empty() {
                return refuse(field, "name at least one session".to_owned());
            }
        }
        match self.pool.iter().find(|session| self.evaluate.contains(session)) {
            Some(both) => {
                refuse("evaluate", format!("{both} is also in the pool; it would be pretrained on"))
            }
            None => Ok(()),
        }
    }

    /// How to pretrain at one size.
    pub fn pretrain_at(&self, size: usize) -> TrainConfig {
        let mut train = self.pretrain.clone();
        if self.steps == ScaleSteps::Proportional {
            let smallest = self.axis.sizes().first().copied().unwrap_or(1).max(1) as u64;
            train.n_steps = (train.n_steps * size as u64).div_ceil(smallest);
        }
        train
    }

    /// The model of one size: on the axis of widths of this width, all others in proportion and the same number of heads.
    pub fn model_of(&self, size: usize) -> ModelConfig {
        let ScaleAxis::Width(_) = self.axis else { return self.model.clone() };
        // A part that is not there stays away.
        let scaled =
            |part: usize, whole: usize| if part == 0 { 0 } else { (part * size / whole.max(1)).max(1) };
        match &self.model {
            ModelConfig::NdtStitch(config) => ModelConfig::NdtStitch(NdtStitchConfig {
                d_model: size,
                d_stitch: scaled(config.d_stitch, config.d_model),
                d_embed: scaled(config.d_embed, config.d_model),
                d_mlp: scaled(config.d_mlp, config.d_model),
                ..config.clone()
            }),
            ModelConfig::Ndt1(config) => ModelConfig::Ndt1(Ndt1Config {
                d_model: size,
                d_hidden: scaled(config.d_hidden, config.d_model),
                ..config.clone()
            }),
            ModelConfig::Ndt2(config) => ModelConfig::Ndt2(Ndt2Config {
                d_model: size,
                d_hidden: scaled(config.d_hidden, config.d_model),
                ..config.clone()
            }),
            // They have no width to scale, which `validate` says.
            ModelConfig::LinearStitch(_) | ModelConfig::Lfads(_) | ModelConfig::GruStitch(_) => {
                self.model.clone()
            }
        }
    }
}
