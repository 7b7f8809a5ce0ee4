//! Factor models against scikit-learn and against the conditional mean of the full Gaussian; the baselines on them.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where it is asserted"
)]

mod golden_file;

use golden_file::{assert_close, load, matrix, number, numbers};
use ndarray::{Array2, Array3, Axis, concatenate, s};
use neurobrick_metrics::baselines::{
    Blend, FactorDesign, FactorGrid, Query, RateLink, WienerDesign, WienerGrid,
};
use neurobrick_metrics::{
    BitsTable, Convention, MetricError, NullModel, StaticFactors, TemporalFactors, TemporalFactorsConfig,
    bits_per_spike,
};
use neurobrick_random::{Domain, Stream};

const CONFIG: TemporalFactorsConfig =
    TemporalFactorsConfig { n_factors: 6, n_steps: 40, spectrum_sigma: 1.0, seed: 5 };

/// Counts of `units` units driven by a fast and a slow latent, `[trials, 20, units]`.
fn population(seed: u64, trials: usize, units: usize) -> Array3<f64> {
    let mut fixed = Stream::new(99, Domain::Synthetic, [units as u64, 0, 0]);
    let loadings = Array2::from_shape_simple_fn((2, units), || 0.25 * fixed.normal());
    let mut stream = Stream::new(seed, Domain::Synthetic, [1, 0, 0]);
    let mut counts = Array3::zeros((trials, 20, units));
    for trial in 0..trials {
        let mut latents = [stream.normal(), stream.normal()];
        for bin in 0..20 {
            for (latent, keep) in latents.iter_mut().zip([0.5f64, 0.97]) {
                *latent = keep * *latent + (1.0 - keep * keep).sqrt() * stream.normal();
            }
            for unit in 0..units {
                let drive = latents[0] * loadings[[0, unit]] + latents[1] * loadings[[1, unit]];
                counts[[trial, bin, unit]] = f64::from(stream.poisson((0.6 + drive).max(0.02)));
            }
        }
    }
    counts
}

/// Solves `a x = b` by elimination with pivoting: an independent route.
fn solve(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let (mut a, mut x, n) = (a.clone(), b.clone(), a.nrows());
    for col in 0..n {
        let pivot = (col..n).max_by(|&i, &j| a[[i, col]].abs().total_cmp(&a[[j, col]].abs())).unwrap();
        for j in 0..n {
            a.swap([col, j], [pivot, j]);
        }
        for j in 0..x.ncols() {
            x.swap([col, j], [pivot, j]);
        }
        for i in (0..n).filter(|&i| i != col) {
            let share = a[[i, col]] / a[[col, col]];
            for j in 0..n {
                let value = a[[col, j]];
                a[[i, j]] -= share * value;
            }
            for j in 0..x.ncols() {
                let value = x[[col, j]];
                x[[i, j]] -= share * value;
            }
        }
    }
    for i in 0..n {
        let pivot = a[[i, i]];
        x.row_mut(i).mapv_inplace(|v| v / pivot);
    }
    x
}

#[test]
fn static_factors_match_scikit_learn() {
    let golden = load("reference/linear_models.json");
    let x = matrix(&golden["X"]);
    let want = &golden["factor_analysis"];
    let model = StaticFactors::fit(&x.view(), 3, 20_000).unwrap();
    let loadings = model.loadings();
    let covariance = loadings.dot(&loadings.t()) + Array2::from_diag(&model.noise());
    let better = model.log_likelihood(&x.view()).unwrap() - number(&want["loglik_mean"]);
    // Expectation maximization must reach the reference's optimum or a better one.
    assert!((-1e-6..1e-4).contains(&better), "{better}");
    for (got, want) in covariance.iter().zip(&matrix(&want["covariance"])) {
        assert_close(*got, *want, 1e-4, "covariance");
    }
    for (got, want) in model.noise().iter().zip(numbers(&want["noise_variance"])) {
        assert_close(*got, want, 1e-4, "noise");
    }
}

#[test]
fn static_prediction_is_the_conditional_mean_of_the_gaussian() {
    let x = matrix(&load("reference/linear_models.json")["X"]);
    let model = StaticFactors::fit(&x.view(), 3, 100).unwrap();
    let (visible, hidden) = ([0, 2, 3, 5, 7], [1, 4, 6]);
    let loadings = model.loadings();
    let covariance = loadings.dot(&loadings.t()) + Array2::from_diag(&model.noise());
    let seen = covariance.select(Axis(0), &visible).select(Axis(1), &visible);
    let cross = covariance.select(Axis(0), &visible).select(Axis(1), &hidden);
    let means = ndarray::Array1::from(model.means().to_vec());
    let deviations = (&x - &means).select(Axis(1), &visible);
    let want = deviations.dot(&solve(&seen, &cross)) + means.select(Axis(0), &hidden);
    let got = model.predict(&x.view(), &visible, &hidden).unwrap();
    for (got, want) in got.iter().zip(&want) {
        assert_close(*got, *want, 1e-10, "conditional mean");
    }
    assert_eq!(model.latents(&x.view(), &visible).unwrap().dim(), (120, 3));
}

#[test]
fn rank_is_chosen_by_held_out_likelihood() {
    let mut stream = Stream::new(3, Domain::Synthetic, [0, 0, 0]);
    let loadings = Array2::from_shape_simple_fn((2, 12), || stream.normal());
    let mut draw = |n: usize| {
        let z = Array2::from_shape_simple_fn((n, 2), || stream.normal());
        let noise = Array2::from_shape_simple_fn((n, 12), || stream.normal());
        z.dot(&loadings) + noise
    };
    let (train, valid) = (draw(300), draw(3000));
    let model = StaticFactors::fit_rank(&train.view(), &valid.view(), &[1, 2, 5, 9], 500).unwrap();
    assert_eq!(model.loadings().ncols(), 2);
    let likelihood = |k| {
        let fit = StaticFactors::fit(&train.view(), k, 500).unwrap();
        fit.log_likelihood(&valid.view()).unwrap()
    };
    assert!(likelihood(2) > likelihood(1) && likelihood(2) > likelihood(9));
}

/// The posterior of the whole window, in time, from the definition: prior `Cᵀ diag(d_k) C` per factor, precision of
/// the visible units in every bin. No cosine transform of the data, no split by frequency.
#[test]
fn temporal_prediction_is_the_posterior_of_the_whole_window() {
    let (n_bins, n_units, counts) = (20, 8, population(1, 30, 8));
    let config = TemporalFactorsConfig { n_factors: 3, ..CONFIG };
    let model = TemporalFactors::fit(&counts.view(), &config).unwrap();
    let visible = [0, 1, 3, 6];
    let cosine = Array2::from_shape_fn((n_bins, n_bins), |(f, t)| {
        let scale = if f == 0 { 1.0 } else { 2.0 };
        (scale / n_bins as f64).sqrt()
            * (std::f64::consts::PI * (t as f64 + 0.5) * f as f64 / n_bins as f64).cos()
    });
    let (loadings, noise, spectra) = (model.loadings(), model.noise(), model.spectra());
    let mut evidence = model.loading_covariance() * visible.len() as f64;
    for &unit in &visible {
        let row = loadings.slice(s![unit..=unit, ..]);
        evidence = evidence + row.t().dot(&row) / noise[unit];
    }
    let mut precision = Array2::zeros((n_bins * 3, n_bins * 3));
    for k in 0..3 {
        let inverse = Array2::from_diag(&spectra.column(k).mapv(|d| 1.0 / d));
        let prior = cosine.t().dot(&inverse).dot(&cosine);
        for (i, j) in (0..n_bins).flat_map(|i| (0..n_bins).map(move |j| (i, j))) {
            precision[[i * 3 + k, j * 3 + k]] += prior[[i, j]];
        }
    }
    for (t, k, l) in (0..n_bins).flat_map(|t| (0..9).map(move |kl| (t, kl / 3, kl % 3))) {
        precision[[t * 3 + k, t * 3 + l]] += evidence[[k, l]];
    }
    let trial = counts.index_axis(Axis(0), 4);
    let statistics = Array2::from_shape_fn((n_bins * 3, 1), |(row, _)| {
        let (bin, k) = (row / 3, row % 3);
        visible.iter().map(|&u| loadings[[u, k]] / noise[u] * (trial[[bin, u]] - model.unit_means()[u])).sum()
    });
    let want = solve(&precision, &statistics);
    let got = model.latents(&counts.view(), &visible).unwrap();
    for (row, want) in want.iter().enumerate() {
        assert_close(got[[4, row / 3, row % 3]], *want, 1e-9, "latents");
    }
    let query = Query { visible: visible.to_vec(), targets: vec![2, 7], leave_one_out: false };
    let rates = model.predict(&counts.view(), &query).unwrap();
    let linear: f64 = (0..3).map(|k| loadings[[7, k]] * got[[4, 9, k]]).sum();
    assert_close(rates[[4, 9, 1]], linear + model.unit_means()[7], 1e-10, "read-out");
    assert_eq!(n_units, loadings.nrows());
}

#[test]
fn leaving_one_out_equals_hiding_it() {
    let counts = population(2, 25, 7);
    let model = TemporalFactors::fit(&counts.view(), &CONFIG).unwrap();
    let query = Query { visible: vec![0, 1, 2, 4, 6], targets: vec![2, 3, 6], leave_one_out: true };
    let all = model.predict(&counts.view(), &query).unwrap();
    for (column, &unit) in query.targets.iter().enumerate() {
        let visible = query.visible.iter().copied().filter(|&v| v != unit).collect();
        let hidden = Query { visible, targets: vec![unit], leave_one_out: false };
        let one = model.predict(&counts.view(), &hidden).unwrap();
        for (got, want) in all.index_axis(Axis(2), column).iter().zip(&one) {
            assert_close(*got, *want, 1e-10, "leave-one-out");
        }
    }
    let sets = [vec![0, 1], vec![5, 2, 3]];
    let many = model.latents_many(&counts.view(), &sets).unwrap();
    for (got, set) in many.iter().zip(&sets) {
        assert_eq!(*got, model.latents(&counts.view(), set).unwrap());
    }
}

#[test]
fn hidden_counts_do_not_reach_the_prediction() {
    let counts = population(3, 20, 9);
    let query = Query::hidden(9, vec![0, 5]);
    let train = counts.slice(s![..15, .., ..]);
    let test = counts.slice(s![15.., .., ..]).to_owned();
    let mut altered = test.clone();
    altered.slice_mut(s![.., .., 0]).fill(7.0);
    altered.slice_mut(s![.., .., 5]).fill(f64::NAN);
    let factors = FactorDesign::new(&train, &test.view(), &small_grid()).unwrap();
    let wiener = WienerDesign::new(&train, &test.view(), &WienerGrid::default()).unwrap();
    let blend = Blend::fit(&factors, &wiener, &query, &Blend::WEIGHTS).unwrap();
    assert_eq!(blend.predict(&test.view()).unwrap(), blend.predict(&altered.view()).unwrap());
}

fn small_grid() -> FactorGrid {
    FactorGrid { models: vec![CONFIG], ..FactorGrid::default() }
}

/// Two planted factors: few of six ceilings are used, and hidden units are predicted.
#[test]
fn surplus_factors_are_pruned_and_hidden_units_predicted() {
    let [train, valid, test] = [(1, 120), (2, 40), (3, 60)].map(|(seed, n)| population(seed, n, 40));
    let factors = FactorDesign::new(&train.view(), &valid.view(), &small_grid()).unwrap();
    let used = factors.models()[0].effective_factors();
    assert!((1.5..3.0).contains(&used), "{used}");
    let wiener = WienerDesign::new(&train.view(), &valid.view(), &WienerGrid::default()).unwrap();
    let query = Query::leave_one_out(40);
    let blend = Blend::fit(&factors, &wiener, &query, &Blend::WEIGHTS).unwrap();
    let parts = [blend.factors().choice().valid_bits_per_spike, blend.wiener().choice().valid_bits_per_spike];
    assert!(parts.iter().all(|&part| blend.choice().valid_bits_per_spike >= part), "{parts:?}");
    // What was chosen must be what is predicted.
    let valid_null = NullModel::EvaluatedMean.rates(&valid.view(), &train.view()).unwrap();
    let on_valid = |rates: Array3<f64>| {
        BitsTable::new(&rates.view(), &valid.view(), &valid_null).unwrap().value(Convention::Pooled)
    };
    let got = on_valid(blend.predict(&valid.view()).unwrap());
    assert_close(got, blend.choice().valid_bits_per_spike, 1e-10, "blend");
    assert_close(on_valid(blend.factors().predict(&valid.view()).unwrap()), parts[0], 1e-10, "factors");
    assert_close(on_valid(blend.wiener().predict(&valid.view()).unwrap()), parts[1], 1e-10, "filter");
    let null = NullModel::TrainMean.rates(&test.view(), &train.view()).unwrap();
    let bits = |rates: Array3<f64>| {
        BitsTable::new(&rates.view(), &test.view(), &null).unwrap().value(Convention::Pooled)
    };
    let scores = [
        bits(blend.predict(&test.view()).unwrap()),
        bits(blend.factors().predict(&test.view()).unwrap()),
        bits(blend.wiener().predict(&test.view()).unwrap()),
    ];
    assert!(scores.iter().all(|&score| score > 0.03), "{scores:?}");
}

#[test]
fn a_refit_keeps_the_choices_and_learns_from_all_trials() {
    let [train, valid, test] = [(1, 12), (2, 48), (3, 60)].map(|(seed, n)| population(seed, n, 30));
    let both = concatenate![Axis(0), train, valid];
    let query = Query::hidden(30, vec![0, 7, 14, 21]);
    let designs = |train: &Array3<f64>| {
        let (train, valid) = (train.view(), valid.view());
        let factors = FactorDesign::new(&train, &valid, &small_grid()).unwrap();
        (factors, WienerDesign::new(&train, &valid, &WienerGrid::default()).unwrap())
    };
    let ((factors, wiener), (more_factors, more_wiener)) = (designs(&train), designs(&both));
    let blend = Blend::fit(&factors, &wiener, &query, &Blend::WEIGHTS).unwrap();
    let rates = |blend: &Blend| blend.predict(&test.view()).unwrap();
    assert_eq!(
        rates(&blend.refit(&factors, &wiener).unwrap()),
        rates(&blend),
        "the same trials, the same fit"
    );
    let refit = blend.refit(&more_factors, &more_wiener).unwrap();
    assert_eq!(refit.choice(), blend.choice());
    assert_eq!(refit.wiener().choice().penalty, blend.wiener().choice().penalty);
    let targets = test.select(Axis(2), &query.targets);
    let bits = |rates: Array3<f64>| bits_per_spike(&rates.view(), &targets.view()).unwrap();
    let parts = |blend: &Blend| {
        [blend.factors().predict(&test.view()), blend.wiener().predict(&test.view())]
            .map(|r| bits(r.unwrap()))
    };
    for (after, before) in parts(&refit).into_iter().zip(parts(&blend)) {
        assert!(after > before + 0.005, "{after} after {before}");
    }
    // The weights were chosen for parts that knew a fifth of it.
    assert!(bits(rates(&refit)) > bits(rates(&blend)) - 0.002);
    let other = FactorGrid { models: vec![TemporalFactorsConfig { n_factors: 2, ..CONFIG }], ..small_grid() };
    let other = FactorDesign::new(&both.view(), &valid.view(), &other).unwrap();
    assert!(matches!(blend.refit(&other, &more_wiener), Err(MetricError::Empty { .. })));
}

/// Leave-one-out must equal the fit without the unit, whose features count for the penalty all the same.
#[test]
fn wiener_leave_one_out_equals_the_refit() {
    let base = population(7, 24, 1);
    let counts = Array3::from_shape_fn((24, 20, 5), |(b, t, n)| base[[(b + 5 * n * n) % 24, t, 0]]);
    let grid = WienerGrid {
        sigmas_bins: vec![0.0, 2.0],
        penalties: vec![0.3],
        links: vec![RateLink::Softplus(0.2)],
    };
    let design = WienerDesign::new(&counts.view(), &counts.view(), &grid).unwrap();
    let all = design.fit(&Query::leave_one_out(5)).unwrap();
    let rates = all.predict(&counts.view()).unwrap();
    for unit in 0..5 {
        let refit = design.fit(&Query::hidden(5, vec![unit])).unwrap();
        assert_close(refit.choice().alpha, all.choice().alpha, 1e-12, "alpha");
        let want = refit.predict(&counts.view()).unwrap();
        for (got, want) in rates.index_axis(Axis(2), unit).iter().zip(&want) {
            assert_close(*got, *want, 1e-9, "refit");
        }
    }
}

/// Solving between samples and between features is the same problem: copies of units that nobody asks for move a design
/// from one to the other.
#[test]
fn few_samples_give_the_same_filter_as_many_features() {
    let counts = population(7, 3, 6);
    let wide = concatenate(Axis(2), &[counts.view(); 10]).unwrap();
    let hidden = Query { visible: vec![0, 2, 3, 5], targets: vec![1, 4], leave_one_out: false };
    for query in [Query::leave_one_out(6), hidden] {
        let grid = WienerGrid {
            penalties: vec![0.7],
            links: vec![RateLink::Softplus(0.2)],
            ..WienerGrid::default()
        };
        let fit = |counts: &Array3<f64>, query: &Query| {
            let design = WienerDesign::new(&counts.view(), &counts.view(), &grid).unwrap();
            design.fit(query).unwrap().predict(&counts.view()).unwrap()
        };
        let (narrow, wide) = (fit(&counts, &query), fit(&wide, &query));
        for (got, want) in wide.iter().zip(&narrow) {
            assert_close(*got, *want, 1e-8, "either way");
        }
    }
}

#[test]
fn links_are_what_they_say() {
    let check = |link: RateLink, deviation: f64, want: f64| {
        assert_close(link.rate(deviation, 0.4, 0.4), want, 1e-14, "link");
    };
    check(RateLink::Floor(0.2), 0.3, 0.7);
    check(RateLink::Floor(0.2), -0.9, 0.08);
    check(RateLink::Softplus(0.5), -0.4, 0.2 * 2f64.ln());
    check(RateLink::Softplus(0.01), 300.0, 300.4);
    check(RateLink::Exponential(0.5), 0.4, 0.4 * 0.5f64.exp());
    check(RateLink::Exponential(1.0), 1e9, 0.4 * 5f64.exp());
}

#[test]
fn what_has_no_meaning_is_refused() {
    let counts = population(1, 6, 4);
    let silent = Array3::zeros((3, 4, 2));
    let fit = |counts: &Array3<f64>, config| TemporalFactors::fit(&counts.view(), &config);
    assert!(matches!(
        fit(&silent, TemporalFactorsConfig { n_factors: 1, ..CONFIG }),
        Err(MetricError::Empty { .. })
    ));
    for n_factors in [0, 5] {
        let error = fit(&counts, TemporalFactorsConfig { n_factors, ..CONFIG }).unwrap_err();
        assert!(matches!(error, MetricError::InvalidSetting { what: "n_factors", .. }), "{error}");
    }
    let model = fit(&counts, TemporalFactorsConfig { n_factors: 2, ..CONFIG }).unwrap();
    assert!(matches!(model.latents(&counts.view(), &[]), Err(MetricError::Empty { .. })));
    assert!(matches!(model.latents(&counts.view(), &[1, 1]), Err(MetricError::Duplicate { .. })));
    assert!(matches!(model.latents(&counts.view(), &[4]), Err(MetricError::OutOfRange { .. })));
    let short = counts.slice(s![.., ..5, ..]);
    assert!(matches!(model.latents(&short, &[0]), Err(MetricError::ShapeMismatch { .. })));
    let other = population(9, 6, 4);
    let factors = FactorDesign::new(&counts.view(), &counts.view(), &small_grid()).unwrap();
    let wiener = WienerDesign::new(&counts.view(), &other.view(), &WienerGrid::default()).unwrap();
    let query = Query::leave_one_out(4);
    assert!(matches!(
        Blend::fit(&factors, &wiener, &query, &Blend::WEIGHTS),
        Err(MetricError::NotPaired { .. })
    ));
}
