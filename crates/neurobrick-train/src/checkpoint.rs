//! Checkpoints and model folders: one atomic, hashed commit point each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use neurobrick_core::weights::{StateDict, from_safetensors, load_state_dict, state_dict, to_safetensors};
use neurobrick_core::{Context, Mode, ModelInput, PopulationModel, Prompt, SessionSpec};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::atomic::{Staging, write_file};
use neurobrick_schema::manifest::Manifest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::trainer::{Best, TrainSession, Trainer};
use crate::workers::device_of;
use crate::{AdamW, AdamWConfig, AdamWState, TrainConfig, TrainError};

const FORMAT_VERSION: u32 = 1;
const WEIGHTS: &str = "weights.safetensors";
const BEST: &str = "best.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
const PARITY: &str = "parity.safetensors";

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
    pub fn of<M: PopulationModel>(trainer: &Trainer<M>) -> Self {
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
    pub(crate) fn restore<M: PopulationModel>(
        self,
        mut trainer: Trainer<M>,
        config: AdamWConfig,
        path: &Path,
    ) -> Result<Trainer<M>, TrainError> {
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

/// The newest valid checkpoint in `folder`; `None` if there are no checkpoints at all.
///
/// # Errors
/// If the folder cannot be listed, or there are checkpoints and none is valid: to start anew is the user's choice.
pub fn latest_checkpoint(folder: &Path) -> Result<Option<PathBuf>, TrainError> {
    let mut first_reason = None;
    for path in step_folders(folder)?.into_iter().rev() {
        match Manifest::verify(&path) {
            Ok(_) => return Ok(Some(path)),
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

/// One hash for everything that must be equal for a checkpoint to fit: configuration, seed, generator of dropout,
/// sessions with their splits and counts, and the weights the run starts from.
pub(crate) fn fingerprint<M: PopulationModel>(
    model: &M,
    sessions: &[TrainSession],
    config: &TrainConfig,
    seed: u64,
) -> Result<String, TrainError> {
    let specs: Vec<_> = sessions.iter().map(|s| (s.spec(), &s.split)).collect();
    let mut hasher = blake3::Hasher::new();
    hasher.update(DROPOUT_GENERATOR.as_bytes());
    hasher.update(&to_json(&(config, seed, specs), Path::new("fingerprint"))?);
    for session in sessions {
        for trial in session.data.counts().outer_iter() {
            let bytes: Vec<u8> = trial.iter().flat_map(|count| count.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    hasher.update(&to_safetensors(&state_dict(model), BTreeMap::new())?);
    Ok(hasher.finalize().to_hex().to_string())
}

/// What a model folder holds beside the weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile<C> {
    format_version: u32,
    model: C,
    sessions: Vec<SessionSpec>,
}

/// Writes a trained model as a folder: `config.json` (model and sessions), `weights.safetensors`, and
/// `parity.safetensors`, a small input with the output it must give.
///
/// # Errors
/// If the folder cannot be written; an earlier model there is then untouched.
pub fn save_model_dir<M: PopulationModel, C: Serialize>(
    path: &Path,
    model: &M,
    config: &C,
    n_bins: usize,
) -> Result<(), TrainError> {
    let file =
        ModelFile { format_version: FORMAT_VERSION, model: config, sessions: model.sessions().to_vec() };
    let mut parity = StateDict::new();
    if let Some(spec) = model.sessions().first() {
        let counts = parity_counts(spec, n_bins);
        let output = parity_output(model, spec, counts.clone())?;
        parity.insert("counts".to_owned(), counts);
        parity.insert("log_rates".to_owned(), output);
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    write_folder(
        parent,
        path,
        &[
            (CONFIG, to_json(&file, path)?),
            (WEIGHTS, to_safetensors(&state_dict(model), BTreeMap::new())?),
            (PARITY, to_safetensors(&parity, BTreeMap::new())?),
        ],
    )
}

/// Largest difference from the stored output that a loaded model may show. Other processors sum in another order;
/// a wrong weight or a changed formula shows as far more.
const PARITY_TOLERANCE: f64 = 1e-3;

/// Loads a model folder: verifies hashes, builds the model with `build`, loads weights strictly, and compares its
/// output with the stored one.
///
/// # Errors
/// If a file is missing or damaged, weights do not fit, or the output is another one.
pub fn load_model_dir<M: PopulationModel, C: DeserializeOwned>(
    path: &Path,
    build: impl FnOnce(&C, &[SessionSpec]) -> Result<M, TrainError>,
) -> Result<(M, C), TrainError> {
    let manifest = Manifest::read(path)?;
    manifest.check_names(path)?;
    let file: ModelFile<C> = from_json(&manifest.read_file(path, CONFIG)?, &path.join(CONFIG))?;
    if file.format_version != FORMAT_VERSION {
        return Err(bad_file(
            path,
            format!("format version {} is not {FORMAT_VERSION}", file.format_version),
        ));
    }
    let weights = from_safetensors(&manifest.read_file(path, WEIGHTS)?)?;
    let model = load_state_dict(build(&file.model, &file.sessions)?, weights)?;
    let mut parity = from_safetensors(&manifest.read_file(path, PARITY)?)?;
    if let Some(spec) = file.sessions.first() {
        let (Some(counts), Some(expected)) = (parity.remove("counts"), parity.remove("log_rates")) else {
            return Err(bad_file(path, format!("{PARITY} lacks its example")));
        };
        let received = parity_output(&model, spec, counts)?;
        let pairs = expected.iter::<f64>().zip(received.iter::<f64>());
        // `f64::max` would pass over NaN.
        let differences = pairs.map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
        if worst > PARITY_TOLERANCE {
            let reason =
                format!("its stored example is off by {worst:e}: written by an incompatible version");
            return Err(bad_file(path, reason));
        }
    }
    Ok((model, file.model))
}

/// Two windows of made-up counts for the parity vector.
fn parity_counts(spec: &SessionSpec, n_bins: usize) -> TensorData {
    let mut draws = Stream::new(0, Domain::Synthetic, [0, 0, 0]);
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let counts: Vec<f32> = (0..2 * n_bins * spec.n_units).map(|_| draws.poisson(0.3) as f32).collect();
    TensorData::new(counts, [2, n_bins, spec.n_units])
}

fn parity_output<M: PopulationModel>(
    model: &M,
    spec: &SessionSpec,
    counts: TensorData,
) -> Result<TensorData, TrainError> {
    let model = model.valid();
    let input = ModelInput {
        session: spec.session.clone(),
        counts: Tensor::from_data(counts, &device_of(&model)?),
        hidden: None,
        context: Context::Full,
        prompt: Some(Prompt::Neuron),
    };
    Ok(model.forward(&input, Mode::Eval)?.log_rates.into_data())
}

/// Writes files and their manifest into a temporary folder of `parent` and renames it to `target`.
fn write_folder(parent: &Path, target: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), TrainError> {
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

fn to_json<T: Serialize>(value: &T, path: &Path) -> Result<Vec<u8>, TrainError> {
    serde_json::to_vec_pretty(value).map_err(|e| bad_file(path, e.to_string()))
}

fn from_json<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<T, TrainError> {
    serde_json::from_slice(bytes).map_err(|e| bad_file(path, e.to_string()))
}

fn bad_file(path: &Path, reason: String) -> TrainError {
    TrainError::BadFile { path: path.to_owned(), reason }
}
