//! Laws of NEDS: what is hidden reaches nothing, masks are functions of their address, sessions keep what is theirs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::module::Module;
use burn::tensor::Tensor;
use ndarray::{Array2, Array3, Axis};
use neurobrick_core::weights::state_dict;
use neurobrick_core::{Mode, ModelError, SessionSpec};
use neurobrick_models::{
    Neds, NedsConfig, NedsCounted, NedsInput, NedsLabel, NedsMask, NedsMasking, NedsModalities, NedsOutput,
    NedsScheme, NedsTargets, NedsWindows,
};
use neurobrick_nn::scalar;
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_testkit::test_device;
use proptest::prelude::*;

/// Windows, bins, units.
const SHAPE: [usize; 3] = [4, 6, 5];

fn modalities(n_labels: usize, n_behaviors: usize) -> NedsModalities {
    let label = |i: usize| NedsLabel { name: format!("label_{i}"), n_classes: 2 + i };
    NedsModalities {
        labels: (0..n_labels).map(label).collect(),
        behaviors: (0..n_behaviors).map(|i| format!("behavior_{i}")).collect(),
    }
}

fn spec(name: &str) -> SessionSpec {
    SessionSpec { session: SessionId::new(name).unwrap(), n_units: SHAPE[2], log_mean_rates: None }
}

fn config() -> NedsConfig {
    NedsConfig {
        d_model: 16,
        d_mlp: 24,
        n_layers: 2,
        n_heads: 2,
        embed_std: 0.5,
        ..NedsConfig::small(SHAPE[1])
    }
}

fn model(modalities: &NedsModalities) -> Neds {
    let sessions = [spec("first"), spec("second")];
    Neds::new(config(), modalities.clone(), &sessions, 7, &test_device()).unwrap()
}

/// Windows of one session, drawn.
#[derive(Clone)]
struct Drawn {
    session: SessionId,
    counts: Array3<u16>,
    labels: Array2<Option<usize>>,
    behaviors: Array3<f64>,
}

impl Drawn {
    fn new(seed: u64, modalities: &NedsModalities) -> Self {
        let mut draws = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
        let [b, t, _] = SHAPE;
        let (n_labels, n_behaviors) = (modalities.labels.len(), modalities.behaviors.len());
        Self {
            session: spec("second").session,
            counts: Array3::from_shape_simple_fn(SHAPE, || u16::try_from(draws.poisson(1.0)).unwrap()),
            labels: Array2::from_shape_fn((b, n_labels), |(_, l)| {
                Some(draws.below(modalities.labels[l].n_classes))
            }),
            behaviors: Array3::from_shape_simple_fn((b, t, n_behaviors), || draws.normal()),
        }
    }

    fn windows(&self) -> NedsWindows<'_> {
        NedsWindows {
            session: &self.session,
            counts: self.counts.view(),
            labels: self.labels.view(),
            behaviors: self.behaviors.view(),
        }
    }

    fn answer(&self, model: &Neds, mask: &NedsMask) -> NedsOutput {
        let input = NedsInput::new(&self.windows(), model.modalities(), mask, &test_device()).unwrap();
        model.forward(&input, Mode::Eval).unwrap()
    }

    /// Everything that `mask` hides made another, be it a number or none at all.
    fn with_others_hidden(&self, other: &Self, mask: &NedsMask, modalities: &NedsModalities) -> Self {
        let (hidden, mut changed) = (mask.hidden(), self.clone());
        for ((window, bin, unit), count) in changed.counts.indexed_iter_mut() {
            if hidden[[window, 0, bin]] {
                *count += 1 + other.counts[[window, bin, unit]];
            }
        }
        for ((window, number), class) in changed.labels.indexed_iter_mut() {
            if hidden[[window, 1 + number, 0]] {
                let n_classes = modalities.labels[number].n_classes;
                *class = if window % 2 == 0 { None } else { class.map(|class| (class + 1) % n_classes) };
            }
        }
        for ((window, bin, number), value) in changed.behaviors.indexed_iter_mut() {
            if hidden[[window, 1 + modalities.labels.len() + number, bin]] {
                *value = if bin % 2 == 0 { f64::NAN } else { 1e6 - *value };
            }
        }
        changed
    }
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<u32> {
    tensor.to_data().iter::<f32>().map(f32::to_bits).collect()
}

/// All answers, bit by bit.
fn bits(output: &NedsOutput) -> Vec<Vec<u32>> {
    let mut all = vec![values(&output.log_rates), values(&output.behaviors), values(&output.latents)];
    all.extend(output.logits.iter().map(values));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_hidden_reaches_no_answer(seed in 0u64..1_000_000, ratio in 0.05f64..0.9) {
        let modalities = modalities(2, 2);
        let model = model(&modalities);
        let masking = NedsMasking { ratio, ..NedsMasking::default() };
        let mask = masking.draw(&modalities, [SHAPE[0], SHAPE[1]], seed, 3);
        let drawn = Drawn::new(seed, &modalities);
        let changed = drawn.with_others_hidden(&Drawn::new(seed + 1, &modalities), &mask, &modalities);
        prop_assert_eq!(bits(&drawn.answer(&model, &mask)), bits(&changed.answer(&model, &mask)));
    }

    #[test]
    fn what_is_not_recorded_is_as_if_hidden_and_never_asked_for(seed in 0u64..1_000_000) {
        let modalities = modalities(1, 1);
        let model = model(&modalities);
        let drawn = Drawn::new(seed, &modalities);
        let mut lacking = drawn.clone();
        lacking.labels[[1, 0]] = None;
        lacking.behaviors[[2, 3, 0]] = f64::NAN;
        let mut hidden = Array3::from_elem((SHAPE[0], 3, SHAPE[1]), false);
        hidden.slice_mut(ndarray::s![1, 1, ..]).fill(true);
        hidden[[2, 2, 3]] = true;
        let mask = NedsMask::new(hidden, &modalities).unwrap();
        let nothing = NedsMask::new(Array3::from_elem((SHAPE[0], 3, SHAPE[1]), false), &modalities).unwrap();
        let (hidden, shown) = (drawn.answer(&model, &mask), drawn.answer(&model, &nothing));
        prop_assert_eq!(bits(&lacking.answer(&model, &nothing)), bits(&hidden));
        prop_assert_ne!(bits(&hidden), bits(&shown));
        let counted = NedsCounted::of(&lacking.windows(), &modalities, &mask);
        prop_assert_eq!(counted, NedsCounted { spikes: 0, labels: vec![0], behaviors: vec![0] });
        let counted = NedsCounted::of(&drawn.windows(), &modalities, &mask);
        prop_assert_eq!(counted, NedsCounted { spikes: 0, labels: vec![1], behaviors: vec![1] });
    }
}

/// Each modality that is shown reaches the answers to the others.
#[test]
fn what_is_shown_is_read() {
    let modalities = modalities(1, 1);
    let model = model(&modalities);
    let drawn = Drawn::new(5, &modalities);
    let shape = [SHAPE[0], SHAPE[1]];
    let (encoding, decoding) =
        (NedsMask::encoding(&modalities, shape), NedsMask::decoding(&modalities, shape));
    let rates = |drawn: &Drawn| values(&drawn.answer(&model, &encoding).log_rates);
    let found = |drawn: &Drawn| {
        let answer = drawn.answer(&model, &decoding);
        [values(&answer.logits[0]), values(&answer.behaviors)]
    };
    let (mut spikes, mut label, mut behavior) = (drawn.clone(), drawn.clone(), drawn.clone());
    spikes.counts[[0, 1, 2]] += 1;
    label.labels[[0, 0]] = drawn.labels[[0, 0]].map(|class| 1 - class);
    behavior.behaviors[[0, 2, 0]] += 0.5;
    assert_eq!(rates(&spikes), rates(&drawn));
    assert_ne!(rates(&label), rates(&drawn));
    assert_ne!(rates(&behavior), rates(&drawn));
    let (of_spikes, of_drawn) = (found(&spikes), found(&drawn));
    assert!(of_spikes[0] != of_drawn[0] && of_spikes[1] != of_drawn[1]);
    assert_eq!(found(&label), of_drawn);
    assert_eq!(found(&behavior), of_drawn);
}

/// A mask depends on seed, step and place, and on nothing else of the batch.
#[test]
fn masks_are_functions_of_seed_step_and_place() {
    let modalities = modalities(2, 2);
    let masking = NedsMasking { ratio: 0.3, ..NedsMasking::default() };
    let draw = |n: usize, seed: u64, step: u64| masking.draw(&modalities, [n, 50], seed, step);
    assert_eq!(draw(32, 1, 4), draw(32, 1, 4));
    assert_ne!(draw(32, 1, 4), draw(32, 2, 4));
    assert_ne!(draw(32, 1, 4), draw(32, 1, 5));
    assert_eq!(draw(32, 1, 4).windows(0..7), draw(7, 1, 4));
    let mask = draw(32, 1, 4);
    // Windows of one scheme have masks of their own.
    let of_scheme: Vec<usize> = (0..32)
        .filter(|&place| masking.scheme(1, 4, place) == NedsScheme::SelfSpike)
        .map(|place| usize::try_from(place).unwrap())
        .collect();
    assert!(of_scheme.len() > 1);
    let rows = |window: usize| mask.hidden().index_axis(Axis(0), window).to_owned();
    assert_ne!(rows(of_scheme[0]), rows(of_scheme[1]));
}

#[test]
fn schemes_hide_what_they_say_and_as_often() {
    let modalities = modalities(1, 2);
    let ratio = 0.2;
    let (n, n_bins) = (2000, 20);
    for scheme in NedsScheme::ALL {
        let masking = NedsMasking { schemes: vec![scheme], ratio };
        let mask = masking.draw(&modalities, [n, n_bins], 11, 0);
        let share = |modality: usize| {
            let hidden = mask.hidden().index_axis_move(Axis(1), modality);
            hidden.iter().filter(|&&h| h).count() as f64 / (n * n_bins) as f64
        };
        let [spikes, label, first, second] = [share(0), share(1), share(2), share(3)];
        let are_all = |found: &[f64]| found.iter().all(|share| (share - 1.0).abs() < 1e-12);
        let are_none = |found: &[f64]| found.iter().all(|share| share.abs() < 1e-12);
        // Four standard errors: of 40,000 bins, and of 2,000 labels, which are hidden as a whole.
        let near =
            |found: f64, n: usize| (found - ratio).abs() < 4.0 * (ratio * (1.0 - ratio) / n as f64).sqrt();
        let is_some = |found: f64| near(found, n * n_bins);
        let is_right = match scheme {
            NedsScheme::Encoding => are_all(&[spikes]) && are_none(&[label, first, second]),
            NedsScheme::Decoding => are_none(&[spikes]) && are_all(&[label, first, second]),
            NedsScheme::SelfSpike => is_some(spikes) && are_none(&[label, first, second]),
            NedsScheme::SelfBehavior => {
                are_none(&[spikes]) && near(label, n) && is_some(first) && is_some(second)
            }
            NedsScheme::RandomToken => is_some(spikes) && near(label, n) && is_some(first),
        };
        assert!(is_right, "{}: {spikes} {label} {first} {second}", scheme.name());
        let rows = |modality: usize| mask.hidden().index_axis_move(Axis(1), modality).to_owned();
        let is_shared = rows(0) == rows(2) && rows(2) == rows(3);
        assert_eq!(is_shared, scheme == NedsScheme::RandomToken, "{}", scheme.name());
        let label_rows = rows(1);
        assert!(
            label_rows.rows().into_iter().all(|row| row.iter().all(|&h| h == row[0])),
            "{}",
            scheme.name()
        );
    }
    let all = NedsMasking::default();
    for scheme in NedsScheme::ALL {
        let n_drawn = (0..5000).filter(|&place| all.scheme(3, 8, place) == scheme).count();
        assert!((880..1120).contains(&n_drawn), "{}: {n_drawn} of 5000", scheme.name());
    }
}

/// A label of which some tokens are hidden would be seen in the others.
#[test]
fn a_mask_hides_labels_as_a_whole() {
    let modalities = modalities(1, 0);
    let mut hidden = Array3::from_elem((2, 2, 3), false);
    hidden[[1, 1, 2]] = true;
    let error = NedsMask::new(hidden, &modalities).unwrap_err();
    assert!(error.to_string().contains("all or none"), "{error}");
    let error = NedsMask::new(Array3::from_elem((2, 3, 3), false), &modalities).unwrap_err();
    assert!(matches!(error, ModelError::BadConfig { .. }), "{error}");
}

/// Labels alone, behaviors alone, and a loss that adds up over shards.
#[test]
fn any_modalities_train_and_shards_add_up() {
    for (n_labels, n_behaviors) in [(2, 0), (0, 1), (1, 2)] {
        let modalities = modalities(n_labels, n_behaviors);
        let model = model(&modalities);
        let drawn = Drawn::new(9, &modalities);
        // Two windows encode, two decode, and a shard has some of each.
        let mut hidden = Array3::from_elem((SHAPE[0], modalities.n_modalities(), SHAPE[1]), false);
        hidden.slice_mut(ndarray::s![..2, 0, ..]).fill(true);
        hidden.slice_mut(ndarray::s![2.., 1.., ..]).fill(true);
        let mask = NedsMask::new(hidden, &modalities).unwrap();
        let counted = NedsCounted::of(&drawn.windows(), &modalities, &mask);
        assert_eq!(counted.total(), 2 * 30 + 2 * n_labels as u64 + 2 * 6 * n_behaviors as u64);
        let whole = |drawn: &Drawn, mask: &NedsMask| {
            let targets =
                NedsTargets { windows: drawn.windows(), mask, counted: &counted, label_weight: 0.5 };
            let loss = targets.loss(&drawn.answer(&model, mask), &modalities).unwrap();
            scalar(loss)
        };
        let part = |range: std::ops::Range<usize>| {
            let rows: Vec<usize> = range.clone().collect();
            let part = Drawn {
                session: drawn.session.clone(),
                counts: drawn.counts.select(Axis(0), &rows),
                labels: drawn.labels.select(Axis(0), &rows),
                behaviors: drawn.behaviors.select(Axis(0), &rows),
            };
            whole(&part, &mask.windows(range))
        };
        let (all, parts) = (whole(&drawn, &mask), part(0..1) + part(1..4));
        assert!((all - parts).abs() < 1e-5 * all.abs(), "{n_labels} labels: {all}, in parts {parts}");
        let output = drawn.answer(&model, &mask);
        assert_eq!((output.logits.len(), output.behaviors.dims()[2]), (n_labels, n_behaviors));
    }
}

#[test]
fn sessions_keep_what_is_theirs() {
    let modalities = modalities(1, 1);
    let device = test_device();
    let model = model(&modalities);
    let drawn = Drawn::new(3, &modalities);
    let mask = NedsMask::encoding(&modalities, [SHAPE[0], SHAPE[1]]);
    let whole = bits(&drawn.answer(&model, &mask));
    let part = model.for_session(&drawn.session).unwrap();
    assert_eq!((part.sessions().len(), bits(&drawn.answer(&part, &mask))), (1, whole.clone()));
    let grown = model.with_sessions(&[spec("third"), spec("second")], 8, &device).unwrap();
    assert_eq!(bits(&drawn.answer(&grown, &mask)), whole);
    // A new session has encoders of its own, and the tables of the others.
    let (before, after) = (state_dict(&model), state_dict(&grown));
    for (path, data) in &before {
        if !Neds::is_session_parameter(path) {
            assert_eq!(data, &after[path], "{path}");
        }
    }
    assert_ne!(before["sessions.0.parts.1.expand.weight"], after["sessions.0.parts.1.expand.weight"]);
    // What starts a session is its name and the seed, whatever else the model holds.
    let alone = Neds::new(config(), modalities.clone(), &[spec("third")], 8, &device).unwrap();
    let paths = ["parts.0.expand.weight", "parts.1.read_out.bias", "parts.2.token"];
    for path in paths.map(|path| format!("sessions.0.{path}")) {
        assert_eq!(state_dict(&alone)[&path], after[&path], "{path}");
    }
    let twice = model.with_sessions(&[spec("third"), spec("third")], 8, &device);
    assert!(matches!(twice, Err(ModelError::DuplicateSession { .. })));
    let other = SessionSpec { n_units: 3, ..spec("second") };
    assert!(matches!(model.with_sessions(&[other], 8, &device), Err(ModelError::SizeMismatch { .. })));
    assert!(matches!(model.for_session(&spec("third").session), Err(ModelError::UnknownSession { .. })));
}

#[test]
fn windows_of_other_sizes_and_classes_are_refused() {
    let modalities = modalities(1, 1);
    let model = model(&modalities);
    let drawn = Drawn::new(3, &modalities);
    let mask = NedsMask::encoding(&modalities, [SHAPE[0], SHAPE[1]]);
    let refused = |drawn: &Drawn, mask: &NedsMask| {
        let input = NedsInput::new(&drawn.windows(), &modalities, mask, &test_device());
        input.and_then(|input| model.forward(&input, Mode::Eval)).unwrap_err().to_string()
    };
    let short =
        Drawn { behaviors: drawn.behaviors.slice(ndarray::s![.., ..3, ..]).to_owned(), ..drawn.clone() };
    assert!(refused(&short, &mask).contains("bins of behavior = 6, received 3"));
    let fewer = NedsMask::encoding(&modalities, [2, SHAPE[1]]);
    assert!(refused(&drawn, &fewer).contains("windows of the mask"));
    let units = Drawn { counts: drawn.counts.slice(ndarray::s![.., .., ..4]).to_owned(), ..drawn.clone() };
    assert!(refused(&units, &mask).contains("units = 5, received 4"));
    let mut class = drawn.clone();
    class.labels[[2, 0]] = Some(2);
    assert!(refused(&class, &mask).contains("class 2 of the label `label_0`, which has 2"));
}

/// An input that was not made by `NedsInput::new` may be of any size.
#[test]
fn inputs_of_other_sizes_are_refused() {
    let modalities = modalities(2, 2);
    let model = model(&modalities);
    let drawn = Drawn::new(3, &modalities);
    let mask = NedsMask::encoding(&modalities, [SHAPE[0], SHAPE[1]]);
    let good = NedsInput::new(&drawn.windows(), &modalities, &mask, &test_device()).unwrap();
    let check = |change: &dyn Fn(&mut NedsInput), expected: &str| {
        let mut input = good.clone();
        change(&mut input);
        let error = model.forward(&input, Mode::Eval).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|input| input.labels = input.labels.clone().narrow(0, 0, 3), "windows of labels = 4, received 3");
    check(&|input| input.labels = input.labels.clone().narrow(1, 0, 1), "labels = 2, received 1");
    check(
        &|input| input.behaviors = input.behaviors.clone().narrow(0, 0, 3),
        "windows of behavior = 4, received 3",
    );
    check(
        &|input| input.behaviors = input.behaviors.clone().narrow(1, 0, 5),
        "bins of behavior = 6, received 5",
    );
    check(&|input| input.behaviors = input.behaviors.clone().narrow(2, 0, 1), "behaviors = 2, received 1");
    check(
        &|input| input.unseen = input.unseen.clone().narrow(0, 0, 3),
        "windows of the mask = 4, received 3",
    );
    check(
        &|input| input.unseen = input.unseen.clone().narrow(1, 0, 4),
        "modalities of the mask = 5, received 4",
    );
    check(&|input| input.unseen = input.unseen.clone().narrow(2, 0, 5), "bins of the mask = 6, received 5");
}

/// Sizes by hand: a layer of width 256 with an MLP of 512 has 263,168 + 262,912 + 1,024 parameters; then the last norm, the mask
/// token, and a vector and 100 positions for each of five modalities.
#[test]
fn published_sizes_have_the_parameters_of_the_paper() {
    let ibl = NedsModalities {
        labels: [("choice", 2), ("block", 3)]
            .map(|(name, n_classes)| NedsLabel { name: name.to_owned(), n_classes })
            .to_vec(),
        behaviors: ["wheel", "whisker"].map(str::to_owned).to_vec(),
    };
    let core = |config: NedsConfig, sessions: &[SessionSpec]| {
        Neds::new(config, ibl.clone(), sessions, 1, &test_device()).unwrap().num_params()
    };
    let shared = 512 + 256 + 5 * 101 * 256;
    assert_eq!(core(NedsConfig::published(), &[]), 5 * 527_104 + shared);
    assert_eq!(core(NedsConfig::published_large(), &[]), 22 * 527_104 + shared);
    // A session of N units: N -> 2N -> 256 and 256 -> N for spikes.
    let n = 10;
    let spikes = n * 2 * n + 2 * n + 2 * n * 256 + 256 + 256 + 257 * n;
    let behavior = (2 + 2) + (2 * 256 + 256) + 256 + 257;
    let label = |n_classes: usize| (200 + 200) + (2 * 256 + 256) + 256 + 100 + 257 * n_classes;
    let session = spikes + 2 * behavior + label(2) + label(3);
    let spec = SessionSpec { n_units: n, ..spec("first") };
    assert_eq!(core(NedsConfig::published(), &[spec]), 5 * 527_104 + shared + session);
}

#[test]
fn configurations_out_of_range_are_refused() {
    let refuse = |change: &dyn Fn(&mut NedsConfig)| {
        let mut config = config();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(refuse(&|c| c.n_bins = 0).contains("n_bins"));
    // Heads of width 3 cannot turn by halves.
    assert!(refuse(&|c| (c.d_model, c.n_heads) = (12, 4)).contains("n_heads"));
    assert!(refuse(&|c| c.dropout = 1.0).contains("dropout"));
    assert!(refuse(&|c| c.embed_std = 0.0).contains("embed_std"));
    assert!(modalities(0, 0).validate().is_err());
    let mut twice = modalities(1, 1);
    twice.behaviors[0] = "label_0".to_owned();
    assert!(twice.validate().unwrap_err().to_string().contains("label_0"));
    twice.behaviors[0] = "spikes".to_owned();
    assert!(twice.validate().is_err());
    assert!(NedsMasking { ratio: 1.0, ..NedsMasking::default() }.validate().is_err());
    assert!(NedsMasking { schemes: Vec::new(), ratio: 0.1 }.validate().is_err());
}
