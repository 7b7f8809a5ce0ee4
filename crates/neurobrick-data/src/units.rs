//! Which units are good enough: rate, presence, refractory violations, labels and regions.

use std::collections::BTreeMap;

use neurobrick_schema::{
    Activity, BinnedCounts, Column, Recording, RecordingParts, RegionLevel, Spikes, Unit, unit_quality,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::texts::texts;

/// Rules that a unit must pass. Without any, all units do.
///
/// They look at the whole recording, test trials included: at spikes, and at what the source says of units. No label of a
/// trial enters, nothing is fitted to held-out values, and a unit is in or out for all parts alike; but which units a score
/// is about depends on what they did in test trials, too. `SessionData::of_units` applies
/// them without a change to which trials are usable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnitFilter {
    /// Spikes per second, at least, over the recorded time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rate_hz: Option<f64>,
    /// Share of a hundred equal parts of the recorded time with at least one spike, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_presence_ratio: Option<f64>,
    /// Share of intervals between spikes shorter than 1.5 ms, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_refractory_share: Option<f64>,
    /// The source's quality score, at least; a unit without one does not pass. IBL's good units have 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_quality: Option<f64>,
    /// Columns of labels with the values that pass, such as `group = ["good"]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Vec<String>>,
    /// Regions that pass, named at `region_level`; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// How finely regions are told apart, here and by everything that works by region.
    #[serde(skip_serializing_if = "is_source")]
    pub region_level: RegionLevel,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_source(level: &RegionLevel) -> bool {
    *level == RegionLevel::Source
}

impl UnitFilter {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The units that pass, ascending.
    ///
    /// # Errors
    /// [`DataError::NoUnitLeft`], with what each rule takes out; [`DataError::UnknownUnitColumn`];
    /// [`DataError::NeedsSpikeTimes`] for presence and refractory periods of counts.
    pub fn passing(&self, recording: &Recording) -> Result<Vec<usize>, DataError> {
        let session = &recording.info().session;
        let quality = unit_quality(recording);
        let n_units = recording.n_units();
        let mut passes = vec![true; n_units];
        let mut reasons = Vec::new();
        let mut apply = |rule: String, keeps: &dyn Fn(usize) -> bool| {
            let n_out = (0..n_units).filter(|&unit| !keeps(unit)).count();
            reasons.push(format!("{rule} takes out {n_out}"));
            for (unit, passes) in passes.iter_mut().enumerate() {
                *passes &= keeps(unit);
            }
        };
        let only_counts = matches!(recording.activity(), Activity::Counts(_));
        for (rule, value) in [
            ("min_presence_ratio", self.min_presence_ratio),
            ("max_refractory_share", self.max_refractory_share),
        ] {
            if value.is_some() && only_counts {
                return Err(DataError::NeedsSpikeTimes { session: session.clone(), rule });
            }
        }
        if let Some(least) = self.min_rate_hz {
            apply(format!("min_rate_hz = {least}"), &|unit| quality[unit].rate_hz >= least);
        }
        if let Some(least) = self.min_presence_ratio {
            let keeps = |unit: usize| quality[unit].presence_ratio.is_some_and(|ratio| ratio >= least);
            apply(format!("min_presence_ratio = {least}"), &keeps);
        }
        if let Some(most) = self.max_refractory_share {
            let keeps = |unit: usize| quality[unit].refractory_share.is_none_or(|share| share <= most);
            apply(format!("max_refractory_share = {most}"), &keeps);
        }
        if let Some(least) = self.min_quality {
            let keeps = |unit: usize| recording.units()[unit].quality.is_some_and(|quality| quality >= least);
            apply(format!("min_quality = {least}"), &keeps);
        }
        for (name, allowed) in &self.labels {
            let values = labels(recording, name)?;
            let keeps = |unit: usize| values[unit].as_ref().is_some_and(|value| allowed.contains(value));
            apply(format!("labels.{name} = {allowed:?}"), &keeps);
        }
        if !self.regions.is_empty() {
            let name = |unit: usize| self.region_level.name(&recording.units()[unit].region);
            let keeps = |unit: usize| self.regions.iter().any(|region| region == name(unit));
            apply(format!("regions = {:?}", self.regions), &keeps);
        }
        let passing: Vec<usize> = (0..n_units).filter(|&unit| passes[unit]).collect();
        if passing.is_empty() {
            let (session, reasons) = (session.clone(), reasons.join(", "));
            return Err(DataError::NoUnitLeft { session, n_units, reasons });
        }
        Ok(passing)
    }

    /// The recording with the units that pass, in regions of the level asked for, and with nothing else changed but their
    /// numbering.
    ///
    /// # Errors
    /// Those of [`UnitFilter::passing`].
    pub fn apply(&self, recording: Recording) -> Result<Recording, DataError> {
        if self.is_empty() {
            return Ok(recording);
        }
        let passing = self.passing(&recording)?;
        if passing.len() == recording.n_units() && is_source(&self.region_level) {
            return Ok(recording);
        }
        let mut parts = recording.into_parts();
        let mut place = vec![None; parts.units.len()];
        for (new, &old) in passing.iter().enumerate() {
            place[old] = u32::try_from(new).ok();
        }
        parts.activity = match parts.activity {
            Activity::Spikes(spikes) => {
                let kept = spikes.times_s().iter().zip(spikes.units());
                let kept = kept.filter_map(|(&time, &unit)| Some((time, place[unit as usize]?)));
                let (times_s, units) = kept.unzip();
                Activity::Spikes(Spikes::new(times_s, units)?)
            }
            Activity::Counts(counts) => {
                let rows =
                    (0..counts.n_trials()).flat_map(|trial| passing.iter().map(move |&unit| (trial, unit)));
                let values = rows.flat_map(|(trial, unit)| counts.row(trial, unit).iter().copied()).collect();
                let (n_trials, n_bins) = (counts.n_trials(), counts.n_bins());
                Activity::Counts(BinnedCounts::new(
                    counts.bin_size_s(),
                    n_trials,
                    passing.len(),
                    n_bins,
                    values,
                )?)
            }
        };
        let unit_columns = parts.unit_columns.into_iter();
        let unit_columns =
            unit_columns.map(|column| Column { values: column.values.rows(&passing), ..column });
        let unit = |&unit: &usize| {
            let unit = &parts.units[unit];
            Unit { region: self.region_level.name(&unit.region).to_owned(), ..unit.clone() }
        };
        let parts = RecordingParts {
            units: passing.iter().map(unit).collect(),
            unit_columns: unit_columns.collect(),
            ..parts
        };
        Ok(Recording::from_parts(parts)?)
    }
}

fn labels(recording: &Recording, name: &str) -> Result<Vec<Option<String>>, DataError> {
    recording.unit_column(name).and_then(|column| texts(&column.values)).ok_or_else(|| {
        DataError::UnknownUnitColumn {
            session: recording.info().session.clone(),
            column: name.to_owned(),
            kind: "of text, whole numbers or truth values",
            known: recording.unit_columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "),
        }
    })
}
