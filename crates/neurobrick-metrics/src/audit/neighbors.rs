//! Test rows that training rows nearly contain: the same trial, overlapping windows, neighbors in time.

use std::collections::HashSet;

use ndarray::Array2;

use super::{AuditRows, AuditSplit, Check, Finding, Outcome};

/// Mean correlation between a test row and its nearest training row, above that with rows elsewhere, that is worth a
/// warning.
const RESEMBLANCE: f64 = 0.1;

pub(super) fn shared_trials(rows: &AuditRows, split: &AuditSplit) -> Finding {
    let of_train: HashSet<usize> = split.train.iter().map(|&row| rows.trials[row]).collect();
    let shared = split.test.iter().filter(|&&row| of_train.contains(&rows.trials[row])).count();
    let numbers = [("test rows of a training trial", shared as f64), ("test rows", split.test.len() as f64)];
    if shared == 0 {
        let message = "no trial has rows on both sides".to_owned();
        return Finding::new(Check::SharedTrials, Outcome::Pass, message, &numbers);
    }
    let message = format!(
        "{shared} of {} test rows belong to a trial that is also trained on; split by trial, not by row",
        split.test.len()
    );
    Finding::new(Check::SharedTrials, Outcome::Fail, message, &numbers)
}

pub(super) fn overlapping_windows(rows: &AuditRows, split: &AuditSplit) -> Finding {
    let overlaps = |test: usize| {
        let [start, end] = rows.spans_s[test];
        split.train.iter().any(|&train| {
            let [from, to] = rows.spans_s[train];
            rows.groups[train] == rows.groups[test] && from < end && start < to
        })
    };
    let n = split.test.iter().filter(|&&row| overlaps(row)).count();
    let numbers = [("overlapping test rows", n as f64), ("test rows", split.test.len() as f64)];
    if n == 0 {
        let message = "no test window overlaps a training window".to_owned();
        return Finding::new(Check::OverlappingWindows, Outcome::Pass, message, &numbers);
    }
    let message = format!(
        "{n} of {} test windows share samples with a training window; leave a gap of a window between the sides",
        split.test.len()
    );
    Finding::new(Check::OverlappingWindows, Outcome::Fail, message, &numbers)
}

/// How much test rows resemble the training row next to them in time, more than training rows elsewhere.
pub(super) fn correlated_neighbors(rows: &AuditRows, split: &AuditSplit) -> Finding {
    let z = standardized(&rows.features);
    let middle = |row: usize| f64::midpoint(rows.spans_s[row][0], rows.spans_s[row][1]);
    let resemblance = |a: usize, b: usize| z.row(a).dot(&z.row(b)) / z.ncols() as f64;
    let (mut near, mut far, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    for &test in &split.test {
        let mut same: Vec<(f64, usize)> = split
            .train
            .iter()
            .filter(|&&train| rows.groups[train] == rows.groups[test])
            .map(|&train| ((middle(train) - middle(test)).abs(), train))
            .collect();
        same.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        // Rows elsewhere: of other groups, or the farthest of this one where there is no other.
        let others: Vec<usize> =
            split.train.iter().copied().filter(|&train| rows.groups[train] != rows.groups[test]).collect();
        let elsewhere = if others.is_empty() {
            same.last().map(|last| last.1)
        } else {
            others.get(test % others.len()).copied()
        };
        if let (Some(first), Some(elsewhere)) = (same.first(), elsewhere) {
            near.push(resemblance(test, first.1));
            far.push(resemblance(test, elsewhere));
            gaps.push(first.0);
        }
    }
    if near.is_empty() {
        return Finding::new(
            Check::CorrelatedNeighbors,
            Outcome::Pass,
            "no test row has a training row of its group".to_owned(),
            &[],
        );
    }
    gaps.sort_unstable_by(f64::total_cmp);
    let (near, far, gap) = (crate::bits::mean(&near), crate::bits::mean(&far), gaps[gaps.len() / 2]);
    let numbers = [("correlation with the nearest", near), ("elsewhere", far), ("median distance in s", gap)];
    let (outcome, advice) = if near - far > RESEMBLANCE {
        (Outcome::Warning, "; hold out whole blocks of time and see what is left")
    } else {
        (Outcome::Pass, "")
    };
    let message = format!(
        "test rows correlate {near:.2} with the training row next to them ({gap:.2} s away) and {far:.2} with rows elsewhere{advice}"
    );
    Finding::new(Check::CorrelatedNeighbors, outcome, message, &numbers)
}

/// Columns of mean zero and variance one; those that do not vary become zero.
fn standardized(x: &Array2<f64>) -> Array2<f64> {
    let n = x.nrows() as f64;
    let mut z = x.clone();
    for mut column in z.columns_mut() {
        let mean = column.sum() / n;
        let sd = (column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        column.mapv_inplace(|v| if sd > 1e-14 * mean.abs() && sd > 0.0 { (v - mean) / sd } else { 0.0 });
    }
    z
}
