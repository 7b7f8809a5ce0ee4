//! LFADS finds the true rates of a population that follows the Lorenz system, better than smoothing and trial averages.
//!
//! `cargo run --release -p neurobrick --example lfads_lorenz -- <conditions> <repeats> <steps>`; without numbers the
//! published size of the data (65 conditions, 20 repeats, 29 units, 50 bins) and 3000 steps.
#![allow(clippy::print_stdout, reason = "an example talks; the test that runs it does not")]

use std::sync::Arc;

use burn::tensor::Device;
use ndarray::{Array2, Array3, Axis};
use neurobrick::prelude::{
    MaskScheme, Masking, Mode, ModelInput, PopulationModel, TrainConfig, TrainSession, Trainer, TrialSplit,
};
use neurobrick_core::Prompt;
use neurobrick_metrics::baselines::{Psth, PsthGrid};
use neurobrick_metrics::{Edge, r2, smooth_over_time};
use neurobrick_models::{Lfads, LfadsConfig};
use neurobrick_testkit::{LorenzPopulation, lorenz_population};
use neurobrick_train::{OneCycle, PenaltyRamps, Ramp};

/// Size of the data and of the training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) n_conditions: usize,
    pub(crate) n_repeats: usize,
    pub(crate) n_bins: usize,
    pub(crate) n_units: usize,
    pub(crate) n_steps: u64,
    pub(crate) seed: u64,
}

/// R² of expected spikes per bin with the true ones, over trials and bins of the held-out repeats, mean over units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scores {
    pub(crate) lfads: f64,
    /// Gaussian smoothing of the trial's own counts, at the width that scores best: smoothing is given the truth to choose.
    pub(crate) smoothing: f64,
    /// Smoothed mean of the training trials of the same condition.
    pub(crate) psth: f64,
}

type Answer<T> = Result<T, Box<dyn std::error::Error>>;

/// Trains on four fifths of the repeats and scores the rest.
pub(crate) fn run(size: Size, mut tell: impl FnMut(&str)) -> Answer<Scores> {
    let Size { n_conditions, n_repeats, n_bins, n_units, n_steps, seed } = size;
    let population = lorenz_population(seed, seed, n_conditions, n_repeats, n_bins, n_units);
    let n_train = n_conditions * (n_repeats * 4 / 5);
    let split = TrialSplit {
        train: (0..n_train).collect(),
        valid: (n_train..n_conditions * n_repeats).collect(),
        test: Vec::new(),
    };
    let session = TrainSession::new(Arc::new(population.data.clone()), split.clone())?;
    let model = Lfads::new(LfadsConfig::small(n_bins), &[session.spec()], seed, &Device::flex())?;
    let mut trainer = Trainer::new(model, vec![session], config(n_steps), seed, 2)?;
    while trainer.steps_done() < n_steps {
        let report = trainer.step()?;
        if report.step.is_multiple_of(250) {
            let r2 = score(&population, &split.valid, &rates(trainer.model(), &population, &split.valid)?)?;
            let penalty = report.penalty.unwrap_or(0.0);
            tell(&format!(
                "step {}: loss {:.4} nats, penalty {penalty:.3} nats a trial, R² {r2:.4}",
                report.step, report.loss
            ));
        }
    }
    let lfads = score(&population, &split.valid, &rates(trainer.model(), &population, &split.valid)?)?;
    Ok(Scores { lfads, smoothing: smoothing(&population, &split.valid)?, psth: psth(&population, &split)? })
}

/// Coordinated dropout and the one-cycle schedule; penalties rise over the first fifth.
fn config(n_steps: u64) -> TrainConfig {
    TrainConfig {
        n_steps,
        batch_size: 64,
        schemes: vec![MaskScheme::CoordinatedDropout { ratio: 0.3 }],
        schedule: OneCycle {
            max_lr: 1e-2,
            pct_start: 0.2,
            base_momentum: 0.9,
            max_momentum: 0.9,
            ..OneCycle::default()
        },
        optimizer: neurobrick_train::AdamWConfig { weight_decay: 0.0, ..Default::default() },
        penalty_ramps: PenaltyRamps {
            divergence: Ramp { start: 0, n_steps: n_steps / 5 },
            weights: Ramp { start: 0, n_steps: n_steps / 5 },
        },
        clip_norm: Some(2000.0),
        trainable: neurobrick_train::Trainable::All,
        n_shards: 2,
        valid_every: n_steps,
        patience: None,
        checkpoint_every: n_steps,
        faithful: false,
    }
}

/// Expected spikes per bin of `trials`, with nothing hidden.
fn rates(model: &Lfads, population: &LorenzPopulation, trials: &[usize]) -> Answer<Array3<f64>> {
    let data = &population.data;
    let counts = data.counts().select(Axis(0), trials);
    let (b, t, n) = counts.dim();
    let masking = Masking::nothing([b, t, n], Prompt::Neuron);
    let input = ModelInput::new(data.session(), counts.view(), &masking, &Device::flex());
    let log_rates = model.forward(&input, Mode::Eval)?.log_rates.into_data();
    Ok(Array3::from_shape_vec((b, t, n), log_rates.iter::<f64>().map(f64::exp).collect())?)
}

fn score(population: &LorenzPopulation, trials: &[usize], rates: &Array3<f64>) -> Answer<f64> {
    let flat = |x: &Array3<f64>| -> Answer<Array2<f64>> {
        let (b, t, n) = x.dim();
        Ok(x.as_standard_layout().into_owned().into_shape_with_order((b * t, n))?)
    };
    let truth = flat(&population.rates.select(Axis(0), trials))?;
    Ok(r2::uniform(&truth.view(), &flat(rates)?.view())?)
}

fn smoothing(population: &LorenzPopulation, trials: &[usize]) -> Answer<f64> {
    let counts = population.data.counts().select(Axis(0), trials).mapv(f64::from);
    let mut best = f64::NEG_INFINITY;
    for sigma_bins in [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0] {
        let smoothed = smooth_over_time(&counts.view(), sigma_bins, Edge::Renormalized)?;
        best = best.max(score(population, trials, &smoothed)?);
    }
    Ok(best)
}

fn psth(population: &LorenzPopulation, split: &TrialSplit) -> Answer<f64> {
    let counts = |trials: &[usize]| population.data.counts().select(Axis(0), trials).mapv(f64::from);
    let conditions = |trials: &[usize]| trials.iter().map(|&t| population.conditions[t]).collect::<Vec<_>>();
    let psth = Psth::fit(
        &counts(&split.train).view(),
        &conditions(&split.train),
        &counts(&split.valid).view(),
        &conditions(&split.valid),
        &PsthGrid::default(),
    )?;
    score(population, &split.valid, &psth.predict(&conditions(&split.valid)))
}

fn main() -> Answer<()> {
    let given = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<usize>, _>>()?;
    let number = |i: usize, default: usize| given.get(i).copied().unwrap_or(default);
    let size = Size {
        n_conditions: number(0, 65),
        n_repeats: number(1, 20),
        n_bins: 50,
        n_units: 29,
        n_steps: number(2, 3000) as u64,
        seed: 1,
    };
    let started = std::time::Instant::now();
    let scores = run(size, |line| println!("{line}"))?;
    println!("{size:?}");
    let Scores { lfads, smoothing, psth } = scores;
    println!("R² with the true rates: LFADS {lfads:.4}, smoothing {smoothing:.4}, trial averages {psth:.4}");
    println!("{:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
