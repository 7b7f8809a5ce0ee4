//! Writing that is either done or not done, also when the power fails in between.
//!
//! Bytes reach the disk (`fsync`) before a rename makes them visible, and the parent folder is synced after it. A
//! file or folder written this way is the old one or the new one, never a part of both.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::SchemaError;

/// Names with this prefix are unfinished work and never read.
const TEMP_PREFIX: &str = ".tmp-";

/// Whether a name is one that unfinished files and folders have.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with(TEMP_PREFIX)
}
/// Names with this prefix are folders moved aside while a newer one takes their place.
const OLD_PREFIX: &str = ".old-";
/// How often [`commit_dir`] tries when others replace the same folder at the same time.
const COMMIT_ATTEMPTS: u32 = 64;

static COUNTER: AtomicU64 = AtomicU64::new(0);

fn unique_name(prefix: &str, label: &str) -> String {
    format!("{prefix}{label}-{}-{}", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn name_of(path: &Path) -> Result<String, SchemaError> {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).ok_or_else(|| {
        SchemaError::InvalidValue {
            what: "path to write".into(),
            found: path.display().to_string(),
            rule: "a path that ends in a name",
        }
    })
}

/// Makes the entries of a folder durable.
fn sync_dir(dir: &Path) -> Result<(), SchemaError> {
    // Only Unix can open a folder as a file; elsewhere the rename itself is the best there is.
    if cfg!(unix) {
        let file = File::open(dir).map_err(SchemaError::io("open folder", dir))?;
        file.sync_all().map_err(SchemaError::io("sync folder", dir))?;
    }
    Ok(())
}

/// Makes all files and folders below `dir` durable.
fn sync_tree(dir: &Path) -> Result<(), SchemaError> {
    for entry in fs::read_dir(dir).map_err(SchemaError::io("list", dir))? {
        let path = entry.map_err(SchemaError::io("list", dir))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            let file = OpenOptions::new().append(true).open(&path).map_err(SchemaError::io("open", &path))?;
            file.sync_all().map_err(SchemaError::io("sync", &path))?;
        }
    }
    sync_dir(dir)
}

/// Writes a file so that `path` holds either what it held before or all of `bytes`.
///
/// Errors: [`SchemaError::Io`]; what `path` held before is then untouched.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), SchemaError> {
    let temp = parent_of(path).join(unique_name(TEMP_PREFIX, &name_of(path)?));
    let result = write_new(&temp, bytes).and_then(|()| {
        fs::rename(&temp, path).map_err(SchemaError::io("put in place", path))?;
        sync_dir(parent_of(path))
    });
    if result.is_err() {
        // The first error is the one to report; a left-over temporary file is never read.
        let _ = fs::remove_file(&temp);
    }
    result
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), SchemaError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(SchemaError::io("create", path))?;
    file.write_all(bytes).map_err(SchemaError::io("write", path))?;
    file.sync_all().map_err(SchemaError::io("sync", path))
}

/// Puts a finished folder in the place of `target`, which may exist.
///
/// Every file below `temp` is synced first. An existing folder is moved aside before and deleted after; if the machine
/// stops between the two renames, [`recover_dirs`] brings it back. Both paths must lie on one file system.
///
/// Errors: [`SchemaError::Io`]; the old folder is then in place.
pub fn commit_dir(temp: &Path, target: &Path) -> Result<(), SchemaError> {
    sync_tree(temp)?;
    let parent = parent_of(target);
    let name = name_of(target)?;
    let mut moved_aside: Vec<PathBuf> = Vec::new();
    for attempt in 1.. {
        let Err(error) = fs::rename(temp, target) else {
            break;
        };
        if !is_occupied(&error) || target.is_file() || attempt == COMMIT_ATTEMPTS {
            if let Some(old) = moved_aside.last() {
                // Fails only if another writer has put its own folder there, which then stays.
                let _ = fs::rename(old, target);
            }
            return Err(SchemaError::io("put in place", target)(error));
        }
        let old = parent.join(unique_name(OLD_PREFIX, &name));
        // Not found means that another writer was faster to move it; the next attempt tells.
        if fs::rename(target, &old).is_ok() {
            moved_aside.push(old);
        }
    }
    sync_dir(parent)?;
    for old in moved_aside {
        if old.exists() {
            fs::remove_dir_all(&old).map_err(SchemaError::io("remove the replaced", &old))?;
        }
    }
    Ok(())
}

/// Whether a rename failed because there is a folder at the target; Windows calls that a lack of permission.
fn is_occupied(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, PermissionDenied};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | PermissionDenied)
}

/// Repairs what a stop in the middle of [`commit_dir`] left in `parent`: a folder moved aside without a successor
/// returns to its place, one with a successor is deleted. Other entries are not touched.
///
/// Errors: [`SchemaError::Io`].
pub fn recover_dirs(parent: &Path) -> Result<(), SchemaError> {
    for name in entry_names(parent)? {
        let Some(target) = name.strip_prefix(OLD_PREFIX).and_then(|rest| rest.rsplitn(3, '-').nth(2)) else {
            continue;
        };
        let (old, target) = (parent.join(&name), parent.join(target));
        let result = if target.exists() { fs::remove_dir_all(&old) } else { fs::rename(&old, &target) };
        // A live writer may be doing the same at this moment.
        if result.is_err() && old.exists() && !target.exists() {
            result.map_err(SchemaError::io("restore", &target))?;
        }
    }
    Ok(())
}

/// Deletes temporary files and folders in `parent` that were made by processes of which `is_running` says no.
///
/// Errors: [`SchemaError::Io`].
pub fn remove_unfinished(parent: &Path, is_running: impl Fn(u32) -> bool) -> Result<(), SchemaError> {
    for name in entry_names(parent)? {
        let maker = name.strip_prefix(TEMP_PREFIX).and_then(|rest| rest.rsplit('-').nth(1));
        let Some(maker) = maker.and_then(|maker| maker.parse().ok()) else {
            continue;
        };
        if is_running(maker) {
            continue;
        }
        let path = parent.join(&name);
        // What cannot be removed is never read either, and tried again next time.
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
    Ok(())
}

/// Names of all entries of a folder, sorted.
pub(crate) fn entry_names(dir: &Path) -> Result<Vec<String>, SchemaError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(SchemaError::io("list", dir))? {
        let entry = entry.map_err(SchemaError::io("list", dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A folder under a temporary name that disappears unless it is committed.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
}

impl Staging {
    /// Makes an empty folder `.tmp-<label>-<process>-<n>` in `parent`.
    ///
    /// Errors: [`SchemaError::Io`].
    pub fn create(parent: &Path, label: &str) -> Result<Self, SchemaError> {
        loop {
            let path = parent.join(unique_name(TEMP_PREFIX, label));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // A left-over of a stopped process that had the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(SchemaError::io("create folder", &path)(error)),
            }
        }
    }

    /// Where to write the files.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the folder in place, see [`commit_dir`].
    pub fn commit(self, target: &Path) -> Result<(), SchemaError> {
        commit_dir(&self.path, target)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a commit the temporary name is gone and there is nothing to remove.
        let _ = fs::remove_dir_all(&self.path);
    }
}
