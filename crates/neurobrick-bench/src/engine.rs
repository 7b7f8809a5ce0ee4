//! Our side of the measurement: the public calls of training and inference, timed.

use std::sync::{Arc, Barrier};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use ndarray::{Array3, Axis, Slice};
use neurobrick_core::{Masking, Mode, ModelInput, PopulationModel};
use neurobrick_models::NdtStitch;
use neurobrick_nn::{poisson_nll_sum, scalar};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_train::{
    AdamW, AdamWConfig, AdamWState, Rates, TrainError, loss_and_gradients, loss_targets, run_jobs,
};

use crate::{
    BenchCase, BenchError, LEARNING_RATE, MAX_GRAD_NORM, Material, PRODUCT_SHAPE, Work, product_flops,
};

/// AdamW's beta1; the schedule is not part of the measurement.
pub(crate) const BETA1: f64 = 0.9;
/// Shards that `TrainConfig` cuts a batch into by default; more threads get more shards.
pub(crate) const MIN_SHARDS: usize = 2;
/// Seed of dropout.
pub(crate) const SEED: u64 = 7;

/// Model, batch, optimizer and threads.
pub struct Engine {
    pub(super) model: NdtStitch,
    /// The model as it began, which holds the place of one that a step owns.
    pub(super) start: NdtStitch,
    sessions: Vec<SessionId>,
    pub(super) counts: Array3<u16>,
    pub(super) masking: Masking,
    pub(super) optimizer: AdamW,
    pub(super) rates: Rates,
    pub(super) max_grad_norm: f64,
    pub(super) step: u64,
    /// One per thread, of one thread each, as the trainer has them.
    pub(super) pools: Vec<rayon::ThreadPool>,
    /// Of all threads, for work that is not cut into shards.
    wide: Arc<rayon::ThreadPool>,
    /// Prepared inputs of the batch, one part per thread, and of its first trial.
    parts: Vec<ModelInput>,
    trial: ModelInput,
}

impl Engine {
    /// An engine of `n_threads` threads at the weights of `material`.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub fn new(
        material: Material,
        n_threads: usize,
        learning_rate: f64,
        max_grad_norm: f64,
    ) -> Result<Self, BenchError> {
        let Material { model, counts, masking, sessions } = material;
        let n_threads = n_threads.max(1);
        let first = sessions.first().ok_or(BenchError::NoSession)?;
        let n_trials = counts.len_of(Axis(0));
        let size = n_trials.div_ceil(n_threads).max(1);
        let input = |from: usize, to: usize| {
            let part = counts.slice_axis(Axis(0), Slice::from(from..to));
            ModelInput::new(first, part, &masking.trials(from..to), &Device::flex())
        };
        Ok(Self {
            parts: (0..n_trials).step_by(size).map(|from| input(from, (from + size).min(n_trials))).collect(),
            trial: input(0, 1),
            pools: (0..n_threads).map(|_| pool(1)).collect::<Result<_, _>>()?,
            wide: Arc::new(pool(n_threads)?),
            start: model.clone(),
            model,
            sessions,
            counts,
            masking,
            optimizer: AdamW::new(AdamWConfig::default()),
            rates: Rates { lr: learning_rate, beta1: BETA1 },
            max_grad_norm,
            step: 0,
        })
    }

    /// Draws the material of `case` and makes an engine of it.
    ///
    /// # Errors
    /// If the case is invalid or threads cannot be started.
    pub fn of_case(case: &BenchCase, seed: u64, n_threads: usize) -> Result<Self, BenchError> {
        let material = Material::draw(case, seed)?;
        Self::new(material, n_threads, LEARNING_RATE, MAX_GRAD_NORM)
    }

    /// Shards a batch is cut into.
    pub(super) fn n_shards(&self) -> usize {
        self.pools.len().max(MIN_SHARDS)
    }

    /// The session of a train step: the first steps take each in turn, so that all have been visited, later ones any.
    pub(super) fn session_of(&self, step: u64) -> &SessionId {
        let n = self.sessions.len();
        let in_turn = usize::try_from(step).ok().filter(|&idx| idx < n);
        &self.sessions[in_turn.unwrap_or_else(|| Stream::new(SEED, Domain::Order, [step, 0, 0]).below(n))]
    }

    /// Steps until every session has been visited.
    pub(super) fn n_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Numbers that a model is, and bytes that training keeps from step to step: weights, the best model's copy of
    /// them, and two moments of every parameter that has had a gradient.
    pub(super) fn kept(&self) -> (usize, usize) {
        let n_parameters = self.model.num_params();
        let of_state =
            |state: &AdamWState| state.first.shape().num_elements() + state.second.shape().num_elements();
        let n_moments: usize = self.optimizer.states().values().map(of_state).sum();
        (n_parameters, (2 * n_parameters + n_moments) * size_of::<f32>())
    }

    /// Summed masked loss of the first session's batch without dropout.
    ///
    /// # Errors
    /// If the model refuses its input.
    pub fn eval_loss(&mut self) -> Result<f64, BenchError> {
        let device = Device::flex();
        let input = ModelInput::new(&self.sessions[0], self.counts.view(), &self.masking, &device);
        let log_rates = self.wide_install(|own| Ok(own.model.forward(&input, Mode::Eval)?.log_rates))?;
        let [counts, counted] = loss_targets(self.counts.view(), &self.masking, &device);
        Ok(scalar(poisson_nll_sum(log_rates, counts, counted)))
    }

    /// Runs the work `n` times and returns the seconds of every repeat.
    ///
    /// # Errors
    /// If the model refuses its input or the loss diverges.
    pub fn run(&mut self, work: Work, n: usize) -> Result<Vec<f64>, BenchError> {
        self.wide_install(|own| {
            (0..n)
                .map(|_| {
                    let start = Instant::now();
                    match work {
                        Work::Train => own.train_step()?,
                        Work::Forward => own.forward_batch()?,
                        Work::SingleTrial => {
                            own.model.forward(&own.trial, Mode::Eval)?;
                        }
                    }
                    Ok(start.elapsed().as_secs_f64())
                })
                .collect()
        })
    }

    /// Runs `work` where what is not cut into shards finds as many threads as the engine has, and no more.
    pub(super) fn wide_install<T: Send>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, BenchError> + Send,
    ) -> Result<T, BenchError> {
        let wide = Arc::clone(&self.wide);
        wide.install(|| work(self))
    }

    /// What the trainer does in a step once batch and masks are drawn.
    fn train_step(&mut self) -> Result<(), BenchError> {
        let (loss, mut gradients) = loss_and_gradients(
            &self.model,
            self.session_of(self.step),
            self.counts.view(),
            &self.masking,
            Some((SEED, self.step)),
            self.n_shards(),
            &self.pools,
        )?;
        if !loss.is_finite() {
            let reason = format!("the loss of step {} is {loss}", self.step + 1);
            return Err(TrainError::Worker { reason }.into());
        }
        gradients.clip(self.max_grad_norm);
        // As in the trainer, the step owns the weights and writes over them.
        let place_holder = self.start.for_session(self.session_of(self.step))?;
        let model = std::mem::replace(&mut self.model, place_holder);
        self.model = self.optimizer.step(model, gradients, self.rates);
        self.step += 1;
        Ok(())
    }

    /// The batch in one part per thread, as predictions are made.
    fn forward_batch(&self) -> Result<(), BenchError> {
        if let [whole] = &self.parts[..] {
            self.model.forward(whole, Mode::Eval)?;
            return Ok(());
        }
        let shared = (self.model.clone(), self.parts.clone());
        let run = |own: &(NdtStitch, Vec<ModelInput>), i: usize| {
            Ok(own.0.forward(&own.1[i], Mode::Eval)?.log_rates)
        };
        run_jobs(self.parts.len(), self.pools.len(), &shared, run, |_| {})?;
        Ok(())
    }

    /// Operations per second, in 10⁹, of `n` products of [`PRODUCT_SHAPE`] on every thread at once. The threads
    /// share nothing, so this is the most that products can give on this machine at this moment.
    pub fn product_gflops(&self, n: usize) -> f64 {
        let [m, k, columns] = PRODUCT_SHAPE;
        let barrier = Barrier::new(self.pools.len());
        let spans: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .pools
                .iter()
                .map(|pool| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        pool.install(|| {
                            let device = Device::flex();
                            let left = Tensor::<2>::random([m, k], Distribution::Default, &device);
                            let right = Tensor::<2>::random([k, columns], Distribution::Default, &device);
                            let _warm = left.clone().matmul(right.clone());
                            barrier.wait();
                            let start = Instant::now();
                            for _ in 0..n {
                                let _product = left.clone().matmul(right.clone());
                            }
                            (start, Instant::now())
                        })
                    })
                })
                .collect();
            threads.into_iter().filter_map(|t| t.join().ok()).collect()
        });
        let first = spans.iter().map(|s| s.0).min();
        let last = spans.iter().map(|s| s.1).max();
        let (Some(first), Some(last)) = (first, last) else { return f64::NAN };
        let flops = (n * spans.len()) as f64 * product_flops(m, k, columns);
        flops / (last - first).as_secs_f64() / 1e9
    }
}

/// A rayon pool of `n_threads` threads.
pub(crate) fn pool(n_threads: usize) -> Result<rayon::ThreadPool, BenchError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .map_err(|e| BenchError::Threads { n_threads, reason: e.to_string() })
}
