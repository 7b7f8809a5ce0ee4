//! What pretraining and fine-tuning share: run a trainer in a folder, resume it, save its model.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use neurobrick_core::{ComputeDevice, ModelError, PopulationModel};
use neurobrick_data::{SessionData, SplitConfig, UnitFilter, WindowConfig};
use neurobrick_evaluate::in_line;
use neurobrick_models::torch::TorchNames;
use neurobrick_models::{AnyModel, ModelConfig};
use neurobrick_schema::SessionId;
use neurobrick_train::{
    TrainConfig, TrainError, TrainEvent, TrainSession, TrainTask, Trainer, latest_checkpoint, load_model_dir,
    save_model_dir,
};

use serde::{Deserialize, Serialize};

use super::alignment::SharedConditions;
use crate::config::DataConfig;
use crate::decoding::BehaviorKind;
use crate::pipeline::{Observer, Progress};
use crate::{Compute, MetricsRecord, PipelineError, RunFolder, RunManifest, SessionHash};

/// What a model folder says beside the weights: sizes, and what the model has been trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord<C = ModelConfig> {
    /// Kind and sizes.
    pub config: C,
    /// Seed of the last training and its splits.
    pub seed: u64,
    /// Window and bins.
    pub window: WindowConfig,
    /// Fractions of trials of the last training.
    pub split: SplitConfig,
    /// Units that were good enough for it.
    #[serde(default, skip_serializing_if = "UnitFilter::is_empty")]
    pub units: UnitFilter,
    /// Every session that has entered the weights here, by pretraining or fine-tuning.
    pub trained_on: Vec<TrainedSession>,
    /// Published weights that it began with; absent for a model that began here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_from: Option<ImportedFrom>,
    /// What its sessions were aligned by, and new ones are; absent: layers of sessions start at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<SharedConditions>,
}

/// A session that a model was trained on, and on which part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedSession {
    /// The session.
    pub session: SessionId,
    /// BLAKE3 of its manifest in the store.
    pub blake3: String,
    /// Its trials and units; absent in folders of earlier versions, where they are those of the whole record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<TrainedPart>,
}

/// Which trials and units of a session were trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedPart {
    /// Seed of the split.
    pub seed: u64,
    /// Fractions of trials.
    pub split: SplitConfig,
    /// Units that were good enough.
    #[serde(default, skip_serializing_if = "UnitFilter::is_empty")]
    pub units: UnitFilter,
}

impl TrainedSession {
    /// A session that is trained on with this seed and data.
    pub(super) fn new(hash: &SessionHash, data: &DataConfig, seed: u64) -> Self {
        Self {
            session: hash.session.clone(),
            blake3: hash.blake3.clone(),
            part: Some(TrainedPart { seed, split: data.split.clone(), units: data.units.clone() }),
        }
    }
}

/// Where published weights came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedFrom {
    /// Whose names they had.
    pub names: TorchNames,
    /// The sessions taken over: they were trained on elsewhere, on trials that nobody recorded here.
    pub sessions: Vec<SessionId>,
}

impl<C> ModelRecord<C> {
    /// Trials and units of a session as this model was trained on it; of a session it never saw, as it was trained last.
    pub fn part_of(&self, session: &SessionId) -> TrainedPart {
        let known = self.trained_on.iter().find(|trained| trained.session == *session);
        known.and_then(|trained| trained.part.clone()).unwrap_or_else(|| TrainedPart {
            seed: self.seed,
            split: self.split.clone(),
            units: self.units.clone(),
        })
    }

    /// Whether anything but this session has entered the weights. Published weights count: they know sessions that the
    /// import need not have named.
    pub fn is_pretrained_for(&self, session: &SessionId) -> bool {
        self.imported_from.is_some() || self.trained_on.iter().any(|trained| trained.session != *session)
    }

    /// Refuses data that this model cannot go on with: other windows or bins; for a session that it was trained on,
    /// another seed, split or data, which would take training trials for test trials.
    ///
    /// # Errors
    /// With both values shown.
    pub fn check_data(
        &self,
        data: &DataConfig,
        seed: u64,
        session: &SessionHash,
    ) -> Result<(), PipelineError> {
        let refuse = |field: &str, trained: String, asked: String| {
            let message = format!(
                "the model was trained with {trained}, not {asked}; use the same for {}",
                session.session
            );
            Err(PipelineError::BadValue { field: field.to_owned(), message })
        };
        if self.window != data.window {
            return refuse("data.window", in_line(&self.window), in_line(&data.window));
        }
        let Some(known) = self.trained_on.iter().find(|trained| trained.session == session.session) else {
            return Ok(());
        };
        let part = self.part_of(&session.session);
        if part.seed != seed {
            return refuse("seed", part.seed.to_string(), seed.to_string());
        }
        if part.split != data.split {
            return refuse("data.split", in_line(&part.split), in_line(&data.split));
        }
        if part.units != data.units {
            return refuse("data.units", in_line(&part.units), in_line(&data.units));
        }
        if known.blake3 != session.blake3 {
            return refuse("data.store", format!("data {}", known.blake3), session.blake3.clone());
        }
        Ok(())
    }

    /// Refuses data on which this model's scores would mislead: what [`check_data`](Self::check_data) refuses, and sessions
    /// of published weights, whose training trials nobody knows. Fine-tuning does not make the weights forget them.
    ///
    /// # Errors
    /// With what to do instead.
    pub fn check_scores(
        &self,
        data: &DataConfig,
        seed: u64,
        session: &SessionHash,
    ) -> Result<(), PipelineError> {
        self.check_data(data, seed, session)?;
        let id = &session.session;
        if self.imported_from.as_ref().is_none_or(|from| !from.sessions.contains(id)) {
            return Ok(());
        }
        let message = format!(
            "the model began with published weights that were trained on {id}, and nobody recorded on which trials: its test \
             trials may be among them, also after fine-tuning. Score a session that they never saw; whoever knows the \
             published split takes rates from `predict` or latents from `embed` and scores the trials that were left out"
        );
        Err(PipelineError::BadValue { field: "sessions".to_owned(), message })
    }
}

/// Loads a model folder onto `device`, verified: hashes, strict weights, and its parity example.
///
/// # Errors
/// If a file is missing or damaged, or the model answers its example differently.
pub fn load_model(path: &Path, device: ComputeDevice) -> Result<(AnyModel, ModelRecord), PipelineError> {
    let device = device.ready()?;
    // The folder of a run stands for the model in it.
    let inner = path.join("model");
    let path = if inner.is_dir() { inner.as_path() } else { path };
    if !path.join("config.json").exists() {
        let is_within_model = path.parent().is_some_and(|parent| parent.join("config.json").exists());
        let message = match models_below(path) {
            _ if is_within_model => {
                "lies inside the folder of a model; name the folder of the run that made it".to_owned()
            }
            found if found.is_empty() => {
                "holds no model; name the folder of a finished training run".to_owned()
            }
            found => format!("holds a model for each of several sessions; name one of {}", found.join(", ")),
        };
        return Err(PipelineError::BadFile { path: path.to_owned(), message });
    }
    if let Some(kind) = BehaviorKind::of(path) {
        let message = format!(
            "holds a model of the kind `{}`, which answers behavior and not this; score it with `decode`",
            kind.name()
        );
        return Err(PipelineError::BadFile { path: path.to_owned(), message });
    }
    let build = |record: &ModelRecord, specs: &[_]| -> Result<AnyModel, TrainError> {
        Ok(record.config.build(specs, 0, &device)?)
    };
    Ok(load_model_dir(path, build)?)
}

/// Folders right below that hold a model, as a run of fine-tuning leaves them.
fn models_below(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|folder| folder.join("model").join("config.json").exists())
        .map(|folder| folder.display().to_string())
        .collect();
    found.sort();
    found
}

/// Refuses causal latents of a model whose earlier bins know later ones.
pub(super) fn check_causal(model: &AnyModel, record: &ModelRecord) -> Result<(), ModelError> {
    if model.can_be_causal() {
        return Ok(());
    }
    let kind = record.config.kind();
    Err(ModelError::Unsupported {
        what: format!("answer a bin from it and earlier ones alone: this `{kind}` lets later bins through"),
        hint: "ask for latents of whole windows (without `--causal`), or train a model that attends causally, such as \
               `ndt_stitch` with `faithful = false`"
            .to_owned(),
    })
}

/// Says how many trials of a session are left out, if any are.
pub(super) fn note_left_out(data: &SessionData, observer: &mut dyn Observer) {
    if data.excluded().is_empty() {
        return;
    }
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for excluded in data.excluded() {
        *by_reason.entry(&excluded.reason).or_default() += 1;
    }
    let reasons: Vec<String> = by_reason.iter().map(|(reason, n)| format!("{n}: {reason}")).collect();
    let n_all = data.n_trials() + data.excluded().len();
    observer.note(&format!(
        "{}: {} of {n_all} trials used ({})",
        data.session(),
        data.n_trials(),
        reasons.join("; ")
    ));
}

/// One training run to be done in a folder.
pub(super) struct TrainingRun<'a> {
    pub(super) stage: String,
    pub(super) model: AnyModel,
    pub(super) record: ModelRecord,
    pub(super) sessions: Vec<TrainSession>,
    pub(super) train: &'a TrainConfig,
    pub(super) compute: Compute,
}

/// Trains in `folder` and ends with the model of the best validation in `model/`.
pub(super) fn train_in(
    folder: &RunFolder,
    run: TrainingRun<'_>,
    manifest: &mut RunManifest,
    observer: &mut dyn Observer,
) -> Result<(), PipelineError> {
    let TrainingRun { stage, model, record, sessions, train, compute } = run;
    let n_bins = record.config.n_bins();
    for session in &sessions {
        note_left_out(&session.data, observer);
    }
    let n_sessions = sessions.len();
    let stage = Stage { name: stage, n_steps: train.n_steps, n_sessions, loss: "nats", valid: "bits/spike" };
    let trainer = Trainer::new(model, sessions, train.clone(), record.seed, compute.n_threads)?;
    run_in(folder, stage, trainer, manifest, observer, |path, best| {
        save_model_dir(path, best, &record, n_bins)
    })
}

/// What a person is told of a run.
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) n_steps: u64,
    pub(super) n_sessions: usize,
    /// Unit of the loss.
    pub(super) loss: &'static str,
    /// Unit of the validation score.
    pub(super) valid: &'static str,
}

/// Runs a trainer in `folder`: resumes from its newest valid checkpoint, appends to its metrics, and saves the model of the
/// best validation as `model/`.
pub(super) fn run_in<M: Module, T: TrainTask<M>>(
    folder: &RunFolder,
    stage: Stage,
    mut trainer: Trainer<M, T>,
    manifest: &mut RunManifest,
    observer: &mut dyn Observer,
    save: impl FnOnce(&Path, &M) -> Result<(), TrainError>,
) -> Result<(), PipelineError> {
    let started = Instant::now();
    if let Some(checkpoint) = latest_checkpoint(&folder.checkpoints())? {
        if let Some(reason) = checkpoint.newer_is_damaged {
            observer.note(&format!("{}: a newer checkpoint is passed over: {reason}", stage.name));
        }
        trainer = trainer.resume(&checkpoint.path)?;
        observer.note(&format!("{}: resumed after step {}", stage.name, trainer.steps_done()));
    }
    let resumed_at = trainer.steps_done();
    let mut metrics = folder.metrics_after(resumed_at)?;
    let mut state = Progress {
        stage: stage.name,
        done: trainer.steps_done(),
        total: stage.n_steps,
        message: String::new(),
    };
    let (mut loss, mut valid) = (f64::NAN, f64::NAN);
    // Errors of the metrics file are kept aside, since the loop speaks in its own error type.
    let mut failed = None;
    let outcome = trainer.run(Some(&folder.checkpoints()), |event| {
        if let Some(record) = MetricsRecord::of(&event)
            && let Err(error) = metrics.append(&record)
        {
            let reason = error.to_string();
            failed = Some(error);
            return Err(TrainError::Worker { reason });
        }
        match event {
            TrainEvent::Step(report) => {
                // A running mean over about 50 steps.
                loss = if loss.is_nan() { report.loss } else { 0.98 * loss + 0.02 * report.loss };
                state.done = report.step;
            }
            TrainEvent::Validated { report, .. } => valid = report.mean,
            TrainEvent::Checkpointed { .. } => {}
            TrainEvent::Checkpointing { .. } => {
                if let Err(error) = metrics.sync() {
                    let reason = error.to_string();
                    failed = Some(error);
                    return Err(TrainError::Worker { reason });
                }
            }
        }
        let known = |label: &str, value: f64| (!value.is_nan()).then(|| format!("{label} {value:.4}"));
        let labels = [format!("loss [{}]", stage.loss), format!("valid [{}]", stage.valid)];
        let parts = [known(&labels[0], loss), known(&labels[1], valid)];
        state.message = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        observer.progress(&state);
        Ok(())
    });
    let outcome = match (outcome, failed) {
        (_, Some(error)) => return Err(error),
        (outcome, None) => outcome?,
    };
    save(&folder.model(), &outcome.best)?;
    let seconds = started.elapsed().as_secs_f64();
    // The time of this process only: a stage that went on from a checkpoint says so.
    let name = if resumed_at == 0 {
        state.stage.clone()
    } else {
        format!("{} after step {resumed_at}", state.stage)
    };
    manifest.stages.push((name, seconds));
    observer.note(&format!(
        "{}: best {:+.4} {} on validation trials after {} of {} steps, {}, {seconds:.0} s",
        state.stage,
        outcome.best_valid,
        stage.valid,
        outcome.best_step,
        outcome.n_steps,
        super::evaluate::sessions_in_words(stage.n_sessions),
    ));
    if outcome.best_step == 0 {
        observer.note(&format!(
            "{}: no validation was better than before the first step, so the model is as it began. More steps, more trials, wider bins \
             or another rate (`max_lr`) may help",
            state.stage
        ));
    }
    Ok(())
}
