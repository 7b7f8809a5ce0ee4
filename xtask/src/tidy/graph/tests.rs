//! Each rule on the crate graph with samples that break it and samples that do not.

use super::*;

fn member(name: &str, dependencies: &[(&str, bool, Option<&str>)], reached: &[&str]) -> Member {
    let dependency = |&(name, is_for_tests, version): &(&str, bool, Option<&str>)| Dependency {
        name: name.into(),
        is_for_tests,
        version: version.map(str::to_owned),
    };
    Member {
        name: name.into(),
        dependencies: dependencies.iter().map(dependency).collect(),
        reached: reached.iter().copied().map(str::to_owned).collect(),
        not_inherited: Vec::new(),
    }
}

/// Checks one member in a workspace that has all crates of [`EDGES`].
fn broken(subject: &Member) -> Vec<Rule> {
    let mut members: Vec<Member> = EDGES.iter().map(|(name, _)| member(name, &[], &[])).collect();
    members.retain(|other| other.name != subject.name);
    members.push(subject.clone());
    check(&members).into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn direct_dependencies() {
    let pin = Some("=1.0.0");
    for (name, dependency, expected) in [
        ("neurobrick-data", ("neurobrick-schema", false, None), vec![]),
        ("neurobrick-schema", ("neurobrick-data", false, None), vec![Rule::CrateEdge]),
        ("neurobrick-train", ("neurobrick-models", true, None), vec![Rule::CrateEdge]),
        ("neurobrick-report", ("neurobrick", false, None), vec![Rule::CrateEdge]),
        ("neurobrick-evaluate", ("neurobrick-models", true, None), vec![Rule::CrateEdge]),
        ("xtask", ("neurobrick", false, None), vec![]),
        ("neurobrick-models", ("neurobrick-testkit", true, None), vec![]),
        ("neurobrick-models", ("neurobrick-testkit", false, None), vec![Rule::CrateEdge]),
        ("neurobrick-models", ("neurobrick-data", true, None), vec![]),
        ("neurobrick-models", ("neurobrick-data", false, None), vec![Rule::CrateEdge]),
        ("neurobrick-mri", ("serde", false, pin), vec![Rule::CrateEdge]),
        ("neurobrick-data", ("serde", false, Some("^1.0.0")), vec![Rule::ExactPin]),
        ("neurobrick-data", ("proptest", true, Some("^1.0.0")), vec![Rule::ExactPin]),
        ("neurobrick-ingest", ("ndarray-npy", false, pin), vec![]),
        ("neurobrick-metrics", ("ndarray-npy", false, pin), vec![Rule::FormatRoom]),
        ("neurobrick-metrics", ("ndarray-npy", true, pin), vec![]),
        ("neurobrick-data", ("hdf5-reader", false, pin), vec![Rule::FormatRoom]),
        ("neurobrick-schema", ("parquet", false, pin), vec![]),
        ("neurobrick-data", ("parquet", false, pin), vec![Rule::FormatRoom]),
    ] {
        assert_eq!(broken(&member(name, &[dependency], &[])), expected, "{name} {dependency:?}");
    }
}

#[test]
fn forbidden_crates_at_any_distance() {
    for (name, reached, expected) in [
        ("neurobrick-metrics", vec!["faer", "burning"], vec![]),
        ("neurobrick-metrics", vec!["faer", "burn-tensor"], vec![Rule::NeverReach]),
        ("neurobrick-random", vec!["burn"], vec![Rule::NeverReach]),
        ("neurobrick-core", vec!["burn"], vec![]),
        ("neurobrick-models", vec!["neurobrick-train"], vec![Rule::NeverReach]),
        ("neurobrick-models", vec!["neurobrick-train-extras"], vec![]),
        ("neurobrick-evaluate", vec!["neurobrick-ingest"], vec![Rule::NeverReach]),
    ] {
        assert_eq!(broken(&member(name, &[], &reached)), expected, "{name} {reached:?}");
    }
}

#[test]
fn the_table_itself_keeps_the_promises() {
    let links = table_links();
    for (from, forbidden) in NEVER {
        assert!(!reached(&links, from).contains(forbidden), "{from} reaches {forbidden}");
    }
    for (name, _) in EDGES {
        let importers: Vec<&str> =
            EDGES.iter().filter(|(_, to)| to.contains(name)).map(|(from, _)| *from).collect();
        let is_facade = *name == "neurobrick";
        assert!(
            !is_facade || importers == ["external-model", "xtask"],
            "the facade is imported by {importers:?}"
        );
        assert!(!importers.iter().any(|from| reached(&links, *name).contains(from)), "cycle at {name}");
    }
}

#[test]
fn tests_of_others_are_not_reached() {
    let links: Links<&str> = [
        ("a", vec![("b", true), ("c", false)]),
        ("b", vec![("d", true), ("e", false)]),
        ("c", vec![("a", true)]),
    ]
    .into();
    assert_eq!(reached(&links, "a").into_iter().collect::<String>(), "bce");
}

#[test]
fn manifests_must_inherit() {
    let all = "version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
               license.workspace = true\n[lints]\nworkspace = true\n";
    assert_eq!(not_inherited(all), Vec::<&str>::new());
    assert_eq!(
        not_inherited(&all.replace("rust-version.workspace = true", "rust-version = \"1.80\"")),
        ["rust-version"]
    );
    let mut subject = member("neurobrick-nn", &[], &[]);
    subject.not_inherited = not_inherited("[package]\n");
    assert_eq!(broken(&subject), [Rule::Inherit; 5]);
}
