//! Scores of models and baselines on the test trials of a session, and what a report shows of them.

mod baselines;
mod closed_forms;
mod compare;
mod decode;
mod figures;
mod label;
mod lessons;
mod parts;
mod report_summary;
mod results;
mod score;
mod scoring;
mod stack;
mod stack_config;
mod summary;
mod to_report;
mod transfer;
mod transfer_curve;
mod two_alternative;

pub use baselines::is_reserved;
pub use compare::{ComparedScore, RunComparison};
pub(crate) use decode::numbers;
pub use decode::{LEVEL, check_targets, check_values, classes, decode_session, labels, values_of};
pub use figures::{Figures, mask_pictures, session_figures};
pub use label::DecodeTarget;
pub use lessons::{AblationScore, LessonFold, LessonPlan, learn_stacks};
pub use parts::condition_keys;
pub(crate) use results::quoted_null;
pub use results::{
    DecodingEvaluation, DifferenceEvaluation, EvaluationResult, Group, PredictorEvaluation, RegionEvaluation,
    ScoreEntry, SessionEvaluation, TaskEvaluation,
};
pub(crate) use score::{Answer, NAIVE, Scored, Spread, differences, score_answers, text_at, unknown_column};
pub use score::{ModelPredictions, Predict, ScoredSession, evaluate_session, plans};
pub use scoring::ScoringConfig;
pub use stack::{STACK_FILE, SharedStack};
pub use stack_config::{StackAblation, StackConfig};
pub use summary::{
    ChoiceSummary, ChoiceSummaryDifference, EvaluationSummary, RegionRow, RegionSummary, SummaryBuilder,
    SummaryDifference, SummaryScore, TaskTables,
};
pub use to_report::{ReportInputs, run_report};
pub use transfer::{TransferGain, TransferResult, TransferScore};
pub use transfer_curve::{CURVE_PREFIX, CurveLaw, CurvePoint};
pub use two_alternative::{ChoiceDifference, ChoiceScore, TwoAlternativeConfig, TwoAlternativeEvaluation};
