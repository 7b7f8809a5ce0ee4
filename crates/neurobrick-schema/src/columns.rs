//! Typed, nullable columns: the labels of trials, intervals, units and electrodes.

use std::collections::HashSet;
use std::ops::Range;

use crate::error::SchemaError;

/// Longest name of a column, an interval table or a signal, in characters.
pub(crate) const MAX_NAME_CHARS: usize = 128;
/// Deepest nesting of lists: one more than the doubly ragged columns of the field need.
const MAX_LIST_DEPTH: usize = 4;

/// Values of one column, one per row; `None` is missing. Floats are finite.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnValues {
    /// Real numbers.
    Float(Vec<Option<f64>>),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// Text.
    Text(Vec<Option<String>>),
    /// Yes or no.
    Bool(Vec<Option<bool>>),
    /// A list of values in every row.
    List(ListValues),
}

impl ColumnValues {
    /// Number of entries, missing ones included.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::List(values) => values.len(),
        }
    }

    /// Whether there are no entries at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the type of value: `float`, `int`, `text`, `bool` or `list`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Float(_) => "float",
            Self::Int(_) => "int",
            Self::Text(_) => "text",
            Self::Bool(_) => "bool",
            Self::List(_) => "list",
        }
    }

    /// The entries at some positions, in that order.
    ///
    /// # Panics
    /// When a position is out of range, as slices do.
    #[must_use]
    pub fn rows(&self, rows: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&row| values[row].clone()).collect()
        }
        match self {
            Self::Float(values) => Self::Float(pick(values, rows)),
            Self::Int(values) => Self::Int(pick(values, rows)),
            Self::Text(values) => Self::Text(pick(values, rows)),
            Self::Bool(values) => Self::Bool(pick(values, rows)),
            Self::List(list) => {
                let items: Vec<usize> = rows.iter().flat_map(|&row| list.range(row)).collect();
                let mut end = 0;
                let ends = rows.iter().map(|&row| {
                    end += list.range(row).len();
                    end
                });
                let ends = ends.collect();
                Self::List(ListValues { ends, items: Box::new(list.items().rows(&items)) })
            }
        }
    }

    fn list_depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.items().list_depth(),
            _ => 0,
        }
    }

    /// The innermost floats, which must be finite whatever list they lie in.
    fn floats(&self) -> Option<&[Option<f64>]> {
        match self {
            Self::Float(values) => Some(values),
            Self::List(list) => list.items().floats(),
            _ => None,
        }
    }
}

/// Lists of different lengths, one per row, laid end to end; the items may be lists again.
#[derive(Clone, Debug, PartialEq)]
pub struct ListValues {
    ends: Vec<usize>,
    items: Box<ColumnValues>,
}

impl ListValues {
    /// Joins the items of all rows with the position after the last item of each row.
    ///
    /// Errors: [`SchemaError::InvalidValue`] when `ends` descend, or do not end with the number of items.
    pub fn new(ends: Vec<usize>, items: ColumnValues) -> Result<Self, SchemaError> {
        if let Some(row) = ends.windows(2).position(|pair| pair[1] < pair[0]) {
            return Err(SchemaError::InvalidValue {
                what: format!("end of list {}", row + 1),
                found: ends[row + 1].to_string(),
                rule: "not before the end of the list above it",
            });
        }
        let last = ends.last().copied().unwrap_or(0);
        if last != items.len() {
            return Err(SchemaError::LengthMismatch {
                what: "items of all lists".into(),
                expected: last,
                found: items.len(),
            });
        }
        Ok(Self { ends, items: Box::new(items) })
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no lists.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Position after the last item of each list.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The items of all lists, in order.
    pub fn items(&self) -> &ColumnValues {
        &self.items
    }

    /// Which items list `row` holds.
    ///
    /// # Panics
    /// When `row` is out of range, as slices do.
    pub fn range(&self, row: usize) -> Range<usize> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        start..self.ends[row]
    }
}

/// One labeled property of every row.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name, unique in its table.
    pub name: String,
    /// Unit of measure, such as `s`; `None` for labels and plain numbers.
    pub unit: Option<String>,
    /// What it means, in a sentence.
    pub description: Option<String>,
    /// One value per row.
    pub values: ColumnValues,
}

/// Rows with typed columns and no time of their own, such as electrodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    n_rows: usize,
    columns: Vec<Column>,
}

impl Table {
    /// Checks and joins columns.
    ///
    /// Errors: [`SchemaError::LengthMismatch`] for a column of another length; [`SchemaError::Duplicate`] and
    /// [`SchemaError::InvalidValue`] for names; [`SchemaError::NonFinite`] for a float that is NaN or infinite.
    pub fn new(n_rows: usize, columns: Vec<Column>) -> Result<Self, SchemaError> {
        check_columns("table column", &columns, n_rows, &[])?;
        if columns.is_empty() && n_rows > 0 {
            return Err(SchemaError::InvalidValue {
                what: "number of columns of a table with rows".into(),
                found: "0".into(),
                rule: "at least 1",
            });
        }
        Ok(Self { n_rows, columns })
    }

    /// All columns in the order of the source.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.n_rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }
}

/// Checks names, lengths and values of columns against `n_rows`; `what` is one such column in words.
pub(crate) fn check_columns(
    what: &'static str,
    columns: &[Column],
    n_rows: usize,
    reserved: &[&str],
) -> Result<(), SchemaError> {
    let mut names = HashSet::new();
    for column in columns {
        check_name(what, &column.name)?;
        if reserved.contains(&column.name.as_str()) {
            return Err(SchemaError::InvalidValue {
                what: format!("{what} name"),
                found: format!("{:?}", column.name),
                rule: "another name, since the table has a column of that name already",
            });
        }
        if !names.insert(column.name.as_str()) {
            return Err(SchemaError::Duplicate { what, name: column.name.clone() });
        }
        let label = || format!("{what} {:?}", column.name);
        if column.values.len() != n_rows {
            return Err(SchemaError::LengthMismatch {
                what: label(),
                expected: n_rows,
                found: column.values.len(),
            });
        }
        let depth = column.values.list_depth();
        if depth > MAX_LIST_DEPTH {
            return Err(SchemaError::InvalidValue {
                what: format!("nesting of the lists of {}", label()),
                found: depth.to_string(),
                rule: "at most 4",
            });
        }
        let bad = column.values.floats().and_then(|values| {
            values.iter().enumerate().find_map(|(i, v)| v.filter(|v| !v.is_finite()).map(|v| (i, v)))
        });
        if let Some((index, value)) = bad {
            return Err(SchemaError::NonFinite { what: label(), index, value });
        }
    }
    Ok(())
}

/// Checks the name of a column.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), SchemaError> {
    let rule = if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
        "1 to 128 characters long"
    } else if name.chars().any(char::is_control) {
        "free of control characters"
    } else {
        return Ok(());
    };
    Err(SchemaError::InvalidValue { what: format!("{what} name"), found: format!("{name:?}"), rule })
}
