//! Arrays out of a trained model, for analyses elsewhere: latents, and rates of what was hidden.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use ndarray::Array3;
use neurobrick_core::weights::{StateDict, to_safetensors};
use neurobrick_core::{PopulationModel, Prompt};
use neurobrick_data::TrialSplit;
use neurobrick_evaluate::EvaluateError;
use neurobrick_models::AnyModel;
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_train::{EvalTask, TaskPlan, latents, predict};
use serde_json::json;

use super::training::{ModelRecord, TrainedPart, check_causal, load_model};
use crate::config::DataConfig;
use crate::pipeline::{Observer, Progress};
use crate::{Compute, LoadedSession, PipelineError, load_sessions};

/// Which trials of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialSet {
    /// Every trial that yields a window.
    All,
    /// Those the model's split trains on.
    Train,
    /// Those it validates on.
    Valid,
    /// Those it keeps for tests.
    Test,
}

/// A model, and the trials it is to be applied to.
#[derive(Clone, Copy, Debug)]
pub struct ArrayQuestion<'a> {
    /// Folder of the model, or of the run that made it.
    pub model: &'a Path,
    /// Store with the session.
    pub store: &'a Path,
    /// The session; may be left out if the model knows exactly one.
    pub session: Option<&'a SessionId>,
    /// Its trials.
    pub trials: TrialSet,
    /// Where the model is computed.
    pub compute: Compute,
}

/// Named arrays and what they are.
#[derive(Clone, Debug)]
pub struct ArrayFile {
    arrays: StateDict,
    facts: BTreeMap<String, String>,
}

impl ArrayFile {
    /// Shape of an array.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.arrays.get(name).map(|data| data.shape().to_vec())
    }

    /// What the file says of its arrays: text by name, lists as JSON.
    pub fn facts(&self) -> &BTreeMap<String, String> {
        &self.facts
    }

    /// Writes a safetensors file, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), PipelineError> {
        Ok(write_file(path, &to_safetensors(&self.arrays, self.facts.clone())?)?)
    }
}

/// Latents `[trial, bin, L]` of whole windows with nothing hidden: array `latents`. With `is_causal`, a latent knows its
/// own and earlier bins only.
///
/// # Errors
/// If model or data are missing or damaged, do not fit each other, or there is no such trial; with `is_causal`, if the
/// model cannot leave later bins out.
pub fn embed(question: &ArrayQuestion<'_>, is_causal: bool) -> Result<ArrayFile, PipelineError> {
    let opened = Opened::new(question)?;
    if is_causal {
        check_causal(&opened.model, &opened.record)?;
    }
    let prompt = if is_causal { Prompt::Causal } else { Prompt::Neuron };
    let data = &opened.session.train.data;
    let values = latents(&opened.model, data, &opened.trials, prompt, question.compute.n_threads)?;
    let mut file = opened.file("latents", &values, 0);
    file.facts.insert("axes".to_owned(), "trial, bin, latent".to_owned());
    file.facts.insert("context".to_owned(), if is_causal { "causal" } else { "full" }.to_owned());
    Ok(file)
}

/// Rates `[trial, bin, unit]` in spikes per bin that the model predicts for what a task hides: array `rates`. They are
/// the rates that `evaluate` scores, of all units.
///
/// # Errors
/// As [`embed`], and if the session offers the task nothing to predict.
pub fn predict_rates(
    question: &ArrayQuestion<'_>,
    task: EvalTask,
    observer: &mut dyn Observer,
) -> Result<ArrayFile, PipelineError> {
    let opened = Opened::new(question)?;
    let data = &opened.session.train.data;
    let plan = TaskPlan::new(
        task,
        data.session().as_str(),
        data.regions(),
        data.n_bins(),
        None,
        opened.record.part_of(data.session()).seed,
    )?;
    let mut state =
        Progress { stage: "predict".to_owned(), done: 0, total: 0, message: task.name().to_owned() };
    let tell = |done: usize, total: usize| {
        (state.done, state.total) = (done as u64, total as u64);
        observer.progress(&state);
    };
    let found = predict(&opened.model, data, &opened.trials, &plan, question.compute.n_threads, tell)?;
    let mut file = opened.file("rates", &found.rates, plan.first_bin);
    let of_unit = data.regions().of_unit();
    let regions: Vec<&str> =
        plan.units.iter().map(|&u| data.regions().names()[of_unit[u]].as_str()).collect();
    for (name, value) in [
        ("axes", "trial, bin, unit".to_owned()),
        ("task", task.name().to_owned()),
        ("units", json!(plan.units).to_string()),
        ("regions", json!(regions).to_string()),
    ] {
        file.facts.insert(name.to_owned(), value);
    }
    Ok(file)
}

/// The part of the split that each of `trials` is in.
pub(super) fn parts_of_trials(split: &TrialSplit, trials: &[usize]) -> Vec<&'static str> {
    let parts = [("train", &split.train), ("valid", &split.valid), ("test", &split.test)];
    let part = |trial: &usize| {
        // Trials beyond a limit on calibration belong to no part.
        parts.iter().find(|(_, trials)| trials.contains(trial)).map_or("unused", |(name, _)| name)
    };
    trials.iter().map(part).collect()
}

/// The session that is asked for, or the only one that the model knows.
pub(super) fn session_of<'a, M: PopulationModel>(
    model: &'a M,
    asked: Option<&'a SessionId>,
) -> Result<&'a SessionId, PipelineError> {
    match (asked, model.sessions()) {
        (Some(session), _) => Ok(session),
        (None, [only]) => Ok(&only.session),
        (None, known) => {
            let known: Vec<&str> = known.iter().map(|s| s.session.as_str()).collect();
            let message = format!("the model reads several; name one of: {}", known.join(", "));
            Err(PipelineError::BadValue { field: "session".to_owned(), message })
        }
    }
}

/// A model with the session and trials it is applied to.
struct Opened {
    model: AnyModel,
    record: ModelRecord,
    session: LoadedSession,
    trials: Vec<usize>,
}

impl Opened {
    fn new(question: &ArrayQuestion<'_>) -> Result<Self, PipelineError> {
        let (model, record) = load_model(question.model, question.compute.device)?;
        let id = session_of(&model, question.session)?.clone();
        model.session_idx(&id)?;
        let TrainedPart { seed, split, units } = record.part_of(&id);
        let data =
            DataConfig { store: question.store.to_owned(), window: record.window.clone(), split, units };
        let loaded = load_sessions(&data, std::slice::from_ref(&id), seed)?;
        let Some(session) = loaded.into_iter().next() else {
            let known = String::new();
            return Err(EvaluateError::SessionNotInStore { session: id, store: data.store, known }.into());
        };
        record.check_data(&data, seed, &session.hash)?;
        let TrialSplit { train, valid, test } = &session.train.split;
        let trials = match question.trials {
            TrialSet::All => (0..session.train.data.n_trials()).collect(),
            TrialSet::Train => train.clone(),
            TrialSet::Valid => valid.clone(),
            TrialSet::Test => test.clone(),
        };
        if trials.is_empty() {
            let message = format!("session {id} has no such trial");
            return Err(PipelineError::BadValue { field: "trials".to_owned(), message });
        }
        Ok(Self { model, record, session, trials })
    }

    /// The array with what every such file tells: session, trials, their part of the split, and when bins start.
    fn file(&self, name: &str, values: &Array3<f64>, first_bin: usize) -> ArrayFile {
        let data = &self.session.train.data;
        let rows: Vec<usize> = self.trials.iter().map(|&t| data.trial_idx()[t]).collect();
        let parts = parts_of_trials(&self.session.train.split, &self.trials);
        let (b, t, n) = values.dim();
        #[expect(clippy::cast_possible_truncation, reason = "models answer in single precision")]
        let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        let starts: Vec<f64> = (first_bin..first_bin + t)
            .map(|bin| self.record.window.start_s + bin as f64 * data.bin_size_s())
            .collect();
        let arrays = [
            (name.to_owned(), TensorData::new(single, [b, t, n])),
            ("bin_start_s".to_owned(), TensorData::new(starts, [t])),
        ];
        let facts = [
            ("session", data.session().to_string()),
            ("data_blake3", self.session.hash.blake3.clone()),
            ("model", self.record.config.kind().to_owned()),
            ("bin_size_s", data.bin_size_s().to_string()),
            ("trials", json!(rows).to_string()),
            ("split", json!(parts).to_string()),
        ];
        ArrayFile {
            arrays: arrays.into_iter().collect(),
            facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }
}
