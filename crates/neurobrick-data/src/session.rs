//! One session, binned and ready for a model.

use ndarray::{Array2, Array3, Axis};
use neurobrick_schema::{Interval, Recording, SessionId, SubjectId, Trials};
use serde::{Deserialize, Serialize};

use crate::binning::bin_recording;
use crate::grid::Grid;
use crate::recorded::Recorded;
use crate::resample::BehaviorConfig;
use crate::{Alignment, DataError, RegionTable, UnitFilter, WindowConfig};

/// A trial that yields no window, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcludedTrial {
    /// Index of the trial in the recording.
    pub trial: usize,
    /// Why it cannot be used.
    pub reason: String,
}

/// One session's counts on a window grid, with regions and trials.
#[derive(Clone, Debug)]
pub struct SessionData {
    session: SessionId,
    subject: SubjectId,
    bin_size_s: f64,
    counts: Array3<u16>,
    regions: RegionTable,
    trials: Trials,
    trial_idx: Vec<usize>,
    excluded: Vec<ExcludedTrial>,
    windows: Vec<Interval>,
    recorded: Recorded,
}

impl SessionData {
    /// Cuts a window from every trial of `recording` and bins it; with [`Alignment::Every`] windows that slide over
    /// the recording, of which each counts as a trial without labels.
    ///
    /// Bins are half-open. A spike exactly on an edge, to a nanosecond, belongs to the later bin.
    ///
    /// # Errors
    /// If the window is no whole number of bins, the alignment column is missing, or recorded counts do not
    /// contain the grid asked for; [`DataError::TooLarge`] where memory does not hold the windows.
    pub fn new(recording: &Recording, window: &WindowConfig) -> Result<Self, DataError> {
        Self::within(recording, &Recorded::of(recording), window)
    }

    /// The same of the units that pass a filter, and the recording without the others.
    ///
    /// Which trials are usable does not depend on the filter: what was recorded reaches from the first spike to the last of
    /// all units, also of those that do not pass, but for silences of all of them that are at least 10 s long and as long as
    /// a hundred spikes take on average: those are gaps, and windows that touch them are left out.
    ///
    /// # Errors
    /// Those of [`UnitFilter::passing`] and [`SessionData::new`].
    pub fn of_units(
        recording: Recording,
        filter: &UnitFilter,
        window: &WindowConfig,
    ) -> Result<(Self, Recording), DataError> {
        let recorded = Recorded::of(&recording);
        let recording = filter.apply(recording)?;
        Ok((Self::within(&recording, &recorded, window)?, recording))
    }

    fn within(recording: &Recording, recorded: &Recorded, window: &WindowConfig) -> Result<Self, DataError> {
        let binned = bin_recording(recording, recorded, window)?;
        let window_at = |zero: f64| Interval { start_s: zero + window.start_s, end_s: zero + window.end_s };
        let windows: Vec<Interval> = binned.zeros_s.into_iter().map(window_at).collect();
        let trials = match window.align {
            Alignment::Every(_) => Trials::new(windows.clone(), Vec::new())?,
            _ => recording.trials().clone(),
        };
        let regions: Vec<&str> = recording.units().iter().map(|u| u.region.as_str()).collect();
        Ok(Self {
            session: recording.info().session.clone(),
            subject: recording.info().subject.clone(),
            bin_size_s: window.bin_size_s,
            counts: binned.counts,
            regions: RegionTable::new(&regions),
            trials,
            trial_idx: binned.trials,
            excluded: binned.excluded,
            windows,
            recorded: recorded.clone(),
        })
    }

    /// The session's id.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The stretch of the recording around a time span, from its first spike of any unit to its last, in seconds; `None`
    /// if a gap lies in the span, or spikes do not reach over it, and for recordings of counts.
    pub fn recorded_around(&self, span: Interval) -> Option<(f64, f64)> {
        self.recorded.around(span.start_s, span.end_s)
    }

    /// The subject recorded.
    pub fn subject(&self) -> &SubjectId {
        &self.subject
    }

    /// Size of a bin, in seconds.
    pub fn bin_size_s(&self) -> f64 {
        self.bin_size_s
    }

    /// Spikes per bin `[trial, bin, unit]` of the usable trials.
    pub fn counts(&self) -> &Array3<u16> {
        &self.counts
    }

    /// Number of usable trials.
    pub fn n_trials(&self) -> usize {
        self.counts.len_of(Axis(0))
    }

    /// Number of bins of a window.
    pub fn n_bins(&self) -> usize {
        self.counts.len_of(Axis(1))
    }

    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.counts.len_of(Axis(2))
    }

    /// Regions of the units.
    pub fn regions(&self) -> &RegionTable {
        &self.regions
    }

    /// The recording's trial table; row `trial_idx()[i]` belongs to usable trial `i`.
    pub fn trials(&self) -> &Trials {
        &self.trials
    }

    /// Row of the trial table for every usable trial.
    pub fn trial_idx(&self) -> &[usize] {
        &self.trial_idx
    }

    /// When the window of every usable trial was, on the clock of the session.
    pub fn windows(&self) -> &[Interval] {
        &self.windows
    }

    /// A signal on the bins of every usable trial, `[trial, bin]`; NaN where nothing was measured. `recording` is the
    /// one that the session was made from.
    ///
    /// # Errors
    /// Those of [`BehaviorConfig::on_grid`].
    pub fn behavior(&self, recording: &Recording, config: &BehaviorConfig) -> Result<Array2<f64>, DataError> {
        let mut values = Vec::with_capacity(self.n_trials() * self.n_bins());
        for window in &self.windows {
            let grid = Grid::new(window.start_s, self.bin_size_s, self.n_bins())?;
            values.extend(config.on_grid(recording.signals(), &grid)?);
        }
        let shape = (self.n_trials(), self.n_bins());
        Array2::from_shape_vec(shape, values).map_err(|_| DataError::BadGrid {
            start_s: 0.0,
            bin_size_s: self.bin_size_s,
            n_bins: self.n_bins(),
        })
    }

    /// Trials that yield no window.
    pub fn excluded(&self) -> &[ExcludedTrial] {
        &self.excluded
    }

    /// Counts of some usable trials as `f64` `[trial, bin, unit]`.
    pub fn counts_of(&self, trials: &[usize]) -> Array3<f64> {
        self.counts.select(Axis(0), trials).mapv(f64::from)
    }

    /// Mean spikes per bin of every unit over some usable trials, or `None` if there are none.
    pub fn mean_rates(&self, trials: &[usize]) -> Option<Vec<f64>> {
        let chosen = self.counts_of(trials);
        Some(chosen.mean_axis(Axis(0))?.mean_axis(Axis(0))?.to_vec())
    }
}
