//! Regions, depths and further columns of units out of arrays with a row per unit.

use std::collections::{BTreeMap, BTreeSet};

use neurobrick_schema::{Column, ColumnValues, Unit};

use super::config::{UnitTableMap, called};
use super::{Files, MappingFile, labels};
use crate::error::{IngestError, did_you_mean};

/// What `units` columns of these names fill, beside the columns of their own.
const REGION: &str = "region";
const DEPTH: &str = "depth_um";
const QUALITY: &str = "quality";

impl Files<'_> {
    /// Fills in what the table says of the units, and returns its other columns with what the card should say.
    pub(super) fn unit_table(
        &self,
        map: &UnitTableMap,
        units: &mut [Unit],
    ) -> Result<(Vec<Column>, String), IngestError> {
        let (rows, step) = self.rows_of_units(map, units)?;
        let mut columns = Vec::new();
        for (i, column) in map.columns.iter().enumerate() {
            if map.columns[..i].iter().any(|before| before.name == column.name) {
                return Err(IngestError::DatasetFile {
                    path: self.path(MappingFile::NAME),
                    detail: format!(
                        "two columns of units are called {:?}; name one of them otherwise",
                        column.name
                    ),
                });
            }
            let values = self.column_values(column)?;
            let found = length(&values);
            let n_rows = rows.n_rows.unwrap_or(units.len());
            if found != n_rows {
                return Err(IngestError::Disagreement {
                    path: self.path(&column.file),
                    what: format!("number of rows of the unit column {:?}", column.name),
                    found: found.to_string(),
                    expected: match rows.n_rows {
                        Some(n_rows) => format!("{n_rows}, one for each of ids"),
                        None => format!("{n_rows}, one for each unit; ids says which unit a row is of"),
                    },
                });
            }
            let values = picked(values, &rows.of_unit);
            match (column.name.as_str(), values) {
                (REGION, ColumnValues::Text(regions)) => {
                    for (unit, region) in units.iter_mut().zip(regions) {
                        let said = region.filter(|region| !region.trim().is_empty());
                        unit.region = said.unwrap_or_else(|| Unit::UNKNOWN_REGION.into());
                    }
                }
                (name @ (DEPTH | QUALITY), values @ (ColumnValues::Float(_) | ColumnValues::Int(_))) => {
                    for (unit, value) in units.iter_mut().zip(numbers(values)) {
                        if name == DEPTH { unit.depth_um = value } else { unit.quality = value }
                    }
                }
                (REGION | DEPTH | QUALITY | "id", values) => {
                    let expected = match column.name.as_str() {
                        REGION => "text",
                        "id" => "another name, since ids names the units",
                        _ => "numbers",
                    };
                    return Err(IngestError::WrongType {
                        path: self.path(&column.file),
                        part: format!("unit column {:?}", column.name),
                        found: kind(&values).to_owned(),
                        expected,
                    });
                }
                (_, values) => columns.push(Column {
                    name: column.name.clone(),
                    unit: column.unit.clone(),
                    description: column.description.clone(),
                    values,
                }),
            }
        }
        Ok((columns, step))
    }

    /// Which row is of which unit, and what the card should say.
    fn rows_of_units(&self, map: &UnitTableMap, units: &[Unit]) -> Result<(Rows, String), IngestError> {
        let Some(ids) = &map.ids else {
            return Ok((Rows { n_rows: None, of_unit: (0..units.len()).collect() }, String::new()));
        };
        let path = self.path(&ids.file);
        let part = format!("ids of units {}", called(ids.array.as_ref()));
        let found = labels(self.one(&ids.file, ids.array.as_ref())?.squeezed().values);
        let found = found.map_err(|found| IngestError::WrongType {
            path: path.clone(),
            part: part.clone(),
            found: found.to_owned(),
            expected: "whole numbers or text",
        })?;
        let mut row_of = BTreeMap::new();
        for (row, id) in found.iter().enumerate() {
            if let Some(before) = row_of.insert(id.as_str(), row) {
                let detail = format!("unit {id:?} has row {before} already; leave one of them out");
                return Err(IngestError::bad_value(&path, &part, row, detail));
            }
        }
        let row = |unit: &Unit| {
            row_of.get(unit.id.as_str()).copied().ok_or_else(|| IngestError::DatasetFile {
                path: self.path(MappingFile::NAME),
                detail: format!(
                    "unit {:?} has spikes and no row among the ids of {}{}",
                    unit.id,
                    ids.file,
                    did_you_mean(&unit.id, &row_of.keys().copied().collect::<Vec<_>>())
                ),
            })
        };
        let of_unit = units.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        let used: BTreeSet<&usize> = of_unit.iter().collect();
        let step = match found.len() - used.len() {
            0 => String::new(),
            n => format!("; {n} rows of {} are of units without spikes and were left out", ids.file),
        };
        Ok((Rows { n_rows: Some(found.len()), of_unit }, step))
    }
}

/// Rows of a table of units.
struct Rows {
    /// Number of all rows, where ids say it.
    n_rows: Option<usize>,
    of_unit: Vec<usize>,
}

/// Number of values of a column.
pub(super) fn length(values: &ColumnValues) -> usize {
    match values {
        ColumnValues::Float(values) => values.len(),
        ColumnValues::Int(values) => values.len(),
        ColumnValues::Text(values) => values.len(),
        ColumnValues::Bool(values) => values.len(),
        ColumnValues::List(list) => list.len(),
    }
}

fn kind(values: &ColumnValues) -> &'static str {
    match values {
        ColumnValues::Float(_) => "real numbers",
        ColumnValues::Int(_) => "whole numbers",
        ColumnValues::Text(_) => "text",
        ColumnValues::Bool(_) => "truth values",
        ColumnValues::List(_) => "lists",
    }
}

/// The values of these rows, all of which there are.
pub(super) fn picked(values: ColumnValues, rows: &[usize]) -> ColumnValues {
    fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
        rows.iter().map(|&row| values[row].clone()).collect()
    }
    match values {
        ColumnValues::Float(values) => ColumnValues::Float(pick(&values, rows)),
        ColumnValues::Int(values) => ColumnValues::Int(pick(&values, rows)),
        ColumnValues::Text(values) => ColumnValues::Text(pick(&values, rows)),
        ColumnValues::Bool(values) => ColumnValues::Bool(pick(&values, rows)),
        // No array of these files becomes lists.
        lists @ ColumnValues::List(_) => lists,
    }
}

fn numbers(values: ColumnValues) -> Vec<Option<f64>> {
    match values {
        ColumnValues::Float(values) => values,
        ColumnValues::Int(values) => {
            values.into_iter().map(|value| value.map(|value| value as f64)).collect()
        }
        _ => Vec::new(),
    }
}
