//! The few matrix operations the fits share, on faer's column-major matrices.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::Llt;
use faer::{Accum, Mat, MatRef, Par, Side, Spec};
use ndarray::{Array3, ArrayView1, ArrayView2, ArrayView3};

use crate::MetricError;

/// Lanes that [`rows_of`] turns at a time.
const LANES: usize = 16;

/// Some units of `[B, T, N]` as a matrix `[B·T, units]`, time running fastest.
pub(crate) fn rows_of(values: &ArrayView3<f64>, units: &[usize]) -> Mat<f64> {
    let (n_trials, n_bins, _) = values.dim();
    let lanes: Vec<ArrayView1<f64>> = values.rows().into_iter().collect();
    let mut rows = Mat::zeros(n_trials * n_bins, units.len());
    // Some lanes at a time: what they hold then stays in cache while it is written column by column.
    for (block, lanes) in lanes.chunks(LANES).enumerate() {
        for (column, &unit) in units.iter().enumerate() {
            let out = &mut rows.col_as_slice_mut(column)[block * LANES..][..lanes.len()];
            for (value, lane) in out.iter_mut().zip(lanes) {
                *value = lane[unit];
            }
        }
    }
    rows
}

/// The inverse of [`rows_of`] for all columns.
pub(crate) fn trials_of(rows: MatRef<f64>, n_trials: usize, n_bins: usize) -> Array3<f64> {
    Array3::from_shape_fn((n_trials, n_bins, rows.ncols()), |(b, t, n)| rows[(b * n_bins + t, n)])
}

pub(crate) fn matrix_of(values: &ArrayView2<f64>) -> Mat<f64> {
    Mat::from_fn(values.nrows(), values.ncols(), |i, j| values[[i, j]])
}

/// Mean of each column.
pub(crate) fn column_means(x: MatRef<f64>) -> Vec<f64> {
    (0..x.ncols()).map(|j| x.col(j).iter().sum::<f64>() / x.nrows() as f64).collect()
}

/// Subtracts `means[j]` from column `j`.
pub(crate) fn subtract_from_columns(x: &mut Mat<f64>, means: &[f64]) {
    for (j, mean) in means.iter().enumerate() {
        for value in x.col_mut(j).iter_mut() {
            *value -= mean;
        }
    }
}

/// `a · b`, on the threads of the current pool.
pub(crate) fn product(a: MatRef<f64>, b: MatRef<f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    faer::linalg::matmul::matmul(out.as_mut(), Accum::Replace, a, b, 1.0, Par::rayon(0));
    out
}

/// `a · b`, for callers that keep the other threads busy themselves.
pub(crate) fn on_one_thread(a: MatRef<f64>, b: MatRef<f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    faer::linalg::matmul::matmul(out.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// `xᵀ · x`, both triangles.
pub(crate) fn gram(x: MatRef<f64>, parallelism: Par) -> Mat<f64> {
    let mut out = Mat::zeros(x.ncols(), x.ncols());
    let rectangular = BlockStructure::Rectangular;
    triangular::matmul(
        out.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        x.transpose(),
        rectangular,
        x,
        rectangular,
        1.0,
        parallelism,
    );
    for j in 0..x.ncols() {
        for i in 0..j {
            out[(i, j)] = out[(j, i)];
        }
    }
    out
}

/// Rows and columns `keep` of a symmetric matrix, `alpha` added to the diagonal.
pub(crate) fn penalized(gram: MatRef<f64>, keep: &[usize], alpha: f64) -> Mat<f64> {
    let mut system = Mat::from_fn(keep.len(), keep.len(), |i, j| gram[(keep[i], keep[j])]);
    for i in 0..keep.len() {
        system[(i, i)] += alpha;
    }
    system
}

/// Cholesky factor of a symmetric positive definite system.
pub(crate) fn cholesky(system: MatRef<f64>, what: &'static str) -> Result<Llt<f64>, MetricError> {
    system.llt(Side::Lower).map_err(|_| MetricError::NotPositiveDefinite { what, size: system.nrows() })
}

/// The eigenvectors of a symmetric matrix with the `k` largest eigenvalues, largest first, as columns. Signs are
/// fixed so that the largest loading of each is positive.
pub(crate) fn leading_eigenvectors(symmetric: MatRef<f64>, k: usize) -> Result<Mat<f64>, MetricError> {
    let size = symmetric.nrows();
    let (mut values, mut vectors) = (Diag::zeros(size), Mat::zeros(size, size));
    // faer's blocking of this decomposition follows the number of threads; on one, bits do not depend on it.
    let scratch =
        evd::self_adjoint_evd_scratch::<f64>(size, ComputeEigenvectors::Yes, Par::Seq, Spec::default());
    evd::self_adjoint_evd(
        symmetric,
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Spec::default(),
    )
    .map_err(|_| MetricError::Eigen { size })?;
    let mut leading = Mat::from_fn(size, k.min(size), |i, j| vectors[(i, size - 1 - j)]);
    for j in 0..leading.ncols() {
        let column = leading.col_as_slice_mut(j);
        let largest = column.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        if largest < 0.0 {
            for value in column {
                *value = -*value;
            }
        }
    }
    Ok(leading)
}

/// Orthonormal directions `[columns, k]` that carry most of `x`, with the squared norm of `x` along each, largest
/// first: subspace iteration from `probe` (`[columns, k]`; Halko, Martinsson and Tropp 2011).
pub(crate) fn leading_subspace(
    x: MatRef<f64>,
    probe: Mat<f64>,
    n_steps: usize,
) -> Result<(Mat<f64>, Vec<f64>), MetricError> {
    let mut directions = probe;
    for _ in 0..n_steps {
        let raw = product(x.transpose(), product(x, directions.as_ref()).as_ref());
        directions = orthonormal(raw)?;
    }
    let along = product(x, directions.as_ref());
    let moments = gram(along.as_ref(), Par::rayon(0));
    let rotation = leading_eigenvectors(moments.as_ref(), moments.ncols())?;
    let rotated = product(along.as_ref(), rotation.as_ref());
    let squares = (0..rotated.ncols()).map(|j| rotated.col(j).iter().map(|v| v * v).sum()).collect();
    Ok((product(directions.as_ref(), rotation.as_ref()), squares))
}

/// The same column space with orthonormal columns; directions without any length stay zero.
fn orthonormal(x: Mat<f64>) -> Result<Mat<f64>, MetricError> {
    let moments = gram(x.as_ref(), Par::rayon(0));
    let rotation = leading_eigenvectors(moments.as_ref(), moments.ncols())?;
    let mut rotated = product(x.as_ref(), rotation.as_ref());
    normalize_columns(&mut rotated);
    Ok(rotated)
}

/// Makes the columns unit vectors; those without any length become zero. They come from the eigenvectors of squares, where
/// half the digits are lost: what is shorter than 1e-7 of the longest is rounding.
pub(crate) fn normalize_columns(x: &mut Mat<f64>) {
    let lengths: Vec<f64> =
        x.col_iter().map(|column| column.iter().map(|v| v * v).sum::<f64>().sqrt()).collect();
    let longest = lengths.iter().copied().fold(0.0, f64::max);
    for (j, length) in lengths.into_iter().enumerate() {
        let scale = if length > 1e-7 * longest { 1.0 / length } else { 0.0 };
        x.col_mut(j).iter_mut().for_each(|v| *v *= scale);
    }
}

/// The inverse of a symmetric positive definite system and the logarithm of its determinant, on one thread: systems of
/// a hundred rows are solved before a second thread has woken.
pub(crate) fn inverse_on_one_thread(
    system: &Mat<f64>,
    what: &'static str,
) -> Result<(Mat<f64>, f64), MetricError> {
    let size = system.nrows();
    let scratch = llt::factor::cholesky_in_place_scratch::<f64>(size, Par::Seq, Spec::default())
        .or(llt::inverse::inverse_scratch::<f64>(size, Par::Seq));
    let mut memory = MemBuffer::new(scratch);
    let mut factor = system.clone();
    let none = llt::factor::LltRegularization::default();
    let stack = MemStack::new(&mut memory);
    llt::factor::cholesky_in_place(factor.as_mut(), none, Par::Seq, stack, Spec::default())
        .map_err(|_| MetricError::NotPositiveDefinite { what, size })?;
    let log_determinant = 2.0 * (0..size).map(|i| factor[(i, i)].ln()).sum::<f64>();
    let mut inverse = Mat::zeros(size, size);
    llt::inverse::inverse(inverse.as_mut(), factor.as_ref(), Par::Seq, MemStack::new(&mut memory));
    for j in 0..size {
        for i in 0..j {
            inverse[(i, j)] = inverse[(j, i)];
        }
    }
    Ok((inverse, log_determinant))
}
