//! Fused kernels against the Burn expressions they replace: values and gradients.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use neurobrick_core::{Context, DropoutStreams, Mode};
use neurobrick_nn::ops::composed;
use neurobrick_nn::{
    AttentionMask, Dropout, InitStreams, LayerNorm, PrefixVisibility, affine, affine_counts, attend,
    context_mask, gelu, linear, normalize, poisson_nll_sum, softsign,
};
use neurobrick_random::{Domain, Stream};
use neurobrick_testkit::test_device;
use proptest::prelude::*;

/// Normal values that record a graph.
fn draw<const D: usize>(shape: [usize; D], seed: u64, spread: f64) -> Tensor<D> {
    let mut stream = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
    #[expect(clippy::cast_possible_truncation, reason = "inputs are single precision")]
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (spread * stream.normal()) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &test_device().autodiff()).require_grad()
}

/// Sparse counts of spikes.
fn draw_counts(shape: [usize; 3], seed: u64, rate: f64) -> Tensor<3> {
    let mut stream = Stream::new(seed, Domain::Synthetic, [1, 0, 0]);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| f32::from(u8::from(stream.bernoulli(rate))) * if stream.bernoulli(0.2) { 2.0 } else { 1.0 })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &test_device().autodiff())
}

fn values<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    x.to_data().iter::<f64>().collect()
}

/// Largest difference, relative to the largest value, or to 0.1 where terms of order one cancel: both sides round in
/// single precision, in other orders.
fn assert_close(name: &str, ours: &[f64], oracle: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), oracle.len(), "{name}");
    let size = oracle.iter().fold(0.1f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(oracle).enumerate() {
        assert!((a - b).abs() <= tolerance * size, "{name}[{i}]: {a} is not {b} (largest {size})");
    }
}

/// Compares the outputs of two functions of the same leaves and the gradients of a weighted sum of each.
fn check<const D: usize, const E: usize>(
    name: &str,
    leaves: &[&Tensor<D>],
    params: &[&Tensor<1>],
    ours: impl Fn() -> Tensor<E>,
    oracle: impl Fn() -> Tensor<E>,
) {
    let run = |f: &dyn Fn() -> Tensor<E>| {
        let out = f();
        let shape: [usize; E] = out.dims();
        let probe = draw(shape, 99, 1.0).inner();
        let probe = Tensor::from_data(probe.into_data(), &test_device().autodiff());
        let grads = (out.clone() * probe).sum().backward();
        let mut all = vec![("out".to_owned(), values(&out))];
        for (i, leaf) in leaves.iter().enumerate() {
            all.push((format!("leaf {i}"), values(&leaf.grad(&grads).unwrap())));
        }
        for (i, param) in params.iter().enumerate() {
            all.push((format!("parameter {i}"), values(&param.grad(&grads).unwrap())));
        }
        all
    };
    for ((what, a), (_, b)) in run(&ours).into_iter().zip(run(&oracle)) {
        assert_close(&format!("{name}, {what}"), &a, &b, 2e-5);
    }
}

fn plain_affine(x: Tensor<3>, layer: &Linear) -> Tensor<3> {
    layer.forward(x)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn affine_layers_agree(b in 1usize..4, s in 1usize..9, k in 1usize..40, n in 1usize..40, seed in 0u64..99) {
        let device = test_device().autodiff();
        let layer = linear(k, n, &mut InitStreams::new(seed, "layer"), &device);
        let (x, bias) = (draw([b, s, k], seed, 1.0), layer.bias.as_ref().unwrap().val());
        let weight = layer.weight.val();
        check("affine", &[&x], &[&bias], || affine(x.clone(), &layer), || plain_affine(x.clone(), &layer));
        for rate in [0.0, 0.05, 0.9] {
            let counts = draw_counts([b, s, k], seed, rate);
            let ours = || affine_counts(counts.clone(), &layer);
            let oracle = || plain_affine(counts.clone(), &layer);
            check("counts", &[&weight], &[&bias], ours, oracle);
        }
    }

    #[test]
    fn norms_and_activations_agree(b in 1usize..4, s in 1usize..6, d in 1usize..70, seed in 0u64..99) {
        let x = draw([b, s, d], seed, 3.0);
        let norm = LayerNorm::new(d, &test_device().autodiff());
        let (gamma, beta) = (norm.gamma.val(), norm.beta.val());
        // Over a few values the gradient of a norm is what is left of terms that cancel; the kernel's own tests judge
        // that against double precision.
        if d >= 8 {
            check("norm", &[&x], &[&gamma, &beta], || normalize(x.clone(), &norm), || composed::normalize(x.clone(), &norm));
        }
        check("gelu", &[&x], &[], || gelu(x.clone()), || composed::gelu(x.clone()));
        check("softsign", &[&x], &[], || softsign(x.clone()), || composed::softsign(x.clone()));
    }

    #[test]
    fn dropouts_agree(b in 1usize..4, s in 1usize..6, d in 1usize..50, p in 0.05f64..0.9, seed in 0u64..99) {
        let (x, residual) = (draw([b, s, d], seed, 1.0), draw([b, s, d], seed + 1, 1.0));
        let streams = DropoutStreams::new(seed, 7, 3);
        let (dropout, mode) = (Dropout::new(p, 2), Mode::Train(&streams));
        let oracle = || composed::drop(x.clone(), &dropout, &streams);
        check("dropout", &[&x], &[], || dropout.forward(x.clone(), mode), oracle);
                let ours = || dropout.add(residual.clone(), x.clone(), mode);
        check("dropout + residual", &[&x, &residual], &[], ours, || residual.clone() + oracle());
    }

    #[test]
    fn attentions_agree(
        b in 1usize..4, bins in 1usize..20, heads in 1usize..4, d_head in 1usize..20, p in 0.0f64..0.7,
        causal in any::<bool>(), train in any::<bool>(), seed in 0u64..99,
    ) {
        let (s, d) = (bins + 2, heads * d_head);
        let inputs = [0, 1, 2].map(|i| draw([b, s, d], seed * 3 + i, 1.0));
        let context = if causal { Context::Causal } else { Context::Full };
        let mask = context_mask(context, 2, bins, PrefixVisibility::PrefixOnly);
        let streams = DropoutStreams::new(seed, 1, 0);
        let mode = if train { Mode::Train(&streams) } else { Mode::Eval };
        let dropout = Dropout::new(p, 5);
        check(
            "attention", &[&inputs[0], &inputs[1], &inputs[2]], &[],
            || attend(inputs.clone(), heads, mask.as_ref(), &dropout, mode),
            || composed::attend(inputs.clone(), heads, mask.as_ref(), &dropout, mode),
        );
    }

    /// Queries and keys of different tokens, some keys being none.
    #[test]
    fn attentions_to_another_sequence_agree(
        b in 1usize..4, q in 1usize..20, s in 2usize..20, heads in 1usize..4, d_head in 1usize..20, p in 0.0f64..0.7,
        last in 0usize..20, is_full in any::<bool>(), train in any::<bool>(), seed in 0u64..99,
    ) {
        let d = heads * d_head;
        let inputs = [(0, q), (1, s), (2, s)].map(|(i, n)| draw([b, n, d], seed * 3 + i, 1.0));
        let filling: Vec<bool> = (0..b * s).map(|i| i % s > (last + i / s) % (s - 1)).collect();
        let mask = (!is_full).then(|| AttentionMask::of_keys(&filling, q, s));
        let streams = DropoutStreams::new(seed, 1, 0);
        let mode = if train { Mode::Train(&streams) } else { Mode::Eval };
        let dropout = Dropout::new(p, 5);
        check(
            "attention", &[&inputs[0], &inputs[1], &inputs[2]], &[],
            || attend(inputs.clone(), heads, mask.as_ref(), &dropout, mode),
            || composed::attend(inputs.clone(), heads, mask.as_ref(), &dropout, mode),
        );
    }

    #[test]
    fn losses_agree(b in 1usize..4, t in 1usize..9, n in 1usize..40, seed in 0u64..99) {
        // Far out of range, as an exploding model's: entries that do not count must not turn the loss into NaN.
        let log_rates = draw([b, t, n], seed, 2.0).inner();
        let log_rates = log_rates.slice_assign([0..1, 0..1, 0..1], Tensor::full([1, 1, 1], 200.0, &test_device()));
        let log_rates = Tensor::from_data(log_rates.into_data(), &test_device().autodiff()).require_grad();
        let counts = draw_counts([b, t, n], seed, 0.2);
        let counted = draw_counts([b, t, n], seed + 1, 0.3).clamp(0.0, 1.0);
        let zero = Tensor::zeros([1, 1, 1], &test_device().autodiff());
        let counted = counted.slice_assign([0..1, 0..1, 0..1], zero);
        check(
            "poisson", &[&log_rates], &[],
            || poisson_nll_sum(log_rates.clone(), counts.clone(), counted.clone()),
            || composed::poisson_nll_sum(log_rates.clone(), counts.clone(), counted.clone()),
        );
    }
}

#[test]
fn hidden_keys_do_not_reach_a_query() {
    let device = test_device();
    let inputs = [1, 2, 3].map(|i| draw([1, 3, 4], i, 1.0).inner());
    let hide = vec![false, true, true, false, false, true, false, false, false];
    let mask = AttentionMask::new(hide, 3);
    let answer =
        |inputs: [Tensor<3>; 3]| values(&attend(inputs, 2, Some(&mask), &Dropout::new(0.0, 0), Mode::Eval));
    let before = answer(inputs.clone());
    let [query, key, value] = inputs;
    let changed = value.slice_assign([0..1, 2..3, 0..4], Tensor::full([1, 1, 4], 1e30, &device));
    let after = answer([query, key, changed]);
    assert_eq!(before[..8], after[..8]);
    assert_ne!(before[8..], after[8..]);
}

#[test]
fn dropout_has_mean_one_and_does_not_depend_on_sharding() {
    let device = test_device();
    let dropout = Dropout::new(0.4, 3);
    let ones = |b| Tensor::<2>::ones([b, 1000], &device);
    let drop = |streams: &DropoutStreams, b| values(&dropout.forward(ones(b), Mode::Train(streams)));
    let whole = drop(&DropoutStreams::new(5, 9, 0), 8);
    let mean = whole.iter().sum::<f64>() / 8000.0;
    // Standard error of the mean of {0, 1/0.6}: sqrt(0.4 / 0.6 / 8000) = 0.009.
    assert!((mean - 1.0).abs() < 0.036, "{mean}");
    assert_eq!(whole[4000..], drop(&DropoutStreams::new(5, 9, 4), 4));
    assert_ne!(whole, drop(&DropoutStreams::new(5, 10, 0), 8));
}

/// Scores far apart make the softmax one-hot: each query gets exactly the value of its best key.
#[test]
fn extreme_scores_choose_one_key() {
    let device = test_device();
    let query = Tensor::<3>::from_data([[[1e4, 0.0], [0.0, -1e4]]], &device);
    let key = Tensor::<3>::from_data([[[1.0, 1.0], [-1.0, -1.0]]], &device);
    let value = Tensor::<3>::from_data([[[3.0, -7.0], [0.5, 11.0]]], &device);
    let answer = attend([query, key, value], 1, None, &Dropout::new(0.0, 0), Mode::Eval);
    assert_eq!(values(&answer), [3.0, -7.0, 0.5, 11.0]);
}
