//! A norm with one parameter.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// `ScaleNorm` (Nguyen and Salazar 2019, "Transformers without tears", arXiv:1910.05895): tokens are scaled to one
/// learned length.
#[derive(Module, Debug)]
pub struct ScaleNorm {
    /// The length, `[1]`.
    pub scale: Param<Tensor<1>>,
    epsilon: f64,
}

impl ScaleNorm {
    /// Starts at the length `scale`, usually the root of the width. Tokens shorter than 1e-5 are not stretched further.
    pub fn new(scale: f64, device: &Device) -> Self {
        Self { scale: Param::from_tensor(Tensor::from_data([scale], device)), epsilon: 1e-5 }
    }

    /// Tokens `x` `[.., D]`, all of the learned length.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let length = x.clone().powi_scalar(2).sum_dim(D - 1).sqrt().clamp_min(self.epsilon);
        x * (self.scale.val().unsqueeze::<D>() / length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_get_the_learned_length() {
        let device = Device::flex();
        let x = Tensor::<2>::from_data([[3.0, 4.0], [0.0, 1e-6]], &device);
        let found: Vec<f64> = ScaleNorm::new(10.0, &device).forward(x).into_data().iter::<f64>().collect();
        for (found, expected) in found.iter().zip([6.0, 8.0, 0.0, 1.0]) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }
}
