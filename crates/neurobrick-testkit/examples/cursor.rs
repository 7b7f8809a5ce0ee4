//! Writes sessions of a made-up brain into a store, as single spikes with a cursor that all sessions encode:
//! `cargo run --release -p neurobrick-testkit --example cursor -- FOLDER 5` for five sessions in a new folder.
#![allow(clippy::print_stdout, reason = "the names go to standard output")]

use std::error::Error;
use std::path::PathBuf;

use ndarray::arr2;
use neurobrick_schema::Store;
use neurobrick_testkit::SharedBrain;

const N_TRIALS: usize = 120;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder: PathBuf = args.next().ok_or("name a folder that does not exist yet")?.into();
    let n_sessions: u64 = args.next().map_or(Ok(5), |n| n.parse())?;
    let store = Store::create(&folder)?;
    let brain = SharedBrain::cursor(1);
    for session in 0..n_sessions {
        // As in real data, no two sessions have the same number of units.
        let n_units = 16 + 2 * usize::try_from(session)?;
        let recording =
            brain.session(session, N_TRIALS, n_units).with_behavior(&arr2(&[[5.0, 0.0], [0.0, 5.0]]));
        store.write(&recording)?;
        println!("{}: {n_units} units, {} spikes", recording.info().session, recording.n_spikes());
    }
    Ok(())
}
