//! What models that answer behavior themselves say of a session, for `decode`.

use std::path::Path;

use ndarray::{Array2, Array3, Axis};
use neurobrick_evaluate::decoding::Encoded;
use neurobrick_evaluate::read_recording;
use neurobrick_schema::{SessionId, Store};
use neurobrick_stream::Precision;

use super::decode::model_dir;
use crate::config::{BehaviorTarget, DecodeConfig, DecodeTarget, ModalitiesConfig};
use crate::decoding::neds::{NedsDecoded, NedsSession};
use crate::decoding::spikes::{SpikeWindows, predict};
use crate::decoding::{BehaviorKind, SessionScales, load_decoder_model, load_neds_model, neds};
use crate::{Compute, LoadedSession, PipelineError};

/// What a model says of all usable trials of a session.
pub(super) struct ModelAnswers<'a> {
    pub(super) name: &'a str,
    pub(super) kind: BehaviorKind,
    targets: Vec<BehaviorTarget>,
    /// In units of measure, `[trial, bin, K]`.
    pub(super) values: Array3<f64>,
    /// Why decoded labels and behaviors have no score, of models that were not trained for them.
    pub(super) not_decoded: Option<String>,
    /// Of models that answer labels and encode.
    pub(super) labels: Option<LabelAnswers>,
}

/// Labels and spikes.
pub(super) struct LabelAnswers {
    targets: Vec<DecodeTarget>,
    /// Decoded classes, `[trial, L]`.
    found: Array2<usize>,
    /// Classes as they are.
    recorded: Array2<Option<usize>>,
    /// Encoded spikes per bin, `[trial, bin, unit]`.
    rates: Array3<f64>,
    /// Why they have no score.
    not_encoded: Option<String>,
}

impl ModelAnswers<'_> {
    /// Refuses targets that the model was not trained on.
    ///
    /// # Errors
    /// With the names of those that it was.
    pub(super) fn check(&self, config: &DecodeConfig) -> Result<(), PipelineError> {
        for target in &config.behaviors {
            self.output(target)?;
        }
        for target in &config.labels {
            self.classes(target)?;
        }
        Ok(())
    }

    /// The output that answers `target`.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn output(&self, target: &BehaviorTarget) -> Result<usize, PipelineError> {
        self.targets.iter().position(|own| own == target).ok_or_else(|| {
            let known = self.targets.iter().map(|own| own.name.as_str());
            self.unknown("behaviors", &target.name, known)
        })
    }

    /// Decoded classes of all usable trials; `None` from models that answer no labels.
    ///
    /// # Errors
    /// If it answers labels and not this one.
    pub(super) fn classes(&self, target: &DecodeTarget) -> Result<Option<Vec<usize>>, PipelineError> {
        let Some(labels) = &self.labels else { return Ok(None) };
        match labels.targets.iter().position(|own| own == target) {
            Some(number) => Ok(Some(labels.found.column(number).to_vec())),
            None => Err(self.unknown("labels", target.name(), labels.targets.iter().map(DecodeTarget::name))),
        }
    }

    /// Spikes from behavior, of models that encode.
    pub(super) fn encoded(&self) -> Option<Encoded<'_>> {
        let labels = self.labels.as_ref()?;
        let names = labels.targets.iter().map(DecodeTarget::name);
        let knows = names.chain(self.targets.iter().map(|target| target.name.as_str()));
        Some(Encoded {
            name: self.name,
            knows: knows.map(str::to_owned).collect(),
            rates: labels.rates.view(),
            undefined: labels.not_encoded.as_deref(),
            labels: &labels.recorded,
        })
    }

    fn unknown<'b>(&self, field: &str, asked: &str, known: impl Iterator<Item = &'b str>) -> PipelineError {
        let known: Vec<&str> = known.collect();
        PipelineError::BadValue {
            field: field.to_owned(),
            message: format!(
                "`{asked}` is not what the model `{}` was trained on, which is {}; copy its `{field}` with all their keys",
                self.name,
                known.join(", ")
            ),
        }
    }
}

/// The answers of those models that answer behavior themselves.
///
/// # Errors
/// If a model is damaged, or was trained on other data or on another part of them.
pub(super) fn answers<'a>(
    config: &'a DecodeConfig,
    session: &LoadedSession,
    compute: Compute,
) -> Result<Vec<ModelAnswers<'a>>, PipelineError> {
    let mut found = Vec::new();
    for source in &config.models {
        let path = model_dir(source, session);
        let Some(kind) = BehaviorKind::of(&path) else { continue };
        if source.precision != Precision::F32 {
            return Err(PipelineError::BadValue {
                field: "models.precision".to_owned(),
                message: format!(
                    "`{}` is of the kind `{}`, which is stored as f32 only",
                    source.name,
                    kind.name()
                ),
            });
        }
        found.push(match kind {
            BehaviorKind::Poyo => of_poyo(&source.name, &path, config, session, compute)?,
            BehaviorKind::Neds => of_neds(&source.name, &path, config, session, compute)?,
        });
    }
    Ok(found)
}

fn of_poyo<'a>(
    name: &'a str,
    path: &Path,
    config: &DecodeConfig,
    session: &LoadedSession,
    compute: Compute,
) -> Result<ModelAnswers<'a>, PipelineError> {
    let (model, record) = load_decoder_model(path, compute.device)?;
    record.check_scores(&config.data, config.seed, &session.hash)?;
    let id = &session.hash.session;
    let recording = read_recording(&Store::open(&config.data.store)?, &config.data, id)?;
    let data = &session.train.data;
    let spikes = SpikeWindows::new(&recording, data)?;
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let mut values = predict(&model, &spikes, &all, compute.n_threads)?;
    measured(&mut values, (id, &record.config.scales));
    Ok(ModelAnswers {
        name,
        kind: BehaviorKind::Poyo,
        targets: record.config.behaviors,
        values,
        not_decoded: None,
        labels: None,
    })
}

fn of_neds<'a>(
    name: &'a str,
    path: &Path,
    config: &DecodeConfig,
    session: &LoadedSession,
    compute: Compute,
) -> Result<ModelAnswers<'a>, PipelineError> {
    let (model, record) = load_neds_model(path, compute.device)?;
    record.check_scores(&config.data, config.seed, &session.hash)?;
    let id = &session.hash.session;
    let recording = read_recording(&Store::open(&config.data.store)?, &config.data, id)?;
    let own = NedsSession::new(&recording, session.train.clone(), &record.config.modalities)?;
    let all: Vec<usize> = (0..session.train.data.n_trials()).collect();
    let rates = neds::encode(&model, &own, &all, compute.n_threads)?;
    let NedsDecoded { classes, behaviors: mut values } = neds::decode(&model, &own, &all, compute.n_threads)?;
    measured(&mut values, (id, &record.config.scales));
    let (not_decoded, not_encoded) = (record.config.no_decoding(), record.config.no_encoding());
    let ModalitiesConfig { labels, behaviors: targets } = record.config.modalities;
    let labels = LabelAnswers { targets: labels, found: classes, recorded: own.labels, rates, not_encoded };
    let kind = BehaviorKind::Neds;
    Ok(ModelAnswers { name, kind, targets, values, not_decoded, labels: Some(labels) })
}

/// Brings standardized values to their units of measure, by the scales that the model was trained with last.
fn measured(values: &mut Array3<f64>, (session, scales): (&SessionId, &[SessionScales])) {
    let own = scales.iter().find(|scales| scales.session == *session);
    for (k, scale) in own.iter().flat_map(|scales| &scales.scales).enumerate() {
        values.index_axis_mut(Axis(2), k).mapv_inplace(|value| scale.measured(value));
    }
}
