//! Scores by group (region, subject, laboratory), the worst of them, and one number over the hierarchy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Bootstrap, ConfidenceInterval, IntervalMethod, MetricError};

/// One group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRow {
    /// The group, as the caller numbers it.
    pub group: usize,
    /// Members.
    pub n: usize,
    /// Mean of the members.
    pub mean: f64,
    /// Bootstrap interval over members; NaN bounds with a single one.
    pub interval: ConfidenceInterval,
}

/// Scores of members (sessions) in groups (subjects).
///
/// ```
/// use neurobrick_metrics::{Bootstrap, GroupSummary};
///
/// // Five sessions of two animals: the animal with three of them does not weigh more.
/// let found = GroupSummary::new(&[0.4, 0.5, 0.6, 0.1, 0.3], &[7, 7, 7, 9, 9], &Bootstrap::with_seed(1))?;
/// assert_eq!((found.worst.group, found.worst.n), (9, 2));
/// assert!((found.mean - (0.5 + 0.2) / 2.0).abs() < 1e-12);
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSummary {
    /// All groups, in their numbers' order.
    pub groups: Vec<GroupRow>,
    /// The group with the lowest mean. With few members it may be the luck of the draw: see its interval.
    pub worst: GroupRow,
    /// Mean over groups of their means: a group with many members weighs as much as one with few.
    pub mean: f64,
    /// Its interval, groups resampled and members within each: it generalizes to other groups. NaN bounds with one group.
    pub interval: ConfidenceInterval,
}

impl GroupSummary {
    /// From one score per member; fails on unequal lengths, without members, and on scores that are not finite.
    pub fn new(
        scores: &[f64],
        group_of_member: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, MetricError> {
        if scores.len() != group_of_member.len() {
            let (expected, got) = (vec![scores.len()], vec![group_of_member.len()]);
            return Err(MetricError::ShapeMismatch { what: "groups of members", expected, got });
        }
        if let Some((index, &value)) = scores.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what: "scores", value, index: vec![index] });
        }
        let mut members: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (&score, &group) in scores.iter().zip(group_of_member) {
            members.entry(group).or_default().push(score);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let groups: Vec<GroupRow> = members
            .iter()
            .map(|(&group, scores)| {
                let each: Vec<usize> = (0..scores.len()).collect();
                let over =
                    |rows: &[usize]| Some(rows.iter().map(|&i| scores[i]).sum::<f64>() / rows.len() as f64);
                let interval = bootstrap.clustered(&each, over);
                GroupRow { group, n: scores.len(), mean: mean(scores), interval }
            })
            .collect();
        let worst = groups.iter().copied().min_by(|a, b| a.mean.total_cmp(&b.mean));
        let worst = worst.ok_or(MetricError::Empty { what: "list of scores" })?;
        let lists: Vec<&Vec<f64>> = members.values().collect();
        let interval = if lists.len() < 2 {
            bootstrap.undefined(IntervalMethod::GroupBootstrap)
        } else {
            let values = bootstrap.values(|resample| {
                let drawn = bootstrap.draws(resample, lists.len());
                let means = drawn.iter().enumerate().map(|(slot, &group)| {
                    let weights = bootstrap.weights(resample, slot, lists[group].len());
                    let sum: f64 = weights.iter().zip(lists[group]).map(|(w, score)| w * score).sum();
                    sum / lists[group].len() as f64
                });
                means.sum::<f64>() / lists.len() as f64
            });
            bootstrap.interval(values, IntervalMethod::GroupBootstrap)
        };
        let means: Vec<f64> = groups.iter().map(|row| row.mean).collect();
        Ok(Self { groups, worst, mean: mean(&means), interval })
    }
}
