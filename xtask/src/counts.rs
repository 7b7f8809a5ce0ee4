//! The verb `counts`: instructions of hot kernels, counted by callgrind and compared with the numbers kept.
//!
//! A count does not depend on how busy the machine is, so a few percent can be told apart, as no clock can on a
//! shared server. Valgrind knows no AVX-512: the kernels choose at run time and take AVX2 there, so a change of the
//! AVX-512 code alone is not seen. Counts do depend on the compiler and the C library: a new Rust may need new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cargo_metadata::Message;
use neurobrick::schema::SchemaError;
use neurobrick::schema::atomic::write_file;

use crate::screen::say;

/// Where the counts are kept, from the root of the repository.
const KEPT: &str = "crates/neurobrick-kernels/instructions.json";
/// The program that calls the kernels, an example of `neurobrick-kernels`.
const EXAMPLE: &str = "hot_kernels";
/// Change, in either direction, that is still agreement.
const TOLERANCE_PERCENT: u64 = 5;
/// Keeps the C library from filling and copying memory by `rep stosb` and `rep movsb`: not every processor has them
/// fast, and valgrind counts an instruction per byte.
const PLAIN_MEMORY: &str =
    "glibc.cpu.x86_rep_stosb_threshold=0x7fffffff:glibc.cpu.x86_rep_movsb_threshold=0x7fffffff";
/// Calls of the shorter run, whose instructions are start-up, inputs and first use.
const FEW: u64 = 1;
/// Calls that the longer run has more; their instructions are those of the kernel alone.
const MORE: u64 = 10;

/// Whether the counts kept are of this kind of machine.
pub(crate) const FITS_HERE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// Instructions per call, by kernel.
type Counts = BTreeMap<String, u64>;

/// Why the counts do not agree or could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CountsError {
    /// This machine counts other instructions.
    #[error(
        "instruction counts are kept for x86-64 Linux; here is {} {}",
        std::env::consts::ARCH,
        std::env::consts::OS
    )]
    OtherMachine,
    /// Valgrind is not installed.
    #[error("valgrind, which counts instructions, is not installed; on Debian: apt-get install valgrind")]
    NoValgrind,
    /// A program could not be started.
    #[error("cannot start `{}`: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A program failed.
    #[error("{what} failed: {message}")]
    Failed {
        /// What it was to do.
        what: String,
        /// How it ended and what it printed.
        message: String,
    },
    /// A program answered something else than was asked.
    #[error("{what}: {message}")]
    Answer {
        /// What was asked for.
        what: String,
        /// What came.
        message: String,
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
    /// The counts could not be written.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Counts changed.
    #[error(
        "instruction counts differ by more than {TOLERANCE_PERCENT} % from {KEPT}: {kernels}; \
         if the change is meant, run `cargo xtask counts --bless`"
    )]
    Changed {
        /// The kernels, with commas.
        kernels: String,
    },
}

/// Runs the verb: counts, and compares or, with `bless`, keeps what was counted.
pub(crate) fn run(root: &Path, cargo: &OsStr, bless: bool) -> Result<(), CountsError> {
    if !FITS_HERE {
        return Err(CountsError::OtherMachine);
    }
    let folder = root.join("target/counts");
    std::fs::create_dir_all(&folder).map_err(io_failure("create", &folder))?;
    let path = root.join(KEPT);
    // Only the first counts of all may have nothing to be compared with.
    let kept = if bless && !path.exists() { Counts::new() } else { read_kept(&path)? };
    let program = build(root, cargo)?;
    let mut now = Counts::new();
    for kernel in printed("listing the kernels", &mut Command::new(&program))?.lines() {
        let few = callgrind(&program, &folder, kernel, FEW)?;
        let many = callgrind(&program, &folder, kernel, FEW + MORE)?;
        let per_call = many.checked_sub(few).ok_or_else(|| CountsError::Answer {
            what: format!("counting `{kernel}`"),
            message: format!("{MORE} more calls took fewer instructions: {many} after {few}"),
        })? / MORE;
        now.insert(kernel.to_owned(), per_call);
    }
    let comparison = Comparison::new(&kept, &now);
    say(&comparison.to_string());
    if bless {
        let mut json = serde_json::to_vec_pretty(&now).map_err(|e| CountsError::Io {
            action: "encode",
            path: path.clone(),
            source: e.into(),
        })?;
        json.push(b'\n');
        write_file(&path, &json)?;
        say(&format!("the counts now are kept in {KEPT}"));
        return Ok(());
    }
    comparison.verdict()
}

fn read_kept(path: &Path) -> Result<Counts, CountsError> {
    let bytes = std::fs::read(path).map_err(io_failure("read", path))?;
    serde_json::from_slice(&bytes).map_err(|e| CountsError::Io {
        action: "decode",
        path: path.to_owned(),
        source: e.into(),
    })
}

fn io_failure<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> CountsError + 'a {
    move |source| CountsError::Io { action, path: path.to_owned(), source }
}

/// Builds the example over the whole workspace's selection, so that no dependency is compiled again; its path.
fn build(root: &Path, cargo: &OsStr) -> Result<PathBuf, CountsError> {
    let what = "building the example with the kernels";
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--release", "--workspace", "--example", EXAMPLE]);
    command.arg("--message-format=json-render-diagnostics").current_dir(root);
    let answer = printed(what, &mut command)?;
    let executables = Message::parse_stream(answer.as_bytes()).filter_map(|message| match message {
        Ok(Message::CompilerArtifact(artifact)) if artifact.target.name == EXAMPLE => artifact.executable,
        _ => None,
    });
    executables.map(PathBuf::from).last().ok_or_else(|| CountsError::Answer {
        what: what.to_owned(),
        message: "cargo named no executable".to_owned(),
    })
}

/// Instructions of a whole run with so many calls.
fn callgrind(program: &Path, folder: &Path, kernel: &str, n_calls: u64) -> Result<u64, CountsError> {
    let file = folder.join(format!("{kernel}_{n_calls}.callgrind"));
    let mut to_file = std::ffi::OsString::from("--callgrind-out-file=");
    to_file.push(&file);
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]).arg(to_file).arg(program);
    command.arg(kernel).arg(n_calls.to_string()).env("GLIBC_TUNABLES", PLAIN_MEMORY);
    let what = format!("counting `{kernel}`");
    printed(&what, &mut command).map_err(|error| match error {
        CountsError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            CountsError::NoValgrind
        }
        error => error,
    })?;
    let text = std::fs::read_to_string(&file).map_err(io_failure("read", &file))?;
    totals(&text).ok_or_else(|| CountsError::Answer {
        what,
        message: format!("no line `totals: <instructions>` in {}", file.display()),
    })
}

/// The number of instructions in a file of callgrind.
fn totals(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

/// What a command printed.
fn printed(what: &str, command: &mut Command) -> Result<String, CountsError> {
    let output = command
        .output()
        .map_err(|source| CountsError::Start { program: PathBuf::from(command.get_program()), source })?;
    let Output { status, stdout, stderr } = output;
    if !status.success() {
        let message = format!("{status}\n{}", String::from_utf8_lossy(&stderr).trim_end());
        return Err(CountsError::Failed { what: what.to_owned(), message });
    }
    String::from_utf8(stdout)
        .map_err(|e| CountsError::Answer { what: what.to_owned(), message: e.to_string() })
}

/// Counts kept against counts now.
struct Comparison(Vec<Row>);

struct Row {
    kernel: String,
    kept: Option<u64>,
    now: Option<u64>,
}

impl Row {
    /// Change in percent, if the kernel was and is counted.
    fn change(&self) -> Option<f64> {
        Some(100.0 * (self.now? as f64 / self.kept? as f64 - 1.0))
    }

    /// In whole numbers: the border itself agrees.
    fn agrees(&self) -> bool {
        self.kept.zip(self.now).is_some_and(|(kept, now)| {
            100 * u128::from(kept.abs_diff(now)) <= u128::from(TOLERANCE_PERCENT) * u128::from(kept)
        })
    }
}

impl Comparison {
    fn new(kept: &Counts, now: &Counts) -> Self {
        let kernels: BTreeSet<&String> = kept.keys().chain(now.keys()).collect();
        let row = |kernel: &String| Row {
            kernel: kernel.clone(),
            kept: kept.get(kernel).copied(),
            now: now.get(kernel).copied(),
        };
        Self(kernels.into_iter().map(row).collect())
    }

    /// Fails for kernels that changed, appeared or went.
    fn verdict(&self) -> Result<(), CountsError> {
        let changed: Vec<&str> =
            self.0.iter().filter(|row| !row.agrees()).map(|row| row.kernel.as_str()).collect();
        if changed.is_empty() { Ok(()) } else { Err(CountsError::Changed { kernels: changed.join(", ") }) }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|row| row.kernel.len()).max().unwrap_or(0);
        let number = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        writeln!(
            f,
            "instructions per call\n{:width$} {:>12} {:>12} {:>9}",
            "kernel", "kept", "now", "change"
        )?;
        for row in &self.0 {
            let change = row.change().map_or("-".to_owned(), |change| format!("{change:+.2} %"));
            let (kept, now) = (number(row.kept), number(row.now));
            writeln!(f, "{:width$} {kept:>12} {now:>12} {change:>9}", row.kernel)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<const N: usize>(entries: [(&str, u64); N]) -> Counts {
        entries.map(|(kernel, count)| (kernel.to_owned(), count)).into()
    }

    /// The kernels that a comparison complains of.
    fn complaint(kept: &Counts, now: &Counts) -> Option<String> {
        match Comparison::new(kept, now).verdict() {
            Ok(()) => None,
            Err(CountsError::Changed { kernels }) => Some(kernels),
            Err(error) => Some(error.to_string()),
        }
    }

    #[test]
    fn five_percent_either_way_agree_and_more_is_named() {
        let kept = counts([("adamw", 1000), ("gelu", 2000)]);
        for (adamw, gelu, expected) in [
            (1000, 2000, None),
            (1050, 1900, None),
            (1051, 2000, Some("adamw")),
            (1000, 1899, Some("gelu")),
            (900, 2200, Some("adamw, gelu")),
            (0, 2000, Some("adamw")),
        ] {
            let now = counts([("adamw", adamw), ("gelu", gelu)]);
            assert_eq!(complaint(&kept, &now).as_deref(), expected, "{adamw} {gelu}");
        }
    }

    #[test]
    fn a_kernel_that_appears_or_goes_is_a_change() {
        let (one, two) = (counts([("adamw", 10)]), counts([("adamw", 10), ("gelu", 10)]));
        assert_eq!(complaint(&one, &two).as_deref(), Some("gelu"));
        assert_eq!(complaint(&two, &one).as_deref(), Some("gelu"));
        assert_eq!(complaint(&counts([("adamw", 0)]), &one).as_deref(), Some("adamw"));
    }

    #[test]
    fn the_table_shows_both_counts_and_the_change() {
        let table =
            Comparison::new(&counts([("adamw", 1000), ("gelu", 5)]), &counts([("adamw", 1100)])).to_string();
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[2], ["adamw", "1000", "1100", "+10.00", "%"]);
        assert_eq!(words[3], ["gelu", "5", "-", "-"]);
    }

    #[test]
    fn the_total_is_read_from_a_file_of_callgrind() {
        assert_eq!(totals("version: 1\nevents: Ir\nfn=(1) main\n12 7\ntotals: 828153\n"), Some(828_153));
        assert_eq!(totals("summary: 828153\n"), None);
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let message = printed("listing", Command::new("cargo").arg("no-such-subcommand")).err();
        assert!(message.is_some_and(|e| e.to_string().contains("no-such-subcommand")));
    }
}
