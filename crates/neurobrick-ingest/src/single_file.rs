//! Formats in which a session is one file: finding the files, naming the sessions, and names of parts.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_schema::SessionId;

use crate::dataset_file::DatasetFile;
use crate::error::IngestError;
use crate::reader::Source;

/// Folders between a given path and the files: `<dandiset>/sub-<name>/<file>` and one above.
const MAX_DEPTH: usize = 3;

/// All files with one of the endings at or below a path, sorted.
pub(crate) fn files(path: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, IngestError> {
    files_to(path, endings, MAX_DEPTH)
}

fn files_to(path: &Path, endings: &[&str], depth: usize) -> Result<Vec<PathBuf>, IngestError> {
    let fits = |path: &Path| {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        ending.is_some_and(|ending| endings.contains(&ending.as_str()))
    };
    if path.is_file() {
        return Ok(if fits(path) { vec![path.to_path_buf()] } else { Vec::new() });
    }
    let mut found = Vec::new();
    if !path.is_dir() {
        return Ok(found);
    }
    for entry in fs::read_dir(path).map_err(IngestError::io("list", path))? {
        let entry = entry.map_err(IngestError::io("list", path))?;
        let kind = entry.file_type().map_err(IngestError::io("list", path))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // A link to a folder could lead in a circle; a link to a file is how data managers keep large files.
        if kind.is_dir() && depth > 0 && !is_zarr(&entry.path()) {
            found.extend(files_to(&entry.path(), endings, depth - 1)?);
        } else if !kind.is_dir() && fits(&entry.path()) && entry.path().is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a folder is one recording in thousands of files.
fn is_zarr(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zarr"))
}

/// All folders with the ending at or below a path, sorted; what lies in them is not looked at.
pub(crate) fn folders(path: &Path, ending: &str) -> Result<Vec<PathBuf>, IngestError> {
    folders_to(path, ending, MAX_DEPTH)
}

fn folders_to(path: &Path, ending: &str, depth: usize) -> Result<Vec<PathBuf>, IngestError> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    if path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)) {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(IngestError::io("list", path))? {
        let entry = entry.map_err(IngestError::io("list", path))?;
        let is_dir = entry.file_type().map_err(IngestError::io("list", path))?.is_dir();
        if is_dir && depth > 0 && !entry.file_name().to_string_lossy().starts_with('.') {
            found.extend(folders_to(&entry.path(), ending, depth - 1)?);
        }
    }
    found.sort();
    Ok(found)
}

/// All files in a folder and below, sorted; folders that are links are left out.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, IngestError> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(IngestError::io("list", &folder))? {
            let entry = entry.map_err(IngestError::io("list", &folder))?;
            if entry.file_type().map_err(IngestError::io("list", &folder))?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The session of a file that was found at or below `path`; it is called as the file, unless `dataset.toml` names it.
pub(crate) fn source_of(path: &Path, file: PathBuf) -> Result<Source, IngestError> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    source_called(path, file, &stem)
}

/// The same for a file or folder with a name of its own.
pub(crate) fn source_called(path: &Path, file: PathBuf, name: &str) -> Result<Source, IngestError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    // The nearest dataset.toml at or below the given path counts; beside a file that was given itself as well.
    let top = if path.is_dir() { path } else { folder };
    let mut above = folder.ancestors().take_while(|above| above.starts_with(top));
    let root = above.find(|above| above.join(DatasetFile::NAME).is_file());
    let root = root.unwrap_or(folder).to_path_buf();
    let mut files = vec![name_below(&root, &file)];
    let dataset = DatasetFile::read_if_any(&root)?;
    if dataset.is_some() {
        files.push(DatasetFile::NAME.to_owned());
    }
    let session = if let Some(session) = dataset.and_then(|dataset| dataset.session) {
        session
    } else {
        SessionId::new(plain_name(name)).map_err(IngestError::invalid(&file))?
    };
    Ok(Source { session, root, main: file, files })
}

/// Path below `root`, with `/` between parts.
pub(crate) fn name_below(root: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(root).unwrap_or(file);
    let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// A name with everything but `A-Z a-z 0-9 . _ -` replaced, at most 128 characters long.
pub(crate) fn plain_name(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let name: String = text.trim_start_matches('.').chars().map(keep).take(128).collect();
    if name.is_empty() { "_".into() } else { name }
}

/// Names of which each is given once; a second one gets a number.
#[derive(Debug, Default)]
pub(crate) struct Distinct(HashSet<String>);

impl Distinct {
    /// The name itself, or with `-2`, `-3` ... where it is taken, whatever the case of its letters.
    pub(crate) fn take(&mut self, plain: &str) -> String {
        let mut name = plain.to_owned();
        let mut number = 2;
        while !self.0.insert(name.to_ascii_lowercase()) {
            let room: String = plain.chars().take(120).collect();
            name = format!("{room}-{number}");
            number += 1;
        }
        name
    }
}
