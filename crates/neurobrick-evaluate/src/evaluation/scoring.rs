//! What an evaluation scores, and how.

use neurobrick_train::EvalTask;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DecodeTarget, TwoAlternativeConfig};
use crate::EvaluateError;

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
    /// Whether every model is also scored in a pool with the best linear predictor of a task (temporal factors and
    /// Wiener filter; ridge autoregression and the mean of the last bins for the future), weighted on the validation trials. Needs the baselines.
    pub with_linear: bool,
    /// Trial columns whose values together make a condition of the PSTH baseline.
    pub condition_columns: Vec<String>,
    /// Labels to decode.
    pub decode: Vec<DecodeTarget>,
    /// Whether predictors tell the real spikes of what was hidden from altered ones; absent: not asked. Only for tasks that hide
    /// their targets at once: `co_smoothing_group`, `forward_prediction`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_alternative: Option<TwoAlternativeConfig>,
    /// Draws of each null of a decoded label: the probe is fitted again as often to labels without meaning.
    pub n_shuffles: usize,
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
            with_linear: true,
            condition_columns: Vec::new(),
            decode: Vec::new(),
            two_alternative: None,
            n_shuffles: 100,
            n_resamples: 1000,
            active_min_spikes: 50,
        }
    }
}

impl ScoringConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// If there are no tasks, too few resamples or shuffles, a limit is zero, a label has several classes, or real spikes against
    /// altered ones are asked for of a task that does not hide its targets at once.
    pub fn validate(&self) -> Result<(), EvaluateError> {
        let refuse = |field: &str, message: &str| {
            Err(EvaluateError::BadValue { field: format!("scoring.{field}"), message: message.to_owned() })
        };
        if self.tasks.is_empty() && self.decode.is_empty() {
            return refuse("tasks", "name a task or a label to decode; there is nothing to score");
        }
        if self.n_resamples < 100 {
            return refuse("n_resamples", "needs at least 100 for an interval");
        }
        if self.n_shuffles < 20 {
            return refuse("n_shuffles", "needs at least 20 to tell one in twenty");
        }
        if self.max_units == Some(0) {
            return refuse("max_units", "must be positive; leave it out to score all units");
        }
        if let Some(config) = &self.two_alternative {
            config.validate()?;
        }
        self.check_choices()?;
        self.decode.iter().try_for_each(|target| target.validate_binary("scoring.decode"))
    }

    /// Refuses real spikes against altered ones for tasks that do not hide their targets at once.
    pub(super) fn check_choices(&self) -> Result<(), EvaluateError> {
        if self.two_alternative.is_some() { TwoAlternativeConfig::check_tasks(&self.tasks) } else { Ok(()) }
    }
}
