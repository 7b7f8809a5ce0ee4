//! Names of parts of a session, which are also names of files, and names that were probably meant.

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

/// The known name that is most like `wanted`, for messages such as "did you mean ..?"; `None` when none is like it. Names
/// are alike when a third of the letters of the longer one have to be changed at most, or when one begins the other.
///
/// ```
/// use neurobrick_schema::nearest_name;
///
/// assert_eq!(nearest_name("spike", ["spikes", "trials"]), Some("spikes"));
/// assert_eq!(nearest_name("position", ["spikes", "trials"]), None);
/// ```
pub fn nearest_name<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let likeness = |name: &'a str| {
        let lower = name.to_lowercase();
        let distance = edit_distance(&wanted, &lower);
        let longer = wanted.chars().count().max(lower.chars().count());
        let begins = !wanted.is_empty()
            && !lower.is_empty()
            && (lower.starts_with(&wanted) || wanted.starts_with(&lower));
        (begins || 3 * distance <= longer).then_some((distance, name))
    };
    known.into_iter().filter_map(likeness).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Letters to insert, delete or replace to make one text of the other (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let cost = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found() {
        let known = ["spikes", "trials", "trial_table", "Sub-4_ses-1", "sub-4_ses-2"];
        for (wanted, expected) in [
            ("spike", Some("spikes")),
            ("trial", Some("trials")),
            ("trail_table", Some("trial_table")),
            ("sub-4_ses-1", Some("Sub-4_ses-1")),
            ("sub-4_ses-3", Some("Sub-4_ses-1")),
            ("sub-4", Some("Sub-4_ses-1")),
            ("lfp", None),
            ("", None),
        ] {
            assert_eq!(nearest_name(wanted, known), expected, "{wanted}");
        }
        assert_eq!((edit_distance("kitten", "sitting"), edit_distance("", "abc")), (3, 3));
    }
}
