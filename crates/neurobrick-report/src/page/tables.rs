//! Score tables and forest plots by task, and the decoding table.

use crate::model::{
    DecodingResult, Estimate, Null, NullScores, Predictor, PredictorScores, RunReport, Task, TaskResult,
};
use crate::numbers;
use crate::svg::forest;

const NO_REASON: &str = "not defined for these data";

/// One number of a table.
pub(super) struct Cell {
    pub(super) value: String,
    pub(super) interval: String,
    pub(super) is_best: bool,
    /// Tooltip of an undefined value, else empty.
    pub(super) reason: String,
    /// Whether a new group of columns begins here.
    pub(super) opens_group: bool,
}

impl Cell {
    /// Nothing to show.
    pub(super) fn empty() -> Self {
        let nothing = String::new;
        Self { value: nothing(), interval: nothing(), is_best: false, reason: nothing(), opens_group: false }
    }
}

/// One predictor.
pub(super) struct Row {
    pub(super) label: String,
    pub(super) class: &'static str,
    pub(super) cells: Vec<Cell>,
}

/// One session's rows.
pub(super) struct Group {
    pub(super) heading: String,
    pub(super) size: String,
    pub(super) rows: Vec<Row>,
}

/// One forest plot with its session.
pub(super) struct Panel {
    pub(super) session: String,
    pub(super) svg: String,
}

/// All about one task.
pub(super) struct TaskSection {
    pub(super) anchor: String,
    pub(super) label: &'static str,
    pub(super) explanation: &'static str,
    pub(super) panels: Vec<Panel>,
    /// What stands under the panels.
    pub(super) caption: String,
    pub(super) groups: Vec<Group>,
    /// "–" explained: one line per undefined value.
    pub(super) footnotes: Vec<String>,
}

/// Balanced accuracies.
pub(super) struct DecodingTable {
    pub(super) rows: Vec<DecodingRow>,
    /// What the intervals allow to be said.
    pub(super) sentence: String,
}

/// One decoder.
pub(super) struct DecodingRow {
    pub(super) session: String,
    pub(super) target: String,
    pub(super) feature: String,
    pub(super) cell: Cell,
    pub(super) n_trials: String,
    pub(super) majority: String,
    /// Mean of the null, and the p-value under it.
    pub(super) null: [String; 2],
    pub(super) opens_block: bool,
}

/// The tasks that were evaluated, in the order of [`Task::ALL`].
pub(super) fn task_sections(report: &RunReport) -> Vec<TaskSection> {
    Task::ALL
        .into_iter()
        .filter_map(|task| {
            let results: Vec<&TaskResult> =
                report.tasks.iter().filter(|result| result.task == task).collect();
            if results.is_empty() {
                return None;
            }
            let mut undefined = Vec::new();
            let groups = results.iter().map(|result| group(result, &mut undefined)).collect();
            let footnotes = footnotes(&results, undefined);
            let (panels, caption) = panels(task, &results);
            Some(TaskSection {
                anchor: task.label().to_lowercase().replace([' ', ','], "-"),
                label: task.label(),
                explanation: task.explanation(),
                panels,
                caption,
                groups,
                footnotes,
            })
        })
        .collect()
}

/// Color class of a predictor.
pub(super) fn color(predictor: &Predictor) -> &'static str {
    match predictor {
        Predictor::FineTuned | Predictor::FineTunedWithLinear | Predictor::FineTunedWithStack => "p-fine",
        Predictor::NewStitch | Predictor::NewStitchWithLinear | Predictor::NewStitchWithStack => "p-stitch",
        Predictor::FromScratch | Predictor::FromScratchWithLinear => "p-scratch",
        other if other.is_baseline() => "p-base",
        _ => "p-other",
    }
}

/// The forest plots of a task, one per session, and their caption.
fn panels(task: Task, results: &[&TaskResult]) -> (Vec<Panel>, String) {
    let null = task.drawn_null();
    let estimates =
        || results.iter().flat_map(|result| &result.predictors).map(|row| &row.against(null).pooled);
    let Some(domain) = forest::shared_domain(estimates(), 0.0) else {
        return (Vec::new(), String::new());
    };
    let label = match null {
        Null::EvaluatedMean => "pooled bits/spike (evaluated-mean null)",
        Null::TrainMean => "pooled bits/spike (train-mean null)",
    };
    let panel = |result: &&TaskResult| {
        let row = |row| forest_row(row, null, result.headline());
        let rows: Vec<forest::Row<'_>> = result.predictors.iter().map(row).collect();
        let title = format!("{} on {}, pooled bits per spike by predictor", task.label(), result.session);
        Panel { session: result.session.clone(), svg: forest::draw(&title, &rows, domain, 0.0, label) }
    };
    (results.iter().map(panel).collect(), caption(null, forest::is_clipped(estimates(), domain)))
}

fn forest_row<'a>(row: &'a PredictorScores, null: Null, headline: Option<&Predictor>) -> forest::Row<'a> {
    forest::Row {
        label: row.predictor.label(),
        class: color(&row.predictor),
        estimate: &row.against(null).pooled,
        is_headline: headline == Some(&row.predictor),
    }
}

fn caption(null: Null, is_clipped: bool) -> String {
    let against = match null {
        Null::EvaluatedMean => "each unit's mean over the evaluated bins",
        Null::TrainMean => {
            "each unit's mean over the training trials (the mean of the evaluated bins knows the future of the test trials; \
             scores against it are in the table)"
        }
    };
    let clipped = if is_clipped { " An arrow at the left edge stands for what lies beyond it." } else { "" };
    format!(
        "Dots: pooled bits/spike against {against}; lines: 95 % intervals; dashed: the null; bold: the model that the \
         headline speaks of.{clipped} Panels of a task share one range; n is in the table below."
    )
}

/// An undefined value: session, column, reason, predictor.
type Undefined = (String, &'static str, String, String);

/// One sentence for each session, column and reason, with the predictors it holds for.
fn footnotes(results: &[&TaskResult], undefined: Vec<Undefined>) -> Vec<String> {
    let mut notes: Vec<(Undefined, Vec<String>)> = Vec::new();
    for found in undefined {
        let is_same = |(other, _): &&mut (Undefined, Vec<String>)| {
            (&other.0, other.1, &other.2) == (&found.0, found.1, &found.2)
        };
        if let Some((_, predictors)) = notes.iter_mut().find(is_same) {
            predictors.push(found.3);
        } else {
            let predictor = found.3.clone();
            notes.push((found, vec![predictor]));
        }
    }
    let sentence = |((session, column, reason, _), predictors): (Undefined, Vec<String>)| {
        let rows = results.iter().find(|r| r.session == session).map_or(0, |r| r.predictors.len());
        let whom = if predictors.len() == rows { "all rows".to_owned() } else { predictors.join(", ") };
        format!("{session}, {column} ({whom}): {reason}.")
    };
    notes.into_iter().map(sentence).collect()
}

fn group(result: &TaskResult, undefined: &mut Vec<Undefined>) -> Group {
    let best: Vec<f64> = (0..8)
        .map(|column| {
            let values = result.predictors.iter().map(|row| column_value(row, column));
            values.filter(|value| value.is_finite()).fold(f64::NEG_INFINITY, f64::max)
        })
        .collect();
    let rows = result.predictors.iter().map(|row| {
        // First what the page is read for, which then is on screen however narrow that is.
        let mut cells = vec![difference_cell(result, row)];
        cells.extend(null_cells(&row.evaluated_mean, &best[..4]));
        cells.extend(null_cells(&row.train_mean, &best[4..]));
        for (cell, name) in cells.iter().zip(COLUMNS) {
            if !cell.reason.is_empty() {
                let predictor = row.predictor.label().to_owned();
                undefined.push((result.session.clone(), name, cell.reason.clone(), predictor));
            }
        }
        Row { label: row.predictor.label().to_owned(), class: color(&row.predictor), cells }
    });
    Group {
        rows: rows.collect(),
        heading: result.session.clone(),
        size: format!(
            "{} · {} ({} active) · {}",
            numbers::counted(result.n_trials, "test trial"),
            numbers::counted(result.n_units, "unit"),
            numbers::count(result.n_active_units),
            numbers::counted(result.n_spikes, "scored spike"),
        ),
    }
}

const COLUMNS: [&str; 9] = [
    "paired difference",
    "pooled, evaluated-mean null",
    "unit mean, evaluated-mean null",
    "unit median, evaluated-mean null",
    "active units' mean, evaluated-mean null",
    "pooled, train-mean null",
    "unit mean, train-mean null",
    "unit median, train-mean null",
    "active units' mean, train-mean null",
];

fn column_value(row: &PredictorScores, column: usize) -> f64 {
    let null = if column < 4 { &row.evaluated_mean } else { &row.train_mean };
    match column % 4 {
        0 => null.pooled.value,
        1 => null.unit_mean,
        2 => null.unit_median,
        _ => null.active_unit_mean,
    }
}

fn null_cells(null: &NullScores, best: &[f64]) -> Vec<Cell> {
    let plain = |value: f64, best: f64| {
        let reason = if value.is_finite() { String::new() } else { NO_REASON.to_owned() };
        Cell {
            value: numbers::decimal(value, 3),
            interval: String::new(),
            is_best: is_best(value, best),
            reason,
            opens_group: false,
        }
    };
    vec![
        Cell {
            is_best: is_best(null.pooled.value, best[0]),
            opens_group: true,
            ..estimate_cell(&null.pooled, numbers_3)
        },
        plain(null.unit_mean, best[1]),
        plain(null.unit_median, best[2]),
        plain(null.active_unit_mean, best[3]),
    ]
}

/// `best` is one of the column's own values, so that equality is exact.
fn is_best(value: f64, best: f64) -> bool {
    value.is_finite() && value.total_cmp(&best).is_eq()
}

pub(super) fn numbers_3(value: f64) -> String {
    numbers::decimal(value, 3)
}

pub(super) fn estimate_cell(estimate: &Estimate, show: impl Fn(f64) -> String) -> Cell {
    let reason = if estimate.is_defined() {
        String::new()
    } else {
        let missing = if estimate.value.is_finite() { "no interval: " } else { "" };
        format!("{missing}{}", estimate.reason.as_deref().unwrap_or(NO_REASON))
    };
    Cell {
        value: show(estimate.value),
        interval: numbers::interval(estimate.low, estimate.high),
        is_best: false,
        reason,
        opens_group: false,
    }
}

fn difference_cell(result: &TaskResult, row: &PredictorScores) -> Cell {
    let words = |value: &str| Cell {
        value: value.to_owned(),
        interval: String::new(),
        is_best: false,
        reason: String::new(),
        opens_group: true,
    };
    let Some(headline) = result.headline() else { return words("") };
    if *headline == row.predictor {
        return words("headline model");
    }
    match result.difference(headline, &row.predictor) {
        Some(difference) => Cell { opens_group: true, ..estimate_cell(&difference, numbers::signed) },
        None => words(""),
    }
}

/// The decoding table, `None` when nothing was decoded.
pub(super) fn decoding(report: &RunReport) -> Option<DecodingTable> {
    if report.decoding.is_empty() {
        return None;
    }
    let mut rows: Vec<DecodingRow> = Vec::new();
    let mut previous: Option<&DecodingResult> = None;
    for result in &report.decoding {
        let opens_block = previous.is_none_or(|before| !same_question(before, result));
        rows.push(DecodingRow {
            session: result.session.clone(),
            target: result.target.label().to_owned(),
            feature: result.feature.label().to_owned(),
            cell: estimate_cell(&result.balanced_accuracy, numbers_3),
            n_trials: numbers::count(result.n_trials),
            majority: numbers::decimal(result.majority_baseline, 3),
            null: result.null_in_words(),
            opens_block,
        });
        previous = Some(result);
    }
    Some(DecodingTable { rows, sentence: decoding_sentence(&report.decoding) })
}

fn same_question(a: &DecodingResult, b: &DecodingResult) -> bool {
    a.session == b.session && a.target == b.target
}

/// Says which comparisons of features the intervals allow.
fn decoding_sentence(results: &[DecodingResult]) -> String {
    let mut n_pairs = 0_u64;
    let mut n_overlapping = 0_u64;
    for (position, left) in results.iter().enumerate() {
        for right in results[position + 1..].iter().filter(|right| same_question(left, right)) {
            let (a, b) = (&left.balanced_accuracy, &right.balanced_accuracy);
            if a.is_defined() && b.is_defined() {
                n_pairs += 1;
                n_overlapping += u64::from(a.low <= b.high && b.low <= a.high);
            }
        }
    }
    match (n_pairs, n_overlapping) {
        (0, _) => "No two features with intervals were compared on the same question.".to_owned(),
        (pairs, 0) => format!(
            "In {} of features the intervals do not overlap; a ranking is supported by these trials.",
            numbers::counted(pairs, "comparison")
        ),
        (pairs, overlapping) => format!(
            "The intervals overlap in {} of {} of features: there, this table does not rank the features, whichever \
             number is larger.",
            numbers::count(overlapping),
            numbers::counted(pairs, "comparison")
        ),
    }
}
