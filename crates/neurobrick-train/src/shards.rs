//! One batch, cut into shards: forward and backward on several cores, gradients added in order.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{ArrayView3, Axis, Slice};
use neurobrick_core::{DropoutStreams, Masking, Mode, ModelInput, Penalty, PopulationModel};
use neurobrick_nn::{poisson_nll_sum, scalar};
use neurobrick_schema::SessionId;

use crate::gradients::WholePaths;
use crate::workers::device_of;
use crate::{Gradients, PenaltyFactors, TrainError};

/// What a batch costs, in nats, summed over its trials.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchLoss {
    /// Masked Poisson loss, up to the constant of the counts.
    pub likelihood: f64,
    /// What the model adds: divergences and the size of weights, after their ramps.
    pub penalty: f64,
}

impl BatchLoss {
    /// What is minimized.
    pub fn total(self) -> f64 {
        self.likelihood + self.penalty
    }
}

/// [`objective_and_gradients`] with penalties in full: the total and its gradients.
///
/// # Errors
/// If the model refuses its input.
pub fn loss_and_gradients<M: PopulationModel>(
    model: &M,
    session: &SessionId,
    counts: ArrayView3<u16>,
    masking: &Masking,
    dropout: Option<(u64, u64)>,
    n_shards: usize,
    pools: &[rayon::ThreadPool],
) -> Result<(f64, Gradients), TrainError> {
    let objective = Objective { masking, dropout, penalties: PenaltyFactors::default() };
    let (loss, gradients) = objective_and_gradients(model, session, counts, objective, n_shards, pools)?;
    Ok((loss.total(), gradients))
}

/// What a batch is scored by.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'a> {
    /// What is hidden and what is counted.
    pub masking: &'a Masking,
    /// `(seed, step)` of dropout and posterior noise, or `None` for a loss without either.
    pub dropout: Option<(u64, u64)>,
    /// What the model's penalties are multiplied with.
    pub penalties: PenaltyFactors,
}

/// Summed masked Poisson loss (nats) of a batch with the model's penalties, and the gradients of their sum.
///
/// `model` lives on a device without autodiff; every shard gets leaves of its own, since clones that share leaves
/// share one graph and one lock. Shards run on
/// `pools` and are added in order, so the bits do not depend on the number of pools.
///
/// # Errors
/// If the model refuses its input.
pub fn objective_and_gradients<M: PopulationModel>(
    model: &M,
    session: &SessionId,
    counts: ArrayView3<u16>,
    objective: Objective<'_>,
    n_shards: usize,
    pools: &[rayon::ThreadPool],
) -> Result<(BatchLoss, Gradients), TrainError> {
    let part = model.for_session(session)?;
    let n_trials = counts.len_of(Axis(0));
    sharded_gradients((&part, model), n_trials, n_shards, pools, |own, trials| {
        let first = trials.start as u64;
        let masking = objective.masking.trials(trials.clone());
        let counts = counts.slice_axis(Axis(0), Slice::from(trials));
        shard(own, session, counts, Objective { masking: &masking, ..objective }, first)
    })
}

/// Loss and gradients of a batch of `n_examples` that is cut into shards: `run` gets a clone of `part` and the examples of one
/// shard. Gradients of `part`, whose parameters are parameters of `whole`, come back by the paths of `whole`.
///
/// Shards run on `pools` and are added in order, so the bits do not depend on the number of pools.
///
/// # Errors
/// The first error of a shard, or if there is no example.
pub fn sharded_gradients<M: Module>(
    (part, whole): (&M, &M),
    n_examples: usize,
    n_shards: usize,
    pools: &[rayon::ThreadPool],
    run: impl Fn(M, Range<usize>) -> ShardResult + Sync,
) -> ShardResult {
    let paths = WholePaths::new(part, whole);
    let size = n_examples.div_ceil(n_shards.max(1)).max(1);
    let starts: Vec<usize> = (0..n_examples).step_by(size).collect();
    let run = |own: M, start: usize| run(own, start..(start + size).min(n_examples));
    let results = if pools.len() < 2 || starts.len() < 2 {
        let own: Vec<M> = starts.iter().map(|_| part.clone()).collect();
        let all = || own.into_iter().zip(&starts).map(|(own, &start)| run(own, start)).collect::<Vec<_>>();
        match pools.first() {
            Some(pool) => pool.install(all),
            None => all(),
        }
    } else {
        on_pools(part, &starts, pools, &run)?
    };
    let mut total: Option<(BatchLoss, Gradients)> = None;
    for result in results {
        let (loss, gradients) = result?;
        total = Some(match total {
            None => (loss, gradients),
            Some((sum, earlier)) => {
                let likelihood = sum.likelihood + loss.likelihood;
                let penalty = sum.penalty + loss.penalty;
                (BatchLoss { likelihood, penalty }, earlier.plus(gradients))
            }
        });
    }
    let (loss, gradients) =
        total.ok_or_else(|| TrainError::Worker { reason: "an empty batch has no loss".to_owned() })?;
    Ok((loss, gradients.of_whole(&paths)))
}

/// Loss and gradients of a shard or a batch.
pub type ShardResult = Result<(BatchLoss, Gradients), TrainError>;

/// Shards dealt round to the pools; results by shard.
fn on_pools<M: Module>(
    model: &M,
    starts: &[usize],
    pools: &[rayon::ThreadPool],
    run: &(impl Fn(M, usize) -> ShardResult + Sync),
) -> Result<Vec<ShardResult>, TrainError> {
    let mut slots: Vec<Option<ShardResult>> = starts.iter().map(|_| None).collect();
    let clones: Vec<M> = starts.iter().map(|_| model.clone()).collect();
    let mut work: Vec<Vec<(M, usize, &mut Option<ShardResult>)>> = pools.iter().map(|_| Vec::new()).collect();
    for (i, ((own, &start), slot)) in clones.into_iter().zip(starts).zip(&mut slots).enumerate() {
        work[i % pools.len()].push((own, start, slot));
    }
    std::thread::scope(|scope| {
        for (pool, mine) in pools.iter().zip(work) {
            scope.spawn(move || {
                pool.install(move || {
                    for (own, start, slot) in mine {
                        *slot = Some(run(own, start));
                    }
                });
            });
        }
    });
    slots
        .into_iter()
        .map(|s| s.ok_or_else(|| TrainError::Worker { reason: "a shard did not finish".to_owned() }))
        .collect()
}

fn shard<M: PopulationModel>(
    model: M,
    session: &SessionId,
    counts: ArrayView3<u16>,
    objective: Objective<'_>,
    first_example: u64,
) -> ShardResult {
    let Objective { masking, dropout, penalties } = objective;
    let model = model.valid().train();
    let device = device_of(&model)?.autodiff();
    let input = ModelInput::new(session, counts, masking, &device);
    let streams = dropout.map(|(seed, step)| DropoutStreams::new(seed, step, first_example));
    let mode = streams.as_ref().map_or(Mode::Eval, Mode::Train);
    let (output, penalty) = model.forward_penalized(&input, mode)?;
    let [targets, counted] = loss_targets(counts, masking, &device);
    let loss = poisson_nll_sum(output.log_rates, targets, counted);
    let value = |x: &Tensor<1>| scalar(x.clone().inner());
    let likelihood = value(&loss);
    let (loss, penalty) = match penalty {
        None => (loss, 0.0),
        Some(Penalty { divergence, weights }) => {
            let penalty = divergence * penalties.divergence + weights * penalties.weights;
            (loss + penalty.clone(), value(&penalty))
        }
    };
    let backward = loss.backward();
    Ok((BatchLoss { likelihood, penalty }, Gradients::collect(&model, backward)))
}

/// What [`poisson_nll_sum`] compares log rates with, `[B, T, N]` each: counts, and 1 where an entry counts.
pub fn loss_targets(counts: ArrayView3<u16>, masking: &Masking, device: &Device) -> [Tensor<3>; 2] {
    let counted = to_tensor(masking.counted().view(), |c| f32::from(u8::from(c)), device);
    [to_tensor(counts, f32::from, device), counted]
}

fn to_tensor<T: Copy>(values: ArrayView3<T>, to_float: impl Fn(T) -> f32, device: &Device) -> Tensor<3> {
    let (b, t, n) = values.dim();
    // Whole trials are one slice, which is several times faster to walk than an array of any layout.
    let floats: Vec<f32> = match values.as_slice() {
        Some(slice) => slice.iter().map(|&v| to_float(v)).collect(),
        None => values.iter().map(|&v| to_float(v)).collect(),
    };
    Tensor::from_data(TensorData::new(floats, [b, t, n]), device)
}
