//! Behavior as models learn it: read on the bins of windows, standardized by session over its training windows.

use ndarray::{Array1, Array3, Axis};
use neurobrick_data::{DataError, SessionData};
use neurobrick_schema::{Recording, SessionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BehaviorTarget, SpikeDecodingError};

/// How one target was standardized: by the bins of the training windows of one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BehaviorScale {
    /// Mean, in the unit of the signal.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
    /// Unit of measure, if the signal says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl BehaviorScale {
    /// A standardized value in its unit of measure.
    pub(crate) fn measured(&self, value: f64) -> f64 {
        value * self.std + self.mean
    }
}

/// How the targets of a session were standardized, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionScales {
    /// The session.
    pub session: SessionId,
    /// One scale for each target.
    pub scales: Vec<BehaviorScale>,
}

/// Behavior of every window of `data`, which was made from `recording`: `[trial, bin, K]`, NaN where there is none.
///
/// # Errors
/// [`SpikeDecodingError::NoBehavior`].
pub(crate) fn read_behaviors(
    recording: &Recording,
    data: &SessionData,
    targets: &[BehaviorTarget],
) -> Result<Array3<f64>, SpikeDecodingError> {
    let mut values = Array3::zeros((data.n_trials(), data.n_bins(), targets.len()));
    for (k, target) in targets.iter().enumerate() {
        let found = data.behavior(recording, &target.measured());
        let found = found.map_err(|source| no_behavior(data, target, source))?;
        values.index_axis_mut(Axis(2), k).assign(&target.decoded(found));
    }
    Ok(values)
}

/// Standardizes behavior in place by what there is of it in the windows `train` of `session`.
///
/// # Errors
/// [`SpikeDecodingError::NoTraining`] and [`SpikeDecodingError::Constant`].
pub(crate) fn standardize(
    values: &mut Array3<f64>,
    train: &[usize],
    (recording, session): (&Recording, &SessionId),
    targets: &[BehaviorTarget],
) -> Result<Vec<BehaviorScale>, SpikeDecodingError> {
    let mut scales = Vec::with_capacity(targets.len());
    for (k, target) in targets.iter().enumerate() {
        let mut column = values.index_axis_mut(Axis(2), k);
        let known = column.select(Axis(0), train).into_iter().filter(|value| value.is_finite());
        let learned: Array1<f64> = known.collect();
        let named = || (session.clone(), target.name.clone());
        let BehaviorTarget { signal, column: source, .. } = target;
        let Some(&first) = learned.first() else {
            let (session, target) = named();
            return Err(SpikeDecodingError::NoTraining { session, target });
        };
        let n = learned.len() as f64;
        let mean = learned.sum() / n;
        let std = (learned.mapv(|v| (v - mean) * (v - mean)).sum() / n).sqrt();
        // A constant that is no sum of powers of two has a deviation of its last bits.
        if std <= 1e-12 * mean.abs() {
            let (session, target) = named();
            let (signal, column) = (signal.clone(), source.clone());
            return Err(SpikeDecodingError::Constant { session, target, signal, column, value: first });
        }
        column.mapv_inplace(|v| (v - mean) / std);
        let recorded = recording.signal(signal);
        let unit = recorded.and_then(|signal| signal.column(source)?.unit.clone());
        scales.push(BehaviorScale { mean, std, unit });
    }
    Ok(scales)
}

fn no_behavior(data: &SessionData, target: &BehaviorTarget, source: DataError) -> SpikeDecodingError {
    let (session, target) = (data.session().clone(), target.name.clone());
    SpikeDecodingError::NoBehavior { session, target, source: Box::new(source) }
}
