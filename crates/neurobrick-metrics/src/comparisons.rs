//! Many comparisons at once: chances under "no difference", and what is left of them when they are many.

use crate::MetricError;
use crate::student::upper_tail;

/// Chance, if the mean of paired differences were zero, of one at least as far from it on either side: Student's paired test
/// over sessions or animals, as [`ConfidenceInterval::of_mean`](crate::ConfidenceInterval::of_mean) is its interval.
///
/// NaN with fewer than two differences and if one is not a number; differences that are all equal give 0, or 1 if they are zero.
///
/// ```
/// // What SciPy says of them in a test of one sample against zero.
/// let p = neurobrick_metrics::no_difference(&[0.02, 0.05, 0.01, 0.03, 0.04]);
/// assert!((p - 0.013_235_599_6).abs() < 1e-9);
/// ```
pub fn no_difference(differences: &[f64]) -> f64 {
    let n = differences.len() as f64;
    if differences.len() < 2 || differences.iter().any(|difference| difference.is_nan()) {
        return f64::NAN;
    }
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    if variance == 0.0 {
        return if mean == 0.0 { 1.0 } else { 0.0 };
    }
    2.0 * upper_tail((mean / (variance / n).sqrt()).abs(), n - 1.0)
}

/// Chances adjusted so that among all of them, wherever no difference is true, one falls below a bound by accident no more
/// often than that bound says (Holm 1979): the smallest is multiplied by their number, the next by one less, and so on,
/// never below one before it and never above 1. Comparisons may depend on each other.
///
/// # Errors
/// If one is not in `[0, 1]`: a comparison without a chance must be left out by name, not silently.
///
/// ```
/// // statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005], method="holm")[1]
/// let adjusted = neurobrick_metrics::holm(&[0.01, 0.04, 0.03, 0.005])?;
/// for (adjusted, expected) in adjusted.into_iter().zip([0.03, 0.06, 0.06, 0.02]) {
///     assert!((adjusted - expected).abs() < 1e-12);
/// }
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
pub fn holm(chances: &[f64]) -> Result<Vec<f64>, MetricError> {
    if let Some(&value) = chances.iter().find(|chance| !(0.0..=1.0).contains(*chance)) {
        return Err(MetricError::InvalidSetting { what: "chance", value, must: "from 0 to 1" });
    }
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|&a, &b| chances[a].total_cmp(&chances[b]));
    let mut adjusted = vec![0.0; chances.len()];
    let mut before: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        before = before.max(chances[index] * (chances.len() - rank) as f64).min(1.0);
        adjusted[index] = before;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_test_and_its_interval_agree_on_zero() {
        let apart = [0.02, 0.05, 0.01, 0.03, 0.04];
        let around = [0.02, -0.05, 0.01, 0.03, -0.04];
        for (differences, is_apart) in [(apart, true), (around, false)] {
            let interval = crate::ConfidenceInterval::of_mean(&differences, 0.95);
            assert_eq!(interval.lo > 0.0, is_apart);
            assert_eq!(no_difference(&differences) < 0.05, is_apart);
        }
        let mirrored = apart.map(|d| -d);
        assert!((no_difference(&mirrored) - no_difference(&apart)).abs() < 1e-15, "both sides count");
    }

    #[test]
    fn what_cannot_be_tested_says_so() {
        assert!(no_difference(&[0.1]).is_nan() && no_difference(&[0.1, f64::NAN]).is_nan());
        assert!(no_difference(&[0.0, 0.0]) > 0.99 && no_difference(&[0.1, 0.1]) < 0.01);
        assert!(holm(&[0.1, f64::NAN]).is_err() && holm(&[1.5]).is_err());
        assert!(holm(&[]).unwrap().is_empty());
    }

    #[test]
    fn adjusted_chances_keep_their_order_and_stay_chances() {
        let chances = [0.9, 0.001, 0.2, 0.04, 0.04, 0.6];
        let adjusted = holm(&chances).unwrap();
        for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
            assert!(chances[i] > chances[j] || adjusted[i] <= adjusted[j], "{i}, {j}");
        }
        assert!(adjusted.iter().zip(&chances).all(|(a, p)| a >= p && *a <= 1.0));
    }
}
