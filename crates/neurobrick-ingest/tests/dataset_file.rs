//! `dataset.toml`: the template that is offered where there is none works once it is filled in, and mislabels nothing
//! before.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::Path;

use neurobrick_ingest::{Alf, CountsNpz, Nwb, Reader, Tensors};
use neurobrick_schema::{Consent, Recording};

fn refusal(reader: &dyn Reader, path: &Path) -> String {
    foreign::read(reader, path).unwrap_err().to_string()
}

/// The lines that a message offers.
fn template(message: &str) -> String {
    let (_, lines) = message.split_once(":\n").unwrap_or_else(|| unreachable!("no lines in {message:?}"));
    format!("{lines}\n")
}

fn filled(template: &str) -> String {
    let fill = |text: String, key: &str, value: &str| {
        text.replacen(&format!("{key} = \"\""), &format!("{key} = \"{value}\""), 1)
    };
    let text = fill(template.to_owned(), "dataset", "lab-2026");
    let text = fill(text, "source", "our rig");
    fill(fill(text, "session", "day-1"), "subject", "ada")
}

#[test]
fn the_template_asks_for_what_the_format_needs() {
    let dir = tempfile::tempdir().unwrap();
    let top = foreign::alf_folder(dir.path());
    let card = top.join("dataset.toml");
    fs::remove_file(&card).unwrap();
    let told = refusal(&Alf, &top);
    assert!(!told.contains("session = "), "the folders say it: {told}");
    fs::rename(top.join("Ada/2024-05-06/001"), top.join("recording")).unwrap();
    let told = refusal(&Alf, &top);
    assert!(told.contains("or in a folder above"), "{told}");
    fs::write(&card, template(&told)).unwrap();
    assert!(refusal(&Alf, &top).contains("dataset id \"\" is invalid"), "{}", refusal(&Alf, &top));
    fs::write(&card, filled(&template(&told))).unwrap();
    let recording = foreign::read(&Alf, &top).unwrap();
    let info = recording.info();
    assert_eq!((info.session.as_str(), info.subject.as_str()), ("day-1", "ada"));
    assert_eq!((info.card.license.as_str(), info.card.consent), ("unknown", Consent::Unknown));
    assert_eq!(info.card.species.as_deref(), Some("unknown"));

    // Nobody looks above for the card of archives of counts.
    let counts = foreign::counts_folder(dir.path());
    fs::remove_file(counts.join("dataset.toml")).unwrap();
    let told = refusal(&CountsNpz, &counts);
    assert!(!told.contains("folder above") && !told.contains("session = "), "{told}");
    fs::write(counts.join("dataset.toml"), filled(&template(&told))).unwrap();
    foreign::read(&CountsNpz, &counts).unwrap();
    fs::write(counts.join("dataset.toml"), filled(&template(&told)).replace("our rig", "")).unwrap();
    assert!(refusal(&CountsNpz, &counts).contains("source is empty; say in it who recorded"));

    let tensors = foreign::fixtures().join("../formats/tensors");
    let file = fs::read_dir(&tensors).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension().is_some_and(|ending| ending == "h5")).min().unwrap();
    let copy = dir.path().join("tensors");
    fs::create_dir(&copy).unwrap();
    fs::copy(&file, copy.join("x.h5")).unwrap();
    let told = refusal(&Tensors, &copy);
    assert!(template(&told).contains("bin_size_s = "), "{told}");
}

#[test]
fn what_is_missing_is_offered_without_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("dataset.toml");
    fs::copy(foreign::fixtures().join("../formats/nwb/made/made.nwb"), dir.path().join("made.nwb")).unwrap();
    fs::write(&card, "trials = \"runs\"\nlicense = \"CC0-1.0\"\n").unwrap();
    let told = Nwb.sessions(dir.path()).unwrap_err().to_string();
    assert!(told.contains("missing field `dataset`; add these lines"), "{told}");
    let lines = template(&told);
    assert!(lines.contains("consent = ") && !lines.contains("license = "), "{told}");
}

fn nwb_with(lines: &str) -> Recording {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(foreign::fixtures().join("../formats/nwb/made/made.nwb"), dir.path().join("made.nwb")).unwrap();
    fs::write(dir.path().join("dataset.toml"), lines).unwrap();
    foreign::read(&Nwb, dir.path()).unwrap()
}

#[test]
fn an_empty_field_keeps_what_the_file_says() {
    let made = foreign::read(&Nwb, &foreign::fixtures().join("../formats/nwb/made")).unwrap();
    let of_file = &made.info().card;
    let silent = "dataset = \"lab-2026\"\nsource = \"\"\ncitation = \" \"\nlicense = \"\"\nspecies = \"unknown\"\n\
                  consent = \"unknown\"\n";
    let card = nwb_with(silent).info().card.clone();
    assert_eq!((&card.source, &card.citation), (&of_file.source, &of_file.citation));
    // Consent is not the file's to say: what was stated stands.
    assert_eq!((&card.species, card.consent), (&of_file.species, Consent::Unknown));
    assert_eq!(card.license, "unknown");
    let card =
        nwb_with(&silent.replace("species = \"unknown\"", "species = \"Homo sapiens\"")).info().card.clone();
    assert_eq!((card.species.as_deref(), card.consent), (Some("Homo sapiens"), Consent::Unknown));
    assert_eq!(nwb_with(foreign::DATASET).info().card.source, "a test");
}

/// Of a file without the line, and of one that says that nobody knows, nothing is said.
#[test]
fn approval_by_a_board_is_said_or_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let top = foreign::alf_folder(dir.path());
    let said = |line: &str| {
        fs::write(top.join("dataset.toml"), format!("{}{line}", foreign::DATASET)).unwrap();
        foreign::read(&Alf, &top).unwrap().info().card.ethics.clone()
    };
    assert_eq!(said("ethics = \"protocol 7\"\n").as_deref(), Some("protocol 7"));
    for silent in ["", "ethics = \" \"\n", "ethics = \"unknown\"\n"] {
        assert_eq!(said(silent), None, "{silent:?}");
    }
}

/// The files of the repository say nothing of it, so one is told to: its institution becomes its protocol, a name of as many
/// letters less three, which end in NUL.
#[test]
fn approval_in_an_nwb_file_comes_along() {
    let bytes = fs::read(foreign::fixtures().join("../formats/nwb/made/made.nwb")).unwrap();
    let (from, to) = (&b"institution\0"[..], &b"protocol\0\0\0\0"[..]);
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert_eq!(places.len(), 1);
    let dir = tempfile::tempdir().unwrap();
    let mut told = bytes.clone();
    told[places[0]..places[0] + to.len()].copy_from_slice(to);
    fs::write(dir.path().join("made.nwb"), told).unwrap();
    let card = |dir: &std::path::Path| foreign::read(&Nwb, dir).unwrap().info().card.clone();
    assert_eq!(card(dir.path()).ethics.as_deref(), Some("nowhere"));
    fs::write(dir.path().join("dataset.toml"), foreign::DATASET).unwrap();
    assert_eq!(card(dir.path()).ethics.as_deref(), Some("nowhere"), "dataset.toml does not say it");
    fs::write(dir.path().join("dataset.toml"), format!("{}ethics = \"protocol 7\"\n", foreign::DATASET))
        .unwrap();
    assert_eq!(card(dir.path()).ethics.as_deref(), Some("protocol 7"));
    assert_eq!(
        foreign::read(&Nwb, &foreign::fixtures().join("../formats/nwb/made")).unwrap().info().card.ethics,
        None
    );
}
