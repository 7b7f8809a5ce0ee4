//! Names of sessions, subjects and datasets: safe as folder names on every file system.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::error::SchemaError;

/// Longest name in characters.
const MAX_CHARS: usize = 128;

fn validate(kind: &'static str, value: String) -> Result<String, SchemaError> {
    let reason = if value.is_empty() {
        "it is empty"
    } else if value.starts_with('.') {
        "it starts with a dot"
    } else if !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        "it holds other characters"
    } else if value.len() > MAX_CHARS {
        "it is too long"
    } else {
        return Ok(value);
    };
    Err(SchemaError::InvalidId { kind, value, reason })
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 128 characters of `A-Z a-z 0-9 . _ -` that do not start with a dot.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps a name; [`SchemaError::InvalidId`] when it breaks the rule.
            pub fn new(value: impl Into<String>) -> Result<Self, SchemaError> {
                validate($kind, value.into()).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = SchemaError;

            fn from_str(value: &str) -> Result<Self, SchemaError> {
                Self::new(value)
            }
        }

        impl TryFrom<String> for $name {
            type Error = SchemaError;

            fn try_from(value: String) -> Result<Self, SchemaError> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$",
                })
            }
        }
    };
}

id_type!(
    /// One continuous recording of one subject with one set of units.
    SessionId,
    "session"
);
id_type!(
    /// An animal or a person.
    SubjectId,
    "subject"
);
id_type!(
    /// A published set of sessions with a version.
    DatasetId,
    "dataset"
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn names_are_safe_as_folders() {
        let long = "a".repeat(128);
        for good in ["a", "session01_Cori_2016-12-14", "A.b", "-x", "0", long.as_str()] {
            assert_eq!(SessionId::new(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(129);
        for bad in
            ["", ".", "..", ".hidden", "../x", "a/b", "a\\b", "a b", "é", "a\0", "a\n", too_long.as_str()]
        {
            let error = SessionId::new(bad).unwrap_err();
            assert!(
                matches!(&error, SchemaError::InvalidId { kind: "session", value, .. } if value == bad),
                "{bad:?}: {error}"
            );
        }
    }

    #[test]
    fn serde_is_transparent_and_validates() {
        let id: SubjectId = serde_json::from_str("\"Cori\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"Cori\"");
        let error = serde_json::from_str::<SubjectId>("\"../x\"").unwrap_err().to_string();
        assert!(error.contains("subject id \"../x\" is invalid"), "{error}");
    }
}
