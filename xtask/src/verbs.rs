//! Each verb: parse, call the facade, show what came out.

use std::path::{Path, PathBuf};

use neurobrick::config::{BwbConfig, EvaluateConfig, Finetuning, Importing, Pretraining};
use neurobrick::evaluate::EvaluateError;
use neurobrick::evaluation::RunComparison;
use neurobrick::pipeline::{self, ArrayFile, ArrayQuestion, Observer, TrialSet};
use neurobrick::protocols::{MtmTable, score_nlb};
use neurobrick::report::{self, RunReport};
use neurobrick::schema::atomic::write_file;
use neurobrick::schema::{SchemaError, SessionId};
use neurobrick::{Compute, PipelineError, RunFolder};

use crate::bench::{self, BenchFailure};
use crate::checks::{self, CheckError};
use crate::cli::{ApplyArgs, Cli, EvaluateArgs, Protocol, StepArgs, Trials, Verb};
use crate::fetch;
use crate::recordings;
use crate::screen::{Screen, say};
use crate::stream;
use crate::tidy::{self, TidyError};

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error(transparent)]
    Bench(#[from] BenchFailure),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Tidy(#[from] TidyError),
    #[error("tidy found {0} violations; they are listed above")]
    Untidy(usize),
    #[error("the audit failed on: {0}; the report above says why")]
    FailedAudit(String),
    #[error("lines that were refused: {0}; their answers say why")]
    RefusedLines(usize),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Pipeline(error) => error.exit_code(),
            Self::RefusedLines(_) | Self::FailedAudit(_) => 65,
            Self::Bench(BenchFailure::NoCase { .. }) => 2,
            Self::Bench(_) | Self::Check(_) | Self::Tidy(_) | Self::Untidy(_) => 1,
        }
    }
}

impl From<EvaluateError> for Failure {
    fn from(error: EvaluateError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        Self::Pipeline(error.into())
    }
}

/// Runs the verb.
pub(crate) fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.verb {
        Verb::Demo { config, out, compute, fresh } => demo(config, out, compute.compute(), *fresh),
        Verb::Ingest(args) => recordings::ingest(args),
        Verb::ReadSession => recordings::read_session(),
        Verb::Inspect { store, sessions, json } => recordings::inspect(store, sessions, *json),
        Verb::Fetch { url, sessions, store, list: _ } => {
            fetch::fetch(&root(), url, sessions, store.as_deref())
        }
        Verb::Pretrain(step) => {
            let config = Pretraining::load(&step.config)?;
            let (out, compute) = (&step.run.out, step.run.compute.compute());
            with_screen(compute.n_threads, |screen| match &config {
                Pretraining::Activity(config) => pipeline::pretrain(config, out, &command(), compute, screen),
                Pretraining::Decoder(config) => {
                    pipeline::pretrain_decoder(config, out, &command(), compute, screen)
                }
                Pretraining::Neds(config) => {
                    pipeline::pretrain_neds(config, out, &command(), compute, screen)
                }
            })?;
            say(&format!("model: {}", step.run.out.join("model").display()));
            Ok(())
        }
        Verb::Finetune(step) => {
            let config = Finetuning::load(&step.config)?;
            let (out, compute) = (&step.run.out, step.run.compute.compute());
            with_screen(compute.n_threads, |screen| match &config {
                Finetuning::Activity(config) => pipeline::finetune(config, out, &command(), compute, screen),
                Finetuning::Decoder(config) => {
                    pipeline::finetune_decoder(config, out, &command(), compute, screen)
                }
                Finetuning::Neds(config) => pipeline::finetune_neds(config, out, &command(), compute, screen),
            })?;
            say(&format!("models: {}/<session>/model", step.run.out.display()));
            Ok(())
        }
        Verb::Evaluate(args) => evaluate(args),
        Verb::Questions { config, out } => questions(config, out),
        Verb::Transfer(step) => {
            let config = neurobrick::config::load(&step.config)?;
            let compute = step.run.compute.compute();
            let found = with_screen(compute.n_threads, |screen| {
                pipeline::transfer(&config, &step.run.out, &command(), compute, screen)
            })?;
            say(&found.markdown());
            say(&format!("tables: {}", step.run.out.join("transfer.md").display()));
            Ok(())
        }
        Verb::Embed { apply, causal } => {
            arrays(apply, "latents", |question, _| pipeline::embed(question, *causal))
        }
        Verb::Predict { apply, task } => {
            arrays(apply, "rates", |question, screen| pipeline::predict_rates(question, *task, screen))
        }
        Verb::Compare { runs, json } => compare(runs, *json),
        Verb::Decode(step) => decode(step),
        Verb::Scale(step) => scale(step),
        Verb::Audit(step) => audit(step),
        Verb::Import { config, from, out } => import(config, from, out),
        Verb::Export { model, to, session, names } => export(model, to, session, names.as_deref()),
        Verb::Report { run } => render_again(run),
        Verb::Bench(args) => Ok(bench::run(args, &root(), &command())?),
        Verb::Stream(args) => stream::run(args),
        Verb::Decoder(args) => stream::decoder(args),
        Verb::Counts { bless } => Ok(checks::counts(&root(), *bless)?),
        Verb::Parity => Ok(checks::parity(&root())?),
        Verb::Schema { out } => schemas(out),
        Verb::Test { device } => Ok(checks::test(&root(), *device)?),
        Verb::Ci => Ok(checks::ci(&root())?),
        Verb::Tidy => {
            let report = tidy::run(&root())?;
            say(&report.to_string());
            if report.is_clean() { Ok(()) } else { Err(Failure::Untidy(report.violations.len())) }
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// The command as typed, for the manifest.
fn command() -> String {
    let args: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask {}", args.join(" "))
}

/// Runs `work` with a screen, and with `n_threads` threads for whatever does not count its own.
pub(crate) fn with_screen<T>(
    n_threads: usize,
    work: impl FnOnce(&mut dyn Observer) -> Result<T, PipelineError>,
) -> Result<T, PipelineError> {
    // Fails only if the pool exists, which then has the size asked for: a process runs one verb.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build_global();
    let mut screen = Screen::new();
    let result = work(&mut screen);
    screen.finish();
    result
}

fn demo(config: &Path, out: &Path, compute: Compute, fresh: bool) -> Result<(), Failure> {
    let config = neurobrick::config::load(config)?;
    if fresh {
        RunFolder::delete(out)?;
    }
    let page =
        with_screen(compute.n_threads, |screen| pipeline::demo(&config, out, &command(), compute, screen))?;
    show(&page, out);
    Ok(())
}

fn evaluate(args: &EvaluateArgs) -> Result<(), Failure> {
    let EvaluateArgs { config, out, compute, protocol, predictions, targets, json } = args;
    let compute = compute.compute();
    if let (Some(predictions), Some(targets)) = (predictions, targets) {
        if *protocol != Some(Protocol::Nlb) {
            return Err(bad_value("--protocol", "`--predictions` and `--targets` are of `--protocol nlb`"));
        }
        let scores = score_nlb(predictions, targets)?;
        say(&if *json { scores.official().to_string() } else { scores.markdown() });
        return Ok(());
    }
    let (Some(path), Some(out)) = (config, out) else {
        return Err(bad_value("--out", "name a configuration and a run folder"));
    };
    if *protocol == Some(Protocol::Bwb) {
        return bwb(path, out, compute);
    }
    let config: EvaluateConfig = neurobrick::config::load(path)?;
    match protocol {
        Some(Protocol::Nlb) => {
            let message = "`nlb` scores the benchmark's own files: name `--predictions` and `--targets`";
            return Err(bad_value("--protocol", message));
        }
        Some(Protocol::Mtm) => MtmTable::check(&config.scoring)?,
        Some(Protocol::Bwb) | None => {}
    }
    let page = with_screen(compute.n_threads, |screen| {
        pipeline::evaluate(&config, out, &command(), compute, screen)
    })?;
    show(&page, out);
    if *protocol == Some(Protocol::Mtm) {
        say(&MtmTable::write(out)?.markdown());
        say(&format!("table: {}", out.join("mtm.md").display()));
    }
    Ok(())
}

fn bwb(config: &Path, out: &Path, compute: Compute) -> Result<(), Failure> {
    let config: BwbConfig = neurobrick::config::load(config)?;
    let found = with_screen(compute.n_threads, |screen| {
        pipeline::brain_wide_bench(&config, out, &command(), compute, screen)
    })?;
    say(&found.markdown());
    say(&format!("table: {0}/bwb.md, files: {0}/submissions", out.display()));
    Ok(())
}

fn bad_value(field: &str, message: &str) -> Failure {
    PipelineError::BadValue { field: field.to_owned(), message: message.to_owned() }.into()
}

fn decode(step: &StepArgs) -> Result<(), Failure> {
    let config = neurobrick::config::load(&step.config)?;
    let compute = step.run.compute.compute();
    let found = with_screen(compute.n_threads, |screen| {
        pipeline::decode(&config, &step.run.out, &command(), compute, screen)
    })?;
    say(&found.markdown());
    say(&format!("tables: {}", step.run.out.join("decode.md").display()));
    Ok(())
}

fn scale(step: &StepArgs) -> Result<(), Failure> {
    let config = neurobrick::config::load(&step.config)?;
    let compute = step.run.compute.compute();
    let found = with_screen(compute.n_threads, |screen| {
        pipeline::scale(&config, &step.run.out, &command(), compute, screen)
    })?;
    say(&found.markdown());
    say(&format!("tables and figure: {}/scale.md, scale.svg", step.run.out.display()));
    Ok(())
}

fn audit(step: &StepArgs) -> Result<(), Failure> {
    let config = neurobrick::config::load(&step.config)?;
    let compute = step.run.compute.compute();
    let found = with_screen(compute.n_threads, |screen| {
        pipeline::audit(&config, &step.run.out, &command(), compute, screen)
    })?;
    say(&found.markdown());
    say(&format!("report: {}", step.run.out.join("audit.md").display()));
    let failed = found.failed();
    if failed.is_empty() { Ok(()) } else { Err(Failure::FailedAudit(failed.join(", "))) }
}

/// The verdicts, and where to look.
fn show(page: &RunReport, out: &Path) {
    for verdict in report::verdicts(page) {
        say(verdict.task.label());
        for answer in verdict.answers() {
            say(&format!("  {}", answer.sentence));
        }
    }
    say(&format!("report: {}", out.join("report.html").display()));
}

/// Applies a model and writes the array called `name`.
fn arrays(
    args: &ApplyArgs,
    name: &str,
    work: impl FnOnce(&ArrayQuestion<'_>, &mut dyn Observer) -> Result<ArrayFile, PipelineError>,
) -> Result<(), Failure> {
    let session = args.session.as_deref().map(SessionId::new).transpose()?;
    let trials = match args.trials {
        Trials::All => TrialSet::All,
        Trials::Train => TrialSet::Train,
        Trials::Valid => TrialSet::Valid,
        Trials::Test => TrialSet::Test,
    };
    let question = ArrayQuestion {
        model: &args.model,
        store: &args.store,
        session: session.as_ref(),
        trials,
        compute: args.compute.compute(),
    };
    let file = with_screen(question.compute.n_threads, |screen| work(&question, screen))?;
    file.write(&args.out)?;
    let facts = file.facts();
    let (axes, session) = (facts.get("axes"), facts.get("session"));
    say(&format!(
        "{name} {:?} ({}) of {}: {}",
        file.shape(name).unwrap_or_default(),
        axes.map_or("", String::as_str),
        session.map_or("", String::as_str),
        args.out.display()
    ));
    Ok(())
}

fn questions(config: &Path, out: &Path) -> Result<(), Failure> {
    for asked in pipeline::write_questions(&neurobrick::config::load(config)?, out)? {
        say(&format!(
            "{}: counts {:?} (trial, bin, unit): {}",
            asked.session,
            asked.shape,
            asked.path.display()
        ));
        for (task, shape) in &asked.answers {
            say(&format!("  an answer to {} has the shape {shape:?}", task.name()));
        }
        for reason in &asked.skipped {
            say(&format!("  left out: {reason}"));
        }
    }
    Ok(())
}

fn compare(runs: &[PathBuf], json: bool) -> Result<(), Failure> {
    let found = RunComparison::read(runs)?;
    if json {
        let text = serde_json::to_string_pretty(&found)
            .map_err(|e| PipelineError::BadFile { path: runs[0].clone(), message: e.to_string() })?;
        say(&text);
    } else {
        say(&found.markdown());
    }
    Ok(())
}

fn import(config: &Path, from: &Path, out: &Path) -> Result<(), Failure> {
    let found = match Importing::load(config)? {
        Importing::Activity(config) => pipeline::import_weights(&config, from, out)?,
        Importing::Decoder(config) => pipeline::import_decoder(&config, from, out)?,
        Importing::Neds(config) => pipeline::import_neds(&config, from, out)?,
    };
    let parity = match found.difference {
        Some(difference) => format!("the example is answered to {difference:.1e}"),
        None => "no example was given to compare with".to_owned(),
    };
    say(&format!("{} numbers imported, {} new; {parity}", found.n_imported, found.n_new));
    say(&format!("model: {}", out.display()));
    Ok(())
}

fn export(model: &Path, to: &Path, sessions: &[String], names: Option<&str>) -> Result<(), Failure> {
    let ids = sessions.iter().map(SessionId::new).collect::<Result<Vec<_>, _>>()?;
    let names = names.map(pipeline::export_names).transpose()?;
    let found = pipeline::export_weights(model, &ids, names, to)?;
    let sessions: Vec<&str> = found.sessions.iter().map(SessionId::as_str).collect();
    say(&format!(
        "{} tensors under the names of {}; sessions by row: {}",
        found.n_tensors,
        found.names.label(),
        sessions.join(", ")
    ));
    say(&format!("state dict: {}", to.display()));
    Ok(())
}

fn render_again(run: &Path) -> Result<(), Failure> {
    let path = run.join("report.json");
    if !path.exists() {
        let message = "no report.json here; name the folder of a finished `demo` or `evaluate`".to_owned();
        return Err(PipelineError::BadFile { path: run.to_owned(), message }.into());
    }
    let bytes = std::fs::read(&path).map_err(|source| PipelineError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let page: RunReport = serde_json::from_slice(&bytes)
        .map_err(|e| PipelineError::BadFile { path, message: e.to_string() })?;
    write_file(&run.join("card.md"), report::card(&page).as_bytes())?;
    report::write(&page, run.join("report.html")).map_err(PipelineError::from)?;
    show(&page, run);
    Ok(())
}

fn schemas(out: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(out).map_err(|source| PipelineError::Io {
        action: "create",
        path: out.to_owned(),
        source,
    })?;
    let session = ("session", neurobrick::schema::json_schema());
    for (name, schema) in neurobrick::config::json_schemas().into_iter().chain([session]) {
        let path = out.join(format!("{name}.schema.json"));
        let mut text = serde_json::to_string_pretty(&schema)
            .map_err(|e| PipelineError::BadFile { path: path.clone(), message: e.to_string() })?;
        text.push('\n');
        write_file(&path, text.as_bytes())?;
        say(&path.display().to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_does_not_exist_is_wrong_usage_like_any_other() {
        let case = BenchFailure::NoCase { name: "foo".to_owned(), known: "mtm-16".to_owned() };
        assert_eq!(Failure::Bench(case).exit_code(), 2);
        assert_eq!(bad_value("--out", "name a folder").exit_code(), 2);
        let failed = BenchFailure::Failed { what: "a side".to_owned() };
        assert_eq!(Failure::Bench(failed).exit_code(), 1);
    }
}
