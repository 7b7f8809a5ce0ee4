//! Baselines of `BrainWideBench`'s activity suite on planted populations.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use ndarray::{Array2, Array3, Axis, s};
use neurobrick_metrics::bwb::{ActivityScore, Bins, Forecast, Readout};
use neurobrick_metrics::decoders::ReducedRank;
use neurobrick_metrics::{MetricError, RATE_FLOOR};
use neurobrick_random::{Domain, Stream};

/// Counts `[rows, 12]`: the first eight are seen. Two drives, one of which all share; units differ in their rates.
fn driven(n_rows: usize, salt: u64, second: f64) -> Array2<f64> {
    let mut stream = Stream::new(salt, Domain::Synthetic, [0, 0, 0]);
    let mut out = Array2::zeros((n_rows, 12));
    for mut row in out.rows_mut() {
        let (shared, apart) = (0.3 * stream.normal(), second * stream.normal());
        for (unit, count) in row.iter_mut().enumerate() {
            let side = if unit % 2 == 0 { 1.0 } else { -1.0 };
            *count = f64::from(stream.poisson((0.5 + 0.2 * unit as f64) * (shared + side * apart).exp()));
        }
    }
    out
}

fn d2(readout: &Readout, test: &Array2<f64>) -> f64 {
    let log_rates = readout.log_rates(&test.slice(s![.., ..8])).unwrap().insert_axis(Axis(1));
    let hidden = test.slice(s![.., 8..]).insert_axis(Axis(1)).to_owned();
    ActivityScore::new(&log_rates.view(), &hidden.view()).unwrap().poisson_d2
}

fn bins(counts: &Array2<f64>) -> Bins<'_> {
    Bins { visible: counts.slice(s![.., ..8]), hidden: counts.slice(s![.., 8..]) }
}

#[test]
fn readouts_find_as_much_as_their_rank_allows() {
    for (second, one_is_enough) in [(0.0, true), (0.6, false)] {
        let [train, valid, test] = [1, 2, 3].map(|salt| driven(3000, salt, second));
        let mean = Readout::mean_rate(&bins(&train)).unwrap();
        let coupled = Readout::population_coupling(&bins(&train), &bins(&valid)).unwrap();
        let reduced = Readout::reduced_rank(&bins(&train), &bins(&valid)).unwrap();
        let [mean, coupled, full] = [&mean, &coupled, &reduced].map(|readout| d2(readout, &test));
        assert!(mean.abs() < 0.01, "{mean}");
        if one_is_enough {
            assert!(coupled > 0.03 && (coupled - full).abs() < 0.01, "{coupled} {full}");
        } else {
            assert!(full > coupled + 0.1, "{coupled} {full}: {}", reduced.choice());
        }
    }
}

/// What the search over ranks shares between settings is the regression that agrees with scikit-learn.
#[test]
fn the_chosen_reduced_rank_is_that_regression() {
    let [train, valid, test] = [1, 2, 3].map(|salt| driven(500, salt, 0.6));
    let found = Readout::reduced_rank(&bins(&train), &bins(&valid)).unwrap();
    let numbers: Vec<f64> = found.choice().split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let [rank, penalty] = numbers[..] else { panic!("{}", found.choice()) };
    let visible = train.slice(s![.., ..8]);
    let scatter: f64 = visible.var_axis(Axis(0), 0.0).sum() * 500.0 / 8.0;
    let rank = (1..=4).find(|&r| f64::from(r) >= rank).unwrap();
    let same = ReducedRank::fit(
        &visible,
        &train.slice(s![.., 8..]),
        usize::try_from(rank).unwrap(),
        penalty * scatter,
    )
    .unwrap();
    let (got, want) =
        (found.log_rates(&test.slice(s![.., ..8])).unwrap(), same.predict(&test.slice(s![.., ..8])).unwrap());
    for ((got, want), mean) in
        got.iter().zip(&want).zip(train.slice(s![.., 8..]).mean_axis(Axis(0)).unwrap().iter().cycle())
    {
        assert!((got - want.max(0.1 * mean).ln()).abs() < 1e-9, "{got} {want}");
    }
}

/// Windows `[B, 20, 3]`: units whose rates hold on for the whole window, unless `strength` is zero.
fn windows(n: usize, salt: u64, strength: f64) -> Array3<f64> {
    let mut stream = Stream::new(salt, Domain::Synthetic, [1, 0, 0]);
    let mut out = Array3::zeros((n, 20, 3));
    for mut window in out.axis_iter_mut(Axis(0)) {
        for mut unit in window.axis_iter_mut(Axis(1)) {
            let rate = (strength * stream.normal()).exp();
            unit.mapv_inplace(|_: f64| f64::from(stream.poisson(rate)));
        }
    }
    out
}

#[test]
fn forecasts_find_what_goes_on_and_nothing_where_nothing_does() {
    for (strength, goes_on) in [(0.8, true), (0.0, false)] {
        let [train, valid, test] = [1, 2, 3].map(|salt| windows(400, salt, strength));
        let (t, v) = (train.view(), valid.view());
        let score = |forecast: &Forecast| {
            let log_rates = forecast.log_rates(&test.view()).unwrap();
            ActivityScore::new(&log_rates.view(), &test.slice(s![.., 18.., ..])).unwrap().poisson_d2
        };
        assert!(score(&Forecast::mean_rate(&t, 2).unwrap()).abs() < 0.01);
        for found in [Forecast::shrunk(&t, &v, 2).unwrap(), Forecast::autoregression(&t, &v, 2).unwrap()] {
            let score = score(&found);
            assert!(if goes_on { score > 0.3 } else { score.abs() < 0.02 }, "{score}: {}", found.choice());
        }
        let trailing = score(&Forecast::trailing_mean(&t, &v, 2).unwrap());
        assert!(if goes_on { trailing > 0.3 } else { trailing < 0.0 }, "{trailing}");
    }
}

#[test]
fn forecasts_never_read_what_they_predict() {
    let (train, valid, test) = (windows(60, 1, 0.8), windows(60, 2, 0.8), windows(5, 3, 0.8));
    let mut other = test.clone();
    other.slice_mut(s![.., 17.., ..]).fill(40.0);
    let (t, v) = (train.view(), valid.view());
    for found in [
        Forecast::trailing_mean(&t, &v, 3).unwrap(),
        Forecast::shrunk(&t, &v, 3).unwrap(),
        Forecast::autoregression(&t, &v, 3).unwrap(),
    ] {
        let rates = found.log_rates(&test.view()).unwrap();
        assert_eq!(rates, found.log_rates(&other.view()).unwrap());
        assert!(rates.iter().all(|rate| rate.exp() >= RATE_FLOOR));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let counts = windows(10, 1, 0.0);
    for n_forward in [0, 20, 21] {
        let error = Forecast::mean_rate(&counts.view(), n_forward).unwrap_err();
        assert!(matches!(error, MetricError::InvalidSetting { what: "n_forward", .. }), "{error}");
    }
    let found = Forecast::mean_rate(&counts.view(), 2).unwrap();
    assert!(found.log_rates(&counts.slice(s![.., .., ..2])).is_err());
    assert!(Forecast::mean_rate(&counts.slice(s![..0, .., ..]), 2).is_err());
    let train = driven(50, 1, 0.0);
    let readout = Readout::mean_rate(&bins(&train)).unwrap();
    assert!(matches!(readout.log_rates(&train.view()), Err(MetricError::ShapeMismatch { .. })));
    assert!(
        Readout::mean_rate(&Bins { visible: train.slice(s![..0, ..8]), hidden: train.slice(s![..0, 8..]) })
            .is_err()
    );
}

/// A NaN that met a floor would be a rate like any other.
#[test]
fn what_is_no_count_is_refused_everywhere() {
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        let refused = |error: MetricError, what: &str| {
            assert!(matches!(error, MetricError::InvalidCount { .. }), "{what}, {wrong}: {error}");
        };
        let (good, valid) = (driven(50, 1, 0.0), driven(50, 2, 0.0));
        for column in [0, 9] {
            let mut bad = good.clone();
            bad[[7, column]] = wrong;
            refused(Readout::mean_rate(&bins(&bad)).unwrap_err(), "mean");
            refused(Readout::population_coupling(&bins(&bad), &bins(&valid)).unwrap_err(), "coupling");
            refused(Readout::reduced_rank(&bins(&bad), &bins(&valid)).unwrap_err(), "rank");
            refused(Readout::reduced_rank(&bins(&valid), &bins(&bad)).unwrap_err(), "valid");
        }
        let readout = Readout::mean_rate(&bins(&good)).unwrap();
        let mut seen = good.slice(s![.., ..8]).to_owned();
        seen[[3, 2]] = wrong;
        refused(readout.log_rates(&seen.view()).unwrap_err(), "log rates");

        let (good, mut bad) = (windows(20, 1, 0.8), windows(20, 1, 0.8));
        bad[[4, 3, 1]] = wrong;
        let (g, b) = (good.view(), bad.view());
        refused(Forecast::mean_rate(&b, 2).unwrap_err(), "mean");
        for (train, valid) in [(&b, &g), (&g, &b)] {
            refused(Forecast::trailing_mean(train, valid, 2).unwrap_err(), "trailing");
            refused(Forecast::autoregression(train, valid, 2).unwrap_err(), "autoregression");
        }
        refused(Forecast::shrunk(&b, &g, 2).unwrap_err(), "shrunk");
        refused(Forecast::mean_rate(&g, 2).unwrap().log_rates(&b).unwrap_err(), "log rates");
        // The bins that are predicted may hold anything: they are not read.
        bad.assign(&good);
        bad[[4, 19, 1]] = wrong;
        Forecast::mean_rate(&g, 2).unwrap().log_rates(&bad.view()).unwrap();
    }
}
