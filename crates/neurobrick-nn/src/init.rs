//! Initial weights from our own streams, with the distributions of PyTorch's defaults.

use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_random::{Domain, Stream, name_index};

/// Hands out one stream per parameter, addressed by a scope's name and a running number.
///
/// Scopes keep parameters independent: a stitch scoped by its session's id starts from the same weights whatever
/// other sessions a model holds.
#[derive(Clone, Debug)]
pub struct InitStreams {
    seed: u64,
    scope: u64,
    next: u64,
}

impl InitStreams {
    /// Streams for the parameters of the part called `scope`.
    pub fn new(seed: u64, scope: &str) -> Self {
        Self { seed, scope: name_index(scope), next: 0 }
    }

    fn stream(&mut self) -> Stream {
        let stream = Stream::new(self.seed, Domain::Init, [self.scope, self.next, 0]);
        self.next += 1;
        stream
    }

    /// A parameter uniform in `[-bound, bound)`.
    pub fn uniform<const D: usize>(
        &mut self,
        shape: [usize; D],
        bound: f64,
        device: &Device,
    ) -> Param<Tensor<D>> {
        let mut stream = self.stream();
        self.fill(shape, || stream.uniform_in(-bound, bound), device)
    }

    /// A normal parameter of standard deviation `std`.
    pub fn normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        std: f64,
        device: &Device,
    ) -> Param<Tensor<D>> {
        let mut stream = self.stream();
        self.fill(shape, || std * stream.normal(), device)
    }

    #[expect(clippy::unused_self, reason = "drawing consumes the borrow, so that scopes cannot interleave")]
    fn fill<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut draw: impl FnMut() -> f64,
        device: &Device,
    ) -> Param<Tensor<D>> {
        // Rounded to f32, so that a model computed in f64 starts from the same weights.
        #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw() as f32).collect();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
    }
}

/// `torch.nn.Linear`'s start: weight and bias uniform in ±1/√(inputs). Weight is stored `[input, output]`.
pub fn linear(d_input: usize, d_output: usize, init: &mut InitStreams, device: &Device) -> Linear {
    let bound = 1.0 / (d_input as f64).sqrt();
    Linear {
        weight: init.uniform([d_input, d_output], bound, device),
        bias: Some(init.uniform([d_output], bound, device)),
    }
}

/// `layer` with its weight, not its bias, scaled. The product is a fresh leaf.
pub fn scaled(layer: Linear, factor: f64) -> Linear {
    let weight = Param::from_tensor((layer.weight.val() * factor).detach());
    Linear { weight, bias: layer.bias }
}

/// A table `[rows, width]` that starts normal with standard deviation `std`; `torch.nn.Embedding`'s default is 1.
pub fn embedding(rows: usize, width: usize, std: f64, init: &mut InitStreams, device: &Device) -> Embedding {
    Embedding { weight: init.normal([rows, width], std, device) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn weights_replay_and_stay_within_the_bound() {
        let device = Device::flex();
        let draw = |scope| {
            let layer = linear(64, 10, &mut InitStreams::new(3, scope), &device);
            layer.weight.val().into_data().try_to_vec::<f32>().unwrap()
        };
        let weights = draw("a");
        assert_eq!(weights, draw("a"));
        assert_ne!(weights, draw("b"));
        let largest = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
        assert!(largest <= 0.125 && largest > 0.12, "bound 1/sqrt(64), received {largest}");
    }
}
