//! LFADS recovers the rates of a chaotic population better than smoothing and trial averages do.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[allow(dead_code, reason = "the example's own entry point and printing")]
#[path = "../examples/lfads_lorenz.rs"]
mod example;

/// A size of seconds; the example's documentation has the published one.
#[test]
fn rates_of_lorenz_dynamics_are_recovered() {
    let size =
        example::Size { n_conditions: 30, n_repeats: 10, n_bins: 25, n_units: 29, n_steps: 500, seed: 3 };
    let scores = example::run(size, |_| {}).unwrap();
    let best = scores.smoothing.max(scores.psth);
    assert!(scores.lfads > best + 0.05, "{scores:?}");
}
