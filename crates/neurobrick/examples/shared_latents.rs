//! What stitching is for: sessions of one made-up brain, each of other units and few trials, whose latents are known. One model
//! of all sessions against one model for each, and shared channels that start aligned against those that start at random.
//!
//! `cargo run --release -p neurobrick --example shared_latents -- <sessions> <trials> <steps> <seed>`; without numbers 8 sessions
//! of 48 trials, 2000 steps and seed 1.
#![allow(clippy::print_stdout, reason = "an example talks; the test that runs it does not")]

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use ndarray::{Array2, Array3, Axis, concatenate};
use neurobrick::config::AlignmentConfig;
use neurobrick::pipeline::SharedConditions;
use neurobrick::prelude::{
    MaskScheme, Masking, Mode, ModelInput, PopulationModel, SessionSpec, TrainConfig, TrainSession, Trainer,
    TrialSplit,
};
use neurobrick_core::Prompt;
use neurobrick_metrics::{Edge, RidgeRegression, r2, smooth_over_time};
use neurobrick_models::{Lfads, LfadsConfig};
use neurobrick_testkit::{SharedBrain, SharedSession};
use neurobrick_train::{OneCycle, PenaltyRamps, Ramp};

/// Shared channels, and factors of the model: more than the six latents of the brain.
const N_COMPONENTS: usize = 12;

/// Size of the data and of the training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) n_sessions: usize,
    pub(crate) n_trials: usize,
    pub(crate) n_units: usize,
    /// Steps of a model of all sessions; a model of one session takes as many of them as that session has there.
    pub(crate) n_steps: u64,
    pub(crate) seed: u64,
}

/// R² with the truth on trials that were not trained on, mean over sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scores {
    /// Of expected spikes per bin, mean over units.
    pub(crate) rates: f64,
    /// Of the brain's latents, read from the model's by a ridge regression fitted to training trials of the same session.
    pub(crate) within: f64,
    /// The same, but fitted to the training trials of all other sessions: only latents that mean the same everywhere pass.
    pub(crate) across: f64,
}

type Answer<T> = Result<T, Box<dyn std::error::Error>>;

/// What is known of one session.
struct Recorded {
    truth: SharedSession,
    train: TrainSession,
}

/// Scores of the stitched model that starts aligned, of the one that starts at random, of single-session models, and R² of
/// rates and latents from smoothed counts.
pub(crate) fn run(size: Size, mut tell: impl FnMut(&str)) -> Answer<([Scores; 3], [f64; 2])> {
    let brain = SharedBrain { n_pairs: 1, n_bins: 50, ..SharedBrain::new(size.seed) };
    let sessions = (0..size.n_sessions as u64)
        .map(|number| {
            let truth = brain.session(number, size.n_trials, size.n_units);
            // Conditions alternate, so both parts have trials of all of them.
            let n_train = size.n_trials * 2 / 3;
            let split = TrialSplit {
                train: (0..n_train).collect(),
                valid: (n_train..size.n_trials).collect(),
                test: Vec::new(),
            };
            let train = TrainSession::new(Arc::new(truth.data()), split)?;
            Ok(Recorded { truth, train })
        })
        .collect::<Answer<Vec<_>>>()?;
    let all: Vec<TrainSession> = sessions.iter().map(|s| s.train.clone()).collect();
    let device = Device::flex();
    let alignment = AlignmentConfig {
        condition_columns: vec!["condition".to_owned()],
        n_components: N_COMPONENTS,
        sigma_bins: 2.0,
        alpha: 1.0,
    };
    let shared = SharedConditions::fit(&alignment, &all)?;
    let specs: Vec<SessionSpec> = all.iter().map(TrainSession::spec).collect();
    let fresh = |specs: &[SessionSpec]| Lfads::new(model_config(), specs, size.seed, &device);
    let aligned =
        trained(shared.start(fresh(&specs)?, &all, &device)?, all.clone(), size.n_steps, size.seed)?;
    let aligned = scores(&sessions, |_| &aligned)?;
    tell(&format!("stitched, aligned: {aligned:?}"));
    let random = trained(fresh(&specs)?, all.clone(), size.n_steps, size.seed)?;
    let random = scores(&sessions, |_| &random)?;
    tell(&format!("stitched, at random: {random:?}"));
    let n_steps = size.n_steps / size.n_sessions as u64;
    let singles = all
        .iter()
        .map(|session| trained(fresh(&[session.spec()])?, vec![session.clone()], n_steps, size.seed))
        .collect::<Answer<Vec<_>>>()?;
    let single = scores(&sessions, |i| &singles[i])?;
    tell(&format!("a model for each session: {single:?}"));
    Ok(([aligned, random, single], smoothing(&sessions)?))
}

fn model_config() -> LfadsConfig {
    LfadsConfig { d_read_in: Some(N_COMPONENTS), n_factors: N_COMPONENTS, ..LfadsConfig::small(50) }
}

fn trained(model: Lfads, sessions: Vec<TrainSession>, n_steps: u64, seed: u64) -> Answer<Lfads> {
    let mut trainer = Trainer::new(model, sessions, train_config(n_steps), seed, 2)?;
    while trainer.steps_done() < n_steps {
        trainer.step()?;
    }
    Ok(trainer.model().clone())
}

/// Coordinated dropout and the one-cycle schedule; penalties rise over the first fifth.
fn train_config(n_steps: u64) -> TrainConfig {
    let ramp = Ramp { start: 0, n_steps: n_steps / 5 };
    TrainConfig {
        n_steps,
        batch_size: 32,
        schemes: vec![MaskScheme::CoordinatedDropout { ratio: 0.3 }],
        schedule: OneCycle {
            max_lr: 5e-3,
            pct_start: 0.2,
            base_momentum: 0.9,
            max_momentum: 0.9,
            ..OneCycle::default()
        },
        optimizer: neurobrick_train::AdamWConfig { weight_decay: 0.0, ..Default::default() },
        penalty_ramps: PenaltyRamps { divergence: ramp, weights: ramp },
        clip_norm: Some(2000.0),
        trainable: neurobrick_train::Trainable::All,
        n_shards: 2,
        valid_every: n_steps,
        patience: None,
        checkpoint_every: n_steps,
        faithful: false,
    }
}

/// Expected spikes per bin and latents of `trials`, with nothing hidden.
fn answers(model: &Lfads, session: &TrainSession, trials: &[usize]) -> Answer<(Array3<f64>, Array3<f64>)> {
    let counts = session.data.counts().select(Axis(0), trials);
    let (b, t, n) = counts.dim();
    let masking = Masking::nothing([b, t, n], Prompt::Neuron);
    let input = ModelInput::new(session.data.session(), counts.view(), &masking, &Device::flex());
    let output = model.forward(&input, Mode::Eval)?;
    let array = |tensor: Tensor<3>| -> Answer<Array3<f64>> {
        let [a, b, c] = tensor.dims();
        Ok(Array3::from_shape_vec((a, b, c), tensor.into_data().iter::<f64>().collect())?)
    };
    Ok((array(output.log_rates)?.mapv(f64::exp), array(output.latents)?))
}

fn rows(x: &Array3<f64>) -> Answer<Array2<f64>> {
    let (b, t, n) = x.dim();
    Ok(x.as_standard_layout().into_owned().into_shape_with_order((b * t, n))?)
}

fn scores<'a>(sessions: &[Recorded], model: impl Fn(usize) -> &'a Lfads) -> Answer<Scores> {
    let (mut fitted, mut held_out) = (Vec::new(), Vec::new());
    let mut of_rates = 0.0;
    for (i, session) in sessions.iter().enumerate() {
        let split = &session.train.split;
        let truth = |trials: &[usize]| rows(&session.truth.latents.select(Axis(0), trials));
        let (_, latents) = answers(model(i), &session.train, &split.train)?;
        fitted.push((rows(&latents)?, truth(&split.train)?));
        let (rates, latents) = answers(model(i), &session.train, &split.valid)?;
        held_out.push((rows(&latents)?, truth(&split.valid)?));
        let true_rates = rows(&session.truth.rates.select(Axis(0), &split.valid))?;
        of_rates += r2::uniform(&true_rates.view(), &rows(&rates)?.view())?;
    }
    let read = |from: &[usize], at: usize| -> Answer<f64> {
        let latents: Vec<_> = from.iter().map(|&i| fitted[i].0.view()).collect();
        let truth: Vec<_> = from.iter().map(|&i| fitted[i].1.view()).collect();
        let (latents, truth) = (concatenate(Axis(0), &latents)?, concatenate(Axis(0), &truth)?);
        let fit = RidgeRegression::fit(&latents.view(), &truth.view(), 1.0)?;
        let (latents, truth): &(Array2<f64>, Array2<f64>) = &held_out[at];
        Ok(r2::uniform(&truth.view(), &fit.predict(&latents.view())?.view())?)
    };
    let n = sessions.len();
    let (mut within, mut across) = (0.0, 0.0);
    for at in 0..n {
        let others: Vec<usize> = (0..n).filter(|&i| i != at).collect();
        within += read(&[at], at)?;
        across += read(&others, at)?;
    }
    let mean = |sum: f64| sum / n as f64;
    Ok(Scores { rates: mean(of_rates), within: mean(within), across: mean(across) })
}

/// R² of rates and of latents, read as from a model, from counts smoothed at the width that scores best on the truth.
fn smoothing(sessions: &[Recorded]) -> Answer<[f64; 2]> {
    let mut best = [f64::NEG_INFINITY; 2];
    for sigma_bins in [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0] {
        let mut sums = [0.0; 2];
        for session in sessions {
            let smoothed = |trials: &[usize]| -> Answer<Array2<f64>> {
                let counts = session.train.data.counts_of(trials);
                rows(&smooth_over_time(&counts.view(), sigma_bins, Edge::Renormalized)?)
            };
            let latents = |trials: &[usize]| rows(&session.truth.latents.select(Axis(0), trials));
            let TrialSplit { train, valid, .. } = &session.train.split;
            let counts = smoothed(valid)?;
            let rates = rows(&session.truth.rates.select(Axis(0), valid))?;
            sums[0] += r2::uniform(&rates.view(), &counts.view())?;
            let fit = RidgeRegression::fit(&smoothed(train)?.view(), &latents(train)?.view(), 1.0)?;
            sums[1] += r2::uniform(&latents(valid)?.view(), &fit.predict(&counts.view())?.view())?;
        }
        for (best, sum) in best.iter_mut().zip(sums) {
            *best = best.max(sum / sessions.len() as f64);
        }
    }
    Ok(best)
}

fn main() -> Answer<()> {
    let given = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<Vec<usize>, _>>()?;
    let number = |i: usize, default: usize| given.get(i).copied().unwrap_or(default);
    let size = Size {
        n_sessions: number(0, 8),
        n_trials: number(1, 48),
        n_units: 30,
        n_steps: number(2, 2000) as u64,
        seed: number(3, 1) as u64,
    };
    let started = std::time::Instant::now();
    let (scores, smoothing) = run(size, |line| println!("{line}"))?;
    println!("{size:?}");
    println!("R² with the truth          rates   latents within   latents across sessions");
    for (name, Scores { rates, within, across }) in
        ["stitched, aligned", "stitched, at random", "one model a session"].into_iter().zip(scores)
    {
        println!("{name:<25}{rates:>7.3}{within:>17.3}{across:>26.3}");
    }
    println!("{:<25}{:>7.3}{:>17.3}", "smoothed counts", smoothing[0], smoothing[1]);
    println!("{:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}
