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
    fn pick(&self, order: &[usize]) -> Self {
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
        let [n_rows, n_columns] = shape[..] else {
            // One axis has one order; more than two are refused by whoever asks for vectors and tables.
            return Self { shape, values };
        };
        if n_rows <= 1 || n_columns <= 1 {
            return Self { shape, values };
        }
        let order: Vec<usize> =
            (0..n_rows).flat_map(|row| (0..n_columns).map(move |column| column * n_rows + row)).collect();
        Self { values: values.pick(&order), shape }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_order_becomes_row_order() {
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
}
