//! The provenance card: where a recording comes from and what may be done with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consent::Consent;
use crate::error::SchemaError;
use crate::ids::{DatasetId, SessionId, SubjectId};

/// One file that the recording was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Path relative to the source folder, with `/` between parts.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 of the content, 64 lower-case hexadecimal digits.
    pub blake3: String,
}

/// Provenance of a recording; travels with every copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Where the data were obtained: archive, version, address.
    pub source: String,
    /// How to cite the data; empty when the source names nothing.
    pub citation: String,
    /// License of the data, as an SPDX expression where one exists.
    pub license: String,
    /// Scientific or common name of the species.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub species: Option<String>,
    /// What the recorded subject allows.
    pub consent: Consent,
    /// What the source says of its approval by a board of ethics or of animal welfare; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ethics: Option<String>,
    /// The steps that made the recording out of the source, oldest first.
    #[serde(default)]
    pub changes: Vec<String>,
    /// The files it was made from.
    #[serde(default)]
    pub source_files: Vec<SourceFile>,
    /// Anything a user should know, such as gaps or known artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl Card {
    /// Checks that the card says where the data come from and under which license.
    ///
    /// [`SchemaError::InvalidValue`] names the empty field.
    pub fn validate(&self) -> Result<(), SchemaError> {
        for (what, text) in [("card.source", &self.source), ("card.license", &self.license)] {
            if text.trim().is_empty() {
                return Err(SchemaError::InvalidValue {
                    what: what.into(),
                    found: "empty".into(),
                    rule: "filled in, so that every copy says where it comes from",
                });
            }
        }
        Ok(())
    }
}

/// Whose recording it is and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionInfo {
    /// The session.
    pub session: SessionId,
    /// Whom it was recorded from.
    pub subject: SubjectId,
    /// The dataset it was published in.
    pub dataset: DatasetId,
    /// Its provenance.
    pub card: Card,
}
