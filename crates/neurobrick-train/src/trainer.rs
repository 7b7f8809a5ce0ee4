//! The training loop.

use std::path::Path;

use burn::module::Module;
use neurobrick_core::PopulationModel;
use neurobrick_nn::freeze_except;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, fingerprint, prune_checkpoints};
use crate::workers::{device_of, in_pool, one_thread_pools, pool, threads_on};
use crate::{
    AdamW, LoopConfig, MaskedSpikes, TaskStep, TrainConfig, TrainError, TrainSession, TrainTask, Trainable,
    ValidationReport,
};

/// Checkpoints kept on disk.
const KEPT_CHECKPOINTS: usize = 2;

/// What happened in one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u64,
    /// Session of the batch; `mixed` where it holds several.
    pub session: String,
    /// Mask scheme of the batch, or what else it was asked.
    pub scheme: String,
    /// Loss per counted entry: masked Poisson loss in nats (up to the constant of the counts); squared error of standardized
    /// behavior.
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
    /// A checkpoint is about to be written: what is kept of earlier events must be on the disk before it is.
    Checkpointing {
        /// Steps done.
        step: u64,
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
    /// Its mean validation score, in bits per spike or R².
    pub best_valid: f64,
    /// Steps done.
    pub n_steps: u64,
    /// Whether patience ended the run before its last step.
    pub stopped_early: bool,
}

/// Trains one model on one task; every step is a function of (seed, step) and the state in a checkpoint.
pub struct Trainer<M, T = MaskedSpikes> {
    pub(crate) model: M,
    pub(crate) best_model: M,
    pub(crate) best: Option<Best>,
    pub(crate) optimizer: AdamW,
    pub(crate) step: u64,
    pub(crate) fingerprint: String,
    task: T,
    config: LoopConfig,
    /// One thread each, for shards; none on a device that threads do not share.
    pools: Vec<rayon::ThreadPool>,
    /// All threads, for what is done once per step.
    pool: Option<rayon::ThreadPool>,
}

impl<M: PopulationModel> Trainer<M> {
    /// A run of masked prediction from its first step. `n_threads` changes the speed, never the result.
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
        let model = match config.trainable {
            Trainable::All => model,
            Trainable::SessionsOnly => freeze_except(model.valid(), M::is_session_parameter),
        };
        let settings = config.loop_config();
        Self::with_task(model, MaskedSpikes::new(sessions, config, seed)?, settings, n_threads)
    }
}

impl<M: Module, T: TrainTask<M>> Trainer<M, T> {
    /// A run of any task from its first step. `n_threads` changes the speed, never the result.
    ///
    /// # Errors
    /// If the configuration is out of range or threads cannot be started.
    pub fn with_task(model: M, task: T, config: LoopConfig, n_threads: usize) -> Result<Self, TrainError> {
        config.validate()?;
        let model = model.valid();
        let n_threads = threads_on(&device_of(&model)?, n_threads.clamp(1, config.n_shards));
        Ok(Self {
            best_model: model.clone(),
            best: None,
            optimizer: AdamW::new(config.optimizer.clone()),
            step: 0,
            fingerprint: fingerprint(&model, &task)?,
            pools: one_thread_pools(n_threads)?,
            pool: (n_threads > 0).then(|| pool(n_threads)).transpose()?,
            model,
            task,
            config,
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

    /// One step: loss and gradient of a batch, clipping, update.
    ///
    /// # Errors
    /// If the loss is not a number or the model refuses its input.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        // By unique reference, which may go to another thread: models are `Send` but not `Sync`.
        let (model, task, step, pools) = (&mut self.model, &self.task, self.step, &self.pools);
        let TaskStep { session, scheme, loss, penalty, n_counted, mut gradients } =
            in_pool(self.pool.as_ref(), move || task.step(&*model, step, pools))?;
        let total = loss + penalty.unwrap_or(0.0);
        if !total.is_finite() {
            return Err(TrainError::Diverged { step: self.step + 1, session, scheme, loss: total });
        }
        let clip_norm = self.config.clip_norm;
        let norm = in_pool(self.pool.as_ref(), || match clip_norm {
            Some(max) => gradients.clip(max),
            None => gradients.norm(),
        });
        // A finite loss may have gradients that are none, and weights that took such a step are lost.
        if !norm.is_finite() {
            return Err(TrainError::DivergedGradients { step: self.step + 1, session, scheme, norm });
        }
        let grad_norm = clip_norm.map(|_| norm);
        let rates = self.config.schedule.at(self.step, self.config.n_steps);
        let report = StepReport {
            step: self.step + 1,
            session,
            scheme: scheme.to_owned(),
            loss,
            penalty,
            n_counted,
            lr: rates.lr,
            beta1: rates.beta1,
            grad_norm,
        };
        // The step owns the weights, so that it can write over them; the best model holds the place.
        let model = std::mem::replace(&mut self.model, self.best_model.clone());
        self.model = in_pool(self.pool.as_ref(), || self.optimizer.step(model, gradients, rates));
        self.step += 1;
        Ok(report)
    }

    /// Scores the model on validation trials and remembers it if it is the best so far.
    ///
    /// # Errors
    /// If the model refuses its input.
    pub fn validate(&mut self) -> Result<(ValidationReport, bool), TrainError> {
        let report = self.task.validate(&self.model, self.step, self.pools.len())?;
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
        let mut stopped_early = self.step < self.config.n_steps && self.is_out_of_patience();
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
                on_event(TrainEvent::Checkpointing { step: self.step })?;
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
