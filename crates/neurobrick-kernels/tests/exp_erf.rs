//! The stated error bounds of `exp` and `erf`, on sweeps of all `f32` against double precision.

use neurobrick_kernels::{erf, erf_slice, exp, exp_slice};

/// A prime stride over the bit patterns: 34 million of all 2³², of every sign and exponent.
const STRIDE: usize = 127;

/// Stated in the documentation of the functions.
const EXP_ULP: f64 = 1.02;
const ERF_ULP: f64 = 1.2;

/// Spacing of `f32` at `value`, at least the smallest subnormal.
fn ulp(value: f64) -> f64 {
    if value.abs() < f64::from(f32::MIN_POSITIVE) {
        return 2.0_f64.powi(-149);
    }
    2.0_f64.powf(value.abs().log2().floor() - 23.0)
}

/// Largest error in ulp over the swept arguments that `filter` lets through.
fn worst(
    fast: impl Fn(&[f32], &mut [f32]),
    exact: impl Fn(f64) -> f64,
    filter: impl Fn(f32) -> bool,
) -> (f64, f32) {
    let (mut worst, mut at) = (0.0, 0.0);
    let patterns: Vec<u32> = (0..=u32::MAX).step_by(STRIDE).collect();
    for patterns in patterns.chunks(4096) {
        let x: Vec<f32> = patterns.iter().map(|&b| f32::from_bits(b)).filter(|&x| filter(x)).collect();
        let mut y = vec![0.0; x.len()];
        fast(&x, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let reference = exact(f64::from(x));
            let error = (f64::from(y) - reference).abs() / ulp(reference);
            assert!(error.is_finite(), "x = {x}: {y} against {reference}");
            if error > worst {
                (worst, at) = (error, x);
            }
        }
    }
    (worst, at)
}

#[test]
fn exp_is_within_its_bound() {
    let (normal, at) = worst(exp_slice, libm::exp, |x| (-87.33..=88.722).contains(&x));
    assert!(normal <= EXP_ULP, "{normal} ulp at {at}");
    let (subnormal, at) = worst(exp_slice, libm::exp, |x| (-200.0..-87.33).contains(&x));
    assert!(subnormal <= EXP_ULP, "{subnormal} ulp at {at}");
}

#[test]
fn erf_is_within_its_bound() {
    let (error, at) = worst(erf_slice, libm::erf, f32::is_finite);
    assert!(error <= ERF_ULP, "{error} ulp at {at}");
}

#[test]
fn the_ends_are_exact() {
    let x = [
        (f32::INFINITY, f32::INFINITY, 1.0_f32),
        (f32::NEG_INFINITY, 0.0, -1.0),
        (f32::MAX, f32::INFINITY, 1.0),
        (f32::MIN, 0.0, -1.0),
        (88.73, f32::INFINITY, 1.0),
        (-103.98, 0.0, -1.0),
        (0.0, 1.0, 0.0),
    ];
    for (x, e, f) in x {
        assert_eq!((exp(x).to_bits(), erf(x).to_bits()), (e.to_bits(), f.to_bits()), "x = {x}");
    }
    assert_eq!(erf(-0.0).to_bits(), (-0.0_f32).to_bits());
    assert!(exp(-103.9) > 0.0, "results underflow gradually");
}

#[test]
fn nan_stays_nan_in_every_lane() {
    for len in 1..40 {
        let x = vec![f32::NAN; len];
        let (mut e, mut f) = (vec![0.0; len], vec![0.0; len]);
        exp_slice(&x, &mut e);
        erf_slice(&x, &mut f);
        assert!(e.iter().chain(&f).all(|v| v.is_nan()));
    }
}

/// Without this machine's vectors, one lane at a time, the bits are the same.
#[test]
fn slices_give_the_bits_of_single_values() {
    let x: Vec<f32> = (0_u16..5001).map(|i| (f32::from(i) - 2500.0) * 0.041).collect();
    let (mut e, mut f) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    exp_slice(&x, &mut e);
    erf_slice(&x, &mut f);
    for ((&x, e), f) in x.iter().zip(e).zip(f) {
        assert_eq!((exp(x).to_bits(), erf(x).to_bits()), (e.to_bits(), f.to_bits()), "x = {x}");
    }
}
