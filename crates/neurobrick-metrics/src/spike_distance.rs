//! Distances between spike trains.
//!
//! Trains are spike times in ascending order, in seconds. Both distances are zero between equal trains at every setting,
//! also in the limits, where elephant's functions count coincident spikes as different.

use crate::MetricError;

/// Victor and Purpura's distance (1996): the least cost of turning one train into the other, where inserting or
/// deleting a spike costs 1 and moving it costs `cost_per_s` per second. Zero compares numbers of spikes; infinity
/// counts the spikes that do not coincide.
///
/// Fails on times that are not finite or not in order, and on a cost that is negative or NaN.
pub fn victor_purpura(a: &[f64], b: &[f64], cost_per_s: f64) -> Result<f64, MetricError> {
    check(a, b, "cost_per_s", cost_per_s)?;
    let mut previous: Vec<f64> = (0..=b.len()).map(|j| j as f64).collect();
    let mut current = vec![0.0; b.len() + 1];
    for (i, x) in a.iter().enumerate() {
        current[0] = (i + 1) as f64;
        for (j, y) in b.iter().enumerate() {
            let gap = (x - y).abs();
            let shift = if gap == 0.0 { 0.0 } else { cost_per_s * gap };
            current[j + 1] = (previous[j] + shift).min(previous[j + 1] + 1.0).min(current[j] + 1.0);
        }
        std::mem::swap(&mut previous, &mut current);
    }
    Ok(previous[b.len()])
}

/// Van Rossum's distance (2001) with time constant `tau_s`, scaled so that one spike against none gives 1 (elephant's
/// scale, √2 times the paper's). Zero counts spikes that do not coincide; infinity compares numbers of spikes.
///
/// One pass over both trains. Fails on times that are not finite or not in order, and on a constant that is negative
/// or NaN.
pub fn van_rossum(a: &[f64], b: &[f64], tau_s: f64) -> Result<f64, MetricError> {
    check(a, b, "tau_s", tau_s)?;
    let overlap = |x: &[f64], y: &[f64]| earlier(x, y, tau_s, true) + earlier(y, x, tau_s, false);
    // Rounding may leave a tiny negative square between equal trains.
    Ok((overlap(a, a) + overlap(b, b) - 2.0 * overlap(a, b)).max(0.0).sqrt())
}

/// `Σ exp(−(x_i − y_j) / τ)` over pairs with `y_j` before `x_i`, or at it if `with_equal`.
fn earlier(x: &[f64], y: &[f64], tau_s: f64, with_equal: bool) -> f64 {
    // Written so that coincident spikes do not decay even with a constant of zero.
    let decay = |gap: f64| if gap == 0.0 { 1.0 } else { (-gap / tau_s).exp() };
    let (mut sum, mut trace, mut at, mut next) = (0.0, 0.0, f64::NEG_INFINITY, 0);
    for &time in x {
        while next < y.len() && (if with_equal { y[next] <= time } else { y[next] < time }) {
            trace = if trace == 0.0 { 1.0 } else { trace * decay(y[next] - at) + 1.0 };
            at = y[next];
            next += 1;
        }
        if trace > 0.0 {
            sum += trace * decay(time - at);
        }
    }
    sum
}

fn check(a: &[f64], b: &[f64], what: &'static str, setting: f64) -> Result<(), MetricError> {
    if setting.is_nan() || setting < 0.0 {
        return Err(MetricError::InvalidSetting { what, value: setting, must: "at least zero" });
    }
    for (what, train) in [("first train", a), ("second train", b)] {
        if let Some((index, &value)) = train.iter().enumerate().find(|(_, t)| !t.is_finite()) {
            return Err(MetricError::NotFinite { what, value, index: vec![index] });
        }
        if let Some(index) = train.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(MetricError::NotInOrder { what, index: index + 1 });
        }
    }
    Ok(())
}
