//! Sums over slices in a fixed order, whatever the width of the processor's vectors.
//!
//! Value i goes to lane i mod [`LANES`]; the lanes are then added in pairs, halving their number. The compiler may
//! spread the lanes over registers as it likes without changing one bit.

/// Partial sums kept apart: two AVX-512 registers of `f32`.
pub(crate) const LANES: usize = 32;

/// The sum of all lanes, in pairs.
#[inline(always)]
pub(crate) fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut n = LANES;
    while n > 1 {
        n /= 2;
        let (low, high) = lanes.split_at_mut(n);
        for (l, &h) in low.iter_mut().zip(high.iter()) {
            *l += h;
        }
    }
    lanes[0]
}

/// The sum of `term` over `x`.
#[inline(always)]
pub(crate) fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (l, &v) in lanes.iter_mut().zip(chunk) {
            *l += term(v);
        }
    }
    for (l, &v) in lanes.iter_mut().zip(rest) {
        *l += term(v);
    }
    fold(lanes)
}

/// Partial sums kept apart in double precision.
pub(crate) const WIDE_LANES: usize = 16;

/// The sum of all double lanes, in pairs.
#[inline(always)]
pub(crate) fn fold_wide(mut lanes: [f64; WIDE_LANES]) -> f64 {
    let mut n = WIDE_LANES;
    while n > 1 {
        n /= 2;
        let (low, high) = lanes.split_at_mut(n);
        for (l, &h) in low.iter_mut().zip(high.iter()) {
            *l += h;
        }
    }
    lanes[0]
}

/// The sum of products of `a` and `b`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((l, &x), &y) in lanes.iter_mut().zip(a).zip(b) {
            *l = x.mul_add(y, *l);
        }
    }
    for ((l, &x), &y) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *l = x.mul_add(y, *l);
    }
    fold(lanes)
}
