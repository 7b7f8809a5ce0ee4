//! Rules that keep the docs true: the table of crate edges, the README's table of crates, paths that are named.

use super::graph::EDGES;
use super::tree::TreeFile;
use super::{Finding, Rule};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

const ARCHITECTURE: &str = "docs/architecture.md";
const README: &str = "README.md";
const BEGIN: &str = "<!-- edges: begin -->";
const END: &str = "<!-- edges: end -->";

/// Top-level folders: a word in backticks that begins with one of them is the path of a file or folder.
const FOLDERS: [&str; 5] = ["crates/", "docs/", "fixtures/", "xtask/", ".ci/"];

/// Crate → the crates that it may import.
type Edges = BTreeMap<String, BTreeSet<String>>;

/// Broken rules in the docs.
pub(super) fn check(files: &[TreeFile]) -> Vec<Finding> {
    let text_of =
        |path: &str| files.iter().find(|file| file.path == path).and_then(|file| file.text.as_deref());
    let mut findings = Vec::new();
    match text_of(ARCHITECTURE) {
        Some(text) => findings.extend(architecture(text)),
        None => findings.push(Finding::new(Rule::ArchitectureTable, ARCHITECTURE, "is missing")),
    }
    if let Some(text) = text_of(README) {
        let crates: BTreeSet<&str> = files.iter().filter_map(|file| crate_folder(&file.path)).collect();
        findings.extend(readme(text, &crates));
    }
    let is_ours = |path: &str| !path.contains('/') || path.starts_with("docs/");
    for file in files
        .iter()
        .filter(|file| Path::new(&file.path).extension() == Some(OsStr::new("md")) && is_ours(&file.path))
    {
        findings.extend(absent_paths(file, files));
    }
    findings
}

/// Paths that `document` names and the tree does not have.
fn absent_paths(document: &TreeFile, files: &[TreeFile]) -> Vec<Finding> {
    let is_path = |word: &&str| {
        FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '<', '*', '{', '…'])
    };
    let exists = |path: &str| {
        let folder = format!("{}/", path.trim_end_matches('/'));
        files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    };
    let mut findings = Vec::new();
    for (index, line) in document.text.as_deref().unwrap_or_default().lines().enumerate() {
        findings.extend(backticked(line).filter(is_path).filter(|path| !exists(path)).map(|path| {
            let place = format!("{}:{}", document.path, index + 1);
            Finding::new(Rule::DocPath, place, format!("names `{path}`, which does not exist"))
        }));
    }
    findings
}

/// The table of edges as `docs/architecture.md` must hold it.
pub(super) fn edges_section() -> String {
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let row = |(name, imports): &(&str, &[&str])| match imports {
        [] => format!("| `{name}` | nothing |"),
        imports => format!("| `{name}` | {} |", quoted(imports)),
    };
    let rows: Vec<String> = EDGES.iter().map(row).collect();
    format!("{BEGIN}\n| crate | may import |\n|---|---|\n{}\n{END}\n", rows.join("\n"))
}

fn architecture(text: &str) -> Option<Finding> {
    let section =
        text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(section, _)| section);
    let Some(section) = section else {
        let message = format!("needs the table of edges between `{BEGIN}` and `{END}`:\n{}", edges_section());
        return Some(Finding::new(Rule::ArchitectureTable, ARCHITECTURE, message));
    };
    (parse_edges(section) != parse_edges(&edges_section())).then(|| {
        let message =
            format!("differs from the table in xtask/src/tidy/graph.rs; it should be\n{}", edges_section());
        Finding::new(Rule::ArchitectureTable, ARCHITECTURE, message)
    })
}

fn parse_edges(section: &str) -> Edges {
    let mut edges = Edges::new();
    for line in section.lines() {
        let mut names = backticked(line).map(str::to_owned);
        if let (true, Some(name)) = (line.starts_with('|'), names.next()) {
            edges.entry(name).or_default().extend(names);
        }
    }
    edges
}

fn readme(text: &str, crates: &BTreeSet<&str>) -> Vec<Finding> {
    let rows: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.split('|').next())
        .filter_map(|cell| backticked(cell).next())
        .filter(|name| *name == "neurobrick" || name.starts_with("neurobrick-"))
        .collect();
    let missing = crates.difference(&rows).map(|name| format!("the table of crates lacks a row `{name}`"));
    let unknown =
        rows.difference(crates).map(|name| format!("the table names `{name}`, which is not in crates/"));
    missing.chain(unknown).map(|message| Finding::new(Rule::ReadmeTable, README, message)).collect()
}

/// What stands between pairs of backticks.
fn backticked(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn crate_folder(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml").filter(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<TreeFile> = files.iter().map(|(path, text)| TreeFile::of_text(path, text)).collect();
        check(&files).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_architecture_table_must_equal_the_checked_one() {
        let good = format!("# Map\n\n{}\nmore `words`\n", edges_section());
        assert_eq!(messages(&[(ARCHITECTURE, &good)]), Vec::<String>::new());
        let extra = good.replace("| `neurobrick-data` | ", "| `neurobrick-data` | `neurobrick-train`, ");
        let fewer = good.replace("`neurobrick-metrics`, ", "");
        assert_ne!(extra, good);
        assert_ne!(fewer, good);
        for bad in [extra, fewer, "# Map\n".to_owned()] {
            let found = messages(&[(ARCHITECTURE, &bad)]);
            assert_eq!(found.len(), 1);
            assert!(found[0].contains(&edges_section()), "{found:?}");
        }
        assert_eq!(messages(&[]), ["is missing"]);
    }

    #[test]
    fn paths_in_the_docs_must_exist() {
        let text = "`crates/a/src/b.rs`, `crates/a/src/`, `fixtures/<name>`, `cargo x`, `crates/a/src/c.rs`, `docs/d`";
        let section = edges_section();
        let tree = [(ARCHITECTURE, section.as_str()), ("crates/a/src/b.rs", ""), ("docs/style.md", text)];
        let absent =
            ["names `crates/a/src/c.rs`, which does not exist", "names `docs/d`, which does not exist"];
        assert_eq!(messages(&tree), absent);
    }

    #[test]
    fn the_readme_must_name_each_crate() {
        let tree = |readme: &'static str| {
            let section = edges_section();
            messages(&[
                (ARCHITECTURE, section.as_str()),
                ("crates/neurobrick/Cargo.toml", ""),
                ("crates/neurobrick-nn/Cargo.toml", ""),
                (README, readme),
            ])
        };
        assert_eq!(tree("| [`neurobrick`](x) | a |\n| `neurobrick-nn` | b |\n"), Vec::<String>::new());
        assert_eq!(
            tree("| `neurobrick` | `neurobrick-nn` |\n"),
            ["the table of crates lacks a row `neurobrick-nn`"]
        );
        assert_eq!(
            tree("| `neurobrick` |\n| `neurobrick-nn` |\n| `neurobrick-mri` |\n"),
            ["the table names `neurobrick-mri`, which is not in crates/"]
        );
    }
}
