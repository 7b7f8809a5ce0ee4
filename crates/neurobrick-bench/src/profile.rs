//! Where the time of a train step goes.

use std::fmt::Write as _;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use ndarray::{ArrayView3, Axis, Slice};
use neurobrick_core::{DropoutStreams, MaskScheme, Masking, Mode, ModelInput, PopulationModel};
use neurobrick_data::RegionTable;
use neurobrick_models::NdtStitch;
use neurobrick_nn::poisson_nll_sum;
use neurobrick_train::{Gradients, TrainError, loss_targets};
use serde::{Deserialize, Serialize};

use crate::{BenchCase, BenchError, Engine, Work, median};

/// Seconds of the parts of one train step. On several threads the parts of shards are those of the thread that took
/// longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTimes {
    /// Drawing masks and cutting the batch out of the session.
    pub draw_s: f64,
    /// Hiding counts and moving inputs and targets to the device.
    pub input_s: f64,
    /// Log rates and loss, with the graph for the gradient.
    pub forward_s: f64,
    /// The gradient, and collecting it by parameter.
    pub backward_s: f64,
    /// Adding the gradients of the shards.
    pub reduce_s: f64,
    /// Global norm and scaling.
    pub clip_s: f64,
    /// AdamW.
    pub optimizer_s: f64,
    /// The same step undivided, by the calls the trainer makes.
    pub whole_s: f64,
}

impl StepTimes {
    /// Parts by name, in the order they happen; the last is what the whole step takes beyond them, and negative if
    /// the parts took longer by themselves.
    pub fn parts(&self) -> [(&'static str, f64); 8] {
        let parts = [
            ("masks and batch", self.draw_s),
            ("input", self.input_s),
            ("forward", self.forward_s),
            ("backward", self.backward_s),
            ("sum over shards", self.reduce_s),
            ("clipping", self.clip_s),
            ("AdamW", self.optimizer_s),
        ];
        let rest = self.whole_s - parts.iter().map(|p| p.1).sum::<f64>();
        let [a, b, c, d, e, f, g] = parts;
        [a, b, c, d, e, f, g, ("rest", rest)]
    }

    /// The median of every part.
    fn median(steps: &[Self]) -> Self {
        let of =
            |part: fn(&Self) -> f64| median(&steps.iter().map(part).collect::<Vec<_>>()).unwrap_or(f64::NAN);
        Self {
            draw_s: of(|s| s.draw_s),
            input_s: of(|s| s.input_s),
            forward_s: of(|s| s.forward_s),
            backward_s: of(|s| s.backward_s),
            reduce_s: of(|s| s.reduce_s),
            clip_s: of(|s| s.clip_s),
            optimizer_s: of(|s| s.optimizer_s),
            whole_s: of(|s| s.whole_s),
        }
    }
}

/// Medians of the parts over `n_repeats` train steps of `case`.
///
/// The undivided step is timed in turn with a step made of the same public calls one by one; neither is changed for
/// the measurement.
///
/// # Errors
/// If the case is invalid or threads cannot be started.
pub fn profile(
    case: &BenchCase,
    n_threads: usize,
    n_repeats: usize,
    seed: u64,
) -> Result<StepTimes, BenchError> {
    let mut engine = Engine::of_case(case, seed, n_threads)?;
    engine.run(Work::Train, 2)?;
    let mut steps = Vec::with_capacity(n_repeats);
    for _ in 0..n_repeats {
        let mut times = engine.wide_install(step_in_parts)?;
        times.whole_s = times.draw_s + engine.run(Work::Train, 1)?.iter().sum::<f64>();
        steps.push(times);
    }
    Ok(StepTimes::median(&steps))
}

fn seconds<T>(into: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *into += start.elapsed().as_secs_f64();
    result
}

/// What one thread did: times, and gradients with the first trial of their shard.
type OfThread = (StepTimes, Vec<(usize, Gradients)>);

fn step_in_parts(engine: &mut Engine) -> Result<StepTimes, BenchError> {
    let mut times = StepTimes::default();
    let (b, t, n) = engine.counts.dim();
    seconds(&mut times.draw_s, || {
        let regions = RegionTable::new(&vec!["all"; n]);
        let masking = MaskScheme::Neuron { ratio: 0.3 }.draw(b, t, &regions, 1, [engine.step, 0]);
        let trials: Vec<usize> = (0..b).collect();
        std::hint::black_box((masking, engine.counts.select(Axis(0), &trials)));
    });
    let size = b.div_ceil(engine.n_shards()).max(1);
    let starts: Vec<usize> = (0..b).step_by(size).collect();
    let n_pools = engine.pools.len();
    let mut work: Vec<(NdtStitch, Vec<usize>)> = (0..n_pools)
        .map(|p| (engine.model.clone(), starts.iter().copied().skip(p).step_by(n_pools).collect()))
        .collect();
    work.retain(|(_, starts)| !starts.is_empty());
    let (counts, masking, session, step) =
        (&engine.counts, &engine.masking, engine.session_of(engine.step), engine.step);
    let results: Vec<Result<OfThread, BenchError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = work
            .into_iter()
            .zip(&engine.pools)
            .map(|((model, starts), pool)| {
                let run = move || {
                    let mut times = StepTimes::default();
                    let mut gradients = Vec::new();
                    for start in starts {
                        let end = (start + size).min(b);
                        let part = counts.slice_axis(Axis(0), Slice::from(start..end));
                        let input = |device: &Device| {
                            let masking = masking.trials(start..end);
                            (ModelInput::new(session, part, &masking, device), masking)
                        };
                        let streams = DropoutStreams::new(7, step, start as u64);
                        let own = shard(&model, part, input, &streams, &mut times)?;
                        gradients.push((start, own));
                    }
                    Ok((times, gradients))
                };
                scope.spawn(move || pool.install(run))
            })
            .collect();
        let lost =
            || BenchError::from(TrainError::Worker { reason: "a thread of the profile died".to_owned() });
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(lost()))).collect()
    });
    let mut gradients = Vec::new();
    let mut slowest = 0.0;
    for result in results {
        let (own, of_thread) = result?;
        gradients.extend(of_thread);
        let sum = own.input_s + own.forward_s + own.backward_s;
        if sum > slowest {
            slowest = sum;
            times = StepTimes { draw_s: times.draw_s, ..own };
        }
    }
    gradients.sort_by_key(|(start, _)| *start);
    let total = seconds(&mut times.reduce_s, || gradients.into_iter().map(|g| g.1).reduce(Gradients::plus));
    let empty = || TrainError::Worker { reason: "an empty batch has no gradient".to_owned() };
    let mut total = total.ok_or_else(empty)?;
    seconds(&mut times.clip_s, || total.clip(engine.max_grad_norm));
    let model = std::mem::replace(&mut engine.model, engine.start.clone());
    engine.model = seconds(&mut times.optimizer_s, || engine.optimizer.step(model, total, engine.rates));
    engine.step += 1;
    Ok(times)
}

/// What training does with one shard, in its order.
fn shard(
    model: &NdtStitch,
    counts: ArrayView3<u16>,
    input: impl Fn(&Device) -> (ModelInput, Masking),
    streams: &DropoutStreams,
    times: &mut StepTimes,
) -> Result<Gradients, BenchError> {
    let device = Device::flex().autodiff();
    let (model, input, targets, counted) = seconds(&mut times.input_s, || {
        let (input, masking) = input(&device);
        let [targets, counted] = loss_targets(counts, &masking, &device);
        (model.valid().train(), input, targets, counted)
    });
    let loss = seconds(&mut times.forward_s, || {
        let output = model.forward(&input, Mode::Train(streams))?;
        Ok::<_, BenchError>(poisson_nll_sum(output.log_rates, targets, counted))
    })?;
    Ok(seconds(&mut times.backward_s, || Gradients::collect(&model, loss.backward())))
}

/// A Markdown table with a column for every number of threads.
pub fn profile_table(case: &BenchCase, columns: &[(usize, StepTimes)]) -> String {
    let mut table = format!("### {}\n\n| part |", case.describe());
    for (n_threads, _) in columns {
        let _ = write!(table, " threads: {n_threads}, ms | share |");
    }
    let _ = writeln!(table, "\n|---|{}", "---:|---:|".repeat(columns.len()));
    let rows = columns.first().map_or(0, |(_, times)| times.parts().len());
    for row in 0..rows {
        let _ = write!(table, "| {} |", columns[0].1.parts()[row].0);
        for (_, times) in columns {
            let part = times.parts()[row].1;
            let _ = write!(table, " {:.2} | {:.0} % |", 1e3 * part, 100.0 * part / times.whole_s);
        }
        table.push('\n');
    }
    table.push_str("| whole step |");
    for (_, times) in columns {
        let _ = write!(table, " {:.2} | |", 1e3 * times.whole_s);
    }
    table.push('\n');
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use neurobrick_models::NdtStitchConfig;

    use super::*;

    #[test]
    fn parts_and_rest_make_up_the_whole() {
        let model =
            NdtStitchConfig { d_stitch: 8, d_embed: 8, d_model: 8, n_layers: 1, ..NdtStitchConfig::small(6) };
        let case = BenchCase { name: "tiny".to_owned(), model, n_units: 5, batch_size: 5, n_sessions: 1 };
        for n_threads in [1, 2, 3] {
            let times = profile(&case, n_threads, 3, 1).unwrap();
            let parts = times.parts();
            assert!(parts[..7].iter().all(|(_, s)| *s > 0.0), "a part took no time: {times:?}");
            assert!((parts.iter().map(|p| p.1).sum::<f64>() - times.whole_s).abs() < 1e-9);
            let table = profile_table(&case, &[(n_threads, times)]);
            assert_eq!(table.matches("\n| ").count(), 10, "{table}");
        }
    }

    /// The step in parts is a train step: it moves the weights as the undivided one does.
    #[test]
    fn the_step_in_parts_is_the_step() {
        let case = BenchCase { batch_size: 4, n_units: 7, ..BenchCase::all().remove(1) };
        let mut whole = Engine::of_case(&case, 5, 2).unwrap();
        let mut parts = Engine::of_case(&case, 5, 2).unwrap();
        let before = whole.eval_loss().unwrap();
        whole.run(Work::Train, 1).unwrap();
        parts.wide_install(step_in_parts).unwrap();
        let (whole, parts) = (whole.eval_loss().unwrap(), parts.eval_loss().unwrap());
        assert!(before > whole, "{before} {whole}");
        assert!((whole / parts - 1.0).abs() < 1e-6, "{whole} {parts}");
    }
}
