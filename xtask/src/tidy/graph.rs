//! Rules on the crate graph: the allowed edges, what must never be reached, rooms for formats, exact pins.

use super::{Finding, Rule, TidyError};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, NodeDep, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Every allowed edge between workspace crates; `docs/architecture.md` repeats this table.
pub(super) const EDGES: &[(&str, &[&str])] = &[
    ("neurobrick-kernels", &[]),
    ("neurobrick-random", &[]),
    ("neurobrick-schema", &[]),
    ("neurobrick-ingest", &["neurobrick-schema"]),
    ("neurobrick-data", &["neurobrick-random", "neurobrick-schema"]),
    ("neurobrick-core", &["neurobrick-data", "neurobrick-random", "neurobrick-schema"]),
    ("neurobrick-tokenize", &["neurobrick-core", "neurobrick-data", "neurobrick-schema"]),
    ("neurobrick-nn", &["neurobrick-core", "neurobrick-kernels", "neurobrick-random"]),
    ("neurobrick-stream", &["neurobrick-kernels"]),
    (
        "neurobrick-models",
        &[
            "neurobrick-core",
            "neurobrick-nn",
            "neurobrick-random",
            "neurobrick-schema",
            "neurobrick-stream",
            "neurobrick-tokenize",
        ],
    ),
    ("neurobrick-metrics", &["neurobrick-random", "neurobrick-schema"]),
    (
        "neurobrick-train",
        &[
            "neurobrick-core",
            "neurobrick-data",
            "neurobrick-metrics",
            "neurobrick-nn",
            "neurobrick-random",
            "neurobrick-schema",
        ],
    ),
    ("neurobrick-report", &["neurobrick-metrics", "neurobrick-schema"]),
    (
        "neurobrick-evaluate",
        &[
            "neurobrick-core",
            "neurobrick-data",
            "neurobrick-metrics",
            "neurobrick-nn",
            "neurobrick-random",
            "neurobrick-report",
            "neurobrick-schema",
            "neurobrick-train",
        ],
    ),
    (
        "neurobrick",
        &[
            "neurobrick-core",
            "neurobrick-data",
            "neurobrick-evaluate",
            "neurobrick-ingest",
            "neurobrick-metrics",
            "neurobrick-models",
            "neurobrick-nn",
            "neurobrick-random",
            "neurobrick-report",
            "neurobrick-schema",
            "neurobrick-stream",
            "neurobrick-tokenize",
            "neurobrick-train",
        ],
    ),
    (
        "neurobrick-bench",
        &[
            "neurobrick-core",
            "neurobrick-data",
            "neurobrick-evaluate",
            "neurobrick-models",
            "neurobrick-nn",
            "neurobrick-random",
            "neurobrick-report",
            "neurobrick-schema",
            "neurobrick-tokenize",
            "neurobrick-train",
        ],
    ),
    ("neurobrick-testkit", &["neurobrick-core", "neurobrick-data", "neurobrick-random", "neurobrick-schema"]),
    ("external-model", &["neurobrick", "neurobrick-testkit"]),
    ("xtask", &["neurobrick", "neurobrick-bench"]),
];

/// What the tests of every crate may import, as far as [`NEVER`] lets them, on top of what the crate reaches by
/// [`EDGES`] anyway.
const TEST_EDGES: [&str; 1] = ["neurobrick-testkit"];

/// A crate and what it must not reach, neither directly nor through others; `burn` stands for all crates of Burn.
const NEVER: [(&str, &str); 10] = [
    ("neurobrick-kernels", "burn"),
    ("neurobrick-stream", "burn"),
    ("neurobrick-schema", "burn"),
    ("neurobrick-random", "burn"),
    ("neurobrick-metrics", "burn"),
    ("neurobrick-models", "neurobrick-train"),
    ("neurobrick-models", "neurobrick-ingest"),
    ("neurobrick-train", "neurobrick-models"),
    ("neurobrick-evaluate", "neurobrick-models"),
    ("neurobrick-evaluate", "neurobrick-ingest"),
];

/// External crates, with all whose name continues theirs after a hyphen, and the only crates that may import them.
const ROOMS: [(&[&str], &[&str]); 4] = [
    (
        &["csv", "edf", "edfplus", "hdf5", "matfile", "matio", "ndarray-npy", "netcdf", "nifti", "npyz"],
        &["neurobrick-ingest"],
    ),
    (&["parquet", "arrow-ipc"], &["neurobrick-schema", "neurobrick-ingest"]),
    (&["pytorch-reader"], &["neurobrick-models"]),
    (&["zip"], &["neurobrick-ingest", "neurobrick-models"]),
];

/// A workspace crate.
#[derive(Debug, Clone)]
pub(super) struct Member {
    name: String,
    dependencies: Vec<Dependency>,
    /// Names of all packages it is built or tested with.
    reached: BTreeSet<String>,
    /// Words of the manifest that should be inherited from the workspace and are not.
    not_inherited: Vec<&'static str>,
}

#[derive(Debug, Clone)]
struct Dependency {
    name: String,
    is_for_tests: bool,
    /// `None` for a crate of the workspace.
    version: Option<String>,
}

/// Reads the graph of the workspace at `root` for the machine this runs on.
pub(super) fn read(root: &Path) -> Result<Vec<Member>, TidyError> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", "host-tuple"].map(String::from))
        .exec()?;
    let links = links(&metadata)?;
    let mut members = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = package.manifest_path.as_std_path();
        let text = fs::read_to_string(manifest)
            .map_err(|source| TidyError::Read { path: manifest.to_path_buf(), source })?;
        let dependencies = package
            .dependencies
            .iter()
            .map(|dependency| Dependency {
                name: dependency.name.clone(),
                is_for_tests: dependency.kind == DependencyKind::Development,
                version: dependency.path.is_none().then(|| dependency.req.to_string()),
            })
            .collect();
        members.push(Member {
            name: package.name.to_string(),
            dependencies,
            reached: reached(&links, &package.id)
                .into_iter()
                .map(|id| metadata[id].name.to_string())
                .collect(),
            not_inherited: not_inherited(&text),
        });
    }
    Ok(members)
}

/// Broken rules.
pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    members.iter().flat_map(|member| check_member(member, members)).collect()
}

fn check_member(member: &Member, members: &[Member]) -> Vec<Finding> {
    let name = member.name.as_str();
    let finding = |rule, message| Finding::new(rule, name, message);
    let mut findings = Vec::new();
    let allowed = EDGES.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
    if allowed.is_none() {
        let message =
            "is not in the table of edges; add it in xtask/src/tidy/graph.rs and docs/architecture.md";
        findings.push(finding(Rule::CrateEdge, message.into()));
    }
    let reachable = reached(&table_links(), name);
    for dependency in &member.dependencies {
        let target = dependency.name.as_str();
        let is_internal = members.iter().any(|other| other.name == target);
        let is_allowed = allowed.unwrap_or_default().contains(&target)
            || (dependency.is_for_tests && (reachable.contains(target) || TEST_EDGES.contains(&target)));
        if is_internal && !is_allowed {
            findings.push(finding(
                Rule::CrateEdge,
                format!("must not import `{target}`; a new edge needs a decision record"),
            ));
        }
        if let Some(version) = dependency.version.as_deref().filter(|version| !version.starts_with('=')) {
            findings
                .push(finding(Rule::ExactPin, format!("pin `{target}` exactly (`=x.y.z`), got `{version}`")));
        }
        for (formats, rooms) in ROOMS {
            if !dependency.is_for_tests
                && formats.iter().any(|format| is_family(target, format))
                && !rooms.contains(&name)
            {
                findings.push(finding(
                    Rule::FormatRoom,
                    format!("must not import `{target}`, only {rooms:?} may"),
                ));
            }
        }
    }
    for (_, forbidden) in NEVER.iter().filter(|(from, _)| *from == name) {
        // The crates of Burn are one family; among ours, `neurobrick-train` is one crate.
        let is_forbidden =
            |reached: &&String| reached == forbidden || (*forbidden == "burn" && is_family(reached, "burn"));
        if let Some(reached) = member.reached.iter().find(is_forbidden) {
            let message = format!("must never reach `{reached}`; see `cargo tree -p {name} -i {reached}`");
            findings.push(finding(Rule::NeverReach, message));
        }
    }
    for word in &member.not_inherited {
        findings.push(finding(Rule::Inherit, format!("must inherit {word} from the workspace")));
    }
    findings
}

/// `burn-core` is of the family `burn`, `burning` is not.
fn is_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn not_inherited(manifest: &str) -> Vec<&'static str> {
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let mut missing: Vec<&str> = ["version", "edition", "rust-version", "license"]
        .into_iter()
        .filter(|key| !lines.iter().any(|line| line.strip_prefix(key) == Some(".workspace = true")))
        .collect();
    if !lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]) {
        missing.push("lints");
    }
    missing
}

/// Package → the packages that it needs, and whether for its tests only.
type Links<K> = BTreeMap<K, Vec<(K, bool)>>;

fn links(metadata: &Metadata) -> Result<Links<&PackageId>, TidyError> {
    let resolve = metadata.resolve.as_ref().ok_or(TidyError::Unresolved)?;
    let mut links = Links::new();
    for node in &resolve.nodes {
        let is_for_tests =
            |dep: &NodeDep| dep.dep_kinds.iter().all(|info| info.kind == DependencyKind::Development);
        links.insert(&node.id, node.deps.iter().map(|dep| (&dep.pkg, is_for_tests(dep))).collect());
    }
    Ok(links)
}

/// The allowed edges as links.
fn table_links() -> Links<&'static str> {
    EDGES.iter().map(|(from, to)| (*from, to.iter().map(|to| (*to, false)).collect())).collect()
}

/// Everything that `start` is built or tested with: its own dependencies of every kind, and of those what they
/// are built with.
fn reached<K: Ord + Copy>(links: &Links<K>, start: K) -> BTreeSet<K> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<K> = links.get(&start).into_iter().flatten().map(|(to, _)| *to).collect();
    while let Some(package) = waiting.pop() {
        if package != start && seen.insert(package) {
            let built_with =
                links.get(&package).into_iter().flatten().filter(|(_, is_for_tests)| !is_for_tests);
            waiting.extend(built_with.map(|(to, _)| *to));
        }
    }
    seen
}

#[cfg(test)]
mod tests;
