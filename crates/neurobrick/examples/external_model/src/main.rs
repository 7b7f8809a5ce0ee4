//! Trains the model of this crate on a synthetic population by masking units, scores it beside all baselines, and writes the
//! report to `runs/external_model` or the folder that is named.
#![expect(clippy::print_stdout, reason = "an example talks")]

use burn::tensor::Device;
use external_model::{SmoothedBins, SmoothedLinear};
use neurobrick::config::EvaluateConfig;
use neurobrick::pipeline::{self, OwnModel, Silent};
use neurobrick::prelude::*;
use neurobrick::schema::Store;
use neurobrick::train::{OneCycle, TrainEvent};
use neurobrick::{Compute, load_sessions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or("runs/external_model".to_owned()));
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

    let tokenizer = SmoothedBins::new(5, session.data.bin_size_s())?;
    let model = SmoothedLinear::new(
        tokenizer,
        session.data.n_bins(),
        &[session.spec()],
        config.seed,
        &Device::flex(),
    )?;
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
        note: "mean counts of five bins, mixed linearly; trained on this session alone".to_owned(),
    };
    let run = out.join("evaluation");
    let page =
        pipeline::evaluate_own(&config, &[own], &run, "external_model", Compute::threads(1), &mut Silent)?;
    for verdict in neurobrick::report::verdicts(&page) {
        println!("{}: {}", verdict.task.label(), verdict.baseline_sentence());
    }
    println!("report: {}", run.join("report.html").display());
    Ok(())
}
