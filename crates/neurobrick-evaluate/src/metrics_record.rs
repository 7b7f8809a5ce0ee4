//! What training reports of itself, line by line.

use neurobrick_train::{StepReport, TrainEvent, ValidationReport};
use serde::{Deserialize, Serialize};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricsRecord {
    /// A training step.
    Step(StepReport),
    /// A validation.
    Validation {
        /// Steps done.
        step: u64,
        /// Scores.
        report: ValidationReport,
        /// Whether this was the best so far.
        is_best: bool,
    },
}

impl MetricsRecord {
    /// The record of an event, if it is one to be kept.
    pub fn of(event: &TrainEvent) -> Option<Self> {
        match event {
            TrainEvent::Step(report) => Some(Self::Step(report.clone())),
            TrainEvent::Validated { step, report, is_best } => {
                Some(Self::Validation { step: *step, report: report.clone(), is_best: *is_best })
            }
            TrainEvent::Checkpointing { .. } | TrainEvent::Checkpointed { .. } => None,
        }
    }

    /// The step that it was made after.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(report) => report.step,
            Self::Validation { step, .. } => *step,
        }
    }
}
