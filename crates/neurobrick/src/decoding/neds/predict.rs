//! What a model says of behavior from all spikes, and of spikes from all behavior.

use burn::module::Module;
use burn::tensor::Tensor;
use ndarray::{Array1, Array2, Array3, Axis};
use neurobrick_core::Mode;
use neurobrick_models::{Neds, NedsInput, NedsMask, NedsModalities, NedsOutput};
use neurobrick_train::{TrainError, device_of, run_jobs, threads_on, to_array};

use super::NedsSession;

/// Windows per forward pass without gradients.
const CHUNK: usize = 32;

/// Labels and behaviors of some trials of a session.
pub(crate) struct NedsDecoded {
    /// Likeliest class of every label from spikes alone, `[trial, L]`.
    pub(crate) classes: Array2<usize>,
    /// Standardized behaviors from spikes alone, `[trial, bin, K]`.
    pub(crate) behaviors: Array3<f64>,
}

/// Predicts spikes of trials of a session from behavior, all of them hidden, `[trial, bin, unit]`.
///
/// # Errors
/// If the model does not know the session.
pub(crate) fn encode(
    model: &Neds,
    session: &NedsSession,
    trials: &[usize],
    n_threads: usize,
) -> Result<Array3<f64>, TrainError> {
    let rates = answered(model, (session, trials), n_threads, NedsMask::encoding, |output| {
        Ok(to_array(output.log_rates)?.mapv_into(f64::exp))
    })?;
    joined(rates.iter().map(|part| part.view()))
}

/// Predicts labels and behaviors of trials of a session from spikes, all of them hidden.
///
/// # Errors
/// If the model does not know the session.
pub(crate) fn decode(
    model: &Neds,
    session: &NedsSession,
    trials: &[usize],
    n_threads: usize,
) -> Result<NedsDecoded, TrainError> {
    let parts = answered(model, (session, trials), n_threads, NedsMask::decoding, |output| {
        let n_windows = output.behaviors.dims()[0];
        let mut classes = Array2::zeros((n_windows, output.logits.len()));
        for (number, logits) in output.logits.into_iter().enumerate() {
            classes.column_mut(number).assign(&Array1::from(likeliest(logits)));
        }
        Ok(NedsDecoded { classes, behaviors: to_array(output.behaviors)? })
    })?;
    Ok(NedsDecoded {
        classes: joined(parts.iter().map(|part| part.classes.view()))?,
        behaviors: joined(parts.iter().map(|part| part.behaviors.view()))?,
    })
}

/// What is read from the answers to chunks of trials, of which `mask` hides the same modalities.
fn answered<A: Send>(
    model: &Neds,
    (session, trials): (&NedsSession, &[usize]),
    n_threads: usize,
    mask: fn(&NedsModalities, [usize; 2]) -> NedsMask,
    read: impl Fn(NedsOutput) -> Result<A, TrainError> + Sync,
) -> Result<Vec<A>, TrainError> {
    let own = model.for_session(session.id())?.valid();
    let device = device_of(&own)?;
    let chunks: Vec<&[usize]> = trials.chunks(CHUNK).collect();
    let job = |model: &Neds, i: usize| {
        let part = session.part(chunks[i]);
        let windows = part.windows(session.id(), 0..chunks[i].len());
        let shape = [chunks[i].len(), part.counts.len_of(Axis(1))];
        let mask = mask(model.modalities(), shape);
        let input = NedsInput::new(&windows, model.modalities(), &mask, &device)?;
        read(model.forward(&input, Mode::Eval)?)
    };
    run_jobs(chunks.len(), threads_on(&device, n_threads), &own, job, |_| {})
}

/// The first of the largest values of every row.
fn likeliest(logits: Tensor<2>) -> Vec<usize> {
    let n_classes = logits.dims()[1];
    let values: Vec<f64> = logits.into_data().iter::<f64>().collect();
    let best = |row: &[f64]| (0..n_classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
    values.chunks(n_classes).map(best).collect()
}

fn joined<'a, A: Clone + 'a, D: ndarray::RemoveAxis>(
    parts: impl Iterator<Item = ndarray::ArrayView<'a, A, D>>,
) -> Result<ndarray::Array<A, D>, TrainError> {
    let parts: Vec<_> = parts.collect();
    ndarray::concatenate(Axis(0), &parts).map_err(|e| TrainError::Worker { reason: e.to_string() })
}
