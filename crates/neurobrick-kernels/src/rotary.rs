//! Rotary embedding: pairs of dimensions of a head turned by an angle of their token.

use pulp::NullaryFnOnce;

use crate::simd::run;

/// Which two dimensions of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnPairs {
    /// 0 and 1, 2 and 3.
    Neighbors,
    /// 0 and `d/2`, 1 and `d/2 + 1`.
    Halves,
}

/// Cosines and sines of the angles of all pairs of every token, `[tokens, pairs]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnTable {
    /// Cosines.
    pub cos: Vec<f32>,
    /// Sines.
    pub sin: Vec<f32>,
    /// Pairs of a token.
    pub n_pairs: usize,
    /// Which dimensions they are.
    pub pairs: TurnPairs,
}

/// Turns `x` `[B, S, H, 2 pairs]` in place: the pair `(a, b)` becomes `(a cos − b sin, b cos + a sin)`; the other way round, which
/// is the gradient too, if `inverse`. A table of one example (`S` tokens) holds for all.
///
/// ```
/// use neurobrick_kernels::{TurnPairs, TurnTable, turn};
///
/// let table = TurnTable { cos: vec![0.0], sin: vec![1.0], n_pairs: 1, pairs: TurnPairs::Neighbors };
/// let mut x = [1.0, 2.0];
/// turn(&mut x, &table, 1, false);
/// assert_eq!(x, [-2.0, 1.0]);
/// ```
///
/// # Panics
/// If `x` does not hold whole examples of as many tokens as the table has.
pub fn turn(x: &mut [f32], table: &TurnTable, n_heads: usize, inverse: bool) {
    let TurnTable { cos, sin, n_pairs, .. } = table;
    assert_eq!(cos.len(), sin.len(), "turn: cosines and sines");
    if x.is_empty() || cos.is_empty() {
        assert!(x.is_empty(), "turn: angles of {} values", x.len());
        return;
    }
    assert_eq!(cos.len() % n_pairs, 0, "turn: angles of {n_pairs} pairs");
    let size = cos.len() * 2 * n_heads;
    assert_eq!(x.len() % size, 0, "turn: {} values for {} angles of {n_heads} heads", x.len(), cos.len());
    let sign = if inverse { -1.0 } else { 1.0 };
    for x in x.chunks_exact_mut(size) {
        run(Turn { x, table, n_heads, sign });
    }
}

/// Kernel of [`turn`] for as many tokens as the table has.
struct Turn<'a> {
    x: &'a mut [f32],
    table: &'a TurnTable,
    n_heads: usize,
    sign: f32,
}

impl NullaryFnOnce for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { x, table: TurnTable { cos, sin, n_pairs, pairs }, n_heads, sign } = self;
        let n = *n_pairs;
        let angles = cos.chunks_exact(n).zip(sin.chunks_exact(n));
        for (x, (cos, sin)) in x.chunks_exact_mut(2 * n * n_heads).zip(angles) {
            for head in x.chunks_exact_mut(2 * n) {
                match pairs {
                    TurnPairs::Neighbors => {
                        let (both, _) = head.as_chunks_mut::<2>();
                        for ((both, &c), &s) in both.iter_mut().zip(cos).zip(sin) {
                            let ([a, b], s) = (*both, sign * s);
                            *both = [a.mul_add(c, -(b * s)), b.mul_add(c, a * s)];
                        }
                    }
                    TurnPairs::Halves => {
                        let (first, second) = head.split_at_mut(n);
                        for (((a, b), &c), &s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                            let (x, y, s) = (*a, *b, sign * s);
                            (*a, *b) = (x.mul_add(c, -(y * s)), y.mul_add(c, x * s));
                        }
                    }
                }
            }
        }
    }
}
