//! Read-in of sparse spike counts: a product with a weight table that touches only the units that fired.

use pulp::NullaryFnOnce;

use crate::simd::run;

/// Columns kept in registers while the non-zero counts of a row go by.
const TILE: usize = 64;
/// Tile for what the wide tiles leave over.
const NARROW: usize = 16;

/// The non-zero entries of a `[rows, n_units]` array of counts, row by row, built once for forward and backward.
///
/// Counts in bins of 10–20 ms are 2–15 % non-zero. A NaN is an entry like any other.
///
/// ```
/// use neurobrick_kernels::SparseCounts;
///
/// let counts = SparseCounts::new(&[0.0, 2.0, 0.0, 0.0], 2); // two rows of two units
/// let mut out = [0.0; 2];
/// counts.gather_rows(&[1.0, 3.0], &[0.5], &mut out); // width 1
/// assert_eq!(out, [6.5, 0.5]);
///
/// let mut d_weight = [0.0; 2];
/// counts.gather_rows_backward(&[1.0, 1.0], &mut d_weight);
/// assert_eq!(d_weight, [0.0, 2.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseCounts {
    n_units: usize,
    by_row: Lists,
}

impl SparseCounts {
    /// The non-zero entries of `counts`, `[rows, n_units]`.
    ///
    /// # Panics
    /// If `n_units` is zero, does not divide the length of `counts` or does not fit 32 bits.
    pub fn new(counts: &[f32], n_units: usize) -> Self {
        assert!(n_units > 0, "sparse counts: there must be a unit");
        assert_eq!(counts.len() % n_units, 0, "sparse counts: counts in rows of n_units");
        assert!(u32::try_from(n_units).is_ok(), "sparse counts: {n_units} units do not fit 32 bits");
        let mut by_row = Lists { starts: vec![0], items: Vec::new(), values: Vec::new() };
        let (mut items, mut values) = (vec![0; n_units], vec![0.0; n_units]);
        for row in counts.chunks_exact(n_units) {
            // Every entry is written where the next non-zero belongs; only a non-zero moves that place on.
            let mut n = 0_usize;
            for (unit, &count) in (0_u32..).zip(row) {
                items[n] = unit;
                values[n] = count;
                n = n.wrapping_add(usize::from(count != 0.0));
            }
            by_row.items.extend_from_slice(&items[..n]);
            by_row.values.extend_from_slice(&values[..n]);
            by_row.starts.push(by_row.items.len());
        }
        Self { n_units, by_row }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.by_row.starts.len() - 1
    }

    /// Number of non-zero entries.
    pub fn non_zeros(&self) -> usize {
        self.by_row.items.len()
    }

    /// Writes `bias` + Σ over units n that fired of `counts[r, n]` · `weight[n]` to `out[r]`, units in order.
    ///
    /// `weight` is `[n_units, width]`, `bias` `[width]`, `out` `[rows, width]`. Weights of units that did not fire are
    /// not read: an infinite one does not turn 0 · ∞ into NaN.
    ///
    /// # Panics
    /// If `bias` is empty or a length does not fit.
    pub fn gather_rows(&self, weight: &[f32], bias: &[f32], out: &mut [f32]) {
        let width = bias.len();
        assert!(width > 0, "gather_rows: width must be positive");
        assert_eq!(weight.len(), self.n_units * width, "gather_rows: weight is [n_units, width]");
        assert_eq!(out.len(), self.rows() * width, "gather_rows: out is [rows, width]");
        for row in out.chunks_exact_mut(width) {
            row.copy_from_slice(bias);
        }
        self.by_row.add_products(weight, width, out);
    }

    /// Adds the gradient of [`gather_rows`](Self::gather_rows) in its weight, Σ over rows r of `counts[r, n]` ·
    /// `d_out[r]`, rows in order, to `d_weight[n]`.
    ///
    /// `d_out` is `[rows, width]`, `d_weight` `[n_units, width]`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn gather_rows_backward(&self, d_out: &[f32], d_weight: &mut [f32]) {
        assert_eq!(d_weight.len() % self.n_units, 0, "gather_rows_backward: d_weight is [n_units, width]");
        let width = d_weight.len() / self.n_units;
        assert!(width > 0, "gather_rows_backward: width must be positive");
        assert_eq!(d_out.len(), self.rows() * width, "gather_rows_backward: d_out is [rows, width]");
        self.by_row.transposed(self.n_units).add_products(d_out, width, d_weight);
    }
}

/// Lists of (item, value), one after the other.
#[derive(Clone, Debug, PartialEq)]
struct Lists {
    /// Where each list starts, and the end of the last.
    starts: Vec<usize>,
    items: Vec<u32>,
    values: Vec<f32>,
}

impl Lists {
    /// One list per item, of the lists it is in, in order.
    fn transposed(&self, n_items: usize) -> Self {
        let mut starts = vec![0_usize; n_items + 1];
        for &item in &self.items {
            starts[item as usize + 1] += 1;
        }
        for item in 0..n_items {
            starts[item + 1] += starts[item];
        }
        let (mut items, mut values) = (vec![0; self.items.len()], vec![0.0; self.items.len()]);
        let mut next = starts.clone();
        for (list, bounds) in (0_u32..).zip(self.starts.windows(2)) {
            let range = bounds[0]..bounds[1];
            for (&item, &value) in self.items[range.clone()].iter().zip(&self.values[range]) {
                let place = &mut next[item as usize];
                items[*place] = list;
                values[*place] = value;
                *place += 1;
            }
        }
        Self { starts, items, values }
    }

    /// Adds Σ value · `table[item]` of each list to its row of `out`, in order.
    ///
    /// Column tiles go outermost: the part of the table that a tile reads stays in cache over all lists.
    fn add_products(&self, table: &[f32], width: usize, out: &mut [f32]) {
        run(AddProducts { lists: self, table, width, out });
    }

    #[inline(always)]
    fn add_tile<const N: usize>(&self, table: &[f32], width: usize, column: usize, out: &mut [f32]) {
        for (bounds, out) in self.starts.windows(2).zip(out.chunks_exact_mut(width)) {
            let range = bounds[0]..bounds[1];
            let Some(out) = out[column..].first_chunk_mut::<N>() else { continue };
            let mut sums = *out;
            for (&item, &value) in self.items[range.clone()].iter().zip(&self.values[range]) {
                let Some(row) = table[(item as usize).wrapping_mul(width)..][column..].first_chunk::<N>()
                else {
                    continue;
                };
                for (s, &r) in sums.iter_mut().zip(row) {
                    *s = value.mul_add(r, *s);
                }
            }
            *out = sums;
        }
    }
}

/// Kernel of [`Lists::add_products`].
struct AddProducts<'a> {
    lists: &'a Lists,
    table: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl NullaryFnOnce for AddProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { lists, table, width, out } = self;
        let mut column = 0;
        while column + TILE <= width {
            lists.add_tile::<TILE>(table, width, column, out);
            column += TILE;
        }
        while column + NARROW <= width {
            lists.add_tile::<NARROW>(table, width, column, out);
            column += NARROW;
        }
        while column < width {
            lists.add_tile::<1>(table, width, column, out);
            column += 1;
        }
    }
}
