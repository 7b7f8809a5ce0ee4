//! Changed files for all readers: each answers with a recording or with an error that names the file, without a panic and
//! without more memory than its input justifies.
//!
//! `NEUROBRICK_FUZZ=1000000 cargo test --release -p neurobrick-ingest --test fuzz` runs a million per reader, and
//! `NEUROBRICK_FUZZ_READER=edf` only those of one; without the variables there are a few, so that every test run has some.
//! Files follow from their number: what fails, fails again.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;
#[path = "foreign/mutation.rs"]
mod mutation;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mutation::SplitMix;
use neurobrick_ingest::{READERS, Reader};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Most memory that a reader may ask for over one file, all requests together.
const MAX_BYTES: usize = 512 << 20;
/// Sessions of larger files only take longer.
const MAX_SEED_BYTES: u64 = 100_000;
/// Sessions of every reader that files are made from, the smallest ones.
const N_SEEDS: usize = 8;

/// Folders of `fixtures` that hold small recordings of all formats.
const PARTS: [&str; 15] = [
    "formats/eeg",
    "formats/mapping/made",
    "formats/mapping/case-studies",
    "formats/myo",
    "formats/nwb/made",
    "formats/nwb/pynapple",
    "formats/nwb/variants",
    "formats/nwb/versions/nwb-explorer-2018",
    "formats/nwb/versions/pynwb-back-compat",
    "formats/poses",
    "formats/suite2p",
    "formats/tensors",
    "formats/tensors-odd",
    "formats/zarr",
    "recordings/ibl-session-excerpt",
];

/// A session in a folder of its own.
struct Seed {
    folder: PathBuf,
    files: Vec<PathBuf>,
}

/// A folder in memory where there is one.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Small recordings of formats of which the fixtures have only larger ones, or only the arrays.
fn made(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![foreign::counts_folder(folder), foreign::alf_folder(folder)];
    for (file, times, units) in [
        ("arrays.npz", "\"times\"", "\"units\""),
        ("v5.mat", "\"times\"", "\"units\""),
        ("v7.mat", "\"times\"", "\"units\""),
        ("spikes.csv", "\"t\"", "\"unit\""),
        ("spikes.tsv", "0", "1"),
    ] {
        let folder = folder.join(file);
        fs::create_dir_all(&folder).unwrap();
        match file {
            "spikes.csv" => fs::write(folder.join(file), "t,unit\n15,10\n30,2\n45,10\n").unwrap(),
            "spikes.tsv" => fs::write(folder.join(file), "# t unit\n15\t10\n30\t2\n").unwrap(),
            _ => {
                let arrays = foreign::fixtures().join("../formats/mapping/made").join(file);
                fs::copy(arrays, folder.join(file)).map(drop).unwrap();
            }
        }
        let mapping = format!(
            "[[session]]\nname = \"s\"\nsubject = \"a\"\n\
             spikes.times = {{ file = \"{file}\", array = {times}, unit = \"samples\", rate_hz = 30 }}\n\
             spikes.units = {{ file = \"{file}\", array = {units} }}\n"
        );
        fs::write(folder.join("mapping.toml"), mapping).unwrap();
        fs::write(folder.join("dataset.toml"), foreign::DATASET).unwrap();
        folders.push(folder);
    }
    folders
}

fn seeds(reader: &dyn Reader, copies: &Path, made: &[PathBuf]) -> Vec<Seed> {
    let fixtures = foreign::fixtures().join("..");
    let mut found = Vec::new();
    for part in PARTS.iter().map(|part| fixtures.join(part)).chain(made.iter().cloned()) {
        if !reader.probe(&part).unwrap() {
            continue;
        }
        // Some files of the tests are there to be refused.
        for source in reader.sessions(&part).unwrap_or_default() {
            let n_bytes = source.total_bytes().unwrap_or(u64::MAX);
            if n_bytes <= MAX_SEED_BYTES && reader.read(&source).is_ok() {
                found.push((n_bytes, source));
            }
        }
    }
    found.sort_by_key(|(n_bytes, _)| *n_bytes);
    found.truncate(N_SEEDS);
    let copied = found.into_iter().enumerate().map(|(index, (_, source))| {
        let folder = copies.join(reader.format()).join(index.to_string());
        // Files that a session shares with others are read as well: the card and what maps the arrays.
        let shared = ["dataset.toml", "mapping.toml"].map(str::to_owned);
        let names = source.files.iter().cloned().chain(shared);
        let mut files = Vec::new();
        for name in names.filter(|name| source.root.join(name).is_file()) {
            let path = folder.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(source.root.join(&name), &path).unwrap();
            files.push(path);
        }
        Seed { folder, files }
    });
    copied.collect()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn any_file_is_read_or_refused_by_name() {
    let n_files: u64 = variable("NEUROBRICK_FUZZ").map_or(150, |n| {
        n.parse().unwrap_or_else(|_| unreachable!("NEUROBRICK_FUZZ is {n:?}, expected a whole number"))
    });
    let only = variable("NEUROBRICK_FUZZ_READER");
    let copies = scratch();
    let root = copies.path().display().to_string();
    let is_asked = |reader: &&&dyn Reader| only.as_deref().is_none_or(|only| reader.format() == only);
    let made = made(&copies.path().join("made"));
    let with_seeds = |reader: &&'static dyn Reader| (*reader, seeds(*reader, copies.path(), &made));
    let asked: Vec<_> = READERS.iter().filter(is_asked).map(with_seeds).collect();
    assert!(!asked.is_empty(), "NEUROBRICK_FUZZ_READER is {only:?}, which no reader is called");
    for (reader, seeds) in &asked {
        assert!(!seeds.is_empty(), "{} has no small session in the fixtures", reader.format());
    }
    let mut failures = Vec::new();
    // What panics is told below, by name.
    std::panic::set_hook(Box::new(|_| {}));
    for (reader, seeds) in asked {
        let (mut n_read, mut n_refused) = (0_u64, 0_u64);
        for number in 0..n_files {
            let mut random = SplitMix(number);
            let seed = &seeds[random.below(seeds.len())];
            let path = &seed.files[random.below(seed.files.len())];
            let whole = fs::read(path).unwrap();
            let mut bytes = whole.clone();
            for _ in 0..=random.below(4) {
                bytes = random.damage(&bytes);
            }
            fs::write(path, bytes).unwrap();
            let region = Region::new(GLOBAL);
            let result = catch_unwind(AssertUnwindSafe(|| {
                reader.sessions(&seed.folder)?.first().map(|source| reader.read(source)).transpose()
            }));
            let n_bytes = region.change().bytes_allocated;
            let told = |what: &str| format!("{} {number}, {}: {what}", reader.format(), path.display());
            match result {
                Err(_) => failures.push(told("panicked")),
                Ok(Ok(_)) => n_read += 1,
                Ok(Err(error)) if error.to_string().contains(&root) => n_refused += 1,
                Ok(Err(error)) => failures.push(told(&format!("refused without a name: {error}"))),
            }
            if n_bytes > MAX_BYTES {
                failures.push(told(&format!("took {n_bytes} bytes")));
            }
            fs::write(path, whole).unwrap();
        }
        if n_read == 0 || n_refused == 0 {
            failures.push(format!("{}: {n_read} read, {n_refused} refused", reader.format()));
        }
        if n_files > 1000 {
            failures.truncate(20);
            let mut out = std::io::stderr();
            std::io::Write::write_fmt(
                &mut out,
                format_args!("{}: {n_files} files, {n_read} read, {n_refused} refused\n", reader.format()),
            )
            .unwrap();
        }
    }
    drop(std::panic::take_hook());
    assert!(failures.is_empty(), "{failures:#?}");
}
