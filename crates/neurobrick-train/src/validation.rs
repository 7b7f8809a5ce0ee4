//! Validation on masks that stay the same, so that scores of different steps can be compared.

use ndarray::{Array3, Axis, s};
use neurobrick_core::{MaskScheme, Mode, ModelInput, PopulationModel};
use serde::{Deserialize, Serialize};

use crate::{TrainError, TrainSession, run_jobs};

/// Trials per forward pass.
const CHUNK: usize = 32;
/// Keeps validation masks apart from training masks, which are addressed by step.
const VALIDATION: u64 = u64::MAX;

/// Score of one scheme over all validation trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeScore {
    /// Name of the scheme.
    pub scheme: String,
    /// Pooled bits per spike over the counted entries, against the mean rates of the training trials.
    pub bits_per_spike: f64,
    /// Spikes in the counted entries.
    pub n_spikes: u64,
}

/// Scores of all schemes at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// One entry a scheme.
    pub schemes: Vec<SchemeScore>,
    /// Mean of the schemes' bits per spike; what early stopping looks at.
    pub mean: f64,
}

/// Gain over the null (nats) and spikes of one scheme on one session.
#[derive(Clone, Copy, Default)]
struct Tally {
    gain: f64,
    spikes: f64,
}

/// Scores `model` on the validation trials of all sessions under every scheme.
///
/// Masks are functions of `(seed, draw)`; training passes one `draw` throughout (a new one each time when
/// `faithful`).
///
/// # Errors
/// If the model refuses its input.
pub fn validate<M: PopulationModel>(
    model: &M,
    sessions: &[TrainSession],
    schemes: &[MaskScheme],
    seed: u64,
    draw: u64,
    n_threads: usize,
) -> Result<ValidationReport, TrainError> {
    let job = |own: &M, i: usize| {
        let (session, scheme) = (&sessions[i / schemes.len()], &schemes[i % schemes.len()]);
        tally(own, session, scheme, seed, draw)
    };
    let tallies = run_jobs(sessions.len() * schemes.len(), n_threads, &model.valid(), job, |_| {})?;
    let scores: Vec<SchemeScore> = schemes
        .iter()
        .enumerate()
        .map(|(k, scheme)| {
            let mine = tallies.iter().skip(k).step_by(schemes.len());
            let (gain, spikes) = mine.fold((0.0, 0.0), |(g, s), t| (g + t.gain, s + t.spikes));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
            let n_spikes = spikes as u64;
            let bits_per_spike = if spikes > 0.0 { gain / spikes / std::f64::consts::LN_2 } else { f64::NAN };
            SchemeScore { scheme: scheme.name().to_owned(), bits_per_spike, n_spikes }
        })
        .collect();
    let finite: Vec<f64> = scores.iter().map(|s| s.bits_per_spike).filter(|b| b.is_finite()).collect();
    let mean = finite.iter().sum::<f64>() / finite.len() as f64;
    Ok(ValidationReport { schemes: scores, mean })
}

fn tally<M: PopulationModel>(
    model: &M,
    session: &TrainSession,
    scheme: &MaskScheme,
    seed: u64,
    draw: u64,
) -> Result<Tally, TrainError> {
    let data = &session.data;
    let trials = &session.split.valid;
    let device = model.devices().first().cloned().unwrap_or_else(burn::tensor::Device::flex);
    let scheme_tag = scheme.name().bytes().map(u64::from).sum::<u64>();
    let masking =
        scheme.draw(trials.len(), data.n_bins(), data.regions(), seed, [VALIDATION - scheme_tag, draw]);
    let mut total = Tally::default();
    for start in (0..trials.len()).step_by(CHUNK) {
        let end = (start + CHUNK).min(trials.len());
        let counts = data.counts().select(Axis(0), &trials[start..end]);
        let masking = masking.trials(start..end);
        let input = ModelInput::new(data.session(), counts.view(), &masking, &device);
        let log_rates = to_array(model.forward(&input, Mode::Eval)?.log_rates);
        for ((trial, bin, unit), &counted) in masking.counted().indexed_iter() {
            if counted {
                let y = f64::from(counts[[trial, bin, unit]]);
                let (model, null) = (log_rates[[trial, bin, unit]], session.log_mean_rates[unit]);
                total.gain += (y * model - model.exp()) - (y * null - null.exp());
                total.spikes += y;
            }
        }
    }
    Ok(total)
}

/// Reads a tensor back as `f64` `[B, T, N]`.
pub(crate) fn to_array(tensor: burn::tensor::Tensor<3>) -> Array3<f64> {
    let dims = tensor.dims();
    let mut array = Array3::zeros(dims);
    let data = tensor.into_data();
    for (slot, value) in array.slice_mut(s![.., .., ..]).iter_mut().zip(data.iter::<f64>()) {
        *slot = value;
    }
    array
}
