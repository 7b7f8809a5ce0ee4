//! Closed forms of one session, fitted once: its linear baselines and its stacks ask the same ones.

use std::sync::Arc;

use ndarray::{Array3, ArrayView3};
use neurobrick_metrics::MetricError;
use neurobrick_metrics::baselines::{FactorDesign, FactorGrid, Query, WienerDesign, WienerGrid};
use neurobrick_metrics::stack::{ForwardDesign, HiddenDesign, HiddenPredictor, StackFeatures};
use neurobrick_train::{EvalTask, TaskPlan};

use super::parts::Parts;
use crate::EvaluateError;

/// Temporal factors and Wiener filters of the same counts.
pub(super) struct Designs {
    pub(super) factors: Arc<FactorDesign>,
    pub(super) filter: Arc<WienerDesign>,
}

/// Closed forms fitted to training trials, to choose by the validation trials, and to both, to answer.
pub(super) struct ClosedForms {
    pub(super) train: Designs,
    pub(super) both: Designs,
}

impl ClosedForms {
    pub(super) fn new(parts: &Parts) -> Result<Self, EvaluateError> {
        let valid = parts.valid.view();
        let fit = |counts: &ArrayView3<f64>| -> Result<Designs, EvaluateError> {
            Ok(Designs {
                factors: Arc::new(FactorDesign::new(counts, &valid, &FactorGrid::default())?),
                filter: Arc::new(WienerDesign::new(counts, &valid, &WienerGrid::default())?),
            })
        };
        Ok(Self { train: fit(&parts.train.view())?, both: fit(&parts.both.view())? })
    }
}

/// Whether a task is asked of hidden units, and not of the future.
pub(super) fn hides_units(plan: &TaskPlan) -> bool {
    plan.task != EvalTask::ForwardPrediction
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
pub(super) struct TaskForms(Vec<Option<TaskForm>>);

/// What answers the queries of one task.
pub(super) enum TaskForm {
    Hidden(Vec<HiddenPredictor>),
    /// With the number of units, all of them targets.
    Forward(ForwardDesign, usize),
}

/// Targets and features of one query.
type Answered = Result<(Vec<usize>, StackFeatures), EvaluateError>;

impl TaskForms {
    /// Fits all queries of all plans together, to `calibration` counts `[B, T, N]`; `designs` are of the same counts, if
    /// there are some.
    pub(super) fn fit(
        calibration: &Array3<f64>,
        regions: &[usize],
        plans: &[TaskPlan],
        designs: Option<&Designs>,
    ) -> Result<Self, EvaluateError> {
        let counts = calibration.view();
        let queries: Vec<Query> =
            plans.iter().filter(|plan| hides_units(plan)).flat_map(queries_of).collect();
        let mut predictors = if queries.is_empty() {
            Vec::new()
        } else {
            let design = match designs {
                Some(Designs { factors, filter }) => {
                    let (factors, filter) = (Arc::clone(factors), Arc::clone(filter));
                    HiddenDesign::from_designs(calibration.clone(), regions, factors, filter)?
                }
                None => HiddenDesign::new(&counts, regions)?,
            };
            design.fit(&queries)?
        }
        .into_iter();
        let form = |plan: &TaskPlan| {
            if hides_units(plan) {
                let predictors = predictors.by_ref().take(plan.queries.len()).collect();
                return Ok(Some(TaskForm::Hidden(predictors)));
            }
            let n_forward = plan.n_bins - plan.first_bin;
            match ForwardDesign::new(&counts, regions, n_forward) {
                Ok(design) => Ok(Some(TaskForm::Forward(design, regions.len()))),
                // A few trials whose last bins are silent teach nothing of the future; other tasks go on.
                Err(MetricError::NoSpikes { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        Ok(Self(plans.iter().map(form).collect::<Result<_, EvaluateError>>()?))
    }

    /// The form of the plan at this position, which is needed once and is large.
    pub(super) fn take(&mut self, position: usize) -> Option<TaskForm> {
        self.0[position].take()
    }
}

impl TaskForm {
    /// Targets and features `[B, scored bin, targets]` of every query, one after the other, since they are many.
    pub(super) fn features<'a>(
        &'a self,
        counts: &'a ArrayView3<'a, f64>,
    ) -> Box<dyn Iterator<Item = Answered> + 'a> {
        match self {
            Self::Hidden(predictors) => {
                Box::new(predictors.iter().map(move |p| Ok((p.query().targets.clone(), p.features(counts)?))))
            }
            Self::Forward(design, n_units) => {
                let features = design.features(counts);
                let targets = (0..*n_units).collect();
                Box::new(std::iter::once(features.map(|f| (targets, f)).map_err(EvaluateError::from)))
            }
        }
    }
}
