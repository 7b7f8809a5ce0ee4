//! Summaries and choices as a report shows them.

use neurobrick_metrics::ConfidenceInterval;
use neurobrick_report as report;

use super::results::{EvaluationResult, Group, TaskEvaluation};
use super::summary::{EvaluationSummary, SummaryScore};
use super::to_report::{estimate, predictor, report_task};

pub(super) fn summary(found: &EvaluationSummary, result: &EvaluationResult) -> report::Summary {
    let group_of = |name: &str| {
        let mut all = result.sessions.iter().flat_map(|s| &s.tasks).flat_map(|t| &t.predictors);
        all.find(|p| p.name == name).map_or(Group::Model, |p| p.group)
    };
    let first = |task| found.scores.iter().find(|s| s.task == task && s.group == Group::Model);
    let difference = |score: &SummaryScore| {
        let left = &first(score.task)?.predictor;
        let mut all = found.differences.iter().filter(|d| d.task == score.task);
        let of = all.find(|d| d.left == *left && d.right == score.predictor)?;
        Some(interval(of.mean, of.interval))
    };
    report::Summary {
        // With one session there is nothing to be said beyond it.
        scores: found
            .scores
            .iter()
            .filter(|score| score.n_sessions > 1)
            .map(|score| report::SummaryScore {
                task: report_task(score.task),
                predictor: predictor(&score.predictor, score.group),
                n_sessions: score.n_sessions as u64,
                mean: interval(score.mean, score.interval),
                difference: difference(score),
                worst_session: score.worst_session.to_string(),
                worst: score.worst,
            })
            .collect(),
        regions: found
            .regions
            .iter()
            .map(|of| report::RegionSummary {
                task: report_task(of.task),
                predictor: predictor(&of.predictor, group_of(&of.predictor)),
                mean: interval(of.mean, of.interval),
                regions: of
                    .regions
                    .iter()
                    .map(|row| report::RegionRow {
                        region: row.region.clone(),
                        n_sessions: row.n_sessions as u64,
                        n_units: row.n_units as u64,
                        score: interval(row.mean, row.interval),
                        is_worst: row.is_worst,
                    })
                    .collect(),
            })
            .collect(),
    }
}

/// The first model's difference from each predictor stands beside that predictor's accuracy.
pub(super) fn choices(session: &str, task: &TaskEvaluation) -> Vec<report::ChoiceResult> {
    let scored = task.two_alternative.iter().filter(|found| found.undefined.is_none());
    scored
        .map(|found| {
            let first = found.predictors.iter().find(|p| p.group == Group::Model);
            let difference = |right: &str| {
                let left = &first?.predictor;
                let of = found.differences.iter().find(|d| d.left == *left && d.right == right)?;
                Some(interval(of.difference, of.interval))
            };
            report::ChoiceResult {
                session: session.to_owned(),
                task: report_task(task.task),
                alteration: found.alteration.name().replace('_', " "),
                n_trials: found.n_trials as u64,
                n_items: found.n_items as u64,
                mean_altered_units: found.mean_altered_units,
                rows: found
                    .predictors
                    .iter()
                    .map(|p| report::ChoiceRow {
                        predictor: predictor(&p.predictor, p.group),
                        accuracy: interval(p.accuracy, p.interval),
                        calibration_error: p.calibration_error,
                        difference: difference(&p.predictor),
                    })
                    .collect(),
            }
        })
        .collect()
}

/// A value with its interval, if there is one.
fn interval(value: f64, interval: Option<ConfidenceInterval>) -> report::Estimate {
    match interval {
        Some(interval) => estimate(value, &interval),
        None => report::Estimate::new(value, f64::NAN, f64::NAN),
    }
}
