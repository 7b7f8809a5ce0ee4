//! Text tables with a header line; columns are typed by `dataset.toml` or by how their cells look.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use neurobrick_schema::ColumnValues;

use crate::array::Values;
use crate::dataset_file::CellType;
use crate::error::IngestError;
use crate::text_file::read_bytes;

/// A CSV file in memory.
#[derive(Debug)]
pub(crate) struct CsvTable {
    path: PathBuf,
    names: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

impl CsvTable {
    /// Reads a whole file; every row must have as many cells as the header.
    pub(crate) fn read(path: &Path) -> Result<Self, IngestError> {
        let malformed = |error: csv::Error| IngestError::malformed(path, "the table", error);
        if !path.is_file() {
            return Err(IngestError::MissingFile {
                path: path.to_path_buf(),
                needed_for: "every session needs its own; export it again or remove the session",
            });
        }
        let bytes = read_bytes(path)?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&bytes[..]);
        let names: Vec<String> = reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(IngestError::malformed(path, "the header", format!("column {twice:?} occurs twice")));
        }
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        Ok(Self { path: path.to_path_buf(), names, rows })
    }

    /// Names of the columns, in order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows without the header.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Position of a column that must be there.
    fn position(&self, column: &str) -> Result<usize, IngestError> {
        self.names
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| IngestError::missing_column(&self.path, column, &self.names))
    }

    /// Cells of a column that must be there.
    pub(crate) fn cells(&self, column: &str) -> Result<impl Iterator<Item = &str>, IngestError> {
        let position = self.position(column)?;
        // The reader has checked that all rows are equally long.
        Ok(self.rows.iter().map(move |row| row.get(position).unwrap_or("")))
    }

    /// A cell of a column that must hold a number.
    pub(crate) fn number<T: std::str::FromStr>(&self, column: &str, row: usize) -> Result<T, IngestError> {
        let cell = self.cells(column)?.nth(row).unwrap_or("");
        cell.parse().map_err(|_| self.bad_cell(column, row, cell, "a number"))
    }

    fn bad_cell(&self, column: &str, row: usize, cell: &str, expected: &str) -> IngestError {
        let detail = format!(
            "{cell:?} is not {expected}; correct it, or leave the cell empty when the value is missing"
        );
        IngestError::bad_value(
            &self.path,
            &format!("column {column:?}, line {}", self.line(row)),
            row,
            detail,
        )
    }

    /// Line of the file on which a row begins, the header on the first: where an editor shows it.
    pub(crate) fn line(&self, row: usize) -> u64 {
        self.rows.get(row).and_then(|record| record.position()).map_or(row as u64 + 2, csv::Position::line)
    }

    /// The values of a column; an empty cell is missing.
    ///
    /// Without a declared type the column holds the first of `int`, `float`, `bool` that fits all cells, else text.
    pub(crate) fn values(
        &self,
        column: &str,
        declared: Option<CellType>,
    ) -> Result<ColumnValues, IngestError> {
        let cells: Vec<Option<&str>> =
            self.cells(column)?.map(|cell| Some(cell).filter(|cell| !cell.is_empty())).collect();
        let kind = declared.unwrap_or_else(|| cell_type(&cells));
        match kind {
            CellType::Int => {
                self.parsed(column, &cells, "a whole number", |cell| cell.parse().ok()).map(ColumnValues::Int)
            }
            CellType::Float => {
                self.parsed(column, &cells, "a finite number", parse_finite).map(ColumnValues::Float)
            }
            CellType::Bool => {
                self.parsed(column, &cells, "true or false", parse_bool).map(ColumnValues::Bool)
            }
            CellType::Text => {
                Ok(ColumnValues::Text(cells.iter().map(|cell| cell.map(str::to_owned)).collect()))
            }
        }
    }

    /// The samples of a signal: whole numbers where all cells are, else real ones, where an empty cell and the word NaN are
    /// a missing sample.
    pub(crate) fn samples(&self, column: &str) -> Result<Values, IngestError> {
        let cells: Vec<&str> = self.cells(column)?.collect();
        if let Ok(values) = cells.iter().map(|cell| cell.parse()).collect::<Result<Vec<i64>, _>>() {
            return Ok(Values::Int(values));
        }
        let sample = |(row, cell): (usize, &&str)| {
            if cell.is_empty() || cell.eq_ignore_ascii_case("nan") {
                return Ok(f64::NAN);
            }
            parse_finite(cell).ok_or_else(|| self.bad_cell(column, row, cell, "a finite number or NaN"))
        };
        cells.iter().enumerate().map(sample).collect::<Result<_, _>>().map(Values::Float)
    }

    fn parsed<T>(
        &self,
        column: &str,
        cells: &[Option<&str>],
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<Option<T>>, IngestError> {
        let parse_one = |(row, cell): (usize, Option<&str>)| match cell {
            Some(cell) => parse(cell).map(Some).ok_or_else(|| self.bad_cell(column, row, cell, expected)),
            None => Ok(None),
        };
        cells.iter().copied().enumerate().map(parse_one).collect()
    }
}

fn parse_finite(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|value: &f64| value.is_finite())
}

fn parse_bool(cell: &str) -> Option<bool> {
    match cell {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn cell_type(cells: &[Option<&str>]) -> CellType {
    let all = |fits: fn(&str) -> bool| cells.iter().flatten().all(|cell| fits(cell));
    if cells.iter().all(Option::is_none) {
        CellType::Text
    } else if all(|cell| cell.parse::<i64>().is_ok()) {
        CellType::Int
    // A word such as NaN counts as a number here, so that it is refused by name and not taken for a label.
    } else if all(|cell| cell.parse::<f64>().is_ok()) {
        CellType::Float
    } else if all(|cell| parse_bool(cell).is_some()) {
        CellType::Bool
    } else {
        CellType::Text
    }
}
