//! What an evaluation finds: the contents of `metrics.json`.

use neurobrick_metrics::{
    Accuracy, ConfidenceInterval, Convention, Counted, Difference, NullDistribution, NullModel, Score, Split,
};
use neurobrick_schema::SessionId;
use neurobrick_train::EvalTask;
use serde::{Deserialize, Serialize};

use super::summary::EvaluationSummary;
use super::two_alternative::TwoAlternativeEvaluation;

/// Models and baselines are told apart in tables and verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// A model of the zoo.
    Model,
    /// A baseline.
    Baseline,
}

/// One number under one null and one convention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreEntry {
    /// The null the bits are counted from.
    pub null: NullModel,
    /// How units are combined.
    pub convention: Convention,
    /// The score; absent where it is undefined, for the reason given.
    pub score: Option<Score>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

/// Scores of one predictor on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictorEvaluation {
    /// Its name.
    pub name: String,
    /// Model or baseline.
    pub group: Group,
    /// Hyper-parameters a baseline chose on validation trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<serde_json::Value>,
    /// Scores under both nulls and all conventions.
    pub scores: Vec<ScoreEntry>,
}

impl PredictorEvaluation {
    /// The pooled score under the null that `task` is quoted with; `None` where it is undefined.
    pub fn quoted(&self, task: EvalTask) -> Option<&Score> {
        let null = quoted_null(task);
        let entry = self.scores.iter().find(|s| s.null == null && s.convention == Convention::Pooled)?;
        entry.score.as_ref()
    }
}

/// The null that pooled scores of a task are quoted under: training means for the future, evaluated means otherwise.
pub(crate) fn quoted_null(task: EvalTask) -> NullModel {
    if task == EvalTask::ForwardPrediction { NullModel::TrainMean } else { NullModel::EvaluatedMean }
}

/// An interval that exists: JSON has no NaN.
pub(super) fn known(interval: ConfidenceInterval) -> Option<ConfidenceInterval> {
    (interval.lo.is_finite() && interval.hi.is_finite()).then_some(interval)
}

/// A paired difference in pooled bits per spike (which no null changes).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DifferenceEvaluation {
    /// The first predictor.
    pub left: String,
    /// The one subtracted.
    pub right: String,
    /// `left − right` over the same trials.
    pub difference: Difference,
}

/// Pooled score of one region's units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionEvaluation {
    /// Acronym.
    pub region: String,
    /// Predictor.
    pub predictor: String,
    /// Score against the evaluated mean; absent where undefined.
    pub score: Option<Score>,
    /// Units scored.
    pub n_units: usize,
}

/// One task on one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskEvaluation {
    /// The task.
    pub task: EvalTask,
    /// What was scored.
    pub n: Counted,
    /// Units with enough test spikes to count as active.
    pub n_active_units: usize,
    /// All predictors.
    pub predictors: Vec<PredictorEvaluation>,
    /// Differences of the models from each other and from every baseline.
    pub differences: Vec<DifferenceEvaluation>,
    /// Regions, for the first model and one baseline, which is the same in all sessions: factors with a Wiener filter, refitted
    /// with the validation trials, or, of the future, ridge autoregression.
    pub regions: Vec<RegionEvaluation>,
    /// Real spikes of what was hidden against altered ones; empty where that was not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub two_alternative: Vec<TwoAlternativeEvaluation>,
}

/// One label decoded from one kind of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodingEvaluation {
    /// The label.
    pub target: String,
    /// The features.
    pub feature: String,
    /// Accuracy on test trials with its interval; absent where undefined, for the reason given.
    pub accuracy: Option<Accuracy>,
    /// Balanced accuracies of the same probe on labels shuffled within blocks of trials; absent without a score, and in files
    /// written before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<NullDistribution>,
    /// The same on labels shifted against the trials, which keeps their rhythm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<NullDistribution>,
    /// Inverse penalty chosen on training trials.
    pub c: Option<f64>,
    /// Labeled training (train and valid) trials.
    pub n_train: usize,
    /// Labeled test trials.
    pub n_test: usize,
    /// The split scored.
    pub split: Split,
    /// Why there is no accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

/// Everything about one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionEvaluation {
    /// The session.
    pub session: SessionId,
    /// Tasks.
    pub tasks: Vec<TaskEvaluation>,
    /// Decoding.
    pub decoding: Vec<DecodingEvaluation>,
    /// Tasks that had nothing to score, and why.
    pub skipped: Vec<String>,
}

/// Everything an evaluation finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationResult {
    /// Version of this file's format.
    pub format_version: u32,
    /// Sessions.
    pub sessions: Vec<SessionEvaluation>,
    /// Over sessions and regions; absent in files written before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<EvaluationSummary>,
}
