//! Scores and what they compare: tasks, predictors, intervals, paired differences, regions, decoding.

use serde::{Deserialize, Serialize};

use crate::{nullable, numbers};

/// A value with its 95 % interval. Non-finite parts are shown as "–" together with `reason`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// Point value.
    #[serde(with = "nullable::scalar")]
    pub value: f64,
    /// Lower end of the 95 % interval.
    #[serde(with = "nullable::scalar")]
    pub low: f64,
    /// Upper end of the 95 % interval.
    #[serde(with = "nullable::scalar")]
    pub high: f64,
    /// Why a part is undefined, where one is.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Estimate {
    /// A value with both ends of its interval.
    pub fn new(value: f64, low: f64, high: f64) -> Self {
        Self { value, low, high, reason: None }
    }

    /// A value that could not be computed, and why.
    pub fn undefined(reason: impl Into<String>) -> Self {
        Self { value: f64::NAN, low: f64::NAN, high: f64::NAN, reason: Some(reason.into()) }
    }

    /// Whether value and both ends are finite numbers.
    pub fn is_defined(&self) -> bool {
        self.value.is_finite() && self.low.is_finite() && self.high.is_finite()
    }

    /// The same difference seen from the other side.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self { value: -self.value, low: -self.high, high: -self.low, reason: self.reason.clone() }
    }
}

/// What is hidden and predicted in an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Each unit hidden in turn, predicted from all others.
    CoSmoothingLeaveOneOut,
    /// A fixed group of units hidden together.
    CoSmoothingGroup,
    /// The last bins of all units hidden.
    ForwardPrediction,
    /// All units of one region hidden, each region in turn.
    InterRegion,
    /// One unit hidden, and everything outside its region.
    IntraRegion,
}

impl Task {
    /// All tasks, in the order of the page.
    pub const ALL: [Self; 5] = [
        Self::CoSmoothingLeaveOneOut,
        Self::CoSmoothingGroup,
        Self::ForwardPrediction,
        Self::InterRegion,
        Self::IntraRegion,
    ];

    /// The name shown on the page.
    pub fn label(self) -> &'static str {
        match self {
            Self::CoSmoothingLeaveOneOut => "Co-smoothing, leave one out",
            Self::CoSmoothingGroup => "Co-smoothing, group",
            Self::ForwardPrediction => "Forward prediction",
            Self::InterRegion => "Inter-region",
            Self::IntraRegion => "Intra-region",
        }
    }

    /// The null that the task is drawn against, as everywhere else where only one can be shown: the mean of the evaluated
    /// bins, but in forward prediction the training mean, since the evaluated bins are the future of the test trials.
    pub(crate) fn drawn_null(self) -> Null {
        if self == Self::ForwardPrediction { Null::TrainMean } else { Null::EvaluatedMean }
    }

    /// One plain sentence on what is hidden and what is predicted.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::CoSmoothingLeaveOneOut => {
                "Each unit is hidden in turn over the whole trial and predicted from all other units."
            }
            Self::CoSmoothingGroup => {
                "A fixed group of units is hidden together over the whole trial and predicted from the rest."
            }
            Self::ForwardPrediction => {
                "The last bins of all units are hidden and predicted from the bins before."
            }
            Self::InterRegion => {
                "All units of one brain region are hidden and predicted from the other regions, each region in turn."
            }
            Self::IntraRegion => {
                "One unit is hidden and predicted from the other units of its own region; all other regions are hidden too."
            }
        }
    }
}

/// The constant rate of each unit that scores are measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Null {
    /// The unit's mean over the scored test bins themselves.
    EvaluatedMean,
    /// The unit's mean over the training trials.
    TrainMean,
}

/// Who predicts the hidden counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Predictor {
    /// Pretrained, then fine-tuned end to end on the session.
    FineTuned,
    /// Pretrained core frozen; only the session's new stitch is trained.
    NewStitch,
    /// The same model trained on the session alone.
    FromScratch,
    /// [`Self::FineTuned`] in a pool with [`Self::Stack`]: the pretrained model as a whole.
    FineTunedWithStack,
    /// [`Self::NewStitch`] in a pool with [`Self::Stack`].
    NewStitchWithStack,
    /// Closed forms of the session, combined as the pretraining sessions taught; no gradient step.
    Stack,
    /// [`Self::FineTuned`] in a pool with the linear predictor of the task.
    FineTunedWithLinear,
    /// [`Self::NewStitch`] in a pool with the linear predictor of the task.
    NewStitchWithLinear,
    /// [`Self::FromScratch`] in a pool with the linear predictor of the task.
    FromScratchWithLinear,
    /// Each unit's training mean, constant over the trial.
    UnitMean,
    /// Each unit's mean time course over training trials.
    Psth,
    /// Ridge regression from the visible units.
    Ridge,
    /// Principal components of the visible units, then a Poisson regression per unit.
    PcaPoissonGlm,
    /// Anything else.
    Other {
        /// The name shown on the page.
        name: String,
        /// Whether it counts as a baseline that the model has to beat.
        baseline: bool,
    },
}

impl Predictor {
    /// The name shown on the page.
    pub fn label(&self) -> &str {
        match self {
            Self::FineTuned => "fine-tuned end to end",
            Self::NewStitch => "new stitch, frozen core",
            Self::FromScratch => "from scratch",
            Self::FineTunedWithStack => "fine-tuned + stack",
            Self::NewStitchWithStack => "new stitch + stack",
            Self::Stack => "stack, no gradient step",
            Self::FineTunedWithLinear => "fine-tuned + linear",
            Self::NewStitchWithLinear => "new stitch + linear",
            Self::FromScratchWithLinear => "from scratch + linear",
            Self::UnitMean => "unit mean",
            Self::Psth => "PSTH",
            Self::Ridge => "ridge",
            Self::PcaPoissonGlm => "PCA + Poisson GLM",
            Self::Other { name, .. } => name,
        }
    }

    /// This model in a pool with the stack; `None` of what is a pool, a stack or a baseline itself.
    pub fn pooled_with_stack(&self) -> Option<Self> {
        self.pooled([Self::FineTunedWithStack, Self::NewStitchWithStack], "stack")
    }

    /// This model in a pool with the linear predictor of the task; `None` of what is a pool, a stack or a baseline itself.
    pub fn pooled_with_linear(&self) -> Option<Self> {
        if *self == Self::FromScratch {
            return Some(Self::FromScratchWithLinear);
        }
        self.pooled([Self::FineTunedWithLinear, Self::NewStitchWithLinear], "linear")
    }

    fn pooled(&self, [fine_tuned, new_stitch]: [Self; 2], partner: &str) -> Option<Self> {
        match self {
            Self::FineTuned => Some(fine_tuned),
            Self::NewStitch => Some(new_stitch),
            Self::Other { name, baseline: false } if !name.contains('+') => {
                Some(Self::Other { name: format!("{name}+{partner}"), baseline: false })
            }
            _ => None,
        }
    }

    /// Whether it is a baseline rather than a variant of the model.
    pub fn is_baseline(&self) -> bool {
        match self {
            Self::FineTuned
            | Self::NewStitch
            | Self::FromScratch
            | Self::FineTunedWithStack
            | Self::NewStitchWithStack
            | Self::Stack
            | Self::FineTunedWithLinear
            | Self::NewStitchWithLinear
            | Self::FromScratchWithLinear => false,
            Self::UnitMean | Self::Psth | Self::Ridge | Self::PcaPoissonGlm => true,
            Self::Other { baseline, .. } => *baseline,
        }
    }
}

/// Scores of one predictor against one null model, in bits/spike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NullScores {
    /// Log-likelihood gain of all units together, divided by all their spikes (the convention of NLB).
    pub pooled: Estimate,
    /// Mean of the units' own scores (the convention of `MtM`).
    #[serde(with = "nullable::scalar")]
    pub unit_mean: f64,
    /// Median of the units' own scores.
    #[serde(with = "nullable::scalar")]
    pub unit_median: f64,
    /// Mean of the scores of active units only.
    #[serde(with = "nullable::scalar")]
    pub active_unit_mean: f64,
}

/// Scores of one predictor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictorScores {
    /// Who predicted.
    pub predictor: Predictor,
    /// Against each unit's mean over the scored test bins themselves.
    pub evaluated_mean: NullScores,
    /// Against each unit's mean over the training trials.
    pub train_mean: NullScores,
}

impl PredictorScores {
    /// The scores against one of the nulls.
    pub(crate) fn against(&self, null: Null) -> &NullScores {
        match null {
            Null::EvaluatedMean => &self.evaluated_mean,
            Null::TrainMean => &self.train_mean,
        }
    }
}

/// Difference of pooled bits/spike on the same trials, `left` minus `right`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedDifference {
    /// The minuend.
    pub left: Predictor,
    /// The subtrahend.
    pub right: Predictor,
    /// `left - right` with its 95 % interval over paired trials, in bits/spike.
    pub difference: Estimate,
}

/// All predictors on one task of one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskResult {
    /// Session id.
    pub session: String,
    /// The task.
    pub task: Task,
    /// Test trials scored.
    pub n_trials: u64,
    /// Units scored.
    pub n_units: u64,
    /// Units that count as active.
    pub n_active_units: u64,
    /// Spikes scored.
    pub n_spikes: u64,
    /// Scores, in the order of the table rows.
    pub predictors: Vec<PredictorScores>,
    /// Paired differences; the verdicts use those of the fine-tuned model.
    #[serde(default)]
    pub differences: Vec<PairedDifference>,
}

impl TaskResult {
    /// `left - right`, looked up in either direction.
    pub fn difference(&self, left: &Predictor, right: &Predictor) -> Option<Estimate> {
        self.differences.iter().find_map(|pair| {
            if pair.left == *left && pair.right == *right {
                Some(pair.difference.clone())
            } else if pair.left == *right && pair.right == *left {
                Some(pair.difference.negated())
            } else {
                None
            }
        })
    }

    /// The model that headlines speak of: the fine-tuned one, or else the first that was named, pooled with the stack or
    /// else the linear predictor if it was.
    pub fn headline(&self) -> Option<&Predictor> {
        let models = || self.predictors.iter().map(|row| &row.predictor).filter(|p| !p.is_baseline());
        let alone = models()
            .find(|p| **p == Predictor::FineTuned)
            .or_else(|| models().find(|p| p.pooled_with_stack().is_some()))
            .or_else(|| models().next())?;
        [alone.pooled_with_stack(), alone.pooled_with_linear()]
            .into_iter()
            .flatten()
            .find_map(|pool| models().find(|model| **model == pool))
            .or(Some(alone))
    }

    /// The first model that is scored by itself, neither a pool nor a stack; `None` where names do not tell, since a stack
    /// of another name looks like a model.
    pub(crate) fn first_alone(&self) -> Option<&Predictor> {
        let is_there = |wanted: &Predictor| self.predictors.iter().any(|row| row.predictor == *wanted);
        let mut alone = self.predictors.iter().filter_map(|row| {
            let pool = row.predictor.pooled_with_linear()?;
            Some((&row.predictor, pool))
        });
        let (first, pool) = alone.next()?;
        (!matches!(first, Predictor::Other { .. }) || is_there(&pool)).then_some(first)
    }

    /// The baseline with the highest finite pooled score against the evaluated mean, the first of equals.
    pub fn best_baseline(&self) -> Option<&PredictorScores> {
        // Of equal ones `max_by` takes the last.
        self.predictors
            .iter()
            .rev()
            .filter(|row| row.predictor.is_baseline() && row.evaluated_mean.pooled.value.is_finite())
            .max_by(|a, b| a.evaluated_mean.pooled.value.total_cmp(&b.evaluated_mean.pooled.value))
    }
}

/// What is decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecodingTarget {
    /// Side of the stronger stimulus.
    StimulusSide,
    /// The choice the animal made.
    Choice,
    /// Anything else with classes.
    Other(String),
}

impl DecodingTarget {
    /// The name shown on the page.
    pub fn label(&self) -> &str {
        match self {
            Self::StimulusSide => "stimulus side",
            Self::Choice => "choice",
            Self::Other(name) => name,
        }
    }
}

/// What it is decoded from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecodingFeature {
    /// Latents of the fine-tuned model.
    ModelLatents,
    /// Spike counts themselves.
    RawCounts,
    /// Anything else.
    Other(String),
}

impl DecodingFeature {
    /// The name shown on the page.
    pub fn label(&self) -> &str {
        match self {
            Self::ModelLatents => "model latents",
            Self::RawCounts => "raw counts",
            Self::Other(name) => name,
        }
    }
}

/// One decoder on one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodingResult {
    /// Session id.
    pub session: String,
    /// What is decoded.
    pub target: DecodingTarget,
    /// From what.
    pub feature: DecodingFeature,
    /// Balanced accuracy on test trials, 0 to 1.
    pub balanced_accuracy: Estimate,
    /// Test trials.
    pub n_trials: u64,
    /// Balanced accuracy of always answering the commonest class.
    #[serde(with = "nullable::scalar")]
    pub majority_baseline: f64,
    /// What the same decoder reaches on labels without meaning; absent where that was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<DecodingNull>,
}

impl DecodingResult {
    /// Mean of the null and the p-value under it; "–" where there is none.
    pub(crate) fn null_in_words(&self) -> [String; 2] {
        let word = |value: Option<f64>| numbers::decimal(value.unwrap_or(f64::NAN), 3);
        [word(self.null.map(|null| null.mean)), word(self.null.map(|null| null.p_value))]
    }
}

/// Balanced accuracies of a decoder on shuffled labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodingNull {
    /// Their mean.
    pub mean: f64,
    /// The one that one in twenty exceeds.
    pub upper: f64,
    /// Share of the draws, the real labels among them, that are at least as high as that of the real labels.
    pub p_value: f64,
    /// Draws.
    pub n_draws: u64,
}

/// Score of one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionScore {
    /// Region acronym.
    pub region: String,
    /// Units scored.
    pub n_units: u64,
    /// Pooled bits/spike of the predictor against the evaluated mean.
    pub score: Estimate,
    /// Pooled bits/spike of the baseline on the same units.
    #[serde(with = "nullable::scalar")]
    pub baseline: f64,
}

/// Scores by region for one task of one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionResult {
    /// Session id.
    pub session: String,
    /// The task.
    pub task: Task,
    /// Whose scores the bars are.
    pub predictor: Predictor,
    /// The baseline drawn beside the bars.
    pub baseline: Predictor,
    /// The regions, in any order.
    pub regions: Vec<RegionScore>,
}
