//! Checks and means of count arrays that every baseline needs.

use ndarray::{ArrayView3, Axis};

use crate::MetricError;

/// Finite, non-negative, non-empty counts.
pub(crate) fn check_counts(counts: &ArrayView3<f64>, what: &'static str) -> Result<(), MetricError> {
    if counts.is_empty() {
        return Err(MetricError::Empty { what });
    }
    match counts.indexed_iter().find(|(_, n)| !(n.is_finite() && **n >= 0.0)) {
        Some(((b, t, n), &value)) => Err(MetricError::InvalidCount { what, value, index: vec![b, t, n] }),
        None => Ok(()),
    }
}

/// Both sets are valid and agree in bins and units.
pub(crate) fn check_train_valid(train: &ArrayView3<f64>, valid: &ArrayView3<f64>) -> Result<(), MetricError> {
    check_counts(train, "training counts")?;
    check_counts(valid, "validation counts")?;
    let ((_, bins, units), (trials, ..)) = (train.dim(), valid.dim());
    if valid.dim() == (trials, bins, units) {
        return Ok(());
    }
    let (expected, got) = (vec![trials, bins, units], valid.shape().to_vec());
    Err(MetricError::ShapeMismatch { what: "validation counts", expected, got })
}

/// Mean count per bin of each unit; a silent unit gets half a spike over all bins, so that no rate is zero.
pub(crate) fn positive_means(counts: &ArrayView3<f64>) -> Vec<f64> {
    let rows = (counts.len_of(Axis(0)) * counts.len_of(Axis(1))) as f64;
    counts.axis_iter(Axis(2)).map(|unit| (unit.sum() / rows).max(0.5 / rows)).collect()
}

/// Every entry of a hyper-parameter grid is allowed and there is one.
pub(crate) fn check_grid(
    what: &'static str,
    grid: &[f64],
    must: &'static str,
    is_allowed: impl Fn(f64) -> bool,
) -> Result<(), MetricError> {
    if grid.is_empty() {
        return Err(MetricError::Empty { what });
    }
    match grid.iter().find(|value| !(value.is_finite() && is_allowed(**value))) {
        Some(&value) => Err(MetricError::InvalidSetting { what, value, must }),
        None => Ok(()),
    }
}
