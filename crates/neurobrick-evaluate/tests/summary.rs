//! What an evaluation says over sessions and regions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use neurobrick_data::{SplitConfig, TrialSplit};
use neurobrick_evaluate::evaluation::{
    EvaluationSummary, ScoringConfig, SessionEvaluation, SummaryBuilder, TwoAlternativeConfig,
    evaluate_session,
};
use neurobrick_metrics::{Alteration, Bootstrap};
use neurobrick_testkit::synthetic_data;
use neurobrick_train::{EvalTask, TrainSession};

/// Sessions with so many trials, scored by baselines.
fn evaluated(n_trials: &[usize]) -> (Vec<SessionEvaluation>, EvaluationSummary) {
    let scoring = ScoringConfig {
        tasks: vec![EvalTask::ForwardPrediction, EvalTask::InterRegion],
        two_alternative: Some(TwoAlternativeConfig { n_draws: 2, ..TwoAlternativeConfig::default() }),
        n_resamples: 200,
        ..ScoringConfig::default()
    };
    let mut builder = SummaryBuilder::default();
    let mut sessions = Vec::new();
    for (seed, &n_trials) in n_trials.iter().enumerate() {
        let data = synthetic_data(seed as u64 + 1, n_trials, 20, 15, 2);
        let split = TrialSplit::of(&data, &SplitConfig::default(), 1).unwrap();
        let session = TrainSession::new(Arc::new(data), split).unwrap();
        let found = evaluate_session(&session, &mut [], &[], &scoring, 1, |_| {}).unwrap();
        let id = session.data.session().clone();
        builder.add(id.clone(), found.tables);
        sessions.push(SessionEvaluation {
            session: id,
            tasks: found.tasks,
            decoding: Vec::new(),
            skipped: found.skipped,
        });
    }
    let bootstrap = Bootstrap { seed: 1, n_resamples: 400, level: 0.95 };
    let summary = builder.finish(&sessions, &bootstrap).unwrap();
    (sessions, summary)
}

/// Means are those of the scores that the tables quote, each session once, and the worst is among them.
#[test]
fn a_mean_over_sessions_is_that_of_their_quoted_scores() {
    let (sessions, summary) = evaluated(&[60, 100, 80]);
    for task in [EvalTask::ForwardPrediction, EvalTask::InterRegion] {
        for name in ["unit_mean", "psth"] {
            let quoted: Vec<f64> = sessions
                .iter()
                .flat_map(|session| session.tasks.iter().filter(|found| found.task == task))
                .map(|found| {
                    let predictor = found.predictors.iter().find(|p| p.name == name).unwrap();
                    predictor.quoted(task).unwrap().value()
                })
                .collect();
            let score = summary.scores.iter().find(|s| s.task == task && s.predictor == name).unwrap();
            assert_eq!(score.n_sessions, 3);
            let mean = quoted.iter().sum::<f64>() / 3.0;
            assert!((score.mean - mean).abs() < 1e-9, "{score:?} {mean}");
            let least = quoted.iter().copied().fold(f64::INFINITY, f64::min);
            assert!((score.worst - least).abs() < 1e-9, "{score:?} {quoted:?}");
            assert!(sessions.iter().any(|session| session.session == score.worst_session));
            let interval = score.interval.unwrap();
            assert!(interval.lo <= score.mean && score.mean <= interval.hi, "{score:?}");
        }
    }
    assert!(summary.differences.is_empty(), "baselines are not set against each other");
}

/// Every region stands once, with all its sessions; the one marked has the lowest mean.
#[test]
fn the_region_that_is_marked_is_the_worst() {
    let (sessions, summary) = evaluated(&[60, 80]);
    let regions: Vec<_> = summary.regions.iter().filter(|r| r.task == EvalTask::InterRegion).collect();
    assert!(!regions.is_empty());
    for of in regions {
        let names: Vec<&str> = of.regions.iter().map(|row| row.region.as_str()).collect();
        assert_eq!(names, ["CA1", "LP", "VISp"], "{of:?}");
        let least = of.regions.iter().map(|row| row.mean).fold(f64::INFINITY, f64::min);
        let marked: Vec<f64> = of.regions.iter().filter(|row| row.is_worst).map(|row| row.mean).collect();
        assert_eq!(marked, [least]);
        for row in &of.regions {
            let scores: Vec<f64> = sessions
                .iter()
                .flat_map(|s| &s.tasks)
                .filter(|t| t.task == of.task)
                .flat_map(|t| &t.regions)
                .filter(|r| r.predictor == of.predictor && r.region == row.region)
                .map(|r| r.score.as_ref().unwrap().value())
                .collect();
            assert_eq!(row.n_sessions, scores.len());
            assert!((row.mean - scores.iter().sum::<f64>() / scores.len() as f64).abs() < 1e-12, "{row:?}");
            assert_eq!(row.interval.is_some(), scores.len() > 1, "{row:?}");
        }
        let mean = of.regions.iter().map(|row| row.mean).sum::<f64>() / 3.0;
        assert!((of.mean - mean).abs() < 1e-12 && of.interval.is_some());
    }
}

/// Accuracies over sessions are means of the sessions', whatever their numbers of trials.
#[test]
fn choices_are_means_over_sessions() {
    let (sessions, summary) = evaluated(&[60, 100, 80]);
    let of_sessions: Vec<f64> = sessions
        .iter()
        .flat_map(|session| session.tasks.iter().filter(|found| found.task == EvalTask::InterRegion))
        .flat_map(|task| task.two_alternative.iter().filter(|found| found.alteration == Alteration::UnitSwap))
        .map(|found| found.predictors.iter().find(|p| p.predictor == "ridge").unwrap().accuracy)
        .collect();
    let found = summary.choices.iter().find(|choice| {
        choice.task == EvalTask::InterRegion
            && choice.alteration == Alteration::UnitSwap
            && choice.predictor == "ridge"
    });
    let found = found.unwrap();
    let mean = of_sessions.iter().sum::<f64>() / 3.0;
    assert!((found.accuracy - mean).abs() < 1e-9 && found.n_sessions == 3, "{found:?} {of_sessions:?}");
    let interval = found.interval.unwrap();
    assert!(interval.lo <= mean && mean <= interval.hi && interval.lo > 0.5, "{interval:?}");
}

/// One session has scores and no interval over sessions, and JSON holds it.
#[test]
fn one_session_has_no_spread() {
    let (_, summary) = evaluated(&[60]);
    assert!(summary.scores.iter().all(|score| score.n_sessions == 1 && score.interval.is_none()));
    let text = serde_json::to_string(&summary).unwrap();
    let read: EvaluationSummary = serde_json::from_str(&text).unwrap();
    assert_eq!(read.scores.len(), summary.scores.len());
    assert!(summary.scores.iter().any(|score| score.predictor == "unit_mean"));
}
