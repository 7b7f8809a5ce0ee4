//! Dropout whose masks come from counter-based streams.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use neurobrick_core::Mode;

/// Inverted dropout at one site of a model.
///
/// Burn's own dropout draws from a process-wide generator; this one is a function of (seed, step, example, site)
/// and acts only under [`Mode::Train`].
#[derive(Module, Debug)]
pub struct Dropout {
    p: f64,
    site: usize,
}

impl Dropout {
    /// Drops with probability `p`; `site` tells the dropouts of a model apart.
    pub fn new(p: f64, site: usize) -> Self {
        Self { p, site }
    }

    /// Scales `x` `[B, ..]` by dropout factors; the identity in evaluation.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, mode: Mode<'_>) -> Tensor<D> {
        let Mode::Train(streams) = mode else { return x };
        if self.p <= 0.0 {
            return x;
        }
        let shape: [usize; D] = x.dims();
        let per_example = shape[1..].iter().product();
        let factors = streams.factors(self.p, self.site as u64, shape[0], per_example);
        let factors = Tensor::from_data(TensorData::new(factors, shape), (&x.device(), x.dtype()));
        x * factors
    }
}
