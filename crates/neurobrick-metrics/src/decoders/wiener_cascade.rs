//! A Wiener filter followed by a polynomial of each output.

use faer::linalg::solvers::Solve;
use faer::{Mat, Par};
use ndarray::{Array2, ArrayView2, Axis};

use crate::linalg::{cholesky, gram, product};
use crate::{MetricError, RidgeRegression};

/// Linear regression, then one polynomial per output that maps its prediction to the output (Hammerstein-Wiener;
/// `WienerCascadeRegression` of Glaser et al. 2020).
#[derive(Clone, Debug, PartialEq)]
pub struct WienerCascade {
    linear: RidgeRegression,
    /// Per output: the scale of the linear prediction and the coefficients by ascending power of the scaled one.
    polynomials: Vec<(f64, Vec<f64>)>,
}

impl WienerCascade {
    /// Fits `x` (`[rows, P]`) to `y` (`[rows, K]`) with penalty `alpha` and polynomials of `degree`.
    ///
    /// Fails as [`RidgeRegression::fit`], and where a polynomial is not determined (too few different predictions).
    pub fn fit(
        x: &ArrayView2<f64>,
        y: &ArrayView2<f64>,
        alpha: f64,
        degree: usize,
    ) -> Result<Self, MetricError> {
        let linear = RidgeRegression::fit(x, y, alpha)?;
        let predicted = linear.predict(x)?;
        let polynomials = predicted
            .axis_iter(Axis(1))
            .zip(y.axis_iter(Axis(1)))
            .map(|(from, to)| {
                let largest = from.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                // Powers of values within one keep the system well conditioned.
                let scale = if largest > 0.0 { largest } else { 1.0 };
                let powers = Mat::from_fn(from.len(), degree + 1, |i, k| power(from[i] / scale, k));
                let target = Mat::from_fn(to.len(), 1, |i, _| to[i]);
                let factor = cholesky(gram(powers.as_ref(), Par::Seq).as_ref(), "polynomial of the cascade")?;
                let solved = factor.solve(product(powers.transpose(), target.as_ref()));
                Ok((scale, solved.col(0).iter().copied().collect()))
            })
            .collect::<Result<_, MetricError>>()?;
        Ok(Self { linear, polynomials })
    }

    /// Predictions `[rows, K]`; fails if the number of features differs.
    pub fn predict(&self, x: &ArrayView2<f64>) -> Result<Array2<f64>, MetricError> {
        let mut out = self.linear.predict(x)?;
        for (mut column, (scale, coefficients)) in out.axis_iter_mut(Axis(1)).zip(&self.polynomials) {
            column.mapv_inplace(|v| coefficients.iter().rev().fold(0.0, |sum, c| sum * (v / scale) + c));
        }
        Ok(out)
    }

    /// The linear part.
    pub fn linear(&self) -> &RidgeRegression {
        &self.linear
    }
}

fn power(base: f64, exponent: usize) -> f64 {
    (0..exponent).fold(1.0, |product, _| product * base)
}
