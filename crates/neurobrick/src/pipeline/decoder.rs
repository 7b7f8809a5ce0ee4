//! Pretraining and fine-tuning of decoders of behavior that read single spikes.

use std::path::Path;

use burn::tensor::Device;
use neurobrick_core::{ModelError, SessionSpec};
use neurobrick_data::SplitConfig;
use neurobrick_models::Poyo;
use neurobrick_schema::Recording;
use neurobrick_train::{LoopConfig, TrainError};

use super::learner::{Learner, Request, finetune_learner, pretrain_learner};
use super::pretrain::sessions_to_learn;
use super::training::ModelRecord;
use crate::config::{
    BehaviorTarget, DecoderStart, DecoderTrainConfig, FinetuneDecoderConfig, PretrainDecoderConfig,
};
use crate::decoding::spikes::{BehaviorTask, DecoderSession, save_decoder_model};
use crate::decoding::{DecoderSpec, SessionScales, SpikeDecodingError, load_decoder_model};
use crate::pipeline::Observer;
use crate::{Compute, LoadedSession, PipelineError, RunManifest, SessionHash};

/// POYO and how it is trained.
struct PoyoLearner<'a> {
    split: &'a SplitConfig,
    behaviors: &'a [BehaviorTarget],
    train: &'a DecoderTrainConfig,
}

impl Learner for PoyoLearner<'_> {
    type Model = Poyo;
    type Spec = DecoderSpec;
    type Session = DecoderSession;
    type Task = BehaviorTask;

    const UNITS: [&'static str; 2] = ["standardized squared error", "R²"];

    fn session(
        &self,
        recording: &Recording,
        LoadedSession { train, hash, .. }: LoadedSession,
        observer: &mut dyn Observer,
    ) -> Result<DecoderSession, PipelineError> {
        let parts = (&train.split, self.split);
        let session = DecoderSession::new(recording, &train.data, parts, self.behaviors)?;
        for (part, used, all) in [
            ("training", &session.train, &train.split.train),
            ("validation", &session.valid, &train.split.valid),
        ] {
            if used.len() < all.len() {
                observer.note(&format!(
                    "{}: {} of {} {part} windows have behavior in every bin; the others are left out",
                    hash.session,
                    used.len(),
                    all.len()
                ));
            }
        }
        Ok(session)
    }

    fn session_spec(session: &DecoderSession) -> SessionSpec {
        session.spec()
    }

    fn fresh(
        spec: &DecoderSpec,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Poyo, ModelError> {
        Poyo::new(spec.model.sizes().clone(), sessions, seed, device)
    }

    fn with_sessions(
        model: &Poyo,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Poyo, ModelError> {
        model.with_sessions(sessions, seed, device)
    }

    fn settle(&self, spec: &mut DecoderSpec, sessions: &[DecoderSession]) {
        spec.behaviors = self.behaviors.to_vec();
        let scales = |session: &DecoderSession| SessionScales {
            session: session.spikes.session().clone(),
            scales: session.scales.clone(),
        };
        spec.scales = sessions.iter().map(scales).collect();
    }

    fn task(
        &self,
        sessions: Vec<DecoderSession>,
        hashes: Vec<SessionHash>,
        seed: u64,
    ) -> Result<BehaviorTask, PipelineError> {
        let targets = self.behaviors.iter().map(|target| target.name.clone()).collect();
        BehaviorTask::new(sessions, targets, hashes, self.train.clone(), seed)
    }

    fn loop_config(&self) -> LoopConfig {
        self.train.loop_config()
    }

    fn save(path: &Path, model: &Poyo, record: &ModelRecord<DecoderSpec>) -> Result<(), TrainError> {
        save_decoder_model(path, model, record)
    }
}

/// Pretrains a decoder into the run folder `out`, its model into `model/`. Resumes if the folder holds a checkpoint of the same
/// run.
///
/// # Errors
/// If data or behavior are missing, the folder is in use or holds another run, or training fails.
pub fn pretrain_decoder(
    config: &PretrainDecoderConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<RunManifest, PipelineError> {
    config.validate()?;
    let PretrainDecoderConfig { seed, data, behaviors, model, train, .. } = config;
    let sessions = &sessions_to_learn(data, &config.sessions, &config.exclude)?;
    let device = &compute.open()?;
    let request = Request { data, seed: *seed, sessions, out, command, compute, device };
    let learner = PoyoLearner { split: &data.split, behaviors, train };
    let spec = DecoderSpec { model: model.clone(), behaviors: behaviors.clone(), scales: Vec::new() };
    pretrain_learner(&learner, config, spec, &request, observer)
}

/// Fine-tunes a decoder on every session by itself, into `out/<session>`; resumes where checkpoints are found.
///
/// # Errors
/// If data, behavior or the pretrained model are missing or damaged, it was pretrained for other targets, a folder is in use or
/// holds another run, or training fails.
pub fn finetune_decoder(
    config: &FinetuneDecoderConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<RunManifest, PipelineError> {
    config.validate()?;
    let FinetuneDecoderConfig { seed, sessions, data, behaviors, train, .. } = config;
    let device = &compute.open()?;
    let request = Request { data, seed: *seed, sessions, out, command, compute, device };
    // A fresh model is rebuilt for the sessions like a loaded one, so both take one path.
    let (start, origin) = match &config.start {
        DecoderStart::Pretrained(path) => load_decoder_model(path, compute.device)?,
        DecoderStart::Scratch(model) => {
            let spec = DecoderSpec { model: model.clone(), behaviors: behaviors.clone(), scales: Vec::new() };
            (PoyoLearner::fresh(&spec, &[], *seed, device)?, request.fresh_record(spec))
        }
    };
    check_targets(&origin.config.behaviors, behaviors)?;
    let learner = PoyoLearner { split: &data.split, behaviors, train };
    finetune_learner(&learner, config, (start, origin), &request, observer)
}

/// Names and order must be those of the model; where the values come from may differ.
fn check_targets(known: &[BehaviorTarget], asked: &[BehaviorTarget]) -> Result<(), SpikeDecodingError> {
    let names = |targets: &[BehaviorTarget]| -> Vec<String> {
        targets.iter().map(|target| target.name.clone()).collect()
    };
    let (known, asked) = (names(known), names(asked));
    if known == asked {
        return Ok(());
    }
    Err(SpikeDecodingError::OtherTargets { known: known.join(", "), asked: asked.join(", ") })
}
