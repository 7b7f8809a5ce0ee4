//! HDF5 files of named tensors in groups, as benchmarks exchange them: targets, submissions, predictions.

use std::path::Path;

use crate::array::{Array, Values};
use crate::error::IngestError;
use crate::hdf5::H5File;

/// An open HDF5 file whose groups hold tensors and ragged lists, such as a submission to the Neural Latents Benchmark.
///
/// Groups are those right below the root; the group `""` is the root itself. Members that are missing are `None`, so that
/// whoever asks says which of them are needed.
pub struct TensorFile {
    file: H5File,
}

/// A dataset of numbers with its axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Length of each axis, as in the file; none for a single value.
    pub shape: Vec<usize>,
    /// Values in row order (the last axis fastest), in the unit of the file. Truth values are 0 and 1, NaN stays NaN.
    pub values: Vec<f64>,
}

impl TensorFile {
    /// Opens a file and lists its groups; values are read when they are asked for.
    ///
    /// Errors: [`IngestError::Io`]; [`IngestError::Malformed`] for anything that is not a whole HDF5 file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IngestError> {
        Ok(Self { file: H5File::open(path.as_ref(), &[])? })
    }

    /// Names of the groups right below the root, sorted.
    pub fn groups(&self) -> Vec<String> {
        self.members(0, false)
    }

    /// Names of the datasets of a group, sorted; none where there is no such group.
    pub fn names(&self, group: &str) -> Vec<String> {
        self.group(group).map_or_else(Vec::new, |group| self.members(group, true))
    }

    /// A dataset of numbers or truth values; `None` where the group or the dataset is missing. Whole numbers beyond 2^53
    /// are rounded.
    ///
    /// Errors: [`IngestError::WrongType`] for other values, such as text; [`IngestError::Unsupported`] for a type or a
    /// filter that is not read; [`IngestError::Malformed`] for damaged values.
    pub fn tensor(&self, group: &str, name: &str) -> Result<Option<Tensor>, IngestError> {
        let Some(node) = self.dataset(group, name) else { return Ok(None) };
        let Array { shape, values } = self.read(node)?;
        let kind = values.kind();
        let values = match values {
            Values::Bool(values) => values.into_iter().map(|value| f64::from(u8::from(value))).collect(),
            values => values.into_f64().ok_or_else(|| self.wrong_type(node, kind, "numbers"))?,
        };
        Ok(Some(Tensor { shape, values }))
    }

    /// Lists of whole numbers of different lengths, such as the trials of each condition; `None` where the group or the
    /// dataset is missing. A table of whole numbers is lists of one length, since writers make lists of equal length one.
    ///
    /// Errors: as of [`tensor`](Self::tensor); [`IngestError::WrongShape`] for lists that lie along more than one axis.
    pub fn lists(&self, group: &str, name: &str) -> Result<Option<Vec<Vec<i64>>>, IngestError> {
        const EXPECTED: &str = "lists of whole numbers";
        let Some(node) = self.dataset(group, name) else { return Ok(None) };
        let Array { shape, values } = self.read(node)?;
        let lists = match (&shape[..], values) {
            ([_], Values::Lists(lists)) => lists
                .into_iter()
                .map(|list| match list {
                    Values::Int(list) => Ok(list),
                    other => Err(self.wrong_type(node, other.kind(), EXPECTED)),
                })
                .collect::<Result<_, _>>()?,
            (&[n_lists, 0], Values::Int(_)) => vec![Vec::new(); n_lists],
            (&[_, length], Values::Int(values)) => values.chunks(length).map(<[i64]>::to_vec).collect(),
            (_, Values::Lists(_)) => {
                return Err(IngestError::WrongShape {
                    path: self.file.path.clone(),
                    part: self.file.node(node).path.clone(),
                    found: shape,
                    expected: "lists along one axis".into(),
                });
            }
            (_, other) => return Err(self.wrong_type(node, other.kind(), EXPECTED)),
        };
        Ok(Some(lists))
    }

    fn group(&self, group: &str) -> Option<usize> {
        let node = if group.is_empty() { Some(0) } else { self.file.node(0).child(group) };
        node.filter(|&node| !self.file.is_dataset(node))
    }

    fn dataset(&self, group: &str, name: &str) -> Option<usize> {
        let node = self.file.node(self.group(group)?).child(name)?;
        Some(node).filter(|&node| self.file.is_dataset(node))
    }

    fn members(&self, group: usize, are_datasets: bool) -> Vec<String> {
        let members = self.file.node(group).children.iter();
        let members = members.filter(|(_, node)| self.file.is_dataset(*node) == are_datasets);
        members.map(|(name, _)| name.clone()).collect()
    }

    fn read(&self, node: usize) -> Result<Array, IngestError> {
        self.file.read(node).map_err(|unread| unread.required(&self.file, node))
    }

    fn wrong_type(&self, node: usize, found: &str, expected: &'static str) -> IngestError {
        IngestError::WrongType {
            path: self.file.path.clone(),
            part: self.file.node(node).path.clone(),
            found: found.into(),
            expected,
        }
    }
}
