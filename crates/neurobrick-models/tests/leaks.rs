//! What a model must not see cannot reach what it answers: every scheme, both models, drawn batches.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::Tensor;
use ndarray::{Array3, Zip, s};
use neurobrick_core::{MaskScheme, Masking, Mode, ModelInput, PopulationModel, Prompt, SessionSpec};
use neurobrick_data::RegionTable;
use neurobrick_models::{
    GruStitch, GruStitchConfig, Lfads, LfadsConfig, LinearStitch, LinearStitchConfig, Ndt1, Ndt1Config, Ndt2,
    Ndt2Config, NdtStitch, NdtStitchConfig,
};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_testkit::test_device;
use proptest::prelude::*;

const SHAPE: [usize; 3] = [3, 10, 6];
const SCHEMES: [MaskScheme; 7] = [
    MaskScheme::Temporal { ratio: 0.3 },
    MaskScheme::Neuron { ratio: 0.3 },
    MaskScheme::Causal { ratio: 0.6 },
    MaskScheme::InterRegion,
    MaskScheme::IntraRegion { ratio: 0.3 },
    MaskScheme::Random { ratio: 0.3 },
    MaskScheme::Patch { ratio: 0.5, n_units: 4 },
];

fn spec() -> SessionSpec {
    SessionSpec { session: SessionId::new("leaks").unwrap(), n_units: SHAPE[2], log_mean_rates: None }
}

fn ndt(seed: u64, prompt: bool, faithful: bool) -> NdtStitch {
    let small = NdtStitchConfig::small(SHAPE[1]);
    let config = NdtStitchConfig { d_model: 16, d_stitch: 12, n_layers: 2, prompt, faithful, ..small };
    NdtStitch::new(config, &[spec()], seed, &test_device()).unwrap()
}

fn linear(seed: u64) -> LinearStitch {
    let config = LinearStitchConfig { n_bins: SHAPE[1], d_latent: 4 };
    LinearStitch::new(config, &[spec()], seed, &test_device()).unwrap()
}

fn ndt1(seed: u64) -> Ndt1 {
    let config =
        Ndt1Config { d_model: 16, n_layers: 2, context_backward: Some(4), ..Ndt1Config::small(SHAPE[1]) };
    Ndt1::new(config, &[spec()], seed, &test_device()).unwrap()
}

/// Patches of 4 units cut a session of 6 in two, of which the second is filled up.
fn ndt2(seed: u64, causal: bool) -> Ndt2 {
    let small = Ndt2Config::small(SHAPE[1]);
    let config = Ndt2Config { patch_units: 4, d_model: 16, n_layers: 2, causal, ..small };
    Ndt2::new(config, &[spec()], seed, &test_device()).unwrap()
}

fn counts(seed: u64) -> Array3<u16> {
    let mut draws = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
    Array3::from_shape_simple_fn(SHAPE, || u16::try_from(draws.poisson(1.0)).unwrap())
}

fn values(tensor: Tensor<3>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn log_rates<M: PopulationModel>(model: &M, counts: &Array3<u16>, masking: &Masking) -> Tensor<3> {
    let input = ModelInput::new(&spec().session, counts.view(), masking, &test_device());
    model.forward(&input, Mode::Eval).unwrap().log_rates
}

fn check_hidden<M: PopulationModel>(model: &M, seed: u64, masking: &Masking) -> Result<(), TestCaseError> {
    let before = counts(seed);
    let other = counts(seed + 1);
    let mut after = before.clone();
    Zip::from(&mut after).and(&other).and(masking.hidden()).for_each(|a, o, &h| {
        if h {
            *a += 1 + o;
        }
    });
    let (found, expected) = (log_rates(model, &after, masking), log_rates(model, &before, masking));
    prop_assert_eq!(values(found), values(expected));
    Ok(())
}

/// Log rates up to bin `last` before and after the counts of later bins change.
fn past_twice<M: PopulationModel>(model: &M, seed: u64, last: usize) -> [Vec<f32>; 2] {
    let before = counts(seed);
    let mut after = before.clone();
    after.slice_mut(s![.., last + 1.., ..]).mapv_inplace(|c| 2 * c + 1);
    let masking = Masking::nothing(SHAPE, Prompt::Causal);
    [before, after].map(|counts| values(log_rates(model, &counts, &masking).narrow(1, 0, last + 1)))
}

fn check_leave_one_out<M: PopulationModel>(model: &M, seed: u64, unit: usize) -> Result<(), TestCaseError> {
    let before = counts(seed);
    let mut after = before.clone();
    after.slice_mut(s![.., .., unit]).mapv_inplace(|c| 3 * c + 2);
    let masking = Masking::nothing(SHAPE, Prompt::Neuron);
    let answer = |counts: &Array3<u16>| {
        let input = ModelInput::new(&spec().session, counts.view(), &masking, &test_device());
        values(model.forward_leave_one_out(&input, &[unit]).unwrap())
    };
    let hidden = Masking::units(SHAPE, &[unit], Prompt::Neuron);
    let slow = values(log_rates(model, &before, &hidden).narrow(2, unit, 1));
    for ((fast, changed), slow) in answer(&before).into_iter().zip(answer(&after)).zip(slow) {
        // The fast path subtracts what the unit added to the read-in: equal to rounding, not to the bit.
        prop_assert!((fast - slow).abs() < 1e-5, "{fast} with one pass, {slow} with a pass of its own");
        prop_assert!((fast - changed).abs() < 1e-5, "own counts move {fast} to {changed}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hidden_counts_reach_nothing(seed in 0u64..1_000_000, scheme in 0usize..SCHEMES.len()) {
        let scheme = SCHEMES[scheme];
        let regions = RegionTable::new(&["CA1", "CA1", "LP", "VISp", "CA1", "LP"]);
        let masking = scheme.draw(SHAPE[0], SHAPE[1], &regions, seed, [0, 0]);
        check_hidden(&ndt(seed, scheme.prompt().is_some(), false), seed, &masking)?;
        check_hidden(&ndt(seed, scheme.prompt().is_some(), true), seed, &masking)?;
        check_hidden(&linear(seed), seed, &masking)?;
        check_hidden(&ndt1(seed), seed, &masking)?;
        check_hidden(&ndt2(seed, seed % 2 == 0), seed, &masking)?;
    }

    #[test]
    fn the_future_reaches_the_past_only_as_published(seed in 0u64..1_000_000, last in 0usize..SHAPE[1] - 1) {
        let [before, after] = past_twice(&ndt(seed, true, false), seed, last);
        prop_assert_eq!(before, after);
        let [before, after] = past_twice(&linear(seed), seed, last);
        prop_assert_eq!(before, after);
        let [before, after] = past_twice(&ndt1(seed), seed, last);
        prop_assert_eq!(before, after);
        let [before, after] = past_twice(&ndt2(seed, seed % 2 == 0), seed, last);
        prop_assert_eq!(before, after);
        // Two layers, two hops: bin → prefix token → earlier bin.
        let [before, after] = past_twice(&ndt(seed, true, true), seed, last);
        let n_moved = before.iter().zip(&after).filter(|(b, a)| b.to_bits() != a.to_bits()).count();
        prop_assert!(2 * n_moved > before.len(), "the published leak moves {} of {} values", n_moved, before.len());
    }

    #[test]
    fn a_unit_does_not_reach_its_own_leave_one_out(seed in 0u64..1_000_000, unit in 0usize..SHAPE[2]) {
        check_leave_one_out(&ndt(seed, true, false), seed, unit)?;
        check_leave_one_out(&linear(seed), seed, unit)?;
    }
}

/// Latents under a causal context stay as they are up to a bin when the counts of later bins change, if and only if the
/// model says so.
fn check_causal_latents<M: PopulationModel>(model: &M, is_causal: bool) {
    assert_eq!(model.can_be_causal(), is_causal, "{model:?}");
    let (before, last) = (counts(7), SHAPE[1] / 2);
    let mut after = before.clone();
    after.slice_mut(s![.., last + 1.., ..]).mapv_inplace(|c| 2 * c + 1);
    let masking = Masking::nothing(SHAPE, Prompt::Causal);
    let [before, after] = [before, after].map(|counts| {
        let input = ModelInput::new(&spec().session, counts.view(), &masking, &test_device());
        values(model.forward(&input, Mode::Eval).unwrap().latents.narrow(1, 0, last + 1))
    });
    assert_eq!(before == after, is_causal, "{model:?}");
}

#[test]
fn latents_are_causal_where_the_model_says_so() {
    let device = test_device();
    check_causal_latents(&ndt(5, true, false), true);
    check_causal_latents(&ndt(5, true, true), false);
    check_causal_latents(&linear(5), true);
    check_causal_latents(&ndt1(5), true);
    check_causal_latents(&ndt2(5, false), true);
    check_causal_latents(&Lfads::new(LfadsConfig::small(SHAPE[1]), &[spec()], 5, &device).unwrap(), false);
    let gru = GruStitchConfig { n_bins: SHAPE[1], d_stitch: 6, d_hidden: 10, dropout: 0.1, clip: 5.0 };
    check_causal_latents(&GruStitch::new(gru, &[spec()], 5, &device).unwrap(), true);
}
