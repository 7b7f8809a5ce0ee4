//! Scores over the sessions of an evaluation, and over regions, with the worst of each.

use std::collections::BTreeMap;

use neurobrick_metrics::{
    Alteration, BitsTable, Bootstrap, Combine, ConfidenceInterval, Convention, GroupSummary, MetricError,
    Resampling, SessionBits, no_difference,
};
use neurobrick_schema::SessionId;
use neurobrick_train::EvalTask;
use serde::{Deserialize, Serialize};

use super::decode::LEVEL;
use super::results::{Group, RegionEvaluation, SessionEvaluation, known};
use super::two_alternative::{ChoiceSums, TwoAlternativeEvaluation};
use crate::EvaluateError;

/// One predictor on one task over sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryScore {
    /// The task.
    pub task: EvalTask,
    /// The predictor.
    pub predictor: String,
    /// Model or baseline.
    pub group: Group,
    /// Sessions with a score.
    pub n_sessions: usize,
    /// Mean over sessions of the pooled bits/spike that the task is quoted with.
    pub mean: f64,
    /// Its bootstrap interval: sessions drawn, and test trials within each. It generalizes to other sessions like these; absent
    /// with fewer than two.
    pub interval: Option<ConfidenceInterval>,
    /// The session with the lowest score.
    pub worst_session: SessionId,
    /// Its score.
    pub worst: f64,
}

/// A difference over sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryDifference {
    /// The task.
    pub task: EvalTask,
    /// The first predictor, a model.
    pub left: String,
    /// The one subtracted.
    pub right: String,
    /// Sessions that have both.
    pub n_sessions: usize,
    /// Mean over sessions of `left − right`, bits/spike.
    pub mean: f64,
    /// Its interval, both scored on the same resamples; absent with fewer than two sessions.
    pub interval: Option<ConfidenceInterval>,
}

/// One region over the sessions that recorded it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionRow {
    /// Acronym.
    pub region: String,
    /// Sessions with a score.
    pub n_sessions: usize,
    /// Units scored, over these sessions.
    pub n_units: usize,
    /// Mean over sessions of the pooled bits/spike of its units.
    pub mean: f64,
    /// Bootstrap interval over sessions; absent with a single one.
    pub interval: Option<ConfidenceInterval>,
    /// Whether it is the region with the lowest mean, which with few sessions may be the luck of the draw.
    pub is_worst: bool,
}

/// Regions of one task, as one predictor does on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionSummary {
    /// The task.
    pub task: EvalTask,
    /// The predictor.
    pub predictor: String,
    /// Regions in the order of their names.
    pub regions: Vec<RegionRow>,
    /// Mean over regions: one recorded in many sessions weighs as much as one recorded once.
    pub mean: f64,
    /// Its bootstrap interval: regions drawn, and sessions once for all regions, since a session feeds many; absent with a
    /// single region.
    pub interval: Option<ConfidenceInterval>,
}

/// One predictor's choices between real and altered spikes over sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceSummary {
    /// The task.
    pub task: EvalTask,
    /// How spikes were altered.
    pub alteration: Alteration,
    /// The predictor.
    pub predictor: String,
    /// Model or baseline.
    pub group: Group,
    /// Sessions with a score.
    pub n_sessions: usize,
    /// Mean over sessions of its accuracy, the share of their items; chance is 0.5.
    pub accuracy: f64,
    /// Its bootstrap interval: sessions drawn, and trials within each; absent with fewer than two sessions.
    pub interval: Option<ConfidenceInterval>,
}

/// A difference of choices over sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceSummaryDifference {
    /// The task.
    pub task: EvalTask,
    /// How spikes were altered.
    pub alteration: Alteration,
    /// The first predictor, a model.
    pub left: String,
    /// The one subtracted.
    pub right: String,
    /// Sessions that have both.
    pub n_sessions: usize,
    /// Mean over sessions of `left − right` in accuracy.
    pub mean: f64,
    /// Student's interval over sessions; absent with fewer than two.
    pub interval: Option<ConfidenceInterval>,
    /// Two-sided p-value of Student's paired test over sessions; absent with fewer than two.
    pub p_value: Option<f64>,
}

/// What an evaluation says beyond single sessions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSummary {
    /// Every predictor of every task, models first.
    pub scores: Vec<SummaryScore>,
    /// Every model minus every later model and every baseline.
    pub differences: Vec<SummaryDifference>,
    /// Regions, for the first model and one baseline, which is the same in all sessions.
    pub regions: Vec<RegionSummary>,
    /// Real spikes against altered ones, where that was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<ChoiceSummary>,
    /// Every model minus every later model and every baseline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choice_differences: Vec<ChoiceSummaryDifference>,
}

/// What scores of a session's task were made from, summed over units: all that a pooled score needs.
#[derive(Clone, Debug)]
pub struct TaskTables {
    pub(super) task: EvalTask,
    pub(super) predictors: Vec<(String, Group, BitsTable)>,
    pub(super) choices: Vec<ChoiceSums>,
}

/// Collects sessions as they are scored.
#[derive(Debug, Default)]
pub struct SummaryBuilder {
    sessions: Vec<(SessionId, Vec<TaskTables>)>,
}

impl SummaryBuilder {
    /// Adds a session.
    pub fn add(&mut self, session: SessionId, tables: Vec<TaskTables>) {
        self.sessions.push((session, tables));
    }

    /// The summary of what was added; `results` are the same sessions, as scored or read from a file, for their regions and the
    /// differences of choices.
    ///
    /// # Errors
    /// If predictors of one session were not scored on the same counts.
    pub fn finish(
        &self,
        results: &[SessionEvaluation],
        bootstrap: &Bootstrap,
    ) -> Result<EvaluationSummary, EvaluateError> {
        let mut summary = EvaluationSummary::default();
        for task in EvalTask::ALL {
            let all = self.sessions.iter().flat_map(|(_, tables)| tables_of(tables, task));
            let names = named(all.map(|(name, group, _)| (name.as_str(), *group)));
            for (i, &(name, group)) in names.iter().enumerate() {
                let Some(score) = self.score(task, (name, group), bootstrap)? else { continue };
                summary.scores.push(score);
                if group == Group::Model {
                    for &(other, _) in &names[i + 1..] {
                        summary.differences.extend(self.difference(task, [name, other], bootstrap)?);
                    }
                }
            }
            summary.regions.extend(regions(results, task, bootstrap)?);
            for alteration in Alteration::ALL {
                summary.choices.extend(self.choices((task, alteration), bootstrap)?);
                summary.choice_differences.extend(choice_differences(results, (task, alteration)));
            }
        }
        Ok(summary)
    }

    fn score(
        &self,
        task: EvalTask,
        (name, group): (&str, Group),
        bootstrap: &Bootstrap,
    ) -> Result<Option<SummaryScore>, MetricError> {
        let of_session = |tables: &[TaskTables]| {
            let table = table_of(tables, task, name)?.clone();
            Some((table.value(Convention::Pooled), table)).filter(|(value, _)| value.is_finite())
        };
        let found: Vec<(&SessionId, f64, BitsTable)> = self
            .sessions
            .iter()
            .filter_map(|(session, tables)| of_session(tables).map(|(value, table)| (session, value, table)))
            .collect();
        let Some((worst_session, worst, _)) = found.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else {
            return Ok(None);
        };
        let (worst_session, worst) = ((*worst_session).clone(), *worst);
        let bits = SessionBits::new(found.into_iter().map(|(.., table)| table).collect())?;
        let over = Resampling::SessionsAndTrials;
        let interval = bits.interval(Convention::Pooled, Combine::SessionMean, over, bootstrap);
        Ok(Some(SummaryScore {
            task,
            predictor: name.to_owned(),
            group,
            n_sessions: bits.tables().len(),
            mean: bits.value(Convention::Pooled, Combine::SessionMean),
            interval: known(interval),
            worst_session,
            worst,
        }))
    }

    fn difference(
        &self,
        task: EvalTask,
        [left, right]: [&str; 2],
        bootstrap: &Bootstrap,
    ) -> Result<Option<SummaryDifference>, MetricError> {
        let both = |tables: &[TaskTables]| {
            let pair = (table_of(tables, task, left)?.clone(), table_of(tables, task, right)?.clone());
            let values = [&pair.0, &pair.1].map(|table| table.value(Convention::Pooled));
            values.iter().all(|value| value.is_finite()).then_some(pair)
        };
        let (ours, theirs): (Vec<_>, Vec<_>) =
            self.sessions.iter().filter_map(|(_, tables)| both(tables)).unzip();
        if ours.is_empty() {
            return Ok(None);
        }
        let n_sessions = ours.len();
        let found = SessionBits::new(ours)?.difference(
            &SessionBits::new(theirs)?,
            Convention::Pooled,
            Combine::SessionMean,
            Resampling::SessionsAndTrials,
            bootstrap,
        )?;
        Ok(Some(SummaryDifference {
            task,
            left: left.to_owned(),
            right: right.to_owned(),
            n_sessions,
            mean: found.value,
            interval: known(found.interval),
        }))
    }

    fn choices(
        &self,
        (task, alteration): (EvalTask, Alteration),
        bootstrap: &Bootstrap,
    ) -> Result<Vec<ChoiceSummary>, MetricError> {
        let all = self.sessions.iter().flat_map(|(_, tables)| choices_in(tables, (task, alteration)));
        let names = named(all.map(|(name, group, _)| (name.as_str(), *group)));
        let summary = |(name, group): (&str, Group)| {
            let (mut accuracies, mut n_items, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
            for (session, (_, tables)) in self.sessions.iter().enumerate() {
                let of_name = choices_in(tables, (task, alteration)).filter(|(found, ..)| found == name);
                for (.., clusters) in of_name {
                    accuracies.extend(clusters.iter().map(|[credits, items]| credits / items));
                    n_items.extend(clusters.iter().map(|[_, items]| *items));
                    sessions.extend(vec![session; clusters.len()]);
                }
            }
            // Clusters weigh by their items, as in the accuracy of a session.
            let found = GroupSummary::weighted(&accuracies, &n_items, &sessions, bootstrap)?;
            Ok(ChoiceSummary {
                task,
                alteration,
                predictor: name.to_owned(),
                group,
                n_sessions: found.groups.len(),
                accuracy: found.mean,
                interval: known(found.interval),
            })
        };
        names.into_iter().map(summary).collect()
    }
}

/// Predictors in the order in which they appear, models before baselines, so that each model is set against every baseline.
fn named<'a>(all: impl Iterator<Item = (&'a str, Group)>) -> Vec<(&'a str, Group)> {
    let mut names: Vec<(&str, Group)> = Vec::new();
    for (name, group) in all {
        if !names.iter().any(|(known, _)| *known == name) {
            names.push((name, group));
        }
    }
    names.sort_by_key(|(_, group)| *group == Group::Baseline);
    names
}

fn tables_of(tables: &[TaskTables], task: EvalTask) -> &[(String, Group, BitsTable)] {
    tables.iter().find(|found| found.task == task).map_or(&[], |found| &found.predictors)
}

fn table_of<'a>(tables: &'a [TaskTables], task: EvalTask, name: &str) -> Option<&'a BitsTable> {
    tables_of(tables, task).iter().find(|(known, ..)| known == name).map(|(.., table)| table)
}

/// What the sessions say of a region.
#[derive(Default)]
struct RegionMembers {
    /// Scores with the numbers of their sessions.
    scores: Vec<(f64, usize)>,
    n_units: usize,
}

/// Regions of a task by predictor; regions without a score on a session are means over the others.
fn regions(
    results: &[SessionEvaluation],
    task: EvalTask,
    bootstrap: &Bootstrap,
) -> Result<Vec<RegionSummary>, MetricError> {
    let mut rows: Vec<(usize, &RegionEvaluation)> = Vec::new();
    for (session, found) in results.iter().enumerate() {
        let of_task = found.tasks.iter().filter(|of| of.task == task);
        rows.extend(of_task.flat_map(|of| &of.regions).map(|row| (session, row)));
    }
    let mut predictors: Vec<&str> = Vec::new();
    for (_, row) in &rows {
        if !predictors.contains(&row.predictor.as_str()) {
            predictors.push(&row.predictor);
        }
    }
    let mut found = Vec::new();
    for predictor in predictors {
        let mut members: BTreeMap<&str, RegionMembers> = BTreeMap::new();
        for (session, row) in rows.iter().filter(|(_, row)| row.predictor == predictor) {
            if let Some(score) = &row.score {
                let of_region = members.entry(&row.region).or_default();
                of_region.scores.push((score.value(), *session));
                of_region.n_units += row.n_units;
            }
        }
        if members.is_empty() {
            continue;
        }
        let (mut scores, mut numbers, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
        for (number, of_region) in members.values().enumerate() {
            for &(score, session) in &of_region.scores {
                scores.push(score);
                numbers.push(number);
                sessions.push(session);
            }
        }
        let summary = GroupSummary::crossed(&scores, &numbers, &sessions, bootstrap)?;
        let regions = summary.groups.iter().zip(&members);
        found.push(RegionSummary {
            task,
            predictor: predictor.to_owned(),
            regions: regions
                .map(|(row, (region, of_region))| RegionRow {
                    region: (*region).to_owned(),
                    n_sessions: row.n,
                    n_units: of_region.n_units,
                    mean: row.mean,
                    interval: known(row.interval),
                    is_worst: members.len() > 1 && row.group == summary.worst.group,
                })
                .collect(),
            mean: summary.mean,
            interval: known(summary.interval),
        });
    }
    Ok(found)
}

/// Choices of every session that has them.
fn choices_of(
    results: &[SessionEvaluation],
    (task, alteration): (EvalTask, Alteration),
) -> impl Iterator<Item = &TwoAlternativeEvaluation> {
    let tasks = results.iter().flat_map(|s| &s.tasks).filter(move |found| found.task == task);
    tasks.flat_map(|found| &found.two_alternative).filter(move |found| found.alteration == alteration)
}

/// Sums of the choices of a session's predictors.
fn choices_in(
    tables: &[TaskTables],
    (task, alteration): (EvalTask, Alteration),
) -> impl Iterator<Item = &(String, Group, Vec<[f64; 2]>)> {
    let of_task = tables.iter().filter(move |found| found.task == task).flat_map(|found| &found.choices);
    of_task.filter(move |sums| sums.alteration == alteration).flat_map(|sums| &sums.predictors)
}

fn choice_differences(
    results: &[SessionEvaluation],
    (task, alteration): (EvalTask, Alteration),
) -> Vec<ChoiceSummaryDifference> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for found in choices_of(results, (task, alteration)).flat_map(|found| &found.differences) {
        if !pairs.contains(&(&found.left, &found.right)) {
            pairs.push((&found.left, &found.right));
        }
    }
    let summary = |(left, right): (&str, &str)| {
        let all = choices_of(results, (task, alteration)).flat_map(|found| &found.differences);
        let of_pair = all.filter(|found| found.left == left && found.right == right);
        let values: Vec<f64> = of_pair.map(|found| found.difference).collect();
        ChoiceSummaryDifference {
            task,
            alteration,
            left: left.to_owned(),
            right: right.to_owned(),
            n_sessions: values.len(),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            interval: known(ConfidenceInterval::of_mean(&values, LEVEL)),
            p_value: Some(no_difference(&values)).filter(|p| p.is_finite()),
        }
    };
    pairs.into_iter().map(summary).collect()
}
