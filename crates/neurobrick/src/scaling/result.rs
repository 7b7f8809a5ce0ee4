//! What a scaling curve finds: the contents of `scale.json`.

use std::fmt::Write as _;

use neurobrick_metrics::scaling::{
    Backtest, LogLinear, LogLinearBootstrap, PowerLaw, PowerLawBootstrap, ScalingInterval, backtest,
};
use neurobrick_metrics::{Bootstrap, ConfidenceInterval};
use neurobrick_report::{LadderCurve, LadderPanel, LadderPoint, ladders};
use neurobrick_schema::SessionId;
use neurobrick_train::EvalTask;
use serde::{Deserialize, Serialize};

use crate::config::ScaleTarget;

/// One score on the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalePoint {
    /// The size; 0 is the control without pretraining.
    pub size: usize,
    /// Which climb.
    pub repeat: u64,
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
    /// Mean of the differences from the control on the same sessions.
    pub gain: f64,
    /// Interval of the gain, pairs of session and repeat resampled.
    pub interval: ConfidenceInterval,
    /// Points behind it, and how many of them are above the control.
    pub n_better: [usize; 2],
}

/// What it would take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The question.
    pub target: ScaleTarget,
    /// The size by the line over the logarithm of size; absent if the line never gets there.
    pub size: Option<ScalingInterval>,
    /// Share of resamples in which no size does.
    pub never: Option<f64>,
}

/// The laws of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleLaws {
    /// The task.
    pub task: EvalTask,
    /// Mean score of the control without pretraining.
    pub control: f64,
    /// Mean score of the best baseline, with its name.
    pub baseline: Option<(String, f64)>,
    /// Sizes from small to large.
    pub steps: Vec<Step>,
    /// Gain over the control as a line over the logarithm of size.
    pub line: Option<LogLinear>,
    /// Its slope per factor e of size.
    pub slope: Option<ScalingInterval>,
    /// Share of what the control leaves unexplained, as a power law with a floor.
    pub power: Option<PowerLaw>,
    /// Its floor.
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
        Self { format_version: 1, axis: axis.to_owned(), points, laws }
    }

    /// The tables for people.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Scores against {}\n\nPooled bits/spike on test trials of sessions that pretraining never saw. Gains are over the \
             same model trained from scratch on the session; intervals resample pairs of session and repeat.\n",
            self.axis
        );
        for laws in &self.laws {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n## {}\n\nFrom scratch {:.4}{}.\n\n| {} | bits/spike | gain | better |\n|---:|---:|---:|---:|\n",
                laws.task.name(),
                laws.control,
                laws.baseline
                    .as_ref()
                    .map_or_else(String::new, |(n, v)| format!("; best baseline {n} {v:.4}")),
                self.axis
            );
            for step in &laws.steps {
                let _ = writeln!(
                    text,
                    "| {} | {:.4} | {:+.4} [{:+.4}, {:+.4}] | {}/{} |",
                    step.size,
                    step.mean,
                    step.gain,
                    step.interval.lo,
                    step.interval.hi,
                    step.n_better[1],
                    step.n_better[0]
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
        if let (Some(line), Some(slope)) = (&self.line, &self.slope) {
            let ln2 = std::f64::consts::LN_2;
            lines.push(format!(
                "Line over the logarithm: {:+.4} [{:+.4}, {:+.4}] bits/spike per doubling, R² {:.2}.",
                slope.value * ln2,
                slope.interval.lo * ln2,
                slope.interval.hi * ln2,
                line.r2
            ));
        }
        if let (Some(power), Some(floor)) = (&self.power, &self.floor) {
            lines.push(format!(
                "Power law of the share that from-scratch leaves unexplained: {:.3} [{:.3}, {:.3}] + {:.3} · n^−{:.2}.",
                floor.value, floor.interval.lo, floor.interval.hi, power.scale, power.exponent
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
        for answer in &self.answers {
            let goal = answer.target.bits_per_spike;
            lines.push(match (&answer.size, answer.never) {
                (Some(size), Some(never)) => format!(
                    "For {goal:.3} bits/spike it takes {} [{}, {}] {axis} by the line; in {:.0} % of resamples no number does.",
                    rounded(size.value),
                    rounded(size.interval.lo),
                    rounded(size.interval.hi),
                    100.0 * never
                ),
                _ => format!("For {goal:.3} bits/spike no number of {axis} is enough by the line."),
            });
        }
        lines.extend(self.left_out.iter().cloned());
        lines
    }

    fn panel(&self) -> LadderPanel {
        let measured = self.steps.iter().map(|step| LadderPoint {
            size: step.size as f64,
            score: step.mean,
            interval: Some((self.control + step.interval.lo, self.control + step.interval.hi)),
        });
        let level = |value: f64| -> Vec<LadderPoint> {
            let ends = [self.steps.first(), self.steps.last()].into_iter().flatten();
            ends.map(|step| LadderPoint { size: step.size as f64, score: value, interval: None }).collect()
        };
        let fitted = self.steps.iter().filter_map(|step| {
            let size = step.size as f64;
            Some(LadderPoint { size, score: self.control + self.line?.predict(size), interval: None })
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
                curve("from scratch", level(self.control), true),
                curve("best baseline", baseline, true),
            ],
        }
    }
}

fn rounded(size: f64) -> String {
    if size < 1e6 { format!("{size:.0}") } else { format!("{size:.0e}") }
}

/// Scores of one task, paired with the control.
struct Paired {
    sizes: Vec<f64>,
    scores: Vec<f64>,
    gains: Vec<f64>,
    /// Share of what the control leaves unexplained.
    shares: Vec<f64>,
    pairs: Vec<usize>,
}

fn paired(task: EvalTask, points: &[ScalePoint]) -> Paired {
    let mut found = Paired {
        sizes: Vec::new(),
        scores: Vec::new(),
        gains: Vec::new(),
        shares: Vec::new(),
        pairs: Vec::new(),
    };
    let mut pairs: Vec<(&SessionId, u64)> = Vec::new();
    for point in points.iter().filter(|p| p.task == task && p.size > 0) {
        let control = points.iter().find(|p| p.task == task && p.size == 0 && p.session == point.session);
        let Some(control) = control else { continue };
        let key = (&point.session, point.repeat);
        let pair = pairs.iter().position(|known| *known == key).unwrap_or_else(|| {
            pairs.push(key);
            pairs.len() - 1
        });
        found.sizes.push(point.size as f64);
        found.scores.push(point.bits_per_spike);
        found.gains.push(point.bits_per_spike - control.bits_per_spike);
        found
            .shares
            .push((point.saturated - point.bits_per_spike) / (control.saturated - control.bits_per_spike));
        found.pairs.push(pair);
    }
    found
}

fn laws_of(
    task: EvalTask,
    points: &[ScalePoint],
    baseline: Option<(String, f64)>,
    targets: &[ScaleTarget],
    bootstrap: &Bootstrap,
) -> Option<ScaleLaws> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let controls: Vec<f64> =
        points.iter().filter(|p| p.task == task && p.size == 0).map(|p| p.bits_per_spike).collect();
    let all = paired(task, points);
    if all.sizes.is_empty() {
        return None;
    }
    let control = mean(&controls);
    let mut sizes: Vec<usize> =
        points.iter().filter(|p| p.task == task && p.size > 0).map(|p| p.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let steps = sizes.iter().map(|&size| {
        let at: Vec<usize> =
            (0..all.sizes.len()).filter(|&i| (all.sizes[i] - size as f64).abs() < 0.5).collect();
        let gains: Vec<f64> = at.iter().map(|&i| all.gains[i]).collect();
        let scores: Vec<f64> = at.iter().map(|&i| all.scores[i]).collect();
        let clusters: Vec<usize> = at.iter().map(|&i| all.pairs[i]).collect();
        let over = |rows: &[usize]| Some(rows.iter().map(|&row| gains[row]).sum::<f64>() / rows.len() as f64);
        Step {
            size,
            mean: mean(&scores),
            gain: mean(&gains),
            interval: bootstrap.clustered(&clusters, over),
            n_better: [gains.len(), gains.iter().filter(|gain| **gain > 0.0).count()],
        }
    });
    let steps = steps.collect();
    let mut left_out = Vec::new();
    let line = LogLinearBootstrap::new(&all.sizes, &all.gains, &all.pairs, bootstrap)
        .map_err(|error| left_out.push(format!("No line: {error}.")))
        .ok();
    let power = PowerLawBootstrap::new(&all.sizes, &all.shares, &all.pairs, bootstrap)
        .map_err(|error| left_out.push(format!("No power law: {error}.")))
        .ok();
    let before_last = sizes.len().checked_sub(2).map_or(0.0, |i| sizes[i] as f64);
    let backtest = backtest(&all.sizes, &all.shares, before_last)
        .map_err(|error| left_out.push(format!("No backtest: {error}.")))
        .ok();
    let answers = targets.iter().filter(|target| target.task == task).map(|target| {
        // The line is of gains over the control.
        let found = line.as_ref().and_then(|line| line.size_for(target.bits_per_spike - control));
        let (size, never) = found.unzip();
        Answer { target: target.clone(), size, never }
    });
    Some(ScaleLaws {
        task,
        control,
        baseline,
        steps,
        answers: answers.collect(),
        slope: line.as_ref().map(|line| line.interval(|law| law.slope)),
        floor: power.as_ref().map(|power| power.interval(|law| law.floor)),
        line: line.map(|line| *line.law()),
        power: power.map(|power| *power.law()),
        backtest,
        left_out,
    })
}
