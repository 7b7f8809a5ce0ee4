//! A submission in the benchmark's files gets the numbers that `nlb_tools` gave it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ndarray::s;
use neurobrick::metrics::nlb::Submission;
use neurobrick::protocols::{read_nlb, score_nlb, write_nlb};
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

/// A submission that is read, written and read again is the same, and gets the same numbers.
#[test]
fn a_written_submission_scores_as_the_one_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("submission.h5");
    let rates = read_nlb(&golden("evaluate_submission.h5")).unwrap();
    write_nlb(&path, &rates).unwrap();
    assert_eq!(read_nlb(&path).unwrap(), rates);
    let targets = golden("evaluate_target.h5");
    let want = score_nlb(&golden("evaluate_submission.h5"), &targets).unwrap();
    assert_eq!(score_nlb(&path, &targets).unwrap(), want);
}

#[test]
fn a_submission_the_benchmark_would_refuse_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("submission.h5");
    let (name, whole) = read_nlb(&golden("evaluate_submission.h5")).unwrap().pop_first().unwrap();
    let check = |name: &str, part: &str, change: &dyn Fn(&mut Submission)| {
        let mut changed = whole.clone();
        change(&mut changed);
        let error = write_nlb(&path, &BTreeMap::from([(name.to_owned(), changed)])).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(!path.exists());
    };
    check("mc_labyrinth", "no data set `mc_labyrinth`; it has: mc_maze, mc_maze_20", &|_| {});
    check(&name, "eval_rates_heldout is -1 at (0, 0, 0)", &|s| s.eval_heldout[[0, 0, 0]] = -1.0);
    check(&name, "eval_rates_heldin has no rate that is a number", &|s| s.eval_heldin.fill(f64::NAN));
    check(&name, "train_rates_heldout has no rate", &|s| s.train.as_mut().unwrap()[1].fill(f64::NAN));
    check(&name, "held-in and held-out evaluated rates", &|s| {
        s.eval_heldin = s.eval_heldin.slice(s![1.., .., ..]).to_owned();
    });
    check(&name, "training rates have", &|s| {
        let [_, held_out] = s.train.as_mut().unwrap();
        *held_out = held_out.slice(s![.., .., 1..]).to_owned();
    });
    let error = write_nlb(&path, &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("no data set to submit"), "{error}");
}
