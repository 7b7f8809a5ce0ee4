//! Reader for sessions in the ALF layout of the International Brain Laboratory.
//!
//! ```text
//! dataset.toml                       beside the session or in a folder above it
//! alf/<probe>/spikes.times.npy       float seconds, ascending
//! alf/<probe>/spikes.clusters.npy    integers, one per spike
//! alf/<probe>/clusters.metrics.pqt   cluster_id, acronym; depths (um along the probe) and label where known
//! alf/_ibl_trials.table.pqt          intervals_0 and intervals_1 (or trial_start and trial_end) in s, other columns
//! alf/<object>.<attribute>.npy       optional: wheel, licks, motion energy, wheel moves and other objects over time
//! sessions.pqt, datasets.pqt         optional, in a folder above: cache tables of ONE, by which lengths are checked
//! ```
//!
//! All probes of a session become one recording; a unit is called `<probe>/<cluster_id>`. Names of session and subject
//! are those of `dataset.toml`, else those of the folders `<subject>/<date>/<number>`. A session without probes has behavior
//! only; it may then also be without trials.

mod objects;
mod one_cache;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_schema::{
    Activity, Column, Interval, Recording, RecordingParts, SessionId, Spikes, SubjectId, Table, Trials, Unit,
};

use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::npy::read_npy;
use crate::parquet_table::ParquetTable;
use crate::reader::{Reader, Source};

const ALF_DIR: &str = "alf";
const TIMES_FILE: &str = "spikes.times.npy";
const CLUSTERS_FILE: &str = "spikes.clusters.npy";
const METRICS_FILE: &str = "clusters.metrics.pqt";
const TRIALS_FILE: &str = "_ibl_trials.table.pqt";
/// Folders between a given path and a session: `<lab>/Subjects/<subject>/<date>/<number>` and some above.
const MAX_SESSION_DEPTH: usize = 7;
/// Folders between `alf` and the spikes: `<probe>/<sorter>`.
const MAX_PROBE_DEPTH: usize = 2;
/// Names that the two ends of a trial go by; the first pair that a table has is taken.
const INTERVAL_COLUMNS: [[&str; 2]; 2] = [["intervals_0", "intervals_1"], ["trial_start", "trial_end"]];
/// What `dataset.toml` must say where folders do not.
const NAME_LINES: [&str; 2] = [
    "session = \"\"  # name of this recording, such as day-1",
    "subject = \"\"  # name of the animal or person",
];

/// Session folders with a folder `alf`: `alf/<probe>/spikes.times.npy` and `alf/_ibl_trials.table.pqt`, or behavior only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alf;

impl Reader for Alf {
    fn format(&self) -> &'static str {
        "alf"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(!folders_with(path, ALF_DIR, MAX_SESSION_DEPTH)?.is_empty())
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let dirs = folders_with(path, ALF_DIR, MAX_SESSION_DEPTH)?;
        dirs.into_iter().map(|dir| source_of(path, dir)).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let dataset = DatasetFile::read(&source.root, Place::BesideOrAbove, &[])?;
        dataset.refuse_trials(&source.root, "the trials of ALF are its table _ibl_trials")?;
        let (_, subject) = names(&source.root, &source.main, &dataset)?;
        let alf = source.main.join(ALF_DIR);
        let probes = folders_with(&alf, TIMES_FILE, MAX_PROBE_DEPTH)?;
        if let Some(probe) = probe_without_times(&alf, &probes)? {
            let path = probe.join(TIMES_FILE);
            return Err(IngestError::MissingFile {
                path,
                needed_for: "a probe whose clusters are there needs their spikes; fetch them or leave the probe's folder out",
            });
        }
        let known = one_cache::known(&source.main)?;
        known.check(&source.root, &source.main, &source.files)?;
        let mut units = Vec::new();
        let (mut times_s, mut unit_of) = (Vec::new(), Vec::new());
        let mut left = Vec::new();
        for probe in &probes {
            let index_of = read_clusters(&alf, probe, &mut units, &mut left)?;
            read_spikes(probe, &index_of, &mut times_s, &mut unit_of)?;
        }
        // Each probe is sorted by itself, which read_spikes has checked; this merges them.
        let spikes = Spikes::from_unsorted(times_s, unit_of).map_err(IngestError::invalid(&alf))?;
        let objects = objects::find(&alf)?;
        // Without spikes there may be anything else that was recorded.
        let has_trials = !probes.is_empty() || objects.is_empty() || alf.join(TRIALS_FILE).is_file();
        let trials = if has_trials { read_trials(source, &dataset, &mut left)? } else { Trials::default() };
        let (signals, intervals) = objects::read(&objects, &mut left)?;
        let mut step = String::from("read by neurobrick from alf");
        if probes.is_empty() {
            step += ", where no probe has spikes: behavior only";
        }
        if !left.is_empty() {
            step = format!("{step}; not kept: {}", left.join(", "));
        }
        let info = dataset.info(source.session.clone(), subject, source.hash_files()?, step);
        Recording::from_parts(RecordingParts {
            info,
            metadata: known.metadata,
            units,
            unit_columns: Vec::new(),
            electrodes: Table::default(),
            activity: Activity::Spikes(spikes),
            trials,
            intervals,
            signals,
        })
        .map_err(IngestError::invalid(&source.main))
    }
}

/// A folder that has clusters and no spikes, in itself, above or below: they were not fetched.
fn probe_without_times(alf: &Path, probes: &[PathBuf]) -> Result<Option<PathBuf>, IngestError> {
    let has_spikes = |folder: &PathBuf| probes.iter().any(|p| p.starts_with(folder) || folder.starts_with(p));
    for name in [CLUSTERS_FILE, METRICS_FILE] {
        let found = folders_with(alf, name, MAX_PROBE_DEPTH)?;
        if let Some(probe) = found.into_iter().find(|folder| !has_spikes(folder)) {
            return Ok(Some(probe));
        }
    }
    Ok(None)
}

/// All folders below `path`, itself included, that hold an entry `name`; sorted. Does not look below a hit.
fn folders_with(path: &Path, name: &str, depth: usize) -> Result<Vec<PathBuf>, IngestError> {
    if path.join(name).exists() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    if depth == 0 || !path.is_dir() {
        return Ok(found);
    }
    for entry in fs::read_dir(path).map_err(IngestError::io("list", path))? {
        let entry = entry.map_err(IngestError::io("list", path))?;
        // A link could lead in a circle, hence the kind of the entry itself.
        let is_dir = entry.file_type().map_err(IngestError::io("list", path))?.is_dir();
        if is_dir && !entry.file_name().to_string_lossy().starts_with('.') {
            found.extend(folders_with(&entry.path(), name, depth - 1)?);
        }
    }
    found.sort();
    Ok(found)
}

/// Path below `root`, with `/` between parts.
fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// The same for a file in a folder at, below or above `root`; every `..` is one folder up.
fn relative_or_above(root: &Path, file: &Path) -> String {
    let folder = file.parent().unwrap_or(Path::new(""));
    match root.strip_prefix(folder) {
        Ok(down) => format!("{}{}", "../".repeat(down.components().count()), relative(folder, file)),
        Err(_) => relative(root, file),
    }
}

fn source_of(path: &Path, dir: PathBuf) -> Result<Source, IngestError> {
    // The nearest dataset.toml counts; without one the error names the place where it is expected first.
    let root = dir.ancestors().take_while(|above| above.starts_with(path));
    let root =
        root.into_iter().find(|above| above.join(DatasetFile::NAME).is_file()).unwrap_or(path).to_path_buf();
    let lines: &[&str] = if names_of_folders(&dir)?.is_some() { &[] } else { &NAME_LINES };
    let dataset = DatasetFile::read(&root, Place::BesideOrAbove, lines)?;
    let (session, _) = names(&root, &dir, &dataset)?;
    let alf = dir.join(ALF_DIR);
    let mut files = vec![DatasetFile::NAME.to_owned(), relative(&root, &alf.join(TRIALS_FILE))];
    let probes = folders_with(&alf, TIMES_FILE, MAX_PROBE_DEPTH)?;
    let objects = objects::find(&alf)?;
    if probes.is_empty() && !objects.is_empty() && !alf.join(TRIALS_FILE).is_file() {
        files.pop();
    }
    for probe in probes {
        files
            .extend([TIMES_FILE, CLUSTERS_FILE, METRICS_FILE].map(|name| relative(&root, &probe.join(name))));
    }
    files.extend(objects.values().flat_map(BTreeMap::values).map(|file| relative(&root, file)));
    files.extend(one_cache::files(&dir).iter().map(|table| relative_or_above(&root, table)));
    Ok(Source { session, root, main: dir, files })
}

/// Session and subject: as `dataset.toml` says, else as the folders `<subject>/<date>/<number>` are called.
fn names(root: &Path, dir: &Path, dataset: &DatasetFile) -> Result<(SessionId, SubjectId), IngestError> {
    if let (Some(session), Some(subject)) = (&dataset.session, &dataset.subject) {
        return Ok((session.clone(), subject.clone()));
    }
    if let Some([subject, date, number]) = names_of_folders(dir)? {
        let session =
            SessionId::new(format!("{subject}_{date}_{number}")).map_err(IngestError::invalid(dir))?;
        return Ok((session, SubjectId::new(subject).map_err(IngestError::invalid(dir))?));
    }
    Err(IngestError::DatasetFile {
        path: root.join(DatasetFile::NAME),
        detail: format!(
            "it names no session and subject for {}, and the folders are not <subject>/<date>/<number>; add \
             session = \"...\" and subject = \"...\"",
            dir.display()
        ),
    })
}

/// Subject, date and number, where folders are called so.
fn names_of_folders(dir: &Path) -> Result<Option<[String; 3]>, IngestError> {
    let absolute = dir.canonicalize().map_err(IngestError::io("resolve", dir))?;
    let mut parts = absolute.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let (Some(number), Some(date), Some(subject)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    let are_names = is_date(&date) && number.bytes().all(|byte| byte.is_ascii_digit());
    Ok(are_names.then_some([subject, date, number]))
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(i, byte)| if matches!(i, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() })
}

/// Appends the clusters of a probe to the units, and returns the unit index of each cluster.
fn read_clusters(
    alf: &Path,
    probe: &Path,
    units: &mut Vec<Unit>,
    left: &mut Vec<String>,
) -> Result<HashMap<u64, u32>, IngestError> {
    let path = probe.join(METRICS_FILE);
    let table =
        ParquetTable::read(&path, "it names region and quality of every cluster; fetch it with the spikes")?;
    if table.len() == 0 {
        return Err(IngestError::Empty { path, what: "the table of clusters".into() });
    }
    let ids = table.ints("cluster_id")?;
    let regions = table.texts("acronym")?;
    let optional =
        |column: &str| if table.has(column) { table.floats(column) } else { Ok(vec![None; ids.len()]) };
    let (depths, labels) = (optional("depths")?, optional("label")?);
    let mut index_of = HashMap::new();
    let probe_name = relative(alf, probe);
    for (row, (((id, region), depth_um), quality)) in
        ids.iter().zip(regions).zip(depths).zip(labels).enumerate()
    {
        let bad = |detail: &str| {
            IngestError::bad_value(&path, "column \"cluster_id\"", row, format!("{id} {detail}"))
        };
        let key = u64::try_from(*id).map_err(|_| bad("is negative; cluster ids count from zero"))?;
        let index = u32::try_from(units.len()).map_err(|_| bad("is one cluster too many"))?;
        if index_of.insert(key, index).is_some() {
            return Err(bad("occurs twice; cluster ids must be unique in a probe"));
        }
        let unit_id = if probe_name.is_empty() { id.to_string() } else { format!("{probe_name}/{id}") };
        units.push(Unit { id: unit_id, region, depth_um, quality });
    }
    let kept = ["cluster_id", "acronym", "depths", "label"];
    left.extend(
        table
            .names()
            .iter()
            .filter(|name| !kept.contains(&name.as_str()))
            .map(|name| format!("clusters.{name}")),
    );
    Ok(index_of)
}

/// Appends the spikes of a probe.
fn read_spikes(
    probe: &Path,
    index_of: &HashMap<u64, u32>,
    times_s: &mut Vec<f64>,
    unit_of: &mut Vec<u32>,
) -> Result<(), IngestError> {
    let (times_path, clusters_path) = (probe.join(TIMES_FILE), probe.join(CLUSTERS_FILE));
    if !clusters_path.is_file() {
        return Err(IngestError::MissingFile {
            path: clusters_path,
            needed_for: "it says which cluster each spike belongs to; fetch it with spikes.times.npy",
        });
    }
    let (times, clusters) = (read_npy(&times_path)?, read_npy(&clusters_path)?);
    let ([n_spikes], [n_labels]) =
        (times.axes::<1>("one axis of spikes")?, clusters.axes::<1>("one axis of spikes")?);
    if n_spikes != n_labels {
        return Err(IngestError::Disagreement {
            path: clusters_path,
            what: "number of spikes".into(),
            found: n_labels.to_string(),
            expected: n_spikes.to_string(),
        });
    }
    if n_spikes == 0 {
        return Err(IngestError::Empty { path: times_path, what: "the list of spikes".into() });
    }
    let times = times.to_f64()?;
    if let Some(index) = times.windows(2).position(|pair| pair[1] < pair[0]) {
        let detail = format!(
            "{} s comes after {} s; spikes must ascend in time, sort times and clusters together at the source",
            times[index + 1],
            times[index]
        );
        return Err(IngestError::bad_value(&times_path, "the array", index + 1, detail));
    }
    let n_clusters = index_of.len();
    for (index, cluster) in clusters.to_unsigned::<u64>()?.into_iter().enumerate() {
        let unit = index_of.get(&cluster).copied().ok_or_else(|| {
            let detail = format!(
                "cluster {cluster} is not among the {n_clusters} of {METRICS_FILE}; check that both are of one sorting"
            );
            IngestError::bad_value(&clusters_path, "the array", index, detail)
        })?;
        unit_of.push(unit);
    }
    times_s.extend(times);
    Ok(())
}

fn read_trials(
    source: &Source,
    dataset: &DatasetFile,
    left: &mut Vec<String>,
) -> Result<Trials, IngestError> {
    let path = source.main.join(ALF_DIR).join(TRIALS_FILE);
    let table =
        ParquetTable::read(&path, "it holds the trials of the session; fetch it or leave the session out")?;
    if table.len() == 0 {
        return Err(IngestError::Empty { path, what: "the table of trials".into() });
    }
    let pair = INTERVAL_COLUMNS.iter().find(|pair| pair.iter().all(|name| table.has(name)));
    // Asking for the usual pair gives the error that names the column and what there is.
    let [start, end] = *pair.unwrap_or(&INTERVAL_COLUMNS[0]);
    let starts = table.complete(start, table.floats(start)?)?;
    let ends = table.complete(end, table.floats(end)?)?;
    let intervals =
        starts.into_iter().zip(ends).map(|(start_s, end_s)| Interval { start_s, end_s }).collect();
    let mut columns: Vec<Column> = Vec::new();
    for name in table.names().iter().filter(|name| ![start, end].contains(&name.as_str())) {
        match table.values(name)? {
            Some(values) => columns.push(dataset.column(name, values)),
            None => left.push(format!("trials.{name}")),
        }
    }
    dataset.check_notes(&source.root, &columns)?;
    Trials::new(intervals, columns).map_err(IngestError::invalid(&path))
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn dates_are_told_from_other_folders() {
        assert!(is_date("2020-02-18"));
        for other in ["2020-2-18", "2020_02_18", "recordings", "2020-02-188", ""] {
            assert!(!is_date(other), "{other}");
        }
    }
}
