//! The verbs and their flags.

mod bench;
mod overview;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use neurobrick::Compute;
use neurobrick::core::ComputeDevice;
use neurobrick::stream::Precision;
use neurobrick::train::EvalTask;

pub(crate) use bench::BenchArgs;

/// Foundation models of neural data: recordings in, models, scores and reports out.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, propagate_version = true)]
#[command(override_help = overview::TEXT)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// The main job: ingest the fixtures, pretrain, fine-tune on unseen sessions, evaluate, report. Takes about eleven minutes on
    /// two cores, after the build.
    ///
    /// Example: cargo xtask demo
    Demo {
        /// Configuration (TOML or YAML).
        #[arg(long, default_value = "fixtures/configs/demo.toml")]
        config: PathBuf,
        /// The run folder; a killed run in it is resumed.
        #[arg(long, default_value = "runs/demo")]
        out: PathBuf,
        #[command(flatten)]
        compute: ComputeArgs,
        /// Delete an earlier run in the folder first.
        #[arg(long)]
        fresh: bool,
    },
    /// Foreign recordings into a store.
    ///
    /// Every session is read in a process of its own: a file that kills its decoder costs one session. Sessions whose
    /// files have not changed are skipped; a run that was stopped goes on when it is started again.
    ///
    /// Example: cargo xtask ingest fixtures/recordings/ibl-session-excerpt --store runs/store
    Ingest(IngestArgs),
    /// Reads one session for `ingest`.
    #[command(hide = true)]
    ReadSession,
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
    /// Sessions of a store behind `s3://`, `http://`, `https://` or `file://` into a store of this machine, every byte checked;
    /// sessions that are there already are skipped. The first time it compiles what speaks with servers, which takes some minutes.
    ///
    /// Example: cargo xtask fetch s3://bucket/store --store runs/store
    #[expect(clippy::doc_markdown, reason = "the help shows this text as it is")]
    Fetch {
        /// Where the other store lies. `s3://` takes keys, region and endpoint from `AWS_...` of the environment.
        url: String,
        /// Sessions; all if none is named and the server lists its folders.
        sessions: Vec<String>,
        /// The store to copy to; made if needed.
        #[arg(long, required_unless_present = "list")]
        store: Option<PathBuf>,
        /// Only say what is there.
        #[arg(long, conflicts_with = "store")]
        list: bool,
    },
    /// Masked pretraining on many sessions; of a decoder of single spikes (POYO) if the file lists `behaviors`, of spikes and
    /// behavior from each other (NEDS) if it has `modalities`.
    ///
    /// Example: cargo xtask pretrain fixtures/configs/pretrain.toml --out runs/pretrain
    ///
    /// Example: cargo xtask pretrain fixtures/configs/poyo/pretrain.toml --out runs/poyo
    Pretrain(StepArgs),
    /// Fine-tuning on sessions, each by itself, or training from scratch as the control; POYO if the file lists `behaviors`,
    /// NEDS if it has `modalities`.
    ///
    /// Example: cargo xtask finetune fixtures/configs/finetune.toml --out runs/fine_tuned
    ///
    /// Example: cargo xtask finetune fixtures/configs/poyo/finetune.toml --out runs/poyo-tuned
    #[expect(clippy::doc_markdown, reason = "the help shows this text as it is")]
    Finetune(StepArgs),
    /// Scores of models and baselines on test trials, with a report; or a submission scored as its benchmark does.
    ///
    /// Example: cargo xtask evaluate fixtures/configs/evaluate.toml --out runs/evaluation
    ///
    /// Example: cargo xtask evaluate fixtures/configs/mtm.toml --protocol mtm --out runs/mtm
    ///
    /// Example: cargo xtask evaluate --protocol nlb --predictions fixtures/golden/nlb/evaluate_submission.h5
    /// --targets fixtures/golden/nlb/evaluate_target.h5
    #[expect(clippy::doc_markdown, reason = "the help shows this text as it is")]
    Evaluate(EvaluateArgs),
    /// The questions of an evaluation as files, for models of other programs; `evaluate` scores the answers (`predictions`).
    ///
    /// Example: cargo xtask questions fixtures/configs/evaluate.toml --out runs/questions
    Questions {
        /// Configuration of `evaluate`, of which data, seed, sessions and `scoring` are used.
        config: PathBuf,
        /// Folder to write to: a safetensors file for each session.
        #[arg(long)]
        out: PathBuf,
    },
    /// Transfer to sessions that pretraining never saw, each once, with few and with many trials. Takes an hour; a
    /// stopped run goes on.
    ///
    /// Example: cargo xtask transfer fixtures/configs/transfer.toml --out runs/transfer
    Transfer(StepArgs),
    /// Latents of a session's trials, for analyses elsewhere: a safetensors file with trials, split and bin times.
    ///
    /// Example: cargo xtask embed runs/demo/fine_tuned/session01_Cori_2016-12-14 --store runs/demo/store
    /// --out latents.safetensors
    Embed {
        #[command(flatten)]
        apply: ApplyArgs,
        /// Latents that know their own and earlier bins only.
        #[arg(long)]
        causal: bool,
    },
    /// Rates that a model predicts for what a task hides from it, as a safetensors file.
    ///
    /// Example: cargo xtask predict runs/demo/fine_tuned/session01_Cori_2016-12-14 --store runs/demo/store
    /// --task co_smoothing --out rates.safetensors
    #[expect(clippy::doc_markdown, reason = "the help shows this text as it is")]
    Predict {
        #[command(flatten)]
        apply: ApplyArgs,
        /// What is hidden and predicted.
        #[arg(long, value_parser = PossibleValuesParser::new(EvalTask::ALL.map(EvalTask::name)).try_map(task))]
        task: EvalTask,
    },
    /// Finished evaluations side by side.
    ///
    /// Example: cargo xtask compare runs/demo runs/evaluation
    Compare {
        /// Run folders of `demo` or `evaluate`.
        #[arg(required = true, num_args = 2..)]
        runs: Vec<PathBuf>,
        /// JSON for machines.
        #[arg(long)]
        json: bool,
    },
    /// What can be read out: labels and behavior, by every decoder from counts, from latents of baselines and of models, and by POYO
    /// and NEDS, with nulls. A table for a report; for a decoder to use in a closed loop, see `decoder`.
    ///
    /// Example: cargo xtask decode fixtures/configs/decode.toml --out runs/decode
    Decode(StepArgs),
    /// Scores against the size of pretraining (sessions, trials or width), with laws, intervals and a figure. Takes as long
    /// as all its trainings; a stopped run goes on.
    ///
    /// Example: cargo xtask scale fixtures/configs/scale.toml --out runs/scale
    Scale(StepArgs),
    /// Leak and shortcut tests on tables of features and on labels decoded from sessions. Ends with code 65 if one fails.
    ///
    /// Example: cargo xtask audit fixtures/configs/audit.toml --out runs/audit
    Audit(StepArgs),
    /// Published PyTorch weights (a checkpoint or safetensors) into a model folder, strictly and by explicit names. Of a
    /// checkpoint nothing is executed.
    ///
    /// Example: cargo xtask import fixtures/configs/import/mtm.toml --from best.pt --out runs/mtm
    Import {
        /// Configuration (TOML or YAML): names, sizes, sessions.
        config: PathBuf,
        /// A checkpoint (`.pt`, `.pth`, `.ckpt`) or state dict (`.safetensors`).
        #[arg(long)]
        from: PathBuf,
        /// The model folder to make.
        #[arg(long)]
        out: PathBuf,
    },
    /// A trained model as a state dict that the PyTorch code it was published with loads.
    ///
    /// Example: cargo xtask export runs/pretrain --to state-dict.safetensors
    Export {
        /// Folder of a trained model, or of the run that made it.
        model: PathBuf,
        /// The safetensors file to write.
        #[arg(long)]
        to: PathBuf,
        /// Only this session; may be given several times. All by default.
        #[arg(long)]
        session: Vec<String>,
        /// Whose names, where a kind was published under several: `brain_wide_bench` instead of `mtm`.
        #[arg(long)]
        names: Option<String>,
    },
    /// Renders report.html and card.md of a finished run again.
    ///
    /// Example: cargo xtask report runs/demo
    Report {
        /// The run folder.
        run: PathBuf,
    },
    /// Answers bins of spike counts as they come: one line on stdin, one answer on stdout.
    ///
    /// Counts are separated by blanks or commas, or a JSON array; an empty line begins a new window. Answers are
    /// expected spikes per bin, then decoded behavior.
    ///
    /// Example: cargo xtask stream runs/demo/fine_tuned/session01_Cori_2016-12-14 --json
    Stream(StreamArgs),
    /// Fits a decoder of a binary label on causal latents of single bins, for `stream --decoder`. To compare decoders, see `decode`.
    ///
    /// Example: cargo xtask decoder fixtures/configs/evaluate.toml --model runs/fine_tuned/session01_Cori_2016-12-14
    /// --session session01_Cori_2016-12-14 --target stimulus_side --out side.json
    #[expect(clippy::doc_markdown, reason = "the help shows this text as it is")]
    Decoder(DecoderArgs),
    /// Measures speed and memory: against PyTorch, part by part, or against size.
    ///
    /// Example: cargo xtask bench --peers --threads 2
    Bench(BenchArgs),
    /// Counts the instructions of hot kernels by callgrind, and compares them with those kept.
    ///
    /// Example: cargo xtask counts
    Counts {
        /// Keep what is counted now, in crates/neurobrick-kernels/instructions.json.
        #[arg(long)]
        bless: bool,
    },
    /// Runs the tests against reference numbers and writes the largest differences into docs/guide/parity.md.
    ///
    /// Example: cargo xtask parity
    Parity,
    /// Writes JSON Schemas of all configuration files and of session.json.
    ///
    /// Example: cargo xtask schema --out docs/schema
    Schema {
        /// Folder to write to.
        #[arg(long, default_value = "docs/schema")]
        out: PathBuf,
    },
    /// All tests, ten minutes and more the first time; with `--device` those of bricks, models and training, on that device, by the same references and laws.
    ///
    /// Example: cargo xtask test --device tch
    Test {
        /// tch, vulkan, wgpu, cuda, …; it need not be compiled in here.
        #[arg(long, default_value_t)]
        device: ComputeDevice,
    },
    /// All checks, cheapest first, as CI runs them. Takes half an hour on two cores the first time.
    ///
    /// Example: cargo xtask ci
    Ci,
    /// House rules that no compiler checks. Takes a second.
    ///
    /// Example: cargo xtask tidy
    Tidy,
}

/// What to read, and within which limits.
#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    /// Folders or files of recordings.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// The store; created if needed.
    #[arg(long)]
    pub(crate) store: PathBuf,
    /// Sessions that are read at the same time; one per core by default.
    #[arg(long, value_parser = at_least_one)]
    pub(crate) jobs: Option<usize>,
    /// Memory that the reading of one session may take, in MiB.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) memory_mib: u64,
    /// Seconds that the reading of one session may take.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) time_limit_s: u64,
    /// Only list what would be read.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl IngestArgs {
    /// Sessions at a time.
    pub(crate) fn n_jobs(&self) -> usize {
        threads_or_all(self.jobs)
    }
}

/// What to answer, and how.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// Folder of a trained model, or of the run that made it.
    #[arg(required_unless_present = "size", conflicts_with = "size")]
    pub(crate) model: Option<PathBuf>,
    /// The session whose units the counts are; may be left out if the model knows exactly one.
    #[arg(long, conflicts_with = "size")]
    pub(crate) session: Option<String>,
    /// How weights are stored: f32, bf16 or int8. Narrow ones are faster and round answers.
    #[arg(long, default_value_t = Precision::F32)]
    pub(crate) precision: Precision,
    /// JSON file of a decoder; may be given several times.
    #[arg(long, conflicts_with = "size")]
    pub(crate) decoder: Vec<PathBuf>,
    /// Answers, refusals and measurements as JSON, one object per line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Time this many synthetic bins instead of reading stdin: percentiles of the latency after a warm-up.
    #[arg(long, value_name = "BINS")]
    pub(crate) bench: Option<usize>,
    /// Milliseconds between timed bins, as in a closed loop; 0 times one right after the other.
    #[arg(long, default_value_t = 0, requires = "bench")]
    pub(crate) pause_ms: u64,
    /// Keep the core and its caches warm between bins, so that a bin that comes after a pause is answered as fast as
    /// one that follows another. One core is always busy.
    #[arg(long)]
    pub(crate) keep_warm: bool,
    /// Time random weights of a known size instead of a model.
    #[arg(long, value_enum, requires = "bench")]
    pub(crate) size: Option<StreamSize>,
}

/// Sizes to time without a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamSize {
    /// The published sizes of MtM: 668 units, 5 layers of 512.
    Mtm,
    /// A size for CPUs: 1000 units, 4 layers of 128.
    Small,
}

/// What to decode.
#[derive(Debug, Args)]
pub(crate) struct DecoderArgs {
    /// Configuration of `evaluate`, of which data, seed and `scoring.decode` are used.
    pub(crate) config: PathBuf,
    /// Folder of a trained model, or of the run that made it.
    #[arg(long)]
    pub(crate) model: PathBuf,
    /// The session.
    #[arg(long)]
    pub(crate) session: String,
    /// Name of the label in `scoring.decode`.
    #[arg(long)]
    pub(crate) target: String,
    /// Bins of every trial that enter the fit, evenly spaced and ending with the last.
    #[arg(long, default_value_t = 4, value_parser = at_least_one)]
    pub(crate) bins_per_trial: usize,
    /// The JSON file to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Worker threads; the result does not depend on it.
    #[arg(long, value_parser = at_least_one)]
    pub(crate) threads: Option<usize>,
}

impl DecoderArgs {
    /// Threads asked for, or one per core.
    pub(crate) fn n_threads(&self) -> usize {
        threads_or_all(self.threads)
    }
}

/// What to score, and by whose definitions.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["config", "predictions"]))]
pub(crate) struct EvaluateArgs {
    /// Configuration (TOML or YAML).
    #[arg(requires = "out")]
    pub(crate) config: Option<PathBuf>,
    /// The run folder.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) compute: ComputeArgs,
    /// Numbers by a published definition.
    #[arg(long, value_enum, required_unless_present = "config")]
    pub(crate) protocol: Option<Protocol>,
    /// A submission of the Neural Latents Benchmark (HDF5).
    #[arg(long, requires = "targets", conflicts_with = "out")]
    pub(crate) predictions: Option<PathBuf>,
    /// The targets it is scored against (HDF5).
    #[arg(long, requires = "predictions")]
    pub(crate) targets: Option<PathBuf>,
    /// The result as the benchmark writes it, in JSON.
    #[arg(long, requires = "predictions")]
    pub(crate) json: bool,
}

/// Whose definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// An evaluation's scores averaged as MtM does: over units with a spike, then over sessions.
    Mtm,
    /// The Neural Latents Benchmark's scores of `--predictions` against `--targets`.
    Nlb,
    /// BrainWideBench's suites on one's own sessions, by baselines and models, with the files of a submission.
    Bwb,
}

/// A model and the trials it is applied to.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Folder of a trained model, or of the run that made it.
    pub(crate) model: PathBuf,
    /// The store with the session.
    #[arg(long)]
    pub(crate) store: PathBuf,
    /// The session; may be left out if the model reads only one.
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// Which trials, by the model's own split.
    #[arg(long, value_enum, default_value_t = Trials::All)]
    pub(crate) trials: Trials,
    /// The safetensors file to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) compute: ComputeArgs,
}

/// Trials by their part in the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trials {
    /// Every trial that yields a window.
    All,
    /// Training trials.
    Train,
    /// Validation trials.
    Valid,
    /// Test trials.
    Test,
}

fn task(name: String) -> Result<EvalTask, String> {
    EvalTask::ALL.into_iter().find(|task| task.name() == name).ok_or(name)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "a whole number from 1 is needed".to_owned())
}

fn threads_or_all(threads: Option<usize>) -> usize {
    threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get))
}

/// Where to compute.
#[derive(Debug, Args)]
pub(crate) struct ComputeArgs {
    /// Worker threads; the result does not depend on it.
    #[arg(long, value_parser = at_least_one)]
    threads: Option<usize>,
    /// What models are computed on: flex (the processor), or tch, vulkan, wgpu, cuda, cuda:1, … if built with `--features` of
    /// that name. Last digits depend on it.
    #[arg(long, default_value_t)]
    device: ComputeDevice,
}

impl ComputeArgs {
    /// What was asked for; without a number one thread per core.
    pub(crate) fn compute(&self) -> Compute {
        Compute { device: self.device, n_threads: threads_or_all(self.threads) }
    }
}

/// A configuration and a run folder.
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// Configuration (TOML or YAML). docs/schema describes every key, fixtures/configs has examples.
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
    #[command(flatten)]
    pub(crate) compute: ComputeArgs,
}
