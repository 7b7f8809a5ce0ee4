//! Configuration of the transfer protocol.

use std::path::PathBuf;

use neurobrick_data::{SplitConfig, SplitOrder, UnitFilter, WindowConfig};
use neurobrick_evaluate::evaluation::{CURVE_PREFIX, is_reserved};
use neurobrick_models::ModelConfig;
use neurobrick_schema::SessionId;
use neurobrick_train::TrainConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AlignmentConfig, ScoringConfig, StackAblation, StackConfig, check_model, check_train};
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
    /// Sessions that are never left out: they teach, and are not scored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pretrain_only: Vec<SessionId>,
    /// Calibration trials (training and validation together) a new session offers; all its trials are always tried as
    /// well.
    pub calibration: Vec<usize>,
    /// The window cut from every trial.
    pub window: WindowConfig,
    /// Fractions of trials.
    #[serde(default)]
    pub split: SplitConfig,
    /// Units that are good enough; all where nothing is said.
    #[serde(default, skip_serializing_if = "UnitFilter::is_empty")]
    pub units: UnitFilter,
    /// What closed forms learn from the pretraining sessions.
    #[serde(default)]
    pub stack: StackConfig,
    /// Numbers of pretraining sessions for the curve of gain: for each, a stack also learns from as many of the sessions
    /// that are not left out, drawn by seed, smaller sets within larger ones. A group that leaves fewer has no such
    /// point.
    #[serde(default)]
    pub pretraining_sessions: Vec<usize>,
    /// Stacks with parts left out, scored on trials of the left-out sessions that are no test trials.
    #[serde(default)]
    pub ablations: Vec<StackAblation>,
    /// The network, and how it is trained; absent: closed forms and rivals only.
    pub network: Option<NetworkConfig>,
    /// Other networks in the same tables, the published recipe for instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<RivalConfig>,
    /// What is scored.
    #[serde(default)]
    pub scoring: ScoringConfig,
}

/// A network that is pretrained and fine-tuned as the first is, without a control of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RivalConfig {
    /// Name in tables and of its folders.
    pub name: String,
    /// The numbers in the protocol's `calibration` at which it is trained; it always is on all trials.
    pub calibration: Vec<usize>,
    /// The model.
    pub model: ModelConfig,
    /// Layers of sessions that start from a closed form in pretraining, and when a session is met; absent: at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<AlignmentConfig>,
    /// How to pretrain.
    pub pretrain: TrainConfig,
    /// How to fine-tune.
    pub finetune: TrainConfig,
}

/// The network of the protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The numbers in `calibration` at which it is trained; it always is on all trials.
    pub calibration: Vec<usize>,
    /// The model.
    pub model: ModelConfig,
    /// Layers of sessions that start from a closed form in pretraining, when a session is met, and in the control from scratch
    /// by conditions of its own; absent: at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<AlignmentConfig>,
    /// How to pretrain.
    pub pretrain: TrainConfig,
    /// How to fine-tune.
    pub finetune: TrainConfig,
    /// How to train the control from scratch: as many steps and as high a rate as serve it best.
    pub from_scratch: TrainConfig,
}

impl TransferConfig {
    /// Checks everything before the first step.
    ///
    /// # Errors
    /// If a value is out of range, no session would be left to learn from, a session is listed twice, or a network has no
    /// name of its own.
    pub fn validate(&self) -> Result<(), PipelineError> {
        self.stack.validate()?;
        self.scoring.validate()?;
        let refuse =
            |field: &str, message: String| Err(PipelineError::BadValue { field: field.to_owned(), message });
        if self.seeds.is_empty() {
            return refuse("seeds", "name at least one seed".to_owned());
        }
        let n_parts = self.groups.len() + usize::from(!self.pretrain_only.is_empty());
        if self.groups.is_empty() || n_parts < 2 || self.groups.iter().any(Vec::is_empty) {
            let message =
                "name at least two groups of sessions, none of them empty; or one, and `pretrain_only`";
            return refuse("groups", message.to_owned());
        }
        if let Some(few) = self.calibration.iter().find(|&&n| n < 2) {
            let message = format!("{few} trials cannot both train and validate; name 2 or more");
            return refuse("calibration", message);
        }
        if self.network.is_none() && self.rivals.is_empty() && self.stack.calibration.is_empty() {
            return refuse(
                "network",
                "without network, rivals and stack there is nothing to transfer".to_owned(),
            );
        }
        self.validate_networks()?;
        self.validate_curve()?;
        self.validate_ablations()?;
        if !self.calibration.is_empty() && matches!(self.split.order, SplitOrder::Blocks(_)) {
            let message = "blocks of time cannot be cut to numbers of trials; choose another order, or leave `calibration` empty";
            return refuse("split.order", message.to_owned());
        }
        if self.split.max_calibration.is_some() {
            return refuse("split.max_calibration", "is what `calibration` varies; leave it out".to_owned());
        }
        let all: Vec<&SessionId> = self.sessions().collect();
        match all.iter().enumerate().find(|(i, session)| all[..*i].contains(session)) {
            Some((_, twice)) => refuse("groups", format!("{twice} is listed twice")),
            None => Ok(()),
        }
    }

    /// All sessions: those of the groups in their order, then those that are never left out.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionId> {
        self.groups.iter().flatten().chain(&self.pretrain_only)
    }

    /// Fails on networks that cannot be trained, or be told apart.
    fn validate_networks(&self) -> Result<(), PipelineError> {
        let refuse =
            |field: &str, message: String| Err(PipelineError::BadValue { field: field.to_owned(), message });
        let mut trained = Vec::new();
        if let Some(NetworkConfig { calibration, model, pretrain, finetune, from_scratch, .. }) =
            &self.network
        {
            let tables = [("pretrain", pretrain), ("finetune", finetune), ("from_scratch", from_scratch)];
            trained.push(("network", model, calibration, tables.to_vec()));
        }
        let aligned =
            self.network.iter().map(|n| &n.alignment).chain(self.rivals.iter().map(|r| &r.alignment));
        aligned.flatten().try_for_each(AlignmentConfig::validate)?;
        for RivalConfig { calibration, model, pretrain, finetune, .. } in &self.rivals {
            trained.push((
                "rivals",
                model,
                calibration,
                vec![("pretrain", pretrain), ("finetune", finetune)],
            ));
        }
        for (field, model, calibration, tables) in trained {
            check_model(model, &self.window)?;
            for (name, train) in tables {
                check_train(&format!("{field}.{name}"), train)?;
            }
            if let Some(other) = calibration.iter().find(|n| !self.calibration.contains(n)) {
                let message = format!("{other} is not in `calibration`; add it there");
                return refuse(&format!("{field}.calibration"), message);
            }
        }
        let names: Vec<&str> = self.rivals.iter().map(|rival| rival.name.as_str()).collect();
        for (i, name) in names.iter().enumerate() {
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || !name.chars().all(is_word) {
                return refuse("rivals.name", format!("`{name}` names folders; use a-z, 0-9 and _"));
            }
            let is_taken = ["fine_tuned", "from_scratch", "stack", "pretrain"].contains(name)
                || is_reserved(name)
                || name.starts_with(CURVE_PREFIX);
            if is_taken || names[..i].contains(name) {
                return refuse("rivals.name", format!("`{name}` is taken; choose another"));
            }
        }
        Ok(())
    }

    /// Fails on ablations of nothing, and on penalties that are none.
    fn validate_ablations(&self) -> Result<(), PipelineError> {
        let refuse =
            |message: String| Err(PipelineError::BadValue { field: "ablations".to_owned(), message });
        if !self.ablations.is_empty() && self.stack.calibration.is_empty() {
            return refuse("are of the stack; name `stack.calibration`, or leave them out".to_owned());
        }
        let bad = |penalty: f64| !(penalty.is_finite() && penalty > 0.0);
        let found = self.ablations.iter().find_map(|a| Some((&a.name, a.penalty.filter(|&p| bad(p))?)));
        match found {
            Some((name, penalty)) => {
                refuse(format!("the penalty of `{name}` must be above zero, got {penalty}"))
            }
            None => Ok(()),
        }
    }

    /// Fails on a curve without a stack, and on numbers of sessions that no group leaves.
    fn validate_curve(&self) -> Result<(), PipelineError> {
        let refuse = |message: String| {
            Err(PipelineError::BadValue { field: "pretraining_sessions".to_owned(), message })
        };
        let n_sessions = self.sessions().count();
        let most = self.groups.iter().map(|group| n_sessions - group.len()).max().unwrap_or(0);
        if let Some(n) = self.pretraining_sessions.iter().find(|&&n| n == 0 || n > most) {
            return refuse(format!("{n} sessions are never left for pretraining, which reads 1 to {most}"));
        }
        if !self.pretraining_sessions.is_empty() && self.stack.calibration.is_empty() {
            return refuse(
                "the curve is of the stack; name `stack.calibration`, or leave this out".to_owned(),
            );
        }
        Ok(())
    }
}
