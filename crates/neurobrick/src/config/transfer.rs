//! Configuration of the transfer protocol.

use std::path::PathBuf;

use neurobrick_data::{SplitConfig, WindowConfig};
use neurobrick_models::ModelConfig;
use neurobrick_schema::SessionId;
use neurobrick_train::TrainConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ScoringConfig;
use crate::PipelineError;

/// Pretraining on all but one group of sessions, in turn; every session is met unseen once, with few or many trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferConfig {
    /// Seeds of splits, weights and masks; the whole protocol runs once for each.
    pub seeds: Vec<u64>,
    /// Folders of recordings to ingest.
    pub recordings: Vec<PathBuf>,
    /// Groups of sessions, by animal for instance. Each group is left out once; pretraining reads all others.
    pub groups: Vec<Vec<SessionId>>,
    /// Calibration trials (training and validation) a new session offers; all its trials are always tried as well.
    pub calibration: Vec<usize>,
    /// The window cut from every trial.
    pub window: WindowConfig,
    /// Fractions of trials.
    #[serde(default)]
    pub split: SplitConfig,
    /// The model.
    pub model: ModelConfig,
    /// How to pretrain.
    pub pretrain: TrainConfig,
    /// How to fine-tune.
    pub finetune: TrainConfig,
    /// How to train the control from scratch: as many steps and as high a rate as serve it best.
    pub from_scratch: TrainConfig,
    /// What is scored.
    #[serde(default)]
    pub scoring: ScoringConfig,
}

impl TransferConfig {
    /// Checks everything before the first step.
    ///
    /// # Errors
    /// If a value is out of range, there are fewer than two groups, or a session is in two.
    pub fn validate(&self) -> Result<(), PipelineError> {
        self.model.validate()?;
        for train in [&self.pretrain, &self.finetune, &self.from_scratch] {
            train.validate()?;
        }
        self.scoring.validate()?;
        let refuse =
            |field: &str, message: String| Err(PipelineError::BadValue { field: field.to_owned(), message });
        if self.seeds.is_empty() {
            return refuse("seeds", "name at least one seed".to_owned());
        }
        if self.groups.len() < 2 || self.groups.iter().any(Vec::is_empty) {
            return refuse("groups", "name at least two groups of sessions, none of them empty".to_owned());
        }
        if let Some(few) = self.calibration.iter().find(|&&n| n < 2) {
            let message = format!("{few} trials cannot both train and validate; name 2 or more");
            return refuse("calibration", message);
        }
        if self.split.max_calibration.is_some() {
            return refuse("split.max_calibration", "is what `calibration` varies; leave it out".to_owned());
        }
        let all: Vec<&SessionId> = self.groups.iter().flatten().collect();
        match all.iter().enumerate().find(|(i, session)| all[..*i].contains(session)) {
            Some((_, twice)) => refuse("groups", format!("{twice} is listed twice")),
            None => Ok(()),
        }
    }
}
