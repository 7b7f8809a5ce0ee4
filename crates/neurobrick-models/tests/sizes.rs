//! Sizes: stored configurations load, and the published one has the published numbers of parameters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use burn::tensor::Device;
use neurobrick_core::weights::state_dict;
use neurobrick_core::{ModelError, SessionSpec};
use neurobrick_models::{LinearStitchConfig, ModelConfig, NdtStitch, NdtStitchConfig};
use neurobrick_schema::SessionId;

fn stored(name: &str) -> ModelConfig {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/configs/ndt_stitch");
    let text = std::fs::read_to_string(format!("{folder}/{name}.toml")).unwrap();
    let config: ModelConfig = toml::from_str(&text).unwrap();
    config.validate().unwrap();
    config
}

#[test]
fn stored_configurations_are_those_of_the_code() {
    assert_eq!(stored("ibl_mtm"), ModelConfig::NdtStitch(NdtStitchConfig::published()));
    assert_eq!(stored("steinmetz_small"), ModelConfig::NdtStitch(NdtStitchConfig::small(40)));
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
