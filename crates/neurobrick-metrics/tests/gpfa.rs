//! Gaussian-process factor analysis against elephant.
#![allow(clippy::unwrap_used, reason = "tests")]

mod golden_file;

use golden_file::{array, assert_close, load, matrix, number, numbers};
use ndarray::{Array2, Array3, Axis, s};
use neurobrick_metrics::{Gpfa, GpfaConfig, MetricError};
use neurobrick_random::{Domain, Stream};
use serde_json::Value;

/// Trials `[B, T, N]` and the model the reference starts from.
fn start(golden: &Value) -> (Array3<f64>, Gpfa) {
    let y: Array3<f64> = array(&golden["y"]).into_dimensionality().unwrap();
    let model = Gpfa {
        loadings: matrix(&golden["C"]),
        offsets: numbers(&golden["d"]),
        noise: matrix(&golden["R"]).diag().to_vec(),
        taus_bins: numbers(&golden["gamma"]).into_iter().map(|gamma| gamma.sqrt().recip()).collect(),
        white_share: numbers(&golden["eps"])[0],
    };
    (y.permuted_axes([0, 2, 1]).as_standard_layout().to_owned(), model)
}

#[test]
fn inference_matches_elephant() {
    let golden = load("reference/gpfa.json");
    let (trials, model) = start(&golden);
    let views: Vec<_> = trials.axis_iter(Axis(0)).collect();
    let posterior = model.infer(&views).unwrap();
    let want = &golden["inference"];
    assert_close(posterior.log_likelihood, number(&want["loglik"]), 1e-8, "log-likelihood");
    let means: Array3<f64> = array(&want["latent_mean"]).into_dimensionality().unwrap();
    for (trial, got) in posterior.means.iter().enumerate() {
        for ((t, k), got) in got.indexed_iter() {
            assert_close(*got, means[[trial, k, t]], 1e-8, "mean");
        }
    }
    let covariances: Array3<f64> = array(&want["latent_cov_per_bin_trial0"]).into_dimensionality().unwrap();
    for ((t, k), got) in posterior.variances[0].indexed_iter() {
        assert_close(*got, covariances[[k, k, t]], 1e-8, "variance");
    }
}

#[test]
fn steps_match_elephant() {
    let golden = load("reference/gpfa.json");
    let (trials, mut model) = start(&golden);
    let views: Vec<_> = trials.axis_iter(Axis(0)).collect();
    let want = &golden["em_8_iterations"];
    for likelihood in numbers(&want["loglik_each_iteration"]) {
        assert_close(model.step(&views, 0.01).unwrap(), likelihood, 1e-4, "log-likelihood");
    }
    for (got, want) in model.loadings.iter().zip(&matrix(&want["C"])) {
        assert_close(*got, *want, 1e-3, "loadings");
    }
    for (tau, gamma) in model.taus_bins.iter().zip(numbers(&want["gamma"])) {
        assert_close(tau.powi(-2), gamma, 1e-3, "time scale");
    }
    for (got, want) in model.noise.iter().zip(matrix(&want["R"]).diag()) {
        assert_close(*got, *want, 1e-3, "noise");
    }
}

/// Two planted processes, trials of two lengths: the likelihood rises at every step and the time scales come back.
#[test]
fn planted_time_scales_are_found_from_trials_of_two_lengths() {
    let mut stream = Stream::new(11, Domain::Synthetic, [0, 0, 0]);
    let loadings = Array2::from_shape_simple_fn((12, 2), || stream.normal());
    let trials: Vec<Array2<f64>> = (0..24)
        .map(|trial| {
            let n_bins = if trial % 2 == 0 { 30 } else { 45 };
            // White noise smoothed by a Gaussian of τ / √2 is the process of time scale τ.
            let mut smooth = |tau: f64| {
                let white: Vec<f64> = (0..n_bins + 80).map(|_| stream.normal()).collect();
                let weight = |lag: f64| (-(lag / tau).powi(2)).exp();
                let norm = (-40..=40).map(|lag| weight(f64::from(lag)).powi(2)).sum::<f64>().sqrt();
                (0..n_bins)
                    .map(|t| (0..81).map(|j| weight(j as f64 - 40.0) * white[t + j]).sum::<f64>() / norm)
                    .collect::<Vec<f64>>()
            };
            let latents = [smooth(2.0), smooth(8.0)];
            Array2::from_shape_fn((n_bins, 12), |(t, i)| {
                loadings[[i, 0]] * latents[0][t] + loadings[[i, 1]] * latents[1][t] + 0.3 * stream.normal()
            })
        })
        .collect();
    let views: Vec<_> = trials.iter().map(|trial| trial.view()).collect();
    let config = GpfaConfig { n_factors: 2, n_steps: 0, ..GpfaConfig::default() };
    let mut model = Gpfa::fit(&views, &config).unwrap();
    let likelihoods: Vec<f64> = (0..60).map(|_| model.step(&views, 0.01).unwrap()).collect();
    assert!(likelihoods.windows(2).all(|pair| pair[1] > pair[0] - 1e-6), "{likelihoods:?}");
    let mut taus = model.taus_bins.clone();
    taus.sort_unstable_by(f64::total_cmp);
    assert!((taus[0] - 2.0).abs() < 0.3 && (taus[1] - 8.0).abs() < 1.0, "{taus:?}");
}

#[test]
fn what_has_no_meaning_is_refused() {
    let (trials, model) = start(&load("reference/gpfa.json"));
    let narrow = trials.slice(s![0, .., ..4]);
    assert!(matches!(model.infer(&[narrow]), Err(MetricError::ShapeMismatch { what: "trial", .. })));
    let mut wrong = model.clone();
    wrong.taus_bins[0] = 0.0;
    let error = wrong.infer(&[trials.index_axis(Axis(0), 0)]);
    assert!(matches!(error, Err(MetricError::InvalidSetting { what: "taus_bins", .. })));
    for white_share in [0.0, 1e-7, 1.0, f64::NAN] {
        let error = Gpfa { white_share, ..model.clone() }.infer(&[trials.index_axis(Axis(0), 0)]);
        assert!(matches!(error, Err(MetricError::InvalidSetting { what: "white_share", .. })), "{error:?}");
    }
    assert!(matches!(model.infer(&[]), Err(MetricError::Empty { .. })));
    assert!(Gpfa::fit(&[], &GpfaConfig::default()).is_err());
}
