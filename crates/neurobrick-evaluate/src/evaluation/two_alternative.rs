//! Real spikes of hidden entries against altered ones: which of the two does a prediction find the likelier?
//!
//! The questions are those of the tasks, and are answered already: what is visible is real, and the rates of what is hidden say
//! how likely any counts there are. Nothing is asked of a model that its scores do not need.

use std::collections::BTreeMap;

use ndarray::{Array3, Axis};
use neurobrick_metrics::{
    Alteration, Bootstrap, CalibrationBin, ConfidenceInterval, MetricError, Surrogates, TwoAlternative,
    log_likelihood_ratio,
};
use neurobrick_train::EvalTask;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::results::{Group, known};
use super::score::Answer;
use crate::EvaluateError;

/// Bins of the reliability curve.
const N_BINS: usize = 10;
/// Tasks that hide all their targets at once. Elsewhere a unit is predicted from others that are targets themselves: a copy
/// that alters these would change what is visible, and its rates were not asked for.
const HIDDEN_AT_ONCE: [EvalTask; 2] = [EvalTask::CoSmoothingGroup, EvalTask::ForwardPrediction];

/// Whether models tell real spikes from altered ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TwoAlternativeConfig {
    /// How the altered spikes are made of the real ones: each unit's moved in time (`time_shift`), units of similar rates
    /// exchanged (`unit_swap`), or as many spikes of each unit anywhere in the window (`rate_matched_poisson`).
    #[schemars(with = "Vec<AlterationName>")]
    pub alterations: Vec<Alteration>,
    /// Units that are altered in each copy, drawn by seed; absent: all that are scored. Few units make a hard question.
    pub n_altered: Option<usize>,
    /// Altered copies of every test trial.
    pub n_draws: usize,
}

/// Names of alterations, for the schema.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "the metrics crate, which has the enum, knows no schemas")]
enum AlterationName {
    TimeShift,
    UnitSwap,
    RateMatchedPoisson,
}

impl Default for TwoAlternativeConfig {
    fn default() -> Self {
        Self { alterations: Alteration::ALL.to_vec(), n_altered: None, n_draws: 10 }
    }
}

impl TwoAlternativeConfig {
    /// Refuses tasks for which the visible activity is not the same beside real and altered spikes.
    pub(super) fn check_tasks(tasks: &[EvalTask]) -> Result<(), EvaluateError> {
        let Some(task) = tasks.iter().find(|task| !HIDDEN_AT_ONCE.contains(task)) else { return Ok(()) };
        let names = HIDDEN_AT_ONCE.map(EvalTask::name);
        Err(EvaluateError::BadValue {
            field: "scoring.two_alternative".to_owned(),
            message: format!(
                "cannot be asked of the task `{}`, which predicts units from others that are altered as well; name `{}` \
                 or `{}` in `scoring.tasks`, and the others in a file of their own",
                task.name(),
                names[0],
                names[1]
            ),
        })
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If no alteration is named or one twice, or a number is out of range.
    pub fn validate(&self) -> Result<(), EvaluateError> {
        let refuse = |field: &str, message: String| {
            Err(EvaluateError::BadValue { field: format!("scoring.two_alternative.{field}"), message })
        };
        let all = &self.alterations;
        if all.is_empty() {
            return refuse("alterations", "name one at least, or leave the table out".to_owned());
        }
        if let Some(twice) = (1..all.len()).find(|&i| all[..i].contains(&all[i])) {
            return refuse("alterations", format!("`{}` is listed twice", all[twice].name()));
        }
        let least = if all.contains(&Alteration::UnitSwap) { 2 } else { 1 };
        if let Some(n) = self.n_altered.filter(|&n| n < least) {
            return refuse("n_altered", format!("must be {least} at least; received {n}"));
        }
        if self.n_draws == 0 {
            return refuse("n_draws", "must be positive".to_owned());
        }
        Ok(())
    }
}

/// One predictor's choices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceScore {
    /// Its name.
    pub predictor: String,
    /// Model or baseline.
    pub group: Group,
    /// Share of items in which the real spikes are the likelier, a tie counting half; chance is 0.5.
    pub accuracy: f64,
    /// Its bootstrap interval over test trials, those that share spikes drawn together; absent with a single one.
    pub interval: Option<ConfidenceInterval>,
    /// Share of items that it finds equally likely.
    pub ties: f64,
    /// Mean over items of how much likelier it finds the real spikes, in nats.
    pub mean_margin: f64,
    /// Reliability curve: the predictor's own probability of being right against how often it is.
    pub calibration: Vec<CalibrationBin>,
    /// Expected calibration error.
    pub calibration_error: f64,
    /// Confidence minus accuracy, mean over items: above zero, it is surer than it has reason to be.
    pub overconfidence: f64,
}

/// One alteration's items summed by cluster of trials: all that accuracies over sessions need.
#[derive(Clone, Debug)]
pub(super) struct ChoiceSums {
    pub(super) alteration: Alteration,
    /// Credits and items of every cluster, in the clusters' order.
    pub(super) predictors: Vec<(String, Group, Vec<[f64; 2]>)>,
}

/// Two predictors on the same items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceDifference {
    /// The first predictor, a model.
    pub left: String,
    /// The one subtracted.
    pub right: String,
    /// `left − right` in accuracy.
    pub difference: f64,
    /// Its bootstrap interval over test trials; absent with a single one.
    pub interval: Option<ConfidenceInterval>,
    /// Two-sided p-value of Student's paired test over test trials; absent with a single one.
    pub p_value: Option<f64>,
    /// Correlation of being right, ties half, over items; absent where one is right on all items, on none, or ties on all.
    pub error_correlation: Option<f64>,
}

/// One alteration of the hidden entries of a task, on one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoAlternativeEvaluation {
    /// How spikes were altered.
    pub alteration: Alteration,
    /// Test trials with an item.
    pub n_trials: usize,
    /// Items: a trial with an altered copy of it that differs.
    pub n_items: usize,
    /// Copies that came out as the trial was, which nobody can tell from it; they are left out.
    pub n_unaltered: usize,
    /// Units that differ in an item, mean over items.
    pub mean_altered_units: f64,
    /// All predictors.
    pub predictors: Vec<ChoiceScore>,
    /// Differences of the models from each other and from every baseline.
    pub differences: Vec<ChoiceDifference>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

/// What the choices of a task are made from.
pub(super) struct Choices<'a> {
    /// Real counts `[trial, scored bin, scored unit]` of the test trials.
    pub(super) test: &'a Array3<f64>,
    /// Mean counts of the scored units in training trials, by which swapped units are alike.
    pub(super) rates: &'a [f64],
    /// Cluster of every test trial.
    pub(super) clusters: &'a [usize],
    pub(super) bootstrap: Bootstrap,
}

impl Choices<'_> {
    /// Every alteration, chosen on by all predictors, and what accuracies over sessions need of those that have items.
    ///
    /// # Errors
    /// If rates are negative or no numbers. An alteration that these units do not allow is recorded with its reason.
    pub(super) fn evaluate(
        &self,
        config: &TwoAlternativeConfig,
        answers: &[Answer],
    ) -> Result<(Vec<TwoAlternativeEvaluation>, Vec<ChoiceSums>), EvaluateError> {
        let (mut found, mut sums) = (Vec::new(), Vec::new());
        for &alteration in &config.alterations {
            match Surrogates::new(alteration, self.rates, config.n_altered, self.bootstrap.seed) {
                Ok(surrogates) => {
                    let (one, of_clusters) = self.one(alteration, &surrogates, config.n_draws, answers)?;
                    found.push(one);
                    sums.extend(of_clusters);
                }
                Err(error) => found.push(nothing(alteration, 0, error.to_string())),
            }
        }
        Ok((found, sums))
    }

    /// Every copy that differs from its trial: how much likelier each predictor finds the trial.
    fn items(
        &self,
        surrogates: &Surrogates,
        n_draws: usize,
        answers: &[Answer],
    ) -> Result<Vec<Item>, MetricError> {
        let addresses =
            (0..self.test.len_of(Axis(0))).flat_map(|trial| (0..n_draws).map(move |draw| (trial, draw)));
        // A copy is as large as a trial; it is dropped as soon as everybody has chosen.
        let judged = addresses.collect::<Vec<_>>().into_par_iter().map(|(trial, draw)| {
            let real = self.test.index_axis(Axis(0), trial);
            let altered = surrogates.altered(&real, [trial as u64, draw as u64])?;
            let pairs = real.columns().into_iter().zip(altered.columns());
            let n_altered = pairs.filter(|(before, after)| before != after).count();
            let margin = |answer: &Answer| {
                log_likelihood_ratio(&answer.rates.index_axis(Axis(0), trial), &real, &altered.view())
            };
            let margins = answers.iter().map(margin).collect::<Result<_, _>>()?;
            Ok(Item { trial, n_altered, margins })
        });
        judged.collect()
    }

    fn one(
        &self,
        alteration: Alteration,
        surrogates: &Surrogates,
        n_draws: usize,
        answers: &[Answer],
    ) -> Result<(TwoAlternativeEvaluation, Option<ChoiceSums>), MetricError> {
        let mut items = self.items(surrogates, n_draws, answers)?;
        let n_all = items.len();
        items.retain(|item| item.n_altered > 0);
        let n_unaltered = n_all - items.len();
        if items.is_empty() {
            let reason = "no unit has spikes that the alteration could move".to_owned();
            return Ok((nothing(alteration, n_unaltered, reason), None));
        }
        let clusters: Vec<usize> = items.iter().map(|item| self.clusters[item.trial]).collect();
        let choices: Vec<TwoAlternative> = (0..answers.len())
            .map(|k| TwoAlternative::of_margins(items.iter().map(|item| item.margins[k]).collect()))
            .collect::<Result<_, _>>()?;
        let mut trials: Vec<usize> = items.iter().map(|item| item.trial).collect();
        trials.dedup();
        let n_altered = items.iter().map(|item| item.n_altered as f64).sum::<f64>();
        let sums = answers.iter().zip(&choices).map(|(answer, choice)| {
            (answer.name.clone(), answer.group, by_cluster(&choice.credits(), &clusters))
        });
        let sums = ChoiceSums { alteration, predictors: sums.collect() };
        let found = TwoAlternativeEvaluation {
            alteration,
            n_trials: trials.len(),
            n_items: items.len(),
            n_unaltered,
            mean_altered_units: n_altered / items.len() as f64,
            predictors: answers
                .iter()
                .zip(&choices)
                .map(|(answer, choice)| self.score(answer, choice, &clusters))
                .collect::<Result<_, _>>()?,
            differences: self.differences(answers, &choices, &clusters)?,
            undefined: None,
        };
        Ok((found, Some(sums)))
    }

    fn score(
        &self,
        answer: &Answer,
        choice: &TwoAlternative,
        clusters: &[usize],
    ) -> Result<ChoiceScore, MetricError> {
        let (accuracy, interval) = choice.clustered(clusters, &self.bootstrap)?;
        let margins = choice.margins();
        let n = margins.len() as f64;
        let calibration = choice.calibration(N_BINS)?;
        Ok(ChoiceScore {
            predictor: answer.name.clone(),
            group: answer.group,
            accuracy,
            interval: known(interval),
            ties: margins.iter().filter(|margin| **margin == 0.0).count() as f64 / n,
            mean_margin: margins.iter().sum::<f64>() / n,
            calibration: calibration.bins,
            calibration_error: calibration.expected_error,
            overconfidence: calibration.overconfidence,
        })
    }

    /// Every model minus every later model and every baseline.
    fn differences(
        &self,
        answers: &[Answer],
        choices: &[TwoAlternative],
        clusters: &[usize],
    ) -> Result<Vec<ChoiceDifference>, MetricError> {
        let mut found = Vec::new();
        for (i, left) in answers.iter().enumerate().filter(|(_, answer)| answer.group == Group::Model) {
            for (j, right) in answers.iter().enumerate().skip(i + 1) {
                let compared = choices[i].compare_clustered(&choices[j], clusters, &self.bootstrap)?;
                found.push(ChoiceDifference {
                    left: left.name.clone(),
                    right: right.name.clone(),
                    difference: compared.difference,
                    interval: known(compared.interval),
                    p_value: Some(compared.p_value).filter(|p| p.is_finite()),
                    error_correlation: choices[i].error_correlation(&choices[j]).ok(),
                });
            }
        }
        Ok(found)
    }
}

/// Credits and items by cluster, in the clusters' order.
fn by_cluster(credits: &[f64], clusters: &[usize]) -> Vec<[f64; 2]> {
    let mut sums: BTreeMap<usize, [f64; 2]> = BTreeMap::new();
    for (&cluster, &credit) in clusters.iter().zip(credits) {
        let [of_credits, n_items] = sums.entry(cluster).or_default();
        *of_credits += credit;
        *n_items += 1.0;
    }
    sums.into_values().collect()
}

/// An altered copy of a trial, as everybody judged it.
struct Item {
    trial: usize,
    /// Units that differ.
    n_altered: usize,
    /// How much likelier each predictor finds the trial than the copy, in nats.
    margins: Vec<f64>,
}

fn nothing(alteration: Alteration, n_unaltered: usize, reason: String) -> TwoAlternativeEvaluation {
    TwoAlternativeEvaluation {
        alteration,
        n_trials: 0,
        n_items: 0,
        n_unaltered,
        mean_altered_units: 0.0,
        predictors: Vec::new(),
        differences: Vec::new(),
        undefined: Some(reason),
    }
}
