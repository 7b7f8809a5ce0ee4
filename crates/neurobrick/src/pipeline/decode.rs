//! Labels and behavior decoded from counts, baselines' latents and models' latents.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::{Array3, Axis};
use neurobrick_core::Prompt;
use neurobrick_data::{DataError, ResampleRule, resampling_clusters};
use neurobrick_metrics::{TemporalFactors, TemporalFactorsConfig};
use neurobrick_models::rounded;
use neurobrick_schema::atomic::write_file;
use neurobrick_schema::{Interval, Store};
use neurobrick_stream::Precision;
use neurobrick_train::latents;

use super::evaluate::session_run;
use super::training::{load_model, note_left_out};
use crate::config::{BehaviorTarget, DecodeConfig, DecodeFeature, ModelSource};
use crate::decoding::spikes::{SpikeWindows, predict};
use crate::decoding::{
    Behavior, BehaviorKind, DecodeResult, DecodeRow, Feature, Judging, Predicted, decode_behavior,
    decode_labels, judge_prediction, load_decoder_model,
};
use crate::evaluation::labels;
use crate::pipeline::{Observer, Progress};
use crate::{Compute, LoadedSession, PipelineError, RunFolder, RunManifest, load_sessions, read_recording};

/// Decodes every target of every session, and writes `decode.json`, `decode.md` and `manifest.json` into `out`.
///
/// # Errors
/// If data, models, columns or signals are missing. A target that cannot be decoded is recorded with its reason.
pub fn decode(
    config: &DecodeConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<DecodeResult, PipelineError> {
    config.validate()?;
    let folder = RunFolder::open(out)?;
    let started = Instant::now();
    let sessions = load_sessions(&config.data, &config.sessions, config.seed)?;
    folder.settle_config(config)?;
    let n_targets = config.labels.len() + config.behaviors.len();
    let n_features = config.features.len() + config.models.len();
    let mut state = Progress {
        stage: "decode".to_owned(),
        done: 0,
        total: (sessions.len() * n_targets * n_features) as u64,
        message: String::new(),
    };
    let judging = Judging {
        seed: config.seed,
        n_blocks: config.n_blocks,
        n_shuffles: config.n_shuffles,
        n_resamples: config.n_resamples,
        networks: config.networks.clone(),
    };
    let mut rows: Vec<DecodeRow> = Vec::new();
    for session in &sessions {
        note_left_out(&session.train.data, observer);
        let features = features(config, session, compute)?;
        let decoders = decoders(config, session, compute)?;
        // Before anything is computed, which takes minutes.
        for (decoder, target) in decoders.iter().flat_map(|d| config.behaviors.iter().map(move |t| (d, t))) {
            decoder.output(target)?;
        }
        if features.is_empty() && !config.labels.is_empty() {
            let message =
                "need features or models of counts; decoders of single spikes answer behaviors only";
            return Err(PipelineError::BadValue { field: "labels".to_owned(), message: message.to_owned() });
        }
        let id = &session.hash.session;
        let mut advance = |target: &str, observer: &mut dyn Observer| {
            state.message = format!("{id}: {target}");
            observer.progress(&state);
            state.done += 1;
        };
        for target in &config.labels {
            let labels = labels(&session.train, target)?;
            for feature in &features {
                advance(target.name(), observer);
                rows.extend(decode_labels(&session.train, (target.name(), &labels), feature, &judging));
            }
        }
        for target in &config.behaviors {
            let behavior = behavior(config, session, target, observer)?;
            for feature in &features {
                advance(&target.name, observer);
                rows.extend(decode_behavior(id, &behavior, feature, &judging));
            }
            for decoder in &decoders {
                advance(&target.name, observer);
                let k = decoder.output(target)?;
                let (name, values) = (decoder.name, decoder.values.index_axis(Axis(2), k));
                let predicted = Predicted { name, decoder: "poyo", values };
                rows.push(judge_prediction(id, &behavior, &predicted, &judging));
            }
        }
    }
    for row in &rows {
        if let Some(reason) = &row.undefined {
            let DecodeRow { session, target, feature, decoder, .. } = row;
            observer.note(&format!("{session}: {target} from {feature} by {decoder} is undefined: {reason}"));
        }
    }
    observer.progress(&state);
    let result = DecodeResult { format_version: 1, rows };
    let hashes = sessions.into_iter().map(|session| session.hash).collect();
    let mut manifest = RunManifest::new(command, config.seed, compute, hashes);
    manifest.stages.push(("decode".to_owned(), started.elapsed().as_secs_f64()));
    folder.write_json("decode.json", &result)?;
    folder.write_json("manifest.json", &manifest)?;
    write_file(&out.join("decode.md"), result.markdown().as_bytes())?;
    Ok(result)
}

/// Everything that targets of a session are decoded from.
fn features(
    config: &DecodeConfig,
    session: &LoadedSession,
    compute: Compute,
) -> Result<Vec<Feature>, PipelineError> {
    let data = &session.train.data;
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let mut found = Vec::new();
    for feature in &config.features {
        found.push(match feature {
            DecodeFeature::RawCounts => Feature::raw_counts(&data.counts_of(&all)),
            DecodeFeature::TemporalFactors => {
                let train = data.counts_of(&session.train.split.train);
                let limit = data.n_units().min(train.len_of(Axis(0)) * data.n_bins());
                let default = TemporalFactorsConfig::default();
                let n_factors = default.n_factors.min(limit);
                let settings = TemporalFactorsConfig { n_factors, ..default };
                let units: Vec<usize> = (0..data.n_units()).collect();
                let fit = TemporalFactors::fit(&train.view(), &settings)?;
                let values = fit.latents(&data.counts_of(&all).view(), &units)?;
                Feature::latents(feature.name(), values)
            }
        });
    }
    for source in &config.models {
        if BehaviorKind::of(&model_dir(source, session)).is_some() {
            continue;
        }
        let (model, record) = load_model(&model_dir(source, session), compute.device)?;
        record.check_scores(&config.data, config.seed, &session.hash)?;
        let model = rounded(model, source.precision)?;
        let values = latents(&model, data, &all, Prompt::Neuron, compute.n_threads)?;
        found.push(Feature::latents(&source.name, values));
    }
    Ok(found)
}

/// The model of a session as `finetune` leaves it; a decoder of many sessions, as `pretrain` leaves it, stands for all.
fn model_dir(source: &ModelSource, session: &LoadedSession) -> PathBuf {
    let own = session_run(&source.path, &session.hash.session).join("model");
    let shared = source.path.join("model");
    if !own.exists() && BehaviorKind::of(&shared).is_some() { shared } else { own }
}

/// What a decoder of single spikes says of all trials of a session.
struct DecoderAnswers<'a> {
    name: &'a str,
    targets: Vec<BehaviorTarget>,
    /// In units of measure, `[trial, bin, K]`.
    values: Array3<f64>,
}

impl DecoderAnswers<'_> {
    /// The output that answers `target`.
    fn output(&self, target: &BehaviorTarget) -> Result<usize, PipelineError> {
        self.targets.iter().position(|own| own == target).ok_or_else(|| {
            let known: Vec<&str> = self.targets.iter().map(|own| own.name.as_str()).collect();
            PipelineError::BadValue {
                field: "behaviors".to_owned(),
                message: format!(
                    "`{}` is not what the model `{}` was trained on, which is {}; copy its `behaviors` with all their keys",
                    target.name,
                    self.name,
                    known.join(", ")
                ),
            }
        })
    }
}

/// The answers of those models that decode single spikes.
fn decoders<'a>(
    config: &'a DecodeConfig,
    session: &LoadedSession,
    compute: Compute,
) -> Result<Vec<DecoderAnswers<'a>>, PipelineError> {
    let mut found = Vec::new();
    for source in &config.models {
        let path = model_dir(source, session);
        if BehaviorKind::of(&path).is_none() {
            continue;
        }
        if source.precision != Precision::F32 {
            return Err(PipelineError::BadValue {
                field: "models.precision".to_owned(),
                message: format!("`{}` decodes single spikes and is stored as f32 only", source.name),
            });
        }
        let (model, record) = load_decoder_model(&path, compute.device)?;
        record.check_scores(&config.data, config.seed, &session.hash)?;
        let id = &session.hash.session;
        let recording = read_recording(&Store::open(&config.data.store)?, &config.data, id)?;
        let data = &session.train.data;
        let spikes = SpikeWindows::new(&recording, data)?;
        let all: Vec<usize> = (0..data.n_trials()).collect();
        let mut values = predict(&model, &spikes, &all, compute.n_threads)?;
        let scales = record.config.scales.iter().find(|scales| scales.session == *id);
        for (k, scale) in scales.iter().flat_map(|scales| &scales.scales).enumerate() {
            values.index_axis_mut(Axis(2), k).mapv_inplace(|v| scale.measured(v));
        }
        found.push(DecoderAnswers { name: &source.name, targets: record.config.behaviors, values });
    }
    Ok(found)
}

/// A behavior on the trials of which its signal covers every bin.
fn behavior(
    config: &DecodeConfig,
    session: &LoadedSession,
    target: &BehaviorTarget,
    observer: &mut dyn Observer,
) -> Result<Behavior, PipelineError> {
    let id = &session.hash.session;
    let recording = Store::open(&config.data.store)?.read(id)?;
    let (data, split) = (&session.train.data, &session.train.split);
    let values = data.behavior(&recording, &target.measured()).map_err(|error| match error {
        DataError::UnknownSignal { .. } => PipelineError::BadValue {
            field: "behaviors".to_owned(),
            message: format!("session {id}: {error}"),
        },
        other => other.into(),
    })?;
    let values = target.sized(values);
    let covered = |trial: usize| values.row(trial).iter().all(|value| value.is_finite());
    let trials: Vec<usize> = (0..data.n_trials()).filter(|&trial| covered(trial)).collect();
    if trials.len() < data.n_trials() {
        let (n, all) = (trials.len(), data.n_trials());
        let hint = match target.rule {
            ResampleRule::Mean if n == 0 => "; a signal slower than the bins needs `rule = \"linear\"`",
            _ => "",
        };
        observer.note(&format!("{id}: {} covers every bin of {n} of {all} trials{hint}", target.name));
    }
    let rows_of = |sides: [&[usize]; 2]| -> Vec<usize> {
        (0..trials.len()).filter(|&row| sides.iter().any(|side| side.contains(&trials[row]))).collect()
    };
    let test = rows_of([&split.test, &[]]);
    let windows: Vec<Interval> = test.iter().map(|&row| data.windows()[trials[row]]).collect();
    Ok(Behavior {
        name: target.name.clone(),
        values: values.select(Axis(0), &trials).insert_axis(Axis(2)),
        fit: rows_of([&split.train, &split.valid]),
        valid: rows_of([&split.valid, &[]]),
        clusters: resampling_clusters(&windows),
        test,
        trials,
    })
}
