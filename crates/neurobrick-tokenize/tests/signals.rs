//! Patches of signals: where they begin and end, what is undone, and what is refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::{Tensor, TensorData};
use neurobrick_core::Tokenizer;
use neurobrick_testkit::test_device;
use neurobrick_tokenize::{LastPatch, SignalPatches, Spectrogram};
use proptest::prelude::*;

/// Samples 1, 2, … of two windows.
fn signals([t, c]: [usize; 2]) -> (Vec<f64>, Tensor<3>) {
    let values: Vec<f64> = (1..=2 * t * c).map(|i| i as f64).collect();
    let tensor = Tensor::from_data(TensorData::new(values.clone(), [2, t, c]), &test_device());
    (values, tensor)
}

fn values(tensor: Tensor<3>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

#[test]
fn patches_begin_every_hop_and_the_last_is_dropped_or_filled_up() {
    let check = |last, hop, expected: &[(f64, f64)], ninth: &[f64]| {
        let patches = SignalPatches::new(10.0, 4, hop, last).unwrap();
        let tokens = patches.tokenize(&signals([9, 2]).1).unwrap();
        let places = tokens.places.of_window(1);
        assert_eq!(places.len(), 2 * expected.len());
        for (pair, &(start_s, end_s)) in places.chunks(2).zip(expected) {
            assert_eq!([pair[0].sources.clone(), pair[1].sources.clone()], [0..1, 1..2]);
            assert!(pair.iter().all(|place| (place.start_s, place.end_s) == (start_s, end_s)), "{pair:?}");
        }
        let last = values(tokens.values.unwrap().narrow(0, 0, 1).narrow(1, places.len() - 1, 1));
        assert_eq!(last, ninth, "the last patch of the second channel");
    };
    check(LastPatch::Drop, 4, &[(0.0, 0.4), (0.4, 0.8)], &[10.0, 12.0, 14.0, 16.0]);
    check(LastPatch::FillUp, 4, &[(0.0, 0.4), (0.4, 0.8), (0.8, 0.9)], &[18.0, 0.0, 0.0, 0.0]);
    check(LastPatch::Drop, 3, &[(0.0, 0.4), (0.3, 0.7)], &[8.0, 10.0, 12.0, 14.0]);
    check(LastPatch::FillUp, 3, &[(0.0, 0.4), (0.3, 0.7), (0.6, 0.9)], &[14.0, 16.0, 18.0, 0.0]);
}

#[test]
fn what_cannot_be_cut_is_refused_with_what_to_do() {
    let patches = SignalPatches::new(10.0, 4, 4, LastPatch::Drop).unwrap();
    let error = patches.tokenize(&signals([3, 2]).1).unwrap_err().to_string();
    assert_eq!(
        error,
        "a window of 3 samples; a patch takes 4 samples: cut longer windows or shorter patches"
    );
    let refused = [
        SignalPatches::new(f64::NAN, 4, 4, LastPatch::Drop).err(),
        SignalPatches::new(10.0, 0, 1, LastPatch::Drop).err(),
        SignalPatches::new(10.0, 4, 5, LastPatch::Drop).err(),
        SignalPatches::new(10.0, 4, 0, LastPatch::Drop).err(),
        Spectrogram::new(patches, 0.0).err(),
        Spectrogram::new(patches, 1e-50).err(),
        Spectrogram::new(SignalPatches::new(10.0, 1, 1, LastPatch::Drop).unwrap(), 1.0).err(),
    ];
    let fields = ["rate_hz", "n_samples", "hop", "hop", "floor", "floor", "n_samples"];
    for (error, field) in refused.into_iter().zip(fields) {
        let message = error.unwrap().to_string();
        assert!(message.starts_with(&format!("`{field}` must be")), "{message}");
    }
}

proptest! {
    #[test]
    fn joining_undoes_cutting_where_there_are_patches(
        t in 1usize..40, c in 1usize..4, n in 1usize..10, hop in 1usize..10, fill in any::<bool>(),
    ) {
        let last = if fill { LastPatch::FillUp } else { LastPatch::Drop };
        let Ok(patches) = SignalPatches::new(10.0, n, hop, last) else {
            prop_assert!(hop > n);
            return Ok(());
        };
        let (all, tensor) = signals([t, c]);
        let Ok(tokens) = patches.cut(tensor) else {
            prop_assert!(!fill && t < n);
            return Ok(());
        };
        let covered = patches.n_covered(t);
        let is_right = if fill { covered == t } else { covered <= t && t - covered < hop };
        prop_assert!(is_right, "{covered} of {t}");
        let joined = values(patches.join(tokens, t));
        let expected: Vec<f64> = all.chunks(t * c).flat_map(|window| window[..covered * c].to_vec()).collect();
        prop_assert_eq!(joined.len(), expected.len());
        // Sums of up to ten equal numbers, divided again, in single precision.
        for (joined, expected) in joined.into_iter().zip(expected) {
            prop_assert!((joined - expected).abs() <= 1e-6 * expected, "{joined} for {expected}");
        }
    }
}
