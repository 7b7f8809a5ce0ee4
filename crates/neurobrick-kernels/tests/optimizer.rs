//! AdamW against the same operations one at a time, and against double precision; sums.

use neurobrick_kernels::{AdamWRates, AdamWStep, adamw, add_assign, sum_squares};
use proptest::prelude::*;

const RATES: AdamWRates = AdamWRates { lr: 3e-3, beta1: 0.85, beta2: 0.99, eps: 1e-6, weight_decay: 0.1 };

fn values() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![-1.0_f32..1.0, -1e4_f32..1e4, Just(0.0), Just(1e-42)], 0..150)
}

proptest! {
    #[test]
    fn adamw_follows_the_formulas(grads in prop::collection::vec(values(), 1..4), scale in 0.1_f64..1.0) {
        let n = grads.iter().map(Vec::len).min().unwrap_or(0);
        let (mut weight, mut first, mut second) = (vec![0.5_f32; n], vec![0.0_f32; n], vec![0.0_f32; n]);
        let mut exact = vec![(0.5_f64, 0.0_f64, 0.0_f64); n];
        for (t, grad) in (1_u64..).zip(&grads) {
            let AdamWRates { lr, beta1, beta2, eps, weight_decay } = RATES;
            adamw(&mut weight, &grad[..n], &mut first, &mut second, &AdamWStep::new(&RATES, t, scale));
            let (c1, c2) = (1.0 - beta1.powf(t as f64), 1.0 - beta2.powf(t as f64));
            for ((w, m, v), &g) in exact.iter_mut().zip(grad) {
                let g = f64::from(g) * scale;
                *w *= 1.0 - lr * weight_decay;
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *w -= lr / c1 * *m / (v.sqrt() / c2.sqrt() + eps);
            }
        }
        for (i, (w, m, v)) in exact.into_iter().enumerate() {
            prop_assert!((f64::from(weight[i]) - w).abs() <= 1e-6, "weight {}, not {w}", weight[i]);
            prop_assert!((f64::from(first[i]) - m).abs() <= 1e-6 * (m.abs() + 1e3), "first {}, not {m}", first[i]);
            prop_assert!((f64::from(second[i]) - v).abs() <= 1e-6 * v + 1e-44, "second {}, not {v}", second[i]);
        }
    }

    #[test]
    fn sums(a in values(), b in values()) {
        let n = a.len().min(b.len());
        let mut sum = a[..n].to_vec();
        add_assign(&mut sum, &b[..n]);
        for ((s, a), b) in sum.iter().zip(&a).zip(&b) {
            prop_assert_eq!(s.to_bits(), (a + b).to_bits());
        }
        let exact: f64 = a.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        prop_assert!((sum_squares(&a) - exact).abs() <= 1e-13 * exact);
    }
}

#[test]
fn nan_reaches_the_weight_and_the_norm() {
    let (mut weight, mut first, mut second) = ([1.0; 2], [0.0; 2], [0.0; 2]);
    adamw(&mut weight, &[f32::NAN, 1.0], &mut first, &mut second, &AdamWStep::new(&RATES, 1, 1.0));
    assert!(weight[0].is_nan() && weight[1].is_finite());
    assert!(sum_squares(&[1.0, f32::NAN]).is_nan());
}

#[test]
#[should_panic(expected = "numbered from 1")]
fn update_zero_is_refused() {
    let _ = AdamWStep::new(&RATES, 0, 1.0);
}
