//! Reader for Neurodata Without Borders: NWB 2.x and the 2.0 beta on HDF5, and NWB-Zarr without references.
//!
//! ```text
//! /units                         units, spike times and all further columns
//! /general/extracellular_ephys   electrodes and their groups, hence regions
//! /intervals                     trials and every other table of intervals
//! /acquisition /processing /stimulus /analysis /scratch    signals, events and tables of intervals, at any depth
//! /general, /general/subject     metadata and the card
//! ```
//!
//! A part that is valid but not read is named in the last of the card's `changes`, with the reason; a part that is
//! damaged refuses the file. A `dataset.toml` beside the file or above it gives the card where there is one; without it
//! the card says what the file says, and `unknown` where the file is silent.

mod card;
mod series;
mod table;
mod tables;
mod units;

use std::path::{Path, PathBuf};

use neurobrick_schema::{Activity, Recording, RecordingParts};

use crate::dataset_file::DatasetFile;
use crate::error::IngestError;
use crate::hdf5::H5File;
use crate::reader::{Reader, Source};
use crate::single_file::{
    Distinct, files, files_below, folders, name_below, plain_name, source_called, source_of,
};

const EXTENSION: &str = "nwb";
/// Ending of a folder that holds NWB-Zarr.
const ZARR: &str = "zarr";
/// Where recordings lie in a file.
const RECORDED: [&str; 6] =
    ["/acquisition", "/processing", "/stimulus", "/analysis", "/scratch", "/intervals"];

/// Members that are links by the format's own schema.
const LINKS: [&str; 10] = [
    "clustering_interface",
    "device",
    "electrode",
    "imaging_plane",
    "indexed_timeseries",
    "masked_imageseries",
    "site",
    "source_electricalseries",
    "source_timeseries",
    "timeseries",
];

/// Files called `*.nwb` and folders called `*.zarr`, each a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nwb;

impl Reader for Nwb {
    fn format(&self) -> &'static str {
        "nwb"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(!files(path, &[EXTENSION])?.is_empty() || !folders(path, ZARR)?.is_empty())
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let files = files(path, &[EXTENSION])?.into_iter().map(|file| source_of(path, file));
        let folders = folders(path, ZARR)?.into_iter().map(|folder| zarr_source(path, folder));
        files.chain(folders).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let path = &source.main;
        let file = if path.is_dir() { H5File::open_zarr(path)? } else { H5File::open(path, &LINKS)? };
        let mut notes = Notes::default();
        let version = card::check_version(&file)?;
        let dataset = DatasetFile::read_if_any(&source.root)?;
        let tables = tables::Tables::find(&file)?;
        let electrodes = units::read_electrodes(&file, &tables, &mut notes)?;
        let units::Read { units, columns, spikes } = units::read(&file, &tables, &electrodes, &mut notes)?;
        let (trials, mut intervals) =
            tables::read_intervals(&file, &tables, &source.root, dataset.as_ref(), &mut notes)?;
        let mut signals = Vec::new();
        series::read_all(&file, &tables, &mut signals, &mut intervals, &mut notes)?;
        if let Some(dataset) = &dataset {
            dataset.check_notes(&source.root, trials.columns())?;
        }
        let is_empty = units.is_empty() && trials.is_empty() && intervals.is_empty() && signals.is_empty();
        if is_empty {
            return Err(IngestError::NothingRead { path: path.clone(), detail: notes.nothing() });
        }
        let metadata = card::metadata(&file, &mut notes)?;
        for (node, n_missing) in file.filled() {
            let part = &file.node(node).path;
            notes
                .steps
                .push(format!("{n_missing} chunks of {part} are missing, its fill value stands there"));
        }
        let step = notes.step(&version);
        let info = card::info(&file, source, dataset.as_ref(), &metadata, step)?;
        Recording::from_parts(RecordingParts {
            info,
            metadata,
            units,
            unit_columns: columns,
            electrodes: electrodes.table,
            activity: Activity::Spikes(spikes),
            trials,
            intervals,
            signals,
        })
        .map_err(IngestError::invalid(path))
    }
}

/// The session of a Zarr folder, which is called as the folder without its endings.
fn zarr_source(path: &Path, folder: PathBuf) -> Result<Source, IngestError> {
    let name = folder.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let chunks = files_below(&folder)?;
    let mut source = source_called(path, folder, name.trim_end_matches(".nwb"))?;
    // The folder itself stood for its files.
    source.files.remove(0);
    source.files.extend(chunks.iter().map(|chunk| name_below(&source.root, chunk)));
    Ok(source)
}

/// What a user should know about the reading of a file.
#[derive(Debug, Default)]
struct Notes {
    /// Decisions that changed or interpreted something.
    steps: Vec<String>,
    /// Parts that were not read, with the reason.
    not_read: Vec<String>,
}

impl Notes {
    fn leave(&mut self, part: &str, reason: impl std::fmt::Display) {
        self.not_read.push(format!("{part} ({reason})"));
    }

    fn step(&self, version: &str) -> String {
        let mut text = format!("read by neurobrick from nwb {version}");
        for step in &self.steps {
            text = format!("{text}; {step}");
        }
        if !self.not_read.is_empty() {
            text = format!("{text}; not read: {}", self.not_read.join(", "));
        }
        text
    }

    fn nothing(&self) -> String {
        if self.not_read.is_empty() {
            return "it has no units, trials, intervals or signals".into();
        }
        format!("not read: {}", self.not_read.join(", "))
    }
}

/// Names of signals or interval tables of a session, each given once.
#[derive(Debug, Default)]
struct PartNames(Distinct);

impl PartNames {
    /// The name of a part that lies at `path` in the file, such as `processing.behavior.position`.
    fn take(&mut self, path: &str) -> String {
        self.0.take(&plain_name(&path.trim_start_matches('/').replace('/', ".")))
    }
}
