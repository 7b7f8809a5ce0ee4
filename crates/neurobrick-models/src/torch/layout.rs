//! How a parameter of ours lies in a tensor of PyTorch's.

use burn::tensor::{DType, TensorData};

/// The place of a parameter in a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The same: biases, norms, tables.
    AsIs,
    /// A matrix the other way round: PyTorch keeps the weight of a linear map `[out, in]`, we keep `[in, out]`.
    Transposed,
    /// One of several matrices `[out, in]` one below the other, or of several biases one behind the other: queries, keys
    /// and values in one `in_proj`.
    Packed {
        /// Which one, from 0.
        part: usize,
        /// Of how many.
        of: usize,
    },
    /// These rows of a table; a table is written with `total` rows, the others zero.
    Rows {
        /// Rows, in our order.
        rows: Vec<usize>,
        /// Rows of the table that is written.
        total: usize,
    },
    /// A vector of one that is a number without axes there.
    Scalar,
}

/// Values and shape, in double precision on the way.
struct Numbers {
    shape: Vec<usize>,
    values: Vec<f64>,
    dtype: DType,
}

impl Numbers {
    fn of(data: &TensorData) -> Self {
        Self { shape: data.shape().to_vec(), values: data.iter::<f64>().collect(), dtype: data.dtype() }
    }

    fn transposed(self) -> Result<Self, String> {
        let [rows, columns] = self.shape[..] else { return Err(rank("a matrix", &self.shape)) };
        let values = (0..rows * columns).map(|i| self.values[(i % rows) * columns + i / rows]).collect();
        Ok(Self { shape: vec![columns, rows], values, dtype: self.dtype })
    }

    fn into_data(self) -> TensorData {
        let data = TensorData::new(self.values, self.shape);
        if self.dtype == DType::F64 { data } else { data.convert::<f32>() }
    }
}

fn rank(expected: &str, shape: &[usize]) -> String {
    format!("expected {expected}, received shape {shape:?}")
}

impl Layout {
    /// Our parameter out of their tensor.
    pub(super) fn to_own(&self, data: &TensorData) -> Result<TensorData, String> {
        let theirs = Numbers::of(data);
        let own = match self {
            Self::AsIs => theirs,
            Self::Transposed => theirs.transposed()?,
            Self::Packed { part, of } => {
                let n_rows = theirs.shape.first().copied().unwrap_or(0);
                if n_rows == 0 || n_rows % of != 0 {
                    return Err(rank(&format!("{of} parts below each other"), &theirs.shape));
                }
                let size = theirs.values.len() / of;
                let values = theirs.values[part * size..(part + 1) * size].to_vec();
                let shape = [&[n_rows / of], &theirs.shape[1..]].concat();
                let one = Numbers { shape, values, dtype: theirs.dtype };
                if one.shape.len() == 2 { one.transposed()? } else { one }
            }
            Self::Rows { rows, .. } => {
                let [n_rows, width] = theirs.shape[..] else { return Err(rank("a table", &theirs.shape)) };
                if let Some(row) = rows.iter().find(|&&row| row >= n_rows) {
                    return Err(format!("row {row} of a table of {n_rows}"));
                }
                let values =
                    rows.iter().flat_map(|&row| theirs.values[row * width..(row + 1) * width].to_vec());
                Numbers { shape: vec![rows.len(), width], values: values.collect(), dtype: theirs.dtype }
            }
            Self::Scalar if theirs.values.len() == 1 => Numbers { shape: vec![1], ..theirs },
            Self::Scalar => return Err(rank("one number", &theirs.shape)),
        };
        Ok(own.into_data())
    }

    /// Their tensor out of all our parameters that lie in it.
    pub(super) fn to_torch(parts: &[(&Self, &TensorData)]) -> Result<TensorData, String> {
        let [(first, data), rest @ ..] = parts else { return Err("nothing lies here".to_owned()) };
        let own = Numbers::of(data);
        match first {
            Self::Packed { of, .. } => return pack(parts, *of),
            Self::Rows { total, .. } => return fill_rows(parts, *total),
            _ => {}
        }
        // Sessions that share a tensor must agree on it.
        if rest.iter().any(|(_, other)| other != data) {
            return Err(
                "several parameters of different values have this place; export one session".to_owned()
            );
        }
        let theirs = match first {
            Self::Transposed => own.transposed()?,
            Self::Scalar => Numbers { shape: Vec::new(), ..own },
            _ => own,
        };
        Ok(theirs.into_data())
    }
}

/// A table of `total` rows with those of all parameters in their places.
fn fill_rows(parts: &[(&Layout, &TensorData)], total: usize) -> Result<TensorData, String> {
    let mut table: Option<Numbers> = None;
    for (layout, data) in parts {
        let own = Numbers::of(data);
        let (Layout::Rows { rows, .. }, [_, width]) = (layout, &own.shape[..]) else {
            return Err(rank("a table", &own.shape));
        };
        let empty =
            || Numbers { shape: vec![total, *width], values: vec![0.0; total * width], dtype: own.dtype };
        let table = table.get_or_insert_with(empty);
        for (&row, own) in rows.iter().zip(own.values.chunks(*width)) {
            let Some(place) = table.values.get_mut(row * width..(row + 1) * width) else {
                return Err(format!("row {row} of a table of {total}"));
            };
            place.copy_from_slice(own);
        }
    }
    table.map(Numbers::into_data).ok_or_else(|| "nothing lies here".to_owned())
}

/// Parameters one below the other.
fn pack(parts: &[(&Layout, &TensorData)], of: usize) -> Result<TensorData, String> {
    let mut packed: Option<Numbers> = None;
    for wanted in 0..of {
        let is_wanted = |layout: &Layout| matches!(layout, Layout::Packed { part, .. } if *part == wanted);
        let Some((_, data)) = parts.iter().find(|(layout, _)| is_wanted(layout)) else {
            return Err(format!("part {wanted} of {of} is missing"));
        };
        let own = Numbers::of(data);
        let own = if own.shape.len() == 2 { own.transposed()? } else { own };
        packed = Some(match packed {
            None => own,
            Some(mut packed) => {
                packed.shape[0] += own.shape[0];
                packed.values.extend(own.values);
                packed
            }
        });
    }
    packed.map(Numbers::into_data).ok_or_else(|| "nothing lies here".to_owned())
}
