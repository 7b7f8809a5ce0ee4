//! Every model learns: it overfits one synthetic batch in seconds.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use neurobrick_core::{MaskScheme, PopulationModel};
use neurobrick_data::TrialSplit;
use neurobrick_models::{
    GruStitch, GruStitchConfig, Lfads, LfadsConfig, LinearStitch, LinearStitchConfig, Ndt1, Ndt1Config, Ndt2,
    Ndt2Config, NdtStitch, NdtStitchConfig,
};
use neurobrick_testkit::{synthetic_data, test_device};
use neurobrick_train::{OneCycle, TrainConfig, TrainSession, Trainer, validate};

/// Sixteen trials of 20 bins and 24 units around four latents: one batch, which also serves for validation.
fn one_batch() -> TrainSession {
    let all: Vec<usize> = (0..16).collect();
    let split = TrialSplit { train: all.clone(), valid: all.clone(), test: Vec::new() };
    TrainSession::new(Arc::new(synthetic_data(5, 16, 20, 24, 4)), split).unwrap()
}

fn config(n_steps: u64, max_lr: f64, schemes: &[MaskScheme]) -> TrainConfig {
    let text = format!(r#"{{ "n_steps": {n_steps} }}"#);
    let defaults: TrainConfig = serde_json::from_str(&text).unwrap();
    let schedule = OneCycle { max_lr, ..OneCycle::default() };
    TrainConfig { schedule, schemes: schemes.to_vec(), clip_norm: Some(100.0), ..defaults }
}

/// Bits per spike over the unit means on masks that training did not draw, before and after training.
fn learn<M: PopulationModel>(model: M, config: &TrainConfig) -> Vec<[f64; 2]> {
    let sessions = vec![one_batch()];
    let score = |model: &M| {
        let report = validate(model, &sessions, &config.schemes, 9, 0, 2).unwrap();
        report.schemes.iter().map(|s| s.bits_per_spike.unwrap()).collect::<Vec<f64>>()
    };
    let before = score(&model);
    let mut trainer = Trainer::new(model, sessions.clone(), config.clone(), 9, 2).unwrap();
    while trainer.steps_done() < config.n_steps {
        trainer.step().unwrap();
    }
    before.into_iter().zip(score(trainer.model())).map(|(b, a)| [b, a]).collect()
}

#[test]
fn ndt_stitch_overfits_one_batch() {
    let small = NdtStitchConfig::small(20);
    let model = NdtStitchConfig { d_model: 32, d_stitch: 32, d_embed: 64, n_layers: 2, d_mlp: 64, ..small };
    // These counts are dense: what lifts sparse ones to the size of a token would learn too fast at this rate.
    let model = NdtStitchConfig { dropout: 0.0, dropout_embed: 0.0, embed_scale: 1.0, ..model };
    let model = NdtStitch::new(model, &[one_batch().spec()], 9, &test_device()).unwrap();
    let config = config(600, 3e-3, &MaskScheme::MTM);
    for (scheme, [before, after]) in MaskScheme::MTM.iter().zip(learn(model, &config)) {
        let name = scheme.name();
        assert!(before.abs() < 0.1, "{name}: the start is the unit means, received {before} bits/spike");
        // Reached: 0.25 (intra-region) to 1.05 (inter-region); the rest is for other processors' rounding.
        assert!(after > 0.1, "{name}: {after} bits/spike after training");
    }
}

#[test]
fn linear_stitch_overfits_one_batch() {
    let model = LinearStitchConfig { n_bins: 20, d_latent: 8 };
    let model = LinearStitch::new(model, &[one_batch().spec()], 9, &test_device()).unwrap();
    let config = config(600, 1e-2, &[MaskScheme::Neuron { ratio: 0.3 }]);
    let [before, after] = learn(model, &config)[0];
    assert!(before.abs() < 0.1, "the start is the unit means, received {before} bits/spike");
    assert!(after > 0.05, "{after} bits/spike after training");
}

#[test]
fn lfads_overfits_one_batch() {
    let model = LfadsConfig { dropout: 0.0, ..LfadsConfig::small(20) };
    let model = Lfads::new(model, &[one_batch().spec()], 9, &test_device()).unwrap();
    let config = config(400, 1e-2, &[MaskScheme::CoordinatedDropout { ratio: 0.3 }]);
    let [before, after] = learn(model, &config)[0];
    assert!(before.abs() < 0.1, "the start is near the unit means, received {before} bits/spike");
    assert!(after > 0.1, "{after} bits/spike after training");
}

#[test]
fn gru_stitch_overfits_one_batch() {
    let model = GruStitchConfig { n_bins: 20, d_stitch: 24, d_hidden: 48, dropout: 0.0, clip: 5.0 };
    let model = GruStitch::new(model, &[one_batch().spec()], 9, &test_device()).unwrap();
    let config = config(400, 1e-2, &[MaskScheme::Neuron { ratio: 0.3 }]);
    let [before, after] = learn(model, &config)[0];
    assert!(before.abs() < 0.1, "the start is the unit means, received {before} bits/spike");
    assert!(after > 0.05, "{after} bits/spike after training");
}

#[test]
fn ndt1_overfits_one_batch() {
    let small = Ndt1Config { d_model: 32, n_layers: 2, d_hidden: 64, ..Ndt1Config::small(20) };
    let model = Ndt1Config { dropout: 0.0, dropout_embed: 0.0, dropout_rates: 0.0, ..small };
    let model = Ndt1::new(model, &[one_batch().spec()], 9, &test_device()).unwrap();
    // Nothing shown of what is predicted: what is learned is not copied.
    let schemes = [
        MaskScheme::Bert { ratio: 0.25, max_span: 2, zeroed: 1.0, randomized: 0.0 },
        MaskScheme::Neuron { ratio: 0.3 },
    ];
    for [before, after] in learn(model, &config(400, 3e-3, &schemes)) {
        assert!(before.abs() < 0.1, "the start is the unit means, received {before} bits/spike");
        assert!(after > 0.1, "{after} bits/spike after training");
    }
}

#[test]
fn ndt2_overfits_one_batch() {
    let small =
        Ndt2Config { patch_units: 8, d_model: 32, n_layers: 2, d_hidden: 64, ..Ndt2Config::small(20) };
    let model = Ndt2Config { dropout: 0.0, ..small };
    let model = Ndt2::new(model, &[one_batch().spec()], 9, &test_device()).unwrap();
    let schemes = [MaskScheme::Patch { ratio: 0.5, n_units: 8 }, MaskScheme::Neuron { ratio: 0.3 }];
    for [before, after] in learn(model, &config(400, 3e-3, &schemes)) {
        assert!(before.abs() < 0.15, "the start is near the unit means, received {before} bits/spike");
        assert!(after > 0.1, "{after} bits/spike after training");
    }
}
