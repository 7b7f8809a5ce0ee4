//! Gated feed-forward layers: GEGLU and `SwiGLU`.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, activation::silu};
use neurobrick_core::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{affine, gelu, normalize};
use crate::{Dropout, InitStreams, LayerNorm, linear};

/// The function of the gate (Shazeer 2020, "GLU variants improve transformer", arXiv:2002.05202).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// GELU with the error function: GEGLU, the feed-forward of POYO.
    Gelu,
    /// `x σ(x)`, Swish with β = 1: `SwiGLU`.
    Silu,
}

/// Sizes of a [`GatedFeedForward`].
#[derive(Clone, Copy, Debug)]
pub struct GatedConfig {
    /// Width of a token, `D`.
    pub d_model: usize,
    /// Width of the gated hidden layer, `D_hidden`; the map up is twice as wide. POYO has `4 D`; with `8 D / 3` a gated layer has as
    /// many weights as an ungated one of `4 D`.
    pub d_hidden: usize,
    /// Dropout on the gated hidden layer.
    pub dropout: f64,
    /// The function of the gate.
    pub gate: Gate,
}

/// Layer norm → `D → 2 D_hidden` → the first half times a function of the second half → dropout → `D_hidden → D`, to be added
/// to what it was given.
#[derive(Module, Debug)]
pub struct GatedFeedForward {
    norm: LayerNorm,
    up: Linear,
    down: Linear,
    dropout: Dropout,
    #[module(skip)]
    gate: Gate,
}

impl GatedFeedForward {
    /// A layer with `torch.nn.Linear`'s start that drops out at `site`.
    pub fn new(config: &GatedConfig, site: usize, init: &mut InitStreams, device: &Device) -> Self {
        let GatedConfig { d_model, d_hidden, dropout, gate } = *config;
        Self {
            norm: LayerNorm::new(d_model, device),
            up: linear(d_model, 2 * d_hidden, init, device),
            down: linear(d_hidden, d_model, init, device),
            dropout: Dropout::new(dropout, site),
            gate,
        }
    }

    /// The answer `[B, S, D]` to tokens `x` `[B, S, D]`, without `x`.
    ///
    /// # Panics
    /// If the width of `x` is not `D`.
    pub fn forward(&self, x: Tensor<3>, mode: Mode<'_>) -> Tensor<3> {
        let up = affine(normalize(x, &self.norm), &self.up);
        let half = up.dims()[2] / 2;
        let gates = up.clone().narrow(2, half, half);
        let gates = match self.gate {
            Gate::Gelu => gelu(gates),
            Gate::Silu => silu(gates),
        };
        affine(self.dropout.forward(up.narrow(2, 0, half) * gates, mode), &self.down)
    }
}
