//! The same operations as Burn expressions: the definition that every backend shares.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use neurobrick_core::{DropoutStreams, Mode};

use super::{AttentionMask, example_streams};
use crate::{Dropout, LayerNorm};

/// [`normalize`](super::normalize) as `torch.nn.LayerNorm`: biased variance, epsilon inside the root.
pub fn normalize<const D: usize>(x: Tensor<D>, norm: &LayerNorm) -> Tensor<D> {
    let (variance, mean) = x.clone().var_mean_bias(D - 1);
    let unit = (x - mean) / (variance + norm.epsilon()).sqrt();
    unit * norm.gamma.val().unsqueeze() + norm.beta.val().unsqueeze()
}

/// [`softsign`](super::softsign).
pub fn softsign<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() / (x.abs() + 1.0)
}

/// `x` `[B, ..]` times factors of `dropout`.
pub fn drop<const D: usize>(x: Tensor<D>, dropout: &Dropout, streams: &DropoutStreams) -> Tensor<D> {
    let shape: [usize; D] = x.dims();
    let per_example: usize = shape[1..].iter().product();
    let mut factors = vec![0.0f32; shape[0] * per_example];
    let examples = factors.chunks_exact_mut(per_example.max(1));
    for (stream, factors) in example_streams(dropout, streams, shape[0]).zip(examples) {
        stream.factors_into(dropout.p(), 0, factors);
    }
    x.clone() * Tensor::from_data(TensorData::new(factors, shape), (&x.device(), x.dtype()))
}

/// [`attend`](super::attend).
pub fn attend(
    [query, key, value]: [Tensor<3>; 3],
    n_heads: usize,
    mask: Option<&AttentionMask>,
    dropout: &Dropout,
    mode: Mode<'_>,
) -> Tensor<3> {
    let [b, s, d] = query.dims();
    let d_head = d / n_heads;
    let heads = |t: Tensor<3>| t.reshape([b, s, n_heads, d_head]).swap_dims(1, 2);
    // Scaling the queries costs S·D multiplications, scaling the scores H·S².
    let query = heads(query) * (d_head as f64).powf(-0.5);
    let mut scores = query.matmul(heads(key).swap_dims(2, 3));
    if let Some(mask) = mask {
        let mask = mask.tensor(&scores.device()).unsqueeze::<4>().expand([b, n_heads, s, s]);
        scores = scores.mask_fill(mask, f32::NEG_INFINITY);
    }
    let mut weights = softmax(scores, 3);
    if let Mode::Train(streams) = mode
        && dropout.p() > 0.0
    {
        weights = drop(weights, dropout, streams);
    }
    weights.matmul(heads(value)).swap_dims(1, 2).reshape([b, s, d])
}

/// [`poisson_nll_sum`](super::poisson_nll_sum).
pub fn poisson_nll_sum(log_rates: Tensor<3>, counts: Tensor<3>, counted: Tensor<3>) -> Tensor<1> {
    // Filled before the exponential, so that an entry that does not count has neither a value nor a gradient, however
    // large its rate.
    let ignored = counted.equal_elem(0.0);
    let log_rates = log_rates.mask_fill(ignored.clone(), 0.0);
    (log_rates.clone().exp() - counts * log_rates).mask_fill(ignored, 0.0).sum()
}
