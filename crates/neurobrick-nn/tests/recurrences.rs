//! Fused recurrences against the Burn expressions they replace, values and gradients; noise that replays.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::{Tensor, TensorData};
use neurobrick_core::{DropoutStreams, Mode};
use neurobrick_nn::ops::{ControlledRun, composed, control, gru, gru_pair};
use neurobrick_nn::{Dropout, normal_noise};
use neurobrick_random::{Domain, Stream};
use neurobrick_testkit::test_device;
use proptest::prelude::*;

/// Normal values that record a graph.
fn draw<const D: usize>(shape: [usize; D], seed: u64, slot: u64, spread: f64) -> Tensor<D> {
    let mut stream = Stream::new(seed, Domain::Synthetic, [slot, 0, 0]);
    #[expect(clippy::cast_possible_truncation, reason = "inputs are single precision")]
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (spread * stream.normal()) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &test_device().autodiff()).require_grad()
}

fn values<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    x.to_data().iter::<f64>().collect()
}

/// Both sides round in single precision in other orders, over every bin of a recurrence: 5e-5 of the largest value is ten
/// times what was seen.
fn assert_close(name: &str, ours: &[f64], oracle: &[f64]) {
    assert_eq!(ours.len(), oracle.len(), "{name}");
    let size = oracle.iter().fold(0.1f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(oracle).enumerate() {
        assert!((a - b).abs() <= 5e-5 * size, "{name}[{i}]: {a} is not {b} (largest {size})");
    }
}

/// Value and gradients, by name, of a weighted sum of `out`.
fn outcome<const D: usize>(out: Tensor<D>, leaves: &[(&str, Leaf)]) -> Vec<(String, Vec<f64>)> {
    let shape: [usize; D] = out.dims();
    let probe = draw(shape, 99, 7, 1.0).detach();
    let grads = (out.clone() * probe).sum().backward();
    let mut all = vec![("out".to_owned(), values(&out))];
    for (name, leaf) in leaves {
        all.push(((*name).to_owned(), leaf.gradient(&grads)));
    }
    all
}

#[derive(Clone)]
enum Leaf {
    One(Tensor<1>),
    Two(Tensor<2>),
    Three(Tensor<3>),
}

impl Leaf {
    fn gradient(&self, grads: &burn::tensor::Gradients) -> Vec<f64> {
        match self {
            Self::One(x) => values(&x.grad(grads).unwrap()),
            Self::Two(x) => values(&x.grad(grads).unwrap()),
            Self::Three(x) => values(&x.grad(grads).unwrap()),
        }
    }
}

fn compare(ours: Vec<(String, Vec<f64>)>, oracle: Vec<(String, Vec<f64>)>) {
    for ((name, a), (_, b)) in ours.into_iter().zip(oracle) {
        assert_close(&name, &a, &b);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn recurrent_units_agree(
        b in 1usize..5, t in 1usize..9, h in 1usize..20, seed in 0u64..99, reverse in any::<bool>(),
        clip in prop::sample::select(vec![0.3, 5.0]),
    ) {
        let (drive, start) = (draw([b, t, 3 * h], seed, 0, 1.0), draw([b, h], seed, 1, 0.5));
        let recurrent = draw([h, 3 * h], seed, 2, (h as f64).powf(-0.5));
        let leaves = [
            ("drive", Leaf::Three(drive.clone())),
            ("start", Leaf::Two(start.clone())),
            ("recurrent", Leaf::Two(recurrent.clone())),
        ];
        let ours = gru(drive.clone(), start.clone(), recurrent.clone(), clip, reverse);
        let oracle = composed::gru(drive, start, recurrent, clip, reverse);
        compare(outcome(ours, &leaves), outcome(oracle, &leaves));
    }

    #[test]
    fn units_side_by_side_agree(
        b in 1usize..5, t in 1usize..9, h in 1usize..20, seed in 0u64..99,
        clip in prop::sample::select(vec![0.3, 5.0]),
    ) {
        let drive = draw([b, t, 6 * h], seed, 0, 1.0);
        let starts = [1, 2].map(|slot| draw([b, h], seed, slot, 0.5));
        let recurrents = [3, 4].map(|slot| draw([h, 3 * h], seed, slot, (h as f64).powf(-0.5)));
        let leaves = [
            ("drive", Leaf::Three(drive.clone())),
            ("start ahead", Leaf::Two(starts[0].clone())),
            ("start back", Leaf::Two(starts[1].clone())),
            ("ahead", Leaf::Two(recurrents[0].clone())),
            ("back", Leaf::Two(recurrents[1].clone())),
        ];
        let ours = gru_pair(drive.clone(), starts.clone(), recurrents.clone(), clip);
        let oracle = composed::gru_pair(drive, starts, recurrents, clip);
        compare(outcome(ours, &leaves), outcome(oracle, &leaves));
    }

    #[test]
    fn controlled_generators_agree(
        b in 1usize..4, t in 1usize..7, g in 1usize..12, f in 1usize..7, c in 1usize..9, u in 1usize..4, seed in 0u64..99,
        is_constant in any::<bool>(), has_noise in any::<bool>(), has_drops in any::<bool>(),
        clip in prop::sample::select(vec![0.3, 5.0]),
    ) {
        let device = test_device().autodiff();
        let scale = |n: usize| (n as f64).powf(-0.5);
        let streams = DropoutStreams::new(seed, 3, 0);
        let mode = if has_drops { Mode::Train(&streams) } else { Mode::Eval };
        let drive_shape = if is_constant { [1, 1, 3 * g] } else { [b, t, 3 * g] };
        let run = ControlledRun {
            controller_drive: draw([b, t, 3 * c], seed, 0, 1.0),
            generator_drive: draw(drive_shape, seed, 1, 1.0),
            controller_start: draw([b, c], seed, 2, 0.5),
            generator_start: draw([b, g], seed, 3, 0.5),
            controller_recurrent: draw([c, 3 * c], seed, 4, scale(c)),
            generator_recurrent: draw([g, 3 * g], seed, 5, scale(g)),
            factors_to_controller: draw([f, 3 * c], seed, 6, scale(f)),
            controller_to_inputs: draw([c, 2 * u], seed, 7, scale(c)),
            inputs_bias: draw([2 * u], seed, 8, 0.5),
            inputs_to_generator: draw([u, 3 * g], seed, 9, 1.0),
            generator_to_factors: draw([g, f], seed, 10, scale(g)),
            noise: has_noise.then(|| normal_noise([b, t, u], 0, &streams, &device)),
            factor_drops: Dropout::new(0.4, 1).factors([b, t, f], mode, &device),
            state_drops: Dropout::new(0.4, 2).factors([b, t + 1, g], mode, &device),
            controller_clip: clip,
            generator_clip: clip,
        };
        let leaves = [
            ("controller_drive", Leaf::Three(run.controller_drive.clone())),
            ("generator_drive", Leaf::Three(run.generator_drive.clone())),
            ("controller_start", Leaf::Two(run.controller_start.clone())),
            ("generator_start", Leaf::Two(run.generator_start.clone())),
            ("controller_recurrent", Leaf::Two(run.controller_recurrent.clone())),
            ("generator_recurrent", Leaf::Two(run.generator_recurrent.clone())),
            ("factors_to_controller", Leaf::Two(run.factors_to_controller.clone())),
            ("controller_to_inputs", Leaf::Two(run.controller_to_inputs.clone())),
            ("inputs_bias", Leaf::One(run.inputs_bias.clone())),
            ("inputs_to_generator", Leaf::Two(run.inputs_to_generator.clone())),
            ("generator_to_factors", Leaf::Two(run.generator_to_factors.clone())),
        ];
        let oracle = composed::control(run.clone());
        let answer = control(run);
        let parts =
            vec![answer.states, answer.controller_states, answer.factors, answer.input_means, answer.input_log_vars];
        let ours = Tensor::cat(parts, 2);
        compare(outcome(ours, &leaves), outcome(oracle, &leaves));
    }
}

/// Without autodiff the same values come out, and a bin's state does not know later bins.
#[test]
fn a_recurrence_is_causal_in_its_direction() {
    let states = |drive: &Tensor<3>, reverse| {
        let (start, recurrent) = (draw([2, 3], 5, 1, 0.5).inner(), draw([3, 9], 5, 2, 0.6).inner());
        gru(drive.clone(), start, recurrent, 5.0, reverse)
    };
    let drive = draw([2, 6, 9], 5, 0, 1.0).inner();
    let other = drive.clone().slice_assign([0..2, 3..4, 0..9], Tensor::ones([2, 1, 9], &test_device()));
    let part = |x: Tensor<3>, from: usize, n: usize| values(&x.narrow(1, from, n));
    let [ahead, back] = [false, true].map(|reverse| [states(&drive, reverse), states(&other, reverse)]);
    assert_eq!(part(ahead[0].clone(), 0, 3), part(ahead[1].clone(), 0, 3));
    assert_ne!(part(ahead[0].clone(), 3, 1), part(ahead[1].clone(), 3, 1));
    assert_eq!(part(back[0].clone(), 4, 2), part(back[1].clone(), 4, 2));
    assert_ne!(part(back[0].clone(), 3, 1), part(back[1].clone(), 3, 1));
}

#[test]
fn noise_replays_and_does_not_depend_on_sharding() {
    let device = test_device();
    let noise = |streams: &DropoutStreams, b| values(&normal_noise([b, 3, 5], 4, streams, &device));
    let whole = noise(&DropoutStreams::new(5, 9, 0), 8);
    assert_eq!(whole, noise(&DropoutStreams::new(5, 9, 0), 8));
    assert_eq!(whole[60..], noise(&DropoutStreams::new(5, 9, 4), 4));
    assert_ne!(whole, noise(&DropoutStreams::new(5, 10, 0), 8));
}
