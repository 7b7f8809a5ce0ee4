//! The JSON Schemas in `docs/schema` are those of the code, and the shipped configurations load.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use neurobrick::config::{
    AuditConfig, BwbConfig, DecodeConfig, DemoConfig, EvaluateConfig, FinetuneConfig, FinetuneDecoderConfig,
    FinetuneNedsConfig, PretrainConfig, PretrainDecoderConfig, Pretraining, ScaleConfig, TransferConfig,
    json_schemas, load,
};
use neurobrick::models::{NedsConfig, PoyoConfig};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_schemas_in_the_docs_are_those_of_the_code() {
    for (verb, schema) in json_schemas() {
        let path = root().join(format!("docs/schema/{verb}.schema.json"));
        let written: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(written, *schema.as_value(), "{verb}: run `cargo xtask schema`");
    }
}

#[test]
fn every_shipped_configuration_loads_and_is_in_range() {
    let config = |name: &str| root().join("fixtures/configs").join(name);
    for name in ["demo.toml", "demo_smoke.toml"] {
        let demo: DemoConfig = load(&config(name)).unwrap();
        demo.model.validate().unwrap();
        for train in [&demo.pretrain, &demo.finetune, &demo.new_stitch, &demo.from_scratch] {
            train.validate().unwrap();
        }
        assert_eq!(demo.window.n_bins().unwrap(), demo.model.n_bins(), "{name}");
        let both = demo.pretrain_sessions.iter().find(|s| demo.finetune_sessions.contains(s));
        assert_eq!(both, None, "{name}: a session is both seen and unseen");
    }
    for name in ["pretrain.toml", "lfads/pretrain.toml"] {
        let pretrain: PretrainConfig = load(&config(name)).unwrap();
        pretrain.train.validate().unwrap();
        pretrain.alignment.unwrap().validate().unwrap();
    }
    for name in ["finetune.toml", "lfads/finetune.toml", "from_scratch.toml", "gru_stitch/from_scratch.toml"]
    {
        load::<FinetuneConfig>(&config(name)).unwrap().train.validate().unwrap();
    }
    for name in ["pretrain.toml", "published_small.toml"] {
        let Pretraining::Decoder(pretrain) = Pretraining::load(&config("poyo").join(name)).unwrap() else {
            panic!("{name} trains a decoder");
        };
        pretrain.validate().unwrap();
    }
    let published: PretrainDecoderConfig = load(&config("poyo/published_small.toml")).unwrap();
    assert_eq!(published.model.sizes(), &PoyoConfig::small(2));
    let tune: FinetuneDecoderConfig = load(&config("poyo/finetune.toml")).unwrap();
    tune.validate().unwrap();
    load::<DecodeConfig>(&config("poyo/decode.toml")).unwrap().validate().unwrap();
    let scratch: FinetuneDecoderConfig = load(&config("poyo/head_direction.toml")).unwrap();
    scratch.validate().unwrap();
    load::<DecodeConfig>(&config("poyo/head_direction_decode.toml")).unwrap().validate().unwrap();
    for name in ["pretrain.toml", "published.toml"] {
        let Pretraining::Neds(pretrain) = Pretraining::load(&config("neds").join(name)).unwrap() else {
            panic!("{name} trains NEDS");
        };
        pretrain.validate().unwrap();
        if name == "published.toml" {
            assert_eq!(pretrain.model.sizes(), &NedsConfig::published());
        }
    }
    load::<FinetuneNedsConfig>(&config("neds/finetune.toml")).unwrap().validate().unwrap();
    load::<DecodeConfig>(&config("neds/decode.toml")).unwrap().validate().unwrap();
    for name in ["evaluate.toml", "mtm.toml", "two_alternative.toml"] {
        load::<EvaluateConfig>(&config(name)).unwrap().validate().unwrap();
    }
    load::<BwbConfig>(&config("bwb.toml")).unwrap().validate().unwrap();
    for name in ["audit.toml", "audit_sessions.toml"] {
        load::<AuditConfig>(&config(name)).unwrap().validate().unwrap();
    }
    load::<DecodeConfig>(&config("decode.toml")).unwrap().validate().unwrap();
    load::<ScaleConfig>(&config("scale.toml")).unwrap().validate().unwrap();
    for name in ["transfer.toml", "transfer_curve.toml", "zoo.toml"] {
        load::<TransferConfig>(&config(name)).unwrap().validate().unwrap();
    }
}
