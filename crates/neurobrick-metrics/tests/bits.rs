//! Laws of the bits-per-spike tables, their bootstrap and their combination over sessions.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where it is asserted"
)]

mod golden_file;

use golden_file::assert_close;
use ndarray::{Array3, Axis};
use neurobrick_metrics::{
    BitsTable, Bootstrap, Combine, Convention, IntervalMethod, MetricError, NullModel, Resampling,
    SessionBits, bits_per_spike, bits_per_spike_per_unit, evaluated_mean,
};
use neurobrick_random::{Domain, Stream};
use proptest::prelude::*;

const CONVENTIONS: [Convention; 4] = [
    Convention::Pooled,
    Convention::UnitMean,
    Convention::UnitMedian,
    Convention::ActiveUnitMean { min_spikes: 8 },
];

/// Counts and better-than-null rates, `[trials, 6, units]`.
fn data(seed: u64, trials: usize, units: usize) -> (Array3<f64>, Array3<f64>) {
    let mut stream = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
    let rates = Array3::from_shape_simple_fn((trials, 6, units), || stream.uniform_in(0.05, 1.5));
    let counts = rates.mapv(|rate| f64::from(stream.poisson(rate)));
    (rates, counts)
}

fn table(seed: u64, trials: usize, units: usize) -> BitsTable {
    let (rates, counts) = data(seed, trials, units);
    BitsTable::new(&rates.view(), &counts.view(), &evaluated_mean(&counts.view())).unwrap()
}

proptest! {
    #[test]
    fn table_agrees_with_the_direct_formula(seed: u64, trials in 1usize..8, units in 1usize..9) {
        let (rates, counts) = data(seed, trials, units);
        let table = table(seed, trials, units);
        let direct = bits_per_spike(&rates.view(), &counts.view()).unwrap();
        assert_close(table.value(Convention::Pooled), direct, 1e-10, "pooled");
        let per_unit = bits_per_spike_per_unit(&rates.view(), &counts.view()).unwrap();
        for (got, want) in table.per_unit().iter().zip(&per_unit) {
            assert_close(*got, *want, 1e-10, "per unit");
        }
        let mut finite: Vec<f64> = per_unit.into_iter().filter(|bits| bits.is_finite()).collect();
        if !finite.is_empty() {
            finite.sort_by(f64::total_cmp);
            let mean = finite.iter().sum::<f64>() / finite.len() as f64;
            assert_close(table.value(Convention::UnitMean), mean, 1e-10, "mean");
            let middle = f64::midpoint(finite[(finite.len() - 1) / 2], finite[finite.len() / 2]);
            assert_close(table.value(Convention::UnitMedian), middle, 1e-10, "median");
        }
    }

    #[test]
    fn null_scores_exactly_zero(seed: u64, trials in 2usize..6, units in 1usize..6) {
        let (_, counts) = data(seed, trials, units);
        prop_assume!(counts.sum() > 0.0);
        let null = NullModel::TrainMean.rates(&counts.view(), &counts.view()).unwrap();
        let rates = Array3::from_shape_fn(counts.dim(), |(_, _, n)| null[n]);
        let table = BitsTable::new(&rates.view(), &counts.view(), &null).unwrap();
        prop_assert_eq!(table.value(Convention::Pooled), 0.0);
        prop_assert!(table.per_unit().iter().all(|bits| *bits == 0.0 || bits.is_nan()));
        let interval = table.interval(Convention::Pooled, &Bootstrap { seed, n_resamples: 20, level: 0.9 });
        prop_assert_eq!((interval.lo, interval.hi), (0.0, 0.0));
    }

    #[test]
    fn permuting_units_permutes_units(seed: u64, trials in 1usize..5, units in 1usize..8) {
        let (rates, counts) = data(seed, trials, units);
        let order = Stream::new(seed, Domain::Order, [0, 0, 0]).permutation(units);
        let (p_rates, p_counts) = (rates.select(Axis(2), &order), counts.select(Axis(2), &order));
        let null = evaluated_mean(&p_counts.view());
        let permuted = BitsTable::new(&p_rates.view(), &p_counts.view(), &null).unwrap();
        let original = table(seed, trials, units);
        let bits = original.per_unit();
        for (got, unit) in permuted.per_unit().into_iter().zip(&order) {
            prop_assert!(got == bits[*unit] || (got.is_nan() && bits[*unit].is_nan()));
        }
        prop_assert_eq!(permuted, original.select_units(&order).unwrap());
    }

    #[test]
    fn order_of_trials_is_irrelevant(seed: u64, trials in 1usize..8, units in 1usize..6) {
        let (rates, counts) = data(seed, trials, units);
        let order = Stream::new(seed, Domain::Order, [1, 0, 0]).permutation(trials);
        let null = evaluated_mean(&counts.view());
        let shuffled = BitsTable::new(
            &rates.select(Axis(0), &order).view(),
            &counts.select(Axis(0), &order).view(),
            &null,
        ).unwrap();
        let original = table(seed, trials, units);
        for convention in CONVENTIONS {
            assert_close(shuffled.value(convention), original.value(convention), 1e-12, "shuffled trials");
        }
    }

    #[test]
    fn masked_entries_do_not_count(seed: u64, trials in 2usize..6, units in 1usize..5) {
        let (mut rates, mut counts) = data(seed, trials, units);
        let null = evaluated_mean(&counts.view());
        let short = BitsTable::new(
            &rates.slice(ndarray::s![.., ..4, ..]),
            &counts.slice(ndarray::s![.., ..4, ..]),
            &null,
        ).unwrap();
        counts.slice_mut(ndarray::s![.., 4.., ..]).fill(f64::NAN);
        rates.slice_mut(ndarray::s![.., 4.., ..]).fill(f64::NAN);
        prop_assert_eq!(BitsTable::new(&rates.view(), &counts.view(), &null).unwrap(), short);
    }
}

#[test]
fn bootstrap_follows_its_seed_and_contains_the_value() {
    let table = table(1, 40, 12);
    let bootstrap = Bootstrap { seed: 5, n_resamples: 400, level: 0.95 };
    for convention in CONVENTIONS {
        let interval = table.interval(convention, &bootstrap);
        assert_eq!(interval, table.interval(convention, &bootstrap));
        assert_ne!(interval, table.interval(convention, &Bootstrap { seed: 6, ..bootstrap }));
        let value = table.value(convention);
        assert!(interval.lo < value && value < interval.hi, "{convention:?}: {value} {interval:?}");
        assert_eq!(interval.n_resamples, 400);
    }
}

/// Every trial seen by five windows is no more data than seen by one: as many clusters, and the same interval.
#[test]
fn windows_that_share_spikes_are_resampled_together() {
    let (rates, counts) = data(9, 40, 8);
    let null = evaluated_mean(&counts.view());
    let bootstrap = Bootstrap { seed: 4, n_resamples: 400, level: 0.95 };
    let once = BitsTable::new(&rates.view(), &counts.view(), &null).unwrap();
    let windows: Vec<usize> = (0..200).map(|window| window / 5).collect();
    let (rates, counts) = (rates.select(Axis(0), &windows), counts.select(Axis(0), &windows));
    let alone = BitsTable::new(&rates.view(), &counts.view(), &null).unwrap();
    let together = alone.clone().clustered(&windows).unwrap();
    assert_eq!(together.n(), alone.n());
    let width = |table: &BitsTable, convention: Convention| {
        let interval = table.interval(convention, &bootstrap);
        interval.hi - interval.lo
    };
    for convention in CONVENTIONS {
        let value = together.value(convention);
        assert_close(value, alone.value(convention), 1e-12, "the score stays");
        let [one, five] = [&once, &together].map(|table| width(table, convention));
        // The floor of active units counts spikes five times.
        if !matches!(convention, Convention::ActiveUnitMean { .. }) {
            assert_close(five, one, 1e-9, "the interval of the trials");
        }
        assert!(width(&alone, convention) < 0.6 * five, "{convention:?}");
    }
    let difference = |table: &BitsTable| table.difference(table, Convention::Pooled, &bootstrap).unwrap();
    assert_eq!(difference(&together).interval.method, IntervalMethod::GroupBootstrap);
    assert_eq!(difference(&alone).interval.method, IntervalMethod::TrialBootstrap);
    let each: Vec<usize> = (0..200).rev().collect();
    assert_eq!(alone.clone().clustered(&each).unwrap(), alone);
    let one = alone.clone().clustered(&[7; 200]).unwrap();
    assert!(one.interval(Convention::Pooled, &bootstrap).lo.is_nan(), "a single cluster has no spread");
    assert!(matches!(alone.clustered(&each[1..]), Err(MetricError::ShapeMismatch { .. })));
}

/// The pooled ratio's standard error by the delta method, an independent route to the same width.
#[test]
fn bootstrap_width_matches_the_delta_method() {
    let (trials, units) = (200, 10);
    let (rates, counts) = data(3, trials, units);
    let null = evaluated_mean(&counts.view());
    let table = BitsTable::new(&rates.view(), &counts.view(), &null).unwrap();
    let value = table.value(Convention::Pooled);
    let residuals: Vec<f64> = (0..trials)
        .map(|b| {
            let one = |x: &Array3<f64>| x.slice(ndarray::s![b..=b, .., ..]).to_owned();
            let trial = BitsTable::new(&one(&rates).view(), &one(&counts).view(), &null).unwrap();
            let spikes = trial.n().spikes;
            trial.value(Convention::Pooled) * spikes - value * spikes
        })
        .collect();
    let standard_error = residuals.iter().map(|r| r * r).sum::<f64>().sqrt() / table.n().spikes;
    let bootstrap = Bootstrap { seed: 2, n_resamples: 4000, level: 0.95 };
    let interval = table.interval(Convention::Pooled, &bootstrap);
    // 4,000 resamples leave about 2 % noise in each quantile's distance; 8 % is four times that.
    let ratio = (interval.hi - interval.lo) / (2.0 * 1.96 * standard_error);
    assert!((ratio - 1.0).abs() < 0.08, "{ratio}");
}

#[test]
fn paired_difference_is_narrower_than_its_parts() {
    let (rates, counts) = data(7, 60, 10);
    let null = evaluated_mean(&counts.view());
    let good = BitsTable::new(&rates.view(), &counts.view(), &null).unwrap();
    let scaled = rates.mapv(|rate| 1.1 * rate);
    let worse = BitsTable::new(&scaled.view(), &counts.view(), &null).unwrap();
    let bootstrap = Bootstrap::with_seed(1);
    let alone = good.interval(Convention::Pooled, &bootstrap);
    let difference = good.difference(&worse, Convention::Pooled, &bootstrap).unwrap();
    assert_close(
        difference.value,
        good.value(Convention::Pooled) - worse.value(Convention::Pooled),
        1e-12,
        "difference",
    );
    assert!(difference.interval.hi - difference.interval.lo < 0.5 * (alone.hi - alone.lo));
    let same = good.difference(&good, Convention::UnitMedian, &bootstrap).unwrap();
    assert_eq!((same.value, same.interval.lo, same.interval.hi), (0.0, 0.0, 0.0));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let (rates, counts) = data(7, 5, 3);
    let null = evaluated_mean(&counts.view());
    let table = BitsTable::new(&rates.view(), &counts.view(), &null).unwrap();
    let other_null = BitsTable::new(&rates.view(), &counts.view(), &[0.1, 0.2, 0.3]).unwrap();
    let (other_rates, other_counts) = data(8, 5, 3);
    let other = BitsTable::new(&other_rates.view(), &other_counts.view(), &null).unwrap();
    let bootstrap = Bootstrap::with_seed(1);
    for (other, what) in [(other_null, "null rates"), (other, "counts")] {
        let error = table.difference(&other, Convention::Pooled, &bootstrap).unwrap_err();
        assert_eq!(error, MetricError::NotPaired { what });
    }
    let single = table_of_one_trial();
    assert!(single.interval(Convention::Pooled, &bootstrap).lo.is_nan());
}

fn table_of_one_trial() -> BitsTable {
    table(1, 1, 3)
}

#[test]
fn spike_floor_leaves_sparse_units_out() {
    // Unit 0: one spike, predicted absurdly well; units 1 and 2: many spikes, predicted as the null.
    let counts =
        Array3::from_shape_fn((10, 1, 3), |(b, _, n)| if n == 0 { f64::from(u8::from(b == 0)) } else { 1.0 });
    let rates = Array3::from_shape_fn((10, 1, 3), |(b, _, n)| match (n, b) {
        (0, 0) => 1.0,
        (0, _) => 1e-9,
        _ => 1.0,
    });
    let table = BitsTable::new(&rates.view(), &counts.view(), &evaluated_mean(&counts.view())).unwrap();
    assert_close(table.per_unit()[0], 10f64.log2(), 1e-6, "sparse unit");
    assert_close(table.value(Convention::UnitMean), 10f64.log2() / 3.0, 1e-6, "mean");
    assert_eq!(table.value(Convention::UnitMedian), 0.0);
    assert_eq!(table.value(Convention::ActiveUnitMean { min_spikes: 5 }), 0.0);
    let groups = table.by_group(&[7, 7, 2]).unwrap();
    assert_eq!(groups.keys().copied().collect::<Vec<_>>(), [2, 7]);
    assert_eq!(groups[&7].n().units, 2);
}

/// The evaluated mean knows how active each unit was in the scored slice; the train mean does not.
#[test]
fn evaluated_null_is_the_stricter_one() {
    let (rates, counts) = data(11, 30, 8);
    let (_, train) = data(12, 30, 8);
    let (train, test) = (train.view(), counts.view());
    let value = |null: NullModel| {
        let null = null.rates(&test, &train).unwrap();
        BitsTable::new(&rates.view(), &test, &null).unwrap().value(Convention::Pooled)
    };
    assert!(value(NullModel::EvaluatedMean) < value(NullModel::TrainMean));
    let silent = Array3::zeros((4, 5, 2));
    let null = NullModel::TrainMean.rates(&silent.view(), &silent.view()).unwrap();
    assert_eq!(null, [0.5 / 20.0, 0.5 / 20.0]);
}

#[test]
fn sessions_combine_pooled_and_averaged() {
    let (a, b, c) = (table(1, 30, 4), table(2, 20, 9), table(3, 25, 6));
    let sessions = SessionBits::new(vec![a.clone(), b.clone(), c.clone()]).unwrap();
    for convention in CONVENTIONS {
        let mean = [&a, &b, &c].iter().map(|t| t.value(convention)).sum::<f64>() / 3.0;
        assert_close(sessions.value(convention, Combine::SessionMean), mean, 1e-12, "session mean");
    }
    let nats = |t: &BitsTable| t.value(Convention::Pooled) * t.n().spikes;
    let pooled = (nats(&a) + nats(&b) + nats(&c)) / sessions.n().spikes;
    assert_close(sessions.value(Convention::Pooled, Combine::Pooled), pooled, 1e-12, "pooled");
    assert_eq!((sessions.n().sessions, sessions.n().units, sessions.n().trials), (3, 19, 75));
    let bootstrap = Bootstrap::with_seed(4);
    let one = SessionBits::new(vec![a.clone()]).unwrap();
    for convention in CONVENTIONS {
        let alone = a.interval(convention, &bootstrap);
        assert_eq!(one.interval(convention, Combine::Pooled, Resampling::Trials, &bootstrap), alone);
        let both = [Resampling::Trials, Resampling::SessionsAndTrials]
            .map(|resampling| sessions.interval(convention, Combine::SessionMean, resampling, &bootstrap));
        assert!(both[1].hi - both[1].lo > both[0].hi - both[0].lo, "{both:?}");
        let difference = sessions
            .difference(&sessions, convention, Combine::Pooled, Resampling::SessionsAndTrials, &bootstrap)
            .unwrap();
        assert_eq!((difference.interval.lo, difference.interval.hi), (0.0, 0.0));
    }
    assert!(
        one.interval(Convention::Pooled, Combine::Pooled, Resampling::SessionsAndTrials, &bootstrap)
            .lo
            .is_nan()
    );
}
