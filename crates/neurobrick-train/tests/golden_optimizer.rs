//! The optimizer, clipping and ramps against PyTorch's numbers, and the shipped training of LFADS.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use neurobrick_testkit::{Golden, GoldenArray, golden_json, part, test_device};
use neurobrick_train::{AdamW, AdamWConfig, Gradients, Ramp, Rates, TrainConfig};

#[derive(Module, Debug)]
struct Matrix {
    p: Param<Tensor<2>>,
}

/// Minimizes the mean of `(A p − b)²` for six steps and compares `p` after each.
fn check_trace(golden: &Golden, name: &str, config: AdamWConfig) {
    let device = test_device().autodiff();
    let [start, a, b] = ["p0", "A", "b"].map(|n| golden[&format!("problem/{n}")].tensor::<2>(&device));
    let expected = &golden[&format!("traces/{name}")].values;
    let mut optimizer = AdamW::new(config);
    let mut model = Matrix { p: Param::from_tensor(start.inner()) };
    for expected in expected.chunks_exact(12) {
        let live = model.clone().train();
        let error = a.clone().matmul(live.p.val()) - b.clone();
        let gradients = Gradients::collect(&live, error.square().mean().backward());
        model = optimizer.step(model, gradients, Rates { lr: 0.01, beta1: 0.9 });
        let found = GoldenArray::of(model.p.val()).values;
        for (f, e) in found.iter().zip(expected) {
            // Single precision against double.
            assert!((f - e).abs() < 1e-6 * e.abs().max(1.0), "{name}: {f} is not {e}");
        }
    }
}

#[test]
fn updates_are_those_of_pytorch() {
    let golden = golden_json("lfads/optimizers.json");
    let config = |eps, weight_decay| AdamWConfig { beta2: 0.999, eps, weight_decay };
    check_trace(&golden, "adamw_lr0p01_eps1e-8_wd0", config(1e-8, 0.0));
    check_trace(&golden, "adamw_lr0p01_eps1e-7_wd0p1", config(1e-7, 0.1));
    check_trace(&golden, "adam_lr0p01_eps0p1", config(0.1, 0.0));
}

#[test]
fn ramps_are_those_of_the_reference() {
    let golden = golden_json("lfads/optimizers.json");
    for (name, start, n_steps) in [("start0_inc4", 0, 4), ("start3_inc2", 3, 2), ("start0_inc0", 0, 0)] {
        let values = part(&golden, &format!("ramp/{name}/"));
        assert!(values.len() > 2, "{name}");
        for (step, expected) in &values {
            let found = Ramp { start, n_steps }.at(step.parse().unwrap());
            assert!((found - expected.scalar()).abs() < 1e-12, "{name}, step {step}: {found}");
        }
    }
}

#[test]
fn the_shipped_training_of_lfads_loads() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/configs/lfads/train_mc_maze.toml");
    let config: TrainConfig = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    config.validate().unwrap();
    let rates: Vec<Rates> = [0, 1, 5000, 8999].map(|step| config.schedule.at(step, config.n_steps)).to_vec();
    assert!(rates.iter().all(|r| (r.lr - 4e-3).abs() < 1e-15 && (r.beta1 - 0.9).abs() < 1e-15), "{rates:?}");
    let ramp = |step| config.penalty_ramps.at(step).divergence;
    assert!(ramp(0) > 0.0 && ramp(0) < 0.01 && (ramp(720) - 1.0).abs() < 1e-12, "{} {}", ramp(0), ramp(720));
}
