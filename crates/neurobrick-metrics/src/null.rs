//! What a decoder's score is when there is nothing to decode: labels shuffled within groups, or shifted in time.

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
}

/// The scores of the same decoder on labels without meaning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NullDistribution {
    /// How labels lost their meaning.
    pub test: NullTest,
    /// Draws that had a score.
    pub n_draws: usize,
    /// Draws that were asked for; those without a score left a class empty. Zero in files written before it was kept.
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
    /// For each row, the row whose label it gets in draw number `draw`. `group_of_row` names the group of each row;
    /// rows of a group count in their order. A group of one row keeps its label.
    pub fn order(self, group_of_row: &[usize], seed: u64, draw: usize) -> Vec<usize> {
        let mut groups: Vec<usize> = group_of_row.to_vec();
        groups.sort_unstable();
        groups.dedup();
        let mut order: Vec<usize> = (0..group_of_row.len()).collect();
        for (slot, group) in groups.iter().enumerate() {
            let rows: Vec<usize> =
                (0..group_of_row.len()).filter(|&row| group_of_row[row] == *group).collect();
            let mut stream = Stream::new(seed, Domain::Bootstrap, [draw as u64, slot as u64, 2]);
            let mut from = rows.clone();
            match self {
                Self::LabelShuffle => stream.shuffle(&mut from),
                Self::CircularShift => {
                    let margin = (rows.len() / 10).max(1);
                    let free = (rows.len() + 1).saturating_sub(2 * margin);
                    if free > 0 {
                        from.rotate_left(margin + stream.below(free));
                    }
                }
            }
            for (row, source) in rows.into_iter().zip(from) {
                order[row] = source;
            }
        }
        order
    }
}

impl NullDistribution {
    /// Scores `n_draws` draws; `score` gets, for each row, the row whose label it has now. A draw that fails with
    /// [`MetricError::SingleClass`] has no score and is left out.
    ///
    /// Fails if no draw has a score, with any other error of a draw (the first draw's), and if `observed` or the score of a
    /// draw is not finite.
    pub fn new(
        test: NullTest,
        group_of_row: &[usize],
        observed: f64,
        (seed, n_draws): (u64, usize),
        score: impl Fn(&[usize]) -> Result<f64, MetricError> + Send + Sync,
    ) -> Result<Self, MetricError> {
        if !observed.is_finite() {
            return Err(MetricError::NotFinite { what: "observed score", value: observed, index: vec![0] });
        }
        let drawn: Vec<Result<f64, MetricError>> =
            (0..n_draws).into_par_iter().map(|draw| score(&test.order(group_of_row, seed, draw))).collect();
        let mut scores = Vec::with_capacity(n_draws);
        for (draw, found) in drawn.into_iter().enumerate() {
            match found {
                Ok(value) if value.is_finite() => scores.push(value),
                Ok(value) => {
                    return Err(MetricError::NotFinite { what: "score of a draw", value, index: vec![draw] });
                }
                Err(MetricError::SingleClass { .. }) => {}
                Err(error) => return Err(error),
            }
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
            let order = test.order(&groups, 3, 5);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..40).collect::<Vec<_>>(), "{test:?} is a permutation");
            assert!(order.iter().enumerate().all(|(row, &from)| groups[row] == groups[from]), "{test:?}");
            assert_ne!(order, test.order(&groups, 3, 6), "{test:?}");
        }
    }

    #[test]
    fn only_an_empty_class_leaves_a_draw_without_a_score() {
        let groups = vec![0; 10];
        let null = |score: &(dyn Fn(&[usize]) -> Result<f64, MetricError> + Sync + Send)| {
            NullDistribution::new(NullTest::LabelShuffle, &groups, 0.5, (1, 30), score)
        };
        let single = MetricError::SingleClass { trials: 10, class: true };
        let found = null(&|order| if order[0] < 5 { Ok(0.25) } else { Err(single.clone()) }).unwrap();
        assert!(found.n_asked == 30 && found.n_draws < 30 && found.n_draws > 0, "{found:?}");
        assert!((found.mean - 0.25).abs() < 1e-15, "{found:?}");
        let other = MetricError::NoVariation { what: "a score" };
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
            let order = NullTest::CircularShift.order(&groups, 1, draw);
            let shift = order[0];
            assert!((5..=45).contains(&shift), "{shift}");
            assert!(order.iter().enumerate().all(|(row, &from)| from == (row + shift) % 50));
        }
    }
}
