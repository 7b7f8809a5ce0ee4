//! How much better a stack gets with every session it learned from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use neurobrick_metrics::scaling::LogLinear;
use neurobrick_report::{LadderCurve, LadderPanel, LadderPoint, ladders};
use neurobrick_schema::SessionId;
use neurobrick_train::EvalTask;
use serde::{Deserialize, Serialize};

use super::transfer::{TransferGain, TransferScore, by_session, gain, order};

/// What the names of the curve's stacks begin with; the number of sessions follows.
pub const CURVE_PREFIX: &str = "stack_of_";

/// Baselines that know the session itself only, best first: what a stack of no session would have to be.
const ALONE: [&str; 2] = ["factors_wiener_refit", "forward_pool_refit"];

/// One point of the curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Calibration trials allowed; absent for all.
    pub calibration: Option<usize>,
    /// The task.
    pub task: EvalTask,
    /// Sessions the stack learned from.
    pub n_pretraining: usize,
    /// Mean over sessions of pooled bits/spike on the test trials, over those sessions that have every point.
    pub bits_per_spike: f64,
    /// Sessions scored.
    pub n_sessions: usize,
    /// Its gain over the linear predictor of the session itself, where that was fitted.
    pub gain: Option<TransferGain>,
}

/// A line over the logarithm of the number of sessions, fitted to the points of one task and number of trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveLaw {
    /// Calibration trials allowed; absent for all.
    pub calibration: Option<usize>,
    /// The task.
    pub task: EvalTask,
    /// Bits/spike against sessions.
    pub law: LogLinear,
}

/// Scores by session for every number of pretraining sessions.
type Rungs<'a> = BTreeMap<usize, &'a BTreeMap<SessionId, f64>>;

/// The points, in order of trials, task and sessions.
pub(super) fn points(scores: &[TransferScore]) -> Vec<CurvePoint> {
    let by_session = by_session(scores);
    let mut curves: BTreeMap<(usize, EvalTask), Rungs<'_>> = BTreeMap::new();
    for ((budget, task, name), values) in &by_session {
        if let Some(n) = name.strip_prefix(CURVE_PREFIX).and_then(|n| n.parse().ok()) {
            curves.entry((*budget, *task)).or_default().insert(n, values);
        }
    }
    let mut found = Vec::new();
    for ((budget, task), curve) in curves {
        // Points over different sessions would differ by the sessions.
        let common: BTreeSet<&SessionId> = curve
            .values()
            .map(|values| values.keys().collect::<BTreeSet<_>>())
            .reduce(|a, b| a.intersection(&b).copied().collect())
            .unwrap_or_default();
        let alone =
            ALONE.iter().find_map(|name| Some((*name, by_session.get(&(budget, task, (*name).to_owned()))?)));
        for (n, values) in curve {
            let kept: BTreeMap<SessionId, f64> = values
                .iter()
                .filter(|(session, _)| common.contains(session))
                .map(|(session, value)| (session.clone(), *value))
                .collect();
            if kept.is_empty() {
                continue;
            }
            let name = format!("{CURVE_PREFIX}{n}");
            found.push(CurvePoint {
                calibration: (budget != usize::MAX).then_some(budget),
                task,
                n_pretraining: n,
                bits_per_spike: kept.values().sum::<f64>() / kept.len() as f64,
                n_sessions: kept.len(),
                gain: alone.and_then(|alone| gain((budget, task), (&name, &kept), alone)),
            });
        }
    }
    found
}

/// A line for every curve of three points or more that varies.
pub(super) fn laws(points: &[CurvePoint]) -> Vec<CurveLaw> {
    cells(points)
        .into_iter()
        .filter_map(|(calibration, task)| {
            let curve = of(points, calibration, task);
            let sizes: Vec<f64> = curve.iter().map(|p| p.n_pretraining as f64).collect();
            let values: Vec<f64> = curve.iter().map(|p| p.bits_per_spike).collect();
            let law = if curve.len() < 3 { None } else { LogLinear::fit(&sizes, &values).ok() };
            law.map(|law| CurveLaw { calibration, task, law })
        })
        .collect()
}

fn cells(points: &[CurvePoint]) -> Vec<(Option<usize>, EvalTask)> {
    let mut cells: Vec<_> = points.iter().map(|p| (p.calibration, p.task)).collect();
    cells.sort_by_key(|(calibration, task)| (order(*calibration), *task));
    cells.dedup();
    cells
}

fn of(points: &[CurvePoint], calibration: Option<usize>, task: EvalTask) -> Vec<&CurvePoint> {
    points.iter().filter(|p| p.calibration == calibration && p.task == task).collect()
}

/// The curve as tables; empty without points.
pub(super) fn markdown(points: &[CurvePoint], laws: &[CurveLaw]) -> String {
    let mut text = String::new();
    if points.is_empty() {
        return text;
    }
    text.push_str(
        "\n## Gain against pretraining sessions\n\nThe stack by the number of sessions it learned from: mean bits/spike, \
         and its gain over the linear predictor of the session itself, on sessions that have every point. The last \
         column is the slope of a line over the logarithm, per doubling of sessions.\n",
    );
    let mut sizes: Vec<usize> = points.iter().map(|p| p.n_pretraining).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let names: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    let _ = write!(text, "\n| trials | task | {} | per doubling |\n", names.join(" | "));
    let _ = writeln!(text, "|---:|---|{}---:|", "---:|".repeat(sizes.len()));
    for (calibration, task) in cells(points) {
        let curve = of(points, calibration, task);
        let entries: Vec<String> = sizes
            .iter()
            .map(|n| match curve.iter().find(|p| p.n_pretraining == *n) {
                Some(point) => entry(point),
                None => "–".to_owned(),
            })
            .collect();
        let law = laws.iter().find(|l| l.calibration == calibration && l.task == task);
        let slope =
            law.map_or_else(|| "–".to_owned(), |l| format!("{:+.4}", l.law.slope * std::f64::consts::LN_2));
        let trials = calibration.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let _ = writeln!(text, "| {trials} | {} | {} | {slope} |", task.name(), entries.join(" | "));
    }
    text
}

fn entry(point: &CurvePoint) -> String {
    match &point.gain {
        Some(g) => format!("{:.3} ({:+.3}, {}/{})", point.bits_per_spike, g.mean, g.n_better, g.n_sessions),
        None => format!("{:.3} ({})", point.bits_per_spike, point.n_sessions),
    }
}

/// One panel for every task, one curve for every number of calibration trials; `None` without points.
pub(super) fn figure(points: &[CurvePoint]) -> Option<String> {
    let mut budgets: Vec<Option<usize>> = points.iter().map(|p| p.calibration).collect();
    budgets.sort_by_key(|&budget| order(budget));
    budgets.dedup();
    let panels: Vec<LadderPanel> = EvalTask::ALL
        .into_iter()
        .filter(|task| points.iter().any(|p| p.task == *task))
        .map(|task| LadderPanel {
            title: task.name().replace('_', " "),
            curves: budgets.iter().map(|&budget| curve(points, budget, task)).collect(),
        })
        .collect();
    ladders("Bits/spike against pretraining sessions", "pretraining sessions", "bits/spike", &panels)
}

fn curve(points: &[CurvePoint], budget: Option<usize>, task: EvalTask) -> LadderCurve {
    let place = |p: &&CurvePoint| LadderPoint {
        size: p.n_pretraining as f64,
        score: p.bits_per_spike,
        interval: None,
    };
    LadderCurve {
        name: budget.map_or_else(|| "all trials".to_owned(), |n| format!("{n} trials")),
        points: of(points, budget, task).iter().map(place).collect(),
        is_expected: false,
    }
}
