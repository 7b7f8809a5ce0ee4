//! Continuous behavior that is decoded.

use ndarray::{Array, Dimension};
use neurobrick_data::{BehaviorConfig, ResampleRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EvaluateError;

/// A continuous behavior: a column of a signal on the bins. Trials with a bin that the rule finds nothing for are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BehaviorTarget {
    /// Name in tables.
    pub name: String,
    /// The signal.
    pub signal: String,
    /// Its column.
    pub column: String,
    /// How its samples become bins; a signal with fewer samples than bins needs `linear` or `nearest`.
    #[serde(default)]
    pub rule: ResampleRule,
    /// For `nearest` and `linear`: samples further than this from the middle of a bin count as not there, in seconds. The
    /// default, 0.1, bridges two lost frames of a camera at 30 Hz.
    #[serde(default = "tenth")]
    pub max_gap_s: f64,
    /// Whether the size of each bin's value without its sign is decoded (speed from velocity).
    #[serde(default)]
    pub absolute: bool,
}

impl BehaviorTarget {
    /// Checks every value.
    ///
    /// # Errors
    /// If the gap is no positive number of seconds.
    pub fn validate(&self) -> Result<(), EvaluateError> {
        if self.max_gap_s > 0.0 && self.max_gap_s.is_finite() {
            return Ok(());
        }
        Err(EvaluateError::BadValue {
            field: "behaviors.max_gap_s".to_owned(),
            message: format!("must be a positive number of seconds; received {}", self.max_gap_s),
        })
    }

    /// Signal, column and rule.
    pub fn measured(&self) -> BehaviorConfig {
        let Self { signal, column, rule, max_gap_s, .. } = self.clone();
        BehaviorConfig { signal, column, rule, max_gap_s }
    }

    /// The values themselves, or without their sign.
    pub fn sized<D: Dimension>(&self, values: Array<f64, D>) -> Array<f64, D> {
        if self.absolute { values.mapv_into(f64::abs) } else { values }
    }
}

fn tenth() -> f64 {
    0.1
}
