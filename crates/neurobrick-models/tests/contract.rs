//! Every model of the zoo against testkit's contract.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::Device;
use neurobrick_core::SessionSpec;
use neurobrick_models::{LinearStitch, LinearStitchConfig, NdtStitch, NdtStitchConfig};
use neurobrick_testkit::contract::N_BINS;
use neurobrick_testkit::model_contract;

fn ndt(sessions: &[SessionSpec], seed: u64, device: &Device) -> NdtStitch {
    let config = NdtStitchConfig { d_model: 16, d_stitch: 12, n_layers: 2, ..NdtStitchConfig::small(N_BINS) };
    NdtStitch::new(config, sessions, seed, device).unwrap()
}

fn linear(sessions: &[SessionSpec], seed: u64, device: &Device) -> LinearStitch {
    LinearStitch::new(LinearStitchConfig { n_bins: N_BINS, d_latent: 4 }, sessions, seed, device).unwrap()
}

model_contract!(ndt_stitch, ndt);
model_contract!(linear_stitch, linear);
