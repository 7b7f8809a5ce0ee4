//! The backward passes, registered with Burn's autodiff.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::Shape;
use burn_flex::FlexTensor;
use neurobrick_kernels as kernels;
use neurobrick_kernels::{Matrix, SparseCounts};

use super::flex::{
    affine, attention, attention_shape, dropped, normalized, overwritten, rows_and_width, shape_of, single,
    tensor, threads, turned, whole,
};
use super::recurrent::{Control, Gru, controlled, recurred};
use super::{AttentionSpec, ControlSpec, ControlTensors, Drops, FusedOps, GruPairTensors, GruSpec, TurnSpec};

/// A float tensor that may record a graph.
type Recorded<C> = FloatTensor<Autodiff<Flex, C>>;

/// What the backward pass of `x W + b` needs: `x` as it was read.
#[derive(Clone, Debug)]
enum Read {
    Dense(FlexTensor),
    /// Counts by their non-zeros, and their shape.
    Sparse(Arc<SparseCounts>, Shape),
}

#[derive(Debug)]
struct Affine;

impl Backward<Flex, 3> for Affine {
    type State = (Read, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let d_out = whole(grads.consume::<Flex>(&ops.node));
        let (read, weight) = ops.state;
        let (width, n) = rows_and_width(&weight);
        let (rows, _) = rows_and_width(&d_out);
        let d = d_out.storage::<f32>();
        if let Some(node) = x_node {
            let (d, w) = (Matrix::new(d, rows, n), Matrix::new(weight.storage(), width, n));
            let d_x = kernels::product_of(d, w.t(), threads(rows, width, n));
            let shape = match &read {
                Read::Dense(x) => shape_of(x),
                Read::Sparse(_, shape) => shape.clone(),
            };
            grads.register::<Flex>(node.id, tensor(d_x, shape));
        }
        if let Some(node) = weight_node {
            let d_weight = match &read {
                Read::Sparse(counts, _) => {
                    let mut d_weight = vec![0.0f32; width * n];
                    counts.gather_rows_backward(d, &mut d_weight);
                    d_weight
                }
                Read::Dense(x) => {
                    let (x, d) = (Matrix::new(x.storage(), rows, width), Matrix::new(d, rows, n));
                    kernels::product_of(x.t(), d, threads(rows, width, n))
                }
            };
            grads.register::<Flex>(node.id, tensor(d_weight, shape_of(&weight)));
        }
        if let Some(node) = bias_node {
            let mut d_bias = vec![0.0f32; n];
            kernels::add_rows(d, &mut d_bias);
            grads.register::<Flex>(node.id, tensor(d_bias, [n].into()));
        }
    }
}

#[derive(Debug)]
struct Normalize;

impl Backward<Flex, 3> for Normalize {
    type State = (FlexTensor, FlexTensor, Vec<f32>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node] = ops.parents;
        let d_out = whole(grads.consume::<Flex>(&ops.node));
        let (x, gamma, stats) = ops.state;
        let (_, width) = rows_and_width(&x);
        let (mut d_gamma, mut d_beta) = (vec![0.0f32; width], vec![0.0f32; width]);
        let d_x = overwritten(d_out, |d| {
            let (x, gamma) = (x.storage(), gamma.storage());
            kernels::layer_norm_backward(x, gamma, &stats, d, &mut d_gamma, &mut d_beta);
        });
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, d_x);
        }
        if let Some(node) = gamma_node {
            grads.register::<Flex>(node.id, tensor(d_gamma, [width].into()));
        }
        if let Some(node) = beta_node {
            grads.register::<Flex>(node.id, tensor(d_beta, [width].into()));
        }
    }
}

/// An activation function by what multiplies a gradient with its derivative: `(x, gradient)`.
#[derive(Debug)]
struct Activation(fn(&[f32], &mut [f32]));

impl Backward<Flex, 1> for Activation {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let d_out = whole(grads.consume::<Flex>(&ops.node));
        if let Some(node) = node {
            grads.register::<Flex>(node.id, overwritten(d_out, |d| (self.0)(ops.state.storage(), d)));
        }
    }
}

#[derive(Debug)]
struct Drop;

impl Backward<Flex, 1> for Drop {
    type State = Drops;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let d_out = whole(grads.consume::<Flex>(&ops.node));
        if let Some(node) = node {
            grads.register::<Flex>(node.id, dropped(d_out, &ops.state));
        }
    }
}

#[derive(Debug)]
struct Turn;

impl Backward<Flex, 1> for Turn {
    type State = TurnSpec;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let d_out = grads.consume::<Flex>(&ops.node);
        if let Some(node) = node {
            grads.register::<Flex>(node.id, turned(d_out, &ops.state, !ops.state.inverse));
        }
    }
}

#[derive(Debug)]
struct AddDropped;

impl Backward<Flex, 2> for AddDropped {
    type State = Drops;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [residual_node, x_node] = ops.parents;
        let d_out = whole(grads.consume::<Flex>(&ops.node));
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, dropped(d_out.clone(), &ops.state));
        }
        if let Some(node) = residual_node {
            grads.register::<Flex>(node.id, d_out);
        }
    }
}

#[derive(Debug)]
struct Attend;

impl Backward<Flex, 3> for Attend {
    type State = ([FlexTensor; 3], Vec<f32>, usize, Option<f64>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = whole(grads.consume::<Flex>(&ops.node));
        let (inputs, weights, n_heads, p) = ops.state;
        let shape = attention_shape([&inputs[0], &inputs[1]], n_heads);
        let lengths = [shape.n_values(), shape.n_key_values(), shape.n_key_values()];
        let mut d = lengths.map(|n| vec![0.0f32; n]);
        kernels::attention_backward(
            shape,
            inputs.each_ref().map(FlexTensor::storage),
            p,
            &weights,
            d_out.storage(),
            d.each_mut().map(Vec::as_mut_slice),
        );
        for ((node, input), d) in ops.parents.into_iter().zip(&inputs).zip(d) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(d, shape_of(input)));
            }
        }
    }
}

#[derive(Debug)]
struct Poisson;

impl Backward<Flex, 1> for Poisson {
    /// The gradient by the log rates, which the forward pass left.
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let scale = whole(grads.consume::<Flex>(&ops.node)).storage::<f32>()[0];
        let Some(node) = node else { return };
        #[expect(clippy::float_cmp, reason = "a factor of exactly one changes nothing")]
        let slopes = if scale == 1.0 {
            ops.state
        } else {
            overwritten(ops.state, |slopes| slopes.iter_mut().for_each(|slope| *slope *= scale))
        };
        grads.register::<Flex>(node.id, slopes);
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn affine(x: Recorded<C>, weight: Recorded<C>, bias: Recorded<C>, sparse: bool) -> Recorded<C> {
        let nodes = [x.node(), weight.node(), bias.node()];
        match Affine.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, weight) = (whole(x.into_primitive()), whole(weight.into_primitive()));
                let (out, spikes) = affine(&x, &weight, &whole(bias.into_primitive()), sparse);
                let read = match spikes {
                    Some(spikes) => Read::Sparse(Arc::new(spikes), shape_of(&x)),
                    None => Read::Dense(x),
                };
                prep.finish((read, weight), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::affine(
                x.into_primitive(),
                weight.into_primitive(),
                bias.into_primitive(),
                sparse,
            )),
        }
    }

    fn normalize(x: Recorded<C>, gamma: Recorded<C>, beta: Recorded<C>, epsilon: f32) -> Recorded<C> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        match Normalize.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, gamma) = (whole(x.into_primitive()), whole(gamma.into_primitive()));
                let (out, stats) = normalized(&x, &gamma, &whole(beta.into_primitive()), epsilon);
                prep.finish((x, gamma, stats), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::normalize(
                x.into_primitive(),
                gamma.into_primitive(),
                beta.into_primitive(),
                epsilon,
            )),
        }
    }

    fn gelu_erf(x: Recorded<C>) -> Recorded<C> {
        activation::<C>(x, Flex::gelu_erf, kernels::gelu_backward)
    }

    fn softsign(x: Recorded<C>) -> Recorded<C> {
        activation::<C>(x, Flex::softsign, kernels::softsign_backward)
    }

    fn drop(x: Recorded<C>, drops: Drops) -> Recorded<C> {
        match Drop.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let out = Flex::drop(x.into_primitive(), drops.clone());
                prep.finish(drops, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::drop(x.into_primitive(), drops)),
        }
    }

    fn add_dropped(residual: Recorded<C>, x: Recorded<C>, drops: Drops) -> Recorded<C> {
        let nodes = [residual.node(), x.node()];
        match AddDropped.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let out = Flex::add_dropped(residual.into_primitive(), x.into_primitive(), drops.clone());
                prep.finish(drops, out)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::add_dropped(residual.into_primitive(), x.into_primitive(), drops))
            }
        }
    }

    fn attend(query: Recorded<C>, key: Recorded<C>, value: Recorded<C>, spec: AttentionSpec) -> Recorded<C> {
        let nodes = [query.node(), key.node(), value.node()];
        let inputs = [query, key, value].map(|x| whole(x.into_primitive()));
        let (out, weights) = attention(inputs.each_ref(), &spec);
        match Attend.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((inputs, weights, spec.n_heads, spec.drops.map(|d| d.p)), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn turn(x: Recorded<C>, spec: TurnSpec) -> Recorded<C> {
        match Turn.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let out = Flex::turn(x.into_primitive(), spec.clone());
                prep.finish(spec, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::turn(x.into_primitive(), spec)),
        }
    }

    fn gru(drive: Recorded<C>, start: Recorded<C>, recurrent: Recorded<C>, spec: GruSpec) -> Recorded<C> {
        recurrent_cells::<C, 3>([drive, start, recurrent], spec)
    }

    fn gru_pair(tensors: GruPairTensors<Self>, spec: GruSpec) -> Recorded<C> {
        recurrent_cells::<C, 5>(tensors.into_array(), spec)
    }

    fn control(tensors: ControlTensors<Self>, spec: ControlSpec) -> Recorded<C> {
        let tensors = tensors.into_array();
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method's type has no short path")]
        let nodes = tensors.each_ref().map(|x| x.node());
        let inputs = tensors.map(|x| whole(x.into_primitive()));
        let (answer, trace) = controlled(&inputs, &spec);
        match Control.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((inputs, spec, trace, answer.clone()), answer),
            OpsKind::UnTracked(prep) => prep.finish(answer),
        }
    }

    fn poisson(log_rates: Recorded<C>, counts: Recorded<C>, counted: Recorded<C>) -> Recorded<C> {
        let node = log_rates.node();
        let [log_rates, counts, counted] = [log_rates, counts, counted].map(|x| whole(x.into_primitive()));
        match Poisson.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let mut sum = 0.0;
                let slopes = overwritten(log_rates, |log_rates| {
                    sum = kernels::poisson_nll_and_slopes(log_rates, counts.storage(), counted.storage());
                });
                prep.finish(slopes, single(sum))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::poisson(log_rates, counts, counted)),
        }
    }
}

fn recurrent_cells<C: CheckpointStrategy, const N: usize>(
    tensors: [Recorded<C>; N],
    spec: GruSpec,
) -> Recorded<C> {
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method's type has no short path")]
    let nodes = tensors.each_ref().map(|x| x.node());
    let inputs = tensors.map(|x| whole(x.into_primitive()));
    let (states, trace) = recurred(&inputs, spec);
    match Gru::<N>.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((inputs, spec, states.clone(), trace), states),
        OpsKind::UnTracked(prep) => prep.finish(states),
    }
}

fn activation<C: CheckpointStrategy>(
    x: Recorded<C>,
    forward: fn(FlexTensor) -> FlexTensor,
    backward: fn(&[f32], &mut [f32]),
) -> Recorded<C> {
    match Activation(backward).prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let x = whole(x.into_primitive());
            let out = forward(x.clone());
            prep.finish(x, out)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(x.into_primitive())),
    }
}
