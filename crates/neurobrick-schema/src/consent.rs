//! What the recorded subject allows to be done with the recording.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Consent scope of a recording. The license says what the *publisher* allows; this says what the *subject* allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// An animal was recorded: consent does not apply, welfare rules of the source do.
    #[serde(alias = "non-human")]
    NonHuman,
    /// A person agreed to open sharing and any use.
    Unrestricted,
    /// A person agreed to use in research only.
    ResearchOnly,
    /// A person agreed to use by named or approved users only.
    Controlled,
    /// The source does not say. Treat as not to be shared.
    Unknown,
}

impl fmt::Display for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NonHuman => "non-human",
            Self::Unrestricted => "unrestricted",
            Self::ResearchOnly => "research only",
            Self::Controlled => "controlled access",
            Self::Unknown => "unknown",
        })
    }
}
