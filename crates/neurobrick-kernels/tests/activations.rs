//! GELU and softsign against double precision, values and gradients.

use neurobrick_kernels::{gelu, gelu_backward, softsign, softsign_backward};
use proptest::prelude::*;

fn arguments() -> impl Strategy<Value = Vec<f32>> {
    let one = prop_oneof![-6.0_f32..6.0, -1e4_f32..1e4, Just(0.0), Just(-0.0), Just(1e-41), Just(-1e-41)];
    prop::collection::vec(one, 0..200)
}

fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

fn forward(kernel: impl Fn(&[f32], &mut [f32]), x: &[f32]) -> Vec<f32> {
    let mut out = vec![7.0; x.len()];
    kernel(x, &mut out);
    out
}

fn backward(kernel: impl Fn(&[f32], &mut [f32]), x: &[f32]) -> Vec<f32> {
    let mut d = vec![2.0; x.len()];
    kernel(x, &mut d);
    d
}

proptest! {
    #[test]
    fn gelu_is_exact(x in arguments()) {
        for (&x, y) in x.iter().zip(forward(gelu, &x)) {
            let exact = f64::from(x) * cdf(f64::from(x));
            let bound = 1.5e-7 * f64::from(x).abs().max(1.0);
            prop_assert!((f64::from(y) - exact).abs() <= bound, "gelu({x}) = {y}, not {exact}");
        }
    }

    #[test]
    fn gelu_gradient_is_exact(x in arguments()) {
        for (&x, d) in x.iter().zip(backward(gelu_backward, &x)) {
            let exact = 2.0 * (cdf(f64::from(x)) + f64::from(x) * density(f64::from(x)));
            prop_assert!((f64::from(d) - exact).abs() <= 2.0 * 3e-7, "gelu'({x}) = {d}, not {exact}");
        }
    }

    #[test]
    fn softsign_is_exact(x in arguments()) {
        for ((&x, y), d) in x.iter().zip(forward(softsign, &x)).zip(backward(softsign_backward, &x)) {
            let root = 1.0 / (1.0 + f64::from(x).abs());
            let exact = f64::from(x) * root;
            prop_assert!((f64::from(y) - exact).abs() <= 1.8e-7 * exact.abs() + 1e-45);
            prop_assert!((f64::from(d) - 2.0 * root * root).abs() <= 5e-7 * root * root);
        }
    }
}

#[test]
fn the_lower_tail_of_gelu_keeps_relative_precision() {
    for x in [-3.0_f32, -5.0, -8.0] {
        let exact = f64::from(x) * cdf(f64::from(x));
        let y = f64::from(forward(gelu, &[x])[0]);
        assert!((y / exact - 1.0).abs() < 4e-6, "gelu({x}) = {y}, not {exact}");
    }
}

#[test]
fn nan_stays_nan_and_infinities_are_as_in_pytorch() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let y = forward(gelu, &x);
    assert!(y[0].is_nan() && y[1] == f32::INFINITY && y[2].is_nan(), "{y:?}");
    assert!(backward(gelu_backward, &x).iter().all(|d| d.is_nan()));
    assert!(forward(softsign, &x).iter().all(|y| y.is_nan()));
    assert!(backward(softsign_backward, &x)[0].is_nan());
}
