//! Cross-validated R² of many penalties from two passes over the products of features.

use faer::linalg::solvers::Solve;
use faer::{Mat, MatRef, Par};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::{check_alpha, check_outputs, check_table, with_penalty};
use crate::linalg::{cholesky, column_means, gram, matrix_of, product, subtract_from_columns};
use crate::{MetricError, r2};

/// Mean R² over folds of each penalty, and the number of folds.
pub(super) fn mean_r2(
    x: &ArrayView2<f64>,
    y: &ArrayView2<f64>,
    alphas: &[f64],
    fold_of_row: &[usize],
) -> Result<(Vec<f64>, usize), MetricError> {
    check_outputs(y, x.nrows())?;
    check_table("features", x)?;
    if alphas.is_empty() {
        return Err(MetricError::Empty { what: "list of penalties" });
    }
    alphas.iter().try_for_each(|&alpha| check_alpha(alpha))?;
    if fold_of_row.len() != x.nrows() {
        let (expected, got) = (vec![x.nrows()], vec![fold_of_row.len()]);
        return Err(MetricError::ShapeMismatch { what: "folds of rows", expected, got });
    }
    let n_folds = fold_of_row.iter().max().map_or(0, |fold| fold + 1);
    if n_folds < 2 {
        let (what, must) = ("number of folds", "at least 2");
        return Err(MetricError::InvalidSetting { what, value: n_folds as f64, must });
    }
    let folds: Vec<[Vec<usize>; 2]> = (0..n_folds)
        .map(|fold| {
            let (test, train) = (0..fold_of_row.len()).partition(|&row| fold_of_row[row] == fold);
            [train, test]
        })
        .collect();
    if folds.iter().any(|[_, test]| test.is_empty()) {
        return Err(MetricError::Empty { what: "fold" });
    }
    // Centered once by the means over all rows, so that the moments of a fold subtract without loss of digits.
    let (mut features, mut outputs) = (matrix_of(x), matrix_of(y));
    let (x_means, y_means) = (column_means(features.as_ref()), column_means(outputs.as_ref()));
    subtract_from_columns(&mut features, &x_means);
    subtract_from_columns(&mut outputs, &y_means);
    let centered = Centered { x: features, y: outputs };
    let fewest = folds.iter().map(|[train, _]| train.len()).min().unwrap_or(0);
    let scores = if x.ncols() <= fewest {
        centered.by_features(&folds, alphas)?
    } else {
        centered.by_rows(&folds, alphas)?
    };
    let mean = |i: usize| scores.iter().map(|fold| fold[i]).sum::<f64>() / n_folds as f64;
    Ok(((0..alphas.len()).map(mean).collect(), n_folds))
}

/// Features and outputs without their means over all rows.
struct Centered {
    x: Mat<f64>,
    y: Mat<f64>,
}

impl Centered {
    /// Systems in the features: the moments of all rows minus those of the fold.
    fn by_features(&self, folds: &[[Vec<usize>; 2]], alphas: &[f64]) -> Result<Vec<Vec<f64>>, MetricError> {
        let all = gram(self.x.as_ref(), Par::rayon(0));
        let cross = product(self.x.transpose(), self.y.as_ref());
        folds
            .iter()
            .map(|[train, test]| {
                let (x_test, y_test) = (rows(self.x.as_ref(), test), rows(self.y.as_ref(), test));
                let n = train.len() as f64;
                // Sums over all rows are zero.
                let mean_of = |held: &Mat<f64>| -> Mat<f64> {
                    Mat::from_fn(held.ncols(), 1, |j, _| -held.col(j).iter().sum::<f64>() / n)
                };
                let (x_mean, y_mean) = (mean_of(&x_test), mean_of(&y_test));
                let moments = &all
                    - gram(x_test.as_ref(), Par::rayon(0))
                    - faer::Scale(n) * product(x_mean.as_ref(), x_mean.transpose());
                let target = &cross
                    - product(x_test.transpose(), y_test.as_ref())
                    - faer::Scale(n) * product(x_mean.as_ref(), y_mean.transpose());
                let shifted =
                    Mat::from_fn(x_test.nrows(), x_test.ncols(), |i, j| x_test[(i, j)] - x_mean[(j, 0)]);
                scored(alphas, |alpha| {
                    let factor = cholesky(with_penalty(moments.clone(), alpha).as_ref(), "ridge regression")?;
                    let predicted = product(shifted.as_ref(), factor.solve(&target).as_ref());
                    r2_of(&y_test, &predicted, &y_mean)
                })
            })
            .collect()
    }

    /// Systems in the rows: blocks of one kernel, centered by the training rows of the fold.
    fn by_rows(&self, folds: &[[Vec<usize>; 2]], alphas: &[f64]) -> Result<Vec<Vec<f64>>, MetricError> {
        let kernel = product(self.x.as_ref(), self.x.transpose());
        folds
            .iter()
            .map(|[train, test]| {
                let n = train.len();
                let block = |of: &[usize]| Mat::from_fn(of.len(), n, |i, j| kernel[(of[i], train[j])]);
                let (own, across) = (block(train), block(test));
                let row_mean = |m: &Mat<f64>, i: usize| (0..n).map(|j| m[(i, j)]).sum::<f64>() / n as f64;
                let own_means: Vec<f64> = (0..n).map(|i| row_mean(&own, i)).collect();
                let grand = own_means.iter().sum::<f64>() / n as f64;
                let centered = |m: &Mat<f64>| {
                    let means: Vec<f64> = (0..m.nrows()).map(|i| row_mean(m, i)).collect();
                    Mat::from_fn(m.nrows(), n, |i, j| m[(i, j)] - means[i] - own_means[j] + grand)
                };
                let (own, across) = (centered(&own), centered(&across));
                let (y_train, y_test) = (rows(self.y.as_ref(), train), rows(self.y.as_ref(), test));
                let y_mean =
                    Mat::from_fn(y_train.ncols(), 1, |k, _| y_train.col(k).iter().sum::<f64>() / n as f64);
                let target = Mat::from_fn(n, y_train.ncols(), |i, k| y_train[(i, k)] - y_mean[(k, 0)]);
                scored(alphas, |alpha| {
                    let factor = cholesky(with_penalty(own.clone(), alpha).as_ref(), "ridge regression")?;
                    let predicted = product(across.as_ref(), factor.solve(&target).as_ref());
                    r2_of(&y_test, &predicted, &y_mean)
                })
            })
            .collect()
    }
}

/// `score` of every penalty, on the threads of the current pool.
fn scored(
    alphas: &[f64],
    score: impl Fn(f64) -> Result<f64, MetricError> + Send + Sync,
) -> Result<Vec<f64>, MetricError> {
    alphas.par_iter().map(|&alpha| score(alpha)).collect()
}

fn rows(x: MatRef<f64>, of: &[usize]) -> Mat<f64> {
    Mat::from_fn(of.len(), x.ncols(), |i, j| x[(of[i], j)])
}

fn r2_of(truth: &Mat<f64>, predicted: &Mat<f64>, mean: &Mat<f64>) -> Result<f64, MetricError> {
    let table = |value: &dyn Fn(usize, usize) -> f64| {
        Array2::from_shape_fn((truth.nrows(), truth.ncols()), |(i, k)| value(i, k))
    };
    let truth_of = table(&|i, k| truth[(i, k)]);
    let predicted_of = table(&|i, k| predicted[(i, k)] + mean[(k, 0)]);
    r2::uniform(&truth_of.view(), &predicted_of.view())
}
