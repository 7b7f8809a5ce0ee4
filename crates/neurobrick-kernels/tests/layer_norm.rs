//! Layer norm against the formulas in double precision.

use neurobrick_kernels::{layer_norm, layer_norm_backward};
use proptest::prelude::*;

const EPS: f32 = 1e-5;

#[derive(Clone, Debug)]
struct Case {
    width: usize,
    x: Vec<f32>,
    d_out: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

fn cases() -> impl Strategy<Value = Case> {
    let size = (1_usize..140, 0_usize..5);
    (size, prop_oneof![Just(1.0_f32), Just(1e4), Just(1e-3)], -3.0_f32..3.0).prop_flat_map(
        |((width, rows), spread, shift)| {
            let rows_of = move |n| prop::collection::vec(-1.0_f32..1.0, n);
            (rows_of(width * rows), rows_of(width * rows), rows_of(width), rows_of(width)).prop_map(
                move |(x, d_out, gamma, beta)| {
                    let x = x.iter().map(|v| (v + shift) * spread).collect();
                    Case { width, x, d_out, gamma, beta }
                },
            )
        },
    )
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// Mean and 1/standard deviation of a row.
fn statistics(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    (mean, 1.0 / (variance + f64::from(EPS)).sqrt())
}

proptest! {
    #[test]
    fn values_and_statistics(case in cases()) {
        let Case { width, x, gamma, beta, .. } = case;
        let (mut out, mut stats) = (vec![7.0; x.len()], vec![7.0; x.len() / width * 2]);
        layer_norm(&x, &gamma, &beta, EPS, &mut out, &mut stats);
        for ((x, out), stat) in x.chunks(width).zip(out.chunks(width)).zip(stats.chunks(2)) {
            let x = wide(x);
            let (mean, scale) = statistics(&x);
            let size = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            prop_assert!((f64::from(stat[0]) - mean).abs() <= 1e-6 * size);
            // Cancellation against a mean far from zero costs size * scale times the rounding.
            let rounding = 1e-6 * (1.0 + size * scale);
            prop_assert!((f64::from(stat[1]) / scale - 1.0).abs() <= rounding);
            for (((x, &y), &g), &b) in x.iter().zip(out).zip(&gamma).zip(&beta) {
                let exact = (x - mean) * scale * f64::from(g) + f64::from(b);
                prop_assert!((f64::from(y) - exact).abs() <= 4.0 * rounding, "{y}, not {exact}");
            }
        }
    }

    #[test]
    fn gradients(case in cases()) {
        let Case { width, x, d_out, gamma, beta } = case;
        let (mut out, mut stats) = (vec![0.0; x.len()], vec![0.0; x.len() / width * 2]);
        layer_norm(&x, &gamma, &beta, EPS, &mut out, &mut stats);
        let (mut d_x, mut d_gamma, mut d_beta) = (d_out.clone(), vec![0.5; width], vec![0.25; width]);
        layer_norm_backward(&x, &gamma, &stats, &mut d_x, &mut d_gamma, &mut d_beta);

        let (mut exact_gamma, mut exact_beta) = (vec![0.5; width], vec![0.25; width]);
        let mut worst = 1e-6;
        for ((x, dy), d_x) in x.chunks(width).zip(d_out.chunks(width)).zip(d_x.chunks(width)) {
            let (x, dy) = (wide(x), wide(dy));
            let (mean, scale) = statistics(&x);
            let size = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            let rounding = 1e-6 * (1.0 + size * scale);
            worst = f64::max(worst, 4.0 * rounding);
            let normed: Vec<f64> = x.iter().map(|v| (v - mean) * scale).collect();
            let h: Vec<f64> = dy.iter().zip(&gamma).map(|(d, &g)| d * f64::from(g)).collect();
            let mean_h = h.iter().sum::<f64>() / width as f64;
            let mean_hx = h.iter().zip(&normed).map(|(h, n)| h * n).sum::<f64>() / width as f64;
            for ((&d, h), n) in d_x.iter().zip(&h).zip(&normed) {
                let exact = scale * (h - mean_h - n * mean_hx);
                let bound = 10.0 * rounding * scale;
                prop_assert!((f64::from(d) - exact).abs() <= bound, "{d}, not {exact}");
            }
            for (i, (d, n)) in dy.iter().zip(&normed).enumerate() {
                exact_gamma[i] += d * n;
                exact_beta[i] += d;
            }
        }
        for (d, exact) in d_gamma.iter().zip(&exact_gamma).chain(d_beta.iter().zip(&exact_beta)) {
            prop_assert!((f64::from(*d) - exact).abs() <= 5.0 * worst, "{d}, not {exact}");
        }
    }
}

#[test]
fn a_row_with_nan_or_infinity_becomes_nan_alone() {
    let x = [1.0, f32::NAN, 3.0, 1.0, 2.0, 3.0, f32::INFINITY, 0.0, 0.0];
    let (mut out, mut stats) = ([0.0; 9], [0.0; 6]);
    layer_norm(&x, &[1.0; 3], &[0.0; 3], EPS, &mut out, &mut stats);
    assert!(out[..3].iter().chain(&out[6..]).all(|v| v.is_nan()), "{out:?}");
    assert!(out[3..6].iter().all(|v| v.is_finite()), "{out:?}");
}
