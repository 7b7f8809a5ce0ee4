//! Pretraining and fine-tuning of NEDS.

use std::path::Path;

use burn::tensor::Device;
use neurobrick_core::{ModelError, SessionSpec};
use neurobrick_models::{Neds, NedsModalities};
use neurobrick_schema::Recording;
use neurobrick_train::{LoopConfig, TrainError};

use super::learner::{Learner, Request, finetune_learner, pretrain_learner};
use super::pretrain::sessions_to_learn;
use super::training::ModelRecord;
use crate::config::{
    DecodeTarget, FinetuneNedsConfig, ModalitiesConfig, NedsTrainConfig, PretrainNedsConfig, Start,
};
use crate::decoding::neds::{NedsSession, NedsTask, check_classes, save_neds_model};
use crate::decoding::{NedsSpec, SessionScales, SpikeDecodingError, load_neds_model};
use crate::pipeline::Observer;
use crate::{Compute, LoadedSession, PipelineError, RunManifest, SessionHash};

/// NEDS and how it is trained.
struct NedsLearner<'a> {
    modalities: &'a ModalitiesConfig,
    train: &'a NedsTrainConfig,
    /// Labels of the model that is trained further.
    known: &'a [DecodeTarget],
}

impl Learner for NedsLearner<'_> {
    type Model = Neds;
    type Spec = NedsSpec;
    type Session = NedsSession;
    type Task = NedsTask;

    const UNITS: [&'static str; 2] = ["sum over modalities", "mean of bits/spike, balanced accuracy and R²"];

    fn check(&self, sessions: &[LoadedSession]) -> Result<(), PipelineError> {
        check_classes(sessions, &self.modalities.labels, self.known)
    }

    fn session(
        &self,
        recording: &Recording,
        loaded: LoadedSession,
        observer: &mut dyn Observer,
    ) -> Result<NedsSession, PipelineError> {
        let session = NedsSession::new(recording, loaded.train, self.modalities)?;
        let n_trials = session.labels.nrows();
        for (label, column) in self.modalities.labels.iter().zip(session.labels.columns()) {
            let n_labeled = column.iter().filter(|class| class.is_some()).count();
            if n_labeled < n_trials {
                observer.note(&format!(
                    "{}: {n_labeled} of {n_trials} trials have the label {}",
                    session.id(),
                    label.name()
                ));
            }
        }
        Ok(session)
    }

    fn session_spec(session: &NedsSession) -> SessionSpec {
        session.train.spec()
    }

    fn fresh(
        spec: &NedsSpec,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Neds, ModelError> {
        Neds::new(spec.model.sizes().clone(), spec.modalities.of_model(), sessions, seed, device)
    }

    fn with_sessions(
        model: &Neds,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Neds, ModelError> {
        model.with_sessions(sessions, seed, device)
    }

    fn settle(&self, spec: &mut NedsSpec, sessions: &[NedsSession]) {
        spec.modalities = self.modalities.clone();
        spec.schemes.clone_from(&self.train.masking.schemes);
        let scales = |session: &NedsSession| SessionScales {
            session: session.id().clone(),
            scales: session.scales.clone(),
        };
        spec.scales = sessions.iter().map(scales).collect();
    }

    fn task(
        &self,
        sessions: Vec<NedsSession>,
        hashes: Vec<SessionHash>,
        seed: u64,
    ) -> Result<NedsTask, PipelineError> {
        NedsTask::new(sessions, self.modalities.of_model(), hashes, self.train.clone(), seed)
    }

    fn loop_config(&self) -> LoopConfig {
        self.train.loop_config()
    }

    fn save(path: &Path, model: &Neds, record: &ModelRecord<NedsSpec>) -> Result<(), TrainError> {
        save_neds_model(path, model, record)
    }
}

/// Pretrains NEDS into the run folder `out`, its model into `model/`. Resumes if the folder holds a checkpoint of the same run.
///
/// # Errors
/// If data, labels or behavior are missing, the folder is in use or holds another run, or training fails.
pub fn pretrain_neds(
    config: &PretrainNedsConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<RunManifest, PipelineError> {
    config.validate()?;
    let PretrainNedsConfig { seed, data, modalities, model, train, .. } = config;
    let sessions = &sessions_to_learn(data, &config.sessions, &config.exclude)?;
    let device = &compute.open()?;
    let request = Request { data, seed: *seed, sessions, out, command, compute, device };
    let spec = NedsSpec::untrained(model, modalities);
    pretrain_learner(&NedsLearner { modalities, train, known: &[] }, config, spec, &request, observer)
}

/// Fine-tunes NEDS on every session by itself, into `out/<session>`: a session that it never saw gets encoders and read-outs of
/// its own, the rest goes on from where it was. Resumes where checkpoints are found.
///
/// # Errors
/// If data, labels, behavior or the pretrained model are missing or damaged, it was pretrained for other modalities, a folder is
/// in use or holds another run, or training fails.
pub fn finetune_neds(
    config: &FinetuneNedsConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<RunManifest, PipelineError> {
    config.validate()?;
    let FinetuneNedsConfig { seed, sessions, data, modalities, train, .. } = config;
    let device = &compute.open()?;
    let request = Request { data, seed: *seed, sessions, out, command, compute, device };
    // A fresh model is rebuilt for the sessions like a loaded one, so both take one path.
    let (start, origin) = match &config.start {
        Start::Pretrained(path) => load_neds_model(path, compute.device)?,
        Start::Scratch(model) => {
            let spec = NedsSpec::untrained(model, modalities);
            (NedsLearner::fresh(&spec, &[], *seed, device)?, request.fresh_record(spec))
        }
    };
    check_modalities(&origin.config.modalities.of_model(), &modalities.of_model())?;
    // A model that starts here knows no class yet.
    let known = match config.start {
        Start::Pretrained(_) => origin.config.modalities.labels.clone(),
        Start::Scratch(_) => Vec::new(),
    };
    finetune_learner(
        &NedsLearner { modalities, train, known: &known },
        config,
        (start, origin),
        &request,
        observer,
    )
}

/// Names, numbers of classes and order must be those of the model; where the values come from may differ.
fn check_modalities(known: &NedsModalities, asked: &NedsModalities) -> Result<(), SpikeDecodingError> {
    if known == asked {
        return Ok(());
    }
    let words = |modalities: &NedsModalities| {
        let labels = modalities.labels.iter().map(|l| format!("{} ({} classes)", l.name, l.n_classes));
        labels.chain(modalities.behaviors.iter().cloned()).collect::<Vec<_>>().join(", ")
    };
    Err(SpikeDecodingError::OtherTargets { known: words(known), asked: words(asked) })
}
