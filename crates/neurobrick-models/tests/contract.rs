//! Every model of the zoo against testkit's contract.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::Device;
use neurobrick_core::SessionSpec;
use neurobrick_models::{
    GruStitch, GruStitchConfig, Lfads, LfadsConfig, LinearStitch, LinearStitchConfig, NdtStitch,
    NdtStitchConfig,
};
use neurobrick_testkit::contract::N_BINS;
use neurobrick_testkit::model_contract;

fn ndt(sessions: &[SessionSpec], seed: u64, device: &Device) -> NdtStitch {
    let config = NdtStitchConfig { d_model: 16, d_stitch: 12, n_layers: 2, ..NdtStitchConfig::small(N_BINS) };
    NdtStitch::new(config, sessions, seed, device).unwrap()
}

fn linear(sessions: &[SessionSpec], seed: u64, device: &Device) -> LinearStitch {
    LinearStitch::new(LinearStitchConfig { n_bins: N_BINS, d_latent: 4 }, sessions, seed, device).unwrap()
}

fn lfads(sessions: &[SessionSpec], seed: u64, device: &Device) -> Lfads {
    Lfads::new(LfadsConfig::small(N_BINS), sessions, seed, device).unwrap()
}

/// Units drive the encoders directly, there is no controller, the last bins are not read, and posteriors are sampled.
fn other_lfads(sessions: &[SessionSpec], seed: u64, device: &Device) -> Lfads {
    let config = LfadsConfig {
        d_read_in: None,
        d_ci_encoder: 0,
        d_controller: 0,
        d_inputs: 0,
        n_forward_bins: 2,
        n_samples: 3,
        ..LfadsConfig::small(N_BINS)
    };
    Lfads::new(config, sessions, seed, device).unwrap()
}

fn gru(sessions: &[SessionSpec], seed: u64, device: &Device) -> GruStitch {
    let config = GruStitchConfig { n_bins: N_BINS, d_stitch: 6, d_hidden: 10, dropout: 0.1, clip: 5.0 };
    GruStitch::new(config, sessions, seed, device).unwrap()
}

model_contract!(ndt_stitch, ndt);
model_contract!(lfads, lfads);
model_contract!(lfads_without_controller, other_lfads);
model_contract!(gru_stitch, gru);
model_contract!(linear_stitch, linear);
