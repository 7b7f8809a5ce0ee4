//! The run as a drawing: recordings → store → pretrain → fine-tune → evaluate.

use super::canvas::{Anchor, Canvas, pixel, shortened_inside};
use crate::model::{RunReport, SessionFacts, SessionRole, Task};
use crate::numbers;

/// Narrowest and widest box.
const BOX: (f64, f64) = (132.0, 250.0);
/// Room between the border of a box and its text.
const PAD: f64 = 12.0;
/// Widest that a character of common fonts is on average, so that no name runs over a border.
const CHARACTER: f64 = 7.3;
/// Most characters of a line: what fits into the widest box.
const LONGEST: usize = 30;
const GAP: f64 = 50.0;
const LINE: f64 = 17.0;
/// Longest list in a box before it is cut.
const MAX_LINES: usize = 9;

struct Step {
    heading: String,
    class: &'static str,
    lines: Vec<String>,
    /// Word on the arrow that leaves the step.
    arrow: &'static str,
}

impl Step {
    /// Wide enough for its lines.
    fn width(&self) -> f64 {
        let longest = self.lines.iter().map(|line| line.chars().count().min(LONGEST)).max().unwrap_or(0);
        (longest as f64 * CHARACTER + 2.0 * PAD).clamp(BOX.0, BOX.1)
    }
}

/// Draws the five steps with what went through them.
pub(crate) fn draw(report: &RunReport) -> String {
    let steps = steps(report);
    let longest = steps.iter().map(|step| step.lines.len()).max().unwrap_or(0);
    let height = 44.0 + LINE * longest as f64 + 10.0;
    let widths: Vec<f64> = steps.iter().map(Step::width).collect();
    let width = widths.iter().sum::<f64>() + GAP * (steps.len() - 1) as f64 + 4.0;
    let mut canvas =
        Canvas::new(width, height + 4.0, "Pipeline: recordings, store, pretraining, fine-tuning, evaluation");
    let mut x = 2.0;
    for (position, (step, width)) in steps.iter().zip(widths).enumerate() {
        canvas.rounded((x, 2.0), (width, height), &format!("box {}", step.class));
        canvas.text((x + PAD, 24.0), Anchor::Start, "box-heading", &step.heading);
        for (index, line) in step.lines.iter().enumerate() {
            let at = (x + PAD, 46.0 + LINE * index as f64);
            canvas.text(at, Anchor::Start, "box-line", &shortened_inside(line, LONGEST));
        }
        if position + 1 < steps.len() {
            let (from, to) = (x + width + 3.0, x + width + GAP - 4.0);
            canvas.line((from, 28.0), (to - 6.0, 28.0), "arrow");
            canvas.path(&format!("M{} 28l-8 -4.5v9z", pixel(to)), "arrow-head");
            canvas.text((f64::midpoint(from, to), 18.0), Anchor::Middle, "arrow-word", step.arrow);
        }
        x += width + GAP;
    }
    canvas.finish()
}

fn steps(report: &RunReport) -> Vec<Step> {
    let sessions = |role: SessionRole| -> Vec<&SessionFacts> {
        report.sessions.iter().filter(|session| session.role == role).collect()
    };
    // Of sessions that no model uses all units, trials and spikes are known, of others those in windows: no sum of both.
    let used = || report.sessions.iter().filter(|session| session.role != SessionRole::IngestedOnly);
    let total = |count: fn(&SessionFacts) -> u64| used().map(count).sum::<u64>();
    let mut subjects: Vec<&str> = report.sessions.iter().map(|session| session.subject.as_str()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let (pretrain, fine_tune) = (sessions(SessionRole::Pretrain), sessions(SessionRole::FineTune));
    let n_of = |count: usize, noun: &str| numbers::counted(count as u64, noun);
    // "Co-smoothing, leave one out" and "Co-smoothing, group" share a line.
    let mut evaluate: Vec<String> = Task::ALL
        .into_iter()
        .filter(|task| report.tasks.iter().any(|result| result.task == *task))
        .map(|task| task.label().split(',').next().unwrap_or(task.label()).to_owned())
        .collect();
    evaluate.dedup();
    if !report.decoding.is_empty() {
        evaluate.push("Decoding".to_owned());
    }
    let mut steps = vec![
        Step {
            heading: "Recordings".to_owned(),
            class: "b-data",
            lines: vec![n_of(report.sessions.len(), "session"), n_of(subjects.len(), "subject")],
            arrow: "ingest",
        },
        Step {
            heading: "Store".to_owned(),
            class: "b-data",
            lines: vec![
                "Parquet tables".to_owned(),
                "hashed, with license".to_owned(),
                "cut into windows:".to_owned(),
                numbers::counted(total(|session| session.n_units), "unit"),
                numbers::counted(total(|session| session.n_trials), "trial"),
                numbers::counted(total(|session| session.n_spikes), "spike"),
                "train / valid / test".to_owned(),
            ],
            arrow: "train",
        },
        Step {
            heading: format!("Pretrain on {}", pretrain.len()),
            class: "b-model",
            lines: listing(&pretrain),
            arrow: "weights",
        },
        Step {
            heading: format!("Fine-tune on {}", fine_tune.len()),
            class: "b-model",
            lines: std::iter::once("unseen by pretraining:".to_owned()).chain(listing(&fine_tune)).collect(),
            arrow: "test",
        },
        Step { heading: "Evaluate".to_owned(), class: "b-score", lines: evaluate, arrow: "" },
    ];
    // A page of scores alone does not know where its models come from.
    if pretrain.is_empty() && fine_tune.is_empty() {
        steps.drain(2..4);
    }
    steps
}

fn listing(sessions: &[&SessionFacts]) -> Vec<String> {
    let shown = if sessions.len() > MAX_LINES { MAX_LINES - 1 } else { sessions.len() };
    let mut lines: Vec<String> = sessions[..shown].iter().map(|session| session.id.clone()).collect();
    if sessions.is_empty() {
        lines.push("none".to_owned());
    } else if shown < sessions.len() {
        lines.push(format!("and {} more", sessions.len() - shown));
    }
    lines
}
