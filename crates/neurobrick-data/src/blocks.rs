//! Splits by time: blocks dealt to the parts in a pattern, with a gap between parts.

use neurobrick_schema::Interval;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grid::ticks;
use crate::{DataError, TrialSplit};

/// A part of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// For learning.
    Train,
    /// For early stopping and choices.
    Valid,
    /// For scores.
    Test,
}

impl Part {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

/// Blocks of time, dealt to the parts in a pattern that repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockConfig {
    /// Length of a block in seconds.
    pub block_s: f64,
    /// Time between windows of different parts, at least, in seconds.
    pub gap_s: f64,
    /// Parts of successive blocks, repeated as long as the session goes on.
    pub pattern: Vec<Part>,
}

impl BlockConfig {
    /// Blocks of `BrainWideBench`: 300 s, gaps of 20 s, 40 / 20 / 40 % for training, validation and test.
    pub fn brain_wide_bench() -> Self {
        use Part::{Test, Train, Valid};
        Self { block_s: 300.0, gap_s: 20.0, pattern: vec![Train, Test, Train, Valid, Test] }
    }

    /// Deals windows to the parts by the block in which each starts, counted from the start of the first window.
    ///
    /// No window is divided: one that reaches over the end of its block stays whole. A window that lies nearer than the
    /// gap to a window of another part is left out: a training window for a window that validates or tests, a
    /// validating one for one that tests. So the test windows do not depend on the gap.
    ///
    /// # Errors
    /// [`DataError::BadBlocks`] for lengths that are not positive, or a pattern without a part; [`DataError::TooFewTrials`]
    /// when a part stays empty.
    pub fn split(
        &self,
        session: &neurobrick_schema::SessionId,
        windows: &[Interval],
    ) -> Result<TrialSplit, DataError> {
        let has = |part: Part| self.pattern.contains(&part);
        let is_sound = self.block_s > 0.0
            && self.block_s.is_finite()
            && self.gap_s >= 0.0
            && self.gap_s.is_finite()
            && [Part::Train, Part::Valid, Part::Test].into_iter().all(has);
        if !is_sound {
            return Err(DataError::BadBlocks { block_s: self.block_s, gap_s: self.gap_s });
        }
        let (block, gap) = (ticks(self.block_s), ticks(self.gap_s));
        let first = windows.iter().map(|window| ticks(window.start_s)).min().unwrap_or(0);
        let mut dealt: Vec<(i64, i64, usize, Part)> = windows
            .iter()
            .enumerate()
            .map(|(index, window)| {
                let start = ticks(window.start_s);
                let number = usize::try_from((start - first) / block.max(1)).unwrap_or(0);
                (start, ticks(window.end_s), index, self.pattern[number % self.pattern.len()])
            })
            .collect();
        dealt.sort_unstable();
        let kept = far_enough(&dealt, gap);
        let part = |wanted: Part| {
            let found = dealt.iter().zip(&kept).filter(|((.., part), kept)| **kept && *part == wanted);
            let mut windows: Vec<usize> = found.map(|((_, _, index, _), _)| *index).collect();
            windows.sort_unstable();
            windows
        };
        let split = TrialSplit { train: part(Part::Train), valid: part(Part::Valid), test: part(Part::Test) };
        if split.train.is_empty() || split.valid.is_empty() || split.test.is_empty() {
            let fractions = format!("blocks of {} s", self.block_s);
            return Err(DataError::TooFewTrials {
                session: session.clone(),
                n_trials: windows.len(),
                fractions,
            });
        }
        Ok(split)
    }
}

/// Whether every window is further than the gap from all windows of parts that come before its own: test before
/// validation before training. Windows are sorted by start.
fn far_enough(windows: &[(i64, i64, usize, Part)], gap: i64) -> Vec<bool> {
    let mut kept = vec![true; windows.len()];
    for part in [Part::Train, Part::Valid] {
        // Nearest end before and nearest start after, of windows that take precedence.
        let mut last_end = None;
        for (place, &(start, end, _, own)) in windows.iter().enumerate() {
            if own > part {
                last_end = last_end.max(Some(end));
            } else if own == part && last_end.is_some_and(|last| start - last < gap || start < last) {
                kept[place] = false;
            }
        }
        let mut next_start: Option<i64> = None;
        for (place, &(start, end, _, own)) in windows.iter().enumerate().rev() {
            if own > part {
                next_start = Some(next_start.map_or(start, |next| next.min(start)));
            } else if own == part && next_start.is_some_and(|next| next - end < gap || next < end) {
                kept[place] = false;
            }
        }
    }
    kept
}
