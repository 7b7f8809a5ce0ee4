//! Spectra against the densities of SciPy. A file of its own, since a process settles the precision of its device once.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::{DType, Tensor, TensorData};
use neurobrick_core::Tokenizer;
use neurobrick_testkit::{GoldenArray, golden, test_device_f64};
use neurobrick_tokenize::{LastPatch, SignalPatches, Spectrogram};

/// A smaller power disappears in the logarithm.
const FLOOR: f64 = 1e-30;

/// Largest relative difference of densities, in double precision; products of 50 samples have errors of a few 1e-15 of the window's
/// power, and the smallest density is 1e-4 of the largest.
#[test]
fn densities_are_those_of_scipy() {
    let reference = golden("spectrogram/case.safetensors");
    let GoldenArray { shape, values } = &reference["signals"];
    let data = TensorData::new(values.clone(), shape.clone());
    let signals = Tensor::<3>::from_data(data, (&test_device_f64(), DType::F64));
    for (name, n, hop) in [("even", 50, 25), ("odd", 33, 33)] {
        let patches = SignalPatches::new(250.0, n, hop, LastPatch::Drop).unwrap();
        let spectra = Spectrogram::new(patches, FLOOR).unwrap();
        let tokens = spectra.tokenize(&signals).unwrap().values.unwrap();
        let GoldenArray { shape, values } = &reference[name];
        assert_eq!(tokens.dims(), [shape[0], shape[1] * shape[2], shape[3]], "{name}");
        assert_eq!(spectra.frequencies_hz().len(), shape[3]);
        for (log_density, expected) in tokens.into_data().iter::<f64>().zip(values) {
            let difference = (log_density.exp() - expected).abs() / expected;
            assert!(difference < 1e-9, "{name}: {log_density} for {}", expected.ln());
        }
    }
    let frequencies = Spectrogram::new(SignalPatches::new(250.0, 50, 25, LastPatch::Drop).unwrap(), FLOOR);
    assert_eq!(frequencies.unwrap().frequencies_hz()[8..10], [40.0, 45.0]);
}
