//! What an audit finds.

use serde::{Deserialize, Serialize};

use crate::NullDistribution;

/// A check of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Rows of one trial on both sides.
    SharedTrials,
    /// Test windows that overlap a training window in time.
    OverlappingWindows,
    /// Test rows next to training rows that resemble them.
    CorrelatedNeighbors,
    /// The same row twice.
    Duplicates,
    /// Features standardized or whitened on all rows, test rows included.
    StatisticsBeforeSplit,
    /// Stimuli that come back, and tell the label.
    RepeatedStimuli,
    /// Whole groups (runs, blocks, sessions) held out.
    GroupsHeldOut,
    /// A label that never changes within a group.
    LabelsOfGroups,
    /// The label from a nuisance alone.
    NuisanceAlone,
    /// A decoder that always answers one class.
    PredictedClasses,
    /// Outputs of a model that span fewer dimensions than they have.
    CollapsedOutputs,
}

impl Check {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::SharedTrials => "same trial on both sides",
            Self::OverlappingWindows => "overlapping windows",
            Self::CorrelatedNeighbors => "correlated neighbors",
            Self::Duplicates => "duplicated rows",
            Self::StatisticsBeforeSplit => "statistics fitted before the split",
            Self::RepeatedStimuli => "repeated stimuli",
            Self::GroupsHeldOut => "groups held out",
            Self::LabelsOfGroups => "label constant within groups",
            Self::NuisanceAlone => "nuisance alone",
            Self::PredictedClasses => "predicted classes",
            Self::CollapsedOutputs => "collapsed outputs",
        }
    }
}

/// How a check came out, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The data do not allow the check; the message says what is missing.
    NotApplicable,
    /// Nothing found.
    Pass,
    /// Worth knowing when the score is quoted.
    Warning,
    /// The score does not mean what it claims under this split.
    Fail,
}

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found and what to do, in a sentence or two.
    pub message: String,
    /// The numbers behind it, by name.
    pub numbers: Vec<(String, f64)>,
}

impl Finding {
    pub(super) fn new(check: Check, outcome: Outcome, message: String, numbers: &[(&str, f64)]) -> Self {
        let numbers = numbers.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Self { check, outcome, message, numbers }
    }

    pub(super) fn not_applicable(check: Check, message: &str) -> Self {
        Self::new(check, Outcome::NotApplicable, message.to_owned(), &[])
    }
}

/// An audit of one score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditReport {
    /// What the score is: `area under the ROC curve` for two classes, else `balanced accuracy`.
    pub metric: String,
    /// Score of the audit's decoder (discriminant analysis) under the split.
    pub score: f64,
    /// What guessing reaches.
    pub chance: f64,
    /// Scores with the labels of trials shuffled within groups, or over all groups where labels never change within one.
    pub null: NullDistribution,
    /// Training and test rows.
    pub n_rows: [usize; 2],
    /// One finding per check, and one per nuisance.
    pub findings: Vec<Finding>,
}

impl AuditReport {
    /// The worst outcome of all checks.
    pub fn outcome(&self) -> Outcome {
        self.findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::NotApplicable)
    }

    /// The finding of a check, the worst where there are several.
    pub fn finding(&self, check: Check) -> Option<&Finding> {
        self.findings.iter().filter(|finding| finding.check == check).max_by_key(|finding| finding.outcome)
    }
}
