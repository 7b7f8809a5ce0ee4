//! The read-in of sparse counts against the dense product in double precision.

use neurobrick_kernels::SparseCounts;
use proptest::prelude::*;

/// Sizes around the column tiles of 64 and 16.
fn sizes() -> impl Strategy<Value = (usize, usize, usize)> {
    (0_usize..6, 1_usize..20, 1_usize..150)
}

fn cases() -> impl Strategy<Value = (usize, usize, Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>)> {
    sizes().prop_flat_map(|(rows, n_units, width)| {
        let count = prop_oneof![3 => Just(0.0_f32), 1 => (1_u8..9).prop_map(f32::from), 1 => Just(-0.5)];
        let reals = |n| prop::collection::vec(-1.0_f32..1.0, n);
        (
            Just(n_units),
            Just(width),
            prop::collection::vec(count, rows * n_units),
            reals(n_units * width),
            reals(width),
            reals(rows * width),
        )
    })
}

proptest! {
    #[test]
    fn gathering_is_the_dense_product((n_units, width, counts, weight, bias, d_out) in cases()) {
        let sparse = SparseCounts::new(&counts, n_units);
        let rows = counts.len() / n_units;
        prop_assert_eq!(sparse.rows(), rows);
        prop_assert_eq!(sparse.non_zeros(), counts.iter().filter(|&&c| c != 0.0).count());
        let mut out = vec![7.0; rows * width];
        sparse.gather_rows(&weight, &bias, &mut out);
        for (i, &y) in out.iter().enumerate() {
            let (r, k) = (i / width, i % width);
            let terms = (0..n_units).map(|n| f64::from(counts[r * n_units + n]) * f64::from(weight[n * width + k]));
            let exact = f64::from(bias[k]) + terms.sum::<f64>();
            prop_assert!((f64::from(y) - exact).abs() <= 1e-4, "out[{r}, {k}] = {y}, not {exact}");
        }

        let mut d_weight = vec![0.5; n_units * width];
        sparse.gather_rows_backward(&d_out, &mut d_weight);
        for (i, &d) in d_weight.iter().enumerate() {
            let (n, k) = (i / width, i % width);
            let terms = (0..rows).map(|r| f64::from(counts[r * n_units + n]) * f64::from(d_out[r * width + k]));
            let exact = 0.5 + terms.sum::<f64>();
            prop_assert!((f64::from(d) - exact).abs() <= 1e-4, "d_weight[{n}, {k}] = {d}, not {exact}");
        }
    }
}

#[test]
fn silent_units_do_not_spread_what_their_weights_hold() {
    let weight = [f32::NAN, 2.0, f32::INFINITY];
    let mut out = [0.0; 2];
    SparseCounts::new(&[0.0, 3.0, -0.0, 0.0, f32::NAN, 0.0], 3).gather_rows(&weight, &[1.0], &mut out);
    assert_eq!(out[0].to_bits(), 7.0_f32.to_bits());
    assert!(out[1].is_nan(), "a count of NaN is not silent");
}
