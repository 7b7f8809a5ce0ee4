//! The transformer layer of PyTorch, `torch.nn.TransformerEncoderLayer`, on which NDT-1 and NDT-2 are built.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, activation::relu};
use neurobrick_core::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{AttentionMask, affine, gelu, normalize};
use crate::{ContextAttention, Dropout, InitStreams, LayerNorm, linear, scaled};

/// The function between the two maps of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// GELU with the error function.
    Gelu,
}

impl Activation {
    /// The function, entry by entry.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => relu(x),
            Self::Gelu => gelu(x),
        }
    }
}

/// Sizes and switches of an [`EncoderLayer`].
#[derive(Clone, Copy, Debug)]
pub struct EncoderConfig {
    /// Width of a token.
    pub d_model: usize,
    /// Number of heads; divides the width.
    pub n_heads: usize,
    /// Width of the hidden layer.
    pub d_hidden: usize,
    /// Dropout on attention weights, hidden layer and both residuals.
    pub dropout: f64,
    /// Norms before attention and hidden layer, instead of after the sums.
    pub pre_norm: bool,
    /// The function within.
    pub activation: Activation,
}

/// `x += Attn(LN(x)); x += MLP(LN(x))`, or `x = LN(x + Attn(x)); x = LN(x + MLP(x))`.
///
/// Queries, keys and values have maps of their own; PyTorch packs them into one `in_proj`.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    self_attn: ContextAttention,
    linear1: Linear,
    linear2: Linear,
    norm1: LayerNorm,
    norm2: LayerNorm,
    hidden_dropout: Dropout,
    attention_dropout: Dropout,
    output_dropout: Dropout,
    #[module(skip)]
    pre_norm: bool,
    #[module(skip)]
    activation: Activation,
}

impl EncoderLayer {
    /// Dropout sites one layer uses.
    pub const N_SITES: usize = 5;

    /// A layer with PyTorch's start: Xavier-uniform for the packed queries, keys and values, biases of attention zero.
    pub fn new(config: &EncoderConfig, first_site: usize, init: &mut InitStreams, device: &Device) -> Self {
        let EncoderConfig { d_model, n_heads, d_hidden, dropout, pre_norm, activation } = *config;
        let mut self_attn = ContextAttention::new(d_model, n_heads, dropout, first_site, init, device);
        self_attn.drop_no_heads();
        let zero_bias = |layer: &mut Linear| {
            layer.bias = Some(Param::from_tensor(Tensor::zeros([d_model], device)));
        };
        // Three matrices in one of 3D rows and D columns: the bound is the root of 6 / (3D + D).
        let bound = (1.5 / d_model as f64).sqrt();
        let ContextAttention { query, key, value, out_proj, .. } = &mut self_attn;
        for layer in [query, key, value] {
            layer.weight = init.uniform([d_model, d_model], bound, device);
            zero_bias(layer);
        }
        zero_bias(out_proj);
        let site = |i| Dropout::new(dropout, first_site + i);
        Self {
            self_attn,
            linear1: linear(d_model, d_hidden, init, device),
            linear2: linear(d_hidden, d_model, init, device),
            norm1: LayerNorm::new(d_model, device),
            norm2: LayerNorm::new(d_model, device),
            hidden_dropout: site(2),
            attention_dropout: site(3),
            output_dropout: site(4),
            pre_norm,
            activation,
        }
    }

    /// Rescales the start after T-Fixup (Huang et al. 2020) for `n_layers` layers: weights of `out_proj`, `linear1` and
    /// `linear2` times `0.67 L^(-1/4)`, and of `value` times `√2` more, unless `keep_values`: NDT-1's rule for values
    /// never applies, for it looks for a name that PyTorch's packed weights do not have.
    #[must_use]
    pub fn with_tfixup(mut self, n_layers: usize, keep_values: bool) -> Self {
        let scale = 0.67 * (n_layers as f64).powf(-0.25);
        self.self_attn.out_proj = scaled(self.self_attn.out_proj, scale);
        if !keep_values {
            self.self_attn.value = scaled(self.self_attn.value, scale * std::f64::consts::SQRT_2);
        }
        self.linear1 = scaled(self.linear1, scale);
        self.linear2 = scaled(self.linear2, scale);
        self
    }

    /// Transforms tokens `x` `[B, S, D]` under `mask`.
    pub fn forward(&self, x: Tensor<3>, mask: Option<&AttentionMask>, mode: Mode<'_>) -> Tensor<3> {
        if self.pre_norm {
            let attended = self.self_attn.forward(normalize(x.clone(), &self.norm1), mask, mode);
            let x = self.attention_dropout.add(x, attended, mode);
            let out = self.hidden(normalize(x.clone(), &self.norm2), mode);
            return self.output_dropout.add(x, out, mode);
        }
        let attended = self.self_attn.forward(x.clone(), mask, mode);
        let x = normalize(self.attention_dropout.add(x, attended, mode), &self.norm1);
        let out = self.hidden(x.clone(), mode);
        normalize(self.output_dropout.add(x, out, mode), &self.norm2)
    }

    fn hidden(&self, x: Tensor<3>, mode: Mode<'_>) -> Tensor<3> {
        let hidden = self.activation.apply(affine(x, &self.linear1));
        affine(self.hidden_dropout.forward(hidden, mode), &self.linear2)
    }
}
