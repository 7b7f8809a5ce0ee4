//! Labels of trials decoded by a linear probe.

use std::collections::BTreeSet;

use ndarray::Array3;
use neurobrick_metrics::Split;
use neurobrick_schema::ColumnValues;
use neurobrick_train::TrainSession;

use super::DecodeTarget;
use super::results::DecodingEvaluation;
use super::score::{text_at, unknown_column};
use crate::decoding::{Feature, Judging, LabelTarget, N_BLOCKS, Probed, decode_by_logistic};
use crate::{EvaluateError, LoadedSession};

/// Level of all intervals.
pub const LEVEL: f64 = 0.95;

/// Decodes every target from raw counts and from the latents of models. `latents` gives, by name, latents
/// `[trial, bin, L]` of all usable trials.
///
/// Features are means over the window: the square root of each unit's count, or each latent. The probe is an
/// L2-regularized logistic regression fitted on training and validation trials; its nulls refit it `n_shuffles` times to labels
/// shuffled within blocks of trials, and as often to shifted ones. All of it is the probe of the verb `decode`.
///
/// # Errors
/// If a label's column is missing. A label that cannot be decoded (one class, too few trials) is recorded with its
/// reason.
pub fn decode_session(
    session: &TrainSession,
    latents: &[(String, Array3<f64>)],
    targets: &[DecodeTarget],
    (seed, n_shuffles): (u64, usize),
) -> Result<Vec<DecodingEvaluation>, EvaluateError> {
    let data = &session.data;
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let mut features = vec![Feature::raw_counts(&data.counts_of(&all))];
    features.extend(latents.iter().map(|(name, latents)| Feature::latents(name, latents.clone())));
    // Wilson's intervals need no resamples.
    let judging = Judging { seed, n_blocks: N_BLOCKS, n_shuffles, n_resamples: 0, networks: None };
    let mut found = Vec::new();
    for target in targets {
        let labels = labels(session, target)?;
        for feature in &features {
            let target = LabelTarget { name: target.name(), labels: &labels, of_others: &[] };
            found.push(decode(session, target, feature, &judging));
        }
    }
    Ok(found)
}

/// Checks that the columns of all labels exist in every session, and their values in one of them.
///
/// # Errors
/// With the columns or values that there are.
pub fn check_targets(sessions: &[LoadedSession], targets: &[DecodeTarget]) -> Result<(), EvaluateError> {
    for target in targets {
        for session in sessions {
            labels(&session.train, target)?;
        }
        check_values("decode", sessions, target, &[])?;
    }
    Ok(())
}

/// Checks that every value that is a class occurs in one of the sessions, or is among `known`.
///
/// # Errors
/// With the values that there are, under the key `field`.
pub fn check_values(
    field: &str,
    sessions: &[LoadedSession],
    target: &DecodeTarget,
    known: &[&str],
) -> Result<(), EvaluateError> {
    let (DecodeTarget::Category { column, .. } | DecodeTarget::Classes { column, .. }) = target else {
        return Ok(());
    };
    for session in sessions {
        // A column that is missing has no values to compare with.
        classes(&session.train, target)?;
    }
    let found: BTreeSet<String> =
        sessions.iter().flat_map(|session| values_of(&session.train, column)).collect();
    match target.classes().into_iter().find(|class| !found.contains(*class) && !known.contains(class)) {
        None => Ok(()),
        Some(value) => Err(EvaluateError::BadValue {
            field: field.to_owned(),
            message: format!(
                "`{value}` does not occur in trial column `{column}`; it has: {}",
                found.into_iter().collect::<Vec<_>>().join(", ")
            ),
        }),
    }
}

/// Texts of a column in the usable trials of a session, sorted, without what is missing.
pub fn values_of(session: &TrainSession, column: &str) -> BTreeSet<String> {
    let data = &session.data;
    let Some(found) = data.trials().column(column) else { return BTreeSet::new() };
    let texts = data.trial_idx().iter().map(|&row| text_at(&found.values, row));
    texts.filter(|text| !text.is_empty()).collect()
}

fn decode(
    session: &TrainSession,
    target: LabelTarget<'_>,
    feature: &Feature,
    judging: &Judging,
) -> DecodingEvaluation {
    let Probed { found, n_fit, n_test } = decode_by_logistic(session, target, feature, judging);
    let undefined = found.as_ref().err().map(ToString::to_string);
    let (accuracy, c, decoded) = match found {
        Ok((accuracy, c, decoded)) => (Some(accuracy), Some(c), Some(decoded)),
        Err(_) => (None, None, None),
    };
    DecodingEvaluation {
        target: target.name.to_owned(),
        feature: feature.name.clone(),
        accuracy,
        null: decoded.as_ref().map(|decoded| *decoded.score.null()),
        shifted: decoded.and_then(|decoded| decoded.shifted),
        c,
        n_train: n_fit,
        n_test,
        split: Split::Test,
        undefined,
    }
}

/// Binary label of every usable trial; `None` where it is undefined.
///
/// # Errors
/// As [`classes`], and for a label of several classes.
pub fn labels(session: &TrainSession, target: &DecodeTarget) -> Result<Vec<Option<bool>>, EvaluateError> {
    if let DecodeTarget::Classes { name, .. } = target {
        return Err(EvaluateError::BadValue {
            field: "labels".to_owned(),
            message: format!("`{name}` has `classes`; decoders here tell two apart, named with `category`"),
        });
    }
    Ok(classes(session, target)?.into_iter().map(|class| class.map(|class| class == 1)).collect())
}

/// Class of every usable trial, by its place in [`DecodeTarget::classes`]; `None` where it is of none.
///
/// # Errors
/// If a column is missing, or one whose values are compared holds no numbers.
pub fn classes(session: &TrainSession, target: &DecodeTarget) -> Result<Vec<Option<usize>>, EvaluateError> {
    let data = &session.data;
    let rows = data.trial_idx();
    let column = |name: &str| {
        data.trials().column(name).map(|c| &c.values).ok_or_else(|| unknown_column(session, name))
    };
    match target {
        DecodeTarget::Larger { first, second, .. } => {
            let first = numbers(first, column(first)?)?;
            let second = numbers(second, column(second)?)?;
            Ok(rows
                .iter()
                .map(|&row| {
                    let (a, b) = (first.get(row).copied()??, second.get(row).copied()??);
                    #[expect(clippy::float_cmp, reason = "equal contrasts have no stronger side")]
                    (a != b).then_some(usize::from(a > b))
                })
                .collect())
        }
        DecodeTarget::Category { column: name, .. } | DecodeTarget::Classes { column: name, .. } => {
            let (values, classes) = (column(name)?, target.classes());
            let class = |&row: &usize| classes.iter().position(|class| *class == text_at(values, row));
            Ok(rows.iter().map(class).collect())
        }
    }
}

/// A column's numbers.
pub(crate) fn numbers(name: &str, values: &ColumnValues) -> Result<Vec<Option<f64>>, EvaluateError> {
    match values {
        ColumnValues::Float(v) => Ok(v.clone()),
        ColumnValues::Int(v) => Ok(v.iter().map(|x| x.map(|x| x as f64)).collect()),
        ColumnValues::Text(_) | ColumnValues::Bool(_) | ColumnValues::List(_) => {
            Err(EvaluateError::BadValue {
                field: "scoring.decode".to_owned(),
                message: format!("column `{name}` holds no numbers; use `category` for text"),
            })
        }
    }
}
