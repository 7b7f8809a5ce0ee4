//! Pretraining on many sessions.

use std::path::Path;
use std::time::Instant;

use neurobrick_evaluate::evaluation::{LessonFold, LessonPlan, STACK_FILE};
use neurobrick_schema::{SessionId, Store};
use neurobrick_train::EvalTask;

use super::alignment::SharedConditions;
use super::stack::{learn, required};
use super::training::{ModelRecord, TrainedSession, TrainingRun, train_in};
use crate::config::{AlignmentConfig, DataConfig, PretrainConfig, check_model, check_train};
use crate::pipeline::Observer;
use crate::{Compute, PipelineError, RunFolder, RunManifest, load_sessions};

/// The sessions named, or all of the store, without those excluded.
pub(super) fn sessions_to_learn(
    data: &DataConfig,
    named: &[SessionId],
    exclude: &[SessionId],
) -> Result<Vec<SessionId>, PipelineError> {
    let mut ids = named.to_vec();
    if ids.is_empty() {
        ids = Store::open(&data.store)?.sessions()?;
    }
    ids.retain(|id| !exclude.contains(id));
    if ids.is_empty() {
        return Err(PipelineError::BadValue {
            field: "sessions".to_owned(),
            message: "no session is left to pretrain on".to_owned(),
        });
    }
    Ok(ids)
}

/// Pretrains into the run folder `out`: the model into `model/`, what closed forms learn from the same sessions into
/// `stack.json`. Resumes if the folder holds a checkpoint of the same run.
///
/// # Errors
/// If data are missing, the folder is in use or holds another run, or training fails.
pub fn pretrain(
    config: &PretrainConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<RunManifest, PipelineError> {
    check_model(&config.model, &config.data.window)?;
    check_train("train", &config.train)?;
    config.stack.validate()?;
    config.alignment.iter().try_for_each(AlignmentConfig::validate)?;
    let device = compute.open()?;
    let ids = sessions_to_learn(&config.data, &config.sessions, &config.exclude)?;
    let folder = RunFolder::open(out)?;
    let loaded = load_sessions(&config.data, &ids, config.seed)?;
    // Only now: a start that fails leaves no configuration behind.
    folder.settle_config(config)?;
    let hashes: Vec<_> = loaded.iter().map(|l| l.hash.clone()).collect();
    folder.settle_data(&hashes)?;
    let trained = |hash| TrainedSession::new(hash, &config.data, config.seed);
    let trained_on = hashes.iter().map(trained).collect();
    let mut manifest = folder.manifest(command, config.seed, compute, hashes, observer)?;
    if !config.stack.calibration.is_empty() {
        let path = out.join(STACK_FILE);
        if !path.exists() {
            let started = Instant::now();
            let folds = [LessonFold { learn: (0..loaded.len()).collect(), score: Vec::new() }];
            let plan = LessonPlan {
                window: &config.data.window,
                units: &config.data.units,
                config: &config.stack,
                tasks: &EvalTask::ALL,
                ablations: &[],
                seed: config.seed,
            };
            let (stacks, _) = learn(&loaded, &folds, &plan, observer)?;
            for stack in stacks {
                required(stack)?.save(&path)?;
            }
            manifest.stages.push(("stack".to_owned(), started.elapsed().as_secs_f64()));
        }
    }
    let sessions: Vec<_> = loaded.into_iter().map(|l| l.train).collect();
    let specs: Vec<_> = sessions.iter().map(neurobrick_train::TrainSession::spec).collect();
    let mut model = config.model.build(&specs, config.seed, &device)?;
    let mut alignment = None;
    if let Some(aligned) = &config.alignment {
        let shared = SharedConditions::fit(aligned, &sessions)?;
        model = shared.start(model, &sessions, &device)?;
        alignment = Some(shared);
    }
    let run = TrainingRun {
        stage: "pretrain".to_owned(),
        model,
        sessions,
        train: &config.train,
        record: ModelRecord {
            config: config.model.clone(),
            seed: config.seed,
            window: config.data.window.clone(),
            split: config.data.split.clone(),
            units: config.data.units.clone(),
            trained_on,
            imported_from: None,
            alignment,
        },
        compute,
    };
    train_in(&folder, run, &mut manifest, observer)?;
    manifest.peak_memory_bytes = crate::peak_memory_bytes();
    folder.write_json("manifest.json", &manifest)?;
    Ok(manifest)
}
