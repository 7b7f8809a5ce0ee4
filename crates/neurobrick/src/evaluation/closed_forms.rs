//! Closed forms of one session, fitted once: its linear baselines and its stacks ask the same ones.

use std::sync::Arc;

use ndarray::{Array3, ArrayView3};
use neurobrick_metrics::baselines::{FactorDesign, FactorGrid, Query, WienerDesign, WienerGrid};
use neurobrick_metrics::stack::{ForwardDesign, HiddenDesign, HiddenPredictor, StackFeatures};
use neurobrick_train::{EvalTask, TaskPlan};

use super::baselines::Parts;
use crate::PipelineError;

/// Temporal factors and Wiener filters of the same counts.
pub(super) struct Closed {
    pub(super) factors: Arc<FactorDesign>,
    pub(super) filter: Arc<WienerDesign>,
}

/// Closed forms fitted to training trials, to choose by the validation trials, and to both, to answer.
pub(super) struct ClosedForms {
    pub(super) train: Closed,
    pub(super) both: Closed,
}

impl ClosedForms {
    pub(super) fn new(parts: &Parts) -> Result<Self, PipelineError> {
        let valid = parts.valid.view();
        let fit = |counts: &ArrayView3<f64>| -> Result<Closed, PipelineError> {
            Ok(Closed {
                factors: Arc::new(FactorDesign::new(counts, &valid, &FactorGrid::default())?),
                filter: Arc::new(WienerDesign::new(counts, &valid, &WienerGrid::default())?),
            })
        };
        Ok(Self { train: fit(&parts.train.view())?, both: fit(&parts.both.view())? })
    }
}

/// The queries of a plan as baselines and stacks take them.
pub(super) fn queries_of(plan: &TaskPlan) -> impl Iterator<Item = Query> {
    plan.queries.iter().map(|query| Query {
        visible: query.visible.clone(),
        targets: query.targets.clone(),
        leave_one_out: query.leave_one_out,
    })
}

/// What answers the queries of several tasks of a session for stacks, fitted to its calibration trials.
pub(super) struct TaskForms(Vec<TaskForm>);

/// Targets and features of one query.
type Answered = Result<(Vec<usize>, StackFeatures), PipelineError>;

enum TaskForm {
    Hidden(Vec<HiddenPredictor>),
    /// With the number of units, all of them targets.
    Forward(ForwardDesign, usize),
}

impl TaskForms {
    /// Fits all queries of all plans together, to `calibration` counts `[B, T, N]`; `closed` are designs of the same counts,
    /// if there are some.
    pub(super) fn fit(
        calibration: &Array3<f64>,
        regions: &[usize],
        plans: &[TaskPlan],
        closed: Option<&Closed>,
    ) -> Result<Self, PipelineError> {
        let counts = calibration.view();
        let is_hidden = |plan: &&TaskPlan| plan.task != EvalTask::ForwardPrediction;
        let queries: Vec<Query> = plans.iter().filter(is_hidden).flat_map(queries_of).collect();
        let mut predictors = if queries.is_empty() {
            Vec::new()
        } else {
            let design = match closed {
                Some(Closed { factors, filter }) => {
                    HiddenDesign::of(&counts, regions, Arc::clone(factors), Arc::clone(filter))?
                }
                None => HiddenDesign::new(&counts, regions)?,
            };
            design.fit(&queries)?
        }
        .into_iter();
        let form = |plan: &TaskPlan| {
            if is_hidden(&plan) {
                return Ok(TaskForm::Hidden(predictors.by_ref().take(plan.queries.len()).collect()));
            }
            let n_forward = plan.n_bins - plan.first_bin;
            Ok(TaskForm::Forward(ForwardDesign::new(&counts, regions, n_forward)?, regions.len()))
        };
        Ok(Self(plans.iter().map(form).collect::<Result<_, PipelineError>>()?))
    }

    /// Targets and features `[B, scored bin, targets]` of every query of the plan at this position, one after the other.
    pub(super) fn features<'a>(
        &'a self,
        plan: usize,
        counts: &'a ArrayView3<'a, f64>,
    ) -> Box<dyn Iterator<Item = Answered> + 'a> {
        match &self.0[plan] {
            TaskForm::Hidden(predictors) => {
                Box::new(predictors.iter().map(move |p| Ok((p.query().targets.clone(), p.features(counts)?))))
            }
            TaskForm::Forward(design, n_units) => {
                let features = design.features(counts);
                let targets = (0..*n_units).collect();
                Box::new(std::iter::once(features.map(|f| (targets, f)).map_err(PipelineError::from)))
            }
        }
    }
}
