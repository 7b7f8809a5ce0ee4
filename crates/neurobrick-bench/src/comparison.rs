//! What a measurement found.

use neurobrick_evaluate::RunManifest;
use serde::{Deserialize, Serialize};

use crate::{Summary, Work};

/// Largest relative difference of two sides' losses at which they count as the same model.
const LOSS_TOLERANCE: f64 = 1e-4;

/// Whether two sides computed the same loss, so that their times may be compared.
pub fn same_loss(ours: f64, theirs: f64) -> bool {
    (theirs / ours - 1.0).abs() <= LOSS_TOLERANCE
}

/// A whole measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// Command, version and machine.
    pub manifest: RunManifest,
    /// Name of the processor, where the system tells.
    pub processor: Option<String>,
    /// Processes that wanted to run in the minute before, on average, where the system tells.
    pub load_before: Option<f64>,
    /// Turns every side had at every work.
    pub n_repeats: usize,
    /// One entry per case.
    pub cases: Vec<CaseResult>,
    /// Sides that could not be measured, and why.
    pub missing: Vec<String>,
}

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseResult {
    /// Short name.
    pub name: String,
    /// Sizes in words.
    pub title: String,
    /// The sides; ours is the first.
    pub sides: Vec<SideUse>,
    /// Times; none of a side whose loss differs from ours.
    pub works: Vec<WorkResult>,
}

/// A side and what it used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SideUse {
    /// Name of the side.
    pub side: String,
    /// Version of what ran.
    pub version: String,
    /// What the side chose by measuring.
    pub note: String,
    /// Loss without dropout at the common weights, in nats.
    pub eval_loss: f64,
    /// Measured peak of products, in 10⁹ operations per second; one value per turn.
    pub product_gflops: Vec<f64>,
    /// Resident memory before model and batch were built.
    pub start_bytes: Option<u64>,
    /// Largest resident memory of the timed train steps.
    pub peak_bytes: Option<u64>,
}

impl SideUse {
    /// The best peak of any turn: percentages of it are the smallest that can be stated.
    pub fn best_product(&self) -> Option<f64> {
        self.product_gflops.iter().copied().reduce(f64::max)
    }
}

/// One kind of work of one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkResult {
    /// The work.
    pub work: Work,
    /// Operations of its matrix products, where they are counted.
    pub flops: Option<f64>,
    /// The sides, in the order of the case.
    pub sides: Vec<SideResult>,
}

impl WorkResult {
    /// No times yet.
    pub fn new(work: Work, flops: Option<f64>) -> Self {
        Self { work, flops, sides: Vec::new() }
    }

    /// The times of a side; starts them if there are none.
    pub fn side_mut(&mut self, side: &str) -> &mut SideResult {
        let at = self.sides.iter().position(|s| s.side == side).unwrap_or_else(|| {
            self.sides.push(SideResult { side: side.to_owned(), times_s: Vec::new(), page_faults: None });
            self.sides.len() - 1
        });
        &mut self.sides[at]
    }
}

/// Times of one side at one work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SideResult {
    /// Name of the side.
    pub side: String,
    /// Seconds of every repeat, turn after turn.
    pub times_s: Vec<f64>,
    /// Minor page faults of all repeats together, where the system tells.
    pub page_faults: Option<u64>,
}

impl SideResult {
    /// Adds a turn.
    pub fn push(&mut self, times_s: &[f64], page_faults: Option<u64>) {
        self.page_faults = match (self.times_s.is_empty(), self.page_faults, page_faults) {
            (true, _, faults) => faults,
            (false, Some(before), Some(faults)) => Some(before + faults),
            (false, _, _) => None,
        };
        self.times_s.extend_from_slice(times_s);
    }

    /// Median and minimum.
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(&self.times_s)
    }

    /// Page faults of one repeat.
    pub fn page_faults_each(&self) -> Option<f64> {
        (!self.times_s.is_empty()).then_some(self.page_faults? as f64 / self.times_s.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_must_agree_to_four_digits() {
        for (ours, theirs, expected) in
            [(1000.0, 1000.09, true), (1000.0, 999.95, true), (1000.0, 1000.2, false), (1.0, f64::NAN, false)]
        {
            assert_eq!(same_loss(ours, theirs), expected, "{ours} {theirs}");
        }
    }

    #[test]
    fn turns_add_up() {
        let mut result = WorkResult::new(Work::Train, None);
        result.side_mut("ours").push(&[1.0, 3.0], Some(10));
        result.side_mut("eager").push(&[4.0], None);
        result.side_mut("ours").push(&[2.0], Some(5));
        assert_eq!(result.sides[0].summary().map(|s| (s.n, s.median, s.min)), Some((3, 2.0, 1.0)));
        assert_eq!(result.sides[0].page_faults_each(), Some(5.0));
        assert_eq!(result.sides[1].page_faults_each(), None);
    }
}
