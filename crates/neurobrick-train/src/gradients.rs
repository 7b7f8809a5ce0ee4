//! Gradients by parameter path: collected, added in order, measured and clipped.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use neurobrick_core::ModulePath;
use neurobrick_nn::flat::{add_in_place, sum_squares};

/// Gradients of one module, flat, in the order its parameters are declared. Parameters without a gradient (frozen,
/// or of a session that was not in the batch) are absent, as PyTorch leaves them `None`.
#[derive(Clone, Debug)]
pub struct Gradients {
    entries: Vec<(String, Tensor<1>)>,
    /// Factor that clipping left to be applied by the optimizer.
    scale: f64,
}

impl Gradients {
    /// Takes the gradients of `module`'s parameters out of a backward pass.
    pub fn collect<M: Module>(module: &M, backward: burn::tensor::Gradients) -> Self {
        let mut visitor = Collect { path: ModulePath::default(), backward, entries: Vec::new() };
        module.visit(&mut visitor);
        Self { entries: visitor.entries, scale: 1.0 }
    }

    /// Adds the gradients of another shard of the same batch. A parameter that only one of them reached keeps that
    /// shard's gradient.
    ///
    /// # Panics
    /// If one of them is clipped already: the factor is that of the whole batch.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        assert!(self.scale >= 1.0 && other.scale >= 1.0, "shards are added before clipping");
        let mut rest: BTreeMap<String, Tensor<1>> = other.entries.into_iter().collect();
        let mut pairs = Vec::with_capacity(self.entries.len());
        let alone: Vec<(String, Option<Tensor<1>>)> = self
            .entries
            .into_iter()
            .map(|(path, grad)| match rest.remove(&path) {
                Some(more) => {
                    pairs.push((grad, more));
                    (path, None)
                }
                None => (path, Some(grad)),
            })
            .collect();
        let mut sums = add_in_place(pairs).into_iter();
        let mut entries: Vec<(String, Tensor<1>)> = alone
            .into_iter()
            .filter_map(|(path, grad)| Some((path, grad.or_else(|| sums.next())?)))
            .collect();
        entries.extend(rest);
        Self { entries, scale: self.scale }
    }

    /// The gradients of a part of a model as those of the whole.
    pub(crate) fn of_whole(mut self, paths: &WholePaths) -> Self {
        for (path, _) in &mut self.entries {
            if let Some(whole) = paths.0.get(path) {
                path.clone_from(whole);
            }
        }
        self
    }

    /// The global norm: the root of the sum of squares over all gradients.
    pub fn norm(&self) -> f64 {
        let gradients = self.entries.iter().map(|(_, gradient)| gradient.clone()).collect();
        self.scale * sum_squares(gradients).sqrt()
    }

    /// Scales all gradients so that their global norm is at most `max_norm`, as
    /// `torch.nn.utils.clip_grad_norm_`; returns the norm before. The factor is kept and applied by the optimizer. A norm that
    /// is not finite is returned too, and leaves the gradients of no use.
    pub fn clip(&mut self, max_norm: f64) -> f64 {
        let norm = self.norm();
        self.scale *= (max_norm / (norm + 1e-6)).min(1.0);
        norm
    }

    /// Path and flat gradient of every parameter that has one, before clipping.
    pub fn entries(&self) -> &[(String, Tensor<1>)] {
        &self.entries
    }

    /// What clipping multiplies every gradient with.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    pub(crate) fn into_entries(self) -> Vec<(String, Tensor<1>)> {
        self.entries
    }
}

/// Paths in a whole model by the paths in a part of it, where they differ.
#[derive(Debug, Default)]
pub(crate) struct WholePaths(BTreeMap<String, String>);

impl WholePaths {
    /// Paths of the parameters that `part` has of `whole`.
    pub(crate) fn new<M: Module>(part: &M, whole: &M) -> Self {
        let mut in_part = Find::default();
        part.visit(&mut in_part);
        let mut in_whole = Find { wanted: Some(in_part.found.keys().copied().collect()), ..Find::default() };
        whole.visit(&mut in_whole);
        let differing = in_part.found.into_iter().filter_map(|(id, path)| {
            let whole = in_whole.found.remove(&id)?;
            (path != whole).then_some((path, whole))
        });
        Self(differing.collect())
    }
}

/// Finds paths by the ids of parameters, all or those wanted.
#[derive(Default)]
struct Find {
    path: ModulePath,
    wanted: Option<BTreeSet<ParamId>>,
    found: BTreeMap<ParamId, String>,
}

impl ModuleVisitor for Find {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&param.id)) {
            self.found.insert(param.id, self.path.dotted().to_owned());
        }
    }
}

struct Collect {
    path: ModulePath,
    backward: burn::tensor::Gradients,
    entries: Vec<(String, Tensor<1>)>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad_remove(&mut self.backward) {
            let n = grad.shape().num_elements();
            self.entries.push((self.path.dotted().to_owned(), grad.reshape([n])));
        }
    }
}
