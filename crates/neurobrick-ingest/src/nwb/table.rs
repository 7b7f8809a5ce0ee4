//! Dynamic tables: columns of any type, ragged through index columns, as columns of the schema.

use neurobrick_schema::{Column, ColumnValues, ListValues};

use super::Notes;
use crate::array::{Array, Values};
use crate::error::IngestError;
use crate::hdf5::{H5File, Unread};

/// Column of row names that every table has.
const ID: &str = "id";
/// Ending of a column that says where the rows of a ragged column end.
const INDEX: &str = "_index";
/// Values of one column. Waveforms of all spikes of a long session have more, and belong with the raw signal.
const MAX_VALUES: usize = 20_000_000;

/// A dynamic table that is about to be read.
pub(super) struct DynamicTable<'a> {
    pub(super) file: &'a H5File,
    pub(super) node: usize,
    /// Names of the columns, those of `colnames` first.
    names: Vec<String>,
    n_rows: usize,
}

impl<'a> DynamicTable<'a> {
    /// Looks at a group; `None` when it has neither `colnames` nor an `id` column.
    pub(super) fn open(file: &'a H5File, node: usize) -> Result<Option<Self>, IngestError> {
        let group = file.node(node);
        let listed = file.texts(node, "colnames")?;
        let id = group.child(ID);
        if !group.is_group() || (listed.is_none() && id.is_none()) {
            return Ok(None);
        }
        let mut names = listed.unwrap_or_default();
        for name in &names {
            if group.child(name).is_none() {
                let detail = format!("column {name:?} is listed but not there");
                return Err(IngestError::malformed(&file.path, group.path.as_str(), detail));
            }
        }
        let is_index =
            |name: &str| name.strip_suffix(INDEX).is_some_and(|indexed| group.child(indexed).is_some());
        for (name, child) in &group.children {
            let is_column = file.is_dataset(*child) && name != ID && !is_index(name);
            if is_column && !names.contains(name) {
                names.push(name.clone());
            }
        }
        let mut table = Self { file, node, names, n_rows: 0 };
        table.n_rows = table.count_rows(id)?;
        Ok(Some(table))
    }

    fn count_rows(&self, id: Option<usize>) -> Result<usize, IngestError> {
        let first = self.names.first().map(|name| self.outermost(name));
        match id.or(first.flatten()) {
            Some(node) => Ok(self.file.shape(node)?.first().copied().unwrap_or(0)),
            None => Ok(0),
        }
    }

    /// The dataset whose length is the number of rows: the last index of a ragged column, else the column.
    fn outermost(&self, name: &str) -> Option<usize> {
        let group = self.file.node(self.node);
        match group.child(&format!("{name}{INDEX}")) {
            Some(_) => self.outermost(&format!("{name}{INDEX}")),
            None => group.child(name),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.file.node(self.node).path
    }

    pub(super) fn len(&self) -> usize {
        self.n_rows
    }

    pub(super) fn description(&self) -> Result<Option<String>, IngestError> {
        Ok(self.file.text(self.node, "description")?.filter(|text| !text.is_empty()))
    }

    pub(super) fn child(&self, name: &str) -> Option<usize> {
        self.file.node(self.node).child(name)
    }

    /// The row names; `None` where they only count the rows from zero.
    pub(super) fn ids(&self) -> Result<Option<Vec<i64>>, IngestError> {
        let Some(node) = self.child(ID) else {
            return Ok(None);
        };
        let Values::Int(ids) =
            self.file.read(node).map_err(|unread| unread.required(self.file, node))?.values
        else {
            return Err(self.malformed(ID, "row names that are not whole numbers"));
        };
        if ids.len() != self.n_rows {
            let detail = format!("{} row names in a table of {} rows", ids.len(), self.n_rows);
            return Err(self.malformed(ID, &detail));
        }
        let counts = ids.iter().enumerate().all(|(row, &id)| usize::try_from(id) == Ok(row));
        Ok((!counts).then_some(ids))
    }

    pub(super) fn malformed(&self, column: &str, detail: &str) -> IngestError {
        IngestError::malformed(&self.file.path, format!("{}/{column}", self.path()), detail)
    }

    /// A column of one number per row, which must be there.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f64>, IngestError> {
        let Some(node) = self.child(name) else {
            let column = format!("{}/{name}", self.path());
            return Err(IngestError::missing_column(&self.file.path, &column, &self.names));
        };
        let Array { shape, values } =
            self.file.read(node).map_err(|unread| unread.required(self.file, node))?;
        let kind = values.kind();
        let values = values.into_f64().filter(|_| shape.len() == 1);
        let values = values.ok_or_else(|| self.malformed(name, &format!("{kind} of shape {shape:?}")))?;
        if values.len() == self.n_rows {
            return Ok(values);
        }
        Err(self.malformed(name, &format!("{} values in a table of {} rows", values.len(), self.n_rows)))
    }

    /// Where the rows of a ragged column end, checked against the `n_values` that it indexes.
    pub(super) fn ends(&self, index: &str, node: usize, n_values: usize) -> Result<Vec<usize>, IngestError> {
        let values = self.file.read(node).map_err(|unread| unread.required(self.file, node))?.values;
        let Values::Int(ends) = values else {
            return Err(self.malformed(index, "an index that is not of whole numbers"));
        };
        let mut previous = 0;
        let mut checked = Vec::with_capacity(ends.len());
        for (row, end) in ends.into_iter().enumerate() {
            let found = usize::try_from(end).ok().filter(|end| (previous..=n_values).contains(end));
            let Some(end) = found else {
                let detail = format!(
                    "row {row} ends at {end}, after a row that ends at {previous}, of {n_values} values"
                );
                return Err(self.malformed(index, &detail));
            };
            previous = end;
            checked.push(end);
        }
        if previous != n_values {
            let detail = format!("the last row ends at {previous}, but there are {n_values} values");
            return Err(self.malformed(index, &detail));
        }
        Ok(checked)
    }

    /// All columns but those of `except`; row names as column `id`, unless they only count.
    pub(super) fn columns(&self, except: &[&str], notes: &mut Notes) -> Result<Vec<Column>, IngestError> {
        let mut columns = Vec::new();
        if let Some(ids) = self.ids()? {
            columns.push(Column {
                name: ID.into(),
                unit: None,
                description: Some("names of the rows".into()),
                values: ColumnValues::Int(ids.into_iter().map(Some).collect()),
            });
        }
        for name in self.names.iter().filter(|name| !except.contains(&name.as_str())) {
            match self.column(name) {
                Ok(found) => columns.extend(found),
                Err(Unread::Unsupported(reason)) => notes.leave(&format!("{}/{name}", self.path()), reason),
                Err(Unread::Failed(error)) => return Err(error),
            }
        }
        for (name, child) in &self.file.node(self.node).children {
            if self.file.node(*child).is_group() {
                notes.leave(&format!("{}/{name}", self.path()), "a group inside a table");
            }
        }
        Ok(columns)
    }

    /// One column, or one for every field of a column of records.
    fn column(&self, name: &str) -> Result<Vec<Column>, Unread> {
        let Some(node) = self.child(name) else {
            return Ok(Vec::new());
        };
        // An axis without length makes no values, but the axes before it still make lists.
        let lengths = self.file.shape(node)?;
        let n_values = lengths.iter().try_fold(1_usize, |n, &length| n.checked_mul(length.max(1)));
        if n_values.is_none_or(|n| n > MAX_VALUES) {
            return Err(Unread::Unsupported(format!("more than {MAX_VALUES} values")));
        }
        let Array { shape, values } = self.file.read(node)?;
        let description = self.file.text(node, "description")?.filter(|text| !text.is_empty());
        let unit = self.file.text(node, "unit")?.filter(|text| !text.is_empty());
        let column = |name: String, values| -> Result<Column, Unread> {
            let values = self.nest(&name, &shape, flat(self.file, values)?)?;
            let values = self.ragged(name.as_str(), values)?;
            Ok(Column { name, unit: unit.clone(), description: description.clone(), values })
        };
        match values {
            Values::Compound(fields) => fields
                .into_iter()
                .map(|(field, values)| {
                    let mut found = column(name.to_owned(), values)?;
                    found.name = format!("{name}.{field}");
                    Ok(found)
                })
                .collect(),
            values => Ok(vec![column(name.to_owned(), values)?]),
        }
    }

    /// Axes after the first become lists of one length.
    fn nest(&self, name: &str, shape: &[usize], mut values: ColumnValues) -> Result<ColumnValues, Unread> {
        if shape.is_empty() {
            return Err(Unread::Failed(self.malformed(name, "a single value where a column is due")));
        }
        for axis in (1..shape.len()).rev() {
            let n_lists = shape[..axis].iter().product();
            let ends = (1..=n_lists).map(|list| list * shape[axis]).collect();
            values = self.list(name, ends, values)?;
        }
        Ok(values)
    }

    /// Index columns become lists of different lengths.
    fn ragged(&self, name: &str, mut values: ColumnValues) -> Result<ColumnValues, Unread> {
        let mut index = format!("{name}{INDEX}");
        while let Some(node) = self.child(&index) {
            let ends = self.ends(&index, node, values.len())?;
            values = self.list(name, ends, values)?;
            index.push_str(INDEX);
        }
        if values.len() != self.n_rows {
            let detail = format!("{} values in a table of {} rows", values.len(), self.n_rows);
            return Err(Unread::Failed(self.malformed(name, &detail)));
        }
        Ok(values)
    }

    fn list(&self, name: &str, ends: Vec<usize>, values: ColumnValues) -> Result<ColumnValues, Unread> {
        let list = ListValues::new(ends, values);
        list.map(ColumnValues::List).map_err(|error| Unread::Failed(self.malformed(name, &error.to_string())))
    }
}

/// Values of a column without its axes; NaN is missing, and references become the paths they lead to.
fn flat(file: &H5File, values: Values) -> Result<ColumnValues, Unread> {
    let floats = |values: &mut dyn Iterator<Item = f64>| {
        let values: Vec<Option<f64>> =
            values.map(|value| Some(value).filter(|value| !value.is_nan())).collect();
        match values.iter().position(|value| value.is_some_and(f64::is_infinite)) {
            Some(index) => Err(Unread::Unsupported(format!("value {index} is infinite"))),
            None => Ok(ColumnValues::Float(values)),
        }
    };
    match values {
        Values::Float(values) => floats(&mut values.into_iter()),
        Values::Float32(values) => floats(&mut values.into_iter().map(f64::from)),
        Values::Int(values) => Ok(ColumnValues::Int(values.into_iter().map(Some).collect())),
        Values::Bool(values) => Ok(ColumnValues::Bool(values.into_iter().map(Some).collect())),
        Values::Text(values) => Ok(ColumnValues::Text(values.into_iter().map(Some).collect())),
        Values::Reference(addresses) => {
            let path = |address: u64| file.at(address).map(|node| file.node(node).path.clone());
            Ok(ColumnValues::Text(addresses.into_iter().map(path).collect()))
        }
        Values::Compound(_) => Err(Unread::Unsupported("records within records".into())),
        // NWB has a column of ends for them.
        values @ Values::Lists(_) => Err(Unread::Unsupported(values.kind().into())),
    }
}
