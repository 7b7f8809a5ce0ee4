//! From a linear prediction to a positive rate.

use serde::{Deserialize, Serialize};

use super::counts::check_grid;
use super::selection::Yardstick;
use crate::{MetricError, RATE_FLOOR};

/// How a linear prediction of counts, which may be negative, becomes a rate in spikes/bin. All settings are relative
/// to the unit's mean rate, so that they carry over between units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLink {
    /// The prediction, but at least this share of the mean: the best of the three on the recordings of this
    /// repository.
    Floor(f64),
    /// `s ln(1 + exp(prediction / s))` with `s` this share of the mean.
    Softplus(f64),
    /// `mean · exp(gain · deviation / mean)` with this gain.
    Exponential(f64),
}

impl RateLink {
    /// Rate for a prediction that deviates from the unit's `center` by `deviation`; `mean` is positive and the scale
    /// of the settings.
    pub fn rate(self, deviation: f64, center: f64, mean: f64) -> f64 {
        let rate = match self {
            Self::Floor(share) => (center + deviation).max(share * mean),
            Self::Softplus(share) => {
                let z = (center + deviation) / (share * mean);
                // ln(1 + eᶻ) without overflow.
                share * mean * (z.max(0.0) + (-z.abs()).exp().ln_1p())
            }
            // Beyond e⁵ times the mean no count supports a rate.
            Self::Exponential(gain) => mean * (gain * deviation / mean).min(5.0).exp(),
        };
        rate.max(RATE_FLOOR)
    }

    fn setting(self) -> f64 {
        match self {
            Self::Floor(x) | Self::Softplus(x) | Self::Exponential(x) => x,
        }
    }
}

/// Fails on an empty list of links or a setting that is not above zero.
pub(super) fn check_links(links: &[RateLink]) -> Result<(), MetricError> {
    let settings: Vec<f64> = links.iter().map(|link| link.setting()).collect();
    check_grid("links", &settings, "above zero", |setting| setting > 0.0)
}

/// Floors from a twentieth to seven tenths of the mean.
pub(super) fn default_links() -> Vec<RateLink> {
    [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7].map(RateLink::Floor).to_vec()
}

/// Mean count of each target, and the same with silent units at their positive stand-in.
#[derive(Clone, Debug)]
pub(super) struct TargetMeans {
    pub(super) centers: Vec<f64>,
    pub(super) positive: Vec<f64>,
}

impl TargetMeans {
    pub(super) fn select(&self, targets: &[usize]) -> Self {
        let of = |from: &[f64]| targets.iter().map(|&unit| from[unit]).collect();
        Self { centers: of(&self.centers), positive: of(&self.positive) }
    }

    /// Rate of `target` for a deviation.
    pub(super) fn rate(&self, link: RateLink, deviation: f64, target: usize) -> f64 {
        link.rate(deviation, self.centers[target], self.positive[target])
    }
}

/// The link under which `deviation(row, target)` scores highest, and that score.
pub(super) fn best_link(
    links: &[RateLink],
    means: &TargetMeans,
    yardstick: &Yardstick,
    deviation: impl Fn(usize, usize) -> f64 + Sync,
) -> Result<(RateLink, f64), MetricError> {
    let scored = links.iter().map(|&link| {
        let cost = yardstick.cost(|row, target| means.rate(link, deviation(row, target), target));
        (link, yardstick.bits_per_spike(cost))
    });
    scored.max_by(|a, b| a.1.total_cmp(&b.1)).ok_or(MetricError::Empty { what: "links" })
}
