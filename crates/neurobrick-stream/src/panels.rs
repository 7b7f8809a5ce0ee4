//! Matrices laid out for products with one row, and the products.
//!
//! A product with one row reads every weight once, so its time is that of the memory. Weights lie in panels of
//! [`LANES`] outputs, input after input, and stream through in the order they are stored; every lane has its own
//! sum, so no lane is ever added to another.

use pulp::NullaryFnOnce;

use crate::Precision;

/// Outputs of a panel. Rows of 64 are whole cache lines in every precision.
pub(crate) const LANES: usize = 64;

/// Weights of [`LANES`] outputs for one input.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Row<W>(pub(crate) [W; LANES]);

/// A stored number.
pub(crate) trait Weight: Copy {
    fn widen(self) -> f32;
}

impl Weight for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

/// The upper half of an `f32`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16(u16);

impl Bf16 {
    /// Rounds a finite number to nearest, ties to even.
    fn round(value: f32) -> Self {
        let bits = value.to_bits();
        let tie_to_even = 0x7fff + ((bits >> 16) & 1);
        Self((bits.wrapping_add(tie_to_even) >> 16) as u16)
    }
}

impl Weight for Bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

impl Weight for i8 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from(self)
    }
}

/// Panels of a matrix `[inputs, outputs]`, all of panel 0 first.
#[derive(Clone, Debug)]
enum Panels {
    F32(Vec<Row<f32>>),
    Bf16(Vec<Row<Bf16>>),
    Int8 { rows: Vec<Row<i8>>, scales: Vec<Row<f32>> },
}

/// `x W + b`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    panels: Panels,
    bias: Vec<Row<f32>>,
    n_in: usize,
    n_out: usize,
}

impl Linear {
    /// Lays out a row-major `weight` `[inputs, outputs]`.
    pub(crate) fn new(weight: &[f32], bias: &[f32], precision: Precision) -> Self {
        let n_out = bias.len();
        let n_in = weight.len() / n_out;
        let panels = match precision {
            Precision::F32 => Panels::F32(panels_of(n_in, n_out, 0.0, |i, o| weight[i * n_out + o])),
            Precision::Bf16 => {
                Panels::Bf16(panels_of(n_in, n_out, Bf16(0), |i, o| Bf16::round(weight[i * n_out + o])))
            }
            Precision::Int8 => {
                let scales = column_scales(weight, n_out);
                Panels::Int8 {
                    rows: panels_of(n_in, n_out, 0, |i, o| quantized(weight[i * n_out + o], scales[o])),
                    scales: panels_of(1, n_out, 0.0, |_, o| scales[o]),
                }
            }
        };
        Self { panels, bias: panels_of(1, n_out, 0.0, |_, o| bias[o]), n_in, n_out }
    }

    /// Bytes of weights and biases.
    pub(crate) fn n_bytes(&self) -> usize {
        let rows = match &self.panels {
            Panels::F32(rows) => size_of_val(rows.as_slice()),
            Panels::Bf16(rows) => size_of_val(rows.as_slice()),
            Panels::Int8 { rows, scales } => size_of_val(rows.as_slice()) + size_of_val(scales.as_slice()),
        };
        rows + size_of_val(self.bias.as_slice())
    }

    /// `out = x W + b`.
    pub(crate) fn forward(&self, x: &[f32], out: &mut [f32]) {
        debug_assert_eq!((x.len(), out.len()), (self.n_in, self.n_out));
        self.forward_by(x, out);
    }

    /// `out = x W + b` for an `x` given by its nonzero entries.
    pub(crate) fn forward_sparse(&self, x: &[(usize, f32)], out: &mut [f32]) {
        debug_assert_eq!(out.len(), self.n_out);
        self.forward_by(Sparse(x), out);
    }

    fn forward_by(&self, x: impl Input, out: &mut [f32]) {
        pulp::Arch::new().dispatch(Product { linear: self, x, out });
    }
}

/// A product to be run in the instructions of the processor.
struct Product<'a, X> {
    linear: &'a Linear,
    x: X,
    out: &'a mut [f32],
}

// A closure would not be inlined into the function that has these instructions, and so be compiled without them.
impl<X: Input> NullaryFnOnce for Product<'_, X> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match &self.linear.panels {
            Panels::F32(rows) => self.all_panels(rows, None),
            Panels::Bf16(rows) => self.all_panels(rows, None),
            Panels::Int8 { rows, scales } => self.all_panels(rows, Some(scales)),
        }
    }
}

impl<X: Input> Product<'_, X> {
    #[inline(always)]
    fn all_panels<W: Weight>(self, rows: &[Row<W>], scales: Option<&[Row<f32>]>) {
        let panels = rows.chunks_exact(self.linear.n_in).zip(&self.linear.bias);
        for (p, ((panel, bias), out)) in panels.zip(self.out.chunks_mut(LANES)).enumerate() {
            let mut sums = self.x.panel(panel);
            match scales {
                Some(scales) => {
                    for ((sum, scale), bias) in sums.iter_mut().zip(&scales[p].0).zip(&bias.0) {
                        *sum = sum.mul_add(*scale, *bias);
                    }
                }
                None => {
                    for (sum, bias) in sums.iter_mut().zip(&bias.0) {
                        *sum += bias;
                    }
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
}

/// A row to be multiplied.
trait Input: Copy {
    /// Its product with one panel.
    fn panel<W: Weight>(self, panel: &[Row<W>]) -> [f32; LANES];
}

impl Input for &[f32] {
    #[inline(always)]
    fn panel<W: Weight>(self, panel: &[Row<W>]) -> [f32; LANES] {
        panel_product(self, panel)
    }
}

/// Positions and values of nonzero entries.
#[derive(Clone, Copy)]
struct Sparse<'a>(&'a [(usize, f32)]);

impl Input for Sparse<'_> {
    #[inline(always)]
    fn panel<W: Weight>(self, panel: &[Row<W>]) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for &(i, x) in self.0 {
            add_row(&mut sums, x, &panel[i]);
        }
        sums
    }
}

/// Sums over inputs of `x` times their rows. Two rows at a time have sums of their own: one sum per lane would wait
/// for itself.
#[inline(always)]
pub(crate) fn panel_product<W: Weight>(x: &[f32], panel: &[Row<W>]) -> [f32; LANES] {
    let mut even = [0.0; LANES];
    let mut odd = [0.0; LANES];
    let (x_pairs, x_last) = x.as_chunks::<2>();
    let (row_pairs, row_last) = panel.as_chunks::<2>();
    for (x, rows) in x_pairs.iter().zip(row_pairs) {
        add_row(&mut even, x[0], &rows[0]);
        add_row(&mut odd, x[1], &rows[1]);
    }
    for (x, row) in x_last.iter().zip(row_last) {
        add_row(&mut even, *x, row);
    }
    for (even, odd) in even.iter_mut().zip(&odd) {
        *even += odd;
    }
    even
}

#[inline(always)]
fn add_row<W: Weight>(sums: &mut [f32; LANES], x: f32, row: &Row<W>) {
    for (sum, weight) in sums.iter_mut().zip(&row.0) {
        *sum = x.mul_add(weight.widen(), *sum);
    }
}

/// Rows of panels from values by (input, output); lanes past the last output hold `empty`.
fn panels_of<W: Copy>(n_in: usize, n_out: usize, empty: W, value: impl Fn(usize, usize) -> W) -> Vec<Row<W>> {
    let mut rows = Vec::with_capacity(n_out.div_ceil(LANES) * n_in);
    for first in (0..n_out).step_by(LANES) {
        for input in 0..n_in {
            let mut row = Row([empty; LANES]);
            for (lane, output) in (first..n_out).take(LANES).enumerate() {
                row.0[lane] = value(input, output);
            }
            rows.push(row);
        }
    }
    rows
}

/// The step of each output's grid of 255 values: its largest weight over 127.
fn column_scales(weight: &[f32], n_out: usize) -> Vec<f32> {
    let mut largest = vec![0f32; n_out];
    for row in weight.chunks_exact(n_out) {
        for (largest, w) in largest.iter_mut().zip(row) {
            *largest = largest.max(w.abs());
        }
    }
    largest.iter().map(|l| l / 127.0).collect()
}

/// The nearest step; a column of zeros has scale zero.
fn quantized(weight: f32, scale: f32) -> i8 {
    if scale == 0.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within ±127 by the choice of the scale")]
    let step = (weight / scale).round() as i8;
    step
}

/// Replaces every weight of a row-major `[inputs, outputs]` by the number it is stored as.
pub(crate) fn round_matrix(weight: &mut [f32], n_out: usize, precision: Precision) {
    match precision {
        Precision::F32 => {}
        Precision::Bf16 => weight.iter_mut().for_each(|w| *w = Bf16::round(*w).widen()),
        Precision::Int8 => {
            let scales = column_scales(weight, n_out);
            for row in weight.chunks_exact_mut(n_out) {
                for (w, &scale) in row.iter_mut().zip(&scales) {
                    *w = quantized(*w, scale).widen() * scale;
                }
            }
        }
    }
}
