//! Coefficients of determination, in scikit-learn's conventions.

use ndarray::{ArrayView2, Axis};

use crate::MetricError;

/// `1 − SSE/SST` of each column of `[rows, K]`, SST about the column's mean in `truth`.
///
/// A constant column scores 1 if predicted exactly and 0 otherwise. Fails on a shape mismatch, without rows, and on
/// values that are not finite.
pub fn per_output(truth: &ArrayView2<f64>, predicted: &ArrayView2<f64>) -> Result<Vec<f64>, MetricError> {
    Ok(sums(truth, predicted)?.into_iter().map(|(sse, sst)| ratio(sse, sst)).collect())
}

/// Mean of [`per_output`] over columns (`multioutput="uniform_average"`).
pub fn uniform(truth: &ArrayView2<f64>, predicted: &ArrayView2<f64>) -> Result<f64, MetricError> {
    Ok(crate::bits::mean(&per_output(truth, predicted)?))
}

/// Columns weighted by their variance in `truth`: `1 − Σ SSE / Σ SST` (`multioutput="variance_weighted"`).
pub fn variance_weighted(truth: &ArrayView2<f64>, predicted: &ArrayView2<f64>) -> Result<f64, MetricError> {
    // scikit-learn gives constant columns no weight at all, so their errors do not enter.
    let varying = sums(truth, predicted)?.into_iter().filter(|(_, sst)| *sst > 0.0);
    let (sse, sst) = varying.fold((0.0, 0.0), |total, column| (total.0 + column.0, total.1 + column.1));
    Ok(ratio(sse, sst))
}

/// As [`per_output`] with the mean error taken out (scikit-learn's `explained_variance_score`): a constant bias costs
/// nothing.
pub fn explained_variance(
    truth: &ArrayView2<f64>,
    predicted: &ArrayView2<f64>,
) -> Result<Vec<f64>, MetricError> {
    let columns = sums(truth, predicted)?;
    let rows = truth.nrows() as f64;
    let biases = truth.axis_iter(Axis(1)).zip(predicted.axis_iter(Axis(1)));
    Ok(columns
        .into_iter()
        .zip(biases.map(|(truth, predicted)| (truth.sum() - predicted.sum()) / rows))
        .map(|((sse, sst), bias)| ratio((sse - rows * bias * bias).max(0.0), sst))
        .collect())
}

/// Mean of [`per_output`] over columns with rows weighted; the mean in SST is the weighted one.
///
/// Fails as [`per_output`] and on weights that are negative, not finite or all zero.
pub fn weighted(
    truth: &ArrayView2<f64>,
    predicted: &ArrayView2<f64>,
    weights: &[f64],
) -> Result<f64, MetricError> {
    sums(truth, predicted)?;
    if weights.len() != truth.nrows() {
        let (expected, got) = (vec![truth.nrows()], vec![weights.len()]);
        return Err(MetricError::ShapeMismatch { what: "weights", expected, got });
    }
    let total: f64 = weights.iter().sum();
    if weights.iter().any(|w| !(w.is_finite() && *w >= 0.0)) || total == 0.0 {
        let must = "finite weights of at least zero with a positive sum";
        return Err(MetricError::InvalidSetting { what: "sum of weights", value: total, must });
    }
    let scores: Vec<f64> = truth
        .axis_iter(Axis(1))
        .zip(predicted.axis_iter(Axis(1)))
        .map(|(truth, predicted)| {
            let mean = truth.iter().zip(weights).map(|(y, w)| w * y).sum::<f64>() / total;
            let sse = truth.iter().zip(predicted).zip(weights).map(|((y, p), w)| w * (y - p).powi(2)).sum();
            ratio(sse, truth.iter().zip(weights).map(|(y, w)| w * (y - mean).powi(2)).sum())
        })
        .collect();
    Ok(crate::bits::mean(&scores))
}

fn ratio(sse: f64, sst: f64) -> f64 {
    match (sse == 0.0, sst == 0.0) {
        (true, true) => 1.0,
        (false, true) => 0.0,
        _ => 1.0 - sse / sst,
    }
}

/// (SSE, SST) of each column.
fn sums(truth: &ArrayView2<f64>, predicted: &ArrayView2<f64>) -> Result<Vec<(f64, f64)>, MetricError> {
    if truth.shape() != predicted.shape() {
        let (expected, got) = (truth.shape().to_vec(), predicted.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "predicted values", expected, got });
    }
    if truth.is_empty() {
        return Err(MetricError::Empty { what: "list of true values" });
    }
    for (what, values) in [("true values", truth), ("predicted values", predicted)] {
        if let Some(((row, column), &value)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what, value, index: vec![row, column] });
        }
    }
    let columns = truth.axis_iter(Axis(1)).zip(predicted.axis_iter(Axis(1)));
    Ok(columns
        .map(|(truth, predicted)| {
            let mean = truth.sum() / truth.len() as f64;
            let sse = truth.iter().zip(predicted).map(|(y, p)| (y - p).powi(2)).sum();
            (sse, truth.iter().map(|y| (y - mean).powi(2)).sum())
        })
        .collect())
}
