//! Names of parts of a session, which are also names of files.

use std::collections::HashSet;

use crate::columns::MAX_NAME_CHARS;
use crate::error::SchemaError;

/// Checks a name that becomes part of a file name on every file system.
pub(crate) fn check_part_name(what: &str, name: &str) -> Result<(), SchemaError> {
    let is_plain = !name.is_empty()
        && name.len() <= MAX_NAME_CHARS
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if is_plain {
        return Ok(());
    }
    Err(SchemaError::InvalidValue {
        what: what.to_owned(),
        found: format!("{name:?}"),
        rule: "1 to 128 characters of A-Z a-z 0-9 . _ - that do not start with a dot",
    })
}

/// Refuses two names that are one file where the file system ignores case.
pub(crate) fn check_distinct<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), SchemaError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(SchemaError::Duplicate { what, name: name.to_owned() });
        }
    }
    Ok(())
}
