//! How weights are stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::panels::round_matrix;

/// How weights are stored. Activations, biases, norms and tables stay in single precision, and so do all sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// As given.
    #[default]
    F32,
    /// The upper half of an `f32`, rounded to nearest even: 8 bits of significand.
    Bf16,
    /// 255 equal steps from minus to plus the largest weight of each output, rounded to nearest.
    Int8,
}

impl Precision {
    /// Every precision, widest first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// Its name on command lines and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Replaces finite weights, row-major `[inputs, n_outputs]`, by the numbers they are stored as, so that a model
    /// in full precision can be scored as if it were stored so.
    ///
    /// # Panics
    /// If `weight` does not hold whole rows.
    pub fn round_matrix(self, weight: &mut [f32], n_outputs: usize) {
        assert!(n_outputs > 0 && weight.len().is_multiple_of(n_outputs), "rows of {n_outputs} weights");
        round_matrix(weight, n_outputs, self);
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == text);
        found.ok_or_else(|| format!("expected f32, bf16 or int8, received `{text}`"))
    }
}
