//! What the units did: spike times, or counts for recordings that exist only binned.

use std::mem;
use std::ops::{Deref, DerefMut};

use crate::block::Block;
use crate::error::SchemaError;
use crate::merge::merge;

/// Times of many spikes, to be written in place by who reads them: large ones lie in large pages of memory, which cost a
/// fraction of the traps that a [`Vec`] costs while it is filled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpikeTimes(Block<f64>);

impl SpikeTimes {
    /// So many zeros; `None` where memory does not suffice.
    pub fn zeros(n_spikes: usize) -> Option<Self> {
        Block::zeros(n_spikes).map(Self)
    }
}

impl From<Vec<f64>> for SpikeTimes {
    fn from(times_s: Vec<f64>) -> Self {
        Self(times_s.into())
    }
}

impl Deref for SpikeTimes {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.0
    }
}

impl DerefMut for SpikeTimes {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.0
    }
}

/// Spike times with the unit of each, sorted by time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spikes {
    times_s: Block<f64>,
    units: Block<u32>,
}

impl Spikes {
    /// Takes spikes that are sorted by time already.
    ///
    /// `times_s`: seconds from session start, finite, ascending (ties allowed); `units`: index of the unit of each
    /// spike. Errors: [`SchemaError::LengthMismatch`], [`SchemaError::NonFinite`], [`SchemaError::UnsortedSpikes`].
    pub fn new(times_s: Vec<f64>, units: Vec<u32>) -> Result<Self, SchemaError> {
        let mut ascent = Ascent::default();
        ascent.see(&times_s);
        Self::seen(times_s.into(), units.into(), ascent)
    }

    /// The same, of times that `ascent` has seen already, all and in order.
    pub(crate) fn seen(times_s: Block<f64>, units: Block<u32>, ascent: Ascent) -> Result<Self, SchemaError> {
        if times_s.len() == units.len() && ascent.n_seen == times_s.len() && !ascent.is_broken {
            return Ok(Self { times_s, units });
        }
        check_lengths_and_finite(&times_s, &units)?;
        let disorder = times_s.windows(2).position(|pair| pair[1] < pair[0]);
        if let Some(index) = disorder {
            return Err(SchemaError::UnsortedSpikes {
                index: index + 1,
                time_s: times_s[index + 1],
                previous_s: times_s[index],
            });
        }
        Ok(Self { times_s, units })
    }

    /// Sorts spikes by time; equal times keep their order.
    ///
    /// Errors: [`SchemaError::LengthMismatch`], [`SchemaError::NonFinite`].
    pub fn from_unsorted(times_s: Vec<f64>, units: Vec<u32>) -> Result<Self, SchemaError> {
        check_lengths_and_finite(&times_s, &units)?;
        let mut pairs: Vec<(f64, u32)> = times_s.into_iter().zip(units).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (times_s, units): (Vec<f64>, Vec<u32>) = pairs.into_iter().unzip();
        Ok(Self { times_s: times_s.into(), units: units.into() })
    }

    /// Merges the trains of all units, one after the other in `times_s`, into one by time; equal times keep the order of
    /// the units. Faster than [`Spikes::from_unsorted`], with the same result.
    ///
    /// `times_s`: seconds from session start, finite; `ends`: one entry per unit, where its train ends in `times_s`.
    /// A train that does not ascend is sorted. Returns the spikes with the number of such trains.
    ///
    /// Errors: [`SchemaError::NonFinite`]; [`SchemaError::LengthMismatch`] when the trains are not all of `times_s`;
    /// [`SchemaError::InvalidValue`] for a train that ends before it starts, or more than 4294967295 trains.
    pub fn from_trains(times_s: impl Into<SpikeTimes>, ends: &[usize]) -> Result<(Self, usize), SchemaError> {
        let mut times_s = times_s.into();
        let n_spikes = times_s.len();
        if let Some(before) = ends.windows(2).position(|pair| pair[1] < pair[0]) {
            return Err(SchemaError::InvalidValue {
                what: format!("end of train {}", before + 1),
                found: format!("{}, below {}", ends[before + 1], ends[before]),
                rule: "at or after the end of the train before",
            });
        }
        let found = ends.last().copied().unwrap_or(0);
        if found != n_spikes {
            return Err(SchemaError::LengthMismatch {
                what: "ends of the trains".into(),
                expected: n_spikes,
                found,
            });
        }
        if u32::try_from(ends.len()).is_err() {
            return Err(SchemaError::InvalidValue {
                what: "number of trains".into(),
                found: ends.len().to_string(),
                rule: "at most 4294967295",
            });
        }
        let (mut start, mut n_unsorted) = (0, 0);
        for &end in ends {
            let train = &mut times_s[mem::replace(&mut start, end)..end];
            if is_finite_and_ascends(train) {
                continue;
            }
            if let Some(index) = train.iter().position(|time| !time.is_finite()) {
                let value = train[index];
                let index = end - train.len() + index;
                return Err(SchemaError::NonFinite { what: "spike times".into(), index, value });
            }
            n_unsorted += usize::from(!train.is_sorted());
            train.sort_unstable_by(f64::total_cmp);
        }
        let (times_s, units) = merge(&times_s, ends);
        Ok((Self { times_s, units }, n_unsorted))
    }

    /// Times in seconds from session start, ascending.
    pub fn times_s(&self) -> &[f64] {
        &self.times_s
    }

    /// Index of the unit of each spike.
    pub fn units(&self) -> &[u32] {
        &self.units
    }

    /// Number of spikes.
    pub fn len(&self) -> usize {
        self.times_s.len()
    }

    /// Whether there are no spikes.
    pub fn is_empty(&self) -> bool {
        self.times_s.is_empty()
    }
}

/// Whether times that come in parts are finite and ascend.
#[derive(Debug, Default)]
pub(crate) struct Ascent {
    n_seen: usize,
    last: Option<f64>,
    is_broken: bool,
}

impl Ascent {
    /// Looks at the next part.
    pub(crate) fn see(&mut self, times_s: &[f64]) {
        let (Some(&first), Some(&last)) = (times_s.first(), times_s.last()) else { return };
        let follows = self.last.is_none_or(|before| is_finite_and_ascends(&[before, first]));
        self.is_broken |= !(follows && is_finite_and_ascends(times_s));
        self.last = Some(last);
        self.n_seen += times_s.len();
    }
}

/// Whether all times are finite and none is below the one before it, zero counting as above minus zero. Looks at all of
/// them, since a loop without an early end takes several at a time.
fn is_finite_and_ascends(times_s: &[f64]) -> bool {
    let pairs = times_s.iter().zip(times_s.get(1..).unwrap_or_default());
    // What lies between finite times is finite.
    let ends_are_finite =
        [times_s.first(), times_s.last()].into_iter().flatten().all(|time| time.is_finite());
    ends_are_finite && pairs.fold(true, |ok, (a, b)| ok & ((a < b) | (a.to_bits() == b.to_bits())))
}

fn check_lengths_and_finite(times_s: &[f64], units: &[u32]) -> Result<(), SchemaError> {
    if times_s.len() != units.len() {
        return Err(SchemaError::LengthMismatch {
            what: "unit of each spike".into(),
            expected: times_s.len(),
            found: units.len(),
        });
    }
    match times_s.iter().position(|time| !time.is_finite()) {
        Some(index) => {
            Err(SchemaError::NonFinite { what: "spike times".into(), index, value: times_s[index] })
        }
        None => Ok(()),
    }
}

/// Spikes per bin, `[trial, unit, bin]`; bin 0 of a trial starts at the trial interval's `start_s`.
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedCounts {
    bin_size_s: f64,
    n_trials: usize,
    n_units: usize,
    n_bins: usize,
    values: Vec<u16>,
}

impl BinnedCounts {
    /// Takes a dense array in row order `[trial, unit, bin]`.
    ///
    /// Errors: [`SchemaError::InvalidValue`] for a bin size that is not positive or an axis of length zero;
    /// [`SchemaError::LengthMismatch`] when `values` does not fill the three axes.
    pub fn new(
        bin_size_s: f64,
        n_trials: usize,
        n_units: usize,
        n_bins: usize,
        values: Vec<u16>,
    ) -> Result<Self, SchemaError> {
        if !(bin_size_s.is_finite() && bin_size_s > 0.0) {
            return Err(SchemaError::InvalidValue {
                what: "bin_size_s".into(),
                found: bin_size_s.to_string(),
                rule: "a positive number of seconds",
            });
        }
        for (what, length) in [("n_trials", n_trials), ("n_units", n_units), ("n_bins", n_bins)] {
            if length == 0 || u32::try_from(length).is_err() {
                return Err(SchemaError::InvalidValue {
                    what: format!("{what} of the counts"),
                    found: length.to_string(),
                    rule: "between 1 and 4294967295",
                });
            }
        }
        let expected = n_trials.checked_mul(n_units).and_then(|rows| rows.checked_mul(n_bins));
        if expected != Some(values.len()) {
            return Err(SchemaError::LengthMismatch {
                what: format!("counts [{n_trials}, {n_units}, {n_bins}]"),
                expected: expected.unwrap_or(usize::MAX),
                found: values.len(),
            });
        }
        Ok(Self { bin_size_s, n_trials, n_units, n_bins, values })
    }

    /// Width of a bin in seconds.
    pub fn bin_size_s(&self) -> f64 {
        self.bin_size_s
    }

    /// Number of trials.
    pub fn n_trials(&self) -> usize {
        self.n_trials
    }

    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.n_units
    }

    /// Number of bins of every trial.
    pub fn n_bins(&self) -> usize {
        self.n_bins
    }

    /// All counts in row order `[trial, unit, bin]`.
    pub fn values(&self) -> &[u16] {
        &self.values
    }

    /// Counts of one unit in one trial, one entry per bin.
    ///
    /// # Panics
    /// When `trial` or `unit` is out of range, as slices do.
    pub fn row(&self, trial: usize, unit: usize) -> &[u16] {
        assert!(
            trial < self.n_trials && unit < self.n_units,
            "row ({trial}, {unit}) of counts with {} trials and {} units",
            self.n_trials,
            self.n_units
        );
        let start = (trial * self.n_units + unit) * self.n_bins;
        &self.values[start..start + self.n_bins]
    }

    /// Number of spikes in all bins.
    pub fn n_spikes(&self) -> u64 {
        self.values.iter().map(|&count| u64::from(count)).sum()
    }
}

/// The activity of a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Activity {
    /// Spike times over the whole session.
    Spikes(Spikes),
    /// Counts within the trials only.
    Counts(BinnedCounts),
}
