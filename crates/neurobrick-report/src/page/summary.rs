//! The tables over sessions and over regions.

use super::tables::{Cell, estimate_cell, numbers_3};
use crate::model::{RegionSummary, RunReport, SummaryScore, Task};
use crate::numbers;

/// Predictors of one task over sessions.
pub(super) struct SummaryTable {
    pub(super) task: &'static str,
    pub(super) rows: Vec<SummaryLine>,
}

/// One predictor.
pub(super) struct SummaryLine {
    pub(super) label: String,
    pub(super) mean: Cell,
    pub(super) difference: Cell,
    pub(super) n_sessions: String,
    /// Score and session.
    pub(super) worst: [String; 2],
}

/// Regions of one task and predictor.
pub(super) struct RegionTable {
    pub(super) heading: String,
    pub(super) mean: Cell,
    pub(super) rows: Vec<RegionLine>,
}

/// One region.
pub(super) struct RegionLine {
    pub(super) region: String,
    pub(super) score: Cell,
    pub(super) n_sessions: String,
    pub(super) n_units: String,
    pub(super) is_worst: bool,
}

/// One table a task, in the order of [`Task::ALL`].
pub(super) fn over_sessions(report: &RunReport) -> Vec<SummaryTable> {
    let Some(summary) = &report.over_sessions else { return Vec::new() };
    let of_task = |task: Task| {
        let rows: Vec<SummaryLine> =
            summary.scores.iter().filter(|score| score.task == task).map(line).collect();
        (!rows.is_empty()).then(|| SummaryTable { task: task.label(), rows })
    };
    Task::ALL.into_iter().filter_map(of_task).collect()
}

fn line(score: &SummaryScore) -> SummaryLine {
    SummaryLine {
        label: score.predictor.label().to_owned(),
        mean: estimate_cell(&score.mean, numbers_3),
        difference: score.difference.as_ref().map_or_else(Cell::empty, |d| estimate_cell(d, numbers::signed)),
        n_sessions: numbers::count(score.n_sessions),
        worst: [numbers_3(score.worst), score.worst_session.clone()],
    }
}

/// Tables of regions; those of a single region say nothing that the scores do not.
pub(super) fn over_regions(report: &RunReport) -> Vec<RegionTable> {
    let all = report.over_sessions.iter().flat_map(|summary| &summary.regions);
    all.filter(|found| found.regions.len() > 1).map(region_table).collect()
}

fn region_table(found: &RegionSummary) -> RegionTable {
    let rows = found.regions.iter().map(|row| RegionLine {
        region: row.region.clone(),
        score: estimate_cell(&row.score, numbers_3),
        n_sessions: numbers::count(row.n_sessions),
        n_units: numbers::count(row.n_units),
        is_worst: row.is_worst,
    });
    RegionTable {
        heading: format!("{}, {}", found.task.label(), found.predictor.label()),
        mean: estimate_cell(&found.mean, numbers_3),
        rows: rows.collect(),
    }
}
