//! Reference numbers: reading them, and bringing PyTorch's names and layouts to Burn's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array3;
use neurobrick_core::weights::StateDict;
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;

/// Arrays of a golden file by name.
pub type Golden = BTreeMap<String, GoldenArray>;

/// One array of a golden file, in row order, whatever its type in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldenArray {
    /// Length of every axis.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f64>,
}

impl GoldenArray {
    /// Reads a tensor back.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        let data = tensor.into_data();
        Self { shape: data.shape().to_vec(), values: data.iter::<f64>().collect() }
    }

    /// As a tensor, in the device's own precision.
    ///
    /// # Panics
    /// If the array has another number of axes.
    pub fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        assert_eq!(self.shape.len(), D, "axes of an array of shape {:?}", self.shape);
        Tensor::from_data(TensorData::new(self.values.clone(), self.shape.clone()), device)
    }

    /// The only value.
    ///
    /// # Panics
    /// If there is not exactly one.
    pub fn scalar(&self) -> f64 {
        let [value] = self.values[..] else { panic!("expected one value, received {:?}", self.shape) };
        value
    }

    /// As counts `[B, T, N]`.
    ///
    /// # Panics
    /// If the array has not three axes, or a value is no whole number that fits.
    pub fn counts(&self) -> Array3<u16> {
        self.cube(|v| {
            assert!(v.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&v), "{v} is no count");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
            let count = v as u16;
            count
        })
    }

    /// As a mask `[B, T, N]`: 1 is `true`.
    ///
    /// # Panics
    /// If the array has not three axes.
    pub fn mask(&self) -> Array3<bool> {
        self.cube(|v| v != 0.0)
    }

    fn cube<T>(&self, convert: impl Fn(f64) -> T) -> Array3<T> {
        let [b, t, n] = self.shape[..] else { panic!("expected three axes, received {:?}", self.shape) };
        let values = self.values.iter().map(|&v| convert(v)).collect();
        Array3::from_shape_vec((b, t, n), values).expect("golden arrays are as long as their shape says")
    }

    /// Rows and columns exchanged: PyTorch keeps the weight of a linear layer `[out, in]`, Burn `[in, out]`.
    ///
    /// # Panics
    /// If the array has not two axes.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let [rows, columns] = self.shape[..] else { panic!("expected two axes, received {:?}", self.shape) };
        let values = (0..rows * columns).map(|i| self.values[(i % rows) * columns + i / rows]).collect();
        Self { shape: vec![columns, rows], values }
    }
}

/// The file `path` below `fixtures/golden` of this repository.
pub fn golden_path(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/golden")).join(path)
}

/// Reads a safetensors file below `fixtures/golden`.
///
/// # Panics
/// If the file is missing, damaged, or holds types other than `f32`, `f64`, `i64` and `u8`.
pub fn golden(path: &str) -> Golden {
    let path = golden_path(path);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    file.iter()
        .map(|(name, view)| {
            let values = match view.dtype() {
                Dtype::F64 => decode(view.data(), f64::from_le_bytes),
                Dtype::F32 => decode(view.data(), |b| f64::from(f32::from_le_bytes(b))),
                Dtype::I64 => decode(view.data(), |b| i64::from_le_bytes(b) as f64),
                Dtype::U8 => decode(view.data(), |[b]| f64::from(b)),
                other => panic!("{}: {name} has unsupported type {other:?}", path.display()),
            };
            (name.to_owned(), GoldenArray { shape: view.shape().to_vec(), values })
        })
        .collect()
}

fn decode<const W: usize>(bytes: &[u8], from: impl Fn([u8; W]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<W>().0.iter().map(|chunk| from(*chunk)).collect()
}

/// Reads a JSON file below `fixtures/golden`: nested objects whose arrays are `{"shape", "dtype", "data"}` and whose
/// numbers stand alone. Names are the keys joined by `/`; texts that are not numbers are left out.
///
/// # Panics
/// If the file is missing or damaged.
pub fn golden_json(path: &str) -> Golden {
    let path = golden_path(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut found = Golden::new();
    flatten(&value, String::new(), &mut found);
    found
}

fn flatten(value: &Value, name: String, found: &mut Golden) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}/{key}") };
    match value {
        Value::Object(map) if map.contains_key("dtype") => {
            let sizes = map["shape"].as_array().expect("a shape");
            let size = |n: &Value| n.as_u64().and_then(|n| usize::try_from(n).ok()).expect("a size");
            let values = map["data"].as_array().expect("flat data").iter();
            let values = values.map(|v| number(v).expect("a number")).collect();
            found.insert(name, GoldenArray { shape: sizes.iter().map(size).collect(), values });
        }
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(value, below(key), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| flatten(value, below(&i.to_string()), found));
        }
        single => {
            if let Some(value) = number(single) {
                found.insert(name, GoldenArray { shape: Vec::new(), values: vec![value] });
            }
        }
    }
}

/// A number, a truth value, or a number written as text: NaN and infinities.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    }
}

/// The arrays whose names begin with `prefix`, without it.
pub fn part(golden: &Golden, prefix: &str) -> Golden {
    golden.iter().filter_map(|(name, a)| Some((name.strip_prefix(prefix)?.to_owned(), a.clone()))).collect()
}

/// Parameters of a PyTorch module under Burn's names and layouts: weights of `Linear` become `[in, out]`, weight
/// and bias of `LayerNorm` become `gamma` and `beta`. Parameters for which `is_table` holds (embeddings) stay.
///
/// # Panics
/// If a bias has no weight beside it.
pub fn burn_layout(torch: &Golden, is_table: impl Fn(&str) -> bool) -> Golden {
    let weight_rank = |stem: &str| torch.get(&format!("{stem}.weight")).map(|a| a.shape.len());
    torch
        .iter()
        .map(|(name, array)| {
            let (stem, leaf) = name.rsplit_once('.').unwrap_or(("", name));
            match (weight_rank(stem), leaf) {
                _ if is_table(name) => (name.clone(), array.clone()),
                (Some(1), "weight") => (format!("{stem}.gamma"), array.clone()),
                (Some(1), "bias") => (format!("{stem}.beta"), array.clone()),
                (Some(2), "weight") => (name.clone(), array.transposed()),
                (Some(2), "bias") => (name.clone(), array.clone()),
                (rank, _) => panic!("{name}: no rule for a parameter beside a weight of rank {rank:?}"),
            }
        })
        .collect()
}

/// Parameters as `neurobrick_core::weights` loads them, in double precision.
pub fn state_dict(golden: &Golden) -> StateDict {
    golden
        .iter()
        .map(|(name, array)| (name.clone(), TensorData::new(array.values.clone(), array.shape.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_weights_are_transposed_and_norms_renamed() {
        let array = |shape: &[usize]| GoldenArray {
            shape: shape.to_vec(),
            values: (0..shape.iter().product::<usize>()).map(|i| i as f64).collect(),
        };
        let torch = Golden::from([
            ("up.weight".into(), array(&[2, 3])),
            ("up.bias".into(), array(&[2])),
            ("norm.weight".into(), array(&[4])),
            ("norm.bias".into(), array(&[4])),
            ("table.weight".into(), array(&[2, 3])),
        ]);
        let burn = burn_layout(&torch, |name| name.starts_with("table."));
        let names: Vec<&str> = burn.keys().map(String::as_str).collect();
        assert_eq!(names, ["norm.beta", "norm.gamma", "table.weight", "up.bias", "up.weight"]);
        assert_eq!(burn["up.weight"].shape, [3, 2]);
        assert_eq!(burn["up.weight"].values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(burn["table.weight"].values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}
