//! The content of `mapping.toml`.

use std::path::{Component, Path};

use neurobrick_schema::{SessionId, SubjectId};
use serde::Deserialize;

use crate::error::IngestError;

/// The whole file; unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MappingFile {
    pub(super) session: Vec<SessionMap>,
}

/// One session and where its parts lie.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionMap {
    pub(super) name: SessionId,
    pub(super) subject: SubjectId,
    pub(super) spikes: Option<SpikesMap>,
    #[serde(default)]
    pub(super) units: Vec<UnitMap>,
    pub(super) counts: Option<CountsMap>,
    pub(super) unit_table: Option<UnitTableMap>,
    pub(super) trials: Option<TrialsMap>,
    #[serde(default)]
    pub(super) signals: Vec<SignalMap>,
}

/// Spikes of all units in two arrays of equal length.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpikesMap {
    pub(super) times: TimesMap,
    pub(super) units: ArrayMap,
    pub(super) region: Option<String>,
}

/// Spikes of one unit in an array, or of several where the array's path has stars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnitMap {
    pub(super) id: String,
    pub(super) region: Option<String>,
    pub(super) times: TimesMap,
}

/// Counts in place of spikes: arrays whose axes have the order `axes`, joined along the units.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountsMap {
    /// Width of a bin in seconds.
    pub(super) bin_size_s: f64,
    /// Without `bin` a trial is one bin, without `unit` an array is one unit, without `trial` all is one trial.
    pub(super) axes: Vec<CountAxis>,
    /// When the first bin starts, for counts without an axis of trials.
    pub(super) start_s: Option<f64>,
    pub(super) arrays: Vec<CountsArrayMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CountAxis {
    Trial,
    Bin,
    Unit,
}

/// The counts of some units; what they are called is put before their position along the axis of units, from zero.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountsArrayMap {
    pub(super) id: String,
    pub(super) region: Option<String>,
    pub(super) file: String,
    pub(super) array: Option<ArrayName>,
}

/// What is known of units beside their spikes: arrays with a row per unit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnitTableMap {
    /// Which unit every row is of; without it the rows are in the order of `units` or of the counts.
    pub(super) ids: Option<ArrayMap>,
    pub(super) columns: Vec<ColumnMap>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialsMap {
    /// Without it the trials lie end to end.
    pub(super) start: Option<TimesMap>,
    /// May be left out of trials that counts fill.
    pub(super) end: Option<TimesMap>,
    /// Leaves trials out whose start or end is missing, with all that belongs to them.
    #[serde(default)]
    pub(super) leave_out_untimed: bool,
    #[serde(default)]
    pub(super) columns: Vec<ColumnMap>,
}

/// A signal on a clock of its own (`start_s`, `rate_hz`), with a time for every sample, or cut into trials (`axes`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalMap {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) times: Option<TimesMap>,
    /// Time of the first sample; of a signal that is cut into trials, from the start of the trial on.
    pub(super) start_s: Option<f64>,
    /// The axes of all columns, in their order, for a signal that is cut into trials.
    pub(super) axes: Option<Vec<SampleAxis>>,
    pub(super) rate_hz: Option<f64>,
    #[serde(default)]
    pub(super) columns: Vec<ColumnMap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SampleAxis {
    Trial,
    Time,
    Channel,
}

/// An array of times and what they are counted in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimesMap {
    pub(super) file: String,
    pub(super) array: Option<ArrayName>,
    pub(super) unit: TimeUnit,
    /// Samples per second, for times that count samples.
    pub(super) rate_hz: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum TimeUnit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "us")]
    Microseconds,
    #[serde(rename = "samples")]
    Samples,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArrayMap {
    pub(super) file: String,
    pub(super) array: Option<ArrayName>,
}

/// A column of trials or of a signal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnMap {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) array: Option<ArrayName>,
    pub(super) unit: Option<String>,
    pub(super) description: Option<String>,
    /// Which axis of a table of samples is time; the other gives one column each.
    pub(super) time_axis: Option<usize>,
}

/// An array by its name, or a column of a text table without a header by its position.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ArrayName {
    Position(usize),
    Name(String),
}

/// What an array is called in messages: its name, its position, or nothing where the file holds one alone.
pub(super) fn called(array: Option<&ArrayName>) -> String {
    match array {
        Some(ArrayName::Name(name)) => format!("{name:?}"),
        Some(ArrayName::Position(position)) => format!("at position {position}"),
        None => "without a name".to_owned(),
    }
}

impl MappingFile {
    /// Name of the file.
    pub(crate) const NAME: &'static str = "mapping.toml";

    pub(super) fn read(dir: &Path) -> Result<Self, IngestError> {
        let path = dir.join(Self::NAME);
        let text = std::fs::read_to_string(&path).map_err(IngestError::io("read", &path))?;
        let file: Self = toml::from_str(&text)
            .map_err(|error| IngestError::DatasetFile { path: path.clone(), detail: error.to_string() })?;
        for session in &file.session {
            session.check(&path)?;
        }
        Ok(file)
    }
}

impl SessionMap {
    /// Names of all files of the session, each once.
    pub(super) fn files(&self) -> Vec<String> {
        let spikes = self.spikes.iter().flat_map(|spikes| [&spikes.times.file, &spikes.units.file]);
        let units = self.units.iter().map(|unit| &unit.times.file);
        let trials = self.trials.iter().flat_map(|trials| {
            trials.times().map(|times| &times.file).chain(trials.columns.iter().map(|c| &c.file))
        });
        let counts = self.counts.iter().flat_map(|counts| counts.arrays.iter().map(|array| &array.file));
        let signals = self.signals.iter().flat_map(|signal| {
            signal.times.iter().map(|times| &times.file).chain(signal.columns.iter().map(|c| &c.file))
        });
        let table = self.unit_table.iter().flat_map(|table| {
            table.ids.iter().map(|ids| &ids.file).chain(table.columns.iter().map(|c| &c.file))
        });
        let mut files: Vec<String> =
            spikes.chain(units).chain(counts).chain(table).chain(trials).chain(signals).cloned().collect();
        files.sort();
        files.dedup();
        files
    }

    fn times(&self) -> impl Iterator<Item = &TimesMap> {
        let spikes = self.spikes.iter().map(|spikes| &spikes.times);
        let units = self.units.iter().map(|unit| &unit.times);
        let trials = self.trials.iter().flat_map(TrialsMap::times);
        spikes
            .chain(units)
            .chain(trials)
            .chain(self.signals.iter().filter_map(|signal| signal.times.as_ref()))
    }

    fn check(&self, path: &Path) -> Result<(), IngestError> {
        let refuse = |detail: String| {
            let detail = format!("session {}: {detail}", self.name);
            Err(IngestError::DatasetFile { path: path.to_path_buf(), detail })
        };
        let n_given = [self.spikes.is_some(), !self.units.is_empty(), self.counts.is_some()];
        if n_given.iter().filter(|is_given| **is_given).count() > 1 {
            return refuse("give one of spikes, units and counts".into());
        }
        if let Some(counts) = &self.counts
            && let Err(detail) = counts.check(self.trials.is_some())
        {
            return refuse(format!("counts: {detail}"));
        }
        if let Some(trials) = &self.trials
            && let Err(detail) = trials.check(self)
        {
            return refuse(format!("trials: {detail}"));
        }
        if let Some(table) = &self.unit_table {
            if !n_given.contains(&true) {
                return refuse(
                    "unit_table describes units, and there are none; give spikes, units or counts".into(),
                );
            }
            // Units out of labels are in an order of ours.
            if self.spikes.is_some() && table.ids.is_none() {
                return refuse(
                    "unit_table.ids must say which unit every row is of, as spikes.units does".into(),
                );
            }
            let gives_region = table.columns.iter().any(|column| column.name == "region");
            let is_given = self.spikes.as_ref().is_some_and(|spikes| spikes.region.is_some())
                || self.units.iter().any(|unit| unit.region.is_some())
                || self.counts.iter().flat_map(|counts| &counts.arrays).any(|array| array.region.is_some());
            if gives_region && is_given {
                return refuse("give regions either as text or as a column of unit_table, not both".into());
            }
        }
        for file in self.files() {
            let is_inside = Path::new(&file).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_inside || file.is_empty() {
                return refuse(format!("file {file:?} must lie in this folder"));
            }
        }
        for times in self.times() {
            let has_rate = times.rate_hz.is_some_and(|rate| rate.is_finite() && rate > 0.0);
            if (times.unit == TimeUnit::Samples) != has_rate || times.rate_hz.is_some() != has_rate {
                return refuse(format!(
                    "times of {:?}: a positive rate_hz belongs to unit = \"samples\", and to no other",
                    times.file
                ));
            }
        }
        for signal in &self.signals {
            if let Err(detail) = signal.check() {
                return refuse(format!("signal {}: {detail}", signal.name));
            }
        }
        Ok(())
    }
}

impl CountsMap {
    pub(super) fn has(&self, axis: CountAxis) -> bool {
        self.axes.contains(&axis)
    }

    fn check(&self, has_trials: bool) -> Result<(), String> {
        check_axes(&self.axes)?;
        let is_cut = self.has(CountAxis::Trial);
        if !is_cut && !self.has(CountAxis::Bin) {
            return Err("axes need trial, bin or both".into());
        }
        if !(self.bin_size_s.is_finite() && self.bin_size_s > 0.0) {
            return Err(format!("bin_size_s is {}, expected a positive number of seconds", self.bin_size_s));
        }
        if self.arrays.is_empty() {
            return Err("give at least one array".into());
        }
        match (is_cut, self.start_s) {
            (false, None) => Err("without an axis of trials, give start_s, when the first bin starts".into()),
            (true, Some(_)) => {
                Err("start_s is for counts without an axis of trials; trials.start says when trials start".into())
            }
            (false, Some(_)) if has_trials => Err(
                "counts without an axis of trials are one trial of their own; cut them into trials at the source, or take \
                 the trials out"
                    .into(),
            ),
            _ => Ok(()),
        }
    }
}

impl TrialsMap {
    /// Where their times are.
    fn times(&self) -> impl Iterator<Item = &TimesMap> {
        [&self.start, &self.end].into_iter().flatten()
    }

    fn check(&self, session: &SessionMap) -> Result<(), String> {
        let is_cut = session.counts.is_some() || session.signals.iter().any(|signal| signal.axes.is_some());
        match (&self.start, &self.end) {
            (None, Some(_)) => Err("end needs start".into()),
            (Some(_), None) if session.counts.is_none() => Err("start needs end".into()),
            (None, None) if !is_cut => {
                Err("give start and end; only trials of counts and of signals with axes can do without"
                    .into())
            }
            (None, None) if self.leave_out_untimed => Err("leave_out_untimed needs start".into()),
            _ => Ok(()),
        }
    }
}

impl SignalMap {
    fn check(&self) -> Result<(), String> {
        let has_clock = (self.start_s.is_some(), self.rate_hz.is_some());
        if let Some(rate_hz) = self.rate_hz.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            return Err(format!("rate_hz is {rate_hz}, expected a positive number"));
        }
        if let Some(start_s) = self.start_s.filter(|start| !start.is_finite()) {
            return Err(format!("start_s is {start_s}, expected a number of seconds"));
        }
        if let Some(axes) = &self.axes {
            check_axes(axes)?;
            if ![SampleAxis::Trial, SampleAxis::Time].iter().all(|axis| axes.contains(axis)) {
                return Err("axes need trial and time".into());
            }
            if self.times.is_some() || has_clock != (true, true) {
                return Err(
                    "with axes, give start_s, from the start of a trial to its first sample, and rate_hz"
                        .into(),
                );
            }
            if self.columns.iter().any(|column| column.time_axis.is_some()) {
                return Err("axes say where time is; take time_axis out".into());
            }
        }
        if (self.times.is_some() && has_clock != (false, false))
            || (self.times.is_none() && has_clock != (true, true))
        {
            return Err("give either times, or start_s and rate_hz".into());
        }
        if self.columns.iter().any(|column| column.time_axis.is_some_and(|axis| axis > 1)) {
            return Err("time_axis is 0 or 1".into());
        }
        Ok(())
    }
}

/// Refuses an axis that is named twice.
fn check_axes<A: PartialEq + std::fmt::Debug>(axes: &[A]) -> Result<(), String> {
    match axes.iter().enumerate().find(|(place, axis)| axes[..*place].contains(axis)) {
        Some((_, axis)) => Err(format!("axes name {} twice", in_words(axis))),
        None => Ok(()),
    }
}

/// What an axis is called in the file.
pub(super) fn in_words(axis: &impl std::fmt::Debug) -> String {
    format!("{axis:?}").to_ascii_lowercase()
}
