//! Pretraining and fine-tuning of models that learn behavior: what POYO and NEDS have in common.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use neurobrick_core::{ModelError, SessionSpec};
use neurobrick_evaluate::read_recording;
use neurobrick_schema::{Recording, SessionId, Store};
use neurobrick_train::{LoopConfig, TrainError, TrainTask, Trainer};
use serde::Serialize;

use super::training::{ModelRecord, Stage, TrainedSession, note_left_out, run_in};
use crate::config::DataConfig;
use crate::pipeline::Observer;
use crate::{Compute, LoadedSession, PipelineError, RunFolder, RunManifest, SessionHash, load_sessions};

/// A kind of model that learns behavior, and how it is trained.
pub(super) trait Learner {
    type Model: Module;
    /// What its folder says of it beside sessions and data.
    type Spec: Clone;
    /// What it learns of one session.
    type Session;
    type Task: TrainTask<Self::Model>;

    /// Units of the loss and of the validation score.
    const UNITS: [&'static str; 2];

    /// Refuses what can be seen of all sessions together only.
    fn check(&self, _sessions: &[LoadedSession]) -> Result<(), PipelineError> {
        Ok(())
    }

    /// Reads a session.
    fn session(
        &self,
        recording: &Recording,
        loaded: LoadedSession,
        observer: &mut dyn Observer,
    ) -> Result<Self::Session, PipelineError>;

    /// What the model must know of a session.
    fn session_spec(session: &Self::Session) -> SessionSpec;

    /// A model that never learned.
    fn fresh(
        spec: &Self::Spec,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self::Model, ModelError>;

    /// The model for exactly these sessions.
    fn with_sessions(
        model: &Self::Model,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self::Model, ModelError>;

    /// Notes what is asked for now, and that these sessions alone are known.
    fn settle(&self, spec: &mut Self::Spec, sessions: &[Self::Session]);

    /// What is learned.
    fn task(
        &self,
        sessions: Vec<Self::Session>,
        hashes: Vec<SessionHash>,
        seed: u64,
    ) -> Result<Self::Task, PipelineError>;

    /// What the loop must know.
    fn loop_config(&self) -> LoopConfig;

    /// Writes a model folder.
    fn save(path: &Path, model: &Self::Model, record: &ModelRecord<Self::Spec>) -> Result<(), TrainError>;
}

/// The data of a run and where it goes.
pub(super) struct Request<'a> {
    pub(super) data: &'a DataConfig,
    pub(super) seed: u64,
    pub(super) sessions: &'a [SessionId],
    pub(super) out: &'a Path,
    pub(super) command: &'a str,
    pub(super) compute: Compute,
    pub(super) device: &'a Device,
}

impl Request<'_> {
    /// The record of a model that has learned nothing.
    pub(super) fn fresh_record<S>(&self, spec: S) -> ModelRecord<S> {
        ModelRecord {
            config: spec,
            seed: self.seed,
            window: self.data.window.clone(),
            split: self.data.split.clone(),
            units: self.data.units.clone(),
            trained_on: Vec::new(),
            imported_from: None,
            alignment: None,
        }
    }

    /// What a model learns from sessions, with the hashes of their data.
    fn learnable<L: Learner>(
        &self,
        learner: &L,
        loaded: Vec<LoadedSession>,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<SessionHash>, Vec<L::Session>), PipelineError> {
        learner.check(&loaded)?;
        let store = Store::open(&self.data.store)?;
        let mut hashes = Vec::with_capacity(loaded.len());
        let mut sessions = Vec::with_capacity(loaded.len());
        for loaded in loaded {
            note_left_out(&loaded.train.data, observer);
            let recording = read_recording(&store, self.data, &loaded.hash.session)?;
            hashes.push(loaded.hash.clone());
            sessions.push(learner.session(&recording, loaded, observer)?);
        }
        Ok((hashes, sessions))
    }

    /// Notes that the model now knows these sessions alone, and was trained on them among others.
    fn learned<L: Learner>(
        &self,
        learner: &L,
        record: &mut ModelRecord<L::Spec>,
        hashes: &[SessionHash],
        sessions: &[L::Session],
    ) {
        record.trained_on.retain(|trained| hashes.iter().all(|hash| hash.session != trained.session));
        record.trained_on.extend(hashes.iter().map(|hash| TrainedSession::new(hash, self.data, self.seed)));
        learner.settle(&mut record.config, sessions);
    }
}

/// Pretrains on all sessions together into the folder of the run, the model into `model/`. Resumes if the folder holds a
/// checkpoint of the same run.
///
/// # Errors
/// If data or behavior are missing, the folder is in use or holds another run, or training fails.
pub(super) fn pretrain_learner<L: Learner>(
    learner: &L,
    config: &impl Serialize,
    spec: L::Spec,
    request: &Request<'_>,
    observer: &mut dyn Observer,
) -> Result<RunManifest, PipelineError> {
    let Request { data, seed, sessions: ids, out, command, compute, device } = *request;
    let folder = RunFolder::open(out)?;
    let loaded = load_sessions(data, ids, seed)?;
    let (hashes, sessions) = request.learnable(learner, loaded, observer)?;
    // Only now: a start that fails leaves no configuration behind.
    folder.settle_config(config)?;
    folder.settle_data(&hashes)?;
    let mut manifest = folder.manifest(command, seed, compute, hashes.clone(), observer)?;
    let specs: Vec<_> = sessions.iter().map(L::session_spec).collect();
    let model = L::fresh(&spec, &specs, seed, device)?;
    let mut record = request.fresh_record(spec);
    request.learned(learner, &mut record, &hashes, &sessions);
    let run = Run { learner, stage: "pretrain".to_owned(), model, record, sessions, hashes };
    run.train_in(&folder, compute, &mut manifest, observer)?;
    manifest.peak_memory_bytes = crate::peak_memory_bytes();
    folder.write_json("manifest.json", &manifest)?;
    Ok(manifest)
}

/// Fine-tunes on every session by itself, into a folder of its own; resumes where checkpoints are found.
///
/// # Errors
/// If data or behavior are missing, the model was trained on other parts of them, a folder is in use or holds another run, or
/// training fails.
pub(super) fn finetune_learner<L: Learner>(
    learner: &L,
    config: &impl Serialize,
    (start, origin): (L::Model, ModelRecord<L::Spec>),
    request: &Request<'_>,
    observer: &mut dyn Observer,
) -> Result<RunManifest, PipelineError> {
    let Request { data, seed, sessions: ids, out, command, compute, device } = *request;
    let folder = RunFolder::open(out)?;
    let loaded = load_sessions(data, ids, seed)?;
    for session in &loaded {
        origin.check_data(data, seed, &session.hash)?;
    }
    let (hashes, sessions) = request.learnable(learner, loaded, observer)?;
    // Only now: a start that fails leaves no configuration behind.
    folder.settle_config(config)?;
    folder.settle_data(&hashes)?;
    let mut manifest = folder.manifest(command, seed, compute, hashes.clone(), observer)?;
    let name = out.file_name().map_or_else(|| "finetune".to_owned(), |n| n.to_string_lossy().into_owned());
    for (session, hash) in sessions.into_iter().zip(hashes) {
        let spec = L::session_spec(&session);
        let mut record =
            ModelRecord { seed, split: data.split.clone(), units: data.units.clone(), ..origin.clone() };
        let (sessions, hashes) = (vec![session], vec![hash]);
        request.learned(learner, &mut record, &hashes, &sessions);
        let session_folder = RunFolder::open(&out.join(spec.session.as_str()))?;
        let run = Run {
            learner,
            stage: format!("{name} {}", spec.session),
            model: L::with_sessions(&start, &[spec], seed, device)?,
            record,
            sessions,
            hashes,
        };
        run.train_in(&session_folder, compute, &mut manifest, observer)?;
    }
    manifest.peak_memory_bytes = crate::peak_memory_bytes();
    folder.write_json("manifest.json", &manifest)?;
    Ok(manifest)
}

/// One training run to be done in a folder.
struct Run<'a, L: Learner> {
    learner: &'a L,
    stage: String,
    model: L::Model,
    record: ModelRecord<L::Spec>,
    sessions: Vec<L::Session>,
    hashes: Vec<SessionHash>,
}

impl<L: Learner> Run<'_, L> {
    fn train_in(
        self,
        folder: &RunFolder,
        compute: Compute,
        manifest: &mut RunManifest,
        observer: &mut dyn Observer,
    ) -> Result<(), PipelineError> {
        let Self { learner, stage, model, record, sessions, hashes } = self;
        let settings = learner.loop_config();
        let [loss, valid] = L::UNITS;
        let n_sessions = sessions.len();
        let stage = Stage { name: stage, n_steps: settings.n_steps, n_sessions, loss, valid };
        let task = learner.task(sessions, hashes, record.seed)?;
        let trainer = Trainer::with_task(model, task, settings, compute.n_threads)?;
        run_in(folder, stage, trainer, manifest, observer, |path, best| L::save(path, best, &record))
    }
}
