//! The transfer protocol: every session once unseen by pretraining, met with few or many trials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use neurobrick_data::SplitConfig;
use neurobrick_evaluate::evaluation::{
    AblationScore, CURVE_PREFIX, LessonFold, LessonPlan, STACK_FILE, SessionEvaluation, TransferResult,
};
use neurobrick_evaluate::{read_json, write_json};
use neurobrick_models::ModelConfig;
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_stream::Precision;
use neurobrick_train::TrainConfig;

use super::evaluate::evaluate_all;
use super::ingest::ingest_all;
use super::stack::{learn, required};
use super::{finetune, pretrain};
use crate::config::{
    AlignmentConfig, DataConfig, EvaluateConfig, FinetuneConfig, ModelSource, PretrainConfig, StackConfig,
    StackSource, Start, TransferConfig,
};
use crate::pipeline::Observer;
use crate::{Compute, PipelineError, RunFolder, RunManifest, load_sessions, peak_memory_bytes};

/// Scores of ablations under one seed.
const ABLATIONS_FILE: &str = "ablations.json";

/// Runs the protocol into `out` and writes `transfer.json`, `transfer.md`, its curves as SVG files and `manifest.json`,
/// all of them again after every group. A run that was stopped goes on where it was: finished trainings and scores are
/// kept.
///
/// # Errors
/// If a recording is refused, or any step fails.
pub fn transfer(
    config: &TransferConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<TransferResult, PipelineError> {
    config.validate()?;
    // Networks come after an hour of stacks; a device that is missing is told of now.
    compute.open()?;
    let folder = RunFolder::open(out)?;
    folder.settle_config(config)?;
    let store = out.join("store");
    ingest_all(&config.recordings, &store, observer)?;
    let (window, split) = (config.window.clone(), config.split.clone());
    let data = DataConfig { store, window, split, units: config.units.clone() };
    let all: Vec<SessionId> = config.sessions().cloned().collect();
    let seed = config.seeds.first().copied().unwrap_or_default();
    let loaded = load_sessions(&data, &all, seed)?;
    let n_trials: Vec<usize> =
        loaded.iter().map(|s| s.train.split.train.len() + s.train.split.valid.len()).collect();
    let n_calibration: BTreeMap<SessionId, usize> = all.into_iter().zip(n_trials).collect();
    let hashes: Vec<_> = loaded.into_iter().map(|s| s.hash).collect();
    folder.settle_data(&hashes)?;
    // It would be met with all of its trials under a number that is not theirs.
    for (budget, session, n) in config.calibration.iter().flat_map(|&budget| {
        n_calibration.iter().filter(move |(_, n)| **n < budget).map(move |(session, n)| (budget, session, n))
    }) {
        observer.note(&format!("{session} has {n} trials for calibration and is not met with {budget}"));
    }
    let mut manifest = folder.manifest(command, seed, compute, hashes, observer)?;
    let mut found = Vec::new();
    let mut ablations: Vec<AblationScore> = Vec::new();
    let mut result = TransferResult::new(Vec::new(), Vec::new());
    for &seed in &config.seeds {
        let root = root_of(out, seed);
        let started = Instant::now();
        if learn_all(config, &data, seed, &root, observer)? {
            manifest.stages.push((format!("seed {seed}: stacks"), started.elapsed().as_secs_f64()));
        }
        if !config.stack.calibration.is_empty() {
            ablations.extend(read_json::<Vec<AblationScore>>(&root.join(ABLATIONS_FILE))?);
        }
    }
    // Few trials first: they are quick, and a run that is stopped has them for all sessions and seeds.
    for budget in config.calibration.iter().copied().map(Some).chain([None]) {
        for &seed in &config.seeds {
            for (number, group) in config.groups.iter().enumerate() {
                let path = fold_path(&root_of(out, seed), number);
                let has_enough = |session: &&SessionId| {
                    budget.is_none_or(|budget| n_calibration.get(session).is_some_and(|&n| n >= budget))
                };
                let sessions: Vec<&SessionId> = group.iter().filter(has_enough).collect();
                let (data, manifest) = (&data, &mut manifest);
                let mut fold =
                    Fold { config, data, seed, group, sessions, path, out, compute, manifest, observer };
                found.extend(fold.run(budget)?);
                manifest.peak_memory_bytes = peak_memory_bytes();
                result = TransferResult::new(found.clone(), ablations.clone());
                write(&folder, &result, manifest)?;
            }
        }
    }
    Ok(result)
}

fn write(folder: &RunFolder, result: &TransferResult, manifest: &RunManifest) -> Result<(), PipelineError> {
    folder.write_json("transfer.json", result)?;
    folder.write_json("manifest.json", manifest)?;
    let out = folder.path();
    let text = format!("{}{}", result.markdown(), times(&manifest.stages));
    write_file(&out.join("transfer.md"), text.as_bytes())?;
    for (name, figure) in result.figures() {
        write_file(&out.join(name), figure.as_bytes())?;
    }
    Ok(())
}

/// How long the trainings of this process took, as a section in Markdown.
fn times(stages: &[(String, f64)]) -> String {
    let trained: Vec<_> =
        stages.iter().filter(|(name, _)| name.contains(": ") && !name.ends_with("evaluate")).collect();
    if trained.is_empty() {
        return String::new();
    }
    let row = |(name, seconds): &&(String, f64)| format!("| {name} | {:.1} |", seconds / 60.0);
    let rows = trained.iter().map(row).collect::<Vec<_>>().join("\n");
    format!(
        "\n## Minutes of training\n\nOf trainings that this run did and did not find finished.\n\n| training | minutes |\n|---|---:|\n{rows}\n"
    )
}

fn root_of(out: &Path, seed: u64) -> PathBuf {
    out.join(format!("seed-{seed}"))
}

fn fold_path(root: &Path, group: usize) -> PathBuf {
    root.join(format!("without-group-{group}"))
}

/// Name of the stack that learned from `n` sessions, a point of the curve.
fn curve_name(n: usize) -> String {
    format!("{CURVE_PREFIX}{n}")
}

/// Learns the stacks of all folds and of the curve at once, since all folds ask the same of a session; says whether
/// there was anything to do.
fn learn_all(
    config: &TransferConfig,
    data: &DataConfig,
    seed: u64,
    root: &Path,
    observer: &mut dyn Observer,
) -> Result<bool, PipelineError> {
    if config.stack.calibration.is_empty() {
        return Ok(false);
    }
    let ids: Vec<SessionId> = config.sessions().cloned().collect();
    let (mut folds, mut paths) = (Vec::new(), Vec::new());
    let mut first = 0;
    for (number, group) in config.groups.iter().enumerate() {
        let left_out = first..first + group.len();
        first = left_out.end;
        let others: Vec<usize> = (0..ids.len()).filter(|i| !left_out.contains(i)).collect();
        let order = Stream::new(seed, Domain::Fold, [number as u64, 0, 1]).permutation(others.len());
        for &n in config.pretraining_sessions.iter().filter(|&&n| n <= others.len()) {
            folds.push(LessonFold {
                learn: order[..n].iter().map(|&i| others[i]).collect(),
                score: Vec::new(),
            });
            paths.push(fold_path(root, number).join(format!("{}.json", curve_name(n))));
        }
        folds.push(LessonFold { learn: others, score: left_out.collect() });
        paths.push(fold_path(root, number).join(STACK_FILE));
    }
    // Written last.
    if root.join(ABLATIONS_FILE).exists() {
        return Ok(false);
    }
    let sessions = load_sessions(data, &ids, seed)?;
    let plan = LessonPlan {
        window: &config.window,
        units: &config.units,
        config: &config.stack,
        tasks: &config.scoring.tasks,
        ablations: &config.ablations,
        seed,
    };
    let (stacks, ablations) = learn(&sessions, &folds, &plan, observer)?;
    for number in 0..config.groups.len() {
        make_folder(&fold_path(root, number))?;
    }
    for (stack, path) in stacks.into_iter().zip(&paths) {
        // A point of the curve may have no session with trials enough; a whole fold must.
        if path.ends_with(STACK_FILE) {
            required(stack)?.save(path)?;
        } else if let Some(stack) = stack {
            stack.save(path)?;
        } else {
            observer.note(&format!("no stack {}: its sessions have too few trials", path.display()));
        }
    }
    write_json(&root.join(ABLATIONS_FILE), &ablations)?;
    Ok(true)
}

/// One group left out under one seed.
struct Fold<'a> {
    config: &'a TransferConfig,
    data: &'a DataConfig,
    seed: u64,
    group: &'a [SessionId],
    /// Those of the group that are met.
    sessions: Vec<&'a SessionId>,
    path: PathBuf,
    out: &'a Path,
    compute: Compute,
    manifest: &'a mut RunManifest,
    observer: &'a mut dyn Observer,
}

/// A session of a group, with what it was given and how everything scored.
pub(crate) type Met = (u64, Option<usize>, SessionEvaluation);

impl Fold<'_> {
    /// Meets the sessions with so many calibration trials.
    fn run(&mut self, budget: Option<usize>) -> Result<Vec<Met>, PipelineError> {
        let mut found = Vec::new();
        for session in self.sessions.clone() {
            let done = self.scores_path(budget, session);
            let evaluation = if done.exists() {
                read_json(&done)?
            } else {
                let trials = budget.map_or_else(|| "all trials".to_owned(), |n| format!("{n} trials"));
                self.observer.note(&format!("seed {}, {trials}: {session}", self.seed));
                self.meet(budget, session)?
            };
            found.push((self.seed, budget, evaluation));
        }
        Ok(found)
    }

    fn budget_path(&self, budget: Option<usize>) -> PathBuf {
        self.path.join(budget.map_or_else(|| "all-trials".to_owned(), |n| format!("{n}-trials")))
    }

    fn scores_path(&self, budget: Option<usize>, session: &SessionId) -> PathBuf {
        self.budget_path(budget).join(format!("{session}.json"))
    }

    /// Trains every network on what the budget leaves of a session, and scores them beside the stacks.
    fn meet(
        &mut self,
        budget: Option<usize>,
        session: &SessionId,
    ) -> Result<SessionEvaluation, PipelineError> {
        let path = self.budget_path(budget);
        let split = SplitConfig { max_calibration: budget, ..self.data.split.clone() };
        let data = DataConfig { split, ..self.data.clone() };
        let config = self.config;
        let is_trained = |calibration: &[usize]| budget.is_none_or(|n| calibration.contains(&n));
        let mut models = Vec::new();
        if let Some(network) = config.network.as_ref().filter(|network| is_trained(&network.calibration)) {
            let pretrained = self.pretrained(
                &self.path.join("pretrain"),
                &network.model,
                network.alignment.as_ref(),
                &network.pretrain,
            )?;
            let fine_tuned = Start::Pretrained(pretrained);
            let from_scratch = Start::Scratch(network.model.clone());
            let (tuned, alone) = (&network.finetune, &network.from_scratch);
            models.push(self.tuned("fine_tuned", (fine_tuned, None), tuned, &path, session, &data)?);
            let from_scratch = (from_scratch, network.alignment.as_ref());
            models.push(self.tuned("from_scratch", from_scratch, alone, &path, session, &data)?);
        }
        for rival in config.rivals.iter().filter(|rival| is_trained(&rival.calibration)) {
            let folder = self.path.join(&rival.name).join("pretrain");
            let start = Start::Pretrained(self.pretrained(
                &folder,
                &rival.model,
                rival.alignment.as_ref(),
                &rival.pretrain,
            )?);
            models.push(self.tuned(&rival.name, (start, None), &rival.finetune, &path, session, &data)?);
        }
        let started = Instant::now();
        let evaluation = EvaluateConfig {
            seed: self.seed,
            sessions: vec![session.clone()],
            models,
            predictions: Vec::new(),
            stacks: self.stacks(),
            data,
            scoring: config.scoring.clone(),
        };
        evaluation.validate()?;
        let mut evaluated = evaluate_all(&evaluation, self.compute, self.observer)?;
        let scores = evaluated.result.sessions.remove(0);
        self.manifest
            .stages
            .push((format!("{} {session}: evaluate", path.display()), started.elapsed().as_secs_f64()));
        make_folder(&path)?;
        let done = self.scores_path(budget, session);
        write_json(&done, &scores)?;
        Ok(scores)
    }

    /// What closed forms learned from the other sessions, and from fewer of them.
    fn stacks(&self) -> Vec<StackSource> {
        if self.config.stack.calibration.is_empty() {
            return Vec::new();
        }
        let whole = StackSource { name: "stack".to_owned(), path: self.path.join(STACK_FILE) };
        let fewer = self.config.pretraining_sessions.iter().map(|&n| {
            let name = curve_name(n);
            StackSource { path: self.path.join(format!("{name}.json")), name }
        });
        std::iter::once(whole).chain(fewer.filter(|source| source.path.exists())).collect()
    }

    /// A network trained on the session.
    fn tuned(
        &mut self,
        name: &str,
        (start, alignment): (Start, Option<&AlignmentConfig>),
        train: &TrainConfig,
        path: &Path,
        session: &SessionId,
        data: &DataConfig,
    ) -> Result<ModelSource, PipelineError> {
        let (command, compute) = (self.manifest.command.clone(), self.compute);
        // A folder for every session, since a run's configuration names its sessions.
        let run = path.join(name).join(session.as_str());
        let tuning = FinetuneConfig {
            seed: self.seed,
            sessions: vec![session.clone()],
            start,
            data: data.clone(),
            train: train.clone(),
            alignment: alignment.cloned(),
        };
        let record = finetune(&tuning, &run, &command, compute, self.observer)?;
        self.note_times(&run, &record);
        Ok(ModelSource { name: name.to_owned(), path: run, precision: Precision::F32 })
    }

    /// Takes over how long a training took, under the name of its folder in the run: every network has stages of one name.
    fn note_times(&mut self, run: &Path, record: &RunManifest) {
        let inner = run.strip_prefix(self.out).unwrap_or(run).display();
        let stages = record.stages.iter().map(|(stage, seconds)| (format!("{inner}: {stage}"), *seconds));
        self.manifest.stages.extend(stages);
    }

    /// A network pretrained without this group, trained into `path` now unless it is there.
    fn pretrained(
        &mut self,
        path: &Path,
        model: &ModelConfig,
        alignment: Option<&AlignmentConfig>,
        train: &TrainConfig,
    ) -> Result<PathBuf, PipelineError> {
        let trained = path.join("model");
        if path.join("manifest.json").exists() {
            return Ok(trained);
        }
        let others = self.config.sessions().filter(|session| !self.group.contains(session));
        let pretraining = PretrainConfig {
            seed: self.seed,
            sessions: others.cloned().collect(),
            exclude: self.group.to_vec(),
            data: self.data.clone(),
            model: model.clone(),
            train: train.clone(),
            // All folds' stacks are learned at once.
            stack: StackConfig::none(),
            alignment: alignment.cloned(),
        };
        let (command, compute) = (self.manifest.command.clone(), self.compute);
        let record = pretrain(&pretraining, path, &command, compute, self.observer)?;
        self.note_times(path, &record);
        Ok(trained)
    }
}

fn make_folder(path: &Path) -> Result<(), PipelineError> {
    std::fs::create_dir_all(path).map_err(PipelineError::io("create", path))
}
