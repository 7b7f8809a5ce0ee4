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
    /// A stretch of a vector.
    Part(Stretch),
    /// A block of a matrix, which lies the other way round there (`[out, in]`). What no block of ours covers is zero.
    Block {
        /// Along our rows, their columns.
        inputs: Stretch,
        /// Along our columns, their rows.
        outputs: Stretch,
    },
    /// The same values with other axes.
    Axes {
        /// Our shape.
        own: Vec<usize>,
        /// Their shape.
        torch: Vec<usize>,
    },
}

/// Where a stretch of an axis lies on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Length of the stretch.
    pub n: usize,
    /// Where it begins in ours.
    pub own_from: usize,
    /// Length of our axis.
    pub own_total: usize,
    /// Where it begins in theirs.
    pub torch_from: usize,
    /// Length of their axis.
    pub torch_total: usize,
}

impl Stretch {
    /// The whole axis on both sides.
    pub fn all(n: usize) -> Self {
        Self { n, own_from: 0, own_total: n, torch_from: 0, torch_total: n }
    }

    /// All of their axis at `from` of ours.
    pub(crate) fn in_own(n: usize, from: usize, total: usize) -> Self {
        Self { n, own_from: from, own_total: total, torch_from: 0, torch_total: n }
    }

    /// All of our axis at `from` of theirs.
    pub(crate) fn in_torch(n: usize, from: usize, total: usize) -> Self {
        Self { n, own_from: 0, own_total: n, torch_from: from, torch_total: total }
    }
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

    fn zeros(shape: Vec<usize>, dtype: DType) -> Self {
        Self { values: vec![0.0; shape.iter().product()], shape, dtype }
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
    /// Whether it covers a part of our parameter only, zero elsewhere.
    pub(super) fn is_block(&self) -> bool {
        matches!(self, Self::Part(_) | Self::Block { .. })
    }

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
            Self::Axes { own, torch } if theirs.shape == *torch => Numbers { shape: own.clone(), ..theirs },
            Self::Axes { torch, .. } => return Err(rank(&format!("shape {torch:?}"), &theirs.shape)),
            Self::Part(stretch) => {
                if theirs.shape != [stretch.torch_total] {
                    return Err(rank(&format!("shape {:?}", [stretch.torch_total]), &theirs.shape));
                }
                let mut own = Numbers::zeros(vec![stretch.own_total], theirs.dtype);
                let from = &theirs.values[stretch.torch_from..stretch.torch_from + stretch.n];
                own.values[stretch.own_from..stretch.own_from + stretch.n].copy_from_slice(from);
                own
            }
            Self::Block { inputs, outputs } => {
                let shape = [outputs.torch_total, inputs.torch_total];
                if theirs.shape != shape {
                    return Err(rank(&format!("shape {shape:?}"), &theirs.shape));
                }
                let mut own = Numbers::zeros(vec![inputs.own_total, outputs.own_total], theirs.dtype);
                for (own_at, torch_at) in cells(inputs, outputs) {
                    own.values[own_at] = theirs.values[torch_at];
                }
                own
            }
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
            Self::Part(_) | Self::Block { .. } => return assemble(parts),
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
            Self::Axes { torch, .. } => Numbers { shape: torch.clone(), ..own },
            _ => own,
        };
        Ok(theirs.into_data())
    }
}

/// Indices of the numbers of a block in ours and in theirs.
fn cells(inputs: &Stretch, outputs: &Stretch) -> impl Iterator<Item = (usize, usize)> {
    let (inputs, outputs) = (*inputs, *outputs);
    (0..inputs.n * outputs.n).map(move |i| {
        let (input, output) = (i / outputs.n, i % outputs.n);
        let own = (inputs.own_from + input) * outputs.own_total + outputs.own_from + output;
        let torch = (outputs.torch_from + output) * inputs.torch_total + inputs.torch_from + input;
        (own, torch)
    })
}

/// The sum of two parts of a parameter, each of which is zero where the other has its block.
pub(super) fn join(own: &TensorData, more: &TensorData) -> Result<TensorData, String> {
    let (own, more) = (Numbers::of(own), Numbers::of(more));
    if own.shape != more.shape {
        return Err(rank(&format!("a block of shape {:?}", own.shape), &more.shape));
    }
    let values = own.values.iter().zip(&more.values).map(|(a, b)| a + b).collect();
    Ok(Numbers { values, ..own }.into_data())
}

/// `value` everywhere.
pub(super) fn constant(shape: &[usize], value: f64, dtype: DType) -> TensorData {
    let n = shape.iter().product();
    Numbers { shape: shape.to_vec(), values: vec![value; n], dtype }.into_data()
}

/// One tensor of all blocks that lie in it.
fn assemble(parts: &[(&Layout, &TensorData)]) -> Result<TensorData, String> {
    let mut whole: Option<Numbers> = None;
    for (layout, data) in parts {
        let own = Numbers::of(data);
        let (own_shape, shape) = match layout {
            Layout::Part(stretch) => (vec![stretch.own_total], vec![stretch.torch_total]),
            Layout::Block { inputs, outputs } => {
                (vec![inputs.own_total, outputs.own_total], vec![outputs.torch_total, inputs.torch_total])
            }
            _ => return Err("blocks and whole tensors have one place".to_owned()),
        };
        if own.shape != own_shape {
            return Err(rank(&format!("shape {own_shape:?}"), &own.shape));
        }
        let whole = whole.get_or_insert_with(|| Numbers::zeros(shape, own.dtype));
        match layout {
            Layout::Block { inputs, outputs } => {
                for (own_at, torch_at) in cells(inputs, outputs) {
                    whole.values[torch_at] = own.values[own_at];
                }
            }
            Layout::Part(stretch) => {
                let from = &own.values[stretch.own_from..stretch.own_from + stretch.n];
                whole.values[stretch.torch_from..stretch.torch_from + stretch.n].copy_from_slice(from);
            }
            _ => {}
        }
    }
    whole.map(Numbers::into_data).ok_or_else(|| "nothing lies here".to_owned())
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
