//! The one-cycle schedule with momentum cycling, and ramps of penalties.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `torch.optim.lr_scheduler.OneCycleLR` with cosine annealing (Smith and Topin 2018): the learning rate rises
/// from `max_lr / div_factor` to `max_lr` and falls to `max_lr / div_factor / final_div_factor`, while AdamW's
/// beta1 falls from `max_momentum` to `base_momentum` and rises again. PyTorch cycles beta1 by default, so
/// published curves depend on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneCycle {
    /// Peak learning rate.
    pub max_lr: f64,
    /// Fraction of the steps in which the rate rises.
    pub pct_start: f64,
    /// Peak over initial rate.
    pub div_factor: f64,
    /// Initial over final rate.
    pub final_div_factor: f64,
    /// Beta1 at the peak of the rate.
    pub base_momentum: f64,
    /// Beta1 at both ends.
    pub max_momentum: f64,
}

impl Default for OneCycle {
    /// The values of MtM (Zhang et al. 2024): peak 1e-4, 15 % warm-up, factors 10 and 1e4, beta1 0.85 to 0.95.
    fn default() -> Self {
        Self {
            max_lr: 1e-4,
            pct_start: 0.15,
            div_factor: 10.0,
            final_div_factor: 1e4,
            base_momentum: 0.85,
            max_momentum: 0.95,
        }
    }
}

/// Learning rate and beta1 of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate.
    pub lr: f64,
    /// AdamW's beta1.
    pub beta1: f64,
}

impl OneCycle {
    /// The rates of `step` (from 0) in a run of `n_steps`; steps past the end keep the final rates.
    pub fn at(&self, step: u64, n_steps: u64) -> Rates {
        let initial = self.max_lr / self.div_factor;
        let last = (n_steps.max(1) - 1) as f64;
        let step = (step as f64).min(last);
        let peak = self.pct_start * n_steps as f64 - 1.0;
        let (from, to, progress) = if step <= peak {
            ((initial, self.max_momentum), (self.max_lr, self.base_momentum), ratio(step, peak))
        } else {
            let end = (initial / self.final_div_factor, self.max_momentum);
            ((self.max_lr, self.base_momentum), end, ratio(step - peak, last - peak))
        };
        Rates { lr: cosine(from.0, to.0, progress), beta1: cosine(from.1, to.1, progress) }
    }
}

/// A factor that rises linearly from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ramp {
    /// Step from which the factor rises.
    pub start: u64,
    /// Steps over which it rises; with 0 it is 1 from `start` on.
    pub n_steps: u64,
}

impl Ramp {
    /// The factor of `step` (from 0): `(step + 1 − start) / (n_steps + 1)` within `[0, 1]`, the ramp of LFADS with steps
    /// for epochs.
    pub fn at(&self, step: u64) -> f64 {
        let risen = (step + 1).saturating_sub(self.start) as f64;
        (risen / (self.n_steps as f64 + 1.0)).min(1.0)
    }
}

/// Ramps of what a model adds to its loss; by default everything counts in full from the first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PenaltyRamps {
    /// Divergence of posteriors from priors.
    pub divergence: Ramp,
    /// Size of weights.
    pub weights: Ramp,
}

impl PenaltyRamps {
    /// The factors of `step` (from 0).
    pub fn at(&self, step: u64) -> PenaltyFactors {
        PenaltyFactors { divergence: self.divergence.at(step), weights: self.weights.at(step) }
    }
}

/// What penalties are multiplied with in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PenaltyFactors {
    /// Of divergences.
    pub divergence: f64,
    /// Of the size of weights.
    pub weights: f64,
}

impl Default for PenaltyFactors {
    /// In full.
    fn default() -> Self {
        Self { divergence: 1.0, weights: 1.0 }
    }
}

/// Progress through a phase; a phase of no length is over.
fn ratio(done: f64, length: f64) -> f64 {
    if length > 0.0 { done / length } else { 1.0 }
}

fn cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * progress).cos())
}
