//! A stitched model finds latents that several sessions share; aligned from the start, they mean the same in all of them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[allow(dead_code, reason = "the example's own entry point and printing")]
#[path = "../examples/shared_latents.rs"]
mod example;

/// A size of seconds; record 32 of docs/decisions has a larger one.
#[test]
fn latents_of_a_brain_are_shared_by_its_sessions() {
    let size = example::Size { n_sessions: 4, n_trials: 48, n_units: 30, n_steps: 400, seed: 2 };
    let ([aligned, random, single], _) = example::run(size, |_| {}).unwrap();
    for other in [random, single] {
        assert!(aligned.rates > other.rates + 0.03, "{aligned:?} {other:?}");
        assert!(aligned.within > other.within + 0.05, "{aligned:?} {other:?}");
        assert!(aligned.across > other.across + 0.1, "{aligned:?} {other:?}");
    }
}
