//! Linear maps from the units of several sessions to components that they share, in closed form.

use faer::Mat;
use faer::linalg::solvers::Solve;
use ndarray::{Array2, ArrayView3, Axis};

use crate::linalg::{
    cholesky, column_means, gram, leading_eigenvectors, product, rows_of, subtract_from_columns,
};
use crate::{MetricError, RidgeRegression};

/// How the units of one session relate to shared components.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionAlignment {
    /// Rates → components, `[N, K]`.
    pub read_in: Array2<f64>,
    /// Added after that `[K]`, so that the session's mean rates map to zero.
    pub read_in_bias: Vec<f64>,
    /// Components → deviations of rates from their means, the pseudo-inverse of the read-in: `[K, N]`.
    pub read_out: Array2<f64>,
    /// Mean rates `[N]`.
    pub mean_rates: Vec<f64>,
}

/// Aligns sessions by principal-component regression, as LFADS's stitching starts (Pandarinath et al. 2018): condition
/// averages `[conditions, T, N]` of all sessions, side by side and centered, give `n_components` principal components,
/// and every session's centered averages are regressed on them with the ridge penalty `alpha` (`lfads-torch`: 1).
///
/// Conditions and bins must be the same in all sessions; smooth the averages before, and average training trials only.
/// Fails without sessions, on sessions that differ in conditions or bins, on more components than units or rows, and on
/// values that are not finite.
pub fn align_sessions(
    averages: &[ArrayView3<f64>],
    n_components: usize,
    alpha: f64,
) -> Result<Vec<SessionAlignment>, MetricError> {
    let Some(first) = averages.first() else {
        return Err(MetricError::Empty { what: "sessions to align" });
    };
    let (n_conditions, n_bins, _) = first.dim();
    for other in averages {
        let got = other.shape().to_vec();
        if got[..2] != [n_conditions, n_bins] {
            let expected = vec![n_conditions, n_bins, got[2]];
            return Err(MetricError::ShapeMismatch {
                what: "condition averages of a session",
                expected,
                got,
            });
        }
        if let Some(((b, t, n), &value)) = other.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what: "condition averages", value, index: vec![b, t, n] });
        }
    }
    let n_units: usize = averages.iter().map(|a| a.len_of(Axis(2))).sum();
    let n_rows = n_conditions * n_bins;
    if n_components == 0 || n_components > n_units.min(n_rows) {
        let value = n_components as f64;
        let must = "at least one, and no more than units or conditions times bins";
        return Err(MetricError::InvalidSetting { what: "n_components", value, must });
    }
    let mut sessions = Vec::with_capacity(averages.len());
    let mut all = Mat::zeros(n_rows, n_units);
    let mut column = 0;
    for average in averages {
        let units: Vec<usize> = (0..average.len_of(Axis(2))).collect();
        let mut rows = rows_of(average, &units);
        let means = column_means(rows.as_ref());
        subtract_from_columns(&mut rows, &means);
        all.subcols_mut(column, rows.ncols()).copy_from(&rows);
        column += rows.ncols();
        sessions.push((rows, means));
    }
    let directions = leading_eigenvectors(gram(all.as_ref(), faer::Par::Seq).as_ref(), n_components)?;
    let components = array_of(&product(all.as_ref(), directions.as_ref()));
    sessions.into_iter().map(|(rows, means)| aligned(&rows, means, &components, alpha)).collect()
}

fn aligned(
    rows: &Mat<f64>,
    mean_rates: Vec<f64>,
    components: &Array2<f64>,
    alpha: f64,
) -> Result<SessionAlignment, MetricError> {
    // Rows and components are centered, so the intercept of the regression is zero.
    let fit = RidgeRegression::fit(&array_of(rows).view(), &components.view(), alpha)?;
    let read_in = fit.coefficients().to_owned();
    let read_in_bias = read_in.axis_iter(Axis(1)).map(|w| -dot(w.iter(), mean_rates.iter())).collect();
    let weight = Mat::from_fn(read_in.nrows(), read_in.ncols(), |i, j| read_in[[i, j]]);
    // The smaller of the two squares has an inverse.
    let read_out = if weight.nrows() >= weight.ncols() {
        let square = gram(weight.as_ref(), faer::Par::Seq);
        cholesky(square.as_ref(), "read-in of a session")?.solve(weight.transpose().to_owned())
    } else {
        let square = gram(weight.transpose(), faer::Par::Seq);
        cholesky(square.as_ref(), "read-in of a session")?.solve(&weight).transpose().to_owned()
    };
    Ok(SessionAlignment { read_in, read_in_bias, read_out: array_of(&read_out), mean_rates })
}

fn dot<'a>(a: impl Iterator<Item = &'a f64>, b: impl Iterator<Item = &'a f64>) -> f64 {
    a.zip(b).map(|(a, b)| a * b).sum()
}

fn array_of(x: &Mat<f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), x.ncols()), |(i, j)| x[(i, j)])
}
