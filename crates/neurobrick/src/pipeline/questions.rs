//! Models of other programs: the questions of an evaluation as files, and their answers as further predictors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use ndarray::{Array3, Axis};
use neurobrick_core::weights::{StateDict, from_safetensors, metadata, to_safetensors};
use neurobrick_evaluate::EvaluateError;
use neurobrick_evaluate::evaluation::{ModelPredictions, plans};
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_train::{EvalTask, TaskPlan};
use serde_json::json;

use super::arrays::parts_of_trials;
use crate::config::{EvaluateConfig, PredictionSource};
use crate::{LoadedSession, PipelineError, load_sessions};

/// Name of the array of counts.
const COUNTS: &str = "counts";

/// What was asked of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Questions {
    /// The session.
    pub session: SessionId,
    /// The file.
    pub path: PathBuf,
    /// Trials, bins and units of its counts.
    pub shape: [usize; 3],
    /// Shape of the answer to each task, `[trial, bin, unit]`.
    pub answers: Vec<(EvalTask, [usize; 3])>,
    /// Tasks without anything to score, and why.
    pub skipped: Vec<String>,
}

/// Writes what an evaluation asks of a model, for programs that have models of their own: `SESSION.safetensors` in `out` for each
/// session, with the array `counts` `[trial, bin, unit]` (spikes per bin) and, as text beside it, session, trials (rows of
/// `trials.parquet`), split, region of each unit, and for each task which units are visible and which are predicted (JSON).
///
/// # Errors
/// If data are missing or damaged, or a file cannot be written.
pub fn write_questions(config: &EvaluateConfig, out: &Path) -> Result<Vec<Questions>, PipelineError> {
    config.validate()?;
    fs::create_dir_all(out).map_err(PipelineError::io("create", out))?;
    let mut written = Vec::new();
    for session in load_sessions(&config.data, &config.sessions, config.seed)? {
        let (plans, skipped) = plans(&session.train, &config.scoring, config.seed)?;
        let data = &session.train.data;
        let (n_trials, n_bins, n_units) = data.counts().dim();
        let counts: Vec<f32> = data.counts().iter().map(|&count| f32::from(count)).collect();
        let counts = TensorData::new(counts, [n_trials, n_bins, n_units]);
        let facts = facts(&session, config, &plans);
        let path = file_of(out, &session.hash.session);
        write_file(&path, &to_safetensors(&StateDict::from([(COUNTS.to_owned(), counts)]), facts)?)?;
        written.push(Questions {
            session: session.hash.session.clone(),
            path,
            shape: [n_trials, n_bins, n_units],
            answers: plans.iter().map(|plan| (plan.task, shape_of(plan, n_trials))).collect(),
            skipped,
        });
    }
    Ok(written)
}

/// What the questions of a session depend on, as text.
fn facts(session: &LoadedSession, config: &EvaluateConfig, plans: &[TaskPlan]) -> BTreeMap<String, String> {
    let (data, window) = (&session.train.data, &config.data.window);
    let regions = data.regions();
    let regions: Vec<&str> = regions.of_unit().iter().map(|&r| regions.names()[r].as_str()).collect();
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let windows: Vec<[f64; 2]> = data.windows().iter().map(|w| [w.start_s, w.end_s]).collect();
    let facts = [
        ("session", session.hash.session.to_string()),
        ("data_blake3", session.hash.blake3.clone()),
        ("seed", config.seed.to_string()),
        ("bin_size_s", data.bin_size_s().to_string()),
        ("window_start_s", window.start_s.to_string()),
        ("windows_s", json!(windows).to_string()),
        ("trials", json!(data.trial_idx()).to_string()),
        ("split", json!(parts_of_trials(&session.train.split, &all)).to_string()),
        ("regions", json!(regions).to_string()),
        ("unit_filter", json!(config.data.units).to_string()),
        ("tasks", json!(plans.iter().map(described).collect::<Vec<_>>()).to_string()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn described(plan: &TaskPlan) -> serde_json::Value {
    let queries: Vec<_> = plan
        .queries
        .iter()
        .map(|q| json!({ "visible": q.visible, "targets": q.targets, "leave_one_out": q.leave_one_out }))
        .collect();
    json!({ "task": plan.task.name(), "first_bin": plan.first_bin, "units": plan.units, "queries": queries })
}

fn file_of(folder: &Path, session: &SessionId) -> PathBuf {
    folder.join(format!("{session}.safetensors"))
}

/// Shape of the answer to a task: all trials, the scored bins, the scored units.
fn shape_of(plan: &TaskPlan, n_trials: usize) -> [usize; 3] {
    [n_trials, plan.n_bins - plan.first_bin, plan.units.len()]
}

/// Rates that another program predicts for a session, checked.
pub(super) struct Answers<'a> {
    source: &'a PredictionSource,
    rates: BTreeMap<EvalTask, Array3<f64>>,
}

impl<'a> Answers<'a> {
    /// Reads what every other program answers for a session.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn read_all(
        session: &LoadedSession,
        config: &'a EvaluateConfig,
    ) -> Result<Vec<Self>, PipelineError> {
        config.predictions.iter().map(|source| Self::read(source, session, config)).collect()
    }

    /// Reads the answers to all tasks of `config` for a session.
    ///
    /// # Errors
    /// If there is no file, it answers other questions or does not say which, or an array is missing, of another shape, or holds something else than positive
    /// numbers in validation and test trials.
    fn read(
        source: &'a PredictionSource,
        session: &LoadedSession,
        config: &EvaluateConfig,
    ) -> Result<Self, PipelineError> {
        let path = file_of(&source.path, &session.hash.session);
        let bad = |message: String| PipelineError::BadFile { path: path.clone(), message };
        let bytes = fs::read(&path).map_err(PipelineError::io("read", &path))?;
        let answered = metadata(&bytes).map_err(|error| bad(error.to_string()))?;
        let (plans, _) = plans(&session.train, &config.scoring, config.seed)?;
        for (name, asked) in facts(session, config, &plans) {
            match answered.get(&name) {
                Some(found) if *found == asked => {}
                Some(_) => {
                    return Err(bad(format!(
                        "answers other questions: its `{name}` is not that of this evaluation; write the questions again \
                         (`questions`) and answer those"
                    )));
                }
                None => {
                    return Err(bad(format!(
                        "does not say which questions it answers (`{name}` is missing); write the metadata of the questions' file \
                         into it"
                    )));
                }
            }
        }
        let arrays = from_safetensors(&bytes).map_err(|error| bad(error.to_string()))?;
        let split = &session.train.split;
        let mut rates = BTreeMap::new();
        for plan in plans {
            let name = plan.task.name();
            let Some(array) = arrays.get(name) else {
                let there = arrays.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(bad(format!(
                    "has no array `{name}` (there are: {there}); answer it, or leave it out of `scoring.tasks`"
                )));
            };
            let shape = shape_of(&plan, session.train.data.n_trials());
            let found = array.shape().to_vec();
            let values = Array3::from_shape_vec(shape, array.iter::<f64>().collect())
                .ok()
                .filter(|_| found == shape)
                .ok_or_else(|| {
                    bad(format!("`{name}` has the shape {found:?}; expected [trial, bin, unit] = {shape:?}"))
                })?;
            for &trial in split.valid.iter().chain(&split.test) {
                let row = values.index_axis(Axis(0), trial);
                if let Some(((bin, unit), rate)) =
                    row.indexed_iter().find(|(_, r)| !(r.is_finite() && **r > 0.0))
                {
                    return Err(bad(format!(
                        "`{name}` is {rate} at trial {trial}, bin {bin}, unit {unit}; rates are spikes per bin, finite and above zero"
                    )));
                }
            }
            rates.insert(plan.task, values);
        }
        Ok(Self { source, rates })
    }

    /// The answers as a predictor.
    pub(super) fn asker(&self) -> ModelPredictions<'_> {
        ModelPredictions {
            name: self.source.name.clone(),
            is_pretrained: self.source.is_pretrained,
            predict: Box::new(|plan, trials| {
                let rates = self.rates.get(&plan.task).ok_or_else(|| EvaluateError::BadValue {
                    field: "scoring.tasks".to_owned(),
                    message: format!("`{}` has no answer to {}", self.source.name, plan.task.name()),
                })?;
                Ok(rates.select(Axis(0), trials))
            }),
        }
    }
}
