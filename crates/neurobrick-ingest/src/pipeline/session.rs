//! One session from its files into the store, in this process or in one of its own.

use std::collections::BTreeSet;
use std::path::Path;

use neurobrick_schema::{
    DatasetId, Recording, SchemaError, SessionDigest, SessionId, SessionInfo, SourceFile, Store, SubjectId,
    write_session,
};
use serde::{Deserialize, Serialize};

use super::{IngestOptions, Ingested};
use crate::dataset_file::DatasetFile;
use crate::error::IngestError;
use crate::mapping::MappingFile;
use crate::reader::{Reader, Source};

/// Files that say something about the data and hold none.
const ABOUT_DATA: [&str; 2] = [DatasetFile::NAME, MappingFile::NAME];

/// How a session fared.
pub(super) enum Outcome {
    Written(Ingested),
    Unchanged(SessionId),
    Refused(IngestError),
    /// The store cannot be written, so that no other session would go in either.
    Stop(IngestError),
}

/// A session that lies in a staging folder, complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Staged {
    pub(crate) digest: SessionDigest,
    pub(crate) dataset: DatasetId,
    pub(crate) subject: SubjectId,
    pub(crate) n_units: usize,
    pub(crate) n_trials: usize,
    pub(crate) n_spikes: u64,
    pub(crate) n_signals: usize,
    pub(crate) n_interval_tables: usize,
}

/// Reads a session and writes it into an empty folder.
///
/// Errors: [`IngestError::Store`] where the folder cannot be written; anything else is about the session.
pub(crate) fn read_into(reader: &dyn Reader, source: &Source, dir: &Path) -> Result<Staged, IngestError> {
    let recording: Recording = reader.read(source).map_err(about_source)?;
    Ok(Staged {
        digest: write_session(dir, &recording)?,
        dataset: recording.info().dataset.clone(),
        subject: recording.info().subject.clone(),
        n_units: recording.n_units(),
        n_trials: recording.trials().len(),
        n_spikes: recording.n_spikes(),
        n_signals: recording.signals().len(),
        n_interval_tables: recording.intervals().len(),
    })
}

/// A source that cannot be hashed is no fault of the store.
fn about_source(error: IngestError) -> IngestError {
    match error {
        IngestError::Store(SchemaError::Io { action, path, source }) => {
            IngestError::Io { action, path, source }
        }
        error => error,
    }
}

/// Brings a session into the store, unless it is there.
pub(super) fn bring_in(
    reader: &dyn Reader,
    source: &Source,
    store: &Store,
    options: &IngestOptions<'_>,
) -> Outcome {
    if is_unchanged(source, store) {
        return Outcome::Unchanged(source.session.clone());
    }
    match stage_and_commit(reader, source, store, options) {
        Ok((staged, is_replaced)) => Outcome::Written(Ingested {
            digest: staged.digest,
            format: reader.format(),
            n_units: staged.n_units,
            n_trials: staged.n_trials,
            n_spikes: staged.n_spikes,
            n_signals: staged.n_signals,
            n_interval_tables: staged.n_interval_tables,
            is_replaced,
            renamed_from: source.renamed_from(),
        }),
        Err(error @ (IngestError::Store(SchemaError::Io { .. }) | IngestError::StoreNotWritten { .. })) => {
            Outcome::Stop(error)
        }
        Err(error) => Outcome::Refused(error),
    }
}

/// What was written, and whether it took the place of an older copy.
fn stage_and_commit(
    reader: &dyn Reader,
    source: &Source,
    store: &Store,
    options: &IngestOptions<'_>,
) -> Result<(Staged, bool), IngestError> {
    let staging = store.stage(&source.session)?;
    let staged = match &options.isolation {
        Some(isolation) => isolation.read_into(reader, source, staging.path())?,
        None => read_into(reader, source, staging.path())?,
    };
    let is_stored = store.contains(&source.session);
    let stored = is_stored.then(|| store.info(&source.session)).and_then(Result::ok);
    if let Some(stored) = &stored
        && (stored.dataset != staged.dataset || stored.subject != staged.subject)
    {
        check_replaces(stored, &staged.subject, source, store)?;
    }
    // Not there, damaged, or from files that have changed since.
    store.commit(staging, &staged.digest)?;
    Ok((staged, stored.is_some()))
}

/// Refuses to put a session in place of one of another dataset or subject, unless it is the same recording under a
/// `dataset.toml` or `mapping.toml` that says more than it did. Behind a mapping one file may hold several subjects: there the same
/// bytes said to be of another are another recording.
fn check_replaces(
    stored: &SessionInfo,
    subject: &SubjectId,
    source: &Source,
    store: &Store,
) -> Result<(), IngestError> {
    let folder = store.path().join(source.session.as_str());
    let files = source.hash_files().map_err(about_source)?;
    let is_mapped = files.iter().any(|file| file_name(file) == MappingFile::NAME);
    let is_other_subject = is_mapped && stored.subject != *subject;
    if is_other_subject || !has_all_data(&stored.card.source_files, &files) {
        return Err(IngestError::SessionTaken {
            path: source.main.clone(),
            session: source.session.clone(),
            dataset: stored.dataset.clone(),
            subject: stored.subject.clone(),
            folder: folder.into(),
        });
    }
    let has_card = |files: &[SourceFile]| files.iter().any(|file| file_name(file) == DatasetFile::NAME);
    if has_card(&stored.card.source_files) && !has_card(&files) {
        return Err(IngestError::CardLost {
            path: source.main.clone(),
            session: source.session.clone(),
            dataset: stored.dataset.clone(),
            folder: folder.into(),
        });
    }
    Ok(())
}

/// Whether all data files of the stored recording are among those found, by content and wherever they lie; what is written
/// about the data may differ.
fn has_all_data(stored: &[SourceFile], found: &[SourceFile]) -> bool {
    let data = |files: &[SourceFile]| -> BTreeSet<String> {
        let is_about_data = |file: &&SourceFile| ABOUT_DATA.contains(&file_name(file));
        files.iter().filter(|file| !is_about_data(file)).map(|file| file.blake3.clone()).collect()
    };
    let (stored, found) = (data(stored), data(found));
    !stored.is_empty() && stored.is_subset(&found)
}

fn file_name(file: &SourceFile) -> &str {
    file.name.rsplit('/').next().unwrap_or(&file.name)
}

/// Whether the store has the session from the same bytes, undamaged.
pub(super) fn is_unchanged(source: &Source, store: &Store) -> bool {
    if !store.contains(&source.session) {
        return false;
    }
    // Whatever fails here is met again, and reported, when the session is read anew.
    let same = store
        .info(&source.session)
        .is_ok_and(|stored| source.hash_files().is_ok_and(|files| stored.card.source_files == files));
    same && store.verify(&source.session).is_ok()
}
