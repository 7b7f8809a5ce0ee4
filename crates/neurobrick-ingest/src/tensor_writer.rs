//! HDF5 files of named tensors in groups, written as benchmarks read them.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use hdf5_writer::{DatasetBuilder, FILTER_DEFLATE, FilterDescription, Hdf5Builder, Hdf5Writer, WriteOptions};
use neurobrick_schema::atomic::write_file;

use crate::error::IngestError;
use crate::tensor_file::Tensor;

/// How hard values are packed; h5py's own level.
const LEVEL: u32 = 4;

/// Tensors on their way into an HDF5 file, in single precision and packed, as the Neural Latents Benchmark has them.
///
/// ```
/// use neurobrick_ingest::{Tensor, TensorFile, TensorWriter};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("submission.h5");
/// let rates = Tensor { shape: vec![2, 1, 3], values: vec![0.5; 6] };
/// TensorWriter::new(&path).put("mc_maze", "eval_rates_heldout", &rates)?.write()?;
/// assert_eq!(TensorFile::open(&path)?.tensor("mc_maze", "eval_rates_heldout")?, Some(rates));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TensorWriter {
    path: PathBuf,
    builder: Hdf5Builder,
}

impl TensorWriter {
    /// A file without tensors; nothing is written yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), builder: Hdf5Builder::new() }
    }

    /// Adds a tensor to a group right below the root. Values become `f32`; NaN stays NaN.
    ///
    /// Errors: [`IngestError::Encode`] if the values do not fill the shape, an axis is empty, a value is finite but not as
    /// `f32`, or the names make no path.
    pub fn put(mut self, group: &str, name: &str, tensor: &Tensor) -> Result<Self, IngestError> {
        let refuse = |reason: String| IngestError::Encode {
            path: self.path.clone(),
            what: format!("{group}/{name}"),
            reason,
        };
        if tensor.shape.is_empty() || tensor.shape.iter().product::<usize>() != tensor.values.len() {
            let n = tensor.values.len();
            return Err(refuse(format!("{n} values do not fill the shape {:?}", tensor.shape)));
        }
        if tensor.values.is_empty() {
            return Err(refuse(format!("an axis of the shape {:?} is empty", tensor.shape)));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the layout is single precision; checked below")]
        let values: Vec<f32> = tensor.values.iter().map(|&value| value as f32).collect();
        if let Some(place) = (0..values.len()).find(|&i| values[i].is_infinite()) {
            return Err(refuse(format!(
                "value {:e} is too large for single precision",
                tensor.values[place]
            )));
        }
        let shape: Vec<u64> = tensor.shape.iter().map(|&length| length as u64).collect();
        let filter = FilterDescription { id: FILTER_DEFLATE, name: None, client_data: vec![LEVEL] };
        let dataset = DatasetBuilder::typed_data(format!("{group}/{name}"), shape.clone(), &values)
            .map_err(|error| refuse(error.to_string()))?
            .chunked(shape)
            .filter(filter);
        dataset.validate().map_err(|error| refuse(error.to_string()))?;
        self.builder = self.builder.dataset(dataset);
        Ok(self)
    }

    /// Writes the file, whole or not at all.
    ///
    /// Errors: [`IngestError::Encode`] for two tensors of one name; [`IngestError::Store`] if the disk refuses.
    pub fn write(self) -> Result<(), IngestError> {
        let refuse = |reason: String| IngestError::Encode {
            path: self.path.clone(),
            what: "the file".to_owned(),
            reason,
        };
        let plan = self.builder.into_plan().map_err(|error| refuse(error.to_string()))?;
        let bytes = Hdf5Writer::new(Cursor::new(Vec::new()), WriteOptions::default())
            .finish(plan)
            .map_err(|error| refuse(error.to_string()))?
            .into_inner();
        Ok(write_file(&self.path, &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::TensorFile;

    #[test]
    fn what_was_written_is_read_back_in_single_precision() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.h5");
        let values = vec![0.1, f64::NAN, -3.5, 1e-30, 2.0, 7.25];
        let tensor = Tensor { shape: vec![3, 2], values: values.clone() };
        let writer = TensorWriter::new(&path).put("a", "x", &tensor).unwrap();
        writer.put("b", "x", &tensor).unwrap().write().unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.groups(), ["a", "b"]);
        let found = file.tensor("b", "x").unwrap().unwrap();
        assert_eq!(found.shape, [3, 2]);
        for (got, want) in found.values.iter().zip(&values) {
            #[expect(clippy::cast_possible_truncation, reason = "what the file holds")]
            let single = f64::from(*want as f32);
            assert!(got.to_bits() == single.to_bits() || (got.is_nan() && want.is_nan()), "{got} {want}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused_by_name() {
        let check = |shape: &[usize], values: &[f64], part: &str| {
            let tensor = Tensor { shape: shape.to_vec(), values: values.to_vec() };
            let error = TensorWriter::new("file.h5").put("a", "x", &tensor).unwrap_err().to_string();
            assert!(error.contains("a/x") && error.contains(part), "{error}");
        };
        check(&[2, 2], &[1.0; 3], "3 values do not fill the shape [2, 2]");
        check(&[0, 2], &[], "empty");
        check(&[1], &[1e300], "1e300");
        let tensor = Tensor { shape: vec![1], values: vec![1.0] };
        let twice = TensorWriter::new("file.h5").put("a", "x", &tensor).unwrap();
        assert!(twice.put("a", "x", &tensor).unwrap().write().is_err());
    }
}
