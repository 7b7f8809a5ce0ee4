//! HDF5 files of named tensors in groups, written as benchmarks read them.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use hdf5_writer::{DatasetBuilder, FILTER_DEFLATE, FilterDescription, Hdf5Builder, Hdf5Writer, WriteOptions};
use neurobrick_schema::atomic::write_file;

use crate::error::IngestError;
use crate::tensor_file::Tensor;

/// How hard values are packed; h5py's own level.
const LEVEL: u32 = 4;

/// About how many bytes are packed at once. Whole entries of the first axis stay together.
const CHUNK_BYTES: usize = 4 << 20;

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

    /// Adds a tensor to a group right below the root. Values become `f32`; NaN and infinities stay.
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
        let is_lost = |&at: &usize| values[at].is_infinite() && tensor.values[at].is_finite();
        if let Some(place) = (0..values.len()).find(is_lost) {
            return Err(refuse(format!(
                "value {:e} is too large for single precision",
                tensor.values[place]
            )));
        }
        let shape: Vec<u64> = tensor.shape.iter().map(|&length| length as u64).collect();
        let chunk = chunk_shape(&tensor.shape);
        let filter = FilterDescription { id: FILTER_DEFLATE, name: None, client_data: vec![LEVEL] };
        let dataset = DatasetBuilder::typed_data(format!("{group}/{name}"), shape, &values)
            .map_err(|error| refuse(error.to_string()))?
            .chunked(chunk)
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

/// As many entries along the first axis as fill a chunk; axes behind it are cut only where a single entry is too long.
fn chunk_shape(shape: &[usize]) -> Vec<u64> {
    let mut left = CHUNK_BYTES / size_of::<f32>();
    let mut chunk: Vec<u64> = shape
        .iter()
        .rev()
        .map(|&length| {
            let taken = length.min(left.max(1));
            left /= length.max(1);
            taken as u64
        })
        .collect();
    chunk.reverse();
    chunk
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
        let values = vec![0.1, f64::NAN, -3.5, 1e-30, f64::INFINITY, f64::NEG_INFINITY];
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
    fn chunks_of_any_shape_stay_small_and_are_read_back() {
        for (shape, chunk) in [
            (&[3, 2][..], &[3, 2][..]),
            (&[5_000_000], &[1 << 20]),
            (&[100, 1000, 300], &[3, 1000, 300]),
            (&[2, 3, 5_000_000], &[1, 1, 1 << 20]),
            (&[1 << 40, 7], &[149_796, 7]),
        ] {
            assert_eq!(chunk_shape(shape), chunk, "{shape:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.h5");
        // The last chunk is not full.
        let values = (0..2_500_000).map(|at| f64::from(at % 1000)).collect();
        let tensor = Tensor { shape: vec![25, 100_000], values };
        TensorWriter::new(&path).put("a", "x", &tensor).unwrap().write().unwrap();
        assert_eq!(TensorFile::open(&path).unwrap().tensor("a", "x").unwrap(), Some(tensor));
    }

    #[test]
    fn a_chunk_that_inflates_beyond_its_shape_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.h5");
        let zlib = |bytes: &[u8]| {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(LEVEL));
            std::io::Write::write_all(&mut encoder, bytes).unwrap();
            encoder.finish().unwrap()
        };
        // Values without a pattern, whose packed bytes are as long as what inflates to a thousand times as much.
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(state >> 9 | 0x3f80_0000)
        };
        let values: Vec<f32> = (0..1 << 15).map(|_| next()).collect();
        let chunk = zlib(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        let tensor = Tensor { shape: vec![1 << 15], values: values.into_iter().map(f64::from).collect() };
        TensorWriter::new(&path).put("a", "x", &tensor).unwrap().write().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(64).position(|window| window == &chunk[..64]).unwrap();
        let bomb = zlib(&vec![0; 60 << 20]);
        assert!(bomb.len() < chunk.len(), "{} {}", bomb.len(), chunk.len());
        bytes[at..at + bomb.len()].copy_from_slice(&bomb);
        std::fs::write(&path, bytes).unwrap();
        let error = TensorFile::open(&path).unwrap().tensor("a", "x").unwrap_err().to_string();
        // 128 KiB and the room for filters.
        assert!(error.contains("Deflate chunk of more than 140288 bytes"), "{error}");
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
        check(&[2], &[f64::INFINITY, 1e300], "1e300 is too large");
        check(&[1], &[-1e300], "-1e300 is too large");
        let tensor = Tensor { shape: vec![1], values: vec![1.0] };
        let twice = TensorWriter::new("file.h5").put("a", "x", &tensor).unwrap();
        assert!(twice.put("a", "x", &tensor).unwrap().write().is_err());
    }
}
