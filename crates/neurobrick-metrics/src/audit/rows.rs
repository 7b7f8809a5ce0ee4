//! What is audited.

use ndarray::Array2;

use super::decoder::n_classes;
use crate::MetricError;

/// Something that is not the code a decoder claims to read, and might tell the label all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Nuisance {
    /// Name in tables, such as `time in the session`.
    pub name: String,
    /// Its values, `[rows, columns]`.
    pub values: Array2<f64>,
}

/// Rows (trials or windows) with features, labels and where they come from.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRows {
    /// `[rows, P]`.
    pub features: Array2<f64>,
    /// Class of each row, from zero.
    pub labels: Vec<usize>,
    /// Trial of each row; windows of one trial share it.
    pub trials: Vec<usize>,
    /// Group of each row that a claim should generalize over: a run, a block, a session.
    pub groups: Vec<usize>,
    /// Start and end of each row in seconds, on the clock of its group.
    pub spans_s: Vec<[f64; 2]>,
    /// Whether the spans are when rows were, and not stand-ins of a source that does not say it.
    pub has_times: bool,
    /// Stimulus of each row, where stimuli come back.
    pub stimuli: Option<Vec<usize>>,
    /// What else might tell the label.
    pub nuisances: Vec<Nuisance>,
    /// Outputs of a model on the rows (latents, log rates), `[rows, L]`, to be looked at for collapse.
    pub outputs: Option<Array2<f64>>,
}

/// Row indices that are fitted to and scored on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSplit {
    /// Fitted to.
    pub train: Vec<usize>,
    /// Scored on.
    pub test: Vec<usize>,
}

/// How an audit is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditSettings {
    /// Seed of shuffles and resamples.
    pub seed: u64,
    /// Shuffles behind every null distribution.
    pub n_shuffles: usize,
    /// Share of false alarms that a check may have.
    pub alpha: f64,
}

impl AuditSettings {
    /// 200 shuffles, one false alarm in twenty.
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, n_shuffles: 200, alpha: 0.05 }
    }
}

impl AuditRows {
    pub(super) fn check(&self, split: &AuditSplit) -> Result<(), MetricError> {
        let n = self.features.nrows();
        let lengths = [
            ("labels", self.labels.len()),
            ("trials of rows", self.trials.len()),
            ("groups of rows", self.groups.len()),
            ("spans of rows", self.spans_s.len()),
            ("stimuli of rows", self.stimuli.as_ref().map_or(n, Vec::len)),
            ("outputs", self.outputs.as_ref().map_or(n, Array2::nrows)),
        ];
        let nuisances = self.nuisances.iter().map(|nuisance| ("nuisance", nuisance.values.nrows()));
        for (what, length) in lengths.into_iter().chain(nuisances) {
            if length != n {
                return Err(MetricError::ShapeMismatch { what, expected: vec![n], got: vec![length] });
            }
        }
        let tables = [("features", Some(&self.features)), ("outputs", self.outputs.as_ref())];
        let tables = tables.into_iter().filter_map(|(what, table)| Some((what, table?)));
        for (what, table) in
            tables.chain(self.nuisances.iter().map(|nuisance| ("nuisance", &nuisance.values)))
        {
            if let Some(((row, column), &value)) = table.indexed_iter().find(|(_, v)| !v.is_finite()) {
                return Err(MetricError::NotFinite { what, value, index: vec![row, column] });
            }
        }
        if let Some((row, span)) = self
            .spans_s
            .iter()
            .enumerate()
            .find(|(_, [start, end])| start.is_nan() || end.is_nan() || start > end)
        {
            return Err(MetricError::NotFinite {
                what: "spans of rows",
                value: span[1] - span[0],
                index: vec![row],
            });
        }
        let mut is_used = vec![false; n];
        for (what, rows) in [("training rows", &split.train), ("test rows", &split.test)] {
            if rows.is_empty() {
                return Err(MetricError::Empty { what });
            }
            for &index in rows {
                match is_used.get_mut(index) {
                    None => return Err(MetricError::OutOfRange { what: "row", index, limit: n }),
                    Some(true) => return Err(MetricError::Duplicate { what: "row", index }),
                    Some(used) => *used = true,
                }
            }
        }
        if n_classes(&self.labels) < 2 {
            let (what, must) = ("number of classes", "at least 2");
            return Err(MetricError::InvalidSetting { what, value: n_classes(&self.labels) as f64, must });
        }
        Ok(())
    }
}
