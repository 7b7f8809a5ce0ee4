//! The baselines: closed forms against refits, no leak from hidden values, and gains where there is structure.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where it is asserted"
)]

mod golden_file;

use golden_file::{assert_close, cube, load, matrix, number};
use ndarray::{Array2, Array3, Axis, s};
use neurobrick_metrics::baselines::{
    ForwardRidge, ForwardRidgeGrid, LastMean, LastMeanGrid, PcaPoisson, PcaPoissonGrid, Psth, PsthGrid,
    Query, RidgeDesign, RidgeGrid, UnitMean, VisibleRidge, WienerDesign, WienerGrid,
};
use neurobrick_metrics::{
    BitsTable, Convention, Edge, MetricError, NullModel, RidgeRegression, smooth_over_time,
};
use neurobrick_random::{Domain, Stream};
use proptest::prelude::*;

/// Counts driven by two slow latents shared by all units and by the condition of the trial, `[trials, 30, units]`.
fn population(seed: u64, trials: usize, units: usize) -> (Array3<f64>, Vec<usize>) {
    // Loadings belong to the population, not to the draw, so that train and test share them.
    let mut fixed = Stream::new(99, Domain::Synthetic, [units as u64, 0, 0]);
    let loadings = Array2::from_shape_simple_fn((2, units), || 0.4 * fixed.normal());
    let tuning = Array2::from_shape_simple_fn((3, units), || 0.5 * fixed.normal());
    let mut stream = Stream::new(seed, Domain::Synthetic, [1, 0, 0]);
    let conditions: Vec<usize> = (0..trials).map(|_| stream.below(3)).collect();
    let mut counts = Array3::zeros((trials, 30, units));
    for trial in 0..trials {
        let mut latents = [stream.normal(), stream.normal()];
        for bin in 0..30 {
            for latent in &mut latents {
                *latent = 0.98 * *latent + 0.2 * stream.normal();
            }
            for unit in 0..units {
                let drive = latents[0] * loadings[[0, unit]] + latents[1] * loadings[[1, unit]];
                let log_rate = drive + tuning[[conditions[trial], unit]] - 1.6;
                counts[[trial, bin, unit]] = f64::from(stream.poisson(log_rate.exp()));
            }
        }
    }
    (counts, conditions)
}

fn one_choice(sigma: f64, penalty: f64) -> RidgeGrid {
    RidgeGrid { sigmas_bins: vec![sigma], penalties: vec![penalty], floors: vec![0.05] }
}

/// Pooled bits/spike of the targets over the train mean.
fn bits(rates: &Array3<f64>, test: &Array3<f64>, train: &Array3<f64>) -> f64 {
    let null = NullModel::TrainMean.rates(&test.view(), &train.view()).unwrap();
    BitsTable::new(&rates.view(), &test.view(), &null).unwrap().value(Convention::Pooled)
}

#[test]
fn ridge_from_visible_units_matches_scikit_learn() {
    let golden = &load("metrics/golden.json")["hidden_units"];
    let counts = cube(&golden["counts"]);
    let design =
        RidgeDesign::new(&counts.view(), &counts.view(), &one_choice(0.0, number(&golden["penalty"])))
            .unwrap();
    let loo = design.fit(&Query::leave_one_out(5)).unwrap();
    for ((i, j), want) in matrix(&golden["leave_one_out_coefficients"]).indexed_iter() {
        assert_close(loo.coefficient(i, j).unwrap(), *want, 1e-8, "leave-one-out");
    }
    assert_eq!((0..5).map(|i| loo.coefficient(i, i).unwrap()).collect::<Vec<_>>(), [0.0; 5]);
    // Penalties here are relative to all units, those of the reference to the visible ones.
    let energy = |units: &[usize]| {
        let of = |&unit: &usize| counts.index_axis(Axis(2), unit).var(0.0);
        units.iter().map(of).sum::<f64>() / units.len() as f64
    };
    let penalty = number(&golden["penalty"]) * energy(&[0, 1, 2]) / energy(&[0, 1, 2, 3, 4]);
    let design = RidgeDesign::new(&counts.view(), &counts.view(), &one_choice(0.0, penalty)).unwrap();
    let hidden = design.fit(&Query::hidden(5, vec![3, 4])).unwrap();
    for ((i, j), want) in matrix(&golden["hidden_coefficients"]).indexed_iter() {
        assert_close(hidden.coefficient(i, j).unwrap(), *want, 1e-8, "hidden group");
    }
}

/// One inverse for many queries against a system for each: hidden groups, left-out units, few and many visible.
#[test]
fn many_queries_at_once_are_each_by_itself() {
    let (train, _) = population(1, 40, 12);
    let (valid, _) = population(2, 8, 12);
    let within =
        |visible: Vec<usize>, targets: Vec<usize>, leave_one_out| Query { visible, targets, leave_one_out };
    let queries: Vec<Query> = [
        Query::leave_one_out(12),
        Query::hidden(12, vec![3, 4]),
        Query::hidden(12, vec![11, 0, 7]),
        Query::hidden(12, vec![5]),
        Query::within(vec![2, 5, 9]),
        // Not all visible ones are asked for, and one that is asked for is hidden.
        within(vec![0, 1, 2, 3, 5, 6, 8, 9, 10], vec![8, 4, 0], true),
    ]
    .into_iter()
    .chain((0..12).map(|unit| Query::hidden(12, vec![unit])))
    .collect();
    let ridge = RidgeDesign::new(&train.view(), &valid.view(), &RidgeGrid::default()).unwrap();
    let wiener = WienerDesign::new(&train.view(), &valid.view(), &WienerGrid::default()).unwrap();
    let together = (ridge.fit_many(&queries).unwrap(), wiener.fit_many(&queries).unwrap());
    for ((query, ridges), filters) in queries.iter().zip(together.0).zip(together.1) {
        let (many, one) = (ridges.unwrap(), ridge.fit(query).unwrap());
        assert_eq!((many.choice().penalty, many.choice().floor), (one.choice().penalty, one.choice().floor));
        let rates = (many.predict(&valid.view()).unwrap(), one.predict(&valid.view()).unwrap());
        for (many, one) in rates.0.iter().zip(&rates.1) {
            assert_close(*many, *one, 1e-9, "ridge");
        }
        let (many, one) = (filters.unwrap(), wiener.fit(query).unwrap());
        assert_eq!(many.choice().penalty, one.choice().penalty);
        let again = wiener.fit_with(query, one.choice()).unwrap();
        let rates = [&many, &one, &again].map(|fit| fit.predict(&valid.view()).unwrap());
        for ((many, one), again) in rates[0].iter().zip(&rates[1]).zip(&rates[2]) {
            assert_close(*many, *one, 1e-9, "filter");
            assert_close(*again, *one, 1e-9, "filter of a choice");
        }
    }
}

/// Closed form against one brute-force fit per unit, smoothing, subset and clipping included.
#[test]
fn leave_one_out_equals_refitting_without_the_unit() {
    let (train, _) = population(1, 12, 9);
    let (test, _) = population(2, 5, 9);
    let region = [1, 2, 4, 7, 8];
    let (sigma, penalty, floor) = (1.5, 0.8, 0.05);
    let query = Query::within(region.to_vec());
    let fit = VisibleRidge::fit(&train.view(), &test.view(), &query, &one_choice(sigma, penalty)).unwrap();
    let rates = fit.predict(&test.view()).unwrap();
    let rows = |counts: &Array3<f64>, units: &[usize]| {
        let chosen = counts.select(Axis(2), units);
        let shape = (chosen.len_of(Axis(0)) * 30, units.len());
        chosen.as_standard_layout().to_owned().into_shape_with_order(shape).unwrap()
    };
    let smooth = |counts: &Array3<f64>| smooth_over_time(&counts.view(), sigma, Edge::Renormalized).unwrap();
    let (x_train, x_test) = (smooth(&train), smooth(&test));
    for (target, &unit) in region.iter().enumerate() {
        let others: Vec<usize> = region.iter().copied().filter(|&other| other != unit).collect();
        let (x, y) = (rows(&x_train, &others), rows(&train, &[unit]));
        let brute = RidgeRegression::fit(&x.view(), &y.view(), fit.choice().alpha).unwrap();
        let expected = brute.predict(&rows(&x_test, &others).view()).unwrap();
        let lowest = floor * y.mean().unwrap();
        for (got, want) in rates.slice(s![.., .., target]).iter().zip(&expected) {
            assert_close(*got, want.max(lowest), 1e-8, "leave-one-out rate");
        }
    }
}

#[test]
fn poisson_regression_on_components_matches_scikit_learn() {
    let golden = &load("metrics/golden.json")["hidden_units"];
    let counts = cube(&golden["counts"]);
    let grid = PcaPoissonGrid {
        sigmas_bins: vec![0.0],
        n_components: vec![2],
        alphas: vec![number(&golden["glm_alpha"])],
        floor: 1e-6,
        max_selection_targets: 10,
    };
    let fit = PcaPoisson::fit(&counts.view(), &counts.view(), &Query::hidden(5, vec![3, 4]), &grid).unwrap();
    let rates = fit.predict(&counts.view()).unwrap();
    for (got, want) in rates.iter().zip(&cube(&golden["glm_rates_on_train"])) {
        assert_close(*got, *want, 1e-5, "rate");
    }
}

#[test]
fn every_baseline_gains_where_there_is_structure_and_records_its_choice() {
    let units = 14;
    let (train, conditions) = population(1, 80, units);
    let (valid, valid_conditions) = population(2, 30, units);
    let (test, test_conditions) = population(3, 40, units);
    let (train_v, valid_v, test_v) = (train.view(), valid.view(), test.view());

    let mean = UnitMean::fit(&train_v).unwrap().predict(40, 30);
    assert_eq!(bits(&mean, &test, &train), 0.0);

    let psth = Psth::fit(&train_v, &conditions, &valid_v, &valid_conditions, &PsthGrid::default()).unwrap();
    let gain = bits(&psth.predict(&test_conditions), &test, &train);
    assert!(gain > 0.05, "psth {gain}");
    let unknown = psth.predict(&[77]);
    assert!((unknown[[0, 3, 2]] - mean[[0, 3, 2]]).abs() < 1e-12);

    let query = Query::leave_one_out(units);
    let ridge = VisibleRidge::fit(&train_v, &valid_v, &query, &RidgeGrid::default()).unwrap();
    let ridge_gain = bits(&ridge.predict(&test_v).unwrap(), &test, &train);
    let pca = PcaPoisson::fit(&train_v, &valid_v, &query, &PcaPoissonGrid::default()).unwrap();
    let pca_gain = bits(&pca.predict(&test_v).unwrap(), &test, &train);
    assert!(ridge_gain > gain && pca_gain > gain, "ridge {ridge_gain}, pca {pca_gain}, psth {gain}");
    assert!(ridge.choice().valid_bits_per_spike > 0.1 && pca.choice().valid_bits_per_spike > 0.1);

    let forward = test.slice(s![.., 24.., ..]).to_owned();
    let last = LastMean::fit(&train_v, &valid_v, 6, &LastMeanGrid::default()).unwrap();
    let last_gain = bits(&last.predict(&test_v).unwrap(), &forward, &train);
    let auto = ForwardRidge::fit(&train_v, &valid_v, 6, &ForwardRidgeGrid::default()).unwrap();
    let auto_gain = bits(&auto.predict(&test_v).unwrap(), &forward, &train);
    assert!(last_gain > 0.02 && auto_gain > last_gain, "last {last_gain}, auto {auto_gain}");

    let choice = serde_json::to_value(ridge.choice()).unwrap();
    assert!(ridge.grid().sigmas_bins.contains(&choice["sigma_bins"].as_f64().unwrap()));
    assert!(serde_json::to_string(auto.choice()).unwrap().contains("window_bins"));
}

/// Two trials of one condition, one of another, no smoothing: small enough to work out by hand.
#[test]
fn psth_is_shrunk_by_its_prior_trials() {
    let counts = Array3::from_shape_vec((3, 2, 1), vec![2.0, 0.0, 4.0, 0.0, 0.0, 3.0]).unwrap();
    let grid = PsthGrid { sigmas_bins: vec![0.0], prior_trials: vec![2.0] };
    let psth = Psth::fit(&counts.view(), &[5, 5, 1], &counts.view(), &[5, 5, 1], &grid).unwrap();
    // The unit's mean is 9 / 6; condition 5 has sums (6, 0) over two trials, condition 1 has (0, 3) over one.
    let expected = [9.0 / 4.0, 3.0 / 4.0, 3.0 / 3.0, 6.0 / 3.0, 1.5, 1.5];
    for (got, want) in psth.predict(&[5, 1, 8]).iter().zip(expected) {
        assert_close(*got, want, 1e-14, "psth");
    }
}

/// With few trials per horizon the dual is solved, with many the primal; both must give the same forecast.
#[test]
fn forward_ridge_agrees_with_plain_ridge() {
    let grid = ForwardRidgeGrid {
        windows_bins: vec![7],
        penalties: vec![2.0],
        bin_weights: vec![1.0],
        pooling: vec![0.0],
        floors: vec![1e-6],
    };
    for (trials, units) in [(6, 11), (40, 5)] {
        let (train, _) = population(5, trials, units);
        let (test, _) = population(6, 8, units);
        let fit = ForwardRidge::fit(&train.view(), &test.view(), 4, &grid).unwrap();
        let rates = fit.predict(&test.slice(s![.., ..26, ..])).unwrap();
        let features = |counts: &Array3<f64>| counts.slice(s![.., 19..26, ..]).mean_axis(Axis(1)).unwrap();
        for horizon in 0..4 {
            let y = train.slice(s![.., 26 + horizon, ..]);
            let plain = RidgeRegression::fit(&features(&train).view(), &y, fit.choice().alpha).unwrap();
            let expected = plain.predict(&features(&test).view()).unwrap();
            let means = UnitMean::fit(&train.view()).unwrap();
            for ((b, n), want) in expected.indexed_iter() {
                assert_close(rates[[b, horizon, n]], want.max(1e-6 * means.means()[n]), 1e-9, "forecast");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the hidden values are, the prediction is the same to the last bit.
    #[test]
    fn hidden_values_cannot_reach_the_prediction(seed in 0u64..1000, hidden in 0usize..8) {
        let (train, _) = population(1, 20, 8);
        let (test, _) = population(seed + 10, 4, 8);
        let mut tampered = test.clone();
        tampered.slice_mut(s![.., .., hidden]).mapv_inplace(|n| 3.0 * n + 7.0);
        let (train, original, tampered_v) = (train.view(), test.view(), tampered.view());

        let pca_grid = PcaPoissonGrid { n_components: vec![3], ..PcaPoissonGrid::default() };
        let loo = Query::leave_one_out(8);
        let group = Query::hidden(8, vec![hidden]);
        let ridge = VisibleRidge::fit(&train, &original, &loo, &RidgeGrid::default()).unwrap();
        let pca = PcaPoisson::fit(&train, &original, &loo, &pca_grid).unwrap();
        let a = ridge.predict(&original).unwrap();
        let b = ridge.predict(&tampered_v).unwrap();
        prop_assert_eq!(a.slice(s![.., .., hidden]), b.slice(s![.., .., hidden]));
        prop_assert_ne!(&a, &b);
        let a = pca.predict(&original).unwrap();
        let b = pca.predict(&tampered_v).unwrap();
        // Here the own contribution is subtracted, which leaves rounding.
        for (a, b) in a.slice(s![.., .., hidden]).iter().zip(b.slice(s![.., .., hidden])) {
            assert_close(*a, *b, 1e-10, "components without the unit");
        }
        let ridge = VisibleRidge::fit(&train, &original, &group, &RidgeGrid::default()).unwrap();
        prop_assert_eq!(ridge.predict(&original).unwrap(), ridge.predict(&tampered_v).unwrap());

        let mut future = test.clone();
        future.slice_mut(s![.., 25.., ..]).fill(f64::NAN);
        let auto = ForwardRidge::fit(&train, &original, 5, &ForwardRidgeGrid::default()).unwrap();
        prop_assert_eq!(auto.predict(&original).unwrap(), auto.predict(&future.view()).unwrap());
        let last = LastMean::fit(&train, &original, 5, &LastMeanGrid::default()).unwrap();
        prop_assert_eq!(last.predict(&original).unwrap(), last.predict(&future.view()).unwrap());
    }

    /// Silent units, in training or among the visible, leave finite positive rates.
    #[test]
    fn rates_are_positive_and_finite(seed in 0u64..1000, silent in 0usize..6) {
        let (mut train, conditions) = population(seed, 10, 6);
        let (valid, valid_conditions) = population(seed + 1, 6, 6);
        train.slice_mut(s![.., .., silent]).fill(0.0);
        let (train, valid) = (train.view(), valid.view());
        let query = Query::leave_one_out(6);
        let all = [
            VisibleRidge::fit(&train, &valid, &query, &RidgeGrid::default()).unwrap().predict(&valid).unwrap(),
            PcaPoisson::fit(&train, &valid, &query, &PcaPoissonGrid::default()).unwrap().predict(&valid).unwrap(),
            Psth::fit(&train, &conditions, &valid, &valid_conditions, &PsthGrid::default()).unwrap().predict(&[0, 1, 9]),
            ForwardRidge::fit(&train, &valid, 5, &ForwardRidgeGrid::default()).unwrap().predict(&valid).unwrap(),
            LastMean::fit(&train, &valid, 5, &LastMeanGrid::default()).unwrap().predict(&valid).unwrap(),
        ];
        for (which, rates) in all.iter().enumerate() {
            prop_assert!(rates.iter().all(|r| r.is_finite() && *r > 0.0), "baseline {}", which);
        }
    }
}

#[test]
fn queries_that_leak_or_miss_are_refused() {
    let query = |visible: &[usize], targets: &[usize], leave_one_out| Query {
        visible: visible.to_vec(),
        targets: targets.to_vec(),
        leave_one_out,
    };
    for (query, expected) in [
        (query(&[0, 1], &[1], false), MetricError::Leak { unit: 1 }),
        (query(&[0, 5], &[1], false), MetricError::OutOfRange { what: "unit", index: 5, limit: 4 }),
        (query(&[0, 0], &[1], false), MetricError::Duplicate { what: "visible unit", index: 0 }),
        (query(&[], &[1], true), MetricError::Empty { what: "list of visible units" }),
    ] {
        assert_eq!(query.validate(4).unwrap_err(), expected);
    }
    assert!(query(&[0, 1], &[1, 3], true).validate(4).is_ok());
    let (train, _) = population(1, 4, 4);
    let silent = Array3::zeros((2, 30, 4));
    let error =
        VisibleRidge::fit(&train.view(), &silent.view(), &Query::leave_one_out(4), &RidgeGrid::default());
    assert_eq!(error.unwrap_err(), MetricError::NoSpikes { targets: 4, trials: 2 });
    let mut negative = train.clone();
    negative[[1, 2, 3]] = -1.0;
    let error = UnitMean::fit(&negative.view()).unwrap_err();
    assert!(matches!(error, MetricError::InvalidCount { index, .. } if index == [1, 2, 3]));
}
