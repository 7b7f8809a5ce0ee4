//! The forward passes on Flex.

use burn::backend::Flex;
use burn::tensor::{Shape, TensorData};
use burn_flex::FlexTensor;
use neurobrick_kernels as kernels;
use neurobrick_kernels::{AttentionDropout, AttentionShape, DropoutStream, Matrix, SparseCounts};
use rayon::prelude::*;

use super::recurrent::{controlled, recurred};
use super::{AttentionSpec, ControlSpec, ControlTensors, Drops, FusedOps, GruPairTensors, GruSpec, TurnSpec};

/// A new tensor of these values.
pub(super) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// One value as a tensor `[1]`.
pub(super) fn single(value: f64) -> FlexTensor {
    #[expect(clippy::cast_possible_truncation, reason = "tensors are single precision")]
    tensor(vec![value as f32], Shape::new([1]))
}

/// Contiguous, so that `storage` is exactly its values.
pub(super) fn whole(x: FlexTensor) -> FlexTensor {
    x.to_contiguous()
}

pub(super) fn shape_of(x: &FlexTensor) -> Shape {
    x.layout().shape().clone()
}

/// Rows and width of a tensor seen as a matrix over its last axis.
pub(super) fn rows_and_width(x: &FlexTensor) -> (usize, usize) {
    let shape = x.layout().shape();
    let width = shape[shape.num_dims() - 1];
    (shape.num_elements() / width.max(1), width)
}

/// Threads for a product: the current rayon pool, unless the work is too small to share.
pub(super) fn threads(m: usize, k: usize, n: usize) -> usize {
    if m * k * n < 1 << 20 { 1 } else { rayon::current_num_threads() }
}

/// The non-zeros of counts, if they are so few that gathering rows beats a dense product.
fn sparse_counts(counts: &[f32], n_units: usize) -> Option<SparseCounts> {
    let n = counts.iter().filter(|&&c| c != 0.0).count();
    (n_units > 0 && n * 5 < counts.len()).then(|| SparseCounts::new(counts, n_units))
}

/// `x W + b`, and the non-zeros of `x` if it was gathered by them.
pub(super) fn affine(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    sparse: bool,
) -> (FlexTensor, Option<SparseCounts>) {
    let (rows, width) = rows_and_width(x);
    let bias = bias.storage::<f32>();
    let n = bias.len();
    let mut shape = shape_of(x);
    let last = shape.num_dims() - 1;
    shape[last] = n;
    let (x, weight) = (x.storage::<f32>(), weight.storage::<f32>());
    let spikes = if sparse { sparse_counts(x, width) } else { None };
    let out = if let Some(spikes) = &spikes {
        let mut out = vec![0.0f32; rows * n];
        spikes.gather_rows(weight, bias, &mut out);
        out
    } else {
        // The bias is what the product adds to; nothing is cleared first.
        let mut out = Vec::with_capacity(rows * n);
        for _ in 0..rows {
            out.extend_from_slice(bias);
        }
        let (x, weight) = (Matrix::new(x, rows, width), Matrix::new(weight, width, n));
        kernels::product(&mut out, n, 1.0, 1.0, x, weight, threads(rows, width, n));
        out
    };
    (tensor(out, shape), spikes)
}

pub(super) fn attention_shape([query, key]: [&FlexTensor; 2], n_heads: usize) -> AttentionShape {
    let (shape, keys) = (query.layout().shape(), key.layout().shape());
    let d_head = shape[2] / n_heads;
    AttentionShape { n_examples: shape[0], n_queries: shape[1], n_keys: keys[1], n_heads, d_head }
}

/// The answers and the weights kept for the backward pass.
pub(super) fn attention(
    [query, key, value]: [&FlexTensor; 3],
    spec: &AttentionSpec,
) -> (FlexTensor, Vec<f32>) {
    let shape = attention_shape([query, key], spec.n_heads);
    let mut out = vec![0.0f32; shape.n_values()];
    let mut weights = vec![0.0f32; shape.n_weights()];
    let dropout = spec.drops.as_ref().map(|d| AttentionDropout { p: d.p, streams: &d.streams });
    let arrays = [query.storage(), key.storage(), value.storage()];
    kernels::attention(shape, arrays, spec.hide.as_deref(), dropout, &mut out, &mut weights);
    (tensor(out, shape_of(query)), weights)
}

/// Runs `one` on the values of each example with its stream.
pub(super) fn by_example(
    drops: &Drops,
    out: &mut [f32],
    mut one: impl FnMut(&DropoutStream, std::ops::Range<usize>, &mut [f32]),
) {
    let size = out.len() / drops.streams.len().max(1);
    if size == 0 {
        return;
    }
    for (i, (stream, out)) in drops.streams.iter().zip(out.chunks_exact_mut(size)).enumerate() {
        one(stream, i * size..(i + 1) * size, out);
    }
}

/// Layer norm and the mean and inverse deviation of every row.
pub(super) fn normalized(
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f32,
) -> (FlexTensor, Vec<f32>) {
    let (rows, _) = rows_and_width(x);
    let mut out = vec![0.0f32; x.storage::<f32>().len()];
    let mut stats = vec![0.0f32; 2 * rows];
    kernels::layer_norm(x.storage(), gamma.storage(), beta.storage(), epsilon, &mut out, &mut stats);
    (tensor(out, shape_of(x)), stats)
}

/// Values one thread should have at least for a pass over them to be shared.
const MIN_SHARE: usize = 1 << 14;

/// `f` of every value in a new tensor, on all threads of the current pool if there is work enough for them.
fn mapped(x: &FlexTensor, f: fn(&[f32], &mut [f32])) -> FlexTensor {
    let values = x.storage::<f32>();
    let mut out = vec![0.0f32; values.len()];
    let share = values.len().div_ceil(rayon::current_num_threads()).max(MIN_SHARE);
    if share < values.len() {
        values.par_chunks(share).zip(out.par_chunks_mut(share)).for_each(|(x, out)| f(x, out));
    } else {
        f(values, &mut out);
    }
    tensor(out, shape_of(x))
}

/// What `f` makes of the values of `x`, in place unless somebody else holds them.
pub(super) fn overwritten(mut x: FlexTensor, f: impl FnOnce(&mut [f32])) -> FlexTensor {
    f(x.storage_mut());
    x
}

/// Gradient of [`FusedOps::drop`], which is the same product.
pub(super) fn dropped(x: FlexTensor, drops: &Drops) -> FlexTensor {
    overwritten(x, |x| by_example(drops, x, |stream, _, x| stream.apply(drops.p, 0, x)))
}

/// [`FusedOps::turn`], in place unless somebody else holds the values.
pub(super) fn turned(x: FlexTensor, spec: &TurnSpec, inverse: bool) -> FlexTensor {
    overwritten(whole(x), |x| kernels::turn(x, &spec.table, spec.n_heads, inverse))
}

impl FusedOps for Flex {
    fn affine(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, sparse: bool) -> FlexTensor {
        affine(&whole(x), &whole(weight), &whole(bias), sparse).0
    }

    fn normalize(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, epsilon: f32) -> FlexTensor {
        normalized(&whole(x), &whole(gamma), &whole(beta), epsilon).0
    }

    fn gelu_erf(x: FlexTensor) -> FlexTensor {
        mapped(&whole(x), kernels::gelu)
    }

    fn softsign(x: FlexTensor) -> FlexTensor {
        mapped(&whole(x), kernels::softsign)
    }

    fn drop(x: FlexTensor, drops: Drops) -> FlexTensor {
        dropped(whole(x), &drops)
    }

    fn add_dropped(residual: FlexTensor, x: FlexTensor, drops: Drops) -> FlexTensor {
        let residual = whole(residual);
        let residual = residual.storage::<f32>();
        overwritten(whole(x), |x| {
            by_example(&drops, x, |stream, part, x| stream.apply_add(drops.p, 0, &residual[part], x));
        })
    }

    fn attend(query: FlexTensor, key: FlexTensor, value: FlexTensor, spec: AttentionSpec) -> FlexTensor {
        attention([&whole(query), &whole(key), &whole(value)], &spec).0
    }

    fn turn(x: FlexTensor, spec: TurnSpec) -> FlexTensor {
        turned(x, &spec, spec.inverse)
    }

    fn gru(drive: FlexTensor, start: FlexTensor, recurrent: FlexTensor, spec: GruSpec) -> FlexTensor {
        recurred(&[drive, start, recurrent].map(whole), spec).0
    }

    fn gru_pair(tensors: GruPairTensors<Flex>, spec: GruSpec) -> FlexTensor {
        recurred(&tensors.into_array().map(whole), spec).0
    }

    fn control(tensors: ControlTensors<Flex>, spec: ControlSpec) -> FlexTensor {
        controlled(&tensors.into_array().map(whole), &spec).0
    }

    fn poisson(log_rates: FlexTensor, counts: FlexTensor, counted: FlexTensor) -> FlexTensor {
        let (log_rates, counts, counted) = (whole(log_rates), whole(counts), whole(counted));
        single(kernels::poisson_nll(log_rates.storage(), counts.storage(), counted.storage()))
    }
}
