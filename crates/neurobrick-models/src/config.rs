//! The choice among models, as configuration files name it.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use neurobrick_core::{KindTable, ModelError};

use crate::{GruStitchConfig, LfadsConfig, LinearStitchConfig, Ndt1Config, Ndt2Config, NdtStitchConfig};

/// A model and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ModelConfig {
    /// NDT-1-stitch, the MtM model.
    NdtStitch(NdtStitchConfig),
    /// Reduced-rank Poisson regression with stitching.
    LinearStitch(LinearStitchConfig),
    /// LFADS, latent factor analysis via dynamical systems.
    Lfads(LfadsConfig),
    /// Causal recurrent network with stitching.
    GruStitch(GruStitchConfig),
    /// NDT-1.
    Ndt1(Ndt1Config),
    /// NDT-2.
    Ndt2(Ndt2Config),
}

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = KindTable::deserialize(deserializer)?;
        match table.kind() {
            "ndt_stitch" => table.fields().map(Self::NdtStitch),
            "linear_stitch" => table.fields().map(Self::LinearStitch),
            "lfads" => table.fields().map(Self::Lfads),
            "gru_stitch" => table.fields().map(Self::GruStitch),
            "ndt1" => table.fields().map(Self::Ndt1),
            "ndt2" => table.fields().map(Self::Ndt2),
            _ => Err(table.unknown(&["ndt_stitch", "linear_stitch", "lfads", "gru_stitch", "ndt1", "ndt2"])),
        }
    }
}

impl ModelConfig {
    /// Name of the model as in configuration files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NdtStitch(_) => "ndt_stitch",
            Self::LinearStitch(_) => "linear_stitch",
            Self::Lfads(_) => "lfads",
            Self::GruStitch(_) => "gru_stitch",
            Self::Ndt1(_) => "ndt1",
            Self::Ndt2(_) => "ndt2",
        }
    }

    /// Checks every value once, before anything is built.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Self::NdtStitch(config) => config.validate(),
            Self::LinearStitch(config) => config.validate(),
            Self::Lfads(config) => config.validate(),
            Self::GruStitch(config) => config.validate(),
            Self::Ndt1(config) => config.validate(),
            Self::Ndt2(config) => config.validate(),
        }
    }

    /// Bins of the windows the model reads.
    pub fn n_bins(&self) -> usize {
        match self {
            Self::NdtStitch(config) => config.n_bins,
            Self::LinearStitch(config) => config.n_bins,
            Self::Lfads(config) => config.n_bins,
            Self::GruStitch(config) => config.n_bins,
            Self::Ndt1(config) => config.n_bins,
            Self::Ndt2(config) => config.n_bins,
        }
    }
}

/// `value` must satisfy `ok`, or it is reported under `field`.
pub(crate) fn require<T: std::fmt::Display>(
    field: &'static str,
    value: T,
    ok: bool,
    expected: &str,
) -> Result<(), ModelError> {
    if ok {
        return Ok(());
    }
    Err(ModelError::BadConfig { field, expected: expected.to_owned(), received: value.to_string() })
}
