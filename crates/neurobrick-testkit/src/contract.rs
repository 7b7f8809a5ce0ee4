//! What training and evaluation rely on in every [`PopulationModel`], as tests anybody can run on a model.
//!
//! [`model_contract!`](crate::model_contract) makes a test of each function here. A builder `(sessions, seed,
//! device) -> model` gives fresh models for windows of [`N_BINS`] bins; it is asked for sessions of [`sessions`].
//! Every function panics, with a sentence, if the model breaks its law.

use std::collections::BTreeMap;

use crate::test_device;
use burn::module::{ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};
use ndarray::{Array3, s};
use neurobrick_core::weights::{from_safetensors, load_state_dict, state_dict, to_safetensors};
use neurobrick_core::{
    MaskScheme, Masking, Mode, ModelError, ModelInput, ModulePath, Output, PopulationModel, Prompt,
    SessionSpec,
};
use neurobrick_data::RegionTable;
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;

/// Bins of the windows that the model under test must read.
pub const N_BINS: usize = 12;
/// Sums of single-precision products in another order differ by less: outputs are of order one.
const TOLERANCE: f64 = 1e-5;

/// Tests a [`PopulationModel`] against the contract: `model_contract!(name, build)` makes a module `name` of tests.
///
/// `build` is a function or closure `(&[SessionSpec], u64, &Device) -> M` that makes a fresh model from a seed, for
/// windows of [`N_BINS`](crate::contract::N_BINS) bins and the prompts of MtM, if it takes prompts.
///
/// ```
/// use burn::tensor::Device;
/// use neurobrick_core::{PopulationModel, SessionSpec};
/// use neurobrick_testkit::contract::{N_BINS, hidden_entries_do_not_leak};
///
/// // In a test file: neurobrick_testkit::model_contract!(my_model, build);
/// fn run_one_law<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
///     hidden_entries_do_not_leak(build);
/// }
/// # assert!(N_BINS > 0);
/// ```
#[macro_export]
macro_rules! model_contract {
    ($name:ident, $build:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the builder may be given by a full path")]
            use super::*;

            $crate::model_contract!(@law $build, forward_answers_in_shape);
            $crate::model_contract!(@law $build, a_part_answers_as_the_whole);
            $crate::model_contract!(@law $build, wrong_input_is_refused);
            $crate::model_contract!(@law $build, hidden_entries_do_not_leak);
            $crate::model_contract!(@law $build, the_future_does_not_reach_the_past);
            $crate::model_contract!(@law $build, trials_do_not_see_each_other);
            $crate::model_contract!(@law $build, weights_survive_saving);
            $crate::model_contract!(@law $build, sessions_are_told_apart_by_id);
            $crate::model_contract!(@law $build, known_sessions_are_kept);
            $crate::model_contract!(@law $build, session_parameters_are_named);
            $crate::model_contract!(@law $build, leave_one_out_is_one_pass_per_unit);
            $crate::model_contract!(@law $build, units_that_are_not_there_are_refused);
        }
    };
    (@law $build:expr, $law:ident) => {
        #[test]
        fn $law() {
            $crate::contract::$law($build);
        }
    };
}

/// The sessions of the contract: 5, 8 and again 5 units; the first two with mean rates.
///
/// # Panics
/// Never.
pub fn sessions() -> Vec<SessionSpec> {
    let spec = |id: &str, n_units: usize, rates: Option<Vec<f64>>| SessionSpec {
        session: SessionId::new(id).expect("a valid id"),
        n_units,
        log_mean_rates: rates,
    };
    vec![
        spec("contract-a", 5, Some(vec![-1.0, -0.5, 0.0, -2.0, -1.5])),
        spec("contract-b", 8, Some(vec![-0.7; 8])),
        spec("contract-c", 5, None),
    ]
}

/// Poisson counts `[n_trials, N_BINS, n_units]` of mean one.
fn counts(seed: u64, n_trials: usize, n_units: usize) -> Array3<u16> {
    let mut draws = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
    Array3::from_shape_simple_fn((n_trials, N_BINS, n_units), || {
        u16::try_from(draws.poisson(1.0)).unwrap_or(0)
    })
}

/// Masks of `scheme` with two regions, drawn so that something is hidden and something is not.
fn masks(scheme: &MaskScheme, shape: (usize, usize, usize)) -> Masking {
    let regions: Vec<&str> = (0..shape.2).map(|unit| if unit % 2 == 0 { "CA1" } else { "VISp" }).collect();
    let regions = RegionTable::new(&regions);
    let draw = |address: u64| scheme.draw(shape.0, shape.1, &regions, 42, [address, 0]);
    let is_mixed = |m: &Masking| m.hidden().iter().any(|&h| h) && !m.hidden().iter().all(|&h| h);
    (0..100).map(draw).find(is_mixed).expect("one of a hundred draws hides a part")
}

fn run<M: PopulationModel>(model: &M, spec: &SessionSpec, counts: &Array3<u16>, masking: &Masking) -> Output {
    let input = ModelInput::new(&spec.session, counts.view(), masking, &test_device());
    model.forward(&input, Mode::Eval).unwrap_or_else(|e| panic!("session {}: {e}", spec.session))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn both(output: Output) -> (Vec<f64>, Vec<f64>) {
    (values(output.log_rates), values(output.latents))
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: another number of values");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= TOLERANCE * (1.0 + e.abs()), "{what}: {f} is not {e} to {TOLERANCE}");
    }
}

/// Log rates are `[B, T, N]`, latents `[B, T, L]` with one `L` for all sessions, all finite, under every scheme.
///
/// # Panics
/// If the model breaks this law.
pub fn forward_answers_in_shape<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let model = build(&sessions(), 1, &test_device());
    let mut widths = Vec::new();
    for spec in sessions() {
        for scheme in MaskScheme::MTM {
            let output =
                run(&model, &spec, &counts(2, 3, spec.n_units), &masks(&scheme, (3, N_BINS, spec.n_units)));
            assert_eq!(output.log_rates.dims(), [3, N_BINS, spec.n_units], "shape of log rates");
            let [b, t, width] = output.latents.dims();
            assert_eq!([b, t], [3, N_BINS], "trials and bins of latents");
            widths.push(width);
            let (log_rates, latents) = both(output);
            assert!(log_rates.iter().chain(&latents).all(|v| v.is_finite()), "an output is not finite");
        }
    }
    assert!(widths.iter().all(|w| *w == widths[0]), "latents differ in width among sessions: {widths:?}");
}

/// An unknown session, another number of units or of bins, and a session listed twice are errors.
///
/// # Panics
/// If the model breaks this law.
pub fn wrong_input_is_refused<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let (device, specs) = (test_device(), sessions());
    let model = build(&specs, 1, &device);
    let answer = |session: &SessionId, n_bins: usize, n_units: usize| {
        let masking = Masking::nothing([2, n_bins, n_units], Prompt::Neuron);
        let input = ModelInput::new(session, Array3::ones((2, n_bins, n_units)).view(), &masking, &device);
        model.forward(&input, Mode::Eval).err()
    };
    let stranger = SessionId::new("stranger").expect("a valid id");
    let error = answer(&stranger, N_BINS, 5);
    assert!(matches!(error, Some(ModelError::UnknownSession { .. })), "an unknown session gave {error:?}");
    for (n_bins, n_units) in [(N_BINS, 6), (N_BINS + 1, 5)] {
        let error = answer(&specs[0].session, n_bins, n_units);
        let is_refused = matches!(error, Some(ModelError::SizeMismatch { .. }));
        assert!(is_refused, "{n_bins} bins and {n_units} units gave {error:?}");
    }
    let twice = [specs[0].clone(), specs[0].clone()];
    let error = model.with_sessions(&twice, 1, &device).err();
    assert!(matches!(error, Some(ModelError::DuplicateSession { .. })), "a repeated session gave {error:?}");
    let grown = SessionSpec { n_units: 6, log_mean_rates: None, ..specs[0].clone() };
    let error = model.with_sessions(&[grown], 1, &device).err();
    assert!(matches!(error, Some(ModelError::SizeMismatch { .. })), "another number of units gave {error:?}");
}

/// Counts at hidden entries change nothing, to the bit, under every scheme.
///
/// # Panics
/// If the model breaks this law.
pub fn hidden_entries_do_not_leak<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let model = build(&sessions(), 1, &test_device());
    for spec in sessions() {
        for scheme in MaskScheme::MTM {
            let counts = counts(3, 4, spec.n_units);
            let masking = masks(&scheme, counts.dim());
            let mut changed = counts.clone();
            ndarray::Zip::from(&mut changed).and(masking.hidden()).for_each(|c, &h| *c += 7 * u16::from(h));
            assert_ne!(changed, counts, "nothing was hidden");
            let (before, after) =
                (run(&model, &spec, &counts, &masking), run(&model, &spec, &changed, &masking));
            let name = scheme.name();
            assert_eq!(both(before), both(after), "hidden counts reach the output under scheme {name}");
            let visible = counts.mapv(|c| c + 1);
            let moved = values(run(&model, &spec, &visible, &masking).log_rates);
            assert_ne!(
                moved,
                values(run(&model, &spec, &counts, &masking).log_rates),
                "visible counts do nothing"
            );
        }
    }
}

/// Under a causal context, counts after a bin change nothing up to that bin, to the bit. Of a model that
/// [`reads_whole_windows`](PopulationModel::reads_whole_windows) it is asked that hidden later bins change nothing.
///
/// # Panics
/// If the model breaks this law.
pub fn the_future_does_not_reach_the_past<M: PopulationModel>(
    build: impl Fn(&[SessionSpec], u64, &Device) -> M,
) {
    let model = build(&sessions(), 1, &test_device());
    for spec in sessions() {
        let counts = counts(4, 3, spec.n_units);
        let masking = Masking::nothing([3, N_BINS, spec.n_units], Prompt::Causal);
        let before = run(&model, &spec, &counts, &masking);
        for last in [0, N_BINS / 2, N_BINS - 2] {
            let mut changed = counts.clone();
            changed.slice_mut(s![.., last + 1.., ..]).mapv_inplace(|c| 3 * c + 1);
            let (before, after) = if model.reads_whole_windows() {
                let masking = Masking::future([3, N_BINS, spec.n_units], N_BINS - 1 - last);
                (run(&model, &spec, &counts, &masking), run(&model, &spec, &changed, &masking))
            } else {
                (before.clone(), run(&model, &spec, &changed, &masking))
            };
            for (what, a, b) in [
                ("log rates", &before.log_rates, &after.log_rates),
                ("latents", &before.latents, &after.latents),
            ] {
                let past = |t: &Tensor<3>| values(t.clone().narrow(1, 0, last + 1));
                assert_eq!(past(a), past(b), "{what} up to bin {last} depend on later counts");
            }
        }
    }
}

/// The outputs of a trial do not depend on the other trials of the batch, nor on its place.
///
/// # Panics
/// If the model breaks this law.
pub fn trials_do_not_see_each_other<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let model = build(&sessions(), 1, &test_device());
    for spec in sessions() {
        let counts = counts(5, 4, spec.n_units);
        for scheme in MaskScheme::MTM {
            let masking = masks(&scheme, counts.dim());
            let whole = run(&model, &spec, &counts, &masking);
            for trial in 0..4 {
                let own = counts.slice(s![trial..=trial, .., ..]).to_owned();
                let alone = both(run(&model, &spec, &own, &masking.trials(trial..trial + 1)));
                let within = |t: &Tensor<3>| values(t.clone().narrow(0, trial, 1));
                assert_close(&within(&whole.log_rates), &alone.0, "log rates in and out of a batch");
                assert_close(&within(&whole.latents), &alone.1, "latents in and out of a batch");
            }
        }
    }
}

/// A model of another seed with these weights loaded from a safetensors file answers with the same bits.
///
/// # Panics
/// If the model breaks this law.
pub fn weights_survive_saving<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let (device, specs) = (test_device(), sessions());
    let (model, other) = (build(&specs, 1, &device), build(&specs, 2, &device));
    let file =
        to_safetensors(&state_dict(&model), std::collections::BTreeMap::new()).expect("weights encode");
    let weights = from_safetensors(&file).expect("weights decode");
    let answer = |model: &M, spec: &SessionSpec| {
        let masking = Masking::nothing([2, N_BINS, spec.n_units], Prompt::Neuron);
        both(run(model, spec, &counts(6, 2, spec.n_units), &masking))
    };
    assert_ne!(answer(&model, &specs[0]), answer(&other, &specs[0]), "the seed does not reach the weights");
    let loaded = load_state_dict(other, weights).expect("the weights fit");
    for spec in &specs {
        assert_eq!(answer(&model, spec), answer(&loaded, spec), "loaded weights answer differently");
    }
}

/// Two sessions with equal numbers of units have stitches of their own.
///
/// # Panics
/// If the model breaks this law.
pub fn sessions_are_told_apart_by_id<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let mut specs = sessions();
    // Equal in all but the id.
    specs[0].log_mean_rates = None;
    let model = build(&specs, 1, &test_device());
    let (counts, masking) = (counts(7, 2, 5), Masking::nothing([2, N_BINS, 5], Prompt::Neuron));
    let answer = |spec: &SessionSpec| values(run(&model, spec, &counts, &masking).log_rates);
    assert_ne!(answer(&specs[0]), answer(&specs[2]), "sessions of equal size share a stitch");
}

/// [`with_sessions`](PopulationModel::with_sessions) keeps the answers for known sessions to the bit in any order,
/// adds new sessions, and forgets the others.
///
/// # Panics
/// If the model breaks this law.
pub fn known_sessions_are_kept<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let (device, specs) = (test_device(), sessions());
    let model = build(&specs, 1, &device);
    let newcomer = SessionSpec {
        session: SessionId::new("contract-new").expect("a valid id"),
        n_units: 3,
        log_mean_rates: None,
    };
    let wanted = [newcomer.clone(), specs[2].clone(), specs[0].clone()];
    let changed = model.with_sessions(&wanted, 9, &device).expect("known and new sessions");
    assert_eq!(changed.sessions(), wanted, "the table of sessions is not as asked");
    for spec in [&specs[0], &specs[2]] {
        let (counts, masking) = (counts(8, 2, 5), Masking::nothing([2, N_BINS, 5], Prompt::Neuron));
        let answer = |m: &M| both(run(m, spec, &counts, &masking));
        assert_eq!(answer(&model), answer(&changed), "session {} answers differently", spec.session);
    }
    let masking = Masking::nothing([2, N_BINS, 3], Prompt::Neuron);
    let fresh = values(run(&changed, &newcomer, &counts(8, 2, 3), &masking).log_rates);
    assert!(fresh.iter().all(|v| v.is_finite()), "the new session's log rates are not finite");
    let masking = Masking::nothing([2, N_BINS, 8], Prompt::Neuron);
    let input = ModelInput::new(&specs[1].session, counts(8, 2, 8).view(), &masking, &device);
    let error = changed.forward(&input, Mode::Eval).err();
    assert!(matches!(error, Some(ModelError::UnknownSession { .. })), "a dropped session gave {error:?}");
}

/// [`for_session`](PopulationModel::for_session) answers for its session as the whole model does, has no parameter
/// that the whole has not, can be cut out of a part again, and refuses a session the model does not know.
///
/// # Panics
/// If the model breaks this law.
pub fn a_part_answers_as_the_whole<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let (device, specs) = (test_device(), sessions());
    let model = build(&specs, 1, &device);
    let whole = burn::module::list_param_ids(&model);
    for spec in &specs {
        let part = model.for_session(&spec.session).expect("a known session");
        let again = part.for_session(&spec.session).expect("a part knows its session");
        let ids = burn::module::list_param_ids(&part);
        assert!(ids.iter().all(|id| whole.contains(id)), "the part has parameters of its own");
        let n_units = spec.n_units;
        let (counts, masking) =
            (counts(8, 2, n_units), Masking::nothing([2, N_BINS, n_units], Prompt::Neuron));
        let answer = |m: &M| both(run(m, spec, &counts, &masking));
        let expected = answer(&model);
        assert_eq!(answer(&part), expected, "session {} answers differently", spec.session);
        assert_eq!(answer(&again), expected, "session {} of a part answers differently", spec.session);
        let alone = |m: &M| {
            let kept = m.with_sessions(std::slice::from_ref(spec), 9, &device).expect("a known session");
            answer(&kept)
        };
        assert_eq!(alone(&part), expected, "session {} is lost to a part", spec.session);
    }
    let stranger = SessionId::new("stranger").expect("a valid id");
    let error = model.for_session(&stranger).err();
    assert!(matches!(error, Some(ModelError::UnknownSession { .. })), "an unknown session gave {error:?}");
}

/// [`is_session_parameter`](PopulationModel::is_session_parameter) holds for exactly the parameters that change
/// when all sessions are exchanged, and there are parameters of both kinds. A parameter that starts at a constant, such as
/// a bias of zeros, changes if it is another parameter, by its id.
///
/// # Panics
/// If the model breaks this law.
pub fn session_parameters_are_named<M: PopulationModel>(build: impl Fn(&[SessionSpec], u64, &Device) -> M) {
    let (device, specs) = (test_device(), sessions());
    let model = build(&specs, 1, &device);
    let others: Vec<SessionSpec> = specs
        .iter()
        .map(|spec| SessionSpec {
            session: SessionId::new(format!("{}-other", spec.session)).expect("a valid id"),
            n_units: spec.n_units + 1,
            log_mean_rates: None,
        })
        .collect();
    let exchanged = model.with_sessions(&others, 2, &device).expect("new sessions");
    let (own_ids, exchanged_ids) = (ids(&model), ids(&exchanged));
    let (own, exchanged) = (state_dict(&model), state_dict(&exchanged));
    let is_same = |path: &str| match (own.get(path), exchanged.get(path)) {
        (Some(a), Some(b)) => a.shape() == b.shape() && a.as_bytes() == b.as_bytes(),
        _ => false,
    };
    let paths: std::collections::BTreeSet<&String> = own.keys().chain(exchanged.keys()).collect();
    for path in &paths {
        let is_session = M::is_session_parameter(path);
        let is_own = own_ids.get(*path) == exchanged_ids.get(*path);
        let is_kept = is_same(path) && (is_own || !is_session);
        assert!(
            is_session != is_kept,
            "{path}: of a session is {is_session}, kept with other sessions is {is_kept}"
        );
    }
    let n_session = paths.iter().filter(|p| M::is_session_parameter(p)).count();
    assert!(
        n_session > 0 && n_session < paths.len(),
        "{n_session} of {} parameters are of sessions",
        paths.len()
    );
}

/// Ids of the float parameters by dotted path.
fn ids<M: PopulationModel>(model: &M) -> BTreeMap<String, ParamId> {
    let mut visitor = Ids::default();
    model.visit(&mut visitor);
    visitor.found
}

#[derive(Default)]
struct Ids {
    path: ModulePath,
    found: BTreeMap<String, ParamId>,
}

impl ModuleVisitor for Ids {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.insert(self.path.dotted().to_owned(), param.id);
    }
}

/// Leave-one-out prediction is what a whole forward pass answers with that unit hidden, and the unit's own counts
/// move it by no more than rounding.
///
/// # Panics
/// If the model breaks this law.
pub fn leave_one_out_is_one_pass_per_unit<M: PopulationModel>(
    build: impl Fn(&[SessionSpec], u64, &Device) -> M,
) {
    let model = build(&sessions(), 1, &test_device());
    for spec in sessions() {
        let counts = counts(9, 3, spec.n_units);
        let shape = [3, N_BINS, spec.n_units];
        let units = [4, 0, 2];
        let answer = |counts: &Array3<u16>| {
            let masking = Masking::units(shape, &[1], Prompt::Neuron);
            let input = ModelInput::new(&spec.session, counts.view(), &masking, &test_device());
            let found =
                model.forward_leave_one_out(&input, &units).unwrap_or_else(|e| panic!("leave-one-out: {e}"));
            assert_eq!(found.dims(), [units.len(), 3, N_BINS], "shape of leave-one-out log rates");
            values(found)
        };
        let found = answer(&counts);
        let mut expected = Vec::new();
        for unit in units {
            let masking = Masking::units(shape, &[1, unit], Prompt::Neuron);
            let log_rates = run(&model, &spec, &counts, &masking).log_rates;
            expected.extend(values(log_rates.narrow(2, unit, 1)));
        }
        assert_close(&found, &expected, "leave-one-out and a pass with the unit hidden");
        for (k, unit) in units.into_iter().enumerate() {
            let mut changed = counts.clone();
            changed.slice_mut(s![.., .., unit]).mapv_inplace(|c| 2 * c + 3);
            let own = k * 3 * N_BINS..(k + 1) * 3 * N_BINS;
            assert_close(
                &answer(&changed)[own.clone()],
                &found[own],
                "a unit's own counts reach its prediction",
            );
        }
    }
}

/// Leave-one-out prediction refuses a unit that the session does not have, also one that another session has.
///
/// # Panics
/// If the model breaks this law.
pub fn units_that_are_not_there_are_refused<M: PopulationModel>(
    build: impl Fn(&[SessionSpec], u64, &Device) -> M,
) {
    let model = build(&sessions(), 1, &test_device());
    for spec in sessions() {
        let n_units = spec.n_units;
        let masking = Masking::nothing([2, N_BINS, n_units], Prompt::Neuron);
        let counts = Array3::ones((2, N_BINS, n_units));
        let input = ModelInput::new(&spec.session, counts.view(), &masking, &test_device());
        for stranger in [n_units, usize::MAX] {
            let error = model.forward_leave_one_out(&input, &[0, stranger]).err();
            let is_refused =
                matches!(&error, Some(ModelError::UnknownUnit { unit, .. }) if *unit == stranger);
            assert!(is_refused, "unit {stranger} of {n_units} gave {error:?}");
        }
    }
}
