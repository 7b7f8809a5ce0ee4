//! The counts of a session by what they are for.

use std::collections::BTreeMap;

use ndarray::Array3;
use neurobrick_data::resampling_clusters;
use neurobrick_schema::Interval;
use neurobrick_train::TrainSession;

use super::ScoringConfig;
use super::score::{text_at, unknown_column};
use crate::EvaluateError;

/// Counts `[B, T, N]` of the parts of a session, and conditions for the PSTH.
pub(super) struct Parts {
    pub(super) train: Array3<f64>,
    pub(super) valid: Array3<f64>,
    pub(super) test: Array3<f64>,
    /// Training and validation trials together, for what is chosen already.
    pub(super) both: Array3<f64>,
    /// Which validation windows are one observation, because they overlap.
    pub(super) valid_clusters: Vec<usize>,
    pub(super) train_conditions: Vec<usize>,
    pub(super) valid_conditions: Vec<usize>,
    pub(super) test_conditions: Vec<usize>,
}

impl Parts {
    pub(super) fn new(session: &TrainSession, scoring: &ScoringConfig) -> Result<Self, EvaluateError> {
        let (data, split) = (&session.data, &session.split);
        let conditions = conditions(session, &scoring.condition_columns)?;
        let of = |trials: &[usize]| trials.iter().map(|&t| conditions[t]).collect();
        Ok(Self {
            valid_clusters: clusters_of(session, &split.valid),
            both: data.counts_of(&[split.train.as_slice(), split.valid.as_slice()].concat()),
            train: data.counts_of(&split.train),
            valid: data.counts_of(&split.valid),
            test: data.counts_of(&split.test),
            train_conditions: of(&split.train),
            valid_conditions: of(&split.valid),
            test_conditions: of(&split.test),
        })
    }
}

/// Which windows of these trials are one observation.
pub(super) fn clusters_of(session: &TrainSession, trials: &[usize]) -> Vec<usize> {
    let windows: Vec<Interval> = trials.iter().map(|&trial| session.data.windows()[trial]).collect();
    resampling_clusters(&windows)
}

/// Condition label of every usable trial: equal values in all `columns` make one condition.
fn conditions(session: &TrainSession, columns: &[String]) -> Result<Vec<usize>, EvaluateError> {
    let mut labels = BTreeMap::new();
    let keys = condition_keys(session, columns)?;
    Ok(keys
        .into_iter()
        .map(|key| {
            let next = labels.len();
            *labels.entry(key).or_insert(next)
        })
        .collect())
}

/// The values of every usable trial in these columns as one text, which is the same in all sessions for equal values.
///
/// # Errors
/// If the trials lack a column.
pub fn condition_keys(session: &TrainSession, columns: &[String]) -> Result<Vec<String>, EvaluateError> {
    let data = &session.data;
    let mut keys = vec![String::new(); data.n_trials()];
    for name in columns {
        let column = data.trials().column(name).ok_or_else(|| unknown_column(session, name))?;
        for (key, &row) in keys.iter_mut().zip(data.trial_idx()) {
            push_part(key, &text_at(&column.values, row));
        }
    }
    Ok(keys)
}

/// Appends a column's value and the bar that ends it; bars within the value are marked, so that no two rows of values make one key.
fn push_part(key: &mut String, value: &str) {
    for character in value.chars() {
        if matches!(character, '|' | '\\') {
            key.push('\\');
        }
        key.push(character);
    }
    key.push('|');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_bars_make_keys_of_their_own() {
        let key = |values: &[&str]| {
            let mut key = String::new();
            for value in values {
                push_part(&mut key, value);
            }
            key
        };
        // Keys without bars are as records of models hold them.
        assert_eq!(key(&["left", "0.5"]), "left|0.5|");
        let rows = [["a|b", "c"], ["a", "b|c"], ["a\\", "b|c"], ["a\\|b", "c"], ["", "a|b|c"]];
        let keys: std::collections::BTreeSet<String> = rows.iter().map(|row| key(row)).collect();
        assert_eq!(keys.len(), rows.len(), "{keys:?}");
    }
}
