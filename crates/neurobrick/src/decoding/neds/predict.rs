//! What a model says of behavior from all spikes, and of spikes from all behavior.

use burn::module::Module;
use burn::tensor::Tensor;
use ndarray::{Array2, Array3, Axis};
use neurobrick_core::Mode;
use neurobrick_models::{Neds, NedsInput, NedsMask};
use neurobrick_train::{TrainError, run_jobs, threads_on};

use super::NedsSession;

/// Windows per forward pass without gradients.
const CHUNK: usize = 32;

/// Answers for some trials of a session.
pub(crate) struct NedsAnswers {
    /// Spikes per bin from labels and behaviors alone, `[trial, bin, unit]`.
    pub(crate) rates: Array3<f64>,
    /// Likeliest class of every label from spikes alone, `[trial, L]`.
    pub(crate) classes: Array2<usize>,
    /// Standardized behaviors from spikes alone, `[trial, bin, K]`.
    pub(crate) behaviors: Array3<f64>,
}

/// Encodes and decodes trials of a session, in two passes of which each hides what it predicts.
///
/// # Errors
/// If the model does not know the session.
pub(crate) fn predict(
    model: &Neds,
    session: &NedsSession,
    trials: &[usize],
    n_threads: usize,
) -> Result<NedsAnswers, TrainError> {
    let own = model.for_session(session.id())?.valid();
    let device = own.devices().first().cloned().ok_or(TrainError::NoDevice)?;
    let chunks: Vec<&[usize]> = trials.chunks(CHUNK).collect();
    let job = |model: &Neds, i: usize| {
        let part = session.part(chunks[i]);
        let windows = part.windows(session.id(), 0..chunks[i].len());
        let modalities = model.modalities();
        let shape = [chunks[i].len(), part.counts.len_of(Axis(1))];
        let answer = |mask: NedsMask| {
            let input = NedsInput::new(&windows, modalities, &mask, &device)?;
            model.forward(&input, Mode::Eval)
        };
        let encoded = answer(NedsMask::encoding(modalities, shape))?;
        let decoded = answer(NedsMask::decoding(modalities, shape))?;
        let mut classes = Array2::zeros((shape[0], decoded.logits.len()));
        for (number, logits) in decoded.logits.into_iter().enumerate() {
            classes.column_mut(number).assign(&ndarray::Array1::from(likeliest(logits)));
        }
        let rates = to_array(encoded.log_rates)?.mapv_into(f64::exp);
        Ok(NedsAnswers { rates, classes, behaviors: to_array(decoded.behaviors)? })
    };
    let parts = run_jobs(chunks.len(), threads_on(&device, n_threads), &own, job, |_| {})?;
    Ok(NedsAnswers {
        rates: joined(parts.iter().map(|part| part.rates.view()))?,
        classes: joined(parts.iter().map(|part| part.classes.view()))?,
        behaviors: joined(parts.iter().map(|part| part.behaviors.view()))?,
    })
}

/// The first of the largest values of every row.
fn likeliest(logits: Tensor<2>) -> Vec<usize> {
    let n_classes = logits.dims()[1];
    let values: Vec<f64> = logits.into_data().iter::<f64>().collect();
    let best = |row: &[f64]| (0..n_classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
    values.chunks(n_classes).map(best).collect()
}

fn to_array(tensor: Tensor<3>) -> Result<Array3<f64>, TrainError> {
    let shape = tensor.dims();
    let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    Array3::from_shape_vec(shape, values).map_err(|e| TrainError::Worker { reason: e.to_string() })
}

fn joined<'a, A: Clone + 'a, D: ndarray::RemoveAxis>(
    parts: impl Iterator<Item = ndarray::ArrayView<'a, A, D>>,
) -> Result<ndarray::Array<A, D>, TrainError> {
    let parts: Vec<_> = parts.collect();
    ndarray::concatenate(Axis(0), &parts).map_err(|e| TrainError::Worker { reason: e.to_string() })
}
