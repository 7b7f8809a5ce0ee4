//! Damages files at random and counts what becomes of them: `cargo run --release -p neurobrick-ingest --example damage -- 2000
//! 20000` for so many damaged foreign files and so many damaged copies of our own.
//!
//! Foreign files of every format in `fixtures` are read after damage: a reader must answer with a recording or with an
//! error that names the file, and must not panic. Of our own files every damage must be noticed.
#![allow(clippy::print_stdout, reason = "the counts go to standard output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use neurobrick_ingest::{READERS, Reader, Source};
use neurobrick_schema::{Recording, Store};

/// A small generator (Steele, Lea and Flood 2014), so that a run can be repeated.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }

    /// Another content for a file: bytes changed, a part missing, doubled, blank or moved.
    fn damage(&mut self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        if bytes.is_empty() {
            return vec![0];
        }
        let (a, b) = (self.below(bytes.len()), self.below(bytes.len()));
        let (from, to) = (a.min(b), a.max(b));
        match self.below(8) {
            0 => bytes.truncate(a),
            1 => bytes.drain(from..to.min(from + 64)).for_each(drop),
            2 => bytes[from..to.min(from + 512)].fill(0),
            3 => bytes[from..to.min(from + 16)].fill(0xff),
            4 => bytes.swap(a, b),
            5 => {
                let part = bytes[from..to.min(from + 64)].to_vec();
                bytes.splice(from..from, part);
            }
            _ => {
                for _ in 0..=self.below(4) {
                    let place = self.below(bytes.len());
                    // Headers are where lengths stand: half of the damage goes there.
                    let place = if self.below(2) == 0 { place % 1024 % bytes.len() } else { place };
                    bytes[place] ^= u8::try_from(1 + self.below(255)).unwrap_or(1);
                }
            }
        }
        bytes
    }
}

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
    let mut random = SplitMix(2);
    let (mut n_noticed, mut n_missed, mut n_same, mut n_panicked) = (0, 0, 0, 0);
    for _ in 0..n {
        let (session, path) = &files[random.below(files.len())];
        let whole = fs::read(path)?;
        let damaged = random.damage(&whole);
        if damaged == whole {
            n_same += 1;
            continue;
        }
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
    Ok(n_missed + n_panicked)
}
