//! Hidden units from temporal factors: fitted once per session, asked for any set of hidden units.

use faer::Mat;
use ndarray::{Array3, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use super::Query;
use super::counts::{check_train_valid, positive_means};
use super::link::{RateLink, TargetMeans, best_link, check_links, default_links};
use super::selection::Yardstick;
use crate::factor_analysis::InFrequencies;
use crate::linalg::{rows_of, trials_of};
use crate::{MetricError, TemporalFactors, TemporalFactorsConfig};

/// Hyper-parameters to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorGrid {
    /// Models to fit; relevance determination makes more than one ceiling of the rank unnecessary.
    pub models: Vec<TemporalFactorsConfig>,
    /// From predictions to rates.
    pub links: Vec<RateLink>,
}

impl Default for FactorGrid {
    fn default() -> Self {
        Self { models: vec![TemporalFactorsConfig::default()], links: default_links() }
    }
}

/// What was chosen, and how well it did on the validation trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorChoice {
    /// Settings of the model.
    pub model: TemporalFactorsConfig,
    /// From predictions to rates.
    pub link: RateLink,
    /// Pooled bits/spike of the targets on the validation trials.
    pub valid_bits_per_spike: f64,
}

/// The fitted models of one session, which all queries share.
#[derive(Clone, Debug)]
pub struct FactorDesign {
    grid: FactorGrid,
    models: Vec<TemporalFactors>,
    means: TargetMeans,
    valid: Array3<f64>,
}

/// Temporal factors for one query.
#[derive(Clone, Debug)]
pub struct FactorAnalysis {
    grid: FactorGrid,
    choice: FactorChoice,
    query: Query,
    model: TemporalFactors,
    means: TargetMeans,
}

impl FactorDesign {
    /// Fits every model of the grid to the training counts (`[B, T, N]`); ceilings of the rank beyond the number of
    /// units or samples mean as many factors as there are.
    ///
    /// Fails on counts that are empty, negative or not finite, without a spike, on sets that differ in bins or units,
    /// and on a grid that is empty or out of range.
    pub fn new(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        grid: &FactorGrid,
    ) -> Result<Self, MetricError> {
        check_train_valid(train, valid)?;
        check_links(&grid.links)?;
        if grid.models.is_empty() {
            return Err(MetricError::Empty { what: "models" });
        }
        let (n_trials, n_bins, n_units) = train.dim();
        let fit = |config: &TemporalFactorsConfig| {
            let n_factors = config.n_factors.min(n_units).min(n_trials * n_bins);
            TemporalFactors::fit(train, &TemporalFactorsConfig { n_factors, ..*config })
        };
        let models = grid.models.iter().map(fit).collect::<Result<Vec<_>, _>>()?;
        let means = TargetMeans { centers: models[0].unit_means().to_vec(), positive: positive_means(train) };
        Ok(Self { grid: grid.clone(), models, means, valid: valid.to_owned() })
    }

    /// The fitted models, in the order of the grid.
    pub fn models(&self) -> &[TemporalFactors] {
        &self.models
    }

    /// Units of the counts.
    pub(crate) fn n_units(&self) -> usize {
        self.valid.len_of(Axis(2))
    }

    /// What may be chosen from.
    pub fn grid(&self) -> &FactorGrid {
        &self.grid
    }

    /// The validation counts.
    pub(super) fn valid(&self) -> &Array3<f64> {
        &self.valid
    }

    /// Chooses model and link for a query on the validation trials.
    ///
    /// Fails on an invalid query and if the targets have no spike in the validation trials.
    pub fn fit(&self, query: &Query) -> Result<FactorAnalysis, MetricError> {
        query.validate(self.valid.len_of(Axis(2)))?;
        let valid = rows_of(&self.valid.view(), &query.targets);
        let yardstick = Yardstick::new(valid.as_ref(), self.valid.len_of(Axis(0)))?;
        let means = self.means.select(&query.targets);
        let mut best: Option<(FactorChoice, &TemporalFactors)> = None;
        for (model, config) in self.models.iter().zip(&self.grid.models) {
            let deviations = model.deviations(&self.valid.view(), query)?;
            let (link, valid_bits_per_spike) =
                best_link(&self.grid.links, &means, &yardstick, |row, target| deviations[(row, target)])?;
            if best.is_none_or(|(choice, _)| valid_bits_per_spike > choice.valid_bits_per_spike) {
                best = Some((FactorChoice { model: *config, link, valid_bits_per_spike }, model));
            }
        }
        let (choice, model) = best.ok_or(MetricError::Empty { what: "models" })?;
        let (grid, query) = (self.grid.clone(), query.clone());
        Ok(FactorAnalysis { grid, choice, query, model: model.clone(), means })
    }
}

impl FactorDesign {
    /// The model and link of a choice made elsewhere, on fewer trials for instance, for one query; its score stays that
    /// of the choice.
    ///
    /// Fails on an invalid query, and if the chosen model is not one of this design's grid.
    pub fn fit_with(&self, query: &Query, choice: &FactorChoice) -> Result<FactorAnalysis, MetricError> {
        query.validate(self.valid.len_of(Axis(2)))?;
        let model = self.models.iter().zip(&self.grid.models).find(|(_, config)| **config == choice.model);
        let (model, _) = model.ok_or(MetricError::Empty { what: "models with the chosen settings" })?;
        let (grid, query, choice) = (self.grid.clone(), query.clone(), *choice);
        let means = self.means.select(&query.targets);
        Ok(FactorAnalysis { grid, choice, query, model: model.clone(), means })
    }
}

impl FactorAnalysis {
    /// Rates `[B, T, targets]` from counts `[B, T, N]`, of which only the visible units are read; fails on another
    /// number of bins or units and on invalid counts of visible units.
    pub fn predict(&self, counts: &ArrayView3<f64>) -> Result<Array3<f64>, MetricError> {
        Ok(self.rates(self.deviations(counts)?, counts.len_of(Axis(1))))
    }

    /// The same for counts of `n_bins` bins that the model has transformed already.
    pub(crate) fn predict_in(
        &self,
        known: &InFrequencies,
        n_bins: usize,
    ) -> Result<Array3<f64>, MetricError> {
        Ok(self.rates(self.model.deviations_in(known, &self.query)?, n_bins))
    }

    fn rates(&self, mut deviations: Mat<f64>, n_bins: usize) -> Array3<f64> {
        for target in 0..deviations.ncols() {
            for rate in deviations.col_mut(target).iter_mut() {
                *rate = self.means.rate(self.choice.link, *rate, target);
            }
        }
        trials_of(deviations.as_ref(), deviations.nrows() / n_bins, n_bins)
    }

    /// Expected deviations from the mean, `[B · T, targets]`.
    pub(super) fn deviations(&self, counts: &ArrayView3<f64>) -> Result<Mat<f64>, MetricError> {
        self.model.deviations(counts, &self.query)
    }

    /// The model behind it.
    pub fn model(&self) -> &TemporalFactors {
        &self.model
    }

    /// The task it was fitted for.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What was tried.
    pub fn grid(&self) -> &FactorGrid {
        &self.grid
    }

    /// What was chosen.
    pub fn choice(&self) -> &FactorChoice {
        &self.choice
    }
}
