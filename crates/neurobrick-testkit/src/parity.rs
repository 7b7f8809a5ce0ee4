//! What a test against reference numbers found: the largest difference of each quantity, within its tolerance.

use std::collections::BTreeMap;

use burn::tensor::{Device, FloatDType, Tensor};
use serde::Serialize;

use crate::GoldenArray;

/// What the lines that [`Parity::report`] prints begin with; the rest is a [`Line`] in JSON.
const MARK: &str = "parity: ";

/// The largest differences of one model, in one precision, from its reference.
///
/// ```
/// let mut parity = neurobrick_testkit::Parity::new("ndt1", &neurobrick_testkit::test_device());
/// parity.see("log rates", 3e-7, 5e-6, "first case");
/// parity.see("log rates", 1e-7, 5e-6, "second case");
/// assert_eq!(parity.largest("log rates"), Some(3e-7));
/// ```
#[derive(Debug)]
pub struct Parity {
    model: String,
    precision: &'static str,
    worst: BTreeMap<String, Worst>,
}

/// One quantity of one model, as `cargo xtask parity` reads it.
#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    precision: &'a str,
    quantity: &'a str,
    /// Number of comparisons: arrays and scalars, not their entries.
    n: usize,
    largest: f64,
    tolerance: f64,
}

#[derive(Debug)]
struct Worst {
    n: usize,
    largest: f64,
    tolerance: f64,
}

impl Parity {
    /// Nothing compared yet, on a device whose precision is asked of it.
    ///
    /// # Panics
    /// If the precision is neither single nor double.
    pub fn new(model: &str, device: &Device) -> Self {
        let precision = match Tensor::<1>::zeros([1], device).dtype().into() {
            FloatDType::F32 => "f32",
            FloatDType::F64 => "f64",
            other => panic!("references are not compared in {other:?}"),
        };
        Self { model: model.to_owned(), precision, worst: BTreeMap::new() }
    }

    /// Compares one array or scalar, found at `place`.
    ///
    /// # Panics
    /// If the difference is beyond the tolerance or no number.
    pub fn see(&mut self, quantity: &str, difference: f64, tolerance: f64, place: &str) {
        let model = &self.model;
        assert!(
            difference <= tolerance,
            "{model}: {place}: {quantity} differ by {difference:e}, allowed {tolerance:e}"
        );
        let worst = self.worst.entry(quantity.to_owned()).or_insert(Worst { n: 0, largest: 0.0, tolerance });
        worst.n += 1;
        worst.largest = worst.largest.max(difference);
        worst.tolerance = worst.tolerance.max(tolerance);
    }

    /// Largest difference of a quantity, if it was compared.
    pub fn largest(&self, quantity: &str) -> Option<f64> {
        Some(self.worst.get(quantity)?.largest)
    }

    /// Prints a line of each quantity, for `cargo xtask parity` to gather.
    ///
    /// # Panics
    /// If nothing was compared.
    #[expect(clippy::print_stdout, reason = "the output of a test is what the table is made from")]
    pub fn report(&self) {
        assert!(!self.worst.is_empty(), "{}: nothing was compared", self.model);
        for (quantity, &Worst { n, largest, tolerance }) in &self.worst {
            let line =
                Line { model: &self.model, precision: self.precision, quantity, n, largest, tolerance };
            println!("{MARK}{}", serde_json::to_string(&line).unwrap());
        }
    }
}

/// Largest absolute difference of two arrays of one shape; infinite where one is no number.
///
/// # Panics
/// If the shapes differ.
pub fn largest_difference(found: &GoldenArray, expected: &GoldenArray) -> f64 {
    assert_eq!(found.shape, expected.shape, "shape");
    largest_difference_of(&found.values, &expected.values)
}

/// Largest absolute difference of two lists of numbers; infinite where one is no number.
///
/// # Panics
/// If the lengths differ.
pub fn largest_difference_of(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "number of values");
    let differences = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    differences.fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) })
}

/// Difference relative to what is expected.
pub fn relative_difference(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / expected.abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_device;

    #[test]
    fn a_difference_that_is_no_number_is_not_small() {
        assert!(largest_difference_of(&[1.0, f64::NAN], &[1.0, 2.0]).is_infinite());
        assert!((largest_difference_of(&[1.0, 2.5], &[1.0, 2.0]) - 0.5).abs() < 1e-15);
    }

    #[test]
    #[should_panic(expected = "second case: log rates differ by 6e-6")]
    fn what_is_beyond_its_tolerance_stops() {
        let mut parity = Parity::new("ndt1", &test_device());
        parity.see("log rates", 5e-6, 5e-6, "first case");
        parity.see("log rates", 6e-6, 5e-6, "second case");
    }
}
