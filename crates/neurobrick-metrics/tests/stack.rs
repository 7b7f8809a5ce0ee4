//! Stacks: what they read, what they learn, what they refuse.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::{Array3, ArrayView3, Axis, s};
use neurobrick_metrics::baselines::{Query, UnitMean};
use neurobrick_metrics::stack::{
    FeaturePart, ForwardDesign, HiddenDesign, Stack, StackFeatures, StackLadder, thinned,
};
use neurobrick_metrics::{MetricError, bits_per_spike};
use neurobrick_random::{Domain, Stream};

const N_BINS: usize = 10;
const N_UNITS: usize = 24;

/// A population that follows one slow state of the trial, each unit by its own sign and strength.
fn session(seed: u64, n_trials: usize) -> Array3<f64> {
    let mut stream = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
    let loadings: Vec<f64> = (0..N_UNITS).map(|_| 0.8 + 0.4 * stream.normal()).collect();
    let means: Vec<f64> = (0..N_UNITS).map(|_| 0.05 + 0.5 * stream.uniform()).collect();
    let mut counts = Array3::zeros((n_trials, N_BINS, N_UNITS));
    for b in 0..n_trials {
        let state = stream.normal();
        for t in 0..N_BINS {
            for n in 0..N_UNITS {
                let rate = means[n] * (loadings[n] * (state + 0.3 * stream.normal()) - 0.4).exp();
                counts[[b, t, n]] = f64::from(stream.poisson(rate.min(20.0)));
            }
        }
    }
    counts
}

fn regions() -> Vec<usize> {
    (0..N_UNITS).map(|n| n % 3).collect()
}

fn hidden_group() -> Query {
    Query::hidden(N_UNITS, (0..N_UNITS).step_by(4).collect())
}

fn targets(counts: &Array3<f64>, query: &Query) -> Array3<f64> {
    counts.select(Axis(2), &query.targets)
}

/// Features of held-out trials of a session, fitted to its first twelve, and their counts.
fn hidden_episode(seed: u64, query: &Query) -> (StackFeatures, Array3<f64>) {
    let counts = session(seed, 52);
    let design = HiddenDesign::new(&counts.slice(s![..12, .., ..]), &regions()).unwrap();
    let rest = counts.slice(s![12.., .., ..]).to_owned();
    (design.features(&rest.view(), query).unwrap(), targets(&rest, query))
}

fn learn(episodes: &[(StackFeatures, Array3<f64>)]) -> Stack {
    let examples: Vec<(&StackFeatures, ArrayView3<f64>)> =
        episodes.iter().map(|(features, counts)| (features, counts.view())).collect();
    Stack::fit(&examples, 30.0).unwrap()
}

fn bits(rates: &Array3<f64>, counts: &Array3<f64>) -> f64 {
    bits_per_spike(&rates.view(), &counts.view()).unwrap()
}

#[test]
fn other_sessions_teach_what_twelve_trials_do_not() {
    let query = hidden_group();
    let stack = learn(&(1..6).map(|seed| hidden_episode(seed, &query)).collect::<Vec<_>>());
    let mut gains = 0.0;
    for seed in 10..14 {
        let (features, counts) = hidden_episode(seed, &query);
        let mean = UnitMean::fit(&session(seed, 52).slice(s![..12, .., ..])).unwrap();
        let constant = mean.predict(40, N_BINS).select(Axis(2), &query.targets);
        gains += bits(&stack.rates(&features).unwrap(), &counts) - bits(&constant, &counts);
    }
    assert!(gains / 4.0 > 0.05, "{}", gains / 4.0);
}

#[test]
fn features_of_hidden_units_do_not_read_them() {
    let counts = session(1, 30);
    let calibration = counts.slice(s![..12, .., ..]);
    let design = HiddenDesign::new(&calibration, &regions()).unwrap();
    let test = counts.slice(s![12.., .., ..]).to_owned();
    let query = hidden_group();
    let mut changed = test.clone();
    for &unit in &query.targets {
        changed.index_axis_mut(Axis(2), unit).fill(7.0);
    }
    let read = |counts: &Array3<f64>, query: &Query| design.features(&counts.view(), query).unwrap();
    assert_eq!(read(&test, &query), read(&changed, &query));
    // In leave-one-out a unit's own counts reach the others, not itself.
    let everyone = Query { targets: vec![5], ..Query::leave_one_out(N_UNITS) };
    let mut own = test.clone();
    own.index_axis_mut(Axis(2), 5).fill(3.0);
    let stack = learn(&[hidden_episode(2, &query)]);
    let rates = |counts: &Array3<f64>| stack.rates(&read(counts, &everyone)).unwrap();
    let (before, after) = (rates(&test), rates(&own));
    let gap = before.iter().zip(&after).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
    assert!(gap < 1e-9, "{gap}");
    let mut other = test.clone();
    other.index_axis_mut(Axis(2), 6).fill(3.0);
    assert_ne!(rates(&test), rates(&other));
}

#[test]
fn features_of_the_future_do_not_read_it() {
    let counts = session(1, 40);
    let design = ForwardDesign::new(&counts.slice(s![..20, .., ..]), &regions(), 3).unwrap();
    let test = counts.slice(s![20.., .., ..]).to_owned();
    let mut changed = test.clone();
    changed.slice_mut(s![.., N_BINS - 3.., ..]).fill(9.0);
    let features = design.features(&test.view()).unwrap();
    assert_eq!(features, design.features(&changed.view()).unwrap());
    assert_eq!(features.dim(), (20, 3, N_UNITS));
    changed.slice_mut(s![.., N_BINS - 4, ..]).fill(9.0);
    assert_ne!(features, design.features(&changed.view()).unwrap());
}

#[test]
fn the_future_is_learned_from_other_sessions_too() {
    let episode = |seed| {
        let counts = session(seed, 52);
        let design = ForwardDesign::new(&counts.slice(s![..12, .., ..]), &regions(), 3).unwrap();
        let rest = counts.slice(s![12.., .., ..]);
        (design.features(&rest).unwrap(), rest.slice(s![.., N_BINS - 3.., ..]).to_owned())
    };
    let stack = learn(&(1..6).map(episode).collect::<Vec<_>>());
    for seed in 10..13 {
        let (features, counts) = episode(seed);
        let value = bits(&stack.rates(&features).unwrap(), &counts);
        assert!(value > 0.05, "session {seed}: {value}");
    }
}

#[test]
fn rates_are_the_optimum_of_the_penalized_likelihood() {
    let query = hidden_group();
    let episodes = [hidden_episode(1, &query), hidden_episode(2, &query)];
    let stack = learn(&episodes);
    // With an intercept that is not penalized, as many spikes are expected as were counted.
    let expected: f64 = episodes.iter().map(|(features, _)| stack.rates(features).unwrap().sum()).sum();
    let counted: f64 = episodes.iter().map(|(_, counts)| counts.sum()).sum();
    assert!((expected / counted - 1.0).abs() < 1e-6, "{expected} for {counted}");
    assert_eq!((stack.n_rows(), stack.n_spikes()), (2 * 40 * N_BINS * query.targets.len(), counted));
    // A saved stack is the same stack.
    let text = serde_json::to_string(&stack).unwrap();
    let read: Stack = serde_json::from_str(&text).unwrap();
    let (a, b) = (stack.rates(&episodes[0].0).unwrap(), read.rates(&episodes[0].0).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a / b - 1.0).abs() < 1e-12));
}

#[test]
fn silent_units_and_lonely_ones_have_finite_rates() {
    let mut counts = session(3, 40);
    counts.index_axis_mut(Axis(2), 0).fill(0.0);
    // Unit 1 has a region of its own.
    let regions: Vec<usize> = (0..N_UNITS).map(|n| usize::from(n == 1)).collect();
    let design = HiddenDesign::new(&counts.slice(s![..12, .., ..]), &regions).unwrap();
    let stack = learn(&[hidden_episode(2, &hidden_group())]);
    for query in
        [Query::hidden(N_UNITS, vec![0]), Query { targets: vec![0, 1, 2], ..Query::leave_one_out(N_UNITS) }]
    {
        let rates = stack.rates(&design.features(&counts.view(), &query).unwrap()).unwrap();
        assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0));
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let counts = session(1, 20);
    let few = HiddenDesign::new(&counts.view(), &[0, 1]);
    assert!(matches!(few, Err(MetricError::ShapeMismatch { what: "regions of units", .. })));
    let mut broken = counts.clone();
    broken[[1, 2, 3]] = f64::NAN;
    assert!(matches!(HiddenDesign::new(&broken.view(), &regions()), Err(MetricError::InvalidCount { .. })));
    assert!(ForwardDesign::new(&counts.view(), &regions(), N_BINS).is_err());
    assert!(matches!(Stack::fit(&[], 1.0), Err(MetricError::Empty { .. })));
    let query = hidden_group();
    let (features, counts) = hidden_episode(1, &query);
    let fit = |counts: &Array3<f64>, penalty| Stack::fit(&[(&features, counts.view())], penalty);
    assert!(matches!(fit(&counts, 0.0), Err(MetricError::InvalidSetting { what: "penalty", .. })));
    assert!(matches!(fit(&(0.0 * &counts), 1.0), Err(MetricError::Empty { .. })));
    let short = counts.slice(s![1.., .., ..]).to_owned();
    assert!(matches!(fit(&short, 1.0), Err(MetricError::ShapeMismatch { .. })));
    let design = ForwardDesign::new(&session(1, 20).view(), &regions(), 3).unwrap();
    let other = design.features(&session(1, 20).view()).unwrap();
    assert!(matches!(fit(&counts, 1.0).unwrap().rates(&other), Err(MetricError::ShapeMismatch { .. })));
}

#[test]
fn a_ladder_answers_with_the_nearest_rungs() {
    let query = hidden_group();
    let (few, many) = (learn(&[hidden_episode(1, &query)]), learn(&[hidden_episode(2, &query)]));
    let ladder = StackLadder::new(vec![(8, few.clone()), (32, many.clone())]).unwrap();
    let (features, _) = hidden_episode(3, &query);
    let rates = |n_trials| ladder.rates(&features, n_trials).unwrap();
    let (below, above) = (few.rates(&features).unwrap(), many.rates(&features).unwrap());
    assert_eq!(
        (rates(8), rates(3), rates(32), rates(500)),
        (below.clone(), below.clone(), above.clone(), above.clone())
    );
    // 16 lies halfway between 8 and 32, in logs.
    for ((between, a), b) in rates(16).iter().zip(&below).zip(&above) {
        assert!((between / (a * b).sqrt() - 1.0).abs() < 1e-9, "{between} between {a} and {b}");
    }
    let text = serde_json::to_string(&ladder).unwrap();
    let read: StackLadder = serde_json::from_str(&text).unwrap();
    assert_eq!(read.rungs().iter().map(|(n, _)| *n).collect::<Vec<_>>(), [8, 32]);

    assert!(matches!(StackLadder::new(Vec::new()), Err(MetricError::Empty { .. })));
    for rungs in
        [vec![(8, few.clone()), (8, many.clone())], vec![(0, few.clone())], vec![(9, few.clone()), (8, many)]]
    {
        assert!(matches!(StackLadder::new(rungs), Err(MetricError::InvalidSetting { .. })));
    }
    let (features, counts) = hidden_episode(1, &query);
    let plain = Stack::fit(&[(&features.without(&[FeaturePart::Products]), counts.view())], 30.0).unwrap();
    assert!(matches!(StackLadder::new(vec![(8, few), (16, plain)]), Err(MetricError::ShapeMismatch { .. })));
    assert!(serde_json::from_str::<StackLadder>("[]").is_err(), "a damaged file is refused");
}

#[test]
fn fewer_bins_and_targets_are_those_of_the_whole() {
    let query = hidden_group();
    let (features, counts) = hidden_episode(1, &query);
    let stack = learn(&[hidden_episode(2, &query)]);
    let few = features.thinned(4, &[3, 1]).unwrap();
    let whole = stack.rates(&features).unwrap();
    // Bins 2 and 6: the third of every four.
    assert_eq!(stack.rates(&few).unwrap(), whole.select(Axis(1), &[2, 6]).select(Axis(2), &[3, 1]));
    assert_eq!(thinned(&counts, 4, &[3, 1]), counts.select(Axis(1), &[2, 6]).select(Axis(2), &[3, 1]));
    assert_eq!(few.dim(), (40, 2, 2));
    // Windows shorter than a step keep one bin.
    let short = features.thinned(100, &[0]).unwrap();
    assert_eq!(short.dim(), (40, 1, 1));
    assert!(matches!(features.thinned(0, &[0]), Err(MetricError::InvalidSetting { what: "step", .. })));
    assert!(matches!(features.thinned(1, &[99]), Err(MetricError::OutOfRange { what: "target", .. })));
}

#[test]
fn parts_left_out_are_not_read() {
    let counts = session(1, 40);
    let query = hidden_group();
    let design = HiddenDesign::new(&counts.slice(s![..12, .., ..]), &regions()).unwrap();
    let test = counts.slice(s![12.., .., ..]).to_owned();
    let features = design.features(&test.view(), &query).unwrap();
    let mut last = features.n_features();
    let mut out = Vec::new();
    for part in [FeaturePart::Products, FeaturePart::Evidence, FeaturePart::Factors, FeaturePart::Population]
    {
        out.push(part);
        let n = features.without(&out).n_features();
        assert!(n < last, "{part:?}");
        last = n;
    }
    assert_eq!(features.without(&[]), features);
    // Without the closed forms and what they say of themselves, the state of the population is all that is known.
    let only = [FeaturePart::Factors, FeaturePart::Filters, FeaturePart::Reliability];
    let elsewhere = HiddenDesign::new(&counts.slice(s![..12, .., ..]), &regions()).unwrap();
    let mut swapped = test.clone();
    // Two visible units of one region in each other's place leave every sum as it is.
    let (a, b) = (1, 7);
    swapped.index_axis_mut(Axis(2), a).assign(&test.index_axis(Axis(2), b));
    swapped.index_axis_mut(Axis(2), b).assign(&test.index_axis(Axis(2), a));
    let swapped = elsewhere.features(&swapped.view(), &query).unwrap();
    assert_ne!(swapped, features);
    assert_eq!(swapped.without(&only), features.without(&only));
}

#[test]
fn a_stack_from_a_file_is_checked() {
    let stack = learn(&[hidden_episode(1, &hidden_group())]);
    let written = serde_json::to_value(&stack).unwrap();
    assert_eq!(serde_json::from_value::<Stack>(written.clone()).unwrap(), stack);
    let refused = |change: fn(&mut serde_json::Value)| {
        let mut changed = written.clone();
        change(&mut changed);
        serde_json::from_value::<Stack>(changed).unwrap_err().to_string()
    };
    let cut = refused(|stack| drop(stack["centers"].as_array_mut().unwrap().pop()));
    assert!(cut.contains("centers of a stack"), "{cut}");
    let flat = refused(|stack| stack["scales"][0] = 0.0.into());
    assert!(flat.contains("above zero"), "{flat}");
    assert!(refused(|stack| drop(stack["weights"].as_array_mut().unwrap().pop())).contains("centers"));
}
