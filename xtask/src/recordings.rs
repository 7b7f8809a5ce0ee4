//! The verbs on recordings: foreign files into a store, and a look at a store.

use std::path::Path;
use std::time::Duration;

use neurobrick::PipelineError;
use neurobrick::ingest::{Found, IngestOptions, IngestSummary, Isolation, READERS, Refusal, serve};
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
    let mut rows = vec![["session", "format", "files", "MiB", "would be", "path"].map(str::to_owned)];
    for Found { session, format, path, n_files, bytes, is_unchanged } in &plan.found {
        rows.push([
            session.to_string(),
            (*format).to_owned(),
            n_files.to_string(),
            format!("{:.1}", *bytes as f64 / f64::from(1 << 20)),
            (if *is_unchanged { "skipped: unchanged" } else { "read" }).to_owned(),
            path.display().to_string(),
        ]);
    }
    say(&table(&rows));
    refuse(&plan.refused)
}

fn refuse(refused: &[Refusal]) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let lines = refused.iter().map(Refusal::to_string);
    let details = lines.collect::<Vec<_>>().join("\n");
    Err(PipelineError::Refused { n_refused: refused.len(), details }.into())
}

/// One row per session; the reasons of refusals, which are long, follow the table as the error of the verb.
fn rows(summary: &IngestSummary) -> Vec<[String; 8]> {
    let header = ["session", "format", "outcome", "units", "trials", "spikes", "signals", "interval tables"];
    let mut rows = vec![header.map(str::to_owned)];
    for written in &summary.written {
        rows.push([
            written.digest.session.to_string(),
            written.format.to_owned(),
            (if written.is_replaced { "replaced" } else { "written" }).to_owned(),
            written.n_units.to_string(),
            written.n_trials.to_string(),
            written.n_spikes.to_string(),
            written.n_signals.to_string(),
            written.n_interval_tables.to_string(),
        ]);
    }
    let short = |session: String, outcome: &str| {
        let mut row = [const { String::new() }; 8];
        (row[0], row[2]) = (session, outcome.to_owned());
        row
    };
    rows.extend(summary.unchanged.iter().map(|session| short(session.to_string(), "unchanged")));
    rows.extend(summary.refused.iter().map(|refusal| {
        let name =
            refusal.session.as_ref().map_or_else(|| refusal.path.display().to_string(), SessionId::to_string);
        short(name, "refused")
    }));
    rows
}

/// Columns of equal width.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Summaries of sessions of a store.
pub(crate) fn inspect(store: &Path, sessions: &[String], json: bool) -> Result<(), Failure> {
    let ids = sessions.iter().map(SessionId::new).collect::<Result<Vec<_>, _>>()?;
    let summaries = pipeline::inspect(store, &ids)?;
    if json {
        let text = serde_json::to_string_pretty(&summaries)
            .map_err(|e| PipelineError::BadFile { path: store.to_owned(), message: e.to_string() })?;
        say(&text);
    } else {
        for summary in summaries {
            say(&format!("{summary}\n"));
        }
    }
    Ok(())
}
