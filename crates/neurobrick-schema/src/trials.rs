//! Trials and other tables of half-open intervals with typed, nullable columns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{Column, check_columns};
use crate::error::SchemaError;
use crate::names::check_part_name;

/// Column names that the store uses itself.
pub(crate) const RESERVED_COLUMNS: [&str; 2] = ["start_s", "end_s"];

/// Half-open interval `[start_s, end_s)` in seconds from session start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// First moment inside, seconds.
    pub start_s: f64,
    /// First moment after, seconds.
    pub end_s: f64,
}

impl Interval {
    /// Checks the bounds; [`SchemaError::InvalidInterval`] when one is not finite or the end lies before the start.
    pub fn new(start_s: f64, end_s: f64) -> Result<Self, SchemaError> {
        let interval = Self { start_s, end_s };
        interval.validate(0)?;
        Ok(interval)
    }

    /// Length in seconds.
    pub fn duration_s(&self) -> f64 {
        self.end_s - self.start_s
    }

    /// Whether a moment lies inside; the end does not.
    pub fn contains(&self, time_s: f64) -> bool {
        self.start_s <= time_s && time_s < self.end_s
    }

    fn validate(&self, index: usize) -> Result<(), SchemaError> {
        if self.start_s.is_finite() && self.end_s.is_finite() && self.start_s <= self.end_s {
            return Ok(());
        }
        Err(SchemaError::InvalidInterval { index, start_s: self.start_s, end_s: self.end_s })
    }
}

/// The trials of a session, in the order of the source; intervals may overlap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trials {
    intervals: Vec<Interval>,
    columns: Vec<Column>,
    is_end_to_end: bool,
}

impl Trials {
    /// Checks and joins intervals and columns.
    ///
    /// Errors: [`SchemaError::InvalidInterval`]; [`SchemaError::LengthMismatch`] for a column of another length;
    /// [`SchemaError::Duplicate`] and [`SchemaError::InvalidValue`] for names; [`SchemaError::NonFinite`] for a float
    /// that is NaN or infinite.
    pub fn new(intervals: Vec<Interval>, columns: Vec<Column>) -> Result<Self, SchemaError> {
        for (index, interval) in intervals.iter().enumerate() {
            interval.validate(index)?;
        }
        check_columns("trial column", &columns, intervals.len(), &RESERVED_COLUMNS)?;
        Ok(Self { intervals, columns, is_end_to_end: false })
    }

    /// Trials of one length from a source that does not say when they were: laid end to end, in its order. Their
    /// intervals tell places and lengths, but not whether two trials overlap or how far apart they were.
    ///
    /// Errors: those of [`Trials::new`].
    ///
    /// ```
    /// use neurobrick_schema::Trials;
    ///
    /// let trials = Trials::end_to_end(3, 0.6, Vec::new())?;
    /// assert!(!trials.has_times());
    /// assert_eq!(trials.intervals()[2].start_s, 1.2);
    /// # Ok::<(), neurobrick_schema::SchemaError>(())
    /// ```
    pub fn end_to_end(n_trials: usize, trial_s: f64, columns: Vec<Column>) -> Result<Self, SchemaError> {
        let interval =
            |trial: usize| Interval { start_s: trial as f64 * trial_s, end_s: (trial + 1) as f64 * trial_s };
        Ok(Self::new((0..n_trials).map(interval).collect(), columns)?.with_times(false))
    }

    pub(crate) fn with_times(self, has_times: bool) -> Self {
        Self { is_end_to_end: !has_times, ..self }
    }

    /// Whether the intervals are when trials were, and not stand-ins of [`Trials::end_to_end`].
    pub fn has_times(&self) -> bool {
        !self.is_end_to_end
    }

    /// When each trial was.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// All columns in the order of the source.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Number of trials.
    pub fn len(&self) -> usize {
        self.intervals.len()
    }

    /// Whether there are no trials.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }
}

/// A named table of intervals beside the trials: epochs, other tasks, sleep states, events of zero length.
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalTable {
    /// Name, unique among the interval tables of the session whatever the case of its letters: 1 to 128 characters of
    /// `A-Z a-z 0-9 . _ -` that do not start with a dot.
    pub name: String,
    /// What the intervals are, in a sentence.
    pub description: Option<String>,
    /// The intervals and their columns, in the same form as trials.
    pub rows: Trials,
}

impl IntervalTable {
    pub(crate) fn validate(&self) -> Result<(), SchemaError> {
        if !self.rows.has_times() {
            return Err(SchemaError::InvalidValue {
                what: format!("interval table {:?}", self.name),
                found: "end to end for want of times".into(),
                rule: "of intervals that the source tells; only trials may lie end to end",
            });
        }
        check_part_name("interval table name", &self.name)
    }
}
