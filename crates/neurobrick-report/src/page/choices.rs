//! The tables of real spikes against altered ones.

use super::tables::{Cell, estimate_cell, numbers_3};
use crate::model::{ChoiceResult, RunReport};
use crate::numbers;

/// One alteration of one task on one session.
pub(super) struct ChoiceTable {
    pub(super) heading: String,
    pub(super) size: String,
    pub(super) rows: Vec<ChoiceLine>,
}

/// One predictor.
pub(super) struct ChoiceLine {
    pub(super) label: String,
    pub(super) accuracy: Cell,
    pub(super) calibration_error: String,
    /// The first model minus this one; empty for the model itself.
    pub(super) difference: Cell,
}

/// Tables in the order of the report.
pub(super) fn choices(report: &RunReport) -> Vec<ChoiceTable> {
    report.choices.iter().map(table).collect()
}

fn table(result: &ChoiceResult) -> ChoiceTable {
    let rows = result.rows.iter().map(|row| ChoiceLine {
        label: row.predictor.label().to_owned(),
        accuracy: estimate_cell(&row.accuracy, numbers_3),
        calibration_error: numbers_3(row.calibration_error),
        difference: row.difference.as_ref().map_or_else(Cell::empty, |d| estimate_cell(d, numbers::signed)),
    });
    ChoiceTable {
        heading: format!("{}, {}, {}", result.task.label(), result.session, result.alteration),
        size: format!(
            "{} of {}; {} units altered on average",
            numbers::counted(result.n_items, "pair"),
            numbers::counted(result.n_trials, "test trial"),
            numbers::decimal(result.mean_altered_units, 1)
        ),
        rows: rows.collect(),
    }
}
