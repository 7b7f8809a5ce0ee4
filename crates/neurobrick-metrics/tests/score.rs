//! A score cannot exist without the parts needed to judge it, neither built nor read from a file.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests; exact equality is the claim where it is asserted"
)]

use neurobrick_metrics::{
    Baseline, ConfidenceInterval, Counted, IntervalMethod, MetricError, NullModel, Score, Split,
};
use serde_json::{Value, json};

fn good() -> Value {
    json!({
        "value": 0.2,
        "n": {"trials": 40, "units": 3, "entries": 4800, "spikes": 912.0, "sessions": 1},
        "interval": {"lo": 0.1, "hi": 0.3, "level": 0.95, "method": "trial_bootstrap", "n_resamples": 1000},
        "null": "evaluated_mean",
        "baseline": {"name": "ridge", "value": 0.15},
        "split": "test",
    })
}

#[test]
fn a_score_survives_the_round_trip() {
    let score: Score = serde_json::from_value(good()).unwrap();
    assert_eq!(serde_json::to_value(&score).unwrap(), good());
    assert_eq!((score.value(), score.split(), score.null()), (0.2, Split::Test, NullModel::EvaluatedMean));
    assert_eq!((score.n().units, score.baseline().name.as_str(), score.interval().hi), (3, "ridge", 0.3));
}

#[test]
fn missing_or_senseless_parts_are_refused() {
    for part in ["value", "n", "interval", "null", "baseline", "split"] {
        let mut score = good();
        score.as_object_mut().unwrap().remove(part);
        assert!(serde_json::from_value::<Score>(score).unwrap_err().to_string().contains(part), "{part}");
    }
    let senseless = [
        ("/n/trials", json!(0), "n"),
        ("/n/spikes", json!(-1.0), "n"),
        ("/interval/lo", json!(0.4), "interval"),
        ("/interval/level", json!(1.0), "interval"),
        ("/baseline/name", json!(" "), "baseline"),
    ];
    for (pointer, value, field) in senseless {
        let mut score = good();
        *score.pointer_mut(pointer).unwrap() = value;
        let message = serde_json::from_value::<Score>(score).unwrap_err().to_string();
        assert!(message.contains(&format!("valid {field}")), "{pointer}: {message}");
    }
    let mut unknown = good();
    unknown["p_value"] = json!(0.01);
    assert!(serde_json::from_value::<Score>(unknown).is_err());
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let build = |value: f64, lo: f64, baseline: f64| {
        Score::new(
            value,
            Counted { trials: 1, units: 1, entries: 10, spikes: 2.0, sessions: 1 },
            ConfidenceInterval {
                lo,
                hi: 1.0,
                level: 0.95,
                method: IntervalMethod::TrialBootstrap,
                n_resamples: 0,
            },
            NullModel::TrainMean,
            Baseline { name: "unit mean".into(), value: baseline },
            Split::Valid,
        )
    };
    assert!(build(0.1, 0.0, 0.0).is_ok());
    for (score, expected) in [
        (build(f64::NEG_INFINITY, 0.0, 0.0), "value"),
        (build(0.1, f64::NAN, 0.0), "interval"),
        (build(0.1, 0.0, f64::NAN), "baseline"),
    ] {
        match score.unwrap_err() {
            MetricError::InvalidScore { field, .. } => assert_eq!(field, expected),
            other => panic!("{other}"),
        }
    }
}
