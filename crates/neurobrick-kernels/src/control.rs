//! LFADS's generator under a controller over all bins of a window, forward and backward.

use pulp::NullaryFnOnce;

use crate::cell::{AddRows, Cell, CellBack, Rows, RowsMut, ScaleRows};
use crate::exp_erf::exp;
use crate::product::{Matrix, add_rows, product, product_of};
use crate::simd::run;

/// Sizes of a controlled generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlShape {
    /// Examples B.
    pub n_examples: usize,
    /// Bins T.
    pub n_bins: usize,
    /// Units of the generator G.
    pub d_generator: usize,
    /// Factors F.
    pub n_factors: usize,
    /// Units of the controller C.
    pub d_controller: usize,
    /// Inferred inputs U.
    pub d_inputs: usize,
}

impl ControlShape {
    /// Width of a bin of the answer: generator, controller, factors, means and log variances of inputs. What losses read stands
    /// together.
    pub fn packed(&self) -> usize {
        self.inferred() + 2 * self.d_inputs
    }

    /// Where factors begin in a bin of the answer.
    fn factors(&self) -> usize {
        self.d_generator + self.d_controller
    }

    /// Where means and log variances begin in a bin of the answer.
    fn inferred(&self) -> usize {
        self.factors() + self.n_factors
    }
}

/// What a controlled generator runs on; `[rows, columns]` row by row.
#[derive(Clone, Copy, Debug)]
pub struct ControlInputs<'a> {
    /// `[B, T, 3 C]`.
    pub controller_drive: &'a [f32],
    /// `[B, T, 3 G]`, or `[3 G]` if it is the same everywhere.
    pub generator_drive: &'a [f32],
    /// `[B, C]`.
    pub controller_start: &'a [f32],
    /// `[B, G]`.
    pub generator_start: &'a [f32],
    /// `[C, 3 C]`.
    pub controller_recurrent: &'a [f32],
    /// `[G, 3 G]`.
    pub generator_recurrent: &'a [f32],
    /// `[F, 3 C]`.
    pub factors_to_controller: &'a [f32],
    /// `[C, 2 U]`.
    pub controller_to_inputs: &'a [f32],
    /// `[2 U]`.
    pub inputs_bias: &'a [f32],
    /// `[U, 3 G]`.
    pub inputs_to_generator: &'a [f32],
    /// `[G, F]`.
    pub generator_to_factors: &'a [f32],
    /// Standard normal `[B, T, U]`; without it inputs are their means.
    pub noise: Option<&'a [f32]>,
    /// Dropout factors `[B, T, F]` of factors as the controller reads them.
    pub factor_drops: Option<&'a [f32]>,
    /// Dropout factors `[B, T + 1, G]` of states, start first, as factors are read from them.
    pub state_drops: Option<&'a [f32]>,
    /// Bound of the controller's state.
    pub controller_clip: f32,
    /// Bound of the generator's state.
    pub generator_clip: f32,
}

/// What the backward pass needs of the forward pass beside its answer.
#[derive(Clone, Debug)]
pub struct ControlTrace {
    /// `[B, T, 3 C]`.
    controller_gates: Vec<f32>,
    /// `[B, T, 3 G]`.
    generator_gates: Vec<f32>,
    /// Factors as the controller read them, `[B, T, F]`.
    seen: Vec<f32>,
    /// Inputs as the generator took them, `[B, T, U]`.
    inputs: Vec<f32>,
    /// Derivative of the inputs by their log variances, `[B, T, U]`.
    spread: Vec<f32>,
    /// States as factors were read from them, start first: `[B, T + 1, G]`.
    read: Vec<f32>,
    /// States before every bin times reset gates, `[B, T, C]`.
    controller_reset: Vec<f32>,
    /// `[B, T, G]`.
    generator_reset: Vec<f32>,
}

/// Gradients of a controlled generator by what it ran on.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlGradients {
    /// As the drive of the controller.
    pub controller_drive: Vec<f32>,
    /// As the drive of the generator.
    pub generator_drive: Vec<f32>,
    /// `[B, C]`.
    pub controller_start: Vec<f32>,
    /// `[B, G]`.
    pub generator_start: Vec<f32>,
    /// `[C, 3 C]`.
    pub controller_recurrent: Vec<f32>,
    /// `[G, 3 G]`.
    pub generator_recurrent: Vec<f32>,
    /// `[F, 3 C]`.
    pub factors_to_controller: Vec<f32>,
    /// `[C, 2 U]`.
    pub controller_to_inputs: Vec<f32>,
    /// `[2 U]`.
    pub inputs_bias: Vec<f32>,
    /// `[U, 3 G]`.
    pub inputs_to_generator: Vec<f32>,
    /// `[G, F]`.
    pub generator_to_factors: Vec<f32>,
}

/// The answer `[B, T, packed]` (see [`ControlShape::packed`]) and what the backward pass needs beside it.
///
/// Per bin the controller `c` reads its drive and the factors of the bin before, mean and log variance of an input are
/// read from it, the generator `g` takes the input and moves on, and factors are read from the generator. Both cells are
/// those of [`gru`](fn@crate::gru).
///
/// # Panics
/// If a slice has another length than its shape says.
pub fn control(shape: ControlShape, x: ControlInputs<'_>) -> (Vec<f32>, ControlTrace) {
    let ControlShape { n_examples: b, n_bins: t, d_generator: g, n_factors: f, d_controller: c, d_inputs: u } =
        shape;
    check(shape, &x);
    let is_constant = x.generator_drive.len() != b * t * 3 * g;
    let mut packed = vec![0.0; b * t * shape.packed()];
    let mut trace = ControlTrace {
        controller_gates: x.controller_drive.to_vec(),
        generator_gates: if is_constant {
            x.generator_drive.repeat(b * t)
        } else {
            x.generator_drive.to_vec()
        },
        seen: vec![0.0; b * t * f],
        inputs: vec![0.0; b * t * u],
        spread: vec![0.0; b * t * u],
        read: vec![0.0; b * (t + 1) * g],
        controller_reset: vec![0.0; b * t * c],
        generator_reset: vec![0.0; b * t * g],
    };
    if b == 0 {
        return (packed, trace);
    }
    let controller_cell = Cell::new(b, c, x.controller_recurrent, x.controller_clip);
    let generator_cell = Cell::new(b, g, x.generator_recurrent, x.generator_clip);
    let to_factors = Matrix::new(x.generator_to_factors, g, f);
    let (mut controller, mut generator) = (x.controller_start.to_vec(), x.generator_start.to_vec());
    let (wide, read_wide) = (t * shape.packed(), (t + 1) * g);
    // A place among the states as they are read: 0 is the start.
    let read_at = |place: usize, generator: &[f32], read: &mut [f32]| {
        let factors = x.state_drops.map(|drops| Rows { data: &drops[place * g..], stride: read_wide });
        let out = RowsMut { data: &mut read[place * g..], stride: read_wide };
        run(ScaleRows { x: Rows { data: generator, stride: g }, factors, out, n: b, width: g });
    };
    read_at(0, &generator, &mut trace.read);
    let first = product_of(Matrix::strided(&trace.read, b, g, read_wide), to_factors, 1);
    for bin in 0..t {
        let at = bin * shape.packed();
        let factors = match bin {
            0 => Rows { data: &first, stride: f },
            _ => Rows { data: &packed[at - shape.packed() + shape.factors()..], stride: wide },
        };
        let drops = x.factor_drops.map(|drops| Rows { data: &drops[bin * f..], stride: t * f });
        let seen = RowsMut { data: &mut trace.seen[bin * f..], stride: t * f };
        run(ScaleRows { x: factors, factors: drops, out: seen, n: b, width: f });
        let seen = Matrix::strided(&trace.seen[bin * f..], b, f, t * f);
        let gates = &mut trace.controller_gates[bin * 3 * c..];
        product(gates, t * 3 * c, 1.0, 1.0, seen, Matrix::new(x.factors_to_controller, f, 3 * c), 1);
        let gates = RowsMut { data: gates, stride: t * 3 * c };
        let out = RowsMut { data: &mut packed[at + g..], stride: wide };
        let reset = RowsMut { data: &mut trace.controller_reset[bin * c..], stride: t * c };
        controller_cell.step(gates, &mut controller, reset, out);

        let inferred = &mut packed[at + shape.inferred()..];
        for row in inferred.chunks_mut(wide) {
            row[..2 * u].copy_from_slice(x.inputs_bias);
        }
        let to_inputs = Matrix::new(x.controller_to_inputs, c, 2 * u);
        product(inferred, wide, 1.0, 1.0, Matrix::new(&controller, b, c), to_inputs, 1);
        draw_inputs(inferred, wide, x.noise, bin, shape, &mut trace);

        let gates = RowsMut { data: &mut trace.generator_gates[bin * 3 * g..], stride: t * 3 * g };
        let inputs = Rows { data: &trace.inputs[bin * u..], stride: t * u };
        run(Drive { inputs, table: x.inputs_to_generator, out: gates, n: b, n_inputs: u, width: 3 * g });
        let gates = RowsMut { data: &mut trace.generator_gates[bin * 3 * g..], stride: t * 3 * g };
        let out = RowsMut { data: &mut packed[at..], stride: wide };
        let reset = RowsMut { data: &mut trace.generator_reset[bin * g..], stride: t * g };
        generator_cell.step(gates, &mut generator, reset, out);
        read_at(bin + 1, &generator, &mut trace.read);
        let read = Matrix::strided(&trace.read[(bin + 1) * g..], b, g, read_wide);
        product(&mut packed[at + shape.factors()..], wide, 0.0, 1.0, read, to_factors, 1);
    }
    (packed, trace)
}

fn check(shape: ControlShape, x: &ControlInputs<'_>) {
    let ControlShape { n_examples: b, n_bins: t, d_generator: g, n_factors: f, d_controller: c, d_inputs: u } =
        shape;
    for (what, length, wanted) in [
        ("controller_drive", x.controller_drive.len(), b * t * 3 * c),
        ("controller_start", x.controller_start.len(), b * c),
        ("generator_start", x.generator_start.len(), b * g),
        ("factors_to_controller", x.factors_to_controller.len(), f * 3 * c),
        ("controller_to_inputs", x.controller_to_inputs.len(), c * 2 * u),
        ("inputs_bias", x.inputs_bias.len(), 2 * u),
        ("inputs_to_generator", x.inputs_to_generator.len(), u * 3 * g),
        ("generator_to_factors", x.generator_to_factors.len(), g * f),
        ("noise", x.noise.map_or(b * t * u, <[f32]>::len), b * t * u),
        ("factor_drops", x.factor_drops.map_or(b * t * f, <[f32]>::len), b * t * f),
        ("state_drops", x.state_drops.map_or(b * (t + 1) * g, <[f32]>::len), b * (t + 1) * g),
    ] {
        assert_eq!(length, wanted, "control: values of {what} for {shape:?}");
    }
    let drive = x.generator_drive.len();
    assert!(drive == b * t * 3 * g || drive == 3 * g, "control: {drive} values of generator_drive");
    assert!(g > 0 && c > 0 && t > 0, "control: units and bins are needed, received {shape:?}");
}

/// Inputs `[B, U]` of a bin from means and log variances `[B, 2 U]`, and their derivatives by the log variances.
fn draw_inputs(
    inferred: &[f32],
    stride: usize,
    noise: Option<&[f32]>,
    bin: usize,
    shape: ControlShape,
    trace: &mut ControlTrace,
) {
    let u = shape.d_inputs;
    for (example, row) in inferred.chunks(stride).enumerate() {
        let (means, log_vars) = row[..2 * u].split_at(u);
        let from = (example * shape.n_bins + bin) * u;
        for k in 0..u {
            let deviation = noise.map_or(0.0, |noise| exp(0.5 * log_vars[k]) * noise[from + k]);
            trace.inputs[from + k] = means[k] + deviation;
            trace.spread[from + k] = 0.5 * deviation;
        }
    }
}

/// Adds what a few inputs drive, row by row, to what drives without them.
struct Drive<'a> {
    inputs: Rows<'a>,
    /// `[U, width]`.
    table: &'a [f32],
    out: RowsMut<'a>,
    n: usize,
    n_inputs: usize,
    width: usize,
}

impl NullaryFnOnce for Drive<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { inputs, table, mut out, n, n_inputs, width } = self;
        for i in 0..n {
            let out = out.row(i, width);
            for (&input, weights) in inputs.row(i, n_inputs).iter().zip(table.chunks_exact(width)) {
                for (o, &w) in out.iter_mut().zip(weights) {
                    *o = input.mul_add(w, *o);
                }
            }
        }
    }
}

/// Gradients of [`control`] from `d_answer` `[B, T, packed]`, those by its answer, which is `answer`.
///
/// # Panics
/// If a slice has another length than its shape says.
#[expect(clippy::too_many_lines, reason = "one recurrence, whose buffers are used from end to end")]
pub fn control_backward(
    shape: ControlShape,
    x: ControlInputs<'_>,
    trace: ControlTrace,
    answer: &[f32],
    d_answer: &[f32],
) -> ControlGradients {
    let ControlShape { n_examples: b, n_bins: t, d_generator: g, n_factors: f, d_controller: c, d_inputs: u } =
        shape;
    check(shape, &x);
    assert_eq!(answer.len(), b * t * shape.packed(), "control_backward: answer of {shape:?}");
    assert_eq!(d_answer.len(), answer.len(), "control_backward: gradients of {shape:?}");
    let controller_cell = Cell::new(b, c, x.controller_recurrent, x.controller_clip).back();
    let generator_cell = Cell::new(b, g, x.generator_recurrent, x.generator_clip).back();
    let zeros = |n: usize| vec![0.0f32; n];
    let (mut d_generator, mut d_controller) = (zeros(b * g), zeros(b * c));
    let (mut g_scratch, mut c_scratch) = (zeros(b * g), zeros(b * c));
    let (mut d_seen, mut d_inputs) = (zeros(b * f), zeros(b * u));
    // By factors, the start's first.
    let mut d_factors = zeros(b * (t + 1) * f);
    let mut d_inferred = zeros(b * t * 2 * u);
    // Gates become gradients by drives, bin by bin.
    let ControlTrace {
        controller_gates: mut d_controller_gates, generator_gates: mut d_generator_gates, ..
    } = trace;
    let (packed, wide) = (shape.packed(), t * shape.packed());
    let from_factors = Matrix::new(x.factors_to_controller, f, 3 * c).t().to_vec();
    let from_factors = Matrix::new(&from_factors, 3 * c, f);
    let to_factors = Matrix::new(x.generator_to_factors, g, f).t().to_vec();
    let to_factors = Matrix::new(&to_factors, f, g);
    let into = Matrix::new(x.inputs_to_generator, u, 3 * g).t().to_vec();
    let into = Matrix::new(&into, 3 * g, u);
    let to_inputs = Matrix::new(x.controller_to_inputs, c, 2 * u).t().to_vec();
    let to_inputs = Matrix::new(&to_inputs, 2 * u, c);
    let part = |bin: usize, from: usize| Rows { data: &d_answer[bin * packed + from..], stride: wide };
    let state = |bin: usize, from: usize| Rows { data: &answer[bin * packed + from..], stride: wide };
    let state_drops =
        |place: usize| x.state_drops.map(|drops| Rows { data: &drops[place * g..], stride: (t + 1) * g });
    for bin in (0..if b == 0 { 0 } else { t }).rev() {
        // Factors of this bin: the answer's own gradient and what the next bin's controller read.
        let drops = x.factor_drops.filter(|_| bin + 1 < t);
        let drops = drops.map(|drops| Rows { data: &drops[(bin + 1) * f..], stride: t * f });
        let d_f = RowsMut { data: &mut d_factors[(bin + 1) * f..], stride: (t + 1) * f };
        run(ScaleRows { x: Rows { data: &d_seen, stride: f }, factors: drops, out: d_f, n: b, width: f });
        let d_f = RowsMut { data: &mut d_factors[(bin + 1) * f..], stride: (t + 1) * f };
        run(AddRows { x: part(bin, shape.factors()), factors: None, total: d_f, n: b, width: f });
        let d_f = Matrix::strided(&d_factors[(bin + 1) * f..], b, f, (t + 1) * f);
        product(&mut g_scratch, g, 0.0, 1.0, d_f, to_factors, 1);
        let back = Rows { data: &g_scratch, stride: g };
        let mut add = |x: Rows<'_>, factors: Option<Rows<'_>>| {
            let total = RowsMut { data: &mut d_generator, stride: g };
            run(AddRows { x, factors, total, n: b, width: g });
        };
        add(back, state_drops(bin + 1));
        add(part(bin, 0), None);

        let previous = match bin {
            0 => Rows { data: x.generator_start, stride: g },
            _ => state(bin - 1, 0),
        };
        let gates = RowsMut { data: &mut d_generator_gates[bin * 3 * g..], stride: t * 3 * g };
        generator_cell.step(gates, previous, &mut d_generator, &mut g_scratch);

        let d_gates = Matrix::strided(&d_generator_gates[bin * 3 * g..], b, 3 * g, t * 3 * g);
        product(&mut d_inputs, u, 0.0, 1.0, d_gates, into, 1);
        for (example, d_inputs) in d_inputs.chunks_exact(u.max(1)).enumerate() {
            let at = example * t + bin;
            let own = &d_answer[at * packed + shape.inferred()..][..2 * u];
            let spread = &trace.spread[at * u..];
            let out = &mut d_inferred[at * 2 * u..];
            for k in 0..u {
                out[k] = own[k] + d_inputs[k];
                out[u + k] = own[u + k] + d_inputs[k] * spread[k];
            }
        }
        let d_out = Matrix::strided(&d_inferred[bin * 2 * u..], b, 2 * u, t * 2 * u);
        product(&mut d_controller, c, 1.0, 1.0, d_out, to_inputs, 1);
        let total = RowsMut { data: &mut d_controller, stride: c };
        run(AddRows { x: part(bin, g), factors: None, total, n: b, width: c });

        let previous = match bin {
            0 => Rows { data: x.controller_start, stride: c },
            _ => state(bin - 1, g),
        };
        let gates = RowsMut { data: &mut d_controller_gates[bin * 3 * c..], stride: t * 3 * c };
        controller_cell.step(gates, previous, &mut d_controller, &mut c_scratch);
        let d_gates = Matrix::strided(&d_controller_gates[bin * 3 * c..], b, 3 * c, t * 3 * c);
        product(&mut d_seen, f, 0.0, 1.0, d_gates, from_factors, 1);
    }
    // What the first bin's controller read goes back to the start.
    let drops = x.factor_drops.map(|drops| Rows { data: drops, stride: t * f });
    let d_f = RowsMut { data: &mut d_factors, stride: (t + 1) * f };
    run(ScaleRows { x: Rows { data: &d_seen, stride: f }, factors: drops, out: d_f, n: b, width: f });
    product(&mut g_scratch, g, 0.0, 1.0, Matrix::strided(&d_factors, b, f, (t + 1) * f), to_factors, 1);
    let total = RowsMut { data: &mut d_generator, stride: g };
    run(AddRows { x: Rows { data: &g_scratch, stride: g }, factors: state_drops(0), total, n: b, width: g });

    let mut inputs_bias = zeros(2 * u);
    add_rows(&d_inferred, &mut inputs_bias);
    let is_constant = x.generator_drive.len() != b * t * 3 * g;
    let n = b * t;
    let recurrent =
        |cell: &CellBack<'_>, start: &[f32], from: usize, h: usize, reset: &[f32], d_gates: &[f32]| {
            let previous = before(start, answer, shape, from, h);
            cell.weight_gradient(
                &previous,
                Rows { data: reset, stride: h },
                Rows { data: d_gates, stride: 3 * h },
            )
        };
    let starts = [x.controller_start, x.generator_start];
    let controller_recurrent =
        recurrent(&controller_cell, starts[0], g, c, &trace.controller_reset, &d_controller_gates);
    let generator_recurrent =
        recurrent(&generator_cell, starts[1], 0, g, &trace.generator_reset, &d_generator_gates);
    let by_weights = |a: Matrix<'_>, d: &[f32], width: usize| product_of(a.t(), Matrix::new(d, n, width), 1);
    let read = Matrix::new(&trace.read, b * (t + 1), g);
    let controller = Matrix::strided(answer.get(g..).unwrap_or_default(), n, c, packed);
    ControlGradients {
        factors_to_controller: by_weights(Matrix::new(&trace.seen, n, f), &d_controller_gates, 3 * c),
        controller_to_inputs: by_weights(controller, &d_inferred, 2 * u),
        inputs_to_generator: by_weights(Matrix::new(&trace.inputs, n, u), &d_generator_gates, 3 * g),
        generator_to_factors: product_of(read.t(), Matrix::new(&d_factors, b * (t + 1), f), 1),
        generator_drive: if is_constant {
            let mut sum = zeros(3 * g);
            add_rows(&d_generator_gates, &mut sum);
            sum
        } else {
            d_generator_gates
        },
        controller_drive: d_controller_gates,
        controller_start: d_controller,
        generator_start: d_generator,
        controller_recurrent,
        generator_recurrent,
        inputs_bias,
    }
}

/// States before every bin, `[B, T, width]`: columns of the answer from `from` on, one bin later.
fn before(start: &[f32], answer: &[f32], shape: ControlShape, from: usize, width: usize) -> Vec<f32> {
    let mut previous = Vec::with_capacity(shape.n_examples * shape.n_bins * width);
    let windows = answer.chunks_exact(shape.n_bins * shape.packed());
    for (start, window) in start.chunks_exact(width).zip(windows) {
        previous.extend_from_slice(start);
        for bin in window.chunks_exact(shape.packed()).take(shape.n_bins - 1) {
            previous.extend_from_slice(&bin[from..from + width]);
        }
    }
    previous
}
