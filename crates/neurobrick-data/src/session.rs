//! One session, binned and ready for a model.

use ndarray::{Array3, Axis};
use neurobrick_schema::{Recording, SessionId, SubjectId, Trials};
use serde::{Deserialize, Serialize};

use crate::binning::bin_recording;
use crate::{DataError, RegionTable, WindowConfig};

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
}

impl SessionData {
    /// Cuts a window from every trial of `recording` and bins it.
    ///
    /// Bins are half-open. A spike exactly on an edge belongs to the later bin.
    ///
    /// # Errors
    /// If the window is no whole number of bins, the alignment column is missing, or recorded counts do not
    /// contain the grid asked for.
    pub fn new(recording: &Recording, window: &WindowConfig) -> Result<Self, DataError> {
        let binned = bin_recording(recording, window)?;
        let regions: Vec<&str> = recording.units().iter().map(|u| u.region.as_str()).collect();
        Ok(Self {
            session: recording.info().session.clone(),
            subject: recording.info().subject.clone(),
            bin_size_s: window.bin_size_s,
            counts: binned.counts,
            regions: RegionTable::new(&regions),
            trials: recording.trials().clone(),
            trial_idx: binned.trials,
            excluded: binned.excluded,
        })
    }

    /// The session's id.
    pub fn session(&self) -> &SessionId {
        &self.session
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
