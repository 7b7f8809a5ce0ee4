//! Spikes and behavior predicted from each other, as the training loop sees it.

use std::ops::Range;

use burn::module::Module;
use ndarray::{Array2, Array3, Axis};
use neurobrick_core::{DropoutStreams, Mode};
use neurobrick_data::BatchPlan;
use neurobrick_metrics::{balanced_accuracy, r2};
use neurobrick_models::{Neds, NedsCounted, NedsInput, NedsMask, NedsModalities, NedsScheme, NedsTargets};
use neurobrick_nn::{freeze_except, scalar};
use neurobrick_train::{
    BatchLoss, BehaviorR2, Gradients, LabelAccuracy, SchemeScore, ShardResult, TaskStep, TrainError,
    TrainTask, ValidationReport, device_of, sharded_gradients,
};
use serde_json::json;

use super::session::NedsPart;
use super::{NedsDecoded, NedsSession, decode, encode};
use crate::config::NedsTrainConfig;
use crate::{PipelineError, SessionHash};

/// Masked prediction of all modalities: batches of one session, a scheme for each window.
pub(crate) struct NedsTask {
    sessions: Vec<NedsSession>,
    modalities: NedsModalities,
    hashes: Vec<SessionHash>,
    config: NedsTrainConfig,
    seed: u64,
    plan: BatchPlan,
}

/// A batch and what is asked of it.
struct Batch<'a> {
    session: &'a NedsSession,
    part: NedsPart,
    mask: NedsMask,
    counted: NedsCounted,
    step: u64,
}

impl NedsTask {
    /// The task on these sessions, whose data have these hashes.
    pub(crate) fn new(
        sessions: Vec<NedsSession>,
        modalities: NedsModalities,
        hashes: Vec<SessionHash>,
        config: NedsTrainConfig,
        seed: u64,
    ) -> Result<Self, PipelineError> {
        if sessions.is_empty() {
            return Err(TrainError::NoSessions.into());
        }
        let n_trials: Vec<usize> = sessions.iter().map(|session| session.train.split.train.len()).collect();
        let plan = BatchPlan::new(&n_trials, config.batch_size, seed);
        Ok(Self { sessions, modalities, hashes, config, seed, plan })
    }

    /// Everything drawn here is a function of seed, step and place in the batch.
    fn batch(&self, step: u64) -> Batch<'_> {
        let planned = self.plan.batch(step);
        let session = &self.sessions[planned.session_idx];
        let trials: Vec<usize> = planned.trials.iter().map(|&i| session.train.split.train[i]).collect();
        let part = session.part(&trials);
        let shape = [trials.len(), part.counts.len_of(Axis(1))];
        let mask = self.config.masking.draw(&self.modalities, shape, self.seed, step);
        let counted = NedsCounted::of(&part.windows(session.id(), 0..trials.len()), &self.modalities, &mask);
        Batch { session, part, mask, counted, step }
    }

    fn shard(&self, model: Neds, batch: &Batch<'_>, range: Range<usize>) -> ShardResult {
        let model = model.valid();
        let model = if batch.step < self.config.n_frozen_steps {
            freeze_except(model, Neds::is_session_parameter)
        } else {
            model
        };
        // Leaves of its own: shards that share leaves share one graph and one lock.
        let model = model.train();
        let device = device_of(&model)?.autodiff();
        let streams = DropoutStreams::new(self.seed, batch.step, range.start as u64);
        let windows = batch.part.windows(batch.session.id(), range.clone());
        let mask = batch.mask.windows(range);
        let input = NedsInput::new(&windows, &self.modalities, &mask, &device)?;
        let output = model.forward(&input, Mode::Train(&streams))?;
        let n_bins = windows.counts.len_of(Axis(1));
        let label_weight = self.config.label_weight.unwrap_or_else(|| (n_bins as f64).recip());
        let targets = NedsTargets { windows, mask: &mask, counted: &batch.counted, label_weight };
        // A small batch of schemes that hide some tokens may hide none: a step without a gradient.
        let loss = targets.loss(&output, &self.modalities);
        let loss = loss.unwrap_or_else(|| output.log_rates.sum().mul_scalar(0.0));
        let value = scalar(loss.clone().inner());
        let gradients = Gradients::collect(&model, loss.backward());
        Ok((BatchLoss { likelihood: value, penalty: 0.0 }, gradients))
    }

    /// Whether training asks for spikes, and whether for behavior: what it never asks for says nothing of when to stop.
    fn asks(&self) -> [bool; 2] {
        let any = |hides: fn(NedsScheme) -> bool| self.config.masking.schemes.iter().any(|&s| hides(s));
        [any(NedsScheme::hides_spikes), any(NedsScheme::hides_behavior)]
    }
}

impl TrainTask<Neds> for NedsTask {
    fn step(&self, model: &Neds, step: u64, pools: &[rayon::ThreadPool]) -> Result<TaskStep, TrainError> {
        let batch = self.batch(step);
        let id = batch.session.id();
        let part = model.for_session(id)?;
        let n_windows = batch.part.counts.len_of(Axis(0));
        let n_shards = self.config.n_shards;
        let (loss, gradients) =
            sharded_gradients((&part, model), n_windows, n_shards, pools, |own, range| {
                self.shard(own, &batch, range)
            })?;
        Ok(TaskStep {
            session: id.to_string(),
            scheme: match self.config.masking.schemes[..] {
                [one] => one.name(),
                _ => "mixed",
            },
            loss: loss.likelihood,
            penalty: None,
            n_counted: batch.counted.total(),
            gradients,
        })
    }

    fn validate(&self, model: &Neds, _step: u64, n_threads: usize) -> Result<ValidationReport, TrainError> {
        let [asks_spikes, asks_behavior] = self.asks();
        let (mut behaviors, mut labels, mut means) = (Vec::new(), Vec::new(), Vec::new());
        let mut bits = Pooled::default();
        for session in &self.sessions {
            let trials = &session.train.split.valid;
            let mut scores = Vec::new();
            if asks_spikes {
                let own = Pooled::of(session, &encode(model, session, trials, n_threads)?, trials);
                scores.extend(own.bits_per_spike());
                bits = bits.plus(own);
            }
            if asks_behavior {
                let answers = decode(model, session, trials, n_threads)?;
                let found = self.accuracies(session, &answers, trials);
                scores.extend(found.iter().filter_map(|label| label.balanced_accuracy));
                labels.extend(found);
                for found in self.r2(session, &answers, trials) {
                    // Outputs that are no numbers have no score; the loop stops at them.
                    let is_undefined = found.r2.is_none() && found.n_values > 0;
                    scores.extend(if is_undefined { Some(f64::NAN) } else { found.r2 });
                    behaviors.push(found);
                }
            }
            if !scores.is_empty() {
                means.push(scores.iter().sum::<f64>() / scores.len() as f64);
            }
        }
        if means.is_empty() {
            return Err(TrainError::NothingToValidate);
        }
        let schemes = if asks_spikes { vec![bits.score()] } else { Vec::new() };
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        Ok(ValidationReport { schemes, behaviors, labels, mean })
    }

    fn identify(&self, add: &mut dyn FnMut(&[u8])) -> Result<(), TrainError> {
        add(json!([self.config, self.seed, self.modalities, self.hashes]).to_string().as_bytes());
        for session in &self.sessions {
            add(json!([session.train.spec(), session.train.split]).to_string().as_bytes());
            for label in &session.labels {
                add(&label.map_or(u64::MAX, |class| class as u64).to_le_bytes());
            }
            session.values.iter().for_each(|value| add(&value.to_le_bytes()));
            for trial in session.train.data.counts().outer_iter() {
                let bytes: Vec<u8> = trial.iter().flat_map(|count| count.to_le_bytes()).collect();
                add(&bytes);
            }
        }
        Ok(())
    }
}

impl NedsTask {
    fn accuracies(
        &self,
        session: &NedsSession,
        answers: &NedsDecoded,
        trials: &[usize],
    ) -> Vec<LabelAccuracy> {
        let one = |(number, label): (usize, &neurobrick_models::NedsLabel)| {
            let pairs = trials.iter().zip(answers.classes.column(number));
            let pairs = pairs.filter_map(|(&trial, &found)| Some((session.labels[[trial, number]]?, found)));
            let (truth, found): (Vec<usize>, Vec<usize>) = pairs.unzip();
            LabelAccuracy {
                session: session.id().to_string(),
                label: label.name.clone(),
                balanced_accuracy: balanced_accuracy(&truth, &found).ok(),
                n_trials: truth.len() as u64,
            }
        };
        self.modalities.labels.iter().enumerate().map(one).collect()
    }

    fn r2(&self, session: &NedsSession, answers: &NedsDecoded, trials: &[usize]) -> Vec<BehaviorR2> {
        let one = |(number, target): (usize, &String)| {
            let truth = session.values.index_axis(Axis(2), number).select(Axis(0), trials);
            let found = answers.behaviors.index_axis(Axis(2), number);
            let pairs = truth.iter().zip(found).filter(|(truth, _)| truth.is_finite());
            let (truth, found): (Vec<f64>, Vec<f64>) = pairs.map(|(t, f)| (*t, *f)).unzip();
            let n_values = truth.len();
            let column = |values: Vec<f64>| Array2::from_shape_vec((n_values, 1), values).ok();
            let score = column(truth).zip(column(found));
            let score = score.and_then(|(truth, found)| r2::uniform(&truth.view(), &found.view()).ok());
            BehaviorR2 {
                session: session.id().to_string(),
                target: target.clone(),
                r2: score,
                n_values: n_values as u64,
            }
        };
        self.modalities.behaviors.iter().enumerate().map(one).collect()
    }
}

/// Gain over the mean rates of the training trials, in nats, and spikes.
#[derive(Clone, Copy, Default)]
struct Pooled {
    gain: f64,
    spikes: f64,
}

impl Pooled {
    fn of(session: &NedsSession, rates: &Array3<f64>, trials: &[usize]) -> Self {
        let counts = session.train.data.counts().select(Axis(0), trials);
        let nulls: Vec<(f64, f64)> = session.train.log_mean_rates.iter().map(|&n| (n, n.exp())).collect();
        let mut total = Self::default();
        for (counts, rates) in counts.rows().into_iter().zip(rates.rows()) {
            for ((&y, &rate), &(null, null_rate)) in counts.iter().zip(rates).zip(&nulls) {
                let y = f64::from(y);
                // A rate that underflows has no logarithm, and matters only where there is a spike.
                let seen = if y > 0.0 { y * rate.ln() } else { 0.0 };
                total.gain += (seen - rate) - (y * null - null_rate);
                total.spikes += y;
            }
        }
        total
    }

    fn plus(self, other: Self) -> Self {
        Self { gain: self.gain + other.gain, spikes: self.spikes + other.spikes }
    }

    fn bits_per_spike(self) -> Option<f64> {
        (self.spikes > 0.0).then(|| self.gain / self.spikes / std::f64::consts::LN_2)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
    fn score(self) -> SchemeScore {
        SchemeScore {
            scheme: NedsScheme::Encoding.name().to_owned(),
            bits_per_spike: self.bits_per_spike(),
            n_spikes: self.spikes as u64,
        }
    }
}
