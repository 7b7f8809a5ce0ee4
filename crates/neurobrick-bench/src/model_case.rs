//! Six models beside NDT-1-stitch, each with a batch, at the sizes for CPUs that configurations of this repository name.

use neurobrick_core::MaskScheme;
use neurobrick_models::{ModelConfig, NedsConfig, NedsLabel, NedsModalities, PoyoConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{BenchError, Work};

/// Where NDT-1, NDT-2 and the recurrent network stand, among others.
const ZOO: (&str, &str) = ("zoo.toml", include_str!("../../../fixtures/configs/zoo.toml"));
const MC_MAZE: (&str, &str) =
    ("lfads/mc_maze_20ms.toml", include_str!("../../../fixtures/configs/lfads/mc_maze_20ms.toml"));
const NEDS: (&str, &str) =
    ("neds/pretrain.toml", include_str!("../../../fixtures/configs/neds/pretrain.toml"));
const POYO: (&str, &str) =
    ("poyo/pretrain.toml", include_str!("../../../fixtures/configs/poyo/pretrain.toml"));

/// A model of this repository, a session and a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCase {
    /// Short name, for tables.
    pub name: String,
    /// The model and what it is asked.
    pub network: Network,
    /// Units of the session.
    pub n_units: usize,
    /// Windows of a batch.
    pub batch_size: usize,
}

/// A model by what it reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reads", rename_all = "snake_case", deny_unknown_fields)]
pub enum Network {
    /// Counts of which a scheme hides some.
    Counts {
        /// Sizes and dropout.
        model: ModelConfig,
        /// What is hidden.
        scheme: MaskScheme,
    },
    /// Counts and labels, of which mixed masking hides some.
    Modalities {
        /// Sizes and dropout.
        model: NedsConfig,
        /// What there is beside spikes.
        modalities: NedsModalities,
    },
    /// Single spikes, from which values are decoded.
    Spikes {
        /// Sizes and dropout.
        model: PoyoConfig,
        /// Spikes of a window, on average.
        n_spikes: usize,
        /// Times at which a window is decoded.
        n_outputs: usize,
    },
}

impl ModelCase {
    /// All models beside NDT-1-stitch but the linear one, each at the sizes of its configuration for CPUs; LFADS at those
    /// of `MC_Maze` in bins of 20 ms.
    ///
    /// # Errors
    /// If a configuration lacks its model.
    pub fn all() -> Result<Vec<Self>, BenchError> {
        let case = |name: &str, network, n_units, batch_size| Self {
            name: name.to_owned(),
            network,
            n_units,
            batch_size,
        };
        // As published with each: half of the patches of NDT-2; spans of bins of NDT-1, here as MtM hides bins.
        let counts = |model: ModelConfig, scheme| Network::Counts { model, scheme };
        let ndt1 = counts(rival("ndt1")?, MaskScheme::Temporal { ratio: 0.3 });
        let ndt2 = counts(rival("ndt2")?, MaskScheme::Patch { ratio: 0.5, n_units: 128 });
        let gru = counts(rival("gru_stitch")?, MaskScheme::Neuron { ratio: 0.3 });
        let lfads = parsed(MC_MAZE, table(MC_MAZE)?)?;
        let lfads = counts(lfads, MaskScheme::CoordinatedDropout { ratio: 0.3 });
        let label = |name: &str, n_classes| NedsLabel { name: name.to_owned(), n_classes };
        // Those of its configuration.
        let labels = vec![
            label("choice", 2),
            label("outcome", 2),
            label("contrast_left", 4),
            label("contrast_right", 4),
        ];
        let modalities = NedsModalities { labels, behaviors: Vec::new() };
        let neds = Network::Modalities { model: own_model(NEDS)?, modalities };
        let poyo = Network::Spikes { model: own_model(POYO)?, n_spikes: 160, n_outputs: 25 };
        Ok(vec![
            case("ndt1", ndt1, 1000, 16),
            case("ndt2", ndt2, 1000, 16),
            case("lfads", lfads, 182, 256),
            case("neds", neds, 400, 16),
            case("poyo", poyo, 20, 8),
            case("gru_stitch", gru, 1000, 16),
        ])
    }

    /// Sizes in words, for people.
    pub fn describe(&self) -> String {
        let Self { name, network, n_units, batch_size } = self;
        match network {
            Network::Counts { model, scheme } => format!(
                "{name}: batch {batch_size} x {} bins x {n_units} units, `{}` masks",
                model.n_bins(),
                scheme.name()
            ),
            Network::Modalities { model, modalities } => format!(
                "{name}: batch {batch_size} x {} bins x {n_units} units and {} labels; {} layers of {}",
                model.n_bins,
                modalities.labels.len(),
                model.n_layers,
                model.d_model
            ),
            Network::Spikes { model, n_spikes, n_outputs } => format!(
                "{name}: batch {batch_size} x {n_spikes} spikes of {n_units} units, {n_outputs} outputs; {} layers of {}",
                model.n_layers, model.d_model
            ),
        }
    }

    /// Kinds of work that are timed.
    pub const WORKS: [Work; 2] = [Work::Train, Work::Forward];
}

type File = (&'static str, &'static str);

fn table((name, text): File) -> Result<toml::Table, BenchError> {
    text.parse().map_err(|e| fault(name, e))
}

fn fault(name: &str, reason: impl std::fmt::Display) -> BenchError {
    BenchError::Config { name: name.to_owned(), reason: reason.to_string() }
}

fn parsed<T: DeserializeOwned>((name, _): File, table: toml::Table) -> Result<T, BenchError> {
    table.try_into().map_err(|e| fault(name, e))
}

/// The model of a rival in the zoo.
fn rival(kind: &str) -> Result<ModelConfig, BenchError> {
    let zoo = table(ZOO)?;
    let rivals = zoo.get("rivals").and_then(toml::Value::as_array).into_iter().flatten();
    let models = rivals.filter_map(|rival| rival.get("model")?.as_table());
    let is_own = |model: &&toml::Table| model.get("kind").and_then(toml::Value::as_str) == Some(kind);
    let model = models.into_iter().find(is_own);
    parsed(ZOO, model.cloned().ok_or_else(|| fault(ZOO.0, format!("has no model of kind `{kind}`")))?)
}

/// The `[model]` of a configuration of one kind.
fn own_model<T: DeserializeOwned>(file: File) -> Result<T, BenchError> {
    let model = table(file)?.remove("model");
    let Some(toml::Value::Table(mut model)) = model else { return Err(fault(file.0, "has no [model]")) };
    model.remove("kind");
    parsed(file, model)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn every_configuration_is_found_and_travels() {
        let cases = ModelCase::all().unwrap();
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["ndt1", "ndt2", "lfads", "neds", "poyo", "gru_stitch"]);
        for case in cases {
            let line = serde_json::to_string(&case).unwrap();
            assert_eq!(serde_json::from_str::<ModelCase>(&line).unwrap(), case);
        }
        let message = rival("ndt9").unwrap_err().to_string();
        assert!(message.contains("zoo.toml") && message.contains("ndt9"), "{message}");
    }
}
