//! What is drawn: curves over training, single trials, example units, masks.

use serde::{Deserialize, Serialize};

use super::Predictor;
use crate::nullable;

/// Values over optimizer steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Optimizer step of each value, ascending.
    pub steps: Vec<u64>,
    /// The values.
    #[serde(with = "nullable::list")]
    pub values: Vec<f64>,
}

/// A published way to hide part of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MaskScheme {
    /// Whole bins hidden.
    Temporal,
    /// Whole units hidden (co-smoothing).
    Neuron,
    /// Whole bins hidden, attention only to the past.
    Causal,
    /// One region hidden.
    InterRegion,
    /// One region shown in part, all others hidden.
    IntraRegion,
    /// Single entries hidden.
    Random,
    /// Spans of bins to predict, some of their entries shown or made up.
    Bert,
    /// Patches of one bin and some units hidden.
    Patch,
    /// The last bins hidden.
    ForwardPrediction,
}

impl MaskScheme {
    /// The name shown on the page.
    pub fn label(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::Neuron => "neuron",
            Self::Causal => "causal",
            Self::InterRegion => "inter-region",
            Self::IntraRegion => "intra-region",
            Self::Random => "random",
            Self::Bert => "masked modeling",
            Self::Patch => "patches",
            Self::ForwardPrediction => "forward prediction",
        }
    }

    /// One line on what the scheme hides and teaches.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Temporal => "Whole bins are hidden in all units: fill in time from both sides.",
            Self::Neuron => "Whole units are hidden for the trial: predict a unit from the others.",
            Self::Causal => "Whole bins are hidden and a bin sees only the past: predict what comes next.",
            Self::InterRegion => {
                "All units of one region are hidden: predict a region from the other regions."
            }
            Self::IntraRegion => {
                "Only one region is shown, and part of it hidden: predict units from their own region. \
                 Other regions are hidden but not scored."
            }
            Self::Bert => {
                "Spans of bins are to be predicted; most of their entries are zeroed, some made up, some left."
            }
            Self::Patch => "Patches of one bin and a few dozen units are hidden: fill in from the others.",
            Self::Random => "Single entries are hidden: fill in from the neighbors in time and population.",
            Self::ForwardPrediction => "The last bins of all units are hidden: predict the end of the trial.",
        }
    }
}

/// Validation of one masking scheme over steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemeCurve {
    /// The scheme.
    pub scheme: MaskScheme,
    /// Bits/spike of the hidden entries on validation trials.
    pub bits_per_spike: Curve,
}

/// How pretraining went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainingCurves {
    /// Training loss, nats per counted entry.
    pub train_loss: Curve,
    /// Validation by scheme.
    #[serde(default)]
    pub validation: Vec<SchemeCurve>,
    /// Learning rate.
    #[serde(default)]
    pub learning_rate: Option<Curve>,
}

/// Validation of one way to adapt to a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictorCurve {
    /// Who learned.
    pub predictor: Predictor,
    /// Bits/spike on validation trials.
    pub bits_per_spike: Curve,
}

/// How fine-tuning on one session went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FineTuningCurves {
    /// Session id.
    pub session: String,
    /// One curve per way of adapting.
    pub curves: Vec<PredictorCurve>,
}

/// One test trial: observed counts and the rates that the first model of the run, by itself and not pooled, predicted for
/// the same bins and units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialRaster {
    /// Session id.
    pub session: String,
    /// Which trial, in words, for example "trial 12, stimulus left".
    pub trial: String,
    /// How the rates were made, for example "each unit hidden in turn".
    pub method: String,
    /// Bin width in seconds.
    pub bin_size_s: f64,
    /// Start of the first bin in seconds from the aligned event.
    pub start_s: f64,
    /// The event at time zero, for example "stimulus onset".
    pub event: String,
    /// Number of bins `T`.
    pub n_bins: usize,
    /// Region of each unit, length `N`; the page sorts units by region.
    pub unit_regions: Vec<String>,
    /// Observed counts `[T, N]`, row-major, spikes/bin.
    pub counts: Vec<u16>,
    /// Predicted rates `[T, N]`, row-major, spikes/bin.
    #[serde(with = "nullable::list")]
    pub rates: Vec<f32>,
}

/// One unit: mean over test trials of what was observed and of what the first model of the run, by itself and not pooled,
/// predicted while the unit was hidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitTrace {
    /// Session id.
    pub session: String,
    /// Unit id.
    pub unit: String,
    /// Region acronym.
    pub region: String,
    /// Bin width in seconds.
    pub bin_size_s: f64,
    /// Start of the first bin in seconds from the aligned event.
    pub start_s: f64,
    /// Trials averaged.
    pub n_trials: u64,
    /// The unit's bits/spike against the evaluated mean.
    #[serde(with = "nullable::scalar")]
    pub bits_per_spike: f64,
    /// Mean observed count `[T]`, spikes/bin.
    #[serde(with = "nullable::list")]
    pub observed_mean: Vec<f64>,
    /// Standard error of that mean over trials `[T]`.
    #[serde(with = "nullable::list")]
    pub observed_sem: Vec<f64>,
    /// Mean predicted rate `[T]`, spikes/bin.
    #[serde(with = "nullable::list")]
    pub predicted_mean: Vec<f64>,
    /// Standard error of that mean over trials `[T]`.
    #[serde(with = "nullable::list")]
    pub predicted_sem: Vec<f64>,
}

/// Which bins a bin may attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionContext {
    /// All bins.
    Full,
    /// The bin itself and earlier ones.
    Causal,
}

/// One drawn example of a masking scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskPicture {
    /// The scheme.
    pub scheme: MaskScheme,
    /// Number of bins `T`.
    pub n_bins: usize,
    /// Number of units `N`, in the order of the picture's rows.
    pub n_units: usize,
    /// `[T, N]`, row-major; true = hidden from the model.
    pub hidden: Vec<bool>,
    /// `[T, N]`, row-major; true = counted in the loss.
    pub counted: Vec<bool>,
    /// Which bins a bin may attend to.
    pub attention: AttentionContext,
}
