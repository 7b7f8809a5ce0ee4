//! What a column holds, at a glance: its type, and the values it takes where they are few.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::columns::{Column, ColumnValues};

/// Distinct values that are listed.
const MAX_LISTED: usize = 6;
/// Characters of a text that are listed.
const MAX_CHARS: usize = 40;

/// What a column holds; `Display` is its line in `inspect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// Name of the column.
    pub name: String,
    /// Type of its values: `float`, `int`, `text`, `bool` or `list`.
    pub kind: String,
    /// Unit of measure.
    #[serde(default)]
    pub unit: Option<String>,
    /// Number of distinct values; 0 for lists, which are not compared.
    pub n_distinct: usize,
    /// The first of the distinct values: numbers in their order, to six digits, and only if these are all; texts in order of
    /// appearance.
    pub values: Vec<String>,
    /// The smallest and the largest number, where there are more than are listed.
    #[serde(default)]
    pub range: Option<[f64; 2]>,
    /// Number of rows without a value.
    pub n_missing: usize,
}

impl ColumnSummary {
    pub(crate) fn of(column: &Column) -> Self {
        let kind = column.values.type_name().to_owned();
        let n_rows = column.values.len();
        let (n_present, n_distinct, values, range) = match &column.values {
            ColumnValues::Float(values) => {
                // Both zeros are one number.
                let mut numbers: Vec<f64> = values.iter().flatten().map(|number| number + 0.0).collect();
                let n_present = numbers.len();
                numbers.sort_by(f64::total_cmp);
                numbers.dedup();
                let range = numbers.first().copied().zip(numbers.last().copied());
                let short: Vec<f64> = numbers.iter().copied().map(rounded).collect();
                // Numbers that differ later than six digits on are listed in full.
                let are_told_apart = short.windows(2).all(|pair| pair[0] < pair[1]);
                listed(n_present, if are_told_apart { &short } else { &numbers }, range)
            }
            ColumnValues::Int(values) => {
                let mut numbers: Vec<i64> = values.iter().copied().flatten().collect();
                let n_present = numbers.len();
                numbers.sort_unstable();
                numbers.dedup();
                let range = numbers.first().zip(numbers.last());
                listed(n_present, &numbers, range.map(|(low, high)| (*low as f64, *high as f64)))
            }
            ColumnValues::Bool(values) => {
                let found: HashSet<bool> = values.iter().copied().flatten().collect();
                let mut found: Vec<bool> = found.into_iter().collect();
                found.sort_unstable();
                listed(values.iter().flatten().count(), &found, None)
            }
            ColumnValues::Text(values) => texts(values),
            ColumnValues::List(_) => (n_rows, 0, Vec::new(), None),
        };
        Self {
            name: column.name.clone(),
            kind,
            unit: column.unit.clone(),
            n_distinct,
            values,
            range,
            n_missing: n_rows - n_present,
        }
    }
}

/// Values that are there, distinct ones, those that are listed, and the range of others.
type Found = (usize, usize, Vec<String>, Option<[f64; 2]>);

/// All distinct values if they are few, else their range.
fn listed<T: fmt::Display>(n_present: usize, distinct: &[T], range: Option<(f64, f64)>) -> Found {
    if distinct.len() <= MAX_LISTED {
        return (n_present, distinct.len(), distinct.iter().map(T::to_string).collect(), None);
    }
    (n_present, distinct.len(), Vec::new(), range.map(|(low, high)| [low, high]))
}

fn texts(values: &[Option<String>]) -> Found {
    let mut place: HashMap<&str, usize> = HashMap::new();
    let mut n_present = 0;
    for text in values.iter().flatten() {
        n_present += 1;
        let next = place.len();
        place.entry(text).or_insert(next);
    }
    let mut first: Vec<(&str, usize)> =
        place.iter().filter(|(_, place)| **place < MAX_LISTED).map(|(text, place)| (*text, *place)).collect();
    first.sort_by_key(|(_, place)| *place);
    let short = |text: &str| {
        if text.is_empty() {
            return "\"\"".to_owned();
        }
        let more = if text.chars().nth(MAX_CHARS).is_some() { ".." } else { "" };
        let mut short = String::new();
        for c in text.chars().take(MAX_CHARS) {
            // A line break would end the line of the column.
            if c.is_control() { short.extend(c.escape_default()) } else { short.push(c) }
        }
        format!("{short}{more}")
    };
    (n_present, place.len(), first.into_iter().map(|(text, _)| short(text)).collect(), None)
}

/// To six digits; a whole number stays as it is.
fn rounded(number: f64) -> f64 {
    if number.fract() == 0.0 {
        return number;
    }
    // What was just written as a number is one.
    format!("{number:.5e}").parse().unwrap_or(number)
}

impl fmt::Display for ColumnSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)?;
        if let Some(unit) = &self.unit {
            write!(f, " ({unit})")?;
        }
        if let Some([low, high]) = self.range {
            write!(f, ", {} to {}", rounded(low), rounded(high))?;
        }
        if !self.values.is_empty() {
            write!(f, ", {}", self.values.join(" | "))?;
            let n_more = self.n_distinct.saturating_sub(self.values.len());
            if n_more > 0 {
                write!(f, " and {n_more} more")?;
            }
        }
        if self.n_missing > 0 {
            write!(f, ", {} missing", self.n_missing)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: ColumnValues, expected: &str) {
        let column = Column { name: "x".into(), unit: None, description: None, values };
        assert_eq!(ColumnSummary::of(&column).to_string(), expected);
    }

    #[test]
    fn columns_tell_their_type_and_values() {
        check(
            ColumnValues::Float(vec![Some(0.5), None, Some(-0.0), Some(0.0), Some(0.5)]),
            "x: float, 0 | 0.5, 1 missing",
        );
        check(ColumnValues::Float((0..9).map(|i| Some(f64::from(i) / 4.0)).collect()), "x: float, 0 to 2");
        let times = (0..9).map(|i| Some(1_246.263_355 + f64::from(i) / 3.0));
        check(ColumnValues::Float(times.collect()), "x: float, 1246.26 to 1248.93");
        check(ColumnValues::Float(vec![Some(1.0 / 3.0), Some(2.0)]), "x: float, 0.333333 | 2");
        check(ColumnValues::Float(vec![Some(0.500_000_1), Some(0.5)]), "x: float, 0.5 | 0.5000001");
        check(ColumnValues::Int((0..8).map(|i| Some(i * 12_345_678)).collect()), "x: int, 0 to 86419746");
        check(ColumnValues::Int(vec![Some(1), Some(-1), Some(1)]), "x: int, -1 | 1");
        check(ColumnValues::Int((0..7).map(Some).collect()), "x: int, 0 to 6");
        check(ColumnValues::Bool(vec![Some(true), Some(false)]), "x: bool, false | true");
        let text = |texts: &[&str]| ColumnValues::Text(texts.iter().map(|t| Some((*t).to_owned())).collect());
        check(text(&["le\nft", "right", "", "le\nft"]), "x: text, le\\nft | right | \"\"");
        check(
            text(&["h", "g", "f", "e", "d", "c", "b", "a", "h"]),
            "x: text, h | g | f | e | d | c and 2 more",
        );
        check(text(&["a".repeat(50).as_str()]), &format!("x: text, {}..", "a".repeat(40)));
        check(ColumnValues::Text(vec![None, None]), "x: text, 2 missing");
        check(ColumnValues::Int(Vec::new()), "x: int");
    }
}
