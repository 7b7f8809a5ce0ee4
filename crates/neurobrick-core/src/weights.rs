//! Weights by name: reading all parameters of a model, and strictly loading them back.
//!
//! Names are the dotted paths of the modules. Files are safetensors: no code is executed on loading. The format
//! does not notice damaged values, so whoever stores a file also stores its hash.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{ModelError, ModulePath};

/// Parameters by name.
pub type StateDict = BTreeMap<String, TensorData>;

/// Every float parameter of `module`, by dotted path.
pub fn state_dict<M: Module>(module: &M) -> StateDict {
    let mut visitor = Collect::default();
    module.visit(&mut visitor);
    visitor.found
}

/// Paths of the float parameters of `module`, in the order modules declare them.
pub fn parameter_paths<M: Module>(module: &M) -> Vec<String> {
    let mut visitor = Collect::default();
    module.visit(&mut visitor);
    visitor.order
}

#[derive(Default)]
struct Collect {
    path: ModulePath,
    order: Vec<String>,
    found: StateDict,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.dotted().to_owned();
        self.order.push(name.clone());
        self.found.insert(name, param.val().into_data());
    }
}

/// Replaces every float parameter of `module` by the tensor of its name.
///
/// # Errors
/// If a parameter is missing, a tensor is left over, or shapes differ; all of them are listed and the module is
/// lost to the caller only then.
pub fn load_state_dict<M: Module>(module: M, state: StateDict) -> Result<M, ModelError> {
    let wanted = state_dict(&module);
    let missing: Vec<&str> = wanted.keys().filter(|k| !state.contains_key(*k)).map(String::as_str).collect();
    let unexpected: Vec<&str> =
        state.keys().filter(|k| !wanted.contains_key(*k)).map(String::as_str).collect();
    let misshapen: Vec<String> = wanted
        .iter()
        .filter_map(|(name, own)| {
            let given = state.get(name)?;
            (given.shape() != own.shape())
                .then(|| format!("{name}: {:?}, file has {:?}", own.shape(), given.shape()))
        })
        .collect();
    if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
        return Err(ModelError::WeightsMismatch {
            missing: missing.join(", "),
            unexpected: unexpected.join(", "),
            misshapen: misshapen.join("; "),
        });
    }
    Ok(module.map(&mut Replace { path: ModulePath::default(), state }))
}

struct Replace {
    path: ModulePath,
    state: StateDict,
}

impl ModuleMapper for Replace {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.state.remove(self.path.dotted()) {
            Some(data) => param.map(|own| {
                let fresh = Tensor::from_data(data, (&own.device(), own.dtype()));
                if own.is_require_grad() { fresh.require_grad() } else { fresh }
            }),
            None => param,
        }
    }
}

/// Encodes tensors as a safetensors file with text metadata.
///
/// # Errors
/// If a tensor is neither `f32` nor `f64`.
pub fn to_safetensors(state: &StateDict, metadata: BTreeMap<String, String>) -> Result<Vec<u8>, ModelError> {
    let mut views = Vec::with_capacity(state.len());
    for (name, data) in state {
        let dtype = match data.dtype() {
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
            other => return Err(bad(format!("parameter {name} has unsupported type {other:?}"))),
        };
        let view =
            TensorView::new(dtype, data.shape().to_vec(), data.as_bytes()).map_err(|e| bad(e.to_string()))?;
        views.push((name.as_str(), view));
    }
    let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect());
    safetensors::serialize(views, metadata).map_err(|e| bad(e.to_string()))
}

/// The text metadata of a safetensors file.
///
/// # Errors
/// If the header is invalid.
pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, ModelError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| invalid(&e))?;
    let found = header.metadata().iter().flatten();
    Ok(found.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Decodes a safetensors file of `f32` and `f64` tensors.
///
/// # Errors
/// If the header is invalid, offsets overlap or leave gaps, or a tensor is of another type.
pub fn from_safetensors(bytes: &[u8]) -> Result<StateDict, ModelError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| invalid(&e))?;
    let mut state = StateDict::new();
    for (name, view) in file.iter() {
        let shape = view.shape().to_vec();
        let data = match view.dtype() {
            Dtype::F32 => TensorData::new(decode(view.data(), f32::from_le_bytes), shape),
            Dtype::F64 => TensorData::new(decode(view.data(), f64::from_le_bytes), shape),
            other => return Err(bad(format!("tensor {name} has unsupported type {other:?}"))),
        };
        state.insert(name.to_owned(), data);
    }
    Ok(state)
}

fn decode<const W: usize, T>(bytes: &[u8], from: impl Fn([u8; W]) -> T) -> Vec<T> {
    bytes.as_chunks::<W>().0.iter().map(|chunk| from(*chunk)).collect()
}

fn invalid(error: &safetensors::SafeTensorError) -> ModelError {
    bad(format!("not a valid safetensors file: {error}"))
}

fn bad(reason: String) -> ModelError {
    ModelError::BadWeights { reason }
}
