//! Which units are visible and which are to be predicted.

use serde::{Deserialize, Serialize};

use crate::MetricError;

/// A hidden-unit task: predict `targets` from `visible`, unit indices into the last axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Units whose counts the predictor may read, each once.
    pub visible: Vec<usize>,
    /// Units to predict, in the order of the output.
    pub targets: Vec<usize>,
    /// `true`: a target that is visible is predicted from the *other* visible units. `false`: no target may be
    /// visible.
    pub leave_one_out: bool,
}

impl Query {
    /// Every one of `n_units` units from all others (co-smoothing of the multi-task-masking papers).
    pub fn leave_one_out(n_units: usize) -> Self {
        Self::within((0..n_units).collect())
    }

    /// Every unit of a group from the others of the group (intra-region).
    pub fn within(units: Vec<usize>) -> Self {
        Self { visible: units.clone(), targets: units, leave_one_out: true }
    }

    /// All units of a group from all of `n_units` outside it (inter-region).
    pub fn hidden(n_units: usize, targets: Vec<usize>) -> Self {
        let visible = (0..n_units).filter(|unit| !targets.contains(unit)).collect();
        Self { visible, targets, leave_one_out: false }
    }

    /// Fails without visible units or targets, on an index beyond `n_units`, on a unit visible twice, and on a
    /// target that its own features would contain.
    pub fn validate(&self, n_units: usize) -> Result<(), MetricError> {
        for (what, units) in [("list of visible units", &self.visible), ("list of targets", &self.targets)] {
            if units.is_empty() {
                return Err(MetricError::Empty { what });
            }
            if let Some(&index) = units.iter().find(|&&unit| unit >= n_units) {
                return Err(MetricError::OutOfRange { what: "unit", index, limit: n_units });
            }
        }
        let mut is_visible = vec![false; n_units];
        for &unit in &self.visible {
            if std::mem::replace(&mut is_visible[unit], true) {
                return Err(MetricError::Duplicate { what: "visible unit", index: unit });
            }
        }
        match self.targets.iter().find(|&&unit| is_visible[unit] && !self.leave_one_out) {
            Some(&unit) => Err(MetricError::Leak { unit }),
            None => Ok(()),
        }
    }

    /// For each target, its position among the visible units, if it is one.
    pub(crate) fn own_positions(&self, n_units: usize) -> Vec<Option<usize>> {
        let mut position = vec![None; n_units];
        for (p, &unit) in self.visible.iter().enumerate() {
            position[unit] = Some(p);
        }
        self.targets.iter().map(|&unit| position[unit]).collect()
    }
}
