//! What closed forms learn from other sessions: the part of a pretrained model that needs no gradient step.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array3, ArrayView3, Axis};
use neurobrick_data::{UnitFilter, WindowConfig};
use neurobrick_metrics::baselines::Query;
use neurobrick_metrics::stack::{ForwardDesign, HiddenDesign, StackFeatures, StackLadder};
use neurobrick_train::{EvalTask, TaskPlan, TrainSession};
use serde::{Deserialize, Serialize};

use crate::config::{DataConfig, StackConfig};
use crate::run_folder::{read_json, write_json};
use crate::{PipelineError, SessionHash};

/// Name of the file beside a pretrained model.
pub(crate) const STACK_FILE: &str = "stack.json";
/// Format that [`SharedStack`] is written in.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Closed forms combined as several sessions taught, for every task they could teach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedStack {
    /// Version of this file's format.
    pub format_version: u32,
    /// Window and bins.
    pub window: WindowConfig,
    /// Units that were good enough.
    #[serde(default, skip_serializing_if = "UnitFilter::is_empty")]
    pub units: UnitFilter,
    /// How it was learned.
    pub config: StackConfig,
    /// The sessions that taught it.
    pub learned_from: Vec<SessionHash>,
    /// Stacks by task and by number of calibration trials.
    pub tasks: BTreeMap<EvalTask, StackLadder>,
}

impl SharedStack {
    /// Reads the file, or that of the pretraining run in this folder.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn load(path: &Path) -> Result<Self, PipelineError> {
        let inner = path.join(STACK_FILE);
        let path = if path.is_dir() { inner.as_path() } else { path };
        if !path.exists() {
            let message =
                "there is no stack; name the folder of a pretraining run, or its stack.json".to_owned();
            return Err(PipelineError::BadFile { path: path.to_owned(), message });
        }
        let stack: Self = read_json(path)?;
        if stack.format_version != FORMAT_VERSION {
            let found = stack.format_version;
            let message = format!(
                "it is a stack of format {found}, and this program reads format {FORMAT_VERSION}; learn it again"
            );
            return Err(PipelineError::BadFile { path: path.to_owned(), message });
        }
        Ok(stack)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), PipelineError> {
        write_json(path, self)
    }

    /// Refuses windows and units it did not learn for, and sessions it learned from, whose scores would mislead.
    ///
    /// # Errors
    /// With what it learned.
    pub fn check_data(&self, data: &DataConfig, session: &SessionHash) -> Result<(), PipelineError> {
        if self.window != data.window {
            let message = format!("the stack was learned with {:?}, not {:?}", self.window, data.window);
            return Err(PipelineError::BadValue { field: "data.window".to_owned(), message });
        }
        if self.units != data.units {
            let message = format!("the stack was learned with {:?}, not {:?}", self.units, data.units);
            return Err(PipelineError::BadValue { field: "data.units".to_owned(), message });
        }
        if self.learned_from.iter().any(|h| h.session == session.session) {
            let message = format!(
                "the stack was learned from {}, so its scores there would mislead; score a session it never saw",
                session.session
            );
            return Err(PipelineError::BadValue { field: "stacks".to_owned(), message });
        }
        Ok(())
    }
}

/// Closed forms fitted to the calibration trials of one session, when they are first asked.
pub(super) struct SessionDesigns {
    calibration: Array3<f64>,
    regions: Vec<usize>,
    hidden: Option<HiddenDesign>,
    forward: Option<ForwardDesign>,
}

impl SessionDesigns {
    pub(super) fn new(calibration: Array3<f64>, regions: Vec<usize>) -> Self {
        Self { calibration, regions, hidden: None, forward: None }
    }

    /// Targets and features `[B, scored bin, targets]` of every query of a plan.
    pub(super) fn features(
        &mut self,
        plan: &TaskPlan,
        counts: &ArrayView3<f64>,
    ) -> Result<Vec<(Vec<usize>, StackFeatures)>, PipelineError> {
        let calibration = self.calibration.view();
        if plan.task == EvalTask::ForwardPrediction {
            let n_forward = plan.n_bins - plan.first_bin;
            let design = match self.forward.take() {
                Some(design) => design,
                None => ForwardDesign::new(&calibration, &self.regions, n_forward)?,
            };
            let features = design.features(counts)?;
            self.forward = Some(design);
            return Ok(vec![((0..self.regions.len()).collect(), features)]);
        }
        let design = match self.hidden.take() {
            Some(design) => design,
            None => HiddenDesign::new(&calibration, &self.regions)?,
        };
        let mut all = Vec::with_capacity(plan.queries.len());
        for query in &plan.queries {
            let request = Query {
                visible: query.visible.clone(),
                targets: query.targets.clone(),
                leave_one_out: query.leave_one_out,
            };
            all.push((query.targets.clone(), design.features(counts, &request)?));
        }
        self.hidden = Some(design);
        Ok(all)
    }
}

/// Closed forms of a session to be scored, ready for any stack: fitted to its training trials, to weigh them on the
/// validation trials, and to both, to answer.
pub(super) struct StackedSession {
    train: SessionDesigns,
    all: SessionDesigns,
    valid: Array3<f64>,
    test: Array3<f64>,
}

/// Rates `[trial, scored bin, scored unit]` of one stack.
pub(super) struct StackedRates {
    /// On test trials, from training and validation trials.
    pub(super) test: Array3<f64>,
    /// On validation trials, from training trials.
    pub(super) valid: Array3<f64>,
}

impl StackedSession {
    pub(super) fn new(session: &TrainSession) -> Self {
        let (data, split) = (&session.data, &session.split);
        let mut known = [split.train.as_slice(), split.valid.as_slice()].concat();
        known.sort_unstable();
        let regions = data.regions().of_unit().to_vec();
        Self {
            train: SessionDesigns::new(data.counts_of(&split.train), regions.clone()),
            all: SessionDesigns::new(data.counts_of(&known), regions),
            valid: data.counts_of(&split.valid),
            test: data.counts_of(&split.test),
        }
    }

    /// Answers of every stack, in their order; `None` of a stack that did not learn the task.
    pub(super) fn rates(
        &mut self,
        plan: &TaskPlan,
        stacks: &[(String, SharedStack)],
    ) -> Result<Vec<Option<StackedRates>>, PipelineError> {
        let valid = self.train.features(plan, &self.valid.view())?;
        let test = self.all.features(plan, &self.test.view())?;
        let (n_train, n_all) = (self.train.calibration.len_of(Axis(0)), self.all.calibration.len_of(Axis(0)));
        stacks
            .iter()
            .map(|(_, stack)| {
                let Some(ladder) = stack.tasks.get(&plan.task) else { return Ok(None) };
                let without = &stack.config.without;
                let rates = |features: &StackFeatures, n_trials| match without.as_slice() {
                    [] => ladder.rates(features, n_trials),
                    parts => ladder.rates(&features.without(parts), n_trials),
                };
                Ok(Some(StackedRates {
                    test: placed(plan, &test, |features| Ok(rates(features, n_all)?))?,
                    valid: placed(plan, &valid, |features| Ok(rates(features, n_train)?))?,
                }))
            })
            .collect()
    }
}

/// Puts the rates of every query into the columns of its targets.
fn placed(
    plan: &TaskPlan,
    queries: &[(Vec<usize>, StackFeatures)],
    rates_of: impl Fn(&StackFeatures) -> Result<Array3<f64>, PipelineError>,
) -> Result<Array3<f64>, PipelineError> {
    let n_trials = queries.first().map_or(0, |(_, features)| features.dim().0);
    let mut rates = Array3::zeros((n_trials, plan.n_bins - plan.first_bin, plan.units.len()));
    for (targets, features) in queries {
        let answer = rates_of(features)?;
        for (k, target) in targets.iter().enumerate() {
            // Targets are among the scored units by construction.
            let column = plan.units.partition_point(|u| u < target);
            rates.index_axis_mut(Axis(2), column).assign(&answer.index_axis(Axis(2), k));
        }
    }
    Ok(rates)
}
