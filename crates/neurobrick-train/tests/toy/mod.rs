//! A model that is no part of neurobrick: training must work with any.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a failed unwrap is a failed test; each program uses a part"
)]

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::{Mode, ModelError, ModelInput, Output, PopulationModel, SessionSpec};
use neurobrick_data::TrialSplit;
use neurobrick_nn::{Dropout, InitStreams, ReadOutStart, SessionStitch, linear};
use neurobrick_schema::SessionId;
use neurobrick_testkit::{synthetic_data, test_device};
use neurobrick_train::TrainSession;

pub(crate) const N_BINS: usize = 8;
const WIDTH: usize = 6;

/// Units → six latents with dropout → units, each bin by itself.
#[derive(Module, Debug)]
pub(crate) struct Toy {
    stitches: Vec<SessionStitch>,
    core: Linear,
    dropout: Dropout,
    #[module(skip)]
    table: Vec<SessionSpec>,
    /// Added to all log rates; not saved.
    #[module(skip)]
    pub(crate) shift: f64,
    /// Whether a zero is added to all log rates whose slope is beyond all numbers; not saved.
    #[module(skip)]
    pub(crate) cliff: bool,
}

impl Toy {
    pub(crate) fn new(sessions: &[SessionSpec], seed: u64, device: &Device) -> Self {
        let core = linear(WIDTH, WIDTH, &mut InitStreams::new(seed, "core"), device);
        let dropout = Dropout::new(0.3, 0);
        let empty = Self { stitches: Vec::new(), core, dropout, table: Vec::new(), shift: 0.0, cliff: false };
        empty.with_sessions(sessions, seed, device).unwrap()
    }
}

impl PopulationModel for Toy {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError> {
        let stitch = &self.stitches[self.session_idx(&input.session)?];
        let hidden = self.core.forward(stitch.read_in.forward(input.counts.clone())).tanh();
        let latents = self.dropout.forward(hidden, mode);
        let log_rates = stitch.read_out.forward(latents.clone()) + self.shift;
        let steep = |x: Tensor<3>| (x.clone() - x.detach()) * f32::MAX * f32::MAX;
        let log_rates = if self.cliff { log_rates.clone() + steep(log_rates) } else { log_rates };
        Ok(Output { log_rates, latents })
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let stitch = |spec: &SessionSpec| {
            if let Ok(idx) = self.session_idx(&spec.session) {
                return self.stitches[idx].clone();
            }
            let start = match &spec.log_mean_rates {
                Some(log_mean_rates) => ReadOutStart::LogMeanRates { log_mean_rates, weight_scale: 0.1 },
                None => ReadOutStart::Default,
            };
            let mut init = InitStreams::new(seed, spec.session.as_str());
            SessionStitch::new(spec.n_units, WIDTH, WIDTH, start, &mut init, device)
        };
        Ok(Self { stitches: sessions.iter().map(stitch).collect(), table: sessions.to_vec(), ..self.clone() })
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        Ok(Self {
            stitches: vec![self.stitches[idx].clone()],
            core: self.core.clone(),
            dropout: self.dropout.clone(),
            table: vec![self.table[idx].clone()],
            shift: self.shift,
            cliff: self.cliff,
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("stitches.")
    }
}

/// Two synthetic sessions of 20 trials, with 9 and 12 units.
pub(crate) fn sessions() -> Vec<TrainSession> {
    sessions_of(20)
}

/// Two synthetic sessions of some tens of trials: seven tenths train, three twentieths each validate and test.
pub(crate) fn sessions_of(n_trials: usize) -> Vec<TrainSession> {
    let (n_train, n_not_test) = (n_trials * 7 / 10, n_trials * 17 / 20);
    let session = |(seed, n_units)| {
        let data = synthetic_data(seed, n_trials, N_BINS, n_units, 2);
        let split = TrialSplit {
            train: (0..n_train).collect(),
            valid: (n_train..n_not_test).collect(),
            test: (n_not_test..n_trials).collect(),
        };
        TrainSession::new(Arc::new(data), split).unwrap()
    };
    [(1, 9), (2, 12)].map(session).to_vec()
}

/// A fresh toy model for [`sessions`].
pub(crate) fn toy(seed: u64) -> Toy {
    let specs: Vec<SessionSpec> = sessions().iter().map(TrainSession::spec).collect();
    Toy::new(&specs, seed, &test_device())
}
