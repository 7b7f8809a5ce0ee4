//! Weights by name: exact round trips, and strict loading that lists all that is wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use neurobrick_core::ModelError;
use neurobrick_core::weights::{
    StateDict, from_safetensors, load_state_dict, parameter_paths, state_dict, to_safetensors,
};
use neurobrick_testkit::test_device;
use proptest::prelude::*;

#[derive(Module, Debug)]
struct Inner {
    weight: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Outer {
    parts: Vec<Inner>,
    bias: Param<Tensor<1>>,
}

fn outer(start: f32) -> Outer {
    let device = test_device();
    let param = |from: f32| {
        let values = [[from, from + 1.0, from + 2.0], [from + 3.0, from + 4.0, from + 5.0]];
        Param::from_tensor(Tensor::from_data(values, &device))
    };
    let parts = vec![Inner { weight: param(start) }, Inner { weight: param(start + 10.0) }];
    Outer { parts, bias: Param::from_tensor(Tensor::from_data([start, -start], &device)) }
}

#[test]
fn names_are_dotted_paths_in_order_of_declaration() {
    assert_eq!(parameter_paths(&outer(0.0)), ["parts.0.weight", "parts.1.weight", "bias"]);
    let state = state_dict(&outer(1.0));
    assert_eq!(
        state["parts.1.weight"].iter::<f32>().collect::<Vec<_>>(),
        [11.0, 12.0, 13.0, 14.0, 15.0, 16.0]
    );
    assert_eq!(state["parts.1.weight"].shape().to_vec(), [2, 3]);
}

#[test]
fn loading_replaces_every_parameter() {
    let state = state_dict(&outer(7.0));
    let loaded = load_state_dict(outer(0.0), state.clone()).unwrap();
    assert_eq!(state_dict(&loaded), state);
}

#[test]
fn loading_lists_all_that_does_not_fit() {
    let mut state = state_dict(&outer(7.0));
    state.remove("bias");
    state.insert("stranger".into(), TensorData::from([1.0f32]));
    state.insert("parts.0.weight".into(), TensorData::from([[1.0f32, 2.0]]));
    let Err(ModelError::WeightsMismatch { missing, unexpected, misshapen }) =
        load_state_dict(outer(0.0), state)
    else {
        panic!("weights that do not fit were loaded");
    };
    assert_eq!((missing.as_str(), unexpected.as_str()), ("bias", "stranger"));
    assert!(misshapen.contains("parts.0.weight") && misshapen.contains("[1, 2]"), "{misshapen}");
}

#[test]
fn damaged_files_and_foreign_types_are_refused() {
    let file = to_safetensors(&state_dict(&outer(7.0)), BTreeMap::new()).unwrap();
    for n_bytes in 0..file.len() {
        let cut = from_safetensors(&file[..n_bytes]);
        assert!(matches!(cut, Err(ModelError::BadWeights { .. })), "the first {n_bytes} bytes were read");
    }
    let whole_numbers = StateDict::from([("n".to_owned(), TensorData::from([1i64, 2]))]);
    assert!(matches!(to_safetensors(&whole_numbers, BTreeMap::new()), Err(ModelError::BadWeights { .. })));
}

#[test]
fn metadata_are_written() {
    let metadata = BTreeMap::from([("license".to_owned(), "CC0-1.0".to_owned())]);
    let file = to_safetensors(&state_dict(&outer(7.0)), metadata).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&file).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["license"], "CC0-1.0");
}

proptest! {
    /// Bit patterns, so that negative zero, infinities and NaN are kept too.
    #[test]
    fn files_keep_every_bit(singles in prop::collection::vec(any::<u32>(), 1..40), doubles in prop::collection::vec(any::<u64>(), 1..40)) {
        let single: Vec<f32> = singles.iter().map(|&b| f32::from_bits(b)).collect();
        let double: Vec<f64> = doubles.iter().map(|&b| f64::from_bits(b)).collect();
        let (n_single, n_double) = (single.len(), double.len());
        let state = StateDict::from([
            ("single".to_owned(), TensorData::new(single, [n_single])),
            ("double".to_owned(), TensorData::new(double, [1, n_double])),
        ]);
        let read = from_safetensors(&to_safetensors(&state, BTreeMap::new()).unwrap()).unwrap();
        prop_assert_eq!(read.len(), 2);
        for (name, data) in &state {
            prop_assert_eq!(read[name].as_bytes(), data.as_bytes());
            prop_assert_eq!(read[name].shape(), data.shape());
            prop_assert_eq!(read[name].dtype(), data.dtype());
        }
    }
}
