//! Which groups of a file are tables, and the tables of intervals among them.

use std::path::Path;

use neurobrick_schema::{Interval, IntervalTable, Trials};

use super::table::DynamicTable;
use super::{Notes, PartNames, RECORDED};
use crate::dataset_file::DatasetFile;
use crate::error::{IngestError, did_you_mean};
use crate::hdf5::H5File;
use crate::single_file::plain_name;

const TRIALS: &str = "/intervals/trials";
const INTERVALS: &str = "/intervals/";
const START: &str = "start_time";
const STOP: &str = "stop_time";

/// The tables of a file by what they hold.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) units: Option<usize>,
    pub(super) electrodes: Option<usize>,
    pub(super) intervals: Vec<usize>,
    /// Tables of other things, and second tables of units.
    pub(super) others: Vec<usize>,
}

impl Tables {
    pub(super) fn find(file: &H5File) -> Result<Self, IngestError> {
        let mut tables = Self {
            units: file.find("units"),
            electrodes: file.find("general/extracellular_ephys/electrodes"),
            ..Self::default()
        };
        for (node, group) in file.nodes() {
            if !group.is_group() || [tables.units, tables.electrodes].contains(&Some(node)) {
                continue;
            }
            let is_table = file.texts(node, "colnames")?.is_some();
            if !is_table {
                continue;
            }
            let is_recorded = RECORDED.iter().any(|part| group.path.starts_with(&format!("{part}/")));
            if group.child(START).is_some() && group.child(STOP).is_some() && is_recorded {
                tables.intervals.push(node);
            } else if tables.units.is_none() && file.text(node, "neurodata_type")?.as_deref() == Some("Units")
            {
                tables.units = Some(node);
            } else {
                tables.others.push(node);
            }
        }
        Ok(tables)
    }

    /// Whether a group is one of the tables.
    pub(super) fn contains(&self, node: usize) -> bool {
        [self.units, self.electrodes].contains(&Some(node))
            || self.intervals.contains(&node)
            || self.others.contains(&node)
    }
}

/// The trials, and all other tables of intervals.
///
/// `dataset.toml` in the folder `root` may say which table the trials are. A trial with impossible bounds refuses the file; another table with such a row is named and left out.
pub(super) fn read_intervals(
    file: &H5File,
    tables: &Tables,
    root: &Path,
    dataset: Option<&DatasetFile>,
    notes: &mut Notes,
) -> Result<(Trials, Vec<IntervalTable>), IngestError> {
    let chosen = dataset.and_then(|dataset| dataset.trials.as_deref());
    let (mut trials, mut intervals) = (Trials::default(), Vec::new());
    let mut names = PartNames::default();
    let mut is_found = chosen.is_none();
    for &node in &tables.intervals {
        let path = file.node(node).path.as_str();
        let Some(table) = DynamicTable::open(file, node)? else { continue };
        let inside = path.strip_prefix(INTERVALS).unwrap_or(path);
        let is_trials = match chosen {
            Some(name) => plain_name(inside) == name || inside == name,
            None => path == TRIALS,
        };
        let bounds = bounds(&table)?;
        if let Some((row, detail)) = bounds.iter().enumerate().find_map(|(row, b)| Some((row, fault(*b)?))) {
            if is_trials {
                return Err(IngestError::bad_value(&file.path, path, row, detail));
            }
            notes.leave(path, format!("row {row} {detail}"));
            continue;
        }
        let columns = table.columns(&[START, STOP], notes)?;
        if is_trials {
            let columns = match dataset {
                Some(dataset) => columns.into_iter().map(|column| dataset.describe(column)).collect(),
                None => columns,
            };
            trials = Trials::new(bounds, columns).map_err(IngestError::invalid(&file.path))?;
            is_found = true;
            if let Some(name) = chosen {
                notes.steps.push(format!("{name} taken as the trials"));
            }
            continue;
        }
        let rows = Trials::new(bounds, columns).map_err(IngestError::invalid(&file.path))?;
        intervals.push(IntervalTable { name: names.take(inside), description: table.description()?, rows });
    }
    if let (false, Some(name)) = (is_found, chosen) {
        let found: Vec<&str> = intervals.iter().map(|table| table.name.as_str()).collect();
        let has = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        let detail = format!(
            "it asks for trials = {name:?}, a table of intervals that {} lacks{}; that file has {has}",
            file.path.display(),
            did_you_mean(name, &found)
        );
        return Err(IngestError::DatasetFile { path: root.join(DatasetFile::NAME), detail });
    }
    Ok((trials, intervals))
}

fn bounds(table: &DynamicTable<'_>) -> Result<Vec<Interval>, IngestError> {
    let (starts, stops) = (table.floats(START)?, table.floats(STOP)?);
    Ok(starts.into_iter().zip(stops).map(|(start_s, end_s)| Interval { start_s, end_s }).collect())
}

fn fault(interval: Interval) -> Option<String> {
    let Interval { start_s, end_s } = interval;
    Interval::new(start_s, end_s).is_err().then(|| {
        format!("runs from {start_s} s to {end_s} s; both must be known and the start not after the end")
    })
}
