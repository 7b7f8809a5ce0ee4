//! Trials: half-open intervals with typed, nullable columns.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::SchemaError;

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

/// Values of one trial column, one per trial; `None` is missing. Floats are finite.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnValues {
    /// Real numbers.
    Float(Vec<Option<f64>>),
    /// Whole numbers.
    Int(Vec<Option<i64>>),
    /// Text.
    Text(Vec<Option<String>>),
    /// Yes or no.
    Bool(Vec<Option<bool>>),
}

impl ColumnValues {
    /// Number of entries, missing ones included.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    /// Whether there are no entries at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the type of value: `float`, `int`, `text` or `bool`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Float(_) => "float",
            Self::Int(_) => "int",
            Self::Text(_) => "text",
            Self::Bool(_) => "bool",
        }
    }
}

/// One labeled property of every trial.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialColumn {
    /// Name, unique in the session.
    pub name: String,
    /// Unit of measure, such as `s`; `None` for labels and plain numbers.
    pub unit: Option<String>,
    /// What it means, in a sentence.
    pub description: Option<String>,
    /// One value per trial.
    pub values: ColumnValues,
}

/// The trials of a session, in the order of the source; intervals may overlap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trials {
    intervals: Vec<Interval>,
    columns: Vec<TrialColumn>,
}

impl Trials {
    /// Checks and joins intervals and columns.
    ///
    /// Errors: [`SchemaError::InvalidInterval`]; [`SchemaError::LengthMismatch`] for a column of another length;
    /// [`SchemaError::Duplicate`] and [`SchemaError::InvalidValue`] for names; [`SchemaError::NonFinite`] for a float
    /// that is NaN or infinite.
    pub fn new(intervals: Vec<Interval>, columns: Vec<TrialColumn>) -> Result<Self, SchemaError> {
        for (index, interval) in intervals.iter().enumerate() {
            interval.validate(index)?;
        }
        let mut names = HashSet::new();
        for column in &columns {
            check_name(&column.name)?;
            if !names.insert(column.name.as_str()) {
                return Err(SchemaError::Duplicate { what: "trial column", name: column.name.clone() });
            }
            if column.values.len() != intervals.len() {
                return Err(SchemaError::LengthMismatch {
                    what: format!("trial column {:?}", column.name),
                    expected: intervals.len(),
                    found: column.values.len(),
                });
            }
            if let ColumnValues::Float(values) = &column.values {
                check_floats(&column.name, values)?;
            }
        }
        Ok(Self { intervals, columns })
    }

    /// When each trial was.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// All columns in the order of the source.
    pub fn columns(&self) -> &[TrialColumn] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&TrialColumn> {
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

fn check_name(name: &str) -> Result<(), SchemaError> {
    let rule = if name.is_empty() || name.chars().count() > 128 {
        "1 to 128 characters long"
    } else if name.chars().any(char::is_control) {
        "free of control characters"
    } else if RESERVED_COLUMNS.contains(&name) {
        "another name, since start_s and end_s hold the trial's interval"
    } else {
        return Ok(());
    };
    Err(SchemaError::InvalidValue { what: "trial column name".into(), found: format!("{name:?}"), rule })
}

fn check_floats(name: &str, values: &[Option<f64>]) -> Result<(), SchemaError> {
    let bad = values.iter().enumerate().find_map(|(i, v)| v.filter(|v| !v.is_finite()).map(|v| (i, v)));
    match bad {
        Some((index, value)) => {
            Err(SchemaError::NonFinite { what: format!("trial column {name:?}"), index, value })
        }
        None => Ok(()),
    }
}
