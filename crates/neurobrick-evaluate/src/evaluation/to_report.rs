//! From results to the page.

use neurobrick_core::MaskScheme;
use neurobrick_metrics::{ConfidenceInterval, Convention, IntervalMethod, NullModel};
use neurobrick_report as report;
use neurobrick_train::{EvalTask, TrainSession};

use super::figures::{Figures, report_scheme};
use super::report_summary::{choices, summary};
use super::results::{EvaluationResult, Group, PredictorEvaluation, TaskEvaluation};
use crate::{MetricsRecord, RunManifest};

/// Everything a report is assembled from.
pub struct ReportInputs<'a> {
    /// Heading.
    pub title: String,
    /// One sentence on what was run.
    pub summary: String,
    /// The model.
    pub model: report::ModelFacts,
    /// Data sources.
    pub data: Vec<report::DataSource>,
    /// Sessions, with their part in the run.
    pub sessions: Vec<(&'a TrainSession, report::SessionRole)>,
    /// Sessions that are only in the store.
    pub only_ingested: Vec<report::SessionFacts>,
    /// Scores.
    pub result: &'a EvaluationResult,
    /// Pictures.
    pub figures: Figures,
    /// Metrics of the pretraining run and its schemes.
    pub pretraining: Option<(&'a [MetricsRecord], &'a [MaskScheme])>,
    /// Metrics of fine-tuning, by session and name of the model.
    pub finetuning: Vec<(String, String, Vec<MetricsRecord>)>,
    /// The record of the run.
    pub manifest: &'a RunManifest,
    /// The resolved configuration.
    pub config_toml: String,
    /// Resamples of the intervals.
    pub n_resamples: usize,
    /// Honest notes.
    pub notes: Vec<String>,
}

/// Assembles the report of a run.
pub fn run_report(inputs: ReportInputs<'_>) -> report::RunReport {
    let sessions =
        inputs.sessions.iter().map(|(s, role)| facts(s, *role)).chain(inputs.only_ingested).collect();
    report::RunReport {
        title: inputs.title,
        summary: inputs.summary,
        finished_at: None,
        interval_method: interval_method(inputs.result, inputs.n_resamples),
        model: inputs.model,
        data: inputs.data,
        sessions,
        rows: rows(inputs.result),
        tasks: inputs
            .result
            .sessions
            .iter()
            .flat_map(|s| s.tasks.iter().map(|t| task_result(s.session.as_str(), t)))
            .collect(),
        over_sessions: inputs.result.summary.as_ref().map(|found| summary(found, inputs.result)),
        choices: inputs
            .result
            .sessions
            .iter()
            .flat_map(|s| s.tasks.iter().flat_map(|t| choices(s.session.as_str(), t)))
            .collect(),
        decoding: decoding(inputs.result),
        pretraining: inputs.pretraining.map(|(records, schemes)| pretraining(records, schemes)),
        fine_tuning: finetuning(inputs.finetuning),
        rasters: inputs.figures.rasters,
        traces: inputs.figures.traces,
        regions: inputs
            .result
            .sessions
            .iter()
            .flat_map(|s| s.tasks.iter().filter_map(|t| region_result(s.session.as_str(), t)))
            .collect(),
        masks: inputs.figures.masks,
        reproduce: reproduction(inputs.manifest, inputs.config_toml),
        notes: inputs.notes,
    }
}

fn facts(session: &TrainSession, role: report::SessionRole) -> report::SessionFacts {
    let (data, split) = (&session.data, &session.split);
    let n_spikes: u64 = data.counts().iter().map(|&c| u64::from(c)).sum();
    let observed_s = (data.n_trials() * data.n_bins() * data.n_units()) as f64 * data.bin_size_s();
    report::SessionFacts {
        id: data.session().to_string(),
        subject: data.subject().to_string(),
        n_units: data.n_units() as u64,
        n_trials: data.n_trials() as u64,
        n_spikes,
        mean_rate_hz: n_spikes as f64 / observed_s,
        n_regions: data.regions().names().len() as u64,
        role,
        n_train: split.train.len() as u64,
        n_valid: split.valid.len() as u64,
        n_test: split.test.len() as u64,
    }
}

pub(super) fn report_task(task: EvalTask) -> report::Task {
    match task {
        EvalTask::CoSmoothing => report::Task::CoSmoothingLeaveOneOut,
        EvalTask::CoSmoothingGroup => report::Task::CoSmoothingGroup,
        EvalTask::ForwardPrediction => report::Task::ForwardPrediction,
        EvalTask::InterRegion => report::Task::InterRegion,
        EvalTask::IntraRegion => report::Task::IntraRegion,
    }
}

pub(super) fn predictor(name: &str, group: Group) -> report::Predictor {
    match name {
        "fine_tuned" => report::Predictor::FineTuned,
        "new_stitch" => report::Predictor::NewStitch,
        "from_scratch" => report::Predictor::FromScratch,
        "fine_tuned+stack" => report::Predictor::FineTunedWithStack,
        "new_stitch+stack" => report::Predictor::NewStitchWithStack,
        "stack" => report::Predictor::Stack,
        "fine_tuned+linear" => report::Predictor::FineTunedWithLinear,
        "new_stitch+linear" => report::Predictor::NewStitchWithLinear,
        "from_scratch+linear" => report::Predictor::FromScratchWithLinear,
        "unit_mean" => report::Predictor::UnitMean,
        "psth" => report::Predictor::Psth,
        "ridge" => report::Predictor::Ridge,
        "pca_poisson" => report::Predictor::PcaPoissonGlm,
        "factor_analysis" => named("temporal factors", group),
        "factors_wiener" => named("factors + Wiener", group),
        "factors_wiener_refit" => named("factors + Wiener, refit", group),
        "last_mean" => named("mean of the last bins", group),
        "forward_pool" => named("autoregression + last", group),
        "forward_pool_refit" => named("autoregr. + last, refit", group),
        "linear_shrunk" => named("best linear, shrunk", group),
        "forward_ridge" => named("ridge autoregression", group),
        other => named(other, group),
    }
}

/// How the intervals of scores were made; overlapping windows are resampled together.
fn interval_method(result: &EvaluationResult, n_resamples: usize) -> String {
    let predictors = result.sessions.iter().flat_map(|s| &s.tasks).flat_map(|t| &t.predictors);
    let scores = predictors.flat_map(|p| &p.scores).filter_map(|entry| entry.score.as_ref());
    let mut clustered = scores.map(|score| score.interval().method == IntervalMethod::GroupBootstrap);
    let drawn = if clustered.any(|is| is) { "groups of overlapping test windows" } else { "test trials" };
    format!("percentile bootstrap over {drawn}, {n_resamples} resamples, the null held fixed")
}

/// What the predictors of an evaluation are, in the order in which tables first name them.
fn rows(result: &EvaluationResult) -> Vec<report::Fact> {
    let mut rows: Vec<report::Fact> = Vec::new();
    for found in result.sessions.iter().flat_map(|s| &s.tasks).flat_map(|t| &t.predictors) {
        let label = predictor(&found.name, found.group).label().to_owned();
        if let Some(value) = explanation(&found.name)
            && !rows.iter().any(|row| row.name == label)
        {
            // Tables of other verbs have the name that configurations use.
            let value = if label == found.name {
                value.to_owned()
            } else {
                format!("{value} `{}` in other tables.", found.name)
            };
            rows.push(report::Fact { name: label, value });
        }
    }
    rows
}

fn explanation(name: &str) -> Option<&'static str> {
    Some(match name {
        "fine_tuned" => "Pretrained on other sessions, then trained on this one with all weights free.",
        "new_stitch" => {
            "Pretrained on other sessions; on this one only its stitch is trained, the core is frozen."
        }
        "from_scratch" => "The same network trained on this session alone: the control of pretraining.",
        "stack" => {
            "Closed forms of this session, combined as the pretraining sessions taught; no gradient step, nothing chosen \
             on this session."
        }
        name if name.ends_with("+stack") => {
            "The model and the stack as one: rates are averaged with a weight that the validation trials choose."
        }
        name if name.ends_with("+linear") => {
            "The model and the best linear predictor of this session as one: rates are averaged with a weight that the \
             validation trials choose."
        }
        "unit_mean" => "Each unit's mean over the training trials.",
        "psth" => "Each unit's mean time course over the training trials of the same condition, smoothed.",
        "ridge" => "Linear regression of each hidden unit on the visible ones, penalty by validation trials.",
        "pca_poisson" => {
            "Principal components of the visible units, then a Poisson regression for each hidden one."
        }
        "factor_analysis" => {
            "Factors that the visible units share, each with a time course of its own (exact posterior mean), read out for \
             the hidden ones."
        }
        "factors_wiener" => {
            "A blend of temporal factors and a linear filter over several time scales of the visible units."
        }
        "factors_wiener_refit" | "forward_pool_refit" => {
            "The same, fitted again to training and validation trials once all is chosen."
        }
        "last_mean" => {
            "Each unit's mean over the last visible bins, drawn to its mean over the training trials."
        }
        "forward_ridge" => "Linear regression of the future on each unit's own past and the population's.",
        "forward_pool" => "The two before as one, weighted by the validation trials.",
        "linear_shrunk" => {
            "The best linear predictor and the unit mean as one, weighted by the validation trials: what a pool gains with \
             a partner that knows nothing."
        }
        _ => return None,
    })
}

fn named(name: &str, group: Group) -> report::Predictor {
    report::Predictor::Other { name: name.to_owned(), baseline: group == Group::Baseline }
}

fn task_result(session: &str, task: &TaskEvaluation) -> report::TaskResult {
    let group_of =
        |name: &str| task.predictors.iter().find(|p| p.name == name).map_or(Group::Model, |p| p.group);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
    let n_spikes = task.n.spikes as u64;
    report::TaskResult {
        session: session.to_owned(),
        task: report_task(task.task),
        n_trials: task.n.trials as u64,
        n_units: task.n.units as u64,
        n_active_units: task.n_active_units as u64,
        n_spikes,
        predictors: task
            .predictors
            .iter()
            .map(|p| report::PredictorScores {
                predictor: predictor(&p.name, p.group),
                evaluated_mean: null_scores(p, NullModel::EvaluatedMean),
                train_mean: null_scores(p, NullModel::TrainMean),
            })
            .collect(),
        differences: task
            .differences
            .iter()
            .map(|d| report::PairedDifference {
                left: predictor(&d.left, group_of(&d.left)),
                right: predictor(&d.right, group_of(&d.right)),
                difference: estimate(d.difference.value, &d.difference.interval),
            })
            .collect(),
    }
}

pub(super) fn estimate(value: f64, interval: &ConfidenceInterval) -> report::Estimate {
    report::Estimate::new(value, interval.lo, interval.hi)
}

fn null_scores(p: &PredictorEvaluation, null: NullModel) -> report::NullScores {
    let entry =
        |wanted: fn(&Convention) -> bool| p.scores.iter().find(|s| s.null == null && wanted(&s.convention));
    let value = |wanted| {
        entry(wanted).and_then(|e| e.score.as_ref()).map_or(f64::NAN, neurobrick_metrics::Score::value)
    };
    let pooled = entry(|c| *c == Convention::Pooled);
    report::NullScores {
        pooled: match pooled {
            Some(e) => match &e.score {
                Some(score) => estimate(score.value(), score.interval()),
                None => report::Estimate::undefined(e.undefined.clone().unwrap_or_default()),
            },
            None => report::Estimate::undefined("not computed"),
        },
        unit_mean: value(|c| *c == Convention::UnitMean),
        unit_median: value(|c| *c == Convention::UnitMedian),
        active_unit_mean: value(|c| matches!(c, Convention::ActiveUnitMean { .. })),
    }
}

fn decoding(result: &EvaluationResult) -> Vec<report::DecodingResult> {
    let target = |name: &str| match name {
        "stimulus_side" => report::DecodingTarget::StimulusSide,
        "choice" => report::DecodingTarget::Choice,
        other => report::DecodingTarget::Other(other.to_owned()),
    };
    let feature = |name: &str| match name {
        "raw_counts" => report::DecodingFeature::RawCounts,
        "fine_tuned" => report::DecodingFeature::ModelLatents,
        other => report::DecodingFeature::Other(format!("latents, {}", other.replace('_', " "))),
    };
    let mut found = Vec::new();
    for session in &result.sessions {
        for d in &session.decoding {
            let balanced_accuracy = match &d.accuracy {
                Some(a) => estimate(a.balanced, &a.balanced_interval),
                None => report::Estimate::undefined(d.undefined.clone().unwrap_or_default()),
            };
            found.push(report::DecodingResult {
                session: session.session.to_string(),
                target: target(&d.target),
                feature: feature(&d.feature),
                balanced_accuracy,
                n_trials: d.n_test as u64,
                // Always answering one class is right on all trials of it and on none of the other.
                majority_baseline: 0.5,
                null: d.null.map(|null| report::DecodingNull {
                    mean: null.mean,
                    upper: null.upper,
                    p_value: null.p_value,
                    n_draws: null.n_draws as u64,
                }),
            });
        }
    }
    found
}

fn pretraining(records: &[MetricsRecord], schemes: &[MaskScheme]) -> report::PretrainingCurves {
    // Means over blocks of steps: single batches differ by scheme and session.
    const BLOCK: usize = 25;
    let steps: Vec<_> = records
        .iter()
        .filter_map(|r| match r {
            MetricsRecord::Step(step) => Some(step),
            MetricsRecord::Validation { .. } => None,
        })
        .collect();
    let blocks = steps.chunks(BLOCK);
    let curve = |value: fn(&neurobrick_train::StepReport) -> f64| report::Curve {
        steps: blocks.clone().filter_map(|b| b.last()).map(|s| s.step).collect(),
        values: blocks.clone().map(|b| b.iter().map(|s| value(s)).sum::<f64>() / b.len() as f64).collect(),
    };
    report::PretrainingCurves {
        train_loss: curve(|s| s.loss),
        learning_rate: Some(curve(|s| s.lr)),
        validation: schemes
            .iter()
            .enumerate()
            .map(|(k, scheme)| report::SchemeCurve {
                scheme: report_scheme(scheme),
                bits_per_spike: valid_curve(records, |v| {
                    v.schemes.get(k).and_then(|s| s.bits_per_spike).unwrap_or(f64::NAN)
                }),
            })
            .collect(),
    }
}

fn valid_curve(
    records: &[MetricsRecord],
    value: impl Fn(&neurobrick_train::ValidationReport) -> f64,
) -> report::Curve {
    let (steps, values) = records
        .iter()
        .filter_map(|r| match r {
            MetricsRecord::Validation { step, report, .. } => Some((*step, value(report))),
            MetricsRecord::Step(_) => None,
        })
        .unzip();
    report::Curve { steps, values }
}

fn finetuning(runs: Vec<(String, String, Vec<MetricsRecord>)>) -> Vec<report::FineTuningCurves> {
    let mut found: Vec<report::FineTuningCurves> = Vec::new();
    for (session, name, records) in runs {
        let curve = report::PredictorCurve {
            predictor: predictor(&name, Group::Model),
            bits_per_spike: valid_curve(&records, |v| v.mean),
        };
        match found.iter_mut().find(|f| f.session == session) {
            Some(curves) => curves.curves.push(curve),
            None => found.push(report::FineTuningCurves { session, curves: vec![curve] }),
        }
    }
    found
}

fn region_result(session: &str, task: &TaskEvaluation) -> Option<report::RegionResult> {
    if !matches!(task.task, EvalTask::InterRegion | EvalTask::CoSmoothing) {
        return None;
    }
    let group_of = |name: &str| task.predictors.iter().find(|p| p.name == name).map(|p| p.group);
    let baseline = task.regions.iter().find(|r| group_of(&r.predictor) == Some(Group::Baseline))?;
    let model = task.regions.iter().find(|r| group_of(&r.predictor) == Some(Group::Model))?;
    let value_of = |region: &str| {
        let row = task.regions.iter().find(|r| r.region == region && r.predictor == baseline.predictor)?;
        Some(row.score.as_ref()?.value())
    };
    let regions: Vec<report::RegionScore> = task
        .regions
        .iter()
        .filter(|r| group_of(&r.predictor) == Some(Group::Model))
        .map(|r| report::RegionScore {
            region: r.region.clone(),
            n_units: r.n_units as u64,
            score: r.score.as_ref().map_or_else(
                || report::Estimate::undefined("no spike of these units in the test trials"),
                |s| estimate(s.value(), s.interval()),
            ),
            baseline: value_of(&r.region).unwrap_or(f64::NAN),
        })
        .collect();
    (!regions.is_empty()).then(|| report::RegionResult {
        session: session.to_owned(),
        task: report_task(task.task),
        predictor: predictor(&model.predictor, Group::Model),
        baseline: predictor(&baseline.predictor, Group::Baseline),
        regions,
    })
}

fn reproduction(manifest: &RunManifest, config_toml: String) -> report::Reproduction {
    let fact = |name: &str, value: String| report::Fact { name: name.to_owned(), value };
    let mut versions = vec![fact("neurobrick", manifest.version.clone())];
    if let Some(commit) = &manifest.commit {
        versions.push(fact("commit", commit.clone()));
    }
    versions.push(fact("processor features", manifest.cpu_features.join(", ")));
    report::Reproduction {
        command: manifest.command.clone(),
        seed: manifest.seed,
        config_toml,
        versions,
        data_hashes: manifest
            .data
            .iter()
            .map(|h| report::DataHash { name: h.session.to_string(), blake3: h.blake3.clone() })
            .collect(),
        device: manifest.device.clone(),
        n_threads: manifest.n_threads as u64,
        stages: manifest
            .stages
            .iter()
            .map(|(name, wall_time_s)| report::Stage { name: name.clone(), wall_time_s: *wall_time_s })
            .collect(),
        peak_memory_bytes: manifest.peak_memory_bytes,
    }
}
