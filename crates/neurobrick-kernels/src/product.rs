//! Matrix products on strided slices: a safe face for the `gemm` crate.

use std::sync::Once;

use gemm::Parallelism;

use crate::simd::vectorized;

/// A matrix in a slice: element `(i, j)` stands at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix that fills `data`.
    ///
    /// # Panics
    /// If `data` does not hold `rows * cols` values.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(Some(data.len()), rows.checked_mul(cols), "a {rows} x {cols} matrix");
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// A row-major matrix whose rows start `row_stride` apart: one head of many, say.
    ///
    /// # Panics
    /// If an element lies outside `data`.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        let fits = reach(rows, cols, row_stride).is_some_and(|n| n <= data.len());
        assert!(fits, "a {rows} x {cols} matrix in {}", data.len());
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The elements row by row, in an array of their own.
    pub(crate) fn to_vec(self) -> Vec<f32> {
        let at = |i: usize, j: usize| self.data[i * self.row_stride + j * self.col_stride];
        (0..self.rows).flat_map(|i| (0..self.cols).map(move |j| at(i, j))).collect()
    }

    /// The transpose, without moving anything.
    #[must_use]
    pub fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }
}

/// One past the last element of a row-major matrix; `None` if that exceeds all indices.
fn reach(rows: usize, cols: usize, row_stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 { Some(0) } else { (rows - 1).checked_mul(row_stride)?.checked_add(cols) }
}

/// `out = keep * out + scale * a b`, where `out` is row-major with rows `out_stride` apart. With `keep` zero the
/// old content is not read.
///
/// Runs on `n_threads` threads of the current rayon pool. A sum over the inner dimension is never split between
/// threads.
///
/// # Panics
/// If the inner sizes differ or the result does not fit `out`.
pub fn product(
    out: &mut [f32],
    out_stride: usize,
    keep: f32,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    n_threads: usize,
) {
    let (m, n) = (a.rows, b.cols);
    assert!(n <= out_stride || m <= 1, "rows of the result overlap");
    let fits = reach(m, n, out_stride).is_some_and(|n| n <= out.len());
    assert!(fits, "a {m} x {n} result in {}", out.len());
    // Benefit: see `write_product`.
    // Soundness: `out` holds every element of the result by the assertion above, its rows do not overlap, and it is
    // borrowed mutably, so it aliases neither operand.
    #[expect(unsafe_code, reason = "the product is written through a pointer")]
    unsafe {
        write_product(out.as_mut_ptr(), out_stride, keep, scale, a, b, n_threads);
    }
}

/// `a b` in a fresh row-major array, which is not cleared first. Runs as [`product`] does.
///
/// # Panics
/// If the inner sizes differ or the result exceeds all memory.
pub fn product_of(a: Matrix<'_>, b: Matrix<'_>, n_threads: usize) -> Vec<f32> {
    let (n, stride) = (a.rows.saturating_mul(b.cols), b.cols);
    if a.cols == 0 {
        return vec![0.0; n];
    }
    let mut out = Vec::with_capacity(n);
    // Benefit: clearing what the product writes anyway costs some percent of a training step.
    // Soundness: the array holds `n` elements, which the product, told not to keep what was there, writes without
    // reading; it aliases neither operand.
    #[expect(unsafe_code, reason = "the product is written to memory that holds no values yet")]
    unsafe {
        write_product(out.as_mut_ptr(), stride, 0.0, 1.0, a, b, n_threads);
        out.set_len(n);
    }
    out
}

/// From how many tiles of rows on (six rows each with AVX-512) a shared product copies its weights to packed
/// panels. At `gemm`'s default of 16 a trial of 102 tokens pays for copies it hardly reads again: without them the
/// forward pass of one trial at the MtM size is 11 % faster on two threads. The bits are the same.
const PACKED_FROM_TILES: usize = 32;

/// The setting is one of the process.
static TUNED: Once = Once::new();

/// `out = keep * out + scale * a b`; every element of the result is written, and read only if `keep` is not zero.
///
/// # Panics
/// If the inner sizes differ.
///
/// # Safety
/// `out` must be valid for writing (and reading, if `keep` is not zero) a row-major result with rows `out_stride`
/// apart that do not overlap, and must alias neither operand.
#[expect(unsafe_code, reason = "the `gemm` crate takes pointers and strides")]
unsafe fn write_product(
    out: *mut f32,
    out_stride: usize,
    keep: f32,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    n_threads: usize,
) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(k, b.rows, "inner sizes of a product");
    TUNED.call_once(|| gemm::set_lhs_packing_threshold_multi_thread(PACKED_FROM_TILES));
    let parallelism = if n_threads > 1 { Parallelism::Rayon(n_threads) } else { Parallelism::None };
    #[expect(clippy::cast_possible_wrap, reason = "no slice is longer than isize::MAX")]
    let signed = |stride: usize| stride as isize;
    // Benefit: the product runs at the processor's peak, which no safe loop reaches.
    // Soundness: every index of `a` and `b` lies within their slices by construction, and of `out` by the caller's
    // promise; none computes an index that wraps.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            signed(out_stride),
            keep != 0.0,
            a.data.as_ptr(),
            signed(a.col_stride),
            signed(a.row_stride),
            b.data.as_ptr(),
            signed(b.col_stride),
            signed(b.row_stride),
            keep,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Adds every row of `rows` `[.., width]` to `total` `[width]`, in order: the gradient of a bias.
///
/// # Panics
/// If `rows` does not hold whole rows.
pub fn add_rows(rows: &[f32], total: &mut [f32]) {
    if total.is_empty() {
        return;
    }
    assert_eq!(rows.len() % total.len(), 0, "whole rows of {}", total.len());
    vectorized(|| {
        for row in rows.chunks_exact(total.len()) {
            for (total, &x) in total.iter_mut().zip(row) {
                *total += x;
            }
        }
    });
}
