//! Precisions that stay the same when time runs backward: they fall apart into an even and an odd half, a quarter of
//! the work to invert.

use faer::Mat;

use crate::MetricError;
use crate::linalg::inverse_on_one_thread;

/// Inverse and log determinant of a symmetric positive definite matrix, rows `block · T + bin`, each of whose `[T, T]`
/// blocks stays the same when rows and columns are both reversed. Only that is used: entries are read for the first
/// half of the bins of a column.
///
/// With `e_t` the unit vector of a bin, the sums `(e_t + e_{T−1−t}) / √2` and the differences do not mix (Cantoni and
/// Butler 1976).
pub(super) fn mirrored_inverse(
    matrix: &Mat<f64>,
    n_bins: usize,
    what: &'static str,
) -> Result<(Mat<f64>, f64), MetricError> {
    let n_blocks = matrix.nrows() / n_bins;
    let (n_odd, n_even) = (n_bins / 2, n_bins.div_ceil(2));
    // A bin without a mirror image, in the middle, is an even direction of its own, of another length.
    let scale = |bin: usize| if 2 * bin + 1 == n_bins { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
    let half = |size: usize, sign: f64| {
        Mat::from_fn(n_blocks * size, n_blocks * size, |row, column| {
            let (k, s) = (row / size, row % size);
            let (l, t) = (column / size, column % size);
            let mirrored = matrix[(k * n_bins + n_bins - 1 - s, l * n_bins + t)];
            scale(s) * scale(t) * (matrix[(k * n_bins + s, l * n_bins + t)] + sign * mirrored)
        })
    };
    let (even, even_determinant) = inverse_on_one_thread(&half(n_even, 1.0), what)?;
    let (odd, odd_determinant) = inverse_on_one_thread(&half(n_odd, -1.0), what)?;
    let mut inverse = Mat::zeros(matrix.nrows(), matrix.ncols());
    for (l, t) in (0..n_blocks).flat_map(|l| (0..n_even).map(move |t| (l, t))) {
        for (k, s) in (0..n_blocks).flat_map(|k| (0..n_even).map(move |s| (k, s))) {
            let sum = even[(k * n_even + s, l * n_even + t)] / (scale(s) * scale(t));
            let difference = if s < n_odd && t < n_odd { odd[(k * n_odd + s, l * n_odd + t)] } else { 0.0 };
            let (row, column) = (k * n_bins, l * n_bins);
            let (mirror_s, mirror_t) = (n_bins - 1 - s, n_bins - 1 - t);
            let (same, other) = (0.5 * (sum + difference), 0.5 * (sum - difference));
            inverse[(row + s, column + t)] = same;
            inverse[(row + mirror_s, column + mirror_t)] = same;
            inverse[(row + mirror_s, column + t)] = other;
            inverse[(row + s, column + mirror_t)] = other;
        }
    }
    Ok((inverse, even_determinant + odd_determinant))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Against the definition, for even, odd and single bins, and blocks that differ.
    #[test]
    fn product_with_the_inverse_is_the_identity() {
        for (n_blocks, n_bins) in [(1, 1), (2, 1), (1, 2), (3, 4), (2, 7)] {
            let size = n_blocks * n_bins;
            let matrix = Mat::from_fn(size, size, |row, column| {
                let (k, s) = (row / n_bins, row % n_bins);
                let (l, t) = (column / n_bins, column % n_bins);
                let within = if k == l { (-0.3 * (s.abs_diff(t) * (k + 1)) as f64).exp() } else { 0.0 };
                within + if s == t { 0.1 / (1 + k + l) as f64 + f64::from(u8::from(k == l)) } else { 0.0 }
            });
            let (inverse, log_determinant) = mirrored_inverse(&matrix, n_bins, "test").unwrap();
            let product = &matrix * &inverse;
            for (i, j) in (0..size).flat_map(|i| (0..size).map(move |j| (i, j))) {
                let want = f64::from(u8::from(i == j));
                assert!((product[(i, j)] - want).abs() < 1e-12, "{n_blocks}, {n_bins}: {i}, {j}");
            }
            let want = matrix.determinant().ln();
            assert!(
                (log_determinant - want).abs() < 1e-12,
                "{n_blocks}, {n_bins}: {log_determinant}, {want}"
            );
        }
    }
}
