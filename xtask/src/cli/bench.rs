//! Flags of `bench`.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use super::{at_least_one, threads_or_all};

/// What to measure, and how long.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group = ArgGroup::new("measurement").required(true).args(["peers", "profile", "scaling", "leave_one_out", "serve"]))]
pub(crate) struct BenchArgs {
    /// Our train step, forward pass and single-trial latency against PyTorch, eager and compiled, taking turns.
    #[arg(long)]
    pub(crate) peers: bool,
    /// With `--peers`: every other model but the linear one, instead of NDT-1-stitch.
    #[arg(long, requires = "peers")]
    pub(crate) models: bool,
    /// The parts of our train step, on one thread and on two.
    #[arg(long)]
    pub(crate) profile: bool,
    /// Our train step, forward pass and memory against the size of data and model, one size at a time.
    #[arg(long, conflicts_with_all = ["case", "python"])]
    pub(crate) scaling: bool,
    /// Leave-one-out prediction of units: a forward pass for each, against the models' own ways, at 700 units.
    #[arg(long, conflicts_with = "python")]
    pub(crate) leave_one_out: bool,
    /// Answer requests on stdin as one side of a measurement; `--peers` starts our side so.
    #[arg(long)]
    pub(crate) serve: bool,
    /// Only this case: mtm-16, small-16 or small-64; with `--models` ndt1, ndt2, lfads, neds, poyo or `gru_stitch`.
    #[arg(long)]
    pub(crate) case: Option<String>,
    /// Threads of every side; all cores by default.
    #[arg(long, value_parser = at_least_one)]
    pub(crate) threads: Option<usize>,
    /// Turns of every side, profiled steps, or processes per size.
    #[arg(long, value_parser = at_least_one)]
    pub(crate) repeats: Option<usize>,
    /// Fewer and shorter turns: for a look, not for a number to quote.
    #[arg(long)]
    pub(crate) quick: bool,
    /// A Python interpreter that has what benches/peers/requirements.txt lists; by default an environment is made
    /// in target/bench, once.
    #[arg(long)]
    pub(crate) python: Option<PathBuf>,
    /// Where `--peers` and `--scaling` write JSON, by default to runs/bench; tables and figure go beside it.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

impl BenchArgs {
    /// Threads asked for, or one per core.
    pub(crate) fn n_threads(&self) -> usize {
        threads_or_all(self.threads)
    }

    /// Where to write.
    pub(crate) fn out(&self) -> PathBuf {
        let name = match (self.scaling, self.models) {
            (true, _) => "scaling.json",
            (false, true) => "models.json",
            (false, false) => "peers.json",
        };
        self.out.clone().unwrap_or_else(|| Path::new("runs/bench").join(name))
    }

    /// Processes per size.
    pub(crate) fn n_rounds(&self) -> usize {
        self.repeats.unwrap_or(if self.quick { 1 } else { 2 })
    }

    /// Turns of every side.
    pub(crate) fn n_repeats(&self) -> usize {
        self.repeats.unwrap_or(if self.quick { 3 } else { 9 })
    }

    /// Seconds of a turn.
    pub(crate) fn turn_s(&self) -> f64 {
        if self.quick { 0.3 } else { 1.5 }
    }
}
