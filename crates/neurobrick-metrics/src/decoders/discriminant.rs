//! Linear discriminant analysis with a shrunk covariance.

use faer::linalg::solvers::Solve;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::Standardizer;
use super::standardizer::{check_columns, check_finite};
use crate::MetricError;
use crate::linalg::{cholesky, matrix_of};

/// How far the covariance of each class is moved toward a multiple of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shrinkage {
    /// By this share, within `[0, 1]`, in the units of the features.
    Fixed(f64),
    /// By the share that Ledoit and Wolf (2004) estimate to be best, on features standardized within the class.
    LedoitWolf,
}

/// Linear discriminant analysis with class frequencies as priors (scikit-learn's `LinearDiscriminantAnalysis` with
/// `solver="lsqr"`): the usual first decoder where features outnumber trials.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscriminantAnalysis {
    /// `[P, classes]`.
    coefficients: Array2<f64>,
    intercept: Array1<f64>,
}

impl DiscriminantAnalysis {
    /// Fits rows `x` (`[rows, P]`) with classes numbered from zero.
    ///
    /// Fails on mismatched lengths, values that are not finite, fewer than two classes, a class without rows, a
    /// shrinkage out of range, and if the shrunk covariance is singular.
    pub fn fit(x: &ArrayView2<f64>, labels: &[usize], shrinkage: Shrinkage) -> Result<Self, MetricError> {
        check_finite(x, "features")?;
        if labels.len() != x.nrows() {
            let (expected, got) = (vec![x.nrows()], vec![labels.len()]);
            return Err(MetricError::ShapeMismatch { what: "labels", expected, got });
        }
        if let Shrinkage::Fixed(share) = shrinkage
            && !(0.0..=1.0).contains(&share)
        {
            let must = "within [0, 1]";
            return Err(MetricError::InvalidSetting { what: "shrinkage", value: share, must });
        }
        let n_classes = labels.iter().max().map_or(0, |label| label + 1);
        if n_classes < 2 {
            let (what, must) = ("number of classes", "at least 2");
            return Err(MetricError::InvalidSetting { what, value: n_classes as f64, must });
        }
        let n_features = x.ncols();
        let mut within = Array2::<f64>::zeros((n_features, n_features));
        let mut means = Array2::<f64>::zeros((n_features, n_classes));
        let mut priors = Vec::with_capacity(n_classes);
        for class in 0..n_classes {
            let rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == class).collect();
            if rows.is_empty() {
                return Err(MetricError::Empty { what: "class" });
            }
            let members = x.select(Axis(0), &rows);
            let prior = rows.len() as f64 / labels.len() as f64;
            means.column_mut(class).assign(&(members.sum_axis(Axis(0)) / rows.len() as f64));
            within.scaled_add(prior, &shrunk(&members.view(), shrinkage)?);
            priors.push(prior);
        }
        let factor = cholesky(matrix_of(&within.view()).as_ref(), "discriminant analysis")?;
        let solved = factor.solve(matrix_of(&means.view()));
        let coefficients = Array2::from_shape_fn((n_features, n_classes), |(i, j)| solved[(i, j)]);
        let intercept = Array1::from_shape_fn(n_classes, |class| {
            priors[class].ln() - 0.5 * means.column(class).dot(&coefficients.column(class))
        });
        Ok(Self { coefficients, intercept })
    }

    /// Log-odds up to a constant per row, `[rows, classes]`; fails if the number of features differs.
    pub fn scores(&self, x: &ArrayView2<f64>) -> Result<Array2<f64>, MetricError> {
        check_columns(x, self.coefficients.nrows(), "features")?;
        Ok(x.dot(&self.coefficients) + &self.intercept)
    }

    /// The likeliest class of each row, the first of equals; fails as [`Self::scores`].
    pub fn predict(&self, x: &ArrayView2<f64>) -> Result<Vec<usize>, MetricError> {
        let best = |row: ndarray::ArrayView1<f64>| {
            (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
        };
        Ok(self.scores(x)?.rows().into_iter().map(best).collect())
    }

    /// Coefficients of the log-odds, `[P, classes]`.
    pub fn coefficients(&self) -> ArrayView2<'_, f64> {
        self.coefficients.view()
    }
}

/// Covariance (divided by the number of rows) moved toward the mean variance.
fn shrunk(x: &ArrayView2<f64>, shrinkage: Shrinkage) -> Result<Array2<f64>, MetricError> {
    let n = x.nrows() as f64;
    match shrinkage {
        Shrinkage::Fixed(share) => {
            let centered = x - &(x.sum_axis(Axis(0)) / n);
            Ok(toward_identity(centered.t().dot(&centered) / n, share))
        }
        Shrinkage::LedoitWolf => {
            let scaler = Standardizer::fit(x)?;
            let standardized = scaler.apply(x)?;
            let covariance = standardized.t().dot(&standardized) / n;
            let share = ledoit_wolf(&standardized, &covariance);
            let shrunk = toward_identity(covariance, share);
            Ok(shrunk * scaler.scales() * scaler.scales().view().insert_axis(Axis(1)))
        }
    }
}

fn toward_identity(mut covariance: Array2<f64>, share: f64) -> Array2<f64> {
    let mean = covariance.diag().sum() / covariance.nrows() as f64;
    covariance *= 1.0 - share;
    covariance.diag_mut().mapv_inplace(|variance| variance + share * mean);
    covariance
}

/// Ledoit and Wolf's share for centered rows `x` with this covariance.
fn ledoit_wolf(x: &Array2<f64>, covariance: &Array2<f64>) -> f64 {
    let (n, p) = (x.nrows() as f64, x.ncols() as f64);
    let mean = covariance.diag().sum() / p;
    let squares = covariance.iter().map(|v| v * v).sum::<f64>();
    let distance = squares - p * mean * mean;
    let quartic: f64 = x.rows().into_iter().map(|row| row.dot(&row).powi(2)).sum();
    let noise = ((quartic / n - squares) / n).min(distance);
    if noise > 0.0 { noise / distance } else { 0.0 }
}
