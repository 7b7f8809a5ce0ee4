//! Sizes and switches of NDT-2.

use std::collections::BTreeMap;

use neurobrick_core::ModelError;
use neurobrick_nn::{Activation, EncoderConfig};
use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::require;

/// Sizes and switches of an [`Ndt2`](crate::Ndt2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ndt2Config {
    /// Bins of a window.
    pub n_bins: usize,
    /// Rows of the tables of bins, at least `n_bins` (published: 250).
    pub max_bins: usize,
    /// Units of a patch (published: 32).
    pub patch_units: usize,
    /// Rows of the tables of patches: what a session may have in one bin (published: 9).
    pub max_patches: usize,
    /// Largest count with a vector of its own; larger ones share its (published: 20).
    pub max_count: usize,
    /// Width of a token, a multiple of `patch_units` (published: 256).
    pub d_model: usize,
    /// Layers of the encoder, which reads visible patches (published: 6).
    pub n_layers: usize,
    /// Layers of the decoder, which reads their encodings and predicts all patches (published: 2).
    pub n_decoder_layers: usize,
    /// Number of attention heads (published: 4).
    pub n_heads: usize,
    /// Width of a layer's hidden layer (published: 256).
    pub d_hidden: usize,
    /// Dropout on tokens, within the layers and on what they answer (published: 0.1).
    pub dropout: f64,
    /// Whether a patch never sees a later bin, whatever the task (published: yes).
    #[serde(default = "yes")]
    pub causal: bool,
    /// Subject of each session by id. A session that is not listed is a subject of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subjects: BTreeMap<String, String>,
    /// Reproduces the published read-out, which knows units by their patch alone: no bias of each unit that starts at
    /// its mean rate.
    #[serde(default)]
    pub faithful: bool,
}

fn yes() -> bool {
    true
}

impl Ndt2Config {
    /// A size for CPUs: width 64, patches of 16 units, 3 and 1 layers.
    pub fn small(n_bins: usize) -> Self {
        Self {
            n_bins,
            max_bins: n_bins,
            patch_units: 16,
            max_patches: 16,
            max_count: 20,
            d_model: 64,
            n_layers: 3,
            n_decoder_layers: 1,
            n_heads: 4,
            d_hidden: 128,
            dropout: 0.1,
            causal: true,
            subjects: BTreeMap::new(),
            faithful: false,
        }
    }

    /// The published sizes (`arch/base/f32.yaml` at 8b7226c): windows of 50 bins of 20 ms, as it chops reaching data.
    pub fn published() -> Self {
        Self {
            n_bins: 50,
            max_bins: 250,
            patch_units: 32,
            max_patches: 9,
            max_count: 20,
            d_model: 256,
            n_layers: 6,
            n_decoder_layers: 2,
            n_heads: 4,
            d_hidden: 256,
            dropout: 0.1,
            causal: true,
            subjects: BTreeMap::new(),
            faithful: false,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If a size is zero, heads or patches do not divide the width, the tables are shorter than a window, or the dropout
    /// lies outside `[0, 1)`.
    pub fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("n_bins", self.n_bins),
            ("patch_units", self.patch_units),
            ("max_patches", self.max_patches),
            ("max_count", self.max_count),
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("n_decoder_layers", self.n_decoder_layers),
            ("n_heads", self.n_heads),
            ("d_hidden", self.d_hidden),
        ];
        for (field, value) in sizes {
            require(field, value, value > 0, "positive")?;
        }
        let is_long = self.max_bins >= self.n_bins;
        require("max_bins", self.max_bins, is_long, &format!("at least n_bins = {}", self.n_bins))?;
        let divisor = format!("a divisor of d_model = {}", self.d_model);
        for (field, value) in [("n_heads", self.n_heads), ("patch_units", self.patch_units)] {
            require(field, value, self.d_model.is_multiple_of(value), &divisor)?;
        }
        require("dropout", self.dropout, (0.0..1.0).contains(&self.dropout), "in [0, 1)")
    }

    /// The subject of a session.
    pub(super) fn subject(&self, session: &SessionId) -> String {
        self.subjects.get(session.as_str()).cloned().unwrap_or_else(|| session.as_str().to_owned())
    }

    pub(super) fn layers(&self) -> EncoderConfig {
        EncoderConfig {
            d_model: self.d_model,
            n_heads: self.n_heads,
            d_hidden: self.d_hidden,
            dropout: self.dropout,
            pre_norm: false,
            activation: Activation::Gelu,
        }
    }
}
