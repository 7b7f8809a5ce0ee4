//! Sizes and switches of NDT-1-stitch.

use neurobrick_core::ModelError;
use neurobrick_nn::{Activation, TransformerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::require;

/// Sizes and switches of an [`NdtStitch`](crate::NdtStitch).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NdtStitchConfig {
    /// Bins of a window; the length of the table of positions.
    pub n_bins: usize,
    /// Width of the stitch: every session's units are mapped to it (published: 668).
    pub d_stitch: usize,
    /// Width of the shared embedding's hidden layer (published: 1336). With 0 there is no shared embedding: stitches are as wide
    /// as tokens, as in the NDT-stitch of BrainWideBench.
    pub d_embed: usize,
    /// Width of a token (published: 512).
    pub d_model: usize,
    /// Number of transformer layers (published: 5).
    pub n_layers: usize,
    /// Number of attention heads (published: 8).
    pub n_heads: usize,
    /// Width of the hidden layer of the MLP (published: 1024).
    pub d_mlp: usize,
    /// Dropout on the embedded tokens (published: 0.2).
    pub dropout_embed: f64,
    /// Dropout within the layers (published: 0.4).
    pub dropout: f64,
    /// The function within the layers (published: GELU; `ReLU` in the NDT-stitch of BrainWideBench).
    #[serde(default = "gelu")]
    pub activation: Activation,
    /// Whether a prompt token tells the task. The temporal-masking baseline of MtM has none.
    #[serde(default = "yes")]
    pub prompt: bool,
    /// Factor on the default read-out weights of a session whose mean rates are known; its bias starts at the
    /// log mean rate. Not used when `faithful`.
    #[serde(default = "small")]
    pub read_out_scale: f64,
    /// Standard deviation from which tables of positions, prompts and sessions start. At the published 1 they
    /// outweigh the spikes, since counts in bins of 10 ms are sparse, and learning is slow
    /// (`docs/decisions/0007-small-tables.md`). Not used when `faithful`.
    #[serde(default = "small")]
    pub embed_std: f64,
    /// Factor on the embedded counts before they are projected to the width of a token (published: 1). Counts in bins of
    /// 10 ms are sparse, and what is embedded starts small beside positions and what layers add
    /// (`docs/decisions/0030-larger-tokens.md`).
    #[serde(default = "one")]
    pub embed_scale: f64,
    /// Reproduces flaws of the published model for comparisons: sessions with equal numbers of units share a
    /// stitch; prefix tokens see the future under causal attention; read-outs and tables start at PyTorch's defaults.
    #[serde(default)]
    pub faithful: bool,
}

fn gelu() -> Activation {
    Activation::Gelu
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

fn small() -> f64 {
    0.1
}

impl NdtStitchConfig {
    /// A size for CPUs: width 128, 4 layers, 4 heads, stitch width 128.
    pub fn small(n_bins: usize) -> Self {
        Self {
            n_bins,
            d_stitch: 128,
            d_embed: 256,
            d_model: 128,
            n_layers: 4,
            n_heads: 4,
            d_mlp: 256,
            dropout_embed: 0.2,
            dropout: 0.2,
            activation: gelu(),
            prompt: true,
            read_out_scale: small(),
            embed_std: small(),
            embed_scale: 64.0,
            faithful: false,
        }
    }

    /// The published sizes of MtM (`ndt1_stitching_prompting.yaml` at e0c39bd): 100 bins of 20 ms.
    pub fn published() -> Self {
        Self {
            n_bins: 100,
            d_stitch: 668,
            d_embed: 1336,
            d_model: 512,
            n_layers: 5,
            n_heads: 8,
            d_mlp: 1024,
            dropout_embed: 0.2,
            dropout: 0.4,
            activation: gelu(),
            prompt: true,
            read_out_scale: small(),
            embed_std: small(),
            embed_scale: one(),
            faithful: false,
        }
    }

    /// MtM in BrainWideBench (`brainbench-org/ibl-bwb` at 3c8cee99, 10 million shared parameters): 50 bins of 20 ms.
    pub fn brain_wide_bench() -> Self {
        Self { n_bins: 50, d_model: 256, n_layers: 12, d_mlp: 1028, dropout: 0.2, ..Self::published() }
    }

    /// NDT-stitch in BrainWideBench, its baseline with masks of whole bins: no shared embedding, no prompts, `ReLU`.
    pub fn brain_wide_bench_baseline() -> Self {
        Self {
            d_stitch: 256,
            d_embed: 0,
            n_layers: 13,
            activation: Activation::Relu,
            prompt: false,
            ..Self::brain_wide_bench()
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If a size is zero, stitches without a shared embedding are not as wide as tokens, heads do not divide the width, or a dropout lies outside `[0, 1)`.
    pub fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("n_bins", self.n_bins),
            ("d_stitch", self.d_stitch),
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("d_mlp", self.d_mlp),
        ];
        for (field, value) in sizes {
            require(field, value, value > 0, "positive")?;
        }
        let fits = self.d_embed > 0 || self.d_stitch == self.d_model;
        let expected =
            format!("positive, or 0 where d_stitch = d_model; they are {}, {}", self.d_stitch, self.d_model);
        require("d_embed", self.d_embed, fits, &expected)?;
        let divides = self.d_model.is_multiple_of(self.n_heads);
        require("n_heads", self.n_heads, divides, &format!("a divisor of d_model = {}", self.d_model))?;
        for (field, p) in [("dropout_embed", self.dropout_embed), ("dropout", self.dropout)] {
            require(field, p, (0.0..1.0).contains(&p), "in [0, 1)")?;
        }
        for (field, scale) in [
            ("read_out_scale", self.read_out_scale),
            ("embed_std", self.embed_std),
            ("embed_scale", self.embed_scale),
        ] {
            require(field, scale, scale.is_finite() && scale > 0.0, "positive and finite")?;
        }
        Ok(())
    }

    /// The standard deviation tables start from.
    pub(super) fn embed_std(&self) -> f64 {
        if self.faithful { 1.0 } else { self.embed_std }
    }

    pub(super) fn transformer(&self) -> TransformerConfig {
        TransformerConfig {
            d_model: self.d_model,
            n_heads: self.n_heads,
            d_mlp: self.d_mlp,
            dropout: self.dropout,
            n_layers: self.n_layers,
            activation: self.activation,
        }
    }
}
