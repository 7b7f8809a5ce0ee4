//! The verbs on recordings: foreign files into a store, and a look at a store.

use std::path::Path;
use std::time::Duration;

use neurobrick::PipelineError;
use neurobrick::ingest::{Found, IngestOptions, IngestSummary, Ingested, Isolation, READERS, Refusal, serve};
use neurobrick::pipeline;
use neurobrick::schema::SessionId;

use crate::cli::IngestArgs;
use crate::screen::say;
use crate::verbs::{Failure, with_screen};

/// Ingests, and ends with a table of what went in and what did not.
pub(crate) fn ingest(args: &IngestArgs) -> Result<(), Failure> {
    if args.dry_run {
        return dry_run(args);
    }
    let program = std::env::current_exe().map_err(|source| PipelineError::Io {
        action: "find",
        path: "the running program".into(),
        source,
    })?;
    let isolation = Isolation {
        program,
        args: vec!["read-session".into()],
        memory_bytes: args.memory_mib << 20,
        time: Duration::from_secs(args.time_limit_s),
    };
    let options =
        IngestOptions { n_workers: args.n_jobs(), isolation: Some(isolation), ..IngestOptions::default() };
    let summary = with_screen(1, |screen| pipeline::ingest_with(&args.paths, &args.store, &options, screen))?;
    say(&table(&rows(&summary)));
    say(&format!(
        "{} written, {} unchanged, {} refused",
        summary.written.len(),
        summary.unchanged.len(),
        summary.refused.len()
    ));
    refuse(&summary.refused)
}

/// Answers the parent process of a reading, see [`neurobrick::ingest::Isolation`].
pub(crate) fn read_session() -> Result<(), Failure> {
    Ok(serve(std::io::stdin(), std::io::stdout(), &READERS).map_err(PipelineError::from)?)
}

fn dry_run(args: &IngestArgs) -> Result<(), Failure> {
    let plan = pipeline::plan_ingest(&args.paths, &args.store)?;
    let header = ["session", "format", "files", "MiB", "would be"].map(str::to_owned);
    let mut rows = vec![Row { cells: header, below: None }];
    for found in &plan.found {
        let Found { session, format, path, n_files, bytes, is_unchanged, .. } = found;
        let named = found.renamed_from.as_deref().map(|name| format!("; {}", named_after(name)));
        rows.push(Row {
            cells: [
                session.to_string(),
                (*format).to_owned(),
                n_files.to_string(),
                format!("{:.1}", *bytes as f64 / f64::from(1 << 20)),
                (if *is_unchanged { "skipped: unchanged" } else { "read" }).to_owned(),
            ],
            below: Some(format!("{}{}", path.display(), named.unwrap_or_default())),
        });
    }
    say(&table(&rows));
    refuse(&plan.refused)
}

/// That a session is called otherwise than its file.
fn named_after(name: &str) -> String {
    format!("named after {name}, in characters that every file system allows")
}

fn refuse(refused: &[Refusal]) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let lines = refused.iter().map(Refusal::to_string);
    let details = lines.collect::<Vec<_>>().join("\n");
    Err(PipelineError::Refused { n_refused: refused.len(), details }.into())
}

/// A row of a table, and what stands in a line of its own below: texts that can be of any length.
struct Row<const N: usize> {
    cells: [String; N],
    below: Option<String>,
}

/// One row per session; the reasons of refusals, which are long, follow the table as the error of the verb.
fn rows(summary: &IngestSummary) -> Vec<Row<8>> {
    let header = ["session", "format", "outcome", "units", "trials", "spikes", "signals", "interval tables"];
    let mut rows = vec![Row { cells: header.map(str::to_owned), below: None }];
    for written in &summary.written {
        let cells = [
            written.digest.session.to_string(),
            written.format.to_owned(),
            (if written.is_replaced { "replaced" } else { "written" }).to_owned(),
            written.n_units.to_string(),
            written.n_trials.to_string(),
            written.n_spikes.to_string(),
            written.n_signals.to_string(),
            written.n_interval_tables.to_string(),
        ];
        rows.push(Row { cells, below: remarks(written) });
    }
    let short = |session: String, outcome: &str, below| {
        let mut cells = [const { String::new() }; 8];
        (cells[0], cells[2]) = (session, outcome.to_owned());
        Row { cells, below }
    };
    rows.extend(summary.unchanged.iter().map(|session| short(session.to_string(), "unchanged", None)));
    rows.extend(summary.refused.iter().map(|refusal| match &refusal.session {
        Some(session) => short(session.to_string(), "refused", None),
        None => short("-".to_owned(), "refused", Some(refusal.path.display().to_string())),
    }));
    rows
}

/// What a user would not expect of a session that went in.
fn remarks(written: &Ingested) -> Option<String> {
    let mut remarks = Vec::new();
    if let Some(name) = &written.renamed_from {
        remarks.push(named_after(name));
    }
    if written.n_trials == 0 && written.n_interval_tables > 0 && written.format == "nwb" {
        remarks.push(
            "no trials; `trials = \"<table>\"` in dataset.toml takes one of the interval tables, which inspect lists"
                .to_owned(),
        );
    }
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

/// Columns of equal width.
fn table<const N: usize>(rows: &[Row<N>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row.cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let lines = |row: &Row<N>| {
        let cells = row.cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        std::iter::once(line).chain(row.below.as_ref().map(|text| format!("    {text}"))).collect::<Vec<_>>()
    };
    rows.iter().flat_map(lines).collect::<Vec<_>>().join("\n")
}

/// Summaries of sessions of a store.
pub(crate) fn inspect(store: &Path, sessions: &[String], json: bool) -> Result<(), Failure> {
    let ids = sessions.iter().map(SessionId::new).collect::<Result<Vec<_>, _>>()?;
    let summaries = pipeline::inspect(store, &ids)?;
    if json {
        let text = serde_json::to_string_pretty(&summaries)
            .map_err(|e| PipelineError::BadFile { path: store.to_owned(), message: e.to_string() })?;
        say(&text);
    } else if summaries.is_empty() {
        say(&format!("the store {} has no sessions; ingest recordings into it", store.display()));
    } else {
        for summary in summaries {
            say(&format!("{summary}\n"));
        }
    }
    Ok(())
}
