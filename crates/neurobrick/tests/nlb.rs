//! A submission in the benchmark's files gets the numbers that `nlb_tools` gave it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::PathBuf;

use neurobrick::protocols::score_nlb;
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/nlb").join(name)
}

#[test]
fn files_of_the_benchmark_give_its_numbers() {
    let scores = score_nlb(&golden("evaluate_submission.h5"), &golden("evaluate_target.h5")).unwrap();
    let (got, want): (Value, Value) = (
        scores.official(),
        serde_json::from_slice(&std::fs::read(golden("evaluate_result.json")).unwrap()).unwrap(),
    );
    let (got, want) = (got.as_array().unwrap(), want["result"].as_array().unwrap());
    assert_eq!(got.len(), want.len());
    let mut n_compared = 0;
    for (got, want) in got.iter().zip(want) {
        let (got, want) = (got.as_object().unwrap(), want.as_object().unwrap());
        assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
        for (split, metrics) in want {
            let ours = got[split].as_object().unwrap();
            assert_eq!(ours.len(), metrics.as_object().unwrap().len(), "{split}");
            for (name, value) in metrics.as_object().unwrap() {
                let (ours, theirs) = (ours[name].as_f64().unwrap(), value.as_f64().unwrap());
                // The files hold f32, which the reference partly adds up as f32.
                assert!((ours - theirs).abs() < 1e-6, "{split} {name}: {ours} instead of {theirs}");
                n_compared += 1;
            }
        }
    }
    assert_eq!(n_compared, 23);
    assert!(scores.not_scored.is_empty());
}

#[test]
fn files_without_a_common_data_set_say_what_they_hold() {
    // As targets, the submission has the groups but not their tensors.
    let error = score_nlb(&golden("evaluate_target.h5"), &golden("evaluate_submission.h5")).unwrap_err();
    assert!(error.to_string().contains("eval_spikes_heldout: it is missing"), "{error}");
}
