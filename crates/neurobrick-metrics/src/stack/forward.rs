//! Features of the future: every unit's own past, the population's, and ridge autoregression.

use ndarray::{Array2, Array3, ArrayView3, Axis, s};

use super::{Evidence, FeaturePart, StackFeatures, constant, times};
use crate::baselines::counts::check_counts;
use crate::baselines::{ForwardRidge, ForwardRidgeGrid};
use crate::{Edge, MetricError, smooth_over_time};

/// Last visible bins that are averaged; more than there are means all.
const WINDOWS_BINS: [usize; 5] = [2, 5, 10, 20, usize::MAX];
/// Relative penalties of the two ridge autoregressions, and the last bins they average.
const PENALTIES: [f64; 2] = [30.0, 300.0];
const RIDGE_WINDOW_BINS: usize = 20;
/// No ridge may say less than this share of the mean rate.
const RIDGE_FLOOR: f64 = 0.1;
/// The start is the rate of the trial so far, with a prior of this many spikes at the mean rate.
const START_SPIKES: f64 = 2.0;
/// Width, in bins, over which time courses are smoothed, and what is added before their logs are taken, as a share of
/// the mean.
const COURSE_SIGMA_BINS: f64 = 3.0;
const COURSE_FLOOR: f64 = 0.1;

/// What predicts the last bins of a session's trials from those before, fitted to its calibration trials.
#[derive(Clone, Debug)]
pub struct ForwardDesign {
    ridges: Vec<ForwardRidge>,
    evidence: Vec<Evidence>,
    regions: Vec<usize>,
    /// Smoothed mean time course of every unit over the forward bins, `[n_forward, N]`, as log ratio to its mean.
    courses: Array2<f64>,
    n_visible: usize,
    n_forward: usize,
}

impl ForwardDesign {
    /// Fits all `calibration` counts (`[B, T, N]`, spikes/bin); the last `n_forward` bins are the future.
    ///
    /// Fails on counts that are empty, negative or not finite, on a trial without visible or forward bins, without a
    /// spike in the forward bins, and if there is not one region per unit.
    pub fn new(
        calibration: &ArrayView3<f64>,
        regions: &[usize],
        n_forward: usize,
    ) -> Result<Self, MetricError> {
        check_counts(calibration, "calibration counts")?;
        let (n_trials, n_bins, n_units) = calibration.dim();
        if regions.len() != n_units {
            let (expected, got) = (vec![n_units], vec![regions.len()]);
            return Err(MetricError::ShapeMismatch { what: "regions of units", expected, got });
        }
        let ridges = PENALTIES
            .map(|penalty| {
                let grid = ForwardRidgeGrid {
                    windows_bins: vec![RIDGE_WINDOW_BINS],
                    penalties: vec![penalty],
                    bin_weights: vec![0.0],
                    pooling: vec![1.0],
                    floors: vec![RIDGE_FLOOR],
                };
                ForwardRidge::fit(calibration, calibration, n_forward, &grid)
            })
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let n_visible = n_bins - n_forward;
        let exposure = (n_trials * n_bins) as f64;
        let evidence: Vec<Evidence> =
            calibration.axis_iter(Axis(2)).map(|unit| Evidence::new(unit.sum(), exposure)).collect();
        let course =
            calibration.mean_axis(Axis(0)).ok_or(MetricError::Empty { what: "calibration counts" })?;
        let course =
            smooth_over_time(&course.insert_axis(Axis(0)).view(), COURSE_SIGMA_BINS, Edge::Renormalized)?;
        let courses = Array2::from_shape_fn((n_forward, n_units), |(t, n)| {
            let mean = evidence[n].mean;
            ((course[[0, n_visible + t, n]] / mean + COURSE_FLOOR) / (1.0 + COURSE_FLOOR)).ln()
        });
        Ok(Self { ridges, evidence, regions: regions.to_vec(), courses, n_visible, n_forward })
    }

    /// Features `[B, n_forward, N]` of all units in the forward bins of `counts` (`[B, T, N]`), of which only the
    /// visible bins are read.
    ///
    /// Fails on invalid counts, too few bins and another number of units.
    pub fn features(&self, counts: &ArrayView3<f64>) -> Result<StackFeatures, MetricError> {
        let mut experts = Vec::new();
        for ridge in &self.ridges {
            let rates = ridge.predict(counts)?;
            let ratio = |at: (usize, usize, usize)| (rates[at] / self.evidence[at.2].mean).ln();
            experts.push((Array3::from_shape_fn(rates.dim(), ratio), FeaturePart::Factors));
        }
        let visible = counts.slice(s![.., ..self.n_visible, ..]);
        let shape = (counts.len_of(Axis(0)), self.n_forward);
        for window in WINDOWS_BINS {
            let start = self.n_visible.saturating_sub(window);
            let spikes = visible.slice(s![.., start.., ..]).sum_axis(Axis(1));
            let length = (self.n_visible - start) as f64;
            let own = |b: usize, n: usize| {
                let expected = self.evidence[n].mean * length;
                ((spikes[[b, n]] + 0.5) / (expected + 0.5)).ln()
            };
            let past = Array3::from_shape_fn((shape.0, shape.1, self.regions.len()), |(b, _, n)| own(b, n));
            experts.push((past, FeaturePart::Filters));
        }
        let all = vec![0; self.regions.len()];
        for groups in [&all, &self.regions] {
            for window in [WINDOWS_BINS[1], WINDOWS_BINS[4]] {
                experts.push((self.around(&visible, groups, window), FeaturePart::Population));
            }
        }
        let (n_trials, n_units) = (shape.0, self.regions.len());
        let course = Array3::from_shape_fn((n_trials, shape.1, n_units), |(_, t, n)| self.courses[[t, n]]);
        experts.push((course, FeaturePart::Course));
        let trust: Vec<f64> = self.evidence.iter().map(|e| e.trust()).collect();
        let log_means: Vec<f64> = self.evidence.iter().map(|e| e.mean.ln()).collect();
        let spikes = visible.sum_axis(Axis(1));
        let so_far = |(b, _, n): (usize, usize, usize)| {
            let expected = self.evidence[n].mean * self.n_visible as f64;
            ((spikes[[b, n]] + START_SPIKES) / (expected + START_SPIKES)).ln()
        };
        let start = Some(Array3::from_shape_fn((n_trials, shape.1, n_units), so_far));
        let mut features =
            StackFeatures { log_means: log_means.clone(), start, columns: Vec::new(), parts: Vec::new() };
        for i in 0..3 {
            let values: Vec<f64> = self.evidence.iter().map(|e| e.columns()[i]).collect();
            features.push(constant(shape, &values), &[FeaturePart::Evidence]);
        }
        features.push(constant(shape, &log_means), &[FeaturePart::Evidence]);
        for (expert, part) in experts {
            let product = [part, FeaturePart::Evidence, FeaturePart::Products];
            features.push(times(&expert, &trust), &product);
            features.push(times(&expert, &log_means), &product);
            features.push(&expert * &expert, &[part, FeaturePart::Products]);
            features.push(expert, &[part]);
        }
        Ok(features)
    }

    /// Log ratio of the last bins of all units of a unit's group to what their means expect.
    fn around(&self, visible: &ArrayView3<f64>, groups: &[usize], window: usize) -> Array3<f64> {
        let start = self.n_visible.saturating_sub(window);
        let length = (self.n_visible - start) as f64;
        let recent = visible.slice(s![.., start.., ..]).sum_axis(Axis(1));
        let n_groups = groups.iter().max().map_or(0, |last| last + 1);
        let (n_trials, n_units) = recent.dim();
        let mut sums = Array2::<f64>::zeros((n_trials, n_groups));
        let mut expected = vec![0.0; n_groups];
        for (unit, &group) in groups.iter().enumerate() {
            expected[group] += self.evidence[unit].mean * length;
            let mut sum = sums.column_mut(group);
            sum += &recent.column(unit);
        }
        Array3::from_shape_fn((n_trials, self.n_forward, n_units), |(b, _, n)| {
            ((sums[[b, groups[n]]] + 0.5) / (expected[groups[n]] + 0.5)).ln()
        })
    }
}
