//! What a submission of the Neural Latents Benchmark is worth, in the benchmark's own words.

use std::fmt::Write as _;

use neurobrick_metrics::MetricError;
use neurobrick_metrics::nlb::{Evaluation, Submission, Targets, evaluate};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Data sets with a table of their own, in the order of the benchmark.
const DATASETS: [&str; 4] = ["mc_maze", "mc_rtt", "area2_bump", "dmfc_rsg"];
/// Data sets that share one table, with the trials that stand before their metrics.
const SCALING: [(&str, &str); 3] =
    [("mc_maze_large", "[500] "), ("mc_maze_medium", "[250] "), ("mc_maze_small", "[100] ")];
/// What the name of a data set ends in, by the width of its bins: 5 and 20 ms.
const BINS: [&str; 2] = ["", "_20"];

/// Names of all data sets of the benchmark, in its order.
pub fn nlb_datasets() -> impl Iterator<Item = String> {
    let datasets = DATASETS.into_iter().chain(SCALING.map(|(name, _)| name));
    datasets.flat_map(|dataset| BINS.map(|bins| format!("{dataset}{bins}")))
}

/// One data set scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NlbScore {
    /// Name of its group in the files.
    pub dataset: String,
    /// Trials that the held-out units were scored on.
    pub n_trials: usize,
    /// Its numbers.
    pub evaluation: Evaluation,
}

impl NlbScore {
    /// Scores one data set as `nlb_tools.evaluation.evaluate` does (commit 1ddc15f).
    ///
    /// # Errors
    /// If tensors do not fit together, or rates are negative or NaN where a spike was counted.
    pub fn new(dataset: String, submitted: &Submission, targets: &Targets) -> Result<Self, MetricError> {
        let evaluation = evaluate(submitted, targets)?;
        Ok(Self { dataset, n_trials: targets.eval_spikes_heldout.dim().0, evaluation })
    }
}

/// A submission scored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NlbScores {
    /// Data sets that both files have.
    pub datasets: Vec<NlbScore>,
    /// Groups of the submission that the targets lack.
    pub not_scored: Vec<String>,
}

impl NlbScores {
    /// The result in the benchmark's own layout: a list of objects, one for each split, of its metrics by name.
    pub fn official(&self) -> Value {
        let of = |dataset: &str| self.datasets.iter().find(|score| score.dataset == dataset);
        let mut splits = Vec::new();
        for dataset in DATASETS {
            for bins in BINS {
                if let Some(score) = of(&format!("{dataset}{bins}")) {
                    let mut metrics = Map::new();
                    put(&mut metrics, "", &score.evaluation);
                    splits.push(json!({ format!("{dataset}{bins}_split"): metrics }));
                }
            }
        }
        for bins in BINS {
            let mut metrics = Map::new();
            for (dataset, prefix) in SCALING {
                if let Some(score) = of(&format!("{dataset}{bins}")) {
                    put(&mut metrics, prefix, &score.evaluation);
                }
            }
            if !metrics.is_empty() {
                splits.push(json!({ format!("mc_maze_scaling{bins}_split"): metrics }));
            }
        }
        Value::Array(splits)
    }

    /// The numbers as a Markdown table.
    pub fn markdown(&self) -> String {
        let mut text = "Neural Latents Benchmark; the null of bits/spike is each unit's mean over the evaluated trials.\n\n\
                        | data set | trials | co-bps | vel R2 | tp corr | psth R2 | fp-bps |\n\
                        |---|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
        for NlbScore { dataset, n_trials, evaluation } in &self.datasets {
            let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| format!("{v:.4}"));
            let _ = writeln!(
                text,
                "| {dataset} | {n_trials} | {:.4} | {} | {} | {} | {} |",
                evaluation.co_smoothing,
                optional(evaluation.velocity_r2),
                optional(evaluation.speed_correlation),
                optional(evaluation.psth_r2),
                optional(evaluation.forward_prediction),
            );
        }
        if !self.not_scored.is_empty() {
            let _ = writeln!(text, "\nNot in the targets, so not scored: {}.", self.not_scored.join(", "));
        }
        text
    }
}

fn put(metrics: &mut Map<String, Value>, prefix: &str, evaluation: &Evaluation) {
    let named = [
        ("co-bps", Some(evaluation.co_smoothing)),
        ("vel R2", evaluation.velocity_r2),
        ("tp corr", evaluation.speed_correlation),
        ("psth R2", evaluation.psth_r2),
        ("fp-bps", evaluation.forward_prediction),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            metrics.insert(format!("{prefix}{name}"), json!(value));
        }
    }
}
