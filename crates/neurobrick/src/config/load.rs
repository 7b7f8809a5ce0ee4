//! Strict loading of TOML and YAML, with errors that say where and what was meant.

use std::fs;
use std::path::Path;

use schemars::{Schema, schema_for};
use serde::de::DeserializeOwned;

use super::{
    AuditConfig, BwbConfig, DecodeConfig, DemoConfig, EvaluateConfig, FinetuneConfig, FinetuneDecoderConfig,
    FinetuneNedsConfig, ImportConfig, ImportDecoderConfig, ImportNedsConfig, PretrainConfig,
    PretrainDecoderConfig, PretrainNedsConfig, ScaleConfig, TransferConfig,
};
use crate::PipelineError;

/// Reads a configuration: `.toml`, `.yaml` or `.yml`.
///
/// # Errors
/// If the file cannot be read, has another ending, an unknown key, or a value of the wrong type. The message shows
/// the line and, for an unknown key, the nearest valid one.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, PipelineError> {
    let text = fs::read_to_string(path).map_err(|e| PipelineError::Config {
        path: path.to_owned(),
        message: format!("cannot be read: {e}"),
    })?;
    let parsed = match path.extension().and_then(|e| e.to_str()) {
        Some("toml") => toml::from_str(&text).map_err(|e| e.to_string()),
        Some("yaml" | "yml") => {
            serde_saphyr::from_str(&text).map_err(|e| e.to_string().trim_start_matches("error: ").to_owned())
        }
        _ => Err("a configuration ends in .toml, .yaml or .yml".to_owned()),
    };
    parsed.map_err(|message| PipelineError::Config {
        path: path.to_owned(),
        message: with_suggestion(&message),
    })
}

/// Parses TOML text; `name` stands for the file in messages.
///
/// # Errors
/// As [`load`].
pub fn parse_toml<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, PipelineError> {
    toml::from_str(text)
        .map_err(|e| PipelineError::Config { path: name.into(), message: with_suggestion(&e.to_string()) })
}

/// JSON Schemas of the configuration files, by verb; editors complete from them.
pub fn json_schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("demo", schema_for!(DemoConfig)),
        ("pretrain", schema_for!(PretrainConfig)),
        ("finetune", schema_for!(FinetuneConfig)),
        ("pretrain_decoder", schema_for!(PretrainDecoderConfig)),
        ("finetune_decoder", schema_for!(FinetuneDecoderConfig)),
        ("pretrain_neds", schema_for!(PretrainNedsConfig)),
        ("finetune_neds", schema_for!(FinetuneNedsConfig)),
        ("evaluate", schema_for!(EvaluateConfig)),
        ("bwb", schema_for!(BwbConfig)),
        ("transfer", schema_for!(TransferConfig)),
        ("audit", schema_for!(AuditConfig)),
        ("decode", schema_for!(DecodeConfig)),
        ("scale", schema_for!(ScaleConfig)),
        ("import", schema_for!(ImportConfig)),
        ("import_decoder", schema_for!(ImportDecoderConfig)),
        ("import_neds", schema_for!(ImportNedsConfig)),
    ]
}

/// Appends the nearest valid key to serde's message on an unknown one.
fn with_suggestion(message: &str) -> String {
    let message = message.trim_end();
    let quoted: Vec<&str> = message
        .find("unknown field")
        .or_else(|| message.find("unknown variant"))
        .map(|at| message[at..].split('`').skip(1).step_by(2).collect())
        .unwrap_or_default();
    let Some((received, known)) = quoted.split_first() else { return message.to_owned() };
    let nearest = known
        .iter()
        .filter(|k| *k != received)
        .map(|k| (strsim::damerau_levenshtein(received, k), k))
        .min()
        .filter(|(distance, k)| *distance <= 1 + k.len() / 3);
    match nearest {
        Some((_, key)) => format!("{message}\ndid you mean `{key}`?"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use neurobrick_models::ModelConfig;
    use neurobrick_train::TrainConfig;

    #[test]
    fn an_unknown_key_is_refused_with_line_and_nearest_key() {
        let text = "n_steps = 10\nbatchsize = 4\n";
        let message = parse_toml::<TrainConfig>("run.toml", text).unwrap_err().to_string();
        assert!(message.contains("run.toml"), "{message}");
        assert!(message.contains("line 2"), "{message}");
        assert!(message.contains("did you mean `batch_size`?"), "{message}");
    }

    #[test]
    fn an_unknown_scheme_is_refused_with_the_nearest_one() {
        let text = "n_steps = 10\nschemes = [{ scheme = \"neurons\", ratio = 0.3 }]\n";
        let message = parse_toml::<TrainConfig>("run.toml", text).unwrap_err().to_string();
        assert!(message.contains("did you mean `neuron`?"), "{message}");
    }

    #[test]
    fn what_is_wrong_within_a_model_is_named_with_its_key() {
        let small = "kind = \"gru_stitch\"\nn_bins = 40\nd_stitch = 64\nd_hidden = 128\ndropout = 0.2\n";
        let refused = |from: &str, to: &str| {
            parse_toml::<ModelConfig>("run.toml", &small.replace(from, to)).unwrap_err().to_string()
        };
        assert!(parse_toml::<ModelConfig>("run.toml", small).is_ok());
        let wrong_type = refused("n_bins = 40", "n_bins = \"40\"");
        assert!(wrong_type.contains("`n_bins`: invalid type: string \"40\", expected usize"), "{wrong_type}");
        let misspelt = refused("d_hidden", "d_hiddens");
        assert!(misspelt.contains("did you mean `d_hidden`?"), "{misspelt}");
        let missing = refused("n_bins = 40", "");
        assert!(missing.contains("missing field `n_bins`"), "{missing}");
        let other_kind = refused("gru_stitch", "gru_stitches");
        assert!(other_kind.contains("did you mean `gru_stitch`?"), "{other_kind}");
        let no_kind = refused("kind = \"gru_stitch\"", "");
        assert!(no_kind.contains("missing field `kind`"), "{no_kind}");
    }

    #[test]
    fn toml_and_yaml_give_the_same() {
        let folder = std::env::temp_dir().join(format!("neurobrick-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (toml, yaml) = (folder.join("a.toml"), folder.join("a.yaml"));
        fs::write(&toml, "n_steps = 10\nclip_norm = 1.0\n[schedule]\nmax_lr = 0.01\n").unwrap();
        fs::write(&yaml, "n_steps: 10\nclip_norm: 1.0\nschedule:\n  max_lr: 0.01\n").unwrap();
        assert_eq!(load::<TrainConfig>(&toml).unwrap(), load::<TrainConfig>(&yaml).unwrap());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn every_verb_has_a_schema() {
        for (verb, schema) in json_schemas() {
            assert!(schema.get("properties").is_some(), "{verb}");
        }
    }
}
