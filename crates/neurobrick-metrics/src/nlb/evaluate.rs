//! A whole submission against its targets.

use ndarray::{Array2, Array3, ArrayView3, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::{DecodeMasks, DecoderPenalty, psth_r2, speed_correlation, velocity_r2};
use crate::{MetricError, bits_per_spike};

/// Expected spikes per bin that a model predicts for one dataset, all `[B, T, N]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// Held-in units, evaluated trials.
    pub eval_heldin: Array3<f64>,
    /// Held-out units, evaluated trials.
    pub eval_heldout: Array3<f64>,
    /// Held-in and held-out units of the training trials; needed to decode behavior.
    pub train: Option<[Array3<f64>; 2]>,
    /// Held-in and held-out units of the bins after each evaluated trial.
    pub forward: Option<[Array3<f64>; 2]>,
}

/// What is compared with a [`Submission`].
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// Held-out spikes of the evaluated trials, `[B, T, N]`; NaN where nothing is scored.
    pub eval_spikes_heldout: Array3<f64>,
    /// Held-in and held-out spikes of the bins after each evaluated trial.
    pub forward_spikes: Option<[Array3<f64>; 2]>,
    /// Behavior by bin of training and evaluated trials, `[B, T, K]`.
    pub behavior: Option<[Array3<f64>; 2]>,
    /// Which trials each decoder uses, `[B, masks]`; without, one decoder uses all.
    pub decode_masks: Option<[Array2<bool>; 2]>,
    /// Intervals and conditions of the evaluated trials, `[B, K]`, for tasks on timing.
    pub intervals: Option<Array2<f64>>,
    /// Condition averages of held-in and held-out units, `[conditions, T, N]`.
    pub psth: Option<Array3<f64>>,
    /// Evaluated trials of each condition.
    pub trials_of_condition: Vec<Vec<usize>>,
    /// Bins by which each evaluated trial was moved against the alignment of the PSTH.
    pub jitter: Option<Vec<i64>>,
}

/// The benchmark's numbers for one dataset; `None` where targets or rates for it are missing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// `co-bps`: bits/spike of held-out units.
    pub co_smoothing: f64,
    /// `vel R2`: behavior decoded from all rates.
    pub velocity_r2: Option<f64>,
    /// `tp corr`: neural speed against produced interval.
    pub speed_correlation: Option<f64>,
    /// `psth R2`: condition averages.
    pub psth_r2: Option<f64>,
    /// `fp-bps`: bits/spike of all units in the forward bins.
    pub forward_prediction: Option<f64>,
}

/// Scores a submission. Fails as the metrics it is made of, and if arrays to be joined differ in trials or bins.
pub fn evaluate(submission: &Submission, targets: &Targets) -> Result<Evaluation, MetricError> {
    let rates = joined(&submission.eval_heldin, &submission.eval_heldout)?;
    let co_smoothing = bits_per_spike(&submission.eval_heldout.view(), &targets.eval_spikes_heldout.view())?;
    let velocity = match (&targets.behavior, &submission.train) {
        (Some([train, eval]), Some([heldin, heldout])) => {
            let train_rates = joined(heldin, heldout)?;
            let masks = targets
                .decode_masks
                .as_ref()
                .map(|[train, eval]| DecodeMasks { train: train.view(), eval: eval.view() });
            let (train, eval) = ((&train_rates.view(), &train.view()), (&rates.view(), &eval.view()));
            Some(velocity_r2(train, eval, masks, DecoderPenalty::Search)?)
        }
        _ => None,
    };
    let speed = match &targets.intervals {
        Some(intervals) => {
            Some(speed_correlation(&targets.eval_spikes_heldout.view(), &rates.view(), &intervals.view())?)
        }
        None => None,
    };
    let psth = match &targets.psth {
        Some(psth) => {
            let jitter = targets.jitter.as_deref();
            Some(psth_r2(&psth.view(), &rates.view(), &targets.trials_of_condition, jitter)?)
        }
        None => None,
    };
    let forward = match (&submission.forward, &targets.forward_spikes) {
        (Some([in_rates, out_rates]), Some([in_spikes, out_spikes])) => {
            let (rates, spikes) = (joined(in_rates, out_rates)?, joined(in_spikes, out_spikes)?);
            Some(bits_per_spike(&rates.view(), &spikes.view())?)
        }
        _ => None,
    };
    Ok(Evaluation {
        co_smoothing,
        velocity_r2: velocity,
        speed_correlation: speed,
        psth_r2: psth,
        forward_prediction: forward,
    })
}

/// Held-in then held-out units.
fn joined(heldin: &Array3<f64>, heldout: &Array3<f64>) -> Result<Array3<f64>, MetricError> {
    let parts: [ArrayView3<f64>; 2] = [heldin.view(), heldout.view()];
    concatenate(Axis(2), &parts).map_err(|_| {
        let (trials, bins, _) = heldin.dim();
        let (expected, got) = (vec![trials, bins, heldout.len_of(Axis(2))], heldout.shape().to_vec());
        MetricError::ShapeMismatch { what: "held-out units", expected, got }
    })
}
