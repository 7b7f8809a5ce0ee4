//! The verb `parity`: runs the tests against reference numbers and writes what they measured into the guide.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use neurobrick::schema::SchemaError;
use neurobrick::schema::atomic::write_file;
use serde::Deserialize;

use crate::screen::say;

/// Where the tables go, from the root of the repository.
const GUIDE: &str = "docs/guide/parity.md";
/// What the lines with measurements begin with; `neurobrick_testkit::Parity` prints them.
const MARK: &str = "parity: ";
/// The test programs that print them.
const TESTS: [&str; 7] = [
    "golden_f32",
    "golden_f64",
    "golden_training_f32",
    "golden_training_f64",
    "golden_models_f32",
    "golden_models_f64",
    "lfads_golden",
];
/// Golden sets in the order of the tables: name, heading, and what the reference is.
const SETS: [(&str, &str, &str); 7] = [
    (
        "ndt_stitch",
        "NdtStitch",
        "MtM's model, written in PyTorch from its paper and code: all mask schemes, all prompts",
    ),
    (
        "ndt_stitch_names",
        "NdtStitch under published names",
        "the same under the names of MtM's and BrainWideBench's code",
    ),
    ("ndt1", "Ndt1", "NDT-1 on PyTorch's own transformer layer"),
    ("ndt2", "Ndt2", "NDT-2 on PyTorch's own transformer layer"),
    ("lfads", "Lfads", "`lfads-torch` itself, eight layouts"),
    ("poyo", "Poyo", "POYO, written in PyTorch from its paper and code"),
    ("neds", "Neds", "NEDS, written in PyTorch from its paper and code"),
];

/// Why the tables could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ParityError {
    /// The tests could not be started or read.
    #[error("cannot run the parity tests: {0}")]
    Run(#[from] io::Error),
    /// A model is not its reference any more.
    #[error("the parity tests failed ({status}); their output above says where")]
    Failed {
        /// How they ended.
        status: ExitStatus,
    },
    /// A line of the tests is not what it should be.
    #[error("the parity tests printed `{line}`: {source}")]
    Line {
        /// The line.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A set has no place in the tables, or a table has no numbers.
    #[error("golden set `{0}`: the tests and the tables of `parity` name different sets")]
    Unmatched(String),
    /// The guide could not be written.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// The largest difference of one quantity.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    model: String,
    precision: String,
    quantity: String,
    n: usize,
    largest: f64,
    tolerance: f64,
}

/// Runs the tests and writes the tables.
pub(crate) fn run(root: &Path, cargo: &OsStr) -> Result<(), ParityError> {
    let mut command = Command::new(cargo);
    command.args(["test", "--locked", "--release", "--workspace"]);
    for test in TESTS {
        command.args(["--test", test]);
    }
    command.args(["--", "--nocapture"]).current_dir(root).stderr(Stdio::inherit());
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        say(&text);
        return Err(ParityError::Failed { status: output.status });
    }
    let page = page(&measured(&text)?)?;
    let path: PathBuf = root.join(GUIDE);
    write_file(&path, page.as_bytes())?;
    say(&format!("written: {GUIDE}"));
    Ok(())
}

/// The measurements among the lines of the tests, the worst of each quantity.
fn measured(text: &str) -> Result<Vec<Measured>, ParityError> {
    let mut worst: BTreeMap<[String; 3], Measured> = BTreeMap::new();
    for line in text.lines() {
        // A test's name may stand before it in the same line.
        let Some((_, json)) = line.split_once(MARK) else { continue };
        let found: Measured = serde_json::from_str(json)
            .map_err(|source| ParityError::Line { line: line.to_owned(), source })?;
        let key = [found.model.clone(), found.quantity.clone(), found.precision.clone()];
        match worst.get_mut(&key) {
            Some(seen) => {
                seen.n += found.n;
                seen.largest = seen.largest.max(found.largest);
                seen.tolerance = seen.tolerance.max(found.tolerance);
            }
            None => {
                worst.insert(key, found);
            }
        }
    }
    Ok(worst.into_values().collect())
}

fn page(measured: &[Measured]) -> Result<String, ParityError> {
    if let Some(stranger) = measured.iter().find(|m| SETS.iter().all(|(set, ..)| *set != m.model)) {
        return Err(ParityError::Unmatched(stranger.model.clone()));
    }
    let mut page = "# Parity\n\nHow far models here are from their references, as tests measured it. Written by\n\n\
        ```bash\ncargo xtask parity\n```\n\n\
        on one x86-64 machine; tests hold every machine to the tolerances in brackets. References are in double precision. \
        Outputs, states and parameters\nare compared absolutely, losses and norms relatively, gradients relative to the largest entry of \
        their tensor (LFADS: absolutely). Parameters\nare those after three AdamW steps with clipping under a one-cycle schedule. \
        `n` counts arrays and scalars. Gradients of key biases are zero in\nmathematics, for softmax does not see them; \
        after optimizer steps these biases are compared in double precision only, for AdamW blows rounding\nup to the size of the \
        learning rate.\n"
        .to_owned();
    for (set, heading, reference) in SETS {
        let rows: Vec<&Measured> = measured.iter().filter(|m| m.model == set).collect();
        if rows.is_empty() {
            return Err(ParityError::Unmatched(set.to_owned()));
        }
        let _ = write!(
            page,
            "\n## {heading}\n\nReference: {reference} (`fixtures/golden/{set}`).\n\n\
             | quantity | n | single precision | double precision |\n|---|---:|---:|---:|\n"
        );
        let quantities: std::collections::BTreeSet<&str> = rows.iter().map(|m| m.quantity.as_str()).collect();
        for quantity in quantities {
            let of =
                |precision: &str| rows.iter().find(|m| m.quantity == quantity && m.precision == precision);
            let cell = |precision: &str| {
                of(precision).map_or_else(String::new, |m| {
                    if m.largest == 0.0 {
                        format!("0 ({:.0e})", m.tolerance)
                    } else {
                        format!("{:.1e} ({:.0e})", m.largest, m.tolerance)
                    }
                })
            };
            let n = of("f64").or_else(|| of("f32")).map_or(0, |m| m.n);
            let _ = writeln!(page, "| {quantity} | {n} | {} | {} |", cell("f32"), cell("f64"));
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"parity: {"model":"ndt1","precision":"f64","quantity":"loss","n":2,"largest":2e-16,"tolerance":1e-12}"#;

    fn all_sets() -> String {
        SETS.map(|(set, ..)| LINE.replace("ndt1", set)).join("\n")
    }

    #[test]
    fn the_worst_of_several_programs_is_shown() -> Result<(), ParityError> {
        let larger = LINE.replace("2e-16", "3e-15");
        let text = format!("test first ... {LINE}\n{larger}\nok\n{}", all_sets());
        let page = page(&measured(&text)?)?;
        assert!(page.contains("| loss | 6 |  | 3.0e-15 (1e-12) |"), "{page}");
        assert!(page.contains("## Poyo"), "{page}");
        Ok(())
    }

    #[test]
    fn a_set_without_numbers_and_numbers_without_a_set_are_errors() -> Result<(), ParityError> {
        let missing = all_sets().replace("poyo", "lfads");
        assert!(matches!(page(&measured(&missing)?), Err(ParityError::Unmatched(set)) if set == "poyo"));
        let strange = format!("{}\n{}", all_sets(), LINE.replace("ndt1", "mystery"));
        assert!(matches!(page(&measured(&strange)?), Err(ParityError::Unmatched(set)) if set == "mystery"));
        Ok(())
    }

    #[test]
    fn a_line_that_is_no_measurement_is_quoted() {
        let message = measured("parity: {}").err().map(|error| error.to_string());
        assert!(message.is_some_and(|m| m.contains("`parity: {}`") && m.contains("model")));
    }
}
