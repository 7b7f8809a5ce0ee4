//! Random weights, and the model written out once more: whole windows in double precision, nothing cached.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use neurobrick_stream::{Precision, SessionPlace, StreamSizes, StreamWeights};

/// A small generator (Vigna's `SplitMix64`).
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[-1, 1)`.
    #[allow(clippy::cast_possible_truncation, reason = "24 bits are a float's")]
    pub(crate) fn symmetric(&mut self) -> f32 {
        ((self.next() >> 40) as f64 / f64::from(1 << 23) - 1.0) as f32
    }

    /// Spikes of a bin, most of them none.
    pub(crate) fn counts(&mut self, n_units: usize) -> Vec<u16> {
        (0..n_units)
            .map(|_| if self.next().is_multiple_of(5) { 1 + (self.next() % 3) as u16 } else { 0 })
            .collect()
    }
}

/// Parameters by name.
pub(crate) struct Model {
    pub(crate) sizes: StreamSizes,
    pub(crate) place: SessionPlace,
    pub(crate) parameters: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Model {
    /// Weights of about the size training leaves; norms near one.
    pub(crate) fn random(sizes: StreamSizes, place: SessionPlace, seed: u64) -> Self {
        let mut draws = Draws(seed);
        let parameters = sizes
            .parameters(&place)
            .into_iter()
            .map(|(name, shape)| {
                let scale = if shape.len() == 2 { (shape[0] as f32).powf(-0.5) } else { 0.1 };
                let shift = if name.ends_with("gamma") { 1.0 } else { 0.0 };
                let n = shape.iter().product();
                let values = (0..n).map(|_| shift + scale * draws.symmetric()).collect();
                (name, (shape, values))
            })
            .collect();
        Self { sizes, place, parameters }
    }

    pub(crate) fn weights(&self) -> StreamWeights {
        StreamWeights::from_lookup(&self.sizes, self.place, &|name| self.parameters.get(name).cloned())
            .unwrap()
    }

    /// The model whose matrices hold what `precision` stores of them.
    pub(crate) fn rounded(mut self, precision: Precision) -> Self {
        for (name, (shape, values)) in &mut self.parameters {
            if shape.len() == 1 || name.starts_with("embed_") && !name.starts_with("embed_spikes") {
                continue;
            }
            match precision {
                Precision::F32 => {}
                Precision::Bf16 => values.iter_mut().for_each(|w| *w = bf16(*w)),
                Precision::Int8 => {
                    for column in 0..shape[1] {
                        let of_column = || (0..shape[0]).map(|row| row * shape[1] + column);
                        let step = of_column().map(|i| values[i].abs()).fold(0.0, f32::max) / 127.0;
                        for i in of_column() {
                            values[i] = (values[i] / step).round() * step;
                        }
                    }
                }
            }
        }
        self
    }

    fn get(&self, name: &str) -> &[f32] {
        &self.parameters[name].1
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.get(&format!("{name}.weight")), self.get(&format!("{name}.bias")));
        let column =
            |o: usize| x.iter().enumerate().map(move |(i, x)| x * f64::from(weight[i * bias.len() + o]));
        (0..bias.len()).map(|o| f64::from(bias[o]) + column(o).sum::<f64>()).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (gamma, beta) = (self.get(&format!("{name}.gamma")), self.get(&format!("{name}.beta")));
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let scale = (variance + 1e-5).sqrt().recip();
        (0..x.len()).map(|i| (x[i] - mean) * scale * f64::from(gamma[i]) + f64::from(beta[i])).collect()
    }

    /// Log rates and latents of every bin of a window whose first bins are `counts`.
    pub(crate) fn batch(&self, counts: &[Vec<u16>]) -> Vec<(Vec<f64>, Vec<f64>)> {
        let d = self.sizes.d_model;
        let row = |name: &str, row: usize| -> Vec<f64> {
            self.get(name)[row * d..(row + 1) * d].iter().map(|&w| f64::from(w)).collect()
        };
        let mut tokens = vec![row("embed_session.weight", self.place.session_row)];
        tokens.extend(self.place.prompt_row.map(|prompt| row("embed_prompt.weight", prompt)));
        let n_prefix = tokens.len();
        for (bin, counts) in counts.iter().enumerate() {
            let counts: Vec<f64> = counts.iter().map(|&c| f64::from(c)).collect();
            let stitched = self.linear(&format!("stitches.{}.read_in", self.place.stitch), &counts);
            let embedded = self.linear("embed_spikes", &stitched);
            let softsign: Vec<f64> = embedded.iter().map(|x| x / (1.0 + x.abs())).collect();
            tokens.push(sum(&self.linear("projection", &softsign), &row("embed_pos.weight", bin)));
        }
        for layer in 0..self.sizes.n_layers {
            let name = |part: &str| format!("layers.{layer}.{part}");
            let normed: Vec<_> = tokens.iter().map(|x| self.norm(&name("ln1"), x)).collect();
            let map = |part: &str| -> Vec<_> { normed.iter().map(|x| self.linear(&name(part), x)).collect() };
            let (queries, keys, values) = (map("attn.query"), map("attn.key"), map("attn.value"));
            for (i, token) in tokens.iter_mut().enumerate() {
                let visible = if i < n_prefix { n_prefix } else { i + 1 };
                let mixed = self.attention(&queries[i], &keys[..visible], &values[..visible]);
                *token = sum(token, &self.linear(&name("attn.out_proj"), &mixed));
                let hidden = self.linear(&name("mlp.up_proj"), &self.norm(&name("ln2"), token));
                let gelu: Vec<f64> = hidden.iter().map(|x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()))).collect();
                *token = sum(token, &self.linear(&name("mlp.down_proj"), &gelu));
            }
        }
        let read_out = format!("stitches.{}.read_out", self.place.stitch);
        tokens[n_prefix..]
            .iter()
            .map(|x| self.norm("out_norm", x))
            .map(|latents| (self.linear(&read_out, &latents), latents))
            .collect()
    }

    fn attention(&self, query: &[f64], keys: &[Vec<f64>], values: &[Vec<f64>]) -> Vec<f64> {
        let d_head = self.sizes.d_model / self.sizes.n_heads;
        let mut mixed = Vec::new();
        for first in (0..query.len()).step_by(d_head) {
            let head = first..first + d_head;
            let score = |key: &Vec<f64>| {
                let dot: f64 = head.clone().map(|i| query[i] * key[i]).sum();
                (dot / (d_head as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = keys.iter().map(score).collect();
            let total: f64 = weights.iter().sum();
            mixed.extend(
                head.map(|i| weights.iter().zip(values).map(|(w, value)| w * value[i]).sum::<f64>() / total),
            );
        }
        mixed
    }
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// The error function by its Maclaurin series, to 1e-10 for the arguments that occur here.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let (mut term, mut total) = (x, x);
    for n in 1..100 {
        let n = f64::from(n);
        term *= -x * x / n;
        total += term / (2.0 * n + 1.0);
    }
    total * std::f64::consts::FRAC_2_SQRT_PI
}

/// The nearer of the two neighbors among numbers of 16 bits; the even one if both are as near.
fn bf16(w: f32) -> f32 {
    let below = f32::from_bits(w.to_bits() & 0xffff_0000);
    let above = f32::from_bits(below.to_bits() + 0x1_0000);
    let (to_below, to_above) = ((w - below).abs(), (above - w).abs());
    let is_below_even = below.to_bits() & 0x1_0000 == 0;
    if to_below < to_above || to_below.to_bits() == to_above.to_bits() && is_below_even {
        below
    } else {
        above
    }
}

/// The largest difference of two rows, relative where values exceed one.
pub(crate) fn difference(stream: &[f32], batch: &[f64]) -> f64 {
    assert_eq!(stream.len(), batch.len());
    let of = |(s, b): (&f32, &f64)| (f64::from(*s) - b).abs() / b.abs().max(1.0);
    stream.iter().zip(batch).map(of).fold(0.0, |max, d| if d > max || d.is_nan() { d } else { max })
}
