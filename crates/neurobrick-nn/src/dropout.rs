//! Dropout whose masks come from counter-based streams.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use neurobrick_core::Mode;

use crate::ops;

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

    /// Probability of dropping.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// The site, which addresses the streams.
    pub fn site(&self) -> usize {
        self.site
    }

    /// Scales `x` `[B, ..]` by factors of inverted dropout (Srivastava et al. 2014); the identity in evaluation.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, mode: Mode<'_>) -> Tensor<D> {
        match mode {
            Mode::Train(streams) if self.p > 0.0 => ops::drop(x, self, streams),
            _ => x,
        }
    }

    /// The factors themselves for values of `shape` `[B, ..]`, 0 or 1/(1 − p), for code that applies them within a
    /// recurrence; `None` where nothing is dropped.
    pub fn factors<const D: usize>(
        &self,
        shape: [usize; D],
        mode: Mode<'_>,
        device: &Device,
    ) -> Option<Tensor<D>> {
        match mode {
            Mode::Train(streams) if self.p > 0.0 => {
                Some(ops::drop(Tensor::ones(shape, device), self, streams))
            }
            _ => None,
        }
    }

    /// `residual + forward(x)` in one pass.
    pub fn add<const D: usize>(&self, residual: Tensor<D>, x: Tensor<D>, mode: Mode<'_>) -> Tensor<D> {
        match mode {
            Mode::Train(streams) if self.p > 0.0 => ops::add_dropped(residual, x, self, streams),
            _ => residual + x,
        }
    }
}
