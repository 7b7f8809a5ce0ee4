//! Recurrences over time: LFADS's gated recurrent unit, and its generator under a controller.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::{composed, is_fused};
use crate::fused::{ControlSpec, ControlTensors, FusedOps, GruPairTensors, GruSpec};

/// States `[B, T, H]` of [`ClippedGru`](crate::ClippedGru): `drive` `[B, T, 3 H]`, `start` `[B, H]`, `recurrent` `[H, 3 H]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn gru(drive: Tensor<3>, start: Tensor<2>, recurrent: Tensor<2>, clip: f64, reverse: bool) -> Tensor<3> {
    let ([b, _, width], [rows, h]) = (drive.dims(), start.dims());
    assert_eq!(recurrent.dims(), [h, 3 * h], "shape of recurrent weights");
    assert_eq!((rows, width), (b, 3 * h), "examples of the start and width of the drive");
    if !is_fused(&drive) {
        return composed::gru(drive, start, recurrent, clip, reverse);
    }
    let spec = GruSpec { clip: single(clip), reverse };
    let (drive, start) = (drive.into_dispatch(), start.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::gru(drive, start, recurrent.into_dispatch(), spec))
}

/// States `[B, T, 2 H]` of two units side by side: one reads the window from its first bin on, the other from its last.
/// `drive` `[B, T, 6 H]` is that of the first, then that of the second; `starts` `[B, H]` and `recurrents` `[H, 3 H]` are theirs.
///
/// # Panics
/// If the shapes do not fit.
pub fn gru_pair(
    drive: Tensor<3>,
    starts: [Tensor<2>; 2],
    recurrents: [Tensor<2>; 2],
    clip: f64,
) -> Tensor<3> {
    let ([b, _, width], [_, h]) = (drive.dims(), starts[0].dims());
    for (start, recurrent) in starts.iter().zip(&recurrents) {
        assert_eq!(recurrent.dims(), [h, 3 * h], "shape of recurrent weights");
        assert_eq!((start.dims(), width), ([b, h], 6 * h), "shape of the start and width of the drive");
    }
    if !is_fused(&drive) {
        return composed::gru_pair(drive, starts, recurrents, clip);
    }
    let ([start_ahead, start_back], [ahead, back]) = (starts, recurrents);
    let tensors = GruPairTensors {
        drive: drive.into_dispatch(),
        start_ahead: start_ahead.into_dispatch(),
        ahead: ahead.into_dispatch(),
        start_back: start_back.into_dispatch(),
        back: back.into_dispatch(),
    };
    let spec = GruSpec { clip: single(clip), reverse: false };
    Tensor::from_dispatch(<Dispatch as FusedOps>::gru_pair(tensors, spec))
}

#[expect(clippy::cast_possible_truncation, reason = "kernels compute in single precision")]
fn single(x: f64) -> f32 {
    x as f32
}

/// The values of a constant that a kernel reads.
fn constant(x: Option<Tensor<3>>) -> Option<Arc<Vec<f32>>> {
    x.map(|x| Arc::new(x.into_data().iter::<f32>().collect()))
}

fn fused(run: ControlledRun) -> Tensor<3> {
    let tensors = ControlTensors {
        controller_drive: run.controller_drive.into_dispatch(),
        generator_drive: run.generator_drive.into_dispatch(),
        controller_start: run.controller_start.into_dispatch(),
        generator_start: run.generator_start.into_dispatch(),
        controller_recurrent: run.controller_recurrent.into_dispatch(),
        generator_recurrent: run.generator_recurrent.into_dispatch(),
        factors_to_controller: run.factors_to_controller.into_dispatch(),
        controller_to_inputs: run.controller_to_inputs.into_dispatch(),
        inputs_bias: run.inputs_bias.into_dispatch(),
        inputs_to_generator: run.inputs_to_generator.into_dispatch(),
        generator_to_factors: run.generator_to_factors.into_dispatch(),
    };
    let spec = ControlSpec {
        noise: constant(run.noise),
        factor_drops: constant(run.factor_drops),
        state_drops: constant(run.state_drops),
        controller_clip: single(run.controller_clip),
        generator_clip: single(run.generator_clip),
    };
    Tensor::from_dispatch(<Dispatch as FusedOps>::control(tensors, spec))
}

/// What [`control`] runs on.
#[derive(Clone, Debug)]
pub struct ControlledRun {
    /// What drives the controller apart from factors, `[B, T, 3 C]`.
    pub controller_drive: Tensor<3>,
    /// What drives the generator apart from inferred inputs, `[B, T, 3 G]`, or `[1, 1, 3 G]` if it is the same everywhere.
    pub generator_drive: Tensor<3>,
    /// First state of the controller `[B, C]`.
    pub controller_start: Tensor<2>,
    /// First state of the generator `[B, G]`.
    pub generator_start: Tensor<2>,
    /// `[C, 3 C]`.
    pub controller_recurrent: Tensor<2>,
    /// `[G, 3 G]`.
    pub generator_recurrent: Tensor<2>,
    /// Factors → drive of the controller, `[F, 3 C]`.
    pub factors_to_controller: Tensor<2>,
    /// Controller → means and log variances of inputs, `[C, 2 U]`.
    pub controller_to_inputs: Tensor<2>,
    /// Bias of those, `[2 U]`.
    pub inputs_bias: Tensor<1>,
    /// Inputs → drive of the generator, `[U, 3 G]`.
    pub inputs_to_generator: Tensor<2>,
    /// Generator → factors, `[G, F]`.
    pub generator_to_factors: Tensor<2>,
    /// Standard normal values `[B, T, U]` that make samples of the inputs; without them inputs are their means.
    pub noise: Option<Tensor<3>>,
    /// Dropout factors of the factors as the controller reads them, `[B, T, F]`.
    pub factor_drops: Option<Tensor<3>>,
    /// Dropout factors of the generator's states as factors are read from them, its start first: `[B, T + 1, G]`.
    pub state_drops: Option<Tensor<3>>,
    /// Bound of the controller's state.
    pub controller_clip: f64,
    /// Bound of the generator's state.
    pub generator_clip: f64,
}

/// What [`control`] answers.
#[derive(Clone, Debug)]
pub struct Controlled {
    /// Generator `[B, T, G]`.
    pub states: Tensor<3>,
    /// Factors `[B, T, F]`.
    pub factors: Tensor<3>,
    /// Controller `[B, T, C]`.
    pub controller_states: Tensor<3>,
    /// Means of the inputs `[B, T, U]`.
    pub input_means: Tensor<3>,
    /// Natural logs of the variances of the inputs `[B, T, U]`.
    pub input_log_vars: Tensor<3>,
}

impl ControlledRun {
    /// Widths: generator, factors, controller, inputs.
    fn widths(&self) -> [usize; 4] {
        let [g, f] = self.generator_to_factors.dims();
        let [c, inputs] = self.controller_to_inputs.dims();
        [g, f, c, inputs / 2]
    }

    fn assert_shapes(&self) {
        let [g, f, c, u] = self.widths();
        let [b, t, _] = self.controller_drive.dims();
        let drive = self.generator_drive.dims();
        assert!(drive == [b, t, 3 * g] || drive == [1, 1, 3 * g], "drive of the generator: {drive:?}");
        assert_eq!(self.controller_drive.dims(), [b, t, 3 * c], "drive of the controller");
        assert_eq!(self.generator_start.dims(), [b, g], "start of the generator");
        assert_eq!(self.controller_start.dims(), [b, c], "start of the controller");
        assert_eq!(self.generator_recurrent.dims(), [g, 3 * g], "weights of the generator");
        assert_eq!(self.controller_recurrent.dims(), [c, 3 * c], "weights of the controller");
        assert_eq!(self.factors_to_controller.dims(), [f, 3 * c], "weights from factors to controller");
        assert_eq!(self.inputs_to_generator.dims(), [u, 3 * g], "weights from inputs to generator");
        assert_eq!(self.inputs_bias.dims(), [2 * u], "bias of the inputs");
        for (what, given, wanted) in [
            ("noise", &self.noise, [b, t, u]),
            ("dropout of factors", &self.factor_drops, [b, t, f]),
            ("dropout of states", &self.state_drops, [b, t + 1, g]),
        ] {
            assert!(given.as_ref().is_none_or(|x| x.dims() == wanted), "shape of {what}: not {wanted:?}");
        }
    }
}

/// LFADS's generator under a controller, bin by bin: the controller reads its drive and the factors of the bin before and
/// infers an input; the generator takes it and moves on; factors are read from the generator.
///
/// # Panics
/// If the shapes do not fit.
pub fn control(run: ControlledRun) -> Controlled {
    run.assert_shapes();
    let [g, f, c, u] = run.widths();
    let packed = if is_fused(&run.controller_drive) { fused(run) } else { composed::control(run) };
    // What losses read is cut out at once: the gradient of a cut is as wide as what it was cut from.
    let read = packed.clone().narrow(2, g + c, f + 2 * u);
    Controlled {
        states: packed.clone().narrow(2, 0, g),
        controller_states: packed.narrow(2, g, c),
        factors: read.clone().narrow(2, 0, f),
        input_means: read.clone().narrow(2, f, u),
        input_log_vars: read.narrow(2, f + u, u),
    }
}
