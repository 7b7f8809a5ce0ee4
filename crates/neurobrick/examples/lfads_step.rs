//! Milliseconds of a training step of LFADS at the sizes of `MC_Maze`: one for every line on standard input, so that
//! `benches/peers/lfads_step.py` can let PyTorch and this program take turns.
#![expect(clippy::print_stdout, reason = "the answer goes to whoever asked")]

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use neurobrick::models::{Lfads, LfadsConfig};
use neurobrick::prelude::*;
use neurobrick_testkit::lorenz_population;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/configs/lfads");
    let read = |name: &str| std::fs::read_to_string(configs.join(name));
    let ModelConfig::Lfads(config) = toml::from_str(&read("mc_maze_20ms.toml")?)? else {
        return Err("mc_maze_20ms.toml is not of LFADS".into());
    };
    let train: TrainConfig = toml::from_str(&read("train_mc_maze.toml")?)?;
    let mut trainer = trainer(config, train)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let started = Instant::now();
        trainer.step()?;
        println!("{:.3}", 1e3 * started.elapsed().as_secs_f64());
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// A batch of 256 of 256 trials of 182 units.
fn trainer(config: LfadsConfig, train: TrainConfig) -> Result<Trainer<Lfads>, Box<dyn std::error::Error>> {
    let population = lorenz_population(1, 1, 32, 9, config.n_bins, 182);
    let split = TrialSplit { train: (0..256).collect(), valid: (256..288).collect(), test: Vec::new() };
    let session = TrainSession::new(Arc::new(population.data), split)?;
    let model = Lfads::new(config, &[session.spec()], 1, &Device::flex())?;
    Ok(Trainer::new(model, vec![session], train, 1, 2)?)
}
