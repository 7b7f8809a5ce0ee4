//! Columns of labels as text.

use neurobrick_schema::ColumnValues;

/// Text of a column of labels, also of truth values and whole numbers; `None` of other columns.
pub(crate) fn texts(values: &ColumnValues) -> Option<Vec<Option<String>>> {
    Some(match values {
        ColumnValues::Text(values) => values.clone(),
        ColumnValues::Int(values) => values.iter().map(|v| v.map(|v| v.to_string())).collect(),
        ColumnValues::Bool(values) => values.iter().map(|v| v.map(|v| v.to_string())).collect(),
        _ => return None,
    })
}
