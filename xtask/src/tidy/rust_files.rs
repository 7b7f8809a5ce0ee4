//! Rules on one Rust file: opening docs, length, names, switched-off tests, unfinished work, `unsafe`, `lib.rs`.

use super::mask::{Masked, line_of, mask, words};
use super::tree::TreeFile;
use super::{Finding, Rule};
use std::ffi::OsStr;
use std::path::Path;

/// Longer files get a warning.
const WARN_LINES: usize = 500;
/// Longer files fail.
const MAX_LINES: usize = 800;
/// Names under which anything can be put, so that nothing is found again.
const VAGUE_NAMES: [&str; 7] = ["common", "helper", "helpers", "misc", "types", "util", "utils"];
/// The only folder where `unsafe` may stand.
const KERNELS: &str = "crates/neurobrick-kernels/src/";
/// Marks of unfinished work; written in two parts so that this file holds none.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// A Rust file with its text split into code and comments.
pub(super) struct RustFile<'a> {
    file: &'a TreeFile,
    text: &'a str,
    masked: Masked,
}

impl<'a> RustFile<'a> {
    /// `None` if the file is not Rust source.
    pub(super) fn new(file: &'a TreeFile) -> Option<Self> {
        let text =
            file.text.as_deref().filter(|_| Path::new(&file.path).extension() == Some(OsStr::new("rs")))?;
        Some(Self { file, text, masked: mask(text) })
    }

    /// Broken rules.
    pub(super) fn violations(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.text.starts_with("//!") {
            findings.push(self.finding(
                Rule::FileDocs,
                1,
                "must open with `//!` and say what the file is for",
            ));
        }
        let n_lines = self.text.lines().count();
        if n_lines > MAX_LINES {
            let message = format!("has {n_lines} lines, at most {MAX_LINES} are allowed; split it by topic");
            findings.push(self.finding(Rule::FileLength, 1, message));
        }
        findings.extend(self.vague_names());
        findings.extend(self.forbidden_code());
        findings.extend(self.unfinished_comments());
        if is_crate_root(&self.file.path) {
            findings.extend(self.lib_example());
            findings.extend(self.lib_logic());
        }
        findings
    }

    /// Things worth a look.
    pub(super) fn warnings(&self) -> Vec<Finding> {
        let n_lines = self.text.lines().count();
        let is_long = n_lines > WARN_LINES && n_lines <= MAX_LINES;
        let message = format!("has {n_lines} lines; over {WARN_LINES}, think of splitting it");
        is_long.then(|| self.finding(Rule::FileLength, 1, message)).into_iter().collect()
    }

    fn finding(&self, rule: Rule, line: usize, message: impl Into<String>) -> Finding {
        Finding::new(rule, format!("{}:{line}", self.file.path), message)
    }

    fn code_finding(&self, rule: Rule, offset: usize, message: impl Into<String>) -> Finding {
        self.finding(rule, line_of(&self.masked.code, offset), message)
    }

    fn vague_names(&self) -> Vec<Finding> {
        let vague = |name: &str| format!("`{name}` says nothing; name it after what it holds");
        let code = &self.masked.code;
        let in_path = self
            .file
            .parts()
            .map(|part| part.strip_suffix(".rs").unwrap_or(part))
            .filter(|part| VAGUE_NAMES.contains(part))
            .map(|part| self.finding(Rule::VagueName, 1, vague(part)));
        let in_code = words(code)
            .zip(words(code).skip(1))
            .filter(|((_, word), (_, name))| *word == "mod" && VAGUE_NAMES.contains(name))
            .map(|(_, (offset, name))| self.code_finding(Rule::VagueName, offset, vague(name)));
        in_path.chain(in_code).collect()
    }

    fn forbidden_code(&self) -> Vec<Finding> {
        let code = &self.masked.code;
        let find = |(offset, word): (usize, &str)| match word {
            "unsafe" if !self.file.path.starts_with(KERNELS) => Some(self.code_finding(
                Rule::UnsafeRoom,
                offset,
                format!("`unsafe` may stand only under {KERNELS}"),
            )),
            "ignore" if code[..offset].trim_end().ends_with("#[") => Some(self.code_finding(
                Rule::IgnoredTest,
                offset,
                "a test that does not run protects nothing; repair or delete it",
            )),
            "todo" | "unimplemented" if code[offset + word.len()..].starts_with('!') => {
                Some(self.code_finding(Rule::Unfinished, offset, format!("`{word}!` must not be merged")))
            }
            _ => None,
        };
        words(code).filter_map(find).collect()
    }

    fn unfinished_comments(&self) -> Vec<Finding> {
        let comments = &self.masked.comments;
        words(comments)
            .filter(|(offset, word)| {
                UNFINISHED.contains(word) && !comments[offset + word.len()..].starts_with("(#")
            })
            .map(|(offset, word)| {
                let line = line_of(comments, offset);
                self.finding(Rule::Unfinished, line, format!("write `{word}(#issue)`, or do it now"))
            })
            .collect()
    }

    fn lib_example(&self) -> Option<Finding> {
        let has_example = self
            .text
            .lines()
            .any(|line| line.strip_prefix("//!").is_some_and(|doc| doc.trim().starts_with("```")));
        (!has_example)
            .then(|| self.finding(Rule::LibExample, 1, "the crate docs need an example in a ``` block"))
    }

    /// `lib.rs` may hold docs, attributes, `mod name;` and `use`.
    fn lib_logic(&self) -> Option<Finding> {
        let code = without_attributes(&self.masked.code);
        let mut offset = 0;
        for item in code.split_inclusive(';') {
            let start = offset + item.len() - item.trim_start().len();
            offset += item.len();
            let item = item.trim();
            if item.is_empty() {
                continue;
            }
            let bare = without_visibility(item);
            let is_module = bare.starts_with("mod ") && !bare.contains('{');
            if !(is_module || bare.starts_with("use ")) {
                let message = "`lib.rs` holds docs, `mod name;` and `use` only; move this to a module";
                return Some(self.code_finding(Rule::LibLogic, start, message));
            }
        }
        None
    }
}

fn is_crate_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["crates", _, "src", "lib.rs"])
}

fn without_visibility(item: &str) -> &str {
    let Some(rest) = item.strip_prefix("pub") else {
        return item;
    };
    let rest = rest.trim_start();
    match rest.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
        Some((_, after)) => after.trim_start(),
        None => rest,
    }
}

/// Blanks `#[..]` and `#![..]`; offsets stay.
fn without_attributes(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut depth = 0_usize;
    let mut is_opening = false;
    for c in code.chars() {
        let is_kept = depth == 0 && !(c == '#' || (is_opening && matches!(c, '!' | '[')));
        match c {
            '[' if is_opening || depth > 0 => depth += 1,
            ']' if depth > 0 => depth -= 1,
            _ => {}
        }
        is_opening = c == '#' || (is_opening && c == '!');
        if is_kept || c == '\n' {
            out.push(c);
        } else {
            out.extend(std::iter::repeat_n(' ', c.len_utf8()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "crates/neurobrick-nn/src/stitch.rs";
    const LIB: &str = "crates/neurobrick-nn/src/lib.rs";

    /// The rules that `text` at `path` breaks, with their lines.
    fn broken(path: &str, text: &str) -> Vec<(Rule, String)> {
        let file = TreeFile::of_text(path, text);
        let findings = RustFile::new(&file).map(|rust| rust.violations()).unwrap_or_default();
        let line = |place: &str| place.rsplit(':').next().unwrap_or_default().to_owned();
        findings.into_iter().map(|finding| (finding.rule, line(&finding.place))).collect()
    }

    fn check(path: &str, text: &str, expected: &[(Rule, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(rule, line)| (*rule, (*line).to_owned())).collect();
        assert_eq!(broken(path, text), expected, "{path}: {text:?}");
    }

    #[test]
    fn rules_on_any_file() {
        let unfinished = UNFINISHED[0];
        for (path, text, expected) in [
            (PLAIN, "//! Docs.\nfn f() {}\n", vec![]),
            (PLAIN, "// Docs.\nfn f() {}\n", vec![(Rule::FileDocs, "1")]),
            ("notes.txt", "fn f() {}", vec![]),
            ("crates/a/src/utils.rs", "//! D\n", vec![(Rule::VagueName, "1")]),
            ("crates/a/tests/common/mod.rs", "//! D\n", vec![(Rule::VagueName, "1")]),
            ("crates/a/src/utility_types.rs", "//! D\n", vec![]),
            (PLAIN, "//! D\nmod helpers { }\n", vec![(Rule::VagueName, "2")]),
            (PLAIN, "//! D\nlet types = 1;\n", vec![]),
            (PLAIN, "//! D\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n", vec![(Rule::IgnoredTest, "3")]),
            (PLAIN, "//! D\n// #[ignore]\nfn ignore() {}\n", vec![]),
            (PLAIN, "//! D\nfn f() { todo!() }\n", vec![(Rule::Unfinished, "2")]),
            (PLAIN, "//! D\nlet todo = \"todo!\";\n", vec![]),
            (PLAIN, &format!("//! D\n// {unfinished}: later\n"), vec![(Rule::Unfinished, "2")]),
            (PLAIN, &format!("//! D\n// {unfinished}(#12): later\n"), vec![]),
            (PLAIN, "//! D\nunsafe { f() }\n", vec![(Rule::UnsafeRoom, "2")]),
            (PLAIN, "//! D unsafe\n#![deny(unsafe_code)]\nlet x = \"unsafe\";\n", vec![]),
            ("crates/neurobrick-kernels/src/gru.rs", "//! D\nunsafe { f() }\n", vec![]),
        ] {
            check(path, text, &expected);
        }
    }

    #[test]
    fn long_files_warn_and_then_fail() {
        for (n_lines, expected) in [(500, (0, 0)), (501, (1, 0)), (800, (1, 0)), (801, (0, 1))] {
            let file = TreeFile::of_text(PLAIN, &"//! line\n".repeat(n_lines));
            let counts = RustFile::new(&file).map(|rust| (rust.warnings().len(), rust.violations().len()));
            assert_eq!(counts, Some(expected), "{n_lines} lines");
        }
    }

    #[test]
    fn rules_on_lib_rs() {
        let docs = "//! D\n//! ```\n//! f();\n//! ```\n";
        for (body, expected) in [
            (
                "#![warn(missing_docs)]\nmod a;\npub mod b;\npub use a::{X, Y};\npub(crate) use b::Z;\n",
                vec![],
            ),
            ("#[cfg(feature = \"x\")]\n#[doc(inline)]\npub use a::X; // fn\n", vec![]),
            ("mod a;\nfn f() {}\n", vec![(Rule::LibLogic, "6")]),
            ("mod a;\nmod tests {}\n", vec![(Rule::LibLogic, "6")]),
            ("pub const X: [u8; 2] = [1, 2];\n", vec![(Rule::LibLogic, "5")]),
            ("module!();\n", vec![(Rule::LibLogic, "5")]),
        ] {
            check(LIB, &format!("{docs}{body}"), &expected);
        }
        check(LIB, "//! D\nmod a;\n", &[(Rule::LibExample, "1")]);
        check("crates/neurobrick-nn/src/a/lib.rs", "//! D\nfn f() {}\n", &[]);
    }
}
