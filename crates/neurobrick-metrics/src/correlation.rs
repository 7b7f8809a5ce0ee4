//! Correlation between two lists of numbers.

use crate::MetricError;

/// Pearson's correlation. Fails on unequal lengths, fewer than two values, values that are not finite, and if one list
/// does not vary: it then has no correlation.
pub fn pearson(a: &[f64], b: &[f64]) -> Result<f64, MetricError> {
    if a.len() != b.len() {
        let (expected, got) = (vec![a.len()], vec![b.len()]);
        return Err(MetricError::ShapeMismatch { what: "second list", expected, got });
    }
    if a.len() < 2 {
        return Err(MetricError::Empty { what: "list of pairs to correlate (two are the least)" });
    }
    for (what, list) in [("first list", a), ("second list", b)] {
        if let Some((index, &value)) = list.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what, value, index: vec![index] });
        }
        if list.iter().all(|value| value - list[0] == 0.0) {
            return Err(MetricError::NoVariation { what });
        }
    }
    let (mean_a, mean_b) = (crate::bits::mean(a), crate::bits::mean(b));
    let sum =
        |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - mean_a, y - mean_b)).sum::<f64>();
    let (cross, xx, yy) = (sum(&|x, y| x * y), sum(&|x, _| x * x), sum(&|_, y| y * y));
    // Rounding may carry a perfect correlation beyond one.
    Ok((cross / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}
