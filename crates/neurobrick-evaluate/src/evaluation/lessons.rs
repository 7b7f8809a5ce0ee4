//! What pretraining sessions teach closed forms, and what each part of it is worth.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayView3, Axis, concatenate, s};
use neurobrick_data::{UnitFilter, WindowConfig};
use neurobrick_metrics::bits_per_spike;
use neurobrick_metrics::stack::{Stack, StackFeatures, StackLadder, thinned};
use neurobrick_random::{Domain, Stream, name_index};
use neurobrick_schema::SessionId;
use neurobrick_train::{EvalTask, TaskPlan, TrainError, TrainSession};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::closed_forms::TaskForms;
use super::stack::{FORMAT_VERSION, SharedStack};
use super::{StackAblation, StackConfig};
use crate::{EvaluateError, LoadedSession};

/// Bins of a window that a lesson keeps, about.
const LESSON_BINS: usize = 10;
/// A session with fewer trials left to be asked about teaches nothing.
const MIN_ASKED: usize = 8;

/// Sessions (by position) to learn from, and others on whose training and validation trials ablations are scored.
#[derive(Clone, Debug, Default)]
pub struct LessonFold {
    /// To learn from.
    pub learn: Vec<usize>,
    /// To score on; empty: nothing is scored.
    pub score: Vec<usize>,
}

/// What to learn, and how.
#[derive(Clone, Copy, Debug)]
pub struct LessonPlan<'a> {
    /// Window and bins of the sessions.
    pub window: &'a WindowConfig,
    /// Filter that their units passed.
    pub units: &'a UnitFilter,
    /// Numbers of trials, limits and penalty.
    pub config: &'a StackConfig,
    /// Tasks to learn.
    pub tasks: &'a [EvalTask],
    /// Ablations to score.
    pub ablations: &'a [StackAblation],
    /// Seed of the draws.
    pub seed: u64,
}

impl LessonPlan<'_> {
    /// Steps that [`learn_stacks`] takes.
    pub fn n_steps(&self, n_sessions: usize, folds: &[LessonFold]) -> usize {
        self.config.calibration.len() * (used(n_sessions, folds).count() + folds.len())
    }
}

/// Score of a stack with a part left out, on training and validation trials of a session it did not learn from that its
/// closed forms were not fitted to: no test trial of any session is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AblationScore {
    /// Name of the ablation.
    pub name: String,
    /// Calibration trials of the closed forms.
    pub calibration: usize,
    /// The task.
    pub task: EvalTask,
    /// The session.
    pub session: SessionId,
    /// Pooled bits/spike against the evaluated mean.
    pub bits_per_spike: f64,
}

/// Learns one stack for each fold and scores ablations; what is asked of a session is computed once. Reads training and
/// validation trials only. A fold none of whose sessions has trials enough for any number of calibration trials gets
/// `None`.
///
/// `note` is called before each of the [`n_steps`](LessonPlan::n_steps) steps with what it is.
///
/// # Errors
/// If a closed form fails or a fit does not converge.
pub fn learn_stacks(
    sessions: &[LoadedSession],
    folds: &[LessonFold],
    plan: &LessonPlan<'_>,
    mut note: impl FnMut(&str),
) -> Result<(Vec<Option<SharedStack>>, Vec<AblationScore>), EvaluateError> {
    let LessonPlan { window, config, tasks, ablations, seed, .. } = *plan;
    let mut rungs: Vec<BTreeMap<EvalTask, Vec<(usize, Stack)>>> = vec![BTreeMap::new(); folds.len()];
    let mut scores = Vec::new();
    for &n_trials in &config.calibration {
        let mut lessons = Vec::new();
        for position in used(sessions.len(), folds) {
            let session = &sessions[position];
            note(&format!("{}: {n_trials} calibration trials", session.hash.session));
            lessons.extend(lessons_of(position, &session.train, n_trials, config, tasks, seed)?);
        }
        for (number, (fold, rungs)) in folds.iter().zip(&mut rungs).enumerate() {
            note(&format!("regressions {} of {}: {n_trials} calibration trials", number + 1, folds.len()));
            let fits: Vec<(EvalTask, Option<&StackAblation>)> = tasks
                .iter()
                .flat_map(|&task| {
                    let ablations = ablations.iter().filter(|_| !fold.score.is_empty());
                    std::iter::once(None).chain(ablations.map(Some)).map(move |ablation| (task, ablation))
                })
                .collect();
            // Many small fits: one each thread beats all threads on one.
            let fitted: Vec<Result<Option<Fitted>, EvaluateError>> = fits
                .par_iter()
                .map(|&(task, ablation)| {
                    let of_task = |set: &[usize]| -> Vec<&Lesson> {
                        lessons.iter().filter(|l| l.task == task && set.contains(&l.session)).collect()
                    };
                    let learn = of_task(&fold.learn);
                    if learn.is_empty() {
                        return Ok(None);
                    }
                    let fitted = match ablation {
                        None => Fitted::Rung(fit(&learn, config.penalty)?),
                        Some(ablation) => {
                            Fitted::Scores(ablated(ablation, &learn, &of_task(&fold.score), config.penalty)?)
                        }
                    };
                    Ok(Some(fitted))
                })
                .collect();
            for ((task, ablation), fitted) in fits.into_iter().zip(fitted) {
                match (fitted?, ablation) {
                    (Some(Fitted::Rung(stack)), _) => rungs.entry(task).or_default().push((n_trials, stack)),
                    (Some(Fitted::Scores(found)), Some(ablation)) => {
                        scores.extend(found.into_iter().map(|(position, bits_per_spike)| AblationScore {
                            name: ablation.name.clone(),
                            calibration: n_trials,
                            task,
                            session: sessions[position].hash.session.clone(),
                            bits_per_spike,
                        }));
                    }
                    _ => {}
                }
            }
        }
    }
    let stacks = folds.iter().zip(rungs).map(|(fold, rungs)| {
        if rungs.is_empty() {
            return Ok(None);
        }
        let ladder = |(task, rungs)| Ok((task, StackLadder::new(rungs)?));
        Ok(Some(SharedStack {
            format_version: FORMAT_VERSION,
            window: window.clone(),
            units: plan.units.clone(),
            config: config.clone(),
            learned_from: fold.learn.iter().map(|&position| sessions[position].hash.clone()).collect(),
            tasks: rungs.into_iter().map(ladder).collect::<Result<_, EvaluateError>>()?,
        }))
    });
    Ok((stacks.collect::<Result<_, EvaluateError>>()?, scores))
}

/// Positions of the sessions that any fold learns from or scores.
fn used(n_sessions: usize, folds: &[LessonFold]) -> impl Iterator<Item = usize> {
    (0..n_sessions).filter(|i| folds.iter().any(|fold| fold.learn.contains(i) || fold.score.contains(i)))
}

/// What one fit was for.
enum Fitted {
    Rung(Stack),
    /// Bits/spike by position of the session.
    Scores(Vec<(usize, f64)>),
}

fn fit(lessons: &[&Lesson], penalty: f64) -> Result<Stack, EvaluateError> {
    let examples: Vec<(&StackFeatures, ArrayView3<f64>)> =
        lessons.iter().map(|lesson| (&lesson.features, lesson.counts.view())).collect();
    Ok(Stack::fit(&examples, penalty)?)
}

/// Bits/spike on every session that `score` are of.
fn ablated(
    ablation: &StackAblation,
    learn: &[&Lesson],
    score: &[&Lesson],
    penalty: f64,
) -> Result<Vec<(usize, f64)>, EvaluateError> {
    let reduced: Vec<StackFeatures> = learn.iter().map(|l| l.features.without(&ablation.without)).collect();
    let examples: Vec<(&StackFeatures, ArrayView3<f64>)> =
        reduced.iter().zip(learn).map(|(features, l)| (features, l.counts.view())).collect();
    let stack = Stack::fit(&examples, ablation.penalty.unwrap_or(penalty))?;
    let mut sessions: Vec<usize> = score.iter().map(|l| l.session).collect();
    sessions.dedup();
    let mut found = Vec::new();
    for session in sessions {
        let (mut rates, mut counts) = (Vec::new(), Vec::new());
        for lesson in score.iter().filter(|l| l.session == session) {
            rates.push(stack.rates(&lesson.features.without(&ablation.without))?);
            counts.push(lesson.counts.view());
        }
        let views: Vec<_> = rates.iter().map(|r: &Array3<f64>| r.view()).collect();
        // All have the trials and bins of the session.
        let joined = |parts: &[ArrayView3<f64>]| concatenate(Axis(2), parts);
        if let (Ok(rates), Ok(counts)) = (joined(&views), joined(&counts)) {
            // Without a spike to predict, there is no score.
            let bits = bits_per_spike(&rates.view(), &counts.view())?;
            if bits.is_finite() {
                found.push((session, bits));
            }
        }
    }
    Ok(found)
}

/// What closed forms said about trials they had not seen, and what was there.
struct Lesson {
    /// Position of the session.
    session: usize,
    task: EvalTask,
    features: StackFeatures,
    counts: Array3<f64>,
}

/// Calibrates on `n_trials` training and validation trials, drawn by seed, and asks about others; nothing if there are
/// too few.
fn lessons_of(
    position: usize,
    session: &TrainSession,
    n_trials: usize,
    config: &StackConfig,
    tasks: &[EvalTask],
    seed: u64,
) -> Result<Vec<Lesson>, EvaluateError> {
    let (data, split) = (&session.data, &session.split);
    let known = [split.train.as_slice(), split.valid.as_slice()].concat();
    if known.len() < n_trials + MIN_ASKED {
        return Ok(Vec::new());
    }
    let id = data.session().as_str();
    let order =
        Stream::new(seed, Domain::Fold, [name_index(id), n_trials as u64, 0]).permutation(known.len());
    let drawn: Vec<usize> = order.into_iter().map(|i| known[i]).collect();
    let calibration = data.counts_of(&drawn[..n_trials]);
    let asked = data.counts_of(&drawn[n_trials..drawn.len().min(n_trials + config.max_trials)]);
    let mut plans = Vec::new();
    for &task in tasks {
        let max_units = Some(config.max_units);
        match TaskPlan::new(task, id, data.regions(), data.n_bins(), max_units, seed) {
            Ok(plan) => plans.push(fewer_targets(plan, config.max_units, seed)),
            Err(TrainError::NothingToScore { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut forms = TaskForms::fit(&calibration, data.regions().of_unit(), &plans, None)?;
    let mut lessons = Vec::new();
    for (position_of_plan, plan) in plans.iter().enumerate() {
        let step = ((plan.n_bins - plan.first_bin) / LESSON_BINS).max(1);
        let Some(form) = forms.take(position_of_plan) else { continue };
        for query in form.features(&asked.view()) {
            let (targets, features) = query?;
            let kept: Vec<usize> =
                (0..targets.len()).filter(|&k| plan.units.binary_search(&targets[k]).is_ok()).collect();
            let counts = asked.slice(s![.., plan.first_bin.., ..]).select(Axis(2), &targets);
            lessons.push(Lesson {
                session: position,
                task: plan.task,
                features: features.thinned(step, &kept)?.without(&config.without),
                counts: thinned(&counts, step, &kept),
            });
        }
    }
    Ok(lessons)
}

/// The plan with at most `max` targets over all queries, drawn by seed; what is visible stays.
fn fewer_targets(mut plan: TaskPlan, max: usize, seed: u64) -> TaskPlan {
    let order = Stream::new(seed, Domain::Units, [1, 0, 0]).permutation(plan.units.len());
    let mut drawn: Vec<usize> = order.into_iter().take(max).map(|i| plan.units[i]).collect();
    drawn.sort_unstable();
    for query in &mut plan.queries {
        query.targets.retain(|target| drawn.binary_search(target).is_ok());
    }
    plan.queries.retain(|query| !query.targets.is_empty());
    plan.units = drawn;
    plan
}
