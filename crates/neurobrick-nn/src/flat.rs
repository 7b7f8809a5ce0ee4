//! Sums and optimizer updates over flat parameters, in place and on all threads of the current rayon pool.
//!
//! Slices are cut into blocks of fixed length whose results are added in order, so the bits do not depend on the
//! number of threads. Tensors that are not `f32` on Flex take the plain expression.

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

/// `a + b`, written over `a` where nobody else holds it.
///
/// # Panics
/// If the lengths differ.
pub fn add_in_place(a: Tensor<1>, b: Tensor<1>) -> Tensor<1> {
    assert_eq!(a.dims(), b.dims(), "lengths of two gradients of one parameter");
    match (primitive(a), primitive(b)) {
        (Ok(mut a), Ok(b)) => {
            let blocks = a.storage_mut::<f32>().par_chunks_mut(BLOCK);
            blocks.zip(b.storage::<f32>().par_chunks(BLOCK)).for_each(|(a, b)| kernels::add_assign(a, b));
            tensor(a)
        }
        (a, b) => a.map_or_else(|a| *a, tensor) + b.map_or_else(|b| *b, tensor),
    }
}

/// Sum of squares, accumulated in `f64`.
pub fn sum_squares(x: Tensor<1>) -> f64 {
    match primitive(x) {
        Ok(x) => {
            let sums: Vec<f64> = x.storage::<f32>().par_chunks(BLOCK).map(kernels::sum_squares).collect();
            sums.iter().sum()
        }
        Err(x) => {
            let sum = x.square().sum().cast(DType::F64).into_data();
            sum.iter::<f64>().sum()
        }
    }
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

/// One AdamW update (Loshchilov and Hutter 2019) with the arithmetic of PyTorch's `_single_tensor_adamw`, in place
/// where nobody else holds the tensors.
///
/// `n_updates` counts this one; `grad_scale` multiplies the gradient first, for clipping.
///
/// # Panics
/// If the lengths differ.
pub fn adamw_update(
    state: Moments,
    grad: Tensor<1>,
    rates: &AdamWRates,
    n_updates: u64,
    grad_scale: f64,
) -> Moments {
    let Moments { weight, first, second } = state;
    for part in [&first, &second, &grad] {
        assert_eq!(part.dims(), weight.dims(), "lengths of a parameter, its moments and its gradient");
    }
    match [primitive(weight), primitive(first), primitive(second), primitive(grad)] {
        [Ok(mut weight), Ok(mut first), Ok(mut second), Ok(grad)] => {
            let step = kernels::AdamWStep::new(rates, n_updates, grad_scale);
            let moments = first.storage_mut::<f32>().par_chunks_mut(BLOCK);
            let moments = moments.zip(second.storage_mut::<f32>().par_chunks_mut(BLOCK));
            let weights = weight.storage_mut::<f32>().par_chunks_mut(BLOCK);
            let grads = grad.storage::<f32>().par_chunks(BLOCK);
            weights.zip(grads).zip(moments).for_each(|((weight, grad), (first, second))| {
                kernels::adamw(weight, grad, first, second, &step);
            });
            Moments { weight: tensor(weight), first: tensor(first), second: tensor(second) }
        }
        parts => {
            let [weight, first, second, grad] = parts.map(|part| part.map_or_else(|x| *x, tensor));
            composed_update(Moments { weight, first, second }, grad, rates, n_updates, grad_scale)
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
