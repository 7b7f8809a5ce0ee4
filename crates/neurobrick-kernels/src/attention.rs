//! Scaled dot-product attention over heads that stay where they are, forward and backward.

use pulp::NullaryFnOnce;
use rayon::prelude::*;

use crate::DropoutStream;
use crate::lanes::dot;
use crate::product::{Matrix, product};
use crate::simd::{run, vectorized};
use crate::softmax::softmax;

/// Sizes of an attention of queries `[B, Q, D]` to keys and values `[B, S, D]`, whose last axis holds `n_heads` heads side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Sequences, `B`.
    pub n_examples: usize,
    /// Queries of a sequence, `Q`.
    pub n_queries: usize,
    /// Keys of a sequence, `S`; within a sequence, as many.
    pub n_keys: usize,
    /// Heads, `H`.
    pub n_heads: usize,
    /// Width of a head, `D / H`.
    pub d_head: usize,
}

impl AttentionShape {
    fn width(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Values of one sequence of queries or answers.
    fn queries(&self) -> usize {
        self.n_queries * self.width()
    }

    /// Values of one sequence of keys or values.
    fn keys(&self) -> usize {
        self.n_keys * self.width()
    }

    /// Values of one head's weights.
    fn square(&self) -> usize {
        self.n_queries * self.n_keys
    }

    /// Length of queries and answers: `B Q D`.
    pub fn n_values(&self) -> usize {
        self.n_examples * self.queries()
    }

    /// Length of keys and values: `B S D`.
    pub fn n_key_values(&self) -> usize {
        self.n_examples * self.keys()
    }

    /// Length of the attention weights of all heads: `B H Q S`.
    pub fn n_weights(&self) -> usize {
        self.n_examples * self.n_heads * self.square()
    }

    fn scale(&self) -> f32 {
        (self.d_head as f32).sqrt().recip()
    }

    /// The mask `[Q, S]` of one sequence.
    fn mask_of<'a>(&self, hide: Option<&'a [bool]>, example: usize) -> Option<&'a [bool]> {
        let own = example * self.square()..(example + 1) * self.square();
        hide.map(|hide| if hide.len() == self.square() { hide } else { &hide[own] })
    }

    /// One head of queries or answers of a sequence `[Q, D]` as a matrix `[Q, d_head]`.
    fn query_head<'a>(&self, sequence: &'a [f32], head: usize) -> Matrix<'a> {
        Matrix::strided(&sequence[head * self.d_head..], self.n_queries, self.d_head, self.width())
    }

    /// One head of keys or values of a sequence `[S, D]` as a matrix `[S, d_head]`.
    fn key_head<'a>(&self, sequence: &'a [f32], head: usize) -> Matrix<'a> {
        Matrix::strided(&sequence[head * self.d_head..], self.n_keys, self.d_head, self.width())
    }
}

/// Dropout on attention weights: its probability and one stream per sequence.
#[derive(Clone, Copy, Debug)]
pub struct AttentionDropout<'a> {
    /// Probability of dropping a weight.
    pub p: f64,
    /// Streams by sequence, `B` of them; weight `(head, query, key)` reads number `(head Q + query) S + key`.
    pub streams: &'a [DropoutStream],
}

/// `softmax(Q Kᵀ / √d_head) V` for every head (Vaswani et al. 2017), with keys hidden where `hide` `[Q, S]`
/// (query, key), or `[B, Q, S]` if sequences differ, is `true`, and inverted dropout on the weights.
///
/// `weights` `[B, H, Q, S]` is kept for the backward pass: the softmax, with the sign bit set where dropout
/// fell. A query that may see no key gets NaN, as in PyTorch. On a rayon pool of several threads, sequences (or,
/// without dropout, the heads of a single sequence) run side by side; the bits do not depend on it.
///
/// # Panics
/// If a length does not fit `shape`.
pub fn attention(
    shape: AttentionShape,
    [query, key, value]: [&[f32]; 3],
    hide: Option<&[bool]>,
    dropout: Option<AttentionDropout<'_>>,
    out: &mut [f32],
    weights: &mut [f32],
) {
    check(shape, &[query, out], &[key, value], hide, dropout);
    assert_eq!(weights.len(), shape.n_weights(), "attention weights [B, H, Q, S]");
    if weights.is_empty() {
        out.fill(0.0);
        return;
    }
    let (sequence, square) = (shape.queries(), shape.square());
    let one = |example: usize, out: &mut [f32], weights: &mut [f32]| {
        let q = &query[example * sequence..(example + 1) * sequence];
        let [k, v] = [key, value].map(|x| &x[example * shape.keys()..(example + 1) * shape.keys()]);
        let hide = shape.mask_of(hide, example);
        let dropout = dropout.map(|d| (d.p, d.streams[example]));
        let mut kept = vec![0.0f32; if dropout.is_some() { square } else { 0 }];
        for (head, weights) in weights.chunks_exact_mut(square).enumerate() {
            head_weights(shape, head, [q, k], hide, dropout, weights, &mut kept);
            mix(shape, head, v, dropout.map(|(p, _)| p), weights, &kept, out);
        }
    };
    if shape.n_examples > 1 && rayon::current_num_threads() > 1 {
        out.par_chunks_exact_mut(sequence)
            .zip(weights.par_chunks_exact_mut(shape.n_heads * square))
            .enumerate()
            .for_each(|(example, (out, weights))| one(example, out, weights));
    } else if rayon::current_num_threads() > 1 && dropout.is_none() {
        // One sequence: the weights of its heads are apart in memory, its answers are interleaved.
        let mut apart = vec![0.0f32; sequence];
        let answers = apart.par_chunks_exact_mut(sequence / shape.n_heads);
        weights.par_chunks_exact_mut(square).zip(answers).enumerate().for_each(
            |(head, (weights, answer))| {
                head_weights(shape, head, [query, key], hide, None, weights, &mut []);
                let (weights, values) =
                    (Matrix::new(weights, shape.n_queries, shape.n_keys), shape.key_head(value, head));
                product(answer, shape.d_head, 0.0, 1.0, weights, values, 1);
            },
        );
        for (head, answer) in apart.chunks_exact(sequence / shape.n_heads).enumerate() {
            let rows = out.chunks_exact_mut(shape.width()).zip(answer.chunks_exact(shape.d_head));
            for (row, answer) in rows {
                row[head * shape.d_head..(head + 1) * shape.d_head].copy_from_slice(answer);
            }
        }
    } else {
        let both = out.chunks_exact_mut(sequence).zip(weights.chunks_exact_mut(shape.n_heads * square));
        for (example, (out, weights)) in both.enumerate() {
            one(example, out, weights);
        }
    }
}

/// The softmax of one head, signed by dropout; `kept` becomes what dropout left of it, and is not touched without dropout.
fn head_weights(
    shape: AttentionShape,
    head: usize,
    [query, key]: [&[f32]; 2],
    hide: Option<&[bool]>,
    dropout: Option<(f64, DropoutStream)>,
    weights: &mut [f32],
    kept: &mut [f32],
) {
    let s = shape.n_keys;
    product(weights, s, 0.0, shape.scale(), shape.query_head(query, head), shape.key_head(key, head).t(), 1);
    run(SoftmaxRows { scores: weights, hide, width: s });
    if let Some((p, stream)) = dropout {
        stream.factors_into(p, head * shape.square(), kept);
        vectorized(|| {
            for (weight, kept) in weights.iter_mut().zip(kept) {
                let is_dropped = *kept == 0.0;
                *kept = if is_dropped { 0.0 } else { *weight };
                *weight = if is_dropped { -*weight } else { *weight };
            }
        });
    }
}

/// Writes one head's answer, weights times values, to its columns of `out` `[Q, D]`. With dropout `p`, the weights
/// are `kept`.
fn mix(
    shape: AttentionShape,
    head: usize,
    value: &[f32],
    p: Option<f64>,
    weights: &[f32],
    kept: &[f32],
    out: &mut [f32],
) {
    let (factor, weights) = p.map_or((1.0, weights), |p| (keep_factor(p), kept));
    let weights = Matrix::new(weights, shape.n_queries, shape.n_keys);
    let out = &mut out[head * shape.d_head..];
    product(out, shape.width(), 0.0, factor, weights, shape.key_head(value, head), 1);
}

#[expect(clippy::cast_possible_truncation, reason = "a factor near one")]
fn keep_factor(p: f64) -> f32 {
    (1.0 / (1.0 - p)) as f32
}

/// Weights that dropout left: those without a sign bit.
#[inline(always)]
fn keep_positive(weights: &[f32], kept: &mut [f32]) {
    for (kept, &weight) in kept.iter_mut().zip(weights) {
        *kept = if weight.is_sign_negative() { 0.0 } else { weight };
    }
}

/// Softmax over every row of scores, in place.
struct SoftmaxRows<'a> {
    scores: &'a mut [f32],
    hide: Option<&'a [bool]>,
    width: usize,
}

impl NullaryFnOnce for SoftmaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { scores, hide, width } = self;
        if let Some(hide) = hide {
            for (score, &hidden) in scores.iter_mut().zip(hide) {
                *score = if hidden { f32::NEG_INFINITY } else { *score };
            }
        }
        for row in scores.chunks_exact_mut(width) {
            softmax(row);
        }
    }
}

/// Gradients of [`attention`] by queries, keys and values, given its gradient by the answers and the `weights` it
/// left.
///
/// # Panics
/// If a length does not fit `shape`.
pub fn attention_backward(
    shape: AttentionShape,
    [query, key, value]: [&[f32]; 3],
    p: Option<f64>,
    weights: &[f32],
    d_out: &[f32],
    [d_query, d_key, d_value]: [&mut [f32]; 3],
) {
    check(shape, &[query, d_out, d_query], &[key, value, d_key, d_value], None, None);
    assert_eq!(weights.len(), shape.n_weights(), "attention weights [B, H, Q, S]");
    if weights.is_empty() {
        for d in [d_query, d_key, d_value] {
            d.fill(0.0);
        }
        return;
    }
    let (q, s, width, d_head) = (shape.n_queries, shape.n_keys, shape.width(), shape.d_head);
    let factor = p.map_or(1.0, keep_factor);
    let mut kept = vec![0.0f32; if p.is_some() { shape.square() } else { 0 }];
    let mut d_scores = vec![0.0f32; shape.square()];
    for example in 0..shape.n_examples {
        let part = example * shape.queries()..(example + 1) * shape.queries();
        let key_part = example * shape.keys()..(example + 1) * shape.keys();
        for head in 0..shape.n_heads {
            let start = (example * shape.n_heads + head) * shape.square();
            let weights = &weights[start..start + shape.square()];
            let answers = shape.query_head(&d_out[part.clone()], head);
            let [offset, key_offset] = [&part, &key_part].map(|part| part.start + head * d_head);
            let kept = if p.is_some() {
                vectorized(|| keep_positive(weights, &mut kept));
                &kept
            } else {
                weights
            };
            product(
                &mut d_value[key_offset..key_part.end],
                width,
                0.0,
                factor,
                Matrix::new(kept, q, s).t(),
                answers,
                1,
            );
            let values = shape.key_head(&value[key_part.clone()], head);
            product(&mut d_scores, s, 0.0, factor, answers, values.t(), 1);
            run(SoftmaxBackward { d: &mut d_scores, weights, kept, width: s });
            let (d_scores, scale) = (Matrix::new(&d_scores, q, s), shape.scale());
            let keys = shape.key_head(&key[key_part.clone()], head);
            product(&mut d_query[offset..part.end], width, 0.0, scale, d_scores, keys, 1);
            let queries = shape.query_head(&query[part.clone()], head);
            product(&mut d_key[key_offset..key_part.end], width, 0.0, scale, d_scores.t(), queries, 1);
        }
    }
}

/// Turns the gradient by the weights after dropout (already times its factor) into that by the scores:
/// `w (g − Σ g w)`, where `g` is zero for dropped weights and `w` is the softmax before dropout.
struct SoftmaxBackward<'a> {
    d: &'a mut [f32],
    weights: &'a [f32],
    kept: &'a [f32],
    width: usize,
}

impl NullaryFnOnce for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { d, weights, kept, width } = self;
        let rows = d.chunks_exact_mut(width).zip(weights.chunks_exact(width)).zip(kept.chunks_exact(width));
        for ((d, weights), kept) in rows {
            let mean = dot(d, kept);
            for ((d, &weight), &kept) in d.iter_mut().zip(weights).zip(kept) {
                *d = (*d).mul_add(kept, -(weight.abs() * mean));
            }
        }
    }
}

fn check(
    shape: AttentionShape,
    by_query: &[&[f32]],
    by_key: &[&[f32]],
    hide: Option<&[bool]>,
    dropout: Option<AttentionDropout<'_>>,
) {
    for array in by_query {
        assert_eq!(array.len(), shape.n_values(), "an array [B, Q, D] of attention");
    }
    for array in by_key {
        assert_eq!(array.len(), shape.n_key_values(), "an array [B, S, D] of attention");
    }
    if let Some(hide) = hide {
        let is_one = hide.len() == shape.square();
        assert!(is_one || hide.len() == shape.n_examples * shape.square(), "a mask [Q, S] or [B, Q, S]");
    }
    if let Some(dropout) = dropout {
        assert_eq!(dropout.streams.len(), shape.n_examples, "one dropout stream per sequence");
    }
}
