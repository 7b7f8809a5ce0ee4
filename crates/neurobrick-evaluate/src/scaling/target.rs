//! Scores whose price a scaling curve is asked for.

use neurobrick_train::EvalTask;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A score whose price is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleTarget {
    /// The task.
    pub task: EvalTask,
    /// Mean over the evaluated sessions of pooled bits/spike.
    pub bits_per_spike: f64,
}
