//! Reads the golden JSON files: arrays with shape and flat data, NaN and infinities as strings.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::float_cmp, reason = "infinities match only themselves")]
#![allow(clippy::unwrap_used, reason = "a broken fixture must stop the test")]

use ndarray::{Array2, Array3, ArrayD};
use serde_json::Value;

pub(crate) fn load(path: &str) -> Value {
    let path = format!("{}/../../fixtures/golden/{path}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some(text) => text.parse().unwrap(),
        None => value.as_f64().unwrap(),
    }
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    let list = if value.is_array() { value } else { &value["data"] };
    list.as_array().unwrap().iter().map(number).collect()
}

pub(crate) fn array(value: &Value) -> ArrayD<f64> {
    let shape: Vec<usize> = value["shape"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| usize::try_from(n.as_u64().unwrap()).unwrap())
        .collect();
    ArrayD::from_shape_vec(shape, numbers(value)).unwrap()
}

pub(crate) fn matrix(value: &Value) -> Array2<f64> {
    array(value).into_dimensionality().unwrap()
}

/// Two-dimensional arrays become a single trial.
pub(crate) fn cube(value: &Value) -> Array3<f64> {
    let mut array = array(value);
    while array.ndim() < 3 {
        array.insert_axis_inplace(ndarray::Axis(0));
    }
    array.into_dimensionality().unwrap()
}

/// Equal within `tolerance` relative to the larger of one and the expected value; NaN and infinities match themselves.
pub(crate) fn assert_close(got: f64, want: f64, tolerance: f64, what: &str) {
    let same = got == want || (got.is_nan() && want.is_nan());
    let near = (got - want).abs() <= tolerance * want.abs().max(1.0);
    assert!(same || near, "{what}: got {got}, want {want}");
}
