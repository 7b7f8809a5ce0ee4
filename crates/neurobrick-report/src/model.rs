//! What a finished run hands over to be reported: plain data, no tensors, readable and writable as JSON.
//!
//! Undefined numbers are `NaN` in memory and `null` in JSON; the page shows them as "–" with the reason.

use serde::{Deserialize, Serialize};

pub use choices::{ChoiceResult, ChoiceRow};
pub use figures::{
    AttentionContext, Curve, FineTuningCurves, MaskPicture, MaskScheme, PredictorCurve, PretrainingCurves,
    SchemeCurve, TrialRaster, UnitTrace,
};
pub use provenance::{
    DataHash, DataSource, Fact, ModelFacts, Reproduction, SessionFacts, SessionRole, Stage,
};
pub(crate) use scores::Null;
pub use scores::{
    DecodingFeature, DecodingNull, DecodingResult, DecodingTarget, Estimate, NullScores, PairedDifference,
    Predictor, PredictorScores, RegionResult, RegionScore, Task, TaskResult,
};
pub use summary::{RegionRow, RegionSummary, Summary, SummaryScore};

mod choices;
mod figures;
mod provenance;
mod scores;
mod summary;

/// Everything the page and the card show. Empty lists and `None` become a sentence instead of a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// Heading of the page, for example "One translator for eleven mice".
    pub title: String,
    /// One sentence: what was run on what.
    pub summary: String,
    /// When the run ended, as text for people. `None` leaves it out; the page reads no clock.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// How the 95 % intervals were made, for example "bootstrap over test trials, 2,000 resamples".
    pub interval_method: String,
    /// The model and what it is for.
    pub model: ModelFacts,
    /// Published data behind the sessions, with license and citation.
    #[serde(default)]
    pub data: Vec<DataSource>,
    /// Every recording that took part.
    #[serde(default)]
    pub sessions: Vec<SessionFacts>,
    /// What the rows of the tables are: label of a predictor, and what it does.
    #[serde(default)]
    pub rows: Vec<Fact>,
    /// Scores, one entry per evaluation session and task.
    #[serde(default)]
    pub tasks: Vec<TaskResult>,
    /// Over sessions and regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_sessions: Option<Summary>,
    /// Real spikes told from altered ones, one entry per evaluation session, task and alteration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<ChoiceResult>,
    /// Behavior decoded from features of a trial.
    #[serde(default)]
    pub decoding: Vec<DecodingResult>,
    /// Loss and validation during pretraining.
    #[serde(default)]
    pub pretraining: Option<PretrainingCurves>,
    /// Validation during fine-tuning, one entry per session.
    #[serde(default)]
    pub fine_tuning: Vec<FineTuningCurves>,
    /// Single trials: observed counts beside predicted rates.
    #[serde(default)]
    pub rasters: Vec<TrialRaster>,
    /// Example units: observed against predicted means over test trials.
    #[serde(default)]
    pub traces: Vec<UnitTrace>,
    /// Scores by brain region.
    #[serde(default)]
    pub regions: Vec<RegionResult>,
    /// One drawn example of each masking scheme.
    #[serde(default)]
    pub masks: Vec<MaskPicture>,
    /// What is needed to run it again.
    pub reproduce: Reproduction,
    /// Limits and honest notes, one sentence or paragraph each.
    #[serde(default)]
    pub notes: Vec<String>,
}
