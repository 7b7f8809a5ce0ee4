//! Configuration of `import` for models that answer behavior: POYO and NEDS.

use neurobrick_core::ModelError;
use neurobrick_data::WindowConfig;
use neurobrick_models::torch::{Checkpoint, TorchNames};
use neurobrick_models::{NedsMasking, NedsPlace, NedsScheme, PoyoRows};
use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::import::SESSION_WORDS;
use super::{
    BehaviorTarget, ImportSession, ModalitiesConfig, MultimodalConfig, NewSession, SpikeDecoderConfig,
};
use crate::PipelineError;
use crate::decoding::BehaviorScale;

/// The vocabulary of units of `torch_brain`.
pub(crate) const UNIT_WORDS: &str = "unit_emb.vocab";

/// A decoder of behavior whose weights come from a checkpoint of `torch_brain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportDecoderConfig {
    /// Whose names the checkpoint has: `torch_brain`.
    pub names: TorchNames,
    /// Entry of a checkpoint that holds the weights; absent: the first there is of `state_dict`, `model_state_dict` and
    /// `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Kind and sizes of the model.
    pub model: SpikeDecoderConfig,
    /// The window the model was trained on, with the bins it is to answer in.
    pub window: WindowConfig,
    /// What its outputs are, in their order.
    pub behaviors: Vec<BehaviorTarget>,
    /// Sessions of the checkpoint to take over. Others are left behind.
    pub sessions: Vec<ImportDecoderSession>,
    /// Sessions that the checkpoint does not know: they get weights of their own to be trained.
    #[serde(default)]
    pub new_sessions: Vec<NewSession>,
    /// Seed of the weights of new sessions.
    #[serde(default)]
    pub seed: u64,
}

/// A session of a checkpoint of `torch_brain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportDecoderSession {
    /// Its id here.
    pub session: SessionId,
    /// Number of units.
    pub n_units: usize,
    /// What the vocabulary of sessions calls it; by default the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// Row in the table of sessions; by default that of its word, or the place in this list, from 1, if the checkpoint has no
    /// vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// What the vocabulary of units calls its units, in our order; by default the session's word, a slash and the number of
    /// the unit, from 0, as exports do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unit_words: Vec<String>,
    /// Rows of its units, in our order, instead of words; by default, if the checkpoint has no vocabulary, those that follow
    /// the sessions before it, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unit_rows: Vec<usize>,
    /// How its behavior was standardized, by output; absent: not at all. A published constant is a deviation with mean 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<BehaviorScale>,
}

impl ImportDecoderConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        check_names(self.names, TorchNames::TorchBrain, "poyo")?;
        super::poyo::check_targets(&self.behaviors)?;
        for (i, session) in self.sessions.iter().enumerate() {
            let refuse = |field: &str, what: &str, n: usize, wanted: usize| {
                let field = format!("sessions[{i}].{field}");
                let message = format!("lists {n} {what} of {}, which has {wanted}", session.session);
                Err(PipelineError::BadValue { field, message })
            };
            for (field, n) in
                [("unit_words", session.unit_words.len()), ("unit_rows", session.unit_rows.len())]
            {
                if n > 0 && n != session.n_units {
                    return refuse(field, "units", n, session.n_units);
                }
            }
            let (n, wanted) = (session.scales.len(), self.behaviors.len());
            if n > 0 && n != wanted {
                return refuse("scales", "scales of behaviors", n, wanted);
            }
        }
        self.model.validate(&self.window, &self.behaviors)
    }

    /// Rows of the sessions and their units in the checkpoint.
    ///
    /// # Errors
    /// If a vocabulary lacks a word.
    pub fn rows(&self, checkpoint: &Checkpoint) -> Result<Vec<PoyoRows>, ModelError> {
        let mut next_unit = 1;
        let rows = |(i, s): (usize, &ImportDecoderSession)| {
            let word = s.word.as_deref().unwrap_or(s.session.as_str());
            let session = match s.row {
                Some(row) => row,
                None => checkpoint.row_of(SESSION_WORDS, word)?.unwrap_or(i + 1),
            };
            let units = if s.unit_rows.is_empty() {
                let unit = |u: usize| {
                    let named = s.unit_words.get(u).cloned().unwrap_or_else(|| format!("{word}/{u}"));
                    Ok(checkpoint.row_of(UNIT_WORDS, &named)?.unwrap_or(next_unit + u))
                };
                (0..s.n_units).map(unit).collect::<Result<_, ModelError>>()?
            } else {
                s.unit_rows.clone()
            };
            next_unit += s.n_units;
            Ok(PoyoRows { units, session })
        };
        self.sessions.iter().enumerate().map(rows).collect()
    }
}

/// NEDS, whose weights come from a checkpoint of the published code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportNedsConfig {
    /// Whose names the checkpoint has: `neds`.
    pub names: TorchNames,
    /// Entry of a checkpoint that holds the weights; absent: the first there is of `state_dict`, `model_state_dict` and
    /// `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Kind and sizes of the model.
    pub model: MultimodalConfig,
    /// What it reads and predicts beside spikes, in the order in which it was trained.
    pub modalities: ModalitiesConfig,
    /// What the checkpoint calls spikes and these modalities; by default `spike` and their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modality_names: Vec<String>,
    /// Schemes that it was trained with: a model never asked for spikes, or for behavior, has no score for them. All by default.
    #[serde(default = "all_schemes")]
    pub schemes: Vec<NedsScheme>,
    /// The window the model was trained on.
    pub window: WindowConfig,
    /// Sessions of the checkpoint to take over, which have as many units as its encoders are wide. Others in it are refused.
    pub sessions: Vec<ImportSession>,
    /// Sessions that the checkpoint does not know: they get weights of their own to be trained.
    #[serde(default)]
    pub new_sessions: Vec<NewSession>,
    /// Seed of the weights of new sessions.
    #[serde(default)]
    pub seed: u64,
}

fn all_schemes() -> Vec<NedsScheme> {
    NedsMasking::default().schemes
}

impl ImportNedsConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// On the first value out of range.
    pub fn validate(&self) -> Result<(), PipelineError> {
        check_names(self.names, TorchNames::Neds, "neds")?;
        self.modalities.validate()?;
        let (n, wanted) = (self.modality_names.len(), self.modalities.of_model().n_modalities());
        if n > 0 && n != wanted {
            let message = format!("lists {n} names, but spikes and what is beside them are {wanted}");
            return Err(PipelineError::BadValue { field: "modality_names".to_owned(), message });
        }
        self.sessions.iter().try_for_each(|session| session.check_n_read(self.names))?;
        self.model.validate_window(&self.window)
    }

    /// What the checkpoint calls the modalities, spikes first.
    pub fn modality_names(&self) -> Vec<String> {
        if self.modality_names.is_empty() {
            return published_names(&self.modalities);
        }
        self.modality_names.clone()
    }

    /// Where the checkpoint keeps each session.
    pub fn places(&self) -> Vec<NedsPlace> {
        let place = |(i, s): (usize, &ImportSession)| NedsPlace {
            session: s.stitch.clone().unwrap_or_else(|| s.session.as_str().to_owned()),
            row: s.row.unwrap_or(i),
        };
        self.sessions.iter().enumerate().map(place).collect()
    }
}

/// What the published code calls the modalities: spikes `spike`, the others as here.
pub(crate) fn published_names(modalities: &ModalitiesConfig) -> Vec<String> {
    let names = modalities.of_model();
    names.names().map(|name| if name == "spikes" { "spike" } else { name }.to_owned()).collect()
}

fn check_names(found: TorchNames, wanted: TorchNames, kind: &str) -> Result<(), PipelineError> {
    if found == wanted {
        return Ok(());
    }
    let message =
        format!("models of kind `{kind}` have those of {}, not of {}", wanted.label(), found.label());
    Err(PipelineError::BadValue { field: "names".to_owned(), message })
}
