//! Fused operations for Burn's Flex backend: one pass forward, one handwritten pass backward.
//!
//! `ops` decides per call whether tensors are `f32` on Flex and falls back on plain Burn expressions elsewhere.

mod backward;
mod flex;

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use neurobrick_kernels::DropoutStream;

/// Dropout of one site: its probability and one stream per example.
#[derive(Clone, Debug)]
pub(crate) struct Drops {
    pub(crate) p: f64,
    pub(crate) streams: Arc<[DropoutStream]>,
}

/// What an attention needs beside its tensors.
#[derive(Clone, Debug)]
pub(crate) struct AttentionSpec {
    pub(crate) n_heads: usize,
    /// `[S, S]` (query, key), `true` = hide.
    pub(crate) hide: Option<Arc<[bool]>>,
    pub(crate) drops: Option<Drops>,
}

/// The operations. All tensors are `f32`.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedOps: Backend {
    /// `x W + b` over the last axis; `sparse` says that `x` holds counts, most of them zero.
    fn affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sparse: bool,
    ) -> FloatTensor<Self>;

    /// Layer norm over the last axis.
    fn normalize(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    /// Exact GELU.
    fn gelu_erf(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x / (1 + |x|)`.
    fn softsign(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x` times dropout factors.
    fn drop(x: FloatTensor<Self>, drops: Drops) -> FloatTensor<Self>;

    /// `residual` plus `x` times dropout factors.
    fn add_dropped(residual: FloatTensor<Self>, x: FloatTensor<Self>, drops: Drops) -> FloatTensor<Self>;

    /// Attention of all heads over `[B, S, D]`.
    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self>;

    /// Masked Poisson loss `[1]`.
    fn poisson(
        log_rates: FloatTensor<Self>,
        counts: FloatTensor<Self>,
        counted: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}
