//! Predictors whose combination other sessions teach: stacked generalization (Wolpert 1992,
//! doi:10.1016/S0893-6080(05)80023-1) across recordings.
//!
//! With few trials of an animal, a closed form knows roughly what a hidden unit follows, but not how far to trust what
//! it knows: how much of a predicted deviation is real, how much less for a unit with few spikes, how a unit shares in
//! the state of the population around it. That is the same question in every session, so other sessions answer it. In
//! each of them the closed forms are fitted to as many trials as the new session will offer and asked about trials
//! they have not seen. A [`Stack`] is the Poisson regression from their answers, and from what is known of unit and
//! population, to the counts that were there. It starts at the average of the closed forms, to which
//! its penalty shrinks. It has no parameter of a session or a unit; a new session costs the fit of its closed forms, and
//! no gradient step.
//!
//! [`HiddenDesign`] makes the features of hidden units, [`ForwardDesign`] those of the future.

mod fit;
mod forward;
mod hidden;
mod ladder;
mod population;

use ndarray::{Array3, Axis, Slice};
use serde::{Deserialize, Serialize};

use crate::MetricError;

pub use fit::Stack;
pub use forward::ForwardDesign;
pub use hidden::{HiddenDesign, HiddenPredictor};
pub use ladder::StackLadder;

/// What is known of some units in some bins.
#[derive(Clone, Debug, PartialEq)]
pub struct StackFeatures {
    /// Log of the mean rate of each target, natural log of spikes/bin.
    log_means: Vec<f64>,
    /// The best guess without other sessions, `[B, T, targets]`, as log ratio to the mean; what is learned is added to
    /// it. Absent: the mean.
    start: Option<Array3<f64>>,
    /// Features, each `[B, T, targets]`.
    columns: Vec<Array3<f64>>,
    /// What each of them is made of.
    parts: Vec<Vec<FeaturePart>>,
}

/// What features are made of; a product of two things is made of both. Leaving parts out tells what they are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeaturePart {
    /// How many spikes a unit's mean comes from.
    Evidence,
    /// How far and how well the factors followed a unit in the calibration trials.
    Reliability,
    /// Temporal factors; for the future, ridge autoregression.
    Factors,
    /// Wiener filters; for the future, every unit's own past.
    Filters,
    /// The state of the population and of the region around a unit.
    Population,
    /// Mean time course over the calibration trials.
    Course,
    /// Products of predictors with how far they can be trusted, and their squares.
    Products,
}

impl StackFeatures {
    /// `(B, T, targets)`.
    pub fn dim(&self) -> (usize, usize, usize) {
        self.columns.first().map_or((0, 0, self.log_means.len()), Array3::dim)
    }

    /// Number of features.
    pub fn n_features(&self) -> usize {
        self.columns.len()
    }

    /// The features without those made of any of these parts; without factors or filters, the mean is the start.
    #[must_use]
    pub fn without(&self, parts: &[FeaturePart]) -> Self {
        let starts = [FeaturePart::Factors, FeaturePart::Filters];
        let start = self.start.clone().filter(|_| !parts.iter().any(|part| starts.contains(part)));
        let mut kept =
            Self { log_means: self.log_means.clone(), start, columns: Vec::new(), parts: Vec::new() };
        for (column, made_of) in self.columns.iter().zip(&self.parts) {
            if !made_of.iter().any(|part| parts.contains(part)) {
                kept.push(column.clone(), made_of);
            }
        }
        kept
    }

    /// The log rate to start from.
    fn start_at(&self, at: (usize, usize, usize)) -> f64 {
        self.log_means[at.2] + self.start.as_ref().map_or(0.0, |start| start[at])
    }

    fn push(&mut self, column: Array3<f64>, made_of: &[FeaturePart]) {
        self.columns.push(column);
        self.parts.push(made_of.to_vec());
    }

    /// The features of some bins and targets: every `step`-th bin from the middle of the first step on, and `targets` by
    /// their positions. Neighboring bins say nearly the same, so a stack learns as much from fewer.
    ///
    /// Fails on a step of zero, and on a target that is not there.
    pub fn thinned(&self, step: usize, targets: &[usize]) -> Result<Self, MetricError> {
        if step == 0 {
            return Err(MetricError::InvalidSetting { what: "step", value: 0.0, must: "above zero" });
        }
        let limit = self.log_means.len();
        if let Some(&index) = targets.iter().find(|&&target| target >= limit) {
            return Err(MetricError::OutOfRange { what: "target", index, limit });
        }
        let thin = |column: &Array3<f64>| thinned(column, step, targets);
        Ok(Self {
            log_means: targets.iter().map(|&target| self.log_means[target]).collect(),
            start: self.start.as_ref().map(thin),
            columns: self.columns.iter().map(thin).collect(),
            parts: self.parts.clone(),
        })
    }

    /// Fails if the counts of the targets do not go with the features.
    fn check(&self, counts: (usize, usize, usize)) -> Result<(), MetricError> {
        if counts == self.dim() {
            return Ok(());
        }
        let (expected, got) =
            (vec![self.dim().0, self.dim().1, self.dim().2], vec![counts.0, counts.1, counts.2]);
        Err(MetricError::ShapeMismatch { what: "counts of the targets", expected, got })
    }
}

/// Every `step`-th bin (not zero) of `values` (`[B, T, targets]`), from the middle of the first step on, and the targets
/// at these positions: the counts that go with [`StackFeatures::thinned`].
///
/// # Panics
/// On a step of zero, and on a target that is not there.
pub fn thinned(values: &Array3<f64>, step: usize, targets: &[usize]) -> Array3<f64> {
    let first = (step / 2).min(values.len_of(Axis(1)).saturating_sub(1));
    let mut bins = values.view();
    bins.slice_axis_inplace(Axis(1), Slice::new(first.cast_signed(), None, step.cast_signed()));
    bins.select(Axis(2), targets)
}

/// Spikes and exposure of a unit in the calibration trials.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    spikes: f64,
    /// Mean rate with half a spike added, so that no unit is silent.
    mean: f64,
}

impl Evidence {
    fn new(spikes: f64, n_bins: f64) -> Self {
        Self { spikes, mean: (spikes + 0.5) / (n_bins + 0.5) }
    }

    /// How far the unit's own data can be trusted, from -1/2 (no spike) to 1/2.
    fn trust(self) -> f64 {
        self.spikes / (self.spikes + 10.0) - 0.5
    }

    /// `[1 / (spikes + 1), trust, ln(1 + spikes)]`: how a mean rate from few spikes is to be corrected.
    fn columns(self) -> [f64; 3] {
        [1.0 / (self.spikes + 1.0), self.trust(), self.spikes.ln_1p()]
    }
}

/// Each value for a whole window: `[B, T, targets]` from one value per target.
fn constant(shape: (usize, usize), values: &[f64]) -> Array3<f64> {
    Array3::from_shape_fn((shape.0, shape.1, values.len()), |(_, _, k)| values[k])
}

/// Column `x` times one value per target.
fn times(x: &Array3<f64>, values: &[f64]) -> Array3<f64> {
    Array3::from_shape_fn(x.dim(), |at| x[at] * values[at.2])
}
