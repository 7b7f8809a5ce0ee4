//! What a scaling curve makes of its points: pairs, clusters and what it says with too few sessions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use neurobrick_evaluate::scaling::{ScalePoint, ScaleResult, ScaleTarget};
use neurobrick_metrics::Bootstrap;
use neurobrick_schema::SessionId;
use neurobrick_train::EvalTask;

const TASK: EvalTask = EvalTask::CoSmoothing;

fn point(session: &str, size: usize, repeat: u64, bits_per_spike: f64) -> ScalePoint {
    let session = SessionId::new(session).unwrap();
    ScalePoint { size, repeat, is_control: false, session, task: TASK, bits_per_spike, saturated: 3.0 }
}

fn control(session: &str, size: usize, bits_per_spike: f64) -> ScalePoint {
    ScalePoint { is_control: true, ..point(session, size, 0, bits_per_spike) }
}

fn result(points: Vec<ScalePoint>, goal: f64) -> ScaleResult {
    let bootstrap = Bootstrap { seed: 1, n_resamples: 1000, level: 0.95 };
    let targets = [ScaleTarget { task: TASK, bits_per_spike: goal }];
    ScaleResult::new("sizes", points, &[], &targets, &bootstrap)
}

/// Six scores of two sessions are two clusters: with a gain of nothing on one and of 0.4 on the other, a mean gain of
/// nothing is likely. Six clusters would not say so.
#[test]
fn repeats_of_a_session_are_no_further_sessions() {
    let mut points = vec![control("a", 0, 0.1), control("b", 0, 0.1)];
    for (size, more) in [(1, 0.0), (2, 0.01), (4, 0.02)] {
        for repeat in 0..3 {
            points.push(point("a", size, repeat, 0.1 + more));
            points.push(point("b", size, repeat, 0.5 + more));
        }
    }
    let found = result(points, 0.4);
    let laws = &found.laws[0];
    assert_eq!(laws.n_sessions, 2);
    // Student's with one degree of freedom: 0.2 and 12.7 standard errors, which are 0.2 too.
    let interval = laws.steps[0].interval.unwrap();
    assert!((interval.lo - (0.2 - 12.706_204_736 * 0.2)).abs() < 1e-8, "{interval:?}");
    assert!(laws.slope.is_none() && laws.answers[0].interval.is_none());
    assert!(found.markdown().contains("Fewer than 5 sessions were scored"));
}

#[test]
fn laws_of_five_sessions_have_intervals() {
    let mut points = Vec::new();
    for (i, session) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        points.push(control(session, 0, 0.1));
        for (size, more) in [(1, 0.0), (2, 0.01), (4, 0.02)] {
            points.push(point(session, size, 0, 0.1 + 0.1 * i as f64 + more));
        }
    }
    let found = result(points, 0.4);
    let laws = &found.laws[0];
    assert!(laws.slope.is_some() && laws.answers[0].interval.is_some());
    assert!(!found.markdown().contains("no intervals"));
}

#[test]
fn a_single_session_has_no_interval_and_the_text_says_so() {
    let scores = [(1, 0, 0.11), (1, 1, 0.12), (2, 0, 0.14), (2, 1, 0.15), (4, 0, 0.17), (4, 1, 0.18)];
    let all = scores.map(|(size, repeat, bits)| point("a", size, repeat, bits));
    let found = result([vec![control("a", 0, 0.1)], all.to_vec()].concat(), 0.2);
    let laws = &found.laws[0];
    assert!(laws.steps.iter().all(|step| step.interval.is_none()) && laws.slope.is_none());
    // 0.03 bits/spike per doubling, 0.115 at size 1: as much more as 0.085 of it takes.
    let answer = &laws.answers[0];
    let expected = (0.085 / 0.03_f64).exp2();
    assert!((answer.size.unwrap() - expected).abs() < 1e-6 && answer.interval.is_none(), "{answer:?}");
    let text = found.markdown();
    assert!(text.contains("Fewer than 5 sessions were scored: laws have no intervals"), "{text}");
    assert!(text.contains("it takes 7 sizes by the line."), "{text}");
    let written = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<ScaleResult>(&written).unwrap(), found);
}

/// A wider network is better from scratch too; pretraining adds 0.05 at every width, not more at larger ones.
#[test]
fn every_width_is_paired_with_its_own_control() {
    let mut points = Vec::new();
    for session in ["a", "b"] {
        for (size, bits) in [(8, 0.1), (16, 0.2), (32, 0.3)] {
            points.push(control(session, size, bits));
            points.push(point(session, size, 0, bits + 0.05));
        }
    }
    let found = result(points, 0.45);
    let laws = &found.laws[0];
    for (step, control) in laws.steps.iter().zip([0.1, 0.2, 0.3]) {
        assert!((step.control - control).abs() < 1e-12 && (step.gain - 0.05).abs() < 1e-12, "{step:?}");
    }
    // Scores, not gains, are what a width is asked for: 0.35 at 32, 0.1 more with each doubling.
    let size = laws.answers[0].size.unwrap();
    assert!((size - 64.0).abs() < 1e-6, "{size}");
}
