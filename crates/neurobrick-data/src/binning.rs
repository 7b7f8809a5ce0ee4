//! Spikes or recorded counts on a window grid.

use ndarray::Array3;
use neurobrick_schema::{Activity, BinnedCounts, ColumnValues, Recording, Spikes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DataError, ExcludedTrial};

/// What time zero of a window is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// The start of the trial's interval.
    #[default]
    TrialStart,
    /// An event in a numeric trial column, in seconds since session start, for example `stimOn_times`.
    Column(String),
}

/// The window cut from every trial and its grid of bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowConfig {
    /// What time zero is.
    #[serde(default)]
    pub align: Alignment,
    /// Start of the window relative to time zero, in seconds.
    pub start_s: f64,
    /// End of the window relative to time zero, in seconds (exclusive).
    pub end_s: f64,
    /// Size of a bin, in seconds.
    pub bin_size_s: f64,
}

impl WindowConfig {
    /// Number of bins of a window.
    ///
    /// # Errors
    /// If the window is empty or not a whole number of bins (to a millionth of a bin).
    pub fn n_bins(&self) -> Result<usize, DataError> {
        let length_s = self.end_s - self.start_s;
        whole_number(length_s / self.bin_size_s)
            .filter(|&n| n > 0 && self.bin_size_s > 0.0)
            .ok_or(DataError::UnevenWindow { length_s, bin_size_s: self.bin_size_s })
    }
}

/// `x` as a whole number if it is one to a millionth.
fn whole_number(x: f64) -> Option<usize> {
    let near = x.round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be small and not negative"
    )]
    let n = near as usize;
    ((x - near).abs() < 1e-6 && (0.0..1e9).contains(&near)).then_some(n)
}

/// Counts `[trial, bin, unit]` of the usable trials, the indices of those trials, and the excluded ones.
pub(crate) struct Binned {
    pub(crate) counts: Array3<u16>,
    pub(crate) trials: Vec<usize>,
    pub(crate) excluded: Vec<ExcludedTrial>,
}

pub(crate) fn bin_recording(recording: &Recording, window: &WindowConfig) -> Result<Binned, DataError> {
    match recording.activity() {
        Activity::Spikes(spikes) => bin_spikes(recording, spikes, window),
        Activity::Counts(counts) => rebin_counts(recording, counts, window),
    }
}

fn bin_spikes(recording: &Recording, spikes: &Spikes, window: &WindowConfig) -> Result<Binned, DataError> {
    let n_bins = window.n_bins()?;
    let zeros = time_zeros(recording, &window.align)?;
    let times = spikes.times_s();
    let (trials, excluded) = usable_trials(&zeros, times.first().copied().zip(times.last().copied()), window);
    let mut counts = Array3::<u16>::zeros((trials.len(), n_bins, recording.n_units()));
    for (row, &trial) in trials.iter().enumerate() {
        let Some(zero) = zeros[trial] else { continue };
        let start = zero + window.start_s;
        let from = times.partition_point(|&t| t < start);
        for (&time, &unit) in times[from..].iter().zip(&spikes.units()[from..]) {
            let position = (time - start) / window.bin_size_s;
            if position >= n_bins as f64 {
                break;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 <= position < n_bins"
            )]
            let bin = position as usize;
            let count = &mut counts[[row, bin, unit as usize]];
            *count = count.checked_add(1).ok_or_else(|| DataError::CountOverflow {
                session: recording.info().session.clone(),
                unit: unit as usize,
                trial,
            })?;
        }
    }
    Ok(Binned { counts, trials, excluded })
}

/// Trials whose window lies within the recorded spikes and overlaps no earlier window, and the others with the reason.
/// Spikes that two windows share would leak from training to test trials.
fn usable_trials(
    zeros: &[Option<f64>],
    recorded: Option<(f64, f64)>,
    window: &WindowConfig,
) -> (Vec<usize>, Vec<ExcludedTrial>) {
    let mut by_time: Vec<(f64, usize)> =
        zeros.iter().enumerate().filter_map(|(trial, zero)| zero.map(|z| (z, trial))).collect();
    by_time.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut reasons: Vec<Option<&str>> =
        zeros.iter().map(|zero| zero.is_none().then_some("no alignment event")).collect();
    let mut free_from = f64::NEG_INFINITY;
    for (zero, trial) in by_time {
        let (start, end) = (zero + window.start_s, zero + window.end_s);
        match recorded {
            None => reasons[trial] = Some("no spikes recorded"),
            Some((first, last)) if start < first || end > last => {
                reasons[trial] = Some("window reaches beyond the recorded spikes");
            }
            // A millionth of a bin absorbs the rounding of windows that touch.
            Some(_) if start < free_from - 1e-6 * window.bin_size_s => {
                reasons[trial] = Some("window overlaps that of an earlier trial");
            }
            Some(_) => free_from = end,
        }
    }
    let mut trials = Vec::new();
    let mut excluded = Vec::new();
    for (trial, reason) in reasons.into_iter().enumerate() {
        match reason {
            Some(reason) => excluded.push(ExcludedTrial { trial, reason: reason.to_owned() }),
            None => trials.push(trial),
        }
    }
    (trials, excluded)
}

/// Time zero of every trial, `None` where the event is missing.
fn time_zeros(recording: &Recording, align: &Alignment) -> Result<Vec<Option<f64>>, DataError> {
    let trials = recording.trials();
    match align {
        Alignment::TrialStart => Ok(trials.intervals().iter().map(|i| Some(i.start_s)).collect()),
        Alignment::Column(name) => match trials.column(name).map(|c| &c.values) {
            Some(ColumnValues::Float(values)) => Ok(values.clone()),
            _ => Err(DataError::UnknownAlignment {
                session: recording.info().session.clone(),
                column: name.clone(),
                known: trials
                    .columns()
                    .iter()
                    .filter(|c| matches!(c.values, ColumnValues::Float(_)))
                    .map(|c| c.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        },
    }
}

/// Sums recorded bins into coarser ones; the recorded grid must contain the one asked for.
fn rebin_counts(
    recording: &Recording,
    recorded: &BinnedCounts,
    window: &WindowConfig,
) -> Result<Binned, DataError> {
    let n_bins = window.n_bins()?;
    let incompatible = |asked: String| DataError::IncompatibleGrid {
        session: recording.info().session.clone(),
        recorded_s: recorded.bin_size_s(),
        recorded_bins: recorded.n_bins(),
        asked,
    };
    if let Alignment::Column(name) = &window.align {
        return Err(incompatible(format!("an alignment to `{name}`; use the trial start")));
    }
    let factor = whole_number(window.bin_size_s / recorded.bin_size_s()).filter(|&f| f > 0);
    let first = whole_number(window.start_s / recorded.bin_size_s());
    let (Some(factor), Some(first)) = (factor, first) else {
        return Err(incompatible(format!("bins of {} s from {} s", window.bin_size_s, window.start_s)));
    };
    if first + factor * n_bins > recorded.n_bins() {
        return Err(incompatible(format!("a window of {} to {} s", window.start_s, window.end_s)));
    }
    let (n_trials, n_units) = (recorded.n_trials(), recorded.n_units());
    let mut counts = Array3::<u16>::zeros((n_trials, n_bins, n_units));
    for trial in 0..n_trials {
        for unit in 0..n_units {
            let row = &recorded.row(trial, unit)[first..first + factor * n_bins];
            for (bin, fine) in row.chunks_exact(factor).enumerate() {
                let total: u32 = fine.iter().map(|&c| u32::from(c)).sum();
                counts[[trial, bin, unit]] = u16::try_from(total).map_err(|_| DataError::CountOverflow {
                    session: recording.info().session.clone(),
                    unit,
                    trial,
                })?;
            }
        }
    }
    Ok(Binned { counts, trials: (0..n_trials).collect(), excluded: Vec::new() })
}
