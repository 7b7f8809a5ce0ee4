//! Scores over sessions and regions.

use serde::{Deserialize, Serialize};

use super::{Estimate, Predictor, Task};
use crate::nullable;

/// One predictor on one task over sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryScore {
    /// The task.
    pub task: Task,
    /// The predictor.
    pub predictor: Predictor,
    /// Sessions.
    pub n_sessions: u64,
    /// Mean over sessions of pooled bits/spike under the null that the task is quoted with; the interval resamples sessions,
    /// then trials.
    pub mean: Estimate,
    /// The first model minus this one, over the same sessions; absent for that model itself and without a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Estimate>,
    /// The session with the lowest score.
    pub worst_session: String,
    /// Its score.
    #[serde(with = "nullable::scalar")]
    pub worst: f64,
}

/// One region over the sessions that recorded it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionRow {
    /// Acronym.
    pub region: String,
    /// Sessions.
    pub n_sessions: u64,
    /// Units scored, over these sessions.
    pub n_units: u64,
    /// Mean over sessions of pooled bits/spike against the evaluated mean; the interval resamples sessions.
    pub score: Estimate,
    /// Whether it is the one with the lowest mean.
    pub is_worst: bool,
}

/// Regions of one task, as one predictor does on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionSummary {
    /// The task.
    pub task: Task,
    /// The predictor.
    pub predictor: Predictor,
    /// Mean over regions; the interval resamples regions, and sessions once for all of them.
    pub mean: Estimate,
    /// The regions.
    pub regions: Vec<RegionRow>,
}

/// What a run says beyond single sessions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Predictors by task; empty with a single session.
    pub scores: Vec<SummaryScore>,
    /// Regions by task and predictor.
    pub regions: Vec<RegionSummary>,
}
