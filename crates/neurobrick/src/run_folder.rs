//! The folder of a run: its lock, resolved configuration, metrics and manifest.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::{recover_dirs, remove_unfinished, write_file};
use neurobrick_train::{StepReport, TrainEvent, ValidationReport};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::PipelineError;

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsRecord {
    /// A training step.
    Step(StepReport),
    /// A validation.
    Validation {
        /// Steps done.
        step: u64,
        /// Scores.
        report: ValidationReport,
        /// Whether this was the best so far.
        is_best: bool,
    },
}

impl MetricsRecord {
    /// The record of an event, if it is one to be kept.
    pub fn of(event: &TrainEvent) -> Option<Self> {
        match event {
            TrainEvent::Step(report) => Some(Self::Step(report.clone())),
            TrainEvent::Validated { step, report, is_best } => {
                Some(Self::Validation { step: *step, report: report.clone(), is_best: *is_best })
            }
            TrainEvent::Checkpointed { .. } => None,
        }
    }

    fn step(&self) -> u64 {
        match self {
            Self::Step(report) => report.step,
            Self::Validation { step, .. } => *step,
        }
    }
}

/// Hash of a session's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionHash {
    /// The session.
    pub session: SessionId,
    /// BLAKE3 of its manifest in the store.
    pub blake3: String,
}

/// The code that computed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeVersion {
    /// Version of neurobrick.
    pub version: String,
    /// Commit of the working copy that it was built from, with `+` if that has changes; none outside of one.
    pub commit: Option<String>,
}

impl CodeVersion {
    /// Of this program, by the working copy as it is now.
    fn current() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), commit: git_commit() }
    }
}

/// What a run was made from and on: the record behind every number quoted from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// Version of this file's format.
    pub format_version: u32,
    /// The command, as typed.
    pub command: String,
    /// Version of neurobrick.
    pub version: String,
    /// Commit of the working copy that neurobrick was built from, if there is one.
    pub commit: Option<String>,
    /// Other code that computed results in this folder, which this run went on from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_code: Vec<CodeVersion>,
    /// Seed of every random choice.
    pub seed: u64,
    /// Device.
    pub device: String,
    /// Processor features that change last bits.
    pub cpu_features: Vec<String>,
    /// Threads used.
    pub n_threads: usize,
    /// Data the run read.
    pub data: Vec<SessionHash>,
    /// Wall time of every stage, in seconds.
    pub stages: Vec<(String, f64)>,
    /// Largest resident memory of the process in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

impl RunManifest {
    /// A manifest of this process and machine.
    pub fn new(command: &str, seed: u64, n_threads: usize, data: Vec<SessionHash>) -> Self {
        let CodeVersion { version, commit } = CodeVersion::current();
        Self {
            format_version: 1,
            command: command.to_owned(),
            version,
            commit,
            earlier_code: Vec::new(),
            seed,
            device: "CPU (Flex)".to_owned(),
            cpu_features: cpu_features(),
            n_threads,
            data,
            stages: Vec::new(),
            peak_memory_bytes: peak_memory_bytes(),
        }
    }

    /// What to tell of results that other code computed, if there are any.
    pub(crate) fn note_on_code(&self) -> Option<String> {
        let names = self.earlier_code.iter().map(|code| {
            let commit = code.commit.as_ref().map_or_else(String::new, |commit| format!(" ({commit})"));
            format!("{}{commit}", code.version)
        });
        let names: Vec<String> = names.collect();
        (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!("results of other versions of the code are kept: {names}; a new folder computes all with this one")
        })
    }
}

/// Largest resident memory of this process in bytes; `None` where `/proc` does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The commit of the working copy that this crate was built from, with `+` if it has changes. The folder that a program is
/// started in may be another repository.
fn git_commit() -> Option<String> {
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        let output = command.arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A crate that a package manager unpacked may lie inside some repository, which does not know it.
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    Some(if changed { format!("{commit}+") } else { commit })
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<String> {
    let known = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    known.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<String> {
    vec![std::env::consts::ARCH.to_owned()]
}

/// What a lock holds, so that another file of that name is told apart.
const LOCK_MARK: &str = "neurobrick run\n";

/// Whether this is the lock of a run.
fn is_lock(path: &Path) -> Result<bool, PipelineError> {
    let mut start = Vec::new();
    match File::open(path) {
        Ok(file) => {
            let read = file.take(LOCK_MARK.len() as u64 + 1).read_to_end(&mut start);
            read.map_err(PipelineError::io("read", path))?;
            Ok(start == LOCK_MARK.as_bytes())
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
    /// with the versions of the code, other than this one, that had a part in them.
    ///
    /// # Errors
    /// If a record in the folder cannot be read or written.
    pub(crate) fn manifest(
        &self,
        command: &str,
        seed: u64,
        n_threads: usize,
        data: Vec<SessionHash>,
    ) -> Result<RunManifest, PipelineError> {
        let mut manifest = RunManifest::new(command, seed, n_threads, data);
        let earlier = self.path.join("manifest.json");
        let earlier = if earlier.exists() { Some(read_json::<RunManifest>(&earlier)?) } else { None };
        let (path, now) = (self.path.join("code.json"), CodeVersion::current());
        let mut codes: Vec<CodeVersion> = match &earlier {
            _ if path.exists() => read_json(&path)?,
            // A run of before this file was kept.
            Some(earlier) => {
                vec![CodeVersion { version: earlier.version.clone(), commit: earlier.commit.clone() }]
            }
            None => Vec::new(),
        };
        if !codes.contains(&now) {
            codes.push(now.clone());
            write_json(&path, &codes)?;
        }
        manifest.earlier_code = codes.into_iter().filter(|code| *code != now).collect();
        manifest.stages = earlier.map_or_else(Vec::new, |earlier| earlier.stages);
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

    /// Writes the resolved configuration as `run.toml`, or checks that the one there is the same.
    ///
    /// # Errors
    /// If the folder holds a run with another configuration.
    pub fn settle_config<C: Serialize>(&self, config: &C) -> Result<String, PipelineError> {
        let path = self.path.join("run.toml");
        let text = toml::to_string_pretty(config)
            .map_err(|e| PipelineError::BadFile { path: path.clone(), message: e.to_string() })?;
        if !self.holds(&text)? {
            write_file(&path, text.as_bytes())?;
        }
        Ok(text)
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
            Ok(_) => {
                let difference = "with other settings".to_owned();
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
            return write_json(&path, &data);
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
        write_json(&self.path.join(name), value)
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

/// Writes `value` as JSON, atomically.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), PipelineError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| PipelineError::BadFile { path: path.to_owned(), message: e.to_string() })?;
    bytes.push(b'\n');
    Ok(write_file(path, &bytes)?)
}

/// Reads a JSON file.
///
/// # Errors
/// If it cannot be read, or is not what it should be.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, PipelineError> {
    let bytes = fs::read(path).map_err(PipelineError::io("read", path))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| PipelineError::BadFile { path: path.to_owned(), message: e.to_string() })
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
