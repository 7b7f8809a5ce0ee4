//! Recurrences over time on Flex, forward and backward.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex};
use burn_flex::FlexTensor;
use neurobrick_kernels as kernels;
use neurobrick_kernels::{
    ControlGradients, ControlInputs, ControlShape, ControlTrace, GruCell, GruInputs, GruShape, GruTrace,
};

use super::flex::{shape_of, tensor, whole};
use super::{ControlSpec, ControlTensors, GruSpec};

/// The drive, then start and recurrent weights of every cell: one ahead (or back, as `spec` says), or one ahead and one back.
fn with_gru_parts<T>(
    inputs: &[FlexTensor],
    spec: GruSpec,
    work: impl FnOnce(GruShape, GruInputs<'_>) -> T,
) -> T {
    let (drive, cells) = (&inputs[0], &inputs[1..]);
    let is_pair = cells.len() > 2;
    let own: Vec<GruCell<'_>> = cells
        .chunks_exact(2)
        .enumerate()
        .map(|(number, parts)| GruCell {
            start: parts[0].storage(),
            recurrent: parts[1].storage(),
            clip: spec.clip,
            reverse: if is_pair { number == 1 } else { spec.reverse },
        })
        .collect();
    let (sizes, hidden) = (drive.layout().shape(), cells[0].layout().shape());
    let shape = GruShape { n_examples: sizes[0], n_bins: sizes[1], d_hidden: hidden[1] };
    work(shape, GruInputs { drive: drive.storage(), cells: &own })
}

/// States `[B, T, H]` of every cell side by side, and what the backward pass needs.
pub(super) fn recurred(inputs: &[FlexTensor], spec: GruSpec) -> (FlexTensor, GruTrace) {
    with_gru_parts(inputs, spec, |shape, parts| {
        let (states, trace) = kernels::gru(shape, parts);
        let width = shape.d_hidden * parts.cells.len();
        (tensor(states, [shape.n_examples, shape.n_bins, width].into()), trace)
    })
}

/// Backward pass of [`recurred`] of as many tensors.
#[derive(Debug)]
pub(super) struct Gru<const N: usize>;

impl<const N: usize> Backward<Flex, N> for Gru<N> {
    type State = ([FlexTensor; N], GruSpec, FlexTensor, GruTrace);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_states = whole(grads.consume::<Flex>(&ops.node));
        let (inputs, spec, states, trace) = ops.state;
        let d = with_gru_parts(&inputs, spec, |shape, parts| {
            kernels::gru_backward(shape, parts, states.storage(), trace, d_states.storage())
        });
        let cells = d.starts.into_iter().zip(d.recurrents).flat_map(|(start, recurrent)| [start, recurrent]);
        let gradients = std::iter::once(d.drive).chain(cells);
        for ((node, input), d) in ops.parents.into_iter().zip(&inputs).zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(d, shape_of(input)));
            }
        }
    }
}

/// Number of tensors of a controlled generator.
const N_CONTROL: usize = 11;

impl<B: Backend> ControlTensors<B> {
    /// The tensors in the order of their declaration.
    pub(super) fn into_array(self) -> [FloatTensor<B>; N_CONTROL] {
        [
            self.controller_drive,
            self.generator_drive,
            self.controller_start,
            self.generator_start,
            self.controller_recurrent,
            self.generator_recurrent,
            self.factors_to_controller,
            self.controller_to_inputs,
            self.inputs_bias,
            self.inputs_to_generator,
            self.generator_to_factors,
        ]
    }
}

fn control_parts<'a>(
    inputs: &'a [FlexTensor; N_CONTROL],
    spec: &'a ControlSpec,
) -> (ControlShape, ControlInputs<'a>) {
    let size = |tensor: usize, axis: usize| inputs[tensor].layout().shape()[axis];
    let shape = ControlShape {
        n_examples: size(0, 0),
        n_bins: size(0, 1),
        d_generator: size(10, 0),
        n_factors: size(10, 1),
        d_controller: size(7, 0),
        d_inputs: size(9, 0),
    };
    let [
        controller_drive,
        generator_drive,
        controller_start,
        generator_start,
        controller_recurrent,
        generator_recurrent,
        factors_to_controller,
        controller_to_inputs,
        inputs_bias,
        inputs_to_generator,
        generator_to_factors,
    ] = inputs.each_ref().map(FlexTensor::storage);
    let parts = ControlInputs {
        controller_drive,
        generator_drive,
        controller_start,
        generator_start,
        controller_recurrent,
        generator_recurrent,
        factors_to_controller,
        controller_to_inputs,
        inputs_bias,
        inputs_to_generator,
        generator_to_factors,
        noise: spec.noise.as_ref().map(|x| x.as_slice()),
        factor_drops: spec.factor_drops.as_ref().map(|x| x.as_slice()),
        state_drops: spec.state_drops.as_ref().map(|x| x.as_slice()),
        controller_clip: spec.controller_clip,
        generator_clip: spec.generator_clip,
    };
    (shape, parts)
}

/// The packed answer `[B, T, ..]` and what the backward pass needs.
pub(super) fn controlled(inputs: &[FlexTensor; N_CONTROL], spec: &ControlSpec) -> (FlexTensor, ControlTrace) {
    let (shape, parts) = control_parts(inputs, spec);
    let (answer, trace) = kernels::control(shape, parts);
    (tensor(answer, [shape.n_examples, shape.n_bins, shape.packed()].into()), trace)
}

/// Backward pass of [`controlled`].
#[derive(Debug)]
pub(super) struct Control;

impl Backward<Flex, N_CONTROL> for Control {
    type State = ([FlexTensor; N_CONTROL], ControlSpec, ControlTrace, FlexTensor);

    fn backward(self, ops: Ops<Self::State, N_CONTROL>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_answer = whole(grads.consume::<Flex>(&ops.node));
        let (inputs, spec, trace, answer) = ops.state;
        let (shape, parts) = control_parts(&inputs, &spec);
        let ControlGradients {
            controller_drive,
            generator_drive,
            controller_start,
            generator_start,
            controller_recurrent,
            generator_recurrent,
            factors_to_controller,
            controller_to_inputs,
            inputs_bias,
            inputs_to_generator,
            generator_to_factors,
        } = kernels::control_backward(shape, parts, trace, answer.storage(), d_answer.storage());
        let gradients = [
            controller_drive,
            generator_drive,
            controller_start,
            generator_start,
            controller_recurrent,
            generator_recurrent,
            factors_to_controller,
            controller_to_inputs,
            inputs_bias,
            inputs_to_generator,
            generator_to_factors,
        ];
        for ((node, input), d) in ops.parents.into_iter().zip(&inputs).zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(d, shape_of(input)));
            }
        }
    }
}
