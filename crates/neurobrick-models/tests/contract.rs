//! Every model of the zoo against testkit's contract.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::Device;
use neurobrick_core::SessionSpec;
use neurobrick_models::{
    GruStitch, GruStitchConfig, Lfads, LfadsConfig, LinearStitch, LinearStitchConfig, Ndt1, Ndt1Config, Ndt2,
    Ndt2Config, NdtStitch, NdtStitchConfig,
};
use neurobrick_nn::Activation;
use neurobrick_testkit::contract::N_BINS;
use neurobrick_testkit::model_contract;

fn ndt(sessions: &[SessionSpec], seed: u64, device: &Device) -> NdtStitch {
    let config = NdtStitchConfig { d_model: 16, d_stitch: 12, n_layers: 2, ..NdtStitchConfig::small(N_BINS) };
    NdtStitch::new(config, sessions, seed, device).unwrap()
}

/// NDT-stitch of BrainWideBench: stitches as wide as tokens, `ReLU`, no prompt.
fn ndt_without_shared_embedding(sessions: &[SessionSpec], seed: u64, device: &Device) -> NdtStitch {
    let config = NdtStitchConfig {
        d_model: 16,
        d_stitch: 16,
        d_embed: 0,
        n_layers: 2,
        activation: Activation::Relu,
        prompt: false,
        ..NdtStitchConfig::small(N_BINS)
    };
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
model_contract!(ndt_stitch_without_shared_embedding, ndt_without_shared_embedding);
model_contract!(lfads, lfads);
model_contract!(lfads_without_controller, other_lfads);
model_contract!(gru_stitch, gru);
fn ndt1(sessions: &[SessionSpec], seed: u64, device: &Device) -> Ndt1 {
    let config = Ndt1Config {
        d_model: 16,
        n_layers: 2,
        context_forward: Some(3),
        context_backward: Some(5),
        ..Ndt1Config::small(N_BINS)
    };
    Ndt1::new(config, sessions, seed, device).unwrap()
}

fn ndt1_published_start(sessions: &[SessionSpec], seed: u64, device: &Device) -> Ndt1 {
    let config = Ndt1Config {
        d_model: 16,
        n_layers: 2,
        learned_positions: false,
        pre_norm: false,
        scale_norm: true,
        faithful: true,
        ..Ndt1Config::small(N_BINS)
    };
    Ndt1::new(config, sessions, seed, device).unwrap()
}

/// Patches of 3 units: sessions of 5 and 8 units fill their last patch up, and masks cut through patches.
fn ndt2(sessions: &[SessionSpec], seed: u64, device: &Device) -> Ndt2 {
    let config =
        Ndt2Config { patch_units: 3, max_patches: 4, d_model: 12, n_layers: 2, ..Ndt2Config::small(N_BINS) };
    Ndt2::new(config, sessions, seed, device).unwrap()
}

fn ndt2_published_read_out(sessions: &[SessionSpec], seed: u64, device: &Device) -> Ndt2 {
    let small = Ndt2Config::small(N_BINS);
    let config = Ndt2Config { patch_units: 4, d_model: 16, causal: false, faithful: true, ..small };
    Ndt2::new(config, sessions, seed, device).unwrap()
}

model_contract!(ndt1, ndt1);
model_contract!(ndt1_published_start, ndt1_published_start);
model_contract!(ndt2, ndt2);
model_contract!(ndt2_published_read_out, ndt2_published_read_out);
model_contract!(linear_stitch, linear);
