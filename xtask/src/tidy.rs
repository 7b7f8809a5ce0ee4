//! House rules that no compiler checks: who may import whom, what a file may hold, what the docs must say.
//!
//! Nothing is built: the crate graph comes from `cargo metadata`, everything else from reading the tree. The
//! rules in words, with their reasons, are in `docs/architecture.md` and `docs/style.md`.

mod docs;
mod graph;
mod mask;
mod rust_files;
mod text_files;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

/// Why the rules could not be applied at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TidyError {
    /// A file or folder of the tree could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// What was being read.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// `.gitignore` holds something other than plain names.
    #[error(
        "`.gitignore` line {line}: tidy understands plain names only, such as `/target` or `.venv/`, got `{entry}`"
    )]
    IgnoreEntry {
        /// Line number, from 1.
        line: usize,
        /// The entry as written.
        entry: String,
    },
    /// The crate graph could not be had.
    #[error(
        "cannot read the crate graph; if `Cargo.lock` is out of date, run `cargo check` and commit the lock file"
    )]
    Metadata {
        /// What `cargo metadata` answered.
        #[from]
        source: cargo_metadata::Error,
    },
    /// The crate graph came without resolved dependencies.
    #[error("`cargo metadata` answered without resolved dependencies")]
    Unresolved,
}

/// A house rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A workspace crate imports another one that the table of edges does not allow it.
    CrateEdge,
    /// A crate reaches, through others, something it must never see.
    NeverReach,
    /// A foreign-format or Parquet crate is used outside its room.
    FormatRoom,
    /// A dependency without an exact version.
    ExactPin,
    /// A crate that does not inherit version, license, Rust version or lints from the workspace.
    Inherit,
    /// A Rust file that does not open with `//!`.
    FileDocs,
    /// A Rust file that is too long.
    FileLength,
    /// A file, folder or module with a name that says nothing.
    VagueName,
    /// A test that is switched off.
    IgnoredTest,
    /// Unfinished work without an issue number.
    Unfinished,
    /// `unsafe` outside the kernels.
    UnsafeRoom,
    /// Logic in a `lib.rs`.
    LibLogic,
    /// A `lib.rs` without an example in its crate docs.
    LibExample,
    /// A path of one machine, or the host of a package registry.
    MachineText,
    /// A large file, or fixtures that are large together.
    Size,
    /// `docs/architecture.md` and the checked table of edges differ.
    ArchitectureTable,
    /// The README's table of crates and the folder `crates/` differ.
    ReadmeTable,
    /// The docs name a path that does not exist.
    DocPath,
}

/// One place where a rule is broken, or nearly so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The rule.
    pub(crate) rule: Rule,
    /// `path:line`, a path or the name of a crate.
    pub(crate) place: String,
    /// What was found and what to do.
    pub(crate) message: String,
}

impl Finding {
    fn new(rule: Rule, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { rule, place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{:?}]", self.place, self.message, self.rule)
    }
}

/// What [`run`] found.
#[derive(Debug, Clone, Default)]
pub(crate) struct TidyReport {
    /// Number of files read.
    pub(crate) n_files: usize,
    /// Number of workspace crates.
    pub(crate) n_crates: usize,
    /// Worth a look; does not fail the check.
    pub(crate) warnings: Vec<Finding>,
    /// Must be repaired.
    pub(crate) violations: Vec<Finding>,
}

impl TidyReport {
    /// True if no rule is broken; warnings do not count.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for TidyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for violation in &self.violations {
            writeln!(f, "error: {violation}")?;
        }
        write!(
            f,
            "tidy: {} files, {} crates, {} warnings, {} errors",
            self.n_files,
            self.n_crates,
            self.warnings.len(),
            self.violations.len()
        )
    }
}

/// Applies every rule to the workspace at `root`.
///
/// Broken rules are in the report; the error is for a tree that cannot be read.
pub(crate) fn run(root: &Path) -> Result<TidyReport, TidyError> {
    let files = tree::read(root)?;
    let members = graph::read(root)?;
    let mut report = TidyReport { n_files: files.len(), n_crates: members.len(), ..TidyReport::default() };
    for file in &files {
        report.violations.extend(text_files::check(file));
        if let Some(rust) = rust_files::RustFile::new(file) {
            report.violations.extend(rust.violations());
            report.warnings.extend(rust.warnings());
        }
    }
    report.violations.extend(text_files::fixtures_total(&files));
    report.violations.extend(graph::check(&members));
    report.violations.extend(docs::check(&files));
    Ok(report)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing set-up should stop the test")]
    use super::*;
    use std::fs;

    /// A workspace of one crate whose `lib.rs` is `lib`; no registry is needed to resolve it.
    fn workspace(lib: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n[workspace.package]\nversion = \"0.1.0\"\n\
             edition = \"2024\"\nrust-version = \"1.95\"\nlicense = \"MIT\"\n[workspace.lints.rust]\n",
        );
        write(
            "crates/neurobrick-random/Cargo.toml",
            "[package]\nname = \"neurobrick-random\"\nversion.workspace = true\nedition.workspace = true\n\
             rust-version.workspace = true\nlicense.workspace = true\n[lints]\nworkspace = true\n",
        );
        write("crates/neurobrick-random/src/lib.rs", lib);
        write("Cargo.lock", "version = 4\n[[package]]\nname = \"neurobrick-random\"\nversion = \"0.1.0\"\n");
        write(".gitignore", "/target\n");
        write("target/utils.rs", "not looked at");
        write("docs/architecture.md", &docs::edges_section());
        root
    }

    #[test]
    fn a_tidy_workspace_passes() {
        let root = workspace("//! Streams.\n//!\n//! ```\n//! let a = 1;\n//! ```\n");
        let report = run(root.path()).unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.n_crates, 1);
        assert_eq!(report.n_files, 6);
    }

    #[test]
    fn a_violation_is_reported_with_its_place() {
        let root = workspace("//! Streams.\n//!\n//! ```\n//! ```\nfn answer() -> u8 {\n    42\n}\n");
        let report = run(root.path()).unwrap();
        let rules: Vec<Rule> = report.violations.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, [Rule::LibLogic], "{report}");
        assert!(report.to_string().contains("crates/neurobrick-random/src/lib.rs:5"), "{report}");
    }

    #[test]
    fn an_unreadable_tree_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(run(&root.path().join("absent")), Err(TidyError::Read { .. })));
        fs::write(root.path().join(".gitignore"), "*.bak\n").unwrap();
        assert!(matches!(run(root.path()), Err(TidyError::IgnoreEntry { line: 1, .. })));
    }
}
