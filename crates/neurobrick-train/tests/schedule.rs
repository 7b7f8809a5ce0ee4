//! The schedule against PyTorch's `OneCycleLR`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use neurobrick_testkit::golden_path;
use neurobrick_train::{OneCycle, Rates};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    max_lr: f64,
    total_steps: u64,
    pct_start: f64,
    div_factor: f64,
    final_div_factor: f64,
    base_momentum: f64,
    max_momentum: f64,
    lrs: Vec<f64>,
    beta1s: Vec<f64>,
}

#[test]
fn rates_are_those_of_the_reference() {
    let text = std::fs::read_to_string(golden_path("ndt_stitch/schedule.json")).unwrap();
    let references: Vec<Reference> = serde_json::from_str(&text).unwrap();
    assert_eq!(references.iter().map(|r| r.total_steps).collect::<Vec<_>>(), [10, 100, 7]);
    for reference in references {
        let schedule = OneCycle {
            max_lr: reference.max_lr,
            pct_start: reference.pct_start,
            div_factor: reference.div_factor,
            final_div_factor: reference.final_div_factor,
            base_momentum: reference.base_momentum,
            max_momentum: reference.max_momentum,
        };
        for (step, (&lr, &beta1)) in reference.lrs.iter().zip(&reference.beta1s).enumerate() {
            let found = schedule.at(step as u64, reference.total_steps);
            // Cosines of two mathematics libraries; the last rate is 1e-5 of the peak.
            let total = reference.total_steps;
            assert!((found.lr / lr - 1.0).abs() < 1e-10, "step {step} of {total}: {} is not {lr}", found.lr);
            assert!((found.beta1 / beta1 - 1.0).abs() < 1e-10, "step {step} of {total}: {}", found.beta1);
        }
        let last = schedule.at(reference.total_steps - 1, reference.total_steps);
        assert_eq!(schedule.at(reference.total_steps + 5, reference.total_steps), last, "the end is kept");
    }
}

#[test]
fn a_run_of_one_step_has_finite_rates() {
    for n_steps in [0, 1, 2] {
        let Rates { lr, beta1 } = OneCycle::default().at(0, n_steps);
        assert!(lr > 0.0 && lr <= 1e-4 && (0.85..=0.95).contains(&beta1), "{n_steps} steps: {lr}, {beta1}");
    }
}
