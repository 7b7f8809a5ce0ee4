//! Reader for folders of Suite2p: traces of the regions of interest of one imaging plane.
//!
//! ```text
//! F.npy       fluorescence [roi, frame]
//! iscell.npy  [roi, 2]: whether it was taken for a cell, and with which probability
//! Fneu.npy    neuropil, spks.npy deconvolved activity: where there are any
//! ```
//!
//! Every array becomes a signal with a column for every region of interest, called by its number; the description of a
//! column of `F` says whether it is a cell. `ops.npy` and `stat.npy` are pickled, and a pickle is a program: they are not
//! read, so `dataset.toml` gives the frame rate, `rate_hz`.

use std::path::{Path, PathBuf};

use neurobrick_schema::{Clock, Recording, Samples, SessionId, Signal, SignalColumn};

use crate::array::{Array, Values};
use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::measured::Measured;
use crate::npy::read_npy;
use crate::reader::{Reader, Source};
use crate::single_file::{files, name_below, plain_name, source_called};

const TRACES: &str = "F.npy";
const IS_CELL: &str = "iscell.npy";
/// Files, the signals they become, and what those are.
const SIGNALS: [(&str, &str, &str); 3] = [
    (TRACES, "fluorescence", "fluorescence of regions of interest"),
    ("Fneu.npy", "neuropil", "fluorescence around regions of interest"),
    ("spks.npy", "deconvolved", "deconvolved fluorescence: no spikes, but how much activity there was"),
];
/// Folders that say nothing about the session.
const PLAIN_FOLDERS: [&str; 2] = ["suite2p", "plane0"];

/// Folders with `F.npy` and `iscell.npy`, each a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Suite2p;

impl Reader for Suite2p {
    fn format(&self) -> &'static str {
        "suite2p"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(!folders(path)?.is_empty())
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let source = |folder: PathBuf| {
            let plane = folder.file_name().and_then(|plane| plane.to_str()).unwrap_or_default();
            let is_further = plane.starts_with("plane") && plane != "plane0";
            let parts = folder.ancestors().skip(usize::from(is_further));
            let mut parts = parts.filter_map(|part| part.file_name()?.to_str());
            let name = parts.find(|part| !PLAIN_FOLDERS.contains(part)).unwrap_or("suite2p");
            let mut source = source_called(path, folder.join(TRACES), name)?;
            // Planes other than the first are recordings of their own, whoever names the first.
            if is_further {
                let name = format!("{}.{}", source.session, plain_name(plane));
                source.session = SessionId::new(name).map_err(IngestError::invalid(&folder))?;
            }
            let others = SIGNALS.iter().skip(1).map(|(file, ..)| *file).chain([IS_CELL]);
            let others = others.map(|file| folder.join(file)).filter(|file| file.is_file());
            source.files.extend(others.map(|file| name_below(&source.root, &file)));
            Ok(source)
        };
        folders(path)?.into_iter().map(source).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let path = &source.main;
        let folder = path.parent().unwrap_or(Path::new("."));
        let dataset = DatasetFile::read(
            &source.root,
            Place::BesideOrAbove,
            &["rate_hz = 0  # number of frames per second"],
        )?;
        let rate_hz =
            DatasetFile::required(dataset.rate_hz, &source.root, "rate_hz", "number of frames per second")?;
        let about = cells(&folder.join(IS_CELL))?;
        let mut signals: Vec<Signal> = Vec::new();
        for (file, name, meaning) in SIGNALS {
            let path = folder.join(file);
            if file != TRACES && !path.is_file() {
                continue;
            }
            let about = (file == TRACES).then_some(&about[..]);
            let columns = columns(&path, about)?;
            let expected = signals.first().map_or((about.map_or(0, <[_]>::len), None), |first| {
                (first.columns().len(), Some(first.len()))
            });
            let found = (columns.len(), columns.first().map(|column| column.samples.len()));
            if found.0 != expected.0 || expected.1.is_some_and(|expected| found.1 != Some(expected)) {
                return Err(IngestError::Disagreement {
                    path,
                    what: "number of regions of interest and frames".into(),
                    found: format!("{} and {}", found.0, found.1.unwrap_or(0)),
                    expected: format!("{} and {}", expected.0, expected.1.or(found.1).unwrap_or(0)),
                });
            }
            let clock = Clock::Regular { start_s: 0.0, rate_hz };
            let signal = Signal::new(name, Some(meaning.to_owned()), clock, columns);
            signals.push(signal.map_err(IngestError::invalid(&path))?);
        }
        let step = "read by neurobrick from Suite2p; not read: ops.npy, stat.npy (pickled)".to_owned();
        Measured { signals, ..Measured::default() }.into_recording(source, &dataset, step)
    }
}

/// Folders at or below a path that hold traces, sorted.
fn folders(path: &Path) -> Result<Vec<PathBuf>, IngestError> {
    let traces =
        files(path, &["npy"])?.into_iter().filter(|file| file.file_name().is_some_and(|name| name == TRACES));
    let folders = traces.filter_map(|file| file.parent().map(Path::to_path_buf));
    Ok(folders.filter(|folder| folder.join(IS_CELL).is_file()).collect())
}

/// What `iscell.npy` says of every region of interest, in words.
fn cells(path: &Path) -> Result<Vec<String>, IngestError> {
    let array = read_npy(path)?;
    let [_, 2] = array.axes("regions of interest x 2")? else {
        return Err(IngestError::WrongShape {
            path: path.to_path_buf(),
            part: "the array".into(),
            found: array.shape,
            expected: "regions of interest x 2".into(),
        });
    };
    let values = array.to_f64()?;
    let words = |pair: &[f64]| match pair {
        [is_cell, probability] if *is_cell != 0.0 => format!("cell, with probability {probability}"),
        [_, probability] => format!("no cell, with probability {probability}"),
        _ => String::new(),
    };
    Ok(values.chunks(2).map(words).collect())
}

/// The rows of an array `[roi, frame]`.
fn columns(path: &Path, about: Option<&[String]>) -> Result<Vec<SignalColumn>, IngestError> {
    let array = read_npy(path)?;
    let [n_rois, n_frames] = array.axes("regions of interest x frames")?;
    let Array { values, .. } = array.to_array()?;
    let samples = match values {
        Values::Float(values) => Samples::Float(values),
        Values::Float32(values) => Samples::Float32(values),
        other => {
            return Err(IngestError::WrongType {
                path: path.to_path_buf(),
                part: "the array".into(),
                found: other.kind().into(),
                expected: "real numbers",
            });
        }
    };
    let column = |roi: usize| SignalColumn {
        name: roi.to_string(),
        unit: None,
        description: about.and_then(|about| about.get(roi)).cloned(),
        samples: row(&samples, roi * n_frames, n_frames),
    };
    Ok((0..n_rois).map(column).collect())
}

fn row(samples: &Samples, first: usize, length: usize) -> Samples {
    match samples {
        Samples::Float(values) => Samples::Float(values[first..first + length].to_vec()),
        Samples::Float32(values) => Samples::Float32(values[first..first + length].to_vec()),
        Samples::Int(values) => Samples::Int(values[first..first + length].to_vec()),
    }
}
