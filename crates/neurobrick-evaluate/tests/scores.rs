//! Scores of what anybody predicts: their intervals, and what is said when it answers with an error.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use ndarray::Array3;
use neurobrick_data::{
    Alignment, BlockConfig, Part, SessionData, SplitConfig, SplitOrder, TrialSplit, WindowConfig,
};
use neurobrick_evaluate::EvaluateError;
use neurobrick_evaluate::auditing::AuditConfig;
use neurobrick_evaluate::evaluation::{ModelPredictions, ScoringConfig, evaluate_session};
use neurobrick_metrics::IntervalMethod;
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::{Activity, Recording, Spikes};
use neurobrick_testkit::{synthetic_data, synthetic_session};
use neurobrick_train::{EvalTask, TaskPlan, TrainSession};

/// The tasks of `scoring` without baselines.
fn alone(task: EvalTask) -> ScoringConfig {
    ScoringConfig {
        tasks: vec![task],
        baselines: false,
        with_linear: false,
        n_resamples: 200,
        ..ScoringConfig::default()
    }
}

/// Windows that slide by a fifth of their length see each spike five times: they are resampled in clusters.
#[test]
fn intervals_of_sliding_windows_resample_clusters() {
    let mut draws = Stream::new(2, Domain::Synthetic, [0, 0, 0]);
    let mut interval = |every_s: f64| {
        let mut parts = synthetic_session(7, 4, 2, 3, 2).into_parts();
        let times: Vec<f64> = (0..6000).map(|_| draws.uniform_in(0.0, 400.0)).collect();
        let units = (0..6000).map(|spike| spike % 3).collect();
        parts.activity = Activity::Spikes(Spikes::from_unsorted(times, units).unwrap());
        let align = Alignment::Every(every_s);
        let window = WindowConfig { align, start_s: 0.0, end_s: 1.0, bin_size_s: 0.1 };
        let data = SessionData::new(&Recording::from_parts(parts).unwrap(), &window).unwrap();
        let pattern = vec![Part::Train, Part::Valid, Part::Test];
        let order = SplitOrder::Blocks(BlockConfig { block_s: 40.0, gap_s: 0.0, pattern });
        let split = TrialSplit::of(&data, &SplitConfig { order, ..SplitConfig::default() }, 1).unwrap();
        let session = TrainSession::new(Arc::new(data), split).unwrap();
        let scoring = alone(EvalTask::ForwardPrediction);
        let flat = |plan: &TaskPlan, trials: &[usize]| {
            let n_bins = 10 - plan.first_bin;
            Ok(Array3::from_shape_fn((trials.len(), n_bins, plan.units.len()), |(b, ..)| {
                0.4 + 0.01 * (b % 7) as f64
            }))
        };
        let mut models =
            [ModelPredictions { name: "flat".to_owned(), is_pretrained: false, predict: Box::new(flat) }];
        let found = evaluate_session(&session, &mut models, &[], &scoring, 1, |_| {}).unwrap();
        *found.tasks[0].predictors[0].scores[0].score.as_ref().unwrap().interval()
    };
    assert_eq!(interval(1.0).method, IntervalMethod::TrialBootstrap);
    assert_eq!(interval(0.2).method, IntervalMethod::GroupBootstrap);
}

/// Whatever a predictor fails with reaches the caller as it is.
#[test]
fn an_error_of_a_predictor_is_handed_on() {
    let data = synthetic_data(3, 40, 10, 6, 2);
    let split = TrialSplit::of(&data, &SplitConfig::default(), 1).unwrap();
    let session = TrainSession::new(Arc::new(data), split).unwrap();
    let broken = |_: &TaskPlan, _: &[usize]| Err(EvaluateError::Predictor("no weights were found".into()));
    let mut models =
        [ModelPredictions { name: "broken".to_owned(), is_pretrained: false, predict: Box::new(broken) }];
    let scoring = alone(EvalTask::CoSmoothingGroup);
    let error = evaluate_session(&session, &mut models, &[], &scoring, 1, |_| {}).err().unwrap();
    assert_eq!(error.to_string(), "no weights were found");
}

/// Decoders that are fitted to counts tell two classes apart: files with more are refused by the key that names them.
#[test]
fn labels_of_several_classes_are_refused_where_two_are_told_apart() {
    let classes = "{ classes = { name = \"side\", column = \"side\", classes = [\"a\", \"b\", \"c\"] } }";
    let scoring: ScoringConfig = toml::from_str(&format!("decode = [{classes}]")).unwrap();
    let error = scoring.validate().unwrap_err().to_string();
    assert!(error.contains("scoring.decode") && error.contains("category"), "{error}");
    let audit = format!(
        "seed = 1\n[[sessions]]\nsessions = [\"a\"]\nlabel = {classes}\n\
         data = {{ store = \"s\", window = {{ start_s = 0.0, end_s = 0.5, bin_size_s = 0.02 }} }}"
    );
    let audit: AuditConfig = toml::from_str(&audit).unwrap();
    let error = audit.validate().unwrap_err().to_string();
    assert!(error.contains("sessions.label") && error.contains("category"), "{error}");
}
