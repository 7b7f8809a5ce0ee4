//! The store: a folder of sessions, each a folder of Parquet tables with a manifest.
//!
//! ```text
//! <store>/store.json
//! <store>/<session>/{session.json, units.parquet, trials.parquet, spikes.parquet | counts.parquet, manifest.json}
//! <store>/<session>/{electrodes.parquet, intervals.<name>.parquet, signal.<name>.parquet}, where there are any
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::activity::Activity;
use crate::atomic::{self, Staging};
use crate::card::SessionInfo;
use crate::column_tables;
use crate::columns::Table;
use crate::error::SchemaError;
use crate::ids::SessionId;
use crate::manifest::Manifest;
use crate::recording::{Recording, RecordingParts};
use crate::session_file::{ActivityFile, IntervalsFile, SessionFile};
use crate::signal_tables::{read_signal, write_signal};
use crate::spike_file::SpikeFile;
use crate::tables::{self, CountsShape};
use crate::trials::IntervalTable;

pub(crate) const STORE_FILE: &str = "store.json";
pub(crate) const SESSION_FILE: &str = "session.json";
const UNITS_FILE: &str = "units.parquet";
const TRIALS_FILE: &str = "trials.parquet";
pub(crate) const SPIKES_FILE: &str = "spikes.parquet";
const COUNTS_FILE: &str = "counts.parquet";
const ELECTRODES_FILE: &str = "electrodes.parquet";

fn intervals_file(name: &str) -> String {
    format!("intervals.{name}.parquet")
}

fn signal_file(name: &str) -> String {
    format!("signal.{name}.parquet")
}

const FORMAT: &str = "neurobrick-store";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreFile {
    format: String,
    version: u32,
}

/// What a written session is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionDigest {
    /// The session.
    pub session: SessionId,
    /// Digest of its manifest, see [`Manifest::digest`]: the data hash of a run's manifest.
    pub digest: String,
    /// Length of all its files together, in bytes.
    pub bytes: u64,
}

/// A folder of recordings. Sessions are written whole or not at all, and verified before they are decoded.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// Makes a new store, with its parent folders; opens it when there is one already.
    ///
    /// Errors: [`SchemaError::FolderNotEmpty`] when the folder holds anything but a store; those of [`Store::open`];
    /// [`SchemaError::Io`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, SchemaError> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(SchemaError::io("create folder", path))?;
        let names = atomic::entry_names(path)?;
        if names.iter().any(|name| name == STORE_FILE) {
            return Self::open(path);
        }
        // A stop while `store.json` was written leaves an unfinished copy of it, and nothing else.
        if !names.iter().all(|name| atomic::is_unfinished(name)) {
            return Err(SchemaError::FolderNotEmpty { path: path.to_path_buf() });
        }
        atomic::write_file(&path.join(STORE_FILE), &store_file_bytes(path)?)?;
        Self::open(path)
    }

    /// Opens a store, and repairs what a stop in the middle of a replacement left behind.
    ///
    /// Errors: [`SchemaError::NoSuchStore`]; [`SchemaError::NotAStore`]; [`SchemaError::UnsupportedVersion`]; [`SchemaError::Damaged`] when
    /// `store.json` is not as written; [`SchemaError::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SchemaError> {
        let path = path.as_ref().to_path_buf();
        let file = path.join(STORE_FILE);
        if !path.exists() {
            return Err(SchemaError::NoSuchStore { path });
        }
        if !file.is_file() {
            return Err(SchemaError::NotAStore { path });
        }
        check_store_file(&file, &fs::read(&file).map_err(SchemaError::io("read", &file))?)?;
        atomic::recover_dirs(&path)?;
        Ok(Self { path })
    }

    /// The folder of the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All sessions, sorted by name. Unfinished folders and foreign files are not among them.
    ///
    /// Errors: [`SchemaError::Io`].
    pub fn sessions(&self) -> Result<Vec<SessionId>, SchemaError> {
        let names = atomic::entry_names(&self.path)?;
        let mut sessions: Vec<SessionId> = names
            .into_iter()
            .filter(|name| self.path.join(name).is_dir())
            .filter_map(|name| SessionId::new(name).ok())
            .collect();
        sessions.sort();
        Ok(sessions)
    }

    /// Whether the store has a folder for the session; says nothing about its condition.
    pub fn contains(&self, session: &SessionId) -> bool {
        self.session_path(session).is_dir()
    }

    /// Writes a session and returns its digest; an existing session of that name is replaced.
    ///
    /// The files are written and synced under a temporary name and appear by a rename. The same recording gives the
    /// same bytes, hence the same digest.
    ///
    /// Errors: [`SchemaError::InvalidValue`] for the name `store.json`; [`SchemaError::Io`]; [`SchemaError::Encode`].
    /// What was stored before is then untouched.
    pub fn write(&self, recording: &Recording) -> Result<SessionDigest, SchemaError> {
        let session = &recording.info().session;
        let staging = self.stage(session)?;
        let digest = write_session(staging.path(), recording)?;
        self.commit(staging, &digest)?;
        Ok(digest)
    }

    /// An empty folder in the store under a temporary name, for [`write_session`]; it is never read, and disappears
    /// unless it is committed.
    ///
    /// Errors: [`SchemaError::InvalidValue`] for the name `store.json`; [`SchemaError::Io`].
    pub fn stage(&self, session: &SessionId) -> Result<Staging, SchemaError> {
        if session.as_str().eq_ignore_ascii_case(STORE_FILE) {
            return Err(SchemaError::InvalidValue {
                what: "session id".into(),
                found: session.to_string(),
                rule: "another name, since store.json is a file of the store itself",
            });
        }
        Staging::create(&self.path, session.as_str())
    }

    /// Puts a staged session in place, also of one that is there already. The folder must be as `digest` says, so that
    /// nobody puts in place what another process has not finished.
    ///
    /// Errors: [`SchemaError::DamagedSession`]; [`SchemaError::Io`]. What was stored before is then untouched.
    pub fn commit(&self, staging: Staging, digest: &SessionDigest) -> Result<(), SchemaError> {
        let found = Manifest::read(staging.path())?;
        found.check_names(staging.path())?;
        if found.digest() != digest.digest {
            return Err(SchemaError::DamagedSession {
                session: digest.session.clone(),
                cause: Box::new(SchemaError::damaged(staging.path(), "not what was written")),
            });
        }
        staging.commit(&self.session_path(&digest.session))
    }

    /// Claims the store for one writer at a time; the claim ends when the returned file is dropped or the process ends.
    ///
    /// Errors: [`SchemaError::StoreInUse`] when another process has it; [`SchemaError::Io`].
    pub fn lock(&self) -> Result<File, SchemaError> {
        let path = self.path.join(STORE_FILE);
        let file = File::open(&path).map_err(SchemaError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(SchemaError::StoreInUse { store: self.path.clone() }),
            Err(fs::TryLockError::Error(error)) => Err(SchemaError::io("lock", &path)(error)),
        }
    }

    /// Deletes what processes that are no more have left unfinished. Call it with the store locked.
    ///
    /// Errors: [`SchemaError::Io`].
    pub fn remove_unfinished(&self, is_running: impl Fn(u32) -> bool) -> Result<(), SchemaError> {
        atomic::remove_unfinished(&self.path, is_running)
    }

    /// Reads a session. Length and BLAKE3 of every file are checked before it is decoded.
    ///
    /// Errors: [`SchemaError::SessionNotFound`]; [`SchemaError::DamagedSession`] with the first file that is not as
    /// written.
    pub fn read(&self, session: &SessionId) -> Result<Recording, SchemaError> {
        self.guard(session, |dir| {
            let manifest = Manifest::read(dir)?;
            manifest.check_names(dir)?;
            let file = read_session_file(dir, &manifest, session)?;
            read_files(dir, &manifest, file)
        })
    }

    /// The spikes of a session, to read a range of time, or all of them without holding all at once. Only the bytes of
    /// the spikes are checked; of a long file only those that are read.
    ///
    /// Errors: [`SchemaError::SessionNotFound`], [`SchemaError::DamagedSession`]; [`SchemaError::NoSpikeTimes`] for a
    /// session that exists as counts only.
    pub fn spike_file(&self, session: &SessionId) -> Result<SpikeFile, SchemaError> {
        self.guard(session, |dir| {
            let manifest = Manifest::read(dir)?;
            let file = read_session_file(dir, &manifest, session)?;
            let path = dir.join(SPIKES_FILE);
            match (file.activity, manifest.file(SPIKES_FILE)) {
                (ActivityFile::Spikes {}, Some(entry)) => SpikeFile::open(&path, entry, file.n_spikes),
                (ActivityFile::Spikes {}, None) => Err(SchemaError::MissingFile { path }),
                (ActivityFile::Counts { .. }, _) => {
                    Err(SchemaError::NoSpikeTimes { session: session.clone() })
                }
            }
        })
    }

    /// Identity and provenance of a session, without decoding its tables.
    ///
    /// Errors: [`SchemaError::SessionNotFound`], [`SchemaError::DamagedSession`].
    pub fn info(&self, session: &SessionId) -> Result<SessionInfo, SchemaError> {
        self.guard(session, |dir| Ok(read_session_file(dir, &Manifest::read(dir)?, session)?.info))
    }

    /// The digest of a session's manifest: it changes when, and only when, a byte of the session changes.
    ///
    /// The manifest itself is checked, the other files are not; see [`Store::verify`].
    /// Errors: [`SchemaError::SessionNotFound`], [`SchemaError::DamagedSession`].
    pub fn digest(&self, session: &SessionId) -> Result<String, SchemaError> {
        self.guard(session, |dir| Ok(Manifest::read(dir)?.digest()))
    }

    /// Checks every byte of a session and decodes it, without keeping it.
    ///
    /// Errors: [`SchemaError::SessionNotFound`], [`SchemaError::DamagedSession`].
    pub fn verify(&self, session: &SessionId) -> Result<(), SchemaError> {
        self.read(session).map(drop)
    }

    /// Deletes a session, also a damaged one.
    ///
    /// Errors: [`SchemaError::SessionNotFound`], [`SchemaError::Io`].
    pub fn remove(&self, session: &SessionId) -> Result<(), SchemaError> {
        let dir = self.existing(session)?;
        // Under the temporary name a stop in the middle leaves no half session behind.
        let staging = Staging::create(&self.path, session.as_str())?;
        fs::rename(&dir, staging.path()).map_err(SchemaError::io("remove", &dir))
    }

    fn session_path(&self, session: &SessionId) -> PathBuf {
        self.path.join(session.as_str())
    }

    fn existing(&self, session: &SessionId) -> Result<PathBuf, SchemaError> {
        let dir = self.session_path(session);
        if dir.is_dir() {
            return Ok(dir);
        }
        // Of a folder that cannot be listed, nothing is told.
        let known = self.sessions().unwrap_or_default();
        Err(SchemaError::SessionNotFound { session: session.clone(), store: self.path.clone(), known })
    }

    /// Runs `f` on the session's folder and says which session failed.
    fn guard<T>(
        &self,
        session: &SessionId,
        f: impl FnOnce(&Path) -> Result<T, SchemaError>,
    ) -> Result<T, SchemaError> {
        let dir = self.existing(session)?;
        f(&dir).map_err(|cause| cause.of_session(session))
    }
}

/// Refuses a `store.json` that is not as this version writes it.
pub(crate) fn check_store_file(file: &Path, bytes: &[u8]) -> Result<(), SchemaError> {
    if bytes == store_file_bytes(file)? {
        return Ok(());
    }
    let found: StoreFile =
        serde_json::from_slice(bytes).map_err(|error| SchemaError::damaged(file, error))?;
    if found.format == FORMAT && found.version > VERSION {
        let (path, found) = (file.to_path_buf(), found.version);
        return Err(SchemaError::UnsupportedVersion { path, found, supported: VERSION });
    }
    Err(SchemaError::damaged(file, "not as it was written; restore it from any other store"))
}

fn store_file_bytes(path: &Path) -> Result<Vec<u8>, SchemaError> {
    let mut bytes = serde_json::to_vec_pretty(&StoreFile { format: FORMAT.into(), version: VERSION })
        .map_err(|error| SchemaError::Encode { path: path.join(STORE_FILE), detail: error.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes all files of a session into an empty folder, the manifest last: the folder that [`Store::commit`] puts in
/// place. The same recording gives the same bytes.
///
/// Errors: [`SchemaError::Io`]; [`SchemaError::Encode`].
pub fn write_session(dir: &Path, recording: &Recording) -> Result<SessionDigest, SchemaError> {
    finish_session(dir, recording, None)
}

/// The same where the spikes may have been written already, so many.
pub(crate) fn finish_session(
    dir: &Path,
    recording: &Recording,
    n_written: Option<u64>,
) -> Result<SessionDigest, SchemaError> {
    let names = write_files(dir, recording, n_written)?;
    let manifest = Manifest::of_session(dir, &names)?;
    manifest.write(dir)?;
    Ok(SessionDigest {
        session: recording.info().session.clone(),
        digest: manifest.digest(),
        bytes: manifest.total_bytes(),
    })
}

/// Writes everything but the manifest, and returns the names of the files.
fn write_files(
    dir: &Path,
    recording: &Recording,
    n_written: Option<u64>,
) -> Result<Vec<String>, SchemaError> {
    let mut names = Vec::new();
    let mut next = |name: String| {
        let path = dir.join(&name);
        names.push(name);
        path
    };
    let path = next(SESSION_FILE.into());
    let mut session_file = SessionFile::of(recording);
    session_file.n_spikes = n_written.unwrap_or(session_file.n_spikes);
    atomic::write_file(&path, &session_file.encode(&path)?)?;
    tables::write_units(&next(UNITS_FILE.into()), recording.units(), recording.unit_columns())?;
    column_tables::write_trials(&next(TRIALS_FILE.into()), recording.trials())?;
    match recording.activity() {
        Activity::Spikes(spikes) => {
            let path = next(SPIKES_FILE.into());
            if n_written.is_none() {
                tables::write_spikes(&path, spikes)?;
            }
        }
        Activity::Counts(counts) => tables::write_counts(&next(COUNTS_FILE.into()), counts)?,
    }
    if *recording.electrodes() != Table::default() {
        column_tables::write_table(&next(ELECTRODES_FILE.into()), recording.electrodes())?;
    }
    for table in recording.intervals() {
        column_tables::write_trials(&next(intervals_file(&table.name)), &table.rows)?;
    }
    for signal in recording.signals() {
        write_signal(&next(signal_file(signal.name())), signal)?;
    }
    Ok(names)
}

/// Reads every file that `session.json` speaks of; the manifest may list no others.
fn read_files(dir: &Path, manifest: &Manifest, file: SessionFile) -> Result<Recording, SchemaError> {
    let mut names = vec![SESSION_FILE.to_owned()];
    let mut opened = Vec::new();
    let mut load = |name: String, n_columns: usize| {
        let file = manifest.open_file(dir, &name, n_columns)?;
        let path = dir.join(&name);
        names.push(name);
        opened.push((path.clone(), file.clone()));
        Ok::<_, SchemaError>((path, file))
    };
    let (path, bytes) = load(UNITS_FILE.into(), 4 + file.unit_columns.len())?;
    let (units, unit_columns) = tables::read_units(&path, bytes, file.n_units, &file.unit_columns)?;
    let (path, bytes) = load(TRIALS_FILE.into(), 2 + file.trial_columns.len())?;
    let trials = column_tables::read_trials(&path, bytes, file.n_trials, &file.trial_columns)?
        .with_times(!file.trials_end_to_end);
    let (activity_path, activity) = match file.activity {
        ActivityFile::Spikes {} => {
            let (path, bytes) = load(SPIKES_FILE.into(), 2)?;
            let spikes = tables::read_spikes(&path, &bytes, file.n_spikes)?;
            (path, Activity::Spikes(spikes))
        }
        ActivityFile::Counts { bin_size_s, n_bins } => {
            let (path, bytes) = load(COUNTS_FILE.into(), 3)?;
            let shape = CountsShape { bin_size_s, n_trials: file.n_trials, n_units: file.n_units, n_bins };
            let counts = tables::read_counts(&path, bytes, shape)?;
            (path, Activity::Counts(counts))
        }
    };
    let mut electrodes = Table::default();
    if let Some(listed) = &file.electrodes {
        let (path, bytes) = load(ELECTRODES_FILE.into(), listed.columns.len())?;
        electrodes = column_tables::read_table(&path, bytes, listed.n_rows, &listed.columns)?;
    }
    let mut intervals = Vec::new();
    for IntervalsFile { name, description, n_rows, columns } in &file.intervals {
        let (path, bytes) = load(intervals_file(name), 2 + columns.len())?;
        let rows = column_tables::read_trials(&path, bytes, *n_rows, columns)?;
        intervals.push(IntervalTable { name: name.clone(), description: description.clone(), rows });
    }
    let mut signals = Vec::new();
    for listed in &file.signals {
        let (path, bytes) = load(signal_file(&listed.name), 1 + listed.columns.len())?;
        signals.push(read_signal(&path, bytes, listed)?);
    }
    for (path, file) in &opened {
        file.check_rest(path)?;
    }
    if let Some(extra) = manifest.files().iter().find(|entry| !names.contains(&entry.name)) {
        return Err(SchemaError::UnexpectedFile { path: dir.join(&extra.name) });
    }
    let recording = Recording::from_parts(RecordingParts {
        info: file.info,
        metadata: file.metadata,
        units,
        unit_columns,
        electrodes,
        activity,
        trials,
        intervals,
        signals,
    })?;
    if recording.n_spikes() != file.n_spikes {
        let detail = format!("{} spikes, session.json says {}", recording.n_spikes(), file.n_spikes);
        return Err(SchemaError::damaged(&activity_path, detail));
    }
    Ok(recording)
}

fn read_session_file(
    dir: &Path,
    manifest: &Manifest,
    session: &SessionId,
) -> Result<SessionFile, SchemaError> {
    let path = dir.join(SESSION_FILE);
    SessionFile::decode(&manifest.read_file(dir, SESSION_FILE)?, &path)?.of_session(session, &path)
}
