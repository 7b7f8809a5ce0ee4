//! Low-rank changes of a linear map, and freezing all else.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::{Mode, ModulePath};

use crate::ops::affine;
use crate::{Dropout, InitStreams};

/// Sizes of a [`LoraLinear`].
#[derive(Clone, Copy, Debug)]
pub struct LoraConfig {
    /// Rank `r` of the change (published: 1 to 64; 4 is often enough).
    pub rank: usize,
    /// `α`: the change is scaled by `α / r`, so that a learning rate fits any rank.
    pub alpha: f64,
    /// Dropout on what the change reads.
    pub dropout: f64,
}

/// A linear map `x W + b` with a change `(α / r) x A B` of low rank beside it (Hu et al. 2021, "`LoRA`: low-rank adaptation of
/// large language models", arXiv:2106.09685). `B` starts at zero: a fresh change changes nothing.
#[derive(Module, Debug)]
pub struct LoraLinear {
    /// The map that is adapted; its parameters ask for no gradient.
    pub base: Linear,
    /// `A` `[D_in, r]`, uniform in ±`1/√D_in` at the start, as published (Kaiming's with `a = √5`).
    pub down: Param<Tensor<2>>,
    /// `B` `[r, D_out]`, zero at the start.
    pub up: Param<Tensor<2>>,
    dropout: Dropout,
    scale: f64,
}

impl LoraLinear {
    /// A change beside `base`, which drops out at `site`.
    ///
    /// # Panics
    /// If the rank is zero.
    pub fn new(
        base: Linear,
        config: &LoraConfig,
        site: usize,
        init: &mut InitStreams,
        device: &Device,
    ) -> Self {
        let LoraConfig { rank, alpha, dropout } = *config;
        assert!(rank > 0, "a change has a rank of one at least");
        let [d_in, d_out] = base.weight.val().dims();
        Self {
            base: base.no_grad(),
            down: init.uniform([d_in, rank], (d_in as f64).powf(-0.5), device),
            up: Param::from_tensor(Tensor::zeros([rank, d_out], device)),
            dropout: Dropout::new(dropout, site),
            scale: alpha / rank as f64,
        }
    }

    /// `[B, S, D_out]` of `x` `[B, S, D_in]`.
    ///
    /// # Panics
    /// If the width of `x` is not `D_in`.
    pub fn forward(&self, x: Tensor<3>, mode: Mode<'_>) -> Tensor<3> {
        let read = self.dropout.forward(x.clone(), mode);
        let change = read.matmul(self.down.val().unsqueeze()).matmul(self.up.val().unsqueeze());
        affine(x, &self.base) + change * self.scale
    }

    /// The map with the change in its weight, `W + (α / r) A B` `[D_in, D_out]`: the same function without dropout, at the cost of a plain map.
    /// It asks for gradients again.
    pub fn merged(self) -> Linear {
        let change = self.down.val().matmul(self.up.val()) * self.scale;
        let weight = Param::from_tensor((self.base.weight.val() + change).detach());
        let bias = self.base.bias.map(|bias| Param::from_tensor(bias.val().detach()));
        Linear { weight, bias }
    }
}

/// `module` with gradients for parameters whose dotted path `learns` names, and none for others.
pub fn freeze_except<M: Module>(module: M, learns: impl Fn(&str) -> bool) -> M {
    module.map(&mut Freeze { path: ModulePath::default(), learns })
}

struct Freeze<F> {
    path: ModulePath,
    learns: F,
}

impl<F: Fn(&str) -> bool> ModuleMapper for Freeze<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad((self.learns)(self.path.dotted()))
    }
}
