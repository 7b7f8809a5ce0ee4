//! A multivariate Wiener filter: counts of a hidden unit from the counts of visible units in all bins around.
//!
//! Features are every visible unit's counts smoothed over several time scales, a basis for the filter over lags that
//! is dense at short lags and coarse at long ones, so that `M` numbers per unit stand for all of them. Each feature is
//! divided by the square root of its standard deviation, halfway between ridge on raw counts, which hears only active
//! units, and on standardized ones, which hears the noise of silent units as loudly. With `P` the inverse of the
//! penalized Gram matrix, leaving out a unit asks that the coefficients of its `M` features be zero, which by Lagrange
//! multipliers is `β − P[:, o] P[o, o]⁻¹ β_o`: all units left out in turn at the price of one inverse.
//!
//! With few trials there are fewer samples than features. Then the same solution is found between samples, with
//! `P = (I − Xᵀ (X Xᵀ + α I)⁻¹ X) / α`, of which only the columns of units left out are ever made.

use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Par};
use ndarray::{Array3, ArrayView3, Axis};
use serde::{Deserialize, Serialize};

use super::Query;
use super::counts::{check_grid, check_train_valid, positive_means};
use super::link::{RateLink, TargetMeans, best_link, check_links, default_links};
use super::ridge::visible_counts;
use super::selection::Yardstick;
use crate::linalg::{
    cholesky, column_means, gram, penalized, product, rows_of, subtract_from_columns, trials_of,
};
use crate::{Edge, MetricError, smooth_over_time};

/// A feature's scale is at least this share of the median one.
const SCALE_FLOOR: f64 = 0.1;
/// With this many times more features than samples, solving between samples is the cheaper way.
const SAMPLES_RATIO: usize = 2;

/// Hyper-parameters to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WienerGrid {
    /// Standard deviations of the smoothings that together make the features; all are used at once.
    pub sigmas_bins: Vec<f64>,
    /// Penalties relative to the mean sum of squares of a visible feature.
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
    /// Sum of squares of each feature.
    energies: Vec<f64>,
    products: Products,
    means: TargetMeans,
    valid: Array3<f64>,
}

/// What is solved: a system between features, or between samples where these are far fewer.
#[derive(Clone, Debug)]
enum Products {
    /// Of features with each other, and with raw counts, `[M · N, N]`.
    Features { gram: Mat<f64>, cross: Mat<f64> },
    /// Features `[B · T, M · N]` and raw counts `[B · T, N]`.
    Samples { features: Mat<f64>, counts: Mat<f64> },
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
        Ok(Self {
            grid: grid.clone(),
            energies: features.col_iter().map(|column| column.iter().map(|x| x * x).sum()).collect(),
            products: if SAMPLES_RATIO * features.nrows() < features.ncols() {
                Products::Samples { features, counts: targets }
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
        query.validate(self.means.centers.len())?;
        let targets = rows_of(&self.valid.view(), &query.targets);
        let yardstick = Yardstick::new(targets.as_ref(), self.valid.len_of(Axis(0)))?;
        let (keep, mut fitted) = self.unfitted(query);
        let features = fitted.features(&self.valid.view())?;
        for &penalty in &self.grid.penalties {
            let (alpha, beta) = self.solve(query, &keep, penalty)?;
            let linear = product(features.as_ref(), beta.as_ref());
            let (link, valid_bits_per_spike) =
                best_link(&self.grid.links, &fitted.means, &yardstick, |row, target| linear[(row, target)])?;
            if valid_bits_per_spike > fitted.choice.valid_bits_per_spike {
                fitted.choice = WienerChoice { penalty, alpha, link, valid_bits_per_spike };
                fitted.beta = beta;
            }
        }
        Ok(fitted)
    }

    /// Fits one query with the penalty and link of a choice made elsewhere, on fewer trials for instance; its score
    /// stays that of the choice.
    ///
    /// Fails on an invalid query.
    pub fn fit_with(&self, query: &Query, choice: &WienerChoice) -> Result<VisibleWiener, MetricError> {
        query.validate(self.means.centers.len())?;
        let (keep, unfitted) = self.unfitted(query);
        let (alpha, beta) = self.solve(query, &keep, choice.penalty)?;
        Ok(VisibleWiener { beta, choice: WienerChoice { alpha, ..*choice }, ..unfitted })
    }

    /// Visible features, and a filter for a query without coefficients.
    fn unfitted(&self, query: &Query) -> (Vec<usize>, VisibleWiener) {
        let n_units = self.means.centers.len();
        let keep: Vec<usize> = (0..self.grid.sigmas_bins.len())
            .flat_map(|scale| query.visible.iter().map(move |unit| scale * n_units + unit))
            .collect();
        let fitted = VisibleWiener {
            grid: self.grid.clone(),
            choice: WienerChoice {
                penalty: 0.0,
                alpha: 0.0,
                link: RateLink::Floor(1.0),
                valid_bits_per_spike: f64::NEG_INFINITY,
            },
            query: query.clone(),
            n_units,
            scales: keep.iter().map(|&feature| self.scales[feature]).collect(),
            feature_means: keep.iter().map(|&feature| self.feature_means[feature]).collect(),
            beta: Mat::new(),
            means: self.means.select(&query.targets),
        };
        (keep, fitted)
    }

    /// The validation counts.
    pub(super) fn valid(&self) -> &Array3<f64> {
        &self.valid
    }

    /// Absolute penalty and coefficients `[M · visible, targets]`.
    fn solve(&self, query: &Query, keep: &[usize], penalty: f64) -> Result<(f64, Mat<f64>), MetricError> {
        let n_visible = query.visible.len();
        let energy = keep.iter().map(|&feature| self.energies[feature]).sum::<f64>();
        // Without any visible spike every penalty gives the mean.
        let alpha = if energy > 0.0 { penalty * energy / keep.len() as f64 } else { penalty };
        // The features of every target that is visible itself.
        let mut own: Vec<(usize, Vec<usize>)> = Vec::new();
        if query.leave_one_out {
            for (target, position) in query.own_positions(self.means.centers.len()).into_iter().enumerate() {
                let Some(position) = position else { continue };
                let scales = 0..self.grid.sigmas_bins.len();
                own.push((target, scales.map(|scale| scale * n_visible + position).collect()));
            }
        }
        let out: Vec<usize> = own.iter().flat_map(|(_, features)| features.iter().copied()).collect();
        // Coefficients as if no target were visible, and the columns of `P` that are left out below.
        let (mut beta, columns) = match &self.products {
            Products::Features { gram, cross } => {
                let factor = cholesky(penalized(gram.as_ref(), keep, alpha).as_ref(), "Wiener filter")?;
                let cross =
                    Mat::from_fn(keep.len(), query.targets.len(), |i, j| cross[(keep[i], query.targets[j])]);
                if out.is_empty() {
                    return Ok((alpha, factor.solve(cross)));
                }
                let inverse = factor.inverse();
                let beta = product(inverse.as_ref(), cross.as_ref());
                (beta, Mat::from_fn(keep.len(), out.len(), |i, j| inverse[(i, out[j])]))
            }
            Products::Samples { features, counts } => {
                let x = Mat::from_fn(features.nrows(), keep.len(), |row, j| features[(row, keep[j])]);
                let y =
                    Mat::from_fn(x.nrows(), query.targets.len(), |row, j| counts[(row, query.targets[j])]);
                let mut system = gram(x.transpose(), Par::rayon(0));
                (0..system.nrows()).for_each(|i| system[(i, i)] += alpha);
                let factor = cholesky(system.as_ref(), "Wiener filter")?;
                let beta = product(x.transpose(), factor.solve(y).as_ref());
                let own = Mat::from_fn(x.nrows(), out.len(), |row, j| x[(row, out[j])]);
                let mut columns = product(x.transpose(), factor.solve(own).as_ref());
                for (j, &feature) in out.iter().enumerate() {
                    columns.col_mut(j).iter_mut().for_each(|value| *value /= -alpha);
                    columns[(feature, j)] += 1.0 / alpha;
                }
                (beta, columns)
            }
        };
        let mut first = 0;
        for (target, features) in own {
            let block =
                Mat::from_fn(features.len(), features.len(), |i, j| columns[(features[i], first + j)]);
            let excess = Mat::from_fn(features.len(), 1, |i, _| beta[(features[i], target)]);
            let multipliers = cholesky(block.as_ref(), "left-out unit")?.solve(excess);
            for m in 0..features.len() {
                for (value, column) in beta.col_mut(target).iter_mut().zip(columns.col(first + m).iter()) {
                    *value -= multipliers[(m, 0)] * column;
                }
            }
            first += features.len();
            for feature in features {
                beta[(feature, target)] = 0.0;
            }
        }
        Ok((alpha, beta))
    }
}

impl VisibleWiener {
    /// Rates `[B, T, targets]` from counts `[B, T, N]`, of which only the visible units are read; fails on another
    /// number of units and on invalid counts of visible units.
    pub fn predict(&self, counts: &ArrayView3<f64>) -> Result<Array3<f64>, MetricError> {
        let mut rates = self.deviations(counts)?;
        for target in 0..rates.ncols() {
            for rate in rates.col_mut(target).iter_mut() {
                *rate = self.means.rate(self.choice.link, *rate, target);
            }
        }
        Ok(trials_of(rates.as_ref(), counts.len_of(Axis(0)), counts.len_of(Axis(1))))
    }

    /// Expected deviations from the mean, `[B · T, targets]`.
    pub(super) fn deviations(&self, counts: &ArrayView3<f64>) -> Result<Mat<f64>, MetricError> {
        Ok(product(self.features(counts)?.as_ref(), self.beta.as_ref()))
    }

    /// Means of the targets.
    pub(super) fn means(&self) -> &TargetMeans {
        &self.means
    }

    fn features(&self, counts: &ArrayView3<f64>) -> Result<Mat<f64>, MetricError> {
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
