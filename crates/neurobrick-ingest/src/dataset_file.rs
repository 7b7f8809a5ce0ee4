//! `dataset.toml`: what a folder of recordings cannot say about itself: source, citation, license, species, consent.
//!
//! It lies beside the recordings, so that a reader is not bound to one dataset and a user's own folder gets its card.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use neurobrick_schema::{
    Card, Column, ColumnValues, Consent, DatasetId, IntervalTable, SessionId, SessionInfo, SourceFile,
    SubjectId, Trials,
};
use serde::Deserialize;

use crate::error::{IngestError, did_you_mean};

/// What a text is that nobody gave.
const UNKNOWN: &str = "unknown";

/// What every `dataset.toml` has, with values that mislabel nothing: pasted as they are, they are refused or say that
/// nobody knows.
const TEMPLATE: [&str; 6] = [
    "dataset = \"\"  # its short name, such as my-lab-2026",
    "source = \"\"  # who recorded it, and where it was obtained",
    "citation = \"\"  # what to cite; may stay empty",
    "license = \"unknown\"  # such as CC-BY-4.0",
    "species = \"unknown\"  # such as Mus musculus",
    "consent = \"unknown\"  # or non_human (animals), unrestricted, research_only, controlled",
];

/// The lines of a template, and further ones, but for keys that are there already.
fn template(given: &toml::Table, lines: &[&str]) -> String {
    let is_missing = |line: &&&str| !line.split(' ').next().is_some_and(|key| given.contains_key(key));
    TEMPLATE.iter().chain(lines).filter(is_missing).copied().collect::<Vec<_>>().join("\n")
}

/// A text, unless it says nothing.
fn said(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.trim().is_empty())
}

/// Where a format looks for `dataset.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the folder of the recording.
    Beside,
    /// There, and in the folders above it up to the one that is ingested.
    BesideOrAbove,
}

impl Place {
    fn in_words(self) -> &'static str {
        match self {
            Self::Beside => "write it with these lines",
            Self::BesideOrAbove => {
                "write it there, or in a folder above where the data cannot be written to, and ingest that folder; it needs \
                 these lines"
            }
        }
    }
}

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
    /// See [`Card::ethics`].
    ethics: Option<String>,
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

    /// Reads `dataset.toml` of a folder, for a format whose files say nothing of the kind themselves. A format may ask for
    /// more than what every dataset has: `lines` are put under the template, should there be no such file.
    pub(crate) fn read(dir: &Path, place: Place, lines: &[&str]) -> Result<Self, IngestError> {
        let path = dir.join(Self::NAME);
        if !path.is_file() {
            return Err(IngestError::MissingDatasetFile {
                path,
                place: place.in_words(),
                template: template(&toml::Table::new(), lines),
            });
        }
        let file = Self::parse(&path, lines)?;
        if file.source.trim().is_empty() {
            let detail =
                "source is empty; say in it who recorded the data, and where they were obtained".into();
            return Err(IngestError::DatasetFile { path, detail });
        }
        Ok(file)
    }

    /// Reads `dataset.toml` of a folder that need not have one, for a format whose files say something themselves.
    pub(crate) fn read_if_any(dir: &Path) -> Result<Option<Self>, IngestError> {
        let path = dir.join(Self::NAME);
        path.is_file().then(|| Self::parse(&path, &[])).transpose()
    }

    fn parse(path: &Path, lines: &[&str]) -> Result<Self, IngestError> {
        let text = fs::read_to_string(path).map_err(IngestError::io("read", path))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let mut detail = error.to_string();
            if error.message().starts_with("missing field")
                && let Ok(given) = text.parse::<toml::Table>()
            {
                detail = format!(
                    "{}; add these lines, above any [columns] table:\n{}",
                    error.message(),
                    template(&given, lines)
                );
            }
            IngestError::DatasetFile { path: path.to_path_buf(), detail }
        })
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

    /// Refuses `trials` for a format whose trials no table of intervals could be.
    pub(crate) fn refuse_trials(&self, dir: &Path, why: &str) -> Result<(), IngestError> {
        match &self.trials {
            None => Ok(()),
            Some(name) => {
                let detail = format!("trials = {name:?} must not be set: {why}; take the line out");
                Err(IngestError::DatasetFile { path: dir.join(Self::NAME), detail })
            }
        }
    }

    /// Takes the table that `trials` asks for out of the tables of intervals, as the trials; none where it asks for none.
    pub(crate) fn take_trials(
        &self,
        dir: &Path,
        intervals: &mut Vec<IntervalTable>,
    ) -> Result<Option<Trials>, IngestError> {
        let Some(name) = &self.trials else { return Ok(None) };
        if let Some(position) = intervals.iter().position(|table| table.name == *name) {
            return Ok(Some(intervals.remove(position).rows));
        }
        let found: Vec<&str> = intervals.iter().map(|table| table.name.as_str()).collect();
        let has = if found.is_empty() { "no tables of intervals".to_owned() } else { found.join(", ") };
        let near = did_you_mean(name, &found);
        let detail = format!("it asks for trials = {name:?}, and the recording has {has}{near}");
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
            license: said(&self.license).unwrap_or(UNKNOWN).to_owned(),
            species: self.species.as_deref().and_then(said).map(str::to_owned),
            consent: self.consent,
            // Who knows nothing says nothing.
            ethics: self.ethics.as_deref().and_then(said).filter(|text| *text != UNKNOWN).map(str::to_owned),
            changes,
            source_files,
            notes: self.notes.clone(),
        };
        SessionInfo { session, subject, dataset: self.dataset.clone(), card }
    }
}
