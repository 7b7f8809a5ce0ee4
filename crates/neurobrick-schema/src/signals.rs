//! Signals: samples over time, on a regular clock or with a time each, with named columns in units of measure.

use std::collections::HashSet;

use crate::columns::check_name;
use crate::error::SchemaError;
use crate::names::check_part_name;

/// Column that holds the times of an irregular signal in its table.
pub(crate) const TIME_COLUMN: &str = "time_s";

/// When the samples were taken, in seconds from session start.
#[derive(Clone, Debug, PartialEq)]
pub enum Clock {
    /// Sample `i` was taken at `start_s + i / rate_hz`.
    Regular {
        /// Time of the first sample, seconds.
        start_s: f64,
        /// Samples per second.
        rate_hz: f64,
    },
    /// Every sample has its own time, seconds, ascending (ties allowed).
    Irregular {
        /// One time per sample.
        times_s: Vec<f64>,
    },
}

/// Samples of one column. NaN is a value like any other: what the source has where it knows nothing.
#[derive(Clone, Debug)]
pub enum Samples {
    /// 64-bit floating point, NaN allowed, infinite not.
    Float(Vec<f64>),
    /// 32-bit floating point, NaN allowed, infinite not.
    Float32(Vec<f32>),
    /// Whole numbers.
    Int(Vec<i64>),
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Float32(values) => values.len(),
            Self::Int(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of samples that are NaN.
    pub fn n_nan(&self) -> usize {
        match self {
            Self::Float(values) => values.iter().filter(|value| value.is_nan()).count(),
            Self::Float32(values) => values.iter().filter(|value| value.is_nan()).count(),
            Self::Int(_) => 0,
        }
    }

    /// Sample `index` as a 64-bit number; whole numbers beyond 2^53 are rounded.
    ///
    /// # Panics
    /// When `index` is out of range, as slices do.
    pub fn value(&self, index: usize) -> f64 {
        match self {
            Self::Float(values) => values[index],
            Self::Float32(values) => f64::from(values[index]),
            Self::Int(values) => values[index] as f64,
        }
    }

    /// The samples at `first`, `first + step` and so on: one column of a table that lies row after row.
    ///
    /// # Panics
    /// When `step` is zero.
    #[must_use]
    pub fn every(&self, first: usize, step: usize) -> Self {
        fn take<T: Copy>(values: &[T], first: usize, step: usize) -> Vec<T> {
            values.iter().skip(first).step_by(step).copied().collect()
        }
        match self {
            Self::Float(values) => Self::Float(take(values, first, step)),
            Self::Float32(values) => Self::Float32(take(values, first, step)),
            Self::Int(values) => Self::Int(take(values, first, step)),
        }
    }

    fn first_infinite(&self) -> Option<(usize, f64)> {
        let found = |(index, value): (usize, f64)| value.is_infinite().then_some((index, value));
        match self {
            Self::Float(values) => values.iter().copied().enumerate().find_map(found),
            Self::Float32(values) => values.iter().copied().map(f64::from).enumerate().find_map(found),
            Self::Int(_) => None,
        }
    }
}

impl PartialEq for Samples {
    /// Bit for bit, so that NaN equals itself and -0 does not equal 0.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => {
                a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
            }
            (Self::Float32(a), Self::Float32(b)) => {
                a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
            }
            (Self::Int(a), Self::Int(b)) => a == b,
            _ => false,
        }
    }
}

/// One quantity of a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalColumn {
    /// Name, unique in the signal.
    pub name: String,
    /// Unit of measure; `None` when the source does not say.
    pub unit: Option<String>,
    /// What it means, in a sentence.
    pub description: Option<String>,
    /// One value per sample.
    pub samples: Samples,
}

/// A signal: quantities sampled together.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    name: String,
    description: Option<String>,
    clock: Clock,
    columns: Vec<SignalColumn>,
}

impl Signal {
    /// Checks and joins a clock and columns.
    ///
    /// `name`: 1 to 128 characters of `A-Z a-z 0-9 . _ -` that do not start with a dot. An irregular clock may have no
    /// columns: then the times are the signal, as with licks.
    ///
    /// Errors: [`SchemaError::InvalidValue`] for a name, a rate that is not positive, or a regular clock without
    /// columns; [`SchemaError::LengthMismatch`]; [`SchemaError::Duplicate`]; [`SchemaError::NonFinite`] for a time that
    /// is not finite and a sample that is infinite; [`SchemaError::UnsortedTimes`].
    pub fn new(
        name: impl Into<String>,
        description: Option<String>,
        clock: Clock,
        columns: Vec<SignalColumn>,
    ) -> Result<Self, SchemaError> {
        let name = name.into();
        check_part_name("signal name", &name)?;
        let n_samples = check_clock(&name, &clock, &columns)?;
        let mut names = HashSet::new();
        for column in &columns {
            check_name("signal column", &column.name)?;
            if column.name == TIME_COLUMN || !names.insert(column.name.as_str()) {
                return Err(SchemaError::Duplicate { what: "signal column", name: column.name.clone() });
            }
            let label = || format!("column {:?} of signal {name}", column.name);
            if column.samples.len() != n_samples {
                return Err(SchemaError::LengthMismatch {
                    what: label(),
                    expected: n_samples,
                    found: column.samples.len(),
                });
            }
            if let Some((index, value)) = column.samples.first_infinite() {
                return Err(SchemaError::NonFinite { what: label(), index, value });
            }
        }
        Ok(Self { name, description, clock, columns })
    }

    /// Name, unique among the signals of the session whatever the case of its letters.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in a sentence.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// When the samples were taken.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// All columns in the order of the source.
    pub fn columns(&self) -> &[SignalColumn] {
        &self.columns
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&SignalColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        match &self.clock {
            Clock::Irregular { times_s } => times_s.len(),
            Clock::Regular { .. } => self.columns.first().map_or(0, |column| column.samples.len()),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Time of sample `index` in seconds from session start.
    ///
    /// # Panics
    /// When `index` is out of range, as slices do.
    pub fn time_s(&self, index: usize) -> f64 {
        assert!(index < self.len(), "sample {index} of signal {} with {} samples", self.name, self.len());
        match &self.clock {
            Clock::Regular { start_s, rate_hz } => start_s + index as f64 / rate_hz,
            Clock::Irregular { times_s } => times_s[index],
        }
    }
}

/// Checks a clock and returns the number of samples.
fn check_clock(name: &str, clock: &Clock, columns: &[SignalColumn]) -> Result<usize, SchemaError> {
    let times_s = match clock {
        Clock::Irregular { times_s } => times_s,
        Clock::Regular { start_s, rate_hz } => {
            let (what, found, rule) = if !start_s.is_finite() {
                ("start_s", start_s.to_string(), "a finite number of seconds")
            } else if !(rate_hz.is_finite() && *rate_hz > 0.0) {
                ("rate_hz", rate_hz.to_string(), "a positive number")
            } else if let Some(first) = columns.first() {
                return Ok(first.samples.len());
            } else {
                ("number of columns", "0".into(), "at least 1 on a regular clock")
            };
            return Err(SchemaError::InvalidValue { what: format!("{what} of signal {name}"), found, rule });
        }
    };
    if let Some(index) = times_s.iter().position(|time| !time.is_finite()) {
        return Err(SchemaError::NonFinite {
            what: format!("times of signal {name}"),
            index,
            value: times_s[index],
        });
    }
    match times_s.windows(2).position(|pair| pair[1] < pair[0]) {
        Some(before) => Err(SchemaError::UnsortedTimes {
            signal: name.to_owned(),
            index: before + 1,
            time_s: times_s[before + 1],
            previous_s: times_s[before],
        }),
        None => Ok(times_s.len()),
    }
}
