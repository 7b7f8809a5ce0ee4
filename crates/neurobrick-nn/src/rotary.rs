//! Rotary positions of continuous time, and attention that turns by them.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor, TensorData};
use neurobrick_core::Mode;
use neurobrick_kernels::{TurnPairs, TurnTable};

use crate::ops::{AttentionMask, affine, attend, is_fused, turn};
use crate::{Dropout, InitStreams, LayerNorm, normalize};

/// Rotary embedding of times in seconds (Su et al. 2021, arXiv:2104.09864, for real-valued time as in POYO, Azabou et al.
/// 2023): neighboring dimensions turn in pairs, with periods from `t_min` to `t_max` in geometric steps; the dimensions
/// beyond `n_rotated` stay.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryTime {
    /// Radians per second of each pair.
    omega: Vec<f64>,
    /// Weights that learned under one are of no use under the other.
    pairs: TurnPairs,
}

impl RotaryTime {
    /// Turns for heads of `d_head`, of which the first `n_rotated` turn (POYO: half of them, 1e-4 s to 2.0627 s).
    ///
    /// # Panics
    /// If one of them is odd, more turn than there are, or the periods are not positive and ascending.
    pub fn new(d_head: usize, n_rotated: usize, t_min: f64, t_max: f64) -> Self {
        assert!(d_head.is_multiple_of(2) && n_rotated.is_multiple_of(2), "dimensions turn in pairs");
        assert!(n_rotated <= d_head, "{n_rotated} of {d_head} dimensions turn");
        assert!(0.0 < t_min && t_min < t_max, "periods from {t_min} to {t_max}");
        let n_pairs = n_rotated / 2;
        let period = |i: usize| {
            let share = if n_pairs > 1 { i as f64 / (n_pairs - 1) as f64 } else { 0.0 };
            (t_min.ln() + share * (t_max.ln() - t_min.ln())).exp()
        };
        let turning = (0..n_pairs).map(|i| std::f64::consts::TAU / period(i));
        let omega = turning.chain(std::iter::repeat(0.0)).take(d_head / 2).collect();
        Self { omega, pairs: TurnPairs::Neighbors }
    }

    /// Turns by the number of a bin, as language models turn by the number of a token (Su et al. 2021, equation 15): pair `i`
    /// of all `d_head / 2` turns by `base^(-2i / d_head)` radians a bin, and consists of dimensions `i` and `i + d_head / 2`.
    /// "Seconds" are bins.
    ///
    /// # Panics
    /// If `d_head` is odd or `base` is not above 1.
    pub fn of_bins(d_head: usize, base: f64) -> Self {
        assert!(d_head.is_multiple_of(2), "dimensions turn in pairs");
        assert!(base > 1.0, "a base of {base}");
        let omega = |i: usize| base.powf(-((2 * i) as f64) / d_head as f64);
        Self { omega: (0..d_head / 2).map(omega).collect(), pairs: TurnPairs::Halves }
    }

    /// The turns at `times_s` `[B, S]`, row by row. Angles are computed in double precision: times of an hour times the
    /// fastest pair exceed what single precision resolves.
    ///
    /// # Panics
    /// If there are not `B S` times.
    pub fn at(&self, times_s: &[f64], [b, s]: [usize; 2], device: &Device, dtype: DType) -> Rotation {
        assert_eq!(times_s.len(), b * s, "times [B, S]");
        let angles = times_s.iter().flat_map(|time| self.omega.iter().map(move |omega| time * omega));
        // Half of the pairs may stand still.
        let (sin, cos): (Vec<f64>, Vec<f64>) =
            angles.map(|angle| if angle == 0.0 { (0.0, 1.0) } else { angle.sin_cos() }).unzip();
        let angles = Angles { sin, cos, shape: [b, s, 1, self.omega.len()] };
        let turns = if is_fused(&Tensor::<1>::zeros([1], (device, dtype))) {
            #[expect(clippy::cast_possible_truncation, reason = "kernels compute in single precision")]
            let single = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
            let (cos, sin) = (single(&angles.cos), single(&angles.sin));
            Turns::Table(Arc::new(TurnTable { cos, sin, n_pairs: self.omega.len(), pairs: self.pairs }))
        } else {
            let table = |values: &[f64]| angles.table(values, self.pairs, device, dtype);
            Turns::Tensors(Box::new([table(&angles.cos), table(&angles.sin)]))
        };
        Rotation { turns, pairs: self.pairs, inverse: false }
    }
}

/// Cosines and sines of every token and pair, row by row.
struct Angles {
    sin: Vec<f64>,
    cos: Vec<f64>,
    shape: [usize; 4],
}

impl Angles {
    /// Values of pairs as values of dimensions, `[B, S, 1, d_head]`.
    fn table(&self, values: &[f64], pairs: TurnPairs, device: &Device, dtype: DType) -> Tensor<4> {
        let [b, s, one, n_pairs] = self.shape;
        let values: Vec<f64> = match pairs {
            TurnPairs::Neighbors => values.iter().flat_map(|&value| [value, value]).collect(),
            // Heads of width zero have no pairs, and no chunks.
            TurnPairs::Halves => values.chunks(n_pairs.max(1)).flat_map(|row| [row, row].concat()).collect(),
        };
        Tensor::from_data(TensorData::new(values, [b, s, one, 2 * n_pairs]), (device, dtype))
    }
}

/// Turns of every token, `[B, S, 1, d_head]`; of one example, they hold for all.
#[derive(Clone, Debug)]
pub struct Rotation {
    turns: Turns,
    pairs: TurnPairs,
    inverse: bool,
}

/// Cosines and sines as a kernel reads them, or as tensors.
#[derive(Clone, Debug)]
enum Turns {
    Table(Arc<TurnTable>),
    /// Cosines, then sines, `[B, S, 1, d_head]`.
    Tensors(Box<[Tensor<4>; 2]>),
}

impl Rotation {
    /// Heads `x` `[B, S, H, d_head]`, turned.
    pub fn turn(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.turns {
            Turns::Table(table) => turn(x, table, self.inverse),
            Turns::Tensors(both) => {
                let [cos, sin] = &**both;
                let sin = if self.inverse { sin.clone().neg() } else { sin.clone() };
                composed_turn(x, cos.clone(), sin, self.pairs)
            }
        }
    }

    /// The turns the other way.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self { inverse: !self.inverse, ..self.clone() }
    }
}

/// `x cos + quarter(x) sin`, where a quarter turn makes `(−b, a)` of a pair `(a, b)`.
fn composed_turn(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>, pairs: TurnPairs) -> Tensor<4> {
    let [b, s, h, d] = x.dims();
    let quarter = match pairs {
        TurnPairs::Neighbors => {
            let pairs: Tensor<5> = x.clone().reshape([b, s, h, d / 2, 2]);
            let (first, second) = (pairs.clone().narrow(4, 0, 1), pairs.narrow(4, 1, 1));
            Tensor::cat(vec![-second, first], 4).reshape([b, s, h, d])
        }
        TurnPairs::Halves => {
            let (first, second) = (x.clone().narrow(3, 0, d / 2), x.clone().narrow(3, d / 2, d / 2));
            Tensor::cat(vec![-second, first], 3)
        }
    };
    x * cos + quarter * sin
}

/// Attention of queries to a context with rotary time, both normalized first: the perceiver's cross-attention, or its
/// self-attention where queries and context are the same tokens.
///
/// With `turn_values`, values turn with their time and answers turn back with the query's, so that what is attended to is
/// relative in time too. Maps of queries, keys and values have no bias.
#[derive(Module, Debug)]
pub struct RotaryAttention {
    norm: LayerNorm,
    /// None in self-attention, which norms its tokens once.
    norm_context: Option<LayerNorm>,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    dropout: Dropout,
    n_heads: usize,
    turn_values: bool,
}

/// Sizes and switches of a [`RotaryAttention`].
#[derive(Clone, Copy, Debug)]
pub struct RotaryAttentionConfig {
    /// Width of a token.
    pub d_model: usize,
    /// Number of heads.
    pub n_heads: usize,
    /// Width of a head; heads together need not have the width of a token.
    pub d_head: usize,
    /// Dropout on attention weights.
    pub dropout: f64,
    /// Whether queries and context are different tokens.
    pub is_cross: bool,
    /// Whether values turn too.
    pub turn_values: bool,
}

impl RotaryAttention {
    /// Attention with PyTorch's start; uses dropout site `site`.
    pub fn new(config: &RotaryAttentionConfig, site: usize, init: &mut InitStreams, device: &Device) -> Self {
        let RotaryAttentionConfig { d_model, n_heads, d_head, dropout, is_cross, turn_values } = *config;
        let inner = n_heads * d_head;
        let mut plain = || {
            let weight = init.uniform([d_model, inner], (d_model as f64).sqrt().recip(), device);
            Linear { weight, bias: None }
        };
        let [query, key, value] = [plain(), plain(), plain()];
        Self {
            norm: LayerNorm::new(d_model, device),
            norm_context: is_cross.then(|| LayerNorm::new(d_model, device)),
            query,
            key,
            value,
            out: crate::linear(inner, d_model, init, device),
            dropout: Dropout::new(dropout, site),
            n_heads,
            turn_values,
        }
    }

    /// What queries `x` `[B, Q, D]` get from `context` `[B, S, D]`; `None` attends within `x`. `turns` are those of the
    /// queries and of the context, `filling` `[B, S]`, row by row, marks keys that are none.
    pub fn forward(
        &self,
        x: Tensor<3>,
        context: Option<Tensor<3>>,
        turns: [&Rotation; 2],
        filling: Option<&[bool]>,
        mode: Mode<'_>,
    ) -> Tensor<3> {
        let x = normalize(x, &self.norm);
        let context = match (context, &self.norm_context) {
            (Some(context), Some(norm)) => normalize(context, norm),
            (Some(context), None) => normalize(context, &self.norm),
            (None, _) => x.clone(),
        };
        let heads = |x: Tensor<3>, layer: &Linear| {
            let [b, s, _] = x.dims();
            let x = layer.forward(x);
            let d_head = x.dims()[2] / self.n_heads;
            x.reshape([b, s, self.n_heads, d_head])
        };
        let [query_turns, context_turns] = turns;
        let query = query_turns.turn(heads(x, &self.query));
        let key = context_turns.turn(heads(context.clone(), &self.key));
        let value = heads(context, &self.value);
        let value = if self.turn_values { context_turns.turn(value) } else { value };
        let ([b, q, h, d], s) = (query.dims(), key.dims()[1]);
        let [query, key, value] = [query, key, value].map(|x| {
            let n_tokens = x.dims()[1];
            x.reshape([b, n_tokens, h * d])
        });
        let mask = filling.map(|filling| AttentionMask::of_keys(filling, q, s));
        let mixed = attend([query, key, value], h, mask.as_ref(), &self.dropout, mode);
        let mixed = if self.turn_values {
            query_turns.inverse().turn(mixed.reshape([b, q, h, d])).reshape([b, q, h * d])
        } else {
            mixed
        };
        affine(mixed, &self.out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    #[test]
    fn pairs_turn_by_time_over_their_period_and_the_rest_stays() {
        let device = Device::flex();
        // Periods of 1 and 4 seconds for the first two pairs of three.
        let rotary = RotaryTime::new(6, 4, 1.0, 4.0);
        let turns = rotary.at(&[0.25, 1.0], [1, 2], &device, DType::F32);
        let x = Tensor::<4>::from_data(
            [[[[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]]]],
            &device,
        );
        let turned = turns.turn(x.clone());
        let (sin, cos) = (std::f64::consts::FRAC_PI_8).sin_cos();
        // A quarter and a whole turn of the first pair, a sixteenth and a quarter of the second.
        let expected = [0.0, 1.0, cos, sin, 1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 1.0];
        for (found, expected) in values(turned.clone()).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
        for (found, expected) in values(turns.inverse().turn(turned)).iter().zip(values(x)) {
            assert!((found - expected).abs() < 1e-6, "turning back");
        }
    }

    /// The kernel against the tensors it stands for, values and gradients, both pairings, both ways.
    #[test]
    fn turns_agree_with_the_composed_expression() {
        let device = Device::flex().autodiff();
        for (seed, pairs) in [(3, TurnPairs::Neighbors), (4, TurnPairs::Halves)] {
            for (b, inverse) in [(1, false), (2, true), (2, false)] {
                let rotary = RotaryTime { omega: vec![0.7, 2.0, 0.0], pairs };
                let times: Vec<f64> = (0..5 * b).map(|i| 0.3 * i as f64 - 0.5).collect();
                let mut init = InitStreams::new(seed, "turns");
                let mut draw = || init.normal([2 * 5, 4 * 6], 1.0, &device).val();
                let (x, probe) = (draw().detach().require_grad(), draw().detach());
                let run = |turned: &dyn Fn(Tensor<4>) -> Tensor<4>| {
                    let y = turned(x.clone().reshape([2, 5, 4, 6]));
                    let grads = (y.clone().reshape([10, 24]) * probe.clone()).sum().backward();
                    let gradient = x.grad(&grads).map(|g| values(g.reshape([2, 5, 4, 6])));
                    [values(y), gradient.unwrap()]
                };
                let turns = rotary.at(&times, [b, 5], &device, DType::F32);
                let turns = if inverse { turns.inverse() } else { turns };
                assert!(matches!(turns.turns, Turns::Table(_)));
                let angles = times.iter().flat_map(|t| rotary.omega.iter().map(move |o| t * o));
                let (sin, cos): (Vec<f64>, Vec<f64>) = angles.map(f64::sin_cos).unzip();
                let angles = Angles { sin, cos, shape: [b, 5, 1, 3] };
                let table = |values: &[f64]| angles.table(values, pairs, &device, DType::F32);
                let sin = table(&angles.sin) * if inverse { -1.0 } else { 1.0 };
                let oracle = run(&|x| composed_turn(x, table(&angles.cos), sin.clone(), pairs));
                for (ours, oracle) in run(&|x| turns.turn(x)).iter().zip(&oracle) {
                    assert_eq!(ours.len(), 240);
                    for (a, b) in ours.iter().zip(oracle) {
                        assert!((a - b).abs() < 1e-6, "{a} is not {b} ({pairs:?}, {inverse})");
                    }
                }
            }
        }
    }

    /// Base 16 and heads of 4: a radian a bin for the first pair, a quarter of one for the second.
    #[test]
    fn bins_turn_dimensions_that_are_half_a_head_apart() {
        let device = Device::flex();
        let turns = RotaryTime::of_bins(4, 16.0).at(&[0.0, 3.0], [1, 2], &device, DType::F64);
        let x =
            Tensor::<4>::from_data([[[[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0, 4.0]]]], (&device, DType::F64));
        let found = values(turns.turn(x));
        let ((sin, cos), (slow_sin, slow_cos)) = (3f64.sin_cos(), 0.75f64.sin_cos());
        let turned = [
            cos - 3.0 * sin,
            2.0 * slow_cos - 4.0 * slow_sin,
            sin + 3.0 * cos,
            2.0 * slow_sin + 4.0 * slow_cos,
        ];
        let expected = [[1.0, 2.0, 3.0, 4.0], turned].concat();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }

    /// Answers depend on differences of time alone, where values turn too.
    #[test]
    fn shifting_all_times_changes_nothing() {
        let device = Device::flex();
        let config = RotaryAttentionConfig {
            d_model: 6,
            n_heads: 2,
            d_head: 4,
            dropout: 0.0,
            is_cross: true,
            turn_values: true,
        };
        let mut init = InitStreams::new(1, "rotary");
        let attention = RotaryAttention::new(&config, 0, &mut init, &device);
        let draw = |init: &mut InitStreams, n: usize| init.normal([1, n, 6], 1.0, &device).val();
        let (queries, context) = (draw(&mut init, 2), draw(&mut init, 3));
        let rotary = RotaryTime::new(4, 4, 0.1, 2.0);
        let run = |shift: f64, filling: Option<&[bool]>| {
            let at = |times: &[f64]| {
                let shifted: Vec<f64> = times.iter().map(|t| t + shift).collect();
                rotary.at(&shifted, [1, times.len()], &device, DType::F32)
            };
            let (q, s) = (at(&[0.2, 0.9]), at(&[0.1, 0.5, 0.6]));
            values(attention.forward(queries.clone(), Some(context.clone()), [&q, &s], filling, Mode::Eval))
        };
        for (a, b) in run(0.0, None).iter().zip(run(17.3, None)) {
            assert!((a - b).abs() < 1e-5, "{a} becomes {b}");
        }
        assert_ne!(run(0.0, None), run(0.0, Some(&[false, false, true])), "filling is not looked at");
    }
}
