//! Sizes: stored configurations load, and the published one has the published numbers of parameters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use burn::tensor::Device;
use neurobrick_core::weights::state_dict;
use neurobrick_core::{ModelError, SessionSpec};
use neurobrick_models::{
    GruStitchConfig, Lfads, LfadsConfig, LinearStitchConfig, ModelConfig, NdtStitch, NdtStitchConfig,
};
use neurobrick_schema::SessionId;

fn stored(name: &str) -> ModelConfig {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/configs");
    let text = std::fs::read_to_string(format!("{folder}/{name}.toml")).unwrap();
    let config: ModelConfig = toml::from_str(&text).unwrap();
    config.validate().unwrap();
    config
}

#[test]
fn stored_configurations_are_those_of_the_code() {
    assert_eq!(stored("ndt_stitch/ibl_mtm"), ModelConfig::NdtStitch(NdtStitchConfig::published()));
    assert_eq!(stored("ndt_stitch/steinmetz_small"), ModelConfig::NdtStitch(NdtStitchConfig::small(40)));
    assert_eq!(stored("lfads/small"), ModelConfig::Lfads(LfadsConfig::small(50)));
    for (name, n_bins) in [("lfads/mc_maze_20ms", 45), ("lfads/lorenz", 50), ("lfads/chaotic_rnn", 100)] {
        let config = stored(name);
        assert_eq!((config.kind(), config.n_bins()), ("lfads", n_bins), "{name}");
    }
    assert_eq!(stored("gru_stitch/small").kind(), "gru_stitch");
}

#[test]
fn misspelled_keys_and_values_out_of_range_are_refused() {
    let good = toml::to_string(&ModelConfig::NdtStitch(NdtStitchConfig::small(40))).unwrap();
    let parse = |text: &str| toml::from_str::<ModelConfig>(text);
    assert!(parse(&good).is_ok());
    for (from, to) in [("n_heads", "n_head"), ("\"ndt_stitch\"", "\"ndt\""), ("d_model = 128\n", "")] {
        assert!(good.contains(from), "{good}");
        assert!(parse(&good.replace(from, to)).is_err(), "{from} -> {to}");
    }
    let small = NdtStitchConfig::small(40);
    let refused = |config: ModelConfig, wanted: &str| match config.validate() {
        Err(ModelError::BadConfig { field, .. }) => assert_eq!(field, wanted),
        other => panic!("{wanted}: {other:?}"),
    };
    for (config, field) in [
        (NdtStitchConfig { n_bins: 0, ..small.clone() }, "n_bins"),
        (NdtStitchConfig { n_heads: 5, ..small.clone() }, "n_heads"),
        (NdtStitchConfig { dropout: 1.0, ..small.clone() }, "dropout"),
        (NdtStitchConfig { dropout_embed: f64::NAN, ..small.clone() }, "dropout_embed"),
        (NdtStitchConfig { read_out_scale: 0.0, ..small.clone() }, "read_out_scale"),
        (NdtStitchConfig { embed_std: f64::INFINITY, ..small.clone() }, "embed_std"),
    ] {
        refused(ModelConfig::NdtStitch(config), field);
    }
    refused(ModelConfig::LinearStitch(LinearStitchConfig { n_bins: 10, d_latent: 0 }), "d_latent");
    let small = LfadsConfig::small(10);
    for (config, field) in [
        (LfadsConfig { n_forward_bins: 10, ..small.clone() }, "n_forward_bins"),
        (LfadsConfig { n_forward_bins: 4, n_ic_bins: 6, ..small.clone() }, "n_ic_bins"),
        (LfadsConfig { d_controller: 0, ..small.clone() }, "d_controller"),
        (LfadsConfig { d_read_in: Some(0), ..small.clone() }, "d_read_in"),
        (LfadsConfig { clip: f64::INFINITY, ..small.clone() }, "clip"),
        (LfadsConfig { kl_inputs: -1.0, ..small.clone() }, "kl_inputs"),
    ] {
        refused(ModelConfig::Lfads(config), field);
    }
    let gru = GruStitchConfig { n_bins: 10, d_stitch: 4, d_hidden: 0, dropout: 0.0, clip: 5.0 };
    refused(ModelConfig::GruStitch(gru), "d_hidden");
}

/// The published counts, computed from the reference's layer sizes. MtM also builds a decoder of 342,684
/// parameters that stitching never uses, and a table of 40 session tokens; ours has one row for each session.
#[test]
fn the_published_model_has_the_published_number_of_parameters() {
    let spec = |id: &str, n_units| SessionSpec {
        session: SessionId::new(id).unwrap(),
        n_units,
        log_mean_rates: None,
    };
    let sessions = [spec("a", 100), spec("b", 7)];
    let model = NdtStitch::new(NdtStitchConfig::published(), &sessions, 1, &Device::flex()).unwrap();
    let state = state_dict(&model);
    let count = |prefix: &str| -> usize {
        let of_part = state.iter().filter(|(path, _)| path.starts_with(prefix));
        of_part.map(|(_, data)| data.shape().num_elements()).sum()
    };
    for (prefix, expected) in [
        ("layers.0.", 2_102_784),
        ("layers.", 5 * 2_102_784),
        ("out_norm.", 1_024),
        ("embed_spikes.", 893_784),
        ("projection.", 684_544),
        ("embed_pos.", 51_200),
        ("embed_prompt.", 2_048),
        ("embed_session.", 2 * 512),
        ("stitches.0.", 1181 * 100 + 668),
        ("stitches.1.", 1181 * 7 + 668),
    ] {
        assert_eq!(count(prefix), expected, "{prefix}");
    }
    assert_eq!(count("layers.") + count("out_norm."), 10_514_944);
    let shared = count("") - count("stitches.") - count("embed_session.");
    assert_eq!(shared, 12_146_520);
    // With MtM's table of 40 sessions: "about 12.17 M".
    assert_eq!(shared + 40 * 512, 12_167_000);
}

/// Counted from the reference's layer sizes for 182 units that drive the encoders directly (the reference reads 137 of
/// them): `lfads-torch` adds recurrent biases, frozen at zero, which are left out here.
#[test]
fn lfads_for_mc_maze_has_the_numbers_of_parameters_of_the_reference() {
    let ModelConfig::Lfads(config) = stored("lfads/mc_maze_20ms") else { panic!("not LFADS") };
    let spec = SessionSpec { session: SessionId::new("maze").unwrap(), n_units: 182, log_mean_rates: None };
    let model = Lfads::new(config, &[spec], 1, &Device::flex()).unwrap();
    let state = state_dict(&model);
    let count = |prefix: &str| -> usize {
        let of_part = state.iter().filter(|(path, _)| path.starts_with(prefix));
        of_part.map(|(_, data)| data.shape().num_elements()).sum()
    };
    for (prefix, expected) in [
        ("stitches.0.drive.", 2 * (6 * 64 * 182 + 6 * 64)),
        ("stitches.0.read_out.", 100 * 182 + 182),
        ("encoder.ic.", 2 * 3 * 64 * 64 + 2 * 64),
        ("encoder.ci.", 2 * 3 * 64 * 64 + 2 * 64),
        ("encoder.to_initial.", 128 * 128 + 128),
        ("generator.cell.", 3 * 200 * 200),
        ("generator.bias", 3 * 200),
        ("generator.from_initial.", 64 * 200 + 200),
        ("generator.to_factors.", 200 * 100),
        ("generator.controller.", 3 * 64 * (128 + 100 + 64) + 3 * 64 + 64 + 64 * 8 + 8 + 4 * 3 * 200),
        ("initial_prior.", 64),
        ("input_prior.", 8),
    ] {
        assert_eq!(count(prefix), expected, "{prefix}");
    }
}
