//! A session that a decoder of behavior learns from.

use ndarray::{Array2, Array3, Axis, s};
use neurobrick_core::SessionSpec;
use neurobrick_data::{DataError, Grid, SessionData, SplitConfig, SplitOrder, TrialSplit};
use neurobrick_schema::{Interval, Recording, Signal};

use super::{SpikeDecodingError, SpikeWindows};
use crate::config::BehaviorTarget;
use crate::decoding::BehaviorScale;
use crate::decoding::standardized::{read_behaviors, standardize};

/// Spikes, behavior and what may be learned of both.
pub(crate) struct DecoderSession {
    pub(crate) spikes: SpikeWindows,
    signals: Vec<Signal>,
    targets: Vec<BehaviorTarget>,
    bin_size_s: f64,
    /// Standardized behavior of every window, `[trial, bin, K]`; NaN where there is none.
    pub(crate) values: Array3<f64>,
    /// How it was standardized, by target.
    pub(crate) scales: Vec<BehaviorScale>,
    /// Training windows in which every target has a value in every bin.
    pub(crate) train: Vec<usize>,
    /// Validation windows of which the same holds.
    pub(crate) valid: Vec<usize>,
    /// Seconds by which each of `train` may be moved to the left (negative) and right, whatever jitter is asked for.
    free_s: Vec<[f64; 2]>,
}

impl DecoderSession {
    /// Reads behavior on the windows of `data` and standardizes it by the training windows alone.
    ///
    /// # Errors
    /// [`SpikeDecodingError`].
    pub(crate) fn new(
        recording: &Recording,
        data: &SessionData,
        (split, split_config): (&TrialSplit, &SplitConfig),
        targets: &[BehaviorTarget],
    ) -> Result<Self, SpikeDecodingError> {
        let spikes = SpikeWindows::new(recording, data)?;
        let session = data.session();
        let mut values = read_behaviors(recording, data, targets)?;
        let missing = |trial: usize, k: usize| values.slice(s![trial, .., k]).iter().any(|v| !v.is_finite());
        let covered = |part: &'static str, all: &[usize]| -> Result<Vec<usize>, SpikeDecodingError> {
            let is_covered = |trial: &usize| (0..targets.len()).all(|k| !missing(*trial, k));
            let found: Vec<usize> = all.iter().copied().filter(is_covered).collect();
            // Two values at least are needed for a scale, and one window may hold one bin.
            let needed = if part == "training" { 2 } else { 1 };
            if found.len() >= needed {
                return Ok(found);
            }
            let n_missing = |k: usize| all.iter().filter(|trial| missing(**trial, k)).count();
            let worst = (0..targets.len()).max_by_key(|&k| n_missing(k)).unwrap_or(0);
            Err(SpikeDecodingError::TooFewWindows {
                session: session.clone(),
                part,
                n_covered: found.len(),
                n_windows: all.len(),
                needed,
                target: targets[worst].name.clone(),
            })
        };
        let train = covered("training", &split.train)?;
        let valid = covered("validation", &split.valid)?;
        let scales = standardize(&mut values, &train, (recording, session), targets)?;
        let guard_s = match &split_config.order {
            SplitOrder::Blocks(blocks) => blocks.gap_s,
            _ => 0.0,
        };
        let free_s = free(data, &split.train, &train, guard_s);
        Ok(Self {
            spikes,
            signals: recording.signals().to_vec(),
            targets: targets.to_vec(),
            bin_size_s: data.bin_size_s(),
            values,
            scales,
            train,
            valid,
            free_s,
        })
    }

    /// What a model must know of the session.
    pub(crate) fn spec(&self) -> SessionSpec {
        SessionSpec {
            session: self.spikes.session().clone(),
            n_units: self.spikes.n_units(),
            log_mean_rates: None,
        }
    }

    /// The shift of training window number `window` at `part` (from 0 to 1) of what `jitter_s` and the split allow.
    pub(crate) fn shift_s(&self, window: usize, jitter_s: f64, part: f64) -> f64 {
        let [left, right] = self.free_s[window];
        let (left, right) = (left.max(-jitter_s), right.min(jitter_s));
        left + part * (right - left)
    }

    /// Standardized behavior `[bin, K]` of a window moved by `shift_s`; NaN where there is none.
    ///
    /// # Errors
    /// If the grid cannot be counted in nanoseconds.
    pub(crate) fn values_at(&self, trial: usize, shift_s: f64) -> Result<Array2<f64>, DataError> {
        let base = self.values.index_axis(Axis(0), trial);
        if shift_s == 0.0 {
            return Ok(base.to_owned());
        }
        let start_s = self.spikes.windows()[trial].start_s + shift_s;
        let grid = Grid::new(start_s, self.bin_size_s, base.nrows())?;
        let mut values = Array2::zeros(base.dim());
        for (k, (target, scale)) in self.targets.iter().zip(&self.scales).enumerate() {
            let found = target.measured().on_grid(&self.signals, &grid)?;
            let found = target.decoded(ndarray::Array1::from_vec(found));
            values.column_mut(k).assign(&found.mapv(|v| (v - scale.mean) / scale.std));
        }
        Ok(values)
    }
}

/// How far each of `moved`, which are training windows, may move without coming nearer than `guard_s` to a window that is
/// not for training, and without leaving the stretch of the recording it lies in.
fn free(data: &SessionData, train: &[usize], moved: &[usize], guard_s: f64) -> Vec<[f64; 2]> {
    let others = (0..data.windows().len()).filter(|other| train.binary_search(other).is_err());
    let mut others: Vec<Interval> = others.map(|other| data.windows()[other]).collect();
    others.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    // The latest end of a window among the first so many.
    let mut ends = vec![f64::NEG_INFINITY];
    for window in &others {
        ends.push(window.end_s.max(ends[ends.len() - 1]));
    }
    let bounds = |&trial: &usize| {
        let window = data.windows()[trial];
        let Interval { start_s, end_s } = window;
        let (first, last) = data.recorded_around(window).unwrap_or((start_s, end_s));
        let before = others.partition_point(|other| other.start_s < start_s);
        let next_s = others.get(before).map_or(f64::INFINITY, |other| other.start_s);
        let left = (first - start_s).max(ends[before] + guard_s - start_s);
        let right = (last - end_s).min(next_s - guard_s - end_s);
        [left.min(0.0), right.max(0.0)]
    };
    moved.iter().map(bounds).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use neurobrick_data::{Alignment, BlockConfig, Part, ResampleRule, WindowConfig};
    use neurobrick_testkit::SharedBrain;

    use super::*;

    /// Windows of half a second that follow each other for a minute, moved as far as they may be.
    #[test]
    fn moved_windows_keep_their_distance_and_their_behavior() {
        let brain = SharedBrain { n_bins: 3000, ..SharedBrain::cursor(3) };
        let recording = brain.session(0, 1, 6).with_behavior(&ndarray::arr2(&[[1.0, 2.0]]));
        let window =
            WindowConfig { align: Alignment::Every(0.5), start_s: 0.0, end_s: 0.5, bin_size_s: 0.02 };
        let data = SessionData::new(&recording, &window).unwrap();
        let pattern = vec![Part::Train, Part::Train, Part::Valid, Part::Train, Part::Test];
        let blocks = SplitOrder::Blocks(BlockConfig { block_s: 2.0, gap_s: 0.7, pattern });
        let target = BehaviorTarget {
            name: "x".to_owned(),
            signal: "cursor".to_owned(),
            column: "x".to_owned(),
            rule: ResampleRule::Linear,
            max_gap_s: 0.1,
            absolute: false,
            of_angle: None,
        };
        for (order, gap_s) in [(SplitOrder::Random, 0.0), (blocks, 0.7)] {
            let config = SplitConfig { order, ..SplitConfig::default() };
            let split = TrialSplit::of(&data, &config, 1).unwrap();
            let session =
                DecoderSession::new(&recording, &data, (&split, &config), std::slice::from_ref(&target));
            let session = session.unwrap();
            let (mut n_moved, jitter_s) = (0, 0.4);
            for (number, &trial) in session.train.iter().enumerate() {
                for part in [0.0, 0.3, 1.0] {
                    let shift_s = session.shift_s(number, jitter_s, part);
                    assert!(shift_s.abs() <= jitter_s);
                    n_moved += u32::from(shift_s.abs() > 0.1);
                    let moved = data.windows()[trial];
                    let (start_s, end_s) = (moved.start_s + shift_s, moved.end_s + shift_s);
                    for &other in split.valid.iter().chain(&split.test) {
                        let other = data.windows()[other];
                        let distance = (other.start_s - end_s).max(start_s - other.end_s);
                        assert!(
                            distance >= gap_s - 1e-9,
                            "{distance} s from a window that is not for training"
                        );
                    }
                }
            }
            assert!(n_moved > 10, "{n_moved}");
            // Moved by whole bins, a window has the behavior of the recording there; its outputs are asked at the same times.
            let trial = session.train[1];
            let (here, there) =
                (session.values_at(trial, 0.0).unwrap(), session.values_at(trial, 0.04).unwrap());
            for bin in 0..here.nrows() - 2 {
                assert!((here[[bin + 2, 0]] - there[[bin, 0]]).abs() < 1e-6, "bin {bin}");
            }
            let spikes = |shift_s: f64| session.spikes.window(trial, shift_s, None).input.spikes;
            let late = spikes(0.0).into_iter().filter(|spike| spike.time_s >= 0.04);
            let late: Vec<(usize, f64)> = late.map(|spike| (spike.unit, spike.time_s - 0.04)).collect();
            let again = spikes(0.04);
            assert!(late.len() > 10 && again.len() >= late.len());
            for ((unit, time_s), spike) in late.into_iter().zip(again) {
                assert!(unit == spike.unit && (time_s - spike.time_s).abs() < 1e-9);
            }
            let some = session.spikes.window(trial, 0.0, Some(vec![1, 4])).input;
            assert!(some.spikes.iter().all(|spike| [1, 4].contains(&spike.unit)) && !some.spikes.is_empty());
            // Standardized over the training windows: mean 0, variance 1.
            let learned = session.values.select(Axis(0), &session.train);
            let mean = learned.mean().unwrap();
            let variance = learned.mapv(|v| v * v).mean().unwrap() - mean * mean;
            assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9, "{mean} {variance}");
        }
    }
}
