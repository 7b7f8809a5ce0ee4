//! The transfer protocol: every session once unseen by pretraining, met with few or many trials.

use std::path::{Path, PathBuf};
use std::time::Instant;

use neurobrick_data::{SplitConfig, UnitFilter};
use neurobrick_ingest::IngestOptions;
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_stream::Precision;

use super::evaluate::evaluate_all;
use super::{finetune, ingest, pretrain};
use crate::config::{
    DataConfig, EvaluateConfig, FinetuneConfig, ModelSource, PretrainConfig, Start, TransferConfig,
};
use crate::evaluation::{SessionEvaluation, TransferResult};
use crate::pipeline::Observer;
use crate::{PipelineError, RunFolder, RunManifest, load_sessions, peak_memory_bytes};

/// Runs the protocol into `out` and writes `transfer.json`, `transfer.md` and `manifest.json`. A run that was stopped
/// goes on where it was: finished trainings and scores are kept.
///
/// # Errors
/// If a recording is refused, or any step fails.
pub fn transfer(
    config: &TransferConfig,
    out: &Path,
    command: &str,
    n_threads: usize,
    observer: &mut dyn Observer,
) -> Result<TransferResult, PipelineError> {
    config.validate()?;
    let folder = RunFolder::open(out)?;
    folder.settle_config(config)?;
    let store = out.join("store");
    let ingested = ingest(&config.recordings, &store, &IngestOptions::default(), observer)?;
    if !ingested.is_complete() {
        let lines = ingested.refused.iter().map(|r| format!("{}: {}", r.path.display(), r.error));
        let details = lines.collect::<Vec<_>>().join("\n");
        return Err(PipelineError::Refused { n_refused: ingested.refused.len(), details });
    }
    let (window, split) = (config.window.clone(), config.split.clone());
    let data = DataConfig { store, window, split, units: UnitFilter::default() };
    let all: Vec<SessionId> = config.groups.iter().flatten().cloned().collect();
    let seed = config.seeds.first().copied().unwrap_or_default();
    let hashes = load_sessions(&data, &all, seed)?.into_iter().map(|s| s.hash).collect();
    let mut manifest = RunManifest::new(command, seed, n_threads, hashes);
    let mut found = Vec::new();
    for &seed in &config.seeds {
        for (number, group) in config.groups.iter().enumerate() {
            let path = out.join(format!("seed-{seed}")).join(format!("without-group-{number}"));
            let mut fold = Fold { config, data: &data, seed, group, path, manifest: &mut manifest, observer };
            found.extend(fold.run()?);
        }
    }
    manifest.peak_memory_bytes = peak_memory_bytes();
    let result = TransferResult::new(found, config.scoring.n_resamples);
    folder.write_json("transfer.json", &result)?;
    folder.write_json("manifest.json", &manifest)?;
    write_file(&out.join("transfer.md"), result.markdown().as_bytes())?;
    Ok(result)
}

/// One group left out under one seed.
struct Fold<'a> {
    config: &'a TransferConfig,
    data: &'a DataConfig,
    seed: u64,
    group: &'a [SessionId],
    path: PathBuf,
    manifest: &'a mut RunManifest,
    observer: &'a mut dyn Observer,
}

/// A session of a group, with what it was given and how everything scored.
pub(crate) type Met = (u64, Option<usize>, SessionEvaluation);

impl Fold<'_> {
    fn run(&mut self) -> Result<Vec<Met>, PipelineError> {
        let mut budgets: Vec<Option<usize>> = self.config.calibration.iter().copied().map(Some).collect();
        budgets.push(None);
        let mut found = Vec::new();
        for budget in budgets {
            for session in self.group {
                let done = self.scores_path(budget, session);
                let evaluation = if done.exists() { read(&done)? } else { self.meet(budget, session)? };
                found.push((self.seed, budget, evaluation));
            }
        }
        Ok(found)
    }

    fn budget_path(&self, budget: Option<usize>) -> PathBuf {
        self.path.join(budget.map_or_else(|| "all-trials".to_owned(), |n| format!("{n}-trials")))
    }

    fn scores_path(&self, budget: Option<usize>, session: &SessionId) -> PathBuf {
        self.budget_path(budget).join(format!("{session}.json"))
    }

    /// Fine-tunes and trains from scratch on what the budget leaves of a session, and scores both.
    fn meet(
        &mut self,
        budget: Option<usize>,
        session: &SessionId,
    ) -> Result<SessionEvaluation, PipelineError> {
        let pretrained = self.pretrained()?;
        let path = self.budget_path(budget);
        let split = SplitConfig { max_calibration: budget, ..self.data.split.clone() };
        let data = DataConfig { split, ..self.data.clone() };
        let (command, n_threads) = (self.manifest.command.clone(), self.manifest.n_threads);
        let variants = [
            ("fine_tuned", Start::Pretrained(pretrained), &self.config.finetune),
            ("from_scratch", Start::Scratch(self.config.model.clone()), &self.config.from_scratch),
        ];
        let mut models = Vec::new();
        for (name, start, train) in variants {
            // A folder for every session, since a run's configuration names its sessions.
            let run = path.join(name).join(session.as_str());
            let tuning = FinetuneConfig {
                seed: self.seed,
                sessions: vec![session.clone()],
                start,
                data: data.clone(),
                train: train.clone(),
            };
            let record = finetune(&tuning, &run, &command, n_threads, self.observer)?;
            self.manifest.stages.extend(record.stages);
            models.push(ModelSource { name: name.to_owned(), path: run, precision: Precision::F32 });
        }
        let started = Instant::now();
        let evaluation = EvaluateConfig {
            seed: self.seed,
            sessions: vec![session.clone()],
            models,
            data,
            scoring: self.config.scoring.clone(),
        };
        let mut evaluated = evaluate_all(&evaluation, n_threads, self.observer)?;
        let scores = evaluated.result.sessions.remove(0);
        self.manifest
            .stages
            .push((format!("{} {session}: evaluate", path.display()), started.elapsed().as_secs_f64()));
        let done = self.scores_path(budget, session);
        let bytes = serde_json::to_vec_pretty(&scores)
            .map_err(|e| PipelineError::BadFile { path: done.clone(), message: e.to_string() })?;
        write_file(&done, &bytes)?;
        Ok(scores)
    }

    /// The model pretrained without this group, trained now unless it is there.
    fn pretrained(&mut self) -> Result<PathBuf, PipelineError> {
        let path = self.path.join("pretrain");
        let model = path.join("model");
        if path.join("manifest.json").exists() {
            return Ok(model);
        }
        let others = self.config.groups.iter().flatten().filter(|session| !self.group.contains(session));
        let pretraining = PretrainConfig {
            seed: self.seed,
            sessions: others.cloned().collect(),
            exclude: self.group.to_vec(),
            data: self.data.clone(),
            model: self.config.model.clone(),
            train: self.config.pretrain.clone(),
        };
        let (command, n_threads) = (self.manifest.command.clone(), self.manifest.n_threads);
        let record = pretrain(&pretraining, &path, &command, n_threads, self.observer)?;
        self.manifest.stages.extend(record.stages);
        Ok(model)
    }
}

fn read(path: &Path) -> Result<SessionEvaluation, PipelineError> {
    let bytes = std::fs::read(path).map_err(PipelineError::io("read", path))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| PipelineError::BadFile { path: path.to_owned(), message: e.to_string() })
}
