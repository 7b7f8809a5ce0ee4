//! The shipped configuration of MtM's protocol, on a recording: evaluated, averaged and written.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use neurobrick::config::{EvaluateConfig, load};
use neurobrick::evaluation::EvaluationResult;
use neurobrick::metrics::bits_per_spike_per_unit;
use neurobrick::pipeline::{self, Silent};
use neurobrick::protocols::MtmTable;
use neurobrick::schema::{SessionId, Store};
use neurobrick::train::EvalTask;
use neurobrick::{Compute, load_sessions};
use neurobrick_testkit::synthetic_session;

/// The configuration as it is shipped asks for what the protocol needs; `evaluate.toml` does not.
#[test]
fn the_shipped_configuration_is_one_of_the_protocol() {
    let config = |name: &str| -> EvaluateConfig {
        load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/configs").join(name)).unwrap()
    };
    MtmTable::check(&config("mtm.toml").scoring).unwrap();
    let refused = MtmTable::check(&config("evaluate.toml").scoring).unwrap_err().to_string();
    assert!(refused.contains("`scoring.max_units`") && refused.contains("every unit"), "{refused}");
}

/// From a store to `mtm.md`, with the shipped scoring; the average is the one that the counts give without the evaluation.
#[test]
fn an_evaluation_becomes_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    for (seed, n_units) in [(1, 9), (2, 12)] {
        store.write(&synthetic_session(seed, 60, 20, n_units, 3)).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/configs/mtm.toml");
    let mut config: EvaluateConfig = load(&path).unwrap();
    config.data.store = folder.path().join("store");
    config.data.window.bin_size_s = 0.02;
    config.sessions = ["synthetic-1", "synthetic-2"].map(|id| SessionId::new(id).unwrap()).to_vec();
    config.models = Vec::new();
    config.scoring.n_resamples = 200;
    // The synthetic sessions have no contrasts.
    config.scoring.condition_columns = vec!["choice".to_owned()];
    let out = folder.path().join("mtm");
    pipeline::evaluate(&config, &out, "test", Compute::threads(2), &mut Silent).unwrap();
    let table = MtmTable::write(&out).unwrap();

    let text = std::fs::read_to_string(out.join("mtm.md")).unwrap();
    assert_eq!(text, table.markdown());
    assert!(text.contains("| predictor | co_smoothing | forward_prediction | intra_region | inter_region |"));
    let row = text.lines().find(|line| line.starts_with("| psth |")).unwrap();
    assert!(!row.contains('–') && row.matches('[').count() == 4, "{row}");
    assert!(out.join("mtm.json").exists());

    // The unit mean of co-smoothing, from the counts alone.
    let mean = |task, name: &str| {
        table.scores.iter().find(|s| s.task == task && s.predictor == name).unwrap().bits_per_spike
    };
    let mut by_hand = Vec::new();
    for session in load_sessions(&config.data, &config.sessions, config.seed).unwrap() {
        let of = |trials: &[usize]| session.train.data.counts_of(trials);
        let (train, test) = (of(&session.train.split.train), of(&session.train.split.test));
        let rates = train.mean_axis(ndarray::Axis(0)).unwrap().mean_axis(ndarray::Axis(0)).unwrap();
        let rates = ndarray::Array3::from_shape_fn(test.dim(), |(_, _, n)| rates[n]);
        let bits = bits_per_spike_per_unit(&rates.view(), &test.view()).unwrap();
        let bits: Vec<f64> = bits.into_iter().filter(|bits| bits.is_finite()).collect();
        by_hand.push(bits.iter().sum::<f64>() / bits.len() as f64);
    }
    let by_hand = by_hand.iter().sum::<f64>() / by_hand.len() as f64;
    let found = mean(EvalTask::CoSmoothing, "unit_mean");
    assert!((found - by_hand).abs() < 1e-9, "{found} is not {by_hand}");
    let result: EvaluationResult =
        serde_json::from_slice(&std::fs::read(out.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(result.sessions.len(), 2);
}
