//! Poisson regression of hidden units on principal components of the visible units' smoothed counts.
//!
//! Components come from the training trials. In leave-one-out, a unit's own contribution (its loading times its
//! centered smoothed count) is taken out of the scores before fitting and predicting, so it never sees itself.
//! Scores are standardized per target. Rates are kept between a floor and the highest rate fitted in training,
//! because the exponential would otherwise run away on trials beyond the trained range.

use faer::{Mat, MatRef, Par};
use ndarray::{Array3, ArrayView3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Query;
use super::counts::{check_grid, check_train_valid, positive_means};
use super::ridge::visible_counts;
use super::selection::Yardstick;
use crate::linalg::{
    column_means, gram, leading_eigenvectors, normalize_columns, product, rows_of, subtract_from_columns,
    trials_of,
};
use crate::poisson_regression::{PoissonRegression, linear};
use crate::{Edge, MetricError, RATE_FLOOR, smooth_over_time};

/// Newton tolerance of the fits here, relative to an objective of order one: far below what moves bits/spike.
const TOLERANCE: f64 = 1e-9;

/// Hyper-parameters to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaPoissonGrid {
    /// Standard deviations of the smoothing of the visible counts over time.
    pub sigmas_bins: Vec<f64>,
    /// Numbers of components; more than there are visible units means all.
    pub n_components: Vec<usize>,
    /// Ridge penalties on standardized scores, per row (scikit-learn's `PoissonRegressor` convention).
    pub alphas: Vec<f64>,
    /// Lowest rate as a fraction of the unit's mean, above zero.
    pub floor: f64,
    /// The choice is made on at most this many targets, evenly spaced through the query; all are fitted with it.
    pub max_selection_targets: usize,
}

impl Default for PcaPoissonGrid {
    fn default() -> Self {
        Self {
            sigmas_bins: vec![3.0, 8.0],
            n_components: vec![5, 10, 20],
            alphas: vec![1e-1, 1e-2, 1e-3],
            floor: 0.02,
            max_selection_targets: 100,
        }
    }
}

/// What was chosen, and how well it did on the validation trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaPoissonChoice {
    /// Standard deviation of the smoothing over bins.
    pub sigma_bins: f64,
    /// Number of components.
    pub n_components: usize,
    /// Ridge penalty.
    pub alpha: f64,
    /// Pooled bits/spike of the selection targets on the validation trials.
    pub valid_bits_per_spike: f64,
}

/// A fitted PCA and one Poisson regression per target.
#[derive(Clone, Debug)]
pub struct PcaPoisson {
    grid: PcaPoissonGrid,
    choice: PcaPoissonChoice,
    query: Query,
    n_units: usize,
    pca: Pca,
    targets: Vec<TargetFit>,
}

/// Principal components of the visible units' smoothed training counts.
#[derive(Clone, Debug)]
struct Pca {
    sigma_bins: f64,
    means: Vec<f64>,
    /// `[visible, k]`.
    loadings: Mat<f64>,
}

/// Smoothed, centered visible counts `[rows, visible]` and their scores `[rows, k]`.
struct Projected {
    features: Mat<f64>,
    scores: Mat<f64>,
}

/// The leading components of a [`Projected`].
#[derive(Clone, Copy)]
struct Leading<'a> {
    features: MatRef<'a, f64>,
    scores: MatRef<'a, f64>,
}

/// The regression of one target.
#[derive(Clone, Debug)]
struct TargetFit {
    /// Position among the visible units, if it is one.
    own: Option<usize>,
    /// Scale of each score.
    scales: Vec<f64>,
    /// Of scores divided by their scale.
    regression: PoissonRegression,
    lowest: f64,
    highest: f64,
}

impl PcaPoisson {
    /// Fits a query on training counts and chooses on validation counts, both `[B, T, N]`.
    ///
    /// Fails on counts that are empty, negative or not finite, on sets that differ in bins or units, on an invalid
    /// query, on a grid that is empty or out of range, and if the selection targets have no validation spike.
    pub fn fit(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        query: &Query,
        grid: &PcaPoissonGrid,
    ) -> Result<Self, MetricError> {
        check_train_valid(train, valid)?;
        query.validate(train.len_of(Axis(2)))?;
        grid.check()?;
        let n_units = train.len_of(Axis(2));
        let own = query.own_positions(n_units);
        let problem =
            Problem { counts: rows_of(train, &query.targets), own, means: positive_means(train), query };
        let selection = problem.selection(grid.max_selection_targets);
        let selected: Vec<usize> = selection.iter().map(|&target| query.targets[target]).collect();
        let yardstick = Yardstick::new(rows_of(valid, &selected).as_ref(), valid.len_of(Axis(0)))?;
        let largest = grid.n_components.iter().copied().fold(1, usize::max);
        let mut best: Option<(PcaPoissonChoice, Pca, Projected)> = None;
        for &sigma_bins in &grid.sigmas_bins {
            let (pca, fitted) = Pca::fit(train, query, sigma_bins, largest)?;
            let seen = pca.project(valid, query, n_units)?;
            let choice = problem.choose(grid, &selection, &yardstick, &pca, [&fitted, &seen])?;
            let is_better =
                best.as_ref().is_none_or(|(b, ..)| choice.valid_bits_per_spike > b.valid_bits_per_spike);
            if is_better {
                best = Some((choice, pca, fitted));
            }
        }
        let (choice, mut pca, fitted) = best.ok_or(MetricError::Empty { what: "sigmas_bins" })?;
        pca.truncate(choice.n_components);
        let fitted = fitted.leading(choice.n_components);
        let targets = (0..query.targets.len())
            .into_par_iter()
            .map(|target| problem.fit(target, &pca, fitted, choice.alpha, grid.floor, None))
            .collect::<Result<_, _>>()?;
        Ok(Self { grid: grid.clone(), choice, query: query.clone(), n_units, pca, targets })
    }

    /// Rates `[B, T, targets]` from counts `[B, T, N]`, of which only the visible units are read; fails on another
    /// number of units and on invalid counts of visible units.
    pub fn predict(&self, counts: &ArrayView3<f64>) -> Result<Array3<f64>, MetricError> {
        let projected = self.pca.project(counts, &self.query, self.n_units)?;
        let all = projected.leading(self.choice.n_components);
        let columns: Vec<Vec<f64>> =
            self.targets.par_iter().map(|target| target.rates(&self.pca, all)).collect();
        let rates = Mat::from_fn(projected.scores.nrows(), columns.len(), |i, j| columns[j][i]);
        Ok(trials_of(rates.as_ref(), counts.len_of(Axis(0)), counts.len_of(Axis(1))))
    }

    /// The task it was fitted for.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What was tried.
    pub fn grid(&self) -> &PcaPoissonGrid {
        &self.grid
    }

    /// What was chosen.
    pub fn choice(&self) -> &PcaPoissonChoice {
        &self.choice
    }
}

impl PcaPoissonGrid {
    fn check(&self) -> Result<(), MetricError> {
        check_grid("sigmas_bins", &self.sigmas_bins, "at least zero", |sigma| sigma >= 0.0)?;
        let components: Vec<f64> = self.n_components.iter().map(|&k| k as f64).collect();
        check_grid("n_components", &components, "above zero", |k| k > 0.0)?;
        check_grid("alphas", &self.alphas, "above zero", |alpha| alpha > 0.0)?;
        check_grid("floor", &[self.floor], "above zero", |floor| floor > 0.0)?;
        let selected = self.max_selection_targets as f64;
        check_grid("max_selection_targets", &[selected], "above zero", |n| n > 0.0)
    }
}

/// Everything about the training data that does not depend on the hyper-parameters.
struct Problem<'a> {
    query: &'a Query,
    /// Training counts of the targets, `[rows, targets]`.
    counts: Mat<f64>,
    own: Vec<Option<usize>>,
    /// Positive mean of each unit.
    means: Vec<f64>,
}

impl Problem<'_> {
    fn selection(&self, at_most: usize) -> Vec<usize> {
        let n = self.own.len();
        let taken = n.min(at_most);
        (0..taken).map(|i| i * n / taken).collect()
    }

    /// The best number of components and penalty for one smoothing; `fitted` and `seen` are the projections of
    /// training and validation data.
    fn choose(
        &self,
        grid: &PcaPoissonGrid,
        selection: &[usize],
        yardstick: &Yardstick,
        pca: &Pca,
        [fitted, seen]: [&Projected; 2],
    ) -> Result<PcaPoissonChoice, MetricError> {
        let mut best: Option<PcaPoissonChoice> = None;
        for &wanted in &grid.n_components {
            let n_components = wanted.min(pca.loadings.ncols());
            let (fitted, seen) = (fitted.leading(n_components), seen.leading(n_components));
            let costs = selection
                .par_iter()
                .enumerate()
                .map(|(position, &target)| {
                    let mut start = None;
                    let mut costs = Vec::with_capacity(grid.alphas.len());
                    for &alpha in &grid.alphas {
                        let fit = self.fit(target, pca, fitted, alpha, grid.floor, start.as_ref())?;
                        let rates = fit.rates(pca, seen);
                        costs.push(yardstick.target_cost(position, |row, _| rates[row]));
                        start = Some(fit.regression);
                    }
                    Ok(costs)
                })
                .collect::<Result<Vec<Vec<f64>>, MetricError>>()?;
            for (i, &alpha) in grid.alphas.iter().enumerate() {
                let valid_bits_per_spike = yardstick.bits_per_spike(costs.iter().map(|c| c[i]).sum());
                if best.is_none_or(|b| valid_bits_per_spike > b.valid_bits_per_spike) {
                    let sigma_bins = pca.sigma_bins;
                    best = Some(PcaPoissonChoice { sigma_bins, n_components, alpha, valid_bits_per_spike });
                }
            }
        }
        best.ok_or(MetricError::Empty { what: "n_components" })
    }

    fn fit(
        &self,
        target: usize,
        pca: &Pca,
        fitted: Leading,
        alpha: f64,
        floor: f64,
        start: Option<&PoissonRegression>,
    ) -> Result<TargetFit, MetricError> {
        let own = self.own[target];
        let mut scores = fitted.without(pca, own);
        let scales: Vec<f64> = (0..scores.ncols())
            .map(|j| {
                let square: f64 = scores.col(j).iter().map(|z| z * z).sum();
                let scale = (square / scores.nrows() as f64).sqrt();
                if scale > 0.0 { scale } else { 1.0 }
            })
            .collect();
        for (j, scale) in scales.iter().enumerate() {
            scores.col_mut(j).iter_mut().for_each(|z| *z /= scale);
        }
        let mean = self.means[self.query.targets[target]];
        let lowest = (floor * mean).max(RATE_FLOOR);
        let counts = self.counts.col_as_slice(target);
        if counts.iter().all(|&n| n == 0.0) {
            // A silent unit has its optimum at minus infinity; it keeps its positive mean.
            let regression =
                PoissonRegression { coefficients: vec![0.0; scores.ncols()], intercept: mean.ln() };
            return Ok(TargetFit { own, scales, regression, lowest, highest: mean });
        }
        let regression = PoissonRegression::newton(scores.as_ref(), counts, alpha, start, TOLERANCE)?;
        let log_rates = linear(scores.as_ref(), &regression.coefficients, regression.intercept);
        let highest = log_rates.into_iter().fold(f64::NEG_INFINITY, f64::max).exp().max(lowest);
        Ok(TargetFit { own, scales, regression, lowest, highest })
    }
}

impl TargetFit {
    fn rates(&self, pca: &Pca, projected: Leading) -> Vec<f64> {
        let scores = projected.without(pca, self.own);
        let weights: Vec<f64> =
            self.regression.coefficients.iter().zip(&self.scales).map(|(w, scale)| w / scale).collect();
        let log_rates = linear(scores.as_ref(), &weights, self.regression.intercept);
        log_rates.into_iter().map(|eta| eta.exp().clamp(self.lowest, self.highest)).collect()
    }
}

impl Pca {
    fn fit(
        train: &ArrayView3<f64>,
        query: &Query,
        sigma_bins: f64,
        n_components: usize,
    ) -> Result<(Self, Projected), MetricError> {
        let visible = train.select(Axis(2), &query.visible);
        let smoothed = smooth_over_time(&visible.view(), sigma_bins, Edge::Renormalized)?;
        let positions: Vec<usize> = (0..query.visible.len()).collect();
        let mut features = rows_of(&smoothed.view(), &positions);
        let means = column_means(features.as_ref());
        subtract_from_columns(&mut features, &means);
        let loadings = components(features.as_ref(), n_components)?;
        let scores = product(features.as_ref(), loadings.as_ref());
        Ok((Self { sigma_bins, means, loadings }, Projected { features, scores }))
    }

    fn project(
        &self,
        counts: &ArrayView3<f64>,
        query: &Query,
        n_units: usize,
    ) -> Result<Projected, MetricError> {
        let visible = visible_counts(counts, query, n_units)?;
        let smoothed = smooth_over_time(&visible.view(), self.sigma_bins, Edge::Renormalized)?;
        let positions: Vec<usize> = (0..query.visible.len()).collect();
        let mut features = rows_of(&smoothed.view(), &positions);
        subtract_from_columns(&mut features, &self.means);
        let scores = product(features.as_ref(), self.loadings.as_ref());
        Ok(Projected { features, scores })
    }

    fn truncate(&mut self, n_components: usize) {
        let n_components = n_components.min(self.loadings.ncols());
        self.loadings = self.loadings.subcols(0, n_components).to_owned();
    }
}

impl Projected {
    /// The first `k` components, or all if there are fewer.
    fn leading(&self, k: usize) -> Leading<'_> {
        let k = k.min(self.scores.ncols());
        Leading { features: self.features.as_ref(), scores: self.scores.subcols(0, k) }
    }
}

impl Leading<'_> {
    /// Scores without the contribution of the visible unit at `own`.
    fn without(self, pca: &Pca, own: Option<usize>) -> Mat<f64> {
        let mut scores = self.scores.to_owned();
        let Some(own) = own else { return scores };
        for j in 0..scores.ncols() {
            let loading = pca.loadings[(own, j)];
            for (score, feature) in scores.col_mut(j).iter_mut().zip(self.features.col(own).iter()) {
                *score -= loading * feature;
            }
        }
        scores
    }
}

/// Orthonormal loadings `[visible, k]` of the leading components of centered `features` (`[rows, visible]`). With fewer rows
/// than units they are found between rows, which is the same problem; directions without variance are then zero.
fn components(features: MatRef<f64>, k: usize) -> Result<Mat<f64>, MetricError> {
    if features.nrows() >= features.ncols() {
        return leading_eigenvectors(gram(features, Par::rayon(0)).as_ref(), k);
    }
    let between_rows = gram(features.transpose(), Par::rayon(0));
    let k = k.min(features.ncols());
    let mut loadings =
        product(features.transpose(), leading_eigenvectors(between_rows.as_ref(), k)?.as_ref());
    normalize_columns(&mut loadings);
    Ok(loadings)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use neurobrick_random::{Domain, Stream};

    use super::*;

    /// Between rows or between units: the same scores, also where there are fewer directions than are asked for.
    #[test]
    fn components_between_rows_are_those_between_units() {
        let mut stream = Stream::new(4, Domain::Synthetic, [0; 3]);
        let mut x = Mat::from_fn(12, 30, |_, _| stream.normal());
        // Rows 8 to 11 repeat others: rank 7 once centered.
        for (row, column) in (8..12).flat_map(|row| (0..30).map(move |column| (row, column))) {
            x[(row, column)] = x[(row - 8, column)];
        }
        let means = column_means(x.as_ref());
        subtract_from_columns(&mut x, &means);
        let between_units = leading_eigenvectors(gram(x.as_ref(), Par::Seq).as_ref(), 9).unwrap();
        let between_rows = components(x.as_ref(), 9).unwrap();
        let scores = [between_units, between_rows.clone()].map(|v| product(x.as_ref(), v.as_ref()));
        for k in 0..9 {
            let length = |v: &Mat<f64>| v.col(k).iter().map(|z| z * z).sum::<f64>().sqrt();
            let unit = if k < 7 { 1.0 } else { 0.0 };
            assert!((length(&between_rows) - unit).abs() < 1e-9, "{k}");
            for (a, b) in scores[0].col(k).iter().zip(scores[1].col(k).iter()) {
                assert!((a.abs() - b.abs()).abs() < 1e-8, "{k}: {a} and {b}");
            }
        }
    }
}
