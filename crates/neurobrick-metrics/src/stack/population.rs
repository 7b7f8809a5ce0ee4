//! The state of the population around a unit.

use ndarray::{Array3, ArrayView3, Axis, s};

use super::{FeaturePart, constant};
use crate::{Edge, MetricError, smooth_over_time};

/// Widths, in bins, over which the population's rate is smoothed.
const SIGMAS_BINS: [f64; 3] = [1.0, 3.0, 10.0];
/// Width, in bins, over which the time course of the calibration trials is smoothed.
const COURSE_SIGMA_BINS: f64 = 3.0;
/// Spikes/bin added before logs are taken at a width of one bin; wider windows need less.
const FLOOR: f64 = 0.3;
/// The same for time courses.
const COURSE_FLOOR: f64 = 0.02;

/// The visible units around each target: all of them, or those of its region; never the target itself.
pub(super) struct Neighbors<'a> {
    /// Calibration counts `[B, T, N]`.
    pub(super) calibration: &'a ArrayView3<'a, f64>,
    /// Region of every unit.
    pub(super) regions: &'a [usize],
    /// Visible units.
    pub(super) visible: &'a [usize],
    /// Targets.
    pub(super) targets: &'a [usize],
}

impl Neighbors<'_> {
    /// Features with what they are made of: log ratios of the neighbors' rate to its calibration mean, smoothed over three widths, and of their mean time
    /// course at each bin: eight features `[B, T, targets]`, zero for a target without neighbors.
    pub(super) fn features(
        &self,
        counts: &ArrayView3<f64>,
    ) -> Result<Vec<(Array3<f64>, FeaturePart)>, MetricError> {
        let mut columns = Vec::new();
        for within_region in [false, true] {
            let (past, n) = self.sums(self.calibration, within_region);
            let (now, _) = self.sums(counts, within_region);
            let means: Vec<f64> =
                past.axis_iter(Axis(2)).map(|sum| (sum.sum() + 0.5) / (sum.len() as f64 + 0.5)).collect();
            let log_ratio = |rate: f64, k: usize, floor: f64| {
                if n[k] == 0 { 0.0 } else { ((rate + floor) / (means[k] + floor)).ln() }
            };
            for sigma in SIGMAS_BINS {
                let smooth = smooth_over_time(&now.view(), sigma, Edge::Renormalized)?;
                let state = |at: (usize, usize, usize)| log_ratio(smooth[at], at.2, FLOOR / sigma);
                columns.push((Array3::from_shape_fn(smooth.dim(), state), FeaturePart::Population));
            }
            let course = past.mean_axis(Axis(0)).ok_or(MetricError::Empty { what: "calibration counts" })?;
            let course =
                smooth_over_time(&course.insert_axis(Axis(0)).view(), COURSE_SIGMA_BINS, Edge::Renormalized)?;
            let expected = |(_, t, k)| log_ratio(course[[0, t, k]], k, COURSE_FLOOR);
            columns.push((Array3::from_shape_fn(now.dim(), expected), FeaturePart::Course));
        }
        Ok(columns)
    }

    /// Counts of the neighbors of each target together, and how many there are.
    fn sums(&self, counts: &ArrayView3<f64>, within_region: bool) -> (Array3<f64>, Vec<usize>) {
        let (n_trials, n_bins, _) = counts.dim();
        let n_regions = self.regions.iter().max().map_or(0, |last| last + 1);
        let n_groups = if within_region { n_regions } else { 1 };
        let group_of = |unit: usize| if within_region { self.regions[unit] } else { 0 };
        let mut totals = Array3::zeros((n_trials, n_bins, n_groups));
        let mut sizes = vec![0; n_groups];
        let mut is_visible = vec![false; self.regions.len()];
        for &unit in self.visible {
            is_visible[unit] = true;
            sizes[group_of(unit)] += 1;
            let mut total = totals.slice_mut(s![.., .., group_of(unit)]);
            total += &counts.index_axis(Axis(2), unit);
        }
        let n = self.targets.iter().map(|&u| sizes[group_of(u)] - usize::from(is_visible[u])).collect();
        let mut sums = constant((n_trials, n_bins), &vec![0.0; self.targets.len()]);
        for (mut sum, &unit) in sums.axis_iter_mut(Axis(2)).zip(self.targets) {
            sum.assign(&totals.index_axis(Axis(2), group_of(unit)));
            if is_visible[unit] {
                sum -= &counts.index_axis(Axis(2), unit);
            }
        }
        (sums, n)
    }
}
