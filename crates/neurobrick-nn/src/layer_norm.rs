//! Layer norm with an epsilon that kernels can read.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// Scale and shift after normalization over the last axis (Ba et al. 2016); apply it with
/// [`normalize`](crate::normalize).
///
/// Burn's own keeps its epsilon private and its parameters lazy.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale `[D]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift `[D]`.
    pub beta: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    /// `torch.nn.LayerNorm`'s start: scale one, shift zero, epsilon 1e-5.
    pub fn new(width: usize, device: &Device) -> Self {
        Self {
            gamma: Param::from_tensor(Tensor::ones([width], device)),
            beta: Param::from_tensor(Tensor::zeros([width], device)),
            epsilon: 1e-5,
        }
    }

    /// What is added to the variance.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }
}
