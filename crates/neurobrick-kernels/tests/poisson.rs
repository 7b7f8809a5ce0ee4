//! The Poisson loss against double precision; entries that do not count.

use neurobrick_kernels::{poisson_nll, poisson_nll_and_slopes};
use proptest::prelude::*;

proptest! {
    #[test]
    fn loss_and_gradient(
        entries in prop::collection::vec((-20.0_f32..8.0, 0_u8..9, prop::bool::ANY), 0..200),
    ) {
        // Entries that do not count hold what would overflow.
        let o: Vec<f32> = entries.iter().map(|e| if e.2 { e.0 } else { 1e4 * e.0 + 100.0 }).collect();
        let y: Vec<f32> = entries.iter().map(|e| f32::from(e.1)).collect();
        let counted: Vec<f32> = entries.iter().map(|e| f32::from(u8::from(e.2))).collect();
        let mut d = o.clone();
        let with_slopes = poisson_nll_and_slopes(&mut d, &y, &counted);
        let (mut loss, mut size) = (0.0, 0.0);
        for (i, e) in entries.iter().enumerate() {
            if !e.2 {
                prop_assert_eq!(d[i].to_bits(), 0);
                continue;
            }
            let (o, y) = (f64::from(o[i]), f64::from(y[i]));
            loss += o.exp() - y * o;
            size += o.exp();
            let exact = o.exp() - y;
            let bound = 2e-7 * (o.exp() + y);
            prop_assert!((f64::from(d[i]) - exact).abs() <= bound, "{}, not {exact}", d[i]);
        }
        let nll = poisson_nll(&o, &y, &counted);
        prop_assert_eq!(with_slopes.to_bits(), nll.to_bits());
        // exp is single precision, the rest double.
        prop_assert!((nll - loss).abs() <= 1.22e-7 * size + 1e-12 * loss.abs(), "{nll}, not {loss}");
    }
}

#[test]
fn nan_counts_only_where_counted() {
    let o = [f32::NAN, f32::INFINITY, 0.0];
    let mut d = o;
    assert_eq!(poisson_nll(&o, &[0.0; 3], &[0.0, 0.0, 1.0]).to_bits(), 1.0_f64.to_bits());
    poisson_nll_and_slopes(&mut d, &[0.0; 3], &[0.0, 0.0, 1.0]);
    assert_eq!(d.map(f32::to_bits), [0.0, 0.0, 1.0].map(f32::to_bits));
    assert!(poisson_nll(&o, &[0.0; 3], &[1.0, 0.0, 1.0]).is_nan());
    d = o;
    poisson_nll_and_slopes(&mut d, &[0.0; 3], &[1.0; 3]);
    assert!(d[0].is_nan() && d[1] == f32::INFINITY);
}
