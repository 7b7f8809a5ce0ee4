//! Up the ladders of sizes: every point in a process of its own, so that none finds the memory of another.

use std::path::Path;
use std::process::Command;

use neurobrick::schema::atomic::write_file;
use neurobrick::{Compute, RunManifest};
use neurobrick_bench::{
    Answer, Request, ScaleAxis, ScalePoint, Scaling, Work, load_average, processor_name, scaling_figure,
    scaling_markdown,
};

use super::rounds::per_turn;
use super::side::Side;
use super::{BUSY, BenchFailure, SEED, write_json};
use crate::cli::BenchArgs;
use crate::screen::say;

/// Products that measure the peak.
const N_PRODUCTS: usize = 20;
/// Fewest timed repeats in a process.
const MIN_REPEATS: usize = 4;

/// Measures all ladders, round after round, and writes what there is after each.
pub(super) fn run(args: &BenchArgs, command: &str) -> Result<(), BenchFailure> {
    let out = args.out();
    let n_threads = args.n_threads();
    let points = ScaleAxis::ALL
        .into_iter()
        .flat_map(|axis| axis.ladder(args.quick).into_iter().map(move |size| ScalePoint::new(axis, size)));
    let mut found = Scaling {
        manifest: RunManifest::new(command, SEED, Compute::threads(n_threads), Vec::new()),
        processor: processor_name(),
        load_before: load_average(),
        n_rounds: 0,
        points: points.collect(),
    };
    if let Some(load) = found.load_before.filter(|&load| load > BUSY) {
        say(&format!("the machine is busy (load {load:.1}): expect numbers that cannot be quoted"));
    }
    for round in 1..=args.n_rounds() {
        for point in &mut found.points {
            measure(point, n_threads, args.turn_s())?;
            say(&format!(
                "round {round}, {}: train step {:.2} ms, peak {:.0} MB",
                point.case.name,
                1e3 * point.median_s(Work::Train),
                1e-6 * point.peak_memory()
            ));
        }
        found.n_rounds = round;
        write(&found, &out)?;
    }
    say(&format!("\n{}", scaling_markdown(&found)));
    say(&format!("written: {}, and beside it .md and .svg", out.display()));
    Ok(())
}

fn write(found: &Scaling, out: &Path) -> Result<(), BenchFailure> {
    write_json(found, out)?;
    write_file(&out.with_extension("md"), scaling_markdown(found).as_bytes())?;
    if let Some(figure) = scaling_figure(found) {
        write_file(&out.with_extension("svg"), figure.as_bytes())?;
    }
    Ok(())
}

/// Adds the measurements of one process to `point`.
fn measure(point: &mut ScalePoint, n_threads: usize, turn_s: f64) -> Result<(), BenchFailure> {
    let program = std::env::current_exe()
        .map_err(|source| BenchFailure::Start { program: "cargo xtask".into(), source })?;
    let mut side = Side::start(&point.case.name, Command::new(program).args(["bench", "--serve"]))?;
    let open = Request::Draw { case: point.case.clone(), seed: SEED, n_threads };
    match side.ask(&open)? {
        Answer::Opened { .. } => {}
        other => return Err(side.unexpected(&open, &other)),
    }
    let (times, page_faults) = timed(&mut side, Work::Train, turn_s)?;
    point.train_s.extend(times);
    point.page_faults = point.page_faults.map_or(page_faults, |sum| page_faults.map(|faults| sum + faults));
    match side.ask(&Request::Memory)? {
        Answer::Memory { peak_bytes, .. } => point.peak_bytes.extend(peak_bytes),
        other => return Err(side.unexpected(&Request::Memory, &other)),
    }
    match side.ask(&Request::Kept)? {
        Answer::Kept { n_parameters, bytes } => {
            point.n_parameters = n_parameters;
            point.kept_bytes = bytes;
        }
        other => return Err(side.unexpected(&Request::Kept, &other)),
    }
    let (times, _) = timed(&mut side, Work::Forward, turn_s / 2.0)?;
    point.forward_s.extend(times);
    let product = Request::Product { n: N_PRODUCTS };
    match side.ask(&product)? {
        Answer::Product { gflops } => point.product_gflops.push(gflops),
        other => return Err(side.unexpected(&product, &other)),
    }
    Ok(())
}

fn timed(side: &mut Side, work: Work, turn_s: f64) -> Result<(Vec<f64>, Option<u64>), BenchFailure> {
    let warm_up = Request::WarmUp { work };
    let last_s = match side.ask(&warm_up)? {
        Answer::Warm { last_s, .. } => last_s,
        other => return Err(side.unexpected(&warm_up, &other)),
    };
    let run = Request::Run { work, n: per_turn(turn_s, last_s).max(MIN_REPEATS) };
    match side.ask(&run)? {
        Answer::Times { times_s, page_faults } => Ok((times_s, page_faults)),
        other => Err(side.unexpected(&run, &other)),
    }
}
