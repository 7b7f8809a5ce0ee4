//! AdamW with a beta1 that moves, over all parameters of a module.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Shape, Tensor};
use neurobrick_core::ModulePath;
use neurobrick_nn::flat::{AdamWRates, Moments, Update, adamw_update};

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
        let scale = gradients.scale();
        let gradients = gradients.into_entries().into_iter().collect();
        let mut out = TakeWeights { path: ModulePath::default(), gradients, taken: Vec::new() };
        let module = module.map(&mut out);
        let mut places = Vec::with_capacity(out.taken.len());
        let mut updates = Vec::with_capacity(out.taken.len());
        for Taken { path, shape, weight, grad } in out.taken {
            let update = self.update(&path, weight, grad);
            places.push((path, shape, update.n_updates));
            updates.push(update);
        }
        let Rates { lr, beta1 } = rates;
        let AdamWConfig { beta2, eps, weight_decay } = self.config;
        let rates = AdamWRates { lr, beta1, beta2, eps, weight_decay };
        let mut back = GiveWeights { path: ModulePath::default(), weights: BTreeMap::new() };
        for ((path, shape, n_updates), moments) in
            places.into_iter().zip(adamw_update(updates, &rates, scale))
        {
            let Moments { weight, first, second } = moments;
            self.states.insert(path.clone(), AdamWState { first, second, n_updates });
            back.weights.insert(path, (weight, shape));
        }
        module.map(&mut back)
    }

    /// What the update of one flat parameter starts from.
    fn update(&mut self, path: &str, weight: Tensor<1>, grad: Tensor<1>) -> Update {
        let AdamWState { first, second, n_updates } = self.states.remove(path).unwrap_or_else(|| {
            let zeros = || Tensor::zeros(weight.shape(), (&weight.device(), weight.dtype()));
            AdamWState { first: zeros(), second: zeros(), n_updates: 0 }
        });
        Update { state: Moments { weight, first, second }, grad, n_updates: n_updates + 1 }
    }
}

/// Takes the parameters that have a gradient out of a module, so that nothing else holds them while they are
/// written over; empty tensors keep their places.
struct TakeWeights {
    path: ModulePath,
    gradients: BTreeMap<String, Tensor<1>>,
    taken: Vec<Taken>,
}

/// A parameter on its way to the update, and its shape for the way back.
struct Taken {
    path: String,
    shape: Shape,
    weight: Tensor<1>,
    grad: Tensor<1>,
}

impl ModuleMapper for TakeWeights {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((path, grad)) = self.gradients.remove_entry(self.path.dotted()) else { return param };
        param.map(|weight| {
            let (shape, device, dtype) = (weight.shape(), weight.device(), weight.dtype());
            let weight = weight.reshape([shape.num_elements()]);
            self.taken.push(Taken { path, shape, weight, grad });
            Tensor::empty([0; D], (&device, dtype))
        })
    }
}

/// Puts updated parameters back.
struct GiveWeights {
    path: ModulePath,
    weights: BTreeMap<String, (Tensor<1>, Shape)>,
}

impl ModuleMapper for GiveWeights {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.weights.remove(self.path.dotted()) {
            Some((weight, shape)) => param.map(|_| weight.reshape(shape)),
            None => param,
        }
    }
}
