//! Layers, activations, attention and loss as functions: fused kernels where they apply, Burn expressions elsewhere.
//!
//! A fused kernel takes over for `f32` tensors on the Flex backend, with or without autodiff. Every other backend
//! and precision runs the expression in [`composed`], which is also what the kernels are tested against.

pub mod composed;
mod recurrent;

pub use recurrent::{Controlled, ControlledRun, control, gru, gru_pair};

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::nn::Linear;
use burn::tensor::{Bool, DType, Device, Tensor, TensorData};
use neurobrick_core::{DropoutStreams, Mode};
use neurobrick_kernels::{DropoutStream, TurnTable};

use crate::fused::{AttentionSpec, Drops, FusedOps, TurnSpec};
use crate::{Dropout, LayerNorm};

/// Whether `x` runs on the fused kernels.
pub(crate) fn is_fused<const D: usize>(x: &Tensor<D>) -> bool {
    // Devices compare equal with and without autodiff.
    x.dtype() == DType::F32 && x.device() == Device::flex()
}

/// `x W + b` over the last axis of `x` `[.., D_in]`.
pub fn affine<const D: usize>(x: Tensor<D>, layer: &Linear) -> Tensor<D> {
    affine_as(x, layer, false)
}

/// [`affine`] of spike counts, most of them zero: the kernel visits only units that spiked.
pub fn affine_counts<const D: usize>(counts: Tensor<D>, layer: &Linear) -> Tensor<D> {
    affine_as(counts, layer, true)
}

fn affine_as<const D: usize>(x: Tensor<D>, layer: &Linear, sparse: bool) -> Tensor<D> {
    match &layer.bias {
        Some(bias) if is_fused(&x) => Tensor::from_dispatch(<Dispatch as FusedOps>::affine(
            x.into_dispatch(),
            layer.weight.val().into_dispatch(),
            bias.val().into_dispatch(),
            sparse,
        )),
        _ => layer.forward(x),
    }
}

/// Layer norm over the last axis of `x` `[.., D]`.
pub fn normalize<const D: usize>(x: Tensor<D>, norm: &LayerNorm) -> Tensor<D> {
    if !is_fused(&x) {
        return composed::normalize(x, norm);
    }
    #[expect(clippy::cast_possible_truncation, reason = "single precision is what the kernel computes in")]
    let epsilon = norm.epsilon() as f32;
    Tensor::from_dispatch(<Dispatch as FusedOps>::normalize(
        x.into_dispatch(),
        norm.gamma.val().into_dispatch(),
        norm.beta.val().into_dispatch(),
        epsilon,
    ))
}

/// GELU with the error function, `x Φ(x)` (Hendrycks and Gimpel 2016), as `torch.nn.GELU()`.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_fused(&x) {
        Tensor::from_dispatch(<Dispatch as FusedOps>::gelu_erf(x.into_dispatch()))
    } else {
        composed::gelu(x)
    }
}

/// `x / (1 + |x|)`, as `torch.nn.Softsign`.
pub fn softsign<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_fused(&x) {
        Tensor::from_dispatch(<Dispatch as FusedOps>::softsign(x.into_dispatch()))
    } else {
        composed::softsign(x)
    }
}

/// `x` `[B, ..]` after `dropout`.
pub(crate) fn drop<const D: usize>(x: Tensor<D>, dropout: &Dropout, streams: &DropoutStreams) -> Tensor<D> {
    if !is_fused(&x) {
        return composed::drop(x, dropout, streams);
    }
    let drops = drops(dropout, streams, x.dims()[0]);
    Tensor::from_dispatch(<Dispatch as FusedOps>::drop(x.into_dispatch(), drops))
}

/// `residual` plus `x` `[B, ..]` after `dropout`.
pub(crate) fn add_dropped<const D: usize>(
    residual: Tensor<D>,
    x: Tensor<D>,
    dropout: &Dropout,
    streams: &DropoutStreams,
) -> Tensor<D> {
    assert_eq!(residual.dims(), x.dims(), "shapes of a residual and what is added to it");
    if !is_fused(&x) {
        return residual + composed::drop(x, dropout, streams);
    }
    let drops = drops(dropout, streams, x.dims()[0]);
    let (residual, x) = (residual.into_dispatch(), x.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::add_dropped(residual, x, drops))
}

/// Standard normal values of `shape` `[B, ..]` at a site of a model: as with dropout, a function of (seed, step, example,
/// site), so that neither shards nor resuming change a value. A site draws either dropout or noise.
pub fn normal_noise<const D: usize>(
    shape: [usize; D],
    site: usize,
    streams: &DropoutStreams,
    device: &Device,
) -> Tensor<D> {
    let per_example: usize = shape[1..].iter().product();
    let mut values = vec![0.0f32; shape[0] * per_example];
    for (example, values) in (0..).zip(values.chunks_exact_mut(per_example.max(1))) {
        let [seed, step, example] = streams.address(example);
        DropoutStream::new(seed, step, example, site as u64).normals_into(0, values);
    }
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The streams of `n_examples` examples at one site.
fn drops(dropout: &Dropout, streams: &DropoutStreams, n_examples: usize) -> Drops {
    Drops { p: dropout.p(), streams: example_streams(dropout, streams, n_examples).collect() }
}

fn example_streams(
    dropout: &Dropout,
    streams: &DropoutStreams,
    n_examples: usize,
) -> impl Iterator<Item = DropoutStream> {
    let site = dropout.site() as u64;
    let streams = *streams;
    (0..n_examples as u64).map(move |example| {
        let [seed, step, example] = streams.address(example);
        DropoutStream::new(seed, step, example, site)
    })
}

/// Which keys a query may not see: a mask `[Q, S]` (query, key; `true` = hide) for all examples, or `[B, Q, S]`.
#[derive(Clone, Debug)]
pub struct AttentionMask {
    hide: Arc<[bool]>,
    n_queries: usize,
    n_keys: usize,
}

impl AttentionMask {
    /// A mask over `n_tokens` tokens from `hide`, row by row.
    ///
    /// # Panics
    /// If `hide` does not hold `n_tokens²` entries.
    pub fn new(hide: Vec<bool>, n_tokens: usize) -> Self {
        assert_eq!(hide.len(), n_tokens * n_tokens, "a mask [S, S]");
        Self { hide: hide.into(), n_queries: n_tokens, n_keys: n_tokens }
    }

    /// A mask `[B, S, S]` of `n_examples` examples from `hide`, row by row.
    ///
    /// # Panics
    /// If `hide` does not hold `n_examples n_tokens²` entries.
    pub fn per_example(hide: Vec<bool>, n_examples: usize, n_tokens: usize) -> Self {
        assert_eq!(hide.len(), n_examples * n_tokens * n_tokens, "a mask [B, S, S]");
        Self { hide: hide.into(), n_queries: n_tokens, n_keys: n_tokens }
    }

    /// A mask `[B, Q, S]` that hides the same keys of an example from each of its `n_queries` queries: `hide` `[B, S]`, row by
    /// row, of `n_keys` keys.
    ///
    /// # Panics
    /// If `hide` does not hold rows of `n_keys` entries.
    pub fn of_keys(hide: &[bool], n_queries: usize, n_keys: usize) -> Self {
        assert_eq!(hide.len() % n_keys.max(1), 0, "a mask [B, S]");
        let hide = hide.chunks(n_keys.max(1)).flat_map(|row| row.repeat(n_queries)).collect();
        Self { hide, n_queries, n_keys }
    }

    /// The mask as a tensor `[1, Q, S]` or `[B, Q, S]`.
    pub fn tensor(&self, device: &Device) -> Tensor<3, Bool> {
        let (q, s) = (self.n_queries, self.n_keys);
        let n_examples = self.hide.len().checked_div(q * s).unwrap_or(1);
        Tensor::from_data(TensorData::new(self.hide.to_vec(), [n_examples, q, s]), device)
    }

    /// The mask row by row, example by example.
    pub fn hide(&self) -> &[bool] {
        &self.hide
    }
}

/// `softmax(Q Kᵀ / √d_head) V` for `n_heads` heads side by side in the last axis of queries `[B, Q, D]`, keys and values
/// `[B, S, D]` (Vaswani et al. 2017), with dropout on the weights under [`Mode::Train`].
///
/// # Panics
/// If the shapes differ or the heads do not divide the width.
pub fn attend(
    [query, key, value]: [Tensor<3>; 3],
    n_heads: usize,
    mask: Option<&AttentionMask>,
    dropout: &Dropout,
    mode: Mode<'_>,
) -> Tensor<3> {
    let ([b, _, width], [n_examples, _, d]) = (query.dims(), key.dims());
    assert_eq!((b, width), (n_examples, d), "examples and widths of queries and keys");
    assert_eq!(key.dims(), value.dims(), "shapes of keys and values");
    assert_eq!(query.dims()[2] % n_heads, 0, "{n_heads} heads divide the width");
    if !is_fused(&query) {
        return composed::attend([query, key, value], n_heads, mask, dropout, mode);
    }
    let drops = match mode {
        Mode::Train(streams) if dropout.p() > 0.0 => Some(drops(dropout, streams, query.dims()[0])),
        _ => None,
    };
    let spec = AttentionSpec { n_heads, hide: mask.map(|m| m.hide.clone()), drops };
    let [query, key, value] = [query, key, value].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as FusedOps>::attend(query, key, value, spec))
}

/// Heads `x` `[B, S, H, d_head]` on Flex in single precision, turned by a table of angles.
pub(crate) fn turn(x: Tensor<4>, table: &Arc<TurnTable>, inverse: bool) -> Tensor<4> {
    let spec = TurnSpec { table: table.clone(), n_heads: x.dims()[2], inverse };
    Tensor::from_dispatch(<Dispatch as FusedOps>::turn(x.into_dispatch(), spec))
}

/// Sum over counted entries of `exp(o) − y·o`, the Poisson negative log-likelihood of counts `y` under log rates
/// `o` up to a constant, in nats: `torch.nn.PoissonNLLLoss(log_input=True, full=False)` times the loss mask, summed
/// as in MtM (Zhang et al. 2024; not divided by the number of entries).
///
/// All arguments are `[B, T, N]`; `counted` is 1 where an entry counts and 0 elsewhere. Only `log_rates` gets a gradient.
///
/// # Panics
/// If the shapes differ.
pub fn poisson_nll_sum(log_rates: Tensor<3>, counts: Tensor<3>, counted: Tensor<3>) -> Tensor<1> {
    assert_eq!(log_rates.dims(), counts.dims(), "shapes of log rates and counts");
    assert_eq!(log_rates.dims(), counted.dims(), "shapes of log rates and counted entries");
    if !is_fused(&log_rates) || !is_fused(&counts) || !is_fused(&counted) {
        return composed::poisson_nll_sum(log_rates, counts, counted);
    }
    Tensor::from_dispatch(<Dispatch as FusedOps>::poisson(
        log_rates.into_dispatch(),
        counts.into_dispatch(),
        counted.into_dispatch(),
    ))
}

/// The one number of a tensor, such as a loss, in double precision whatever the device computes in.
///
/// # Panics
/// If the tensor holds another number of values than one, or the device fails to answer.
pub fn scalar(x: Tensor<1>) -> f64 {
    assert_eq!(x.dims(), [1], "one number");
    x.into_data().iter::<f64>().sum()
}
