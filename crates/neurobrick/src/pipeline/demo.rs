//! The main job, end to end: ingest, pretrain, fine-tune on unseen sessions, evaluate, report.

use std::path::Path;
use std::time::Instant;

use neurobrick_evaluate::evaluation::{ReportInputs, check_targets, mask_pictures, run_report};
use neurobrick_report as report;
use neurobrick_schema::SessionSummary;
use neurobrick_stream::Precision;

use super::evaluate::{
    data_sources, evaluate_all, general_notes, model_facts, sessions_in_words, write_results,
};
use super::ingest::ingest_all;
use super::{finetune, inspect, load_model, pretrain};
use crate::config::{
    DataConfig, DemoConfig, EvaluateConfig, FinetuneConfig, ModelSource, PretrainConfig, StackSource, Start,
};
use crate::pipeline::{Observer, progress::Steps};
use crate::run_folder::read_metrics;
use crate::{Compute, PipelineError, RunFolder, RunManifest, load_sessions, peak_memory_bytes};

/// Ingest, pretrain, three ways to train on what is unseen, evaluate.
const N_STEPS: usize = 6;
/// Folder of the pretraining run within the demo's.
const PRETRAIN: &str = "pretrain";

/// Runs everything into `out`, resuming what a killed run left, and returns the report.
///
/// # Errors
/// If a recording is refused, or any step fails.
pub fn demo(
    config: &DemoConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<report::RunReport, PipelineError> {
    config.validate()?;
    let folder = RunFolder::open(out)?;
    let config_toml = folder.settle_config(config)?;
    let mut manifest = RunManifest::new(command, config.seed, compute, Vec::new());
    let data = DataConfig {
        store: out.join("store"),
        window: config.window.clone(),
        split: config.split.clone(),
        units: config.units.clone(),
    };

    let mut steps = Steps::new(observer, N_STEPS);
    let started = Instant::now();
    ingest_all(&config.recordings, &data.store, steps.next())?;
    manifest.stages.push(("ingest".to_owned(), started.elapsed().as_secs_f64()));
    // A label that is not there must not be found out after hours of training.
    let unseen = load_sessions(&data, &config.finetune_sessions, config.seed)?;
    check_targets(&unseen, &config.scoring.decode)?;
    drop(unseen);
    let models = train_all(config, &data, out, compute, &mut manifest, &mut steps)?;

    let stack = StackSource { name: "stack".to_owned(), path: out.join(PRETRAIN) };
    let stacks = if config.stack.calibration.is_empty() { Vec::new() } else { vec![stack] };

    let started = Instant::now();
    let evaluation = EvaluateConfig {
        seed: config.seed,
        sessions: config.finetune_sessions.clone(),
        models,
        predictions: Vec::new(),
        stacks,
        data: data.clone(),
        scoring: config.scoring.clone(),
    };
    let mut evaluated = evaluate_all(&evaluation, compute, steps.next())?;
    manifest.stages.push(("evaluate".to_owned(), started.elapsed().as_secs_f64()));

    let pretrain_sessions = load_sessions(&data, &config.pretrain_sessions, config.seed)?;
    let all = evaluated.sessions.iter().chain(&pretrain_sessions);
    manifest.data = all.map(|s| s.hash.clone()).collect();
    manifest.peak_memory_bytes = peak_memory_bytes();
    if let Some(first) = evaluated.sessions.first() {
        evaluated.figures.masks = mask_pictures(&first.train, &config.pretrain.schemes, config.seed);
    }
    let records = read_metrics(&out.join(PRETRAIN).join("metrics.jsonl"))?;
    let used: Vec<_> = config.pretrain_sessions.iter().chain(&config.finetune_sessions).collect();
    let only_ingested =
        inspect(&data.store, &[])?.iter().filter(|s| !used.contains(&&s.session)).map(facts).collect();
    let pretrained = pretrain_sessions.iter().map(|s| (&s.train, report::SessionRole::Pretrain));
    let finetuned = evaluated.sessions.iter().map(|s| (&s.train, report::SessionRole::FineTune));
    let page = run_report(ReportInputs {
        title: config.title.clone(),
        summary: format!(
            "A model pretrained on {}, fine-tuned on {} that it never saw, and compared on their test trials with the \
             same network trained from scratch and with baselines.",
            sessions_in_words(config.pretrain_sessions.len()),
            sessions_in_words(config.finetune_sessions.len())
        ),
        model: report::ModelFacts {
            license: "MIT OR Apache-2.0".to_owned(),
            ..model_facts(Some(&load_model(&out.join(PRETRAIN).join("model"), compute.device)?))
        },
        data: data_sources(pretrain_sessions.iter().chain(&evaluated.sessions)),
        sessions: pretrained.chain(finetuned).collect(),
        only_ingested,
        result: &evaluated.result,
        figures: evaluated.figures,
        pretraining: Some((&records, &config.pretrain.schemes)),
        finetuning: evaluated.curves,
        manifest: &manifest,
        config_toml,
        n_resamples: config.scoring.n_resamples,
        notes: notes(config),
    });
    write_results(&folder, &evaluated.result, &page, &manifest)?;
    Ok(page)
}

/// Pretrains, then trains the three variants on every unseen session; returns where they lie.
fn train_all(
    config: &DemoConfig,
    data: &DataConfig,
    out: &Path,
    compute: Compute,
    manifest: &mut RunManifest,
    steps: &mut Steps<'_>,
) -> Result<Vec<ModelSource>, PipelineError> {
    let command = manifest.command.clone();
    let pretraining = PretrainConfig {
        seed: config.seed,
        sessions: config.pretrain_sessions.clone(),
        exclude: config.finetune_sessions.clone(),
        data: data.clone(),
        model: config.model.clone(),
        train: config.pretrain.clone(),
        stack: config.stack.clone(),
        alignment: config.alignment.clone(),
    };
    let record = pretrain(&pretraining, &out.join(PRETRAIN), &command, compute, steps.next())?;
    manifest.stages.extend(record.stages);
    let pretrained = Start::Pretrained(out.join(PRETRAIN).join("model"));
    let variants = [
        ("fine_tuned", pretrained.clone(), &config.finetune),
        ("new_stitch", pretrained, &config.new_stitch),
        ("from_scratch", Start::Scratch(config.model.clone()), &config.from_scratch),
    ];
    let mut models = Vec::new();
    for (name, start, train) in variants {
        let finetuning = FinetuneConfig {
            seed: config.seed,
            sessions: config.finetune_sessions.clone(),
            alignment: config.alignment.clone().filter(|_| matches!(start, Start::Scratch(_))),
            start,
            data: data.clone(),
            train: train.clone(),
        };
        let path = out.join(name);
        let record = finetune(&finetuning, &path, &command, compute, steps.next())?;
        manifest.stages.extend(record.stages);
        models.push(ModelSource { name: name.to_owned(), path, precision: Precision::F32 });
    }
    Ok(models)
}

fn facts(summary: &SessionSummary) -> report::SessionFacts {
    report::SessionFacts {
        id: summary.session.to_string(),
        subject: summary.subject.to_string(),
        n_units: summary.n_units as u64,
        n_trials: summary.n_trials as u64,
        n_spikes: summary.n_spikes,
        mean_rate_hz: summary.mean_rate_hz.unwrap_or(f64::NAN),
        n_regions: summary.regions.len() as u64,
        role: report::SessionRole::IngestedOnly,
        n_train: 0,
        n_valid: 0,
        n_test: 0,
    }
}

/// What a reader must know to judge the numbers.
fn notes(config: &DemoConfig) -> Vec<String> {
    let mut notes: Vec<String> = general_notes(&config.scoring).collect();
    notes.push(format!(
        "Training budgets: {} pretraining steps; then per session {} steps end to end, {} for a new stitch, and \
         {} from scratch. Each keeps its best validation.",
        config.pretrain.n_steps,
        config.finetune.n_steps,
        config.new_stitch.n_steps,
        config.from_scratch.n_steps
    ));
    notes.extend(config.notes.iter().cloned());
    notes
}
