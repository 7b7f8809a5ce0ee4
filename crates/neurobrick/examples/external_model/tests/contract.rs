//! The tokenizer and the model keep the laws that neurobrick's own are held to.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use burn::tensor::{Device, Tensor};
use external_model::{SmoothedBins, SmoothedLinear};
use neurobrick::prelude::*;
use neurobrick_testkit::contract::N_BINS;
use neurobrick_testkit::{model_contract, synthetic_data, tokenizer_contract};

fn tokenizer() -> SmoothedBins {
    SmoothedBins::new(3, 0.02).expect("three bins")
}

/// A trial of as many synthetic sessions as there are seeds.
fn windows(seeds: &[u64]) -> Tensor<3> {
    let trial = |&seed: &u64| {
        let counts = synthetic_data(seed, 1, 10, 6, 2).counts().mapv(f64::from);
        Tensor::<3>::from_data(
            burn::tensor::TensorData::new(counts.into_raw_vec_and_offset().0, [1, 10, 6]),
            &Device::flex(),
        )
    };
    Tensor::cat(seeds.iter().map(trial).collect(), 0)
}

tokenizer_contract!(smoothed_bins, tokenizer(), windows);
model_contract!(smoothed_linear, |sessions: &[SessionSpec], seed, device: &Device| {
    SmoothedLinear::new(tokenizer(), N_BINS, sessions, seed, device).expect("valid sessions")
});
