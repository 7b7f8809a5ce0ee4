//! Fused operations for Burn's Flex backend: one pass forward, one handwritten pass backward.
//!
//! `ops` decides per call whether tensors are `f32` on Flex and falls back on plain Burn expressions elsewhere.

mod backward;
mod flex;
mod recurrent;

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, backend_extension};
use neurobrick_kernels::{DropoutStream, TurnTable};

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
    /// `[Q, S]` (query, key) for all examples, or `[B, Q, S]`; `true` = hide.
    pub(crate) hide: Option<Arc<[bool]>>,
    pub(crate) drops: Option<Drops>,
}

/// What turning heads needs beside them.
#[derive(Clone, Debug)]
pub(crate) struct TurnSpec {
    pub(crate) table: Arc<TurnTable>,
    pub(crate) n_heads: usize,
    pub(crate) inverse: bool,
}

/// What a recurrence needs beside its tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GruSpec {
    pub(crate) clip: f32,
    pub(crate) reverse: bool,
}

/// Tensors of two recurrences side by side; shapes as in [`gru_pair`](crate::ops::gru_pair).
#[derive(ExtensionType)]
pub(crate) struct GruPairTensors<B: Backend> {
    pub(crate) drive: FloatTensor<B>,
    pub(crate) start_ahead: FloatTensor<B>,
    pub(crate) ahead: FloatTensor<B>,
    pub(crate) start_back: FloatTensor<B>,
    pub(crate) back: FloatTensor<B>,
}

impl<B: Backend> GruPairTensors<B> {
    /// The drive, then start and recurrent weights of every cell.
    fn into_array(self) -> [FloatTensor<B>; 5] {
        [self.drive, self.start_ahead, self.ahead, self.start_back, self.back]
    }
}

/// Tensors of a controlled generator that may have gradients; shapes as in
/// [`ControlledRun`](crate::ops::ControlledRun).
#[derive(ExtensionType)]
pub(crate) struct ControlTensors<B: Backend> {
    pub(crate) controller_drive: FloatTensor<B>,
    pub(crate) generator_drive: FloatTensor<B>,
    pub(crate) controller_start: FloatTensor<B>,
    pub(crate) generator_start: FloatTensor<B>,
    pub(crate) controller_recurrent: FloatTensor<B>,
    pub(crate) generator_recurrent: FloatTensor<B>,
    pub(crate) factors_to_controller: FloatTensor<B>,
    pub(crate) controller_to_inputs: FloatTensor<B>,
    pub(crate) inputs_bias: FloatTensor<B>,
    pub(crate) inputs_to_generator: FloatTensor<B>,
    pub(crate) generator_to_factors: FloatTensor<B>,
}

/// What a controlled generator needs beside those.
#[derive(Clone, Debug)]
pub(crate) struct ControlSpec {
    pub(crate) noise: Option<Arc<Vec<f32>>>,
    pub(crate) factor_drops: Option<Arc<Vec<f32>>>,
    pub(crate) state_drops: Option<Arc<Vec<f32>>>,
    pub(crate) controller_clip: f32,
    pub(crate) generator_clip: f32,
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

    /// Attention of all heads of `[B, Q, D]` to `[B, S, D]`.
    fn attend(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self>;

    /// Heads `[B, S, H, d_head]` turned by angles of their tokens.
    fn turn(x: FloatTensor<Self>, spec: TurnSpec) -> FloatTensor<Self>;

    /// States of a gated recurrent unit over all bins.
    fn gru(
        drive: FloatTensor<Self>,
        start: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        spec: GruSpec,
    ) -> FloatTensor<Self>;

    /// States of two units over all bins, side by side: one from the first bin on, one from the last.
    fn gru_pair(#[extension_type] tensors: GruPairTensors<Self>, spec: GruSpec) -> FloatTensor<Self>;

    /// A generator under a controller over all bins: states, factors, states of the controller, means and log variances.
    fn control(#[extension_type] tensors: ControlTensors<Self>, spec: ControlSpec) -> FloatTensor<Self>;

    /// Masked Poisson loss `[1]`.
    fn poisson(
        log_rates: FloatTensor<Self>,
        counts: FloatTensor<Self>,
        counted: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}
