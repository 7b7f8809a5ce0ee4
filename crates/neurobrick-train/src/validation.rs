//! Validation on masks that stay the same, so that scores of different steps can be compared.

use ndarray::{Array3, Axis};
use neurobrick_core::{MaskScheme, Mode, ModelInput, PopulationModel};
use serde::{Deserialize, Serialize};

use crate::workers::{device_of, threads_on};
use crate::{TrainError, TrainSession, run_jobs};

/// Trials per forward pass.
const CHUNK: usize = 32;
/// Keeps validation masks apart from training masks, which are addressed by step.
const VALIDATION: u64 = u64::MAX;
/// Regions drawn for schemes that choose one.
const N_REGION_DRAWS: u64 = 4;

/// Score of one scheme over all validation trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeScore {
    /// Name of the scheme.
    pub scheme: String,
    /// Pooled bits per spike over the counted entries, against the mean rates of the training trials; `None` if
    /// there is no spike among them.
    pub bits_per_spike: Option<f64>,
    /// Spikes in the counted entries.
    pub n_spikes: u64,
}

/// Score of one target of behavior on the validation windows of one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BehaviorR2 {
    /// The session.
    pub session: String,
    /// Name of the target.
    pub target: String,
    /// R² about the mean of the validation windows; `None` if an answer is no number.
    pub r2: Option<f64>,
    /// Bins scored.
    pub n_values: u64,
}

/// Score of one label on the validation trials of one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelAccuracy {
    /// The session.
    pub session: String,
    /// Name of the label.
    pub label: String,
    /// Mean over its classes of the share decoded right; `None` if no validation trial has the label.
    pub balanced_accuracy: Option<f64>,
    /// Trials scored.
    pub n_trials: u64,
}

/// Scores at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// One entry a scheme, for models that predict spikes.
    pub schemes: Vec<SchemeScore>,
    /// One entry a session and target, for models that decode behavior.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behaviors: Vec<BehaviorR2>,
    /// One entry a session and label, for models that decode labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelAccuracy>,
    /// What early stopping looks at: the mean over the schemes that have spikes, or over sessions and targets; for models of
    /// both, the mean over sessions of each session's mean over bits per spike, labels and behaviors, of those that training
    /// asks for. Not finite if what the model answers is not.
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
        let (session, k) = (&sessions[i / schemes.len()], i % schemes.len());
        let mut total = Tally::default();
        for repeat in 0..n_draws(&schemes[k]) {
            // Slots of validation lie apart from those of training, which are addressed by step.
            let slot = VALIDATION - k as u64 * N_REGION_DRAWS - repeat;
            let one = tally(own, session, &schemes[k], seed, [slot, draw])?;
            total = Tally { gain: total.gain + one.gain, spikes: total.spikes + one.spikes };
        }
        Ok(total)
    };
    let n_threads = threads_on(&device_of(model)?, n_threads);
    let tallies = run_jobs(sessions.len() * schemes.len(), n_threads, &model.valid(), job, |_| {})?;
    let scores: Vec<SchemeScore> = schemes
        .iter()
        .enumerate()
        .map(|(k, scheme)| {
            let mine = tallies.iter().skip(k).step_by(schemes.len());
            let (gain, spikes) = mine.fold((0.0, 0.0), |(g, s), t| (g + t.gain, s + t.spikes));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
            let n_spikes = spikes as u64;
            let bits_per_spike = (spikes > 0.0).then(|| gain / spikes / std::f64::consts::LN_2);
            SchemeScore { scheme: scheme.name().to_owned(), bits_per_spike, n_spikes }
        })
        .collect();
    let defined: Vec<f64> = scores.iter().filter_map(|s| s.bits_per_spike).collect();
    if defined.is_empty() {
        return Err(TrainError::NothingToValidate);
    }
    let mean = defined.iter().sum::<f64>() / defined.len() as f64;
    Ok(ValidationReport { schemes: scores, behaviors: Vec::new(), labels: Vec::new(), mean })
}

/// Draws of a scheme: those that choose one region for all trials are drawn several times, so that the score does not
/// hang on one region.
fn n_draws(scheme: &MaskScheme) -> u64 {
    match scheme {
        MaskScheme::InterRegion | MaskScheme::IntraRegion { .. } => N_REGION_DRAWS,
        _ => 1,
    }
}

fn tally<M: PopulationModel>(
    model: &M,
    session: &TrainSession,
    scheme: &MaskScheme,
    seed: u64,
    address: [u64; 2],
) -> Result<Tally, TrainError> {
    let data = &session.data;
    let trials = &session.split.valid;
    let device = device_of(model)?;
    let masking = scheme.draw(trials.len(), data.n_bins(), data.regions(), seed, address);
    let nulls: Vec<(f64, f64)> = session.log_mean_rates.iter().map(|&null| (null, null.exp())).collect();
    let mut total = Tally::default();
    for start in (0..trials.len()).step_by(CHUNK) {
        let end = (start + CHUNK).min(trials.len());
        let counts = data.counts().select(Axis(0), &trials[start..end]);
        let masking = masking.trials(start..end);
        let input = ModelInput::new(data.session(), counts.view(), &masking, &device);
        let log_rates = to_array(model.forward(&input, Mode::Eval)?.log_rates)?;
        let bins = counts.rows().into_iter().zip(log_rates.rows()).zip(masking.counted().rows());
        for ((counts, log_rates), counted) in bins {
            let units = counts.iter().zip(log_rates).zip(counted).zip(&nulls);
            for (((&y, &model), _), &(null, null_rate)) in units.filter(|((_, counted), _)| **counted) {
                let y = f64::from(y);
                total.gain += (y * model - model.exp()) - (y * null - null_rate);
                total.spikes += y;
            }
        }
    }
    Ok(total)
}

/// Reads a tensor back as `f64`, its axes as they are (`[B, T, N]`).
///
/// # Errors
/// If its values are not as many as its shape says.
pub fn to_array(tensor: burn::tensor::Tensor<3>) -> Result<Array3<f64>, TrainError> {
    let [b, t, n] = tensor.dims();
    let data = tensor.into_data();
    // Single precision, the usual case, is one slice, which is many times faster to walk than values of any type.
    let values: Vec<f64> = match data.as_slice::<f32>() {
        Ok(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Err(_) => data.iter::<f64>().collect(),
    };
    Array3::from_shape_vec((b, t, n), values).map_err(|e| TrainError::Worker { reason: e.to_string() })
}
