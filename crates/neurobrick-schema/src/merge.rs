//! Ascending trains of times become one, by steps of time instead of by comparing the trains with each other.

use std::cmp::Ordering;
use std::mem;

use crate::block::Block;

/// Spikes of a block on average. What a block reads and writes stays in the cache of one core.
const BLOCK_SPIKES: usize = 1 << 14;
/// Steps of time of a block: one spike each on average.
const STEPS: usize = BLOCK_SPIKES;
/// Spikes of one step up to which they are put in order by insertion.
const CROWD: usize = 32;

/// Merges trains that end where `ends` says: the times in order of [`f64::total_cmp`], with the train of each. Equal times
/// keep the order of their trains. Every train must ascend in that order, and every time be finite.
///
/// Time is cut into steps so small that each holds about one spike. A spike goes straight to where its step begins, and
/// only spikes of the same step are compared. Where time is crowded, steps hold many spikes, which are sorted.
pub(crate) fn merge(times_s: &[f64], ends: &[usize]) -> (Block<f64>, Block<u32>) {
    let n_spikes = times_s.len();
    let mut merged = (
        Block::zeros(n_spikes).unwrap_or_else(|| vec![0.0; n_spikes].into()),
        Block::zeros(n_spikes).unwrap_or_else(|| vec![0; n_spikes].into()),
    );
    let mut open = Vec::with_capacity(ends.len());
    let (mut start, mut first, mut last) = (0, f64::INFINITY, f64::NEG_INFINITY);
    for (train, &end) in (0..).zip(ends) {
        let rest = &times_s[mem::replace(&mut start, end)..end];
        if let [head, .., tail] | [head @ tail] = rest {
            (first, last) = (first.min(*head), last.max(*tail));
            open.push(Train { index: train, rest, n_now: 0 });
        }
    }
    let n_blocks = times_s.len().div_ceil(BLOCK_SPIKES);
    let steps_per_s = (n_blocks * STEPS) as f64 / (last - first);
    let (mut times_out, mut trains_out) = (&mut merged.0[..], &mut merged.1[..]);
    if !(steps_per_s.is_finite() && steps_per_s > 0.0) {
        // No spikes, one time only, or times too far apart for steps.
        let mut begin = 0;
        for Train { index, rest, .. } in open {
            let end = begin + rest.len();
            times_out[begin..end].copy_from_slice(rest);
            trains_out[begin..end].fill(index);
            begin = end;
        }
        sort(times_out, trains_out);
        return merged;
    }
    let mut places = vec![0; STEPS];
    for block in 1..=n_blocks {
        let clock = Clock { first, steps_per_s, first_step: (block - 1) * STEPS, is_last: block == n_blocks };
        let n_spikes = count(&mut open, &clock, &mut places);
        let (times, later_times) = times_out.split_at_mut(n_spikes);
        let (trains, later_trains) = trains_out.split_at_mut(n_spikes);
        place(&mut open, &clock, &mut places, times, trains);
        (times_out, trains_out) = (later_times, later_trains);
    }
    merged
}

/// What is left of a train.
struct Train<'a> {
    index: u32,
    rest: &'a [f64],
    /// Its spikes in the block at hand.
    n_now: usize,
}

/// The steps of a block.
struct Clock {
    first: f64,
    steps_per_s: f64,
    first_step: usize,
    /// The last block has all that is left.
    is_last: bool,
}

impl Clock {
    /// Step of a time in this block; `None` after it. It never falls while time rises.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a step from zero on")]
    fn step(&self, time_s: f64) -> Option<usize> {
        // Through 32 bits, which takes the processor fewer instructions; more steps than that share the last.
        let step = ((time_s - self.first) * self.steps_per_s) as u32 as usize;
        let step = step.saturating_sub(self.first_step);
        if self.is_last { Some(step.min(STEPS - 1)) } else { Some(step).filter(|&step| step < STEPS) }
    }
}

/// Finds the spikes of a block and where each of its steps begins. Returns their number.
fn count(open: &mut Vec<Train<'_>>, clock: &Clock, places: &mut [u32]) -> usize {
    places.fill(0);
    open.retain_mut(|train| {
        train.n_now = 0;
        for &time_s in train.rest {
            let Some(step) = clock.step(time_s) else { break };
            places[step] += 1;
            train.n_now += 1;
        }
        !train.rest.is_empty()
    });
    let mut n_spikes = 0_u32;
    for place in places {
        n_spikes += mem::replace(place, n_spikes);
    }
    n_spikes as usize
}

/// Moves the spikes of a block to their steps and puts each step in order.
fn place(open: &mut [Train<'_>], clock: &Clock, places: &mut [u32], times_s: &mut [f64], trains: &mut [u32]) {
    for train in open {
        let (now, later) = train.rest.split_at(train.n_now);
        train.rest = later;
        for &time_s in now {
            // All of them have a step, or they were not counted.
            let Some(step) = clock.step(time_s) else { break };
            let place = places[step] as usize;
            times_s[place] = time_s;
            trains[place] = train.index;
            places[step] += 1;
        }
    }
    // Every place has moved to the end of its step.
    let (mut begin, mut is_crowded) = (0, false);
    for end in places.iter().map(|&end| end as usize) {
        is_crowded |= end - begin > CROWD;
        begin = end;
    }
    if !is_crowded {
        settle(times_s, trains);
        insert(times_s, trains);
        return;
    }
    begin = 0;
    for end in places.iter().map(|&end| end as usize) {
        let (times_s, trains) = (&mut times_s[begin..end], &mut trains[begin..end]);
        if end - begin > CROWD {
            sort(times_s, trains);
        } else {
            insert(times_s, trains);
        }
        begin = end;
    }
}

/// Carries the latest spike so far along, which leaves few out of order; without a branch, which nobody could foretell.
fn settle(times_s: &mut [f64], trains: &mut [u32]) {
    let n_spikes = times_s.len().min(trains.len());
    let (times_s, trains) = (&mut times_s[..n_spikes], &mut trains[..n_spikes]);
    let (Some(&first), Some(&train)) = (times_s.first(), trains.first()) else { return };
    let (mut time_s, mut train) = (ordered(first), train);
    let mut at = 1;
    while at < n_spikes {
        let (next, next_train) = (ordered(times_s[at]), trains[at]);
        let is_later = time_s > next;
        times_s[at - 1] = unordered(if is_later { next } else { time_s });
        trains[at - 1] = if is_later { next_train } else { train };
        time_s = if is_later { time_s } else { next };
        train = if is_later { train } else { next_train };
        at += 1;
    }
    times_s[n_spikes - 1] = unordered(time_s);
    trains[n_spikes - 1] = train;
}

/// A whole number that is greater where [`f64::total_cmp`] finds the time greater.
fn ordered(time_s: f64) -> i64 {
    let bits = time_s.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The time of such a number.
fn unordered(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63).cast_unsigned() >> 1).cast_signed()).cast_unsigned())
}

/// Sorts spikes that are nearly in order by time; equal times keep their order.
fn insert(times_s: &mut [f64], trains: &mut [u32]) {
    for from in 1..times_s.len() {
        if times_s[from - 1] < times_s[from] {
            continue;
        }
        let mut to = from;
        while to > 0 && times_s[to - 1].total_cmp(&times_s[to]) == Ordering::Greater {
            times_s.swap(to - 1, to);
            trains.swap(to - 1, to);
            to -= 1;
        }
    }
}

/// Sorts many spikes by time; equal times keep their order.
fn sort(times_s: &mut [f64], trains: &mut [u32]) {
    let mut pairs: Vec<(f64, u32)> = times_s.iter().copied().zip(trains.iter().copied()).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    for ((time_s, train), pair) in times_s.iter_mut().zip(trains).zip(pairs) {
        (*time_s, *train) = pair;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The plain way: all spikes, sorted by time.
    fn sorted(times_s: &[f64], ends: &[usize]) -> Vec<(u64, u32)> {
        let mut pairs = Vec::new();
        let mut start = 0;
        for (train, &end) in (0..).zip(ends) {
            pairs.extend(times_s[mem::replace(&mut start, end)..end].iter().map(|&time_s| (time_s, train)));
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        pairs.into_iter().map(|(time_s, train)| (time_s.to_bits(), train)).collect()
    }

    fn check(trains: Vec<Vec<f64>>) {
        let (mut times_s, mut ends) = (Vec::new(), Vec::new());
        for mut train in trains {
            train.sort_by(f64::total_cmp);
            times_s.extend(train);
            ends.push(times_s.len());
        }
        let (merged, train_of) = merge(&times_s, &ends);
        let found: Vec<_> =
            merged.iter().map(|time_s| time_s.to_bits()).zip(train_of.iter().copied()).collect();
        assert!(found == sorted(&times_s, &ends), "{ends:?}");
    }

    /// Numbers between 0 and 1 without a pattern.
    fn scattered(n: u32) -> impl Iterator<Item = f64> {
        (0..n).map(|at| f64::from(at.wrapping_mul(2_654_435_761)) / f64::from(u32::MAX))
    }

    #[test]
    fn blocks_and_crowds_come_out_as_a_sort_would() {
        check(Vec::new());
        check(vec![Vec::new(), vec![1.5], Vec::new()]);
        check(vec![vec![2.0; 40], vec![2.0, 2.0]]);
        check(vec![vec![0.0, -0.0, 1.0], vec![-0.0, 0.0]]);
        check(vec![vec![-1e308, 1e308], vec![0.0, 1e-310]]);
        check(vec![vec![0.0, 5e-324], vec![5e-324, 0.0]]);
        // Some blocks of ten trains that differ in length.
        let mut times_s = scattered(100_000);
        check((1..11).map(|train| times_s.by_ref().take(1800 * train).collect()).collect());
        // One spike far away leaves all others in the first step.
        check(vec![scattered(50_000).collect(), vec![1e9], scattered(300).collect()]);
        // Bursts: a third of the spikes at ten times.
        let burst = |at: f64| if at < 0.3 { (at * 30.0).floor() } else { at * 1e3 };
        check((0..7).map(|_| scattered(20_000).map(burst).collect()).collect());
    }

    proptest! {
        #[test]
        fn any_trains_come_out_as_a_sort_would(
            trains in proptest::collection::vec(proptest::collection::vec(
                prop_oneof![-1e3..1e3, Just(0.0), Just(-0.0), Just(7.25), -1e300..1e300], 0..80), 0..9),
        ) {
            check(trains);
        }
    }
}
