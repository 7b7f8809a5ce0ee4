//! The training loop.

use std::path::Path;
use std::sync::Arc;

use burn::module::{ModuleMapper, Param};
use burn::tensor::Tensor;
use ndarray::Axis;
use neurobrick_core::{ModulePath, PopulationModel, SessionSpec};
use neurobrick_data::{BatchPlan, SessionData, TrialSplit};
use neurobrick_random::{Domain, Stream};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, fingerprint, prune_checkpoints};
use crate::workers::{one_thread_pools, pool};
use crate::{
    AdamW, Objective, TrainConfig, TrainError, Trainable, ValidationReport, objective_and_gradients, validate,
};

/// Checkpoints kept on disk.
const KEPT_CHECKPOINTS: usize = 2;

/// A session to train on: its windows, which of them may be used for what, and its mean rates.
#[derive(Clone, Debug)]
pub struct TrainSession {
    /// Binned windows.
    pub data: Arc<SessionData>,
    /// Which trials train, validate and test.
    pub split: TrialSplit,
    /// Log of mean spikes per bin of every unit over the training trials (half a spike added): the null of
    /// validation and the start of read-outs.
    pub log_mean_rates: Vec<f64>,
}

impl TrainSession {
    /// Takes the mean rates from the training trials.
    ///
    /// # Errors
    /// If there is no training or no validation trial.
    pub fn new(data: Arc<SessionData>, split: TrialSplit) -> Result<Self, TrainError> {
        let empty = |part| TrainError::NoTrials { session: data.session().to_string(), part };
        if split.valid.is_empty() {
            return Err(empty("validation"));
        }
        let n_samples = split.train.len() * data.n_bins();
        let rates = data.mean_rates(&split.train).ok_or_else(|| empty("training"))?;
        let log_mean_rates = SessionSpec::log_mean_rates(&rates, n_samples);
        Ok(Self { data, split, log_mean_rates })
    }

    /// What a model must know of the session.
    pub fn spec(&self) -> SessionSpec {
        SessionSpec {
            session: self.data.session().clone(),
            n_units: self.data.n_units(),
            log_mean_rates: Some(self.log_mean_rates.clone()),
        }
    }
}

/// What happened in one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u64,
    /// Session of the batch.
    pub session: String,
    /// Mask scheme of the batch.
    pub scheme: String,
    /// Masked Poisson loss per counted entry, in nats (up to the constant of the counts).
    pub loss: f64,
    /// What the model's penalties add per trial, in nats; `None` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// Counted entries.
    pub n_counted: u64,
    /// Learning rate.
    pub lr: f64,
    /// AdamW's beta1.
    pub beta1: f64,
    /// Global norm of the gradient before clipping; only measured when clipping is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
}

/// What a run tells its caller.
#[derive(Clone, Debug)]
pub enum TrainEvent {
    /// A step is done.
    Step(StepReport),
    /// The model was validated after `step` steps.
    Validated {
        /// Steps done.
        step: u64,
        /// Scores on validation trials.
        report: ValidationReport,
        /// Whether this is the best so far.
        is_best: bool,
    },
    /// A checkpoint is on disk.
    Checkpointed {
        /// Steps done.
        step: u64,
    },
}

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) step: u64,
    pub(crate) mean: f64,
    /// Validations since.
    pub(crate) stale: u64,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct TrainOutcome<M> {
    /// The model of the best validation.
    pub best: M,
    /// Steps after which that was.
    pub best_step: u64,
    /// Its mean validation score, in bits per spike.
    pub best_valid: f64,
    /// Steps done.
    pub n_steps: u64,
    /// Whether patience ended the run before its last step.
    pub stopped_early: bool,
}

/// Trains one model; every step is a function of (seed, step) and the state in a checkpoint.
pub struct Trainer<M> {
    pub(crate) model: M,
    pub(crate) best_model: M,
    pub(crate) best: Option<Best>,
    pub(crate) optimizer: AdamW,
    pub(crate) step: u64,
    pub(crate) fingerprint: String,
    sessions: Vec<TrainSession>,
    config: TrainConfig,
    seed: u64,
    plan: BatchPlan,
    /// One thread each, for shards.
    pools: Vec<rayon::ThreadPool>,
    /// All threads, for what is done once per step.
    pool: rayon::ThreadPool,
}

impl<M: PopulationModel> Trainer<M> {
    /// A run from its first step. `n_threads` changes the speed, never the result.
    ///
    /// # Errors
    /// If the configuration is out of range or threads cannot be started.
    pub fn new(
        model: M,
        sessions: Vec<TrainSession>,
        config: TrainConfig,
        seed: u64,
        n_threads: usize,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let n_threads = n_threads.clamp(1, config.n_shards);
        if sessions.is_empty() {
            return Err(TrainError::NoSessions);
        }
        let model = match config.trainable {
            Trainable::All => model.valid(),
            Trainable::SessionsOnly => model.valid().map(&mut FreezeCore::<M>::default()),
        };
        let n_trials: Vec<usize> = sessions.iter().map(|s| s.split.train.len()).collect();
        let plan = BatchPlan::new(&n_trials, config.batch_size, seed);
        let plan = if config.faithful { plan.fixed() } else { plan };
        Ok(Self {
            best_model: model.clone(),
            best: None,
            optimizer: AdamW::new(config.optimizer.clone()),
            step: 0,
            fingerprint: fingerprint(&model, &sessions, &config, seed)?,
            pools: one_thread_pools(n_threads)?,
            pool: pool(n_threads)?,
            model,
            sessions,
            config,
            seed,
            plan,
        })
    }

    /// Goes on from a checkpoint of the same run.
    ///
    /// # Errors
    /// If the checkpoint is damaged or belongs to a run with other settings.
    pub fn resume(self, checkpoint: &Path) -> Result<Self, TrainError> {
        let config = self.config.optimizer.clone();
        Checkpoint::read(checkpoint)?.restore(self, config, checkpoint)
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// The model as it is now, on a device without autodiff.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// One step: batch, masks, loss, gradient, clipping, update.
    ///
    /// # Errors
    /// If the loss is not a number or the model refuses its input.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        let planned = self.plan.batch(self.step);
        let session = &self.sessions[planned.session_idx];
        let data = &session.data;
        let draw = Stream::new(self.seed, Domain::Scheme, [self.step, 0, 0]).below(self.config.schemes.len());
        let scheme = self.config.schemes[draw];
        let trials: Vec<usize> = planned.trials.iter().map(|&i| session.split.train[i]).collect();
        let counts = data.counts().select(Axis(0), &trials);
        let masking = scheme.draw(trials.len(), data.n_bins(), data.regions(), self.seed, [self.step, 0]);
        let n_counted = masking.counted().iter().filter(|&&c| c).count() as u64;
        let objective = Objective {
            masking: &masking,
            dropout: Some((self.seed, self.step)),
            penalties: self.config.penalty_ramps.at(self.step),
        };
        // By unique reference, which may go to another thread: models are `Send` but not `Sync`.
        let (model, pools, n_shards) = (&mut self.model, &self.pools, self.config.n_shards);
        let (loss, mut gradients) = self.pool.install(move || {
            objective_and_gradients(&*model, data.session(), counts.view(), objective, n_shards, pools)
        })?;
        if !loss.total().is_finite() {
            return Err(TrainError::Diverged {
                step: self.step + 1,
                session: data.session().to_string(),
                scheme: scheme.name(),
                loss: loss.total(),
            });
        }
        let grad_norm = self.config.clip_norm.map(|max| self.pool.install(|| gradients.clip(max)));
        let rates = self.config.schedule.at(self.step, self.config.n_steps);
        let report = StepReport {
            step: self.step + 1,
            session: data.session().to_string(),
            scheme: scheme.name().to_owned(),
            loss: loss.likelihood / n_counted.max(1) as f64,
            penalty: (loss.penalty != 0.0).then(|| loss.penalty / trials.len() as f64),
            n_counted,
            lr: rates.lr,
            beta1: rates.beta1,
            grad_norm,
        };
        // The step owns the weights, so that it can write over them; a part of the best model holds the place.
        let place_holder = self.best_model.for_session(data.session())?;
        let model = std::mem::replace(&mut self.model, place_holder);
        self.model = self.pool.install(|| self.optimizer.step(model, gradients, rates));
        self.step += 1;
        Ok(report)
    }

    /// Scores the model on validation trials and remembers it if it is the best so far.
    ///
    /// # Errors
    /// If the model refuses its input.
    pub fn validate(&mut self) -> Result<(ValidationReport, bool), TrainError> {
        let draw = if self.config.faithful { self.step } else { 0 };
        let n_threads = self.pools.len();
        let report = validate(&self.model, &self.sessions, &self.config.schemes, self.seed, draw, n_threads)?;
        // A score that is not a number says that the model's rates are none either.
        if !report.mean.is_finite() {
            return Err(TrainError::Diverged {
                step: self.step,
                session: "all".to_owned(),
                scheme: "validation",
                loss: report.mean,
            });
        }
        let is_best = self.best.is_none_or(|b| report.mean > b.mean);
        if is_best {
            self.best = Some(Best { step: self.step, mean: report.mean, stale: 0 });
            self.best_model = self.model.clone();
        } else if let Some(best) = &mut self.best {
            best.stale += 1;
        }
        Ok((report, is_best))
    }

    /// Runs to the last step or until patience ends. Checkpoints go to `checkpoints` if given, and the last two
    /// are kept.
    ///
    /// # Errors
    /// If the loss diverges, the model refuses its input, or a checkpoint cannot be written.
    pub fn run(
        mut self,
        checkpoints: Option<&Path>,
        mut on_event: impl FnMut(TrainEvent) -> Result<(), TrainError>,
    ) -> Result<TrainOutcome<M>, TrainError> {
        let mut stopped_early = self.is_out_of_patience();
        if self.step == 0 {
            self.validate_and_tell(&mut on_event)?;
        }
        while self.step < self.config.n_steps && !stopped_early {
            let report = self.step()?;
            on_event(TrainEvent::Step(report))?;
            let is_last = self.step == self.config.n_steps;
            if is_last || self.step.is_multiple_of(self.config.valid_every) {
                self.validate_and_tell(&mut on_event)?;
                stopped_early = !is_last && self.is_out_of_patience();
            }
            let due = is_last || stopped_early || self.step.is_multiple_of(self.config.checkpoint_every);
            if let Some(folder) = checkpoints.filter(|_| due) {
                Checkpoint::of(&self).write(folder)?;
                prune_checkpoints(folder, KEPT_CHECKPOINTS)?;
                on_event(TrainEvent::Checkpointed { step: self.step })?;
            }
        }
        let best = self.best.unwrap_or(Best { step: self.step, mean: f64::NAN, stale: 0 });
        Ok(TrainOutcome {
            best: self.best_model,
            best_step: best.step,
            best_valid: best.mean,
            n_steps: self.step,
            stopped_early,
        })
    }

    fn validate_and_tell(
        &mut self,
        on_event: &mut impl FnMut(TrainEvent) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let (report, is_best) = self.validate()?;
        on_event(TrainEvent::Validated { step: self.step, report, is_best })
    }

    fn is_out_of_patience(&self) -> bool {
        match (self.config.patience, self.best) {
            (Some(patience), Some(best)) => best.stale >= patience,
            _ => false,
        }
    }
}

/// Stops the gradients of everything that is shared among sessions.
struct FreezeCore<M> {
    path: ModulePath,
    model: std::marker::PhantomData<M>,
}

impl<M> Default for FreezeCore<M> {
    fn default() -> Self {
        Self { path: ModulePath::default(), model: std::marker::PhantomData }
    }
}

impl<M: PopulationModel> ModuleMapper for FreezeCore<M> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad(M::is_session_parameter(self.path.dotted()))
    }
}
