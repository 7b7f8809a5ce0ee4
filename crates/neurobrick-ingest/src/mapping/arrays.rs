//! Arrays out of files of any format that `mapping.toml` may name, by the ending of the file.

use std::path::Path;

use neurobrick_schema::ColumnValues;

use super::config::ArrayName;
use crate::array::{Array, Values, rows_of_text};
use crate::csv_table::CsvTable;
use crate::error::IngestError;
use crate::hdf5::H5File;
use crate::mat5::{self, MatValue};
use crate::npy::{read_npy, read_npz};
use crate::parquet_table::ParquetTable;
use crate::text_table;

/// First bytes of an HDF5 file after the header that MATLAB puts before it.
const HDF5_MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
const USER_BLOCK: usize = 512;

/// Reads an array, or all arrays that a path with stars leads to, each with the positions that the stars stand for.
pub(super) fn load(
    root: &Path,
    file: &str,
    array: Option<&ArrayName>,
) -> Result<Vec<(Vec<usize>, Array)>, IngestError> {
    let path = root.join(file);
    if !path.is_file() {
        return Err(IngestError::MissingFile {
            path,
            needed_for: "mapping.toml names it; put it there or correct the name",
        });
    }
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let one = |array: Array| Ok(vec![(Vec::new(), array)]);
    match (ending.as_deref(), array) {
        (Some("npy"), None) => one(read_npy(&path)?.to_array()?),
        (Some("npz"), Some(ArrayName::Name(name))) => {
            let [array] = read_npz(&path, [name.as_str()])?;
            one(array.to_array()?)
        }
        (Some("csv"), Some(ArrayName::Name(name))) => {
            column(&path, name, CsvTable::read(&path)?.values(name, None)?)
        }
        (Some("csv" | "tsv" | "txt"), Some(ArrayName::Position(position))) => {
            one(text_table::column(&path, *position)?)
        }
        (Some("parquet" | "pqt"), Some(ArrayName::Name(name))) => {
            let table = ParquetTable::read(&path, "mapping.toml names it")?;
            let values = table.values(name)?;
            let unread = || unsupported(&path, name, "a type of column that is not read".into());
            column(&path, name, values.ok_or_else(unread)?)
        }
        (Some("mat"), Some(ArrayName::Name(name))) => matlab(&path, name),
        _ => {
            let detail = format!(
                "file {file:?}: give array = \"name\" for npz, mat, csv and parquet, array = <position> for text tables \
                 without a header (csv, tsv, txt), and none for npy"
            );
            Err(IngestError::DatasetFile { path: root.join(super::MappingFile::NAME), detail })
        }
    }
}

fn unsupported(path: &Path, part: &str, reason: String) -> IngestError {
    IngestError::Unsupported { path: path.to_path_buf(), part: part.to_owned(), reason }
}

/// A column of a table; a missing number is NaN, and nothing else may be missing.
fn column(path: &Path, name: &str, values: ColumnValues) -> Result<Vec<(Vec<usize>, Array)>, IngestError> {
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
    Ok(vec![(Vec::new(), Array { shape: vec![n_rows], values })])
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

fn matlab(path: &Path, name: &str) -> Result<Vec<(Vec<usize>, Array)>, IngestError> {
    let bad_path = || {
        let detail = "it is not a path such as name, name{1}{*}.field or name(2).field, counted from 1";
        IngestError::malformed(path, format!("array {name:?}"), detail)
    };
    let (variable, steps) = parse(name).ok_or_else(bad_path)?;
    let mut start = vec![0; USER_BLOCK + HDF5_MAGIC.len()];
    let is_hdf5 = std::fs::File::open(path)
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start))
        .is_ok_and(|()| start.ends_with(HDF5_MAGIC) || start.starts_with(HDF5_MAGIC));
    let mut found = Vec::new();
    if is_hdf5 {
        let file = H5File::open(path, &[])?;
        let missing = || IngestError::MissingArray {
            path: path.to_path_buf(),
            array: variable.clone(),
            found: file.node(0).children.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let node = file.find(&variable).ok_or_else(missing)?;
        v73(&file, node, &steps, &mut Vec::new(), &mut found)?;
    } else {
        let value = mat5::read(path, &variable)?;
        v5(path, name, &value, &steps, &mut Vec::new(), &mut found)?;
    }
    Ok(found)
}

fn no_such(path: &Path, name: &str, step: &Step) -> IngestError {
    let step = match step {
        Step::Item(Some(index)) => format!("item {}", index + 1),
        Step::Item(None) => "items".into(),
        Step::Field(field) => format!("field {field:?}"),
    };
    IngestError::malformed(path, format!("array {name:?}"), format!("there is no {step}"))
}

/// Follows the steps; behind a star, what has no such part (an empty cell) is passed over.
fn v5(
    path: &Path,
    name: &str,
    value: &MatValue,
    steps: &[Step],
    stars: &mut Vec<usize>,
    found: &mut Vec<(Vec<usize>, Array)>,
) -> Result<(), IngestError> {
    let Some((step, rest)) = steps.split_first() else {
        return match value {
            MatValue::Array(array) => {
                found.push((stars.clone(), array.clone().squeezed()));
                Ok(())
            }
            MatValue::Other(what) => Err(unsupported(path, name, (*what).to_owned())),
            _ => Err(unsupported(path, name, "cells or structures; lead on with {1} or .field".into())),
        };
    };
    let is_starred = !stars.is_empty();
    match (step, value) {
        (Step::Item(None), MatValue::Cell(items)) => {
            for (index, item) in items.iter().enumerate() {
                stars.push(index + 1);
                v5(path, name, item, rest, stars, found)?;
                stars.pop();
            }
            Ok(())
        }
        (Step::Item(Some(index)), MatValue::Cell(items)) if *index < items.len() => {
            v5(path, name, &items[*index], rest, stars, found)
        }
        (Step::Field(_), MatValue::Struct(_, all)) if all.len() == 1 => {
            field(path, name, value, 0, steps, stars, found)
        }
        (Step::Item(Some(index)), MatValue::Struct(_, all)) if *index < all.len() => {
            field(path, name, value, *index, rest, stars, found)
        }
        (Step::Item(None), MatValue::Struct(_, all)) => {
            for index in 0..all.len() {
                stars.push(index + 1);
                field(path, name, value, index, rest, stars, found)?;
                stars.pop();
            }
            Ok(())
        }
        (_, MatValue::Array(array)) if is_starred && array.shape.contains(&0) => Ok(()),
        _ => Err(no_such(path, name, step)),
    }
}

/// The field of structure `index` that the first step names.
fn field(
    path: &Path,
    name: &str,
    value: &MatValue,
    index: usize,
    steps: &[Step],
    stars: &mut Vec<usize>,
    found: &mut Vec<(Vec<usize>, Array)>,
) -> Result<(), IngestError> {
    let (MatValue::Struct(names, all), Some((Step::Field(field), rest))) = (value, steps.split_first())
    else {
        return Err(unsupported(path, name, "structures; lead on with .field".into()));
    };
    match names.iter().position(|name| name == field) {
        Some(position) => v5(path, name, &all[index][position], rest, stars, found),
        None => Err(no_such(path, name, &steps[0])),
    }
}

/// The same in a file of version 7.3, where cells are references and structures are groups.
fn v73(
    file: &H5File,
    node: usize,
    steps: &[Step],
    stars: &mut Vec<usize>,
    found: &mut Vec<(Vec<usize>, Array)>,
) -> Result<(), IngestError> {
    let part = file.node(node).path.clone();
    let is_empty = file.number(node, "MATLAB_empty")?.is_some_and(|empty| empty > 0.0);
    let Some((step, rest)) = steps.split_first() else {
        if !file.is_dataset(node) {
            return Err(unsupported(&file.path, &part, "a structure; lead on with .field".into()));
        }
        let mut array = file.read(node).map_err(|unread| unread.required(file, node))?;
        if is_empty {
            array = Array { shape: vec![0], values: Values::Float(Vec::new()) };
        }
        // The axes lie in reverse, so their values are in MATLAB's own order.
        array.shape.reverse();
        let array = Array::from_column_order(array.shape, array.values);
        let is_text = file.text(node, "MATLAB_class")?.as_deref() == Some("char");
        let array = if is_text {
            text(array).map_err(|detail| IngestError::malformed(&file.path, part, detail))?
        } else {
            array.squeezed()
        };
        found.push((stars.clone(), array));
        return Ok(());
    };
    if let Step::Field(field) = step {
        let child = file.node(node).child(field).filter(|_| file.node(node).is_group());
        let child = child.ok_or_else(|| no_such(&file.path, &part, step));
        return match child {
            Err(_) if is_empty && !stars.is_empty() => Ok(()),
            child => v73(file, child?, rest, stars, found),
        };
    }
    if is_empty && !stars.is_empty() {
        return Ok(());
    }
    let cells = file.is_dataset(node);
    let array =
        if cells { Some(file.read(node).map_err(|unread| unread.required(file, node))?) } else { None };
    let Some(Array { values: Values::Reference(cells), .. }) = array else {
        return Err(unsupported(
            &file.path,
            &part,
            "no cells; arrays of structures are read from -v7 only".into(),
        ));
    };
    for (index, &address) in cells.iter().enumerate() {
        let Step::Item(wanted) = step else { continue };
        if wanted.is_some_and(|wanted| wanted != index) {
            continue;
        }
        let Some(cell) = file.at(address) else {
            return Err(IngestError::malformed(
                &file.path,
                part,
                format!("cell {} leads nowhere", index + 1),
            ));
        };
        if wanted.is_none() {
            stars.push(index + 1);
        }
        v73(file, cell, rest, stars, found)?;
        if wanted.is_none() {
            stars.pop();
        }
    }
    match step {
        Step::Item(Some(index)) if *index >= cells.len() => Err(no_such(&file.path, &part, step)),
        _ => Ok(()),
    }
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
