//! Damaged HDF5 files: an error that names the file or a recording, never a panic, never much memory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::alloc::System;
use std::fs;
use std::path::Path;

use neurobrick_ingest::{Nwb, Reader};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What reading one file may take in all, of memory that is given back in between as well. The largest promise that a
/// small file is believed is 64 MiB.
const MAX_BYTES: usize = 320 << 20;

/// Reads a file and returns whether it was refused.
fn is_refused(path: &Path, what: &str) -> bool {
    let region = Region::new(ALLOCATOR);
    let result = Nwb.sessions(path).and_then(|sources| Nwb.read(&sources[0]));
    let n_bytes = region.change().bytes_allocated;
    assert!(n_bytes < MAX_BYTES, "{what}: {n_bytes} bytes taken");
    let Err(error) = result else { return false };
    let message = error.to_string();
    assert!(message.contains("damaged.nwb"), "{what}: {message}");
    assert!(!message.contains("gave up"), "{what}: the decoder panicked: {message}");
    true
}

/// Reads copies with one byte changed and copies that are cut off, and counts the refused ones.
fn damage(source: &Path, n_cases: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.nwb");
    let good = fs::read(source).unwrap();
    let mut n_refused = 0;
    for case in 0..n_cases {
        let mut bad = good.clone();
        let at = case * good.len() / n_cases;
        let what = if case % 4 == 0 {
            bad.truncate(at);
            format!("{} cut off at {at}", source.display())
        } else {
            let flip = [1_u8, 0x80, 0xff][case % 4 - 1];
            bad[at] ^= flip;
            format!("{}, byte {at} ^ {flip:#x}", source.display())
        };
        fs::write(&path, bad).unwrap();
        n_refused += usize::from(is_refused(&path, &what));
    }
    fs::write(&path, good).unwrap();
    assert!(!is_refused(&path, "the whole file"));
    n_refused
}

/// One test, since the memory of all threads is counted.
#[test]
fn a_damaged_file_is_refused_or_read_but_never_a_panic() {
    let folder = foreign::fixtures().join("../formats/nwb");
    for (name, n_cases, min_refused) in [
        ("made/made.nwb", 1200, 300),
        ("variants/excerpt_gzip_fletcher_unlimited.nwb", 200, 60),
        ("variants/excerpt_latest_gzip.nwb", 200, 60),
        ("variants/excerpt_zstd.nwb", 200, 60),
        ("variants/excerpt_lzf.nwb", 200, 60),
        ("variants/excerpt_blosc_lz4.nwb", 200, 60),
    ] {
        let n_refused = damage(&folder.join(name), n_cases);
        assert!(n_refused >= min_refused, "{name}: only {n_refused} of {n_cases} were refused");
    }
}
