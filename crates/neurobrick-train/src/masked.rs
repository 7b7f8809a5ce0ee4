//! Masked prediction of spikes: the task of population models.

use std::path::Path;
use std::sync::Arc;

use ndarray::Axis;
use neurobrick_core::{PopulationModel, SessionSpec};
use neurobrick_data::{BatchPlan, SessionData, TrialSplit};
use neurobrick_random::{Domain, Stream};

use crate::checkpoint::to_json;
use crate::{
    Objective, TaskStep, TrainConfig, TrainError, TrainTask, ValidationReport, objective_and_gradients,
    validate,
};

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

/// Spikes that a mask hides, predicted from those that it shows: batches of one session, one scheme each.
#[derive(Clone, Debug)]
pub struct MaskedSpikes {
    sessions: Vec<TrainSession>,
    config: TrainConfig,
    seed: u64,
    plan: BatchPlan,
}

impl MaskedSpikes {
    /// The task on these sessions.
    ///
    /// # Errors
    /// If there is no session.
    pub fn new(sessions: Vec<TrainSession>, config: TrainConfig, seed: u64) -> Result<Self, TrainError> {
        if sessions.is_empty() {
            return Err(TrainError::NoSessions);
        }
        let n_trials: Vec<usize> = sessions.iter().map(|s| s.split.train.len()).collect();
        let plan = BatchPlan::new(&n_trials, config.batch_size, seed);
        let plan = if config.faithful { plan.fixed() } else { plan };
        Ok(Self { sessions, config, seed, plan })
    }
}

impl<M: PopulationModel> TrainTask<M> for MaskedSpikes {
    fn step(&self, model: &M, step: u64, pools: &[rayon::ThreadPool]) -> Result<TaskStep, TrainError> {
        let planned = self.plan.batch(step);
        let session = &self.sessions[planned.session_idx];
        let data = &session.data;
        let draw = Stream::new(self.seed, Domain::Scheme, [step, 0, 0]).below(self.config.schemes.len());
        let scheme = self.config.schemes[draw];
        let trials: Vec<usize> = planned.trials.iter().map(|&i| session.split.train[i]).collect();
        let counts = data.counts().select(Axis(0), &trials);
        let masking = scheme.draw(trials.len(), data.n_bins(), data.regions(), self.seed, [step, 0]);
        let n_counted = masking.counted().iter().filter(|&&c| c).count() as u64;
        let objective = Objective {
            masking: &masking,
            dropout: Some((self.seed, step)),
            penalties: self.config.penalty_ramps.at(step),
        };
        let n_shards = self.config.n_shards;
        let (loss, gradients) =
            objective_and_gradients(model, data.session(), counts.view(), objective, n_shards, pools)?;
        Ok(TaskStep {
            session: data.session().to_string(),
            scheme: scheme.name(),
            loss: loss.likelihood / n_counted.max(1) as f64,
            penalty: (loss.penalty != 0.0).then(|| loss.penalty / trials.len() as f64),
            n_counted,
            gradients,
        })
    }

    fn validate(&self, model: &M, step: u64, n_threads: usize) -> Result<ValidationReport, TrainError> {
        let draw = if self.config.faithful { step } else { 0 };
        validate(model, &self.sessions, &self.config.schemes, self.seed, draw, n_threads)
    }

    fn identify(&self, add: &mut dyn FnMut(&[u8])) -> Result<(), TrainError> {
        let specs: Vec<_> = self.sessions.iter().map(|s| (s.spec(), &s.split)).collect();
        add(&to_json(&(&self.config, self.seed, specs), Path::new("fingerprint"))?);
        for session in &self.sessions {
            for trial in session.data.counts().outer_iter() {
                let bytes: Vec<u8> = trial.iter().flat_map(|count| count.to_le_bytes()).collect();
                add(&bytes);
            }
        }
        Ok(())
    }
}
