//! Sharding a batch changes the speed, not the result.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::s;
use neurobrick_core::MaskScheme;
use neurobrick_train::{Gradients, TrainSession, loss_and_gradients};
use proptest::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

mod toy;

fn pools(n: usize) -> Vec<ThreadPool> {
    (0..n).map(|_| ThreadPoolBuilder::new().num_threads(1).build().unwrap()).collect()
}

fn run(
    session: &TrainSession,
    n_trials: usize,
    seed: u64,
    dropout: Option<(u64, u64)>,
    n_shards: usize,
    n_pools: usize,
) -> (f64, Gradients) {
    let data = &session.data;
    let counts = data.counts().slice(s![..n_trials, .., ..]);
    let masking =
        MaskScheme::Neuron { ratio: 0.3 }.draw(n_trials, data.n_bins(), data.regions(), seed, [0, 0]);
    let model = toy::toy(seed);
    loss_and_gradients(&model, data.session(), counts, &masking, dropout, n_shards, &pools(n_pools)).unwrap()
}

fn values(gradients: &Gradients) -> Vec<(String, Vec<f32>)> {
    gradients.entries().iter().map(|(path, g)| (path.clone(), g.to_data().iter::<f32>().collect())).collect()
}

fn check_close(a: &(f64, Gradients), b: &(f64, Gradients)) -> Result<(), TestCaseError> {
    prop_assert!((a.0 - b.0).abs() <= 1e-5 * b.0.abs().max(1.0), "losses {} and {}", a.0, b.0);
    let (a, b) = (values(&a.1), values(&b.1));
    prop_assert_eq!(a.iter().map(|e| &e.0).collect::<Vec<_>>(), b.iter().map(|e| &e.0).collect::<Vec<_>>());
    for ((path, x), (_, y)) in a.iter().zip(&b) {
        let largest = y.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        for (f, e) in x.iter().zip(y) {
            // Sums over trials in another order.
            prop_assert!((f - e).abs() <= 1e-5 * largest, "{}: {} and {}", path, f, e);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads(
        seed in 0u64..1000, n_trials in 1usize..15, n_shards in 1usize..5, has_dropout in any::<bool>(),
    ) {
        let session = &toy::sessions()[0];
        let dropout = has_dropout.then_some((seed, 3));
        let (loss, gradients) = run(session, n_trials, seed, dropout, n_shards, 1);
        for n_pools in [0, 2, 3] {
            let (other_loss, other) = run(session, n_trials, seed, dropout, n_shards, n_pools);
            prop_assert_eq!(loss.to_bits(), other_loss.to_bits());
            prop_assert_eq!(values(&gradients), values(&other));
        }
    }

    #[test]
    fn shards_add_up_to_the_whole(seed in 0u64..1000, n_trials in 1usize..15, n_shards in 2usize..5, has_dropout in any::<bool>()) {
        let session = &toy::sessions()[1];
        let dropout = has_dropout.then_some((seed, 3));
        let whole = run(session, n_trials, seed, dropout, 1, 1);
        check_close(&run(session, n_trials, seed, dropout, n_shards, 2), &whole)?;
    }
}

#[test]
fn only_parameters_that_the_batch_touches_have_gradients() {
    let sessions = toy::sessions();
    for (session, own) in sessions.iter().zip(["stitches.0.", "stitches.1."]) {
        let (_, gradients) = run(session, 6, 1, None, 2, 2);
        let paths: Vec<&str> = gradients.entries().iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths.iter().filter(|p| p.starts_with(own)).count(), 4, "{paths:?}");
        assert_eq!(paths.iter().filter(|p| p.starts_with("core.")).count(), 2, "{paths:?}");
        assert_eq!(paths.len(), 6, "{paths:?}");
    }
}

#[test]
fn dropout_changes_the_loss_and_replays() {
    let session = &toy::sessions()[0];
    let loss = |dropout| run(session, 10, 1, dropout, 2, 2).0;
    assert_eq!(loss(Some((1, 5))).to_bits(), loss(Some((1, 5))).to_bits());
    assert_ne!(loss(Some((1, 5))).to_bits(), loss(Some((1, 6))).to_bits());
    assert_ne!(loss(Some((1, 5))).to_bits(), loss(None).to_bits());
}

#[test]
fn clipping_limits_the_global_norm() {
    let session = &toy::sessions()[0];
    let (_, mut gradients) = run(session, 10, 1, None, 1, 1);
    let before = values(&gradients);
    let squares = before.iter().flat_map(|(_, g)| g).map(|&v| f64::from(v).powi(2));
    let norm = squares.sum::<f64>().sqrt();
    assert!((gradients.norm() / norm - 1.0).abs() < 1e-5, "{} is not {norm}", gradients.norm());
    assert!(gradients.clone().clip(2.0 * norm) > 0.0);
    let mut loose = gradients.clone();
    loose.clip(2.0 * norm);
    assert_eq!(values(&loose), before, "a gradient below the limit is left alone");
    let reported = gradients.clip(0.5);
    assert!((reported / norm - 1.0).abs() < 1e-5, "the norm before clipping is reported");
    assert!((gradients.norm() / 0.5 - 1.0).abs() < 1e-4, "{} after clipping to 0.5", gradients.norm());
}
