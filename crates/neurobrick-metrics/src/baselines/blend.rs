//! Temporal factors and the Wiener filter together.
//!
//! The two err in different ways: factors miss what a few units share, the filter wastes data on pairs that share
//! nothing. Weighted sums of their predictions beat both.

use ndarray::{Array3, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use super::counts::check_grid;
use super::link::{RateLink, TargetMeans, best_link};
use super::selection::Yardstick;
use super::{FactorAnalysis, FactorDesign, Query, VisibleWiener, WienerDesign};
use crate::MetricError;
use crate::linalg::{rows_of, trials_of};

/// What was chosen, and how well it did on the validation trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlendChoice {
    /// Weight of the factors' deviation from the mean.
    pub factors: f64,
    /// Weight of the filter's deviation from the mean.
    pub wiener: f64,
    /// From predictions to rates.
    pub link: RateLink,
    /// Pooled bits/spike of the targets on the validation trials.
    pub valid_bits_per_spike: f64,
}

/// Weighted sum of temporal factors and a Wiener filter, for one query.
#[derive(Clone, Debug)]
pub struct Blend {
    factors: FactorAnalysis,
    wiener: VisibleWiener,
    means: TargetMeans,
    choice: BlendChoice,
}

impl Blend {
    /// Weights that [`Blend::fit`] is usually given, for both parts.
    pub const WEIGHTS: [f64; 8] = [0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0];

    /// Fits both parts, then chooses their `weights` (each part gets each) and the link on the validation trials.
    ///
    /// Fails if the designs are not of the same counts, on an invalid query, on an empty or negative list of weights,
    /// and if the targets have no spike in the validation trials.
    pub fn fit(
        factors: &FactorDesign,
        wiener: &WienerDesign,
        query: &Query,
        weights: &[f64],
    ) -> Result<Self, MetricError> {
        let fitted = Self::fit_many(factors, wiener, std::slice::from_ref(query), weights)?.pop().flatten();
        let (targets, trials) = (query.targets.len(), wiener.valid().len_of(Axis(0)));
        fitted.ok_or(MetricError::NoSpikes { targets, trials })
    }

    /// [`Self::fit`] for many queries, which share what their systems have in common; `None` for a query whose targets
    /// have no spike in the validation trials, which leaves nothing to choose by.
    ///
    /// Fails as [`Self::fit`] does otherwise.
    pub fn fit_many(
        factors: &FactorDesign,
        wiener: &WienerDesign,
        queries: &[Query],
        weights: &[f64],
    ) -> Result<Vec<Option<Self>>, MetricError> {
        check_grid("weights", weights, "at least zero", |weight| weight >= 0.0)?;
        if factors.valid() != wiener.valid() {
            return Err(MetricError::NotPaired { what: "validation counts" });
        }
        let filters = wiener.fit_many(queries)?;
        let blend = |(query, filter): (&Query, Option<VisibleWiener>)| {
            filter
                .map(|filter| Self::weighed(factors.fit(query)?, filter, wiener.valid(), weights))
                .transpose()
        };
        queries.iter().zip(filters).map(blend).collect()
    }

    /// Chooses weights and link for fitted parts.
    fn weighed(
        factors: FactorAnalysis,
        wiener: VisibleWiener,
        valid: &Array3<f64>,
        weights: &[f64],
    ) -> Result<Self, MetricError> {
        let targets = rows_of(&valid.view(), &wiener.query().targets);
        let yardstick = Yardstick::new(targets.as_ref(), valid.len_of(Axis(0)))?;
        let (a, b) = (factors.deviations(&valid.view())?, wiener.deviations(&valid.view())?);
        let means = wiener.means().clone();
        let mut choice: Option<BlendChoice> = None;
        for (&x, &y) in weights.iter().flat_map(|x| weights.iter().map(move |y| (x, y))) {
            let mixed = |row: usize, target: usize| x * a[(row, target)] + y * b[(row, target)];
            let (link, valid_bits_per_spike) = best_link(&wiener.grid().links, &means, &yardstick, mixed)?;
            if choice.is_none_or(|best| valid_bits_per_spike > best.valid_bits_per_spike) {
                choice = Some(BlendChoice { factors: x, wiener: y, link, valid_bits_per_spike });
            }
        }
        let choice = choice.ok_or(MetricError::Empty { what: "weights" })?;
        Ok(Self { factors, wiener, means, choice })
    }

    /// The same choices on parts fitted to other trials, all calibration trials for instance: once everything is chosen,
    /// the validation trials need not be kept back any more.
    ///
    /// Fails if the designs do not have the chosen settings or the units of the query.
    pub fn refit(&self, factors: &FactorDesign, wiener: &WienerDesign) -> Result<Self, MetricError> {
        let fitted = Self::refit_many(&[self], factors, wiener)?.pop();
        fitted.ok_or(MetricError::Empty { what: "blends" })
    }

    /// [`Self::refit`] of many, which share what their systems have in common.
    ///
    /// Fails as [`Self::refit`] does.
    pub fn refit_many(
        blends: &[&Self],
        factors: &FactorDesign,
        wiener: &WienerDesign,
    ) -> Result<Vec<Self>, MetricError> {
        let chosen: Vec<_> = blends.iter().map(|b| (b.wiener.query(), *b.wiener.choice())).collect();
        let again = |(blend, wiener): (&&Self, VisibleWiener)| {
            let factors = factors.fit_with(blend.factors.query(), blend.factors.choice())?;
            Ok(Self { means: wiener.means().clone(), factors, wiener, choice: blend.choice })
        };
        blends.iter().zip(wiener.fit_many_with(&chosen)?).map(again).collect()
    }

    /// Rates `[B, T, targets]` from counts `[B, T, N]`, of which only the visible units are read; fails on another
    /// number of bins or units and on invalid counts of visible units.
    pub fn predict(&self, counts: &ArrayView3<f64>) -> Result<Array3<f64>, MetricError> {
        let mut rates = self.factors.deviations(counts)?;
        let filtered = self.wiener.deviations(counts)?;
        let BlendChoice { factors, wiener, link, .. } = self.choice;
        for target in 0..rates.ncols() {
            for (rate, other) in rates.col_mut(target).iter_mut().zip(filtered.col(target).iter()) {
                *rate = self.means.rate(link, factors * *rate + wiener * other, target);
            }
        }
        Ok(trials_of(rates.as_ref(), counts.len_of(Axis(0)), counts.len_of(Axis(1))))
    }

    /// The factors' part.
    pub fn factors(&self) -> &FactorAnalysis {
        &self.factors
    }

    /// The filter's part.
    pub fn wiener(&self) -> &VisibleWiener {
        &self.wiener
    }

    /// What was chosen.
    pub fn choice(&self) -> &BlendChoice {
        &self.choice
    }
}
