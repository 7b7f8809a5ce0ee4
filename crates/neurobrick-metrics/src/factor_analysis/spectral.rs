//! The orthonormal cosine transform over the bins of a trial (DCT-II), in which smooth processes have independent
//! coefficients.

use faer::{Accum, Mat, MatRef, Par};

/// Transform matrix `[T, T]`, row = frequency; its transpose is its inverse.
pub(super) fn cosines(n_bins: usize) -> Mat<f64> {
    let n = n_bins as f64;
    Mat::from_fn(n_bins, n_bins, |frequency, bin| {
        let scale = if frequency == 0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
        scale * (std::f64::consts::PI * (bin as f64 + 0.5) * frequency as f64 / n).cos()
    })
}

/// Rows `trial · T + bin` to rows `frequency · B + trial`, each column on its own.
pub(super) fn forward(rows: MatRef<f64>, cosines: &Mat<f64>) -> Mat<f64> {
    by_column(
        rows,
        |from, to, n_trials, n_bins| {
            let bins = MatRef::from_column_major_slice(from, n_bins, n_trials);
            let out = faer::MatMut::from_column_major_slice_mut(to, n_trials, n_bins);
            faer::linalg::matmul::matmul(
                out,
                Accum::Replace,
                bins.transpose(),
                cosines.transpose(),
                1.0,
                Par::Seq,
            );
        },
        cosines.nrows(),
    )
}

/// The inverse of [`forward`].
pub(super) fn inverse(coefficients: MatRef<f64>, cosines: &Mat<f64>) -> Mat<f64> {
    by_column(
        coefficients,
        |from, to, n_trials, n_bins| {
            let frequencies = MatRef::from_column_major_slice(from, n_trials, n_bins);
            let out = faer::MatMut::from_column_major_slice_mut(to, n_bins, n_trials);
            faer::linalg::matmul::matmul(
                out,
                Accum::Replace,
                cosines.transpose(),
                frequencies.transpose(),
                1.0,
                Par::Seq,
            );
        },
        cosines.nrows(),
    )
}

fn by_column(
    rows: MatRef<f64>,
    transform: impl Fn(&[f64], &mut [f64], usize, usize),
    n_bins: usize,
) -> Mat<f64> {
    let n_trials = rows.nrows() / n_bins;
    let mut out = Mat::zeros(rows.nrows(), rows.ncols());
    let mut column = vec![0.0; rows.nrows()];
    for j in 0..rows.ncols() {
        column.iter_mut().zip(rows.col(j).iter()).for_each(|(to, from)| *to = *from);
        transform(&column, out.col_as_slice_mut(j), n_trials, n_bins);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transform_is_orthonormal_and_orders_rows_by_frequency() {
        let (n_trials, n_bins) = (3, 7);
        let rows = Mat::from_fn(n_trials * n_bins, 2, |i, j| ((i * 5 + j * 3) % 11) as f64);
        let cosines = cosines(n_bins);
        let coefficients = forward(rows.as_ref(), &cosines);
        for trial in 0..n_trials {
            let sum: f64 = (0..n_bins).map(|bin| rows[(trial * n_bins + bin, 1)]).sum();
            assert!((coefficients[(trial, 1)] - sum / (n_bins as f64).sqrt()).abs() < 1e-12, "{trial}");
        }
        let back = inverse(coefficients.as_ref(), &cosines);
        for i in 0..rows.nrows() {
            assert!((back[(i, 0)] - rows[(i, 0)]).abs() < 1e-12, "{i}");
        }
    }
}
