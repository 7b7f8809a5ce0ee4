//! Freezing a part of a model.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use neurobrick_core::ModulePath;

/// `model` in which only parameters whose dotted path satisfies `may_learn` get gradients.
pub fn freeze_except<M: Module>(model: M, may_learn: impl Fn(&str) -> bool) -> M {
    model.map(&mut Freeze { path: ModulePath::default(), may_learn })
}

struct Freeze<F> {
    path: ModulePath,
    may_learn: F,
}

impl<F: Fn(&str) -> bool> ModuleMapper for Freeze<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad((self.may_learn)(self.path.dotted()))
    }
}
