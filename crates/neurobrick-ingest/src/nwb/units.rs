//! Units: spike times, regions and every further column; and the electrodes they were recorded on.

use std::collections::HashSet;

use neurobrick_schema::{Column, ColumnValues, SchemaError, Spikes, Table, Unit};

use super::Notes;
use super::table::DynamicTable;
use super::tables::Tables;
use crate::array::Array;
use crate::error::IngestError;
use crate::hdf5::{H5File, Unread};

const SPIKE_TIMES: &str = "spike_times";
const SPIKE_TIMES_INDEX: &str = "spike_times_index";
/// Names of unit columns that say the region, where electrodes and groups do not.
const REGION_COLUMNS: [&str; 4] = ["location", "brain_region", "brain_area", "region"];
/// Columns of the schema's own units table.
const OWN_COLUMNS: [&str; 4] = ["id", "region", "depth_um", "quality"];

/// The electrodes with what is needed of them to place units.
#[derive(Debug, Default)]
pub(super) struct Electrodes {
    pub(super) table: Table,
    /// Region of every electrode, where it is known.
    locations: Vec<Option<String>>,
}

/// The units of a file.
pub(super) struct Read {
    pub(super) units: Vec<Unit>,
    pub(super) columns: Vec<Column>,
    pub(super) spikes: Spikes,
}

/// A region that says something.
fn known(location: &str) -> Option<String> {
    let location = location.trim();
    let says_nothing = location.is_empty()
        || ["unknown", "none", "n/a", "na", "nan"].contains(&location.to_ascii_lowercase().as_str());
    (!says_nothing).then(|| location.to_owned())
}

pub(super) fn read_electrodes(
    file: &H5File,
    tables: &Tables,
    notes: &mut Notes,
) -> Result<Electrodes, IngestError> {
    let table = match tables.electrodes {
        Some(node) => DynamicTable::open(file, node)?,
        None => None,
    };
    let Some(table) = table else {
        return Ok(Electrodes::default());
    };
    let columns = table.columns(&[], notes)?;
    let location = columns.iter().find(|column| column.name == "location");
    let locations = match location.map(|column| &column.values) {
        Some(ColumnValues::Text(texts)) => texts.iter().map(|text| known(text.as_deref()?)).collect(),
        _ => vec![None; table.len()],
    };
    let n_rows = if columns.is_empty() { 0 } else { table.len() };
    let table = Table::new(n_rows, columns).map_err(IngestError::invalid(&file.path))?;
    Ok(Electrodes { table, locations })
}

pub(super) fn read(
    file: &H5File,
    tables: &Tables,
    electrodes: &Electrodes,
    notes: &mut Notes,
) -> Result<Read, IngestError> {
    let table = match tables.units {
        Some(node) => DynamicTable::open(file, node)?,
        None => None,
    };
    let Some(table) = table.filter(|table| table.len() > 0) else {
        return Ok(Read { units: Vec::new(), columns: Vec::new(), spikes: Spikes::default() });
    };
    let spikes = read_spikes(file, &table, notes)?;
    let mut columns = table.columns(&[SPIKE_TIMES], notes)?;
    let ids = unit_ids(&table, &mut columns, notes);
    let regions = regions(file, &table, &columns, electrodes, notes)?;
    let depths = take_floats(&mut columns, "depth_um", table.len());
    let qualities = take_floats(&mut columns, "quality", table.len());
    for column in &mut columns {
        if OWN_COLUMNS.contains(&column.name.as_str()) {
            let name = format!("nwb.{}", column.name);
            notes.steps.push(format!("unit column {} called {name}", column.name));
            column.name = name;
        }
    }
    let units = ids.into_iter().zip(regions).zip(depths).zip(qualities);
    let units = units
        .map(|(((id, region), depth_um), quality)| Unit {
            id,
            region: region.unwrap_or_else(|| Unit::UNKNOWN_REGION.to_owned()),
            depth_um,
            quality,
        })
        .collect();
    Ok(Read { units, columns, spikes })
}

/// A fill value is no spike: what it stands for was lost or never fetched.
fn refuse_filled(table: &DynamicTable<'_>, column: &str, node: usize) -> Result<(), IngestError> {
    match table.file.filled().get(&node) {
        Some(n_missing) => Err(table.malformed(column, &format!("{n_missing} of its chunks are missing"))),
        None => Ok(()),
    }
}

fn read_spikes(file: &H5File, table: &DynamicTable<'_>, notes: &mut Notes) -> Result<Spikes, IngestError> {
    let Some(node) = table.child(SPIKE_TIMES) else {
        notes.steps.push("the units have no spike times".into());
        return Ok(Spikes::default());
    };
    let required = |unread: Unread| unread.required(file, node);
    let times_s = if let Some(times_s) = file.read_times(node).map_err(required)? {
        times_s
    } else {
        let Array { shape, values } = file.read(node).map_err(required)?;
        let kind = values.kind();
        let times_s = values.into_f64().filter(|_| shape.len() == 1);
        let wrong = || table.malformed(SPIKE_TIMES, &format!("{kind} of shape {shape:?}"));
        times_s.ok_or_else(wrong)?.into()
    };
    refuse_filled(table, SPIKE_TIMES, node)?;
    let ends = match table.child(SPIKE_TIMES_INDEX) {
        Some(index) => {
            let ends = table.ends(SPIKE_TIMES_INDEX, index, times_s.len())?;
            refuse_filled(table, SPIKE_TIMES_INDEX, index)?;
            ends
        }
        None if table.len() == 1 => vec![times_s.len()],
        None => return Err(table.malformed(SPIKE_TIMES, "no index says which unit each spike belongs to")),
    };
    if ends.len() != table.len() {
        let detail = format!("{} rows in a table of {} units", ends.len(), table.len());
        return Err(table.malformed(SPIKE_TIMES_INDEX, &detail));
    }
    let (spikes, n_unsorted) = Spikes::from_trains(times_s, &ends).map_err(|error| match error {
        SchemaError::NonFinite { index, value, .. } => IngestError::bad_value(
            &file.path,
            &format!("{}/{SPIKE_TIMES}", table.path()),
            index,
            format!("{value} is not a time; remove that spike at the source"),
        ),
        other => IngestError::invalid(&file.path)(other),
    })?;
    if n_unsorted > 0 {
        notes.steps.push(format!("spikes of {n_unsorted} units did not ascend in time and were sorted"));
    }
    Ok(spikes)
}

/// Names of the units: their row names, or the positions of the rows where names repeat.
fn unit_ids(table: &DynamicTable<'_>, columns: &mut Vec<Column>, notes: &mut Notes) -> Vec<String> {
    let position = columns.iter().position(|column| column.name == "id");
    if let Some(position) = position
        && let ColumnValues::Int(ids) = &columns[position].values
    {
        let names: Vec<String> = ids.iter().flatten().map(i64::to_string).collect();
        let distinct: HashSet<&String> = names.iter().collect();
        if distinct.len() == table.len() {
            columns.remove(position);
            return names;
        }
        notes.steps.push("names of units repeat, so units are called by their position".into());
    }
    (0..table.len()).map(|row| row.to_string()).collect()
}

/// Takes a column of plain numbers out of the columns; missing everywhere when there is none.
fn take_floats(columns: &mut Vec<Column>, name: &str, n_rows: usize) -> Vec<Option<f64>> {
    let position = columns.iter().position(|column| {
        column.name == name && matches!(column.values, ColumnValues::Float(_) | ColumnValues::Int(_))
    });
    match position.map(|position| columns.remove(position).values) {
        Some(ColumnValues::Float(values)) => values,
        Some(ColumnValues::Int(values)) => values.into_iter().map(|v| v.map(|v| v as f64)).collect(),
        _ => vec![None; n_rows],
    }
}

/// Region of every unit: that of its electrodes where they agree, else of its group, else a column of the table.
fn regions(
    file: &H5File,
    table: &DynamicTable<'_>,
    columns: &[Column],
    electrodes: &Electrodes,
    notes: &mut Notes,
) -> Result<Vec<Option<String>>, IngestError> {
    let column = |name: &str| columns.iter().find(|column| column.name == name).map(|column| &column.values);
    let mut regions = vec![None; table.len()];
    let mut sources = Vec::new();
    let mut fill = |source: &str, found: Vec<Option<String>>| {
        let mut is_used = false;
        for (region, found) in regions.iter_mut().zip(found) {
            is_used |= region.is_none() && found.is_some();
            *region = region.take().or(found);
        }
        if is_used {
            sources.push(source.to_owned());
        }
    };
    if let Some(values) = column("electrodes") {
        let rows = electrode_rows(values, table)?;
        fill("electrodes", rows.iter().map(|rows| common(rows, &electrodes.locations)).collect());
    }
    if let Some(ColumnValues::Text(paths)) = column("electrode_group") {
        let mut found = Vec::new();
        for path in paths {
            let group = path.as_deref().and_then(|path| file.find(path));
            found.push(match group {
                Some(group) => file.text(group, "location")?.and_then(|location| known(&location)),
                None => None,
            });
        }
        fill("electrode groups", found);
    }
    for name in REGION_COLUMNS {
        if let Some(ColumnValues::Text(texts)) = column(name) {
            fill(&format!("unit column {name}"), texts.iter().map(|text| known(text.as_deref()?)).collect());
        }
    }
    if !sources.is_empty() {
        notes.steps.push(format!("regions of units from {}", sources.join(", then ")));
    }
    let n_unknown = regions.iter().filter(|region| region.is_none()).count();
    if n_unknown > 0 {
        notes.steps.push(format!("regions of {n_unknown} units unknown or not the same for all electrodes"));
    }
    Ok(regions)
}

/// Rows of the electrodes table of every unit.
fn electrode_rows(values: &ColumnValues, table: &DynamicTable<'_>) -> Result<Vec<Vec<usize>>, IngestError> {
    let row = |row: &Option<i64>| row.and_then(|row| usize::try_from(row).ok());
    let wrong = || table.malformed("electrodes", "rows of electrodes that are not whole numbers from zero");
    match values {
        ColumnValues::Int(rows) => rows.iter().map(|r| Ok(vec![row(r).ok_or_else(wrong)?])).collect(),
        ColumnValues::List(list) => {
            let ColumnValues::Int(rows) = list.items() else { return Err(wrong()) };
            let rows = rows.iter().map(|r| row(r).ok_or_else(wrong)).collect::<Result<Vec<_>, _>>()?;
            Ok((0..list.len()).map(|unit| rows[list.range(unit)].to_vec()).collect())
        }
        _ => Err(wrong()),
    }
}

/// The region that all electrodes of a unit lie in.
fn common(rows: &[usize], locations: &[Option<String>]) -> Option<String> {
    let mut found = rows.iter().map(|&row| locations.get(row).cloned().flatten());
    let first = found.next()??;
    found.all(|other| other.as_ref() == Some(&first)).then_some(first)
}
