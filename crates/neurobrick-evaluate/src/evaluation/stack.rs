//! What closed forms learn from other sessions: the part of a pretrained model that needs no gradient step.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array3, ArrayView3, Axis};
use neurobrick_data::{UnitFilter, WindowConfig};
use neurobrick_metrics::stack::StackLadder;
use neurobrick_train::{EvalTask, TaskPlan};
use serde::{Deserialize, Serialize};

use super::StackConfig;
use super::closed_forms::{ClosedForms, TaskForm, TaskForms};
use super::parts::Parts;
use crate::inline::in_line;
use crate::json::{read_json, write_json};
use crate::{DataConfig, EvaluateError, SessionHash};

/// Name of the file beside a pretrained model.
pub const STACK_FILE: &str = "stack.json";
/// Format that [`SharedStack`] is written in.
pub(super) const FORMAT_VERSION: u32 = 2;

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
    pub fn load(path: &Path) -> Result<Self, EvaluateError> {
        let inner = path.join(STACK_FILE);
        let path = if path.is_dir() { inner.as_path() } else { path };
        if !path.exists() {
            let message =
                "there is no stack; name the folder of a pretraining run, or its stack.json".to_owned();
            return Err(EvaluateError::BadFile { path: path.to_owned(), message });
        }
        let stack: Self = read_json(path)?;
        if stack.format_version != FORMAT_VERSION {
            let found = stack.format_version;
            let message = format!(
                "it is a stack of format {found}, and this program reads format {FORMAT_VERSION}; learn it again"
            );
            return Err(EvaluateError::BadFile { path: path.to_owned(), message });
        }
        Ok(stack)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), EvaluateError> {
        write_json(path, self)
    }

    /// Refuses windows and units it did not learn for, and sessions it learned from, whose scores would mislead.
    ///
    /// # Errors
    /// With what it learned.
    pub fn check_data(&self, data: &DataConfig, session: &SessionHash) -> Result<(), EvaluateError> {
        if self.window != data.window {
            let message = format!(
                "the stack was learned with {}, not {}",
                in_line(&self.window),
                in_line(&data.window)
            );
            return Err(EvaluateError::BadValue { field: "data.window".to_owned(), message });
        }
        if self.units != data.units {
            let message =
                format!("the stack was learned with {}, not {}", in_line(&self.units), in_line(&data.units));
            return Err(EvaluateError::BadValue { field: "data.units".to_owned(), message });
        }
        if self.learned_from.iter().any(|h| h.session == session.session) {
            let message = format!(
                "the stack was learned from {}, so its scores there would mislead; score a session it never saw",
                session.session
            );
            return Err(EvaluateError::BadValue { field: "stacks".to_owned(), message });
        }
        Ok(())
    }
}

/// Closed forms of a session to be scored, ready for any stack: fitted to its training and validation trials, to answer,
/// and to the former, if a stack is to be weighed on the latter.
pub(super) struct StackedSession<'a> {
    plans: &'a [TaskPlan],
    parts: &'a Parts,
    train: Option<TaskForms>,
    both: TaskForms,
}

/// Rates `[trial, scored bin, scored unit]` of one stack.
pub(super) struct StackedRates {
    /// On test trials, from training and validation trials.
    pub(super) test: Array3<f64>,
    /// On validation trials, from training trials; of the first stack, if it is weighed.
    pub(super) valid: Option<Array3<f64>>,
}

impl<'a> StackedSession<'a> {
    /// Fits all queries of all plans; `forms` are absent if no plan hides a unit.
    pub(super) fn new(
        regions: &[usize],
        parts: &'a Parts,
        plans: &'a [TaskPlan],
        forms: Option<&ClosedForms>,
        is_weighed: bool,
    ) -> Result<Self, EvaluateError> {
        let designs = forms.map(|forms| (&forms.train, &forms.both)).unzip();
        let train =
            is_weighed.then(|| TaskForms::fit(&parts.train, regions, plans, designs.0)).transpose()?;
        Ok(Self { plans, parts, train, both: TaskForms::fit(&parts.both, regions, plans, designs.1)? })
    }

    /// Answers of every stack, in their order, to the plan at this position; `None` of a stack that did not learn the
    /// task. Every plan is asked once.
    pub(super) fn rates(
        &mut self,
        position: usize,
        stacks: &[(String, SharedStack)],
    ) -> Result<Vec<Option<StackedRates>>, EvaluateError> {
        let (plan, parts) = (&self.plans[position], self.parts);
        let train = self.train.as_mut().and_then(|forms| forms.take(position));
        let both = self.both.take(position);
        let n_trials = (parts.train.len_of(Axis(0)), parts.both.len_of(Axis(0)));
        let first = &stacks[..stacks.len().min(1)];
        let on_valid = answers(plan, first, train.as_ref(), &parts.valid.view(), n_trials.0)?;
        let on_test = answers(plan, stacks, both.as_ref(), &parts.test.view(), n_trials.1)?;
        let valid = on_valid.into_iter().chain(std::iter::repeat_with(|| None));
        Ok(on_test
            .into_iter()
            .zip(valid)
            .map(|(test, valid)| Some(StackedRates { test: test?, valid }))
            .collect())
    }
}

/// Rates of stacks for `counts`, from a form of `n_trials` trials.
fn answers(
    plan: &TaskPlan,
    stacks: &[(String, SharedStack)],
    form: Option<&TaskForm>,
    counts: &ArrayView3<f64>,
    n_trials: usize,
) -> Result<Vec<Option<Array3<f64>>>, EvaluateError> {
    let shape = (counts.len_of(Axis(0)), plan.n_bins - plan.first_bin, plan.units.len());
    let ladders: Vec<_> = stacks.iter().map(|(_, stack)| stack.tasks.get(&plan.task)).collect();
    let form = form.filter(|_| ladders.iter().any(Option::is_some));
    let Some(form) = form else { return Ok(stacks.iter().map(|_| None).collect()) };
    let mut answers: Vec<Option<Array3<f64>>> =
        ladders.iter().map(|ladder| ladder.map(|_| Array3::zeros(shape))).collect();
    for query in form.features(counts) {
        let (targets, features) = query?;
        for (((_, stack), ladder), answer) in stacks.iter().zip(&ladders).zip(&mut answers) {
            let (Some(ladder), Some(answer)) = (ladder, answer) else { continue };
            let rates = match stack.config.without.as_slice() {
                [] => ladder.rates(&features, n_trials)?,
                parts => ladder.rates(&features.without(parts), n_trials)?,
            };
            for (k, target) in targets.iter().enumerate() {
                // Targets are among the scored units by construction.
                let column = plan.units.partition_point(|u| u < target);
                answer.index_axis_mut(Axis(2), column).assign(&rates.index_axis(Axis(2), k));
            }
        }
    }
    Ok(answers)
}
