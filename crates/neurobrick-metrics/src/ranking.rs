//! Scores of classifiers beside [`Accuracy`](crate::Accuracy): area under the ROC curve and macro F1.

use std::collections::BTreeMap;

use crate::MetricError;

/// Area under the ROC curve: the chance that a `true` row scores above a `false` one, ties counting half.
///
/// Fails on unequal lengths, scores that are NaN, and labels of one class only.
pub fn roc_auc(truth: &[bool], scores: &[f64]) -> Result<f64, MetricError> {
    if truth.len() != scores.len() {
        let (expected, got) = (vec![truth.len()], vec![scores.len()]);
        return Err(MetricError::ShapeMismatch { what: "scores", expected, got });
    }
    if let Some((index, &value)) = scores.iter().enumerate().find(|(_, s)| s.is_nan()) {
        return Err(MetricError::NotFinite { what: "scores", value, index: vec![index] });
    }
    let positives = truth.iter().filter(|&&label| label).count();
    if positives == 0 || positives == truth.len() {
        return Err(MetricError::SingleClass { trials: truth.len(), class: positives > 0 });
    }
    let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(truth.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // Mann and Whitney's statistic, one group of equal scores at a time; ±0 are equal.
    let (mut wins, mut below) = (0.0, 0.0);
    for group in rows.chunk_by(|a, b| a.0 >= b.0) {
        let true_here = group.iter().filter(|(_, label)| *label).count() as f64;
        let false_here = group.len() as f64 - true_here;
        wins += true_here * (below + 0.5 * false_here);
        below += false_here;
    }
    Ok(wins / (positives as f64 * (truth.len() - positives) as f64))
}

/// Mean over classes of the harmonic mean of precision and recall; classes are numbered from zero, and those that
/// occur neither in `truth` nor in `predicted` are left out. A class never predicted right scores 0.
///
/// Fails on unequal lengths and without rows.
pub fn macro_f1(truth: &[usize], predicted: &[usize]) -> Result<f64, MetricError> {
    if truth.len() != predicted.len() {
        let (expected, got) = (vec![truth.len()], vec![predicted.len()]);
        return Err(MetricError::ShapeMismatch { what: "predicted labels", expected, got });
    }
    let mut classes: Vec<usize> = truth.iter().chain(predicted).copied().collect();
    classes.sort_unstable();
    classes.dedup();
    if classes.is_empty() {
        return Err(MetricError::Empty { what: "list of labels" });
    }
    let count = |labels: &[usize], class| labels.iter().filter(|&&label| label == class).count() as f64;
    let scores = classes.iter().map(|&class| {
        let right = truth.iter().zip(predicted).filter(|(t, p)| **t == class && **p == class).count();
        2.0 * right as f64 / (count(truth, class) + count(predicted, class))
    });
    Ok(scores.sum::<f64>() / classes.len() as f64)
}

/// Mean over the classes of `truth` of the share of their rows predicted right; chance is one over the number of classes.
///
/// Fails on unequal lengths and without rows.
pub fn balanced_accuracy(truth: &[usize], predicted: &[usize]) -> Result<f64, MetricError> {
    if truth.len() != predicted.len() {
        let (expected, got) = (vec![truth.len()], vec![predicted.len()]);
        return Err(MetricError::ShapeMismatch { what: "predicted labels", expected, got });
    }
    if truth.is_empty() {
        return Err(MetricError::Empty { what: "list of labels" });
    }
    // Right and all rows of each class.
    let mut classes: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (t, p) in truth.iter().zip(predicted) {
        let class = classes.entry(*t).or_default();
        *class = (class.0 + f64::from(u8::from(t == p)), class.1 + 1.0);
    }
    Ok(classes.values().map(|(right, all)| right / all).sum::<f64>() / classes.len() as f64)
}
