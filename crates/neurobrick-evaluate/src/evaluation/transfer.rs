//! What the transfer protocol finds: scores by calibration trials, and what pretraining and the linear predictor add.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use neurobrick_metrics::{ConfidenceInterval, NullModel, holm, no_difference};
use neurobrick_schema::SessionId;
use neurobrick_train::EvalTask;
use serde::{Deserialize, Serialize};

use super::decode::LEVEL;
use super::lessons::AblationScore;
use super::results::{Group, PredictorEvaluation, SessionEvaluation, TaskEvaluation, quoted_null};
use super::score::WITH_STACK;
use super::transfer_curve::{self, CURVE_PREFIX, CurveLaw, CurvePoint};

/// One score of one predictor on one session that pretraining never saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferScore {
    /// Seed of split, weights and masks.
    pub seed: u64,
    /// The session.
    pub session: SessionId,
    /// Calibration trials allowed; absent for all.
    pub calibration: Option<usize>,
    /// The task.
    pub task: EvalTask,
    /// The predictor.
    pub predictor: String,
    /// Model or baseline.
    pub group: Group,
    /// The null the bits are counted from: training means for the future, evaluated means otherwise.
    pub null: NullModel,
    /// Pooled bits/spike on the test trials.
    pub bits_per_spike: f64,
}

/// How much better one predictor is than another over the sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferGain {
    /// Calibration trials allowed; absent for all.
    pub calibration: Option<usize>,
    /// The task.
    pub task: EvalTask,
    /// The first predictor.
    pub left: String,
    /// The one subtracted.
    pub right: String,
    /// Mean over sessions of `left − right` (each averaged over seeds), pooled bits/spike.
    pub mean: f64,
    /// Its interval over sessions.
    pub interval: ConfidenceInterval,
    /// Sessions.
    pub n_sessions: usize,
    /// Sessions on which `left` is better.
    pub n_better: usize,
    /// Chance of a mean as far from zero as this if there were no difference (Student's paired test over sessions); absent with
    /// fewer than two.
    pub p: Option<f64>,
    /// The same, adjusted after Holm for all tasks and numbers of trials in which these two are compared.
    pub p_adjusted: Option<f64>,
}

/// Everything the protocol finds: the contents of `transfer.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferResult {
    /// Version of this file's format.
    pub format_version: u32,
    /// All scores.
    pub scores: Vec<TransferScore>,
    /// Differences between every model and everything else, over sessions.
    pub gains: Vec<TransferGain>,
    /// The stack's scores against the number of sessions it learned from.
    pub curve: Vec<CurvePoint>,
    /// Lines fitted to them.
    pub laws: Vec<CurveLaw>,
    /// What the stack's parts are worth, on trials that are no test trials.
    pub ablations: Vec<AblationScore>,
    /// Full evaluation of every session.
    pub sessions: Vec<(u64, Option<usize>, SessionEvaluation)>,
}

/// What is compared over sessions: calibration, task, predictor.
pub(super) type Cell = (usize, EvalTask, String);

impl TransferResult {
    /// Gathers evaluations by (seed, calibration trials, session).
    pub fn new(
        sessions: Vec<(u64, Option<usize>, SessionEvaluation)>,
        ablations: Vec<AblationScore>,
    ) -> Self {
        let mut scores = Vec::new();
        for (seed, calibration, evaluation) in &sessions {
            for task in &evaluation.tasks {
                scores.extend(pooled_scores(task).into_iter().map(|(predictor, group, null, bits)| {
                    TransferScore {
                        seed: *seed,
                        session: evaluation.session.clone(),
                        calibration: *calibration,
                        task: task.task,
                        predictor,
                        group,
                        null,
                        bits_per_spike: bits,
                    }
                }));
            }
        }
        let gains = gains(&scores);
        let curve = transfer_curve::points(&scores);
        let laws = transfer_curve::laws(&curve);
        Self { format_version: 3, scores, gains, curve, laws, ablations, sessions }
    }

    /// Mean over sessions of a predictor's scores, and the number of sessions.
    pub fn mean(&self, calibration: Option<usize>, task: EvalTask, predictor: &str) -> Option<(f64, usize)> {
        let by_session = by_session(&self.scores);
        let cell = by_session.get(&(order(calibration), task, predictor.to_owned()))?;
        Some((cell.values().sum::<f64>() / cell.len() as f64, cell.len()))
    }

    /// Tables for people.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "# Transfer to sessions that pretraining never saw\n\nPooled bits/spike on test trials, means over \
             sessions (and seeds). The null of forward prediction is the training mean, of the others the evaluated \
             mean. Gains are paired differences with 95 % intervals over sessions and the number of sessions on which the first is \
             ahead; `*` where the difference holds at 5 % among all tasks and numbers of trials in which the two are compared \
             (Student's paired test over sessions, adjusted after Holm).\n",
        );
        let mut budgets: Vec<Option<usize>> = self.scores.iter().map(|s| s.calibration).collect();
        budgets.sort_unstable_by_key(|&b| order(b));
        budgets.dedup();
        for budget in budgets {
            let trials = budget.map_or_else(|| "All".to_owned(), |n| n.to_string());
            let _ = write!(text, "\n## {trials} calibration trials\n\n");
            self.score_table(budget, &mut text);
            self.gain_table(budget, &mut text);
        }
        text.push_str(&transfer_curve::markdown(&self.curve, &self.laws));
        self.ablation_table(&mut text);
        text
    }

    /// Names and contents of the SVG files that go with the tables.
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        transfer_curve::figure(&self.curve).map(|figure| ("transfer-curve.svg", figure)).into_iter().collect()
    }

    fn ablation_table(&self, text: &mut String) {
        if self.ablations.is_empty() {
            return;
        }
        text.push_str(
            "\n## What the parts of the stack are worth\n\nBits/spike on training and validation trials of the sessions \
             left out, means over sessions (and seeds); no test trial is read.\n",
        );
        let mut names: Vec<&str> = Vec::new();
        let mut trials: Vec<usize> = Vec::new();
        for score in &self.ablations {
            if !names.contains(&score.name.as_str()) {
                names.push(&score.name);
            }
            trials.push(score.calibration);
        }
        trials.sort_unstable();
        trials.dedup();
        let tasks = EvalTask::ALL.map(EvalTask::name).join(" | ");
        let _ = write!(text, "\n| trials | stack | {tasks} |\n|---:|---|---:|---:|---:|---:|---:|\n");
        for (n, name) in trials.iter().flat_map(|n| names.iter().map(move |name| (n, name))) {
            let cells = EvalTask::ALL.map(|task| {
                let is_of = |s: &&AblationScore| s.calibration == *n && s.name == **name && s.task == task;
                let values: Vec<f64> =
                    self.ablations.iter().filter(is_of).map(|s| s.bits_per_spike).collect();
                if values.is_empty() {
                    return "–".to_owned();
                }
                format!("{:.4} ({})", values.iter().sum::<f64>() / values.len() as f64, values.len())
            });
            let _ = writeln!(text, "| {n} | {name} | {} |", cells.join(" | "));
        }
    }

    fn score_table(&self, budget: Option<usize>, text: &mut String) {
        let mut predictors: Vec<&str> = Vec::new();
        for score in self.scores.iter().filter(|s| s.calibration == budget) {
            let is_listed = predictors.contains(&score.predictor.as_str());
            if !is_listed && !score.predictor.starts_with(CURVE_PREFIX) {
                predictors.push(&score.predictor);
            }
        }
        let names = EvalTask::ALL.map(EvalTask::name).join(" | ");
        let _ = write!(text, "| predictor | {names} |\n|---|---:|---:|---:|---:|---:|\n");
        for predictor in predictors {
            let cells = EvalTask::ALL.map(|task| match self.mean(budget, task, predictor) {
                Some((mean, n)) => format!("{mean:.3} ({n})"),
                None => "–".to_owned(),
            });
            let _ = writeln!(text, "| {predictor} | {} |", cells.join(" | "));
        }
    }

    fn gain_table(&self, budget: Option<usize>, text: &mut String) {
        let gains: Vec<&TransferGain> = self.gains.iter().filter(|g| g.calibration == budget).collect();
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for gain in &gains {
            if !pairs.contains(&(&gain.left, &gain.right)) {
                pairs.push((&gain.left, &gain.right));
            }
        }
        let names = EvalTask::ALL.map(EvalTask::name).join(" | ");
        let _ = write!(text, "\n| gain | {names} |\n|---|---:|---:|---:|---:|---:|\n");
        for (left, right) in pairs {
            let cells = EvalTask::ALL.map(|task| {
                let found = gains.iter().find(|g| g.task == task && g.left == left && g.right == right);
                found.map_or_else(
                    || "–".to_owned(),
                    |g| {
                        let (lo, hi) = (g.interval.lo, g.interval.hi);
                        let holds = if g.p_adjusted.is_some_and(|p| p < 1.0 - LEVEL) { " *" } else { "" };
                        format!("{:+.3} [{lo:+.3}, {hi:+.3}] {}/{}{holds}", g.mean, g.n_better, g.n_sessions)
                    },
                )
            });
            let _ = writeln!(text, "| {left} − {right} | {} |", cells.join(" | "));
        }
    }
}

/// Budgets in ascending order, "all" last.
pub(super) fn order(calibration: Option<usize>) -> usize {
    calibration.unwrap_or(usize::MAX)
}

fn pooled_scores(task: &TaskEvaluation) -> Vec<(String, Group, NullModel, f64)> {
    let null = quoted_null(task.task);
    let pooled =
        |p: &PredictorEvaluation| Some((p.name.clone(), p.group, null, p.quoted(task.task)?.value()));
    task.predictors.iter().filter_map(pooled).collect()
}

/// Scores by cell and session, averaged over seeds.
pub(super) fn by_session(scores: &[TransferScore]) -> BTreeMap<Cell, BTreeMap<SessionId, f64>> {
    let mut sums: BTreeMap<Cell, BTreeMap<SessionId, (f64, usize)>> = BTreeMap::new();
    for s in scores {
        let cell = sums.entry((order(s.calibration), s.task, s.predictor.clone())).or_default();
        let sum = cell.entry(s.session.clone()).or_default();
        *sum = (sum.0 + s.bits_per_spike, sum.1 + 1);
    }
    let mean = |sessions: BTreeMap<SessionId, (f64, usize)>| {
        sessions.into_iter().map(|(session, (sum, n))| (session, sum / n as f64)).collect()
    };
    sums.into_iter().map(|(cell, sessions)| (cell, mean(sessions))).collect()
}

/// Every model against all that follow it and all baselines, on the sessions that both have; points of the curve stand
/// apart.
fn gains(scores: &[TransferScore]) -> Vec<TransferGain> {
    let by_session = by_session(scores);
    let mut order_of: Vec<(&str, Group)> = Vec::new();
    for score in scores.iter().filter(|s| !s.predictor.starts_with(CURVE_PREFIX)) {
        if !order_of.iter().any(|(name, _)| *name == score.predictor) {
            order_of.push((&score.predictor, score.group));
        }
    }
    order_of.sort_by_key(|(name, group)| (*group == Group::Baseline, rank(name)));
    let mut found = Vec::new();
    for ((budget, task, left), ours) in &by_session {
        let Some(place) = order_of.iter().position(|(name, group)| name == left && *group == Group::Model)
        else {
            continue;
        };
        for (right, _) in &order_of[place + 1..] {
            if let Some(theirs) = by_session.get(&(*budget, *task, (*right).to_owned())) {
                found.extend(gain((*budget, *task), (left, ours), (right, theirs)));
            }
        }
    }
    adjust(&mut found);
    found
}

/// Adjusts the chances of every pair of predictors for all the comparisons of these two.
fn adjust(gains: &mut [TransferGain]) {
    let mut of_pair: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (i, gain) in gains.iter().enumerate().filter(|(_, gain)| gain.p.is_some()) {
        of_pair.entry((gain.left.clone(), gain.right.clone())).or_default().push(i);
    }
    for members in of_pair.into_values() {
        let chances: Vec<f64> = members.iter().filter_map(|&i| gains[i].p).collect();
        // What is no chance was left out above.
        for (i, adjusted) in members.into_iter().zip(holm(&chances).into_iter().flatten()) {
            gains[i].p_adjusted = Some(adjusted);
        }
    }
}

/// The pretrained model first, then other pools with the stack, then the stack, then the rest.
fn rank(name: &str) -> usize {
    match name {
        "fine_tuned+stack" => 0,
        other if other.ends_with(WITH_STACK) => 1,
        "stack" => 2,
        _ => 3,
    }
}

/// `left − right` on the sessions that both have; `None` without any.
pub(super) fn gain(
    (budget, task): (usize, EvalTask),
    (left, ours): (&str, &BTreeMap<SessionId, f64>),
    (right, theirs): (&str, &BTreeMap<SessionId, f64>),
) -> Option<TransferGain> {
    let differences: Vec<f64> =
        ours.iter().filter_map(|(session, a)| Some(a - theirs.get(session)?)).collect();
    (!differences.is_empty()).then(|| TransferGain {
        calibration: (budget != usize::MAX).then_some(budget),
        task,
        left: left.to_owned(),
        right: right.to_owned(),
        mean: differences.iter().sum::<f64>() / differences.len() as f64,
        interval: ConfidenceInterval::of_mean(&differences, LEVEL),
        n_sessions: differences.len(),
        n_better: differences.iter().filter(|d| **d > 0.0).count(),
        p: Some(no_difference(&differences)).filter(|p| p.is_finite()),
        p_adjusted: None,
    })
}
