//! Medians and minima of repeated timings.

use serde::{Deserialize, Serialize};

/// Repeated timings in short.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of timings.
    pub n: usize,
    /// The middle one: what to expect.
    pub median: f64,
    /// The smallest: what the machine can do when nothing disturbs it.
    pub min: f64,
}

impl Summary {
    /// Of `values`; `None` if there are none or one is not a number.
    pub fn of(values: &[f64]) -> Option<Self> {
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        Some(Self { n: values.len(), median: median(values)?, min })
    }

    /// How many times longer `other` takes than this one: by medians, and by minima.
    pub fn speed_up_over(&self, other: &Self) -> (f64, f64) {
        (other.median / self.median, other.min / self.min)
    }
}

/// The median, between the two middle values of an even number; `None` if there are no values or one is not a number.
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    Some(if sorted.len().is_multiple_of(2) { sorted[half - 1].midpoint(sorted[half]) } else { sorted[half] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_minima() {
        for (values, expected) in [
            (vec![3.0], Some((3.0, 3.0))),
            (vec![4.0, 1.0], Some((2.5, 1.0))),
            (vec![9.0, 2.0, 4.0], Some((4.0, 2.0))),
            (vec![9.0, 2.0, 4.0, 5.0], Some((4.5, 2.0))),
            (vec![], None),
            (vec![1.0, f64::NAN], None),
        ] {
            assert_eq!(Summary::of(&values).map(|s| (s.median, s.min)), expected, "{values:?}");
        }
    }

    #[test]
    fn a_speed_up_is_the_other_time_over_ours() {
        let ours = Summary { n: 3, median: 2.0, min: 1.0 };
        let peer = Summary { n: 3, median: 5.0, min: 4.0 };
        assert_eq!(ours.speed_up_over(&peer), (2.5, 4.0));
    }
}
