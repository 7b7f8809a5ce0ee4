//! Weights under the names and layouts of published PyTorch code, in both directions.
//!
//! A [`KeyMap`] says for each parameter of ours which tensor of a state dict it is, and how it lies there. Maps are
//! explicit and strict: what is missing, left over or of another shape is listed, and nothing is left random in silence.
//! State dicts are safetensors files or checkpoints of PyTorch, of which nothing is executed ([`Checkpoint`]).

mod checkpoint;
mod layout;
mod maps;

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{DType, TensorData};
use neurobrick_core::weights::StateDict;
use neurobrick_core::{ModelError, PopulationModel, SessionSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use checkpoint::{Checkpoint, Vocabulary};
pub use layout::{Layout, Stretch};
pub(crate) use maps::Rules;

use self::layout::{constant, join};
use crate::{AnyModel, ModelConfig};

/// Whose names a state dict has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TorchNames {
    /// `colehurwitz/IBL_MtM_model` at e0c39bd, for `ndt_stitch`.
    Mtm,
    /// MtM and NDT-stitch in `brainbench-org/ibl-bwb` at 3c8cee99, for `ndt_stitch`: queries, keys and values in one `in_proj`.
    BrainWideBench,
    /// `snel-repo/neural-data-transformers` at 98dd85a, for `ndt1`: one session.
    Ndt1,
    /// `joel99/context_general_bci` at 8b7226c, for `ndt2` with `faithful = true`.
    Ndt2,
    /// `arsedler9/lfads-torch` at 007a555, for `lfads`: Poisson likelihood, autoregressive prior of inputs.
    Lfads,
    /// POYO in `neuro-galaxy/torch_brain` at 0512ee0, for `poyo`.
    TorchBrain,
    /// `yzhang511/NEDS` at 61d2ef6, for `neds`.
    Neds,
}

impl TorchNames {
    /// The name as in configuration files.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mtm => "mtm",
            Self::BrainWideBench => "brain_wide_bench",
            Self::Ndt1 => "ndt1",
            Self::Ndt2 => "ndt2",
            Self::Lfads => "lfads",
            Self::TorchBrain => "torch_brain",
            Self::Neds => "neds",
        }
    }

    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Mtm, Self::BrainWideBench, Self::Ndt1, Self::Ndt2, Self::Lfads, Self::TorchBrain, Self::Neds];

    /// The first row of tables of sessions that stands for a session: 1 where row 0 stands for none.
    pub fn first_row(self) -> usize {
        match self {
            Self::BrainWideBench | Self::TorchBrain => 1,
            Self::Mtm | Self::Ndt1 | Self::Ndt2 | Self::Lfads | Self::Neds => 0,
        }
    }

    /// The names that models of a configuration are exported under, where nothing else is asked for.
    pub fn of(config: &ModelConfig) -> Option<Self> {
        match config {
            ModelConfig::NdtStitch(_) => Some(Self::Mtm),
            ModelConfig::Ndt1(_) => Some(Self::Ndt1),
            ModelConfig::Ndt2(_) => Some(Self::Ndt2),
            ModelConfig::Lfads(_) => Some(Self::Lfads),
            ModelConfig::LinearStitch(_) | ModelConfig::GruStitch(_) => None,
        }
    }
}

/// Where a state dict keeps a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TorchSession {
    /// What the dict calls the session's stitch: the number of units with MtM, the id with BrainWideBench.
    pub stitch: String,
    /// Row in the table of sessions; the number of its read-in and read-out (LFADS).
    pub row: usize,
    /// Row in the table of subjects (NDT-2).
    #[serde(default)]
    pub subject_row: usize,
    /// Number of units, which LFADS's tensors are cut by.
    #[serde(default)]
    pub n_units: usize,
    /// Units that the encoders read, the first of the session; absent: all. Held-out units of LFADS come after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_read: Option<usize>,
}

impl TorchSession {
    /// Where an export under `names` keeps the sessions of a model: rows in their order.
    pub fn of(model: &AnyModel, names: TorchNames) -> Vec<Self> {
        let place = |(idx, spec): (usize, &SessionSpec)| Self {
            stitch: match names {
                TorchNames::Mtm => spec.n_units.to_string(),
                _ => spec.session.as_str().to_owned(),
            },
            row: names.first_row() + idx,
            subject_row: match model {
                AnyModel::Ndt2(model) => model.subject_row(idx),
                _ => 0,
            },
            n_units: spec.n_units,
            n_read: None,
        };
        model.sessions().iter().enumerate().map(place).collect()
    }
}

/// One parameter of ours in a state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRule {
    /// Our path.
    pub own: String,
    /// Their key.
    pub torch: String,
    /// How it lies there.
    pub layout: Layout,
}

/// A tensor of a state dict that is the same number everywhere, and no parameter of ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    torch: String,
    shape: Vec<usize>,
    value: f64,
    /// What stands for it here.
    why: &'static str,
}

impl Constant {
    /// Why a tensor is not this constant.
    fn fault(&self, data: &TensorData) -> Option<String> {
        if data.shape().to_vec() != self.shape {
            return Some(format!("expected shape {:?}, received {:?}", self.shape, data.shape()));
        }
        // Single precision.
        let is_other =
            |value: &f64| (value - self.value).abs() > 1e-6 * self.value.abs().max(1.0) || value.is_nan();
        let other = data.iter::<f64>().find(is_other)?;
        Some(format!("expected {} everywhere ({}), received {other}", self.value, self.why))
    }
}

/// All parameters of a model in a state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyMap {
    rules: Vec<KeyRule>,
    constants: Vec<Constant>,
    /// Beginnings of keys that hold nothing of ours: buffers, and parts that are built and never used.
    unused: Vec<&'static str>,
}

impl KeyMap {
    /// The map for a model of `config` whose sessions lie in the dict as `sessions` says, in their order.
    ///
    /// # Errors
    /// If models of this kind have no such names, or the dict has no place for what the configuration asks for.
    pub fn new(
        names: TorchNames,
        config: &ModelConfig,
        sessions: &[TorchSession],
    ) -> Result<Self, ModelError> {
        maps::key_map(names, config, sessions)
    }

    /// The rules, in the order of the model's parts.
    pub fn rules(&self) -> &[KeyRule] {
        &self.rules
    }

    /// Our parameters out of a state dict.
    ///
    /// # Errors
    /// If a tensor is missing, left over, or cannot lie as the map says; all of them are listed. Sizes are checked where
    /// the model loads what this returns.
    pub fn to_own(&self, torch: &StateDict) -> Result<StateDict, ModelError> {
        let constants = self.constants.iter().map(|constant| constant.torch.as_str());
        let wanted: BTreeSet<&str> =
            self.rules.iter().map(|rule| rule.torch.as_str()).chain(constants).collect();
        let missing: Vec<&str> = wanted.iter().copied().filter(|key| !torch.contains_key(*key)).collect();
        let is_unused = |key: &str| self.unused.iter().any(|stem| key.starts_with(stem));
        let unexpected: Vec<&str> =
            torch.keys().map(String::as_str).filter(|key| !wanted.contains(key) && !is_unused(key)).collect();
        let mut own = StateDict::new();
        let mut misshapen = Vec::new();
        for rule in &self.rules {
            let Some(data) = torch.get(&rule.torch) else { continue };
            let laid = rule.layout.to_own(data).and_then(|data| match own.get(&rule.own) {
                None => Ok(data),
                // A parameter of several rules consists of their blocks.
                Some(known) if self.is_of_blocks(&rule.own) => join(known, &data),
                Some(_) => Err(format!("`{}` has another place already, and is no block", rule.own)),
            });
            match laid {
                Ok(data) => {
                    own.insert(rule.own.clone(), data);
                }
                Err(fault) => misshapen.push(format!("{}: {fault}", rule.torch)),
            }
        }
        for constant in &self.constants {
            if let Some(fault) = torch.get(&constant.torch).and_then(|data| constant.fault(data)) {
                misshapen.push(format!("{}: {fault}", constant.torch));
            }
        }
        if missing.is_empty() && unexpected.is_empty() && misshapen.is_empty() {
            return Ok(own);
        }
        Err(ModelError::WeightsMismatch {
            missing: missing.join(", "),
            unexpected: unexpected.join(", "),
            misshapen: misshapen.join("; "),
        })
    }

    /// Whether all rules of a parameter cover parts of it.
    fn is_of_blocks(&self, own: &str) -> bool {
        self.rules.iter().filter(|rule| rule.own == own).all(|rule| rule.layout.is_block())
    }

    /// A state dict of our parameters.
    ///
    /// # Errors
    /// If a parameter is missing or the dict has no place for one, or two have the same place.
    pub fn to_torch(&self, own: &StateDict) -> Result<StateDict, ModelError> {
        let known: BTreeSet<&str> = self.rules.iter().map(|rule| rule.own.as_str()).collect();
        let missing: Vec<&str> = known.iter().copied().filter(|path| !own.contains_key(*path)).collect();
        let unexpected: Vec<&str> =
            own.keys().map(String::as_str).filter(|path| !known.contains(path)).collect();
        let mut by_key: BTreeMap<&str, Vec<&KeyRule>> = BTreeMap::new();
        for rule in &self.rules {
            by_key.entry(&rule.torch).or_default().push(rule);
        }
        let mut torch = StateDict::new();
        let mut clashing = Vec::new();
        for (key, rules) in by_key {
            let parts: Vec<_> =
                rules.iter().filter_map(|rule| Some((&rule.layout, own.get(&rule.own)?))).collect();
            if parts.len() < rules.len() {
                continue;
            }
            match Layout::to_torch(&parts) {
                Ok(data) => {
                    torch.insert(key.to_owned(), data);
                }
                Err(fault) => clashing.push(format!("{key}: {fault}")),
            }
        }
        let dtype = own.values().next().map_or(DType::F32, TensorData::dtype);
        for Constant { torch: key, shape, value, .. } in &self.constants {
            torch.insert(key.clone(), constant(shape, *value, dtype));
        }
        if missing.is_empty() && unexpected.is_empty() && clashing.is_empty() {
            return Ok(torch);
        }
        Err(ModelError::WeightsMismatch {
            missing: missing.join(", "),
            unexpected: unexpected.join(", "),
            misshapen: clashing.join("; "),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn refusal(rules: Rules) -> String {
        let dict = ["a", "b"].map(|key| (key.to_owned(), TensorData::new(vec![1f32, 2.0], [2])));
        rules.into_map(Vec::new()).to_own(&dict.into()).unwrap_err().to_string()
    }

    /// Blocks of one shape are all that may have one parameter between them.
    #[test]
    fn what_are_no_blocks_of_one_parameter_are_not_added() {
        let mut whole = Rules::default();
        whole.rule("own", "a", Layout::AsIs);
        whole.rule("own", "b", Layout::AsIs);
        assert!(refusal(whole).contains("b: `own` has another place already"));
        let mut mixed = Rules::default();
        mixed.rule("own", "a", Layout::Part(Stretch::all(2)));
        mixed.rule("own", "b", Layout::AsIs);
        assert!(refusal(mixed).contains("b: `own` has another place already"));
        let mut unequal = Rules::default();
        unequal.rule("own", "a", Layout::Part(Stretch::in_own(2, 0, 4)));
        unequal.rule("own", "b", Layout::Part(Stretch::in_own(2, 2, 5)));
        assert!(refusal(unequal).contains("b: expected a block of shape [4], received shape [5]"));
    }
}
