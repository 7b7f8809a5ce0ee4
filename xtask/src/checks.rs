//! The verbs `test` and `ci`: the steps that every change must pass, cheapest first.

use crate::bench::BenchFailure;
use crate::counts::{self, CountsError};
use crate::devices;
use crate::parity::{self, ParityError};
use crate::screen::say;
use crate::tidy::{self, TidyError};
use neurobrick::core::ComputeDevice;
use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Tools that are built once into `target/tools`, at these versions: package and version. The machine needs
/// Rust and valgrind. Unoptimized builds: each runs for a second or two, so compiling is what costs.
const TOOLS: [(&str, &str); 3] =
    [("cargo-deny", "0.20.2"), ("cargo-machete", "0.9.2"), ("typos-cli", "1.52.0")];

/// Why a check stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CheckError {
    /// A command answered that something is wrong.
    #[error("step `{step}` failed ({status}); its output above says where")]
    Failed {
        /// The step.
        step: &'static str,
        /// How the command ended.
        status: ExitStatus,
    },
    /// A command could not be started.
    #[error("step `{step}`: cannot start `{}`", program.display())]
    Start {
        /// The step.
        step: &'static str,
        /// The program.
        program: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// House rules are broken.
    #[error("step `tidy` found {n_violations} broken rules, listed above")]
    Untidy {
        /// Number of violations.
        n_violations: usize,
    },
    /// House rules could not be checked.
    #[error("step `tidy` could not run")]
    Tidy(#[from] TidyError),
    /// Instruction counts changed or could not be taken.
    #[error(transparent)]
    Counts(#[from] CountsError),
    /// Parity could not be measured or written down.
    #[error(transparent)]
    Parity(#[from] ParityError),
    /// The environment of a backend could not be made.
    #[error(transparent)]
    Environment(#[from] BenchFailure),
    /// The progress could not be written.
    #[error("cannot write progress to standard output")]
    Output(#[from] io::Error),
}

/// Runs all tests of the workspace; on another device than Flex those that ask for their device.
pub(crate) fn test(root: &Path, device: ComputeDevice) -> Result<(), CheckError> {
    if device == ComputeDevice::Flex {
        return command("test", Command::new(cargo()).args(TEST).current_dir(root));
    }
    // Both, whatever the first finds: building them is what takes long.
    let results = devices::commands(root, &cargo(), device)?.map(|mut test| command("test", &mut test));
    results.into_iter().collect()
}

/// Compares the instruction counts of hot kernels with those kept, or keeps new ones.
pub(crate) fn counts(root: &Path, bless: bool) -> Result<(), CheckError> {
    Ok(counts::run(root, cargo().as_os_str(), bless)?)
}

/// Measures parity with the references and writes it into the guide.
pub(crate) fn parity(root: &Path) -> Result<(), CheckError> {
    Ok(parity::run(root, cargo().as_os_str())?)
}

/// Runs every check, cheapest first, and stops at the first that fails.
///
/// Each step is announced and timed on standard output; a table of the times comes last.
pub(crate) fn ci(root: &Path) -> Result<(), CheckError> {
    let tools = root.join("target/tools");
    let cargo_at_root = |args: &[&str]| {
        let mut command = Command::new(cargo());
        command.args(args).current_dir(root);
        command
    };
    let tool_at_root = |name: &str, args: &[&str]| {
        let mut command = Command::new(tools.join("bin").join(name));
        command.args(args).current_dir(root);
        command
    };
    let mut times = Times::default();
    times.step("fmt", || command("fmt", &mut cargo_at_root(&["fmt", "--all", "--check"])))?;
    times.step("tidy", || tidy_step(root))?;
    times.step("clippy", || {
        let args =
            ["clippy", "--locked", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
        command("clippy", &mut cargo_at_root(&args))
    })?;
    times.step("test", || command("test", &mut cargo_at_root(&TEST)))?;
    if counts::FITS_HERE {
        times.step("counts", || counts(root, false))?;
    } else {
        say("counts are left out: they are kept for x86-64 Linux");
    }
    times.step("devices", || {
        // Compiled and no more: drivers are not on every machine. `tch` needs libtorch, and `cuda` downloads an LLVM.
        let args = ["check", "--locked", "--release", "-p", "neurobrick-core", "--features", "wgpu,vulkan"];
        command("devices", &mut cargo_at_root(&args))
    })?;
    times.step("remote", || {
        let args = [
            "clippy",
            "--locked",
            "--release",
            "-p",
            "neurobrick-schema",
            "--features",
            "remote",
            "--all-targets",
        ];
        command("remote", cargo_at_root(&args).args(["--", "-D", "warnings"]))?;
        // Apart from the rest, since TLS and an asynchronous runtime are in no other build.
        let args = [
            "test",
            "--locked",
            "--release",
            "-p",
            "neurobrick-schema",
            "--features",
            "remote",
            "--test",
            "remote",
        ];
        command("remote", &mut cargo_at_root(&args))
    })?;
    times.step("doc", || {
        let args = ["doc", "--locked", "--release", "--no-deps", "--workspace"];
        command("doc", cargo_at_root(&args).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    times.step("tools", || {
        for (package, version) in TOOLS {
            let args = ["install", "--locked", "--debug", "--quiet", "--root"];
            let exact = format!("{package}@{version}");
            let mut install = cargo_at_root(&args);
            install.arg(&tools).arg(exact).env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("CARGO_TARGET_DIR");
            command("tools", &mut install)?;
        }
        Ok(())
    })?;
    times.step("typos", || command("typos", &mut tool_at_root("typos", &[])))?;
    times
        .step("machete", || command("machete", &mut tool_at_root("cargo-machete", &["--skip-target-dir"])))?;
    times.step("deny", || {
        let args =
            ["--workspace", "--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
        command("deny", &mut tool_at_root("cargo-deny", &args))
    })?;
    times.table()
}

const TEST: [&str; 4] = ["test", "--locked", "--release", "--workspace"];

fn tidy_step(root: &Path) -> Result<(), CheckError> {
    let report = tidy::run(root)?;
    writeln!(io::stdout(), "{report}")?;
    if report.is_clean() { Ok(()) } else { Err(CheckError::Untidy { n_violations: report.violations.len() }) }
}

/// The cargo that runs this, so that nested steps use the same toolchain.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn command(step: &'static str, command: &mut Command) -> Result<(), CheckError> {
    let status = command.status().map_err(|source| CheckError::Start {
        step,
        program: PathBuf::from(command.get_program()),
        source,
    })?;
    if status.success() { Ok(()) } else { Err(CheckError::Failed { step, status }) }
}

/// Wall time of the steps so far.
#[derive(Debug, Default)]
struct Times(Vec<(&'static str, Duration)>);

impl Times {
    fn step(
        &mut self,
        name: &'static str,
        run: impl FnOnce() -> Result<(), CheckError>,
    ) -> Result<(), CheckError> {
        writeln!(io::stdout(), "==> {name}")?;
        let start = Instant::now();
        let result = run();
        let time = start.elapsed();
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        writeln!(io::stdout(), "<== {name} {word} in {:.1} s", time.as_secs_f64())?;
        self.0.push((name, time));
        result
    }

    fn table(&self) -> Result<(), CheckError> {
        let mut out = io::stdout().lock();
        for (name, time) in &self.0 {
            writeln!(out, "{name:>8} {:8.1} s", time.as_secs_f64())?;
        }
        let total: Duration = self.0.iter().map(|(_, time)| *time).sum();
        writeln!(out, "{:>8} {:8.1} s", "total", total.as_secs_f64())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_stops_the_check() {
        let result = command(
            "probe",
            Command::new(cargo()).arg("no-such-subcommand").stderr(std::process::Stdio::null()),
        );
        assert!(matches!(result, Err(CheckError::Failed { step: "probe", status }) if !status.success()));
        assert!(command("probe", Command::new(cargo()).arg("--version")).is_ok());
    }

    #[test]
    fn a_missing_program_is_named() {
        let result = command("probe", &mut Command::new("neurobrick-no-such-program"));
        let message = result.map_err(|error| error.to_string());
        assert_eq!(message, Err("step `probe`: cannot start `neurobrick-no-such-program`".into()));
    }

    #[test]
    fn a_failed_step_keeps_its_error_and_its_time() {
        let mut times = Times::default();
        assert!(times.step("good", || Ok(())).is_ok());
        let result = times.step("bad", || Err(CheckError::Untidy { n_violations: 3 }));
        assert!(matches!(result, Err(CheckError::Untidy { n_violations: 3 })));
        assert_eq!(times.0.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["good", "bad"]);
    }
}
