//! Signals on a grid of bins, by stated rules; where nothing was measured stands NaN.

use neurobrick_schema::{Samples, Signal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::grid::{Grid, ticks};

/// How the samples of a signal become one value per bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResampleRule {
    /// Mean of the samples in the bin that are not NaN; for signals sampled faster than the grid.
    #[default]
    Mean,
    /// The sample nearest to the middle of the bin, the earlier of two that are equally near; for states and labels.
    Nearest,
    /// On the line between the samples around the middle of the bin; for slow, smooth signals.
    Linear,
}

/// Which quantity of which signal, and how it gets onto the grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BehaviorConfig {
    /// Name of the signal.
    pub signal: String,
    /// Name of its column.
    pub column: String,
    /// How samples become bins.
    #[serde(default)]
    pub rule: ResampleRule,
    /// For `nearest` and `linear`: samples further than this from the middle of a bin count as not there.
    pub max_gap_s: f64,
}

impl BehaviorConfig {
    /// One value per bin of the grid; NaN where the rule finds nothing.
    ///
    /// # Errors
    /// If the session has no such signal or column, or `max_gap_s` is not positive.
    pub fn on_grid(&self, signals: &[Signal], grid: &Grid) -> Result<Vec<f64>, DataError> {
        let signal = signals.iter().find(|signal| signal.name() == self.signal);
        let signal = signal.ok_or_else(|| DataError::UnknownSignal {
            signal: self.signal.clone(),
            known: signals.iter().map(Signal::name).collect::<Vec<_>>().join(", "),
        })?;
        let column = signal.column(&self.column).ok_or_else(|| DataError::UnknownSignal {
            signal: format!("{}, column {}", self.signal, self.column),
            known: signal.columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        if !(self.max_gap_s > 0.0 && self.max_gap_s.is_finite()) {
            return Err(DataError::BadGap { max_gap_s: self.max_gap_s });
        }
        let sampled = Sampled { signal, samples: &column.samples, max_gap_s: self.max_gap_s };
        let bins = 0..grid.n_bins();
        Ok(match self.rule {
            ResampleRule::Mean => bins.map(|bin| sampled.mean(grid.edge(bin), grid.edge(bin + 1))).collect(),
            ResampleRule::Nearest => bins.map(|bin| sampled.nearest(grid.center_s(bin))).collect(),
            ResampleRule::Linear => bins.map(|bin| sampled.linear(grid.center_s(bin))).collect(),
        })
    }
}

/// The samples of a column.
struct Sampled<'a> {
    signal: &'a Signal,
    samples: &'a Samples,
    max_gap_s: f64,
}

impl Sampled<'_> {
    /// The first sample for which `is_reached` holds; times ascend.
    fn first(&self, is_reached: impl Fn(f64) -> bool) -> usize {
        let (mut low, mut high) = (0, self.signal.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_reached(self.signal.time_s(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    fn mean(&self, start: i64, end: i64) -> f64 {
        let from = self.first(|time| ticks(time) >= start);
        let to = self.first(|time| ticks(time) >= end);
        let known = (from..to).map(|index| self.samples.value(index)).filter(|value| !value.is_nan());
        let (sum, n) = known.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
        // 0 / 0 is NaN: nothing was measured.
        sum / f64::from(n)
    }

    fn nearest(&self, time_s: f64) -> f64 {
        let after = self.first(|time| time >= time_s);
        let candidates = [after.checked_sub(1), (after < self.signal.len()).then_some(after)];
        // In whole ticks, so that two that are equally near in decimals are so here.
        let distance = |index: usize| ticks(self.signal.time_s(index)).abs_diff(ticks(time_s));
        let most = ticks(self.max_gap_s).unsigned_abs();
        let near = candidates.into_iter().flatten().filter(|&index| distance(index) <= most);
        let nearest = near.min_by_key(|&index| distance(index));
        nearest.map_or(f64::NAN, |index| self.samples.value(index))
    }

    fn linear(&self, time_s: f64) -> f64 {
        let after = self.first(|time| time >= time_s);
        if after == self.signal.len() {
            return f64::NAN;
        }
        let later_s = self.signal.time_s(after);
        if ticks(later_s) == ticks(time_s) {
            return self.samples.value(after);
        }
        let Some(before) = after.checked_sub(1) else { return f64::NAN };
        let earlier_s = self.signal.time_s(before);
        if time_s - earlier_s > self.max_gap_s || later_s - time_s > self.max_gap_s {
            return f64::NAN;
        }
        let share = (time_s - earlier_s) / (later_s - earlier_s);
        self.samples.value(before) * (1.0 - share) + self.samples.value(after) * share
    }
}
