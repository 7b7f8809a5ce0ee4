//! The verbs and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Foundation models of neural data: recordings in, models, scores and reports out.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// The main job: ingest the fixtures, pretrain, fine-tune on unseen sessions, evaluate, report.
    ///
    /// Example: cargo xtask demo
    Demo {
        /// Configuration (TOML or YAML).
        #[arg(long, default_value = "fixtures/configs/demo.toml")]
        config: PathBuf,
        /// The run folder; a killed run in it is resumed.
        #[arg(long, default_value = "runs/demo")]
        out: PathBuf,
        /// Worker threads; the result does not depend on it.
        #[arg(long)]
        threads: Option<usize>,
        /// Delete an earlier run in the folder first.
        #[arg(long)]
        fresh: bool,
    },
    /// Foreign recordings into a store.
    ///
    /// Example: cargo xtask ingest fixtures/recordings/ibl-session-excerpt --store runs/store
    Ingest {
        /// Folders of recordings.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// The store; created if needed.
        #[arg(long)]
        store: PathBuf,
    },
    /// A look at a store: sessions, units per region, rates.
    ///
    /// Example: cargo xtask inspect runs/store --json
    Inspect {
        /// The store.
        store: PathBuf,
        /// Sessions; all if none is named.
        sessions: Vec<String>,
        /// JSON for machines.
        #[arg(long)]
        json: bool,
    },
    /// Masked pretraining on many sessions.
    ///
    /// Example: cargo xtask pretrain fixtures/configs/pretrain.toml --out runs/pretrain
    Pretrain(StepArgs),
    /// Fine-tuning on sessions, each by itself; or training from scratch as the control.
    ///
    /// Example: cargo xtask finetune fixtures/configs/finetune.toml --out runs/tuned
    Finetune(StepArgs),
    /// Scores of models and baselines on test trials, with a report.
    ///
    /// Example: cargo xtask evaluate fixtures/configs/evaluate.toml --out runs/evaluation
    Evaluate(StepArgs),
    /// Renders report.html and card.md of a finished run again.
    ///
    /// Example: cargo xtask report runs/demo
    Report {
        /// The run folder.
        run: PathBuf,
    },
    /// Writes JSON Schemas of all configuration files and of session.json.
    ///
    /// Example: cargo xtask schema --out docs/schema
    Schema {
        /// Folder to write to.
        #[arg(long, default_value = "docs/schema")]
        out: PathBuf,
    },
    /// All tests.
    Test,
    /// All checks, cheapest first, as CI runs them.
    Ci,
    /// House rules that no compiler checks.
    Tidy,
}

/// A configuration and a run folder.
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// Configuration (TOML or YAML).
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Where and how to run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The run folder; a killed run in it is resumed.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Worker threads; the result does not depend on it.
    #[arg(long)]
    pub(crate) threads: Option<usize>,
}

impl RunArgs {
    /// Threads asked for, or one per core.
    pub(crate) fn n_threads(&self) -> usize {
        self.threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get))
    }
}
