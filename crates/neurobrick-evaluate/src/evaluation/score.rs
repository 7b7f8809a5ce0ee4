//! Models and baselines scored on the tasks of one session.

use ndarray::{Array3, Axis, s};
use neurobrick_metrics::baselines::RatePool;
use neurobrick_metrics::{Baseline, BitsTable, Bootstrap, Convention, MetricError, NullModel, Score, Split};
use neurobrick_schema::ColumnValues;
use neurobrick_train::{EvalTask, TaskPlan, TrainError, TrainSession};
use serde_json::json;

use super::ScoringConfig;
use super::baselines::{LinearFits, baseline_rates};
use super::closed_forms::{ClosedForms, hides_units};
use super::decode::LEVEL;
use super::parts::{Parts, clusters_of};
use super::results::{
    DifferenceEvaluation, Group, PredictorEvaluation, RegionEvaluation, ScoreEntry, TaskEvaluation,
    quoted_null,
};
use super::stack::{SharedStack, StackedRates, StackedSession};
use super::summary::TaskTables;
use super::two_alternative::{ChoiceSums, Choices};
use crate::EvaluateError;

const NULLS: [NullModel; 2] = [NullModel::EvaluatedMean, NullModel::TrainMean];
/// What the name of a model pooled with the linear predictor ends in.
pub(crate) const WITH_LINEAR: &str = "+linear";
/// What its name ends in when pooled with the first stack.
pub(crate) const WITH_STACK: &str = "+stack";
/// The naive baseline every score carries.
pub(crate) const NAIVE: &str = "unit_mean";

/// Asks a model for rates `[trial, scored bin, scored unit]` of a planned task on some trials.
pub type Predict<'a> = dyn FnMut(&TaskPlan, &[usize]) -> Result<Array3<f64>, EvaluateError> + 'a;

/// A model to be scored.
pub struct ModelPredictions<'a> {
    /// Name in tables.
    pub name: String,
    /// Whether other sessions have entered its weights; only then is it pooled with what other sessions taught.
    pub is_pretrained: bool,
    /// Asks the model.
    pub predict: Box<Predict<'a>>,
}

/// One predictor's answer to a task.
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) group: Group,
    pub(crate) choice: Option<serde_json::Value>,
    /// `[trial, scored bin, scored unit]`.
    pub(crate) rates: Array3<f64>,
}

/// What scoring a session yields.
pub struct ScoredSession {
    /// Scores by task.
    pub tasks: Vec<TaskEvaluation>,
    /// The first model's rates `[trial, bin, scored unit]` for leave-one-out co-smoothing, which reports draw.
    pub drawn: Option<(TaskPlan, Array3<f64>)>,
    /// Tasks that had nothing to score, and why.
    pub skipped: Vec<String>,
    /// What the scores were made from, for a summary over sessions.
    pub tables: Vec<TaskTables>,
}

/// Scores all models, stacks and baselines on all tasks of a session.
///
/// Pretrained models are pooled with the first stack, all models with the best linear predictor of the session itself.
///
/// # Errors
/// If a model, stack or baseline fails, or real spikes against altered ones are asked for of a task that does not hide its
/// targets at once; tasks without anything to score are reported, not fatal.
pub fn evaluate_session(
    session: &TrainSession,
    models: &mut [ModelPredictions<'_>],
    stacks: &[(String, SharedStack)],
    scoring: &ScoringConfig,
    seed: u64,
    mut note: impl FnMut(&str),
) -> Result<ScoredSession, EvaluateError> {
    let data = &session.data;
    let id = data.session().as_str();
    let parts = Parts::new(session, scoring)?;
    let (plans, skipped) = plans(session, scoring, seed)?;
    let is_hiding = plans.iter().any(hides_units);
    let (is_linear, is_stacked) = (scoring.baselines, !stacks.is_empty());
    let mut forms = None;
    if is_hiding && (is_linear || is_stacked) {
        note(&format!("{id}: factors and filters"));
        forms = Some(ClosedForms::new(&parts)?);
    }
    let mut linear = None;
    if let Some(forms) = forms.as_ref().filter(|_| is_linear) {
        note(&format!("{id}: linear predictors of all tasks"));
        linear = Some(LinearFits::new(&parts, &plans, forms)?);
    }
    let mut stacked = None;
    if is_stacked {
        note(&format!("{id}: closed forms of the stacks"));
        let regions = data.regions().of_unit();
        // Only a model that other sessions taught is pooled with a stack.
        let is_weighed = models.iter().any(|model| model.is_pretrained);
        stacked = Some(StackedSession::new(regions, &parts, &plans, forms.as_ref(), is_weighed)?);
    }
    drop(forms);
    let (mut evaluations, mut drawn) = (Vec::new(), None);
    for (position, plan) in plans.iter().enumerate() {
        let task = plan.task;
        let mut alone = Vec::new();
        for model in models.iter_mut() {
            note(&format!("{id}: {} of {}", task.name(), model.name));
            let test = (model.predict)(plan, &session.split.test)?;
            let is_pooled = is_linear && scoring.with_linear || is_stacked && model.is_pretrained;
            let valid = if is_pooled { Some((model.predict)(plan, &session.split.valid)?) } else { None };
            alone.push(Alone { name: &model.name, is_pretrained: model.is_pretrained, test, valid });
        }
        if task == EvalTask::CoSmoothing
            && let Some(first) = alone.first()
        {
            drawn = Some((plan.clone(), first.test.clone()));
        }
        let counts = parts.valid.slice(s![.., plan.first_bin.., ..]).select(Axis(2), &plan.units);
        let mut all = Vec::new();
        if let Some(stacked) = &mut stacked {
            note(&format!("{id}: {} of the stacks", task.name()));
            let rates = stacked.rates(position, stacks)?;
            if let Some((Some(StackedRates { test, valid: Some(valid) }), (name, _))) =
                rates.first().zip(stacks.first())
            {
                let partner = Partner { name, suffix: WITH_STACK, test, valid };
                all.extend(pooled(alone.iter().filter(|a| a.is_pretrained), &partner, &counts, &parts)?);
            }
            let named = stacks.iter().zip(rates).filter_map(|((name, _), rates)| Some((name, rates?.test)));
            all.extend(named.map(|(name, rates)| Answer::of_model(name.clone(), None, rates)));
        }
        let mut baselines = Vec::new();
        let mut with_linear = Vec::new();
        if is_linear {
            note(&format!("{id}: {} of the baselines", task.name()));
            let fits = linear.as_mut().map(|linear| linear.take(position));
            baselines = baseline_rates(plan, &parts, fits.as_ref())?;
            let best = baselines.iter().find_map(|b| Some((b.name, &b.rates, b.valid.as_ref()?)));
            if scoring.with_linear
                && let Some((name, test, valid)) = best
            {
                let partner = Partner { name, suffix: WITH_LINEAR, test, valid };
                with_linear = pooled(alone.iter(), &partner, &counts, &parts)?;
            }
        }
        all.extend(alone.into_iter().map(|a| Answer::of_model(a.name.to_owned(), None, a.test)));
        all.extend(with_linear);
        all.extend(baselines.into_iter().map(|b| Answer {
            name: b.name.to_owned(),
            group: Group::Baseline,
            choice: b.choice,
            rates: b.rates,
        }));
        evaluations.push(evaluate_task(session, plan, &parts, all, scoring, seed)?);
    }
    let (tasks, tables) = evaluations.into_iter().unzip();
    Ok(ScoredSession { tasks, drawn, skipped, tables })
}

/// The tasks of `scoring` made concrete for a session, and why others have nothing to score there.
///
/// # Errors
/// If a task cannot be planned for another reason than that, or real spikes against altered ones are asked for of a task that does
/// not hide its targets at once.
pub fn plans(
    session: &TrainSession,
    scoring: &ScoringConfig,
    seed: u64,
) -> Result<(Vec<TaskPlan>, Vec<String>), EvaluateError> {
    let (data, id) = (&session.data, session.data.session().as_str());
    scoring.check_choices()?;
    let (mut plans, mut skipped) = (Vec::new(), Vec::new());
    for &task in &scoring.tasks {
        match TaskPlan::new(task, id, data.regions(), data.n_bins(), scoring.max_units, seed) {
            Ok(plan) => plans.push(plan),
            Err(error @ TrainError::NothingToScore { .. }) => skipped.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((plans, skipped))
}

impl Answer {
    fn of_model(name: String, choice: Option<serde_json::Value>, rates: Array3<f64>) -> Self {
        Self { name, group: Group::Model, choice, rates }
    }
}

/// What a model says by itself: rates on test trials, and on validation trials where it is pooled.
struct Alone<'a> {
    name: &'a str,
    is_pretrained: bool,
    test: Array3<f64>,
    valid: Option<Array3<f64>>,
}

/// What models are pooled with.
struct Partner<'a> {
    name: &'a str,
    /// What the names of pools end in.
    suffix: &'a str,
    test: &'a Array3<f64>,
    valid: &'a Array3<f64>,
}

/// Models in a pool with a partner, weighted by the counts of the validation trials; the partner, which is known to be
/// good, stands unless a model clearly helps.
fn pooled<'a>(
    models: impl Iterator<Item = &'a Alone<'a>>,
    partner: &Partner<'_>,
    counts: &Array3<f64>,
    parts: &Parts,
) -> Result<Vec<Answer>, EvaluateError> {
    let mut found = Vec::new();
    for model in models {
        let Some(valid) = &model.valid else { continue };
        let clusters = &parts.valid_clusters;
        let fitted = RatePool::fit_cautious(&valid.view(), &partner.valid.view(), &counts.view(), clusters);
        let (pool, rates) = match fitted {
            Ok(pool) => (json!(pool), pool.rates(&model.test.view(), &partner.test.view())?),
            // Without a validation spike nothing can be chosen; the partner stands, on the record.
            Err(MetricError::NoSpikes { .. }) => {
                (json!("no spike in validation trials"), partner.test.clone())
            }
            Err(error) => return Err(error.into()),
        };
        let choice = json!({ "pool": pool, "partner": partner.name });
        found.push(Answer::of_model(format!("{}{}", model.name, partner.suffix), Some(choice), rates));
    }
    Ok(found)
}

fn evaluate_task(
    session: &TrainSession,
    plan: &TaskPlan,
    parts: &Parts,
    predictors: Vec<Answer>,
    scoring: &ScoringConfig,
    seed: u64,
) -> Result<(TaskEvaluation, TaskTables), EvaluateError> {
    let slice =
        |counts: &Array3<f64>| counts.slice(s![.., plan.first_bin.., ..]).select(Axis(2), &plan.units);
    let test = slice(&parts.test);
    let bootstrap = Bootstrap { seed, n_resamples: scoring.n_resamples, level: LEVEL };
    // The train-mean null and the unit-mean baseline know whole windows of training trials.
    let train = parts.train.select(Axis(2), &plan.units);
    let clusters = clusters_of(session, &session.split.test);
    let (two_alternative, choices): (_, Vec<ChoiceSums>) = match &scoring.two_alternative {
        Some(config) => {
            let rates = train.mean_axis(Axis(0)).and_then(|mean| mean.mean_axis(Axis(0)));
            let rates = rates.map_or_else(Vec::new, |rates| rates.to_vec());
            let choices = Choices { test: &test, rates: &rates, clusters: &clusters, bootstrap };
            choices.evaluate(config, &predictors)?
        }
        None => (Vec::new(), Vec::new()),
    };
    let spread = Spread { clusters: &clusters, bootstrap, active_min_spikes: scoring.active_min_spikes };
    let Scored { evaluations, tables, trained } = score_answers(predictors, [&test, &train], &spread)?;
    let Some(n) = tables.first().map(|(_, _, table)| table.n()) else {
        return Err(EvaluateError::BadValue {
            field: "models".to_owned(),
            message: "name a model or switch the baselines on; there is nothing to score".to_owned(),
        });
    };
    let n_active_units = tables.first().map_or(0, |(_, _, table)| {
        let floor = f64::from(scoring.active_min_spikes);
        table.spikes_per_unit().iter().filter(|&&spikes| spikes >= floor).count()
    });
    let predictors = if quoted_null(plan.task) == NullModel::TrainMean {
        trained
    } else {
        tables.iter().map(|(name, group, table)| (name.clone(), *group, table.pooled())).collect()
    };
    let kept = TaskTables { task: plan.task, predictors, choices };
    let evaluation = TaskEvaluation {
        task: plan.task,
        n,
        n_active_units,
        differences: differences(&tables, &bootstrap)?,
        regions: regions(session, plan, &tables, &bootstrap)?,
        predictors: evaluations,
        two_alternative,
    };
    Ok((evaluation, kept))
}

/// How scores get their intervals, and which units are active.
pub(crate) struct Spread<'a> {
    /// Cluster of every test trial.
    pub(crate) clusters: &'a [usize],
    pub(crate) bootstrap: Bootstrap,
    pub(crate) active_min_spikes: u32,
}

/// Predictors with their scores, and what the scores were made from, over the null of the evaluated means.
pub(crate) struct Scored {
    pub(crate) evaluations: Vec<PredictorEvaluation>,
    pub(crate) tables: Vec<(String, Group, BitsTable)>,
    /// The same over the null of the training means, summed over units.
    pub(crate) trained: Vec<(String, Group, BitsTable)>,
}

/// Scores answers to `test` under both nulls and all conventions; `train` gives the naive baseline, the unit's mean.
///
/// # Errors
/// If rates are negative or no numbers, or there is nothing to score.
pub(crate) fn score_answers(
    predictors: Vec<Answer>,
    [test, train]: [&Array3<f64>; 2],
    spread: &Spread<'_>,
) -> Result<Scored, EvaluateError> {
    let mut nulls = Vec::new();
    for null in NULLS {
        nulls.push((null, null.rates(&test.view(), &train.view())?));
    }
    let naive_rates = &nulls[1].1;
    let naive = Array3::from_shape_fn(test.dim(), |(_, _, n)| naive_rates[n]);
    let conventions = [
        Convention::Pooled,
        Convention::UnitMean,
        Convention::UnitMedian,
        Convention::ActiveUnitMean { min_spikes: spread.active_min_spikes },
    ];
    let (mut tables, mut trained) = (Vec::new(), Vec::new());
    let mut evaluations = Vec::new();
    for predictor in predictors {
        let mut scores = Vec::new();
        for (null, null_rates) in &nulls {
            let table = BitsTable::new(&predictor.rates.view(), &test.view(), null_rates)?;
            let table = table.clustered(spread.clusters)?;
            let naive_table = BitsTable::new(&naive.view(), &test.view(), null_rates)?;
            for convention in conventions {
                scores.push(score_entry(&table, &naive_table, *null, convention, &spread.bootstrap));
            }
            let (name, group) = (predictor.name.clone(), predictor.group);
            if *null == NullModel::EvaluatedMean {
                tables.push((name, group, table));
            } else {
                trained.push((name, group, table.pooled()));
            }
        }
        evaluations.push(PredictorEvaluation {
            name: predictor.name,
            group: predictor.group,
            choice: predictor.choice,
            scores,
        });
    }
    Ok(Scored { evaluations, tables, trained })
}

/// One score with its interval, naive baseline and split, or the reason why there is none.
fn score_entry(
    table: &BitsTable,
    naive: &BitsTable,
    null: NullModel,
    convention: Convention,
    bootstrap: &Bootstrap,
) -> ScoreEntry {
    let baseline = Baseline { name: NAIVE.to_owned(), value: naive.value(convention) };
    let interval = table.interval(convention, bootstrap);
    match Score::new(table.value(convention), table.n(), interval, null, baseline, Split::Test) {
        Ok(score) => ScoreEntry { null, convention, score: Some(score), undefined: None },
        Err(error) => ScoreEntry { null, convention, score: None, undefined: Some(error.to_string()) },
    }
}

/// Every model minus every later model and every baseline, pooled, on the same trials.
pub(crate) fn differences(
    tables: &[(String, Group, BitsTable)],
    bootstrap: &Bootstrap,
) -> Result<Vec<DifferenceEvaluation>, EvaluateError> {
    let mut found = Vec::new();
    for (i, (left, group, table)) in tables.iter().enumerate() {
        if *group != Group::Model {
            continue;
        }
        for (right, _, other) in &tables[i + 1..] {
            let difference = table.difference(other, Convention::Pooled, bootstrap)?;
            found.push(DifferenceEvaluation { left: left.clone(), right: right.clone(), difference });
        }
    }
    Ok(found)
}

/// The baseline beside regions: one that every session has, for the best of each would be best by selection.
fn region_baseline(task: EvalTask) -> &'static str {
    if task == EvalTask::ForwardPrediction { "forward_ridge" } else { "factors_wiener_refit" }
}

/// Pooled scores by region of the first model and of [`region_baseline`].
fn regions(
    session: &TrainSession,
    plan: &TaskPlan,
    tables: &[(String, Group, BitsTable)],
    bootstrap: &Bootstrap,
) -> Result<Vec<RegionEvaluation>, EvaluateError> {
    let table = session.data.regions();
    let group_of: Vec<usize> = plan.units.iter().map(|&u| table.of_unit()[u]).collect();
    let name = region_baseline(plan.task);
    let baseline = tables.iter().find(|(found, group, _)| *group == Group::Baseline && found == name);
    let first_model = tables.iter().find(|(_, group, _)| *group == Group::Model);
    let mut found = Vec::new();
    for (name, _, bits) in first_model.into_iter().chain(baseline) {
        for (group, part) in bits.by_group(&group_of)? {
            // By region the null of each unit is its own mean, so the naive value is that of the null: zero.
            let baseline = Baseline { name: "evaluated_mean".to_owned(), value: 0.0 };
            let interval = part.interval(Convention::Pooled, bootstrap);
            let value = part.value(Convention::Pooled);
            let score =
                Score::new(value, part.n(), interval, NullModel::EvaluatedMean, baseline, Split::Test).ok();
            found.push(RegionEvaluation {
                region: table.names()[group].clone(),
                predictor: name.clone(),
                n_units: part.n().units,
                score,
            });
        }
    }
    Ok(found)
}

/// The value of a trial column as text, the items of a list joined by commas; empty where it is missing.
pub(crate) fn text_at(values: &ColumnValues, row: usize) -> String {
    match values {
        ColumnValues::Float(v) => v[row].map_or_else(String::new, |x| x.to_string()),
        ColumnValues::Int(v) => v[row].map_or_else(String::new, |x| x.to_string()),
        ColumnValues::Text(v) => v[row].clone().unwrap_or_default(),
        ColumnValues::Bool(v) => v[row].map_or_else(String::new, |x| x.to_string()),
        ColumnValues::List(v) => {
            v.range(row).map(|item| text_at(v.items(), item)).collect::<Vec<_>>().join(",")
        }
    }
}

pub(crate) fn unknown_column(session: &TrainSession, name: &str) -> EvaluateError {
    let known: Vec<&str> = session.data.trials().columns().iter().map(|c| c.name.as_str()).collect();
    EvaluateError::BadValue {
        field: name.to_owned(),
        message: format!(
            "session {} has no trial column `{name}`; it has: {}",
            session.data.session(),
            known.join(", ")
        ),
    }
}
