//! AdamW with a beta1 that moves, over all parameters of a module.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use neurobrick_core::ModulePath;
use neurobrick_nn::flat::{AdamWRates, Moments, adamw_update};

use crate::{AdamWConfig, Gradients, Rates};

/// First and second moment of one parameter, flat, and the number of updates it has had.
#[derive(Clone, Debug)]
pub struct AdamWState {
    /// First moment.
    pub first: Tensor<1>,
    /// Second moment.
    pub second: Tensor<1>,
    /// Updates so far; parameters of sessions that were not in a batch are not updated.
    pub n_updates: u64,
}

/// AdamW (Loshchilov and Hutter 2019) with PyTorch's arithmetic, including its bias correction by the current
/// beta1 when a schedule cycles it. State is kept by parameter path, so it survives saving.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    states: BTreeMap<String, AdamWState>,
}

impl AdamW {
    /// A fresh optimizer.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, states: BTreeMap::new() }
    }

    /// An optimizer that goes on from saved states.
    pub fn resume(config: AdamWConfig, states: BTreeMap<String, AdamWState>) -> Self {
        Self { config, states }
    }

    /// State by parameter path.
    pub fn states(&self) -> &BTreeMap<String, AdamWState> {
        &self.states
    }

    /// One update of the parameters of `module` (on a device without autodiff) that have a gradient.
    pub fn step<M: Module>(&mut self, module: M, gradients: Gradients, rates: Rates) -> M {
        let grad_scale = gradients.scale();
        let gradients = gradients.into_entries().into_iter().collect();
        module.map(&mut Update { path: ModulePath::default(), gradients, grad_scale, rates, optimizer: self })
    }

    /// One flat parameter after its update.
    fn update(
        &mut self,
        path: String,
        weight: Tensor<1>,
        grad: Tensor<1>,
        rates: Rates,
        scale: f64,
    ) -> Tensor<1> {
        let Rates { lr, beta1 } = rates;
        let AdamWConfig { beta2, eps, weight_decay } = self.config;
        let AdamWState { first, second, n_updates } = self.states.remove(&path).unwrap_or_else(|| {
            let zeros = || Tensor::zeros(weight.shape(), (&weight.device(), weight.dtype()));
            AdamWState { first: zeros(), second: zeros(), n_updates: 0 }
        });
        let n_updates = n_updates + 1;
        let rates = AdamWRates { lr, beta1, beta2, eps, weight_decay };
        let state = Moments { weight, first, second };
        let Moments { weight, first, second } = adamw_update(state, grad, &rates, n_updates, scale);
        self.states.insert(path, AdamWState { first, second, n_updates });
        weight
    }
}

struct Update<'a> {
    path: ModulePath,
    gradients: BTreeMap<String, Tensor<1>>,
    grad_scale: f64,
    rates: Rates,
    optimizer: &'a mut AdamW,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.dotted();
        let Some(grad) = self.gradients.remove(&path) else { return param };
        param.map(|weight| {
            let shape = weight.shape();
            let n = shape.num_elements();
            let updated = self.optimizer.update(path, weight.reshape([n]), grad, self.rates, self.grad_scale);
            updated.reshape(shape)
        })
    }
}
