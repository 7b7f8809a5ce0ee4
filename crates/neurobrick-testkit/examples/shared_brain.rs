//! Writes sessions of a made-up brain into a store and says how much any model could know of them:
//! `cargo run --release -p neurobrick-testkit --example shared_brain -- FOLDER 4` for four sessions in a new folder.
#![allow(clippy::print_stdout, reason = "the table goes to standard output")]

use std::error::Error;
use std::path::PathBuf;

use neurobrick_schema::Store;
use neurobrick_testkit::SharedBrain;

const N_TRIALS: usize = 160;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder: PathBuf = args.next().ok_or("name a folder that does not exist yet")?.into();
    let n_sessions: u64 = args.next().map_or(Ok(4), |n| n.parse())?;
    let store = Store::create(&folder)?;
    let brain = SharedBrain::new(1);
    println!("{:12} {:>6} {:>7} {:>9} {:>9}", "session", "units", "spikes", "mean Hz", "bits/spike");
    for session in 0..n_sessions {
        // As in real data, no two sessions have the same number of units.
        let n_units = 30 + usize::try_from(session % 7)? * 6;
        let made = brain.session(session, N_TRIALS, n_units);
        store.write(&made.recording)?;
        let (counts, rates) = (made.data().counts().mapv(f64::from), &made.rates);
        let total = counts.sum();
        // Poisson log likelihood of the true rates over that of each unit's mean, in bits per spike: nobody does better.
        let mut gain = 0.0;
        for unit in 0..n_units {
            let of_unit = |all: &ndarray::Array3<f64>| all.index_axis(ndarray::Axis(2), unit).to_owned();
            let (counts, rates) = (of_unit(&counts), of_unit(rates));
            let mean = counts.sum() / counts.len() as f64;
            for (count, rate) in counts.iter().zip(&rates) {
                gain += count * (rate / mean).ln() - (rate - mean);
            }
        }
        println!(
            "{:12} {n_units:6} {total:7} {:9.2} {:9.3}",
            made.recording.info().session.as_str(),
            total / counts.len() as f64 / 0.02,
            gain / total / std::f64::consts::LN_2
        );
    }
    Ok(())
}
