//! Kinds of files that are known and not read: what they are, and how their content gets in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::IngestError;

/// Folders below a path that are looked into.
const MAX_DEPTH: usize = 4;

/// How a name tells the kind of file.
enum Name {
    /// One of these endings.
    Ends(&'static [&'static str]),
    /// This start.
    Starts(&'static str),
    /// A folder of this name above it.
    Below(&'static str),
}

/// Each kind, what it is, and what to do with it; the first that fits counts.
const KINDS: [(Name, &str, &str); 8] = [
    (
        Name::Starts("_iblrig_"),
        "raw behavior of a rig of the International Brain Laboratory before extraction",
        "extract it with ibllib, which writes trials and wheel into a folder alf, and ingest the folder above that one",
    ),
    (
        Name::Below("rest_responses"),
        "an answer of the database of ONE and no recording",
        "download the session's data sets with ONE, and ingest the folder that holds alf",
    ),
    (
        Name::Starts("datasets.pqt"),
        "a cache table of ONE, which lists files and holds none",
        "download the session's data sets with ONE into the folders beside it, and ingest the folder again",
    ),
    (
        Name::Ends(&["nii", "nii.gz", "mgz"]),
        "a volume of images over time",
        "average regions of interest to time courses, save them as CSV or NPY, and say in a mapping.toml beside them what they are",
    ),
    (
        Name::Ends(&["fif", "fif.gz", "mff", "ds", "sqd", "con"]),
        "a recording in a format of EEG and MEG that is not read",
        "export it from MNE-Python to EDF or BrainVision (mne.export.export_raw), and ingest those",
    ),
    (
        Name::Ends(&[
            "raw", "rhd", "rhs", "plx", "pl2", "nev", "ns1", "ns2", "ns3", "ns4", "ns5", "ns6", "ncs", "nse",
            "ntt", "abf", "smr", "smrx", "oebin", "rec",
        ]),
        "a recording in the own format of an amplifier",
        "convert it to NWB with NeuroConv, or export EEG to EDF, and ingest that",
    ),
    (
        Name::Ends(&["pkl", "pickle", "p", "joblib"]),
        "pickled objects of Python, which can run anything when they are opened",
        "save the arrays in it as NPZ, and say in a mapping.toml beside them what they are",
    ),
    (
        Name::Ends(&["rds", "rda", "rdata"]),
        "objects of R",
        "save the arrays in it as CSV or Parquet, and say in a mapping.toml beside them what they are",
    ),
];

impl Name {
    fn fits(&self, root: &Path, path: &Path) -> bool {
        let name =
            path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        match self {
            Self::Ends(endings) => endings.iter().any(|ending| {
                name.strip_suffix(ending).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
            }),
            Self::Starts(start) => name.starts_with(start),
            Self::Below(folder) => {
                let parent = path.parent().filter(|parent| parent.starts_with(root) || root == path);
                parent.and_then(Path::file_name).is_some_and(|name| name == *folder)
            }
        }
    }
}

/// The first file at or below a path of a kind that is known and not read, as the error that says what to do.
///
/// Errors: [`IngestError::Io`] where a folder cannot be listed.
pub(crate) fn first_below(path: &Path) -> Result<Option<IngestError>, IngestError> {
    let files = files_below(path, MAX_DEPTH)?;
    let refusal = |(name, what, instead): &(Name, &'static str, &'static str)| {
        let file = files.iter().find(|file| name.fits(path, file))?;
        Some(IngestError::KnownUnread { path: file.clone(), what, instead })
    };
    Ok(KINDS.iter().find_map(refusal))
}

/// All files at or below a path, sorted; hidden folders and those that are links are left out.
fn files_below(path: &Path, depth: usize) -> Result<Vec<PathBuf>, IngestError> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(IngestError::io("list", path))? {
        let entry = entry.map_err(IngestError::io("list", path))?;
        let is_dir = entry.file_type().map_err(IngestError::io("list", path))?.is_dir();
        if !is_dir {
            found.push(entry.path());
        } else if depth > 0 && !entry.file_name().to_string_lossy().starts_with('.') {
            found.extend(files_below(&entry.path(), depth - 1)?);
        }
    }
    found.sort();
    Ok(found)
}
