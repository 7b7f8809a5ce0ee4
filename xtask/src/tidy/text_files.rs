//! Rules on any file: text that only makes sense on one machine, and size.

use super::tree::TreeFile;
use super::{Finding, Rule};

/// No single file is larger.
const MAX_FILE_BYTES: u64 = 2_000_000;
/// All files under a `fixtures` folder together are smaller.
const MAX_FIXTURE_BYTES: u64 = 40_000_000;
/// Beginnings of paths that exist on one machine only; in two parts so that this file holds none.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/", "bash")];
/// Hosts of package registries: which one is used is the business of each machine.
const REGISTRY_HOSTS: [&str; 2] = [concat!("crates", ".io"), concat!("pypi", ".org")];
/// Written by Cargo, which names its registry there.
const LOCK_FILE: &str = "Cargo.lock";

/// Broken rules in one file.
pub(super) fn check(file: &TreeFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.n_bytes > MAX_FILE_BYTES {
        let message = format!("has {} bytes, at most {MAX_FILE_BYTES} are allowed", file.n_bytes);
        findings.push(Finding::new(Rule::Size, &file.path, message));
    }
    if let Some(text) = file.text.as_deref().filter(|_| file.path != LOCK_FILE) {
        for (index, line) in text.lines().enumerate() {
            let paths = MACHINE_PATHS.iter().filter(|needle| holds_path(line, needle));
            let hosts = REGISTRY_HOSTS.iter().filter(|needle| line.contains(*needle));
            findings.extend(paths.chain(hosts).map(|needle| {
                let place = format!("{}:{}", file.path, index + 1);
                Finding::new(
                    Rule::MachineText,
                    place,
                    format!("`{needle}` does not belong in the repository"),
                )
            }));
        }
    }
    findings
}

/// The rule on all fixtures together.
pub(super) fn fixtures_total(files: &[TreeFile]) -> Option<Finding> {
    let is_fixture = |file: &&TreeFile| file.parts().any(|part| part == "fixtures");
    let n_bytes: u64 = files.iter().filter(is_fixture).map(|file| file.n_bytes).sum();
    (n_bytes >= MAX_FIXTURE_BYTES).then(|| {
        let message =
            format!("fixtures hold {n_bytes} bytes together, less than {MAX_FIXTURE_BYTES} are allowed");
        Finding::new(Rule::Size, "fixtures", message)
    })
}

/// Whether an absolute path that begins with `needle` is in `line`; in `a/work/b` the same letters are harmless.
fn holds_path(line: &str, needle: &str) -> bool {
    let continues_a_path = |before: &str| {
        before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '*'))
    };
    line.match_indices(needle).any(|(offset, _)| !continues_a_path(&line[..offset]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_text_is_found_where_it_matters() {
        let [path, home, scratch] = MACHINE_PATHS;
        let [host, other_host] = REGISTRY_HOSTS;
        for (file, text, lines) in [
            ("a.md", format!("x\nsee `{path}main`"), vec!["a.md:2"]),
            ("a.rs", format!("\"{home}x\""), vec!["a.rs:1"]),
            ("a.sh", format!("cd {scratch}_jobs"), vec!["a.sh:1"]),
            ("a.toml", format!("url = \"https://{host}/x\""), vec!["a.toml:1"]),
            ("a.md", format!("{other_host} and {host}"), vec!["a.md:1", "a.md:1"]),
            ("a.md", format!("docs{path}flow.md and ${{X}}{home}y"), vec![]),
            ("Cargo.lock", format!("registry+https://github.com/rust-lang/{host}-index"), vec![]),
            ("crates/a/Cargo.lock", format!("https://{host}"), vec!["crates/a/Cargo.lock:1"]),
        ] {
            let found: Vec<String> =
                check(&TreeFile::of_text(file, &text)).into_iter().map(|finding| finding.place).collect();
            assert_eq!(found, lines, "{file}: {text}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let sized = |path: &str, n_bytes: u64| TreeFile { path: path.into(), n_bytes, text: None };
        assert_eq!(check(&sized("a.npz", MAX_FILE_BYTES)), []);
        assert_eq!(check(&sized("a.npz", MAX_FILE_BYTES + 1))[0].rule, Rule::Size);
        let mut files =
            vec![sized("fixtures/a.npz", MAX_FIXTURE_BYTES / 2), sized("other/b.npz", u64::from(u32::MAX))];
        assert_eq!(fixtures_total(&files), None);
        files.push(sized("crates/x/fixtures/c.npz", MAX_FIXTURE_BYTES / 2));
        assert_eq!(fixtures_total(&files).map(|finding| finding.rule), Some(Rule::Size));
    }
}
