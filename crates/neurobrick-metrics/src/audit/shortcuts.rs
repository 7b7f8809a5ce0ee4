//! Scores that could be had without the code: from the group, from nuisances, from stimuli.

use std::collections::{BTreeMap, HashMap};

use super::decoder::{Design, chance, n_classes};
use super::{AuditRows, AuditSettings, AuditSplit, Check, Finding, Nuisance, Outcome};
use crate::{MetricError, NullDistribution, NullTest, balanced_accuracy};

/// Above chance by less than this is called chance.
const NEAR: f64 = 0.05;
/// A nuisance this close to the score explains it.
const EXPLAINS: f64 = 0.02;

/// What keeps its label when labels are shuffled, and among what they move.
#[derive(Clone, Copy)]
enum Scope {
    /// Labels of trials move within their group; if labels never change within a group, whole groups swap labels.
    Honest,
    /// Labels of trials move anywhere.
    Anywhere,
}

pub(super) fn label_null(
    rows: &AuditRows,
    design: &Design,
    score: f64,
    settings: &AuditSettings,
) -> Result<NullDistribution, MetricError> {
    null(rows, Scope::Honest, design, score, settings)
}

fn null(
    rows: &AuditRows,
    scope: Scope,
    design: &Design,
    score: f64,
    settings: &AuditSettings,
) -> Result<NullDistribution, MetricError> {
    let by_group = matches!(scope, Scope::Honest) && is_constant_within(&rows.groups, &rows.labels);
    let key_of_row: Vec<usize> = if by_group {
        rows.groups.clone()
    } else if is_constant_within(&rows.trials, &rows.labels) {
        rows.trials.clone()
    } else {
        (0..rows.labels.len()).collect()
    };
    let (mut first_row, mut unit_of_row) = (Vec::new(), Vec::with_capacity(key_of_row.len()));
    let mut units: HashMap<usize, usize> = HashMap::new();
    for (row, key) in key_of_row.iter().enumerate() {
        let unit = *units.entry(*key).or_insert_with(|| {
            first_row.push(row);
            first_row.len() - 1
        });
        unit_of_row.push(unit);
    }
    let is_anywhere = by_group || matches!(scope, Scope::Anywhere);
    let group_of_unit: Vec<usize> =
        first_row.iter().map(|&row| if is_anywhere { 0 } else { rows.groups[row] }).collect();
    let draws = (settings.seed, settings.n_shuffles);
    NullDistribution::new(NullTest::LabelShuffle, &group_of_unit, score, draws, |order| {
        let labels: Vec<usize> =
            unit_of_row.iter().map(|&unit| rows.labels[first_row[order[unit]]]).collect();
        design.score(&labels)
    })
}

fn is_constant_within(keys: &[usize], labels: &[usize]) -> bool {
    let mut label_of: HashMap<usize, usize> = HashMap::new();
    keys.iter().zip(labels).all(|(key, label)| *label_of.entry(*key).or_insert(*label) == *label)
}

/// The score with whole groups held out, against the score under the split.
pub(super) fn groups_held_out(rows: &AuditRows, score: f64) -> Result<Finding, MetricError> {
    let check = Check::GroupsHeldOut;
    let folds = folds_of_groups(rows);
    if folds.len() < 2 {
        let message =
            "fewer than two sets of groups hold every class; name runs, blocks or sessions as groups";
        return Ok(Finding::not_applicable(check, message));
    }
    let mut scores = Vec::new();
    for fold in &folds {
        let (test, train): (Vec<usize>, Vec<usize>) =
            (0..rows.labels.len()).partition(|&row| fold.contains(&rows.groups[row]));
        let design = Design::new(&rows.features.view(), &AuditSplit { train, test })?;
        scores.push(design.score(&rows.labels)?);
    }
    let n = scores.len() as f64;
    let mean = crate::bits::mean(&scores);
    let error = (scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
    let floor = chance(&rows.labels);
    let numbers = [
        ("score under the split", score),
        ("score with groups held out", mean),
        ("standard error over folds", error),
        ("folds", n),
        ("chance", floor),
    ];
    let kept = (mean - floor) / (score - floor);
    let is_chance = mean - 2.0 * error <= floor;
    let told = format!("{score:.3} under the split, {mean:.3} ± {error:.3} with whole groups held out");
    let (outcome, message) = if score < floor + NEAR {
        (Outcome::Pass, format!("{told}; there is no score to refute"))
    } else if kept < 0.25 && is_chance {
        let text = format!(
            "{told}: the score rests on what is common to a group, not on the label; hold groups out"
        );
        (Outcome::Fail, text)
    } else if kept < 0.5 {
        (Outcome::Warning, format!("{told}: much of the score does not carry over to other groups"))
    } else if is_chance {
        let text =
            format!("{told}: what is left with groups held out cannot be told from chance ({floor:.3})");
        (Outcome::Warning, text)
    } else {
        (Outcome::Pass, format!("{told}: the score carries over to other groups"))
    };
    Ok(Finding::new(check, outcome, message, &numbers))
}

/// Groups in order of appearance, collected until every class is in a fold; what is left over joins the last.
fn folds_of_groups(rows: &AuditRows) -> Vec<Vec<usize>> {
    let n = n_classes(&rows.labels);
    let mut order: Vec<usize> = Vec::new();
    let mut labels_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (group, label) in rows.groups.iter().zip(&rows.labels) {
        let labels = labels_of.entry(*group).or_insert_with(|| {
            order.push(*group);
            Vec::new()
        });
        if !labels.contains(label) {
            labels.push(*label);
        }
    }
    let (mut folds, mut open, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for group in order {
        open.push(group);
        seen.extend(labels_of[&group].iter().copied());
        if n_classes(&seen) == n {
            folds.push(std::mem::take(&mut open));
            seen.clear();
        }
    }
    if let Some(last) = folds.last_mut() {
        last.extend(open);
    }
    folds
}

/// A label that is a property of the group.
pub(super) fn labels_of_groups(
    rows: &AuditRows,
    (score, null): (f64, &NullDistribution),
    settings: &AuditSettings,
) -> Finding {
    let check = Check::LabelsOfGroups;
    let n_groups = n_classes(&rows.groups);
    if !is_constant_within(&rows.groups, &rows.labels) {
        let message = "labels change within groups".to_owned();
        return Finding::new(check, Outcome::Pass, message, &[("groups", n_groups as f64)]);
    }
    let numbers = [
        ("groups", n_groups as f64),
        ("score with labels of groups swapped", null.mean),
        ("p", null.p_value),
    ];
    let told = format!(
        "the label never changes within a group, so {n_groups} groups are the sample; with labels dealt to groups at random \
         the same split scores {:.3} (p = {:.2})",
        null.mean, null.p_value
    );
    if score >= chance(&rows.labels) + NEAR && null.p_value > settings.alpha {
        return Finding::new(check, Outcome::Fail, format!("{told}: any label of groups would do"), &numbers);
    }
    Finding::new(check, Outcome::Warning, told, &numbers)
}

/// What a nuisance alone decodes under the same split.
pub(super) fn nuisance_alone(
    rows: &AuditRows,
    split: &AuditSplit,
    nuisance: &Nuisance,
    score: f64,
    settings: &AuditSettings,
) -> Result<Finding, MetricError> {
    let design = Design::new(&nuisance.values.view(), split)?;
    let alone = match design.score(&rows.labels) {
        Ok(alone) => alone,
        // A nuisance that does not vary decodes nothing.
        Err(MetricError::NotPositiveDefinite { .. }) => chance(&rows.labels),
        Err(error) => return Err(error),
    };
    let null = null(rows, Scope::Anywhere, &design, alone, settings)?;
    // Several nuisances share the false alarms that one check may have.
    let alpha = settings.alpha / rows.nuisances.len().max(1) as f64;
    let name = &nuisance.name;
    let numbers = [("score of the nuisance", alone), ("score of the features", score), ("p", null.p_value)];
    let told = format!(
        "{name} alone decodes the label at {alone:.3} (p = {:.3}), the features at {score:.3}",
        null.p_value
    );
    let (outcome, message) = if null.p_value > alpha || alone < chance(&rows.labels) {
        (Outcome::Pass, told)
    } else if alone >= score - EXPLAINS {
        (Outcome::Fail, format!("{told}: the score needs no more than {name}"))
    } else {
        (Outcome::Warning, format!("{told}: report both, or match {name} between classes"))
    };
    Ok(Finding::new(Check::NuisanceAlone, outcome, message, &numbers))
}

/// Whether stimuli are on both sides, and what a table of them decodes.
pub(super) fn repeated_stimuli(rows: &AuditRows, split: &AuditSplit) -> Result<Finding, MetricError> {
    let check = Check::RepeatedStimuli;
    let Some(stimuli) = &rows.stimuli else {
        return Ok(Finding::not_applicable(check, "no stimulus is named for the rows"));
    };
    let mut counts: HashMap<usize, BTreeMap<usize, usize>> = HashMap::new();
    for &row in &split.train {
        *counts.entry(stimuli[row]).or_default().entry(rows.labels[row]).or_default() += 1;
    }
    let most =
        |labels: &BTreeMap<usize, usize>| labels.iter().max_by_key(|(_, n)| **n).map(|(label, _)| *label);
    let truth: Vec<usize> = split.test.iter().map(|&row| rows.labels[row]).collect();
    let seen = split.test.iter().filter(|&&row| counts.contains_key(&stimuli[row])).count();
    let unseen = rows.labels[split.train[0]];
    let looked_up: Vec<usize> =
        split.test.iter().map(|&row| counts.get(&stimuli[row]).and_then(most).unwrap_or(unseen)).collect();
    let table = balanced_accuracy(&truth, &looked_up)?;
    let numbers = [
        ("test rows with a trained stimulus", seen as f64),
        ("test rows", split.test.len() as f64),
        ("balanced accuracy of a table of stimuli", table),
    ];
    let told = format!("{seen} of {} test rows show a stimulus that was trained on", split.test.len());
    let (outcome, message) = if table >= chance(&rows.labels) + NEAR {
        let text = format!(
            "{told}, and a table of stimuli decodes the label at {table:.3}; hold stimuli out to claim more than their code"
        );
        (Outcome::Warning, text)
    } else {
        (Outcome::Pass, format!("{told}; a table of stimuli does not tell the label ({table:.3})"))
    };
    Ok(Finding::new(check, outcome, message, &numbers))
}
