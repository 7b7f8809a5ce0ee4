//! Hidden units from the visible ones in the same bin.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::{ActivityScore, Log, floors};
use crate::likelihood::check_count;
use crate::linalg::{gram, leading_eigenvectors, matrix_of};
use crate::{MetricError, RidgeRegression};
use faer::Par;

/// Penalties tried, relative to the mean variance of a visible unit times the number of rows.
const PENALTIES: [f64; 5] = [1e-3, 1e-2, 1e-1, 1.0, 10.0];
/// Ranks tried.
const RANKS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// Counts of visible units `[rows, V]` and of the units to predict `[rows, K]`; rows are bins of any trials.
#[derive(Clone, Copy, Debug)]
pub struct Bins<'a> {
    /// What is seen.
    pub visible: ArrayView2<'a, f64>,
    /// What is predicted.
    pub hidden: ArrayView2<'a, f64>,
}

/// Expected counts of hidden units as an affine function of the visible ones in the same bin; rates are kept above a tenth
/// of a unit's training mean, since a line may fall below zero. Baselines of `BrainWideBench`'s co-smoothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Readout {
    /// `[V, K]`.
    coefficients: Array2<f64>,
    intercept: Array1<f64>,
    floors: Vec<f64>,
    choice: String,
}

impl Bins<'_> {
    fn check(&self) -> Result<(), MetricError> {
        check_counts(&self.visible)?;
        check_counts(&self.hidden)
    }
}

fn check_counts(counts: &ArrayView2<f64>) -> Result<(), MetricError> {
    counts.indexed_iter().try_for_each(|((row, unit), &count)| check_count(count, || vec![row, unit]))
}

impl Readout {
    /// The mean of each hidden unit. Fails without rows and on counts that are negative or not finite.
    pub fn mean_rate(train: &Bins) -> Result<Self, MetricError> {
        train.check()?;
        let means = means(&train.hidden)?;
        let coefficients = Array2::zeros((train.visible.ncols(), train.hidden.ncols()));
        Ok(Self {
            coefficients,
            floors: floors(&means),
            intercept: Array1::from(means),
            choice: "–".to_owned(),
        })
    }

    /// Each hidden unit from the summed activity of the visible ones, each divided by its standard deviation (population
    /// coupling; Okun et al. 2015): a coefficient of rank one. The penalty is chosen by Poisson D² on `valid`.
    ///
    /// Fails on tables that do not fit each other, counts that are negative or not finite, and where [`ActivityScore::new`] fails on
    /// `valid`.
    pub fn population_coupling(train: &Bins, valid: &Bins) -> Result<Self, MetricError> {
        train.check()?;
        let scales = inverse_deviations(&train.visible);
        let summed = |bins: &Bins| bins.visible.dot(&scales).insert_axis(Axis(1));
        let (x, means) = (summed(train), means(&train.hidden)?);
        let penalty_unit = variance_sum(&x.view());
        let mut candidates = Vec::with_capacity(PENALTIES.len());
        for penalty in PENALTIES {
            let fit = RidgeRegression::fit(&x.view(), &train.hidden, penalty * penalty_unit)?;
            candidates.push(Self {
                coefficients: scales.view().insert_axis(Axis(1)).dot(&fit.coefficients()),
                intercept: Array1::from(fit.intercept().to_vec()),
                floors: floors(&means),
                choice: format!("penalty {penalty}"),
            });
        }
        best_on(valid, candidates)
    }

    /// All hidden units from a few combinations of the visible ones (reduced-rank regression; Izenman 1975); rank and
    /// penalty are chosen by Poisson D² on `valid`. Fails as [`Self::population_coupling`].
    pub fn reduced_rank(train: &Bins, valid: &Bins) -> Result<Self, MetricError> {
        train.check()?;
        let means = means(&train.hidden)?;
        let centers = Array1::from(self::means(&train.visible)?);
        let penalty_unit = variance_sum(&train.visible) / train.visible.ncols().max(1) as f64;
        let mut candidates = Vec::new();
        for penalty in PENALTIES {
            let fit = RidgeRegression::fit(&train.visible, &train.hidden, penalty * penalty_unit)?;
            let fitted = matrix_of(&(&train.visible - &centers).dot(&fit.coefficients()).view());
            let most = train.hidden.ncols();
            let directions = leading_eigenvectors(gram(fitted.as_ref(), Par::rayon(0)).as_ref(), most)?;
            let ranks = RANKS.into_iter().filter(|&rank| rank < most).chain([most]);
            for rank in ranks {
                let kept = Array2::from_shape_fn((most, rank), |(i, j)| directions[(i, j)]);
                let coefficients = fit.coefficients().dot(&kept).dot(&kept.t());
                candidates.push(Self {
                    intercept: Array1::from(means.clone()) - centers.dot(&coefficients),
                    coefficients,
                    floors: floors(&means),
                    choice: format!("rank {rank}, penalty {penalty}"),
                });
            }
        }
        best_on(valid, candidates)
    }

    /// Logarithm of the expected counts, `[rows, K]`; fails if the number of visible units differs, and on counts that are
    /// negative or not finite.
    pub fn log_rates(&self, visible: &ArrayView2<f64>) -> Result<Array2<f64>, MetricError> {
        if visible.ncols() != self.coefficients.nrows() {
            let (expected, got) =
                (vec![visible.nrows(), self.coefficients.nrows()], visible.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what: "visible units", expected, got });
        }
        // A NaN would become the floor below, which is a rate like any other.
        check_counts(visible)?;
        let mut rates = visible.dot(&self.coefficients) + &self.intercept;
        for (mut column, &floor) in rates.columns_mut().into_iter().zip(&self.floors) {
            column.mapv_inplace(|rate| rate.max(floor).ln());
        }
        Ok(rates)
    }

    /// What was chosen on the validation bins, in words.
    pub fn choice(&self) -> &str {
        &self.choice
    }
}

/// The first of the candidates that explain the validation bins best.
fn best_on(valid: &Bins, candidates: Vec<Readout>) -> Result<Readout, MetricError> {
    let mut best: Option<(f64, Readout)> = None;
    let counts = valid.hidden.insert_axis(Axis(1));
    for candidate in candidates {
        let log_rates: Log = candidate.log_rates(&valid.visible)?.insert_axis(Axis(1));
        let score = ActivityScore::new(&log_rates.view(), &counts)?.poisson_d2;
        if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, found)| found).ok_or(MetricError::Empty { what: "list of settings" })
}

fn means(counts: &ArrayView2<f64>) -> Result<Vec<f64>, MetricError> {
    let means = counts.mean_axis(Axis(0)).ok_or(MetricError::Empty { what: "training bins" })?;
    Ok(means.to_vec())
}

/// Sum over columns of squared deviations from the mean.
fn variance_sum(x: &ArrayView2<f64>) -> f64 {
    x.columns()
        .into_iter()
        .map(|column| {
            let mean = column.sum() / column.len() as f64;
            column.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
        })
        .sum()
}

/// One over the standard deviation of each column; zero for units that never vary, which say nothing.
fn inverse_deviations(x: &ArrayView2<f64>) -> Array1<f64> {
    x.columns()
        .into_iter()
        .map(|column| {
            let deviation = (variance_sum(&column.insert_axis(Axis(1))) / column.len() as f64).sqrt();
            if deviation > 0.0 { 1.0 / deviation } else { 0.0 }
        })
        .collect()
}
