//! Baselines on the queries of a task.

use ndarray::{Array3, ArrayView3, Axis, s};
use neurobrick_metrics::MetricError;
use neurobrick_metrics::baselines::{
    Blend, ForwardRidge, ForwardRidgeGrid, LastMean, LastMeanGrid, PcaPoisson, PcaPoissonGrid, Psth,
    PsthGrid, Query, RatePool, RidgeDesign, RidgeGrid, UnitMean, VisibleRidge,
};
use neurobrick_train::{EvalTask, TaskPlan};
use serde_json::{Value, json};

use super::closed_forms::{ClosedForms, hides_units, queries_of};
use super::parts::Parts;
use crate::EvaluateError;

/// Names that tables give to baselines.
const BASELINES: [&str; 12] = [
    "unit_mean",
    "psth",
    "ridge",
    "pca_poisson",
    "factor_analysis",
    "factors_wiener",
    "factors_wiener_refit",
    "last_mean",
    "forward_ridge",
    "forward_pool",
    "forward_pool_refit",
    "linear_shrunk",
];

/// Whether tables give this name to something that is no model.
pub fn is_reserved(name: &str) -> bool {
    BASELINES.contains(&name) || name == "raw_counts"
}

/// Rates `[trial, scored bin, scored unit]` of one baseline and what it chose.
pub(super) struct BaselineRates {
    pub(super) name: &'static str,
    /// On the test trials.
    pub(super) rates: Array3<f64>,
    /// On the validation trials, of the one baseline of the task that models are pooled with.
    pub(super) valid: Option<Array3<f64>>,
    pub(super) choice: Option<Value>,
}

/// Linear predictors of all tasks that hide units, fitted together.
pub(super) struct LinearFits(Vec<PlanFits>);

/// Linear predictors of the queries of one plan, in their order; `None` where the targets have no spike in the validation
/// trials.
#[derive(Default)]
pub(super) struct PlanFits {
    ridges: Vec<Option<VisibleRidge>>,
    blends: Vec<Option<Blend>>,
    /// The blends fitted again to training and validation trials, everything being chosen.
    refitted: Vec<Option<Blend>>,
}

impl LinearFits {
    pub(super) fn new(parts: &Parts, plans: &[TaskPlan], forms: &ClosedForms) -> Result<Self, EvaluateError> {
        let queries: Vec<Query> =
            plans.iter().filter(|plan| hides_units(plan)).flat_map(queries_of).collect();
        let ridge = RidgeDesign::new(&parts.train.view(), &parts.valid.view(), &RidgeGrid::default())?;
        let (train, both) = (&forms.train, &forms.both);
        let blends = Blend::fit_many(&train.factors, &train.filter, &queries, &Blend::WEIGHTS)?;
        let there: Vec<&Blend> = blends.iter().flatten().collect();
        let mut again = Blend::refit_many(&there, &both.factors, &both.filter)?.into_iter();
        let mut ridges = ridge.fit_many(&queries)?.into_iter();
        let refitted: Vec<Option<Blend>> =
            blends.iter().map(|blend| blend.as_ref().and_then(|_| again.next())).collect();
        let (mut blends, mut refitted) = (blends.into_iter(), refitted.into_iter());
        let of_plan = |plan: &TaskPlan| {
            let n = if hides_units(plan) { plan.queries.len() } else { 0 };
            PlanFits {
                ridges: ridges.by_ref().take(n).collect(),
                blends: blends.by_ref().take(n).collect(),
                refitted: refitted.by_ref().take(n).collect(),
            }
        };
        Ok(Self(plans.iter().map(of_plan).collect()))
    }

    /// The fits of the plan at this position, which are needed once and are large.
    pub(super) fn take(&mut self, position: usize) -> PlanFits {
        std::mem::take(&mut self.0[position])
    }
}

/// The fit of a query, or the error that says why there is none.
fn found<'a, F>(fits: &'a [Option<F>], number: usize, query: &Query) -> Result<&'a F, MetricError> {
    let missing = MetricError::NoSpikes { targets: query.targets.len(), trials: 0 };
    fits[number].as_ref().ok_or(missing)
}

/// All baselines of a task; the last is the control of pools, see [`shrunk`].
pub(super) fn baseline_rates(
    plan: &TaskPlan,
    parts: &Parts,
    fits: Option<&PlanFits>,
) -> Result<Vec<BaselineRates>, EvaluateError> {
    let mut all = own_baselines(plan, parts, fits)?;
    let control = shrunk(&all, plan, parts)?;
    all.extend(control);
    Ok(all)
}

/// The baseline that models are pooled with, in a pool with the unit mean, weighted by the validation trials as theirs is.
///
/// A pool with a predictor that knows nothing draws rates to the mean, which pays by itself where they were fitted to few
/// trials. A model is worth something only beyond that.
fn shrunk(
    all: &[BaselineRates],
    plan: &TaskPlan,
    parts: &Parts,
) -> Result<Option<BaselineRates>, EvaluateError> {
    let partner = all.iter().find_map(|b| Some((b.name, &b.rates, b.valid.as_ref()?)));
    let Some((name, test, valid)) = partner else { return Ok(None) };
    let unit_mean = UnitMean::fit(&parts.train.view())?;
    let scored = |rates: ArrayView3<f64>| {
        rates.slice(s![.., plan.first_bin.., ..]).select(Axis(2), &plan.units).to_owned()
    };
    let constant = |like: &Array3<f64>| scored(unit_mean.predict(like.len_of(Axis(0)), plan.n_bins).view());
    let counts = scored(parts.valid.view());
    let (mean, clusters) = (constant(&parts.valid), &parts.valid_clusters);
    let pool = match RatePool::fit_cautious(&mean.view(), &valid.view(), &counts.view(), clusters) {
        Ok(pool) => pool,
        // Nothing to choose by: the pool would be the baseline itself.
        Err(MetricError::NoSpikes { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let rates = pool.rates(&constant(&parts.test).view(), &test.view())?;
    let choice = Some(json!({ "pool": pool, "partner": name }));
    Ok(Some(BaselineRates { name: "linear_shrunk", rates, valid: None, choice }))
}

/// Baselines by themselves.
fn own_baselines(
    plan: &TaskPlan,
    parts: &Parts,
    fits: Option<&PlanFits>,
) -> Result<Vec<BaselineRates>, EvaluateError> {
    let scored = |rates: ArrayView3<f64>| {
        rates.slice(s![.., plan.first_bin.., ..]).select(Axis(2), &plan.units).to_owned()
    };
    let unit_mean = UnitMean::fit(&parts.train.view())?;
    let constant = unit_mean.predict(parts.test.len_of(Axis(0)), plan.n_bins);
    let scored_constant = scored(constant.view());
    let mut all =
        vec![BaselineRates { name: "unit_mean", rates: scored_constant.clone(), valid: None, choice: None }];
    let psth = Psth::fit(
        &parts.train.view(),
        &parts.train_conditions,
        &parts.valid.view(),
        &parts.valid_conditions,
        &PsthGrid::default(),
    )
    .map(|psth| (scored(psth.predict(&parts.test_conditions).view()), json!(psth.choice())));
    all.push(or_constant("psth", psth, &scored_constant)?);
    if plan.task == EvalTask::ForwardPrediction {
        let counts = scored(parts.valid.view());
        all.extend(forward_rates(plan, parts, &counts, &scored_constant)?);
        return Ok(all);
    }
    // Absent only where no task hides a unit.
    let Some(fits) = fits else { return Ok(all) };
    let test = parts.test.view();
    all.push(by_query("ridge", plan, &unit_mean, parts, |number, query| {
        let fitted = found(&fits.ridges, number, query)?;
        Ok((fitted.predict(&test)?, None, json!(fitted.choice())))
    })?);
    all.push(by_query("pca_poisson", plan, &unit_mean, parts, |_, query| {
        let (train, valid) = (parts.train.view(), parts.valid.view());
        let fitted = PcaPoisson::fit(&train, &valid, query, &PcaPoissonGrid::default())?;
        Ok((fitted.predict(&test)?, None, json!(fitted.choice())))
    })?);
    all.push(by_query("factor_analysis", plan, &unit_mean, parts, |number, query| {
        let fitted = found(&fits.blends, number, query)?.factors();
        Ok((fitted.predict(&test)?, None, json!(fitted.choice())))
    })?);
    all.push(by_query("factors_wiener", plan, &unit_mean, parts, |number, query| {
        let fitted = found(&fits.blends, number, query)?;
        Ok((fitted.predict(&test)?, None, json!(fitted.choice())))
    })?);
    all.push(by_query("factors_wiener_refit", plan, &unit_mean, parts, |number, query| {
        let on_valid = found(&fits.blends, number, query)?.predict(&parts.valid.view())?;
        let fitted = found(&fits.refitted, number, query)?;
        Ok((fitted.predict(&test)?, Some(on_valid), json!(fitted.choice())))
    })?);
    Ok(all)
}

/// Baselines of the future, and the pool of the two, also refitted with the validation trials; `counts` are those of the
/// scored bins of the validation trials.
fn forward_rates(
    plan: &TaskPlan,
    parts: &Parts,
    counts: &Array3<f64>,
    constant: &Array3<f64>,
) -> Result<Vec<BaselineRates>, EvaluateError> {
    let n_forward = plan.n_bins - plan.first_bin;
    let (train, valid, test) = (parts.train.view(), parts.valid.view(), parts.test.view());
    let fitted_last = LastMean::fit(&train, &valid, n_forward, &LastMeanGrid::default());
    let fitted_ridge = ForwardRidge::fit(&train, &valid, n_forward, &ForwardRidgeGrid::default());
    let mut pools = Vec::new();
    if let (Ok(last), Ok(ridge)) = (&fitted_last, &fitted_ridge) {
        let (last_valid, ridge_valid) = (last.predict(&valid)?, ridge.predict(&valid)?);
        // Ridge knows the past of every unit, the last mean follows the level of the trial.
        let pool = RatePool::fit(&ridge_valid.view(), &last_valid.view(), &counts.view())?;
        let (last_again, ridge_again) = refitted_forward(parts, n_forward, last, ridge)?;
        let pooled = |last: &LastMean, ridge: &ForwardRidge| {
            pool.rates(&ridge.predict(&test)?.view(), &last.predict(&test)?.view())
        };
        pools.push(BaselineRates {
            name: "forward_pool",
            rates: pooled(last, ridge)?,
            valid: None,
            choice: Some(json!(pool)),
        });
        pools.push(BaselineRates {
            name: "forward_pool_refit",
            rates: pooled(&last_again, &ridge_again)?,
            valid: Some(pool.rates(&ridge_valid.view(), &last_valid.view())?),
            choice: Some(json!(pool)),
        });
    }
    let last = fitted_last.and_then(|last| Ok((last.predict(&test)?, json!(last.choice()))));
    let ridge = fitted_ridge.and_then(|ridge| Ok((ridge.predict(&test)?, json!(ridge.choice()))));
    let alone = [or_constant("last_mean", last, constant)?, or_constant("forward_ridge", ridge, constant)?];
    Ok(alone.into_iter().chain(pools).collect())
}

/// The same settings fitted to training and validation trials.
fn refitted_forward(
    parts: &Parts,
    n_forward: usize,
    last: &LastMean,
    ridge: &ForwardRidge,
) -> Result<(LastMean, ForwardRidge), MetricError> {
    let (both, chosen) = (parts.both.view(), ridge.choice());
    let ridge_grid = ForwardRidgeGrid {
        windows_bins: vec![chosen.window_bins],
        penalties: vec![chosen.penalty],
        bin_weights: vec![chosen.bin_weight],
        pooling: vec![chosen.pooling],
        floors: vec![chosen.floor],
    };
    let last_grid =
        LastMeanGrid { windows_bins: vec![last.choice().window_bins], weights: vec![last.choice().weight] };
    Ok((
        LastMean::fit(&both, &both, n_forward, &last_grid)?,
        ForwardRidge::fit(&both, &both, n_forward, &ridge_grid)?,
    ))
}

/// A baseline's rates, or the unit mean, on the record, where validation trials leave nothing to choose by.
fn or_constant(
    name: &'static str,
    fitted: Result<(Array3<f64>, Value), MetricError>,
    constant: &Array3<f64>,
) -> Result<BaselineRates, EvaluateError> {
    match fitted {
        Ok((rates, choice)) => Ok(BaselineRates { name, rates, valid: None, choice: Some(choice) }),
        Err(MetricError::NoSpikes { .. }) => Ok(BaselineRates {
            name,
            rates: constant.clone(),
            valid: None,
            choice: Some(json!({ "unit_mean": "all", "reason": "no spike in validation trials" })),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Rates on test trials, on validation trials if asked for, and what was chosen.
type Fitted = Result<(Array3<f64>, Option<Array3<f64>>, Value), MetricError>;

/// Fits each query and puts its rates into the columns of its targets.
fn by_query(
    name: &'static str,
    plan: &TaskPlan,
    unit_mean: &UnitMean,
    parts: &Parts,
    mut fit: impl FnMut(usize, &Query) -> Fitted,
) -> Result<BaselineRates, EvaluateError> {
    let constant = |counts: &Array3<f64>| {
        let all = unit_mean.predict(counts.len_of(Axis(0)), plan.n_bins);
        all.slice(s![.., plan.first_bin.., ..]).select(Axis(2), &plan.units)
    };
    let place = |rates: &mut Array3<f64>, targets: &[usize], answer: &Array3<f64>| {
        for (k, target) in targets.iter().enumerate() {
            // Targets are among the scored units by construction.
            let column = plan.units.partition_point(|u| u < target);
            let answer = answer.index_axis(Axis(2), k);
            rates.index_axis_mut(Axis(2), column).assign(&answer.slice(s![plan.first_bin.., ..]));
        }
    };
    let mut rates = constant(&parts.test);
    let mut valid: Option<Array3<f64>> = None;
    let mut choices = Vec::new();
    for (number, query) in queries_of(plan).enumerate() {
        match fit(number, &query) {
            Ok((answer, on_valid, choice)) => {
                place(&mut rates, &query.targets, &answer);
                if let Some(answer) = on_valid {
                    place(valid.get_or_insert_with(|| constant(&parts.valid)), &query.targets, &answer);
                }
                choices.push(choice);
            }
            // Targets without a validation spike leave nothing to choose by; they keep their mean, on the record.
            Err(MetricError::NoSpikes { .. }) => {
                choices
                    .push(json!({ "unit_mean": query.targets, "reason": "no spike in validation trials" }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(BaselineRates { name, rates, valid, choice: Some(Value::Array(choices)) })
}
