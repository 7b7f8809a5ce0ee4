//! How well predicted rates match the condition averages.

use ndarray::{Array2, Array3, ArrayView3, Axis, concatenate, s};

use crate::{MetricError, r2};

/// R² between `psth` (`[conditions, T, N]`) and the mean of `rates` (`[B, T, N]`) over each condition's trials.
///
/// Bins in which the first unit of a condition's PSTH is NaN are left out; conditions without trials are skipped; the
/// rest are stacked along time and R² is averaged over units. `jitter` shifts each trial's rates by so many bins
/// (positive: later) before averaging. Fails on mismatched shapes, trials out of range, without a bin to score, and on
/// values that are not finite in scored bins, such as those a shift leaves without rates.
pub fn psth_r2(
    psth: &ArrayView3<f64>,
    rates: &ArrayView3<f64>,
    trials_of_condition: &[Vec<usize>],
    jitter: Option<&[i64]>,
) -> Result<f64, MetricError> {
    let (n_trials, n_bins, n_units) = rates.dim();
    let expected = (trials_of_condition.len(), n_bins, n_units);
    if psth.dim() != expected {
        let (expected, got) = (vec![expected.0, expected.1, expected.2], psth.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "psth", expected, got });
    }
    if let Some(&index) = trials_of_condition.iter().flatten().find(|&&trial| trial >= n_trials) {
        return Err(MetricError::OutOfRange { what: "trial", index, limit: n_trials });
    }
    let aligned = match jitter {
        Some(jitter) => shifted(rates, jitter)?,
        None => rates.to_owned(),
    };
    let (mut truth, mut predicted): (Vec<Array2<f64>>, Vec<Array2<f64>>) = (Vec::new(), Vec::new());
    for (condition, trials) in trials_of_condition.iter().enumerate().filter(|(_, trials)| !trials.is_empty())
    {
        let target = psth.index_axis(Axis(0), condition);
        let bins: Vec<usize> = (0..n_bins).filter(|&bin| !target[[bin, 0]].is_nan()).collect();
        let sum = aligned.select(Axis(0), trials).sum_axis(Axis(0));
        truth.push(target.select(Axis(0), &bins));
        predicted.push((sum / trials.len() as f64).select(Axis(0), &bins));
    }
    let stack = |parts: &[Array2<f64>]| {
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(0), &views).map_err(|_| MetricError::Empty { what: "conditions with trials" })
    };
    r2::uniform(&stack(&truth)?.view(), &stack(&predicted)?.view())
}

/// Each trial moved by its jitter, NaN where nothing moved in.
fn shifted(rates: &ArrayView3<f64>, jitter: &[i64]) -> Result<Array3<f64>, MetricError> {
    let (n_trials, n_bins, _) = rates.dim();
    if jitter.len() != n_trials {
        let (expected, got) = (vec![n_trials], vec![jitter.len()]);
        return Err(MetricError::ShapeMismatch { what: "jitter", expected, got });
    }
    let mut out = Array3::from_elem(rates.dim(), f64::NAN);
    for (trial, &shift) in jitter.iter().enumerate() {
        let distance = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX).min(n_bins);
        let (from, to) = if shift >= 0 {
            (s![trial, ..n_bins - distance, ..], s![trial, distance.., ..])
        } else {
            (s![trial, distance.., ..], s![trial, ..n_bins - distance, ..])
        };
        out.slice_mut(to).assign(&rates.slice(from));
    }
    Ok(out)
}
