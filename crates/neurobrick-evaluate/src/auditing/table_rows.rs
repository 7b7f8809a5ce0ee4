//! Rows out of a text table.

use std::fs;
use std::path::Path;

use ndarray::Array2;
use neurobrick_metrics::audit::{AuditRows, AuditSplit, Nuisance};
use neurobrick_random::{Domain, Stream, name_index};

use super::{RowSplit, TableAudit, numbered, one_hot};
use crate::EvaluateError;

/// A table of cells by column.
struct Cells<'a> {
    path: &'a Path,
    names: Vec<String>,
    /// Number in the file, from one, and cells of each row.
    rows: Vec<(usize, Vec<String>)>,
}

impl<'a> Cells<'a> {
    fn read(path: &'a Path) -> Result<Self, EvaluateError> {
        let text = fs::read_to_string(path).map_err(EvaluateError::io("read", path))?;
        let bad = |message: String| EvaluateError::BadFile { path: path.to_owned(), message };
        let cells = |line: &str| line.split(',').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let Some((_, header)) = lines.next() else {
            return Err(bad("is empty; a header and rows are needed".to_owned()));
        };
        let names = cells(header);
        let mut rows = Vec::new();
        for (number, line) in lines {
            if line.contains('"') {
                return Err(bad(format!("line {} has quotes; write cells without", number + 1)));
            }
            let row = cells(line);
            if row.len() != names.len() {
                let message =
                    format!("line {} has {} cells, the header has {}", number + 1, row.len(), names.len());
                return Err(bad(message));
            }
            rows.push((number + 1, row));
        }
        Ok(Self { path, names, rows })
    }

    fn texts(&self, column: &str) -> Result<Vec<String>, EvaluateError> {
        let Some(position) = self.names.iter().position(|name| name == column) else {
            let message = format!("has no column `{column}`; it has: {}", self.names.join(", "));
            return Err(EvaluateError::BadFile { path: self.path.to_owned(), message });
        };
        Ok(self.rows.iter().map(|(_, row)| row[position].clone()).collect())
    }

    fn numbers(&self, column: &str) -> Result<Vec<f64>, EvaluateError> {
        let parse = |(text, (number, _)): (String, &(usize, Vec<String>))| match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => {
                let message = format!("line {number}, column `{column}` holds `{text}`, not a number");
                Err(EvaluateError::BadFile { path: self.path.to_owned(), message })
            }
        };
        self.texts(column)?.into_iter().zip(&self.rows).map(parse).collect()
    }

    fn matrix(&self, columns: &[String]) -> Result<Array2<f64>, EvaluateError> {
        let columns = columns.iter().map(|name| self.numbers(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Array2::from_shape_fn((self.rows.len(), columns.len()), |(i, j)| columns[j][i]))
    }
}

/// Rows and split of a table; random splits are drawn by `seed`.
///
/// # Errors
/// If the file cannot be read, lacks a column, or a cell is no number where one is needed.
pub fn table_rows(table: &TableAudit, seed: u64) -> Result<(AuditRows, AuditSplit), EvaluateError> {
    let mut cells = Cells::read(&table.path)?;
    if let RowSplit::Column { name } = &table.split {
        // Rows on neither side are none of the score's, so no check may look at them.
        let mut sides = cells.texts(name)?.into_iter();
        cells.rows.retain(|_| sides.next().is_some_and(|side| side == "train" || side == "test"));
    }
    let group_texts = cells.texts(&table.group)?;
    let groups = numbered(group_texts.iter().cloned());
    let starts = cells.numbers(&table.span[0])?;
    let ends = cells.numbers(&table.span[1])?;
    let trials = match &table.trial {
        // Trials of different groups may bear the same name.
        Some(column) => {
            let trials = cells.texts(column)?;
            numbered(trials.iter().zip(&group_texts).map(|(trial, group)| format!("{group}\n{trial}")))
        }
        None => (0..groups.len()).collect(),
    };
    let time = Array2::from_shape_fn((starts.len(), 1), |(row, _)| starts[row]);
    let mut nuisances = vec![
        Nuisance { name: "time".to_owned(), values: time },
        Nuisance { name: table.group.clone(), values: one_hot(&groups) },
    ];
    for nuisance in &table.nuisances {
        nuisances.push(Nuisance { name: nuisance.name.clone(), values: cells.matrix(&nuisance.columns)? });
    }
    let split = split(table, &cells, &group_texts, &trials, seed)?;
    let rows = AuditRows {
        features: cells.matrix(&table.features)?,
        labels: classes(cells.texts(&table.label)?),
        groups,
        has_times: true,
        spans_s: starts.into_iter().zip(ends).map(|(start, end)| [start, end]).collect(),
        stimuli: table.stimulus.as_ref().map(|c| cells.texts(c)).transpose()?.map(numbered),
        nuisances,
        outputs: if table.outputs.is_empty() { None } else { Some(cells.matrix(&table.outputs)?) },
        trials,
    };
    Ok((rows, split))
}

/// Classes in alphabetic order, so that `0` and `1` keep their meaning.
fn classes(texts: Vec<String>) -> Vec<usize> {
    let mut names = texts.clone();
    names.sort();
    names.dedup();
    texts.iter().map(|text| names.partition_point(|name| name < text)).collect()
}

fn split(
    table: &TableAudit,
    cells: &Cells<'_>,
    groups: &[String],
    trials: &[usize],
    seed: u64,
) -> Result<AuditSplit, EvaluateError> {
    let n = groups.len();
    let shuffled = |count: usize, test: f64| -> Vec<bool> {
        let order = Stream::new(seed, Domain::Split, [name_index(&table.name), 0, 0]).permutation(count);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let n_test = (test * count as f64).round() as usize;
        let mut is_test = vec![false; count];
        for item in order.into_iter().take(n_test) {
            is_test[item] = true;
        }
        is_test
    };
    let is_test: Vec<bool> = match &table.split {
        RowSplit::RandomRows { test } => shuffled(n, *test),
        RowSplit::RandomTrials { test } => {
            let count = trials.iter().max().map_or(0, |last| last + 1);
            let is_test = shuffled(count, *test);
            trials.iter().map(|&trial| is_test[trial]).collect()
        }
        RowSplit::HeldOutGroups { test } => {
            if let Some(unknown) = test.iter().find(|name| !groups.contains(name)) {
                return Err(EvaluateError::BadValue {
                    field: "tables.split.held_out_groups".to_owned(),
                    message: format!("`{unknown}` does not occur in column `{}`", table.group),
                });
            }
            groups.iter().map(|group| test.contains(group)).collect()
        }
        RowSplit::Column { name } => cells.texts(name)?.iter().map(|text| text == "test").collect(),
    };
    let rows_of = |wanted: bool| (0..n).filter(|&row| is_test[row] == wanted).collect();
    Ok(AuditSplit { train: rows_of(false), test: rows_of(true) })
}
