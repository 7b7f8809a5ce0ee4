//! Test rows that training rows nearly contain: the same trial, overlapping windows, neighbors in time.

use std::collections::{BTreeMap, HashSet};

use ndarray::{Array1, Array2, Axis};

use super::{AuditRows, AuditSettings, AuditSplit, Check, Finding, Outcome};
use crate::student::upper_tail;

/// Mean correlation between a test row and its nearest training row, above that with rows elsewhere, that is worth a
/// warning once it is beyond sampling error.
const RESEMBLANCE: f64 = 0.1;
/// Groups from which a standard error can be had; with fewer, trials are taken to be independent.
const LEAST_GROUPS: usize = 3;

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
    if !rows.has_times {
        let message = "the source does not say when trials were, so that test windows may overlap training windows unseen; \
                       keep to a split of the source's own, or ask its makers how trials were cut";
        return Finding::new(Check::OverlappingWindows, Outcome::Warning, message.to_owned(), &[]);
    }
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

/// How much test rows resemble the training row next to them in time, more than training rows elsewhere: those of other
/// groups, or the farther half of their own where there is no other.
///
/// Rows of a group drift together, so the standard error of the difference is that of a mean over groups (over trials, if
/// there are fewer than three groups), and Student's test asks if it can be zero.
pub(super) fn correlated_neighbors(
    rows: &AuditRows,
    split: &AuditSplit,
    settings: &AuditSettings,
) -> Finding {
    if !rows.has_times {
        let message =
            "the source does not say when trials were, so none is known to be the neighbor of another";
        return Finding::not_applicable(Check::CorrelatedNeighbors, message);
    }
    let z = standardized(&rows.features);
    let middle = |row: usize| f64::midpoint(rows.spans_s[row][0], rows.spans_s[row][1]);
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &row in &split.train {
        members.entry(rows.groups[row]).or_default().push(row);
    }
    // Resemblance is linear, so that to the mean of rows is the mean of those to each.
    let mean_of = |of: &[usize]| (!of.is_empty()).then(|| z.select(Axis(0), of).mean_axis(Axis(0))).flatten();
    let mean_of_others: BTreeMap<usize, Array1<f64>> = members
        .keys()
        .filter_map(|group| {
            let others: Vec<usize> =
                split.train.iter().copied().filter(|&row| rows.groups[row] != *group).collect();
            Some((*group, mean_of(&others)?))
        })
        .collect();
    let resemblance = |row: usize, to: &Array1<f64>| z.row(row).dot(to) / z.ncols() as f64;
    let (mut tests, mut near, mut far, mut gaps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &test in &split.test {
        let Some(same) = members.get(&rows.groups[test]) else { continue };
        let mut same: Vec<(f64, usize)> =
            same.iter().map(|&train| ((middle(train) - middle(test)).abs(), train)).collect();
        same.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let farther: Vec<usize> = same[same.len().div_ceil(2)..].iter().map(|(_, train)| *train).collect();
        let elsewhere = mean_of_others.get(&rows.groups[test]).cloned().or_else(|| mean_of(&farther));
        let Some(elsewhere) = elsewhere else { continue };
        tests.push(test);
        near.push(resemblance(test, &z.row(same[0].1).to_owned()));
        far.push(resemblance(test, &elsewhere));
        gaps.push(same[0].0);
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
    let more: Vec<f64> = near.iter().zip(&far).map(|(near, far)| near - far).collect();
    let n_groups = tests.iter().map(|&row| rows.groups[row]).collect::<HashSet<_>>().len();
    let of = if n_groups < LEAST_GROUPS { &rows.trials } else { &rows.groups };
    let clusters: Vec<usize> = tests.iter().map(|&row| of[row]).collect();
    let (near, far, gap) = (crate::bits::mean(&near), crate::bits::mean(&far), gaps[gaps.len() / 2]);
    let mut numbers =
        vec![("correlation with the nearest", near), ("elsewhere", far), ("median distance in s", gap)];
    let Some((more, error, p_value)) = tested_mean(&more, &clusters) else {
        let message = "test rows of a single trial cannot tell if they resemble their neighbors".to_owned();
        return Finding::new(Check::CorrelatedNeighbors, Outcome::Pass, message, &numbers);
    };
    numbers
        .extend([("standard error of the difference", error), ("chance of so large a difference", p_value)]);
    let (outcome, advice) = if more > RESEMBLANCE && p_value < settings.alpha {
        (Outcome::Warning, "; hold out whole blocks of time and see what is left")
    } else {
        (Outcome::Pass, "")
    };
    let message = format!(
        "test rows correlate {near:.2} with the training row next to them ({gap:.2} s away) and {far:.2} with rows elsewhere, \
         a difference of {more:.2} ± {error:.2}{advice}"
    );
    Finding::new(Check::CorrelatedNeighbors, outcome, message, &numbers)
}

/// The mean, its standard error over clusters, and the chance of so large a mean if the truth is zero; `None` with a single
/// cluster.
fn tested_mean(values: &[f64], clusters: &[usize]) -> Option<(f64, f64, f64)> {
    let mean = crate::bits::mean(values);
    let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
    for (value, cluster) in values.iter().zip(clusters) {
        *sums.entry(*cluster).or_default() += value - mean;
    }
    let (n, n_clusters) = (values.len() as f64, sums.len() as f64);
    let square: f64 = sums.values().map(|sum| sum * sum).sum();
    let error = (square * n_clusters / (n_clusters - 1.0)).sqrt() / n;
    // Without spread any difference is certain, and none is none.
    let p_value = if error > 0.0 {
        upper_tail(mean / error, n_clusters - 1.0)
    } else {
        f64::from(u8::from(mean <= 0.0))
    };
    (sums.len() > 1).then_some((mean, error, p_value))
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
