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
    /// Cosine or sine of the values, which are angles in radians, is decoded: an angle itself jumps where a turn is complete.
    /// Needs `nearest`, for means of angles on both sides of the jump lie between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_angle: Option<OfAngle>,
}

/// What of an angle is decoded; both together tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OfAngle {
    /// Its cosine.
    #[serde(rename = "cos")]
    Cosine,
    /// Its sine.
    #[serde(rename = "sin")]
    Sine,
}

impl BehaviorTarget {
    /// Checks every value.
    ///
    /// # Errors
    /// If the gap is no positive number of seconds, or an angle is not read by `nearest` or is to lose its sign.
    pub fn validate(&self) -> Result<(), EvaluateError> {
        let refuse = |field: &str, message: String| {
            Err(EvaluateError::BadValue { field: format!("behaviors.{field}"), message })
        };
        if !(self.max_gap_s > 0.0 && self.max_gap_s.is_finite()) {
            let message = format!("must be a positive number of seconds; received {}", self.max_gap_s);
            return refuse("max_gap_s", message);
        }
        if self.of_angle.is_some() && self.rule != ResampleRule::Nearest {
            let message = format!(
                "must be \"nearest\" for the angle `{}`: a mean across a full turn is none",
                self.name
            );
            return refuse("rule", message);
        }
        if self.of_angle.is_some() && self.absolute {
            return refuse("absolute", format!("takes the sign of `{}`, an angle; leave it out", self.name));
        }
        Ok(())
    }

    /// Signal, column and rule.
    pub fn measured(&self) -> BehaviorConfig {
        let Self { signal, column, rule, max_gap_s, .. } = self.clone();
        BehaviorConfig { signal, column, rule, max_gap_s }
    }

    /// What is decoded of the values: themselves, their size without sign, or cosine or sine.
    pub fn decoded<D: Dimension>(&self, values: Array<f64, D>) -> Array<f64, D> {
        match self.of_angle {
            Some(OfAngle::Cosine) => values.mapv_into(f64::cos),
            Some(OfAngle::Sine) => values.mapv_into(f64::sin),
            None if self.absolute => values.mapv_into(f64::abs),
            None => values,
        }
    }
}

fn tenth() -> f64 {
    0.1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn target(further: &str) -> BehaviorTarget {
        let text = format!("name = 'turn'\nsignal = 'compass'\ncolumn = 'ry'\n{further}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_decoded_of_an_angle_does_not_jump_at_a_full_turn() {
        let around = || ndarray::arr1(&[0.001, std::f64::consts::TAU - 0.001]);
        for of_angle in ["cos", "sin"] {
            let target = target(&format!("rule = 'nearest'\nof_angle = '{of_angle}'"));
            target.validate().unwrap();
            let found = target.decoded(around());
            assert!((found[0] - found[1]).abs() < 0.0021, "{of_angle}: {found}");
        }
        let sine = target("rule = 'nearest'\nof_angle = 'sin'").decoded(ndarray::arr1(&[0.5, -0.5]));
        assert!(sine[0] > 0.0 && sine[1] < 0.0);
    }

    #[test]
    fn what_would_spoil_an_angle_is_refused() {
        let refused = |further: &str| target(further).validate().unwrap_err().to_string();
        assert!(refused("of_angle = 'cos'").contains("`behaviors.rule`"));
        assert!(refused("rule = 'linear'\nof_angle = 'cos'").contains("`behaviors.rule`"));
        let signless = refused("rule = 'nearest'\nof_angle = 'cos'\nabsolute = true");
        assert!(signless.contains("`behaviors.absolute`"), "{signless}");
        assert!(refused("max_gap_s = 0.0").contains("`behaviors.max_gap_s`"));
        target("absolute = true").validate().unwrap();
    }
}
