//! Checkpoints: one atomic, hashed commit point each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Tensor;
use neurobrick_core::weights::{StateDict, from_safetensors, load_state_dict, state_dict, to_safetensors};
use neurobrick_schema::atomic::{Staging, write_file};
use neurobrick_schema::manifest::Manifest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::trainer::{Best, Trainer};
use crate::workers::device_of;
use crate::{AdamW, AdamWConfig, AdamWState, TrainError, TrainTask};

pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const WEIGHTS: &str = "weights.safetensors";
const BEST: &str = "best.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// Counters and hashes of a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    format_version: u32,
    /// Steps done; with the seed it is also the data cursor.
    step: u64,
    /// Stands for configuration, seed, sessions and shapes of the run.
    fingerprint: String,
    best: Option<Best>,
    /// Updates of every parameter.
    n_updates: BTreeMap<String, u64>,
}

/// Everything a run needs to go on: weights, best weights, optimizer, counters.
///
/// On disk it is a folder `step-<n>` that appears under its name only when all its files are synced and listed
/// with length and BLAKE3 in `manifest.json`.
#[derive(Debug)]
pub struct Checkpoint {
    weights: StateDict,
    best: StateDict,
    optimizer: StateDict,
    state: State,
}

impl Checkpoint {
    /// The state of a run.
    pub fn of<M: Module, T>(trainer: &Trainer<M, T>) -> Self {
        let states = trainer.optimizer.states();
        let mut optimizer = StateDict::new();
        for (path, s) in states {
            optimizer.insert(format!("first.{path}"), s.first.clone().into_data());
            optimizer.insert(format!("second.{path}"), s.second.clone().into_data());
        }
        Self {
            weights: state_dict(&trainer.model),
            best: state_dict(&trainer.best_model),
            optimizer,
            state: State {
                format_version: FORMAT_VERSION,
                step: trainer.step,
                fingerprint: trainer.fingerprint.clone(),
                best: trainer.best,
                n_updates: states.iter().map(|(path, s)| (path.clone(), s.n_updates)).collect(),
            },
        }
    }

    /// Writes the checkpoint into `folder` as `step-<n>` and returns its path.
    ///
    /// # Errors
    /// If the disk is full or not writable; what was there before is then untouched.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, TrainError> {
        let target = folder.join(format!("step-{:08}", self.state.step));
        write_folder(
            folder,
            &target,
            &[
                (WEIGHTS, to_safetensors(&self.weights, BTreeMap::new())?),
                (BEST, to_safetensors(&self.best, BTreeMap::new())?),
                (OPTIMIZER, to_safetensors(&self.optimizer, BTreeMap::new())?),
                (STATE, to_json(&self.state, &target)?),
            ],
        )?;
        Ok(target)
    }

    /// Reads and verifies a checkpoint.
    ///
    /// # Errors
    /// If a file is missing, damaged or of a newer version.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let manifest = Manifest::read(path)?;
        manifest.check_names(path)?;
        let tensors = |name: &str| -> Result<StateDict, TrainError> {
            Ok(from_safetensors(&manifest.read_file(path, name)?)?)
        };
        let state: State = from_json(&manifest.read_file(path, STATE)?, &path.join(STATE))?;
        if state.format_version != FORMAT_VERSION {
            return Err(bad_file(
                path,
                format!("format version {} is not {FORMAT_VERSION}", state.format_version),
            ));
        }
        Ok(Self { weights: tensors(WEIGHTS)?, best: tensors(BEST)?, optimizer: tensors(OPTIMIZER)?, state })
    }

    /// Puts the state into a fresh trainer of the same run.
    pub(crate) fn restore<M: Module, T>(
        self,
        mut trainer: Trainer<M, T>,
        config: AdamWConfig,
        path: &Path,
    ) -> Result<Trainer<M, T>, TrainError> {
        if self.state.fingerprint != trainer.fingerprint {
            let what = "configuration, seed, sessions or sizes".to_owned();
            return Err(TrainError::ForeignCheckpoint { path: path.to_owned(), what });
        }
        let device = device_of(&trainer.model)?;
        let mut optimizer = self.optimizer;
        let mut states = BTreeMap::new();
        for (name, n_updates) in self.state.n_updates {
            let mut moment = |which: &str| -> Result<Tensor<1>, TrainError> {
                let data = optimizer
                    .remove(&format!("{which}.{name}"))
                    .ok_or_else(|| bad_file(path, format!("no {which} moment of {name}")))?;
                let dtype = data.dtype();
                Ok(Tensor::from_data(data, (&device, dtype)))
            };
            let state = AdamWState { first: moment("first")?, second: moment("second")?, n_updates };
            states.insert(name, state);
        }
        if let Some(left_over) = optimizer.keys().next() {
            return Err(bad_file(path, format!("{OPTIMIZER} holds {left_over}, which no parameter uses")));
        }
        trainer.best_model = load_state_dict(trainer.best_model, self.best)?;
        trainer.model = load_state_dict(trainer.model, self.weights)?;
        trainer.optimizer = AdamW::resume(config, states);
        trainer.step = self.state.step;
        trainer.best = self.state.best;
        Ok(trainer)
    }
}

/// The newest valid checkpoint of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestCheckpoint {
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with a newer one, which is passed over.
    pub newer_is_damaged: Option<String>,
}

/// The newest valid checkpoint in `folder`; `None` if there are no checkpoints at all.
///
/// # Errors
/// If the folder cannot be listed, or there are checkpoints and none is valid: to start anew is the user's choice.
pub fn latest_checkpoint(folder: &Path) -> Result<Option<LatestCheckpoint>, TrainError> {
    let mut first_reason = None;
    for path in step_folders(folder)?.into_iter().rev() {
        match Manifest::verify(&path) {
            Ok(_) => return Ok(Some(LatestCheckpoint { path, newer_is_damaged: first_reason })),
            Err(error) => {
                first_reason.get_or_insert(error.to_string());
            }
        }
    }
    match first_reason {
        Some(reason) => Err(TrainError::DamagedCheckpoints { path: folder.to_owned(), reason }),
        None => Ok(None),
    }
}

/// Removes all but the newest `keep` checkpoints.
pub(crate) fn prune_checkpoints(folder: &Path, keep: usize) -> Result<(), TrainError> {
    let all = step_folders(folder)?;
    for old in &all[..all.len().saturating_sub(keep)] {
        fs::remove_dir_all(old).map_err(|source| TrainError::Write {
            action: "remove",
            path: old.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Checkpoint folders, oldest first.
fn step_folders(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(|e| bad_file(folder, e.to_string()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| bad_file(folder, e.to_string()))?.path();
        let is_step = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("step-"));
        if is_step && path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Where dropout masks come from. A run that was begun under another generator cannot be ended as it would have been.
const DROPOUT_GENERATOR: &str = "philox4x32-10";

/// One hash for everything that must be equal for a checkpoint to fit: the task with its data, the generator of dropout, and
/// the weights the run starts from.
pub(crate) fn fingerprint<M: Module>(model: &M, task: &impl TrainTask<M>) -> Result<String, TrainError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(DROPOUT_GENERATOR.as_bytes());
    task.identify(&mut |bytes| {
        hasher.update(bytes);
    })?;
    hasher.update(&to_safetensors(&state_dict(model), BTreeMap::new())?);
    Ok(hasher.finalize().to_hex().to_string())
}

/// Writes files and their manifest into a temporary folder of `parent` and renames it to `target`.
pub(crate) fn write_folder(
    parent: &Path,
    target: &Path,
    files: &[(&str, Vec<u8>)],
) -> Result<(), TrainError> {
    fs::create_dir_all(parent).map_err(|source| TrainError::Write {
        action: "create",
        path: parent.to_owned(),
        source,
    })?;
    let label = target.file_name().and_then(|n| n.to_str()).unwrap_or("folder");
    let staging = Staging::create(parent, label)?;
    for (name, bytes) in files {
        write_file(&staging.path().join(name), bytes)?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    Manifest::of_dir(staging.path(), &names)?.write(staging.path())?;
    Ok(staging.commit(target)?)
}

pub(crate) fn to_json<T: Serialize>(value: &T, path: &Path) -> Result<Vec<u8>, TrainError> {
    serde_json::to_vec_pretty(value).map_err(|e| bad_file(path, e.to_string()))
}

pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<T, TrainError> {
    serde_json::from_slice(bytes).map_err(|e| bad_file(path, e.to_string()))
}

pub(crate) fn bad_file(path: &Path, reason: String) -> TrainError {
    TrainError::BadFile { path: path.to_owned(), reason }
}
