//! The same operations as Burn expressions: the definition that every backend shares.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{Tensor, TensorData};
use neurobrick_core::{DropoutStreams, Mode};

use super::{AttentionMask, ControlledRun, example_streams};
use crate::{Dropout, LayerNorm};

/// [`normalize`](super::normalize) as `torch.nn.LayerNorm`: biased variance, epsilon inside the root.
pub fn normalize<const D: usize>(x: Tensor<D>, norm: &LayerNorm) -> Tensor<D> {
    // Means, for the gradient of a quotient by a number is in single precision in Burn, whatever the tensor's.
    let centered = x.clone() - x.mean_dim(D - 1);
    let variance = centered.clone().powi_scalar(2).mean_dim(D - 1);
    let unit = centered / (variance + norm.epsilon()).sqrt();
    unit * norm.gamma.val().unsqueeze() + norm.beta.val().unsqueeze()
}

/// [`gelu`](super::gelu).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // Not Burn's own, whose gradient is that of the approximation by tanh on backends without one: off by 5e-4.
    let twice_share = (x.clone() * FRAC_1_SQRT_2).erf() + 1.0;
    x * twice_share * 0.5
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
    let ([b, q, d], [_, s, _]) = (query.dims(), key.dims());
    let d_head = d / n_heads;
    let heads = |t: Tensor<3>| {
        let n_tokens = t.dims()[1];
        t.reshape([b, n_tokens, n_heads, d_head]).swap_dims(1, 2)
    };
    // Scaling the queries costs S·D multiplications, scaling the scores H·S².
    let query = heads(query) * (d_head as f64).powf(-0.5);
    let mut scores = query.matmul(heads(key).swap_dims(2, 3));
    if let Some(mask) = mask {
        let mask = mask.tensor(&scores.device()).unsqueeze_dim::<4>(1).expand([b, n_heads, q, s]);
        scores = scores.mask_fill(mask, f32::NEG_INFINITY);
    }
    let mut weights = softmax(scores, 3);
    if let Mode::Train(streams) = mode
        && dropout.p() > 0.0
    {
        weights = drop(weights, dropout, streams);
    }
    weights.matmul(heads(value)).swap_dims(1, 2).reshape([b, q, d])
}

/// [`poisson_nll_sum`](super::poisson_nll_sum).
pub fn poisson_nll_sum(log_rates: Tensor<3>, counts: Tensor<3>, counted: Tensor<3>) -> Tensor<1> {
    // Filled before the exponential, so that an entry that does not count has neither a value nor a gradient, however
    // large its rate.
    let ignored = counted.equal_elem(0.0);
    let log_rates = log_rates.mask_fill(ignored.clone(), 0.0);
    (log_rates.clone().exp() - counts * log_rates).mask_fill(ignored, 0.0).sum()
}

/// [`gru`](super::gru).
pub fn gru(drive: Tensor<3>, start: Tensor<2>, recurrent: Tensor<2>, clip: f64, reverse: bool) -> Tensor<3> {
    let ([b, t, width], [_, h]) = (drive.dims(), start.dims());
    let cell = Cell::new(recurrent, clip);
    let mut state = start;
    let mut states = Vec::with_capacity(t);
    for i in 0..t {
        let bin = if reverse { t - 1 - i } else { i };
        state = cell.step(drive.clone().narrow(1, bin, 1).reshape([b, width]), state);
        states.push(state.clone().reshape([b, 1, h]));
    }
    if reverse {
        states.reverse();
    }
    Tensor::cat(states, 1)
}

/// [`gru_pair`](super::gru_pair).
pub fn gru_pair(
    drive: Tensor<3>,
    starts: [Tensor<2>; 2],
    recurrents: [Tensor<2>; 2],
    clip: f64,
) -> Tensor<3> {
    let half = drive.dims()[2] / 2;
    let ([start_ahead, start_back], [ahead, back]) = (starts, recurrents);
    let first = gru(drive.clone().narrow(2, 0, half), start_ahead, ahead, clip, false);
    Tensor::cat(vec![first, gru(drive.narrow(2, half, half), start_back, back, clip, true)], 2)
}

/// Weights of a gated recurrent unit, cut where its two products need them.
struct Cell {
    gates: Tensor<2>,
    candidate: Tensor<2>,
    clip: f64,
}

impl Cell {
    fn new(recurrent: Tensor<2>, clip: f64) -> Self {
        let [h, _] = recurrent.dims();
        let gates = recurrent.clone().narrow(1, 0, 2 * h);
        Self { gates, candidate: recurrent.narrow(1, 2 * h, h), clip }
    }

    fn step(&self, drive: Tensor<2>, state: Tensor<2>) -> Tensor<2> {
        let [_, h] = state.dims();
        let gates = sigmoid(drive.clone().narrow(1, 0, 2 * h) + state.clone().matmul(self.gates.clone()));
        let (update, reset) = (gates.clone().narrow(1, 0, h), gates.narrow(1, h, h));
        let recurrent = (reset * state.clone()).matmul(self.candidate.clone());
        let candidate = (drive.narrow(1, 2 * h, h) + recurrent).tanh();
        (update.clone() * state + (update.neg() + 1.0) * candidate).clamp(-self.clip, self.clip)
    }
}

/// [`control`](super::control): states, states of the controller, factors, means and log variances side by side.
pub fn control(run: ControlledRun) -> Tensor<3> {
    let [b, t, _] = run.controller_drive.dims();
    let [_, _, three_g] = run.generator_drive.dims();
    let generator_drive = run.generator_drive.expand([b, t, three_g]);
    let [_, two_u] = run.controller_to_inputs.dims();
    let u = two_u / 2;
    let controller = Cell::new(run.controller_recurrent, run.controller_clip);
    let generator = Cell::new(run.generator_recurrent, run.generator_clip);
    let at = |x: &Tensor<3>, bin: usize| {
        let width = x.dims()[2];
        x.clone().narrow(1, bin, 1).reshape([b, width])
    };
    let scaled = |x: Tensor<2>, drops: &Option<Tensor<3>>, bin: usize| match drops {
        Some(drops) => x * at(drops, bin),
        None => x,
    };
    let read = |state: Tensor<2>, bin: usize| {
        scaled(state, &run.state_drops, bin).matmul(run.generator_to_factors.clone())
    };
    let (mut c, mut g) = (run.controller_start, run.generator_start);
    let mut f = read(g.clone(), 0);
    let mut bins = Vec::with_capacity(t);
    for bin in 0..t {
        let seen = scaled(f, &run.factor_drops, bin).matmul(run.factors_to_controller.clone());
        c = controller.step(at(&run.controller_drive, bin) + seen, c);
        let inferred =
            c.clone().matmul(run.controller_to_inputs.clone()) + run.inputs_bias.clone().reshape([1, two_u]);
        let mean = inferred.clone().narrow(1, 0, u);
        let input = match &run.noise {
            Some(noise) => mean + (inferred.clone().narrow(1, u, u) * 0.5).exp() * at(noise, bin),
            None => mean,
        };
        let drive = at(&generator_drive, bin) + input.matmul(run.inputs_to_generator.clone());
        g = generator.step(drive, g);
        f = read(g.clone(), bin + 1);
        let packed = Tensor::cat(vec![g.clone(), c.clone(), f.clone(), inferred], 1);
        let width = packed.dims()[1];
        bins.push(packed.reshape([b, 1, width]));
    }
    Tensor::cat(bins, 1)
}
