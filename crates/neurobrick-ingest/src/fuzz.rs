//! Changed inputs for parsers of bytes: none may panic, or take memory that its input does not justify.
//!
//! `NEUROBRICK_FUZZ=1000000 cargo test --release -p neurobrick-ingest --lib any_` runs a million per parser; without the
//! variable there are a few, so that every test run has some. Inputs follow from their number: what fails, fails again.
//! `neurobrick-schema` takes this file for its own decoder.

#[path = "../tests/foreign/mutation.rs"]
mod mutation;

use std::panic::{AssertUnwindSafe, catch_unwind};

use mutation::SplitMix;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Most memory that a parser may ask for over one input, all requests together.
const MAX_BYTES: usize = 512 << 20;

/// Number of inputs per parser.
fn n_inputs() -> u64 {
    let Ok(asked) = std::env::var("NEUROBRICK_FUZZ") else { return 2000 };
    asked.parse().unwrap_or_else(|_| unreachable!("NEUROBRICK_FUZZ is {asked:?}, expected a whole number"))
}

/// A folder for parsers that read files, in memory where there is one.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap_or_else(|error| unreachable!("no folder for files: {error}"))
}

/// Runs a parser, which tells whether it read its input, on what up to four changes make of `seeds`. It must read one of
/// them as it is, since changes of what is refused at once would reach little of the parser.
#[track_caller]
pub(crate) fn check(seeds: &[&[u8]], parse: impl Fn(&[u8]) -> bool) {
    assert!(seeds.iter().any(|seed| parse(seed)), "none of the {} seeds is read", seeds.len());
    for number in 0..n_inputs() {
        let mut random = SplitMix(number);
        let mut bytes = seeds[random.below(seeds.len())].to_vec();
        for _ in 0..random.below(5) {
            bytes = random.damage(&bytes);
        }
        // Other tests may ask for memory at the same time; what a parser takes, it takes every time.
        let n_bytes = (0..4).map(|_| taken(&bytes, number, &parse)).find(|n_bytes| *n_bytes <= MAX_BYTES);
        assert!(n_bytes.is_some(), "input {number} takes more than {MAX_BYTES} bytes: {bytes:?}");
    }
}

/// Bytes that a parser asks for.
fn taken(bytes: &[u8], number: u64, parse: &impl Fn(&[u8]) -> bool) -> usize {
    let region = Region::new(GLOBAL);
    let result = catch_unwind(AssertUnwindSafe(|| parse(bytes)));
    assert!(result.is_ok(), "input {number} made it panic: {bytes:?}");
    region.change().bytes_allocated
}

/// Least bytes that a piece of work asks for in a few tries, as other tests may ask for memory at the same time.
pub(crate) fn least_taken(work: impl Fn()) -> usize {
    let taken = |_| {
        let region = Region::new(GLOBAL);
        work();
        region.change().bytes_allocated
    };
    (0..4).map(taken).min().unwrap_or(0)
}
