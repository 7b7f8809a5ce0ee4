//! Exponents of cost against size.

use serde::{Deserialize, Serialize};

/// Exponents that are tried: 0 to 3 in steps of a hundredth.
const N_EXPONENTS: u16 = 300;

/// Slope of log `y` on log `x` over the upper half of `(x, y)` points (of five, three), by least squares: what
/// doubling `x` does where `x` is large. `None` with fewer than two points or a value that is not positive.
pub fn upper_exponent(points: &[(f64, f64)]) -> Option<f64> {
    let upper = &points[points.len() / 2..];
    if upper.len() < 2 || upper.iter().any(|&(x, y)| !(x > 0.0 && y > 0.0)) {
        return None;
    }
    let n = upper.len() as f64;
    let logs: Vec<(f64, f64)> = upper.iter().map(|&(x, y)| (x.ln(), y.ln())).collect();
    let mean_x = logs.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = logs.iter().map(|p| p.1).sum::<f64>() / n;
    let cross: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let square: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (square > 0.0).then(|| cross / square)
}

/// `a + b xᵖ` with `a` and `b` not negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OffsetPower {
    /// What does not grow.
    pub offset: f64,
    /// Factor of what grows.
    pub factor: f64,
    /// Exponent of what grows.
    pub exponent: f64,
    /// Largest deviation of a point from the curve, as a share of the point.
    pub worst: f64,
}

impl OffsetPower {
    /// The curve with the least sum of squared relative deviations. `None` with fewer than four points, one more than
    /// the curve has numbers, or a value that is not positive.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 4 || points.iter().any(|&(x, y)| !(x > 0.0 && y > 0.0)) {
            return None;
        }
        let candidates = (0..=N_EXPONENTS).map(|i| Self::of_exponent(points, f64::from(i) / 100.0));
        candidates.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, curve)| curve)
    }

    /// The curve at `x`.
    pub fn at(&self, x: f64) -> f64 {
        self.offset + self.factor * x.powf(self.exponent)
    }

    /// Sum of squared relative deviations of the best curve of this exponent, and the curve.
    fn of_exponent(points: &[(f64, f64)], exponent: f64) -> (f64, Self) {
        // Columns over y: the target is 1 everywhere, and deviations are relative.
        let rows: Vec<[f64; 2]> = points.iter().map(|&(x, y)| [1.0 / y, x.powf(exponent) / y]).collect();
        let dot = |i: usize, j: usize| rows.iter().map(|r| r[i] * r[j]).sum::<f64>();
        let sum = |i: usize| rows.iter().map(|r| r[i]).sum::<f64>();
        let determinant = dot(0, 0) * dot(1, 1) - dot(0, 1).powi(2);
        let inner = (determinant > 1e-12 * dot(0, 0) * dot(1, 1)).then(|| {
            (
                (sum(0) * dot(1, 1) - sum(1) * dot(0, 1)) / determinant,
                (sum(1) * dot(0, 0) - sum(0) * dot(0, 1)) / determinant,
            )
        });
        let edges = [(sum(0) / dot(0, 0), 0.0), (0.0, sum(1) / dot(1, 1))];
        let allowed = inner.into_iter().filter(|&(a, b)| a >= 0.0 && b >= 0.0).chain(edges);
        let mut best = (f64::INFINITY, Self { offset: 0.0, factor: 0.0, exponent, worst: 0.0 });
        for (offset, factor) in allowed {
            let deviations = rows.iter().map(|r| r[0] * offset + r[1] * factor - 1.0);
            let squares: f64 = deviations.clone().map(|d| d * d).sum();
            if squares < best.0 {
                let worst = deviations.fold(0.0, |worst: f64, d| worst.max(d.abs()));
                best = (squares, Self { offset, factor, exponent, worst });
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn points(y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        [1.0, 3.0, 10.0, 25.0, 50.0].map(|x| (x, y(x))).to_vec()
    }

    #[test]
    fn the_exponent_is_that_of_the_upper_half() {
        assert!((upper_exponent(&points(|x| 7.0 * x.powf(1.5))).unwrap() - 1.5).abs() < 1e-12);
        // Flat below 10, linear above: only the upper half counts.
        assert!((upper_exponent(&points(|x| x.max(10.0))).unwrap() - 1.0).abs() < 1e-12);
        assert!(upper_exponent(&points(|_| 4.0)).unwrap().abs() < 1e-12);
        assert_eq!(upper_exponent(&points(|x| x - 10.0)), None);
        assert_eq!(upper_exponent(&points(|_| f64::NAN)), None);
        assert_eq!(upper_exponent(&[(1.0, 2.0)]), None);
    }

    #[test]
    fn a_curve_that_is_one_is_found() {
        for (offset, factor, exponent) in
            [(5.0, 2.0, 1.0), (0.0, 3.0, 0.5), (100.0, 0.25, 2.0), (1.0, 1.0, 1.37)]
        {
            let found = OffsetPower::fit(&points(|x| offset + factor * x.powf(exponent))).unwrap();
            assert!((found.exponent - exponent).abs() < 0.006, "{found:?}");
            assert!((found.offset - offset).abs() < 1e-6 * offset.max(1.0), "{found:?}");
            assert!(
                found.worst < 1e-9 && (found.at(30.0) - offset - factor * 30f64.powf(exponent)).abs() < 1e-6
            );
        }
    }

    #[test]
    fn nothing_falls_with_size() {
        let found = OffsetPower::fit(&points(|x| 20.0 - 0.1 * x)).unwrap();
        assert!(found.factor.abs() < 1e-12 && found.worst > 0.05, "{found:?}");
        assert_eq!(OffsetPower::fit(&points(|x| x)[..3]), None);
        assert_eq!(OffsetPower::fit(&points(|x| x - 1.0)), None);
    }
}
