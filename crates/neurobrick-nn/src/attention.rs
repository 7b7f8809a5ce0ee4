//! Multi-head self-attention with a named context and prefix tokens.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::{Context, Mode};

use crate::ops::{AttentionMask, affine, attend};
use crate::{Dropout, InitStreams, Rotation, linear};

/// What the prefix tokens (session, prompt) see under a causal context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixVisibility {
    /// Each other only: nothing of the future can travel through them.
    PrefixOnly,
    /// Every bin, as published with MtM: the future reaches a bin in two hops (bin → prefix → earlier bin).
    Everything,
}

/// The mask `[S, S]` (query, key; `true` = hide) for `n_prefix` prefix tokens followed by `n_bins` bins, or
/// `None` if nothing is hidden.
pub fn context_mask(
    context: Context,
    n_prefix: usize,
    n_bins: usize,
    prefix: PrefixVisibility,
) -> Option<AttentionMask> {
    if context == Context::Full {
        return None;
    }
    let size = n_prefix + n_bins;
    let hide: Vec<bool> = (0..size * size)
        .map(|i| (i / size, i % size))
        .map(|(query, key)| {
            let prefix_query = query < n_prefix && prefix == PrefixVisibility::PrefixOnly && key >= n_prefix;
            let future = query >= n_prefix && key > query;
            prefix_query || future
        })
        .collect();
    Some(AttentionMask::new(hide, size))
}

/// Scaled dot-product self-attention with `H` heads (Vaswani et al. 2017), dropout on the weights and again on the
/// concatenated heads before the output projection, as in MtM.
#[derive(Module, Debug)]
pub struct ContextAttention {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) out_proj: Linear,
    weight_dropout: Dropout,
    head_dropout: Dropout,
    n_heads: usize,
}

impl ContextAttention {
    /// Attention of width `d_model`; uses dropout sites `site` and `site + 1`.
    pub fn new(
        d_model: usize,
        n_heads: usize,
        dropout: f64,
        site: usize,
        init: &mut InitStreams,
        device: &Device,
    ) -> Self {
        let mut square = || linear(d_model, d_model, init, device);
        Self {
            query: square(),
            key: square(),
            value: square(),
            out_proj: square(),
            weight_dropout: Dropout::new(dropout, site),
            head_dropout: Dropout::new(dropout, site + 1),
            n_heads,
        }
    }

    /// Leaves the dropout on attention weights alone, as in PyTorch's own attention.
    pub(crate) fn drop_no_heads(&mut self) {
        self.head_dropout = Dropout::new(0.0, self.head_dropout.site());
    }

    /// Attends within `x` `[B, S, D]` under `mask`.
    pub fn forward(&self, x: Tensor<3>, mask: Option<&AttentionMask>, mode: Mode<'_>) -> Tensor<3> {
        self.mix(x, None, mask, mode)
    }

    /// Attends within `x` `[B, S, D]`, all of it visible, with queries and keys that turn by their positions.
    pub fn forward_turned(&self, x: Tensor<3>, turns: &Rotation, mode: Mode<'_>) -> Tensor<3> {
        self.mix(x, Some(turns), None, mode)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        turns: Option<&Rotation>,
        mask: Option<&AttentionMask>,
        mode: Mode<'_>,
    ) -> Tensor<3> {
        let [query, key, value] = [&self.query, &self.key, &self.value].map(|layer| affine(x.clone(), layer));
        let turned = |x: Tensor<3>| {
            let [b, s, d] = x.dims();
            match turns {
                Some(turns) => {
                    turns.turn(x.reshape([b, s, self.n_heads, d / self.n_heads])).reshape([b, s, d])
                }
                None => x,
            }
        };
        let inputs = [turned(query), turned(key), value];
        let mixed = attend(inputs, self.n_heads, mask, &self.weight_dropout, mode);
        affine(self.head_dropout.forward(mixed, mode), &self.out_proj)
    }
}
