//! The verb `bench`: our work against PyTorch's, where our time goes, and how it grows with size.

mod environment;
mod rounds;
mod scaling;
mod side;

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use neurobrick::schema::SchemaError;
use neurobrick::schema::atomic::write_file;
use neurobrick::{Compute, RunManifest};
use neurobrick_bench::{
    BenchCase, BenchError, Comparison, PeerCase, StepTimes, leave_one_out_table, load_average, markdown,
    processor_name, profile, profile_table, serve,
};

use crate::cli::BenchArgs;
use crate::screen::say;
pub(crate) use environment::PeerEnvironment;

/// Seed of weights, counts and masks.
const SEED: u64 = 42;

/// Load average above which a machine counts as busy.
const BUSY: f64 = 0.5;

/// Why the measurement stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BenchFailure {
    /// Measuring failed on our side.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A result could not be written.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A program could not be started.
    #[error("cannot start `{}`: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A program failed.
    #[error("{what} failed; its output above says why")]
    Failed {
        /// What it was to do.
        what: String,
    },
    /// A file or folder.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A side ended or gave an answer to another question.
    #[error("{side}: {message}")]
    Side {
        /// The side.
        side: String,
        /// What happened.
        message: String,
    },
    /// No case has that name.
    #[error("no case is named `{name}`; there are: {known}")]
    NoCase {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

/// Runs the verb.
pub(crate) fn run(args: &BenchArgs, root: &Path, command: &str) -> Result<(), BenchFailure> {
    if args.serve {
        return Ok(serve(BufReader::new(io::stdin()), io::stdout())?);
    }
    if args.scaling {
        return scaling::run(args, command);
    }
    let name = args.case.as_deref();
    if args.leave_one_out {
        return leave_one_out(args, chosen(name, BenchCase::all(), |case| &case.name)?);
    }
    if args.profile {
        return profile_cases(args, &chosen(name, BenchCase::all(), |case| &case.name)?);
    }
    let all = if args.models { PeerCase::models()? } else { PeerCase::stitch() };
    peers(args, &chosen(name, all, PeerCase::name)?, root, command)
}

/// The case of that name, or all.
fn chosen<C>(
    name: Option<&str>,
    mut cases: Vec<C>,
    name_of: impl Fn(&C) -> &str,
) -> Result<Vec<C>, BenchFailure> {
    if let Some(name) = name {
        let known = cases.iter().map(&name_of).collect::<Vec<_>>().join(", ");
        cases.retain(|case| name_of(case) == name);
        if cases.is_empty() {
            return Err(BenchFailure::NoCase { name: name.to_owned(), known });
        }
    }
    Ok(cases)
}

/// Units of the session in which leave-one-out prediction is timed, and trials at once.
const LEFT_OUT: (usize, usize) = (700, 4);

fn leave_one_out(args: &BenchArgs, mut cases: Vec<BenchCase>) -> Result<(), BenchFailure> {
    // Batches of another size would be the same case here.
    cases.dedup_by(|a, b| a.model == b.model);
    let (n_units, n_trials) = LEFT_OUT;
    // Fails only if the pool exists: a process runs one verb.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(args.n_threads()).build_global();
    let mut found = Vec::new();
    for case in cases {
        say(&format!("measuring {}", case.describe()));
        let case = BenchCase { n_units, ..case };
        found.extend(neurobrick_bench::leave_one_out(&case, n_trials, args.n_repeats(), SEED)?);
    }
    say(&format!("\n{}", leave_one_out_table(&found)));
    Ok(())
}

fn peers(args: &BenchArgs, cases: &[PeerCase], root: &Path, command: &str) -> Result<(), BenchFailure> {
    let out = args.out();
    let environment = PeerEnvironment::ready(root, args.python.as_deref())?;
    let plan =
        rounds::Plan { n_threads: args.n_threads(), n_repeats: args.n_repeats(), turn_s: args.turn_s() };
    let mut found = Comparison {
        manifest: RunManifest::new(command, SEED, Compute::threads(plan.n_threads), Vec::new()),
        processor: processor_name(),
        load_before: load_average(),
        n_repeats: plan.n_repeats,
        cases: Vec::new(),
        missing: Vec::new(),
    };
    if let Some(load) = found.load_before.filter(|&load| load > BUSY) {
        say(&format!("the machine is busy (load {load:.1}): expect numbers that cannot be quoted"));
    }
    for case in cases {
        say(&format!("measuring {}", case.describe()));
        found.cases.push(rounds::measure(case, &plan, &environment, &mut found.missing)?);
        // After every case: a long run that is stopped leaves what it has.
        write(&found, &out)?;
    }
    say(&format!("\n{}", markdown(&found)));
    say(&format!("written: {} and {}", out.display(), out.with_extension("md").display()));
    Ok(())
}

fn write(found: &Comparison, out: &Path) -> Result<(), BenchFailure> {
    write_json(found, out)?;
    write_file(&out.with_extension("md"), markdown(found).as_bytes())?;
    Ok(())
}

fn write_json(found: &impl serde::Serialize, out: &Path) -> Result<(), BenchFailure> {
    if let Some(folder) = out.parent() {
        create_folder(folder)?;
    }
    let mut json = serde_json::to_vec_pretty(found).map_err(|e| BenchFailure::Io {
        action: "encode",
        path: out.to_owned(),
        source: e.into(),
    })?;
    json.push(b'\n');
    write_file(out, &json)?;
    Ok(())
}

fn profile_cases(args: &BenchArgs, cases: &[BenchCase]) -> Result<(), BenchFailure> {
    let threads = args.threads.map_or(vec![1, 2], |n| vec![n]);
    for case in cases {
        let columns = threads
            .iter()
            .map(|&n| Ok((n, profile(case, n, args.n_repeats(), SEED)?)))
            .collect::<Result<Vec<(usize, StepTimes)>, BenchFailure>>()?;
        say(&profile_table(case, &columns));
    }
    Ok(())
}

fn create_folder(path: &Path) -> Result<(), BenchFailure> {
    std::fs::create_dir_all(path).map_err(|source| BenchFailure::Io {
        action: "create",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_chosen_by_name_and_a_wrong_name_is_answered_with_the_right_ones() {
        let named = |name| chosen(Some(name), PeerCase::stitch(), PeerCase::name);
        assert!(matches!(named("small-64").map(|cases| cases.len()), Ok(1)));
        let message = named("large").map_err(|e| e.to_string()).err();
        assert_eq!(
            message.as_deref(),
            Some("no case is named `large`; there are: mtm-16, small-16, small-64")
        );
    }
}
