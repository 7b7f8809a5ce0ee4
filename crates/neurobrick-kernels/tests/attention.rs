//! Attention and products against plain sums in double precision.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use neurobrick_kernels::{
    AttentionDropout, AttentionShape, DropoutStream, Matrix, add_rows, attention, attention_backward, product,
};
use proptest::prelude::*;

/// Values in `[-spread, spread)` from a small linear congruential generator.
fn draw(n: usize, seed: u64, spread: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
            let unit = (state >> 40) as f32 / 16_777_216.0;
            spread * (2.0 * unit - 1.0)
        })
        .collect()
}

/// One head's answers `[Q, d]`, softmax `[Q, S]` and dropout factors in double precision.
struct Head {
    softmax: Vec<f64>,
    factors: Vec<f64>,
    answers: Vec<f64>,
}

struct Case {
    shape: AttentionShape,
    inputs: [Vec<f32>; 3],
    hide: Option<Vec<bool>>,
    dropout: Option<(f64, Vec<DropoutStream>)>,
}

impl Case {
    /// Value `(token, column)` of one head of one example of queries, or of keys.
    fn at(&self, x: &[f32], example: usize, head: usize, token: usize, column: usize) -> f64 {
        let AttentionShape { n_examples, n_heads, d_head, .. } = self.shape;
        let n_tokens = x.len() / (n_examples * n_heads * d_head);
        f64::from(x[((example * n_tokens + token) * n_heads + head) * d_head + column])
    }

    fn head(&self, example: usize, head: usize) -> Head {
        let AttentionShape { n_queries: q, n_keys: s, d_head: d, .. } = self.shape;
        let [query, key, value] = &self.inputs;
        let mut softmax = vec![0.0; q * s];
        for i in 0..q {
            let scores: Vec<f64> = (0..s)
                .map(|j| {
                    if self.hide.as_ref().is_some_and(|hide| hide[i * s + j]) {
                        return f64::NEG_INFINITY;
                    }
                    let dot: f64 = (0..d)
                        .map(|c| self.at(query, example, head, i, c) * self.at(key, example, head, j, c))
                        .sum();
                    dot / (d as f64).sqrt()
                })
                .collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|x| (x - most).exp()).sum();
            for j in 0..s {
                softmax[i * s + j] = (scores[j] - most).exp() / sum;
            }
        }
        let factors = match &self.dropout {
            None => vec![1.0; q * s],
            Some((p, streams)) => {
                let mut factors = vec![0.0; q * s];
                streams[example].factors_into(*p, head * q * s, &mut factors);
                factors.into_iter().map(f64::from).collect()
            }
        };
        let answers = (0..q * d)
            .map(|i| {
                let (token, c) = (i / d, i % d);
                let weight = |j: usize| softmax[token * s + j] * factors[token * s + j];
                (0..s).map(|j| weight(j) * self.at(value, example, head, j, c)).sum()
            })
            .collect();
        Head { softmax, factors, answers }
    }

    /// Gradients by query, key and value of one head `[S, d]`, for the gradient `d_out` by all answers.
    fn gradients(&self, d_out: &[f32], example: usize, head: usize) -> [Vec<f64>; 3] {
        let AttentionShape { n_queries: q, n_keys: s, d_head: d, .. } = self.shape;
        let [query, key, value] = &self.inputs;
        let Head { softmax, factors, .. } = self.head(example, head);
        let mut gradients = [q, s, s].map(|n| vec![0.0; n * d]);
        let scale = (d as f64).sqrt().recip();
        for i in 0..q {
            let by_weight: Vec<f64> = (0..s)
                .map(|j| {
                    let dot: f64 = (0..d)
                        .map(|c| self.at(d_out, example, head, i, c) * self.at(value, example, head, j, c))
                        .sum();
                    dot * factors[i * s + j]
                })
                .collect();
            let mean: f64 = (0..s).map(|j| by_weight[j] * softmax[i * s + j]).sum();
            for j in 0..s {
                let weight = softmax[i * s + j];
                let by_score = weight * (by_weight[j] - mean) * scale;
                for c in 0..d {
                    gradients[0][i * d + c] += by_score * self.at(key, example, head, j, c);
                    gradients[1][j * d + c] += by_score * self.at(query, example, head, i, c);
                    gradients[2][j * d + c] +=
                        weight * factors[i * s + j] * self.at(d_out, example, head, i, c);
                }
            }
        }
        gradients
    }

    fn check(&self, seed: u64) {
        let shape = self.shape;
        let [query, key, value] = &self.inputs;
        let (mut out, mut weights) = (vec![7.0; shape.n_values()], vec![7.0; shape.n_weights()]);
        let dropout = self.dropout.as_ref().map(|(p, streams)| AttentionDropout { p: *p, streams });
        attention(shape, [query, key, value], self.hide.as_deref(), dropout, &mut out, &mut weights);
        let d_out = draw(shape.n_values(), seed + 9, 1.0);
        let mut d = self.inputs.each_ref().map(|x| vec![7.0; x.len()]);
        let p = dropout.map(|d| d.p);
        let slices = d.each_mut().map(Vec::as_mut_slice);
        attention_backward(shape, [query, key, value], p, &weights, &d_out, slices);
        for example in 0..shape.n_examples {
            for head in 0..shape.n_heads {
                let near = |name: &str, ours: &[f32], expected: &[f64]| {
                    for (i, &e) in expected.iter().enumerate() {
                        let o = self.at(ours, example, head, i / shape.d_head, i % shape.d_head);
                        // Scores up to 30 carry 2e-6 of rounding, which the softmax turns into a relative error.
                        assert!((o - e).abs() <= 2e-5 * e.abs().max(1.0), "{name}[{i}]: {o} is not {e}");
                    }
                };
                near("answers", &out, &self.head(example, head).answers);
                let expected = self.gradients(&d_out, example, head);
                for (name, (ours, expected)) in ["query", "key", "value"].iter().zip(d.iter().zip(&expected))
                {
                    near(name, ours, expected);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn attention_and_its_gradients_are_those_of_double_precision(
        n_examples in 1usize..3, n_queries in 1usize..45, others in 0usize..45, n_heads in 1usize..4, d_head in 1usize..36,
        causal in any::<bool>(), p in prop_oneof![Just(0.0), 0.01f64..0.9], spread in 0.1f32..3.0, seed in 0u64..1000,
    ) {
        // As often within a sequence as to another.
        let n_keys = if others % 2 == 0 { n_queries } else { others };
        let shape = AttentionShape { n_examples, n_queries, n_keys, n_heads, d_head };
        let lengths = [shape.n_values(), shape.n_key_values(), shape.n_key_values()];
        let inputs = [1, 2, 3].map(|i| draw(lengths[i - 1], seed + i as u64, spread));
        let hide = causal.then(|| (0..n_queries * n_keys).map(|i| i % n_keys > i / n_keys).collect());
        let streams = (0..n_examples as u64).map(|example| DropoutStream::new(seed, 3, example, 1)).collect();
        let dropout = (p > 0.0).then_some((p, streams));
        Case { shape, inputs, hide, dropout }.check(seed);
    }

    #[test]
    fn products_are_plain_sums(m in 1usize..30, k in 0usize..30, n in 1usize..30, seed in 0u64..99, t in any::<bool>()) {
        let (a, b) = (draw(m * k, seed, 1.0), draw(k * n, seed + 1, 1.0));
        let before = draw(m * n, seed + 2, 1.0);
        let mut out = before.clone();
        // The transposed operand is stored the other way round.
        let stored: Vec<f32> = if t { (0..m * k).map(|i| a[(i % m) * k + i / m]).collect() } else { a.clone() };
        let left = if t { Matrix::new(&stored, k, m).t() } else { Matrix::new(&stored, m, k) };
        product(&mut out, n, 0.5, 2.0, left, Matrix::new(&b, k, n), 1);
        for (i, &o) in out.iter().enumerate() {
            let sum: f64 = (0..k).map(|c| f64::from(a[(i / n) * k + c]) * f64::from(b[c * n + i % n])).sum();
            let expected = 0.5 * f64::from(before[i]) + 2.0 * sum;
            prop_assert!((f64::from(o) - expected).abs() < 1e-5, "{o} is not {expected}");
        }
    }
}

/// The bits of a forward pass do not depend on the number of threads.
#[test]
fn threads_do_not_change_attention() {
    let shape = AttentionShape { n_examples: 1, n_queries: 19, n_keys: 19, n_heads: 3, d_head: 5 };
    for n_examples in [1, 4] {
        let shape = AttentionShape { n_examples, ..shape };
        let inputs = [1, 2, 3].map(|i| draw(shape.n_values(), i, 1.0));
        let run = |n_threads| {
            let (mut out, mut weights) = (vec![0.0; shape.n_values()], vec![0.0; shape.n_weights()]);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads");
            let arrays = inputs.each_ref().map(Vec::as_slice);
            pool.install(|| attention(shape, arrays, None, None, &mut out, &mut weights));
            (out, weights)
        };
        assert_eq!(run(1), run(3));
    }
}

#[test]
fn rows_add_up_to_the_gradient_of_a_bias() {
    let mut total = vec![1.0, 2.0, 3.0];
    add_rows(&[1.0, 10.0, 100.0, 2.0, 20.0, 200.0], &mut total);
    assert_eq!(total, [4.0, 32.0, 303.0]);
}

#[test]
#[should_panic(expected = "inner sizes")]
fn a_product_of_unequal_inner_sizes_is_refused() {
    product(&mut [0.0; 4], 2, 0.0, 1.0, Matrix::new(&[0.0; 6], 2, 3), Matrix::new(&[0.0; 4], 2, 2), 1);
}

#[test]
#[should_panic(expected = "a 2 x 2 result")]
fn a_product_that_does_not_fit_is_refused() {
    product(&mut [0.0; 4], 3, 0.0, 1.0, Matrix::new(&[0.0; 4], 2, 2), Matrix::new(&[0.0; 4], 2, 2), 1);
}
