//! What scores must not depend on: units of measure, the order of rows, and the axes that a representation is written in.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::{Array1, Array2, Array3, ArrayView2, Axis, concatenate};
use neurobrick_metrics::nlb::{DecoderPenalty, psth_r2, velocity_r2};
use neurobrick_metrics::similarity::{Procrustes, linear_cka, linear_cka_unbiased};
use neurobrick_metrics::{RidgeRegression, poisson_d2, r2, roc_auc};
use neurobrick_random::{Domain, Stream};
use proptest::prelude::*;

fn stream(seed: u64, what: u64) -> Stream {
    Stream::new(seed, Domain::Synthetic, [6, what, 0])
}

/// Rates `[B, T, N]` and two behaviors `[B, T, 2]` that follow from them, with noise.
fn recording(seed: u64) -> (Array3<f64>, Array3<f64>) {
    let mut draws = stream(seed, 0);
    let rates = Array3::from_shape_simple_fn((14, 6, 5), || draws.uniform_in(0.05, 1.5));
    let weights = Array2::from_shape_simple_fn((5, 2), || draws.normal());
    let behavior = Array3::from_shape_fn((14, 6, 2), |(b, t, k)| {
        (0..5).map(|n| rates[[b, t, n]] * weights[[n, k]]).sum::<f64>() + 0.3 * draws.normal()
    });
    (rates, behavior)
}

fn velocity(rates: &Array3<f64>, behavior: &Array3<f64>, penalty: f64) -> f64 {
    let (x, x_eval) = rates.view().split_at(Axis(0), 9);
    let (y, y_eval) = behavior.view().split_at(Axis(0), 9);
    velocity_r2((&x, &y), (&x_eval, &y_eval), None, DecoderPenalty::Fixed(penalty)).unwrap()
}

/// A product of reflections: a random rotation, or one that mirrors.
fn orthogonal(size: usize, seed: u64) -> Array2<f64> {
    let mut draws = stream(seed, 1);
    let mut found = Array2::eye(size);
    for _ in 0..=size {
        let axis = Array1::from_shape_simple_fn(size, || draws.normal());
        let axis = &axis / axis.dot(&axis).sqrt();
        let column = axis.view().insert_axis(Axis(1));
        let mirrored = found.dot(&column).dot(&column.t()) * 2.0;
        found = found - mirrored;
    }
    found
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9 * a.abs().max(1.0)
}

proptest! {
    /// Velocity in millimeters, from another origin, per millisecond; rates in Hz with a penalty in their square; a constant
    /// rate more on every unit.
    #[test]
    fn velocity_has_no_units(seed in 0u64..200, scale in 1e-3f64..1e3, shift in -50.0f64..50.0, per_s in 1.0f64..200.0) {
        let (rates, behavior) = recording(seed);
        let found = velocity(&rates, &behavior, 0.1);
        prop_assert!(close(found, velocity(&rates, &(&behavior * scale), 0.1)));
        prop_assert!(close(found, velocity(&rates, &(&behavior + shift), 0.1)));
        prop_assert!(close(found, velocity(&(&rates * per_s), &behavior, 0.1 * per_s * per_s)));
        prop_assert!(close(found, velocity(&(&rates + shift.abs()), &behavior, 0.1)));
        // Bins without units of their own: two bins of a trial may change places in both.
        let mut order: Vec<usize> = (0..6).collect();
        stream(seed, 2).shuffle(&mut order);
        let turned = |values: &Array3<f64>| values.select(Axis(1), &order);
        prop_assert!(close(found, velocity(&turned(&rates), &turned(&behavior), 0.1)));
    }

    /// A PSTH in Hz and rates in Hz; trials of a condition, and conditions, in any order.
    #[test]
    fn psth_has_no_units_and_no_order(seed in 0u64..200, per_s in 1.0f64..200.0) {
        let (rates, _) = recording(seed);
        let conditions: Vec<Vec<usize>> = (0..3).map(|c| (0..14).filter(|b| b % 3 == c).collect()).collect();
        let mut draws = stream(seed, 3);
        let psth = Array3::from_shape_simple_fn((3, 6, 5), || draws.uniform_in(0.05, 1.5));
        let score = |psth: &Array3<f64>, rates: &Array3<f64>, conditions: &[Vec<usize>]| {
            psth_r2(&psth.view(), &rates.view(), conditions, None).unwrap()
        };
        let found = score(&psth, &rates, &conditions);
        prop_assert!(close(found, score(&(&psth * per_s), &(&rates * per_s), &conditions)));
        let mut order = vec![0, 1, 2];
        draws.shuffle(&mut order);
        let mut shuffled: Vec<Vec<usize>> = order.iter().map(|&c| conditions[c].clone()).collect();
        for trials in &mut shuffled {
            draws.shuffle(trials);
        }
        prop_assert!(close(found, score(&psth.select(Axis(0), &order), &rates, &shuffled)));
    }

    /// Coefficients carry the units: outputs per feature. Rows in any order, features in any order.
    #[test]
    fn ridge_carries_its_units(seed in 0u64..200, of_y in 1e-3f64..1e3, of_x in 1e-2f64..1e2, shift in -9.0f64..9.0) {
        let (rates, behavior) = recording(seed);
        let x = rates.into_shape_with_order((84, 5)).unwrap();
        let y = behavior.into_shape_with_order((84, 2)).unwrap();
        let fit = |x: &Array2<f64>, y: &Array2<f64>, penalty: f64| {
            RidgeRegression::fit(&x.view(), &y.view(), penalty).unwrap()
        };
        let own = fit(&x, &y, 0.5);
        let near = |a: ArrayView2<f64>, b: ArrayView2<f64>| {
            let size = a.iter().fold(0.0f64, |most, v| most.max(v.abs()));
            a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9 * size)
        };
        let scaled = fit(&(&x * of_x + shift), &(&y * of_y + shift), 0.5 * of_x * of_x);
        prop_assert!(near((&own.coefficients() * (of_y / of_x)).view(), scaled.coefficients()));
        let predicted = own.predict(&x.view()).unwrap() * of_y + shift;
        prop_assert!(near(predicted.view(), scaled.predict(&(&x * of_x + shift).view()).unwrap().view()));
        let mut rows: Vec<usize> = (0..84).collect();
        let mut features: Vec<usize> = (0..5).collect();
        let mut draws = stream(seed, 4);
        draws.shuffle(&mut rows);
        draws.shuffle(&mut features);
        let turned = fit(&x.select(Axis(0), &rows).select(Axis(1), &features), &y.select(Axis(0), &rows), 0.5);
        prop_assert!(near(own.coefficients().select(Axis(0), &features).view(), turned.coefficients()));
    }

    /// Rows in any order; counts and rates times a number, as deviance is; scores through any rising function.
    #[test]
    fn deviance_and_area_have_no_order(seed in 0u64..200, times in 1u32..9, slope in 0.1f64..5.0) {
        let mut draws = stream(seed, 5);
        let rates = Array1::from_shape_simple_fn(40, || draws.uniform_in(0.1, 3.0));
        let mut counts = rates.mapv(|rate| f64::from(draws.poisson(rate)));
        // Counts that do not vary have no deviance.
        counts[0] = counts[1] + 1.0;
        let mut order: Vec<usize> = (0..40).collect();
        draws.shuffle(&mut order);
        let turned = |values: &Array1<f64>| values.select(Axis(0), &order);
        let d2 = |rates: &Array1<f64>, counts: &Array1<f64>| poisson_d2(&rates.view(), &counts.view()).unwrap();
        let found = d2(&rates, &counts);
        prop_assert!(close(found, d2(&turned(&rates), &turned(&counts))));
        prop_assert!(close(found, d2(&(&rates * f64::from(times)), &(&counts * f64::from(times)))));
        let mut truth: Vec<bool> = counts.iter().map(|count| *count > 1.0).collect();
        (truth[2], truth[3]) = (true, false);
        let area = |truth: &[bool], scores: &Array1<f64>| roc_auc(truth, &scores.to_vec()).unwrap();
        let found = area(&truth, &rates);
        let turned_truth: Vec<bool> = order.iter().map(|&row| truth[row]).collect();
        prop_assert!(close(found, area(&turned_truth, &turned(&rates))));
        prop_assert!(close(found, area(&truth, &rates.mapv(|rate| (slope * rate).exp()))));
        let swapped: Vec<bool> = truth.iter().map(|label| !label).collect();
        prop_assert!(close(found, 1.0 - area(&swapped, &rates)));
        let columns = |values: &Array1<f64>| values.view().insert_axis(Axis(1)).to_owned();
        let r2 = |a: &Array1<f64>, b: &Array1<f64>| r2::uniform(&columns(a).view(), &columns(b).view()).unwrap();
        prop_assert!(close(r2(&counts, &rates), r2(&turned(&counts), &turned(&rates))));
    }

    /// Rotated, mirrored, scaled and moved, a representation is as like another as before; so are conditions in any order. What
    /// stretches one axis alone is seen.
    #[test]
    fn likeness_has_no_axes(seed in 0u64..200, scale in 1e-2f64..1e2, shift in -9.0f64..9.0) {
        let mut draws = stream(seed, 6);
        let mut normal = |rows, columns| Array2::from_shape_simple_fn((rows, columns), || draws.normal());
        let (x, y) = (normal(12, 4), normal(12, 4));
        let y = &x * 0.5 + &y;
        let turn = |m: &Array2<f64>, seed| m.dot(&orthogonal(4, seed)) * scale + shift;
        let (x_turned, y_turned) = (turn(&x, seed), turn(&y, seed + 1000));
        for cka in [linear_cka, linear_cka_unbiased] {
            let found = cka(&x.view(), &y.view()).unwrap();
            prop_assert!(close(found, cka(&x_turned.view(), &y_turned.view()).unwrap()));
            prop_assert!(close(1.0, cka(&x.view(), &x_turned.view()).unwrap()));
        }
        let disparity = |a: &Array2<f64>, b: &Array2<f64>| Procrustes::new(&a.view(), &b.view()).unwrap().disparity;
        let found = disparity(&x, &y);
        prop_assert!(close(found, disparity(&x_turned, &y_turned)) && close(found, disparity(&y, &x)));
        let own = Procrustes::new(&x.view(), &x_turned.view()).unwrap();
        prop_assert!(own.disparity < 1e-9 && close(own.scale / scale, 1.0), "{:?}", own);
        let mut order: Vec<usize> = (0..12).collect();
        stream(seed, 7).shuffle(&mut order);
        prop_assert!(close(found, disparity(&x.select(Axis(0), &order), &y.select(Axis(0), &order))));
        let (first, rest) = x.view().split_at(Axis(1), 1);
        let stretched = concatenate![Axis(1), &first * 9.0, rest];
        prop_assert!(linear_cka(&x.view(), &stretched.view()).unwrap() < 0.999);
        prop_assert!(disparity(&x, &stretched) > 1e-3);
    }
}
