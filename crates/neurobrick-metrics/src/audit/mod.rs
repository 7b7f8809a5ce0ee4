//! Leak and shortcut tests on a dataset, its split and the score it gave.
//!
//! [`audit`] asks whether a decoder's score could be had without what it claims to read: from the same trial on both
//! sides of the split, from neighbors in time, from the run a row belongs to, from movement, from repeated stimuli, from
//! duplicated rows, or from statistics that have seen the test rows. A score that survives is not proven; one that
//! fails is refuted.
//!
//! ```
//! use ndarray::Array2;
//! use neurobrick_metrics::audit::{AuditRows, AuditSettings, AuditSplit, Outcome, audit};
//!
//! // Twenty trials of two windows each; a random split of windows puts both sides of a trial apart.
//! let rows = AuditRows {
//!     features: Array2::from_shape_fn((40, 3), |(i, j)| ((i * 7 + j * 3) % 11) as f64),
//!     labels: (0..40).map(|i| (i / 2) % 2).collect(),
//!     trials: (0..40).map(|i| i / 2).collect(),
//!     groups: (0..40).map(|i| i / 10).collect(),
//!     spans_s: (0..40).map(|i| [i as f64, i as f64 + 1.0]).collect(),
//!     has_times: true,
//!     stimuli: None,
//!     nuisances: Vec::new(),
//!     outputs: None,
//! };
//! let split = AuditSplit { train: (0..40).filter(|i| i % 3 != 0).collect(), test: (0..40).step_by(3).collect() };
//! let report = audit(&rows, &split, &AuditSettings::with_seed(1))?;
//! assert_eq!(report.findings[0].outcome, Outcome::Fail);
//! # Ok::<(), neurobrick_metrics::MetricError>(())
//! ```

mod collapse;
mod decoder;
mod duplicates;
mod findings;
mod neighbors;
mod rows;
mod shortcuts;
mod statistics;

pub use findings::{AuditReport, Check, Finding, Outcome};
pub use rows::{AuditRows, AuditSettings, AuditSplit, Nuisance};

use crate::MetricError;
use decoder::Design;

/// Runs every check on rows and their split.
///
/// Fails on lists of unequal length, values that are not finite, an empty side of the split, an index beyond the rows or
/// on both sides, and labels of a single class.
pub fn audit(
    rows: &AuditRows,
    split: &AuditSplit,
    settings: &AuditSettings,
) -> Result<AuditReport, MetricError> {
    rows.check(split)?;
    let design = Design::new(&rows.features.view(), split)?;
    let score = design.score(&rows.labels)?;
    let null = shortcuts::label_null(rows, &design, score, settings)?;
    let mut findings = vec![
        neighbors::shared_trials(rows, split),
        neighbors::overlapping_windows(rows, split),
        neighbors::correlated_neighbors(rows, split, settings),
        duplicates::duplicates(rows, split, settings),
        statistics::fitted_before_split(rows, split),
        shortcuts::repeated_stimuli(rows, split)?,
        shortcuts::groups_held_out(rows, score)?,
        shortcuts::labels_of_groups(rows, (score, &null), settings),
    ];
    for nuisance in &rows.nuisances {
        findings.push(shortcuts::nuisance_alone(rows, split, nuisance, score, settings)?);
    }
    if rows.nuisances.is_empty() {
        findings.push(Finding::not_applicable(
            Check::NuisanceAlone,
            "no nuisance is named; give time, run, movement or artifact channels to see what they decode alone",
        ));
    }
    findings.push(collapse::predicted_classes(rows, split, &design)?);
    findings.push(collapse::collapsed_outputs(rows));
    Ok(AuditReport {
        metric: decoder::metric_name(&rows.labels).to_owned(),
        score,
        chance: decoder::chance(&rows.labels),
        null,
        n_rows: [split.train.len(), split.test.len()],
        findings,
    })
}
