//! A session at a glance: sizes, rates, regions, and what the trials are labeled with.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::activity::Activity;
use crate::card::Card;
use crate::column_summary::ColumnSummary;
use crate::columns::Column;
use crate::ids::{DatasetId, SessionId, SubjectId};
use crate::quality::{UnitQuality, unit_quality};
use crate::recording::Recording;
use crate::signals::{Clock, Signal};
use crate::stretches::recorded_stretches;

/// Share of intervals below the refractory period above which a unit is told of.
const MAX_REFRACTORY_SHARE: f64 = 0.01;

/// A pause that no recording makes, in seconds: thirty days. A timestamp before or behind one is taken for wrong.
const MAX_PAUSE_S: f64 = 30.0 * DAY_S;
const DAY_S: f64 = 86_400.0;

/// How many units a region has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionCount {
    /// The region.
    pub region: String,
    /// Number of its units.
    pub n_units: usize,
}

/// How long a table of intervals is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalsSummary {
    /// Name of the table.
    pub name: String,
    /// Number of intervals.
    pub n_rows: usize,
    /// Names of its columns, in order.
    pub columns: Vec<String>,
}

/// How long a signal is, and what it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalSummary {
    /// Name of the signal.
    pub name: String,
    /// Number of samples.
    pub n_samples: usize,
    /// Samples per second; `None` when every sample has its own time.
    pub rate_hz: Option<f64>,
    /// Names of its columns with their units of measure, in order.
    pub columns: Vec<String>,
    /// Number of NaN in all columns.
    pub n_nan: usize,
    /// The longest time between two samples, where every sample has its own time.
    #[serde(default)]
    pub longest_gap: Option<Silence>,
}

/// A time in which nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// From when on, in seconds from session start.
    pub start_s: f64,
    /// How long, in seconds.
    pub length_s: f64,
}

/// A session at a glance; `Display` is what `inspect` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// The session.
    pub session: SessionId,
    /// Whom it was recorded from.
    pub subject: SubjectId,
    /// The dataset it belongs to.
    pub dataset: DatasetId,
    /// Number of units.
    pub n_units: usize,
    /// Number of trials.
    pub n_trials: usize,
    /// Number of spikes of all units.
    pub n_spikes: u64,
    /// Width of a bin in seconds, for recordings that exist only binned.
    pub bin_size_s: Option<f64>,
    /// Number of bins of each trial, for recordings that exist only binned.
    pub n_bins: Option<usize>,
    /// Observed time in seconds: for spikes the span from the first to the last spike or trial bound, for counts the
    /// sum over all trials of their bins.
    pub duration_s: f64,
    /// The observed time without gaps ([`recorded_stretches`]), in seconds.
    #[serde(default)]
    pub recorded_s: Option<f64>,
    /// Spikes per second and unit over the observed time without gaps ([`recorded_stretches`]); `None` when no time was
    /// observed.
    pub mean_rate_hz: Option<f64>,
    /// Units that never spike.
    pub n_silent_units: usize,
    /// Units of each region, largest region first, ties by name.
    pub regions: Vec<RegionCount>,
    /// Names of the trial columns, in order.
    pub trial_columns: Vec<String>,
    /// What the trial columns hold, in the same order.
    #[serde(default)]
    pub trial_values: Vec<ColumnSummary>,
    /// Names of the further columns of the units, in order.
    #[serde(default)]
    pub unit_columns: Vec<String>,
    /// Number of electrodes.
    #[serde(default)]
    pub n_electrodes: usize,
    /// The tables of intervals.
    #[serde(default)]
    pub intervals: Vec<IntervalsSummary>,
    /// The signals.
    #[serde(default)]
    pub signals: Vec<SignalSummary>,
    /// Spikes per second of units: the tenth part, the median and the ninetieth part of them.
    #[serde(default)]
    pub rate_quantiles_hz: Option<[f64; 3]>,
    /// The longest time without a spike of any unit: a gap in the recording, if it is long.
    #[serde(default)]
    pub longest_silence: Option<Silence>,
    /// What looks wrong and deserves a look at the source, such as timestamps decades before all others.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Units with more than one interval in a hundred shorter than [`REFRACTORY_S`](crate::REFRACTORY_S).
    #[serde(default)]
    pub n_refractory_units: usize,
    /// Where the data come from and what may be done with them.
    #[serde(default)]
    pub card: Option<Card>,
}

/// Summarizes a recording.
pub fn summary(recording: &Recording) -> SessionSummary {
    let mut per_region: BTreeMap<&str, usize> = BTreeMap::new();
    for unit in recording.units() {
        *per_region.entry(&unit.region).or_default() += 1;
    }
    let mut regions: Vec<RegionCount> = per_region
        .into_iter()
        .map(|(region, n_units)| RegionCount { region: region.to_owned(), n_units })
        .collect();
    regions.sort_by_key(|region| std::cmp::Reverse(region.n_units));

    let (bin_size_s, n_bins, duration_s, gaps_s) = match recording.activity() {
        Activity::Spikes(spikes) => (None, None, span_s(recording), gaps_s(spikes.times_s())),
        Activity::Counts(counts) => {
            let observed_s = (counts.n_trials() * counts.n_bins()) as f64 * counts.bin_size_s();
            (Some(counts.bin_size_s()), Some(counts.n_bins()), observed_s, 0.0)
        }
    };
    let recorded_s = duration_s - gaps_s;
    let (n_units, n_spikes) = (recording.n_units(), recording.n_spikes());
    let quality = unit_quality(recording);
    let longest_silence = match recording.activity() {
        Activity::Spikes(spikes) => longest(spikes.times_s()),
        Activity::Counts(_) => None,
    };
    let signals: Vec<SignalSummary> = recording.signals().iter().map(signal_summary).collect();
    let is_refractory =
        |unit: &&UnitQuality| unit.refractory_share.is_some_and(|share| share > MAX_REFRACTORY_SHARE);
    SessionSummary {
        session: recording.info().session.clone(),
        subject: recording.info().subject.clone(),
        dataset: recording.info().dataset.clone(),
        n_units,
        n_trials: recording.trials().len(),
        n_spikes,
        bin_size_s,
        n_bins,
        duration_s,
        recorded_s: Some(recorded_s),
        mean_rate_hz: (recorded_s > 0.0 && n_units > 0)
            .then(|| n_spikes as f64 / recorded_s / n_units as f64),
        n_silent_units: quality.iter().filter(|unit| unit.n_spikes == 0).count(),
        rate_quantiles_hz: rate_quantiles(&quality),
        warnings: warnings(duration_s, longest_silence, &signals),
        longest_silence,
        n_refractory_units: quality.iter().filter(is_refractory).count(),
        card: Some(recording.info().card.clone()),
        regions,
        trial_columns: names(recording.trials().columns()),
        trial_values: recording.trials().columns().iter().map(ColumnSummary::of).collect(),
        unit_columns: names(recording.unit_columns()),
        n_electrodes: recording.electrodes().len(),
        intervals: recording
            .intervals()
            .iter()
            .map(|table| IntervalsSummary {
                name: table.name.clone(),
                n_rows: table.rows.len(),
                columns: names(table.rows.columns()),
            })
            .collect(),
        signals,
    }
}

/// Times that no recording of one session has.
fn warnings(duration_s: f64, silence: Option<Silence>, signals: &[SignalSummary]) -> Vec<String> {
    let of_signals = signals.iter().map(|signal| (format!("signal {}", signal.name), signal.longest_gap));
    let parts = std::iter::once(("the spikes".to_owned(), silence)).chain(of_signals);
    let mut warnings: Vec<String> = parts
        .filter_map(|(what, gap)| Some((what, gap.filter(|gap| gap.length_s > MAX_PAUSE_S)?)))
        .map(|(what, Silence { start_s, length_s })| {
            format!(
                "timestamps of {what} look wrong: nothing for {} from {start_s:.3} s on; look at them at the source",
                in_days(length_s)
            )
        })
        .collect();
    if warnings.is_empty() && duration_s > MAX_PAUSE_S {
        warnings.push(format!(
            "timestamps look wrong: spikes and trials span {}; look at their clocks at the source",
            in_days(duration_s)
        ));
    }
    warnings
}

fn in_days(seconds: f64) -> String {
    let days = seconds / DAY_S;
    if days < 730.0 { format!("{days:.0} days") } else { format!("{:.0} years", days / 365.25) }
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

fn signal_summary(signal: &Signal) -> SignalSummary {
    let columns = signal.columns().iter().map(|column| match &column.unit {
        Some(unit) => format!("{} ({unit})", column.name),
        None => column.name.clone(),
    });
    SignalSummary {
        name: signal.name().to_owned(),
        n_samples: signal.len(),
        rate_hz: match signal.clock() {
            Clock::Regular { rate_hz, .. } => Some(*rate_hz),
            Clock::Irregular { .. } => None,
        },
        columns: columns.collect(),
        n_nan: signal.columns().iter().map(|column| column.samples.n_nan()).sum(),
        longest_gap: match signal.clock() {
            Clock::Regular { .. } => None,
            Clock::Irregular { times_s } => longest(times_s),
        },
    }
}

/// Span over all spikes and trial bounds, in seconds; zero when there are none.
/// Seconds of all gaps between the stretches of a recording.
fn gaps_s(times_s: &[f64]) -> f64 {
    recorded_stretches(times_s).windows(2).map(|pair| pair[1].0 - pair[0].1).sum()
}

fn span_s(recording: &Recording) -> f64 {
    let Activity::Spikes(spikes) = recording.activity() else {
        return 0.0;
    };
    let times = [spikes.times_s().first(), spikes.times_s().last()].into_iter().flatten().copied();
    let bounds =
        recording.trials().intervals().iter().flat_map(|interval| [interval.start_s, interval.end_s]);
    let range = times.chain(bounds).fold(None, |range: Option<(f64, f64)>, time| {
        Some(range.map_or((time, time), |(low, high)| (low.min(time), high.max(time))))
    });
    range.map_or(0.0, |(low, high)| high - low)
}

/// The longest step between ascending times.
fn longest(times_s: &[f64]) -> Option<Silence> {
    let steps = times_s.windows(2).map(|pair| Silence { start_s: pair[0], length_s: pair[1] - pair[0] });
    steps.max_by(|a, b| a.length_s.total_cmp(&b.length_s))
}

/// Rates of the units at the tenth, fiftieth and ninetieth part of them; `None` when no time was recorded.
fn rate_quantiles(quality: &[UnitQuality]) -> Option<[f64; 3]> {
    let mut rates: Vec<f64> =
        quality.iter().map(|unit| unit.rate_hz).filter(|rate| rate.is_finite()).collect();
    rates.sort_by(f64::total_cmp);
    let last = rates.len().checked_sub(1)?;
    Some([1, 5, 9].map(|tenth| rates[(last * tenth + 5) / 10]))
}

impl SessionSummary {
    /// What the rate is over, where that is less than what was observed.
    fn over_recorded(&self) -> String {
        match self.recorded_s {
            Some(recorded_s) if recorded_s < self.duration_s => {
                format!(" over the {recorded_s:.1} s without gaps")
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for SessionSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "session   {} (subject {}, dataset {})", self.session, self.subject, self.dataset)?;
        match (self.bin_size_s, self.n_bins) {
            (Some(bin_size_s), Some(n_bins)) => {
                writeln!(f, "activity  counts, {n_bins} bins of {} ms per trial", bin_size_s * 1e3)?;
            }
            _ => writeln!(f, "activity  spike times")?,
        }
        writeln!(f, "units     {} ({} silent)", self.n_units, self.n_silent_units)?;
        write!(f, "trials    {}", self.n_trials)?;
        if self.n_trials == 0 {
            write!(f, "; windows can slide instead (`align = {{ every = 1.0 }}`)")?;
            if !self.intervals.is_empty() {
                write!(
                    f,
                    ", or `trials = \"<table>\"` in the dataset.toml of an NWB file takes a table below"
                )?;
            }
        }
        write!(f, "\nspikes    {} in {:.1} s", self.n_spikes, self.duration_s)?;
        match self.mean_rate_hz {
            Some(rate) => writeln!(f, ", {rate:.2} Hz per unit{}", self.over_recorded())?,
            None => writeln!(f)?,
        }
        if let Some([low, middle, high]) = self.rate_quantiles_hz {
            writeln!(f, "rates     {low:.2} | {middle:.2} | {high:.2} Hz (10 | 50 | 90 % of units)")?;
        }
        if let Some(Silence { start_s, length_s }) = self.longest_silence {
            writeln!(f, "gaps      longest silence of all units {length_s:.3} s, from {start_s:.3} s")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning   {warning}")?;
        }
        if self.n_refractory_units > 0 {
            writeln!(
                f,
                "quality   {} units with over 1 % of intervals below 1.5 ms",
                self.n_refractory_units
            )?;
        }
        let regions: Vec<String> =
            self.regions.iter().map(|region| format!("{} {}", region.region, region.n_units)).collect();
        write!(f, "regions   {}", regions.join(", "))?;
        for (index, column) in self.trial_values.iter().enumerate() {
            let head = if index == 0 { "columns" } else { "" };
            write!(f, "\n{head:<10}{column}")?;
        }
        if !self.unit_columns.is_empty() {
            write!(f, "\nper unit  {}", self.unit_columns.join(", "))?;
        }
        if self.n_electrodes > 0 {
            write!(f, "\nelectrodes {}", self.n_electrodes)?;
        }
        for table in &self.intervals {
            write!(f, "\nintervals {}: {} rows", table.name, table.n_rows)?;
            if !table.columns.is_empty() {
                write!(f, " of {}", table.columns.join(", "))?;
            }
        }
        for signal in &self.signals {
            write!(f, "\nsignal    {}: {} samples", signal.name, signal.n_samples)?;
            if let Some(rate_hz) = signal.rate_hz {
                write!(f, " at {rate_hz} Hz")?;
            }
            if !signal.columns.is_empty() {
                write!(f, " of {}", signal.columns.join(", "))?;
            }
            if signal.n_nan > 0 {
                write!(f, ", {} NaN", signal.n_nan)?;
            }
            if let Some(Silence { start_s, length_s }) = signal.longest_gap {
                write!(f, ", longest gap {length_s:.3} s from {start_s:.3} s")?;
            }
        }
        self.card.as_ref().map_or(Ok(()), |card| write_card(card, f))
    }
}

fn write_card(card: &Card, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let species = card.species.as_deref().unwrap_or("unknown");
    write!(f, "\nspecies   {species}\nconsent   {}", card.consent)?;
    write!(f, "\nethics    {}\nlicense   {}", card.ethics.as_deref().unwrap_or("unknown"), card.license)?;
    write!(f, "\nsource    {} ({} files)", card.source, card.source_files.len())?;
    if !card.citation.is_empty() {
        write!(f, "\ncite      {}", card.citation)?;
    }
    for change in &card.changes {
        write!(f, "\nstep      {change}")?;
    }
    if let Some(notes) = &card.notes {
        write!(f, "\nnotes     {notes}")?;
    }
    Ok(())
}
