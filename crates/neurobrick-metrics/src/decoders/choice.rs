//! Choice among settings by cross-validated R².

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::standardizer::check_rows;
use crate::{MetricError, r2};

/// What a cross-validation tried and found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossValidation {
    /// R² averaged over outputs and folds, one per setting.
    pub mean_r2: Vec<f64>,
    /// Position of the best setting, the first of equals.
    pub best: usize,
}

/// Fits every setting to the rows outside each fold and scores it inside; `fold_of_row` numbers the folds from zero
/// (as [`contiguous_folds`](crate::contiguous_folds) does; give rows of one trial one fold).
///
/// Fails without settings, with fewer than two folds, on an empty fold, and as `fit` and `predict` do.
pub fn choose<S, M>(
    (x, y): (&ArrayView2<f64>, &ArrayView2<f64>),
    fold_of_row: &[usize],
    settings: &[S],
    fit: impl Fn(&ArrayView2<f64>, &ArrayView2<f64>, &S) -> Result<M, MetricError>,
    predict: impl Fn(&M, &ArrayView2<f64>) -> Result<Array2<f64>, MetricError>,
) -> Result<CrossValidation, MetricError> {
    check_rows(y, x.nrows(), "outputs")?;
    if fold_of_row.len() != x.nrows() {
        let (expected, got) = (vec![x.nrows()], vec![fold_of_row.len()]);
        return Err(MetricError::ShapeMismatch { what: "folds of rows", expected, got });
    }
    if settings.is_empty() {
        return Err(MetricError::Empty { what: "list of settings" });
    }
    let n_folds = fold_of_row.iter().max().map_or(0, |fold| fold + 1);
    if n_folds < 2 {
        let (what, must) = ("number of folds", "at least 2");
        return Err(MetricError::InvalidSetting { what, value: n_folds as f64, must });
    }
    let mut mean_r2 = vec![0.0; settings.len()];
    for fold in 0..n_folds {
        let (inside, outside): (Vec<usize>, Vec<usize>) =
            (0..fold_of_row.len()).partition(|&row| fold_of_row[row] == fold);
        if inside.is_empty() {
            return Err(MetricError::Empty { what: "fold" });
        }
        let rows = |from: &ArrayView2<f64>, rows: &[usize]| from.select(Axis(0), rows);
        let (x_fit, y_fit, x_test, y_test) =
            (rows(x, &outside), rows(y, &outside), rows(x, &inside), rows(y, &inside));
        for (total, setting) in mean_r2.iter_mut().zip(settings) {
            let model = fit(&x_fit.view(), &y_fit.view(), setting)?;
            let predicted = predict(&model, &x_test.view())?;
            *total += r2::uniform(&y_test.view(), &predicted.view())? / n_folds as f64;
        }
    }
    let best = (1..settings.len()).fold(0, |best, i| if mean_r2[i] > mean_r2[best] { i } else { best });
    Ok(CrossValidation { mean_r2, best })
}
