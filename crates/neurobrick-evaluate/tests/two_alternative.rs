//! Real spikes of hidden units against altered ones, where it is known what can be told.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use ndarray::Array3;
use neurobrick_data::{Alignment, SessionData, SplitConfig, TrialSplit, WindowConfig};
use neurobrick_evaluate::evaluation::{
    ChoiceScore, Group, ModelPredictions, ScoringConfig, TwoAlternativeConfig, TwoAlternativeEvaluation,
    evaluate_session,
};
use neurobrick_metrics::Alteration;
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::{Activity, BinnedCounts, Recording};
use neurobrick_testkit::{synthetic_data, synthetic_session};
use neurobrick_train::{EvalTask, TaskPlan, TrainSession};

const N_UNITS: usize = 60;

fn scoring(two_alternative: TwoAlternativeConfig) -> ScoringConfig {
    ScoringConfig {
        tasks: vec![EvalTask::CoSmoothingGroup],
        n_resamples: 200,
        two_alternative: Some(two_alternative),
        ..ScoringConfig::default()
    }
}

fn session(data: SessionData) -> TrainSession {
    let split = TrialSplit::of(&data, &SplitConfig::default(), 1).unwrap();
    TrainSession::new(Arc::new(data), split).unwrap()
}

/// Sixty units that fire at one rate each, whatever the others do; neighbors in rate are all but equal.
fn independent() -> TrainSession {
    let (n_trials, n_bins) = (200, 20);
    let mut parts = synthetic_session(1, n_trials, n_bins, N_UNITS, 2).into_parts();
    let mut draws = Stream::new(3, Domain::Synthetic, [0; 3]);
    let mut counts = Vec::new();
    for _ in 0..n_trials {
        for unit in 0..N_UNITS {
            let rate = 0.3 + 0.001 * unit as f64;
            counts.extend((0..n_bins).map(|_| u16::try_from(draws.poisson(rate)).unwrap()));
        }
    }
    parts.activity = Activity::Counts(BinnedCounts::new(0.02, n_trials, N_UNITS, n_bins, counts).unwrap());
    let window = WindowConfig { align: Alignment::TrialStart, start_s: 0.0, end_s: 0.4, bin_size_s: 0.02 };
    session(SessionData::new(&Recording::from_parts(parts).unwrap(), &window).unwrap())
}

fn evaluate(
    session: &TrainSession,
    models: &mut [ModelPredictions<'_>],
    config: TwoAlternativeConfig,
) -> Vec<TwoAlternativeEvaluation> {
    let mut found = evaluate_session(session, models, &[], &scoring(config), 1, |_| {}).unwrap();
    found.tasks.remove(0).two_alternative
}

fn of<'a>(found: &'a [TwoAlternativeEvaluation], alteration: Alteration, name: &str) -> &'a ChoiceScore {
    let found = found.iter().find(|found| found.alteration == alteration).unwrap();
    found.predictors.iter().find(|p| p.predictor == name).unwrap()
}

/// Nothing of one unit is in another: whoever looks at the others guesses.
#[test]
fn independent_units_leave_a_guess() {
    let found = evaluate(&independent(), &mut [], TwoAlternativeConfig::default());
    assert_eq!(found.iter().map(|found| found.alteration).collect::<Vec<_>>(), Alteration::ALL);
    for alteration in [Alteration::TimeShift, Alteration::UnitSwap] {
        for name in ["ridge", "factors_wiener_refit", "pca_poisson"] {
            let score = of(&found, alteration, name);
            let interval = score.interval.unwrap();
            assert!(interval.lo < 0.53 && interval.hi > 0.47, "{alteration:?} {score:?}");
        }
    }
    // A constant rate ties on shifts: it has no opinion, and its half is exact.
    let constant = of(&found, Alteration::TimeShift, "unit_mean");
    assert!((constant.accuracy - 0.5).abs() < 1e-12 && (constant.ties - 1.0).abs() < 1e-12, "{constant:?}");
    assert!(constant.calibration_error < 1e-12 && constant.calibration.len() == 1);
}

/// Units that follow what they share: the others tell when one fired, and who fired.
#[test]
fn coupled_units_are_told_from_altered_ones() {
    let session = session(synthetic_data(4, 200, 20, N_UNITS, 2));
    let config = || TwoAlternativeConfig { n_draws: 4, ..TwoAlternativeConfig::default() };
    let found = evaluate(&session, &mut [], config());
    for alteration in Alteration::ALL {
        let score = of(&found, alteration, "factors_wiener_refit");
        assert!(score.interval.unwrap().lo > 0.6, "{alteration:?} {score:?}");
        assert!(score.mean_margin > 0.0 && score.ties < 0.1, "{score:?}");
    }
    let all = &found[0];
    assert_eq!((all.n_trials, all.n_items + all.n_unaltered), (40, 160));
    // Fewer units say less.
    let few = evaluate(&session, &mut [], TwoAlternativeConfig { n_altered: Some(2), ..config() });
    assert!(few[0].mean_altered_units <= 2.0, "{:?}", few[0]);
    let accuracy = |found: &[_]| of(found, Alteration::TimeShift, "factors_wiener_refit").accuracy;
    assert!(accuracy(&few) < accuracy(&found), "{} {}", accuracy(&few), accuracy(&found));
    assert!(of(&few, Alteration::TimeShift, "factors_wiener_refit").interval.unwrap().lo > 0.5);
}

/// A model that knows the real counts is right wherever the two differ and surer than any other; one that knows them turned
/// around is wrong, and the comparison says both.
#[test]
fn models_stand_beside_baselines_and_each_other() {
    let session = session(synthetic_data(5, 120, 20, N_UNITS, 2));
    let counts = session.data.counts_of(&(0..session.data.n_trials()).collect::<Vec<_>>());
    let knows = |high: f64, low: f64| {
        let counts = &counts;
        move |plan: &TaskPlan, trials: &[usize]| {
            let shape = (trials.len(), plan.n_bins, plan.units.len());
            Ok(Array3::from_shape_fn(shape, |(b, t, n)| {
                let count = counts[[trials[b], t, plan.units[n]]];
                if count > 0.0 { high } else { low }
            }))
        }
    };
    let model = |name: &str, high, low| ModelPredictions {
        name: name.to_owned(),
        is_pretrained: false,
        predict: Box::new(knows(high, low)),
    };
    let mut models = [model("knows", 2.0, 0.1), model("turned", 0.1, 2.0)];
    let config = TwoAlternativeConfig { n_draws: 3, n_altered: Some(2), ..Default::default() };
    let found = evaluate(&session, &mut models, config);
    let shifted = &found[0];
    let [knows, turned] = ["knows", "turned"].map(|name| of(&found, Alteration::TimeShift, name));
    assert!((knows.accuracy - 1.0).abs() < 1e-12 && turned.accuracy < 1e-12 && knows.group == Group::Model);
    assert!(knows.calibration_error < 0.01 && turned.overconfidence > 0.95, "{knows:?} {turned:?}");
    let difference = |left: &str, right: &str| {
        shifted.differences.iter().find(|d| d.left == left && d.right == right).unwrap()
    };
    let two = difference("knows", "turned");
    assert!((two.difference - 1.0).abs() < 1e-12 && two.p_value.unwrap() < 1e-9, "{two:?}");
    assert!(two.error_correlation.is_none(), "one is always right");
    let against = difference("knows", "factors_wiener_refit");
    assert!(against.difference > 0.0 && against.interval.unwrap().lo > 0.0, "{against:?}");
    assert!(
        shifted.differences.iter().all(|d| d.left != "ridge"),
        "baselines are not set against each other"
    );
}

/// Where a unit is predicted from others that are altered as well, the visible activity would not be the same in both.
#[test]
fn tasks_that_see_what_they_predict_elsewhere_are_refused() {
    for task in ["co_smoothing", "inter_region", "intra_region"] {
        let text = format!("tasks = ['forward_prediction', '{task}']\n[two_alternative]\n");
        let scoring: ScoringConfig = toml::from_str(&text).unwrap();
        let message = scoring.validate().unwrap_err().to_string();
        assert!(message.contains("`scoring.two_alternative`") && message.contains(task), "{message}");
        assert!(message.contains("co_smoothing_group"), "says what to do: {message}");
        let made = session(synthetic_data(4, 60, 20, 12, 2));
        assert!(evaluate_session(&made, &mut [], &[], &scoring, 1, |_| {}).is_err(), "{task}");
    }
    let scoring: ScoringConfig = toml::from_str(&format!("{TASKS}[two_alternative]\n")).unwrap();
    scoring.validate().unwrap();
}

/// Tasks whose targets are hidden at once.
const TASKS: &str = "tasks = ['co_smoothing_group', 'forward_prediction']\n";

#[test]
fn questions_that_make_no_sense_are_refused_by_name() {
    let refused = |text: &str| {
        let scoring: ScoringConfig = toml::from_str(&format!("{TASKS}[two_alternative]\n{text}")).unwrap();
        scoring.validate().unwrap_err().to_string()
    };
    assert!(refused("alterations = []").contains("`scoring.two_alternative.alterations`"));
    assert!(refused("alterations = ['time_shift', 'time_shift']").contains("`time_shift` is listed twice"));
    assert!(refused("n_draws = 0").contains("`scoring.two_alternative.n_draws`"));
    assert!(refused("n_altered = 1").contains("must be 2 at least"));
    let alone: ScoringConfig =
        toml::from_str(&format!("{TASKS}[two_alternative]\nalterations = ['time_shift']\nn_altered = 1"))
            .unwrap();
    alone.validate().unwrap();
    let none: ScoringConfig = toml::from_str("").unwrap();
    assert!(none.two_alternative.is_none());
}
