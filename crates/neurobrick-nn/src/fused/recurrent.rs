//! Recurrences over time on Flex, forward and backward.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex};
use burn_flex::FlexTensor;
use neurobrick_kernels as kernels;
use neurobrick_kernels::{ControlGradients, ControlInputs, ControlShape, ControlTrace, GruInputs, GruShape};

use super::flex::{shape_of, tensor, whole};
use super::{ControlSpec, ControlTensors, GruSpec};

/// Drive, start and recurrent weights.
type GruTensors = [FlexTensor; 3];

fn gru_parts([drive, start, recurrent]: &GruTensors, spec: GruSpec) -> (GruShape, GruInputs<'_>) {
    let shape = drive.layout().shape();
    let shape = GruShape { n_examples: shape[0], n_bins: shape[1], d_hidden: shape[2] / 3 };
    let (drive, start, recurrent) = (drive.storage(), start.storage(), recurrent.storage());
    (shape, GruInputs { drive, start, recurrent, clip: spec.clip, reverse: spec.reverse })
}

/// States `[B, T, H]` and what the backward pass needs.
pub(super) fn recurred(inputs: &GruTensors, spec: GruSpec) -> (FlexTensor, Vec<f32>) {
    let (shape, parts) = gru_parts(inputs, spec);
    let (states, gates) = kernels::gru(shape, parts);
    (tensor(states, [shape.n_examples, shape.n_bins, shape.d_hidden].into()), gates)
}

/// Backward pass of [`recurred`].
#[derive(Debug)]
pub(super) struct Gru;

impl Backward<Flex, 3> for Gru {
    type State = (GruTensors, GruSpec, FlexTensor, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_states = whole(grads.consume::<Flex>(&ops.node));
        let (inputs, spec, states, gates) = ops.state;
        let (shape, parts) = gru_parts(&inputs, spec);
        let d = kernels::gru_backward(shape, parts, states.storage(), &gates, d_states.storage());
        for ((node, input), d) in ops.parents.into_iter().zip(&inputs).zip([d.drive, d.start, d.recurrent]) {
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
        noise: spec.noise.as_deref(),
        factor_drops: spec.factor_drops.as_deref(),
        state_drops: spec.state_drops.as_deref(),
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
        } = kernels::control_backward(shape, parts, &trace, answer.storage(), d_answer.storage());
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
