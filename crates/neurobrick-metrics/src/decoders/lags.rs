//! Counts of neighboring bins as features.

use ndarray::{Array2, ArrayView2};

use crate::MetricError;

/// Each row with the `before` rows before it and the `after` rows after it, `[T − before − after, lags · N]`, earliest
/// first; row `i` belongs to row `i + before` of `values` (`[T, N]`). Fails if no row has all neighbors.
pub fn lagged(values: &ArrayView2<f64>, before: usize, after: usize) -> Result<Array2<f64>, MetricError> {
    let (n_rows, n_columns) = values.dim();
    let n_lags = before.saturating_add(after).saturating_add(1);
    if n_lags > n_rows {
        let must = "at most the number of rows";
        return Err(MetricError::InvalidSetting { what: "number of lags", value: n_lags as f64, must });
    }
    Ok(Array2::from_shape_fn((n_rows + 1 - n_lags, n_lags * n_columns), |(row, feature)| {
        values[[row + feature / n_columns, feature % n_columns]]
    }))
}
