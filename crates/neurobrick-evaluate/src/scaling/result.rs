//! What a scaling curve finds: the contents of `scale.json`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use neurobrick_metrics::scaling::{
    Backtest, LogLinear, LogLinearBootstrap, PowerLaw, PowerLawBootstrap, ScalingInterval, backtest,
};
use neurobrick_metrics::{Bootstrap, ConfidenceInterval};
use neurobrick_report::{LadderCurve, LadderPanel, LadderPoint, ladders};
use neurobrick_schema::SessionId;
use neurobrick_train::EvalTask;
use serde::{Deserialize, Serialize};

use super::ScaleTarget;
use crate::evaluation::LEVEL;

/// Sessions that the interval of a law needs.
const FEWEST_SESSIONS: usize = 5;

/// One score on the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalePoint {
    /// The size; 0 for a control that serves every size.
    pub size: usize,
    /// Which climb; 0 for a control.
    pub repeat: u64,
    /// Whether this is the control: the same network trained from scratch.
    pub is_control: bool,
    /// The session scored.
    pub session: SessionId,
    /// The task.
    pub task: EvalTask,
    /// Pooled bits/spike on test trials.
    pub bits_per_spike: f64,
    /// Bits/spike that rates equal to the counts would score: no prediction passes it.
    pub saturated: f64,
}

/// One size of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The size.
    pub size: usize,
    /// Mean over sessions and repeats, pooled bits/spike.
    pub mean: f64,
    /// Mean of the controls that the points are paired with: of the same sessions, and of the same size where that is the
    /// network's own.
    pub control: f64,
    /// Mean of the differences from these controls.
    pub gain: f64,
    /// Interval of the gain, sessions resampled with all their repeats: these share a control and test trials. Absent
    /// with a single session.
    pub interval: Option<ConfidenceInterval>,
    /// Points behind it, and how many of them are above their control.
    pub n_better: [usize; 2],
}

/// What it would take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The question.
    pub target: ScaleTarget,
    /// The size by a line over the logarithm of size: of gains, or of scores where every size has a control of its own.
    /// Absent if the line never gets there.
    pub size: Option<f64>,
    /// Its interval, sessions resampled; absent with fewer than five.
    pub interval: Option<ConfidenceInterval>,
    /// Share of resamples in which no size does; absent with fewer than five sessions.
    pub never: Option<f64>,
}

/// The laws of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleLaws {
    /// The task.
    pub task: EvalTask,
    /// Sessions behind it; with fewer than five there are no intervals.
    pub n_sessions: usize,
    /// Mean score of the best baseline, with its name.
    pub baseline: Option<(String, f64)>,
    /// Sizes from small to large.
    pub steps: Vec<Step>,
    /// Gain over the control as a line over the logarithm of size.
    pub line: Option<LogLinear>,
    /// Its slope per factor e of size, with an interval over sessions.
    pub slope: Option<ScalingInterval>,
    /// Share of what the control leaves unexplained, as a power law with a floor.
    pub power: Option<PowerLaw>,
    /// Its floor, with an interval over sessions.
    pub floor: Option<ScalingInterval>,
    /// Whether the smaller sizes foretell the largest.
    pub backtest: Option<Backtest>,
    /// Answers to the questions about this task.
    pub answers: Vec<Answer>,
    /// Why a law is missing.
    pub left_out: Vec<String>,
}

/// Everything a scaling curve finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleResult {
    /// Version of this file's format.
    pub format_version: u32,
    /// What the sizes count.
    pub axis: String,
    /// All scores.
    pub points: Vec<ScalePoint>,
    /// One per task.
    pub laws: Vec<ScaleLaws>,
}

impl ScaleResult {
    /// Fits the laws of every task; `baselines` are mean scores by task and name.
    pub fn new(
        axis: &str,
        points: Vec<ScalePoint>,
        baselines: &[(EvalTask, String, f64)],
        targets: &[ScaleTarget],
        bootstrap: &Bootstrap,
    ) -> Self {
        let mut tasks: Vec<EvalTask> = points.iter().map(|point| point.task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        let laws = tasks.into_iter().filter_map(|task| {
            let best = baselines.iter().filter(|b| b.0 == task).max_by(|a, b| a.2.total_cmp(&b.2));
            let best = best.map(|(_, name, value)| (name.clone(), *value));
            laws_of(task, &points, best, targets, bootstrap)
        });
        let laws = laws.collect();
        Self { format_version: 2, axis: axis.to_owned(), points, laws }
    }

    /// The tables for people.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Scores against {}\n\nPooled bits/spike on test trials of sessions that pretraining never saw. Gains are over the \
             same model trained from scratch on the session; intervals are Student's over sessions, each with all its repeats; those of laws resample sessions.\n",
            self.axis
        );
        // Writing to a string cannot fail.
        for laws in &self.laws {
            let _ = write!(text, "\n## {}\n\n", laws.task.name());
            if let Some((name, value)) = &laws.baseline {
                let _ = write!(text, "Best baseline {name} {value:.4}.\n\n");
            }
            let _ = writeln!(text, "| {} | bits/spike | from scratch | gain | better |", self.axis);
            text.push_str("|---:|---:|---:|---:|---:|\n");
            for step in &laws.steps {
                let interval =
                    step.interval.map_or_else(String::new, |i| format!(" [{:+.4}, {:+.4}]", i.lo, i.hi));
                let _ = writeln!(
                    text,
                    "| {} | {:.4} | {:.4} | {:+.4}{interval} | {}/{} |",
                    step.size, step.mean, step.control, step.gain, step.n_better[1], step.n_better[0]
                );
            }
            for line in laws.sentences(&self.axis) {
                let _ = write!(text, "\n{line}\n");
            }
        }
        text
    }

    /// The curve as an SVG file; `None` without a point.
    pub fn figure(&self) -> Option<String> {
        let panels: Vec<LadderPanel> = self.laws.iter().map(ScaleLaws::panel).collect();
        ladders(&format!("Scores against {}", self.axis), &self.axis, "bits/spike", &panels)
    }
}

impl ScaleLaws {
    fn sentences(&self, axis: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if self.n_sessions < FEWEST_SESSIONS {
            lines.push(format!(
                "Fewer than {FEWEST_SESSIONS} sessions were scored: laws have no intervals, for resamples of so few say little \
                 more than the least and the greatest."
            ));
        }
        if let Some(line) = &self.line {
            let ln2 = std::f64::consts::LN_2;
            let interval = self.slope.map_or_else(String::new, |slope| {
                format!(" [{:+.4}, {:+.4}]", slope.interval.lo * ln2, slope.interval.hi * ln2)
            });
            lines.push(format!(
                "Line over the logarithm: {:+.4}{interval} bits/spike per doubling, R² {:.2}.",
                line.slope * ln2,
                line.r2
            ));
        }
        if let Some(power) = &self.power {
            let interval = self.floor.map_or_else(String::new, |floor| {
                format!(" [{:.3}, {:.3}]", floor.interval.lo, floor.interval.hi)
            });
            lines.push(format!(
                "Power law of the share that from-scratch leaves unexplained: {:.3}{interval} + {:.3} · n^−{:.2}.",
                power.floor, power.scale, power.exponent
            ));
        }
        if let Some(test) = &self.backtest {
            let verdict =
                if test.relative_error < test.naive_relative_error { "better" } else { "no better" };
            lines.push(format!(
                "Backtest on the largest size: the law misses by {:.2} %, \"no change\" by {:.2} % ({verdict} than no change).",
                100.0 * test.relative_error,
                100.0 * test.naive_relative_error
            ));
        }
        // Without a line nothing is answered, and the reason is among what is left out.
        for answer in self.answers.iter().filter(|a| a.size.is_some() || self.line.is_some()) {
            let goal = answer.target.bits_per_spike;
            lines.push(match (answer.size, answer.interval.zip(answer.never)) {
                (Some(size), Some((interval, never))) => format!(
                    "For {goal:.3} bits/spike it takes {} [{}, {}] {axis} by the line; in {:.0} % of resamples no number does.",
                    rounded(size),
                    rounded(interval.lo),
                    rounded(interval.hi),
                    100.0 * never
                ),
                (Some(size), None) => {
                    format!("For {goal:.3} bits/spike it takes {} {axis} by the line.", rounded(size))
                }
                (None, _) => format!("For {goal:.3} bits/spike no number of {axis} is enough by the line."),
            });
        }
        lines.extend(self.left_out.iter().cloned());
        lines
    }

    fn panel(&self) -> LadderPanel {
        let measured = self.steps.iter().map(|step| LadderPoint {
            size: step.size as f64,
            score: step.mean,
            interval: step.interval.map(|i| (step.control + i.lo, step.control + i.hi)),
        });
        let controls = self.steps.iter().map(|step| LadderPoint {
            size: step.size as f64,
            score: step.control,
            interval: None,
        });
        let level = |value: f64| -> Vec<LadderPoint> {
            let ends = [self.steps.first(), self.steps.last()].into_iter().flatten();
            ends.map(|step| LadderPoint { size: step.size as f64, score: value, interval: None }).collect()
        };
        let fitted = self.steps.iter().filter_map(|step| {
            let size = step.size as f64;
            Some(LadderPoint { size, score: step.control + self.line?.predict(size), interval: None })
        });
        let curve = |name: &str, points: Vec<LadderPoint>, is_expected| LadderCurve {
            name: name.to_owned(),
            points,
            is_expected,
        };
        let baseline = self.baseline.as_ref().map(|(_, value)| level(*value)).unwrap_or_default();
        LadderPanel {
            title: self.task.name().replace('_', " "),
            curves: vec![
                curve("pretrained, fine-tuned", measured.collect(), false),
                curve("line over log size", fitted.collect(), true),
                curve("from scratch", controls.collect(), true),
                curve("best baseline", baseline, true),
            ],
        }
    }
}

fn rounded(size: f64) -> String {
    if size < 1e6 { format!("{size:.0}") } else { format!("{size:.0e}") }
}

/// Scores of one task, paired with their controls.
#[derive(Default)]
struct Paired {
    sizes: Vec<f64>,
    scores: Vec<f64>,
    controls: Vec<f64>,
    gains: Vec<f64>,
    /// Share of what the control leaves unexplained.
    shares: Vec<f64>,
    /// Session of every point. Repeats of a session share its control and its test trials, so that they are one cluster.
    sessions: Vec<usize>,
    n_sessions: usize,
}

fn paired(task: EvalTask, points: &[ScalePoint]) -> Paired {
    let mut found = Paired::default();
    let mut sessions: Vec<&SessionId> = Vec::new();
    for point in points.iter().filter(|p| p.task == task && !p.is_control) {
        let is_own = |p: &&ScalePoint| {
            let is_of_size = p.size == 0 || p.size == point.size;
            p.task == task && p.is_control && p.session == point.session && is_of_size
        };
        let Some(control) = points.iter().find(is_own) else { continue };
        let session = sessions.iter().position(|known| **known == point.session).unwrap_or_else(|| {
            sessions.push(&point.session);
            sessions.len() - 1
        });
        found.sizes.push(point.size as f64);
        found.scores.push(point.bits_per_spike);
        found.controls.push(control.bits_per_spike);
        found.gains.push(point.bits_per_spike - control.bits_per_spike);
        found
            .shares
            .push((point.saturated - point.bits_per_spike) / (control.saturated - control.bits_per_spike));
        found.sessions.push(session);
    }
    found.n_sessions = sessions.len();
    found
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

impl Paired {
    /// Sizes from small to large, each once.
    fn distinct_sizes(&self) -> Vec<f64> {
        let mut sizes = self.sizes.clone();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        sizes
    }

    fn step(&self, size: f64) -> Step {
        let at: Vec<usize> = (0..self.sizes.len()).filter(|&i| (self.sizes[i] - size).abs() < 0.5).collect();
        let of = |values: &[f64]| -> Vec<f64> { at.iter().map(|&i| values[i]).collect() };
        let gains = of(&self.gains);
        // Repeats of a session are no further sessions.
        let mut by_session: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (&i, &gain) in at.iter().zip(&gains) {
            by_session.entry(self.sessions[i]).or_default().push(gain);
        }
        let of_session: Vec<f64> = by_session.values().map(|gains| mean(gains)).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are whole")]
        let whole = size as usize;
        Step {
            size: whole,
            mean: mean(&of(&self.scores)),
            control: mean(&of(&self.controls)),
            gain: mean(&gains),
            interval: (of_session.len() > 1).then(|| ConfidenceInterval::of_mean(&of_session, LEVEL)),
            n_better: [gains.len(), gains.iter().filter(|gain| **gain > 0.0).count()],
        }
    }

    /// The size at which a line reaches `target`: a line of gains over one control, or of scores where every size has a
    /// control of its own.
    fn answer(&self, target: &ScaleTarget, has_own_controls: bool, bootstrap: Option<&Bootstrap>) -> Answer {
        let (values, level) =
            if has_own_controls { (&self.scores, 0.0) } else { (&self.gains, mean(&self.controls)) };
        let height = target.bits_per_spike - level;
        let resampled = bootstrap.and_then(|bootstrap| {
            LogLinearBootstrap::new(&self.sizes, values, &self.sessions, bootstrap).ok()
        });
        let (interval, never) = resampled.and_then(|line| line.size_for(height)).unzip();
        Answer {
            target: target.clone(),
            size: LogLinear::fit(&self.sizes, values).ok().and_then(|line| line.size_for(height)),
            interval: interval.map(|found: ScalingInterval| found.interval),
            never,
        }
    }
}

fn laws_of(
    task: EvalTask,
    points: &[ScalePoint],
    baseline: Option<(String, f64)>,
    targets: &[ScaleTarget],
    bootstrap: &Bootstrap,
) -> Option<ScaleLaws> {
    let all = paired(task, points);
    if all.sizes.is_empty() {
        return None;
    }
    let sizes = all.distinct_sizes();
    let mut left_out = Vec::new();
    let line = LogLinear::fit(&all.sizes, &all.gains)
        .map_err(|error| left_out.push(format!("No line: {error}.")))
        .ok();
    let power = PowerLaw::fit(&all.sizes, &all.shares)
        .map_err(|error| left_out.push(format!("No power law: {error}.")))
        .ok();
    let bootstrap = (all.n_sessions >= FEWEST_SESSIONS).then_some(bootstrap);
    let lines =
        bootstrap.and_then(|b| LogLinearBootstrap::new(&all.sizes, &all.gains, &all.sessions, b).ok());
    let powers =
        bootstrap.and_then(|b| PowerLawBootstrap::new(&all.sizes, &all.shares, &all.sessions, b).ok());
    let before_last = sizes.len().checked_sub(2).map_or(0.0, |i| sizes[i]);
    let backtest = backtest(&all.sizes, &all.shares, before_last)
        .map_err(|error| left_out.push(format!("No backtest: {error}.")))
        .ok();
    let has_own_controls = points.iter().any(|p| p.task == task && p.is_control && p.size > 0);
    let answer = |target| all.answer(target, has_own_controls, bootstrap);
    Some(ScaleLaws {
        task,
        n_sessions: all.n_sessions,
        baseline,
        steps: sizes.iter().map(|&size| all.step(size)).collect(),
        answers: targets.iter().filter(|target| target.task == task).map(answer).collect(),
        slope: lines.map(|lines| lines.interval(|law| law.slope)),
        floor: powers.map(|powers| powers.interval(|law| law.floor)),
        line,
        power,
        backtest,
        left_out,
    })
}
