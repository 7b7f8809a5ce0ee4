//! Real spikes told from altered ones.

use serde::{Deserialize, Serialize};

use super::{Estimate, Predictor, Task};
use crate::nullable;

/// One predictor's choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceRow {
    /// Who chose.
    pub predictor: Predictor,
    /// Share of items in which it finds the real spikes the likelier, ties half, 0 to 1; chance is 0.5.
    pub accuracy: Estimate,
    /// Mean gap between its own probability of being right and how often it is.
    #[serde(with = "nullable::scalar")]
    pub calibration_error: f64,
    /// The first model's accuracy minus this one, on the same items; absent for that model itself and without a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Estimate>,
}

/// One alteration of what a task hides, on one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceResult {
    /// Session id.
    pub session: String,
    /// The task whose hidden entries are altered.
    pub task: Task,
    /// How, in words.
    pub alteration: String,
    /// Test trials.
    pub n_trials: u64,
    /// Pairs of a trial and an altered copy of it.
    pub n_items: u64,
    /// Units that differ in a pair, mean over pairs.
    pub mean_altered_units: f64,
    /// All predictors.
    pub rows: Vec<ChoiceRow>,
}
