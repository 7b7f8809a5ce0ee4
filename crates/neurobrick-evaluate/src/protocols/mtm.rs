//! The averages of MtM's tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use neurobrick_metrics::{ConfidenceInterval, Convention, NullModel};
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_train::EvalTask;
use serde::Serialize;

use crate::EvaluateError;
use crate::evaluation::{EvaluationResult, Group, LEVEL, ScoringConfig};
use crate::json::{read_json, write_json};

/// The tasks of MtM's tables (Zhang et al. 2024, section 4), in their order.
const TASKS: [EvalTask; 4] =
    [EvalTask::CoSmoothing, EvalTask::ForwardPrediction, EvalTask::IntraRegion, EvalTask::InterRegion];

/// One predictor on one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MtmScore {
    /// The task.
    pub task: EvalTask,
    /// The predictor.
    pub predictor: String,
    /// Model or baseline.
    pub group: Group,
    /// Mean over sessions of the mean over units, bits/spike.
    pub bits_per_spike: f64,
    /// Student's interval over sessions.
    pub interval: ConfidenceInterval,
    /// The mean over units in every session.
    pub sessions: BTreeMap<SessionId, f64>,
    /// Units scored, over all sessions.
    pub n_units: usize,
}

/// MtM's definition of bits/spike: every unit against its own mean over the evaluated trials and bins, averaged over the
/// units with a spike, then over sessions.
///
/// The published code does the same; it is not the pooled score of the Neural Latents Benchmark, and units with a handful
/// of test spikes rule it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MtmTable {
    /// Models, then baselines, by task.
    pub scores: Vec<MtmScore>,
}

impl MtmTable {
    /// Whether an evaluation with these settings gives the numbers of the tables.
    ///
    /// # Errors
    /// If a task is missing, or only some units are predicted.
    pub fn check(scoring: &ScoringConfig) -> Result<(), EvaluateError> {
        let refuse = |field: &str, message: String| {
            Err(EvaluateError::BadValue { field: format!("scoring.{field}"), message })
        };
        if let Some(n) = scoring.max_units {
            return refuse(
                "max_units",
                format!("the protocol of MtM predicts every unit, not {n} of them; leave `max_units` out"),
            );
        }
        if let Some(missing) = TASKS.iter().find(|task| !scoring.tasks.contains(task)) {
            return refuse("tasks", format!("the protocol of MtM needs {} as well", missing.name()));
        }
        Ok(())
    }

    /// Makes the table of the finished evaluation in the folder `run`, and writes it there as `mtm.json` and `mtm.md`.
    ///
    /// # Errors
    /// If there is no finished evaluation, or a file cannot be written.
    pub fn write(run: &Path) -> Result<Self, EvaluateError> {
        let result: EvaluationResult = read_json(&run.join("metrics.json"))?;
        let table = Self::new(&result);
        write_json(&run.join("mtm.json"), &table)?;
        write_file(&run.join("mtm.md"), table.markdown().as_bytes())?;
        Ok(table)
    }

    /// The table of an evaluation; predictors without a score on a session are averaged over the others.
    pub fn new(result: &EvaluationResult) -> Self {
        let mut scores: Vec<MtmScore> = Vec::new();
        for task in TASKS {
            for session in &result.sessions {
                for found in session.tasks.iter().filter(|t| t.task == task) {
                    for predictor in &found.predictors {
                        let entry = predictor.scores.iter().find(|s| {
                            s.null == NullModel::EvaluatedMean && s.convention == Convention::UnitMean
                        });
                        let Some(score) = entry.and_then(|entry| entry.score.as_ref()) else { continue };
                        let known =
                            scores.iter().position(|s| s.task == task && s.predictor == predictor.name);
                        let place = known.unwrap_or_else(|| {
                            scores.push(MtmScore {
                                task,
                                predictor: predictor.name.clone(),
                                group: predictor.group,
                                bits_per_spike: f64::NAN,
                                interval: ConfidenceInterval::of_mean(&[], LEVEL),
                                sessions: BTreeMap::new(),
                                n_units: 0,
                            });
                            scores.len() - 1
                        });
                        scores[place].sessions.insert(session.session.clone(), score.value());
                        scores[place].n_units += found.n.units;
                    }
                }
            }
        }
        for score in &mut scores {
            let values: Vec<f64> = score.sessions.values().copied().collect();
            score.bits_per_spike = values.iter().sum::<f64>() / values.len() as f64;
            score.interval = ConfidenceInterval::of_mean(&values, LEVEL);
        }
        Self { scores }
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = "Bits/spike as MtM defines it: mean over units with a spike, each against its own mean over the \
                        evaluated trials and bins; then mean over sessions, with Student's 95 % interval over \
                        sessions (none with a single session).\n\n"
            .to_owned();
        let _ = writeln!(text, "| predictor | {} |", TASKS.map(EvalTask::name).join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(TASKS.len()));
        let mut names: Vec<&str> = Vec::new();
        for score in &self.scores {
            if !names.contains(&score.predictor.as_str()) {
                names.push(&score.predictor);
            }
        }
        for name in names {
            let cells = TASKS.map(|task| {
                let found = self.scores.iter().find(|s| s.task == task && s.predictor == name);
                found.map_or_else(|| "–".to_owned(), cell)
            });
            let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
        }
        text
    }
}

fn cell(score: &MtmScore) -> String {
    let (lo, hi) = (score.interval.lo, score.interval.hi);
    if lo.is_finite() && hi.is_finite() {
        format!("{:.3} [{lo:.3}, {hi:.3}]", score.bits_per_spike)
    } else {
        format!("{:.3}", score.bits_per_spike)
    }
}

#[cfg(test)]
mod tests {
    use neurobrick_metrics::{Baseline, Counted, Score, Split};

    use super::*;
    use crate::evaluation::{PredictorEvaluation, ScoreEntry, SessionEvaluation, TaskEvaluation};

    fn entry(convention: Convention, null: NullModel, value: f64) -> ScoreEntry {
        let n = Counted { trials: 4, units: 3, entries: 120, spikes: 50.0, sessions: 1 };
        let interval = ConfidenceInterval::of_mean(&[0.0, 1.0], 0.95);
        let baseline = Baseline { name: "unit_mean".to_owned(), value: 0.0 };
        let score = Score::new(value, n, interval, null, baseline, Split::Test).ok();
        ScoreEntry { null, convention, score, undefined: None }
    }

    fn session(name: &str, value: f64) -> Option<SessionEvaluation> {
        let predictor = PredictorEvaluation {
            name: "mtm".to_owned(),
            group: Group::Model,
            choice: None,
            scores: vec![
                entry(Convention::Pooled, NullModel::EvaluatedMean, 9.0),
                entry(Convention::UnitMean, NullModel::TrainMean, 8.0),
                entry(Convention::UnitMean, NullModel::EvaluatedMean, value),
            ],
        };
        let task = TaskEvaluation {
            task: EvalTask::CoSmoothing,
            n: Counted { trials: 4, units: 3, entries: 120, spikes: 50.0, sessions: 1 },
            n_active_units: 3,
            predictors: vec![predictor],
            differences: Vec::new(),
            regions: Vec::new(),
            two_alternative: Vec::new(),
        };
        let session = SessionId::new(name).ok()?;
        Some(SessionEvaluation { session, tasks: vec![task], decoding: Vec::new(), skipped: Vec::new() })
    }

    #[test]
    fn units_are_averaged_before_sessions() {
        let sessions = [session("a", 0.2), session("b", 0.4)].into_iter().flatten().collect();
        let result = EvaluationResult { format_version: 1, sessions, summary: None };
        let table = MtmTable::new(&result);
        assert_eq!(table.scores.len(), 1);
        let score = &table.scores[0];
        assert!((score.bits_per_spike - 0.3).abs() < 1e-12, "{score:?}");
        assert_eq!((score.n_units, score.sessions.len()), (6, 2));
        assert!(
            table.markdown().contains("| mtm | 0.300 [-0.971, 1.571] | – | – | – |"),
            "{}",
            table.markdown()
        );
    }

    #[test]
    fn a_sample_of_units_or_tasks_is_refused() {
        let whole = ScoringConfig::default();
        assert!(MtmTable::check(&whole).is_ok());
        let some = ScoringConfig { max_units: Some(50), ..whole.clone() };
        assert!(MtmTable::check(&some).is_err_and(|e| e.to_string().contains("every unit")));
        let few = ScoringConfig { tasks: vec![EvalTask::CoSmoothing], ..whole };
        assert!(MtmTable::check(&few).is_err_and(|e| e.to_string().contains("forward_prediction")));
    }
}
