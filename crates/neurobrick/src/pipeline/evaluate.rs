//! Evaluation of fine-tuned models beside the baselines.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use neurobrick_core::{ComputeDevice, PopulationModel, Prompt};
use neurobrick_evaluate::evaluation::{
    DecodingEvaluation, EvaluationResult, Figures, LEVEL, ModelPredictions, ReportInputs, ScoredSession,
    SessionEvaluation, SharedStack, SummaryBuilder, check_targets, decode_session, evaluate_session,
    run_report, session_figures,
};
use neurobrick_metrics::Bootstrap;
use neurobrick_models::{AnyModel, ModelConfig, rounded};
use neurobrick_report as report;
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_train::{TrainSession, latents, predict};

use super::questions::Answers;
use super::training::{ModelRecord, load_model, note_left_out};
use crate::config::{EvaluateConfig, ScoringConfig};
use crate::pipeline::{Observer, Progress};
use crate::run_folder::read_metrics;
use crate::{
    Compute, LoadedSession, MetricsRecord, PipelineError, RunFolder, RunManifest, load_sessions,
    peak_memory_bytes,
};

/// The run that holds the model of a session: one for each session below `root`, as `finetune` leaves them, or `root` itself, whose
/// model reads many, as `pretrain` leaves it.
pub(super) fn session_run(root: &Path, session: &SessionId) -> PathBuf {
    let own = root.join(session.as_str());
    let holds_model = |run: &Path| run.join("model").join("config.json").exists();
    if !holds_model(&own) && holds_model(root) { root.to_owned() } else { own }
}

/// Loads the model of a session from below `root`.
///
/// # Errors
/// If there is none, it is damaged, or it does not know the session.
pub(super) fn load_session_model(
    root: &Path,
    session: &SessionId,
    device: ComputeDevice,
) -> Result<(AnyModel, ModelRecord), PipelineError> {
    let run = session_run(root, session);
    if !run.exists() {
        let message = format!(
            "holds no model of session {session}: name a folder that `finetune` wrote, with a run for each session, or one of \
             `pretrain` with this session among its own"
        );
        return Err(PipelineError::BadFile { path: root.to_owned(), message });
    }
    let (model, record) = load_model(&run.join("model"), device)?;
    if model.session_idx(session).is_err() {
        let known: Vec<&str> = model.sessions().iter().map(|known| known.session.as_str()).collect();
        let message = format!(
            "the model in it does not know session {session}, and needs units of its own for it, which `finetune` makes; it knows \
             {}",
            known.join(", ")
        );
        return Err(PipelineError::BadFile { path: run, message });
    }
    Ok((model, record))
}

/// Scores, pictures and training curves of an evaluation, and the sessions it was made on.
pub(super) struct Evaluated {
    pub(super) result: EvaluationResult,
    pub(super) figures: Figures,
    pub(super) sessions: Vec<LoadedSession>,
    pub(super) curves: Vec<(String, String, Vec<MetricsRecord>)>,
    pub(super) model: Option<(AnyModel, ModelRecord)>,
}

/// Scores models on the test trials of sessions and writes `metrics.json`, `report.html`, `report.json`, `card.md` and
/// `manifest.json` into `out`.
///
/// # Errors
/// If data or models are missing or damaged, or a file cannot be written.
pub fn evaluate(
    config: &EvaluateConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<report::RunReport, PipelineError> {
    config.validate()?;
    let folder = RunFolder::open(out)?;
    // An evaluation takes minutes and keeps nothing until it is done.
    folder.check_config(config)?;
    let started = Instant::now();
    let evaluated = evaluate_all(config, compute, observer)?;
    let predictions = config.predictions.iter();
    let names =
        config.models.iter().map(|m| m.name.as_str()).chain(predictions.clone().map(|p| p.name.as_str()));
    let names: Vec<&str> = names.collect();
    let finished = Finished {
        names: if names.is_empty() { "Baselines".to_owned() } else { names.join(", ") },
        model: match (&evaluated.model, config.predictions.first()) {
            (None, Some(first)) => report::ModelFacts {
                name: first.name.clone(),
                license: "not stated".to_owned(),
                n_parameters: None,
                architecture: vec![report::Fact { name: "what it is".to_owned(), value: first.note.clone() }],
                intended_use: Vec::new(),
                not_for: Vec::new(),
            },
            (model, _) => model_facts(model.as_ref()),
        },
        notes: evaluated
            .model
            .iter()
            .map(|(_, record)| training_note(record))
            .chain(predictions.map(|p| format!("{}, predicted by another program: {}", p.name, p.note)))
            .collect(),
        command,
        compute,
        started,
    };
    finished.write(&folder, config, evaluated)
}

/// What the report of an evaluation needs beside its scores.
pub(super) struct Finished<'a> {
    /// Names of the models, for the first sentence.
    pub(super) names: String,
    pub(super) model: report::ModelFacts,
    pub(super) notes: Vec<String>,
    pub(super) command: &'a str,
    pub(super) compute: Compute,
    pub(super) started: Instant,
}

impl Finished<'_> {
    /// Settles the configuration and writes the files every evaluation ends with.
    pub(super) fn write(
        self,
        folder: &RunFolder,
        config: &EvaluateConfig,
        evaluated: Evaluated,
    ) -> Result<report::RunReport, PipelineError> {
        let config_toml = folder.settle_config(config)?;
        let hashes = evaluated.sessions.iter().map(|s| s.hash.clone()).collect();
        let mut manifest = RunManifest::new(self.command, config.seed, self.compute, hashes);
        manifest.stages.push(("evaluate".to_owned(), self.started.elapsed().as_secs_f64()));
        manifest.peak_memory_bytes = peak_memory_bytes();
        let page = run_report(ReportInputs {
            title: "Evaluation".to_owned(),
            summary: format!(
                "{} on test trials of {}.",
                self.names,
                sessions_in_words(config.sessions.len())
            ),
            model: self.model,
            data: data_sources(&evaluated.sessions),
            sessions: evaluated.sessions.iter().map(|s| (&s.train, report::SessionRole::Evaluated)).collect(),
            only_ingested: Vec::new(),
            result: &evaluated.result,
            figures: evaluated.figures,
            pretraining: None,
            finetuning: evaluated.curves,
            manifest: &manifest,
            config_toml,
            n_resamples: config.scoring.n_resamples,
            notes: general_notes(&config.scoring).chain(self.notes).collect(),
        });
        write_results(folder, &evaluated.result, &page, &manifest)?;
        Ok(page)
    }
}

/// What a reader must know to judge the scores of any evaluation.
pub(super) fn general_notes(scoring: &ScoringConfig) -> impl Iterator<Item = String> {
    let of_all = [
        "One seed and one split. The intervals cover the choice of test trials, not the choice of training trials, \
         initial weights or sessions.",
        "Baselines choose their hyper-parameters on the validation trials on which models stop early; nothing in \
         this run is chosen on test trials.",
        "The null from the evaluated bins themselves knows the test trials' mean and is therefore strict, most of all \
         in forward prediction; the null from training trials stands beside it.",
        "Means over units are ruled by units with a handful of test spikes; read the median and the mean of active \
         units beside them.",
    ];
    let sample = scoring.max_units.map(|max| {
        format!(
            "Leave-one-out tasks predict a sample of {max} units per session, drawn by seed, the same for all \
             predictors; `max_units` lifts the limit."
        )
    });
    of_all.map(str::to_owned).into_iter().chain(sample)
}

/// "1 session", "3 sessions".
pub(super) fn sessions_in_words(n: usize) -> String {
    report::counted(n as u64, "session")
}

/// What the first model was trained on, which a reader of its scores must know.
fn training_note(record: &ModelRecord) -> String {
    let sessions: Vec<&str> = record.trained_on.iter().map(|trained| trained.session.as_str()).collect();
    let imported = match &record.imported_from {
        Some(from) => format!(" It began with published weights ({}).", from.names.label()),
        None => String::new(),
    };
    format!(
        "The first model was trained on {}: {}.{imported}",
        sessions_in_words(sessions.len()),
        sessions.join(", ")
    )
}

/// Writes the files every evaluation ends with.
pub(super) fn write_results(
    folder: &RunFolder,
    result: &EvaluationResult,
    page: &report::RunReport,
    manifest: &RunManifest,
) -> Result<(), PipelineError> {
    folder.write_json("metrics.json", result)?;
    folder.write_json("report.json", page)?;
    folder.write_json("manifest.json", manifest)?;
    write_file(&folder.path().join("card.md"), report::card(page).as_bytes())?;
    Ok(report::write(page, folder.path().join("report.html"))?)
}

/// Evaluates every session with every model that the configuration names.
pub(super) fn evaluate_all(
    config: &EvaluateConfig,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<Evaluated, PipelineError> {
    let load = |session: &LoadedSession, evaluated: &mut Evaluated| {
        let id = &session.hash.session;
        let mut models = Vec::new();
        for source in &config.models {
            let run = session_run(&source.path, id);
            let (model, record) = load_session_model(&source.path, id, compute.device)?;
            record.check_scores(&config.data, config.seed, &session.hash)?;
            // The curve of pretraining is of all its sessions.
            if run != source.path && run.join("metrics.jsonl").exists() {
                let records = read_metrics(&run.join("metrics.jsonl"))?;
                evaluated.curves.push((id.to_string(), source.name.clone(), records));
            }
            let is_pretrained = record.is_pretrained_for(id);
            evaluated.model.get_or_insert_with(|| (model.clone(), record));
            models.push((source.name.clone(), is_pretrained, rounded(model, source.precision)?));
        }
        Ok(models)
    };
    evaluate_with(config, config.models.len(), load, compute, observer)
}

/// Evaluates every session with the `n_models` models that `load` gives for it.
pub(super) fn evaluate_with<M: PopulationModel>(
    config: &EvaluateConfig,
    n_models: usize,
    mut load: impl FnMut(&LoadedSession, &mut Evaluated) -> Result<Vec<Named<M>>, PipelineError>,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<Evaluated, PipelineError> {
    let sessions = load_sessions(&config.data, &config.sessions, config.seed)?;
    check_targets(&sessions, &config.scoring.decode)?;
    let stacks: Vec<(String, SharedStack)> = config
        .stacks
        .iter()
        .map(|source| Ok((source.name.clone(), SharedStack::load(&source.path)?)))
        .collect::<Result<_, PipelineError>>()?;
    let (is_stacked, is_linear) = (!stacks.is_empty(), config.scoring.baselines);
    // Checked before the work, and read again when their session is scored: all of them may not fit into memory.
    for session in &sessions {
        Answers::read_all(session, config)?;
    }
    let per_task = n_models + config.predictions.len() + usize::from(is_stacked) + usize::from(is_linear);
    // Closed forms of all tasks are fitted before the first.
    let fits = usize::from(is_stacked || is_linear) + usize::from(is_stacked) + usize::from(is_linear);
    let per_session = config.scoring.tasks.len() * per_task + fits;
    let total = (sessions.len() * per_session) as u64;
    let mut state = Progress { stage: "evaluate".to_owned(), done: 0, total, message: String::new() };
    let mut evaluated = Evaluated {
        result: EvaluationResult { format_version: 1, sessions: Vec::new(), summary: None },
        figures: Figures::default(),
        sessions: Vec::new(),
        curves: Vec::new(),
        model: None,
    };
    let mut summary = SummaryBuilder::default();
    for session in &sessions {
        let id = &session.hash.session;
        let answers = Answers::read_all(session, config)?;
        let models = load(session, &mut evaluated)?;
        for (_, stack) in &stacks {
            stack.check_data(&config.data, &session.hash)?;
        }
        let ScoredSession { tasks, drawn, skipped, tables } = {
            let mut askers: Vec<ModelPredictions<'_>> =
                models.iter().map(|model| asker(model, &session.train, compute)).collect();
            askers.extend(answers.iter().map(Answers::asker));
            let (scoring, seed) = (&config.scoring, config.seed);
            evaluate_session(&session.train, &mut askers, &stacks, scoring, seed, |message| {
                message.clone_into(&mut state.message);
                observer.progress(&state);
                state.done += 1;
            })?
        };
        if let Some((plan, rates)) = drawn {
            let floor = config.scoring.active_min_spikes;
            let drawn = session_figures(&session.train, &plan, &rates, config.data.window.start_s, floor)?;
            evaluated.figures.rasters.extend(drawn.rasters);
            evaluated.figures.traces.extend(drawn.traces);
        }
        note_left_out(&session.train.data, observer);
        let decoding = decode(config, session, &models, compute)?;
        for d in &decoding {
            if let Some(reason) = &d.undefined {
                observer.note(&format!("{id}: {} from {} is undefined: {reason}", d.target, d.feature));
            }
        }
        for reason in &skipped {
            observer.note(&format!("left out: {reason}"));
        }
        summary.add(id.clone(), tables);
        let evaluation = SessionEvaluation { session: id.clone(), tasks, decoding, skipped };
        evaluated.result.sessions.push(evaluation);
    }
    let bootstrap = Bootstrap { seed: config.seed, n_resamples: config.scoring.n_resamples, level: LEVEL };
    evaluated.result.summary = Some(summary.finish(&evaluated.result.sessions, &bootstrap)?);
    state.done = state.total;
    "done".clone_into(&mut state.message);
    observer.progress(&state);
    evaluated.sessions = sessions;
    Ok(evaluated)
}

/// A model by its name, and whether other sessions have entered its weights.
pub(super) type Named<M> = (String, bool, M);

fn asker<'a, M: PopulationModel>(
    (name, is_pretrained, model): &'a Named<M>,
    session: &'a TrainSession,
    compute: Compute,
) -> ModelPredictions<'a> {
    ModelPredictions {
        name: name.clone(),
        is_pretrained: *is_pretrained,
        predict: Box::new(move |plan, trials| {
            Ok(predict(model, &session.data, trials, plan, compute.n_threads, |_, _| {})?.rates)
        }),
    }
}

fn decode<M: PopulationModel>(
    config: &EvaluateConfig,
    session: &LoadedSession,
    models: &[Named<M>],
    compute: Compute,
) -> Result<Vec<DecodingEvaluation>, PipelineError> {
    if config.scoring.decode.is_empty() {
        return Ok(Vec::new());
    }
    let data = &session.train.data;
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let mut features = Vec::new();
    for (name, _, model) in models {
        features.push((name.clone(), latents(model, data, &all, Prompt::Neuron, compute.n_threads)?));
    }
    let draws = (config.seed, config.scoring.n_shuffles);
    Ok(decode_session(&session.train, &features, &config.scoring.decode, draws)?)
}

/// Sizes of a model, for its report.
fn architecture(config: &ModelConfig) -> Vec<report::Fact> {
    let fact = |name: &str, value: String| report::Fact { name: name.to_owned(), value };
    match config {
        ModelConfig::NdtStitch(c) => vec![
            fact("token", "one time bin of one session".to_owned()),
            fact("bins", c.n_bins.to_string()),
            fact("stitch width", c.d_stitch.to_string()),
            fact("width", c.d_model.to_string()),
            fact("layers", c.n_layers.to_string()),
            fact("heads", c.n_heads.to_string()),
            fact("dropout", format!("{} on tokens, {} in layers", c.dropout_embed, c.dropout)),
            fact("prompt token", if c.prompt { "yes" } else { "no" }.to_owned()),
        ],
        ModelConfig::LinearStitch(c) => {
            vec![fact("bins", c.n_bins.to_string()), fact("rank", c.d_latent.to_string())]
        }
        ModelConfig::Lfads(c) => vec![
            fact("bins", format!("{}, the last {} of which it runs on into", c.n_bins, c.n_forward_bins)),
            fact("generator", c.d_generator.to_string()),
            fact("factors", c.n_factors.to_string()),
            fact("inferred inputs", c.d_inputs.to_string()),
            fact("dropout", c.dropout.to_string()),
        ],
        ModelConfig::GruStitch(c) => {
            vec![fact("bins", c.n_bins.to_string()), fact("recurrent units", c.d_hidden.to_string())]
        }
        ModelConfig::Ndt1(c) => vec![
            fact("token", "one time bin of one session".to_owned()),
            fact("bins", c.n_bins.to_string()),
            fact("width", c.d_model.to_string()),
            fact("layers", c.n_layers.to_string()),
            fact("heads", c.n_heads.to_string()),
            fact("bins seen ahead", c.context_forward.map_or("all".to_owned(), |n| n.to_string())),
            fact("bins seen back", c.context_backward.map_or("all".to_owned(), |n| n.to_string())),
            fact("dropout", format!("{} on tokens, {} in layers", c.dropout_embed, c.dropout)),
        ],
        ModelConfig::Ndt2(c) => vec![
            fact("token", format!("one time bin and a patch of {} units", c.patch_units)),
            fact("bins", c.n_bins.to_string()),
            fact("width", c.d_model.to_string()),
            fact("layers", format!("{} of the encoder, {} of the decoder", c.n_layers, c.n_decoder_layers)),
            fact("heads", c.n_heads.to_string()),
            fact("dropout", c.dropout.to_string()),
        ],
    }
}

/// What a report says of the model.
pub(super) fn model_facts(model: Option<&(AnyModel, ModelRecord)>) -> report::ModelFacts {
    let Some((model, record)) = model else {
        return report::ModelFacts {
            name: "baselines only".to_owned(),
            license: "none".to_owned(),
            n_parameters: Some(0),
            architecture: Vec::new(),
            intended_use: Vec::new(),
            not_for: Vec::new(),
        };
    };
    let config = &record.config;
    report::ModelFacts {
        name: match config {
            ModelConfig::NdtStitch(_) => "NDT-1-stitch with multi-task masking (MtM)".to_owned(),
            ModelConfig::LinearStitch(_) => "reduced-rank Poisson regression with stitching".to_owned(),
            ModelConfig::Lfads(_) => "LFADS (latent factor analysis via dynamical systems)".to_owned(),
            ModelConfig::GruStitch(_) => "causal recurrent network with stitching".to_owned(),
            ModelConfig::Ndt1(_) => "NDT-1 (Neural Data Transformer)".to_owned(),
            ModelConfig::Ndt2(_) => "NDT-2 (Neural Data Transformer over time and units)".to_owned(),
        },
        license: "not stated".to_owned(),
        n_parameters: Some(model.num_params() as u64),
        architecture: architecture(config),
        intended_use: vec![
            "Predicting hidden units, hidden regions and the near future of recorded populations.".to_owned(),
            "Starting point for fine-tuning on further sessions of similar recordings.".to_owned(),
        ],
        not_for: vec![
            "Decisions about individual animals or people.".to_owned(),
            format!(
                "Sessions other than those it was trained on ({}), without a new stitch.",
                record.trained_on.len()
            ),
        ],
    }
}

/// Published data sets behind sessions, each once.
pub(super) fn data_sources<'a>(
    sessions: impl IntoIterator<Item = &'a LoadedSession>,
) -> Vec<report::DataSource> {
    let mut found: Vec<report::DataSource> = Vec::new();
    for session in sessions {
        let card = &session.card;
        let source = report::DataSource {
            name: card.source.clone(),
            license: card.license.clone(),
            citation: card.citation.clone(),
        };
        if !found.contains(&source) {
            found.push(source);
        }
    }
    found
}
