//! Splits that the source made: a trial column says which part a trial is in.

use neurobrick_random::{Domain, Stream, name_index};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::Part;
use crate::grid::ticks;
use crate::overlap::TOUCH;
use crate::splits::rounded;
use crate::texts::texts;
use crate::{DataError, SessionData, TrialSplit};

/// Parts in the order of their time.
const PARTS: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

/// Trials by the values of a column, such as the `split` of the Neural Latents Benchmark's and of LFADS's files.
///
/// A part has the trials with its values, or is cut off another part. Every value that occurs must be named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnConfig {
    /// The trial column: text, whole numbers or truth values.
    pub name: String,
    /// Values of training trials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<String>,
    /// Values of validation trials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub valid: Vec<String>,
    /// Values of test trials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Values of trials that are used for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<String>,
    /// Parts that the column does not have, and what they are cut off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<CutConfig>,
    /// Which trials are cut off.
    #[serde(default)]
    pub cut_order: CutOrder,
}

/// A part that a column does not have, cut off one that it has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutConfig {
    /// The part that is made.
    pub part: Part,
    /// The part that gives trials.
    pub from: Part,
    /// Fraction of its trials that it gives.
    pub fraction: f64,
}

/// Which trials are cut off a part for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CutOrder {
    /// The first or the last ones, so that training comes before validation before test. Where a source does not say
    /// when trials were, in its order.
    #[default]
    Chronological,
    /// A seeded random choice. Not for trials that overlap, such as pieces of longer ones, where the source does not say
    /// when they were.
    Random,
}

impl ColumnConfig {
    fn values(&self, part: Part) -> &[String] {
        match part {
            Part::Train => &self.train,
            Part::Valid => &self.valid,
            Part::Test => &self.test,
        }
    }

    /// What is wrong with the configuration, whatever the trials.
    fn check(&self) -> Result<(), DataError> {
        let bad = |detail: String| Err(DataError::BadColumnSplit { column: self.name.clone(), detail });
        let named = || [&self.train, &self.valid, &self.test, &self.leave_out].into_iter().flatten();
        if let Some((_, value)) = named().enumerate().find(|(i, value)| named().take(*i).any(|v| v == *value))
        {
            return bad(format!("{value:?} is named twice"));
        }
        for part in PARTS {
            let name = part.name();
            let n_cuts = self.cut.iter().filter(|cut| cut.part == part).count();
            match (self.values(part).is_empty(), n_cuts) {
                (false, 0) | (true, 1) => {}
                (true, 0) => return bad(format!("{name} has neither values nor a cut")),
                (false, _) => return bad(format!("{name} has values, so it cannot be cut as well")),
                (true, _) => return bad(format!("{name} is cut {n_cuts} times")),
            }
            let given: f64 = self.cut.iter().filter(|cut| cut.from == part).map(|cut| cut.fraction).sum();
            if given >= 1.0 {
                return bad(format!("{name} gives {given} of its trials away and keeps none"));
            }
        }
        for CutConfig { part, from, fraction } in &self.cut {
            if self.values(*from).is_empty() {
                return bad(format!("{} is cut off {}, which has no values", part.name(), from.name()));
            }
            if !(*fraction > 0.0 && *fraction < 1.0) {
                let part = part.name();
                return bad(format!("the fraction of {part} must lie between 0 and 1; received {fraction}"));
            }
        }
        Ok(())
    }

    /// Usable trials of every part, ascending.
    pub(crate) fn split(&self, data: &SessionData, seed: u64) -> Result<TrialSplit, DataError> {
        self.check()?;
        let mut dealt: [Vec<usize>; 3] = [const { Vec::new() }; 3];
        for (trial, part) in self.named(data)?.into_iter().enumerate() {
            if let Some(part) = part {
                dealt[part as usize].push(trial);
            }
        }
        for part in PARTS.into_iter().filter(|part| self.cut.iter().any(|cut| cut.from == *part)) {
            let trials = std::mem::take(&mut dealt[part as usize]);
            let (n, mut first) = (trials.len(), 0);
            let trials = self.in_order(trials, part, data, seed);
            let n_cut = |other: Part| {
                let cut = self.cut.iter().find(|cut| cut.from == part && cut.part == other);
                cut.map(|cut| rounded(cut.fraction * n as f64))
            };
            let n_given: usize = PARTS.into_iter().filter_map(n_cut).sum();
            for other in PARTS {
                let n_part = if other == part { Some(n.saturating_sub(n_given)) } else { n_cut(other) };
                if let Some(n_part) = n_part {
                    let last = (first + n_part).min(n);
                    dealt[other as usize].extend(&trials[first..last]);
                    first = last;
                }
            }
        }
        for part in PARTS {
            if dealt[part as usize].is_empty() {
                let (session, column) = (data.session().clone(), self.name.clone());
                return Err(DataError::EmptyPart { session, part, column });
            }
            dealt[part as usize].sort_unstable();
        }
        if parts_overlap(data, &dealt) {
            return Err(DataError::OverlapLeaks { session: data.session().clone() });
        }
        let [train, valid, test] = dealt;
        Ok(TrialSplit { train, valid, test })
    }

    /// The part of every usable trial; none of those that are left out.
    fn named(&self, data: &SessionData) -> Result<Vec<Option<Part>>, DataError> {
        let column = data.trials().column(&self.name);
        let values = column.and_then(|column| texts(&column.values));
        let values = values.ok_or_else(|| DataError::UnknownSplitColumn {
            session: data.session().clone(),
            column: self.name.clone(),
            known: data.trials().columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let part = |&row: &usize| {
            let is_in = |named: &[String]| values[row].as_ref().is_some_and(|value| named.contains(value));
            match PARTS.into_iter().find(|part| is_in(self.values(*part))) {
                None if !is_in(&self.leave_out) => Err(DataError::UnknownSplitValue {
                    session: data.session().clone(),
                    column: self.name.clone(),
                    trial: row,
                    value: values[row].as_ref().map_or("missing".to_owned(), |value| format!("{value:?}")),
                }),
                part => Ok(part),
            }
        };
        data.trial_idx().iter().map(part).collect()
    }

    /// The trials of a part in the order in which they are dealt on.
    fn in_order(&self, mut trials: Vec<usize>, part: Part, data: &SessionData, seed: u64) -> Vec<usize> {
        match self.cut_order {
            CutOrder::Chronological => {
                trials.sort_by_key(|&trial| (ticks(data.windows()[trial].start_s), trial));
                trials
            }
            CutOrder::Random => {
                let place = [name_index(data.session().as_str()), 1 + part as u64, 0];
                let order = Stream::new(seed, Domain::Split, place).permutation(trials.len());
                order.into_iter().map(|at| trials[at]).collect()
            }
        }
    }
}

/// Whether windows of two parts share time.
fn parts_overlap(data: &SessionData, parts: &[Vec<usize>; 3]) -> bool {
    let mut windows: Vec<(i64, i64, usize)> = Vec::new();
    for (part, trials) in parts.iter().enumerate() {
        let span = |&trial: &usize| {
            let window = data.windows()[trial];
            (ticks(window.start_s), ticks(window.end_s), part)
        };
        windows.extend(trials.iter().map(span));
    }
    windows.sort_unstable();
    let mut ends = [i64::MIN; 3];
    windows.into_iter().any(|(start, end, part)| {
        let overlaps = (0..3).any(|other| other != part && ends[other] > start.saturating_add(TOUCH));
        ends[part] = ends[part].max(end);
        overlaps
    })
}
