//! Scores of systems, as the benchmark averages them.

use std::fmt::Write as _;

use neurobrick_metrics::ConfidenceInterval;
use neurobrick_metrics::bwb::clipped_mean;
use neurobrick_schema::SessionId;
use serde::{Deserialize, Serialize};

use super::BwbTask;
use crate::evaluation::LEVEL;

/// One system on one task of one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BwbRow {
    /// The task.
    pub task: BwbTask,
    /// The session; none where all are scored together, as the units of TS3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Baseline or model.
    pub system: String,
    /// R² of behavior, Poisson D² of events and activity, balanced accuracy of classes, macro F1 of regions. Absent where
    /// it is undefined.
    pub score: Option<f64>,
    /// Bits/spike pooled over units, for activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_spike: Option<f64>,
    /// Windows, trials or units that were scored.
    pub n: usize,
    /// What was chosen on validation trials.
    pub choice: String,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

/// All scores of a run: the contents of `bwb.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BwbTable {
    /// Version of this file's format.
    pub format_version: u32,
    /// One row per task, session and system.
    pub rows: Vec<BwbRow>,
}

/// The mean over sessions.
struct Mean {
    value: f64,
    interval: ConfidenceInterval,
    bits_per_spike: Option<f64>,
    n_sessions: usize,
    n: usize,
}

impl BwbTable {
    /// Tables for people, one per task: scores averaged over sessions with those below zero set to zero, as the benchmark
    /// does.
    pub fn markdown(&self) -> String {
        let mut text = "# BrainWideBench\n\nMeans over sessions (units of all sessions together for regions), scores below zero counted as zero, as the benchmark averages \
                        them, with Student's 95 % interval over sessions (none with a single session). These are \
                        sessions of one's own, not the benchmark's.\n"
            .to_owned();
        let mut tasks: Vec<&BwbTask> = self.rows.iter().map(|row| &row.task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        for task in tasks {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n## {task}\n\n| system | {} | bits/spike | sessions | {} |\n|---|---:|---:|---:|---:|\n",
                metric(task),
                counted(task)
            );
            let mut systems: Vec<&str> = Vec::new();
            for row in self.rows.iter().filter(|row| row.task == *task) {
                if !systems.contains(&row.system.as_str()) {
                    systems.push(&row.system);
                }
            }
            for system in systems {
                let Some(mean) = self.mean(task, system) else {
                    let mut of_system = self.rows.iter().filter(|r| r.task == *task && r.system == system);
                    let reason = of_system.find_map(|row| row.undefined.as_deref()).unwrap_or("undefined");
                    let _ = writeln!(text, "| {system} | {reason} | | | |");
                    continue;
                };
                let bits = mean.bits_per_spike.map_or_else(|| "–".to_owned(), |bits| format!("{bits:.3}"));
                let (lo, hi) = (mean.interval.lo, mean.interval.hi);
                let interval = if lo.is_finite() && hi.is_finite() {
                    format!(" [{lo:.3}, {hi:.3}]")
                } else {
                    String::new()
                };
                let _ = writeln!(
                    text,
                    "| {system} | {:.3}{interval} | {bits} | {} | {} |",
                    mean.value, mean.n_sessions, mean.n
                );
            }
        }
        text
    }

    fn mean(&self, task: &BwbTask, system: &str) -> Option<Mean> {
        let rows: Vec<&BwbRow> =
            self.rows.iter().filter(|row| row.task == *task && row.system == system).collect();
        let scores: Vec<f64> = rows.iter().filter_map(|row| row.score).collect();
        if scores.is_empty() {
            return None;
        }
        let clipped: Vec<f64> = scores.iter().map(|score| score.max(0.0)).collect();
        let bits: Vec<f64> = rows.iter().filter_map(|row| row.bits_per_spike).collect();
        Some(Mean {
            value: clipped_mean(&scores),
            interval: ConfidenceInterval::of_mean(&clipped, LEVEL),
            bits_per_spike: (!bits.is_empty()).then(|| bits.iter().sum::<f64>() / bits.len() as f64),
            n_sessions: scores.len(),
            n: rows.iter().filter(|row| row.score.is_some()).map(|row| row.n).sum(),
        })
    }
}

fn metric(task: &BwbTask) -> &'static str {
    match task {
        BwbTask::Behavior(_) => "R²",
        BwbTask::Events(_) | BwbTask::CoSmoothing | BwbTask::Forecasting => "Poisson D²",
        BwbTask::Classes(_) => "balanced accuracy",
        BwbTask::Regions => "macro F1",
    }
}

fn counted(task: &BwbTask) -> &'static str {
    match task {
        BwbTask::Regions => "units",
        BwbTask::Classes(_) => "trials",
        _ => "windows",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn scores_below_zero_count_as_zero_and_undefined_ones_not_at_all() {
        let row = |session: &str, score: Option<f64>| BwbRow {
            task: BwbTask::Forecasting,
            session: SessionId::new(session).ok(),
            system: "ours".to_owned(),
            score,
            bits_per_spike: score,
            n: 10,
            choice: "–".to_owned(),
            undefined: None,
        };
        let rows = vec![row("a", Some(0.4)), row("b", Some(-0.6)), row("c", None)];
        let table = BwbTable { format_version: 1, rows };
        let text = table.markdown();
        assert!(text.contains("| ours | 0.200 [-2.341, 2.741] | -0.100 | 2 | 20 |"), "{text}");
    }
}
