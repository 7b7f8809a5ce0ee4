//! Configuration of decoding.

use std::collections::BTreeSet;

use neurobrick_evaluate::decoding::{N_BLOCKS, NetworkConfig};
use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BehaviorTarget, DataConfig, DecodeTarget, ModelSource};
use crate::PipelineError;

/// What is decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecodeFeature {
    /// Square roots of counts: of the whole window for labels, of each bin for behavior.
    RawCounts,
    /// Latents of factors with a power spectrum over the bins, fitted to training trials.
    TemporalFactors,
}

impl DecodeFeature {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::RawCounts => "raw_counts",
            Self::TemporalFactors => "temporal_factors",
        }
    }
}

/// Labels and behavior decoded from counts and latents by every decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecodeConfig {
    /// Seed of splits, folds, nulls and intervals; for models, that of their training.
    pub seed: u64,
    /// Sessions.
    pub sessions: Vec<SessionId>,
    /// Store, window and split.
    pub data: DataConfig,
    /// Models whose latents are decoded from.
    #[serde(default)]
    pub models: Vec<ModelSource>,
    /// What else is decoded from.
    #[serde(default = "all_features")]
    pub features: Vec<DecodeFeature>,
    /// Labels of trials.
    #[serde(default)]
    pub labels: Vec<DecodeTarget>,
    /// Continuous behavior.
    #[serde(default)]
    pub behaviors: Vec<BehaviorTarget>,
    /// Small networks beside the linear decoders; absent: none. Each is refitted for every draw of a null, which takes minutes
    /// where linear decoders take seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<NetworkConfig>,
    /// Blocks of consecutive trials within which labels are shuffled for the null.
    #[serde(default = "default_blocks")]
    pub n_blocks: usize,
    /// Draws of every null.
    #[serde(default = "hundred")]
    pub n_shuffles: usize,
    /// Resamples of the bootstrap over test trials, for behavior; labels have Wilson's intervals.
    #[serde(default = "thousand")]
    pub n_resamples: usize,
}

fn all_features() -> Vec<DecodeFeature> {
    vec![DecodeFeature::RawCounts, DecodeFeature::TemporalFactors]
}
fn default_blocks() -> usize {
    N_BLOCKS
}
fn hundred() -> usize {
    100
}
fn thousand() -> usize {
    1000
}

impl DecodeConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// If there is nothing to decode or to decode from, a name is given twice, or a number is out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        let refuse = |field: &str, message: &str| {
            Err(PipelineError::BadValue { field: field.to_owned(), message: message.to_owned() })
        };
        if self.sessions.is_empty() {
            return refuse("sessions", "name at least one session");
        }
        if self.labels.is_empty() && self.behaviors.is_empty() {
            return refuse("labels", "name a label or a behavior; there is nothing to decode");
        }
        if self.features.is_empty() && self.models.is_empty() {
            return refuse("features", "name features or models; there is nothing to decode from");
        }
        let targets = self.labels.iter().map(DecodeTarget::name);
        let targets = targets.chain(self.behaviors.iter().map(|behavior| behavior.name.as_str()));
        if let Some(name) = twice(targets) {
            return refuse(
                "labels",
                &format!("two targets are called `{name}`; their rows could not be told apart"),
            );
        }
        if let Some(name) = twice(self.features.iter().map(|feature| feature.name())) {
            return refuse("features", &format!("`{name}` is listed twice"));
        }
        // The names of features that are not asked for are taken as well: in a table they mean one thing only.
        let known = all_features();
        let features = known.iter().map(|feature| feature.name());
        if let Some(name) = twice(features.chain(self.models.iter().map(|model| model.name.as_str()))) {
            let message = format!("the name `{name}` is taken by a feature or another model; choose another");
            return refuse("models", &message);
        }
        for label in &self.labels {
            label.validate("labels")?;
        }
        for behavior in &self.behaviors {
            behavior.validate()?;
        }
        if let Some((field, message)) = self.networks.as_ref().and_then(NetworkConfig::problem) {
            return refuse(&format!("networks.{field}"), message);
        }
        if self.n_blocks == 0 {
            return refuse("n_blocks", "must be positive");
        }
        if self.n_shuffles < 20 {
            return refuse("n_shuffles", "needs at least 20 to tell one in twenty");
        }
        if self.n_resamples < 100 {
            return refuse("n_resamples", "needs at least 100 for an interval");
        }
        Ok(())
    }
}

/// The first name that occurs a second time.
fn twice<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut known = BTreeSet::new();
    names.find(|name| !known.insert(*name))
}
