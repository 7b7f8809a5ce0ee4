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
        Self::weighted(scores, &vec![1.0; scores.len()], group_of_member, bootstrap)
    }

    /// As [`Self::new`], but members weigh within their group, such as means of so many items; groups weigh alike all the same.
    ///
    /// Fails as [`Self::new`], and on weights that are not positive.
    pub fn weighted(
        scores: &[f64],
        weights: &[f64],
        group_of_member: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, MetricError> {
        for (what, n) in [("groups of members", group_of_member.len()), ("weights of members", weights.len())]
        {
            if scores.len() != n {
                return Err(MetricError::ShapeMismatch { what, expected: vec![scores.len()], got: vec![n] });
            }
        }
        if let Some((index, &value)) = scores.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(MetricError::NotFinite { what: "scores", value, index: vec![index] });
        }
        if let Some(&value) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            let (what, must) = ("weight of a member", "finite and positive");
            return Err(MetricError::InvalidSetting { what, value, must });
        }
        // Score and weight of each member.
        let mut members: BTreeMap<usize, Vec<[f64; 2]>> = BTreeMap::new();
        for ((&score, &weight), &group) in scores.iter().zip(weights).zip(group_of_member) {
            members.entry(group).or_default().push([score, weight]);
        }
        let groups: Vec<GroupRow> = members
            .iter()
            .map(|(&group, scores)| {
                let each: Vec<usize> = (0..scores.len()).collect();
                let over = |rows: &[usize]| Some(mean(rows.iter().map(|&i| scores[i])));
                let interval = bootstrap.clustered(&each, over);
                GroupRow { group, n: scores.len(), mean: mean(scores.iter().copied()), interval }
            })
            .collect();
        let worst = groups.iter().copied().min_by(|a, b| a.mean.total_cmp(&b.mean));
        let worst = worst.ok_or(MetricError::Empty { what: "list of scores" })?;
        let lists: Vec<&Vec<[f64; 2]>> = members.values().collect();
        let interval = if lists.len() < 2 {
            bootstrap.undefined(IntervalMethod::GroupBootstrap)
        } else {
            let values = bootstrap.values(|resample| {
                let drawn = bootstrap.draws(resample, lists.len());
                let means = drawn.iter().enumerate().map(|(slot, &group)| {
                    let times = bootstrap.weights(resample, slot, lists[group].len());
                    mean(
                        times
                            .iter()
                            .zip(lists[group])
                            .map(|(times, [score, weight])| [*score, times * weight]),
                    )
                });
                means.sum::<f64>() / lists.len() as f64
            });
            bootstrap.interval(values, IntervalMethod::GroupBootstrap)
        };
        let mean = mean(groups.iter().map(|row| [row.mean, 1.0]));
        Ok(Self { groups, worst, mean, interval })
    }

    /// As [`Self::new`], where members of several groups have one source, as regions are recorded in the same sessions: the
    /// interval of the mean then draws sources once for all groups, and groups (the pigeonhole bootstrap, Owen 2007,
    /// doi:10.1214/07-AOAS122). Drawn in each group by itself, what a source does to all of its members would average out
    /// over groups. Groups of which no source is drawn are left out of a resample.
    ///
    /// Fails as [`Self::new`].
    pub fn crossed(
        scores: &[f64],
        group_of_member: &[usize],
        source_of_member: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, MetricError> {
        if scores.len() != source_of_member.len() {
            let (expected, got) = (vec![scores.len()], vec![source_of_member.len()]);
            return Err(MetricError::ShapeMismatch { what: "sources of members", expected, got });
        }
        let mut found = Self::new(scores, group_of_member, bootstrap)?;
        if found.groups.len() < 2 {
            return Ok(found);
        }
        let mut sources = source_of_member.to_vec();
        sources.sort_unstable();
        sources.dedup();
        // Score and place of the source of each member.
        let mut members: BTreeMap<usize, Vec<(f64, usize)>> = BTreeMap::new();
        for ((&score, &group), source) in scores.iter().zip(group_of_member).zip(source_of_member) {
            let place = sources.partition_point(|other| other < source);
            members.entry(group).or_default().push((score, place));
        }
        let lists: Vec<Vec<(f64, usize)>> = members.into_values().collect();
        let values = bootstrap.values(|resample| {
            let times = bootstrap.weights(resample, 0, sources.len());
            let drawn = bootstrap.draws(resample, lists.len()).into_iter();
            let means =
                drawn.map(|group| mean(lists[group].iter().map(|&(score, source)| [score, times[source]])));
            mean(means.filter(|value| value.is_finite()).map(|value| [value, 1.0]))
        });
        found.interval = bootstrap.interval(values, IntervalMethod::GroupBootstrap);
        Ok(found)
    }
}

/// Mean of values with their weights; NaN without any weight.
fn mean(members: impl Iterator<Item = [f64; 2]>) -> f64 {
    let (sum, total) =
        members.fold((0.0, 0.0), |(sum, total), [score, weight]| (sum + weight * score, total + weight));
    sum / total
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use neurobrick_random::{Domain, Stream};

    use super::*;

    #[test]
    fn members_weigh_and_groups_do_not() {
        let bootstrap = Bootstrap::with_seed(1);
        let weighted =
            |weights: &[f64]| GroupSummary::weighted(&[1.0, 0.0, 0.5], weights, &[0, 0, 1], &bootstrap);
        let found = weighted(&[3.0, 1.0, 100.0]).unwrap();
        assert!(
            (found.groups[0].mean - 0.75).abs() < 1e-15 && (found.mean - 0.625).abs() < 1e-15,
            "{found:?}"
        );
        assert!(found.interval.lo >= 0.25 && found.interval.hi <= 1.0, "{found:?}");
        let refused = weighted(&[3.0, 0.0, 1.0]);
        assert!(matches!(refused, Err(MetricError::InvalidSetting { .. })));
        assert!(matches!(weighted(&[1.0]), Err(MetricError::ShapeMismatch { .. })));
    }

    /// Ten sources with a level each, in forty groups: in each group by itself they seem to average out.
    #[test]
    fn a_source_is_drawn_once_for_all_groups() {
        let mut draws = Stream::new(4, Domain::Synthetic, [0; 3]);
        let levels: Vec<f64> = (0..10).map(|_| draws.normal()).collect();
        let scores: Vec<f64> = (0..400).map(|member| levels[member % 10] + 0.1 * draws.normal()).collect();
        let group: Vec<usize> = (0..400).map(|member| member / 10).collect();
        let source: Vec<usize> = (0..400).map(|member| 7 * (member % 10)).collect();
        let bootstrap = Bootstrap::with_seed(2);
        let crossed = GroupSummary::crossed(&scores, &group, &source, &bootstrap).unwrap();
        let nested = GroupSummary::new(&scores, &group, &bootstrap).unwrap();
        let width = |interval: ConfidenceInterval| interval.hi - interval.lo;
        let of_levels = bootstrap.clustered(&(0..10).collect::<Vec<_>>(), |rows| {
            Some(rows.iter().map(|&row| levels[row]).sum::<f64>() / rows.len() as f64)
        });
        let ratio = width(crossed.interval) / width(of_levels);
        assert!((0.85..1.15).contains(&ratio), "{ratio}");
        assert!(width(nested.interval) < 0.3 * width(crossed.interval), "{nested:?}");
        assert!((nested.mean - crossed.mean).abs() < 1e-15 && nested.groups == crossed.groups);
        assert!(GroupSummary::crossed(&scores, &group, &source[1..], &bootstrap).is_err());
    }
}
