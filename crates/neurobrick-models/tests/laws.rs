//! Symmetries of the models, and dropout.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::{Tensor, TensorData};
use ndarray::{Array3, Axis};
use neurobrick_core::weights::{load_state_dict, state_dict};
use neurobrick_core::{
    DropoutStreams, Masking, Mode, ModelError, ModelInput, Output, PopulationModel, Prompt, SessionSpec,
};
use neurobrick_models::{
    Lfads, LfadsConfig, LinearStitch, LinearStitchConfig, Ndt2, Ndt2Config, NdtStitch, NdtStitchConfig, Poyo,
    PoyoConfig, PoyoWindow,
};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_testkit::test_device;
use neurobrick_tokenize::{Spike, SpikeWindow};
use proptest::prelude::*;

const SHAPE: [usize; 3] = [4, 10, 6];
/// Sums of single-precision products in another order; outputs are of order one.
const TOLERANCE: f32 = 1e-5;

fn spec() -> SessionSpec {
    SessionSpec { session: SessionId::new("laws").unwrap(), n_units: SHAPE[2], log_mean_rates: None }
}

fn ndt(seed: u64) -> NdtStitch {
    let config =
        NdtStitchConfig { d_model: 16, d_stitch: 12, n_layers: 2, ..NdtStitchConfig::small(SHAPE[1]) };
    NdtStitch::new(config, &[spec()], seed, &test_device()).unwrap()
}

fn linear(seed: u64) -> LinearStitch {
    let config = LinearStitchConfig { n_bins: SHAPE[1], d_latent: 4 };
    LinearStitch::new(config, &[spec()], seed, &test_device()).unwrap()
}

fn counts(seed: u64) -> Array3<u16> {
    let mut draws = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
    Array3::from_shape_simple_fn(SHAPE, || u16::try_from(draws.poisson(1.0)).unwrap())
}

fn permutation(seed: u64, n: usize) -> Vec<usize> {
    Stream::new(seed, Domain::Order, [1, 2, 3]).permutation(n)
}

fn input(counts: &Array3<u16>, hidden: &[usize]) -> ModelInput {
    let (b, t, n) = counts.dim();
    let masking = Masking::units([b, t, n], hidden, Prompt::Neuron);
    ModelInput::new(&spec().session, counts.view(), &masking, &test_device())
}

fn array(tensor: Tensor<3>) -> Array3<f32> {
    let dims = tensor.dims();
    Array3::from_shape_vec(dims, tensor.into_data().iter::<f32>().collect()).unwrap()
}

fn check_close(found: &Array3<f32>, expected: &Array3<f32>) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.dim(), expected.dim());
    for (f, e) in found.iter().zip(expected) {
        prop_assert!((f - e).abs() <= TOLERANCE * (1.0 + e.abs()), "{} is not {}", f, e);
    }
    Ok(())
}

/// The same values with `order[i]` in place `i` of `axis`.
fn reordered(data: &TensorData, axis: usize, order: &[usize]) -> TensorData {
    let shape = data.shape().to_vec();
    let values = ndarray::ArrayD::from_shape_vec(shape.clone(), data.iter::<f32>().collect()).unwrap();
    TensorData::new(values.select(Axis(axis), order).into_iter().collect::<Vec<f32>>(), shape)
}

/// A model that reads and answers units in `order` equals the model on units in that order.
fn check_units<M: PopulationModel>(model: &M, seed: u64) -> Result<(), TestCaseError> {
    let order = permutation(seed, SHAPE[2]);
    let mut state = state_dict(model);
    for (path, axis) in [("read_in.weight", 0), ("read_out.weight", 1), ("read_out.bias", 0)] {
        let path = format!("stitches.0.{path}");
        let moved = reordered(&state[&path], axis, &order);
        state.insert(path, moved);
    }
    let moved = load_state_dict(model.clone(), state).unwrap();
    let counts = counts(seed);
    let expected = model.forward(&input(&counts, &[order[2]]), Mode::Eval).unwrap();
    let found = moved.forward(&input(&counts.select(Axis(2), &order), &[2]), Mode::Eval).unwrap();
    check_close(&array(found.log_rates), &array(expected.log_rates).select(Axis(2), &order))?;
    check_close(&array(found.latents), &array(expected.latents))
}

fn check_trials<M: PopulationModel>(model: &M, seed: u64) -> Result<(), TestCaseError> {
    let order = permutation(seed, SHAPE[0]);
    let counts = counts(seed);
    let expected = model.forward(&input(&counts, &[1]), Mode::Eval).unwrap();
    let found = model.forward(&input(&counts.select(Axis(0), &order), &[1]), Mode::Eval).unwrap();
    check_close(&array(found.log_rates), &array(expected.log_rates).select(Axis(0), &order))?;
    check_close(&array(found.latents), &array(expected.latents).select(Axis(0), &order))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn permuting_units_permutes_log_rates(seed in 0u64..1_000_000) {
        check_units(&ndt(seed), seed)?;
        check_units(&linear(seed), seed)?;
    }

    #[test]
    fn permuting_trials_permutes_outputs(seed in 0u64..1_000_000) {
        check_trials(&ndt(seed), seed)?;
        check_trials(&linear(seed), seed)?;
    }

    /// Dropout of a trial belongs to its place in the batch, not to the shard it is computed in.
    #[test]
    fn dropout_does_not_depend_on_sharding(seed in 0u64..1_000_000, cut in 1usize..SHAPE[0]) {
        let (model, counts) = (ndt(seed), counts(seed));
        let run = |range: std::ops::Range<usize>| {
            let streams = DropoutStreams::new(seed, 5, range.start as u64);
            let trials: Vec<usize> = range.collect();
            let part = input(&counts.select(Axis(0), &trials), &[1]);
            array(model.forward(&part, Mode::Train(&streams)).unwrap().log_rates)
        };
        let halves = [run(0..cut), run(cut..SHAPE[0])];
        let joined = ndarray::concatenate(Axis(0), &[halves[0].view(), halves[1].view()]).unwrap();
        check_close(&joined, &run(0..SHAPE[0]))?;
    }
}

#[test]
fn dropout_acts_in_training_only_and_replays() {
    let (model, input) = (ndt(1), input(&counts(1), &[0]));
    let run = |mode: Mode<'_>| {
        let Output { log_rates, latents } = model.forward(&input, mode).unwrap();
        (array(log_rates), array(latents))
    };
    let streams = |step| DropoutStreams::new(7, step, 0);
    assert_eq!(run(Mode::Eval), run(Mode::Eval));
    assert_eq!(run(Mode::Train(&streams(3))), run(Mode::Train(&streams(3))));
    assert_ne!(run(Mode::Train(&streams(3))), run(Mode::Eval));
    assert_ne!(run(Mode::Train(&streams(3))), run(Mode::Train(&streams(4))));

    let without = NdtStitchConfig { dropout: 0.0, dropout_embed: 0.0, ..model.config().clone() };
    let model = NdtStitch::new(without, &[spec()], 1, &test_device()).unwrap();
    let run = |mode: Mode<'_>| array(model.forward(&input, mode).unwrap().log_rates);
    assert_eq!(run(Mode::Train(&streams(3))), run(Mode::Eval), "no dropout, no difference");
}

/// A read-out that knows mean rates starts at them: with its weights at zero scale, the bias is all there is.
#[test]
fn read_outs_start_near_the_mean_rates() {
    let rates = [0.02, 0.1, 0.5, 1.0, 2.0, 0.0];
    let spec = SessionSpec::with_mean_rates(spec().session, &rates, 1000);
    let small = NdtStitchConfig::small(SHAPE[1]);
    let build = |config| NdtStitch::new(config, std::slice::from_ref(&spec), 1, &test_device()).unwrap();
    let distance = |model: &NdtStitch| {
        let log_rates = array(model.forward(&input(&counts(1), &[]), Mode::Eval).unwrap().log_rates);
        let start = spec.log_mean_rates.as_ref().unwrap();
        let off = log_rates.indexed_iter().map(|((_, _, n), &o)| (f64::from(o) - start[n]).abs());
        off.fold(0.0, f64::max)
    };
    let near = distance(&build(NdtStitchConfig { read_out_scale: 1e-6, ..small.clone() }));
    assert!(near < 1e-4, "{near}");
    let (ours, published) =
        (distance(&build(small.clone())), distance(&build(NdtStitchConfig { faithful: true, ..small })));
    assert!(ours < 0.5 && published > 2.0, "off by {ours}, as published by {published}");
    // A silent unit starts at half a spike in all training bins: (0 + 0.5) / 1000.5.
    let silent = spec.log_mean_rates.as_ref().unwrap()[5];
    assert!((silent - (0.5f64 / 1000.5).ln()).abs() < 1e-12, "{silent}");
}

#[test]
fn a_prompted_model_refuses_an_unprompted_batch() {
    let masking = Masking::new(
        Array3::from_elem(SHAPE, false),
        Array3::from_elem(SHAPE, false),
        neurobrick_core::Context::Full,
        None,
    );
    let input = ModelInput::new(&spec().session, counts(1).view(), &masking, &test_device());
    let error = ndt(1).forward(&input, Mode::Eval).err();
    assert!(matches!(error, Some(ModelError::Unsupported { .. })), "{error:?}");
}

/// As published, sessions of equal size share a stitch; a session's token still tells them apart.
#[test]
fn sessions_of_equal_size_share_a_stitch_only_as_published() {
    let twin = SessionSpec { session: SessionId::new("twin").unwrap(), ..spec() };
    let n_stitches = |faithful| {
        let config = NdtStitchConfig { d_model: 16, faithful, ..NdtStitchConfig::small(SHAPE[1]) };
        let model = NdtStitch::new(config, &[spec(), twin.clone()], 1, &test_device()).unwrap();
        let weights = state_dict(&model);
        weights.keys().filter(|path| path.ends_with("read_in.weight")).count()
    };
    assert_eq!((n_stitches(false), n_stitches(true)), (2, 1));
}

#[test]
fn the_scale_of_embedded_counts_is_one_of_the_projection() {
    let of_scale = |embed_scale| {
        let config = ndt(5).config().clone();
        let config = NdtStitchConfig { embed_scale, ..config };
        NdtStitch::new(config, &[spec()], 5, &test_device()).unwrap()
    };
    let (plain, scaled) = (of_scale(1.0), of_scale(4.0));
    let mut state = state_dict(&plain);
    let weight = &state["projection.weight"];
    let larger: Vec<f32> = weight.iter::<f32>().map(|w| 4.0 * w).collect();
    let larger = TensorData::new(larger, weight.shape().to_vec());
    state.insert("projection.weight".to_owned(), larger);
    let folded = load_state_dict(plain.clone(), state).unwrap();
    let answer =
        |model: &NdtStitch| array(model.forward(&input(&counts(5), &[1]), Mode::Eval).unwrap().log_rates);
    check_close(&answer(&scaled), &answer(&folded)).unwrap();
    let largest = (answer(&scaled) - answer(&plain)).fold(0f32, |largest, d| largest.max(d.abs()));
    assert!(largest > 100.0 * TOLERANCE, "{largest}");
}

/// Else the pattern of a mask outweighs sparse spikes, and `Ndt2` learns nothing but mean rates.
#[test]
fn where_nothing_fired_a_fresh_ndt2_does_not_see_what_is_hidden_within_a_patch() {
    let answer = |faithful: bool, hidden: &[usize]| {
        let small = Ndt2Config::small(SHAPE[1]);
        let config = Ndt2Config { patch_units: 4, d_model: 16, faithful, ..small };
        let model = Ndt2::new(config, &[spec()], 5, &test_device()).unwrap();
        let silent = Array3::zeros(SHAPE);
        array(model.forward(&input(&silent, hidden), Mode::Eval).unwrap().log_rates)
    };
    assert_eq!(answer(false, &[1]), answer(false, &[]));
    assert_ne!(answer(true, &[1]), answer(true, &[]));
}

#[test]
fn answers_beside_a_penalty_are_those_without() {
    for n_samples in [0, 3] {
        let config = LfadsConfig { n_samples, ..LfadsConfig::small(SHAPE[1]) };
        let model = Lfads::new(config, &[spec()], 3, &test_device()).unwrap();
        let input = input(&counts(4), &[1]);
        let alone = model.forward(&input, Mode::Eval).unwrap();
        let (beside, penalty) = model.forward_penalized(&input, Mode::Eval).unwrap();
        assert!(penalty.is_some());
        assert_eq!(array(beside.log_rates), array(alone.log_rates), "{n_samples} samples");
        assert_eq!(array(beside.latents), array(alone.latents), "{n_samples} samples");
    }
}

#[test]
fn a_batch_without_windows_is_refused() {
    let model = Poyo::new(PoyoConfig::small(1), &[spec()], 3, &test_device()).unwrap();
    let error = model.forward(&[], Mode::Eval).unwrap_err();
    assert!(matches!(&error, ModelError::Unsupported { .. }), "{error}");
}

#[test]
fn a_unit_that_a_window_does_not_see_reaches_no_output() {
    let model = Poyo::new(PoyoConfig { n_layers: 1, ..PoyoConfig::small(2) }, &[spec()], 3, &test_device());
    let model = model.unwrap();
    let window = |units: Option<Vec<usize>>| PoyoWindow {
        session: spec().session,
        input: SpikeWindow {
            n_units: SHAPE[2],
            units,
            spikes: vec![Spike { unit: 0, time_s: 0.2 }, Spike { unit: 2, time_s: 0.7 }],
        },
        output_times_s: vec![0.1, 0.9],
    };
    // Beside a longer window, so that the shorter one is filled up.
    let answer = |model: &Poyo, units| {
        array(model.forward(&[window(units), window(None)], Mode::Eval).unwrap())
            .index_axis(Axis(0), 0)
            .to_owned()
    };
    let mut state = state_dict(&model);
    let units = &state["sessions.0.units"];
    let d = units.shape()[1];
    let moved: Vec<f32> =
        units.iter::<f32>().enumerate().map(|(i, x)| if i / d == 1 { x + 1.0 } else { x }).collect();
    state.insert("sessions.0.units".to_owned(), TensorData::new(moved, [SHAPE[2], d]));
    let other = load_state_dict(model.clone(), state).unwrap();
    let all: Vec<usize> = (0..SHAPE[2]).collect();
    assert_eq!(answer(&model, None), answer(&model, Some(all)));
    assert_ne!(answer(&model, None), answer(&other, None));
    let seen = || Some(vec![2, 0, 2]);
    assert_eq!(answer(&model, seen()), answer(&other, seen()));
    assert_ne!(answer(&model, None), answer(&model, seen()));
    let mut other_size = window(None);
    other_size.input.n_units += 1;
    let error = model.forward(&[other_size], Mode::Eval).unwrap_err();
    assert!(matches!(&error, ModelError::SizeMismatch { what: "units", .. }), "{error}");
    for units in [vec![0], vec![0, 2, SHAPE[2]]] {
        let error = model.forward(&[window(Some(units))], Mode::Eval).unwrap_err();
        assert!(error.to_string().contains("unit"), "{error}");
    }
}
