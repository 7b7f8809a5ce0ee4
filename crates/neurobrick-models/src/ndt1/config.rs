//! Sizes and switches of NDT-1.

use neurobrick_core::ModelError;
use neurobrick_nn::{Activation, Band, EncoderConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::require;

/// How the counts of a bin become a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ndt1Embedding {
    /// A linear map of each session to the width: the one that reads sessions of any size (`LINEAR_EMBEDDER`).
    Linear,
    /// The counts themselves, so that the width is the number of units (published for the Neural Latents Benchmark).
    Identity,
    /// A vector for each count, those of a bin side by side, so that the width is the number of units times `width`
    /// (published with the paper: 2).
    Table {
        /// Largest count with a vector of its own; larger ones share its.
        max_count: usize,
        /// Width of a vector.
        width: usize,
    },
}

/// Sizes and switches of an [`Ndt1`](crate::Ndt1).
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the published code")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ndt1Config {
    /// Bins of a window.
    pub n_bins: usize,
    /// Width of a token.
    pub d_model: usize,
    /// Number of transformer layers (published: 6; 4 for most of the Neural Latents Benchmark).
    pub n_layers: usize,
    /// Number of attention heads (published: 2).
    pub n_heads: usize,
    /// Width of a layer's hidden layer (published: 128).
    pub d_hidden: usize,
    /// How counts become tokens.
    pub embedding: Ndt1Embedding,
    /// Whether positions are learned, instead of sines and cosines.
    pub learned_positions: bool,
    /// Norms before attention and hidden layer, instead of after the sums.
    pub pre_norm: bool,
    /// Whether the last norm has one parameter, the common length of all tokens, instead of a layer norm.
    #[serde(default)]
    pub scale_norm: bool,
    /// The function within layers (published: `ReLU`).
    #[serde(default = "relu")]
    pub activation: Activation,
    /// Whether layers start rescaled after T-Fixup.
    pub tfixup: bool,
    /// Bins ahead that a bin sees (published: 4, searched up to 100); all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_forward: Option<usize>,
    /// Bins back that a bin sees (published: 8, searched up to 100); all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_backward: Option<usize>,
    /// Dropout within the layers (published: 0.1, searched in 0.2 to 0.7).
    pub dropout: f64,
    /// Dropout on tokens (published: 0.2).
    pub dropout_embed: f64,
    /// Dropout before the read-out (published: 0.2).
    pub dropout_rates: f64,
    /// Reproduces the published start: all layers alike, value weights without the scale of T-Fixup, and read-outs that
    /// know nothing of mean rates.
    #[serde(default)]
    pub faithful: bool,
}

fn relu() -> Activation {
    Activation::Relu
}

impl Ndt1Config {
    /// A size for CPUs that reads sessions of any size: width 128, 4 layers, 2 heads, every bin sees every bin.
    pub fn small(n_bins: usize) -> Self {
        Self {
            n_bins,
            d_model: 128,
            n_layers: 4,
            n_heads: 2,
            d_hidden: 128,
            embedding: Ndt1Embedding::Linear,
            learned_positions: true,
            pre_norm: true,
            scale_norm: false,
            activation: Activation::Relu,
            tfixup: true,
            context_forward: None,
            context_backward: None,
            dropout: 0.2,
            dropout_embed: 0.2,
            dropout_rates: 0.2,
            faithful: false,
        }
    }

    /// The published configuration for `MC_Maze` of the Neural Latents Benchmark (`configs/mc_maze.yaml` at 98dd85a, with
    /// the defaults of `src/config/default.py`): 140 bins of 5 ms and as wide as there are units.
    pub fn published(n_units: usize) -> Self {
        Self {
            d_model: n_units,
            embedding: Ndt1Embedding::Identity,
            context_forward: Some(4),
            context_backward: Some(8),
            dropout: 0.1,
            ..Self::small(140)
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If a size is zero, heads do not divide the width, a width is odd that sines and cosines must fill, or a dropout
    /// lies outside `[0, 1)`.
    pub fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("n_bins", self.n_bins),
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("d_hidden", self.d_hidden),
        ];
        for (field, value) in sizes {
            require(field, value, value > 0, "positive")?;
        }
        let divides = self.d_model.is_multiple_of(self.n_heads);
        require("n_heads", self.n_heads, divides, &format!("a divisor of d_model = {}", self.d_model))?;
        let is_even = self.learned_positions || self.d_model.is_multiple_of(2);
        require("d_model", self.d_model, is_even, "even, for sines and cosines come in pairs")?;
        if let Ndt1Embedding::Table { max_count, width } = self.embedding {
            require("embedding.max_count", max_count, max_count > 0, "positive")?;
            let divides = width > 0 && self.d_model.is_multiple_of(width);
            require("embedding.width", width, divides, &format!("a divisor of d_model = {}", self.d_model))?;
        }
        let dropouts = [
            ("dropout", self.dropout),
            ("dropout_embed", self.dropout_embed),
            ("dropout_rates", self.dropout_rates),
        ];
        for (field, p) in dropouts {
            require(field, p, (0.0..1.0).contains(&p), "in [0, 1)")?;
        }
        Ok(())
    }

    /// Units a session must have, unless it may have any number.
    pub(super) fn n_units(&self) -> Option<usize> {
        match self.embedding {
            Ndt1Embedding::Linear => None,
            Ndt1Embedding::Identity => Some(self.d_model),
            Ndt1Embedding::Table { width, .. } => Some(self.d_model / width),
        }
    }

    pub(super) fn encoder(&self) -> EncoderConfig {
        EncoderConfig {
            d_model: self.d_model,
            n_heads: self.n_heads,
            d_hidden: self.d_hidden,
            dropout: self.dropout,
            pre_norm: self.pre_norm,
            activation: self.activation,
        }
    }

    pub(super) fn band(&self) -> Band {
        Band { forward: self.context_forward, backward: self.context_backward }
    }
}
