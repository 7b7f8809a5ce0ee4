//! Several evaluations side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use neurobrick_metrics::{Counted, Score};
use neurobrick_schema::SessionId;
use neurobrick_train::EvalTask;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::results::EvaluationResult;
use crate::json::read_json;
use crate::{EvaluateError, RunManifest};

/// One predictor on one task of one session, in every run that has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedScore {
    /// The session.
    pub session: SessionId,
    /// The task.
    pub task: EvalTask,
    /// Model or baseline, by its name in the runs.
    pub predictor: String,
    /// Pooled bits/spike by run; `None` where a run has no such score.
    pub scores: Vec<Option<Score>>,
}

/// Evaluations side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunComparison {
    /// Folders, in the order of all scores.
    pub runs: Vec<PathBuf>,
    /// Rows: sessions, tasks and predictors in the order in which the runs first name them.
    pub scores: Vec<ComparedScore>,
    /// Why some numbers may not be compared.
    pub warnings: Vec<String>,
}

impl RunComparison {
    /// Reads `metrics.json` and `manifest.json` of finished evaluations.
    ///
    /// # Errors
    /// If fewer than two folders are named, or one holds no finished evaluation.
    pub fn read(runs: &[PathBuf]) -> Result<Self, EvaluateError> {
        if runs.len() < 2 {
            let message = format!("a comparison needs two folders at least, received {}", runs.len());
            return Err(EvaluateError::BadValue { field: "runs".to_owned(), message });
        }
        let mut scores: Vec<ComparedScore> = Vec::new();
        let mut manifests = Vec::new();
        for (column, run) in runs.iter().enumerate() {
            let result: EvaluationResult = read(run, "metrics.json")?;
            manifests.push(read::<RunManifest>(run, "manifest.json")?);
            for (session, task, predictor, score) in pooled(&result) {
                let is_row = |row: &&mut ComparedScore| {
                    row.session == session && row.task == task && row.predictor == predictor
                };
                if let Some(row) = scores.iter_mut().find(is_row) {
                    row.scores[column] = score;
                } else {
                    let mut row = ComparedScore { session, task, predictor, scores: vec![None; runs.len()] };
                    row.scores[column] = score;
                    scores.push(row);
                }
            }
        }
        if !scores.iter().any(|row| row.scores.iter().flatten().count() > 1) {
            let message = "no predictor has a score of the same session and task in two of them".to_owned();
            return Err(EvaluateError::BadValue { field: "runs".to_owned(), message });
        }
        let mut warnings = warnings(runs, &manifests);
        warnings.extend(other_questions(runs, &scores));
        Ok(Self { runs: runs.to_vec(), scores, warnings })
    }

    /// A table per session and task, for people.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "Pooled bits/spike on test trials; the null of forward prediction is the training mean, of the others the \
             evaluated mean. Intervals are each run's own: to tell two models apart, evaluate both in one run, which \
             pairs them trial by trial.\n",
        );
        for warning in &self.warnings {
            let _ = write!(text, "\n**Beware:** {warning}\n");
        }
        let names: Vec<String> = self.runs.iter().map(|run| run.display().to_string()).collect();
        let mut before = None;
        for row in &self.scores {
            if before != Some((&row.session, row.task)) {
                before = Some((&row.session, row.task));
                let n = row.scores.iter().flatten().next().map_or_else(String::new, |s| in_words(s.n()));
                let _ = write!(
                    text,
                    "\n### {}, {}\n\n{n}\n\n| predictor | {} |\n|---|{}\n",
                    row.session,
                    row.task.name(),
                    names.join(" | "),
                    "---:|".repeat(names.len())
                );
            }
            let cells: Vec<String> = row.scores.iter().map(|score| cell(score.as_ref())).collect();
            let _ = writeln!(text, "| {} | {} |", row.predictor, cells.join(" | "));
        }
        text
    }
}

fn cell(score: Option<&Score>) -> String {
    score.map_or_else(
        || "–".to_owned(),
        |s| format!("{:.3} [{:.3}, {:.3}]", s.value(), s.interval().lo, s.interval().hi),
    )
}

/// Scores under the null that the task is reported with, sorted so that a session's tasks stay together.
fn pooled(result: &EvaluationResult) -> Vec<(SessionId, EvalTask, String, Option<Score>)> {
    let mut found = Vec::new();
    for session in &result.sessions {
        for task in &session.tasks {
            for predictor in &task.predictors {
                let score = predictor.quoted(task.task).cloned();
                found.push((session.session.clone(), task.task, predictor.name.clone(), score));
            }
        }
    }
    found
}

/// Sessions whose data differ between runs, and seeds that do.
fn warnings(runs: &[PathBuf], manifests: &[RunManifest]) -> Vec<String> {
    let mut found = Vec::new();
    let seeds: Vec<String> = manifests.iter().map(|m| m.seed.to_string()).collect();
    if seeds.iter().any(|seed| *seed != seeds[0]) {
        found.push(format!("seeds differ ({}), and with them the test trials", seeds.join(", ")));
    }
    let mut known: BTreeMap<&SessionId, (&Path, &str)> = BTreeMap::new();
    for (run, manifest) in runs.iter().zip(manifests) {
        for data in &manifest.data {
            let (first, blake3) = known.entry(&data.session).or_insert((run, &data.blake3));
            if *blake3 != data.blake3 {
                found.push(format!(
                    "session {} has other data in {} than in {}",
                    data.session,
                    run.display(),
                    first.display()
                ));
            }
        }
    }
    found
}

/// Tasks of which two runs scored other units, trials or bins: other filters, windows or splits make other questions.
fn other_questions(runs: &[PathBuf], scores: &[ComparedScore]) -> Vec<String> {
    // All predictors of a run answer the same question.
    let mut asked: BTreeMap<(&SessionId, &str), Vec<Option<&Counted>>> = BTreeMap::new();
    for row in scores {
        let counted = asked.entry((&row.session, row.task.name())).or_insert_with(|| vec![None; runs.len()]);
        for (counted, score) in counted.iter_mut().zip(&row.scores) {
            *counted = counted.or(score.as_ref().map(Score::n));
        }
    }
    let mut found = Vec::new();
    for ((session, task), counted) in asked {
        let there: Vec<(&PathBuf, &Counted)> =
            runs.iter().zip(&counted).filter_map(|(run, n)| Some((run, (*n)?))).collect();
        if there.iter().any(|(_, n)| *n != there[0].1) {
            let sides: Vec<String> =
                there.iter().map(|(run, n)| format!("{} in {}", in_words(n), run.display())).collect();
            found.push(format!("{session}, {task}: the runs scored other things: {}", sides.join("; ")));
        }
    }
    found
}

fn in_words(n: &Counted) -> String {
    format!("{} units, {} trials, {} spikes", n.units, n.trials, n.spikes)
}

fn read<T: DeserializeOwned>(run: &Path, name: &str) -> Result<T, EvaluateError> {
    let path = run.join(name);
    if !path.exists() {
        let message = format!("no {name} here; name the folder of a finished `demo` or `evaluate`");
        return Err(EvaluateError::BadFile { path: run.to_owned(), message });
    }
    read_json(&path)
}
