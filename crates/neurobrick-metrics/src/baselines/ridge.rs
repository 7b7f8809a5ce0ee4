//! Ridge regression from visible units: counts of a hidden unit from smoothed counts of others in the same bin.
//!
//! Hidden and left-out units have their coefficients held at zero, see `held_at_zero`.

use faer::{Mat, Par};
use ndarray::{Array3, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use super::Query;
use super::counts::{check_counts, check_grid, check_train_valid, positive_means};
use super::held_at_zero::{Ask, FeatureSystem};
use super::selection::Yardstick;
use crate::linalg::{column_means, gram, product, rows_of, subtract_from_columns, trials_of};
use crate::{Edge, MetricError, RATE_FLOOR, smooth_over_time};

/// Hyper-parameters to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeGrid {
    /// Standard deviations of the smoothing of the features over time.
    pub sigmas_bins: Vec<f64>,
    /// Penalties relative to the mean sum of squares of a unit's centered feature, over all units of the session, so
    /// that they carry over between sessions of different length and activity.
    pub penalties: Vec<f64>,
    /// Lowest rate as a fraction of the unit's mean, above zero.
    pub floors: Vec<f64>,
}

impl Default for RidgeGrid {
    fn default() -> Self {
        Self {
            sigmas_bins: vec![1.0, 3.0, 8.0],
            penalties: vec![0.1, 0.3, 1.0, 3.0, 10.0, 30.0],
            floors: vec![0.05, 0.1, 0.2, 0.3, 0.5, 0.7],
        }
    }
}

/// What was chosen, and how well it did on the validation trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeChoice {
    /// Standard deviation of the smoothing over bins.
    pub sigma_bins: f64,
    /// Relative penalty.
    pub penalty: f64,
    /// The penalty as it enters the normal equations (scikit-learn's `alpha`).
    pub alpha: f64,
    /// Lowest rate as a fraction of the unit's mean.
    pub floor: f64,
    /// Pooled bits/spike of the targets on the validation trials.
    pub valid_bits_per_spike: f64,
}

/// The products of one session's data that all queries share; build it once, fit many queries.
#[derive(Clone, Debug)]
pub struct RidgeDesign {
    grid: RidgeGrid,
    smoothed: Vec<Smoothed>,
    unit_means: Vec<f64>,
    /// Mean count of each unit, zero for a silent one.
    target_means: Vec<f64>,
    /// Validation counts `[rows, N]`.
    valid: Mat<f64>,
    n_valid_trials: usize,
}

#[derive(Clone, Debug)]
struct Smoothed {
    sigma_bins: f64,
    /// Mean of each smoothed unit over training rows.
    means: Vec<f64>,
    /// Centered features' Gram matrix, `[N, N]`.
    gram: Mat<f64>,
    /// Centered features with raw counts, `[N, N]`.
    cross: Mat<f64>,
    /// Validation features, centered by training means, `[rows, N]`.
    valid: Mat<f64>,
}

/// A fitted ridge regression for one query.
#[derive(Clone, Debug)]
pub struct VisibleRidge {
    grid: RidgeGrid,
    choice: RidgeChoice,
    query: Query,
    n_units: usize,
    /// Mean of each visible unit's smoothed counts over training rows.
    feature_means: Vec<f64>,
    /// `[visible, targets]`.
    beta: Mat<f64>,
    target_means: Vec<f64>,
    /// Lowest rate of each target, spikes/bin.
    lowest: Vec<f64>,
}

impl RidgeDesign {
    /// Smooths and multiplies out training and validation counts (`[B, T, N]`), once per sigma.
    ///
    /// Fails on counts that are empty, negative or not finite, on sets that differ in bins or units, and on a grid
    /// that is empty or out of range.
    pub fn new(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        grid: &RidgeGrid,
    ) -> Result<Self, MetricError> {
        check_train_valid(train, valid)?;
        check_grid("sigmas_bins", &grid.sigmas_bins, "at least zero", |sigma| sigma >= 0.0)?;
        check_grid("penalties", &grid.penalties, "above zero", |penalty| penalty > 0.0)?;
        check_grid("floors", &grid.floors, "above zero", |floor| floor > 0.0)?;
        let units: Vec<usize> = (0..train.len_of(Axis(2))).collect();
        let targets = rows_of(train, &units);
        let smoothed = grid
            .sigmas_bins
            .iter()
            .map(|&sigma_bins| Smoothed::new(train, valid, &targets, sigma_bins))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            grid: grid.clone(),
            smoothed,
            unit_means: positive_means(train),
            target_means: column_means(targets.as_ref()),
            valid: rows_of(valid, &units),
            n_valid_trials: valid.len_of(Axis(0)),
        })
    }

    /// Fits one query, choosing all hyper-parameters on its targets in the validation trials.
    ///
    /// Fails on an invalid query and if the targets have no spike in the validation trials.
    pub fn fit(&self, query: &Query) -> Result<VisibleRidge, MetricError> {
        let fitted = self.fit_many(std::slice::from_ref(query))?.pop().flatten();
        fitted.ok_or(MetricError::NoSpikes { targets: query.targets.len(), trials: self.n_valid_trials })
    }

    /// [`Self::fit`] for many queries, which share what their systems have in common; `None` for a query whose targets
    /// have no spike in the validation trials, which leaves nothing to choose by.
    ///
    /// Fails on an invalid query.
    pub fn fit_many(&self, queries: &[Query]) -> Result<Vec<Option<VisibleRidge>>, MetricError> {
        let n_units = self.unit_means.len();
        let mut fits = Vec::with_capacity(queries.len());
        let mut asks = Vec::with_capacity(queries.len());
        for (position, query) in queries.iter().enumerate() {
            query.validate(n_units)?;
            let yardstick =
                Yardstick::new(columns(&self.valid, &query.targets).as_ref(), self.n_valid_trials);
            match yardstick {
                Ok(yardstick) => {
                    let own = query.own_positions(n_units).into_iter();
                    asks.push(Ask {
                        keep: query.visible.clone(),
                        targets: query.targets.clone(),
                        own: own.map(|p| p.into_iter().collect()).collect(),
                    });
                    fits.push(Fit { position, yardstick, best: None });
                }
                Err(MetricError::NoSpikes { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for (index, smoothed) in self.smoothed.iter().enumerate() {
            for &penalty in &self.grid.penalties {
                let (alpha, betas) = smoothed.solve(&asks, penalty)?;
                for ((fit, ask), beta) in fits.iter_mut().zip(&asks).zip(betas) {
                    let linear = product(columns(&smoothed.valid, &ask.keep).as_ref(), beta.as_ref());
                    let before =
                        fit.best.as_ref().map_or(f64::NEG_INFINITY, |(c, ..)| c.valid_bits_per_spike);
                    let choices = self.grid.floors.iter().map(|&floor| {
                        let cost = fit.yardstick.cost(|row, target| {
                            let unit = ask.targets[target];
                            let lowest = (floor * self.unit_means[unit]).max(RATE_FLOOR);
                            (linear[(row, target)] + self.target_means[unit]).max(lowest)
                        });
                        let valid_bits_per_spike = fit.yardstick.bits_per_spike(cost);
                        let sigma_bins = smoothed.sigma_bins;
                        RidgeChoice { sigma_bins, penalty, alpha, floor, valid_bits_per_spike }
                    });
                    let better = choices.filter(|choice| choice.valid_bits_per_spike > before);
                    if let Some(choice) =
                        better.max_by(|a, b| a.valid_bits_per_spike.total_cmp(&b.valid_bits_per_spike))
                    {
                        fit.best = Some((choice, beta, index));
                    }
                }
            }
        }
        let mut found: Vec<Option<VisibleRidge>> = queries.iter().map(|_| None).collect();
        for Fit { position, best, .. } in fits {
            let best = best.ok_or(MetricError::Empty { what: "hyper-parameter grid" })?;
            found[position] = Some(self.chosen(&queries[position], best));
        }
        Ok(found)
    }

    fn chosen(&self, query: &Query, (choice, beta, index): (RidgeChoice, Mat<f64>, usize)) -> VisibleRidge {
        let lowest = |&unit: &usize| (choice.floor * self.unit_means[unit]).max(RATE_FLOOR);
        VisibleRidge {
            grid: self.grid.clone(),
            query: query.clone(),
            n_units: self.unit_means.len(),
            feature_means: query.visible.iter().map(|&unit| self.smoothed[index].means[unit]).collect(),
            beta,
            target_means: query.targets.iter().map(|&unit| self.target_means[unit]).collect(),
            lowest: query.targets.iter().map(lowest).collect(),
            choice,
        }
    }
}

/// The best for a query so far.
struct Fit {
    /// Of the query.
    position: usize,
    yardstick: Yardstick,
    /// What was chosen, the coefficients, and the position of the smoothing.
    best: Option<(RidgeChoice, Mat<f64>, usize)>,
}

impl Smoothed {
    fn new(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        targets: &Mat<f64>,
        sigma_bins: f64,
    ) -> Result<Self, MetricError> {
        let units: Vec<usize> = (0..train.len_of(Axis(2))).collect();
        let smooth = |counts| smooth_over_time(counts, sigma_bins, Edge::Renormalized);
        let mut features = rows_of(&smooth(train)?.view(), &units);
        let means = column_means(features.as_ref());
        subtract_from_columns(&mut features, &means);
        let mut valid = rows_of(&smooth(valid)?.view(), &units);
        subtract_from_columns(&mut valid, &means);
        Ok(Self {
            sigma_bins,
            means,
            gram: gram(features.as_ref(), Par::rayon(0)),
            cross: product(features.transpose(), targets.as_ref()),
            valid,
        })
    }

    /// Absolute penalty, and coefficients `[visible, targets]` of every query.
    fn solve(&self, asks: &[Ask], penalty: f64) -> Result<(f64, Vec<Mat<f64>>), MetricError> {
        let n_units = self.gram.nrows();
        let energy: f64 = (0..n_units).map(|unit| self.gram[(unit, unit)]).sum();
        // Without any spike every penalty gives the mean.
        let alpha = if energy > 0.0 { penalty * energy / n_units as f64 } else { penalty };
        let what = "ridge from visible units";
        let system = FeatureSystem { gram: self.gram.as_ref(), cross: self.cross.as_ref(), alpha, what };
        Ok((alpha, system.solve(asks)?))
    }
}

impl VisibleRidge {
    /// Fits a single query; see [`RidgeDesign::new`] and [`RidgeDesign::fit`].
    pub fn fit(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        query: &Query,
        grid: &RidgeGrid,
    ) -> Result<Self, MetricError> {
        RidgeDesign::new(train, valid, grid)?.fit(query)
    }

    /// Rates `[B, T, targets]` from counts `[B, T, N]`, of which only the visible units are read; fails on another
    /// number of units and on invalid counts of visible units.
    pub fn predict(&self, counts: &ArrayView3<f64>) -> Result<Array3<f64>, MetricError> {
        let visible = visible_counts(counts, &self.query, self.n_units)?;
        let smoothed = smooth_over_time(&visible.view(), self.choice.sigma_bins, Edge::Renormalized)?;
        let positions: Vec<usize> = (0..self.query.visible.len()).collect();
        let mut features = rows_of(&smoothed.view(), &positions);
        subtract_from_columns(&mut features, &self.feature_means);
        let mut rates = product(features.as_ref(), self.beta.as_ref());
        for (target, lowest) in self.lowest.iter().enumerate() {
            for rate in rates.col_mut(target).iter_mut() {
                *rate = (*rate + self.target_means[target]).max(*lowest);
            }
        }
        Ok(trials_of(rates.as_ref(), counts.len_of(Axis(0)), counts.len_of(Axis(1))))
    }

    /// Coefficient of the visible unit at `visible_idx` for the target at `target_idx` (positions in the query).
    pub fn coefficient(&self, visible_idx: usize, target_idx: usize) -> Option<f64> {
        (visible_idx < self.beta.nrows() && target_idx < self.beta.ncols())
            .then(|| self.beta[(visible_idx, target_idx)])
    }

    /// The task it was fitted for.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What was tried.
    pub fn grid(&self) -> &RidgeGrid {
        &self.grid
    }

    /// What was chosen.
    pub fn choice(&self) -> &RidgeChoice {
        &self.choice
    }
}

/// The visible units' counts, checked, `[B, T, visible]`.
pub(crate) fn visible_counts(
    counts: &ArrayView3<f64>,
    query: &Query,
    n_units: usize,
) -> Result<Array3<f64>, MetricError> {
    let (n_trials, n_bins, units) = counts.dim();
    if units != n_units {
        let (expected, got) = (vec![n_trials, n_bins, n_units], counts.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "counts", expected, got });
    }
    let visible = counts.select(Axis(2), &query.visible);
    check_counts(&visible.view(), "visible counts")?;
    Ok(visible)
}

/// Some columns of a matrix, copied.
fn columns(matrix: &Mat<f64>, keep: &[usize]) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), keep.len(), |i, j| matrix[(i, keep[j])])
}
