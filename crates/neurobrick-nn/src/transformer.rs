//! The pre-norm transformer layer of MtM and NEDS.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::Mode;

use crate::ops::{AttentionMask, affine, normalize};
use crate::{Activation, ContextAttention, Dropout, InitStreams, LayerNorm, Rotation, linear, scaled};

/// Sizes of a transformer layer.
#[derive(Clone, Copy, Debug)]
pub struct TransformerConfig {
    /// Width of a token.
    pub d_model: usize,
    /// Number of heads; divides the width.
    pub n_heads: usize,
    /// Width of the hidden layer of the MLP.
    pub d_mlp: usize,
    /// Dropout on attention weights, heads and MLP output.
    pub dropout: f64,
    /// Number of layers, which sets the T-Fixup scale.
    pub n_layers: usize,
    /// The function within the MLP.
    pub activation: Activation,
}

/// `up_proj` → GELU (exact, with erf) or `ReLU` → `down_proj` → dropout.
#[derive(Module, Debug)]
struct Mlp {
    up_proj: Linear,
    down_proj: Linear,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// `residual` plus the answer to `x`.
    fn add(&self, residual: Tensor<3>, x: Tensor<3>, mode: Mode<'_>) -> Tensor<3> {
        let hidden = self.activation.apply(affine(x, &self.up_proj));
        self.dropout.add(residual, affine(hidden, &self.down_proj), mode)
    }
}

/// `x += Attn(LN(x)); x += MLP(LN(x))`.
#[derive(Module, Debug)]
pub struct TransformerLayer {
    ln1: LayerNorm,
    attn: ContextAttention,
    ln2: LayerNorm,
    mlp: Mlp,
}

impl TransformerLayer {
    /// Dropout sites one layer uses.
    pub const N_SITES: usize = 3;

    /// A layer with PyTorch's default start and the rescaling of MtM after T-Fixup (Huang et al. 2020): weights
    /// of `out_proj`, `up_proj` and `down_proj` times `0.67 L^(-1/4)`, of `value` times `0.67 L^(-1/4) √2`, for
    /// `L` layers.
    pub fn new(
        config: &TransformerConfig,
        first_site: usize,
        init: &mut InitStreams,
        device: &Device,
    ) -> Self {
        let TransformerConfig { d_model, n_heads, d_mlp, dropout, n_layers, activation } = *config;
        let scale = 0.67 * (n_layers as f64).powf(-0.25);
        let mut attn = ContextAttention::new(d_model, n_heads, dropout, first_site, init, device);
        attn.value = scaled(attn.value, scale * std::f64::consts::SQRT_2);
        attn.out_proj = scaled(attn.out_proj, scale);
        let up_proj = scaled(linear(d_model, d_mlp, init, device), scale);
        let down_proj = scaled(linear(d_mlp, d_model, init, device), scale);
        Self {
            ln1: LayerNorm::new(d_model, device),
            attn,
            ln2: LayerNorm::new(d_model, device),
            mlp: Mlp { up_proj, down_proj, dropout: Dropout::new(dropout, first_site + 2), activation },
        }
    }

    /// Transforms tokens `x` `[B, S, D]` under `mask`.
    pub fn forward(&self, x: Tensor<3>, mask: Option<&AttentionMask>, mode: Mode<'_>) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(normalize(x, &self.ln1), mask, mode);
        self.mlp.add(x.clone(), normalize(x, &self.ln2), mode)
    }

    /// Transforms tokens `x` `[B, S, D]` that all see each other, with queries and keys that turn by their positions.
    pub fn forward_turned(&self, x: Tensor<3>, turns: &Rotation, mode: Mode<'_>) -> Tensor<3> {
        let x = x.clone() + self.attn.forward_turned(normalize(x, &self.ln1), turns, mode);
        self.mlp.add(x.clone(), normalize(x, &self.ln2), mode)
    }
}
