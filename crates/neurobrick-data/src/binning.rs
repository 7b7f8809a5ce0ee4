//! Spikes or recorded counts on a window grid.

use ndarray::Array3;
use neurobrick_schema::{Activity, BinnedCounts, ColumnValues, Recording, Spikes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grid::{Grid, ticks};
use crate::recorded::Recorded;
use crate::room::Room;
use crate::{DataError, ExcludedTrial};

/// What time zero of a window is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// The start of the trial's interval.
    #[default]
    TrialStart,
    /// An event in a numeric trial column, in seconds since session start, for example `stimOn_times`.
    Column(String),
    /// No trial: windows slide over the whole recording from the first spike on, one every so many seconds. They
    /// overlap where that is shorter than a window.
    Every(f64),
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
    /// Time zero of every window, on the clock of the session; for windows that slide their start.
    pub(crate) zeros_s: Vec<f64>,
}

/// `recorded` is that of all units, also of those that a filter has taken out.
pub(crate) fn bin_recording(
    recording: &Recording,
    recorded: &Recorded,
    window: &WindowConfig,
) -> Result<Binned, DataError> {
    match (recording.activity(), &window.align) {
        (Activity::Spikes(spikes), Alignment::Every(every_s)) => {
            slide(recording, spikes, recorded, window, *every_s)
        }
        (Activity::Spikes(spikes), _) => bin_spikes(recording, spikes, recorded, window),
        (Activity::Counts(counts), _) => rebin_counts(recording, counts, window),
    }
}

fn bin_spikes(
    recording: &Recording,
    spikes: &Spikes,
    recorded: &Recorded,
    window: &WindowConfig,
) -> Result<Binned, DataError> {
    let zeros = time_zeros(recording, &window.align)?;
    let (trials, excluded) = usable_trials(&zeros, recorded, window);
    let zeros_s: Vec<f64> = trials.iter().filter_map(|&trial| zeros[trial]).collect();
    let counts = count_windows(recording, spikes, window, &zeros_s, &trials)?;
    Ok(Binned { counts, trials, excluded, zeros_s })
}

/// Windows from the first spike on, as many as lie before the last, without those that touch a gap.
fn slide(
    recording: &Recording,
    spikes: &Spikes,
    recorded: &Recorded,
    window: &WindowConfig,
    every_s: f64,
) -> Result<Binned, DataError> {
    let bin_size_s = window.bin_size_s;
    let stride = whole_number(every_s / bin_size_s).filter(|&bins| bins > 0);
    let stride_s = stride.ok_or(DataError::BadStride { every_s, bin_size_s })? as f64 * bin_size_s;
    let Some((first, last)) = recorded.span() else { return count_none(recording, window) };
    let start = |index: usize| first + index as f64 * stride_s;
    let length_s = window.end_s - window.start_s;
    // Not fewer than there will be, whichever way the quotient is rounded.
    let most = ((last - first - length_s) / stride_s).max(0.0) + 2.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and at most usize::MAX"
    )]
    let n_windows = most as usize;
    Room { n_windows, n_bins: window.n_bins()?, n_units: recording.n_units() }
        .check(&recording.info().session)?;
    let places = (0..n_windows).map(start).take_while(|start_s| start_s + length_s <= last);
    let (mut zeros_s, mut excluded) = (Vec::new(), Vec::new());
    for (place, start_s) in places.enumerate() {
        match recorded.missing(start_s, start_s + length_s) {
            None => zeros_s.push(start_s - window.start_s),
            Some(reason) => excluded.push(ExcludedTrial { trial: place, reason: reason.to_owned() }),
        }
    }
    let trials: Vec<usize> = (0..zeros_s.len()).collect();
    let counts = count_windows(recording, spikes, window, &zeros_s, &trials)?;
    Ok(Binned { counts, trials, excluded, zeros_s })
}

fn count_none(recording: &Recording, window: &WindowConfig) -> Result<Binned, DataError> {
    let counts = Array3::zeros((0, window.n_bins()?, recording.n_units()));
    Ok(Binned { counts, trials: Vec::new(), excluded: Vec::new(), zeros_s: Vec::new() })
}

/// Counts `[window, bin, unit]`; `names` are the numbers of the windows in errors.
fn count_windows(
    recording: &Recording,
    spikes: &Spikes,
    window: &WindowConfig,
    zeros_s: &[f64],
    names: &[usize],
) -> Result<Array3<u16>, DataError> {
    let (n_bins, n_units) = (window.n_bins()?, recording.n_units());
    let session = &recording.info().session;
    let mut counts = Room { n_windows: zeros_s.len(), n_bins, n_units }.zeros(session)?;
    let (times, units) = (spikes.times_s(), spikes.units());
    for (index, &zero) in zeros_s.iter().enumerate() {
        let grid = Grid::new(zero + window.start_s, window.bin_size_s, n_bins)?;
        // The window's spikes and a few around them, which the grid leaves out.
        let from = times.partition_point(|&time| ticks(time) < grid.edge(0));
        let to = from + times[from..].partition_point(|&time| ticks(time) < grid.edge(n_bins));
        let row = &mut counts[index * n_bins * n_units..][..n_bins * n_units];
        grid.count(&times[from..to], &units[from..to], n_units, row).map_err(|unit| {
            DataError::CountOverflow { session: session.clone(), unit, trial: names[index] }
        })?;
    }
    Array3::from_shape_vec((zeros_s.len(), n_bins, n_units), counts).map_err(|_| DataError::BadGrid {
        start_s: window.start_s,
        bin_size_s: window.bin_size_s,
        n_bins,
    })
}

/// Trials whose window lies within the recorded spikes and overlaps no earlier window, and the others with the reason.
/// Spikes that two windows share would leak from training to test trials.
fn usable_trials(
    zeros: &[Option<f64>],
    recorded: &Recorded,
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
        if let Some(reason) = recorded.missing(start, end) {
            reasons[trial] = Some(reason);
        } else if start < free_from - 1e-6 * window.bin_size_s {
            // A millionth of a bin absorbs the rounding of windows that touch.
            reasons[trial] = Some("window overlaps that of an earlier trial");
        } else {
            free_from = end;
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
        // Sliding windows have no trials to align.
        Alignment::TrialStart | Alignment::Every(_) => {
            Ok(trials.intervals().iter().map(|i| Some(i.start_s)).collect())
        }
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
    match &window.align {
        Alignment::TrialStart => {}
        Alignment::Column(name) => {
            return Err(incompatible(format!("an alignment to `{name}`; use the trial start")));
        }
        Alignment::Every(_) => {
            return Err(incompatible(
                "windows that slide over the recording; use the trial start".to_owned(),
            ));
        }
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
    let zeros_s = recording.trials().intervals().iter().map(|trial| trial.start_s).collect();
    Ok(Binned { counts, trials: (0..n_trials).collect(), excluded: Vec::new(), zeros_s })
}
