//! `dataset.toml`: what a folder of recordings cannot say about itself: source, citation, license, species, consent.
//!
//! It lies beside the recordings, so that a reader is not bound to one dataset and a user's own folder gets its card.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use neurobrick_schema::{
    Card, Column, ColumnValues, Consent, DatasetId, SessionId, SessionInfo, SourceFile, SubjectId,
};
use serde::Deserialize;

use crate::error::IngestError;

/// The content of `dataset.toml`; unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasetFile {
    /// Name of the dataset.
    pub(crate) dataset: DatasetId,
    /// See [`Card::source`].
    source: String,
    /// See [`Card::citation`].
    citation: String,
    /// See [`Card::license`].
    license: String,
    /// See [`Card::species`].
    species: Option<String>,
    /// See [`Card::consent`].
    consent: Consent,
    /// Steps that were taken before the files were as they are.
    #[serde(default)]
    changes: Vec<String>,
    /// See [`Card::notes`].
    notes: Option<String>,
    /// Name of the session, where neither files nor folders say it.
    pub(crate) session: Option<SessionId>,
    /// Name of the subject, where neither files nor folders say it.
    pub(crate) subject: Option<SubjectId>,
    /// Which table of intervals the trials are, where a file has several and calls none so.
    pub(crate) trials: Option<String>,
    /// Width of a bin in seconds, where files of counts do not say it.
    pub(crate) bin_size_s: Option<f64>,
    /// Samples or frames per second, where files of samples do not say it.
    pub(crate) rate_hz: Option<f64>,
    /// What trial columns mean.
    #[serde(default)]
    columns: BTreeMap<String, ColumnNote>,
}

/// What is known about a trial column.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnNote {
    /// Type of the values; a text table is otherwise read by how its cells look.
    pub(crate) r#type: Option<CellType>,
    /// Unit of measure.
    unit: Option<String>,
    /// Meaning, in a sentence.
    description: Option<String>,
}

/// Type of the cells of a text table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CellType {
    Float,
    Int,
    Text,
    Bool,
}

impl DatasetFile {
    /// Name of the file.
    pub(crate) const NAME: &'static str = "dataset.toml";

    /// Reads `dataset.toml` of a folder.
    pub(crate) fn read(dir: &Path) -> Result<Self, IngestError> {
        let path = dir.join(Self::NAME);
        if !path.is_file() {
            return Err(IngestError::MissingFile {
                path,
                needed_for: "every copy of the data must say where it comes from; write it with these lines:\n\
                             dataset = \"my-lab-2026\"\n\
                             source = \"who recorded it, and where\"\n\
                             citation = \"\"\n\
                             license = \"CC-BY-4.0\"\n\
                             species = \"Mus musculus\"\n\
                             consent = \"non_human\"  # or unrestricted, research_only, controlled, unknown",
            });
        }
        let text = fs::read_to_string(&path).map_err(IngestError::io("read", &path))?;
        toml::from_str(&text).map_err(|error| IngestError::DatasetFile { path, detail: error.to_string() })
    }

    /// Reads `dataset.toml` of a folder that need not have one.
    pub(crate) fn read_if_any(dir: &Path) -> Result<Option<Self>, IngestError> {
        if dir.join(Self::NAME).is_file() { Self::read(dir).map(Some) } else { Ok(None) }
    }

    /// What is known about the trial column `name`.
    pub(crate) fn note(&self, name: &str) -> ColumnNote {
        self.columns.get(name).cloned().unwrap_or_default()
    }

    /// A trial column with its unit of measure and meaning.
    pub(crate) fn column(&self, name: &str, values: ColumnValues) -> Column {
        let ColumnNote { unit, description, .. } = self.note(name);
        Column { name: name.to_owned(), unit, description, values }
    }

    /// A trial column with what the folder adds to what its file says.
    pub(crate) fn describe(&self, column: Column) -> Column {
        let ColumnNote { unit, description, .. } = self.note(&column.name);
        Column { unit: unit.or(column.unit), description: description.or(column.description), ..column }
    }

    /// A positive number that a format cannot do without.
    pub(crate) fn required(
        value: Option<f64>,
        dir: &Path,
        key: &str,
        meaning: &str,
    ) -> Result<f64, IngestError> {
        value.filter(|value| value.is_finite() && *value > 0.0).ok_or_else(|| IngestError::DatasetFile {
            path: dir.join(Self::NAME),
            detail: format!("the files do not say the {meaning}; write {key} = <a positive number> into it"),
        })
    }

    /// Name of the subject, `unknown` where nobody says it.
    pub(crate) fn subject_or_unknown(&self, path: &Path) -> Result<SubjectId, IngestError> {
        match &self.subject {
            Some(subject) => Ok(subject.clone()),
            None => SubjectId::new("unknown").map_err(IngestError::invalid(path)),
        }
    }

    /// Refuses `session` and `subject` for a format that names them itself.
    pub(crate) fn refuse_names(&self, dir: &Path, why: &str) -> Result<(), IngestError> {
        if self.session.is_none() && self.subject.is_none() {
            return Ok(());
        }
        let detail = format!("session and subject must not be set: {why}");
        Err(IngestError::DatasetFile { path: dir.join(Self::NAME), detail })
    }

    /// Refuses notes on columns that no trial has: most likely a typing error.
    pub(crate) fn check_notes(&self, dir: &Path, columns: &[Column]) -> Result<(), IngestError> {
        match self.columns.keys().find(|name| !columns.iter().any(|column| column.name == **name)) {
            Some(stray) => {
                let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                Err(IngestError::DatasetFile {
                    path: dir.join(Self::NAME),
                    detail: format!(
                        "[columns.{stray}] describes a column that the trials do not have; they have {}",
                        known.join(", ")
                    ),
                })
            }
            None => Ok(()),
        }
    }

    /// Identity and provenance of a session.
    pub(crate) fn info(
        &self,
        session: SessionId,
        subject: SubjectId,
        source_files: Vec<SourceFile>,
        step: String,
    ) -> SessionInfo {
        let mut changes = self.changes.clone();
        changes.push(step);
        let card = Card {
            source: self.source.clone(),
            citation: self.citation.clone(),
            license: self.license.clone(),
            species: self.species.clone(),
            consent: self.consent,
            changes,
            source_files,
            notes: self.notes.clone(),
        };
        SessionInfo { session, subject, dataset: self.dataset.clone(), card }
    }
}
