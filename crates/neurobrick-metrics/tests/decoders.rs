//! Decoders against scikit-learn and the `Neural_Decoding` package of the Kording lab.
#![allow(clippy::unwrap_used, reason = "tests")]

mod golden_file;

use golden_file::{assert_close, load, matrix, number, numbers};
use ndarray::{Array2, ArrayView2, array, s};
use neurobrick_metrics::decoders::{
    DiscriminantAnalysis, Kalman, KalmanStart, PartialLeastSquares, ReducedRank, Shrinkage, Standardizer,
    WienerCascade, choose, lagged,
};
use neurobrick_metrics::{MetricError, RidgeRegression, contiguous_folds, macro_f1, r2, roc_auc};
use serde_json::Value;

fn assert_all(got: &ArrayView2<f64>, want: &Array2<f64>, tolerance: f64, what: &str) {
    assert_eq!(got.dim(), want.dim(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert_close(*got, *want, tolerance, what);
    }
}

fn labels(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|n| usize::try_from(n.as_u64().unwrap()).unwrap()).collect()
}

#[test]
fn discriminant_analysis_matches_scikit_learn() {
    let golden = load("metrics/decoders.json");
    let (x, x_test, classes) = (matrix(&golden["x"]), matrix(&golden["x_test"]), labels(&golden["labels"]));
    let cases = golden["lda"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let shrinkage = case["shrinkage"].as_f64().map_or(Shrinkage::LedoitWolf, Shrinkage::Fixed);
        let fit = DiscriminantAnalysis::fit(&x.view(), &classes, shrinkage).unwrap();
        let scores = fit.scores(&x_test.view()).unwrap();
        assert_all(&scores.view(), &matrix(&case["scores"]), 1e-8, &format!("{shrinkage:?}"));
        assert_eq!(fit.predict(&x_test.view()).unwrap(), labels(&case["predicted"]));
    }
    let gap: Vec<usize> = classes.iter().map(|class| class * 2).collect();
    let error = DiscriminantAnalysis::fit(&x.view(), &gap, Shrinkage::LedoitWolf);
    assert!(matches!(error, Err(MetricError::Empty { what: "class" })));
    assert!(DiscriminantAnalysis::fit(&x.view(), &classes, Shrinkage::Fixed(1.1)).is_err());
}

#[test]
fn partial_least_squares_matches_scikit_learn() {
    let golden = load("metrics/decoders.json");
    let [x, y, x_test] = ["x", "y", "x_test"].map(|key| matrix(&golden[key]));
    for case in golden["pls"].as_array().unwrap() {
        let n = usize::try_from(case["components"].as_u64().unwrap()).unwrap();
        let fit = PartialLeastSquares::fit(&x.view(), &y.view(), n).unwrap();
        assert_eq!(fit.n_components(), n);
        let predicted = fit.predict(&x_test.view()).unwrap();
        assert_all(&predicted.view(), &matrix(&case["predicted"]), 1e-7, "prediction");
        let want = matrix(&case["coef_k_by_p"]);
        assert_all(&fit.coefficients().t(), &want, 1e-7, "coefficients");
    }
    // As many components as features is least squares.
    let full = PartialLeastSquares::fit(&x.view(), &y.view(), 99).unwrap();
    let least = RidgeRegression::fit(&x.view(), &y.view(), 0.0).unwrap();
    assert_all(&full.coefficients().view(), &least.coefficients().to_owned(), 1e-8, "least squares");
}

#[test]
fn reduced_rank_matches_its_closed_form() {
    let golden = load("reference/linear_models.json");
    let (x, golden) = (matrix(&golden["X"]), &golden["rrr"]);
    let y = matrix(&golden["Y"]);
    let fits = golden["fits"].as_array().unwrap();
    assert_eq!(fits.len(), 4);
    for case in fits {
        let rank = usize::try_from(case["rank"].as_u64().unwrap()).unwrap();
        let fit = ReducedRank::fit(&x.view(), &y.view(), rank, 0.0).unwrap();
        assert_all(&fit.coefficients(), &matrix(&case["coef_p_by_q"]), 1e-8, "coefficients");
        for (got, want) in fit.intercept().iter().zip(numbers(&case["intercept"])) {
            assert_close(*got, want, 1e-8, "intercept");
        }
        let predicted = fit.predict(&x.view()).unwrap();
        let score = r2::uniform(&y.view(), &predicted.view()).unwrap();
        assert_close(score, number(&case["r2_train"]), 1e-8, "R²");
    }
    let folds = contiguous_folds(x.nrows(), 5).unwrap();
    let ranks = [1, 2, 3, 5];
    let found = choose(
        (&x.view(), &y.view()),
        &folds,
        &ranks,
        |x, y, rank| ReducedRank::fit(x, y, *rank, 0.0),
        ReducedRank::predict,
    )
    .unwrap();
    // Three latents made these data.
    assert_eq!(ranks[found.best], 3, "{:?}", found.mean_r2);
}

/// Standardized histories (3 bins before, 1 after) and centered velocities, training and test rows.
fn histories(golden: &Value) -> [Array2<f64>; 4] {
    let lags = lagged(&matrix(&golden["spikes"]).view(), 3, 1).unwrap();
    let velocity = matrix(&golden["velocity"]).slice(s![3..259, ..]).to_owned();
    let scaler = Standardizer::fit(&lags.slice(s![..180, ..])).unwrap();
    let x = scaler.apply(&lags.view()).unwrap();
    let center = velocity.slice(s![..180, ..]).sum_axis(ndarray::Axis(0)) / 180.0;
    let y = velocity - center;
    let cut = |m: &Array2<f64>| [m.slice(s![..180, ..]).to_owned(), m.slice(s![185.., ..]).to_owned()];
    let ([x_train, x_test], [y_train, y_test]) = (cut(&x), cut(&y));
    [x_train, y_train, x_test, y_test]
}

#[test]
fn wiener_filter_and_cascade_match_neural_decoding() {
    let golden = load("reference/decoders.json");
    let [x, y, x_test, y_test] = histories(&golden);
    let linear = RidgeRegression::fit(&x.view(), &y.view(), 0.0).unwrap();
    let predicted = linear.predict(&x_test.view()).unwrap();
    assert_all(&predicted.view(), &matrix(&golden["wiener"]["pred_test"]), 1e-8, "Wiener");
    assert_all(&linear.coefficients().t(), &matrix(&golden["wiener"]["coef"]), 1e-8, "coefficients");
    let cascade = WienerCascade::fit(&x.view(), &y.view(), 0.0, 3).unwrap();
    let predicted = cascade.predict(&x_test.view()).unwrap();
    assert_all(&predicted.view(), &matrix(&golden["wiener_cascade"]["pred_test"]), 1e-8, "cascade");
    let scores = r2::per_output(&y_test.view(), &predicted.view()).unwrap();
    for (got, want) in scores.iter().zip(numbers(&golden["wiener_cascade"]["r2"])) {
        assert_close(*got, want, 1e-8, "R²");
    }
    assert!(lagged(&x.view(), 100, 80).is_err());
}

#[test]
fn kalman_filter_matches_neural_decoding() {
    let golden = load("reference/decoders.json");
    let (spikes, states) = (matrix(&golden["spikes"]), matrix(&golden["state_pos_vel_acc"]));
    let scaler = Standardizer::fit(&spikes.slice(s![..180, ..])).unwrap();
    let counts = scaler.apply(&spikes.view()).unwrap();
    let center = states.slice(s![..180, ..]).sum_axis(ndarray::Axis(0)) / 180.0;
    let states = states - center;
    for (key, trust) in [("kalman_C1", 1.0), ("kalman_C5", 5.0)] {
        let golden = &golden[key];
        let fit = Kalman::fit(&counts.slice(s![..180, ..]), &states.slice(s![..180, ..]), trust).unwrap();
        let parts = [
            ("A", fit.transition()),
            ("W", fit.state_noise()),
            ("H", fit.observation()),
            ("Q", fit.count_noise()),
        ];
        for (part, got) in parts {
            assert_all(&got.view(), &matrix(&golden[part]), 1e-8, part);
        }
        let start = KalmanStart::Known(states.row(185));
        let predicted = fit.predict(&counts.slice(s![185.., ..]), start).unwrap();
        assert_all(&predicted.view(), &matrix(&golden["pred_test"]), 1e-8, key);
        // Without the true first state positions stay unknown, velocities are decoded nearly as well.
        let free = fit.predict(&counts.slice(s![185.., ..]), KalmanStart::Prior).unwrap();
        let score = |states_of: &Array2<f64>| {
            let truth = states.slice(s![195.., 2..4]).to_owned();
            r2::uniform(&truth.view(), &states_of.slice(s![10.., 2..4])).unwrap()
        };
        assert!(score(&free) > score(&predicted) - 0.05, "{} {}", score(&free), score(&predicted));
    }
}

#[test]
fn classification_scores_match_scikit_learn() {
    let golden = load("metrics/decoders.json");
    let auc = &golden["auc"];
    let truth: Vec<bool> = labels(&auc["truth"]).into_iter().map(|label| label == 1).collect();
    let got = roc_auc(&truth, &numbers(&auc["scores"])).unwrap();
    assert_close(got, number(&auc["value"]), 1e-12, "AUC");
    assert!(matches!(roc_auc(&[true], &[0.3]), Err(MetricError::SingleClass { .. })));
    assert_close(roc_auc(&[true, false], &[0.0, -0.0]).unwrap(), 0.5, 0.0, "tie");
    let f1 = &golden["macro_f1"];
    let got = macro_f1(&labels(&f1["truth"]), &labels(&f1["predicted"])).unwrap();
    assert_close(got, number(&f1["value"]), 1e-12, "macro F1");
    assert!(macro_f1(&[], &[]).is_err());
}

#[test]
fn lags_are_in_order() {
    let values = array![[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]];
    let want = array![[1.0, 10.0, 2.0, 20.0, 3.0, 30.0], [2.0, 20.0, 3.0, 30.0, 4.0, 40.0]];
    assert_eq!(lagged(&values.view(), 1, 1).unwrap(), want);
}

/// Trials that start far from where the last one ended: no step leads over the border.
#[test]
fn kalman_fits_trials_without_steps_between_them() {
    let trial = |start: f64| {
        let mut state = start;
        let states = Array2::from_shape_fn((8, 1), |_| {
            let now = state;
            state *= 0.8;
            now
        });
        let counts = Array2::from_shape_fn((8, 3), |(t, n)| {
            states[[t, 0]] * (n + 1) as f64 + 0.05 * ((7 * t + 3 * n) % 5) as f64
        });
        (counts, states)
    };
    let trials: Vec<_> = [5.0, -5.0, 4.0, -4.0, 3.0, -3.0].into_iter().map(trial).collect();
    let views: Vec<_> = trials.iter().map(|(counts, states)| (counts.view(), states.view())).collect();
    let apart = Kalman::fit_trials(&views, 1.0).unwrap();
    assert!((apart.transition()[[0, 0]] - 0.8).abs() < 1e-9, "{:?}", apart.transition());
    let (counts, states): (Vec<_>, Vec<_>) = views.iter().copied().unzip();
    let join = |parts: &[ArrayView2<f64>]| ndarray::concatenate(ndarray::Axis(0), parts).unwrap();
    let joined = Kalman::fit(&join(&counts).view(), &join(&states).view(), 1.0).unwrap();
    assert!((joined.transition()[[0, 0]] - 0.8).abs() > 0.05, "{:?}", joined.transition());
    assert!(matches!(Kalman::fit_trials(&[], 1.0), Err(MetricError::Empty { .. })));
}
