//! The covariance of a smooth factor over time, and the time scale that fits it best.

use faer::Mat;

use super::stationary::{StationaryInverse, diagonal_sums};
use crate::MetricError;

/// Steps of the search; each shrinks the bracket by the golden ratio, together by 4e-9: closer, costs differ by rounding.
const STEPS: usize = 40;

/// Covariance over lags, `(1 − white) exp(−gamma/2 lag²) + white [lag = 0]`.
pub(super) fn kernel(n_bins: usize, gamma: f64, white: f64) -> Vec<f64> {
    (0..n_bins)
        .map(|lag| {
            let squared = (lag * lag) as f64;
            (1.0 - white) * (-0.5 * gamma * squared).exp() + if lag == 0 { white } else { 0.0 }
        })
        .collect()
}

/// The `gamma` that maximizes the expected log-density of a factor, uphill from `start`. `parts` holds, per length of
/// trials, the number of bins, the number of trials and the sum of second moments over time.
pub(super) fn best_gamma(
    parts: &[(usize, usize, &Mat<f64>)],
    start: f64,
    white: f64,
) -> Result<f64, MetricError> {
    let sums: Vec<Mat<f64>> = parts.iter().map(|(_, _, moments)| diagonal_sums(moments)).collect();
    let cost = |log_gamma: f64| -> Result<f64, MetricError> {
        let mut total = 0.0;
        for (&(n_bins, n_trials, _), sums) in parts.iter().zip(&sums) {
            let covariance = kernel(n_bins, log_gamma.exp(), white);
            let inverse = StationaryInverse::new(&covariance, "covariance of a factor")?;
            total += n_trials as f64 * inverse.log_determinant + inverse.trace_with(sums);
        }
        Ok(total)
    };
    // Walk downhill in growing steps until the cost rises, then narrow the bracket.
    let middle = start.ln();
    let here = cost(middle)?;
    let mut step = 0.1;
    if cost(middle + step)? > here {
        step = -step;
    }
    // Until the first step downhill the optimum may lie on either side of the start.
    let (mut low, mut best, mut best_cost) = (middle - step, middle, here);
    let mut high = middle + step;
    for _ in 0..STEPS {
        let next = cost(high)?;
        if next >= best_cost {
            break;
        }
        (low, best, best_cost) = (best, high, next);
        step *= 1.5;
        high = best + step;
    }
    golden_section(cost, low, high).map(f64::exp)
}

fn golden_section(
    cost: impl Fn(f64) -> Result<f64, MetricError>,
    mut a: f64,
    mut b: f64,
) -> Result<f64, MetricError> {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut c, mut d) = (b - ratio * (b - a), a + ratio * (b - a));
    let (mut at_c, mut at_d) = (cost(c)?, cost(d)?);
    for _ in 0..STEPS {
        if at_c < at_d {
            (b, d, at_d) = (d, c, at_c);
            c = b - ratio * (b - a);
            at_c = cost(c)?;
        } else {
            (a, c, at_c) = (c, d, at_d);
            d = a + ratio * (b - a);
            at_d = cost(d)?;
        }
    }
    Ok(f64::midpoint(a, b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Moments that are exactly those of a time scale: found from both sides, from far and from the optimum itself.
    #[test]
    fn the_planted_time_scale_is_the_optimum() {
        let (n_trials, gamma) = (7, 0.05);
        let covariance = kernel(20, gamma, 1e-3);
        let moments = Mat::from_fn(20, 20, |s, t| n_trials as f64 * covariance[s.abs_diff(t)]);
        for start in [1.5, 0.06, gamma, 0.001] {
            let found = best_gamma(&[(20, n_trials, &moments)], start, 1e-3).unwrap();
            assert!((found / gamma - 1.0).abs() < 1e-6, "{start}: {found}");
        }
    }
}
