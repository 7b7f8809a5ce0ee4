//! One batch, cut into shards: forward and backward on several cores, gradients added in order.

use burn::tensor::{DType, Device, Tensor, TensorData};
use ndarray::{ArrayView3, Axis, Slice};
use neurobrick_core::{DropoutStreams, Masking, Mode, ModelInput, PopulationModel};
use neurobrick_nn::poisson_nll_sum;
use neurobrick_schema::SessionId;

use crate::gradients::WholePaths;
use crate::workers::device_of;
use crate::{Gradients, TrainError};

/// Summed masked Poisson loss (nats) of a batch and its gradients.
///
/// `model` lives on a device without autodiff; every shard gets leaves of its own, since clones that share leaves
/// share one graph and one lock. `dropout` is `(seed, step)`, or `None` for a loss without dropout. Shards run on
/// `pools` and are added in order, so the bits do not depend on the number of pools.
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
    let part = model.for_session(session)?;
    let paths = WholePaths::new(&part, model);
    let n_trials = counts.len_of(Axis(0));
    let size = n_trials.div_ceil(n_shards.max(1)).max(1);
    let starts: Vec<usize> = (0..n_trials).step_by(size).collect();
    let run = |own: M, start: usize| {
        let end = (start + size).min(n_trials);
        let counts = counts.slice_axis(Axis(0), Slice::from(start..end));
        shard(own, session, counts, &masking.trials(start..end), dropout, start as u64)
    };
    let results = if pools.len() < 2 || starts.len() < 2 {
        let own: Vec<M> = starts.iter().map(|_| part.clone()).collect();
        let all = || own.into_iter().zip(&starts).map(|(own, &start)| run(own, start)).collect::<Vec<_>>();
        match pools.first() {
            Some(pool) => pool.install(all),
            None => all(),
        }
    } else {
        on_pools(&part, &starts, pools, &run)?
    };
    let mut total: Option<(f64, Gradients)> = None;
    for result in results {
        let (loss, gradients) = result?;
        total = Some(match total {
            None => (loss, gradients),
            Some((sum, earlier)) => (sum + loss, earlier.plus(gradients)),
        });
    }
    let (loss, gradients) =
        total.ok_or_else(|| TrainError::Worker { reason: "an empty batch has no loss".to_owned() })?;
    Ok((loss, gradients.of_whole(&paths)))
}

type ShardResult = Result<(f64, Gradients), TrainError>;

/// Shards dealt round to the pools; results by shard.
fn on_pools<M: PopulationModel>(
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
    masking: &Masking,
    dropout: Option<(u64, u64)>,
    first_example: u64,
) -> ShardResult {
    let model = model.valid().train();
    let device = device_of(&model)?.autodiff();
    let input = ModelInput::new(session, counts, masking, &device);
    let streams = dropout.map(|(seed, step)| DropoutStreams::new(seed, step, first_example));
    let mode = streams.as_ref().map_or(Mode::Eval, Mode::Train);
    let output = model.forward(&input, mode)?;
    let [targets, counted] = loss_targets(counts, masking, &device);
    let loss = poisson_nll_sum(output.log_rates, targets, counted);
    let value = loss.clone().inner().cast(DType::F64).into_scalar::<f64>();
    let backward = loss.backward();
    Ok((value, Gradients::collect(&model, backward)))
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
