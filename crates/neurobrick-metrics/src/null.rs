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
    /// Scores `n_draws` draws; `score` gets, for each row, the row whose label it has now, and returns `None` where such
    /// labels cannot be scored (one class is missing).
    ///
    /// Fails if no draw has a score, or `observed` is not finite.
    pub fn new(
        test: NullTest,
        group_of_row: &[usize],
        observed: f64,
        (seed, n_draws): (u64, usize),
        score: impl Fn(&[usize]) -> Option<f64> + Send + Sync,
    ) -> Result<Self, MetricError> {
        if !observed.is_finite() {
            return Err(MetricError::NotFinite { what: "observed score", value: observed, index: vec![0] });
        }
        let mut scores: Vec<f64> = (0..n_draws)
            .into_par_iter()
            .filter_map(|draw| score(&test.order(group_of_row, seed, draw)).filter(|value| value.is_finite()))
            .collect();
        if scores.is_empty() {
            return Err(MetricError::Empty { what: "null distribution" });
        }
        scores.sort_unstable_by(f64::total_cmp);
        let n = scores.len();
        let at_least = scores.iter().filter(|&&score| score >= observed).count();
        Ok(Self {
            test,
            n_draws: n,
            mean: scores.iter().sum::<f64>() / n as f64,
            upper: scores[(n * 19 / 20).min(n - 1)],
            p_value: (at_least + 1) as f64 / (n + 1) as f64,
        })
    }
}

#[cfg(test)]
mod tests {
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
