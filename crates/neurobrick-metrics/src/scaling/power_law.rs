//! A power law with a floor, fitted robustly from many starts.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::check_positive;
use super::robust_fit::{Point, best_law, n_distinct};
use crate::{Bootstrap, ConfidenceInterval, IntervalMethod, MetricError};

/// Shares of the smallest value at which the floor starts.
const START_FLOORS: [f64; 4] = [1e-6, 0.3, 0.7, 0.95];
/// Exponents to start from.
const START_EXPONENTS: [f64; 4] = [0.05, 0.15, 0.4, 1.0];

/// `floor + scale · size^−exponent`: an error that falls with size toward what more of it cannot remove.
///
/// ```
/// use neurobrick_metrics::scaling::PowerLaw;
///
/// let sizes = [1.0, 2.0, 4.0, 8.0, 16.0];
/// let errors = sizes.map(|n: f64| 0.2 + 0.5 * n.powf(-0.5));
/// let law = PowerLaw::fit(&sizes, &errors)?;
/// assert!((law.floor - 0.2).abs() < 1e-3);
/// assert!((law.size_for(0.3).unwrap() - 25.0).abs() < 0.5);
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerLaw {
    /// Error that remains at any size, at least zero.
    pub floor: f64,
    /// Error above the floor at size 1.
    pub scale: f64,
    /// How fast the error above the floor falls.
    pub exponent: f64,
}

/// Interval of one quantity under resampled groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingInterval {
    /// From the fit to all points.
    pub value: f64,
    /// Percentile interval over resamples.
    pub interval: ConfidenceInterval,
}

/// The fit to all points and to every resample of groups.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerLawBootstrap {
    law: PowerLaw,
    resampled: Vec<PowerLaw>,
    bootstrap: Bootstrap,
}

impl PowerLaw {
    /// Minimizes Huber's loss of the residuals of the logarithms, from a grid of starts.
    ///
    /// Fails on unequal lengths, fewer than four points or three sizes, and on sizes or errors that are not finite and
    /// above zero.
    pub fn fit(sizes: &[f64], errors: &[f64]) -> Result<Self, MetricError> {
        Self::fit_weighted(sizes, errors, &vec![1.0; errors.len()])
    }

    /// Points without weight are as if they were not there.
    fn fit_weighted(sizes: &[f64], errors: &[f64], weights: &[f64]) -> Result<Self, MetricError> {
        check_positive("sizes", sizes, errors.len())?;
        check_positive("errors", errors, errors.len())?;
        let points: Vec<Point<1>> = sizes
            .iter()
            .zip(errors)
            .zip(weights)
            .filter(|(_, weight)| **weight > 0.0)
            .map(|((x, y), weight)| Point { log_sizes: [x.ln()], log_error: y.ln(), weight: *weight })
            .collect();
        let n_sizes = n_distinct(points.iter().map(|point| point.log_sizes[0]));
        if points.len() < 4 || n_sizes < 3 {
            let (what, must) = ("number of sizes", "at least 3, with at least 4 points");
            return Err(MetricError::InvalidSetting { what, value: n_sizes as f64, must });
        }
        let lowest = points.iter().map(|point| point.log_error.exp()).fold(f64::INFINITY, f64::min);
        let starts: Vec<[f64; 3]> = START_FLOORS
            .iter()
            .flat_map(|share| START_EXPONENTS.iter().map(move |exponent| (share, exponent)))
            .map(|(share, &exponent)| {
                let floor = share * lowest;
                // The scale that makes the mean logarithm right.
                let above =
                    |point: &Point<1>| (point.log_error.exp() - floor).ln() + exponent * point.log_sizes[0];
                let log_scale = points.iter().map(above).sum::<f64>() / points.len() as f64;
                [floor.ln(), log_scale, exponent]
            })
            .collect();
        let [floor, scale, exponent] = best_law(&points, starts)?;
        Ok(Self { floor, scale, exponent })
    }

    /// The error at a size.
    pub fn predict(&self, size: f64) -> f64 {
        self.floor + self.scale * size.powf(-self.exponent)
    }

    /// The size at which the error falls to `error`; `None` if it is not above the floor or the error does not fall.
    pub fn size_for(&self, error: f64) -> Option<f64> {
        (error > self.floor && self.exponent > 0.0)
            .then(|| (self.scale / (error - self.floor)).powf(self.exponent.recip()))
    }
}

impl PowerLawBootstrap {
    /// Fits all points, then `bootstrap.n_resamples` resamples of whole groups; resamples with fewer than three sizes
    /// are left out. Fails as [`PowerLaw::fit`], on another number of groups, and with a single group.
    pub fn new(
        sizes: &[f64],
        errors: &[f64],
        group_of_point: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, MetricError> {
        if group_of_point.len() != sizes.len() {
            let (expected, got) = (vec![sizes.len()], vec![group_of_point.len()]);
            return Err(MetricError::ShapeMismatch { what: "groups of points", expected, got });
        }
        let law = PowerLaw::fit(sizes, errors)?;
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
                PowerLaw::fit_weighted(sizes, errors, &weights).ok()
            })
            .collect();
        Ok(Self { law, resampled, bootstrap: *bootstrap })
    }

    /// The fit to all points.
    pub fn law(&self) -> &PowerLaw {
        &self.law
    }

    /// Interval of anything that follows from the law: a parameter, the error at a size. Resamples in which it is not
    /// finite are left out and not counted.
    pub fn interval(&self, quantity: impl Fn(&PowerLaw) -> f64) -> ScalingInterval {
        let values = self.resampled.iter().map(&quantity).collect();
        let interval = self.bootstrap.interval(values, IntervalMethod::GroupBootstrap);
        ScalingInterval { value: quantity(&self.law), interval }
    }

    /// The size it takes to reach `error`, and the share of resamples in which no size does. `None` if the fit itself
    /// never reaches it.
    pub fn size_for(&self, error: f64) -> Option<(ScalingInterval, f64)> {
        self.law.size_for(error)?;
        let never = self.resampled.iter().filter(|law| law.size_for(error).is_none()).count();
        let share = never as f64 / self.resampled.len() as f64;
        // Out of reach is beyond any size, so it must stay in the quantiles.
        let finite = |law: &PowerLaw| law.size_for(error).unwrap_or(f64::MAX);
        Some((self.interval(finite), share))
    }
}
