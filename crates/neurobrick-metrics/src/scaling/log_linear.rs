//! A straight line over the logarithm of size.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{ScalingInterval, check_positive};
use crate::{Bootstrap, IntervalMethod, MetricError};

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

/// The line through all points and through every resample of groups.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLinearBootstrap {
    law: LogLinear,
    resampled: Vec<LogLinear>,
    bootstrap: Bootstrap,
}

impl LogLinear {
    /// Fits values at sizes; fails on unequal lengths, sizes that are not positive, values that are not finite, and without
    /// variation in either.
    pub fn fit(sizes: &[f64], values: &[f64]) -> Result<Self, MetricError> {
        Self::fit_weighted(sizes, values, &vec![1.0; values.len()])
    }

    fn fit_weighted(sizes: &[f64], values: &[f64], weights: &[f64]) -> Result<Self, MetricError> {
        check_positive("sizes", sizes, values.len())?;
        if let Some((index, &value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what: "values", value, index: vec![index] });
        }
        let total: f64 = weights.iter().sum();
        let points = || sizes.iter().zip(values).zip(weights).map(|((size, y), w)| (size.ln(), *y, *w));
        // Sums of squares of equal values are rarely zero after rounding, so variation is asked of the values themselves.
        let varies = |of: fn((f64, f64, f64)) -> f64| {
            let counted = points().filter(|(.., w)| *w > 0.0).map(of);
            let (low, high) =
                counted.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (v.min(low), v.max(high)));
            low < high
        };
        for (what, varies) in
            [("the list of sizes", varies(|(x, ..)| x)), ("the list of values", varies(|(_, y, _)| y))]
        {
            if !varies {
                return Err(MetricError::NoVariation { what });
            }
        }
        let (x_mean, y_mean) = points()
            .fold((0.0, 0.0), |(x_sum, y_sum), (x, y, w)| (x_sum + w * x / total, y_sum + w * y / total));
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y, w) in points() {
            let (x, y) = (x - x_mean, y - y_mean);
            (xx, xy, yy) = (xx + w * x * x, xy + w * x * y, yy + w * y * y);
        }
        let slope = xy / xx;
        // Rounding may carry a perfect fit beyond one.
        let r2 = (xy * xy / (xx * yy)).min(1.0);
        Ok(Self { intercept: y_mean - slope * x_mean, slope, r2 })
    }

    /// The value at a size.
    pub fn predict(&self, size: f64) -> f64 {
        self.intercept + self.slope * size.ln()
    }

    /// The size at which the line passes `value`; `None` if it does not rise, or beyond 10³⁰⁰.
    pub fn size_for(&self, value: f64) -> Option<f64> {
        let log_size = (value - self.intercept) / self.slope;
        (self.slope > 0.0 && log_size < 690.0).then(|| log_size.exp())
    }
}

impl LogLinearBootstrap {
    /// Fits all points, then `bootstrap.n_resamples` resamples of whole groups; resamples without two sizes are left out.
    /// Fails as [`LogLinear::fit`], on another number of groups, and with a single group.
    pub fn new(
        sizes: &[f64],
        values: &[f64],
        group_of_point: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, MetricError> {
        if group_of_point.len() != sizes.len() {
            let (expected, got) = (vec![sizes.len()], vec![group_of_point.len()]);
            return Err(MetricError::ShapeMismatch { what: "groups of points", expected, got });
        }
        let law = LogLinear::fit(sizes, values)?;
        let mut groups = group_of_point.to_vec();
        groups.sort_unstable();
        groups.dedup();
        if groups.len() < 2 {
            let (what, must) = ("number of groups", "at least 2");
            return Err(MetricError::InvalidSetting { what, value: groups.len() as f64, must });
        }
        let position: Vec<usize> =
            group_of_point.iter().map(|group| groups.partition_point(|other| other < group)).collect();
        let resampled = (0..bootstrap.n_resamples)
            .into_par_iter()
            .filter_map(|resample| {
                let of_group = bootstrap.weights(resample, 0, groups.len());
                let weights: Vec<f64> = position.iter().map(|&group| of_group[group]).collect();
                LogLinear::fit_weighted(sizes, values, &weights).ok()
            })
            .collect();
        Ok(Self { law, resampled, bootstrap: *bootstrap })
    }

    /// The line through all points.
    pub fn law(&self) -> &LogLinear {
        &self.law
    }

    /// Interval of anything that follows from the line; resamples in which it is not finite are left out.
    pub fn interval(&self, quantity: impl Fn(&LogLinear) -> f64) -> ScalingInterval {
        let values = self.resampled.iter().map(&quantity).collect();
        let interval = self.bootstrap.interval(values, IntervalMethod::GroupBootstrap);
        ScalingInterval { value: quantity(&self.law), interval }
    }

    /// The size it takes to reach `value`, and the share of resamples in which no size does. `None` if the line itself
    /// never reaches it.
    pub fn size_for(&self, value: f64) -> Option<(ScalingInterval, f64)> {
        self.law.size_for(value)?;
        let never = self.resampled.iter().filter(|law| law.size_for(value).is_none()).count();
        let share = never as f64 / self.resampled.len() as f64;
        // Out of reach is beyond any size, so it must stay in the quantiles.
        Some((self.interval(|law| law.size_for(value).unwrap_or(f64::MAX)), share))
    }
}
