//! POYO on made-up spikes: units of two sessions are tuned to a velocity that changes within each window, and one model
//! learns to decode it from single spikes.
//!
//! ```bash
//! cargo run --release -p neurobrick --example decode_with_poyo
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick::core::{DropoutStreams, Mode, SessionSpec};
use neurobrick::models::{Poyo, PoyoConfig, PoyoWindow, Spike};
use neurobrick::random::{Domain, Stream};
use neurobrick::schema::SessionId;
use neurobrick::train::{AdamW, AdamWConfig, Gradients, OneCycle};

const N_UNITS: [usize; 2] = [24, 30];
const N_STEPS: u64 = 240;
const BATCH: u64 = 8;
const N_TIMES: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let config = PoyoConfig {
        latents_per_step: 4,
        d_model: 32,
        d_head: 16,
        n_layers: 2,
        n_self_heads: 2,
        dropout_residual: 0.1,
        dropout_attention: 0.0,
        ..PoyoConfig::small(2)
    };
    let spec = |(i, &n_units): (usize, &usize)| -> Result<SessionSpec, Box<dyn Error>> {
        Ok(SessionSpec { session: SessionId::new(format!("made-up-{i}"))?, n_units, log_mean_rates: None })
    };
    let specs = N_UNITS.iter().enumerate().map(spec).collect::<Result<Vec<_>, _>>()?;
    let mut model = Poyo::new(config, &specs, 1, &device)?;
    let schedule = OneCycle { max_lr: 4e-3, pct_start: 0.3, ..OneCycle::default() };
    let mut optimizer = AdamW::new(AdamWConfig { weight_decay: 1e-4, ..AdamWConfig::default() });
    for step in 0..N_STEPS {
        let (windows, targets) = batch(&specs, step);
        let learner = model.clone().train();
        let streams = DropoutStreams::new(1, step, 0);
        let outputs = learner.forward(&windows, Mode::Train(&streams))?;
        let loss = (outputs - tensor(targets, &device.clone().autodiff())).powi_scalar(2).mean();
        if step % 60 == 0 {
            println!("step {step:3}: squared error {:.3}", loss.clone().inner().into_scalar::<f32>());
        }
        let mut gradients = Gradients::collect(&learner, loss.backward());
        gradients.clip(1.0);
        model = optimizer.step(model, gradients, schedule.at(step, N_STEPS));
    }
    // Windows of steps that training never reached.
    let (mut residual, mut total) = (0.0, 0.0);
    for step in N_STEPS..N_STEPS + 10 {
        let (windows, targets) = batch(&specs, step);
        let outputs = model.forward(&windows, Mode::Eval)?.into_data();
        for (output, target) in outputs.iter::<f64>().zip(&targets) {
            residual += (output - f64::from(*target)).powi(2);
            total += f64::from(*target).powi(2);
        }
    }
    println!("held-out windows: R2 {:.3} of a velocity of mean zero", 1.0 - residual / total);
    Ok(())
}

fn tensor(values: Vec<f32>, device: &Device) -> Tensor<3> {
    let b = values.len() / (2 * N_TIMES);
    Tensor::from_data(TensorData::new(values, [b, N_TIMES, 2]), device)
}

/// Windows of both sessions and their velocities at the output times.
fn batch(specs: &[SessionSpec], step: u64) -> (Vec<PoyoWindow>, Vec<f32>) {
    let mut targets = Vec::new();
    let windows = (0..BATCH).map(|example| {
        let spec = &specs[usize::from(example % 2 == 1)];
        let mut draws = Stream::new(7, Domain::Synthetic, [step, example, 0]);
        let (phase, speed) = (draws.uniform_in(0.0, std::f64::consts::TAU), draws.uniform_in(2.0, 5.0));
        let velocity = |time: f64| [(phase + speed * time).cos(), (phase + speed * time).sin()];
        let mut spikes = Vec::new();
        for unit in 0..spec.n_units {
            // Preferred directions are those of the session, whatever the window.
            let mut own = Stream::new(7, Domain::Synthetic, [spec.n_units as u64, unit as u64, 1]);
            let preferred = own.uniform_in(0.0, std::f64::consts::TAU);
            // At most 30 spikes per second, thinned by the rate of the moment.
            for _ in 0..draws.poisson(30.0) {
                let time_s = draws.uniform();
                let [x, y] = velocity(time_s);
                let drive = x * preferred.cos() + y * preferred.sin();
                if draws.bernoulli((1.5 * (drive - 1.0)).exp()) {
                    spikes.push(Spike { unit, time_s });
                }
            }
        }
        let output_times_s: Vec<f64> = (0..N_TIMES).map(|i| (i as f64 + 0.5) / N_TIMES as f64).collect();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "single precision is what the model computes in"
        )]
        targets.extend(output_times_s.iter().flat_map(|&time| velocity(time).map(|v| v as f32)));
        PoyoWindow { session: spec.session.clone(), spikes, output_times_s }
    });
    let windows = windows.collect();
    (windows, targets)
}
