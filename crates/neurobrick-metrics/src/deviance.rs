//! Poisson analogs of R².

use crate::likelihood::{check_count, check_shapes, checked_rate, entry_cost};
use crate::{MetricError, poisson_nll};
use ndarray::ArrayView1;

/// Share of the Poisson deviance about the mean count that `rates` explain (scikit-learn's `d2_tweedie_score` with
/// power 1; Cohen's pseudo-R²): 1 is a rate equal to every count, 0 the mean of these counts.
///
/// Fails on a shape mismatch, rates that are NaN or negative, counts that are negative or not finite, and if the
/// counts do not vary.
pub fn poisson_d2(rates: &ArrayView1<f64>, counts: &ArrayView1<f64>) -> Result<f64, MetricError> {
    check_shapes(rates.shape(), counts.shape())?;
    let mean = checked_mean(counts)?;
    let (mut model, mut null) = (0.0, 0.0);
    for (index, (&rate, &count)) in rates.iter().zip(counts).enumerate() {
        let saturated = entry_cost(count, count);
        model += entry_cost(checked_rate(rate, || vec![index])?, count) - saturated;
        null += entry_cost(mean, count) - saturated;
    }
    Ok(1.0 - model / null)
}

/// Pseudo-R² of `McFadden` (1974): one minus the ratio of the log-likelihoods of `rates` and of the mean count. Fails as
/// [`poisson_d2`].
pub fn pseudo_r2_mcfadden(rates: &ArrayView1<f64>, counts: &ArrayView1<f64>) -> Result<f64, MetricError> {
    let mean = checked_mean(counts)?;
    let null = counts.mapv(|_| mean);
    Ok(1.0 - poisson_nll(rates.view(), counts.view())? / poisson_nll(null.view(), counts.view())?)
}

/// Mean of counts that vary.
fn checked_mean(counts: &ArrayView1<f64>) -> Result<f64, MetricError> {
    let first = *counts.first().ok_or(MetricError::Empty { what: "counts" })?;
    for (index, &count) in counts.iter().enumerate() {
        check_count(count, || vec![index])?;
    }
    if counts.iter().all(|count| count - first == 0.0) {
        return Err(MetricError::NoVariation { what: "counts" });
    }
    Ok(counts.sum() / counts.len() as f64)
}
