//! Reader for what an observer has scored with BORIS: events exported as CSV, with a header block about the observation.
//!
//! Behaviors with START and STOP become the table of intervals `behavior`, one of POINT intervals of no length; columns
//! are `subject`, `behavior`, `category` and `comment`. What the header block says is kept as metadata, without the
//! folders that the videos lay in.

use std::collections::BTreeMap;
use std::path::Path;

use neurobrick_schema::{Column, ColumnValues, Interval, IntervalTable, Recording, Trials};

use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::measured::Measured;
use crate::reader::{Reader, Source};
use crate::single_file::{files, source_of};
use crate::text_file::first_line;

/// Columns that are read, as BORIS calls them; without the first four nothing can be read.
const COLUMNS: [&str; 6] = ["Time", "Subject", "Behavior", "Status", "Behavioral category", "Comment"];
const N_NEEDED: usize = 4;
/// How keys of the header block begin whose values are paths of videos.
const VIDEO_KEYS: [&str; 2] = ["Player", "Media file"];

/// Files called `*.csv` that start with `Observation id`, each a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boris;

impl Reader for Boris {
    fn format(&self) -> &'static str {
        "boris"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(files(path, &["csv"])?.iter().any(|file| is_of_this_kind(file)))
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let files = files(path, &["csv"])?.into_iter().filter(|file| is_of_this_kind(file));
        files.map(|file| source_of(path, file)).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let path = &source.main;
        let dataset = DatasetFile::read(&source.root, Place::BesideOrAbove, &[])?;
        let (metadata, rows) = read_rows(path)?;
        let bouts = bouts(path, &rows)?;
        let text = |field: fn(&Row) -> &str| {
            let value = |row: &&Row| Some(field(row).to_owned()).filter(|text| !text.is_empty());
            ColumnValues::Text(bouts.iter().map(|(_, row)| row).map(value).collect())
        };
        let column = |name: &str, values| Column { name: name.into(), unit: None, description: None, values };
        let columns = vec![
            column("subject", text(|row| &row.cells[1])),
            column("behavior", text(|row| &row.cells[2])),
            column("category", text(|row| &row.cells[4])),
            column("comment", text(|row| &row.cells[5])),
        ];
        let bounds = bouts.iter().map(|(interval, _)| *interval).collect();
        let table = Trials::new(bounds, columns).map_err(IngestError::invalid(path))?;
        let step = "read by neurobrick from BORIS CSV".to_owned();
        let intervals = vec![IntervalTable { name: "behavior".into(), description: None, rows: table }];
        Measured { metadata, intervals, ..Measured::default() }.into_recording(source, &dataset, step)
    }
}

fn is_of_this_kind(file: &Path) -> bool {
    first_line(file).is_some_and(|line| line.starts_with("Observation id,"))
}

/// An event: its cells in the order of [`COLUMNS`].
struct Row {
    number: usize,
    time_s: f64,
    cells: [String; 6],
}

/// A value of the header block; of a video only the file name, since its path tells of the observer's machine.
fn without_folder<'a>(key: &str, value: &'a str) -> &'a str {
    if VIDEO_KEYS.iter().any(|video| key.starts_with(video)) {
        value.rsplit(['/', '\\']).next().unwrap_or(value)
    } else {
        value
    }
}

/// What the header block says, repeated keys joined by semicolons, and the events below it.
fn read_rows(path: &Path) -> Result<(BTreeMap<String, String>, Vec<Row>), IngestError> {
    let malformed = |detail: String| IngestError::malformed(path, "the table", detail);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| malformed(error.to_string()))?;
    let (mut metadata, mut rows) = (BTreeMap::new(), Vec::new());
    let mut positions: Option<Vec<Option<usize>>> = None;
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| malformed(error.to_string()))?;
        let row = index + 1;
        let Some(positions) = &positions else {
            let found = COLUMNS.map(|name| record.iter().position(|cell| cell == name));
            if found[..N_NEEDED].iter().all(Option::is_some) {
                positions = Some(found.to_vec());
                continue;
            }
            let (key, value) = (record.get(0).unwrap_or_default(), record.get(1).unwrap_or_default());
            if !key.is_empty() && !value.is_empty() {
                let told = metadata.entry(key.to_owned()).or_insert_with(String::new);
                if !told.is_empty() {
                    told.push_str("; ");
                }
                told.push_str(without_folder(key, value));
            }
            continue;
        };
        if record.iter().all(str::is_empty) {
            continue;
        }
        let cell =
            |position: &Option<usize>| position.and_then(|p| record.get(p)).unwrap_or_default().to_owned();
        let cells: Vec<String> = positions.iter().map(cell).collect();
        let cells: [String; 6] = cells.try_into().map_err(|_| malformed("columns were lost".into()))?;
        let time_s = cells[0].parse().ok().filter(|time: &f64| time.is_finite());
        let time_s = time_s.ok_or_else(|| malformed(format!("row {row}: {:?} is not a time", cells[0])))?;
        rows.push(Row { number: row, time_s, cells });
    }
    if positions.is_none() {
        return Err(malformed(format!("no line names the columns {}", COLUMNS[..N_NEEDED].join(", "))));
    }
    Ok((metadata, rows))
}

/// Pairs every START with the next STOP of the same subject and behavior; sorted by start.
fn bouts<'a>(path: &Path, rows: &'a [Row]) -> Result<Vec<(Interval, &'a Row)>, IngestError> {
    let fault = |row: &Row, detail: &str| {
        let [_, subject, behavior, ..] = &row.cells;
        let detail =
            format!("row {}: {behavior:?} of {subject:?} {detail}; correct it at the source", row.number);
        IngestError::malformed(path, "the events", detail)
    };
    let mut open: BTreeMap<(&str, &str), &Row> = BTreeMap::new();
    let mut bouts = Vec::new();
    for row in rows {
        let key = (row.cells[1].as_str(), row.cells[2].as_str());
        match row.cells[3].as_str() {
            "START" => {
                if open.insert(key, row).is_some() {
                    return Err(fault(row, "starts again before it has stopped"));
                }
            }
            "STOP" => {
                let start = open.remove(&key).ok_or_else(|| fault(row, "stops without a start"))?;
                let interval = Interval::new(start.time_s, row.time_s);
                bouts.push((interval.map_err(|_| fault(row, "stops before it starts"))?, start));
            }
            "POINT" => bouts.push((Interval { start_s: row.time_s, end_s: row.time_s }, row)),
            _ => return Err(fault(row, "is none of START, STOP and POINT")),
        }
    }
    if let Some(row) = open.into_values().next() {
        return Err(fault(row, "never stops"));
    }
    bouts.sort_by(|a, b| a.0.start_s.total_cmp(&b.0.start_s));
    Ok(bouts)
}
