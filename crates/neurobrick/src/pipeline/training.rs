//! What pretraining and fine-tuning share: run a trainer in a folder, resume it, save its model.

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use neurobrick_core::PopulationModel;
use neurobrick_models::{AnyModel, ModelConfig};
use neurobrick_train::{
    TrainConfig, TrainError, TrainEvent, TrainSession, Trainer, latest_checkpoint, load_model_dir,
    save_model_dir,
};

use crate::pipeline::{Observer, Progress};
use crate::{MetricsRecord, PipelineError, RunFolder, RunManifest};

/// Loads a model folder onto the CPU, verified: hashes, strict weights, and its parity example.
///
/// # Errors
/// If a file is missing or damaged, or the model answers its example differently.
pub fn load_model(path: &Path) -> Result<(AnyModel, ModelConfig), PipelineError> {
    let build = |config: &ModelConfig, specs: &[_]| -> Result<AnyModel, TrainError> {
        Ok(config.build(specs, 0, &Device::flex())?)
    };
    Ok(load_model_dir(path, build)?)
}

/// One training run to be done in a folder.
pub(super) struct TrainingRun<'a> {
    pub(super) stage: String,
    pub(super) model: AnyModel,
    pub(super) model_config: &'a ModelConfig,
    pub(super) sessions: Vec<TrainSession>,
    pub(super) train: &'a TrainConfig,
    pub(super) seed: u64,
    pub(super) n_threads: usize,
}

/// Trains in `folder`: resumes from its newest valid checkpoint, appends to its metrics, and ends with the model of
/// the best validation in `model/`.
pub(super) fn train_in(
    folder: &RunFolder,
    run: TrainingRun<'_>,
    manifest: &mut RunManifest,
    observer: &mut dyn Observer,
) -> Result<(), PipelineError> {
    let started = Instant::now();
    let n_bins = run.model_config.n_bins();
    for session in &run.sessions {
        if session.data.n_bins() != n_bins {
            return Err(PipelineError::BadValue {
                field: "model.n_bins".to_owned(),
                message: format!("is {n_bins}, but the window has {} bins", session.data.n_bins()),
            });
        }
    }
    let mut trainer = Trainer::new(run.model, run.sessions, run.train.clone(), run.seed, run.n_threads)?;
    if let Some(checkpoint) = latest_checkpoint(&folder.checkpoints())? {
        trainer = trainer.resume(&checkpoint)?;
        observer.note(&format!("{}: resumed after step {}", run.stage, trainer.steps_done()));
    }
    let mut metrics = folder.metrics_after(trainer.steps_done())?;
    let mut state = Progress {
        stage: run.stage,
        done: trainer.steps_done(),
        total: run.train.n_steps,
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
        }
        state.message = format!("loss {loss:.4} nats, valid {valid:+.4} bits/spike");
        observer.progress(&state);
        Ok(())
    });
    let outcome = match (outcome, failed) {
        (_, Some(error)) => return Err(error),
        (outcome, None) => outcome?,
    };
    save_model_dir(&folder.model(), &outcome.best, run.model_config, n_bins)?;
    let seconds = started.elapsed().as_secs_f64();
    manifest.stages.push((state.stage.clone(), seconds));
    observer.note(&format!(
        "{}: best {:+.4} bits/spike on validation trials after {} of {} steps, {} sessions, {seconds:.0} s",
        state.stage,
        outcome.best_valid,
        outcome.best_step,
        outcome.n_steps,
        outcome.best.sessions().len(),
    ));
    Ok(())
}
