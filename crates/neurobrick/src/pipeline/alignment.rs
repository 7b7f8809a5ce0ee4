//! Layers of sessions from a closed form: components that condition averages of sessions share.

use std::collections::BTreeSet;

use burn::tensor::Device;
use ndarray::{Array3, Axis};
use neurobrick_core::{Alignment, ModelError, PopulationModel};
use neurobrick_evaluate::evaluation::condition_keys;
use neurobrick_metrics::{Edge, SharedComponents, smooth_over_time};
use neurobrick_train::TrainSession;
use serde::{Deserialize, Serialize};

use crate::PipelineError;
use crate::config::AlignmentConfig;

/// What sessions have in common, by which another one can be aligned to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedConditions {
    /// How it was found.
    config: AlignmentConfig,
    /// Values of the condition columns, as one text for every condition.
    conditions: Vec<String>,
    /// Components `[conditions, T, K]` with mean 0 and variance 1, row by row.
    components: Vec<f64>,
}

impl SharedConditions {
    /// The components of all conditions that every session has in its training trials.
    ///
    /// # Errors
    /// If a column is missing, sessions share no condition, or there are fewer bins of conditions or units than components.
    pub fn fit(config: &AlignmentConfig, sessions: &[TrainSession]) -> Result<Self, PipelineError> {
        config.validate()?;
        let of = |session| averages(config, session);
        let found = sessions.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        let mut shared: BTreeSet<String> = found.iter().flat_map(|(keys, _)| keys.clone()).collect();
        shared.retain(|key| found.iter().all(|(keys, _)| keys.contains(key)));
        if shared.is_empty() {
            return Err(PipelineError::BadValue {
                field: "alignment.condition_columns".to_owned(),
                message: format!(
                    "no value of {} is in the training trials of every session; choose coarser conditions, or fewer sessions",
                    config.condition_columns.join(", ")
                ),
            });
        }
        let conditions: Vec<String> = shared.into_iter().collect();
        let selected: Vec<Array3<f64>> = found
            .into_iter()
            .map(|(keys, averages)| {
                let rows: Vec<usize> =
                    conditions.iter().filter_map(|key| keys.iter().position(|k| k == key)).collect();
                averages.select(Axis(0), &rows)
            })
            .collect();
        let views: Vec<_> = selected.iter().map(|average| average.view()).collect();
        let components = SharedComponents::fit(&views, config.n_components)?.standardized();
        Ok(Self {
            config: config.clone(),
            conditions,
            components: components.values().iter().copied().collect(),
        })
    }

    /// How the units of a session relate to the components, by its training trials.
    ///
    /// # Errors
    /// If it lacks a column or has none of the conditions.
    pub fn align(&self, session: &TrainSession) -> Result<Alignment, PipelineError> {
        let (keys, averages) = averages(&self.config, session)?;
        let known: Vec<(usize, usize)> = self
            .conditions
            .iter()
            .enumerate()
            .filter_map(|(at, key)| Some((at, keys.iter().position(|k| k == key)?)))
            .collect();
        if known.is_empty() {
            return Err(PipelineError::BadValue {
                field: "alignment.condition_columns".to_owned(),
                message: format!(
                    "session {} has none of the conditions by which the model's sessions were aligned ({}: {})",
                    session.data.session(),
                    self.config.condition_columns.join(", "),
                    self.conditions.join(" ")
                ),
            });
        }
        let (ours, theirs): (Vec<usize>, Vec<usize>) = known.into_iter().unzip();
        let components = self.components(session.data.n_bins())?.of_conditions(&ours)?;
        let averages = averages.select(Axis(0), &theirs);
        let (read_in, read_in_bias) = components.read_in(&averages.view(), self.config.alpha)?;
        let mut read_out = components.loadings(&averages.view(), self.config.alpha)?;
        // A small change of a rate is its log rate's change times the rate.
        for (mut unit, log_mean) in read_out.axis_iter_mut(Axis(1)).zip(&session.log_mean_rates) {
            unit /= log_mean.exp();
        }
        Ok(Alignment { read_in, read_in_bias, read_out, log_mean_rates: session.log_mean_rates.clone() })
    }

    fn components(&self, n_bins: usize) -> Result<SharedComponents, PipelineError> {
        let (n, k) = (self.conditions.len(), self.config.n_components);
        let values = Array3::from_shape_vec((n, n_bins, k), self.components.clone()).map_err(|_| {
            PipelineError::BadValue {
                field: "alignment".to_owned(),
                message: format!(
                    "the model's components have {} values, expected {n} conditions x {n_bins} bins x {k} components",
                    self.components.len()
                ),
            }
        })?;
        Ok(SharedComponents::from_values(values)?)
    }

    /// `model` with the layers of these sessions aligned.
    ///
    /// # Errors
    /// If a session cannot be aligned, or the model has no layers that could start from a closed form.
    pub fn start<M: PopulationModel>(
        &self,
        mut model: M,
        sessions: &[TrainSession],
        device: &Device,
    ) -> Result<M, PipelineError> {
        for session in sessions {
            let aligned = model.with_alignment(session.data.session(), &self.align(session)?, device);
            model = aligned.map_err(|error| match error {
                ModelError::BadConfig { field, expected, received } => PipelineError::BadValue {
                    field: format!("alignment.{field}"),
                    message: format!("must be {expected}; received {received}"),
                },
                other => other.into(),
            })?;
        }
        Ok(model)
    }
}

/// Conditions of the training trials and their smoothed averages `[conditions, T, N]`, in spikes/bin.
fn averages(
    config: &AlignmentConfig,
    session: &TrainSession,
) -> Result<(Vec<String>, Array3<f64>), PipelineError> {
    let keys = condition_keys(session, &config.condition_columns)?;
    let of_training: BTreeSet<&String> = session.split.train.iter().map(|&trial| &keys[trial]).collect();
    let (n_bins, n_units) = (session.data.n_bins(), session.data.n_units());
    let mut averages = Array3::zeros((of_training.len(), n_bins, n_units));
    for (key, mut average) in of_training.iter().zip(averages.outer_iter_mut()) {
        let trials: Vec<usize> =
            session.split.train.iter().copied().filter(|&trial| keys[trial] == **key).collect();
        average += &session.data.counts_of(&trials).sum_axis(Axis(0));
        average /= trials.len() as f64;
    }
    let averages = smooth_over_time(&averages.view(), config.sigma_bins, Edge::Reflected)?;
    Ok((of_training.into_iter().cloned().collect(), averages))
}
