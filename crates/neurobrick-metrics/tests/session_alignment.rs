//! Alignment of sessions against scikit-learn's components and ridge regression.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::{Array2, Array3, Axis};
use neurobrick_metrics::{MetricError, SharedComponents};

mod golden_file;
use golden_file::{assert_close, load, matrix, numbers};

fn averages() -> Vec<Array3<f64>> {
    let golden = &load("reference/linear_models.json")["pcr_alignment"];
    let sessions = golden["sessions"].as_array().unwrap();
    sessions
        .iter()
        .map(|s| {
            let psth = matrix(&s["psth"]);
            let n = psth.ncols();
            Array3::from_shape_vec((5, 12, n), psth.iter().copied().collect()).unwrap()
        })
        .collect()
}

#[test]
fn read_ins_and_read_outs_are_those_of_scikit_learn_up_to_signs_of_components() {
    let golden = &load("reference/linear_models.json")["pcr_alignment"];
    let averages = averages();
    let views: Vec<_> = averages.iter().map(|a| a.view()).collect();
    let components = SharedComponents::fit(&views, 4).unwrap();
    let found: Vec<_> = views.iter().map(|average| components.align(average, 1.0).unwrap()).collect();
    assert_eq!(found.len(), 3);
    for (found, expected) in found.iter().zip(golden["sessions"].as_array().unwrap()) {
        let (read_in, read_out) =
            (matrix(&expected["readin_weight_n_by_k"]), matrix(&expected["readout_weight_k_by_n"]));
        let bias = numbers(&expected["readin_bias_k"]);
        let close = |a: Array2<f64>, b: Array2<f64>, what: &str| {
            assert_eq!(a.dim(), b.dim(), "{what}");
            a.iter().zip(&b).for_each(|(a, b)| assert_close(*a, *b, 1e-8, what));
        };
        for (k, &bias) in bias.iter().enumerate().take(4) {
            let sign = found.read_in.column(k).dot(&read_in.column(k)).signum();
            let part = |x: &Array2<f64>, axis: usize| x.select(Axis(axis), &[k]) * sign;
            close(part(&found.read_in, 1), read_in.select(Axis(1), &[k]), "read-in");
            close(part(&found.read_out, 0), read_out.select(Axis(0), &[k]), "read-out");
            assert_close(sign * found.read_in_bias[k], bias, 1e-8, "bias of the read-in");
        }
        for (a, b) in found.mean_rates.iter().zip(numbers(&expected["mean_rate"])) {
            assert_close(*a, b, 1e-10, "mean rates");
        }
    }
}

#[test]
fn sessions_that_cannot_be_aligned_are_refused() {
    let averages = averages();
    let views: Vec<_> = averages.iter().map(|a| a.view()).collect();
    let fit = SharedComponents::fit;
    assert!(matches!(fit(&[], 1), Err(MetricError::Empty { .. })));
    assert!(matches!(fit(&views, 0), Err(MetricError::InvalidSetting { .. })));
    assert!(matches!(fit(&views, 23), Err(MetricError::InvalidSetting { .. })));
    let short = averages[1].slice(ndarray::s![.., ..11, ..]).to_owned();
    let mixed = [averages[0].view(), short.view()];
    assert!(matches!(fit(&mixed, 2), Err(MetricError::ShapeMismatch { .. })));
    let components = fit(&views, 2).unwrap();
    assert!(matches!(components.align(&short.view(), 1.0), Err(MetricError::ShapeMismatch { .. })));
    let mut broken = averages[0].clone();
    broken[[0, 0, 0]] = f64::NAN;
    assert!(matches!(fit(&[broken.view()], 2), Err(MetricError::NotFinite { .. })));
    assert!(matches!(components.loadings(&broken.view(), 1.0), Err(MetricError::NotFinite { .. })));
    assert!(matches!(components.of_conditions(&[0, 5]), Err(MetricError::OutOfRange { .. })));
    assert!(matches!(components.of_conditions(&[]), Err(MetricError::Empty { .. })));
}

/// A session whose averages are combinations of the components is told from them exactly, by all conditions or by some.
#[test]
fn loadings_are_the_weights_of_the_components() {
    let averages = averages();
    let views: Vec<_> = averages.iter().map(|a| a.view()).collect();
    let components = SharedComponents::fit(&views, 3).unwrap().standardized();
    for component in components.values().axis_iter(Axis(2)) {
        assert_close(component.sum(), 0.0, 1e-9, "mean of a component");
        assert_close(component.mapv(|v| v * v).sum() / component.len() as f64, 1.0, 1e-12, "its variance");
    }
    let weights = ndarray::array![[2.0, -1.0], [0.5, 3.0], [0.0, 1.0]];
    let (c, t, k) = components.values().dim();
    let rows = components.values().to_shape((c * t, k)).unwrap().dot(&weights) + 7.0;
    let session = rows.into_shape_with_order((c, t, 2)).unwrap();
    for conditions in [vec![0, 1, 2, 3, 4], vec![3, 1]] {
        let part = components.of_conditions(&conditions).unwrap();
        let found = part.loadings(&session.select(Axis(0), &conditions).view(), 1e-9).unwrap();
        found.iter().zip(&weights).for_each(|(a, b)| assert_close(*a, *b, 1e-6, "loadings"));
    }
}

/// What a session reads does not depend on which of the conditions it has, as far as its averages follow the components; a
/// silent unit reads nothing.
#[test]
fn a_session_with_some_of_the_conditions_reads_the_same() {
    let averages = averages();
    let views: Vec<_> = averages.iter().map(|a| a.view()).collect();
    let components = SharedComponents::fit(&views, 2).unwrap().standardized();
    let (c, t, k) = components.values().dim();
    let weights = ndarray::array![[2.0, -1.0, 0.5, 0.0], [0.5, 3.0, -2.0, 0.0]];
    let rows = components.values().to_shape((c * t, k)).unwrap().dot(&weights) + 7.0;
    let session = rows.clone().into_shape_with_order((c, t, 4)).unwrap();
    for conditions in [vec![0, 1, 2, 3, 4], vec![1, 3]] {
        let part = components.of_conditions(&conditions).unwrap();
        let own = session.select(Axis(0), &conditions);
        let (read_in, bias) = part.read_in(&own.view(), 1e-9).unwrap();
        let read = rows.dot(&read_in) + &ndarray::Array1::from(bias);
        let truth = components.values().to_shape((c * t, k)).unwrap();
        read.iter().zip(truth.iter()).for_each(|(a, b)| assert_close(*a, *b, 1e-5, "components read"));
        assert!(read_in.row(3).iter().all(|w| w.abs() < 1e-9), "the silent unit");
    }
}
