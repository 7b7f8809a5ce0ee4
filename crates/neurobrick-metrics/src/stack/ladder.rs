//! Stacks for few and for many calibration trials.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::{Stack, StackFeatures};
use crate::{MetricError, RATE_FLOOR};

/// A [`Stack`] for each of several numbers of calibration trials.
///
/// How far closed forms can be trusted depends on how many trials they were fitted to. Between two rungs, log rates are
/// averaged, weighted by the log of the number of trials; beyond the ends, the nearest rung answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(usize, Stack)>", into = "Vec<(usize, Stack)>")]
pub struct StackLadder {
    /// Calibration trials, ascending, and the stack learned with as many.
    rungs: Vec<(usize, Stack)>,
}

impl StackLadder {
    /// A ladder of stacks by the number of trials that closed forms were fitted to.
    ///
    /// Fails without a rung, on numbers of trials that are zero or do not ascend, and on stacks of different features.
    pub fn new(rungs: Vec<(usize, Stack)>) -> Result<Self, MetricError> {
        let Some((_, first)) = rungs.first() else {
            return Err(MetricError::Empty { what: "ladder of stacks" });
        };
        let mut above = 0;
        for (n_trials, stack) in &rungs {
            if *n_trials <= above {
                let (what, must) = ("calibration trials of a stack", "more than those of the rung below");
                return Err(MetricError::InvalidSetting { what, value: *n_trials as f64, must });
            }
            above = *n_trials;
            if stack.n_features() != first.n_features() {
                let (expected, got) = (vec![first.n_features()], vec![stack.n_features()]);
                return Err(MetricError::ShapeMismatch { what: "features", expected, got });
            }
        }
        Ok(Self { rungs })
    }

    /// Rates `[B, T, targets]` in spikes/bin of closed forms that were fitted to `n_trials` trials; fails if the number
    /// of features differs.
    pub fn rates(&self, features: &StackFeatures, n_trials: usize) -> Result<Array3<f64>, MetricError> {
        let above = self.rungs.partition_point(|(n, _)| *n < n_trials);
        let last = self.rungs.len() - 1;
        if above == 0 || above > last || self.rungs[above].0 == n_trials {
            return self.rungs[above.min(last)].1.rates(features);
        }
        let ((few, below), (many, above)) = (&self.rungs[above - 1], &self.rungs[above]);
        let log_of = |n: usize| (n as f64).ln();
        let weight = (log_of(n_trials) - log_of(*few)) / (log_of(*many) - log_of(*few));
        let mut log_rates = below.log_rates(features)?;
        log_rates.zip_mut_with(&above.log_rates(features)?, |a, &b| *a = (1.0 - weight) * *a + weight * b);
        Ok(log_rates.mapv(|eta| eta.exp().max(RATE_FLOOR)))
    }

    /// Calibration trials and stacks, ascending.
    pub fn rungs(&self) -> &[(usize, Stack)] {
        &self.rungs
    }
}

impl TryFrom<Vec<(usize, Stack)>> for StackLadder {
    type Error = MetricError;

    fn try_from(rungs: Vec<(usize, Stack)>) -> Result<Self, MetricError> {
        Self::new(rungs)
    }
}

impl From<StackLadder> for Vec<(usize, Stack)> {
    fn from(ladder: StackLadder) -> Self {
        ladder.rungs
    }
}
