//! Spikes predicted from behavior: a model that encodes beside baselines that know the same labels, or nothing.

use std::fmt::Write as _;

use ndarray::{Array2, Array3, Axis};
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
use crate::PipelineError;
use crate::config::ScoringConfig;
use crate::evaluation::{
    Answer, DifferenceEvaluation, Group, LEVEL, NAIVE, PredictorEvaluation, Scored, Spread, differences,
    score_answers,
};

/// What a model says of the spikes of all usable trials of a session.
pub(crate) struct Encoded<'a> {
    pub(crate) name: &'a str,
    /// Names of the labels and behaviors that it knows.
    pub(crate) knows: Vec<String>,
    /// Spikes per bin `[trial, bin, unit]`.
    pub(crate) rates: Array3<f64>,
    /// Class of every label it knows, `[trial, L]`: trials that agree in all of them are of one condition.
    pub(crate) labels: &'a Array2<Option<usize>>,
}

/// The score of a model whose rates are those of other test trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodingNull {
    /// The model.
    pub model: String,
    /// Its pooled bits per spike with the trials shifted against each other.
    pub null: NullDistribution,
}

/// Spikes of the test trials of one session, predicted from behavior with all of them hidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodingEvaluation {
    /// The session.
    pub session: SessionId,
    /// The labels and behaviors that the model knows. The PSTH knows the labels.
    pub knows: Vec<String>,
    /// What was scored.
    pub n: Counted,
    /// The model and the baselines.
    pub predictors: Vec<PredictorEvaluation>,
    /// Differences of the model from the baselines.
    pub differences: Vec<DifferenceEvaluation>,
    /// The null of the model.
    pub null: EncodingNull,
}

/// Scores what a model encodes, beside the unit's mean and the mean course of the condition.
///
/// # Errors
/// If there is no test spike, or rates are no numbers.
pub(crate) fn judge_encoding(
    session: &TrainSession,
    encoded: &Encoded<'_>,
    judging: &Judging,
) -> Result<EncodingEvaluation, PipelineError> {
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
    let Scored { evaluations, tables } = score_answers(answers, [&test, &train], &spread)?;
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
    Ok(EncodingEvaluation {
        session: data.session().clone(),
        knows: encoded.knows.clone(),
        n: own.n(),
        differences,
        predictors: evaluations,
        null: EncodingNull { model: encoded.name.to_owned(), null },
    })
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
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## Encoding of {}\n\nPooled bits per spike of {} test trials, {} units, {:.0} spikes, all of them hidden; `{}` knows \
             {}.\n\n| predictor | over test means [95 %] | over training means [95 %] | null mean | p |\n|---|---:|---:|---:|---:|\n",
            self.session,
            self.n.trials,
            self.n.units,
            self.n.spikes,
            self.null.model,
            self.knows.join(", ")
        );
        for predictor in &self.predictors {
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
            let (mean, p) = if predictor.name == self.null.model {
                (format!("{:+.4}", self.null.null.mean), format!("{:.3}", self.null.null.p_value))
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
        for DifferenceEvaluation { left, right, difference } in &self.differences {
            let interval = &difference.interval;
            let _ = writeln!(
                text,
                "\n{left} − {right}: {:+.4} [{:+.4}, {:+.4}] bits/spike on the same trials.",
                difference.value, interval.lo, interval.hi
            );
        }
    }
}
