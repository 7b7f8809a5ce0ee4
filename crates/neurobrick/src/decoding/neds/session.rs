//! A session that a model of spikes and behavior learns from.

use std::collections::BTreeSet;

use ndarray::{Array2, Array3, Axis};
use neurobrick_evaluate::evaluation::{check_values, classes, values_of};
use neurobrick_models::NedsWindows;
use neurobrick_schema::{Recording, SessionId};
use neurobrick_train::TrainSession;

use crate::config::{DecodeTarget, ModalitiesConfig};
use crate::decoding::standardized::{read_behaviors, standardize};
use crate::decoding::{BehaviorScale, SpikeDecodingError};
use crate::{LoadedSession, PipelineError};

/// Values of a column that an error lists.
const N_LISTED: usize = 12;

/// Counts, labels and behaviors of a session, and how they may be used.
pub(crate) struct NedsSession {
    pub(crate) train: TrainSession,
    /// Class of every label, `[trial, L]`; `None` where it is of none.
    pub(crate) labels: Array2<Option<usize>>,
    /// Standardized behavior, `[trial, bin, K]`; NaN where there is none.
    pub(crate) values: Array3<f64>,
    /// How it was standardized.
    pub(crate) scales: Vec<BehaviorScale>,
}

/// Some windows of a session, copied.
pub(crate) struct NedsPart {
    pub(crate) counts: Array3<u16>,
    pub(crate) labels: Array2<Option<usize>>,
    pub(crate) behaviors: Array3<f64>,
}

impl NedsSession {
    /// Reads labels and behaviors of the windows of `train`, which was made from `recording`.
    ///
    /// # Errors
    /// If a column, signal or label is missing, or a behavior never changes.
    pub(crate) fn new(
        recording: &Recording,
        train: TrainSession,
        modalities: &ModalitiesConfig,
    ) -> Result<Self, PipelineError> {
        let ModalitiesConfig { labels: targets, behaviors } = modalities;
        let mut labels = Array2::from_elem((train.data.n_trials(), targets.len()), None);
        for (number, target) in targets.iter().enumerate() {
            let found = classes(&train, target)?;
            if train.split.train.iter().all(|&trial| found[trial].is_none()) {
                return Err(no_label(&train, target).into());
            }
            labels.column_mut(number).assign(&ndarray::Array1::from(found));
        }
        let mut values = read_behaviors(recording, &train.data, behaviors)?;
        let session = train.data.session().clone();
        let scales = standardize(&mut values, &train.split.train, (recording, &session), behaviors)?;
        Ok(Self { train, labels, values, scales })
    }

    /// The session's id.
    pub(crate) fn id(&self) -> &SessionId {
        self.train.data.session()
    }

    /// The windows of some trials.
    pub(crate) fn part(&self, trials: &[usize]) -> NedsPart {
        NedsPart {
            counts: self.train.data.counts().select(Axis(0), trials),
            labels: self.labels.select(Axis(0), trials),
            behaviors: self.values.select(Axis(0), trials),
        }
    }
}

impl NedsPart {
    /// The windows, or a range of them, of `session`.
    pub(crate) fn windows<'a>(
        &'a self,
        session: &'a SessionId,
        range: std::ops::Range<usize>,
    ) -> NedsWindows<'a> {
        NedsWindows {
            session,
            counts: self.counts.slice(ndarray::s![range.clone(), .., ..]),
            labels: self.labels.slice(ndarray::s![range.clone(), ..]),
            behaviors: self.behaviors.slice(ndarray::s![range, .., ..]),
        }
    }
}

/// Checks that every class of every label occurs in one of the sessions, unless `known` has it, which are labels of a model that
/// is trained further: a session may be without a class that others have.
///
/// # Errors
/// With the classes that there are.
pub(crate) fn check_classes(
    sessions: &[LoadedSession],
    labels: &[DecodeTarget],
    known: &[DecodeTarget],
) -> Result<(), PipelineError> {
    for (number, target) in labels.iter().enumerate() {
        let of_model = known.get(number).map_or_else(Vec::new, DecodeTarget::classes);
        check_values("modalities.labels", sessions, target, &of_model)?;
    }
    Ok(())
}

fn no_label(train: &TrainSession, target: &DecodeTarget) -> SpikeDecodingError {
    let columns = target.columns();
    let found: BTreeSet<String> = columns.iter().flat_map(|column| values_of(train, column)).collect();
    let mut listed: Vec<&str> = found.iter().map(String::as_str).take(N_LISTED).collect();
    if found.len() > N_LISTED {
        listed.push("...");
    }
    SpikeDecodingError::NoLabel {
        session: train.data.session().clone(),
        label: target.name().to_owned(),
        classes: target.classes().join(", "),
        column: columns.join("` and `"),
        found: if listed.is_empty() { "no value".to_owned() } else { listed.join(", ") },
    }
}
