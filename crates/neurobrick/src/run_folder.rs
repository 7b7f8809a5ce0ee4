//! The folder of a run: its lock, resolved configuration and metrics.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use neurobrick_evaluate::{read_json, write_json};
use neurobrick_schema::atomic::{recover_dirs, remove_unfinished, write_file};
use serde::Serialize;

use crate::pipeline::Observer;
use crate::{CodeVersion, Compute, MetricsRecord, PipelineError, RunManifest, SessionHash};

/// What a lock holds, so that another file of that name is told apart.
const LOCK_MARK: &str = "neurobrick run\n";

/// What a folder holds before anything is computed.
const RECORDS: [&str; 5] = ["lock", "run.toml", "data.json", "code.json", "metrics.jsonl"];

/// Whether this is the lock of a run.
fn is_lock(path: &Path) -> Result<bool, PipelineError> {
    let mut start = Vec::new();
    match File::open(path) {
        Ok(file) => {
            let read = file.take(LOCK_MARK.len() as u64 + 1).read_to_end(&mut start);
            read.map_err(PipelineError::io("read", path))?;
            // One that its process had no time to mark is empty.
            let is_alone = || path.parent().and_then(|folder| fs::read_dir(folder).ok()).map(Iterator::count);
            Ok(start == LOCK_MARK.as_bytes() || start.is_empty() && is_alone() == Some(1))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(PipelineError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// A run folder in use: nobody else can open it while this value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    // Held, not read: dropping the file releases the lock.
    _lock: File,
}

impl RunFolder {
    /// Opens or creates the folder and takes its lock.
    ///
    /// # Errors
    /// If it cannot be created, holds files that are not a run's, or another process holds it.
    pub fn open(path: &Path) -> Result<Self, PipelineError> {
        fs::create_dir_all(path).map_err(PipelineError::io("create", path))?;
        let lock_path = path.join("lock");
        if !path.join("run.toml").exists() && !is_lock(&lock_path)? {
            let mut entries = fs::read_dir(path).map_err(PipelineError::io("list", path))?;
            if entries.next().is_some() {
                let message = "holds other files; choose a new or empty folder for a run".to_owned();
                return Err(PipelineError::BadFile { path: path.to_owned(), message });
            }
        }
        let mut options = fs::OpenOptions::new();
        let options = options.create(true).truncate(false).write(true);
        let mut lock = options.open(&lock_path).map_err(PipelineError::io("create", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(PipelineError::Locked { path: path.to_owned() });
            }
            Err(fs::TryLockError::Error(source)) => {
                return Err(PipelineError::Io { action: "lock", path: lock_path, source });
            }
        }
        lock.write_all(LOCK_MARK.as_bytes()).map_err(PipelineError::io("write", &lock_path))?;
        let folder = Self { path: path.to_owned(), _lock: lock };
        folder.recover()?;
        Ok(folder)
    }

    /// Clears up after a process that was stopped while it wrote: models and checkpoints that were moved aside return to
    /// their place, and what was never finished is deleted.
    fn recover(&self) -> Result<(), PipelineError> {
        let checkpoints = self.checkpoints();
        for folder in [Some(&self.path), checkpoints.is_dir().then_some(&checkpoints)].into_iter().flatten() {
            recover_dirs(folder)?;
            // Nobody else works here: the lock is held.
            remove_unfinished(folder, |process| process == std::process::id())?;
        }
        Ok(())
    }

    /// The manifest of a run that may go on from results in this folder: with the stages that were recorded before, and
    /// with the versions of the code, other than this one, that had a part in them, which the observer is told of.
    ///
    /// # Errors
    /// If a record in the folder cannot be read or written.
    pub(crate) fn manifest(
        &self,
        command: &str,
        seed: u64,
        compute: Compute,
        data: Vec<SessionHash>,
        observer: &mut dyn Observer,
    ) -> Result<RunManifest, PipelineError> {
        let mut manifest = RunManifest::new(command, seed, compute, data);
        let earlier = self.path.join("manifest.json");
        let earlier = if earlier.exists() { Some(read_json::<RunManifest>(&earlier)?) } else { None };
        let (path, now) = (self.path.join("code.json"), CodeVersion::current(compute.device));
        let mut codes: Vec<CodeVersion> = match &earlier {
            _ if path.exists() => read_json(&path)?,
            // A run of before this file was kept.
            Some(earlier) => {
                vec![CodeVersion {
                    version: earlier.version.clone(),
                    commit: earlier.commit.clone(),
                    device: None,
                }]
            }
            None => Vec::new(),
        };
        if !codes.contains(&now) {
            codes.push(now.clone());
            write_json(&path, &codes)?;
        }
        manifest.earlier_code = codes.into_iter().filter(|code| *code != now).collect();
        manifest.stages = earlier.map_or_else(Vec::new, |earlier| earlier.stages);
        if let Some(note) = manifest.note_on_code() {
            observer.note(&note);
        }
        Ok(manifest)
    }

    /// Deletes an earlier run; does nothing if there is no such folder.
    ///
    /// # Errors
    /// If the folder is not one of a run (it has no `run.toml`) or another process works in it.
    pub fn delete(path: &Path) -> Result<(), PipelineError> {
        if !path.exists() {
            return Ok(());
        }
        if !path.join("run.toml").exists() {
            let message = "is not the folder of a run (it has no run.toml), so it is not deleted".to_owned();
            return Err(PipelineError::BadFile { path: path.to_owned(), message });
        }
        let _held = Self::open(path)?;
        fs::remove_dir_all(path).map_err(PipelineError::io("delete", path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where checkpoints go.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where the finished model goes.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// Writes the resolved configuration as `run.toml`, or checks that the one there is the same. One that led to
    /// nothing, since its run was refused or stopped before its first checkpoint, is written over.
    ///
    /// # Errors
    /// If the folder holds a run with another configuration.
    pub fn settle_config<C: Serialize>(&self, config: &C) -> Result<String, PipelineError> {
        let path = self.path.join("run.toml");
        let text = toml::to_string_pretty(config)
            .map_err(|e| PipelineError::BadFile { path: path.clone(), message: e.to_string() })?;
        match self.holds(&text) {
            Ok(true) => return Ok(text),
            Ok(false) => {}
            Err(PipelineError::OtherRun { .. }) if self.holds_no_result()? => {
                // The data may be others too, and the code that led to nothing.
                for record in ["data.json", "code.json"].map(|name| self.path.join(name)) {
                    if record.exists() {
                        fs::remove_file(&record).map_err(PipelineError::io("remove", &record))?;
                    }
                }
            }
            Err(error) => return Err(error),
        }
        write_file(&path, text.as_bytes())?;
        Ok(text)
    }

    /// Whether nothing was computed here that would have to be computed again.
    fn holds_no_result(&self) -> Result<bool, PipelineError> {
        let checkpoints = self.checkpoints();
        let has_checkpoints = checkpoints.is_dir()
            && fs::read_dir(&checkpoints).map_err(PipelineError::io("list", &checkpoints))?.next().is_some();
        let mut entries = fs::read_dir(&self.path).map_err(PipelineError::io("list", &self.path))?;
        let is_record = |name: &str| RECORDS.contains(&name) || name == "checkpoints";
        let only_records =
            entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(is_record)));
        Ok(only_records && !has_checkpoints)
    }

    /// Checks that the folder holds no run with another configuration, without writing anything: for a run that keeps
    /// nothing until it is done.
    ///
    /// # Errors
    /// If it holds one.
    pub fn check_config<C: Serialize>(&self, config: &C) -> Result<(), PipelineError> {
        let text = toml::to_string_pretty(config)
            .map_err(|e| PipelineError::BadFile { path: self.path.clone(), message: e.to_string() })?;
        self.holds(&text).map(drop)
    }

    /// Whether `run.toml` is this text; an error if it is another.
    fn holds(&self, text: &str) -> Result<bool, PipelineError> {
        let path = self.path.join("run.toml");
        match fs::read_to_string(&path) {
            Ok(there) if there == text => Ok(true),
            Ok(there) => {
                let line = there.lines().zip(text.lines()).find(|(there, here)| there != here);
                let difference = match line {
                    Some((there, here)) => {
                        format!("with other settings (`{}`, now `{}`)", there.trim(), here.trim())
                    }
                    None => "with other settings".to_owned(),
                };
                Err(PipelineError::OtherRun { path: self.path.clone(), difference })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(PipelineError::Io { action: "read", path, source }),
        }
    }

    /// Writes the hashes of the data as `data.json`, or checks that those there are the same: what a run has finished may
    /// then be read instead of repeated.
    ///
    /// # Errors
    /// If the folder holds a run on other data.
    pub fn settle_data(&self, data: &[SessionHash]) -> Result<(), PipelineError> {
        let path = self.path.join("data.json");
        if !path.exists() {
            return Ok(write_json(&path, &data)?);
        }
        let there: Vec<SessionHash> = read_json(&path)?;
        if there == data {
            return Ok(());
        }
        let is_new = |hash: &&SessionHash| !there.contains(hash);
        let changed: Vec<&str> = data.iter().filter(is_new).map(|hash| hash.session.as_str()).collect();
        let difference = match &changed[..] {
            [] => "on other sessions".to_owned(),
            changed => format!("on other data of {}", changed.join(", ")),
        };
        Err(PipelineError::OtherRun { path: self.path.clone(), difference })
    }

    /// Writes `value` as JSON under `name`, atomically.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), PipelineError> {
        Ok(write_json(&self.path.join(name), value)?)
    }

    /// Opens `metrics.jsonl` for records after `step`; later records, of a run that was killed, are cut off.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn metrics_after(&self, step: u64) -> Result<MetricsWriter, PipelineError> {
        let path = self.path.join("metrics.jsonl");
        let kept: Vec<MetricsRecord> = if step == 0 {
            Vec::new()
        } else {
            read_metrics(&path)?.into_iter().filter(|r| r.step() <= step).collect()
        };
        let mut bytes = Vec::new();
        for record in &kept {
            push_line(&mut bytes, record, &path)?;
        }
        write_file(&path, &bytes)?;
        let file =
            fs::OpenOptions::new().append(true).open(&path).map_err(PipelineError::io("open", &path))?;
        Ok(MetricsWriter { path, file })
    }
}

/// Reads `metrics.jsonl`; a last line that a kill cut short (it lacks its line end) is left out.
///
/// # Errors
/// If the file cannot be read or another line is damaged.
pub(crate) fn read_metrics(path: &Path) -> Result<Vec<MetricsRecord>, PipelineError> {
    let text = fs::read_to_string(path).map_err(PipelineError::io("read", path))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .enumerate()
        .map(|(i, line)| {
            serde_json::from_str(line).map_err(|e| PipelineError::BadFile {
                path: path.to_owned(),
                message: format!("line {} is damaged: {e}", i + 1),
            })
        })
        .collect()
}

/// Appends records to `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: File,
}

impl MetricsWriter {
    /// Brings all records to the disk.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn sync(&mut self) -> Result<(), PipelineError> {
        self.file.sync_data().map_err(PipelineError::io("sync", &self.path))
    }

    /// Appends one record.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn append(&mut self, record: &MetricsRecord) -> Result<(), PipelineError> {
        let mut line = Vec::new();
        push_line(&mut line, record, &self.path)?;
        self.file.write_all(&line).map_err(PipelineError::io("write", &self.path))
    }
}

fn push_line(bytes: &mut Vec<u8>, record: &MetricsRecord, path: &Path) -> Result<(), PipelineError> {
    serde_json::to_writer(&mut *bytes, record)
        .map_err(|e| PipelineError::BadFile { path: path.to_owned(), message: e.to_string() })?;
    bytes.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use neurobrick_core::ComputeDevice;

    use super::*;
    use crate::pipeline::Silent;

    #[test]
    fn results_of_another_device_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::open(folder.path()).unwrap();
        let manifest = |device| {
            let compute = Compute { device, n_threads: 1 };
            run.manifest("test", 1, compute, Vec::new(), &mut Silent).unwrap()
        };
        let first = manifest(ComputeDevice::Flex);
        assert_eq!((first.earlier_code.len(), first.note_on_code()), (0, None));
        assert_eq!(manifest(ComputeDevice::Flex).earlier_code, []);
        let second = manifest(ComputeDevice::Tch);
        assert_eq!((second.device.as_str(), second.earlier_code.len()), ("CPU (LibTorch)", 1));
        let third = manifest(ComputeDevice::Flex).note_on_code().unwrap();
        assert!(third.contains("on CPU (LibTorch)"), "{third}");
    }
}
