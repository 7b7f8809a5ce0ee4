//! LFADS's generator under a controller over all bins of a window, forward and backward.

use crate::exp_erf::exp;
use crate::gru::{Cell, add, add_product, product_back, put_bin, take_bin, weight_product};
use crate::product::add_rows;
use crate::simd::vectorized;

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
    /// Width of a bin of the answer: generator, factors, controller, means and log variances of inputs.
    pub fn packed(&self) -> usize {
        self.d_generator + self.n_factors + self.d_controller + 2 * self.d_inputs
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

/// What the backward pass needs of the forward pass, bin by bin: `[T, B, ..]`.
#[derive(Clone, Debug)]
pub struct ControlTrace {
    controller_gates: Vec<f32>,
    generator_gates: Vec<f32>,
    /// Factors as the controller read them.
    seen: Vec<f32>,
    /// Inputs as the generator took them.
    inputs: Vec<f32>,
    /// Derivative of the inputs by their log variances.
    spread: Vec<f32>,
    /// State of the controller after the bin.
    controller: Vec<f32>,
    /// State of the generator, start first: `[T + 1, B, G]`.
    generator: Vec<f32>,
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

/// The answer `[B, T, packed]` (see [`ControlShape::packed`]) and what the backward pass needs.
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
    let controller_cell = Cell::new(b, c, x.controller_recurrent, x.controller_clip);
    let generator_cell = Cell::new(b, g, x.generator_recurrent, x.generator_clip);
    let is_constant = x.generator_drive.len() != b * t * 3 * g;
    let mut packed = vec![0.0; b * t * shape.packed()];
    let mut trace = ControlTrace {
        controller_gates: vec![0.0; t * b * 3 * c],
        generator_gates: vec![0.0; t * b * 3 * g],
        seen: vec![0.0; t * b * f],
        inputs: vec![0.0; t * b * u],
        spread: vec![0.0; t * b * u],
        controller: vec![0.0; t * b * c],
        generator: vec![0.0; (t + 1) * b * g],
    };
    trace.generator[..b * g].copy_from_slice(x.generator_start);
    let (mut controller, mut generator) = (x.controller_start.to_vec(), x.generator_start.to_vec());
    let (mut c_scratch, mut g_scratch) = (controller.clone(), generator.clone());
    let mut factors = vec![0.0; b * f];
    let mut inferred = vec![0.0; b * 2 * u];
    let mut drops = Drops::new(b * f.max(g));
    read_factors(&generator, x, t, 0, shape, &mut drops, &mut g_scratch, &mut factors);
    for bin in 0..t {
        let seen = &mut trace.seen[bin * b * f..(bin + 1) * b * f];
        seen.copy_from_slice(&factors);
        drops.apply(x.factor_drops, bin, t, f, seen);
        let gates = &mut trace.controller_gates[bin * b * 3 * c..(bin + 1) * b * 3 * c];
        take_bin(x.controller_drive, bin, t, 3 * c, gates);
        add_product(seen, x.factors_to_controller, f, 3 * c, gates);
        controller_cell.step(gates, &mut controller, &mut c_scratch);
        trace.controller[bin * b * c..(bin + 1) * b * c].copy_from_slice(&controller);

        for row in inferred.chunks_exact_mut((2 * u).max(1)) {
            row.copy_from_slice(x.inputs_bias);
        }
        add_product(&controller, x.controller_to_inputs, c, 2 * u, &mut inferred);
        let inputs = &mut trace.inputs[bin * b * u..(bin + 1) * b * u];
        let spread = &mut trace.spread[bin * b * u..(bin + 1) * b * u];
        draw_inputs(&inferred, x.noise, bin, t, u, inputs, spread);

        let gates = &mut trace.generator_gates[bin * b * 3 * g..(bin + 1) * b * 3 * g];
        if is_constant {
            gates.chunks_exact_mut(3 * g).for_each(|row| row.copy_from_slice(x.generator_drive));
        } else {
            take_bin(x.generator_drive, bin, t, 3 * g, gates);
        }
        add_product(inputs, x.inputs_to_generator, u, 3 * g, gates);
        generator_cell.step(gates, &mut generator, &mut g_scratch);
        trace.generator[(bin + 1) * b * g..(bin + 2) * b * g].copy_from_slice(&generator);
        read_factors(&generator, x, t, bin + 1, shape, &mut drops, &mut g_scratch, &mut factors);

        let parts = [(&generator, g), (&factors, f), (&controller, c), (&inferred, 2 * u)];
        pack(parts.map(|(x, width)| (x.as_slice(), width)), bin, t, &mut packed);
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

/// Room for the dropout factors of one bin.
struct Drops(Vec<f32>);

impl Drops {
    fn new(n: usize) -> Self {
        Self(vec![0.0; n])
    }

    /// Multiplies `x` `[B, width]` by bin `bin` of `factors` `[B, n_bins, width]`, if there are some.
    fn apply(&mut self, factors: Option<&[f32]>, bin: usize, n_bins: usize, width: usize, x: &mut [f32]) {
        let Some(factors) = factors else { return };
        let own = &mut self.0[..x.len()];
        take_bin(factors, bin, n_bins, width, own);
        vectorized(|| {
            for (x, &d) in x.iter_mut().zip(&*own) {
                *x *= d;
            }
        });
    }
}

/// Factors of `generator` `[B, G]` at place `place` (0 is the start), through dropout.
#[expect(clippy::too_many_arguments, reason = "buffers are lent, so that no bin allocates")]
fn read_factors(
    generator: &[f32],
    x: ControlInputs<'_>,
    n_bins: usize,
    place: usize,
    shape: ControlShape,
    drops: &mut Drops,
    scratch: &mut [f32],
    factors: &mut [f32],
) {
    scratch.copy_from_slice(generator);
    drops.apply(x.state_drops, place, n_bins + 1, shape.d_generator, scratch);
    factors.fill(0.0);
    add_product(scratch, x.generator_to_factors, shape.d_generator, shape.n_factors, factors);
}

/// Inputs `[B, U]` from means and log variances `[B, 2 U]`, and their derivatives by the log variances.
fn draw_inputs(
    inferred: &[f32],
    noise: Option<&[f32]>,
    bin: usize,
    n_bins: usize,
    u: usize,
    inputs: &mut [f32],
    spread: &mut [f32],
) {
    let rows = inferred.chunks_exact((2 * u).max(1));
    let outs = inputs.chunks_exact_mut(u.max(1)).zip(spread.chunks_exact_mut(u.max(1)));
    for (example, (row, (inputs, spread))) in rows.zip(outs).enumerate() {
        let (means, log_vars) = row.split_at(u);
        let from = (example * n_bins + bin) * u;
        for k in 0..u {
            let deviation = noise.map_or(0.0, |noise| exp(0.5 * log_vars[k]) * noise[from + k]);
            inputs[k] = means[k] + deviation;
            spread[k] = 0.5 * deviation;
        }
    }
}

/// Writes parts `[B, width]` side by side to bin `bin` of `packed`.
fn pack<const N: usize>(parts: [(&[f32], usize); N], bin: usize, n_bins: usize, packed: &mut [f32]) {
    let total: usize = parts.iter().map(|(_, width)| width).sum();
    for (example, row) in packed.chunks_exact_mut(n_bins * total).enumerate() {
        let mut out = &mut row[bin * total..(bin + 1) * total];
        for (x, width) in parts {
            let (now, rest) = out.split_at_mut(width);
            now.copy_from_slice(&x[example * width..(example + 1) * width]);
            out = rest;
        }
    }
}

/// Adds columns `from .. from + width` of bin `bin` of `d_packed` to `out` `[B, width]`.
fn add_part(d_packed: &[f32], bin: usize, shape: ControlShape, from: usize, width: usize, out: &mut [f32]) {
    if width == 0 {
        return;
    }
    let total = shape.packed();
    for (row, out) in d_packed.chunks_exact(shape.n_bins * total).zip(out.chunks_exact_mut(width)) {
        let part = &row[bin * total + from..bin * total + from + width];
        for (o, &d) in out.iter_mut().zip(part) {
            *o += d;
        }
    }
}

/// Gradients of [`control`] from `d_packed` `[B, T, packed]`, those by its answer.
///
/// # Panics
/// If a slice has another length than its shape says.
#[expect(clippy::too_many_lines, reason = "one recurrence, whose buffers are used from end to end")]
pub fn control_backward(
    shape: ControlShape,
    x: ControlInputs<'_>,
    trace: ControlTrace,
    d_packed: &[f32],
) -> ControlGradients {
    let ControlShape { n_examples: b, n_bins: t, d_generator: g, n_factors: f, d_controller: c, d_inputs: u } =
        shape;
    check(shape, &x);
    assert_eq!(d_packed.len(), b * t * shape.packed(), "control_backward: gradients of {shape:?}");
    let controller_cell = Cell::new(b, c, x.controller_recurrent, x.controller_clip);
    let generator_cell = Cell::new(b, g, x.generator_recurrent, x.generator_clip);
    let zeros = |n: usize| vec![0.0f32; n];
    let (mut d_generator, mut d_controller) = (zeros(b * g), zeros(b * c));
    let (mut g_scratch, mut c_scratch) = (zeros(b * g), zeros(b * c));
    let mut d_factors = zeros((t + 1) * b * f);
    let (mut d_seen, mut d_inputs) = (zeros(b * f), zeros(b * u));
    let mut d_inferred = zeros(t * b * 2 * u);
    let (mut d_controller_gates, mut d_generator_gates) = (zeros(t * b * 3 * c), zeros(t * b * 3 * g));
    let mut controller_drive = zeros(b * t * 3 * c);
    let is_constant = x.generator_drive.len() != b * t * 3 * g;
    let mut generator_drive = zeros(x.generator_drive.len());
    let mut drops = Drops::new(b * f.max(g));
    for bin in (0..t).rev() {
        // Factors of this bin: the answer's own gradient and what the next bin's controller read.
        let d_f = &mut d_factors[(bin + 1) * b * f..(bin + 2) * b * f];
        d_f.copy_from_slice(&d_seen);
        add_part(d_packed, bin, shape, g, f, d_f);
        product_back(d_f, x.generator_to_factors, g, f, &mut g_scratch);
        drops.apply(x.state_drops, bin + 1, t + 1, g, &mut g_scratch);
        add(&g_scratch, &mut d_generator);
        add_part(d_packed, bin, shape, 0, g, &mut d_generator);

        let rows = bin * b * 3 * g..(bin + 1) * b * 3 * g;
        let d_gates = &mut d_generator_gates[rows.clone()];
        let previous = &trace.generator[bin * b * g..(bin + 1) * b * g];
        let gates = &trace.generator_gates[rows];
        generator_cell.step_back(gates, previous, &mut d_generator, d_gates, &mut g_scratch);
        if is_constant {
            add_rows(d_gates, &mut generator_drive);
        } else {
            put_bin(d_gates, bin, t, 3 * g, &mut generator_drive);
        }

        product_back(d_gates, x.inputs_to_generator, u, 3 * g, &mut d_inputs);
        let d_out = &mut d_inferred[bin * b * 2 * u..(bin + 1) * b * 2 * u];
        let spread = &trace.spread[bin * b * u..(bin + 1) * b * u];
        let rows = d_inputs.chunks_exact(u.max(1)).zip(spread.chunks_exact(u.max(1)));
        for (d_out, (d_in, spread)) in d_out.chunks_exact_mut((2 * u).max(1)).zip(rows) {
            for k in 0..u {
                d_out[k] = d_in[k];
                d_out[u + k] = d_in[k] * spread[k];
            }
        }
        add_part(d_packed, bin, shape, g + f + c, 2 * u, d_out);
        product_back(d_out, x.controller_to_inputs, c, 2 * u, &mut c_scratch);
        add(&c_scratch, &mut d_controller);
        add_part(d_packed, bin, shape, g + f, c, &mut d_controller);

        let rows = bin * b * 3 * c..(bin + 1) * b * 3 * c;
        let d_gates = &mut d_controller_gates[rows.clone()];
        let previous = match bin {
            0 => x.controller_start,
            _ => &trace.controller[(bin - 1) * b * c..bin * b * c],
        };
        let gates = &trace.controller_gates[rows];
        controller_cell.step_back(gates, previous, &mut d_controller, d_gates, &mut c_scratch);
        put_bin(d_gates, bin, t, 3 * c, &mut controller_drive);
        product_back(d_gates, x.factors_to_controller, f, 3 * c, &mut d_seen);
        drops.apply(x.factor_drops, bin, t, f, &mut d_seen);
    }
    d_factors[..b * f].copy_from_slice(&d_seen);
    product_back(&d_seen, x.generator_to_factors, g, f, &mut g_scratch);
    drops.apply(x.state_drops, 0, t + 1, g, &mut g_scratch);
    add(&g_scratch, &mut d_generator);

    let mut inputs_bias = zeros(2 * u);
    add_rows(&d_inferred, &mut inputs_bias);
    let mut previous_controller = x.controller_start.to_vec();
    previous_controller.extend_from_slice(&trace.controller[..trace.controller.len() - b * c]);
    let mut previous_generator = trace.generator[..t * b * g].to_vec();
    let mut read = trace.generator;
    for (place, read) in read.chunks_exact_mut(b * g).enumerate() {
        drops.apply(x.state_drops, place, t + 1, g, read);
    }
    ControlGradients {
        controller_drive,
        generator_drive,
        controller_start: d_controller,
        generator_start: d_generator,
        controller_recurrent: controller_cell.weight_gradient(
            &mut previous_controller,
            &trace.controller_gates,
            &d_controller_gates,
        ),
        generator_recurrent: generator_cell.weight_gradient(
            &mut previous_generator,
            &trace.generator_gates,
            &d_generator_gates,
        ),
        factors_to_controller: weight_product(&trace.seen, &d_controller_gates, f, 3 * c),
        controller_to_inputs: weight_product(&trace.controller, &d_inferred, c, 2 * u),
        inputs_bias,
        inputs_to_generator: weight_product(&trace.inputs, &d_generator_gates, u, 3 * g),
        generator_to_factors: weight_product(&read, &d_factors, g, f),
    }
}
