//! A straight line over the logarithm of size.

use serde::{Deserialize, Serialize};

use super::check_positive;
use crate::{MetricError, pearson};

/// `intercept + slope · ln(size)` by least squares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLinear {
    /// Value at size 1.
    pub intercept: f64,
    /// Change per factor e of size.
    pub slope: f64,
    /// Share of the variance of the values that the line explains.
    pub r2: f64,
}

impl LogLinear {
    /// Fits values at sizes; fails on unequal lengths, sizes that are not positive, and without variation in either.
    pub fn fit(sizes: &[f64], values: &[f64]) -> Result<Self, MetricError> {
        check_positive("sizes", sizes, values.len())?;
        let logs: Vec<f64> = sizes.iter().map(|size| size.ln()).collect();
        let correlation = pearson(&logs, values)?;
        let (x, y) = (crate::bits::mean(&logs), crate::bits::mean(values));
        let cross: f64 = logs.iter().zip(values).map(|(a, b)| (a - x) * (b - y)).sum();
        let square: f64 = logs.iter().map(|a| (a - x).powi(2)).sum();
        let slope = cross / square;
        Ok(Self { intercept: y - slope * x, slope, r2: correlation * correlation })
    }

    /// The value at a size.
    pub fn predict(&self, size: f64) -> f64 {
        self.intercept + self.slope * size.ln()
    }
}
