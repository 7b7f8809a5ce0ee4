//! How layers of sessions start from a closed form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PipelineError;

/// Layers of sessions start aligned to components that the condition averages of all pretraining sessions share
/// (Pandarinath et al. 2018): channel `i` then means the same in every session before the first step, and in every session
/// that is met later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlignmentConfig {
    /// Trials with equal values in all of these columns are of one condition. Conditions that only some pretraining sessions
    /// have are left out.
    pub condition_columns: Vec<String>,
    /// Number of shared components; at most as many as the model has channels, for `lfads` factors too.
    pub n_components: usize,
    /// Standard deviation of the Gaussian that smooths averages over bins, in bins.
    #[serde(default = "two")]
    pub sigma_bins: f64,
    /// Ridge penalty of the regressions between units and components (1 in `lfads-torch`).
    #[serde(default = "one")]
    pub alpha: f64,
}

fn one() -> f64 {
    1.0
}

fn two() -> f64 {
    2.0
}

impl AlignmentConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// If there is no column or component, or a number is out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        let refuse = |field: &str, message: &str| {
            Err(PipelineError::BadValue { field: format!("alignment.{field}"), message: message.to_owned() })
        };
        if self.condition_columns.is_empty() {
            return refuse("condition_columns", "name at least one column of trials");
        }
        if self.n_components == 0 {
            return refuse("n_components", "must be positive");
        }
        if !(self.sigma_bins >= 0.0 && self.sigma_bins.is_finite()) {
            return refuse("sigma_bins", "must be at least zero");
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return refuse("alpha", "must be above zero");
        }
        Ok(())
    }
}
