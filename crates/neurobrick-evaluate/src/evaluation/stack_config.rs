//! How closed forms learn from other sessions.

use neurobrick_metrics::stack::FeaturePart;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EvaluateError;

/// How closed forms are stacked over the pretraining sessions: in each of them they are fitted to as many trials as a new
/// session may offer, and asked about others. See `neurobrick_metrics::stack`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StackConfig {
    /// Numbers of calibration trials to learn for, ascending; between two of them the stack interpolates. Sessions with
    /// too few trials for a number are left out of it. Empty: no stack.
    pub calibration: Vec<usize>,
    /// At most this many trials of a session are asked about, for each number.
    pub max_trials: usize,
    /// At most this many units of a session are asked about, for each task.
    pub max_units: usize,
    /// Penalty on the squared weights of the standardized features, in nats.
    pub penalty: f64,
    /// Features made of any of these parts are left out.
    #[schemars(with = "Vec<String>", extend("items" = part_schema()))]
    pub without: Vec<FeaturePart>,
}

/// A stack with parts left out or another penalty, scored beside the whole one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackAblation {
    /// Name in tables.
    pub name: String,
    /// Features made of any of these parts are left out.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("items" = part_schema()))]
    pub without: Vec<FeaturePart>,
    /// Another penalty.
    #[serde(default)]
    pub penalty: Option<f64>,
}

/// The parts by name, for editors.
fn part_schema() -> serde_json::Value {
    let names = ["evidence", "reliability", "factors", "filters", "population", "course", "products"];
    serde_json::json!({ "type": "string", "enum": names })
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            calibration: vec![16, 32, 64, 128],
            max_trials: 24,
            max_units: 64,
            penalty: 30.0,
            without: Vec::new(),
        }
    }
}

impl StackConfig {
    /// A configuration that learns nothing.
    pub fn none() -> Self {
        Self { calibration: Vec::new(), ..Self::default() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If numbers do not ascend from 2, or a limit or the penalty is not above zero.
    pub fn validate(&self) -> Result<(), EvaluateError> {
        let refuse = |field: &str, message: &str| {
            Err(EvaluateError::BadValue { field: format!("stack.{field}"), message: message.to_owned() })
        };
        if self.calibration.first().is_some_and(|&n| n < 2)
            || self.calibration.windows(2).any(|pair| pair[1] <= pair[0])
        {
            return refuse("calibration", "name numbers of trials in ascending order, none below 2");
        }
        if self.max_trials == 0 || self.max_units == 0 {
            return refuse("max_trials", "a stack must be asked about at least one trial and one unit");
        }
        if !(self.penalty.is_finite() && self.penalty > 0.0) {
            return refuse("penalty", "must be above zero");
        }
        Ok(())
    }
}
