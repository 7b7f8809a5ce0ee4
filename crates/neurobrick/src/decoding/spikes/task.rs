//! Behavior to be decoded from single spikes, as the training loop sees it.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use ndarray::{Array2, Array3, Axis};
use neurobrick_core::{DropoutStreams, Mode, ModelError};
use neurobrick_data::{MixedPlan, SessionWeights};
use neurobrick_evaluate::decoding::rows;
use neurobrick_metrics::r2;
use neurobrick_models::{Poyo, PoyoWindow};
use neurobrick_nn::{freeze_except, scalar};
use neurobrick_random::{Domain, Stream};
use neurobrick_train::{
    BatchLoss, BehaviorR2, Gradients, ShardResult, TaskStep, TrainError, TrainTask, ValidationReport,
    device_of, run_jobs, sharded_gradients, threads_on, to_array,
};
use serde_json::json;

use super::{DecoderSession, SpikeWindows};
use crate::config::{DecoderTrainConfig, UnitDropout};
use crate::{PipelineError, SessionHash};

/// Windows per forward pass without gradients.
const CHUNK: usize = 32;
/// Draws of single training windows, by step and place in the batch: which units are seen, and by how much it is moved.
const WINDOW_DRAWS: Domain = Domain::Custom(0x504f_594f);

/// Standardized behavior of windows of many sessions, by the mean squared error over all bins that have a value.
pub(crate) struct BehaviorTask {
    sessions: Vec<DecoderSession>,
    targets: Vec<String>,
    hashes: Vec<SessionHash>,
    config: DecoderTrainConfig,
    seed: u64,
    plan: MixedPlan,
}

/// One window of a batch and what it should answer, `[bin, K]`.
struct Example {
    window: PoyoWindow,
    values: Array2<f64>,
}

impl BehaviorTask {
    /// The task on these sessions, whose data have these hashes.
    pub(crate) fn new(
        sessions: Vec<DecoderSession>,
        targets: Vec<String>,
        hashes: Vec<SessionHash>,
        config: DecoderTrainConfig,
        seed: u64,
    ) -> Result<Self, PipelineError> {
        let n_windows: Vec<usize> = sessions.iter().map(|session| session.train.len()).collect();
        let plan = MixedPlan::new(&n_windows, &SessionWeights::Windows, config.batch_size, 1, seed)?;
        Ok(Self { sessions, targets, hashes, config, seed, plan })
    }

    /// What place `place` of the batch of `step` holds: one of the training windows of a session, moved, and with some units
    /// left out.
    fn example(
        &self,
        step: u64,
        place: usize,
        (session_idx, window): (usize, usize),
    ) -> Result<Example, TrainError> {
        let session = &self.sessions[session_idx];
        let trial = session.train[window];
        let stream = |what: u64| Stream::new(self.seed, WINDOW_DRAWS, [step, place as u64, what]);
        let jitter_s = self.config.jitter_s;
        let shift_s =
            if jitter_s > 0.0 { session.shift_s(window, jitter_s, stream(0).uniform()) } else { 0.0 };
        let values = session.values_at(trial, shift_s);
        let values = values.map_err(|error| TrainError::Worker { reason: error.to_string() })?;
        let units = self
            .config
            .unit_dropout
            .and_then(|dropout| seen_units(dropout, session.spikes.n_units(), &mut stream(1)));
        Ok(Example { window: session.spikes.window(trial, shift_s, units), values })
    }

    fn shard(
        &self,
        model: Poyo,
        examples: &[Example],
        (step, first): (u64, u64),
        n_counted: u64,
    ) -> ShardResult {
        let model = model.valid();
        let model = if step < self.config.n_frozen_steps {
            freeze_except(model, Poyo::is_session_parameter)
        } else {
            model
        };
        // Leaves of its own: shards that share leaves share one graph and one lock.
        let model = model.train();
        let windows: Vec<PoyoWindow> = examples.iter().map(|example| example.window.clone()).collect();
        let streams = DropoutStreams::new(self.seed, step, first);
        let outputs = model.forward(&windows, Mode::Train(&streams))?;
        let shape = outputs.dims();
        let values = || examples.iter().flat_map(|example| &example.values);
        let tensor =
            |values: Vec<f32>| Tensor::<3>::from_data(TensorData::new(values, shape), &outputs.device());
        #[expect(clippy::cast_possible_truncation, reason = "models compute in single precision")]
        let targets = tensor(values().map(|v| if v.is_finite() { *v as f32 } else { 0.0 }).collect());
        let counted = tensor(values().map(|v| f32::from(u8::from(v.is_finite()))).collect());
        let errors = (outputs - targets) * counted;
        let loss = (errors.clone() * errors).sum() * (n_counted.max(1) as f64).recip();
        let value = scalar(loss.clone().inner());
        let gradients = Gradients::collect(&model, loss.backward());
        Ok((BatchLoss { likelihood: value, penalty: 0.0 }, gradients))
    }
}

impl TrainTask<Poyo> for BehaviorTask {
    fn step(&self, model: &Poyo, step: u64, pools: &[rayon::ThreadPool]) -> Result<TaskStep, TrainError> {
        let mut examples = Vec::with_capacity(self.config.batch_size);
        let mut drawn: Vec<usize> = Vec::new();
        for (place, draw) in self.plan.batch(step, 0).into_iter().enumerate() {
            examples.push(self.example(step, place, (draw.session_idx, draw.window))?);
            drawn.push(draw.session_idx);
        }
        drawn.sort_unstable();
        drawn.dedup();
        let n_counted = examples.iter().flat_map(|e| &e.values).filter(|v| v.is_finite()).count() as u64;
        // Only sessions of the batch: units of others get no gradient, and no step of momentum.
        let specs: Vec<_> = drawn.iter().map(|&idx| self.sessions[idx].spec()).collect();
        let device = device_of(model)?;
        let part = model.with_sessions(&specs, self.seed, &device)?;
        let n_shards = self.config.n_shards;
        let (loss, gradients) =
            sharded_gradients((&part, model), examples.len(), n_shards, pools, |own, range| {
                let first = range.start as u64;
                self.shard(own, &examples[range], (step, first), n_counted)
            })?;
        Ok(TaskStep {
            session: match &specs[..] {
                [one] => one.session.to_string(),
                _ => "mixed".to_owned(),
            },
            scheme: "behavior",
            loss: loss.likelihood,
            penalty: None,
            n_counted,
            gradients,
        })
    }

    fn validate(&self, model: &Poyo, _step: u64, n_threads: usize) -> Result<ValidationReport, TrainError> {
        let mut behaviors = Vec::new();
        for session in &self.sessions {
            let predicted = predict(model, &session.spikes, &session.valid, n_threads)?;
            let all: Vec<usize> = (0..session.valid.len()).collect();
            let (truth, predicted) = (rows(&session.values, &session.valid), rows(&predicted, &all));
            // Outputs that are no numbers have no score; the loop stops at them.
            let scores = r2::per_output(&truth.view(), &predicted.view()).ok();
            for (k, target) in self.targets.iter().enumerate() {
                behaviors.push(BehaviorR2 {
                    session: session.spikes.session().to_string(),
                    target: target.clone(),
                    r2: scores.as_ref().map(|scores| scores[k]),
                    n_values: truth.nrows() as u64,
                });
            }
        }
        // Sessions have equal numbers of targets, so this is the mean over sessions of the mean over targets.
        let scores = behaviors.iter().map(|score| score.r2.unwrap_or(f64::NAN));
        let mean = scores.sum::<f64>() / behaviors.len().max(1) as f64;
        Ok(ValidationReport { schemes: Vec::new(), behaviors, labels: Vec::new(), mean })
    }

    fn identify(&self, add: &mut dyn FnMut(&[u8])) -> Result<(), TrainError> {
        add(json!([self.config, self.seed, self.targets, self.hashes]).to_string().as_bytes());
        for session in &self.sessions {
            add(json!([session.spec(), session.train, session.valid]).to_string().as_bytes());
            session.values.iter().for_each(|value| add(&value.to_le_bytes()));
        }
        Ok(())
    }
}

/// Standardized answers `[trial, bin, K]` of a model for windows of a session that it knows.
///
/// # Errors
/// If it does not know the session.
pub(crate) fn predict(
    model: &Poyo,
    spikes: &SpikeWindows,
    trials: &[usize],
    n_threads: usize,
) -> Result<Array3<f64>, TrainError> {
    let known = model.sessions().iter().find(|spec| spec.session == *spikes.session());
    let spec = known.ok_or_else(|| {
        let known: Vec<&str> = model.sessions().iter().map(|spec| spec.session.as_str()).collect();
        ModelError::UnknownSession { session: spikes.session().clone(), known: known.join(", ") }
    })?;
    let device = device_of(model)?;
    let own = model.with_sessions(std::slice::from_ref(spec), 0, &device)?.valid();
    let chunks: Vec<&[usize]> = trials.chunks(CHUNK).collect();
    let job = |model: &Poyo, i: usize| {
        let windows: Vec<PoyoWindow> =
            chunks[i].iter().map(|&trial| spikes.window(trial, 0.0, None)).collect();
        to_array(model.forward(&windows, Mode::Eval)?)
    };
    let parts = run_jobs(chunks.len(), threads_on(&device, n_threads), &own, job, |_| {})?;
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    ndarray::concatenate(Axis(0), &views).map_err(|e| TrainError::Worker { reason: e.to_string() })
}

/// Which of `n_units` units are seen, ascending; `None` for all.
fn seen_units(dropout: UnitDropout, n_units: usize, draws: &mut Stream) -> Option<Vec<usize>> {
    let n_seen = triangular(dropout, draws.uniform());
    (n_seen < n_units).then(|| {
        let mut seen = draws.permutation(n_units);
        seen.truncate(n_seen);
        seen.sort_unstable();
        seen
    })
}

/// The number at `part` (from 0 to 1) of the triangular distribution, by its inverse (Kotz and van Dorp 2004, section 1.1).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two numbers of units")]
fn triangular(UnitDropout { min, mode, max }: UnitDropout, part: f64) -> usize {
    let (low, mode, high) = (min as f64, mode as f64, max as f64);
    let width = high - low;
    let drawn = if part * width < mode - low {
        low + (part * width * (mode - low)).sqrt()
    } else {
        high - ((1.0 - part) * width * (high - mode)).sqrt()
    };
    drawn.round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds, mode and mean of the triangle: (min + mode + max) / 3.
    #[test]
    fn numbers_of_units_are_triangular() {
        let dropout = UnitDropout { min: 30, mode: 100, max: 300 };
        assert_eq!([0.0, 7.0 / 27.0, 1.0].map(|part| triangular(dropout, part)), [30, 100, 300]);
        let mut draws = Stream::new(1, Domain::Synthetic, [0, 0, 0]);
        let drawn: Vec<usize> = (0..20_000).map(|_| triangular(dropout, draws.uniform())).collect();
        // A standard deviation of 57 leaves a standard error of 0.4.
        let mean = drawn.iter().sum::<usize>() as f64 / 20_000.0;
        assert!((mean - 430.0 / 3.0).abs() < 2.0, "{mean}");
        let fixed = UnitDropout { min: 5, mode: 5, max: 5 };
        assert_eq!([0.0, 0.5, 1.0].map(|part| triangular(fixed, part)), [5; 3]);
    }

    #[test]
    fn units_left_out_are_drawn_anew_and_small_sessions_keep_all() {
        let dropout = UnitDropout { min: 3, mode: 4, max: 6 };
        let seen =
            |n_units, step| seen_units(dropout, n_units, &mut Stream::new(1, WINDOW_DRAWS, [step, 0, 1]));
        assert_eq!(seen(3, 0), None);
        for step in 0..50 {
            let units = seen(40, step).unwrap_or_default();
            assert!(
                (3..=6).contains(&units.len()) && units.is_sorted() && units.iter().all(|&unit| unit < 40)
            );
        }
        assert_eq!(seen(40, 1), seen(40, 1));
        assert_ne!(seen(40, 1), seen(40, 2));
    }
}
