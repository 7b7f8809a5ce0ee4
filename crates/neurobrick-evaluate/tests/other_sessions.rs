//! Slow changes of activity and of what is decoded from it pass for a code, unless other sessions are asked.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::f64::consts::TAU;
use std::sync::Arc;

use ndarray::Array3;
use neurobrick_data::{SplitConfig, TrialSplit};
use neurobrick_evaluate::decoding::{
    Behavior, DecodeRow, Feature, Judging, LabelTarget, decode_behavior, decode_labels,
};
use neurobrick_random::{Domain, Stream};
use neurobrick_testkit::synthetic_data;
use neurobrick_train::TrainSession;

const N_TRIALS: usize = 200;
const N_OTHERS: usize = 12;

/// A slow course over so many trials, another one for every session.
fn course(session: u64, n_trials: usize) -> Vec<f64> {
    let mut draws = Stream::new(session, Domain::Synthetic, [8, 0, 0]);
    let waves: Vec<[f64; 2]> = (1..4).map(|_| [draws.normal(), draws.uniform_in(0.0, TAU)]).collect();
    let at = |trial: usize| {
        let wave = |(k, [size, phase]): (usize, &[f64; 2])| {
            size * ((k + 1) as f64 * TAU * trial as f64 / N_TRIALS as f64 + phase).cos()
        };
        waves.iter().enumerate().map(wave).sum()
    };
    (0..n_trials).map(at).collect()
}

/// Drifts of the recording, which know nothing of any course.
fn drifts() -> Feature {
    let values = Array3::from_shape_fn((N_TRIALS, 3, 10), |(trial, _, p)| {
        let angle = (p / 2 + 1) as f64 * TAU * trial as f64 / N_TRIALS as f64;
        if p % 2 == 0 { angle.cos() } else { angle.sin() }
    });
    Feature::latents("drifts", values)
}

fn session() -> TrainSession {
    let data = synthetic_data(2, N_TRIALS, 3, 4, 2);
    let split = TrialSplit::of(&data, &SplitConfig::default(), 1).unwrap();
    TrainSession::new(Arc::new(data), split).unwrap()
}

fn judging() -> Judging {
    // One block, so that a shuffle cuts the tie to time.
    Judging { seed: 1, n_blocks: 1, n_shuffles: 40, n_resamples: 100, networks: None }
}

/// How often a draw is as good under the first null, and in the targets of other sessions.
fn chances(row: &DecodeRow) -> [f64; 2] {
    let score = row.score.as_ref().unwrap();
    let others = row.other_sessions.unwrap();
    assert_eq!((others.n_draws, others.n_asked), (N_OTHERS, N_OTHERS + 1), "one is too short");
    [score.null().p_value, others.p_value]
}

fn others() -> impl Iterator<Item = Vec<f64>> {
    let lengths = (0..N_OTHERS).map(|k| N_TRIALS + 7 * k).chain([N_TRIALS - 1]);
    lengths.enumerate().map(|(k, n_trials)| course(100 + k as u64, n_trials))
}

#[test]
fn a_slow_label_is_no_code_because_drifts_tell_it() {
    let sign = |course: Vec<f64>| -> Vec<bool> { course.into_iter().map(|value| value > 0.0).collect() };
    let (session, own) = (session(), sign(course(1, N_TRIALS)));
    let labels: Vec<Option<bool>> = own.iter().copied().map(Some).collect();
    let of_others: Vec<Vec<bool>> = others().map(sign).collect();
    let target = LabelTarget { name: "mood", labels: &labels, of_others: &of_others };
    let [shuffled, elsewhere] = chances(&decode_labels(&session, target, &drifts(), &judging())[0]);
    assert!(shuffled < 0.03 && elsewhere > 0.2, "{shuffled} {elsewhere}");
    // What is a code of this session's label is none of others'.
    let mut draws = Stream::new(5, Domain::Synthetic, [9, 0, 0]);
    let values = Array3::from_shape_fn((N_TRIALS, 3, 4), |(trial, ..)| {
        f64::from(u8::from(own[trial])) + 0.5 * draws.normal()
    });
    let code = Feature::latents("code", values);
    let [shuffled, elsewhere] = chances(&decode_labels(&session, target, &code, &judging())[0]);
    assert!(shuffled < 0.03 && (elsewhere - 1.0 / (N_OTHERS as f64 + 1.0)).abs() < 1e-12, "{elsewhere}");
    let alone = LabelTarget { of_others: &[], ..target };
    let row = &decode_labels(&session, alone, &code, &judging())[0];
    assert!(row.other_sessions.is_none() && row.score.is_some());
}

#[test]
fn a_slow_behavior_is_no_code_because_drifts_tell_it() {
    let session = session();
    let of_bins = |course: Vec<f64>| Array3::from_shape_fn((course.len(), 3, 1), |(trial, ..)| course[trial]);
    let behavior = behavior_of(&session, of_bins(course(1, N_TRIALS)), others().map(of_bins).collect());
    let row = &decode_behavior(session.data.session(), &behavior, &drifts(), &judging())[0];
    assert_eq!(row.decoder, "ridge");
    let [_, elsewhere] = chances(row);
    assert!(row.score.as_ref().unwrap().value() > 0.9 && elsewhere > 0.2, "{row:?}");
}

fn behavior_of(session: &TrainSession, values: Array3<f64>, of_others: Vec<Array3<f64>>) -> Behavior {
    let split = &session.split;
    Behavior {
        name: "pupil".to_owned(),
        values,
        trials: (0..N_TRIALS).collect(),
        fit: [&split.train[..], &split.valid].concat(),
        valid: split.valid.clone(),
        test: split.test.clone(),
        clusters: (0..split.test.len()).collect(),
        of_others,
    }
}

/// A session in which the animal sat still, or whose file holds nonsense, is no null and takes no score away.
#[test]
fn sessions_that_cannot_be_asked_are_left_out() {
    let session = session();
    let of_bins = |course: Vec<f64>| Array3::from_shape_fn((course.len(), 3, 1), |(trial, ..)| course[trial]);
    let mut still_in_test = of_bins(course(7, N_TRIALS));
    for &trial in &session.split.test {
        still_in_test.index_axis_mut(ndarray::Axis(0), trial).fill(0.5);
    }
    let bad = || vec![of_bins(vec![0.5; N_TRIALS]), still_in_test.clone(), of_bins(vec![f64::NAN; N_TRIALS])];
    let good: Vec<Array3<f64>> = (0..4).map(|k| of_bins(course(100 + k, N_TRIALS))).collect();
    let of_others = [bad(), good].concat();
    let behavior = behavior_of(&session, of_bins(course(1, N_TRIALS)), of_others);
    for row in decode_behavior(session.data.session(), &behavior, &drifts(), &judging()) {
        // Drifts are waves without noise, which a Kalman filter cannot be fitted to.
        if row.decoder == "kalman" {
            continue;
        }
        assert!(row.score.is_some(), "{row:?}");
        let others = row.other_sessions.unwrap();
        assert_eq!((others.n_draws, others.n_asked), (4, 7), "{}", row.decoder);
    }
    let behavior = Behavior { of_others: bad(), ..behavior };
    let row = &decode_behavior(session.data.session(), &behavior, &drifts(), &judging())[0];
    assert!(row.score.is_some() && row.other_sessions.is_none(), "{row:?}");
}

/// Who says the one value that there is has explained nothing.
#[test]
fn a_constant_behavior_has_no_score() {
    let session = session();
    let still = Array3::from_elem((N_TRIALS, 3, 1), 0.5);
    let behavior = behavior_of(&session, still, Vec::new());
    for row in decode_behavior(session.data.session(), &behavior, &drifts(), &judging()) {
        assert!(row.score.is_none() && row.undefined.is_some(), "{row:?}");
    }
}
