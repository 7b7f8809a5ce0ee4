//! Whether fast neural trajectories go with short produced intervals.

use ndarray::{ArrayView2, ArrayView3, Axis};

use crate::{MetricError, pearson};

/// Columns after the conditions: the sample interval, then the produced one.
const INTERVALS: usize = 2;

/// Mean over conditions of Pearson's correlation between neural speed and produced interval.
///
/// Speed is the mean over bins of the length of the change of all `rates` (`[B, T, N]`) from bin to bin, within the
/// bins where the first unit of `spikes` (`[B, T, ·]`) is not NaN. `behavior` is `[B, K]`: the produced interval last,
/// the sample interval before it, the columns in front make the condition. Trials with a NaN behavior are left out.
/// Negative is good. Fails on mismatched shapes, without a trial, and where a condition has no correlation (a single
/// trial, no variation).
pub fn speed_correlation(
    spikes: &ArrayView3<f64>,
    rates: &ArrayView3<f64>,
    behavior: &ArrayView2<f64>,
) -> Result<f64, MetricError> {
    let (n_trials, n_bins, _) = rates.dim();
    if spikes.len_of(Axis(0)) != n_trials || spikes.len_of(Axis(1)) != n_bins || spikes.len_of(Axis(2)) == 0 {
        let (expected, got) = (vec![n_trials, n_bins, 1], spikes.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "held-out spikes", expected, got });
    }
    if behavior.nrows() != n_trials || behavior.ncols() <= INTERVALS {
        let (expected, got) = (vec![n_trials, INTERVALS + 1], behavior.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "behavior", expected, got });
    }
    let mut conditions: Vec<(Vec<f64>, Vec<f64>, Vec<f64>)> = Vec::new();
    for (trial, row) in
        behavior.rows().into_iter().enumerate().filter(|(_, row)| !row.iter().any(|v| v.is_nan()))
    {
        let label = row.iter().take(row.len() - INTERVALS).copied().collect::<Vec<f64>>();
        let bins: Vec<usize> = (0..n_bins).filter(|&bin| !spikes[[trial, bin, 0]].is_nan()).collect();
        let trial_rates = rates.index_axis(Axis(0), trial);
        let step = |pair: &[usize]| {
            let change = &trial_rates.row(pair[1]) - &trial_rates.row(pair[0]);
            change.iter().map(|c| c * c).sum::<f64>().sqrt()
        };
        let steps: Vec<f64> = bins.windows(2).map(step).collect();
        let speed = steps.iter().sum::<f64>() / steps.len() as f64;
        let produced = row[row.len() - 1];
        match conditions.iter_mut().find(|(other, ..)| *other == label) {
            Some((_, speeds, intervals)) => {
                speeds.push(speed);
                intervals.push(produced);
            }
            None => conditions.push((label, vec![speed], vec![produced])),
        }
    }
    if conditions.is_empty() {
        return Err(MetricError::Empty { what: "list of trials with a behavior" });
    }
    let correlations = conditions.iter().map(|(_, speeds, intervals)| pearson(speeds, intervals));
    Ok(correlations.sum::<Result<f64, _>>()? / conditions.len() as f64)
}
