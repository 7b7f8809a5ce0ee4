//! Whatever a made-up brain promises is there: moments of latents, what sessions share, who reads what, Poisson counts.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::{Array3, Axis, Slice, s};
use neurobrick_testkit::{SharedBrain, SharedSession};

/// Every trial has a condition of its own, so that trials are independent.
fn brain(shared: f64) -> SharedBrain {
    SharedBrain { n_conditions: 400, shared, ..SharedBrain::new(3) }
}

fn mean_product(a: &Array3<f64>, b: &Array3<f64>) -> f64 {
    (a * b).mean().unwrap()
}

#[test]
fn latents_have_the_moments_they_promise() {
    let brain = brain(0.3);
    let latents = brain.session(1, 400, 3).latents;
    for bin in [0, 50, 99] {
        let now = latents.slice(s![.., bin, ..]);
        // 4,800 independent values: standard errors of 0.014 and 0.02.
        let (mean, variance) = (now.mean().unwrap(), now.mapv(|z| z * z).mean().unwrap());
        assert!(mean.abs() < 0.06 && (variance - 1.0).abs() < 0.08, "bin {bin}: {mean}, {variance}");
    }
    for latent in (0..brain.n_latents()).step_by(2) {
        for lag in [1_i32, 3, 7] {
            let n = 100 - usize::try_from(lag).unwrap();
            let pair = latents.slice(s![.., .., latent..latent + 2]);
            let product = &pair.slice(s![.., ..n, ..]) * &pair.slice(s![.., lag.., ..]);
            let angle = std::f64::consts::TAU * f64::from(lag) / brain.period_bins(latent);
            let expected = brain.memory.powi(lag) * angle.cos();
            // 800 independent paths, several turns each: a standard error of at most 0.03.
            let found = product.mean().unwrap();
            assert!((found - expected).abs() < 0.1, "latent {latent}, lag {lag}: {found}, not {expected}");
        }
    }
}

#[test]
fn trials_of_a_condition_share_what_they_should_over_sessions() {
    for shared in [0.0, 0.5, 1.0] {
        let (one, other) = (brain(shared).session(1, 400, 3), brain(shared).session(2, 400, 5));
        // 4,800 independent paths: a standard error below 0.015.
        let found = mean_product(&one.latents, &other.latents);
        assert!((found - shared).abs() < 0.06, "{found}, not {shared}");
        let shifted = other.latents.select(Axis(0), &(0..400).map(|i| (i + 1) % 400).collect::<Vec<_>>());
        let found = mean_product(&one.latents, &shifted);
        assert!(found.abs() < 0.06, "other conditions: {found}");
        assert_eq!(one.latents == other.latents, shared > 0.9);
    }
    let elsewhere = SharedBrain { seed: 4, ..brain(1.0) }.session(1, 400, 3);
    let found = mean_product(&elsewhere.latents, &brain(1.0).session(1, 400, 3).latents);
    assert!(found.abs() < 0.06, "another brain: {found}");
}

#[test]
fn units_read_the_latents_of_their_region_only() {
    let brain = brain(0.5);
    let session = brain.session(1, 400, 9);
    for (unit, loadings) in session.loadings.axis_iter(Axis(0)).enumerate() {
        let region = brain.regions.iter().position(|name| *name == session.recording.units()[unit].region);
        let own = brain.latents_of(region.unwrap());
        let size = loadings.slice(s![own.clone()]).mapv(|w| w * w).sum().sqrt();
        assert!((size - brain.gain).abs() < 1e-12, "unit {unit}: {size}");
        let others = loadings.iter().enumerate().filter(|(latent, _)| !own.contains(latent));
        assert!(others.into_iter().all(|(_, &weight)| weight == 0.0), "unit {unit}: {loadings}");
        // Rates are what latents and weights make of them, around a mean that lies where it should.
        let rates = session.rates.slice(s![.., .., unit]);
        let drive = session.latents.map_axis(Axis(2), |latents| latents.dot(&loadings));
        let log_base = rates.mapv(f64::ln) - drive;
        let first = log_base[[0, 0]];
        assert!(log_base.iter().all(|base| (base - first).abs() < 1e-9), "unit {unit}");
        let mean_hz = (first + brain.gain * brain.gain / 2.0).exp() / 0.02;
        assert!((brain.rates_hz[0]..brain.rates_hz[1]).contains(&mean_hz), "unit {unit}: {mean_hz} Hz");
        let found_hz = rates.mean().unwrap() / 0.02;
        assert!((found_hz / mean_hz - 1.0).abs() < 0.1, "unit {unit}: {found_hz} Hz, not {mean_hz}");
    }
}

#[test]
fn counts_are_poisson_given_the_rates_and_independent() {
    let session = brain(0.5).session(1, 200, 6);
    let counts = session.data().counts().mapv(f64::from);
    let (rates, n) = (&session.rates, counts.len() as f64);
    let (total, expected) = (counts.sum(), rates.sum());
    assert!((total - expected).abs() < 4.0 * expected.sqrt(), "{total} spikes, {expected} expected");
    let residuals = (&counts - rates) / rates.mapv(f64::sqrt);
    // The square of a Poisson residual has mean 1 and variance 2 + 1 / rate.
    let chi2 = residuals.mapv(|r| r * r).sum();
    let deviation = rates.mapv(|rate| 2.0 + 1.0 / rate).sum().sqrt();
    assert!((chi2 - n).abs() < 4.0 * deviation, "{chi2}, not {n} within {deviation}");
    let neighbors = |axis: usize| {
        let ahead = residuals.slice_axis(Axis(axis), Slice::from(1..));
        let behind = residuals.slice_axis(Axis(axis), Slice::from(..-1));
        let product = &ahead * &behind;
        (product.sum(), (product.len() as f64).sqrt())
    };
    for (axis, name) in ["trials", "bins", "units"].into_iter().enumerate() {
        let (sum, deviation) = neighbors(axis);
        assert!(sum.abs() < 4.0 * deviation, "{name}: {sum} within {deviation}");
    }
}

#[test]
fn weights_can_be_found_again_from_counts() {
    let brain = brain(0.5);
    let session = brain.session(1, 400, 6);
    let counts = session.data().counts().mapv(f64::from);
    for unit in 0..6 {
        let counts = counts.slice(s![.., .., unit]);
        let mean = counts.mean().unwrap();
        for latent in 0..brain.n_latents() {
            // For Gaussian latents the covariance with a log-linear rate is the weight times the mean (Stein 1981).
            let latents = session.latents.slice(s![.., .., latent]);
            let found = (&counts * &latents).mean().unwrap() / mean - latents.mean().unwrap();
            let expected = session.loadings[[unit, latent]];
            assert!((found - expected).abs() < 0.12, "unit {unit}, latent {latent}: {found}, not {expected}");
        }
    }
}

#[test]
fn a_seed_says_all() {
    let same = |a: &SharedSession, b: &SharedSession| a.recording == b.recording && a.rates == b.rates;
    let brain = SharedBrain::new(1);
    assert!(same(&brain.session(5, 20, 7), &brain.session(5, 20, 7)));
    assert!(!same(&brain.session(5, 20, 7), &brain.session(6, 20, 7)));
    // More trials or units leave those before as they are.
    let (few, many) = (brain.session(5, 20, 7), brain.session(5, 30, 9));
    assert_eq!(few.rates, many.rates.slice(s![..20, .., ..7]));
    assert_eq!(few.conditions, many.conditions[..20]);
}

#[test]
fn rates_that_cannot_be_drawn_are_refused() {
    let refused = |rates_hz: [f64; 2], gain: f64, says: &str| {
        let brain = SharedBrain { rates_hz, gain, ..SharedBrain::new(1) };
        let panic = std::panic::catch_unwind(|| brain.session(1, 2, 2)).unwrap_err();
        let said = panic.downcast_ref::<String>().unwrap();
        assert!(said.contains(says), "{rates_hz:?}, {gain}: {said}");
    };
    for rates_hz in
        [[20.0, 2.0], [f64::NAN, 2.0], [2.0, f64::NAN], [0.0, 2.0], [-1.0, 2.0], [2.0, f64::INFINITY]]
    {
        refused(rates_hz, 0.6, "expected positive rates in ascending order");
    }
    refused([2.0, 20.0], f64::NAN, "gain is NaN");
    refused([1e6, 1e6], 0.6, "spikes per bin, expected at most 500");
}
