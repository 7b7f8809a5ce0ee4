//! What a decoder's score is when there is nothing to decode: labels shuffled within groups, shifted in time, or taken from
//! other sessions.

use std::collections::BTreeMap;

use neurobrick_random::{Domain, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::MetricError;

/// How the tie between activity and labels is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullTest {
    /// Labels permuted within each group: right where the rows of a group are exchangeable, as trials in random order.
    LabelShuffle,
    /// Labels of each group rotated against its rows by at least a tenth of its length: keeps the labels' own rhythm, which
    /// a shuffle destroys, so that two slow signals do not pass for one code.
    CircularShift,
    /// Targets of other sessions in place of one's own ("session permutation", Harris 2020, "Nonsense correlations in
    /// neuroscience", doi:10.1101/2020.11.29.402719): no time of day, drift or satiety of a session is shuffled away, and
    /// nothing is assumed of its rhythm, so that two slow signals do not pass for one code. Needs
    /// [`NullDistribution::of_other_sessions`], and many sessions: its p-value cannot be below one in their number.
    OtherSessions,
}

/// The scores of the same decoder on labels without meaning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NullDistribution {
    /// How labels lost their meaning.
    pub test: NullTest,
    /// Draws that had a score.
    pub n_draws: usize,
    /// Draws that were made: those asked for, or all shifts if they are fewer. Those without a score left a class empty or
    /// a behavior without variation; of other sessions, those that are too short as well.
    /// Zero in files written before it was kept.
    #[serde(default)]
    pub n_asked: usize,
    /// Mean score.
    pub mean: f64,
    /// The score that one draw in twenty exceeds.
    pub upper: f64,
    /// Share of draws, the real labels among them, that score at least as high as the real labels.
    pub p_value: f64,
}

impl NullTest {
    /// How many orders there are, if they can be counted: the shifts of each group, multiplied. Permutations are too many.
    fn n_orders(self, group_of_row: &[usize]) -> Option<usize> {
        match self {
            Self::LabelShuffle | Self::OtherSessions => None,
            Self::CircularShift => groups_of(group_of_row)
                .iter()
                .try_fold(1_usize, |n, rows| n.checked_mul(shifts(rows.len()).1.max(1))),
        }
    }

    /// Order number `index` of all that there are: the shift of the first group changes fastest.
    fn order_at(group_of_row: &[usize], mut index: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..group_of_row.len()).collect();
        for rows in groups_of(group_of_row) {
            let (margin, free) = shifts(rows.len());
            if free > 0 {
                rotate(&mut order, &rows, margin + index % free);
                index /= free;
            }
        }
        order
    }

    /// For each row, the row whose label it gets in draw number `draw`. `group_of_row` names the group of each row;
    /// rows of a group count in their order. A group of one row keeps its label. `None` for [`Self::OtherSessions`], whose
    /// labels are not among those of the rows.
    pub fn order(self, group_of_row: &[usize], seed: u64, draw: usize) -> Option<Vec<usize>> {
        let mut order: Vec<usize> = (0..group_of_row.len()).collect();
        for (slot, rows) in groups_of(group_of_row).into_iter().enumerate() {
            let mut stream = Stream::new(seed, Domain::Bootstrap, [draw as u64, slot as u64, 2]);
            match self {
                Self::LabelShuffle => {
                    let mut from = rows.clone();
                    stream.shuffle(&mut from);
                    for (row, source) in rows.into_iter().zip(from) {
                        order[row] = source;
                    }
                }
                Self::CircularShift => {
                    let (margin, free) = shifts(rows.len());
                    if free > 0 {
                        rotate(&mut order, &rows, margin + stream.below(free));
                    }
                }
                Self::OtherSessions => return None,
            }
        }
        Some(order)
    }
}

/// Rows of each group, in their order; groups by number.
fn groups_of(group_of_row: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, group) in group_of_row.iter().enumerate() {
        groups.entry(*group).or_default().push(row);
    }
    groups.into_values().collect()
}

/// The least shift of so many rows, and the number of shifts from there on.
fn shifts(n_rows: usize) -> (usize, usize) {
    let margin = (n_rows / 10).max(1);
    (margin, (n_rows + 1).saturating_sub(2 * margin))
}

fn rotate(order: &mut [usize], rows: &[usize], shift: usize) {
    for (place, &row) in rows.iter().enumerate() {
        order[row] = rows[(place + shift) % rows.len()];
    }
}

impl NullDistribution {
    /// Scores `n_draws` draws; `score` gets, for each row, the row whose label it has now. A draw that fails with
    /// [`MetricError::SingleClass`] or [`MetricError::NoVariation`] has no score and is left out. Where there are no more shifts than draws, each is scored
    /// once: drawing the same few again would make a p-value smaller than they can support.
    ///
    /// Fails if no draw has a score, with any other error of a draw (the first draw's), if `observed` or the score of a
    /// draw is not finite, and for [`NullTest::OtherSessions`], which is not made of one session's labels.
    pub fn new(
        test: NullTest,
        group_of_row: &[usize],
        observed: f64,
        (seed, n_draws): (u64, usize),
        score: impl Fn(&[usize]) -> Result<f64, MetricError> + Send + Sync,
    ) -> Result<Self, MetricError> {
        if test == NullTest::OtherSessions {
            return Err(MetricError::Empty { what: "list of other sessions; use `of_other_sessions`" });
        }
        let all = test.n_orders(group_of_row).filter(|&n| n <= n_draws);
        let n_draws = all.unwrap_or(n_draws);
        let order = |draw| match all {
            Some(_) => Some(NullTest::order_at(group_of_row, draw)),
            None => test.order(group_of_row, seed, draw),
        };
        let scored = |order: Vec<usize>| match score(&order) {
            Err(MetricError::SingleClass { .. } | MetricError::NoVariation { .. }) => Ok(None),
            found => found.map(Some),
        };
        let drawn = (0..n_draws).into_par_iter().map(|draw| order(draw).map_or(Ok(None), scored)).collect();
        Self::of_scores(test, observed, drawn)
    }

    /// The null of a session's decoder in the targets of other sessions: `score` gets the number of one of them, whose first
    /// `n_rows` targets take the place of the session's own, row by row in the order of time, and answers `None` where nothing
    /// can be said of them (one class, no variation). `rows_of_others` says how many targets each has; those with fewer than
    /// `n_rows` are counted among those asked and have no score either.
    ///
    /// Fails if no other session has a score, and if `observed` or one of their scores is not finite.
    pub fn of_other_sessions(
        observed: f64,
        n_rows: usize,
        rows_of_others: &[usize],
        score: impl Fn(usize) -> Option<f64> + Send + Sync,
    ) -> Result<Self, MetricError> {
        let drawn = rows_of_others.par_iter().enumerate().map(|(other, &rows)| {
            // Not cut the session to the other's length: the score would be another one than `observed`.
            Ok(if rows < n_rows { None } else { score(other) })
        });
        Self::of_scores(NullTest::OtherSessions, observed, drawn.collect())
    }

    fn of_scores(
        test: NullTest,
        observed: f64,
        drawn: Vec<Result<Option<f64>, MetricError>>,
    ) -> Result<Self, MetricError> {
        if !observed.is_finite() {
            return Err(MetricError::NotFinite { what: "observed score", value: observed, index: vec![0] });
        }
        let n_draws = drawn.len();
        let mut scores = Vec::with_capacity(n_draws);
        for (draw, found) in drawn.into_iter().enumerate() {
            let Some(value) = found? else { continue };
            if !value.is_finite() {
                return Err(MetricError::NotFinite { what: "score of a draw", value, index: vec![draw] });
            }
            scores.push(value);
        }
        if scores.is_empty() {
            return Err(MetricError::Empty { what: "null distribution" });
        }
        scores.sort_unstable_by(f64::total_cmp);
        let n = scores.len();
        let at_least = scores.iter().filter(|&&score| score >= observed).count();
        Ok(Self {
            test,
            n_draws: n,
            n_asked: n_draws,
            mean: scores.iter().sum::<f64>() / n as f64,
            upper: scores[(n * 19 / 20).min(n - 1)],
            p_value: (at_least + 1) as f64 / (n + 1) as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn labels_stay_within_their_group() {
        let groups: Vec<usize> = (0..40).map(|row| row % 2).collect();
        for test in [NullTest::LabelShuffle, NullTest::CircularShift] {
            let order = test.order(&groups, 3, 5).unwrap();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..40).collect::<Vec<_>>(), "{test:?} is a permutation");
            assert!(order.iter().enumerate().all(|(row, &from)| groups[row] == groups[from]), "{test:?}");
            assert_ne!(order, test.order(&groups, 3, 6).unwrap(), "{test:?}");
        }
        assert_eq!(NullTest::OtherSessions.order(&groups, 3, 5), None, "no row's label is another's");
    }

    #[test]
    fn only_labels_without_variation_leave_a_draw_without_a_score() {
        let groups = vec![0; 10];
        let null = |score: &(dyn Fn(&[usize]) -> Result<f64, MetricError> + Sync + Send)| {
            NullDistribution::new(NullTest::LabelShuffle, &groups, 0.5, (1, 30), score)
        };
        let single = MetricError::SingleClass { trials: 10, class: true };
        let found = null(&|order| if order[0] < 5 { Ok(0.25) } else { Err(single.clone()) }).unwrap();
        assert!(found.n_asked == 30 && found.n_draws < 30 && found.n_draws > 0, "{found:?}");
        assert!((found.mean - 0.25).abs() < 1e-15, "{found:?}");
        let flat = MetricError::NoVariation { what: "behavior" };
        let found = null(&|order| if order[0] < 5 { Ok(0.25) } else { Err(flat.clone()) }).unwrap();
        assert!(found.n_asked == 30 && found.n_draws < 30 && found.n_draws > 0, "{found:?}");
        let other = MetricError::Empty { what: "a score" };
        assert_eq!(
            null(&|order| if order[0] < 5 { Ok(0.25) } else { Err(other.clone()) }),
            Err(other.clone())
        );
        assert!(matches!(null(&|_| Ok(f64::NAN)), Err(MetricError::NotFinite { .. })));
    }

    #[test]
    fn a_shift_keeps_the_order_and_its_distance() {
        let groups = vec![7; 50];
        for draw in 0..100 {
            let order = NullTest::CircularShift.order(&groups, 1, draw).unwrap();
            let shift = order[0];
            assert!((5..=45).contains(&shift), "{shift}");
            assert!(order.iter().enumerate().all(|(row, &from)| from == (row + shift) % 50));
        }
    }

    /// 40 rows have 33 shifts: the best of them is no rarer than one in 34.
    #[test]
    fn few_shifts_are_each_drawn_once() {
        let groups = vec![0; 40];
        let seen = std::sync::Mutex::new(Vec::new());
        let score = |order: &[usize]| {
            seen.lock().unwrap().push(order[0]);
            Ok(0.5)
        };
        let found = NullDistribution::new(NullTest::CircularShift, &groups, 1.0, (1, 200), score).unwrap();
        let mut shifts = seen.into_inner().unwrap();
        shifts.sort_unstable();
        assert_eq!(shifts, (4..=36).collect::<Vec<_>>());
        assert_eq!((found.n_draws, found.n_asked), (33, 33));
        assert!((found.p_value - 1.0 / 34.0).abs() < 1e-15, "{found:?}");
        // Two groups of four and five rows have 3 times 4 shifts.
        let groups = [0, 0, 0, 0, 1, 1, 1, 1, 1];
        let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
        let score = |order: &[usize]| {
            seen.lock().unwrap().insert((order[0], order[4]));
            Ok(0.5)
        };
        NullDistribution::new(NullTest::CircularShift, &groups, 1.0, (1, 12), score).unwrap();
        assert_eq!(seen.into_inner().unwrap().len(), 12);
    }

    /// One of nine sessions is as good as one's own, and one is too short to be asked.
    #[test]
    fn targets_of_other_sessions_are_a_null() {
        let rows = [50, 40, 60, 50, 50, 50, 50, 50, 50, 50];
        let score = |other: usize| match other {
            4 => None,
            7 => Some(0.9),
            _ => Some(0.5),
        };
        let found = NullDistribution::of_other_sessions(0.8, 50, &rows, score).unwrap();
        assert_eq!((found.test, found.n_draws, found.n_asked), (NullTest::OtherSessions, 8, 10));
        assert!((found.p_value - 2.0 / 9.0).abs() < 1e-15 && (found.mean - 0.55).abs() < 1e-15, "{found:?}");
        let none = NullDistribution::of_other_sessions(0.8, 70, &rows, score);
        assert!(matches!(none, Err(MetricError::Empty { .. })));
        let groups = [0; 50];
        let own = NullDistribution::new(NullTest::OtherSessions, &groups, 0.8, (1, 20), |_| Ok(0.5));
        assert!(matches!(own, Err(MetricError::Empty { .. })), "not of one session's labels");
    }
}
