//! Linear maps from the units of several sessions to components that they share, in closed form.

use faer::linalg::solvers::Solve;
use faer::{Mat, MatRef};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis};

use crate::linalg::{
    cholesky, column_means, gram, leading_eigenvectors, product, rows_of, subtract_from_columns, trials_of,
};
use crate::{MetricError, RidgeRegression};

/// Most units whose square matrix is made, of 1.2 GB; of more units the rows make the smaller one.
const MAX_UNITS: usize = 12_000;

/// Part of the largest variance below which a component is nothing but rounding.
const NOTHING: f64 = 1e-20;

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

/// Components that sessions share: the leading principal components of the condition averages of all sessions, side by
/// side, as LFADS's stitching begins (Pandarinath et al. 2018).
#[derive(Clone, Debug, PartialEq)]
pub struct SharedComponents {
    /// `[conditions, T, K]`; over the conditions of the fit every component has mean zero.
    values: Array3<f64>,
}

impl SharedComponents {
    /// The `n_components` leading components of condition averages `[conditions, T, N]`, one array for each session.
    ///
    /// Conditions and bins must be the same in all sessions; smooth the averages before, and average training trials only.
    /// Fails without sessions, on sessions that differ in conditions or bins, on more components than units or rows, and
    /// on values that are not finite.
    pub fn fit(averages: &[ArrayView3<f64>], n_components: usize) -> Result<Self, MetricError> {
        let Some(first) = averages.first() else {
            return Err(MetricError::Empty { what: "sessions to align" });
        };
        let (n_conditions, n_bins, _) = first.dim();
        for other in averages {
            check_averages(other, n_conditions, n_bins)?;
        }
        let n_units: usize = averages.iter().map(|a| a.len_of(Axis(2))).sum();
        let n_rows = n_conditions * n_bins;
        if n_components == 0 || n_components > n_units.min(n_rows) {
            let value = n_components as f64;
            let must = "at least one, and no more than units or conditions times bins";
            return Err(MetricError::InvalidSetting { what: "n_components", value, must });
        }
        let mut all = Mat::zeros(n_rows, n_units);
        let mut column = 0;
        for average in averages {
            let (rows, _) = centered(average);
            all.subcols_mut(column, rows.ncols()).copy_from(&rows);
            column += rows.ncols();
        }
        let by_rows = n_units > MAX_UNITS && n_rows < n_units;
        let found = principal_components(all.as_ref(), n_components, by_rows)?;
        Ok(Self { values: trials_of(found.as_ref(), n_conditions, n_bins) })
    }

    /// Components that were fitted before, `[conditions, T, K]`.
    ///
    /// Fails if there are none, and on values that are not finite.
    pub fn from_values(values: Array3<f64>) -> Result<Self, MetricError> {
        let (n_conditions, n_bins, n_components) = values.dim();
        if n_conditions * n_bins * n_components == 0 {
            return Err(MetricError::Empty { what: "shared components" });
        }
        check_averages(&values.view(), n_conditions, n_bins)?;
        Ok(Self { values })
    }

    /// The components `[conditions, T, K]`.
    pub fn values(&self) -> &Array3<f64> {
        &self.values
    }

    /// The same with variance 1 over conditions and bins; components of less than 1e-20 of the largest variance, which are
    /// rounding, become zero.
    #[must_use]
    pub fn standardized(mut self) -> Self {
        let variance_of = |component: ArrayView2<f64>| {
            component.iter().map(|v| v * v).sum::<f64>() / component.len() as f64
        };
        let variances: Vec<f64> = self.values.axis_iter(Axis(2)).map(variance_of).collect();
        let largest = variances.iter().copied().fold(0.0, f64::max);
        for (mut component, variance) in self.values.axis_iter_mut(Axis(2)).zip(variances) {
            // Averages of few dimensions leave components of nothing but rounding.
            if variance > NOTHING * largest {
                component /= variance.sqrt();
            } else {
                component.fill(0.0);
            }
        }
        self
    }

    /// The same for some of the conditions, in this order, as a session has them that lacks others. They need not have mean
    /// zero over these, and keep what they mean over all.
    ///
    /// Fails on no condition, and on one that is not there.
    pub fn of_conditions(&self, conditions: &[usize]) -> Result<Self, MetricError> {
        let limit = self.values.len_of(Axis(0));
        if let Some(&index) = conditions.iter().find(|&&c| c >= limit) {
            return Err(MetricError::OutOfRange { what: "condition", index, limit });
        }
        Self::from_values(self.values.select(Axis(0), conditions))
    }

    /// How the units of a session read the components, `[N, K]` and what is added after that, `[K]`: its averages
    /// `[conditions, T, N]` regressed on them with the ridge penalty `alpha` (`lfads-torch`: 1). Mean rates map to the mean of
    /// the components over these conditions.
    ///
    /// Fails on other conditions or bins than the components have, and on values that are not finite.
    pub fn read_in(
        &self,
        averages: &ArrayView3<f64>,
        alpha: f64,
    ) -> Result<(Array2<f64>, Vec<f64>), MetricError> {
        let (rows, components) = self.rows(averages)?;
        // Rows and components are centered, so the intercept of the regression is zero.
        let fit = RidgeRegression::fit(&rows.values.view(), &components.values.view(), alpha)?;
        let read_in = fit.coefficients().to_owned();
        let bias = read_in.axis_iter(Axis(1)).zip(&components.means);
        let bias = bias.map(|(w, mean)| mean - dot(w.iter(), rows.means.iter())).collect();
        Ok((read_in, bias))
    }

    /// [`read_in`](Self::read_in) and the pseudo-inverse of that map, as `lfads-torch` begins.
    ///
    /// Fails as that does, and if the averages have fewer dimensions than there are components or units, whichever is less.
    pub fn align(&self, averages: &ArrayView3<f64>, alpha: f64) -> Result<SessionAlignment, MetricError> {
        let (read_in, read_in_bias) = self.read_in(averages, alpha)?;
        let mean_rates = self.rows(averages)?.0.means;
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

    /// What the components say of the units of a session: its centered averages `[conditions, T, N]` from the components,
    /// `[K, N]`, by ridge regression with penalty `alpha`. Unlike the pseudo-inverse of a read-in it stays small for
    /// components that the session does not know.
    ///
    /// Fails as [`read_in`](Self::read_in) does.
    pub fn loadings(&self, averages: &ArrayView3<f64>, alpha: f64) -> Result<Array2<f64>, MetricError> {
        let (rows, components) = self.rows(averages)?;
        Ok(RidgeRegression::fit(&components.values.view(), &rows.values.view(), alpha)?
            .coefficients()
            .to_owned())
    }

    /// Averages `[conditions · T, N]` and components `[conditions · T, K]`.
    fn rows(&self, averages: &ArrayView3<f64>) -> Result<(Centered, Centered), MetricError> {
        let (n_conditions, n_bins, _) = self.values.dim();
        check_averages(averages, n_conditions, n_bins)?;
        let of = |values: &ArrayView3<f64>| {
            let (rows, means) = centered(values);
            Centered { values: array_of(&rows), means }
        };
        Ok((of(averages), of(&self.values.view())))
    }
}

/// Rows without the means of their columns, and those.
struct Centered {
    values: Array2<f64>,
    means: Vec<f64>,
}

/// The leading principal components of centered rows `[R, N]`, `[R, K]`: from the square of the columns, or, `by_rows`, of the
/// rows, whose eigenvectors are the components but for their length.
fn principal_components(
    rows: MatRef<f64>,
    n_components: usize,
    by_rows: bool,
) -> Result<Mat<f64>, MetricError> {
    if !by_rows {
        let directions = leading_eigenvectors(gram(rows, faer::Par::Seq).as_ref(), n_components)?;
        return Ok(product(rows, directions.as_ref()));
    }
    let square = gram(rows.transpose(), faer::Par::Seq);
    let directions = leading_eigenvectors(square.as_ref(), n_components)?;
    // The square times an eigenvector is as long as its eigenvalue, the component as long as the root of that.
    let mut components = product(square.as_ref(), directions.as_ref());
    for mut component in components.col_iter_mut() {
        let eigenvalue = component.norm_l2();
        if eigenvalue > 0.0 {
            component *= faer::Scale(eigenvalue.powf(-0.5));
        }
    }
    Ok(components)
}

/// Fails on other conditions or bins, and on a value that is not finite.
fn check_averages(averages: &ArrayView3<f64>, n_conditions: usize, n_bins: usize) -> Result<(), MetricError> {
    let got = averages.shape().to_vec();
    if got[..2] != [n_conditions, n_bins] {
        let expected = vec![n_conditions, n_bins, got[2]];
        return Err(MetricError::ShapeMismatch { what: "condition averages of a session", expected, got });
    }
    match averages.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((b, t, n), &value)) => {
            Err(MetricError::NotFinite { what: "condition averages", value, index: vec![b, t, n] })
        }
        None => Ok(()),
    }
}

/// Rows `[conditions · T, N]` without the means of their columns, and those.
fn centered(averages: &ArrayView3<f64>) -> (Mat<f64>, Vec<f64>) {
    let units: Vec<usize> = (0..averages.len_of(Axis(2))).collect();
    let mut rows = rows_of(averages, &units);
    let means = column_means(rows.as_ref());
    subtract_from_columns(&mut rows, &means);
    (rows, means)
}

fn dot<'a>(a: impl Iterator<Item = &'a f64>, b: impl Iterator<Item = &'a f64>) -> f64 {
    a.zip(b).map(|(a, b)| a * b).sum()
}

fn array_of(x: &Mat<f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), x.ncols()), |(i, j)| x[(i, j)])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn both_squares_give_the_same_components() {
        for (n_rows, n_columns) in [(12, 30), (30, 12)] {
            let mut rows = Mat::from_fn(n_rows, n_columns, |i, j| {
                ((i * i * 7 + j * 13 + i * j) as f64).sin() * (j + 1) as f64
            });
            let means = column_means(rows.as_ref());
            subtract_from_columns(&mut rows, &means);
            let [one, other] =
                [false, true].map(|by_rows| principal_components(rows.as_ref(), 3, by_rows).unwrap());
            for k in 0..3 {
                let sign = (one.col(k).transpose() * other.col(k)).signum();
                let difference = one.col(k) - other.col(k) * faer::Scale(sign);
                assert!(difference.norm_l2() < 1e-9 * one.col(k).norm_l2(), "{n_rows} rows, component {k}");
            }
        }
    }
}
