//! Rows out of a session of the store: one per labeled trial.

use ndarray::{Array2, Array3, Axis};
use neurobrick_metrics::audit::{AuditRows, AuditSplit, Nuisance};
use neurobrick_train::TrainSession;

use super::{SessionsAudit, numbered};
use crate::EvaluateError;
use crate::evaluation::{labels, numbers, text_at, unknown_column};

/// Rows of the labeled trials, with the split of training (validation trials are fitted to as well). `latents` of all
/// usable trials, `[trial, bin, L]`, are looked at for collapse.
///
/// # Errors
/// If a column is missing, holds no numbers where they are needed, or has none for a labeled trial.
pub fn session_rows(
    session: &TrainSession,
    audit: &SessionsAudit,
    latents: Option<&Array3<f64>>,
) -> Result<(AuditRows, AuditSplit), EvaluateError> {
    let data = &session.data;
    let labels = labels(session, &audit.label)?;
    let fitted = [&session.split.train[..], &session.split.valid].concat();
    // Trials on neither side (few calibration trials, gaps between blocks) are none of the score's.
    let is_used = |trial: usize| fitted.contains(&trial) || session.split.test.contains(&trial);
    let trials: Vec<usize> =
        (0..data.n_trials()).filter(|&trial| labels[trial].is_some() && is_used(trial)).collect();
    let row_in_table: Vec<usize> = trials.iter().map(|&trial| data.trial_idx()[trial]).collect();
    // Of the windows that are counted in; a trial may be longer or elsewhere.
    let spans_s: Vec<[f64; 2]> =
        trials.iter().map(|&trial| [data.windows()[trial].start_s, data.windows()[trial].end_s]).collect();
    let counts = data.counts_of(&trials).sum_axis(Axis(1));
    let column = |values: Vec<f64>| Array2::from_shape_fn((values.len(), 1), |(row, _)| values[row]);
    let has_times = data.trials().has_times();
    let mut nuisances = vec![
        Nuisance {
            name: if has_times { "time in the session" } else { "place in the file" }.to_owned(),
            values: column(spans_s.iter().map(|s| s[0]).collect()),
        },
        Nuisance {
            name: "spikes of all units".to_owned(),
            values: column(counts.sum_axis(Axis(1)).to_vec()),
        },
    ];
    for nuisance in &audit.nuisances {
        let mut values = Array2::zeros((trials.len(), nuisance.columns.len()));
        for (j, name) in nuisance.columns.iter().enumerate() {
            let found = data.trials().column(name).ok_or_else(|| unknown_column(session, name))?;
            let found = numbers(name, &found.values)?;
            for (i, &row) in row_in_table.iter().enumerate() {
                values[[i, j]] = found[row].ok_or_else(|| EvaluateError::BadValue {
                    field: "sessions.nuisances".to_owned(),
                    message: format!("`{name}` is missing in trial {row} of {}", data.session()),
                })?;
            }
        }
        nuisances.push(Nuisance { name: nuisance.name.clone(), values });
    }
    let stimulus = |row: usize| -> Result<String, EvaluateError> {
        let texts = audit.stimulus_columns.iter().map(|name| {
            let column = data.trials().column(name).ok_or_else(|| unknown_column(session, name))?;
            Ok(text_at(&column.values, row))
        });
        Ok(texts.collect::<Result<Vec<_>, EvaluateError>>()?.join("|"))
    };
    let stimuli = if audit.stimulus_columns.is_empty() {
        None
    } else {
        Some(numbered(row_in_table.iter().map(|&row| stimulus(row)).collect::<Result<Vec<_>, _>>()?))
    };
    let n = trials.len();
    let rows = AuditRows {
        features: counts.mapv(f64::sqrt),
        labels: trials.iter().map(|&trial| usize::from(labels[trial] == Some(true))).collect(),
        groups: (0..n).map(|row| row * audit.n_blocks / n.max(1)).collect(),
        trials: row_in_table,
        spans_s,
        has_times,
        stimuli,
        nuisances,
        outputs: latents.map(|all| all.select(Axis(0), &trials).mean_axis(Axis(1))).unwrap_or_default(),
    };
    let side = |of: &[usize]| (0..n).filter(|&row| of.contains(&trials[row])).collect::<Vec<_>>();
    Ok((rows, AuditSplit { train: side(&fitted), test: side(&session.split.test) }))
}
