//! Arrays of any foreign format in memory.

/// Values in row order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    Float(Vec<f64>),
    Float32(Vec<f32>),
    Int(Vec<i64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
    /// Addresses of the objects that an HDF5 file refers to.
    Reference(Vec<u64>),
    /// Fields of equal length, by name.
    Compound(Vec<(String, Values)>),
    /// One list of numbers for every element, of any length.
    Lists(Vec<Values>),
}

/// An array in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    /// Length of each axis; none for a single value.
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values,
}

impl Values {
    /// The values as real numbers; `None` when they are none.
    pub(crate) fn into_f64(self) -> Option<Vec<f64>> {
        match self {
            Self::Float(values) => Some(values),
            Self::Float32(values) => Some(values.into_iter().map(f64::from).collect()),
            Self::Int(values) => Some(values.into_iter().map(|value| value as f64).collect()),
            _ => None,
        }
    }

    /// What the values are, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Float(_) | Self::Float32(_) => "real numbers",
            Self::Int(_) => "whole numbers",
            Self::Bool(_) => "truth values",
            Self::Text(_) => "text",
            Self::Reference(_) => "object references",
            Self::Compound(_) => "records with named fields",
            Self::Lists(_) => "lists of different lengths",
        }
    }

    /// The values at `order`, in that order.
    pub(crate) fn pick(&self, order: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], order: &[usize]) -> Vec<T> {
            order.iter().map(|&index| values[index].clone()).collect()
        }
        match self {
            Self::Float(values) => Self::Float(pick(values, order)),
            Self::Float32(values) => Self::Float32(pick(values, order)),
            Self::Int(values) => Self::Int(pick(values, order)),
            Self::Bool(values) => Self::Bool(pick(values, order)),
            Self::Text(values) => Self::Text(pick(values, order)),
            Self::Reference(values) => Self::Reference(pick(values, order)),
            Self::Lists(values) => Self::Lists(pick(values, order)),
            Self::Compound(fields) => Self::Compound(
                fields.iter().map(|(name, values)| (name.clone(), values.pick(order))).collect(),
            ),
        }
    }
}

impl Array {
    /// An array whose values lie with the first axis fastest, as MATLAB keeps them, in row order.
    pub(crate) fn from_column_order(shape: Vec<usize>, values: Values) -> Self {
        // Where no more than one axis is longer than one, both orders are the same.
        if shape.iter().filter(|&&length| length != 1).count() <= 1 {
            return Self { shape, values };
        }
        let values = values.pick(&column_places(&shape));
        Self { shape, values }
    }

    /// The values in row order of the axes `wanted`, which are those of the array, called `axes` in its own order; one that
    /// the array lacks has length one.
    ///
    /// Errors: the shape, where it has another number of axes. Axes of length one around a vector are passed over, since
    /// MATLAB has no arrays of one axis.
    pub(crate) fn arranged<A: PartialEq, const N: usize>(
        mut self,
        axes: &[A],
        wanted: [A; N],
    ) -> Result<([usize; N], Values), Vec<usize>> {
        if axes.len() == 1 && self.shape.len() != 1 {
            self = self.squeezed();
        }
        if self.shape.len() != axes.len() {
            return Err(self.shape);
        }
        let found = wanted.map(|wanted| axes.iter().position(|axis| *axis == wanted));
        let lengths = found.map(|axis| axis.map_or(1, |axis| self.shape[axis]));
        if axes.iter().enumerate().any(|(axis, _)| !found.contains(&Some(axis))) {
            return Err(self.shape);
        }
        // Axes in their own order need no copy.
        if found.iter().flatten().is_sorted() || lengths.contains(&0) {
            return Ok((lengths, self.values));
        }
        let step = |axis: usize| self.shape[axis + 1..].iter().product::<usize>();
        let steps = found.map(|axis| axis.map_or(0, step));
        Ok((lengths, self.values.pick(&places(&lengths, &steps))))
    }

    /// The same values without axes of length one, unless all are.
    pub(crate) fn squeezed(mut self) -> Self {
        if self.shape.iter().product::<usize>() > 1 {
            self.shape.retain(|&length| length != 1);
        } else {
            self.shape = vec![self.shape.iter().product()];
        }
        self
    }
}

/// Where the values of an array lie that has these axes, each with the step from one entry to the next: in row order.
fn places(lengths: &[usize], steps: &[usize]) -> Vec<usize> {
    // The axes before one of length zero may promise anything.
    if lengths.contains(&0) {
        return Vec::new();
    }
    lengths.iter().zip(steps).fold(vec![0], |places, (&length, &step)| {
        places.iter().flat_map(|place| (0..length).map(move |entry| place + entry * step)).collect()
    })
}

/// Where the values of an array lie whose first axis is the fastest: in row order.
pub(crate) fn column_places(shape: &[usize]) -> Vec<usize> {
    if shape.contains(&0) {
        return Vec::new();
    }
    let steps: Vec<usize> = (0..shape.len()).map(|axis| shape[..axis].iter().product()).collect();
    places(shape, &steps)
}

/// Rows without a character that a matrix of text may have; each takes 24 bytes of memory and none of the file.
const MAX_EMPTY_ROWS: usize = 1 << 20;

/// One text per row out of the codes of a matrix of characters, in row order.
///
/// Errors: the number of rows, where they are without a character and too many.
pub(crate) fn rows_of_text(shape: &[usize], codes: &[i64]) -> Result<Vec<String>, String> {
    let n_rows = shape.first().copied().unwrap_or(0);
    let units: Vec<u16> = codes.iter().map(|&code| u16::try_from(code).unwrap_or(0xfffd)).collect();
    match units.len().checked_div(n_rows).filter(|&length| length > 0) {
        Some(length) => Ok(units.chunks_exact(length).map(String::from_utf16_lossy).collect()),
        None if n_rows <= MAX_EMPTY_ROWS => Ok(vec![String::new(); n_rows]),
        None => Err(format!("{n_rows} rows of text without a character; at most {MAX_EMPTY_ROWS} are read")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn column_order_becomes_row_order() {
        let cube = Array::from_column_order(vec![2, 2, 2], Values::Int(vec![1, 5, 3, 7, 2, 6, 4, 8]));
        assert_eq!(cube.values, Values::Int((1..9).collect()));
        let array = Array::from_column_order(vec![2, 3], Values::Int(vec![1, 4, 2, 5, 3, 6]));
        assert_eq!(array.values, Values::Int(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(array.squeezed().shape, [2, 3]);
        for (shape, squeezed) in
            [(vec![1, 3], vec![3]), (vec![3, 1], vec![3]), (vec![1, 1], vec![1]), (vec![0, 0], vec![0])]
        {
            let n = shape.iter().product();
            let array = Array { shape, values: Values::Int(vec![7; n]) };
            assert_eq!(array.squeezed(), Array { shape: squeezed, values: Values::Int(vec![7; n]) });
        }
    }

    #[test]
    fn axes_are_arranged_by_their_names() {
        let array = |shape: &[usize]| Array {
            shape: shape.to_vec(),
            values: Values::Int((0..).take(shape.iter().product()).collect()),
        };
        let ints = |values: &[i64]| Values::Int(values.to_vec());
        assert_eq!(array(&[2, 3]).arranged(b"tb", *b"tub"), Ok(([2, 1, 3], ints(&[0, 1, 2, 3, 4, 5]))));
        assert_eq!(array(&[2, 3]).arranged(b"bt", *b"tub"), Ok(([3, 1, 2], ints(&[0, 3, 1, 4, 2, 5]))));
        let turned = array(&[2, 2, 2]).arranged(b"tbu", *b"tub");
        assert_eq!(turned, Ok(([2, 2, 2], ints(&[0, 2, 1, 3, 4, 6, 5, 7]))));
        assert_eq!(array(&[1, 3, 1]).arranged(b"b", *b"tub"), Ok(([1, 1, 3], ints(&[0, 1, 2]))));
        for (shape, axes) in
            [(&[2, 3][..], &b"tbu"[..]), (&[2, 3], b"b"), (&[1, 3, 1], b"tb"), (&[2, 3], b"tx")]
        {
            assert_eq!(array(shape).arranged(axes, *b"tub"), Err(shape.to_vec()), "{axes:?}");
        }
    }

    /// An axis says how many rows there are without a byte of the file behind it.
    #[test]
    fn rows_without_text_are_limited() {
        let rows = |shape: &[usize], codes: &[i64]| rows_of_text(shape, codes);
        assert_eq!(rows(&[2, 2], &[97, 98, 99, 100]), Ok(vec!["ab".to_owned(), "cd".to_owned()]));
        assert_eq!(rows(&[3, 0], &[]), Ok(vec![String::new(); 3]));
        assert_eq!(rows(&[], &[]), Ok(Vec::new()));
        for n_rows in [(1 << 31) - 1, usize::MAX] {
            let error = rows(&[n_rows, 0], &[]).unwrap_err();
            assert!(error.starts_with(&format!("{n_rows} rows of text without a character")), "{error}");
        }
    }
}
