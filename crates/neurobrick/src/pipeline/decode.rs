//! Labels and behavior decoded from counts, baselines' latents and models' latents.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::Axis;
use neurobrick_core::Prompt;
use neurobrick_data::{DataError, ResampleRule, resampling_clusters};
use neurobrick_evaluate::decoding::{
    Behavior, DecodeResult, DecodeRow, EncodingEvaluation, Feature, Judging, LabelTarget, Predicted,
    PredictedClasses, decode_behavior, decode_labels, judge_classes, judge_encoding, judge_prediction,
};
use neurobrick_evaluate::evaluation::{check_values, classes, labels};
use neurobrick_metrics::{MetricError, TemporalFactors, TemporalFactorsConfig};
use neurobrick_models::rounded;
use neurobrick_schema::atomic::write_file;
use neurobrick_schema::{Interval, Store};
use neurobrick_train::latents;

use super::answers::{ModelAnswers, answers};
use super::evaluate::{load_session_model, session_run};
use super::training::note_left_out;
use crate::config::{BehaviorTarget, DecodeConfig, DecodeFeature, DecodeTarget, ModelSource};
use crate::decoding::BehaviorKind;
use crate::pipeline::{Observer, Progress};
use crate::{Compute, LoadedSession, PipelineError, RunFolder, RunManifest, load_sessions};

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
    for target in &config.labels {
        check_values("labels", &sessions, target, &[])?;
    }
    folder.settle_config(config)?;
    let mut state = Progress { stage: "decode".to_owned(), done: 0, total: 0, message: String::new() };
    let judging = Judging {
        seed: config.seed,
        n_blocks: config.n_blocks,
        n_shuffles: config.n_shuffles,
        n_resamples: config.n_resamples,
        networks: config.networks.clone(),
    };
    let mut targets = sessions
        .iter()
        .map(|session| Targets::of(config, session, observer))
        .collect::<Result<Vec<_>, _>>()?;
    for number in 0..sessions.len() {
        Targets::tell_of_others(&mut targets, number);
    }
    let mut rows: Vec<DecodeRow> = Vec::new();
    let mut encoding = Vec::new();
    for (session, targets) in sessions.iter().zip(&targets) {
        note_left_out(&session.train.data, observer);
        let features = features(config, session, compute)?;
        let answers = answers(config, session, compute)?;
        let one = OneSession { config, session, features, answers, judging: &judging };
        one.check()?;
        // What answers is known once its folder is open; sessions that follow are taken to have the same.
        if state.total == 0 {
            state.total = sessions.len() as u64 * one.n_parts();
        }
        let id = &session.hash.session;
        let mut advance = |target: &str, observer: &mut dyn Observer| {
            state.message = format!("{id}: {target}");
            observer.progress(&state);
            state.done += 1;
        };
        for (target, labels) in config.labels.iter().zip(&targets.labels) {
            rows.extend(one.label(target, labels, &mut || advance(target.name(), observer))?);
        }
        for (target, behavior) in config.behaviors.iter().zip(&targets.behaviors) {
            rows.extend(one.behavior(target, behavior, &mut || advance(&target.name, observer))?);
        }
        encoding.extend(one.encoding(&mut || advance("encoding", observer))?);
    }
    for row in &rows {
        if let Some(reason) = &row.undefined {
            let DecodeRow { session, target, feature, decoder, .. } = row;
            observer.note(&format!("{session}: {target} from {feature} by {decoder} is undefined: {reason}"));
        }
    }
    for EncodingEvaluation { session, model, undefined, .. } in &encoding {
        if let Some(reason) = undefined {
            observer.note(&format!("{session}: the encoding of {model} is undefined: {reason}"));
        }
    }
    observer.progress(&state);
    let result = DecodeResult { format_version: 1, rows, encoding };
    let hashes = sessions.into_iter().map(|session| session.hash).collect();
    let mut manifest = RunManifest::new(command, config.seed, compute, hashes);
    manifest.stages.push(("decode".to_owned(), started.elapsed().as_secs_f64()));
    folder.write_json("decode.json", &result)?;
    folder.write_json("manifest.json", &manifest)?;
    write_file(&out.join("decode.md"), result.markdown().as_bytes())?;
    Ok(result)
}

/// What is decoded of a session, and what of the others is, since each of their targets is a null of it.
struct Targets {
    labels: Vec<Labels>,
    behaviors: Vec<Behavior>,
}

/// A label of two classes; none of several.
struct Labels {
    own: Option<Vec<Option<bool>>>,
    of_others: Vec<Vec<bool>>,
}

impl Targets {
    fn of(
        config: &DecodeConfig,
        session: &LoadedSession,
        observer: &mut dyn Observer,
    ) -> Result<Self, PipelineError> {
        let mut found = Self { labels: Vec::new(), behaviors: Vec::new() };
        for target in &config.labels {
            let is_binary = !matches!(target, DecodeTarget::Classes { .. });
            let own = if is_binary { Some(labels(&session.train, target)?) } else { None };
            found.labels.push(Labels { own, of_others: Vec::new() });
        }
        for target in &config.behaviors {
            found.behaviors.push(behavior(config, session, target, observer)?);
        }
        Ok(found)
    }

    /// Gives the session of this number the targets of all others.
    fn tell_of_others(all: &mut [Self], number: usize) {
        for target in 0..all[number].labels.len() {
            let others = all.iter().enumerate().filter(|(other, _)| *other != number);
            let labels = others.filter_map(|(_, other)| other.labels[target].own.as_ref());
            all[number].labels[target].of_others =
                labels.map(|labels| labels.iter().copied().flatten().collect()).collect();
        }
        for target in 0..all[number].behaviors.len() {
            let others = all.iter().enumerate().filter(|(other, _)| *other != number);
            all[number].behaviors[target].of_others =
                others.map(|(_, other)| other.behaviors[target].values.clone()).collect();
        }
    }
}

/// A session, and everything that answers for it.
struct OneSession<'a> {
    config: &'a DecodeConfig,
    session: &'a LoadedSession,
    features: Vec<Feature>,
    answers: Vec<ModelAnswers<'a>>,
    judging: &'a Judging,
}

impl OneSession<'_> {
    /// Refuses targets that somebody cannot answer, before anything is computed, which takes minutes.
    fn check(&self) -> Result<(), PipelineError> {
        self.answers.iter().try_for_each(|answers| answers.check(self.config))?;
        let answers_labels = self.answers.iter().any(|answers| answers.labels.is_some());
        if self.config.labels.is_empty() || !self.features.is_empty() || answers_labels {
            return Ok(());
        }
        let message = "need features or models of counts; decoders of single spikes answer behaviors only";
        Err(PipelineError::BadValue { field: "labels".to_owned(), message: message.to_owned() })
    }

    /// Parts of the work, each of which advances.
    fn n_parts(&self) -> u64 {
        let n_encoders = self.answers.iter().filter(|answers| answers.labels.is_some()).count();
        let (n_features, n_answers) = (self.features.len(), self.answers.len());
        let of_labels = self.config.labels.len() * (n_features + n_encoders);
        (of_labels + self.config.behaviors.len() * (n_features + n_answers) + n_encoders) as u64
    }

    /// Rows of a label; `advance` is called before each part of the work.
    fn label(
        &self,
        target: &DecodeTarget,
        labels: &Labels,
        advance: &mut dyn FnMut(),
    ) -> Result<Vec<DecodeRow>, PipelineError> {
        let Self { session, judging, .. } = *self;
        let mut rows = Vec::new();
        for feature in &self.features {
            advance();
            rows.extend(decode_label(session, (target, labels), feature, judging));
        }
        let classes = classes(&session.train, target)?;
        for answers in &self.answers {
            let Some(found) = answers.classes(target)? else { continue };
            advance();
            let (name, decoder) = (answers.name, answers.kind.name());
            if let Some(row) = self.not_decoded(answers, target.name()) {
                rows.push(row);
                continue;
            }
            let predicted = PredictedClasses { name, decoder, classes: &found };
            rows.push(judge_classes(&session.train, (target, &classes), &predicted, judging));
        }
        Ok(rows)
    }

    /// Rows of a behavior.
    fn behavior(
        &self,
        target: &BehaviorTarget,
        behavior: &Behavior,
        advance: &mut dyn FnMut(),
    ) -> Result<Vec<DecodeRow>, PipelineError> {
        let (id, judging) = (&self.session.hash.session, self.judging);
        let mut rows = Vec::new();
        for feature in &self.features {
            advance();
            rows.extend(decode_behavior(id, behavior, feature, judging));
        }
        for answers in &self.answers {
            advance();
            let k = answers.output(target)?;
            if let Some(row) = self.not_decoded(answers, &target.name) {
                rows.push(row);
                continue;
            }
            let (name, values) = (answers.name, answers.values.index_axis(Axis(2), k));
            let predicted = Predicted { name, decoder: answers.kind.name(), values };
            rows.push(judge_prediction(id, behavior, &predicted, judging));
        }
        Ok(rows)
    }

    /// The row of a model that was not trained to decode.
    fn not_decoded(&self, answers: &ModelAnswers<'_>, target: &str) -> Option<DecodeRow> {
        let reason = answers.not_decoded.as_ref()?;
        let names = [target, answers.name, answers.kind.name()];
        Some(DecodeRow::undefined(&self.session.hash.session, names, reason))
    }

    /// What models encode that do.
    fn encoding(&self, advance: &mut dyn FnMut()) -> Result<Vec<EncodingEvaluation>, PipelineError> {
        let encoded = self.answers.iter().filter_map(ModelAnswers::encoded);
        let one = |encoded| {
            advance();
            Ok(judge_encoding(&self.session.train, &encoded, self.judging)?)
        };
        encoded.map(one).collect()
    }
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
        let (model, record) = load_session_model(&source.path, &session.hash.session, compute.device)?;
        record.check_scores(&config.data, config.seed, &session.hash)?;
        let model = rounded(model, source.precision)?;
        let values = latents(&model, data, &all, Prompt::Neuron, compute.n_threads)?;
        found.push(Feature::latents(&source.name, values));
    }
    Ok(found)
}

/// A label from a feature by every decoder of labels; those of several classes by none.
fn decode_label(
    session: &LoadedSession,
    (target, labels): (&DecodeTarget, &Labels),
    feature: &Feature,
    judging: &Judging,
) -> Vec<DecodeRow> {
    let Some(own) = &labels.own else {
        let (name, n_classes) = (target.name(), target.classes().len());
        let (what, must) =
            ("number of classes of a label", "2, named with `category`, for the decoders fitted here");
        let error = MetricError::InvalidSetting { what, value: n_classes as f64, must };
        let names = [name, &feature.name, "linear decoders"];
        return vec![DecodeRow::undefined(&session.hash.session, names, error)];
    };
    let label = LabelTarget { name: target.name(), labels: own, of_others: &labels.of_others };
    let mut rows = decode_labels(&session.train, label, feature, judging);
    let [negative, positive] = target.classes()[..] else { return rows };
    // Decoders of two classes know them as false and true.
    let names_classes = |reason: &&mut String| reason.contains("false") || reason.contains("true");
    for reason in rows.iter_mut().filter_map(|row| row.undefined.as_mut()).filter(names_classes) {
        let _ = write!(reason, " (true is `{positive}`, false is `{negative}`)");
    }
    rows
}

/// Where the model of a session lies.
pub(super) fn model_dir(source: &ModelSource, session: &LoadedSession) -> PathBuf {
    session_run(&source.path, &session.hash.session).join("model")
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
    let values = target.decoded(values);
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
        of_others: Vec::new(),
    })
}
