//! Taking turns: every side does the same work in the same minute, so that what disturbs the machine disturbs all.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use neurobrick_bench::{Answer, CaseResult, PeerCase, Request, SideUse, Work, WorkResult, same_loss};

use super::environment::PeerEnvironment;
use super::side::Side;
use super::{BenchFailure, SEED};
use crate::screen::say;

/// Our name in tables.
const OURS: &str = "neurobrick";
/// Before every turn: threads of the side before spin for a few milliseconds after their last work.
const PAUSE: Duration = Duration::from_millis(50);
/// Most repeats in a turn.
const MAX_PER_TURN: usize = 200;
/// Products in a turn.
const N_PRODUCTS: usize = 40;

/// How much to measure.
pub(super) struct Plan {
    pub(super) n_threads: usize,
    /// Turns of every side at every work.
    pub(super) n_repeats: usize,
    /// Seconds that the slowest side's turn should take; a turn has at least one repeat.
    pub(super) turn_s: f64,
}

/// Measures one case. Peers that fail are left out, with the reason in `missing`.
pub(super) fn measure(
    case: &PeerCase,
    plan: &Plan,
    environment: &PeerEnvironment,
    missing: &mut Vec<String>,
) -> Result<CaseResult, BenchFailure> {
    let material = environment.folder.join(format!("{}.safetensors", case.name()));
    case.prepare(SEED, &material)?;
    let program = std::env::current_exe()
        .map_err(|source| BenchFailure::Start { program: "cargo xtask".into(), source })?;
    let mut ours = Command::new(program);
    let ours = Measured::open(OURS, ours.args(["bench", "--serve"]), case, plan, &material, false)?;
    let reference = ours.used.eval_loss;
    let mut sides = vec![ours];
    for (name, compiled) in [("PyTorch eager", false), ("torch.compile", true)] {
        let mut command = Command::new(&environment.python);
        match Measured::open(name, command.arg(&environment.program), case, plan, &material, compiled) {
            Ok(side) if same_loss(reference, side.used.eval_loss) => sides.push(side),
            Ok(side) => missing.push(format!(
                "{name} at {}: its loss {} is not ours, {reference}, so it is not the same model",
                case.name(),
                side.used.eval_loss
            )),
            Err(failure) => missing.push(format!("{name} at {}: {}", case.name(), one_line(&failure))),
        }
    }
    let mut works = Vec::new();
    for &work in case.works() {
        works.push(take_turns(case, plan, work, &mut sides, missing)?);
    }
    let sides = sides.into_iter().map(|s| s.used).collect();
    Ok(CaseResult { name: case.name().to_owned(), title: case.describe(), sides, works })
}

fn take_turns(
    case: &PeerCase,
    plan: &Plan,
    work: Work,
    sides: &mut Vec<Measured>,
    missing: &mut Vec<String>,
) -> Result<WorkResult, BenchFailure> {
    let mut result = WorkResult::new(work, case.flops(work));
    let mut slowest_s: f64 = 0.0;
    each(sides, missing, case, |side| {
        slowest_s = slowest_s.max(side.warm_up(work)?);
        Ok(())
    })?;
    let n = per_turn(plan.turn_s, slowest_s);
    say(&format!("  {}: {} turns of {n}", work.label(), plan.n_repeats));
    for _ in 0..plan.n_repeats {
        each(sides, missing, case, |side| {
            thread::sleep(PAUSE);
            if work != Work::Train && case.flops(work).is_some() {
                // The products come with the other works: they must not count as memory of train steps.
                side.product()?;
            }
            side.run(work, n, &mut result)
        })?;
    }
    if work == Work::Train {
        each(sides, missing, case, Measured::remember_memory)?;
    }
    Ok(result)
}

/// Does `turn` with every side. A peer that fails is left out from then on; if we fail, all is over.
fn each(
    sides: &mut Vec<Measured>,
    missing: &mut Vec<String>,
    case: &PeerCase,
    mut turn: impl FnMut(&mut Measured) -> Result<(), BenchFailure>,
) -> Result<(), BenchFailure> {
    let mut at = 0;
    while at < sides.len() {
        match turn(&mut sides[at]) {
            Ok(()) => at += 1,
            Err(failure) if at == 0 => return Err(failure),
            Err(failure) => {
                missing.push(format!("the rest of {}: {}", case.name(), one_line(&failure)));
                sides.remove(at);
            }
        }
    }
    Ok(())
}

fn one_line(failure: &BenchFailure) -> String {
    failure.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Repeats in a turn of `turn_s` seconds when the slowest side needs `slowest_s` for one.
pub(super) fn per_turn(turn_s: f64, slowest_s: f64) -> usize {
    let fits = |n: &usize| *n as f64 * slowest_s <= turn_s;
    (1..=MAX_PER_TURN).take_while(fits).last().unwrap_or(1)
}

/// A side with what is known of it.
struct Measured {
    side: Side,
    used: SideUse,
}

impl Measured {
    /// Starts a side, gives it the case, and asks for its loss.
    fn open(
        name: &str,
        command: &mut Command,
        case: &PeerCase,
        plan: &Plan,
        material: &Path,
        compiled: bool,
    ) -> Result<Self, BenchFailure> {
        let mut side = Side::start(name, command)?;
        let open = case.open(SEED, material.to_owned(), plan.n_threads, compiled);
        let version = match side.ask(&open)? {
            Answer::Opened { version } => version,
            other => return Err(side.unexpected(&open, &other)),
        };
        let eval_loss = match side.ask(&Request::EvalLoss)? {
            Answer::Loss { loss } => loss,
            other => return Err(side.unexpected(&Request::EvalLoss, &other)),
        };
        let used = SideUse {
            side: name.to_owned(),
            version,
            note: String::new(),
            eval_loss,
            product_gflops: Vec::new(),
            start_bytes: None,
            peak_bytes: None,
        };
        Ok(Self { side, used })
    }

    /// Seconds of the last repeat before the timed ones.
    fn warm_up(&mut self, work: Work) -> Result<f64, BenchFailure> {
        let request = Request::WarmUp { work };
        match self.side.ask(&request)? {
            Answer::Warm { last_s, note } => {
                if !note.is_empty() {
                    self.used.note = note;
                }
                Ok(last_s)
            }
            other => Err(self.side.unexpected(&request, &other)),
        }
    }

    fn run(&mut self, work: Work, n: usize, result: &mut WorkResult) -> Result<(), BenchFailure> {
        let request = Request::Run { work, n };
        match self.side.ask(&request)? {
            Answer::Times { times_s, page_faults } => {
                result.side_mut(self.side.name()).push(&times_s, page_faults);
                Ok(())
            }
            other => Err(self.side.unexpected(&request, &other)),
        }
    }

    fn product(&mut self) -> Result<(), BenchFailure> {
        let request = Request::Product { n: N_PRODUCTS };
        match self.side.ask(&request)? {
            Answer::Product { gflops } => {
                self.used.product_gflops.push(gflops);
                Ok(())
            }
            other => Err(self.side.unexpected(&request, &other)),
        }
    }

    fn remember_memory(&mut self) -> Result<(), BenchFailure> {
        match self.side.ask(&Request::Memory)? {
            Answer::Memory { start_bytes, peak_bytes } => {
                self.used.start_bytes = start_bytes;
                self.used.peak_bytes = peak_bytes;
                Ok(())
            }
            other => Err(self.side.unexpected(&Request::Memory, &other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_has_at_least_one_repeat_and_not_too_many() {
        for (turn_s, slowest_s, expected) in
            [(1.0, 0.3, 3), (1.0, 4.0, 1), (1.0, 0.5, 2), (1.0, 1e-6, MAX_PER_TURN)]
        {
            assert_eq!(per_turn(turn_s, slowest_s), expected, "{turn_s} {slowest_s}");
        }
    }
}
