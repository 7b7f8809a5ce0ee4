//! Correlations, Poisson analogs of R² and distances between spike trains, against SciPy, scikit-learn and elephant.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where it is asserted"
)]

mod golden_file;

use golden_file::{assert_close, load, matrix, number, numbers};
use ndarray::Array1;
use neurobrick_metrics::{
    MetricError, pearson, poisson_d2, pseudo_r2_mcfadden, r2, van_rossum, victor_purpura,
};
use proptest::prelude::*;

type Distance = fn(&[f64], &[f64], f64) -> Result<f64, MetricError>;

#[test]
fn variants_of_r2_match() {
    let golden = load("reference/r2_variants.json");
    let truth = matrix(&golden["y"]);
    for (predicted, key) in
        [("pred", "explained_variance_pred"), ("pred_exact_last", "explained_variance_pred_exact_last")]
    {
        let predicted = matrix(&golden[predicted]);
        let got = r2::explained_variance(&truth.view(), &predicted.view()).unwrap();
        for (got, want) in got.iter().zip(numbers(&golden[key]["raw_values"])) {
            assert_close(*got, want, 1e-10, key);
        }
    }
    let predicted = matrix(&golden["pred"]);
    let weights = numbers(&golden["sample_weight"]);
    let got = r2::weighted(&truth.view(), &predicted.view(), &weights).unwrap();
    assert_close(got, number(&golden["r2_pred_weighted"]), 1e-10, "weighted");
    assert!(r2::weighted(&truth.view(), &predicted.view(), &[0.0; 30]).is_err());

    let list = |key: &str| Array1::from(numbers(&golden[key]));
    let (counts, rates) = (list("poisson_counts"), list("poisson_rates"));
    let d2 = poisson_d2(&rates.view(), &counts.view()).unwrap();
    assert_close(d2, number(&golden["d2_poisson"]), 1e-10, "D²");
    assert_close(d2, number(&golden["pseudo_r2_cohen"]), 1e-10, "Cohen");
    let mcfadden = pseudo_r2_mcfadden(&rates.view(), &counts.view()).unwrap();
    assert_close(mcfadden, number(&golden["pseudo_r2_mcfadden"]), 1e-10, "McFadden");
    let still = Array1::from_elem(40, 2.0);
    assert!(matches!(poisson_d2(&rates.view(), &still.view()), Err(MetricError::NoVariation { .. })));

    let golden = &golden["pearson"];
    let r = pearson(&numbers(&golden["a"]), &numbers(&golden["b"])).unwrap();
    assert_close(r, number(&golden["r"]), 1e-12, "Pearson");
}

/// elephant counts coincident spikes as different in the limits `q = ∞` and `τ = 0`, also those of one train; there
/// only trains without common or repeated spikes are compared.
#[test]
fn spike_distances_match_elephant() {
    let golden = load("reference/spike_distances.json");
    let trains: Vec<Vec<f64>> = golden["trains"].as_array().unwrap().iter().map(numbers).collect();
    let common = |a: &[f64], b: &[f64]| a.iter().any(|x| b.contains(x));
    let repeats = |a: &[f64]| a.windows(2).any(|pair| pair[0] == pair[1]);
    let mut compared = 0;
    let kinds: [(&str, &str, f64, Distance); 2] = [
        ("victor_purpura", "q_per_s", f64::INFINITY, victor_purpura),
        ("van_rossum", "tau_s", 0.0, van_rossum),
    ];
    for (kind, setting, limit, distance) in kinds {
        for case in golden[kind].as_array().unwrap() {
            let setting = number(&case[setting]);
            for ((i, j), want) in matrix(&case["distance"]).indexed_iter() {
                let (a, b) = (&trains[i], &trains[j]);
                let got = distance(a, b, setting).unwrap();
                if setting == limit && (common(a, b) || repeats(a) || repeats(b)) {
                    assert!(a != b || got == 0.0, "{kind} {i} {j}");
                    continue;
                }
                if a == b {
                    // Roots of rounding: both sides leave up to 4e-8 where the distance is zero.
                    assert!(got < 1e-7 && *want < 1e-7, "{kind} {setting} {i} {j}: {got} {want}");
                } else {
                    assert_close(got, *want, 1e-9, &format!("{kind} {setting} {i} {j}"));
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 900, "{compared}");
    assert!(matches!(van_rossum(&[2.0, 1.0], &[], 0.1), Err(MetricError::NotInOrder { .. })));
    assert!(victor_purpura(&[f64::NAN], &[], 1.0).is_err() && victor_purpura(&[], &[], -1.0).is_err());
}

fn train() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.0..2.0f64, 0..12).prop_map(|mut times| {
        times.sort_unstable_by(f64::total_cmp);
        times
    })
}

proptest! {
    /// Symmetry, triangle inequality, and independence of where time starts and of its unit.
    #[test]
    fn spike_distances_are_metrics(a in train(), b in train(), c in train(), scale in 0.1..10.0f64) {
        let moved = |train: &[f64]| train.iter().map(|t| t * scale + 3.0).collect::<Vec<f64>>();
        let vp = |a: &[f64], b: &[f64]| victor_purpura(a, b, 7.0).unwrap();
        let vr = |a: &[f64], b: &[f64]| van_rossum(a, b, 0.2).unwrap();
        for d in [&vp as &dyn Fn(&[f64], &[f64]) -> f64, &vr] {
            prop_assert!((d(&a, &b) - d(&b, &a)).abs() < 1e-9);
            prop_assert!(d(&a, &c) <= d(&a, &b) + d(&b, &c) + 1e-6);
            prop_assert!(d(&a, &a) < 1e-6);
        }
        let rescaled = victor_purpura(&moved(&a), &moved(&b), 7.0 / scale).unwrap();
        prop_assert!((vp(&a, &b) - rescaled).abs() < 1e-9);
        let rescaled = van_rossum(&moved(&a), &moved(&b), 0.2 * scale).unwrap();
        prop_assert!((vr(&a, &b) - rescaled).abs() < 1e-6);
    }
}
