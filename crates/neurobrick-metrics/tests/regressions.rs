//! Ridge, Poisson regression, R² and smoothing against scikit-learn and SciPy.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where it is asserted"
)]

mod golden_file;

use golden_file::{assert_close, load, matrix, number, numbers};
use ndarray::{Array1, Array2, Axis, array, s};
use neurobrick_metrics::{Edge, MetricError, PoissonRegression, RidgeRegression, r2, smooth_over_time};
use serde_json::Value;

fn assert_ridge(fit: &RidgeRegression, golden: &Value, what: &str) {
    let coefficients = matrix(&golden["coef"]).reversed_axes();
    for (got, want) in fit.coefficients().iter().zip(&coefficients) {
        assert_close(*got, *want, 1e-8, what);
    }
    for (got, want) in fit.intercept().iter().zip(numbers(&golden["intercept"])) {
        assert_close(*got, want, 1e-8, what);
    }
}

#[test]
fn ridge_matches_scikit_learn() {
    let golden = load("reference/ridge_cv.json");
    let [x, y, x_eval, y_eval] = ["X_train", "Y_train", "X_eval", "Y_eval"].map(|key| matrix(&golden[key]));
    let fits = golden["fits"].as_array().unwrap();
    assert_eq!(fits.len(), 5);
    for golden in fits {
        let fit = RidgeRegression::fit(&x.view(), &y.view(), number(&golden["alpha"])).unwrap();
        assert_ridge(&fit, golden, "ridge");
        let predicted = fit.predict(&x_eval.view()).unwrap();
        let r2 = r2::uniform(&y_eval.view(), &predicted.view()).unwrap();
        assert_close(r2, number(&golden["r2_eval"]), 1e-8, "ridge R²");
    }
    let mut collinear = x.slice(s![.., ..5]).to_owned();
    let twice = &x.column(0) * 2.0;
    collinear.column_mut(4).assign(&twice);
    let fit = RidgeRegression::fit(&collinear.view(), &y.view(), 0.01).unwrap();
    assert_ridge(&fit, &golden["collinear"], "collinear");

    let alphas = numbers(&golden["alphas"]);
    let (fit, search) = RidgeRegression::fit_search(&x.view(), &y.view(), &alphas, 5).unwrap();
    for (got, want) in search.mean_r2.iter().zip(numbers(&golden["cv_mean_test_scores"])) {
        assert_close(*got, want, 1e-8, "cross-validation");
    }
    assert_eq!(search.chosen, number(&golden["cv_best_alpha"]));
    let predicted = fit.predict(&x_eval.view()).unwrap();
    let decoded = r2::uniform(&y_eval.view(), &predicted.view()).unwrap();
    assert_close(decoded, number(&golden["nlb_fit_and_eval_decoder"]), 1e-8, "benchmark decoder");

    let interior = &golden["interior_case"];
    let (x, y) = (x.slice(s![..90, ..]).mapv(|v| 0.08 * v), y.slice(s![..90, ..]).to_owned());
    let (_, search) = RidgeRegression::fit_search(&x.view(), &y.view(), &alphas, 5).unwrap();
    assert_eq!(search.chosen, number(&interior["best_alpha"]));
}

/// More features than rows: the dual route must give the primal optimum.
#[test]
fn ridge_dual_satisfies_the_normal_equations() {
    let golden = load("reference/ridge_cv.json");
    let (x, y) = (matrix(&golden["X_train"]), matrix(&golden["Y_train"]));
    let (x, y) = (x.slice(s![..7, ..]).to_owned(), y.slice(s![..7, ..]).to_owned());
    let fit = RidgeRegression::fit(&x.view(), &y.view(), 0.3).unwrap();
    let residuals = &y - &fit.predict(&x.view()).unwrap();
    let centered = &x - &x.mean_axis(Axis(0)).unwrap();
    let gradient = centered.t().dot(&residuals) - fit.coefficients().to_owned() * 0.3;
    assert!(gradient.iter().all(|g| g.abs() < 1e-10), "{gradient}");
    assert!(residuals.sum_axis(Axis(0)).iter().all(|r| r.abs() < 1e-10));
}

#[test]
fn poisson_regression_matches_scikit_learn() {
    let golden = load("reference/poisson_glm.json");
    let (x, y) = (matrix(&golden["X"]), Array1::from(numbers(&golden["y"])));
    let fits = golden["fits"].as_array().unwrap();
    assert_eq!(fits.len(), 4);
    for golden in fits {
        let alpha = number(&golden["alpha"]);
        let fit = PoissonRegression::fit(&x.view(), &y.view(), alpha).unwrap();
        for (got, want) in fit.coefficients().iter().zip(numbers(&golden["coef"])) {
            assert_close(*got, want, 1e-5, "coefficient");
        }
        assert_close(fit.intercept(), number(&golden["intercept"]), 1e-5, "intercept");
        // The optimality condition holds to rounding, which the reference's own tolerance cannot show.
        let residuals = fit.predict(&x.view()).unwrap() - &y;
        let gradient =
            x.t().dot(&residuals) / y.len() as f64 + Array1::from(fit.coefficients().to_vec()) * alpha;
        assert!(gradient.iter().all(|g| g.abs() < 1e-9), "{gradient}");
    }
}

#[test]
fn poisson_regression_refuses_what_has_no_meaning() {
    let x = array![[0.0], [1.0], [2.0]];
    let silent = PoissonRegression::fit(&x.view(), &array![0.0, 0.0, 0.0].view(), 0.1);
    assert!(matches!(silent, Err(MetricError::Empty { .. })));
    let negative = PoissonRegression::fit(&x.view(), &array![0.0, -1.0, 0.0].view(), 0.1);
    assert!(matches!(negative, Err(MetricError::InvalidCount { .. })));
    let penalty = PoissonRegression::fit(&x.view(), &array![0.0, 1.0, 0.0].view(), -0.1);
    assert!(matches!(penalty, Err(MetricError::InvalidSetting { what: "alpha", .. })));
}

#[test]
fn r2_matches_scikit_learn() {
    let golden = load("reference/r2_variants.json");
    let truth = matrix(&golden["y"]);
    for (predicted, key) in [("pred", "r2_pred"), ("pred_exact_last", "r2_pred_exact_last")] {
        let predicted = matrix(&golden[predicted]);
        let golden = &golden[key];
        let per_output = r2::per_output(&truth.view(), &predicted.view()).unwrap();
        for (got, want) in per_output.iter().zip(numbers(&golden["raw_values"])) {
            assert_close(*got, want, 1e-10, key);
        }
        let uniform = r2::uniform(&truth.view(), &predicted.view()).unwrap();
        assert_close(uniform, number(&golden["uniform_average"]), 1e-10, key);
        let weighted = r2::variance_weighted(&truth.view(), &predicted.view()).unwrap();
        assert_close(weighted, number(&golden["variance_weighted"]), 1e-10, key);
    }
    let nan = array![[f64::NAN]];
    assert!(matches!(r2::uniform(&nan.view(), &nan.view()), Err(MetricError::NotFinite { .. })));
}

#[test]
fn reflected_smoothing_matches_scipy() {
    let golden = load("reference/smoothing.json");
    let x = matrix(&golden["x"]).insert_axis(Axis(0));
    let reflected: Vec<&Value> =
        golden["ndimage"].as_array().unwrap().iter().filter(|case| case["mode"] == "reflect").collect();
    assert!(!reflected.is_empty());
    for case in reflected {
        assert_eq!(number(&case["truncate"]), 4.0);
        let smoothed = smooth_over_time(&x.view(), number(&case["sigma"]), Edge::Reflected).unwrap();
        for (got, want) in smoothed.iter().zip(&matrix(&case["y"])) {
            assert_close(*got, *want, 1e-10, "reflected");
        }
    }
}

#[test]
fn renormalized_smoothing_keeps_constants_and_equals_reflection_far_from_the_edge() {
    let constant = Array2::from_elem((30, 2), 0.7).insert_axis(Axis(0));
    for sigma in [0.0, 0.4, 3.0, 50.0] {
        let smoothed = smooth_over_time(&constant.view(), sigma, Edge::Renormalized).unwrap();
        assert!(smoothed.iter().all(|v| (v - 0.7).abs() < 1e-14), "{sigma}");
    }
    let mut impulse = Array2::zeros((61, 1)).insert_axis(Axis(0));
    impulse[[0, 30, 0]] = 1.0;
    let both = [Edge::Renormalized, Edge::Reflected]
        .map(|edge| smooth_over_time(&impulse.view(), 2.0, edge).unwrap());
    assert!(both[0].iter().zip(&both[1]).all(|(a, b)| (a - b).abs() < 1e-15));
    assert!((both[0][[0, 32, 0]] / both[0][[0, 30, 0]] - (-0.5f64).exp()).abs() < 1e-14);
    assert!(smooth_over_time(&impulse.view(), -1.0, Edge::Reflected).is_err());
}
