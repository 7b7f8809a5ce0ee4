//! Fills the HTML template: sections in order, each from its own data.

use std::path::Path;

use askama::Template;
use neurobrick_schema::atomic;

use self::choices::ChoiceTable;
use self::figures::{Figure, FigureGroup};
use self::summary::{RegionTable, SummaryTable};
use self::tables::{DecodingTable, TaskSection};
use crate::error::{ReportError, Result};
use crate::model::{DataSource, RunReport, SessionFacts, SessionRole};
use crate::verdict::{Answer, Outcome, SessionVerdict, TaskVerdict, verdicts};
use crate::{check, numbers, svg};

mod choices;
mod figures;
mod summary;
mod tables;

/// The whole page as HTML, the same bytes for the same report.
///
/// Errors: contradictions in the report (see [`ReportError`]); nothing is repaired.
pub fn render(report: &RunReport) -> Result<String> {
    check::check(report)?;
    Ok(Page::new(report).render()?)
}

/// Renders the page and puts it at `path` in one step: a reader never sees half a file.
///
/// Errors: as [`render`], and [`ReportError::Write`] when the file cannot be written.
pub fn write(report: &RunReport, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let page = render(report)?;
    atomic::write_file(path, page.as_bytes())
        .map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a RunReport,
    verdicts: Vec<VerdictRow>,
    /// What the headline asks of each task: question and meaning.
    questions: Vec<(&'static str, &'static str)>,
    pipeline: String,
    sessions: Vec<SessionRow<'a>>,
    /// Whether a session is in the store and in no model.
    has_only_ingested: bool,
    sources: Vec<SourceRow<'a>>,
    tasks: Vec<TaskSection>,
    over_sessions: Vec<SummaryTable>,
    over_regions: Vec<RegionTable>,
    choices: Vec<ChoiceTable>,
    decoding: Option<DecodingTable>,
    curves: Vec<FigureGroup>,
    rasters: Vec<FigureGroup>,
    traces: Vec<FigureGroup>,
    /// Whether there are rasters or traces.
    has_trials: bool,
    regions: Vec<FigureGroup>,
    masks: Vec<Figure>,
    stages: Vec<StageRow<'a>>,
    n_parameters: String,
    total_time: String,
    peak_memory: String,
}

/// One task of the headline.
struct VerdictRow {
    task: &'static str,
    /// Against the best baseline, then against training from scratch.
    answers: Vec<VerdictCell>,
}

/// One answer: a sentence and the numbers behind it.
struct VerdictCell {
    question: &'static str,
    sentence: String,
    chips: Vec<Chip>,
}

/// One session's part of an answer.
struct Chip {
    class: &'static str,
    sign: &'static str,
    session: String,
    evidence: String,
}

struct SessionRow<'a> {
    facts: &'a SessionFacts,
    units: String,
    trials: String,
    spikes: String,
    rate: String,
    role_class: &'static str,
    /// Trials of the split: train, valid, test; "–" where none was made.
    split: [String; 3],
}

/// A published data set in one line.
struct SourceRow<'a> {
    name: &'a str,
    license: &'a str,
    /// With a colon before it, or nothing.
    citation: String,
}

struct StageRow<'a> {
    name: &'a str,
    time: String,
    /// Share of the longest stage, in percent.
    percent: String,
}

impl<'a> Page<'a> {
    fn new(report: &'a RunReport) -> Self {
        let (stages, total) = stages(report);
        let verdicts = verdicts(report);
        Self {
            questions: questions(&verdicts),
            verdicts: verdicts.iter().map(VerdictRow::new).collect(),
            pipeline: svg::pipeline::draw(report),
            sessions: report.sessions.iter().map(SessionRow::new).collect(),
            has_only_ingested: report.sessions.iter().any(|facts| facts.role == SessionRole::IngestedOnly),
            sources: report.data.iter().map(SourceRow::new).collect(),
            tasks: tables::task_sections(report),
            over_sessions: summary::over_sessions(report),
            over_regions: summary::over_regions(report),
            choices: choices::choices(report),
            decoding: tables::decoding(report),
            curves: figures::curves(report),
            has_trials: !report.rasters.is_empty() || !report.traces.is_empty(),
            rasters: figures::rasters(report),
            traces: figures::traces(report),
            regions: figures::regions(report),
            masks: figures::masks(report),
            stages,
            n_parameters: match report.model.n_parameters {
                Some(n) => format!("{} parameters", numbers::count(n)),
                None => "parameters not stated".to_owned(),
            },
            total_time: numbers::duration(total),
            peak_memory: report
                .reproduce
                .peak_memory_bytes
                .map_or_else(|| "not measured".to_owned(), numbers::bytes),
            report,
        }
    }
}

impl VerdictRow {
    fn new(verdict: &TaskVerdict) -> Self {
        let cell = |answer: Answer<'_>| VerdictCell {
            question: answer.question,
            chips: answer.sessions.iter().map(|s| Chip::new(s, answer.names_opponents)).collect(),
            sentence: answer.sentence,
        };
        Self { task: verdict.task.label(), answers: verdict.answers().into_iter().map(cell).collect() }
    }
}

impl Chip {
    fn new(verdict: &SessionVerdict, name_opponent: bool) -> Self {
        let (class, sign) = match verdict.outcome {
            Outcome::Better => ("yes", "▲"),
            Outcome::Worse => ("no", "▼"),
            Outcome::Undecided | Outcome::Equal => ("open", "○"),
            Outcome::NotCompared => ("none", "–"),
        };
        Self { class, sign, session: verdict.session.clone(), evidence: verdict.evidence(name_opponent) }
    }
}

impl<'a> SessionRow<'a> {
    fn new(facts: &'a SessionFacts) -> Self {
        Self {
            facts,
            units: numbers::count(facts.n_units),
            trials: numbers::count(facts.n_trials),
            spikes: numbers::count(facts.n_spikes),
            rate: numbers::decimal(facts.mean_rate_hz, 2),
            role_class: match facts.role {
                SessionRole::Pretrain => "role-pretrain",
                SessionRole::FineTune | SessionRole::Evaluated => "role-fine",
                SessionRole::IngestedOnly => "role-none",
            },
            split: facts.split_in_words(),
        }
    }
}

impl<'a> SourceRow<'a> {
    fn new(source: &'a DataSource) -> Self {
        let citation = source.citation.trim();
        let citation = if citation.is_empty() { String::new() } else { format!(": {citation}") };
        Self { name: &source.name, license: &source.license, citation }
    }
}

/// The questions of the task that is asked most, with their meaning.
fn questions(verdicts: &[TaskVerdict]) -> Vec<(&'static str, &'static str)> {
    let asked = verdicts.iter().map(|verdict| {
        verdict.answers().iter().map(|answer| (answer.question, answer.meaning)).collect::<Vec<_>>()
    });
    asked.max_by_key(Vec::len).unwrap_or_default()
}

/// The stages as rows and the sum of their times.
fn stages(report: &RunReport) -> (Vec<StageRow<'_>>, f64) {
    let times = || report.reproduce.stages.iter().map(|stage| stage.wall_time_s);
    let longest = times().filter(|time| time.is_finite()).fold(0.0, f64::max);
    let rows = report.reproduce.stages.iter().map(|stage| {
        let share =
            if longest > 0.0 && stage.wall_time_s.is_finite() { stage.wall_time_s / longest } else { 0.0 };
        StageRow {
            name: &stage.name,
            time: numbers::duration(stage.wall_time_s),
            percent: format!("{:.1}", share * 100.0),
        }
    });
    (rows.collect(), times().sum())
}
