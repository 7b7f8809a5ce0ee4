//! Covariances that depend on the distance of two bins only: solved by recursion over the order, in steps that grow with
//! the square of the number of bins (Durbin 1960; Gohberg and Semencul 1972; Golub and Van Loan 2013, section 4.7).

use faer::Mat;

use crate::MetricError;

/// The inverse of a symmetric positive definite Toeplitz matrix, held as its first column.
pub(super) struct StationaryInverse {
    first: Vec<f64>,
    /// Log determinant of the matrix itself.
    pub(super) log_determinant: f64,
}

impl StationaryInverse {
    /// Inverts the matrix whose first column is `covariance`. Fails if it is not positive definite.
    pub(super) fn new(covariance: &[f64], what: &'static str) -> Result<Self, MetricError> {
        let refused = || MetricError::NotPositiveDefinite { what, size: covariance.len() };
        let &variance = covariance.first().ok_or_else(refused)?;
        // The best linear forecast of a bin from those before it, the nearest first, with its sign changed.
        let mut forecast: Vec<f64> = Vec::with_capacity(covariance.len());
        let mut backward: Vec<f64> = Vec::with_capacity(covariance.len());
        let mut error = variance;
        let mut log_determinant = 0.0;
        for order in 1..=covariance.len() {
            // Not a number is refused too.
            if error.is_nan() || error <= 0.0 {
                return Err(refused());
            }
            log_determinant += error.ln();
            if order == covariance.len() {
                break;
            }
            let known: f64 = forecast.iter().zip(covariance[1..order].iter().rev()).map(|(a, r)| a * r).sum();
            let reflection = -(covariance[order] + known) / error;
            backward.clear();
            backward.extend(forecast.iter().rev());
            for (ahead, behind) in forecast.iter_mut().zip(&backward) {
                *ahead += reflection * behind;
            }
            forecast.push(reflection);
            error *= 1.0 - reflection * reflection;
        }
        let first = std::iter::once(1.0).chain(forecast).map(|value| value / error).collect();
        Ok(Self { first, log_determinant })
    }

    /// Row and column at which the outer products are taken: the first column, and the one that shifts in from the end.
    fn shifted(&self, index: usize) -> f64 {
        if index == 0 { 0.0 } else { self.first[self.first.len() - index] }
    }

    /// All entries, `[T, T]`.
    pub(super) fn matrix(&self) -> Mat<f64> {
        let (n_bins, scale) = (self.first.len(), 1.0 / self.first[0]);
        let mut out = Mat::zeros(n_bins, n_bins);
        for t in 0..n_bins {
            for s in t..n_bins {
                let before = if t == 0 { 0.0 } else { out[(s - 1, t - 1)] };
                let gained = self.first[s] * self.first[t] - self.shifted(s) * self.shifted(t);
                let value = before + scale * gained;
                out[(s, t)] = value;
                out[(t, s)] = value;
            }
        }
        out
    }

    /// The trace of the inverse times a symmetric matrix, given that matrix's [`diagonal_sums`].
    pub(super) fn trace_with(&self, sums: &Mat<f64>) -> f64 {
        let shifted: Vec<f64> = (0..self.first.len()).map(|index| self.shifted(index)).collect();
        (quadratic(sums, &self.first) - quadratic(sums, &shifted)) / self.first[0]
    }
}

/// At each entry the sum of a matrix along its diagonal from there to the end.
pub(super) fn diagonal_sums(matrix: &Mat<f64>) -> Mat<f64> {
    let mut sums = matrix.clone();
    for t in (1..sums.ncols()).rev() {
        for s in (1..sums.nrows()).rev() {
            let later = sums[(s, t)];
            sums[(s - 1, t - 1)] += later;
        }
    }
    sums
}

fn quadratic(matrix: &Mat<f64>, vector: &[f64]) -> f64 {
    (0..matrix.ncols())
        .map(|t| vector[t] * matrix.col(t).iter().zip(vector).map(|(m, v)| m * v).sum::<f64>())
        .sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::smoothness::kernel;
    use super::*;

    /// Against the definition: the matrix times its inverse, the product of its leading determinants, the trace.
    #[test]
    fn inverse_determinant_and_trace_are_those_of_the_matrix() {
        // A white share of a half, and the one in use: its condition, bins over share, costs the digits between.
        let cases = [1, 2, 3, 8, 31].map(|n_bins| (n_bins, 0.5, 1e-12));
        for (n_bins, white, tolerance) in cases.into_iter().chain([(8, 1e-3, 1e-10), (31, 1e-3, 1e-10)]) {
            let covariance = kernel(n_bins, 0.04, white);
            let matrix = Mat::from_fn(n_bins, n_bins, |s, t| covariance[s.abs_diff(t)]);
            let inverse = StationaryInverse::new(&covariance, "test").unwrap();
            let product = &matrix * &inverse.matrix();
            for (s, t) in (0..n_bins).flat_map(|s| (0..n_bins).map(move |t| (s, t))) {
                let want = f64::from(u8::from(s == t));
                let got = product[(s, t)];
                assert!((got - want).abs() < tolerance, "{n_bins}, {white}: {s}, {t}: {got}");
            }
            let determinant = matrix.determinant().ln();
            assert!(
                (inverse.log_determinant - determinant).abs() < 100.0 * tolerance,
                "{n_bins}, {white}: {determinant}"
            );
            let moments = Mat::from_fn(n_bins, n_bins, |s, t| ((s * t) % 5 + (s + t) % 3) as f64);
            let want: f64 = (0..n_bins).map(|t| (&inverse.matrix() * &moments)[(t, t)]).sum();
            let got = inverse.trace_with(&diagonal_sums(&moments));
            let bound = 100.0 * tolerance * want.abs().max(1.0);
            assert!((got - want).abs() < bound, "{n_bins}, {white}: {got}, {want}");
        }
    }

    #[test]
    fn what_is_no_covariance_is_refused() {
        for covariance in [vec![], vec![0.0], vec![1.0, 2.0], vec![1.0, 1.0, 1.0], vec![1.0, f64::NAN, 0.1]] {
            assert!(StationaryInverse::new(&covariance, "test").is_err(), "{covariance:?}");
        }
    }
}
