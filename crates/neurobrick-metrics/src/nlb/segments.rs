//! The benchmark's smoothing: a Gaussian window that may have an even length, each stretch without NaN on its own.

use ndarray::{Array2, ArrayView2, Axis};

use crate::MetricError;

/// The window spans this many standard deviations.
const WIDTH: f64 = 6.0;

/// Smooths each column of `[T, N]` over time with a normalized Gaussian window of `int(6 · sigma_bins)` samples.
///
/// Outside a stretch of observed bins there is nothing (zeros, so edges sink); the output has the length of the input,
/// centered as `scipy.signal.convolve(..., "same")`; negative rounding is set to zero. NaN bins stay NaN and end a
/// stretch. Fails if the window would have no sample.
pub fn smooth_segments(values: &ArrayView2<f64>, sigma_bins: f64) -> Result<Array2<f64>, MetricError> {
    let length = (WIDTH * sigma_bins).floor();
    if !(length.is_finite() && length >= 1.0) {
        let must = "finite and at least a sixth of a bin";
        return Err(MetricError::InvalidSetting { what: "sigma_bins", value: sigma_bins, must });
    }
    let center = (length - 1.0) / 2.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "finite and at least one")]
    let n_window = length as usize;
    let window: Vec<f64> =
        (0..n_window).map(|i| (-0.5 * ((i as f64 - center) / sigma_bins).powi(2)).exp()).collect();
    let total: f64 = window.iter().sum();
    let mut out = values.to_owned();
    for (mut to, from) in out.axis_iter_mut(Axis(1)).zip(values.axis_iter(Axis(1))) {
        let mut start = 0;
        while start < from.len() {
            let n = from.iter().skip(start).take_while(|v| !v.is_nan()).count();
            for bin in 0..n {
                // The middle of the full convolution: sample `bin + (window − 1) / 2` of it.
                let last = bin + (n_window - 1) / 2;
                let sum: f64 = (0..n)
                    .filter(|&source| source <= last && last - source < n_window)
                    .map(|source| from[start + source] * window[last - source])
                    .sum();
                to[start + bin] = (sum / total).max(0.0);
            }
            start += n.max(1);
        }
    }
    Ok(out)
}
