//! Exponential and error function of one lane, written so that loops over them become vector code.
//!
//! The coefficients are minimax fits (iteratively reweighted least squares on Chebyshev nodes, 40-digit references)
//! rounded to `f32`; the bounds below are measured, rounding included, by `tests/exp_erf.rs`.

use crate::simd::vectorized;

/// 1.5 · 2²³: adding it to a small number rounds that number to an integer, kept in the low bits.
const ROUND: f32 = 12_582_912.0;
const ROUND_BITS: u32 = ROUND.to_bits();
/// ln 2 in two parts; the first has 15 significant bits, so that `n * LN2_HIGH` is exact.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;

/// Beyond these the result is `inf` or 0 whatever the argument, and the exponent arithmetic stays in range.
const EXP_MAX: f32 = 89.0;
const EXP_MIN: f32 = -104.0;

/// e^x, off by at most 1.02 units in the last place, of subnormal results too. Measured over every
/// `f32` with 4.7e-10 ≤ |x| ≤ 104; the test strides through the rest.
///
/// Cody and Waite's reduction (1980): x = n ln 2 + r, |r| ≤ ln 2 / 2, a polynomial of degree 6 for e^r (relative
/// error 3.2e-9 before rounding), then two exact powers of two, so that results underflow gradually. `inf` above
/// 88.72, 0 below −103.97; NaN stays NaN.
///
/// ```
/// assert!((neurobrick_kernels::exp(1.0) - std::f32::consts::E).abs() < 3e-7);
/// assert_eq!(neurobrick_kernels::exp(f32::NEG_INFINITY), 0.0);
/// ```
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Comparisons that are false for NaN let it through, unlike `f32::min`.
    let x = if x > EXP_MAX { EXP_MAX } else { x };
    let x = if x < EXP_MIN { EXP_MIN } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let q = 0.001_381_422_6_f32
        .mul_add(r, 0.008_368_898)
        .mul_add(r, 0.041_668_404)
        .mul_add(r, 0.166_665_2)
        .mul_add(r, 0.499_999_94);
    let p = (q * r).mul_add(r, r) + 1.0;
    let n = shifted.to_bits().wrapping_sub(ROUND_BITS).cast_signed();
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2^n for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned())
}

/// Where [`erf`] changes its formula; below it the relative error of `x + x P(x²)` is the smaller one.
const ERF_SPLIT: f32 = 0.921_875;
/// erf is 1 to the last bit of an `f32` from here on.
const ERF_ONE: f32 = 4.0;

/// The error function, off by at most 1.2 units in the last place. Measured over every positive `f32` from 4.7e-10 to
/// 104; the test strides through the rest.
///
/// x + x P(x²) up to 0.92, 1 − exp(−x − x L(x)) with L(x) = −ln(erfc x)/x − 1 above; polynomials of degree 5 and 6
/// (relative errors 1.6e-8 and 8e-10 before rounding). Odd, ±1 at ±∞; NaN stays NaN.
///
/// ```
/// assert!((neurobrick_kernels::erf(0.5) - 0.520_499_9).abs() < 1e-7);
/// ```
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let square = x * x;
    let p = (-0.000_599_087_5_f32)
        .mul_add(square, 0.004_993_184_5)
        .mul_add(square, -0.026_766_619)
        .mul_add(square, 0.112_818_16)
        .mul_add(square, -0.376_124_95)
        .mul_add(square, 0.128_379_15);
    let near = p.mul_add(x, x);
    let t = if x.abs() > ERF_ONE { ERF_ONE } else { x.abs() };
    let l = 1.130_360_7e-5_f32
        .mul_add(t, -0.000_323_527_17)
        .mul_add(t, 0.003_645_398_4)
        .mul_add(t, -0.023_768_276)
        .mul_add(t, 0.106_244_09)
        .mul_add(t, 0.635_147)
        .mul_add(t, 0.128_649_56);
    let far = (1.0 - exp(-l.mul_add(t, t))).copysign(x);
    if x.abs() > ERF_SPLIT { far } else { near }
}

/// (Φ(x), exp(−x²/2)): the normal distribution function and its density times √(2π).
///
/// Φ(−|x|) = ½ erfcx(z) exp(−z²) with z = |x|/√2 and erfcx(z) = t P(t), t = 1/(1 + 0.3 z), P of degree 8
/// (relative error 2.0e-8 before rounding). The lower tail keeps its relative precision, which ½(1 + erf z) loses
/// by cancellation, and the density comes for free.
#[inline(always)]
pub(crate) fn normal_cdf(x: f32) -> (f32, f32) {
    const SLOPE: f32 = 0.3 * std::f32::consts::FRAC_1_SQRT_2;
    let bell = exp(-0.5 * (x * x));
    let t = 1.0 / x.abs().mul_add(SLOPE, 1.0);
    let p = (-0.129_554_05_f32)
        .mul_add(t, 0.485_726_74)
        .mul_add(t, -0.512_646_26)
        .mul_add(t, 0.548_183_44)
        .mul_add(t, -0.095_006_86)
        .mul_add(t, 0.215_096_9)
        .mul_add(t, 0.148_289_3)
        .mul_add(t, 0.170_723_32)
        .mul_add(t, 0.169_187_44);
    let tail = 0.5 * (p * t) * bell;
    (if x > 0.0 { 1.0 - tail } else { tail }, bell)
}

/// Writes e^x of each value of `x` to `out`; see [`exp`].
///
/// # Panics
/// If the lengths differ.
pub fn exp_slice(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "exp: lengths of x and out");
    vectorized(|| {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = exp(x);
        }
    });
}

/// Writes the error function of each value of `x` to `out`; see [`erf`].
///
/// # Panics
/// If the lengths differ.
pub fn erf_slice(x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "erf: lengths of x and out");
    vectorized(|| {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = erf(x);
        }
    });
}
