//! A multivariate Wiener filter: counts of a hidden unit from the counts of visible units in all bins around.
//!
//! Features are every visible unit's counts smoothed over several time scales, a basis for the filter over lags that
//! is dense at short lags and coarse at long ones, so that `M` numbers per unit stand for all of them. Each feature is
//! divided by the square root of its standard deviation, halfway between ridge on raw counts, which hears only active
//! units, and on standardized ones, which hears the noise of silent units as loudly. Units that are hidden or left out
//! have their coefficients held at zero, see `held_at_zero`.

use faer::{Mat, MatRef, Par};
use ndarray::{Array3, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use super::Query;
use super::counts::{check_grid, check_train_valid, positive_means};
use super::held_at_zero::{Ask, FeatureSystem, SampleSystem, block};
use super::link::{RateLink, TargetMeans, best_link, check_links, default_links};
use super::ridge::visible_counts;
use super::selection::Yardstick;
use crate::linalg::{column_means, gram, product, rows_of, subtract_from_columns, trials_of};
use crate::{Edge, MetricError, smooth_over_time};

/// A feature's scale is at least this share of the median one.
const SCALE_FLOOR: f64 = 0.1;
/// With this many times more features than samples, solving between samples is the cheaper way.
const SAMPLES_RATIO: usize = 2;
/// What is fitted, for errors.
const WHAT: &str = "Wiener filter";

/// Hyper-parameters to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WienerGrid {
    /// Standard deviations of the smoothings that together make the features; all are used at once.
    pub sigmas_bins: Vec<f64>,
    /// Penalties relative to the mean sum of squares of a feature, over all units of the session.
    pub penalties: Vec<f64>,
    /// From predictions to rates.
    pub links: Vec<RateLink>,
}

impl Default for WienerGrid {
    fn default() -> Self {
        let sigmas_bins = vec![1.0, 3.0, 10.0];
        Self { sigmas_bins, penalties: vec![3.0, 10.0, 30.0, 100.0], links: default_links() }
    }
}

/// What was chosen, and how well it did on the validation trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WienerChoice {
    /// Relative penalty.
    pub penalty: f64,
    /// The penalty as it enters the normal equations of the scaled features.
    pub alpha: f64,
    /// From predictions to rates.
    pub link: RateLink,
    /// Pooled bits/spike of the targets on the validation trials.
    pub valid_bits_per_spike: f64,
}

/// The products of one session's data that all queries share.
#[derive(Clone, Debug)]
pub struct WienerDesign {
    grid: WienerGrid,
    /// Divisor of each feature; feature `m · N + i` is unit `i` at scale `m`.
    scales: Vec<f64>,
    feature_means: Vec<f64>,
    /// Mean sum of squares of a feature; one where there is no spike, since every penalty then gives the mean.
    energy: f64,
    products: Products,
    means: TargetMeans,
    valid: Array3<f64>,
}

/// What is solved: a system between features, or between samples where these are far fewer.
#[derive(Clone, Debug)]
enum Products {
    /// Of features with each other, and with raw counts, `[M · N, N]`.
    Features { gram: Mat<f64>, cross: Mat<f64> },
    /// Features `[B · T, M · N]`, their products with each other over features, and raw counts `[B · T, N]`.
    Samples { features: Mat<f64>, kernel: Mat<f64>, counts: Mat<f64> },
}

/// The best for a query so far.
struct Fit {
    /// Of the query.
    position: usize,
    yardstick: Yardstick,
    best: Option<(WienerChoice, Mat<f64>)>,
}

/// A fitted filter for one query.
#[derive(Clone, Debug)]
pub struct VisibleWiener {
    grid: WienerGrid,
    choice: WienerChoice,
    query: Query,
    n_units: usize,
    /// Of the visible features, scale by scale.
    scales: Vec<f64>,
    feature_means: Vec<f64>,
    /// `[M · visible, targets]`.
    beta: Mat<f64>,
    means: TargetMeans,
}

impl WienerDesign {
    /// Smooths and multiplies out training counts (`[B, T, N]`); keeps the validation counts for the choices.
    ///
    /// Fails on counts that are empty, negative or not finite, on sets that differ in bins or units, and on a grid
    /// that is empty or out of range.
    pub fn new(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        grid: &WienerGrid,
    ) -> Result<Self, MetricError> {
        check_train_valid(train, valid)?;
        check_grid("sigmas_bins", &grid.sigmas_bins, "at least zero", |sigma| sigma >= 0.0)?;
        check_grid("penalties", &grid.penalties, "above zero", |penalty| penalty > 0.0)?;
        check_links(&grid.links)?;
        let units: Vec<usize> = (0..train.len_of(Axis(2))).collect();
        let mut features = smoothed(train, &grid.sigmas_bins)?;
        let feature_means = column_means(features.as_ref());
        subtract_from_columns(&mut features, &feature_means);
        let scales = scales_of(&features);
        divide_columns(&mut features, &scales);
        let targets = rows_of(train, &units);
        let means = TargetMeans { centers: column_means(targets.as_ref()), positive: positive_means(train) };
        let squares: f64 = features.col_iter().map(|column| column.iter().map(|x| x * x).sum::<f64>()).sum();
        let energy = if squares > 0.0 { squares / features.ncols() as f64 } else { 1.0 };
        Ok(Self {
            grid: grid.clone(),
            energy,
            products: if SAMPLES_RATIO * features.nrows() < features.ncols() {
                let kernel = gram(features.transpose(), Par::rayon(0));
                Products::Samples { features, kernel, counts: targets }
            } else {
                Products::Features {
                    gram: gram(features.as_ref(), Par::rayon(0)),
                    cross: product(features.transpose(), targets.as_ref()),
                }
            },
            scales,
            feature_means,
            means,
            valid: valid.to_owned(),
        })
    }

    /// Fits one query, choosing penalty and link on its targets in the validation trials.
    ///
    /// Fails on an invalid query and if the targets have no spike in the validation trials.
    pub fn fit(&self, query: &Query) -> Result<VisibleWiener, MetricError> {
        let fitted = self.fit_many(std::slice::from_ref(query))?.pop().flatten();
        let (targets, trials) = (query.targets.len(), self.valid.len_of(Axis(0)));
        fitted.ok_or(MetricError::NoSpikes { targets, trials })
    }

    /// [`Self::fit`] for many queries, which share what their systems have in common; `None` for a query whose targets
    /// have no spike in the validation trials, which leaves nothing to choose by.
    ///
    /// Fails on an invalid query.
    pub fn fit_many(&self, queries: &[Query]) -> Result<Vec<Option<VisibleWiener>>, MetricError> {
        let n_trials = self.valid.len_of(Axis(0));
        let mut fits = Vec::with_capacity(queries.len());
        let mut asks = Vec::with_capacity(queries.len());
        for (position, query) in queries.iter().enumerate() {
            query.validate(self.n_units())?;
            let targets = rows_of(&self.valid.view(), &query.targets);
            match Yardstick::new(targets.as_ref(), n_trials) {
                Ok(yardstick) => {
                    asks.push(self.ask(query));
                    fits.push(Fit { position, yardstick, best: None });
                }
                Err(MetricError::NoSpikes { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let features = self.centered(&self.valid.view())?;
        let rows: Vec<usize> = (0..features.nrows()).collect();
        for &penalty in &self.grid.penalties {
            let (alpha, betas) = self.solve(&asks, penalty)?;
            for ((fit, ask), beta) in fits.iter_mut().zip(&asks).zip(betas) {
                // Columns by themselves: what is hidden has no way in.
                let visible = block(features.as_ref(), &rows, &ask.keep);
                let linear = product(visible.as_ref(), beta.as_ref());
                let means = self.means.select(&ask.targets);
                let (link, valid_bits_per_spike) =
                    best_link(&self.grid.links, &means, &fit.yardstick, |row, target| linear[(row, target)])?;
                let choice = WienerChoice { penalty, alpha, link, valid_bits_per_spike };
                if fit.best.as_ref().is_none_or(|(best, _)| valid_bits_per_spike > best.valid_bits_per_spike)
                {
                    fit.best = Some((choice, beta));
                }
            }
        }
        let mut found: Vec<Option<VisibleWiener>> = queries.iter().map(|_| None).collect();
        for Fit { position, best, .. } in fits {
            let (choice, beta) = best.ok_or(MetricError::Empty { what: "penalties" })?;
            found[position] = Some(self.fitted(&queries[position], choice, beta));
        }
        Ok(found)
    }

    /// Fits one query with the penalty and link of a choice made elsewhere, on fewer trials for instance; its score
    /// stays that of the choice.
    ///
    /// Fails on an invalid query.
    pub fn fit_with(&self, query: &Query, choice: &WienerChoice) -> Result<VisibleWiener, MetricError> {
        let fitted = self.fit_many_with(&[(query, *choice)])?.pop();
        fitted.ok_or(MetricError::Empty { what: "queries" })
    }

    /// [`Self::fit_with`] for many queries, which share what their systems have in common; those with one penalty most.
    ///
    /// Fails on an invalid query, and on a penalty that is not above zero.
    pub fn fit_many_with(
        &self,
        queries: &[(&Query, WienerChoice)],
    ) -> Result<Vec<VisibleWiener>, MetricError> {
        let mut penalties: Vec<f64> = queries.iter().map(|(_, choice)| choice.penalty).collect();
        if !penalties.is_empty() {
            check_grid("penalty", &penalties, "above zero", |penalty| penalty > 0.0)?;
        }
        for (query, _) in queries {
            query.validate(self.n_units())?;
        }
        penalties.sort_unstable_by(f64::total_cmp);
        penalties.dedup();
        let mut found: Vec<Option<VisibleWiener>> = queries.iter().map(|_| None).collect();
        for penalty in penalties {
            let is_same = |&i: &usize| queries[i].1.penalty.total_cmp(&penalty).is_eq();
            let same: Vec<usize> = (0..queries.len()).filter(is_same).collect();
            let asks: Vec<Ask> = same.iter().map(|&i| self.ask(queries[i].0)).collect();
            let (alpha, betas) = self.solve(&asks, penalty)?;
            for (i, beta) in same.into_iter().zip(betas) {
                let (query, choice) = queries[i];
                found[i] = Some(self.fitted(query, WienerChoice { alpha, ..choice }, beta));
            }
        }
        // Every query has one of the penalties.
        Ok(found.into_iter().flatten().collect())
    }

    /// Features a query may use, scale by scale.
    fn keep(&self, query: &Query) -> Vec<usize> {
        let n_units = self.n_units();
        (0..self.grid.sigmas_bins.len())
            .flat_map(|scale| query.visible.iter().map(move |unit| scale * n_units + unit))
            .collect()
    }

    fn fitted(&self, query: &Query, choice: WienerChoice, beta: Mat<f64>) -> VisibleWiener {
        let keep = self.keep(query);
        VisibleWiener {
            grid: self.grid.clone(),
            choice,
            query: query.clone(),
            n_units: self.n_units(),
            scales: keep.iter().map(|&feature| self.scales[feature]).collect(),
            feature_means: keep.iter().map(|&feature| self.feature_means[feature]).collect(),
            beta,
            means: self.means.select(&query.targets),
        }
    }

    /// Units of the counts.
    pub(crate) fn n_units(&self) -> usize {
        self.means.centers.len()
    }

    /// What may be chosen from.
    pub fn grid(&self) -> &WienerGrid {
        &self.grid
    }

    /// The validation counts.
    pub(super) fn valid(&self) -> &Array3<f64> {
        &self.valid
    }

    /// Features of all units.
    fn centered(&self, counts: &ArrayView3<f64>) -> Result<Mat<f64>, MetricError> {
        let mut features = smoothed(counts, &self.grid.sigmas_bins)?;
        subtract_from_columns(&mut features, &self.feature_means);
        divide_columns(&mut features, &self.scales);
        Ok(features)
    }

    fn ask(&self, query: &Query) -> Ask {
        let (n_visible, n_scales) = (query.visible.len(), self.grid.sigmas_bins.len());
        let own = if query.leave_one_out {
            query.own_positions(self.n_units())
        } else {
            vec![None; query.targets.len()]
        };
        let features = |position| (0..n_scales).map(|scale| scale * n_visible + position).collect();
        Ask {
            keep: self.keep(query),
            targets: query.targets.clone(),
            own: own.into_iter().map(|position| position.map_or_else(Vec::new, features)).collect(),
        }
    }

    /// Absolute penalty, and coefficients `[M · visible, targets]` of every query.
    fn solve(&self, asks: &[Ask], penalty: f64) -> Result<(f64, Vec<Mat<f64>>), MetricError> {
        let alpha = penalty * self.energy;
        let betas = match &self.products {
            Products::Features { gram, cross } => {
                FeatureSystem { gram: gram.as_ref(), cross: cross.as_ref(), alpha, what: WHAT }.solve(asks)
            }
            Products::Samples { features, kernel, counts } => {
                let (features, kernel) = (features.as_ref(), kernel.as_ref());
                SampleSystem { features, kernel, counts: counts.as_ref(), alpha, what: WHAT }.solve(asks)
            }
        };
        Ok((alpha, betas?))
    }
}

impl VisibleWiener {
    /// Rates `[B, T, targets]` from counts `[B, T, N]`, of which only the visible units are read; fails on another
    /// number of units and on invalid counts of visible units.
    pub fn predict(&self, counts: &ArrayView3<f64>) -> Result<Array3<f64>, MetricError> {
        Ok(self.rates(self.features(counts)?.as_ref(), counts.len_of(Axis(1))))
    }

    /// The same from features of the visible units, which filters of one design and query share.
    pub(crate) fn rates(&self, features: MatRef<f64>, n_bins: usize) -> Array3<f64> {
        let mut rates = product(features, self.beta.as_ref());
        for target in 0..rates.ncols() {
            for rate in rates.col_mut(target).iter_mut() {
                *rate = self.means.rate(self.choice.link, *rate, target);
            }
        }
        trials_of(rates.as_ref(), rates.nrows() / n_bins, n_bins)
    }

    /// Expected deviations from the mean, `[B · T, targets]`.
    pub(super) fn deviations(&self, counts: &ArrayView3<f64>) -> Result<Mat<f64>, MetricError> {
        Ok(product(self.features(counts)?.as_ref(), self.beta.as_ref()))
    }

    /// Means of the targets.
    pub(super) fn means(&self) -> &TargetMeans {
        &self.means
    }

    /// Scaled features of the visible units, `[B · T, M · visible]`; fails on invalid counts of these.
    pub(crate) fn features(&self, counts: &ArrayView3<f64>) -> Result<Mat<f64>, MetricError> {
        let visible = visible_counts(counts, &self.query, self.n_units)?;
        let mut features = smoothed(&visible.view(), &self.grid.sigmas_bins)?;
        subtract_from_columns(&mut features, &self.feature_means);
        divide_columns(&mut features, &self.scales);
        Ok(features)
    }

    /// The task it was fitted for.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What was tried.
    pub fn grid(&self) -> &WienerGrid {
        &self.grid
    }

    /// What was chosen.
    pub fn choice(&self) -> &WienerChoice {
        &self.choice
    }
}

/// All units at all scales, `[B · T, M · N]`, scales outermost.
fn smoothed(counts: &ArrayView3<f64>, sigmas_bins: &[f64]) -> Result<Mat<f64>, MetricError> {
    let (n_trials, n_bins, n_units) = counts.dim();
    let units: Vec<usize> = (0..n_units).collect();
    let mut features = Mat::zeros(n_trials * n_bins, sigmas_bins.len() * n_units);
    for (scale, &sigma) in sigmas_bins.iter().enumerate() {
        let rows = rows_of(&smooth_over_time(counts, sigma, Edge::Renormalized)?.view(), &units);
        features.as_mut().subcols_mut(scale * n_units, n_units).copy_from(rows);
    }
    Ok(features)
}

/// Square roots of the columns' standard deviations, those below a tenth of the median raised to it.
fn scales_of(centered: &Mat<f64>) -> Vec<f64> {
    let deviations: Vec<f64> = (0..centered.ncols())
        .map(|j| (centered.col(j).iter().map(|x| x * x).sum::<f64>() / centered.nrows() as f64).sqrt())
        .collect();
    let mut sorted = deviations.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    // With most units silent the median is zero; the largest then sets the scale.
    let reference = if median > 0.0 { median } else { sorted[sorted.len() - 1] };
    let floor = SCALE_FLOOR * if reference > 0.0 { reference } else { 1.0 };
    deviations.into_iter().map(|deviation| deviation.max(floor).sqrt()).collect()
}

fn divide_columns(x: &mut Mat<f64>, divisors: &[f64]) {
    for (j, divisor) in divisors.iter().enumerate() {
        x.col_mut(j).iter_mut().for_each(|value| *value /= divisor);
    }
}
