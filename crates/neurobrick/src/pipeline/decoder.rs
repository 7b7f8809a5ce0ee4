//! Pretraining and fine-tuning of decoders of behavior that read single spikes.

use std::path::Path;

use neurobrick_models::Poyo;
use neurobrick_schema::Store;
use neurobrick_train::Trainer;

use super::pretrain::sessions_to_learn;
use super::training::{ModelRecord, Stage, TrainedSession, note_left_out, run_in};
use crate::config::{
    BehaviorTarget, DataConfig, DecoderStart, DecoderTrainConfig, FinetuneDecoderConfig,
    PretrainDecoderConfig, SpikeDecoderConfig,
};
use crate::decoding::spikes::{BehaviorTask, DecoderSession, save_decoder_model};
use crate::decoding::{DecoderSpec, SessionScales, SpikeDecodingError, load_decoder_model};
use crate::pipeline::Observer;
use crate::{
    Compute, LoadedSession, PipelineError, RunFolder, RunManifest, SessionHash, load_sessions, read_recording,
};

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
    let device = compute.open()?;
    let ids = sessions_to_learn(&config.data, &config.sessions, &config.exclude)?;
    let folder = RunFolder::open(out)?;
    let loaded = load_sessions(&config.data, &ids, config.seed)?;
    let (hashes, sessions) = learnable(&config.data, loaded, &config.behaviors, observer)?;
    // Only now: a start that fails leaves no configuration behind.
    folder.settle_config(config)?;
    folder.settle_data(&hashes)?;
    let mut manifest = folder.manifest(command, config.seed, compute, hashes.clone(), observer)?;
    let specs: Vec<_> = sessions.iter().map(DecoderSession::spec).collect();
    let model = Poyo::new(config.model.sizes().clone(), &specs, config.seed, &device)?;
    let mut record = fresh_record(&config.model, &config.data, &config.behaviors, config.seed);
    record.learn_from(&hashes, &sessions, &config.data);
    let run = Run { stage: "pretrain".to_owned(), model, record, sessions, hashes, train: &config.train };
    run.train_in(&folder, compute, &mut manifest, observer)?;
    manifest.peak_memory_bytes = crate::peak_memory_bytes();
    folder.write_json("manifest.json", &manifest)?;
    Ok(manifest)
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
    let device = compute.open()?;
    // A fresh model is rebuilt for the sessions like a loaded one, so both take one path.
    let (start, origin) = match &config.start {
        DecoderStart::Pretrained(path) => load_decoder_model(path, compute.device)?,
        DecoderStart::Scratch(model) => (
            Poyo::new(model.sizes().clone(), &[], config.seed, &device)?,
            fresh_record(model, &config.data, &config.behaviors, config.seed),
        ),
    };
    check_targets(&origin.config.behaviors, &config.behaviors)?;
    let folder = RunFolder::open(out)?;
    let loaded = load_sessions(&config.data, &config.sessions, config.seed)?;
    for session in &loaded {
        origin.check_data(&config.data, config.seed, &session.hash)?;
    }
    let (hashes, sessions) = learnable(&config.data, loaded, &config.behaviors, observer)?;
    // Only now: a start that fails leaves no configuration behind.
    folder.settle_config(config)?;
    folder.settle_data(&hashes)?;
    let mut manifest = folder.manifest(command, config.seed, compute, hashes.clone(), observer)?;
    let name = out.file_name().map_or_else(|| "finetune".to_owned(), |n| n.to_string_lossy().into_owned());
    for (session, hash) in sessions.into_iter().zip(hashes) {
        let spec = session.spec();
        let mut record = ModelRecord {
            seed: config.seed,
            split: config.data.split.clone(),
            units: config.data.units.clone(),
            ..origin.clone()
        };
        record.config.behaviors.clone_from(&config.behaviors);
        let (sessions, hashes) = (vec![session], vec![hash]);
        record.learn_from(&hashes, &sessions, &config.data);
        let session_folder = RunFolder::open(&out.join(spec.session.as_str()))?;
        let run = Run {
            stage: format!("{name} {}", spec.session),
            model: start.with_sessions(&[spec], config.seed, &device)?,
            record,
            sessions,
            hashes,
            train: &config.train,
        };
        run.train_in(&session_folder, compute, &mut manifest, observer)?;
    }
    manifest.peak_memory_bytes = crate::peak_memory_bytes();
    folder.write_json("manifest.json", &manifest)?;
    Ok(manifest)
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

fn fresh_record(
    model: &SpikeDecoderConfig,
    data: &DataConfig,
    behaviors: &[BehaviorTarget],
    seed: u64,
) -> ModelRecord<DecoderSpec> {
    ModelRecord {
        config: DecoderSpec { model: model.clone(), behaviors: behaviors.to_vec(), scales: Vec::new() },
        seed,
        window: data.window.clone(),
        split: data.split.clone(),
        units: data.units.clone(),
        trained_on: Vec::new(),
        imported_from: None,
    }
}

impl ModelRecord<DecoderSpec> {
    /// Notes that the model now knows these sessions alone, and was trained on them among others.
    fn learn_from(&mut self, hashes: &[SessionHash], sessions: &[DecoderSession], data: &DataConfig) {
        self.trained_on.retain(|trained| hashes.iter().all(|hash| hash.session != trained.session));
        self.trained_on.extend(hashes.iter().map(|hash| TrainedSession::new(hash, data, self.seed)));
        let scales = |session: &DecoderSession| SessionScales {
            session: session.spikes.session().clone(),
            scales: session.scales.clone(),
        };
        self.config.scales = sessions.iter().map(scales).collect();
    }
}

/// What a decoder learns from sessions, with the hashes of their data.
fn learnable(
    config: &DataConfig,
    loaded: Vec<LoadedSession>,
    targets: &[BehaviorTarget],
    observer: &mut dyn Observer,
) -> Result<(Vec<SessionHash>, Vec<DecoderSession>), PipelineError> {
    let store = Store::open(&config.store)?;
    let mut hashes = Vec::with_capacity(loaded.len());
    let mut sessions = Vec::with_capacity(loaded.len());
    for LoadedSession { train, hash, .. } in loaded {
        note_left_out(&train.data, observer);
        let recording = read_recording(&store, config, &hash.session)?;
        let parts = (&train.split, &config.split);
        let session = DecoderSession::new(&recording, &train.data, parts, targets)?;
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
        sessions.push(session);
        hashes.push(hash);
    }
    Ok((hashes, sessions))
}

/// One training run to be done in a folder.
struct Run<'a> {
    stage: String,
    model: Poyo,
    record: ModelRecord<DecoderSpec>,
    sessions: Vec<DecoderSession>,
    hashes: Vec<SessionHash>,
    train: &'a DecoderTrainConfig,
}

impl Run<'_> {
    fn train_in(
        self,
        folder: &RunFolder,
        compute: Compute,
        manifest: &mut RunManifest,
        observer: &mut dyn Observer,
    ) -> Result<(), PipelineError> {
        let Self { stage, model, record, sessions, hashes, train } = self;
        let n_sessions = sessions.len();
        let stage = Stage {
            name: stage,
            n_steps: train.n_steps,
            n_sessions,
            loss: "standardized squared error",
            valid: "R²",
        };
        let targets = record.config.behaviors.iter().map(|target| target.name.clone()).collect();
        let task = BehaviorTask::new(sessions, targets, hashes, train.clone(), record.seed)?;
        let trainer = Trainer::with_task(model, task, train.loop_config(), compute.n_threads)?;
        run_in(folder, stage, trainer, manifest, observer, |path, best| {
            save_decoder_model(path, best, &record)
        })
    }
}
