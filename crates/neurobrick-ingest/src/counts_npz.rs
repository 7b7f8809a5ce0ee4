//! Reader for folders of binned counts: per session one NPZ archive and two CSV tables.
//!
//! ```text
//! dataset.toml           source, citation, license, species, consent, meaning of columns
//! sessions.csv           file, mouse, and optionally trials, units, bins, total_spikes as a check
//! <session>.npz          counts: integers [trials, units, bins]; bin_time: float [trials, bins], start of each bin in s
//! <session>_trials.csv   one row per trial; a column `trial` must count from zero and is not kept
//! <session>_units.csv    unit, brain_area
//! ```

use std::fs;
use std::path::Path;

use neurobrick_schema::{
    Activity, BinnedCounts, Column, Interval, Recording, SessionId, SubjectId, Trials, Unit,
};

use crate::csv_table::CsvTable;
use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::npy::{NpyArray, read_npz};
use crate::reader::{Reader, Source};

const SESSIONS_FILE: &str = "sessions.csv";
/// Bins may lie this far off the grid: a small part of one sample of a 30 kHz system.
const GRID_TOLERANCE_S: f64 = 1e-6;

/// Folders of `<session>.npz` with `<session>_trials.csv`, `<session>_units.csv` and `sessions.csv`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountsNpz;

impl Reader for CountsNpz {
    fn format(&self) -> &'static str {
        "counts_npz"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(path.join(SESSIONS_FILE).is_file() || !stems(path)?.is_empty())
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let mut stems = stems(path)?;
        // What sessions.csv promises is a session as well: read() then says which file is missing.
        if path.join(SESSIONS_FILE).is_file() {
            let table = CsvTable::read(&path.join(SESSIONS_FILE))?;
            stems.extend(table.cells("file")?.map(str::to_owned));
        }
        stems.sort();
        stems.dedup();
        let source = |stem: String| {
            let main = path.join(format!("{stem}.npz"));
            Ok(Source {
                session: SessionId::new(stem.as_str()).map_err(IngestError::invalid(&main))?,
                root: path.to_path_buf(),
                main,
                files: vec![
                    DatasetFile::NAME.to_owned(),
                    SESSIONS_FILE.to_owned(),
                    format!("{stem}.npz"),
                    format!("{stem}_trials.csv"),
                    format!("{stem}_units.csv"),
                ],
            })
        };
        stems.into_iter().map(source).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let dataset = DatasetFile::read(&source.root, Place::Beside, &[])?;
        dataset.refuse_trials(&source.root, "the trials are those of <session>_trials.csv")?;
        dataset.refuse_names(
            &source.root,
            "session names are the names of the NPZ files, subjects stand in sessions.csv",
        )?;
        let npz_path = &source.main;
        if !npz_path.is_file() {
            return Err(IngestError::MissingFile {
                path: npz_path.clone(),
                needed_for: "sessions.csv lists it; fetch it again or remove its row",
            });
        }
        let [counts, bin_time] = read_npz(npz_path, ["counts", "bin_time"])?;
        let axes = counts.axes::<3>("[trials, units, bins]")?;
        for (length, what) in axes.iter().zip(["trials", "units", "bins"]) {
            if *length == 0 {
                return Err(IngestError::Empty {
                    path: npz_path.clone(),
                    what: format!("axis {what} of counts"),
                });
            }
        }
        let [n_trials, n_units, n_bins] = axes;
        let (bin_size_s, intervals) = grid(npz_path, &bin_time, n_trials, n_bins)?;
        let (trials, trials_step) = read_trials(source, &dataset, intervals)?;
        let (units, units_step) = read_units(source, n_units)?;
        let values = counts.to_unsigned::<u16>()?;
        let counts = BinnedCounts::new(bin_size_s, n_trials, n_units, n_bins, values)
            .map_err(IngestError::invalid(npz_path))?;
        let subject = check_session_row(source, &counts)?;
        let step = format!("read by neurobrick from counts_npz{trials_step}{units_step}");
        let info = dataset.info(source.session.clone(), subject, source.hash_files()?, step);
        Recording::new(info, units, Activity::Counts(counts), trials).map_err(IngestError::invalid(npz_path))
    }
}

/// Names without ending of the NPZ archives of a folder.
fn stems(dir: &Path) -> Result<Vec<String>, IngestError> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut stems = Vec::new();
    for entry in fs::read_dir(dir).map_err(IngestError::io("list", dir))? {
        let name = entry.map_err(IngestError::io("list", dir))?.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".npz")) {
            stems.push(stem.to_owned());
        }
    }
    Ok(stems)
}

/// Bin size and trial intervals from the start of every bin, `[trials, bins]` in seconds.
///
/// The bin size is the mean step of all trials; it is rounded to a nanosecond where that moves no bin by more than a
/// nanosecond, to take the rounding of the stored times out again. Every bin must lie on the grid within a microsecond.
fn grid(
    path: &Path,
    bin_time: &NpyArray<'_>,
    n_trials: usize,
    n_bins: usize,
) -> Result<(f64, Vec<Interval>), IngestError> {
    let expected = format!("[{n_trials}, {n_bins}] as counts has");
    if bin_time.axes::<2>(&expected)? != [n_trials, n_bins] || n_bins < 2 {
        let expected = if n_bins < 2 { "at least two bins, to know their size".to_owned() } else { expected };
        let found = bin_time.shape.clone();
        return Err(IngestError::WrongShape {
            path: path.to_path_buf(),
            part: "array \"bin_time\"".into(),
            found,
            expected,
        });
    }
    let times_s = bin_time.to_f64()?;
    let n_steps = (n_trials * (n_bins - 1)) as f64;
    let mean_step_s = times_s.chunks(n_bins).map(|times| times[n_bins - 1] - times[0]).sum::<f64>() / n_steps;
    let round_step_s = (mean_step_s * 1e9).round() / 1e9;
    let is_round = (round_step_s - mean_step_s).abs() * n_bins as f64 <= 1e-9;
    let bin_size_s = if is_round { round_step_s } else { mean_step_s };
    for (index, time_s) in times_s.iter().enumerate() {
        let start_s = times_s[index - index % n_bins];
        let expected_s = start_s + (index % n_bins) as f64 * bin_size_s;
        // Also catches a mean step that is zero, negative or infinite.
        if !((time_s - expected_s).abs() <= GRID_TOLERANCE_S && bin_size_s > 0.0) {
            let detail = format!(
                "{time_s} s is not on the grid of {bin_size_s} s from {start_s} s; bins must be regular"
            );
            return Err(IngestError::bad_value(path, "array \"bin_time\"", index, detail));
        }
    }
    let intervals = times_s.iter().step_by(n_bins);
    let intervals =
        intervals.map(|&start_s| Interval { start_s, end_s: start_s + n_bins as f64 * bin_size_s });
    Ok((bin_size_s, intervals.collect()))
}

fn check_length(path: &Path, what: &str, found: usize, expected: usize) -> Result<(), IngestError> {
    if found == expected {
        return Ok(());
    }
    Err(IngestError::Disagreement {
        path: path.to_path_buf(),
        what: what.into(),
        found: found.to_string(),
        expected: expected.to_string(),
    })
}

fn read_trials(
    source: &Source,
    dataset: &DatasetFile,
    intervals: Vec<Interval>,
) -> Result<(Trials, &'static str), IngestError> {
    let path = source.root.join(format!("{}_trials.csv", source.session));
    let table = CsvTable::read(&path)?;
    check_length(&path, "number of trials", table.len(), intervals.len())?;
    let has_index = table.names().iter().any(|name| name == "trial");
    if has_index {
        for row in 0..table.len() {
            let trial: usize = table.number("trial", row)?;
            if trial != row {
                let detail =
                    format!("{trial} where {row} is due; keep the trials in the order of the counts");
                let part = format!("column \"trial\", line {}", table.line(row));
                return Err(IngestError::bad_value(&path, &part, row, detail));
            }
        }
    }
    let columns = table
        .names()
        .iter()
        .filter(|name| *name != "trial")
        .map(|name| Ok(dataset.column(name, table.values(name, dataset.note(name).r#type)?)))
        .collect::<Result<Vec<Column>, IngestError>>()?;
    dataset.check_notes(&source.root, &columns)?;
    let trials = Trials::new(intervals, columns).map_err(IngestError::invalid(&path))?;
    Ok((trials, if has_index { "; trial numbers are positions" } else { "" }))
}

fn read_units(source: &Source, n_units: usize) -> Result<(Vec<Unit>, String), IngestError> {
    let path = source.root.join(format!("{}_units.csv", source.session));
    let table = CsvTable::read(&path)?;
    let mut units = Vec::new();
    for (index, (id, region)) in table.cells("unit")?.zip(table.cells("brain_area")?).enumerate() {
        if region.is_empty() || id.is_empty() {
            let detail = "empty; name the unit and its area, root where the atlas assigns none";
            let part = format!("columns \"unit\", \"brain_area\", line {}", table.line(index));
            return Err(IngestError::bad_value(&path, &part, index, detail));
        }
        units.push(Unit { id: id.to_owned(), region: region.to_owned(), depth_um: None, quality: None });
    }
    check_length(&path, "number of units", units.len(), n_units)?;
    let known = ["unit", "brain_area"];
    let left: Vec<&str> =
        table.names().iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
    let step =
        if left.is_empty() { String::new() } else { format!("; unit columns not kept: {}", left.join(", ")) };
    Ok((units, step))
}

/// Finds the session in `sessions.csv`, compares what it promises, and returns the subject.
fn check_session_row(source: &Source, counts: &BinnedCounts) -> Result<SubjectId, IngestError> {
    let path = source.root.join(SESSIONS_FILE);
    let table = CsvTable::read(&path)?;
    let row = table.cells("file")?.position(|file| file == source.session.as_str());
    let Some(row) = row else {
        return Err(IngestError::Disagreement {
            path,
            what: format!("the list of sessions without {}", source.session),
            found: "incomplete".into(),
            expected: "there is such a session".into(),
        });
    };
    let sizes = [
        ("trials", counts.n_trials() as u64),
        ("units", counts.n_units() as u64),
        ("bins", counts.n_bins() as u64),
        ("total_spikes", counts.n_spikes()),
    ];
    for (column, expected) in sizes {
        if !table.names().iter().any(|name| name == column) {
            continue;
        }
        let found: u64 = table.number(column, row)?;
        if found != expected {
            return Err(IngestError::Disagreement {
                path,
                what: format!("{column} of session {}", source.session),
                found: found.to_string(),
                expected: expected.to_string(),
            });
        }
    }
    let subject = table.cells("mouse")?.nth(row).unwrap_or("");
    SubjectId::new(subject).map_err(IngestError::invalid(&path))
}
