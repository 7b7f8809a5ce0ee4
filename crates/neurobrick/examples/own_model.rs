//! A model of one's own: implement `PopulationModel`, train it, score it, get the report.
//!
//! `SmoothedLinear` averages counts over the window, mixes units linearly, and adds what it finds to each unit's log
//! mean rate. It is trained here on a synthetic population by masking units, then scored beside all baselines, with a report
//! in `runs/own_model` or the folder that is named.
#![expect(clippy::print_stdout, reason = "an example talks")]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick::config::EvaluateConfig;
use neurobrick::core::{ModelError, Output};
use neurobrick::nn::{InitStreams, ReadOutStart, SessionStitch};
use neurobrick::pipeline::{self, OwnModel, Silent};
use neurobrick::prelude::*;
use neurobrick::schema::Store;
use neurobrick::train::{OneCycle, TrainEvent};
use neurobrick::{Compute, load_sessions};

/// Units → latents of the whole window → log rates, with one stitch per session.
#[derive(Module, Debug)]
struct SmoothedLinear {
    stitches: Vec<SessionStitch>,
    gain: Param<Tensor<1>>,
    #[module(skip)]
    table: Vec<SessionSpec>,
}

const WIDTH: usize = 8;

impl SmoothedLinear {
    fn new(sessions: &[SessionSpec], seed: u64, device: &Device) -> Self {
        let gain = Param::from_tensor(Tensor::from_data(TensorData::new(vec![1f32; WIDTH], [WIDTH]), device));
        let stitches = sessions.iter().map(|spec| stitch(spec, seed, device)).collect();
        Self { stitches, gain, table: sessions.to_vec() }
    }
}

fn stitch(spec: &SessionSpec, seed: u64, device: &Device) -> SessionStitch {
    let start = match &spec.log_mean_rates {
        Some(log_mean_rates) => ReadOutStart::LogMeanRates { log_mean_rates, weight_scale: 0.1 },
        None => ReadOutStart::Default,
    };
    let mut init = InitStreams::new(seed, spec.session.as_str());
    SessionStitch::new(spec.n_units, WIDTH, WIDTH, start, &mut init, device)
}

impl PopulationModel for SmoothedLinear {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, _mode: Mode<'_>) -> Result<Output, ModelError> {
        let stitch = &self.stitches[self.session_idx(&input.session)?];
        let window = input.counts.clone().mean_dim(1).expand(input.counts.dims());
        let latents = stitch.read_in.forward(window) * self.gain.val().unsqueeze();
        Ok(Output { log_rates: stitch.read_out.forward(latents.clone()), latents })
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let stitches = sessions
            .iter()
            .map(|spec| match self.session_idx(&spec.session) {
                Ok(idx) => self.stitches[idx].clone(),
                Err(_) => stitch(spec, seed, device),
            })
            .collect();
        Ok(Self { stitches, table: sessions.to_vec(), ..self.clone() })
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("stitches.")
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or("runs/own_model".to_owned()));
    let store = out.join("store");
    let recording = neurobrick_testkit::synthetic_session(7, 120, 20, 30, 3);
    if !store.exists() {
        Store::create(&store)?.write(&recording)?;
    }
    let id = recording.info().session.clone();
    // Seed, sessions, window and split in the words of a configuration file.
    let mut config: EvaluateConfig = neurobrick::config::parse_toml(
        "example",
        "seed = 7\nsessions = []\nmodels = []\n[data]\nstore = \"\"\n\
         window = { start_s = 0.0, end_s = 0.4, bin_size_s = 0.02 }",
    )?;
    (config.sessions, config.data.store) = (vec![id], store);
    let session = load_sessions(&config.data, &config.sessions, config.seed)?.remove(0).train;

    let model = SmoothedLinear::new(&[session.spec()], config.seed, &Device::flex());
    let training = TrainConfig {
        schedule: OneCycle { max_lr: 1e-2, ..OneCycle::default() },
        schemes: vec![MaskScheme::Neuron { ratio: 0.3 }],
        valid_every: 100,
        ..neurobrick::config::parse_toml("example", "n_steps = 400")?
    };
    let outcome = Trainer::new(model, vec![session], training, config.seed, 1)?.run(None, |event| {
        if let TrainEvent::Validated { step, report, .. } = event {
            println!("step {step}: {:+.4} bits/spike on validation trials", report.mean);
        }
        Ok(())
    })?;

    let own = OwnModel {
        name: "smoothed_linear".to_owned(),
        model: outcome.best,
        is_pretrained: false,
        note: "mean counts of the window, mixed linearly; trained on this session alone".to_owned(),
    };
    let run = out.join("evaluation");
    let page = pipeline::evaluate_own(&config, &[own], &run, "own_model", Compute::threads(1), &mut Silent)?;
    for verdict in neurobrick::report::verdicts(&page) {
        println!("{}: {}", verdict.task.label(), verdict.baseline_sentence());
    }
    println!("report: {}", run.join("report.html").display());
    Ok(())
}
