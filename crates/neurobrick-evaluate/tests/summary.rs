//! What an evaluation says over sessions and regions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use ndarray::Array3;
use neurobrick_data::{SplitConfig, TrialSplit};
use neurobrick_evaluate::evaluation::{
    EvaluationSummary, Group, ModelPredictions, RegionEvaluation, ScoringConfig, SessionEvaluation,
    SummaryBuilder, TaskEvaluation, TwoAlternativeConfig, evaluate_session,
};
use neurobrick_metrics::{
    Alteration, Baseline, Bootstrap, ConfidenceInterval, Counted, NullModel, Score, Split,
};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_testkit::synthetic_data;
use neurobrick_train::{EvalTask, TaskPlan, TrainSession};

const BOOTSTRAP: Bootstrap = Bootstrap { seed: 1, n_resamples: 400, level: 0.95 };

/// Sessions with so many trials as they are scored; a model takes part in those that are named.
fn collected(
    n_trials: &[usize],
    with_model: &[usize],
    scoring: &ScoringConfig,
) -> (Vec<SessionEvaluation>, SummaryBuilder) {
    let mut builder = SummaryBuilder::default();
    let mut sessions = Vec::new();
    for (seed, &n_trials) in n_trials.iter().enumerate() {
        let data = synthetic_data(seed as u64 + 1, n_trials, 20, 15, 2);
        let split = TrialSplit::of(&data, &SplitConfig::default(), 1).unwrap();
        let session = TrainSession::new(Arc::new(data), split).unwrap();
        let flat = |plan: &TaskPlan, trials: &[usize]| {
            Ok(Array3::from_elem((trials.len(), plan.n_bins - plan.first_bin, plan.units.len()), 0.1))
        };
        let mut models: Vec<ModelPredictions<'_>> = with_model
            .iter()
            .filter(|&&number| number == seed)
            .map(|_| ModelPredictions {
                name: "flat".to_owned(),
                is_pretrained: false,
                predict: Box::new(flat),
            })
            .collect();
        let found = evaluate_session(&session, &mut models, &[], scoring, 1, |_| {}).unwrap();
        let id = session.data.session().clone();
        builder.add(id.clone(), found.tables);
        sessions.push(SessionEvaluation {
            session: id,
            tasks: found.tasks,
            decoding: Vec::new(),
            skipped: found.skipped,
        });
    }
    (sessions, builder)
}

/// Sessions with so many trials, scored by baselines.
fn evaluated(n_trials: &[usize]) -> (Vec<SessionEvaluation>, EvaluationSummary) {
    let scoring = ScoringConfig {
        tasks: vec![EvalTask::ForwardPrediction, EvalTask::InterRegion],
        n_resamples: 200,
        ..ScoringConfig::default()
    };
    let (sessions, builder) = collected(n_trials, &[], &scoring);
    let summary = builder.finish(&sessions, &BOOTSTRAP).unwrap();
    (sessions, summary)
}

/// Questions of which many are none: a shift of the last two bins often leaves the few spikes where they were.
fn choosing() -> ScoringConfig {
    let config = TwoAlternativeConfig { n_draws: 4, n_altered: Some(2), ..TwoAlternativeConfig::default() };
    ScoringConfig {
        tasks: vec![EvalTask::CoSmoothingGroup, EvalTask::ForwardPrediction],
        two_alternative: Some(config),
        n_resamples: 200,
        ..ScoringConfig::default()
    }
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

/// Accuracies over sessions are means of the sessions', whatever their numbers of trials, and however many copies of a trial
/// came out as it was. Read back from their file, results say the same.
#[test]
fn choices_are_means_over_sessions() {
    let (sessions, builder) = collected(&[60, 100, 80], &[], &choosing());
    let text = serde_json::to_string(&sessions).unwrap();
    let read: Vec<SessionEvaluation> = serde_json::from_str(&text).unwrap();
    let summary = builder.finish(&read, &BOOTSTRAP).unwrap();
    for (task, name) in
        [(EvalTask::CoSmoothingGroup, "ridge"), (EvalTask::ForwardPrediction, "forward_ridge")]
    {
        for alteration in [Alteration::TimeShift, Alteration::UnitSwap] {
            let of_sessions: Vec<f64> = sessions
                .iter()
                .flat_map(|session| session.tasks.iter().filter(|found| found.task == task))
                .flat_map(|task| task.two_alternative.iter().filter(|found| found.alteration == alteration))
                .map(|found| {
                    let is_dropping = task == EvalTask::ForwardPrediction;
                    assert!(!is_dropping || found.n_unaltered > 0, "{found:?}");
                    found.predictors.iter().find(|p| p.predictor == name).unwrap().accuracy
                })
                .collect();
            let found = summary.choices.iter().find(|choice| {
                choice.task == task && choice.alteration == alteration && choice.predictor == name
            });
            let found = found.unwrap();
            let mean = of_sessions.iter().sum::<f64>() / 3.0;
            assert!((found.accuracy - mean).abs() < 1e-9 && found.n_sessions == 3, "{found:?} {mean}");
            let interval = found.interval.unwrap();
            assert!(interval.lo <= mean && mean <= interval.hi, "{interval:?}");
        }
    }
}

/// A model that only the second session has stands before baselines that the first had already, so all are compared.
#[test]
fn a_model_of_a_later_session_is_set_against_every_baseline() {
    let scoring = ScoringConfig { with_linear: false, ..choosing() };
    let (sessions, builder) = collected(&[60, 80], &[1], &scoring);
    let summary = builder.finish(&sessions, &BOOTSTRAP).unwrap();
    for task in [EvalTask::CoSmoothingGroup, EvalTask::ForwardPrediction] {
        let scores: Vec<_> = summary.scores.iter().filter(|score| score.task == task).collect();
        assert_eq!((scores[0].predictor.as_str(), scores[0].n_sessions), ("flat", 1));
        let baselines: Vec<_> = scores[1..].iter().map(|score| &score.predictor).collect();
        let compared: Vec<_> =
            summary.differences.iter().filter(|d| d.task == task && d.left == "flat").collect();
        assert_eq!(compared.iter().map(|d| &d.right).collect::<Vec<_>>(), baselines, "{task:?}");
        let choices: Vec<_> = summary.choices.iter().filter(|choice| choice.task == task).collect();
        assert!(choices[0].group == Group::Model, "{choices:?}");
    }
}

/// The baseline beside regions is the same in all sessions: one that is named where it won would be the mean of its wins.
#[test]
fn regions_have_one_baseline_in_all_sessions() {
    let (_, summary) = evaluated(&[60, 80, 70]);
    for (task, name) in
        [(EvalTask::ForwardPrediction, "forward_ridge"), (EvalTask::InterRegion, "factors_wiener_refit")]
    {
        let found: Vec<_> = summary.regions.iter().filter(|of| of.task == task).collect();
        assert_eq!(found.iter().map(|of| of.predictor.as_str()).collect::<Vec<_>>(), [name]);
        assert!(found[0].regions.iter().all(|row| row.n_sessions == 3), "{found:?}");
    }
}

/// Thirty regions of eight sessions that differ, each with all its regions: thirty regions say no more of other sessions than one.
#[test]
fn regions_of_one_session_are_drawn_together() {
    let mut draws = Stream::new(3, Domain::Synthetic, [4, 0, 0]);
    let n = Counted { trials: 10, units: 5, entries: 50, spikes: 20.0, sessions: 1 };
    let interval = ConfidenceInterval::of_mean(&[0.1, 0.2, 0.3], 0.95);
    let sessions: Vec<SessionEvaluation> = (0..8)
        .map(|session| {
            let level = draws.normal();
            let region = |region: usize| {
                let baseline = Baseline { name: "evaluated_mean".to_owned(), value: 0.0 };
                let null = NullModel::EvaluatedMean;
                RegionEvaluation {
                    region: format!("region {region:02}"),
                    predictor: "ridge".to_owned(),
                    score: Score::new(level, n, interval, null, baseline, Split::Test).ok(),
                    n_units: 5,
                }
            };
            let task = TaskEvaluation {
                task: EvalTask::InterRegion,
                n,
                n_active_units: 5,
                predictors: Vec::new(),
                differences: Vec::new(),
                regions: (0..30).map(region).collect(),
                two_alternative: Vec::new(),
            };
            SessionEvaluation {
                session: SessionId::new(format!("made{session}")).unwrap(),
                tasks: vec![task],
                decoding: Vec::new(),
                skipped: Vec::new(),
            }
        })
        .collect();
    let summary = SummaryBuilder::default().finish(&sessions, &BOOTSTRAP).unwrap();
    let width = |interval: Option<ConfidenceInterval>| interval.unwrap().hi - interval.unwrap().lo;
    let found = &summary.regions[0];
    let ratio = width(found.interval) / width(found.regions[0].interval);
    assert!((0.8..1.25).contains(&ratio), "{ratio}");
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
