//! Damages files at random and counts what becomes of them: `cargo run --release -p neurobrick-ingest --example damage -- 2000
//! 20000` for so many damaged foreign files and so many damaged copies of our own.
//!
//! Foreign files of every format in `fixtures` are read after damage: a reader must answer with a recording or with an
//! error that names the file, and must not panic. Of our own files every damage must be noticed; one of twenty copies is of
//! the spikes of a long session, which is read and checked piece by piece.
#![allow(clippy::print_stdout, reason = "the counts go to standard output")]

#[path = "../tests/foreign/mutation.rs"]
mod mutation;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mutation::SplitMix;
use neurobrick_ingest::{READERS, Reader, Source};
use neurobrick_schema::manifest::Manifest;
use neurobrick_schema::{Activity, Recording, RecordingParts, SessionId, Spikes, Store, Table, Trials};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let n_foreign = args.next().transpose()?.unwrap_or(2000);
    let n_own = args.next().transpose()?.unwrap_or(20_000);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    std::panic::set_hook(Box::new(|_| {}));
    let failed = foreign(&fixtures, n_foreign)? + own(&fixtures, n_own)?;
    if failed == 0 { Ok(()) } else { Err(format!("{failed} times damage did what it must not").into()) }
}

/// A session of foreign files in a folder of its own.
struct Target {
    reader: &'static dyn Reader,
    folder: PathBuf,
    source: Source,
    whole: Recording,
}

fn targets(fixtures: &Path, copies: &Path) -> Result<Vec<Target>, Box<dyn Error>> {
    let mut targets = Vec::new();
    let parts = [
        "recordings/ibl-session-excerpt",
        "formats/nwb/made",
        "formats/nwb/variants",
        "formats/nwb/pynapple",
        "formats/eeg",
        "formats/mapping/made",
        "formats/mapping/case-studies",
        "formats/mapping/songbird-hvc",
        "formats/tensors",
        "formats/poses",
        "formats/myo",
        "formats/suite2p",
        "formats/zarr",
        "recordings/steinmetz2019-binned",
    ];
    for part in parts {
        let folder = copies.join(part);
        copy(&fixtures.join(part), &folder)?;
        for reader in READERS {
            if !reader.probe(&folder)? {
                continue;
            }
            for source in reader.sessions(&folder)?.into_iter().take(4) {
                // Some files of the tests are there to be refused.
                if let Ok(whole) = reader.read(&source) {
                    targets.push(Target { reader, folder: folder.clone(), source, whole });
                }
            }
        }
    }
    Ok(targets)
}

fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn foreign(fixtures: &Path, n: usize) -> Result<usize, Box<dyn Error>> {
    let copies = tempfile::tempdir()?;
    let targets = targets(fixtures, copies.path())?;
    let mut random = SplitMix(1);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut n_failed = 0;
    for _ in 0..n {
        let target = &targets[random.below(targets.len())];
        let name = &target.source.files[random.below(target.source.files.len())];
        let path = target.source.root.join(name);
        let whole = fs::read(&path)?;
        fs::write(&path, random.damage(&whole))?;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let sources = target.reader.sessions(&target.folder)?;
            let same = sources.into_iter().find(|source| source.session == target.source.session);
            same.map(|source| target.reader.read(&source)).transpose()
        }));
        fs::write(&path, &whole)?;
        let root = copies.path().display().to_string();
        let outcome = match result {
            Err(_) => {
                println!("panicked: {name}");
                n_failed += 1;
                "panicked"
            }
            Ok(Err(error)) if error.to_string().contains(&root) => "refused by name",
            Ok(Err(error)) => {
                println!("refused without a name: {name}: {error}");
                n_failed += 1;
                "refused without a name"
            }
            Ok(Ok(None)) => "not recognized",
            Ok(Ok(Some(read))) if same_content(&read, &target.whole) => "read as before",
            Ok(Ok(Some(_))) => "read with other values",
        };
        *counts.entry((target.reader.format(), outcome)).or_default() += 1;
    }
    println!("{n} damaged foreign files of {} sessions", targets.len());
    for ((format, outcome), count) in counts {
        println!("  {format:12} {outcome:24} {count}");
    }
    Ok(n_failed)
}

/// Whether two recordings differ in nothing but the hashes of their files.
fn same_content(a: &Recording, b: &Recording) -> bool {
    a.activity() == b.activity()
        && a.units() == b.units()
        && a.trials() == b.trials()
        && a.signals() == b.signals()
        && a.intervals() == b.intervals()
}

/// Spikes of the long session: their file is longer than what is checked whole.
const N_LONG: u32 = 600_000;
/// Every how many copies one is of the long session.
const LONG_EVERY: usize = 20;

/// A long session with the units of another one.
fn long(of: &Recording) -> Result<Recording, Box<dyn Error>> {
    let mut random = SplitMix(3);
    let mut time_s = 0.0;
    let (mut times_s, mut units) = (Vec::new(), Vec::new());
    for _ in 0..N_LONG {
        // Gaps of up to 2 ms, of 32 random bits each.
        time_s += f64::from(u32::try_from(random.bits() >> 32)?) * 2e-3 / f64::from(u32::MAX);
        times_s.push(time_s);
        units.push(u32::try_from(random.below(of.n_units()))?);
    }
    let mut info = of.info().clone();
    info.session = SessionId::new("long")?;
    Ok(Recording::from_parts(RecordingParts {
        info,
        metadata: BTreeMap::new(),
        units: of.units().to_vec(),
        unit_columns: Vec::new(),
        electrodes: Table::default(),
        activity: Activity::Spikes(Spikes::new(times_s, units)?),
        trials: Trials::default(),
        intervals: Vec::new(),
        signals: Vec::new(),
    })?)
}

fn own(fixtures: &Path, n: usize) -> Result<usize, Box<dyn Error>> {
    let copies = tempfile::tempdir()?;
    let store = Store::create(copies.path().join("store"))?;
    let targets = targets(fixtures, &copies.path().join("sources"))?;
    let mut files = Vec::new();
    for target in &targets {
        // Small ones, so that many copies are damaged in a minute.
        if target.whole.n_spikes() > 60_000 {
            continue;
        }
        store.write(&target.whole)?;
        let session = target.whole.info().session.clone();
        for entry in fs::read_dir(store.path().join(session.as_str()))? {
            files.push((session.clone(), entry?.path()));
        }
    }
    let of = targets.iter().find(|target| target.whole.n_units() > 1).ok_or("no session with units")?;
    let recording = long(&of.whole)?;
    store.write(&recording)?;
    let long_session = recording.info().session.clone();
    let dir = store.path().join(long_session.as_str());
    let manifest = Manifest::read(&dir)?;
    let with_pieces = manifest.files().iter().find(|file| !file.pieces.is_empty());
    let with_pieces = with_pieces.ok_or("the long session has no file with pieces")?;
    let long_file = (long_session, dir.join(&with_pieces.name));
    let mut n_long = 0;
    let mut random = SplitMix(2);
    let (mut n_noticed, mut n_missed, mut n_same, mut n_panicked) = (0, 0, 0, 0);
    for number in 0..n {
        let is_long = number % LONG_EVERY == 0;
        let (session, path) = if is_long { &long_file } else { &files[random.below(files.len())] };
        let whole = fs::read(path)?;
        let damaged = random.damage(&whole);
        if damaged == whole {
            n_same += 1;
            continue;
        }
        n_long += usize::from(is_long);
        fs::write(path, damaged)?;
        match catch_unwind(AssertUnwindSafe(|| store.read(session))) {
            Ok(Err(_)) => n_noticed += 1,
            Ok(Ok(_)) => n_missed += 1,
            Err(_) => n_panicked += 1,
        }
        fs::write(path, whole)?;
    }
    println!(
        "{n} damaged copies of {} own files: {n_noticed} noticed, {n_missed} missed, {n_panicked} panics; {n_same} were the same by chance",
        files.len()
    );
    println!("  {n_long} of them of {} in {} pieces", with_pieces.name, with_pieces.pieces.len());
    Ok(n_missed + n_panicked)
}
