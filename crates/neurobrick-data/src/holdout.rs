//! Splits of sessions, subjects and units that depend on names alone.

use std::collections::BTreeMap;

use neurobrick_random::{Domain, Stream, name_index};
use neurobrick_schema::{SessionId, SubjectId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::DataError;

/// What must not be divided between parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// Sessions: one animal may train and test on different days.
    Session,
    /// Subjects: the test animals were never seen.
    Subject,
}

/// Which sessions train, validate and test; positions in the list that was split, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSplit {
    /// Sessions whose data may be learned from.
    pub train: Vec<usize>,
    /// Sessions for early stopping and choices.
    pub valid: Vec<usize>,
    /// Sessions for scores.
    pub test: Vec<usize>,
}

impl SessionSplit {
    /// Deals whole sessions or subjects to the parts: a permutation that depends on the seed and on names, not on the
    /// order of the list. Of `n` groups, `round(n * test)` but at least one test and `round(n * valid)` validate.
    ///
    /// # Errors
    /// [`DataError::BadFractions`] for fractions that leave nothing to train on; [`DataError::TooFewGroups`] when a part
    /// that was asked for would be empty.
    pub fn new(
        sessions: &[(SessionId, SubjectId)],
        by: SplitBy,
        valid: f64,
        test: f64,
        seed: u64,
    ) -> Result<Self, DataError> {
        let train = 1.0 - valid - test;
        if !(valid >= 0.0 && test > 0.0 && train > 0.0) {
            return Err(DataError::BadFractions { train, valid, test });
        }
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, (session, subject)) in sessions.iter().enumerate() {
            let name = match by {
                SplitBy::Session => session.as_str(),
                SplitBy::Subject => subject.as_str(),
            };
            groups.entry(name).or_default().push(index);
        }
        let key = |name: &str| Stream::new(seed, Domain::Split, [name_index(name), 1, 0]).bits();
        let mut names: Vec<&str> = groups.keys().copied().collect();
        names.sort_by_key(|name| (key(name), *name));
        let n_groups = names.len();
        let n_test = rounded(test * n_groups as f64).max(1);
        let n_valid = if valid > 0.0 { rounded(valid * n_groups as f64).max(1) } else { 0 };
        if n_test + n_valid >= n_groups {
            return Err(DataError::TooFewGroups { n_groups, needed: n_test + n_valid + 1 });
        }
        let part = |names: &[&str]| {
            let mut found: Vec<usize> = names.iter().flat_map(|name| groups[name].iter().copied()).collect();
            found.sort_unstable();
            found
        };
        Ok(Self {
            test: part(&names[..n_test]),
            valid: part(&names[n_test..n_test + n_valid]),
            train: part(&names[n_test + n_valid..]),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of a number of groups"
)]
fn rounded(x: f64) -> usize {
    x.round() as usize
}

/// Units that a benchmark hides, chosen by a hash of their names: `max(1, round(fraction * n))` units, those with the
/// least SHA-256 of `prefix` followed by the name, as hexadecimal text; positions, ascending.
///
/// `BrainWideBench` takes a tenth, with the prefixes `ts2_co_smoothing_test:` and `ts2_co_smoothing_val:`. Halves are
/// rounded to even, as Python does.
///
/// # Errors
/// [`DataError::BadHoldout`] unless the fraction lies between 0 and 1 and leaves a unit.
pub fn hold_out_units<S: AsRef<str>>(
    ids: &[S],
    prefix: &str,
    fraction: f64,
) -> Result<Vec<usize>, DataError> {
    let n_units = ids.len();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction of a number of units"
    )]
    let n_held_out = ((fraction * n_units as f64).round_ties_even() as usize).max(1);
    if !(fraction > 0.0 && fraction < 1.0) || n_held_out >= n_units {
        return Err(DataError::BadHoldout { fraction, n_units });
    }
    let hash = |id: &str| -> [u8; 32] { Sha256::digest(format!("{prefix}{id}").as_bytes()).into() };
    // Bytes sort as their hexadecimal digits do.
    let mut order: Vec<usize> = (0..n_units).collect();
    order.sort_by_key(|&unit| (hash(ids[unit].as_ref()), unit));
    let mut held_out = order[..n_held_out].to_vec();
    held_out.sort_unstable();
    Ok(held_out)
}
