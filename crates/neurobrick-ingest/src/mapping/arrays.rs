//! Arrays out of files of any format that `mapping.toml` may name, by the ending of the file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use neurobrick_schema::ColumnValues;

use super::config::ArrayName;
use crate::array::{Array, Values, rows_of_text};
use crate::csv_table::CsvTable;
use crate::error::{IngestError, did_you_mean};
use crate::hdf5::H5File;
use crate::mat5::{self, MatValue};
use crate::npy::{read_npy, read_npz};
use crate::parquet_table::ParquetTable;
use crate::{text_table, trodes, unread};

/// First bytes of an HDF5 file after the header that MATLAB puts before it.
const HDF5_MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
const USER_BLOCK: usize = 512;

/// An array with what the stars of its path stand for.
pub(super) type Starred = (Vec<String>, Array);

/// Reads an array, or all arrays that a path with stars leads to, each with what the stars stand for: positions of cells, or texts in names of
/// columns.
pub(super) fn load(root: &Path, file: &str, array: Option<&ArrayName>) -> Result<Vec<Starred>, IngestError> {
    let path = root.join(file);
    if !path.is_file() {
        return Err(IngestError::MissingFile {
            path,
            needed_for: "mapping.toml names it; put it there or correct the name",
        });
    }
    let ending = ending(&path);
    let one = |array: Array| Ok(vec![(Vec::new(), array)]);
    match (ending.as_deref(), array) {
        (Some("npy"), None) => one(read_npy(&path)?.to_array()?),
        (Some("npy"), Some(ArrayName::Position(position))) => {
            one(column_of(&path, *position, read_npy(&path)?.to_array()?)?)
        }
        (Some("npz"), Some(ArrayName::Name(name))) => {
            let [array] = read_npz(&path, [name.as_str()])?;
            one(array.to_array()?)
        }
        (Some("csv"), Some(ArrayName::Name(name))) => {
            let table = CsvTable::read(&path)?;
            starred(&path, name, table.names(), |name| column(&path, name, table.values(name, None)?))
        }
        (Some("csv" | "tsv" | "txt"), Some(ArrayName::Position(position))) => {
            one(text_table::column(&path, *position)?)
        }
        (Some("parquet" | "pqt"), Some(ArrayName::Name(name))) => {
            let table = ParquetTable::read(&path, "mapping.toml names it")?;
            starred(&path, name, table.names(), |name| {
                let unread = || unsupported(&path, name, "a type of column that is not read".into());
                column(&path, name, table.values(name)?.ok_or_else(unread)?)
            })
        }
        (Some("mat"), Some(ArrayName::Name(name))) => matlab(&path, name),
        (_, Some(ArrayName::Name(name))) if is_trodes(&path) => one(trodes::field(&path, name)?),
        _ => {
            if let Some(error) = unread::first_below(&path)? {
                return Err(error);
            }
            let detail = format!(
                "file {file:?}: give array = \"name\" for npz, mat, csv, parquet and records of Trodes, array = <position> for text tables \
                 without a header (csv, tsv, txt) and for a column of an npy with two axes, and none for a whole npy"
            );
            Err(IngestError::DatasetFile { path: root.join(super::MappingFile::NAME), detail })
        }
    }
}

/// The ending of a file without that of gzip, which text tables may be packed with.
fn ending(path: &Path) -> Option<String> {
    let ending = |path: &Path| Some(path.extension()?.to_string_lossy().to_ascii_lowercase());
    let of_packed = || ending(Path::new(path.file_stem()?));
    match ending(path).as_deref() {
        Some("gz") => of_packed().filter(|ending| ["csv", "tsv", "txt"].contains(&ending.as_str())),
        _ => ending(path),
    }
}

fn is_trodes(path: &Path) -> bool {
    let mut head = [0; 16];
    let is_read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    is_read.is_ok() && trodes::is_one(&head)
}

/// The columns of a table that a name with a star stands for, each with the text in place of the star.
fn starred(
    path: &Path,
    name: &str,
    names: &[String],
    read: impl Fn(&str) -> Result<Array, IngestError>,
) -> Result<Vec<Starred>, IngestError> {
    let Some((front, back)) = name.split_once('*').filter(|_| !names.iter().any(|other| other == name))
    else {
        return Ok(vec![(Vec::new(), read(name)?)]);
    };
    let text = |name: &String| Some(name.strip_prefix(front)?.strip_suffix(back)?.to_owned());
    let mut found = Vec::new();
    for name in names {
        if let Some(text) = text(name) {
            found.push((vec![text], read(name)?));
        }
    }
    if found.is_empty() { Err(IngestError::missing_column(path, name, names)) } else { Ok(found) }
}

/// A column of a table of numbers.
fn column_of(path: &Path, position: usize, array: Array) -> Result<Array, IngestError> {
    match array.shape[..] {
        [n_rows, n_columns] if position < n_columns => {
            let places: Vec<usize> = (0..n_rows).map(|row| row * n_columns + position).collect();
            Ok(Array { shape: vec![n_rows], values: array.values.pick(&places) })
        }
        _ => Err(IngestError::WrongShape {
            path: path.to_path_buf(),
            part: format!("the array, of which column {position} is asked for"),
            found: array.shape,
            expected: "rows and columns, which are counted from zero".into(),
        }),
    }
}

/// Samples of a signal in a text table with a header, where that is what the file is: missing ones are NaN. A star in the name
/// stands for several columns, each with the text in its place.
pub(super) fn samples_of_text(
    root: &Path,
    file: &str,
    name: &str,
) -> Result<Option<Vec<Starred>>, IngestError> {
    let path = root.join(file);
    if ending(&path).as_deref() != Some("csv") || !path.is_file() {
        return Ok(None);
    }
    let table = CsvTable::read(&path)?;
    let samples = |name: &str| {
        let values = table.samples(name)?;
        Ok(Array { shape: vec![table.len()], values })
    };
    starred(&path, name, table.names(), samples).map(Some)
}

fn unsupported(path: &Path, part: &str, reason: String) -> IngestError {
    IngestError::Unsupported { path: path.to_path_buf(), part: part.to_owned(), reason }
}

/// Whole numbers up to here are real numbers as well.
const EXACT: u64 = 1 << 53;

/// A column of a table; a missing number is NaN, which makes real numbers of whole ones, and nothing else may be missing.
fn column(path: &Path, name: &str, values: ColumnValues) -> Result<Array, IngestError> {
    fn complete<T>(path: &Path, name: &str, values: Vec<Option<T>>) -> Result<Vec<T>, IngestError> {
        let fill = |(row, value): (usize, Option<T>)| {
            let detail = "missing; complete it at the source or leave the row out";
            value.ok_or_else(|| IngestError::bad_value(path, &format!("column {name:?}"), row, detail))
        };
        values.into_iter().enumerate().map(fill).collect()
    }
    let values = match values {
        ColumnValues::Float(values) => {
            Values::Float(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
        }
        ColumnValues::Int(values)
            if values.contains(&None) && values.iter().flatten().all(|v| v.unsigned_abs() <= EXACT) =>
        {
            Values::Float(values.into_iter().map(|value| value.map_or(f64::NAN, |v| v as f64)).collect())
        }
        ColumnValues::Int(values) => Values::Int(complete(path, name, values)?),
        ColumnValues::Bool(values) => Values::Bool(complete(path, name, values)?),
        ColumnValues::Text(values) => Values::Text(complete(path, name, values)?),
        ColumnValues::List(_) => return Err(unsupported(path, name, "lists".into())),
    };
    let n_rows = match &values {
        Values::Float(values) => values.len(),
        Values::Int(values) => values.len(),
        Values::Bool(values) => values.len(),
        Values::Text(values) => values.len(),
        _ => 0,
    };
    Ok(Array { shape: vec![n_rows], values })
}

/// One step of a path such as `spikes{1}{*}.time` after the name of the variable.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A cell or structure by its position in column order, from zero; `None` for every one.
    Item(Option<usize>),
    Field(String),
}

/// Name of the variable and the steps from there.
fn parse(text: &str) -> Option<(String, Vec<Step>)> {
    let end = text.find(['{', '(', '.']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut steps = Vec::new();
    while let Some(first) = rest.chars().next() {
        if first == '.' {
            let after = &rest[1..];
            let end = after.find(['{', '(', '.']).unwrap_or(after.len());
            steps.push(Step::Field(Some(after[..end].to_owned()).filter(|field| !field.is_empty())?));
            rest = &after[end..];
        } else {
            let close = if first == '{' { '}' } else { ')' };
            let (inside, after) = rest[1..].split_once(close)?;
            steps.push(Step::Item(match inside.trim() {
                "*" | ":" => None,
                number => Some(number.parse::<usize>().ok()?.checked_sub(1)?),
            }));
            rest = after;
        }
    }
    (!name.is_empty()).then(|| (name.to_owned(), steps))
}

fn matlab(path: &Path, name: &str) -> Result<Vec<Starred>, IngestError> {
    let bad_path = || {
        let file = path.file_name().unwrap_or_default().display();
        let detail = format!(
            "array {name:?} of {file} is not a path such as name, name{{1}}{{*}}.field or name(2).field, counted from 1"
        );
        IngestError::DatasetFile { path: path.with_file_name(super::MappingFile::NAME), detail }
    };
    let (variable, steps) = parse(name).ok_or_else(bad_path)?;
    let mut start = vec![0; USER_BLOCK + HDF5_MAGIC.len()];
    let is_hdf5 = File::open(path)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| start.ends_with(HDF5_MAGIC) || start.starts_with(HDF5_MAGIC));
    let mut walk = Walk { path, asked: name, stars: Vec::new(), found: Vec::new() };
    if is_hdf5 {
        let file = H5File::open(path, &[])?;
        let missing = || {
            // What cells refer to lies in groups with names such as `#refs#`.
            let names = file.node(0).children.iter().map(|(name, _)| name.clone());
            let names: Vec<String> = names.filter(|name| !name.starts_with('#')).collect();
            IngestError::missing_array(path, &variable, &names)
        };
        let node = file.find(&variable).ok_or_else(missing)?;
        walk.v73(&file, &variable, node, &steps)?;
    } else {
        walk.v5(&variable, &mat5::read(path, &variable)?, &steps)?;
    }
    Ok(walk.found)
}

/// Follows a path through a file. `at` is always the part of it that was followed, with numbers in place of stars.
struct Walk<'a> {
    path: &'a Path,
    /// The whole path.
    asked: &'a str,
    /// What all stars on the way stand for, counted from one.
    stars: Vec<String>,
    found: Vec<Starred>,
}

impl Walk<'_> {
    /// The path leads on, and what lies `at` does not.
    fn no_such(&self, at: &str, step: &Step, what: &str, fields: &[&str]) -> IngestError {
        let (lacks, near) = match step {
            Step::Item(Some(index)) => (format!("no item {}", index + 1), String::new()),
            Step::Item(None) => ("no items".into(), String::new()),
            Step::Field(field) if what.ends_with(" cell") => {
                (format!("no field {field:?}"), ": one of its items comes first, {1}, or all, {*}".into())
            }
            Step::Field(field) => (format!("no field {field:?}"), did_you_mean(field, fields)),
        };
        IngestError::PathDoesNotFit {
            path: self.path.to_path_buf(),
            array: self.asked.to_owned(),
            detail: format!("{at} is {what} and has {lacks}{near}"),
        }
    }

    /// The path ends, and what lies `at` its end is no array.
    fn ends_early(&self, at: &str, what: &str) -> IngestError {
        IngestError::PathDoesNotFit {
            path: self.path.to_path_buf(),
            array: self.asked.to_owned(),
            detail: format!("{at} is {what}; lead on with {{1}}, {{*}} or .field"),
        }
    }

    /// Follows the steps; behind a star, what has no such part (an empty cell) is passed over.
    fn v5(&mut self, at: &str, value: &MatValue, steps: &[Step]) -> Result<(), IngestError> {
        let Some((step, rest)) = steps.split_first() else {
            return match value {
                MatValue::Array(array) => {
                    self.found.push((self.stars.clone(), array.clone()));
                    Ok(())
                }
                MatValue::Other(what) => Err(unsupported(self.path, at, (*what).to_owned())),
                _ => Err(self.ends_early(at, &value.in_words())),
            };
        };
        match (step, value) {
            (Step::Item(None), MatValue::Cell(_, items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.stars.push((index + 1).to_string());
                    self.v5(&format!("{at}{{{}}}", index + 1), item, rest)?;
                    self.stars.pop();
                }
                Ok(())
            }
            (Step::Item(Some(index)), MatValue::Cell(_, items)) if *index < items.len() => {
                self.v5(&format!("{at}{{{}}}", index + 1), &items[*index], rest)
            }
            (Step::Field(_), MatValue::Struct(_, _, all)) if all.len() == 1 => {
                self.field(at, value, 0, steps)
            }
            (Step::Item(Some(index)), MatValue::Struct(_, _, all)) if *index < all.len() => {
                self.field(&format!("{at}({})", index + 1), value, *index, rest)
            }
            (Step::Item(None), MatValue::Struct(_, _, all)) => {
                for index in 0..all.len() {
                    self.stars.push((index + 1).to_string());
                    self.field(&format!("{at}({})", index + 1), value, index, rest)?;
                    self.stars.pop();
                }
                Ok(())
            }
            (_, MatValue::Array(array)) if !self.stars.is_empty() && array.shape.contains(&0) => Ok(()),
            _ => Err(self.no_such(at, step, &value.in_words(), &[])),
        }
    }

    /// The field of structure `index` that the first step names.
    fn field(&mut self, at: &str, value: &MatValue, index: usize, steps: &[Step]) -> Result<(), IngestError> {
        let (MatValue::Struct(_, names, all), Some((step, rest))) = (value, steps.split_first()) else {
            return Err(self.ends_early(at, "a struct"));
        };
        let Step::Field(field) = step else {
            return Err(self.no_such(at, step, "one struct", &[]));
        };
        let Some(position) = names.iter().position(|name| name == field) else {
            let fields: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(self.no_such(at, step, &value.in_words(), &fields));
        };
        self.v5(&format!("{at}.{field}"), &all[index][position], rest)
    }

    /// The same in a file of version 7.3, where cells are references and structures are groups.
    fn v73(&mut self, file: &H5File, at: &str, node: usize, steps: &[Step]) -> Result<(), IngestError> {
        let is_empty = file.number(node, "MATLAB_empty")?.is_some_and(|empty| empty > 0.0);
        let is_passed_over = is_empty && !self.stars.is_empty();
        let Some((step, rest)) = steps.split_first() else {
            return self.v73_array(file, at, node, is_empty);
        };
        if let Step::Field(field) = step {
            let child = file.node(node).child(field).filter(|_| file.node(node).is_group());
            return match child {
                None if is_passed_over => Ok(()),
                None => {
                    let fields: Vec<&str> =
                        file.node(node).children.iter().map(|(name, _)| name.as_str()).collect();
                    Err(self.no_such(at, step, &v73_in_words(file, node)?, &fields))
                }
                Some(child) => self.v73(file, &format!("{at}.{field}"), child, rest),
            };
        }
        if is_passed_over {
            return Ok(());
        }
        if file.node(node).is_group() {
            let reason = "no cells; arrays of structures are read from -v7 only";
            return Err(unsupported(self.path, at, reason.into()));
        }
        let array = file.read(node).map_err(|unread| unread.required(file, node))?;
        let Array { values: Values::Reference(cells), .. } = array else {
            return Err(self.no_such(at, step, &v73_in_words(file, node)?, &[]));
        };
        for (index, &address) in cells.iter().enumerate() {
            let Step::Item(wanted) = step else { continue };
            if wanted.is_some_and(|wanted| wanted != index) {
                continue;
            }
            let at = format!("{at}{{{}}}", index + 1);
            let Some(cell) = file.at(address) else {
                return Err(IngestError::malformed(&file.path, at, "the cell leads nowhere"));
            };
            if wanted.is_none() {
                self.stars.push((index + 1).to_string());
            }
            self.v73(file, &at, cell, rest)?;
            if wanted.is_none() {
                self.stars.pop();
            }
        }
        match step {
            Step::Item(Some(index)) if *index >= cells.len() => {
                Err(self.no_such(at, step, &v73_in_words(file, node)?, &[]))
            }
            _ => Ok(()),
        }
    }

    /// The array at the end of a path.
    fn v73_array(&mut self, file: &H5File, at: &str, node: usize, is_empty: bool) -> Result<(), IngestError> {
        if !file.is_dataset(node) {
            return Err(self.ends_early(at, &v73_in_words(file, node)?));
        }
        let mut array = file.read(node).map_err(|unread| unread.required(file, node))?;
        if matches!(array.values, Values::Reference(_)) {
            return Err(self.ends_early(at, &v73_in_words(file, node)?));
        }
        if is_empty {
            array = Array { shape: vec![0], values: Values::Float(Vec::new()) };
        }
        // The axes lie in reverse, so their values are in MATLAB's own order.
        array.shape.reverse();
        let array = Array::from_column_order(array.shape, array.values);
        let is_text = file.text(node, "MATLAB_class")?.as_deref() == Some("char");
        let array = if is_text {
            text(array).map_err(|detail| IngestError::malformed(&file.path, at, detail))?
        } else {
            array
        };
        self.found.push((self.stars.clone(), array));
        Ok(())
    }
}

/// What a node is, such as `a 1x13 cell`.
fn v73_in_words(file: &H5File, node: usize) -> Result<String, IngestError> {
    if file.node(node).is_group() {
        let fields: Vec<&str> = file.node(node).children.iter().map(|(name, _)| name.as_str()).collect();
        return Ok(format!("a struct with the fields {}", fields.join(", ")));
    }
    let mut shape = file.shape(node)?;
    shape.reverse();
    let class = file.text(node, "MATLAB_class")?;
    Ok(match class.as_deref() {
        Some(class @ ("cell" | "struct")) => format!("a {} {class}", mat5::by(&shape)),
        class => format!("a {} array of {}", mat5::by(&shape), class.unwrap_or("values")),
    })
}

/// Character codes as one text per row.
fn text(array: Array) -> Result<Array, String> {
    let Values::Int(codes) = &array.values else { return Ok(array) };
    let texts = rows_of_text(&array.shape, codes)?;
    Ok(Array { shape: vec![texts.len()], values: Values::Text(texts) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_parsed() {
        let steps =
            vec![Step::Item(Some(0)), Step::Item(None), Step::Field("time".into()), Step::Item(Some(1))];
        assert_eq!(parse("spikes{1}{*}.time(2)"), Some(("spikes".into(), steps)));
        assert_eq!(parse("x"), Some(("x".into(), vec![])));
        for bad in ["", "{1}", "x{0}", "x{1", "x{a}", "x.", "x..y", "x{1}y"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
