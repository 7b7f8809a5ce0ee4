//! Spikes predicted from behavior: a model that encodes beside baselines that know the same labels, or nothing.

use std::fmt::Write as _;

use ndarray::{Array2, Array3, ArrayView3, Axis};
use neurobrick_data::resampling_clusters;
use neurobrick_metrics::baselines::{Psth, PsthGrid, UnitMean};
use neurobrick_metrics::{
    BitsTable, Bootstrap, Convention, Counted, MetricError, NullDistribution, NullModel, NullTest,
};
use neurobrick_schema::{Interval, SessionId};
use neurobrick_train::TrainSession;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Judging;
use crate::EvaluateError;
use crate::evaluation::{
    Answer, DifferenceEvaluation, Group, LEVEL, NAIVE, PredictorEvaluation, Scored, ScoringConfig, Spread,
    differences, score_answers,
};

/// What a model says of the spikes of all usable trials of a session.
#[derive(Clone, Debug)]
pub struct Encoded<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Names of the labels and behaviors that it knows.
    pub knows: Vec<String>,
    /// Spikes per bin `[trial, bin, unit]`.
    pub rates: ArrayView3<'a, f64>,
    /// Why they have no score, of a model that was not trained for them.
    pub undefined: Option<&'a str>,
    /// Class of every label it knows, `[trial, L]`: trials that agree in all of them are of one condition.
    pub labels: &'a Array2<Option<usize>>,
}

/// Spikes of the test trials of one session, predicted from behavior with all of them hidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodingEvaluation {
    /// The session.
    pub session: SessionId,
    /// The model.
    pub model: String,
    /// The labels and behaviors that the model knows. The PSTH knows the labels.
    pub knows: Vec<String>,
    /// The scores; absent where they are undefined, for the reason given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<EncodingScores>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

/// How well a model encodes, beside baselines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodingScores {
    /// What was scored.
    pub n: Counted,
    /// The model and the baselines.
    pub predictors: Vec<PredictorEvaluation>,
    /// Differences of the model from the baselines.
    pub differences: Vec<DifferenceEvaluation>,
    /// Pooled bits per spike of the model over test means with the trials shifted against each other.
    pub null: NullDistribution,
}

/// Scores what a model encodes, beside the unit's mean and the mean course of the condition. What has no score, as test trials
/// without a spike, is recorded with its reason.
///
/// # Errors
/// If an interval cannot be made of the trials that there are.
pub fn judge_encoding(
    session: &TrainSession,
    encoded: &Encoded<'_>,
    judging: &Judging,
) -> Result<EncodingEvaluation, EvaluateError> {
    let test = &session.split.test;
    let is_silent = session.data.counts().select(Axis(0), test).iter().all(|&count| count == 0);
    let scored = match encoded.undefined {
        Some(reason) => Err(reason.to_owned()),
        None if is_silent => {
            Err(format!("no spike in {} test trials; there are no bits per spike", test.len()))
        }
        None => match scores(session, encoded, judging) {
            Ok(scores) => Ok(scores),
            Err(EvaluateError::Metric(error)) => Err(error.to_string()),
            Err(error) => return Err(error),
        },
    };
    let (scores, undefined) = match scored {
        Ok(scores) => (Some(scores), None),
        Err(reason) => (None, Some(reason)),
    };
    Ok(EncodingEvaluation {
        session: session.data.session().clone(),
        model: encoded.name.to_owned(),
        knows: encoded.knows.clone(),
        scores,
        undefined,
    })
}

fn scores(
    session: &TrainSession,
    encoded: &Encoded<'_>,
    judging: &Judging,
) -> Result<EncodingScores, EvaluateError> {
    let (data, split) = (&session.data, &session.split);
    let [train, valid, test] = [&split.train, &split.valid, &split.test].map(|part| data.counts_of(part));
    let conditions = conditions(encoded.labels);
    let of = |trials: &[usize]| -> Vec<usize> { trials.iter().map(|&trial| conditions[trial]).collect() };
    let rates = encoded.rates.select(Axis(0), &split.test);
    let psth =
        Psth::fit(&train.view(), &of(&split.train), &valid.view(), &of(&split.valid), &PsthGrid::default());
    let baseline = |name: &str, rates: Array3<f64>, choice: Option<serde_json::Value>| Answer {
        name: name.to_owned(),
        group: Group::Baseline,
        choice,
        rates,
    };
    let mean = UnitMean::fit(&train.view())?.predict(split.test.len(), data.n_bins());
    let mut answers = vec![Answer {
        name: encoded.name.to_owned(),
        group: Group::Model,
        choice: None,
        rates: rates.clone(),
    }];
    match psth {
        Ok(psth) => {
            answers.push(baseline("psth", psth.predict(&of(&split.test)), Some(json!(psth.choice()))));
        }
        // Without a validation spike nothing can be chosen.
        Err(MetricError::NoSpikes { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    answers.push(baseline(NAIVE, mean, None));

    let Judging { seed, n_shuffles, n_resamples, .. } = *judging;
    let windows: Vec<Interval> = split.test.iter().map(|&trial| data.windows()[trial]).collect();
    let clusters = resampling_clusters(&windows);
    let bootstrap = Bootstrap { seed, n_resamples, level: LEVEL };
    let active_min_spikes = ScoringConfig::default().active_min_spikes;
    let spread = Spread { clusters: &clusters, bootstrap, active_min_spikes };
    let Scored { evaluations, tables, .. } = score_answers(answers, [&test, &train], &spread)?;
    let differences = differences(&tables, &spread.bootstrap)?;
    let (_, _, own) = &tables[0];
    let null_rates = NullModel::EvaluatedMean.rates(&test.view(), &train.view())?;
    let value = own.value(Convention::Pooled);
    let one_group = vec![0; split.test.len()];
    let null =
        NullDistribution::new(NullTest::CircularShift, &one_group, value, (seed, n_shuffles), |order| {
            let shifted = rates.select(Axis(0), order);
            Ok(BitsTable::new(&shifted.view(), &test.view(), &null_rates)?.value(Convention::Pooled))
        })?;
    Ok(EncodingScores { n: own.n(), differences, predictors: evaluations, null })
}

/// Condition of every trial: equal classes of all labels make one. Without labels all trials are of one.
fn conditions(labels: &Array2<Option<usize>>) -> Vec<usize> {
    let mut known: Vec<Vec<Option<usize>>> = Vec::new();
    let mut number_of = |classes: Vec<Option<usize>>| {
        known.iter().position(|other| *other == classes).unwrap_or_else(|| {
            known.push(classes);
            known.len() - 1
        })
    };
    labels.outer_iter().map(|classes| number_of(classes.to_vec())).collect()
}

impl EncodingEvaluation {
    /// Appends a table for people to `text`.
    pub(crate) fn write_markdown(&self, text: &mut String) {
        let (session, model, knows) = (&self.session, &self.model, self.knows.join(", "));
        let Some(EncodingScores { n, predictors, differences, null: shifted }) = &self.scores else {
            let reason = self.undefined.as_deref().unwrap_or("no reason was recorded");
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n## Encoding of {session}\n\n`{model}` knows {knows}. Its score is undefined: {reason}.\n"
            );
            return;
        };
        let _ = write!(
            text,
            "\n## Encoding of {session}\n\nPooled bits per spike of {} test trials, {} units, {:.0} spikes, all of them hidden; `{model}` knows \
             {knows}.\n\n| predictor | over test means [95 %] | over training means [95 %] | null mean (over test means) | p |\n|---|---:|---:|---:|---:|\n",
            n.trials, n.units, n.spikes,
        );
        for predictor in predictors {
            let cell = |null: NullModel| {
                let entry =
                    |s: &&crate::evaluation::ScoreEntry| s.null == null && s.convention == Convention::Pooled;
                match predictor.scores.iter().find(entry).and_then(|entry| entry.score.as_ref()) {
                    Some(score) => {
                        let interval = score.interval();
                        format!("{:+.4} [{:+.4}, {:+.4}]", score.value(), interval.lo, interval.hi)
                    }
                    None => "undefined".to_owned(),
                }
            };
            let (mean, p) = if predictor.name == *model {
                (format!("{:+.4}", shifted.mean), format!("{:.3}", shifted.p_value))
            } else {
                ("–".to_owned(), "–".to_owned())
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {mean} | {p} |",
                predictor.name,
                cell(NullModel::EvaluatedMean),
                cell(NullModel::TrainMean)
            );
        }
        for DifferenceEvaluation { left, right, difference } in differences {
            let interval = &difference.interval;
            let _ = writeln!(
                text,
                "\n{left} − {right}: {:+.4} [{:+.4}, {:+.4}] bits/spike on the same trials.",
                difference.value, interval.lo, interval.hi
            );
        }
    }
}
