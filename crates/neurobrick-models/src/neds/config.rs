//! Sizes and modalities of NEDS.

use neurobrick_core::ModelError;
use neurobrick_nn::{Activation, TransformerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::require;

/// Sizes of a [`Neds`](crate::Neds).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NedsConfig {
    /// Bins of a window, `T` (published: 100 of 20 ms). Every modality has a token in every bin.
    pub n_bins: usize,
    /// Width of a token (published: 256).
    pub d_model: usize,
    /// Number of transformer layers (published: 5; 16 for more than 10 sessions, 22 for 70 and more).
    pub n_layers: usize,
    /// Number of attention heads (published: 8).
    pub n_heads: usize,
    /// Width of the hidden layer of the MLP (published: 512).
    pub d_mlp: usize,
    /// Dropout on embedded tokens, before some are hidden (published: 0.2).
    pub dropout_embed: f64,
    /// Dropout within the layers (published: 0.4).
    pub dropout: f64,
    /// Factor on the default weights of the read-out of spikes of a session whose mean rates are known; its bias starts at the
    /// log mean rate. As published, read-outs start at 1 spike per bin and default weights.
    #[serde(default = "tenth")]
    pub read_out_scale: f64,
    /// Standard deviation from which tables of positions, modalities and sessions start (published: 1, which outweighs what the
    /// tokens hold).
    #[serde(default = "tenth")]
    pub embed_std: f64,
}

fn tenth() -> f64 {
    0.1
}

/// Base of rotary positions.
pub(super) const ROTARY_BASE: f64 = 10_000.0;

impl NedsConfig {
    /// A size for CPUs: width 64, 2 layers, 4 heads.
    pub fn small(n_bins: usize) -> Self {
        Self {
            n_bins,
            d_model: 64,
            n_layers: 2,
            n_heads: 4,
            d_mlp: 128,
            dropout_embed: 0.1,
            dropout: 0.1,
            read_out_scale: tenth(),
            embed_std: tenth(),
        }
    }

    /// The published sizes for up to 10 sessions (`mm_single_session.yaml` at 61d2ef6): 100 bins of 20 ms. Tables and read-outs
    /// start as wide as published; biases of read-outs start at mean rates where they are known.
    pub fn published() -> Self {
        Self {
            n_bins: 100,
            d_model: 256,
            n_layers: 5,
            n_heads: 8,
            d_mlp: 512,
            dropout_embed: 0.2,
            dropout: 0.4,
            read_out_scale: 1.0,
            embed_std: 1.0,
        }
    }

    /// The published sizes for 70 sessions and more (`mm_large_size.yaml` at 61d2ef6).
    pub fn published_large() -> Self {
        Self { n_layers: 22, ..Self::published() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If a size is zero, heads do not divide the width into even parts, or a dropout lies outside `[0, 1)`.
    pub fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("n_bins", self.n_bins),
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("d_mlp", self.d_mlp),
        ];
        for (field, value) in sizes {
            require(field, value, value > 0, "positive")?;
        }
        let divides = self.d_model.is_multiple_of(2 * self.n_heads);
        let expected = format!("such that heads of d_model = {} have an even width", self.d_model);
        require("n_heads", self.n_heads, divides, &expected)?;
        for (field, p) in [("dropout_embed", self.dropout_embed), ("dropout", self.dropout)] {
            require(field, p, (0.0..1.0).contains(&p), "in [0, 1)")?;
        }
        for (field, scale) in [("read_out_scale", self.read_out_scale), ("embed_std", self.embed_std)] {
            require(field, scale, scale.is_finite() && scale > 0.0, "positive and finite")?;
        }
        Ok(())
    }

    pub(super) fn transformer(&self) -> TransformerConfig {
        let Self { d_model, n_heads, d_mlp, dropout, n_layers, .. } = *self;
        TransformerConfig { d_model, n_heads, d_mlp, dropout, n_layers, activation: Activation::Gelu }
    }
}

/// A label of a trial: one of several classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NedsLabel {
    /// Its name.
    pub name: String,
    /// Number of classes.
    pub n_classes: usize,
}

/// What is recorded beside spikes, in the order of the model's tables: spikes, then labels, then behaviors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NedsModalities {
    /// Labels of a whole window ("static").
    pub labels: Vec<NedsLabel>,
    /// Names of values that change from bin to bin ("dynamic").
    pub behaviors: Vec<String>,
}

impl NedsModalities {
    /// Number of modalities with spikes, `M`.
    pub fn n_modalities(&self) -> usize {
        1 + self.labels.len() + self.behaviors.len()
    }

    /// Names in their order; that of spikes is `spikes`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let labels = self.labels.iter().map(|label| label.name.as_str());
        std::iter::once("spikes").chain(labels).chain(self.behaviors.iter().map(String::as_str))
    }

    /// Position of a label's tokens among the modalities.
    pub(super) fn label(number: usize) -> usize {
        1 + number
    }

    /// Position of a behavior's tokens among the modalities.
    pub(super) fn behavior(&self, number: usize) -> usize {
        1 + self.labels.len() + number
    }

    /// Checks names and numbers of classes.
    ///
    /// # Errors
    /// If there is nothing beside spikes, a name is given twice, or a label has fewer than two classes.
    pub fn validate(&self) -> Result<(), ModelError> {
        require(
            "modalities",
            "none",
            self.n_modalities() > 1,
            "at least one label or behavior beside spikes",
        )?;
        let names: Vec<&str> = self.names().collect();
        for (i, name) in names.iter().enumerate() {
            require("modalities", name, !names[..i].contains(name), "named once each, and not `spikes`")?;
        }
        for label in &self.labels {
            require("n_classes", label.n_classes, label.n_classes > 1, "at least 2")?;
        }
        Ok(())
    }
}
