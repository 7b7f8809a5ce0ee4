//! Fine-tuning on sessions a model never saw, or training from scratch as the control.

use std::path::Path;

use neurobrick_core::PopulationModel;

use super::alignment::SharedConditions;
use super::training::{ModelRecord, TrainedSession, TrainingRun, load_model, train_in};
use crate::config::{FinetuneConfig, Start, check_model, check_train};
use crate::pipeline::Observer;
use crate::{Compute, PipelineError, RunFolder, RunManifest, load_sessions};

/// Fine-tunes on every session by itself, into `out/<session>`; resumes where checkpoints are found.
///
/// # Errors
/// If data or the pretrained model are missing or damaged, a folder is in use or holds another run, or training
/// fails.
pub fn finetune(
    config: &FinetuneConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<RunManifest, PipelineError> {
    check(config)?;
    let device = compute.open()?;
    // A fresh model is rebuilt for the sessions like a loaded one, so both take one path.
    let (start, origin) = match &config.start {
        Start::Pretrained(path) => load_model(path, compute.device)?,
        Start::Scratch(model) => {
            let record = ModelRecord {
                config: model.clone(),
                seed: config.seed,
                window: config.data.window.clone(),
                split: config.data.split.clone(),
                units: config.data.units.clone(),
                trained_on: Vec::new(),
                imported_from: None,
                alignment: None,
            };
            (model.build(&[], config.seed, &device)?, record)
        }
    };
    let folder = RunFolder::open(out)?;
    let loaded = load_sessions(&config.data, &config.sessions, config.seed)?;
    for session in &loaded {
        origin.check_data(&config.data, config.seed, &session.hash)?;
    }
    // Only now: a start that fails leaves no configuration behind.
    folder.settle_config(config)?;
    let hashes: Vec<_> = loaded.iter().map(|l| l.hash.clone()).collect();
    folder.settle_data(&hashes)?;
    let mut manifest = folder.manifest(command, config.seed, compute, hashes, observer)?;
    let name = out.file_name().map_or_else(|| "finetune".to_owned(), |n| n.to_string_lossy().into_owned());
    for session in loaded {
        let id = session.hash.session.clone();
        let mut record = ModelRecord {
            seed: config.seed,
            split: config.data.split.clone(),
            units: config.data.units.clone(),
            ..origin.clone()
        };
        record.trained_on.retain(|trained| trained.session != id);
        record.trained_on.push(TrainedSession::new(&session.hash, &config.data, config.seed));
        let specs = [session.train.spec()];
        let session_folder = RunFolder::open(&out.join(id.as_str()))?;
        let mut model = start.with_sessions(&specs, config.seed, &device)?;
        let own = std::slice::from_ref(&session.train);
        let shared = match &config.alignment {
            Some(alignment) => Some(SharedConditions::fit(alignment, own)?),
            None => origin.alignment.clone(),
        };
        if let Some(shared) = &shared
            && start.session_idx(&id).is_err()
        {
            model = shared.start(model, own, &device)?;
        }
        record.alignment = shared;
        let run = TrainingRun {
            stage: format!("{name} {id}"),
            model,
            sessions: vec![session.train],
            train: &config.train,
            record,
            compute,
        };
        train_in(&session_folder, run, &mut manifest, observer)?;
    }
    manifest.peak_memory_bytes = crate::peak_memory_bytes();
    folder.write_json("manifest.json", &manifest)?;
    Ok(manifest)
}

/// What can be told before anything is read.
fn check(config: &FinetuneConfig) -> Result<(), PipelineError> {
    check_train("train", &config.train)?;
    if let Start::Scratch(model) = &config.start {
        check_model(model, &config.data.window)?;
    }
    if config.sessions.is_empty() {
        return Err(PipelineError::BadValue {
            field: "sessions".to_owned(),
            message: "name at least one session to fine-tune on".to_owned(),
        });
    }
    if let Some(alignment) = &config.alignment {
        alignment.validate()?;
        if matches!(config.start, Start::Pretrained(_)) {
            return Err(PipelineError::BadValue {
                field: "alignment".to_owned(),
                message: "is for `start.scratch`; a pretrained model aligns sessions as it was pretrained"
                    .to_owned(),
            });
        }
    }
    Ok(())
}
