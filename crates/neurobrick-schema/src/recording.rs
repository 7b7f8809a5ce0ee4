//! A recording: the parts of a session, checked against each other.

use std::collections::HashSet;

use crate::activity::Activity;
use crate::card::SessionInfo;
use crate::error::SchemaError;
use crate::trials::Trials;

/// Sorted neuron, multi-unit cluster or threshold-crossing channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Name, unique in the session.
    pub id: String,
    /// Brain region, in the source's own acronyms (`root` where the Allen atlas assigns none); never empty.
    pub region: String,
    /// Depth along the probe in micrometers.
    pub depth_um: Option<f64>,
    /// The source's quality score; its meaning is the source's.
    pub quality: Option<f64>,
}

/// One session: who, which units, what they did, and the trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    info: SessionInfo,
    units: Vec<Unit>,
    activity: Activity,
    trials: Trials,
}

impl Recording {
    /// Joins the parts of a session and checks them against each other.
    ///
    /// Errors: [`SchemaError::InvalidValue`] for an incomplete card, no units, or an empty unit id or region;
    /// [`SchemaError::Duplicate`] for a unit id; [`SchemaError::NonFinite`] for a depth or quality;
    /// [`SchemaError::UnitOutOfRange`] for a spike; [`SchemaError::LengthMismatch`] when counts have another number
    /// of units or trials.
    pub fn new(
        info: SessionInfo,
        units: Vec<Unit>,
        activity: Activity,
        trials: Trials,
    ) -> Result<Self, SchemaError> {
        info.card.validate()?;
        check_units(&units)?;
        match &activity {
            Activity::Spikes(spikes) => {
                let n_units = units.len();
                let stray = spikes
                    .units()
                    .iter()
                    .position(|&unit| usize::try_from(unit).map_or(true, |u| u >= n_units));
                if let Some(index) = stray {
                    return Err(SchemaError::UnitOutOfRange { index, unit: spikes.units()[index], n_units });
                }
            }
            Activity::Counts(counts) => {
                let axes = [
                    ("units of the counts", units.len(), counts.n_units()),
                    ("trials of the counts", trials.len(), counts.n_trials()),
                ];
                for (what, expected, found) in axes {
                    if expected != found {
                        return Err(SchemaError::LengthMismatch { what: what.into(), expected, found });
                    }
                }
            }
        }
        Ok(Self { info, units, activity, trials })
    }

    /// Whose recording it is and where it comes from.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// The units, in the order that unit indices count.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// What the units did.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// The trials.
    pub fn trials(&self) -> &Trials {
        &self.trials
    }

    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.units.len()
    }

    /// Number of spikes of all units.
    pub fn n_spikes(&self) -> u64 {
        match &self.activity {
            Activity::Spikes(spikes) => spikes.len() as u64,
            Activity::Counts(counts) => counts.n_spikes(),
        }
    }
}

fn check_units(units: &[Unit]) -> Result<(), SchemaError> {
    if units.is_empty() || u32::try_from(units.len()).is_err() {
        return Err(SchemaError::InvalidValue {
            what: "number of units".into(),
            found: units.len().to_string(),
            rule: "between 1 and 4294967295",
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
