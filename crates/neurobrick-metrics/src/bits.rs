//! Bits per spike from sufficient statistics: every convention, its interval and paired differences.
//!
//! A [`BitsTable`] keeps per (trial, unit) the log-likelihood gain over a fixed null and the spikes. Every
//! convention and every resample of trials is a weighted sum of its rows, so a thousand resamples cost a matrix
//! product. What the choice of convention and null changes:
//!
//! - The null from the evaluated slice itself already knows how active each unit was *in that slice*; in forward
//!   prediction this is strict. Report scores against both [`NullModel`]s.
//! - The mean over units gives a unit with three spikes the weight of one with three thousand. Report it next to
//!   the median and the mean over units with enough spikes.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;

use ndarray::{Array2, ArrayView1, ArrayView3, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::likelihood::{check_count, check_shapes, checked_rate, entry_gain, evaluated_mean};
use crate::{Bootstrap, ConfidenceInterval, Counted, IntervalMethod, MetricError, RATE_FLOOR};

/// Resamples that one matrix product sums.
const RESAMPLE_BLOCK: usize = 64;

/// The predictor that scores zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullModel {
    /// Each unit's mean over the evaluated data itself (the benchmark's rule).
    EvaluatedMean,
    /// Each unit's mean over the training data.
    TrainMean,
    /// The more frequent class of the training labels, for classification.
    MajorityClass,
}

impl NullModel {
    /// The null's rate of each unit in spikes/bin, from evaluated and training counts `[B, T, N]`.
    ///
    /// A unit silent in training has the rate of half a spike over all training bins: with a rate of zero its first
    /// test spike would outweigh everything else. [`NullModel::MajorityClass`] has no rates and is an error.
    pub fn rates(
        self,
        evaluated: &ArrayView3<f64>,
        train: &ArrayView3<f64>,
    ) -> Result<Vec<f64>, MetricError> {
        match self {
            Self::EvaluatedMean => Ok(evaluated_mean(evaluated)),
            Self::TrainMean => {
                let half_a_spike = 0.5 / (train.len_of(Axis(0)) * train.len_of(Axis(1))) as f64;
                let positive = |mean| if mean == 0.0 { half_a_spike } else { mean };
                Ok(evaluated_mean(train).into_iter().map(positive).collect())
            }
            Self::MajorityClass => Err(MetricError::InvalidScore {
                field: "null",
                why: "the majority class predicts labels, not rates".to_owned(),
            }),
        }
    }
}

/// How per-unit gains become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convention {
    /// All nats over all spikes (Neural Latents Benchmark).
    Pooled,
    /// Mean over units with at least one spike (multi-task masking, NEDS).
    UnitMean,
    /// Median over units with at least one spike.
    UnitMedian,
    /// Mean over units with at least `min_spikes` spikes in the evaluated data.
    ActiveUnitMean {
        /// Spikes a unit needs; which units qualify is settled once, not per resample.
        min_spikes: u32,
    },
}

/// A difference between two predictors on the same trials.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// First minus second, bits/spike.
    pub value: f64,
    /// Its interval, both predictors scored on the same resamples.
    pub interval: ConfidenceInterval,
}

/// Sufficient statistics of one predictor on one scored slice: gains over the null and spikes, `[B, N]`, or by cluster of
/// trials ([`BitsTable::clustered`]).
///
/// ```
/// use ndarray::Array3;
/// use neurobrick_metrics::{BitsTable, Bootstrap, Convention};
///
/// let counts = Array3::from_shape_fn((8, 4, 2), |(b, t, n)| ((b + t + n) % 2) as f64);
/// let rates = counts.mapv(|n| 0.25 + 0.5 * n);
/// let table = BitsTable::new(&rates.view(), &counts.view(), &[0.5, 0.5])?;
/// let interval = table.interval(Convention::Pooled, &Bootstrap::with_seed(1));
/// assert!(table.value(Convention::Pooled) > 0.5 && interval.lo > 0.5);
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BitsTable {
    /// Log-likelihood of the model minus that of the null, nats, `[B, N]`, or a row per cluster of trials.
    pub(crate) gain: Array2<f64>,
    /// Spikes, in the same rows.
    pub(crate) spikes: Array2<f64>,
    /// Trials that the rows sum.
    n_trials: usize,
    null_rates: Vec<f64>,
    /// Entries with a count, per unit.
    entries: Vec<usize>,
}

impl BitsTable {
    /// Scores `rates` against `counts` (both `[B, T, N]`, spikes/bin) over one null rate per unit.
    ///
    /// NaN counts mask their entry; a rate of zero, of model or null, counts as [`RATE_FLOOR`]. Fails on shape
    /// mismatch, on NaN or negative rates at observed entries, and without trials or units.
    pub fn new(
        rates: &ArrayView3<f64>,
        counts: &ArrayView3<f64>,
        null_rates: &[f64],
    ) -> Result<Self, MetricError> {
        check_shapes(rates.shape(), counts.shape())?;
        let (n_trials, _, n_units) = counts.dim();
        if counts.is_empty() {
            return Err(MetricError::Empty { what: "scored slice" });
        }
        if null_rates.len() != n_units {
            let (expected, got) = (vec![n_units], vec![null_rates.len()]);
            return Err(MetricError::ShapeMismatch { what: "null rates", expected, got });
        }
        let mut table = Self {
            gain: Array2::zeros((n_trials, n_units)),
            spikes: Array2::zeros((n_trials, n_units)),
            n_trials,
            null_rates: null_rates.iter().map(|&r| if r == 0.0 { RATE_FLOOR } else { r }).collect(),
            entries: vec![0; n_units],
        };
        for (((trial, bin, unit), &count), &rate) in counts.indexed_iter().zip(rates) {
            if count.is_nan() {
                continue;
            }
            let position = || vec![trial, bin, unit];
            let rate = checked_rate(rate, position)?;
            check_count(count, position)?;
            let null_rate = table.null_rates[unit];
            if !(null_rate.is_finite() && null_rate > 0.0) {
                return Err(MetricError::NotFinite {
                    what: "null rates",
                    value: null_rate,
                    index: vec![unit],
                });
            }
            table.gain[[trial, unit]] += entry_gain(rate, null_rate, count);
            table.spikes[[trial, unit]] += count;
            table.entries[unit] += 1;
        }
        Ok(table)
    }

    /// The same table with the trials of each cluster in one row, so that intervals and differences resample whole clusters.
    /// For windows that share spikes, which are no independent draws; the scores stay what they are.
    ///
    /// Fails on another number of trials, and on a table that is clustered already.
    pub fn clustered(self, cluster_of_trial: &[usize]) -> Result<Self, MetricError> {
        let n_rows = self.gain.nrows();
        if cluster_of_trial.len() != self.n_trials || n_rows != self.n_trials {
            let (expected, got) = (vec![n_rows], vec![cluster_of_trial.len()]);
            return Err(MetricError::ShapeMismatch { what: "clusters of trials", expected, got });
        }
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (trial, &cluster) in cluster_of_trial.iter().enumerate() {
            members.entry(cluster).or_default().push(trial);
        }
        if members.len() == n_rows {
            return Ok(self);
        }
        let summed = |table: &Array2<f64>| {
            let mut rows = Array2::zeros((members.len(), table.ncols()));
            for (mut row, trials) in rows.outer_iter_mut().zip(members.values()) {
                row.assign(&table.select(Axis(0), trials).sum_axis(Axis(0)));
            }
            rows
        };
        Ok(Self { gain: summed(&self.gain), spikes: summed(&self.spikes), ..self })
    }

    /// The score in bits/spike. Not finite if no unit that counts has a spike.
    pub fn value(&self, convention: Convention) -> f64 {
        let sums = UnitSums::of(self);
        sums.value(convention, &sums.counted(convention))
    }

    /// Percentile interval over trials, or over clusters of them. Bounds are NaN with a single one: it has no spread to
    /// resample.
    pub fn interval(&self, convention: Convention, bootstrap: &Bootstrap) -> ConfidenceInterval {
        if self.n_rows() < 2 {
            return bootstrap.undefined(self.method());
        }
        bootstrap.interval(self.resampled(convention, bootstrap), self.method())
    }

    /// This table minus `other`, on the same resamples of trials. Fails if the two were not made from the same
    /// counts and null rates, for then the difference would compare data instead of predictors.
    pub fn difference(
        &self,
        other: &Self,
        convention: Convention,
        bootstrap: &Bootstrap,
    ) -> Result<Difference, MetricError> {
        self.check_paired(other)?;
        let value = self.value(convention) - other.value(convention);
        if self.n_rows() < 2 {
            return Ok(Difference { value, interval: bootstrap.undefined(self.method()) });
        }
        let ours = self.resampled(convention, bootstrap);
        let theirs = other.resampled(convention, bootstrap);
        let differences = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
        Ok(Difference { value, interval: bootstrap.interval(differences, self.method()) })
    }

    /// What the score rests on.
    pub fn n(&self) -> Counted {
        let (trials, units) = (self.n_trials, self.spikes.ncols());
        Counted { trials, units, entries: self.entries.iter().sum(), spikes: self.spikes.sum(), sessions: 1 }
    }

    /// Trials or clusters that can be resampled.
    pub(crate) fn n_rows(&self) -> usize {
        self.spikes.nrows()
    }

    pub(crate) fn method(&self) -> IntervalMethod {
        if self.n_rows() == self.n_trials {
            IntervalMethod::TrialBootstrap
        } else {
            IntervalMethod::GroupBootstrap
        }
    }

    /// Bits/spike of each unit; NaN for a unit without a spike.
    pub fn per_unit(&self) -> Vec<f64> {
        let sums = UnitSums::of(self);
        sums.bits().map(|bits| bits.unwrap_or(f64::NAN)).collect()
    }

    /// Spikes of each unit.
    pub fn spikes_per_unit(&self) -> Vec<f64> {
        UnitSums::of(self).spikes
    }

    /// The table of some units only, in the given order.
    pub fn select_units(&self, units: &[usize]) -> Result<Self, MetricError> {
        if units.is_empty() {
            return Err(MetricError::Empty { what: "list of units" });
        }
        let limit = self.null_rates.len();
        if let Some(&index) = units.iter().find(|&&unit| unit >= limit) {
            return Err(MetricError::OutOfRange { what: "unit", index, limit });
        }
        Ok(Self {
            gain: self.gain.select(Axis(1), units),
            spikes: self.spikes.select(Axis(1), units),
            n_trials: self.n_trials,
            null_rates: units.iter().map(|&unit| self.null_rates[unit]).collect(),
            entries: units.iter().map(|&unit| self.entries[unit]).collect(),
        })
    }

    /// One table per group of units (a region, a probe); `group_of_unit` names the group of each unit.
    pub fn by_group(&self, group_of_unit: &[usize]) -> Result<BTreeMap<usize, Self>, MetricError> {
        if group_of_unit.len() != self.null_rates.len() {
            let (expected, got) = (vec![self.null_rates.len()], vec![group_of_unit.len()]);
            return Err(MetricError::ShapeMismatch { what: "groups of units", expected, got });
        }
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (unit, &group) in group_of_unit.iter().enumerate() {
            members.entry(group).or_default().push(unit);
        }
        members.into_iter().map(|(group, units)| Ok((group, self.select_units(&units)?))).collect()
    }

    pub(crate) fn check_paired(&self, other: &Self) -> Result<(), MetricError> {
        if self.spikes != other.spikes || self.entries != other.entries {
            return Err(MetricError::NotPaired { what: "counts" });
        }
        if self.null_rates != other.null_rates {
            return Err(MetricError::NotPaired { what: "null rates" });
        }
        Ok(())
    }

    fn resampled(&self, convention: Convention, bootstrap: &Bootstrap) -> Vec<f64> {
        let counted = UnitSums::of(self).counted(convention);
        let table = self.reduced(convention);
        let n_trials = table.spikes.len_of(Axis(0));
        let blocks: Vec<Vec<f64>> = (0..bootstrap.n_resamples)
            .into_par_iter()
            .step_by(RESAMPLE_BLOCK)
            .map(|first| {
                let last = (first + RESAMPLE_BLOCK).min(bootstrap.n_resamples);
                let mut weights = Array2::zeros((last - first, n_trials));
                for (resample, mut row) in (first..last).zip(weights.outer_iter_mut()) {
                    row.assign(&ArrayView1::from(&bootstrap.weights(resample, 0, n_trials)));
                }
                let (gain, spikes) = (weights.dot(&table.gain), weights.dot(&table.spikes));
                let sums = gain.outer_iter().zip(spikes.outer_iter());
                sums.map(|(gain, spikes)| UnitSums { gain: gain.to_vec(), spikes: spikes.to_vec() })
                    .map(|sums| sums.value(convention, &counted))
                    .collect()
            })
            .collect();
        blocks.concat()
    }

    /// The table summed over units: a single column, which is all that [`Convention::Pooled`] needs, and little to keep. Its null
    /// rate is the sum of the units', and the other conventions see one unit.
    #[must_use]
    pub fn pooled(&self) -> Self {
        let sum = |table: &Array2<f64>| table.sum_axis(Axis(1)).insert_axis(Axis(1));
        Self {
            gain: sum(&self.gain),
            spikes: sum(&self.spikes),
            n_trials: self.n_trials,
            null_rates: vec![self.null_rates.iter().sum()],
            entries: vec![self.entries.iter().sum()],
        }
    }

    /// The pooled convention needs only the sum over units, a table with a single column.
    pub(crate) fn reduced(&self, convention: Convention) -> std::borrow::Cow<'_, Self> {
        if convention != Convention::Pooled {
            return std::borrow::Cow::Borrowed(self);
        }
        std::borrow::Cow::Owned(self.pooled())
    }
}

/// Gains and spikes summed over (weighted) trials, one entry per unit.
#[derive(Clone)]
pub(crate) struct UnitSums {
    pub(crate) gain: Vec<f64>,
    pub(crate) spikes: Vec<f64>,
}

impl UnitSums {
    pub(crate) fn zeros(n_units: usize) -> Self {
        Self { gain: vec![0.0; n_units], spikes: vec![0.0; n_units] }
    }

    pub(crate) fn of(table: &BitsTable) -> Self {
        let mut sums = Self::zeros(table.spikes.len_of(Axis(1)));
        sums.add(table, &vec![1.0; table.spikes.len_of(Axis(0))]);
        sums
    }

    /// Adds the trials of `table`, weighted.
    pub(crate) fn add(&mut self, table: &BitsTable, weights: &[f64]) {
        for (trial, &weight) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            for (sum, &gain) in self.gain.iter_mut().zip(table.gain.row(trial)) {
                *sum += weight * gain;
            }
            for (sum, &spikes) in self.spikes.iter_mut().zip(table.spikes.row(trial)) {
                *sum += weight * spikes;
            }
        }
    }

    /// Which units a convention may count, settled on the unresampled data.
    pub(crate) fn counted(&self, convention: Convention) -> Vec<bool> {
        let floor = match convention {
            Convention::ActiveUnitMean { min_spikes } => f64::from(min_spikes),
            _ => 0.0,
        };
        self.spikes.iter().map(|&spikes| spikes >= floor).collect()
    }

    /// Bits/spike of each unit that has a spike.
    pub(crate) fn bits(&self) -> impl Iterator<Item = Option<f64>> {
        self.gain.iter().zip(&self.spikes).map(|(gain, &spikes)| (spikes > 0.0).then(|| gain / spikes / LN_2))
    }

    pub(crate) fn value(&self, convention: Convention, counted: &[bool]) -> f64 {
        if convention == Convention::Pooled {
            return self.gain.iter().sum::<f64>() / self.spikes.iter().sum::<f64>() / LN_2;
        }
        let mut bits: Vec<f64> =
            self.bits().zip(counted).filter_map(|(bits, &counts)| bits.filter(|_| counts)).collect();
        if convention == Convention::UnitMedian { median(&mut bits) } else { mean(&bits) }
    }
}

/// NaN without values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Median, the mean of the middle two for an even number; NaN without values.
fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, upper)
}
