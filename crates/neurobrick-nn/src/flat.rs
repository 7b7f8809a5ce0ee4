//! Sums and optimizer updates over all parameters at once, in place and on all threads of the current rayon pool.
//!
//! Slices are cut into blocks of fixed length whose results are added in order, so the bits do not depend on the
//! number of threads; the threads are called once, not once per parameter. Tensors that are not `f32` on Flex take the plain expression.

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use neurobrick_kernels as kernels;
use rayon::prelude::*;

use crate::ops::is_fused;

/// Values a thread works on at a time: 64 KiB, which stays in a first- or second-level cache.
const BLOCK: usize = 1 << 14;

/// The primitive of a tensor that `is_fused`, contiguous, or the tensor back.
fn primitive(x: Tensor<1>) -> Result<FlexTensor, Box<Tensor<1>>> {
    let autodiff = x.device().is_autodiff();
    if !is_fused(&x) || autodiff {
        return Err(Box::new(x));
    }
    let again = x.clone();
    // The clone keeps the tensor for the unlikely refusal; it is dropped before anyone asks for sole ownership.
    match x.try_into_primitive::<Flex>() {
        Ok(x) => Ok(x.to_contiguous()),
        Err(_) => Err(Box::new(again)),
    }
}

fn tensor(x: FlexTensor) -> Tensor<1> {
    Tensor::from_primitive::<Flex>(x)
}

/// `a + b` of every pair, written over `a` where nobody else holds it.
///
/// # Panics
/// If the lengths of a pair differ.
pub fn add_in_place(pairs: Vec<(Tensor<1>, Tensor<1>)>) -> Vec<Tensor<1>> {
    let mut sums: Vec<Result<(FlexTensor, FlexTensor), Box<Tensor<1>>>> = pairs
        .into_iter()
        .map(|(a, b)| {
            assert_eq!(a.dims(), b.dims(), "lengths of two gradients of one parameter");
            match (primitive(a), primitive(b)) {
                (Ok(a), Ok(b)) => Ok((a, b)),
                (a, b) => Err(Box::new(a.map_or_else(|a| *a, tensor) + b.map_or_else(|b| *b, tensor))),
            }
        })
        .collect();
    let blocks: Vec<(&mut [f32], &[f32])> = sums
        .iter_mut()
        .flatten()
        .flat_map(|(a, b)| a.storage_mut::<f32>().chunks_mut(BLOCK).zip(b.storage::<f32>().chunks(BLOCK)))
        .collect();
    blocks.into_par_iter().for_each(|(a, b)| kernels::add_assign(a, b));
    sums.into_iter().map(|sum| sum.map_or_else(|sum| *sum, |(a, _)| tensor(a))).collect()
}

/// Sum of the squares of all values of all tensors, accumulated in `f64`, or in `f32` on a device that has no other.
pub fn sum_squares(xs: Vec<Tensor<1>>) -> f64 {
    let parts: Vec<Result<FlexTensor, f64>> = xs
        .into_iter()
        .map(|x| {
            primitive(x).map_err(|x| {
                let has_f64 = x.device().supports_dtype(DType::F64);
                let x = if has_f64 { x.cast(DType::F64) } else { *x };
                x.square().sum().into_data().iter::<f64>().sum()
            })
        })
        .collect();
    let blocks: Vec<&[f32]> = parts.iter().flatten().flat_map(|x| x.storage::<f32>().chunks(BLOCK)).collect();
    let squares: Vec<f64> = blocks.into_par_iter().map(kernels::sum_squares).collect();
    let mut squares = squares.into_iter();
    let sum_of = |part: &Result<FlexTensor, f64>| match part {
        Ok(x) => squares.by_ref().take(x.storage::<f32>().len().div_ceil(BLOCK)).sum(),
        Err(sum) => *sum,
    };
    parts.iter().map(sum_of).sum()
}

pub use kernels::AdamWRates;

/// A parameter and its moments, flat.
#[derive(Clone, Debug)]
pub struct Moments {
    /// The parameter.
    pub weight: Tensor<1>,
    /// First moment.
    pub first: Tensor<1>,
    /// Second moment.
    pub second: Tensor<1>,
}

/// What one parameter brings to an update.
#[derive(Clone, Debug)]
pub struct Update {
    /// The parameter and its moments before the update.
    pub state: Moments,
    /// Its gradient.
    pub grad: Tensor<1>,
    /// Updates it will have had, this one counted.
    pub n_updates: u64,
}

/// An update ready for the kernel.
struct Flat {
    weight: FlexTensor,
    first: FlexTensor,
    second: FlexTensor,
    grad: FlexTensor,
    step: kernels::AdamWStep,
}

/// What a thread updates at a time.
struct Block<'a> {
    weight: &'a mut [f32],
    grad: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    step: &'a kernels::AdamWStep,
}

impl Flat {
    fn blocks(&mut self) -> impl Iterator<Item = Block<'_>> {
        let Self { weight, first, second, grad, step } = self;
        let moments = first.storage_mut::<f32>().chunks_mut(BLOCK);
        let moments = moments.zip(second.storage_mut::<f32>().chunks_mut(BLOCK));
        let weights = weight.storage_mut::<f32>().chunks_mut(BLOCK).zip(grad.storage::<f32>().chunks(BLOCK));
        weights.zip(moments).map(|((weight, grad), (first, second))| Block {
            weight,
            grad,
            first,
            second,
            step,
        })
    }
}

/// An AdamW update (Loshchilov and Hutter 2019) of all parameters with the arithmetic of PyTorch's
/// `_single_tensor_adamw`, in place where nobody else holds the tensors; results in the order of `updates`.
///
/// `grad_scale` multiplies the gradients first, for clipping.
///
/// # Panics
/// If the lengths of a parameter, its moments and its gradient differ.
pub fn adamw_update(updates: Vec<Update>, rates: &AdamWRates, grad_scale: f64) -> Vec<Moments> {
    let mut parts: Vec<Result<Flat, Box<Moments>>> =
        updates.into_iter().map(|update| flat(update, rates, grad_scale)).collect();
    let blocks: Vec<Block<'_>> = parts.iter_mut().flatten().flat_map(Flat::blocks).collect();
    blocks.into_par_iter().for_each(|b| kernels::adamw(b.weight, b.grad, b.first, b.second, b.step));
    let moments =
        |f: Flat| Moments { weight: tensor(f.weight), first: tensor(f.first), second: tensor(f.second) };
    parts.into_iter().map(|part| part.map_or_else(|done| *done, moments)).collect()
}

/// An update ready for the kernel, or what the plain expression made of it.
fn flat(update: Update, rates: &AdamWRates, grad_scale: f64) -> Result<Flat, Box<Moments>> {
    let Update { state: Moments { weight, first, second }, grad, n_updates } = update;
    for part in [&first, &second, &grad] {
        assert_eq!(part.dims(), weight.dims(), "lengths of a parameter, its moments and its gradient");
    }
    match [weight, first, second, grad].map(primitive) {
        [Ok(weight), Ok(first), Ok(second), Ok(grad)] => {
            let step = kernels::AdamWStep::new(rates, n_updates, grad_scale);
            Ok(Flat { weight, first, second, grad, step })
        }
        parts => {
            let [weight, first, second, grad] = parts.map(|part| part.map_or_else(|x| *x, tensor));
            let state = Moments { weight, first, second };
            Err(Box::new(composed_update(state, grad, rates, n_updates, grad_scale)))
        }
    }
}

/// [`adamw_update`] as Burn expressions.
pub fn composed_update(
    state: Moments,
    grad: Tensor<1>,
    rates: &AdamWRates,
    n_updates: u64,
    grad_scale: f64,
) -> Moments {
    let AdamWRates { lr, beta1, beta2, eps, weight_decay } = *rates;
    let grad = grad * grad_scale;
    let squared = grad.clone().square() * (1.0 - beta2);
    let first = state.first * beta1 + grad * (1.0 - beta1);
    let second = state.second * beta2 + squared;
    let exponent = n_updates as f64;
    let correction1 = 1.0 - beta1.powf(exponent);
    let correction2 = 1.0 - beta2.powf(exponent);
    let denominator = second.clone().sqrt() * correction2.sqrt().recip() + eps;
    let change = first.clone() / denominator * (lr / correction1);
    Moments { weight: state.weight * (1.0 - lr * weight_decay) - change, first, second }
}
