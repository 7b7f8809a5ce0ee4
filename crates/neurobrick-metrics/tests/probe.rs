//! The logistic probe and its accuracy against scikit-learn and SciPy.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where it is asserted"
)]

mod golden_file;

use golden_file::{assert_close, load, matrix, number, numbers};
use ndarray::Array2;
use neurobrick_metrics::{
    Accuracy, LogisticProbe, MetricError, ProbeGrid, balanced_interval, stratified_folds,
};
use neurobrick_random::{Domain, Stream};
use serde_json::Value;

fn labels(value: &Value) -> Vec<bool> {
    value.as_array().unwrap().iter().map(|label| label.as_bool().unwrap()).collect()
}

#[test]
fn probe_matches_scikit_learn() {
    let golden = load("metrics/golden.json");
    for case in golden["probe"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (x, x_test) = (matrix(&case["x_train"]), matrix(&case["x_test"]));
        let (train, test) = (labels(&case["labels_train"]), labels(&case["labels_test"]));
        let mut cs = Vec::new();
        for fit in case["fits"].as_array().unwrap() {
            let probe = LogisticProbe::fit(&x.view(), &train, number(&fit["c"])).unwrap();
            cs.push(probe.c());
            assert_close(probe.intercept(), number(&fit["intercept"]), 1e-6, name);
            for (got, want) in probe.coefficients().iter().zip(numbers(&fit["coefficients"])) {
                assert_close(*got, want, 1e-6, name);
            }
            let decision = probe.decision(&x_test.view()).unwrap();
            for (got, want) in decision.iter().zip(numbers(&fit["decision"])) {
                assert_close(*got, want, 1e-6, name);
            }
            let predicted = probe.predict(&x_test.view()).unwrap();
            let accuracy = Accuracy::new(&test, &predicted, &train, 0.95).unwrap();
            assert_close(accuracy.accuracy, number(&fit["accuracy"]), 1e-12, name);
            assert_close(accuracy.balanced, number(&fit["balanced_accuracy"]), 1e-12, name);
        }
        let folds: Vec<usize> = case["cv_folds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|k| usize::try_from(k.as_u64().unwrap()).unwrap())
            .collect();
        let losses = LogisticProbe::cross_validate(&x.view(), &train, &folds, &cs).unwrap();
        for (got, want) in losses.iter().zip(numbers(&case["cv_losses"])) {
            assert_close(*got, want, 1e-6, name);
        }
    }
}

#[test]
fn wilson_interval_matches_scipy() {
    let golden = load("metrics/golden.json");
    for case in golden["wilson"].as_array().unwrap() {
        let [right, n] = ["right", "n"].map(|key| usize::try_from(case[key].as_u64().unwrap()).unwrap());
        let truth: Vec<bool> = (0..n).map(|trial| trial % 2 == 0).collect();
        let predicted: Vec<bool> = truth.iter().enumerate().map(|(i, label)| *label == (i < right)).collect();
        let interval = Accuracy::new(&truth, &predicted, &truth, 0.95).unwrap().interval;
        assert_close(interval.lo, number(&case["lo"]), 1e-10, "lower");
        assert_close(interval.hi, number(&case["hi"]), 1e-10, "upper");
    }
}

#[test]
fn search_finds_signal_and_repeats_itself() {
    let mut stream = Stream::new(1, Domain::Synthetic, [0, 0, 0]);
    let train: Vec<bool> = (0..80).map(|trial| trial % 3 == 0).collect();
    let mut draw = |labels: &[bool]| {
        Array2::from_shape_fn((labels.len(), 300), |(trial, feature)| {
            let signal = if feature < 10 && labels[trial] { 1.2 } else { 0.0 };
            stream.normal() + signal
        })
    };
    let (x, x_test) = (draw(&train), draw(&train));
    let grid = ProbeGrid::with_seed(3);
    let (probe, losses) = LogisticProbe::fit_search(&x.view(), &train, &grid).unwrap();
    assert_eq!(losses.len(), grid.cs.len());
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best < 0.6, "{losses:?}"); // ln 2 = 0.693 is a coin
    assert_eq!(losses[grid.cs.iter().position(|c| *c == probe.c()).unwrap()], best);
    let predicted = probe.predict(&x_test.view()).unwrap();
    let accuracy = Accuracy::new(&train, &predicted, &train, 0.95).unwrap();
    assert!(accuracy.balanced > 0.75 && accuracy.balanced_interval.lo > 0.6, "{accuracy:?}");
    // Half of the squares of what Wilson's intervals leave to either side of a class.
    let perfect = Accuracy::new(&[false, true, true], &[false, true, true], &[true], 0.95).unwrap();
    let (one, two): (f64, f64) = (1.0 - 0.206_549, 1.0 - 0.342_380);
    assert_close(
        perfect.balanced_interval.lo,
        1.0 - 0.5 * one.hypot(two),
        1e-5,
        "nobody is perfect after 3 trials",
    );
    assert_eq!(perfect.balanced_interval.hi, 1.0);
    assert!((accuracy.majority - 53.0 / 80.0).abs() < 1e-12);
    assert_eq!(LogisticProbe::fit_search(&x.view(), &train, &grid).unwrap().0, probe);
}

#[test]
fn folds_are_stratified() {
    let labels: Vec<bool> = (0..50).map(|trial| trial % 5 == 0).collect();
    let folds = stratified_folds(&labels, 4, 9).unwrap();
    for fold in 0..4 {
        let of_class = |class: bool| (0..50).filter(|&i| folds[i] == fold && labels[i] == class).count();
        assert!((2..=3).contains(&of_class(true)) && of_class(false) == 10);
    }
    assert_ne!(folds, stratified_folds(&labels, 4, 10).unwrap());
}

#[test]
fn single_classes_and_tiny_classes_are_named() {
    let x = Array2::from_shape_fn((6, 2), |(i, j)| (i * 2 + j) as f64);
    let error = LogisticProbe::fit(&x.view(), &[true; 6], 1.0).unwrap_err();
    assert_eq!(error, MetricError::SingleClass { trials: 6, class: true });
    assert_eq!(error.to_string(), "all 6 labels are true; a classifier needs both classes");
    let labels = [true, false, false, false, false, false];
    let error = LogisticProbe::fit_search(&x.view(), &labels, &ProbeGrid::with_seed(0)).unwrap_err();
    assert_eq!(error, MetricError::TooFewForFolds { class: true, trials: 1, folds: 4 });
    let error = Accuracy::new(&[false; 3], &[true; 3], &labels, 0.95).unwrap_err();
    assert_eq!(error, MetricError::SingleClass { trials: 3, class: false });
}

/// Three classes that are all right still leave open how often they would be wrong; two classes have the interval of binary labels.
#[test]
fn the_interval_of_several_classes_does_not_shrink_to_nothing() {
    let truth: Vec<usize> = (0..30).map(|i| i % 3).collect();
    let perfect = balanced_interval(&truth, &truth, 0.95).unwrap();
    // Wilson's interval of 10 of 10 starts at 10 / (10 + z^2), z = 1.959964.
    let below = 1.0 - 10.0 / (10.0 + 1.959_964f64.powi(2));
    assert!((perfect.lo - (1.0 - below / 3f64.sqrt())).abs() < 1e-6 && perfect.hi == 1.0, "{perfect:?}");
    let (truth, found) = ([true, true, true, false, false], [true, false, true, false, false]);
    let number = |labels: [bool; 5]| labels.map(usize::from);
    let joined = balanced_interval(&number(truth), &number(found), 0.95).unwrap();
    assert_eq!(joined, Accuracy::new(&truth, &found, &truth, 0.95).unwrap().balanced_interval);
    assert!(balanced_interval(&[0], &[], 0.95).is_err() && balanced_interval(&[], &[], 0.95).is_err());
}
