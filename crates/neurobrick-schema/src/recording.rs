//! A recording: the parts of a session, checked against each other.

use std::collections::{BTreeMap, HashSet};

use crate::activity::{Activity, Spikes};
use crate::card::SessionInfo;
use crate::columns::{Column, Table, check_columns};
use crate::error::SchemaError;
use crate::names::check_distinct;
use crate::signals::Signal;
use crate::trials::{IntervalTable, Trials};

/// Columns of the units table that every session has.
pub(crate) const UNIT_COLUMNS: [&str; 4] = ["id", "region", "depth_um", "quality"];

/// Sorted neuron, multi-unit cluster or threshold-crossing channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Name, unique in the session.
    pub id: String,
    /// Brain region, in the source's own acronyms (`root` where the Allen atlas assigns none); never empty, and
    /// [`Unit::UNKNOWN_REGION`] where the source names none.
    pub region: String,
    /// Depth along the probe in micrometers.
    pub depth_um: Option<f64>,
    /// The source's quality score; its meaning is the source's.
    pub quality: Option<f64>,
}

impl Unit {
    /// Region of a unit whose source says nothing about it.
    pub const UNKNOWN_REGION: &'static str = "unknown";
}

/// All parts of a session, before they are checked against each other; see [`Recording::from_parts`].
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingParts {
    /// Whose recording it is and where it comes from.
    pub info: SessionInfo,
    /// What the source says about session and subject in its own words, by the place where it says so.
    pub metadata: BTreeMap<String, String>,
    /// The units; may be empty where only signals or intervals were recorded.
    pub units: Vec<Unit>,
    /// Further properties of the units, one value per unit.
    pub unit_columns: Vec<Column>,
    /// The electrodes, in the order of the source; empty where it names none.
    pub electrodes: Table,
    /// What the units did.
    pub activity: Activity,
    /// The trials.
    pub trials: Trials,
    /// Other tables of intervals.
    pub intervals: Vec<IntervalTable>,
    /// Continuous and event signals.
    pub signals: Vec<Signal>,
}

/// One session: who, which units, what they did, the trials, and what else was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    parts: RecordingParts,
}

impl Recording {
    /// Joins the parts that spike recordings with trials have; see [`Recording::from_parts`] for all.
    ///
    /// Errors: those of [`Recording::from_parts`].
    pub fn new(
        info: SessionInfo,
        units: Vec<Unit>,
        activity: Activity,
        trials: Trials,
    ) -> Result<Self, SchemaError> {
        Self::from_parts(RecordingParts {
            info,
            metadata: BTreeMap::new(),
            units,
            unit_columns: Vec::new(),
            electrodes: Table::default(),
            activity,
            trials,
            intervals: Vec::new(),
            signals: Vec::new(),
        })
    }

    /// Joins the parts of a session and checks them against each other.
    ///
    /// Errors: [`SchemaError::InvalidValue`] for an incomplete card, an empty unit id or region, or a name;
    /// [`SchemaError::Duplicate`] for a unit id, a column, an interval table or a signal; [`SchemaError::NonFinite`];
    /// [`SchemaError::UnitOutOfRange`] for a spike; [`SchemaError::LengthMismatch`] when counts have another number
    /// of units or trials, or a column another number of rows; [`SchemaError::NothingRecorded`].
    pub fn from_parts(parts: RecordingParts) -> Result<Self, SchemaError> {
        let RecordingParts { info, units, unit_columns, activity, trials, intervals, signals, .. } = &parts;
        info.card.validate()?;
        check_units(units)?;
        check_columns("unit column", unit_columns, units.len(), &UNIT_COLUMNS)?;
        check_activity(activity, units, trials)?;
        for table in intervals {
            table.validate()?;
        }
        check_distinct("interval table", intervals.iter().map(|table| table.name.as_str()))?;
        check_distinct("signal", signals.iter().map(Signal::name))?;
        if units.is_empty() && trials.is_empty() && intervals.is_empty() && signals.is_empty() {
            return Err(SchemaError::NothingRecorded { session: info.session.clone() });
        }
        Ok(Self { parts })
    }

    /// The parts, to change one and join them again.
    pub fn into_parts(self) -> RecordingParts {
        self.parts
    }

    /// Whose recording it is and where it comes from.
    pub fn info(&self) -> &SessionInfo {
        &self.parts.info
    }

    /// The units, in the order that unit indices count.
    pub fn units(&self) -> &[Unit] {
        &self.parts.units
    }

    /// What the units did.
    pub fn activity(&self) -> &Activity {
        &self.parts.activity
    }

    /// The trials.
    pub fn trials(&self) -> &Trials {
        &self.parts.trials
    }

    /// What the source says about session and subject in its own words, by the place where it says so.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.parts.metadata
    }

    /// Further properties of the units, one value per unit.
    pub fn unit_columns(&self) -> &[Column] {
        &self.parts.unit_columns
    }

    /// The further property of the units of that name.
    pub fn unit_column(&self, name: &str) -> Option<&Column> {
        self.parts.unit_columns.iter().find(|column| column.name == name)
    }

    /// The electrodes; empty where the source names none.
    pub fn electrodes(&self) -> &Table {
        &self.parts.electrodes
    }

    /// Tables of intervals other than the trials.
    pub fn intervals(&self) -> &[IntervalTable] {
        &self.parts.intervals
    }

    /// The interval table of that name.
    pub fn interval_table(&self, name: &str) -> Option<&IntervalTable> {
        self.parts.intervals.iter().find(|table| table.name == name)
    }

    /// Continuous and event signals.
    pub fn signals(&self) -> &[Signal] {
        &self.parts.signals
    }

    /// The signal of that name.
    pub fn signal(&self, name: &str) -> Option<&Signal> {
        self.parts.signals.iter().find(|signal| signal.name() == name)
    }

    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.parts.units.len()
    }

    /// Number of spikes of all units.
    pub fn n_spikes(&self) -> u64 {
        match &self.parts.activity {
            Activity::Spikes(spikes) => spikes.len() as u64,
            Activity::Counts(counts) => counts.n_spikes(),
        }
    }
}

fn check_activity(activity: &Activity, units: &[Unit], trials: &Trials) -> Result<(), SchemaError> {
    match activity {
        Activity::Spikes(spikes) => check_units_of_spikes(spikes, units.len()),
        Activity::Counts(counts) => {
            let axes = [
                ("units of the counts", units.len(), counts.n_units()),
                ("trials of the counts", trials.len(), counts.n_trials()),
            ];
            match axes.into_iter().find(|(_, expected, found)| expected != found) {
                Some((what, expected, found)) => {
                    Err(SchemaError::LengthMismatch { what: what.into(), expected, found })
                }
                None => Ok(()),
            }
        }
    }
}

/// Refuses a spike of a unit that there is not.
pub(crate) fn check_units_of_spikes(spikes: &Spikes, n_units: usize) -> Result<(), SchemaError> {
    let is_stray = |unit: u32| usize::try_from(unit).map_or(true, |unit| unit >= n_units);
    // The greatest is found several at a time, a first stray one by one.
    if !spikes.units().iter().copied().max().is_some_and(is_stray) {
        return Ok(());
    }
    match spikes.units().iter().position(|&unit| is_stray(unit)) {
        Some(index) => Err(SchemaError::UnitOutOfRange { index, unit: spikes.units()[index], n_units }),
        None => Ok(()),
    }
}

fn check_units(units: &[Unit]) -> Result<(), SchemaError> {
    if u32::try_from(units.len()).is_err() {
        return Err(SchemaError::InvalidValue {
            what: "number of units".into(),
            found: units.len().to_string(),
            rule: "at most 4294967295",
        });
    }
    let mut ids = HashSet::new();
    for (index, unit) in units.iter().enumerate() {
        for (what, text) in [("id", &unit.id), ("region", &unit.region)] {
            if text.is_empty() {
                return Err(SchemaError::InvalidValue {
                    what: format!("{what} of unit {index}"),
                    found: "empty".into(),
                    rule: "filled in; name a region that is not known as the source does, such as root",
                });
            }
        }
        if !ids.insert(unit.id.as_str()) {
            return Err(SchemaError::Duplicate { what: "unit id", name: unit.id.clone() });
        }
        for (what, value) in
            [("depth_um of the units", unit.depth_um), ("quality of the units", unit.quality)]
        {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(SchemaError::NonFinite { what: what.into(), index, value });
            }
        }
    }
    Ok(())
}
