//! Scores against the size of pretraining.

use std::path::{Path, PathBuf};
use std::time::Instant;

use neurobrick_data::SplitConfig;
use neurobrick_evaluate::evaluation::{EvaluationResult, Group, LEVEL, SessionEvaluation, TaskEvaluation};
use neurobrick_evaluate::scaling::{ScalePoint, ScaleResult, saturated_bits};
use neurobrick_evaluate::{read_json, write_json};
use neurobrick_metrics::Bootstrap;
use neurobrick_random::{Domain, Stream, name_index};
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_stream::Precision;
use neurobrick_train::EvalTask;

use super::evaluate::evaluate_all;
use super::ingest::ingest_all;
use super::{finetune, pretrain};
use crate::config::{
    DataConfig, EvaluateConfig, FinetuneConfig, ModelSource, PretrainConfig, ScaleAxis, ScaleConfig,
    ScoringConfig, StackConfig, Start,
};
use crate::pipeline::Observer;
use crate::{Compute, PipelineError, RunFolder, RunManifest, load_sessions, peak_memory_bytes};

/// The model that is scored.
const MODEL: &str = "fine_tuned";

/// Climbs the ladder into `out` and writes `scale.json`, `scale.md`, `scale.svg` and `manifest.json`. A run that was
/// stopped goes on where it was.
///
/// # Errors
/// If a recording is refused, or any step fails.
pub fn scale(
    config: &ScaleConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<ScaleResult, PipelineError> {
    config.validate()?;
    let folder = RunFolder::open(out)?;
    folder.settle_config(config)?;
    let store = out.join("store");
    ingest_all(&config.recordings, &store, observer)?;
    let (window, split) = (config.window.clone(), config.split.clone());
    let data = DataConfig { store, window, split, units: config.units.clone() };
    let all = [&config.pool[..], &config.evaluate].concat();
    let hashes: Vec<_> = load_sessions(&data, &all, config.seed)?.into_iter().map(|s| s.hash).collect();
    folder.settle_data(&hashes)?;
    let manifest = folder.manifest(command, config.seed, compute, hashes, observer)?;
    let mut climb = Climb { config, data: &data, out, compute, manifest, observer };

    let (mut points, baselines) = climb.controls()?;
    for repeat in 0..config.repeats {
        for &size in config.axis.sizes() {
            let path = out.join(format!("repeat-{repeat}")).join(format!("size-{size}"));
            let start = climb.pretrained(&path, repeat, size)?;
            let found = climb.rung(&path, &start, false)?;
            points.extend(climb.points(&found, Rung { size, repeat, is_control: false })?);
        }
    }
    let mut manifest = climb.manifest;
    manifest.peak_memory_bytes = peak_memory_bytes();
    let bootstrap = Bootstrap { seed: config.seed, n_resamples: config.scoring.n_resamples, level: LEVEL };
    let result = ScaleResult::new(config.axis.label(), points, &baselines, &config.targets, &bootstrap);
    folder.write_json("scale.json", &result)?;
    folder.write_json("manifest.json", &manifest)?;
    write_file(&out.join("scale.md"), result.markdown().as_bytes())?;
    if let Some(figure) = result.figure() {
        write_file(&out.join("scale.svg"), figure.as_bytes())?;
    }
    Ok(result)
}

/// A climb under way.
struct Climb<'a> {
    config: &'a ScaleConfig,
    data: &'a DataConfig,
    out: &'a Path,
    compute: Compute,
    manifest: RunManifest,
    observer: &'a mut dyn Observer,
}

/// Where on the ladder scores belong.
#[derive(Clone, Copy)]
struct Rung {
    size: usize,
    repeat: u64,
    is_control: bool,
}

/// Mean score of a baseline on a task.
type BaselineMean = (EvalTask, String, f64);

impl Climb<'_> {
    /// Scores of the model trained from scratch, and of the baselines: one control for all sizes, but one for each where
    /// the size is the network's own.
    fn controls(&mut self) -> Result<(Vec<ScalePoint>, Vec<BaselineMean>), PipelineError> {
        let root = self.out.join("from-scratch");
        let paths: Vec<(usize, PathBuf)> = match &self.config.axis {
            ScaleAxis::Width(sizes) => {
                sizes.iter().map(|&size| (size, root.join(format!("size-{size}")))).collect()
            }
            ScaleAxis::Sessions(_) | ScaleAxis::Trials(_) => vec![(0, root)],
        };
        let (mut points, mut means) = (Vec::new(), Vec::new());
        for (i, (size, path)) in paths.into_iter().enumerate() {
            // Baselines are the same at every size.
            let control = self.rung(&path, &Start::Scratch(self.config.model_of(size)), i == 0)?;
            points.extend(self.points(&control, Rung { size, repeat: 0, is_control: true })?);
            if i == 0 {
                means = baselines(&control);
            }
        }
        Ok((points, means))
    }

    /// The model pretrained on this size, trained now unless it is there.
    fn pretrained(&mut self, path: &Path, repeat: u64, size: usize) -> Result<Start, PipelineError> {
        let path = path.join("pretrain");
        let start = Start::Pretrained(path.join("model"));
        if path.join("manifest.json").exists() {
            return Ok(start);
        }
        let config = self.config;
        let mut data = self.data.clone();
        let mut sessions = config.pool.clone();
        match config.axis {
            ScaleAxis::Sessions(_) => sessions = self.drawn(repeat, size),
            ScaleAxis::Trials(_) => {
                data.split = SplitConfig { max_calibration: Some(size), ..data.split };
            }
            ScaleAxis::Width(_) => {}
        }
        let pretraining = PretrainConfig {
            seed: config.seed + repeat,
            sessions,
            exclude: config.evaluate.clone(),
            data,
            model: config.model_of(size),
            train: config.pretrain_at(size),
            stack: StackConfig::none(),
            alignment: config.alignment.clone(),
        };
        let (command, compute) = (self.manifest.command.clone(), self.compute);
        let record = pretrain(&pretraining, &path, &command, compute, self.observer)?;
        self.manifest.stages.extend(record.stages);
        Ok(start)
    }

    /// The first sessions of the pool in the order of this repeat.
    fn drawn(&self, repeat: u64, size: usize) -> Vec<SessionId> {
        let stream = Stream::new(self.config.seed, Domain::Split, [name_index("scale"), repeat, 0]);
        let order = { stream }.permutation(self.config.pool.len());
        order.into_iter().take(size).map(|i| self.config.pool[i].clone()).collect()
    }

    /// Fine-tunes every evaluated session from a start, and scores it.
    fn rung(
        &mut self,
        path: &Path,
        start: &Start,
        with_baselines: bool,
    ) -> Result<EvaluationResult, PipelineError> {
        let done = path.join("scores.json");
        if done.exists() {
            return Ok(read_json(&done)?);
        }
        let config = self.config;
        let is_scratch = matches!(start, Start::Scratch(_));
        let tuned = path.join(MODEL);
        let tuning = FinetuneConfig {
            seed: config.seed,
            sessions: config.evaluate.clone(),
            start: start.clone(),
            data: self.data.clone(),
            train: if is_scratch { config.from_scratch.clone() } else { config.finetune.clone() },
            alignment: config.alignment.clone().filter(|_| is_scratch),
        };
        let (command, compute) = (self.manifest.command.clone(), self.compute);
        let record = finetune(&tuning, &tuned, &command, compute, self.observer)?;
        self.manifest.stages.extend(record.stages);
        let started = Instant::now();
        let evaluation = EvaluateConfig {
            seed: config.seed,
            sessions: config.evaluate.clone(),
            models: vec![ModelSource { name: MODEL.to_owned(), path: tuned, precision: Precision::F32 }],
            predictions: Vec::new(),
            stacks: Vec::new(),
            data: self.data.clone(),
            scoring: ScoringConfig {
                baselines: with_baselines && config.scoring.baselines,
                ..config.scoring.resolved()
            },
        };
        let result = evaluate_all(&evaluation, compute, self.observer)?.result;
        let shown = path.strip_prefix(self.out).unwrap_or(path).display().to_string();
        self.manifest.stages.push((format!("{shown}: evaluate"), started.elapsed().as_secs_f64()));
        write_json(&done, &result)?;
        Ok(result)
    }

    fn points(
        &self,
        result: &EvaluationResult,
        Rung { size, repeat, is_control }: Rung,
    ) -> Result<Vec<ScalePoint>, PipelineError> {
        let (seed, max_units) = (self.config.seed, self.config.scoring.max_units);
        let loaded = load_sessions(self.data, &self.config.evaluate, seed)?;
        let mut points = Vec::new();
        for (session, data) in result.sessions.iter().zip(&loaded) {
            for (task, bits) in pooled(session, MODEL) {
                points.push(ScalePoint {
                    size,
                    repeat,
                    is_control,
                    session: session.session.clone(),
                    task,
                    bits_per_spike: bits,
                    saturated: saturated_bits(&data.train, task, max_units, seed)?,
                });
            }
        }
        Ok(points)
    }
}

/// Pooled scores of a predictor by task, under the null that the task is quoted with.
fn pooled(session: &SessionEvaluation, name: &str) -> Vec<(EvalTask, f64)> {
    let score = |task: &TaskEvaluation| {
        let predictor = task.predictors.iter().find(|p| p.name == name)?;
        Some((task.task, predictor.quoted(task.task)?.value()))
    };
    session.tasks.iter().filter_map(score).collect()
}

/// Mean over sessions of every baseline by task.
fn baselines(result: &EvaluationResult) -> Vec<BaselineMean> {
    let mut names: Vec<&str> = Vec::new();
    for predictor in result.sessions.iter().flat_map(|s| &s.tasks).flat_map(|t| &t.predictors) {
        if predictor.group == Group::Baseline && !names.contains(&predictor.name.as_str()) {
            names.push(&predictor.name);
        }
    }
    let mut found = Vec::new();
    for name in names {
        for task in EvalTask::ALL {
            let scores: Vec<f64> = result
                .sessions
                .iter()
                .filter_map(|session| pooled(session, name).into_iter().find(|(t, _)| *t == task))
                .map(|(_, bits)| bits)
                .collect();
            if scores.len() == result.sessions.len() {
                found.push((task, name.to_owned(), scores.iter().sum::<f64>() / scores.len() as f64));
            }
        }
    }
    found
}
