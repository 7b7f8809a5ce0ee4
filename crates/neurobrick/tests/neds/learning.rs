//! It learns both ways, carries over to a session it never saw, resumes to the bit, and sees no test data.

use std::fs;

use burn::module::Module;
use neurobrick::config::{NedsTrainConfig, PretrainNedsConfig};
use neurobrick::core::weights::state_dict;
use neurobrick::core::{Mode, SessionSpec};
use neurobrick::decoding::{DecodeResult, load_neds_model};
use neurobrick::evaluation::Group;
use neurobrick::metrics::{Convention, NullModel};
use neurobrick::models::{
    Neds, NedsConfig, NedsCounted, NedsInput, NedsLabel, NedsMask, NedsModalities, NedsTargets, NedsWindows,
};
use neurobrick::nn::scalar;
use neurobrick::pipeline::{self, Silent};
use neurobrick::random::{Domain, Stream};
use neurobrick::schema::{Recording, RecordingParts, SessionId};
use neurobrick::train::{AdamW, AdamWConfig, Gradients, Rates};
use neurobrick::{PipelineError, load_sessions};
use neurobrick_testkit::test_device;

use crate::cursor::{compute, cursor, validations, with_other_values, with_samples, write};
use crate::{
    SCHEDULE, brain, decode_config, finetune_config, pretrain_config, pretrained, small, two_sessions,
    with_labels,
};

/// Pooled bits per spike of a predictor over training means.
fn encoded(found: &DecodeResult, name: &str) -> f64 {
    let predictor = {
        let scores = found.encoding[0].scores.as_ref().unwrap();
        scores.predictors.iter().find(|predictor| predictor.name == name).unwrap()
    };
    let entry = predictor
        .scores
        .iter()
        .find(|score| score.null == NullModel::TrainMean && score.convention == Convention::Pooled)
        .unwrap();
    entry.score.as_ref().unwrap().value()
}

/// Pretrained on three sessions and fine-tuned on a fourth, it decodes a label and two behaviors, and encodes spikes.
#[test]
fn it_learns_both_ways_and_carries_over_to_a_session_it_never_saw() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let sessions: Vec<Recording> =
        [(0, 16), (1, 18), (2, 20), (3, 24)].map(|(session, n)| cursor(&brain(), session, 160, n)).to_vec();
    write(&at("store"), &sessions);
    let train = format!("n_steps = 300\nvalid_every = 50\nclip_norm = 1.0\nlabel_weight = 0.3\n{SCHEDULE}");
    let pretrain = pretrain_config(&at("store"), &train);
    pipeline::pretrain_neds(&pretrain, &at("pretrained"), "test", compute(2), &mut Silent).unwrap();
    let train = format!(
        "n_steps = 240\nn_frozen_steps = 20\nvalid_every = 20\nclip_norm = 1.0\nlabel_weight = 0.3\n{SCHEDULE}"
    );
    let mut tune = finetune_config(&at("store"), &at("pretrained"), &train);
    pipeline::finetune_neds(&tune, &at("tuned"), "test", compute(2), &mut Silent).unwrap();
    let (_, report) = validations(&at("tuned/shared-1-3")).pop().unwrap();
    assert_eq!((report.schemes.len(), report.labels.len(), report.behaviors.len()), (1, 1, 2));

    let decode = decode_config(&at("store"), "shared-1-3", &at("tuned"));
    let found = pipeline::decode(&decode, &at("decode"), "test", compute(2), &mut Silent).unwrap();
    for (target, decoder) in [("condition", "logistic"), ("cursor_x", "wiener"), ("speed_y", "wiener")] {
        let score = |decoder: &str| {
            let row = found.rows.iter().find(|row| row.target == target && row.decoder == decoder).unwrap();
            row.score.clone().unwrap_or_else(|| panic!("{target} by {decoder}: {:?}", row.undefined))
        };
        let (neds, linear) = (score("neds"), score(decoder));
        assert!(neds.value() > neds.null().upper && neds.null().p_value < 0.05, "{target}: {neds:?}");
        assert!(neds.interval().lo > neds.baseline().value, "{target}: {neds:?}");
        // The same trials for all.
        assert_eq!((neds.n().trials, neds.baseline()), (linear.n().trials, linear.baseline()), "{target}");
    }
    assert_eq!(found.encoding[0].knows, ["condition", "cursor_x", "speed_y"]);
    let encoding = found.encoding[0].scores.as_ref().unwrap();
    let names: Vec<&str> = encoding.predictors.iter().map(|predictor| predictor.name.as_str()).collect();
    assert_eq!(names, ["tuned", "psth", "unit_mean"]);
    let (neds, psth, mean) =
        (encoded(&found, "tuned"), encoded(&found, "psth"), encoded(&found, "unit_mean"));
    assert!(neds > 0.05 && neds > psth && psth > mean && mean.abs() < 1e-9, "{neds} {psth} {mean}");
    assert!(encoding.null.p_value < 0.05 && encoding.null.mean < neds, "{encoding:?}");
    let over_mean = encoding.differences.iter().find(|d| d.right == "unit_mean").unwrap();
    assert!(over_mean.left == "tuned" && over_mean.difference.interval.lo > 0.0, "{over_mean:?}");
    assert_eq!(encoding.predictors[1].group, Group::Baseline);
    let text = fs::read_to_string(at("decode").join("decode.md")).unwrap();
    assert!(text.contains("| tuned | neds |") && text.contains("## Encoding of shared-1-3"), "{text}");

    // The tables of what is shared come along; while sessions alone learn, they stay.
    let (before, _) = load_neds_model(&at("pretrained"), compute(1).device).unwrap();
    (tune.train.n_frozen_steps, tune.train.n_steps) = (10, 10);
    pipeline::finetune_neds(&tune, &at("frozen"), "test", compute(2), &mut Silent).unwrap();
    let (after, record) = load_neds_model(&at("frozen").join("shared-1-3"), compute(1).device).unwrap();
    let core = |model: &Neds| -> Vec<_> {
        state_dict(model).into_iter().filter(|(path, _)| !Neds::is_session_parameter(path)).collect()
    };
    assert_eq!(core(&before), core(&after));
    assert_eq!((record.trained_on.len(), record.config.scales.len()), (4, 1));
    assert_eq!(record.config.scales[0].scales[0].unit.as_deref(), Some("cm/s"));

    // The pretrained model is scored on its own sessions from its one folder.
    let decode = decode_config(&at("store"), "shared-1-0", &at("pretrained"));
    let found = pipeline::decode(&decode, &at("decode_seen"), "test", compute(2), &mut Silent).unwrap();
    let seen = encoded(&found, "tuned");
    assert!(seen > 0.0, "{seen}");
}

/// One batch under one mask, whole: every loss goes down to next to nothing that can be learned.
#[test]
fn it_overfits_one_batch() {
    let device = test_device();
    let modalities = NedsModalities {
        labels: vec![NedsLabel { name: "side".to_owned(), n_classes: 3 }],
        behaviors: vec!["speed".to_owned()],
    };
    let spec = SessionSpec { session: SessionId::new("one").unwrap(), n_units: 6, log_mean_rates: None };
    let config = NedsConfig { dropout: 0.0, dropout_embed: 0.0, d_model: 32, ..NedsConfig::small(8) };
    let (b, t) = (6, 8);
    let mut draws = Stream::new(1, Domain::Synthetic, [0, 0, 0]);
    let counts = ndarray::Array3::from_shape_simple_fn((b, t, 6), || u16::from(draws.bernoulli(0.5)));
    let labels = ndarray::Array2::from_shape_fn((b, 1), |(window, _)| Some(window % 3));
    let behaviors = ndarray::Array3::from_shape_simple_fn((b, t, 1), || draws.normal());
    let windows = NedsWindows {
        session: &spec.session,
        counts: counts.view(),
        labels: labels.view(),
        behaviors: behaviors.view(),
    };
    // Half of the windows encode, half decode.
    let mut hidden = ndarray::Array3::from_elem((b, 3, t), false);
    hidden.slice_mut(ndarray::s![..3, 0, ..]).fill(true);
    hidden.slice_mut(ndarray::s![3.., 1.., ..]).fill(true);
    let mask = NedsMask::new(hidden, &modalities).unwrap();
    let counted = NedsCounted::of(&windows, &modalities, &mask);
    let targets = NedsTargets { windows, mask: &mask, counted: &counted, label_weight: 1.0 };
    let mut model = Neds::new(config, modalities.clone(), std::slice::from_ref(&spec), 3, &device).unwrap();
    let mut optimizer = AdamW::new(AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() });
    let mut losses = Vec::new();
    for _ in 0..300 {
        let learning = model.clone().train();
        let input = NedsInput::new(&windows, &modalities, &mask, &device.clone().autodiff()).unwrap();
        let output = learning.forward(&input, Mode::Eval).unwrap();
        let loss = targets.loss(&output, &modalities).unwrap();
        losses.push(scalar(loss.clone().inner()));
        let gradients = Gradients::collect(&learning, loss.backward());
        model = optimizer.step(model, gradients, Rates { lr: 3e-3, beta1: 0.9 });
    }
    // Counts of 0 and 1 known for sure cost exp(o) - y o at o = 0 and below: one half on average.
    let floor =
        counts.slice(ndarray::s![..3, .., ..]).iter().map(|&y| f64::from(y)).sum::<f64>() / (3.0 * 48.0);
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(first > floor + 1.5, "{first} at the start, {floor} at best");
    assert!(last < floor + 0.1, "{last} at the end, {floor} at best");
}

#[test]
fn a_resumed_run_has_the_bits_of_an_uninterrupted_one_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("store"), &two_sessions());
    let config = small(&at("store"));
    let whole = pretrained(&config, &at("whole"), 2);
    assert_eq!(whole, pretrained(&config, &at("one_thread"), 1));
    // As a kill after step 8 leaves it.
    fs::remove_dir_all(at("whole/model")).unwrap();
    fs::remove_dir_all(at("whole/checkpoints/step-00000010")).unwrap();
    assert!(at("whole/checkpoints/step-00000008").exists());
    assert_eq!(whole, pretrained(&config, &at("whole"), 2));
    let other = PretrainNedsConfig { seed: 6, ..config.clone() };
    assert_ne!(whole[0], pretrained(&other, &at("other"), 2)[0]);
    let refused = pipeline::pretrain_neds(&other, &at("whole"), "test", compute(2), &mut Silent).unwrap_err();
    assert!(matches!(refused, PipelineError::OtherRun { .. }), "{refused}");
}

/// Options that are of this model alone, and how its batches are made, change what is learned.
#[test]
fn options_of_masks_labels_and_batches_do_something() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("store"), &two_sessions());
    let config = small(&at("store"));
    let whole = pretrained(&config, &at("whole"), 2);
    let check = |name: &str, change: &dyn Fn(&mut NedsTrainConfig)| {
        let mut other = config.clone();
        change(&mut other.train);
        assert_ne!(whole[0], pretrained(&other, &at(name), 2)[0], "{name}");
    };
    check("ratio", &|train| train.masking.ratio = 0.4);
    check("schemes", &|train| train.masking.schemes.truncate(2));
    check("label_weight", &|train| train.label_weight = None);
    check("n_frozen_steps", &|train| train.n_frozen_steps = 0);
    check("batch_size", &|train| train.batch_size = 7);
}

/// Labels of other trials' conditions.
fn with_other_labels(recording: Recording, is_other: impl Fn(f64) -> bool) -> Recording {
    let other = |old: &str| if old == "c0" { "c1" } else { "c0" }.to_owned();
    with_labels(recording, |time, old| if is_other(time) { other(old) } else { old.to_owned() })
}

/// Everything in test trials is made another: spikes are of other units, behavior is of another size, labels are swapped.
#[test]
fn nothing_of_a_test_trial_reaches_training() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let recordings = two_sessions();
    write(&at("store"), &recordings);
    let config = small(&at("store"));
    let ids: Vec<_> = recordings.iter().map(|r| r.info().session.clone()).collect();
    let loaded = load_sessions(&config.data, &ids, config.seed).unwrap();
    let changed: Vec<Recording> = recordings
        .into_iter()
        .zip(&loaded)
        .map(|(recording, session)| {
            let tested = &session.train.split.test;
            let windows: Vec<_> = tested.iter().map(|&trial| session.train.data.windows()[trial]).collect();
            let is_tested = |time: f64| windows.iter().any(|w| w.start_s <= time && time < w.end_s);
            with_other_labels(with_other_values(recording, is_tested), is_tested)
        })
        .collect();
    write(&at("changed"), &changed);
    let whole = pretrained(&config, &at("first"), 2);
    assert_eq!(whole, pretrained(&small(&at("changed")), &at("second"), 2));

    // The test of the test: labels alone, changed in training trials, are noticed.
    let swapped: Vec<Recording> =
        two_sessions().into_iter().map(|r| with_other_labels(r, |time| time < 20.0)).collect();
    write(&at("noticed"), &swapped);
    assert_ne!(whole[0], pretrained(&small(&at("noticed")), &at("third"), 2)[0]);
}

/// Bins without behavior and trials without a label are learned from all the same, and scored where there is something.
#[test]
fn gaps_are_left_out_and_not_the_trials() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [recording, _] = two_sessions();
    let parts = recording.into_parts();
    let start = parts.trials.intervals()[0].start_s;
    let gap = |time: f64| (time - start).rem_euclid(0.5) < 0.1;
    let signals =
        vec![with_samples(&parts.signals[0], |time, value| if gap(time) { f64::NAN } else { value })];
    let recording = Recording::from_parts(RecordingParts { signals, ..parts }).unwrap();
    // Every third trial is of neither class.
    let number = |time: f64| ((time - start) / 0.5).round();
    let recording = with_labels(recording, |time, label| {
        if number(time).rem_euclid(3.0) < 0.5 { "neither".to_owned() } else { label.to_owned() }
    });
    write(&at("store"), &[recording]);
    let config = small(&at("store"));
    pipeline::pretrain_neds(&config, &at("run"), "test", compute(1), &mut Silent).unwrap();
    let (_, report) = validations(&at("run")).pop().unwrap();
    let n_valid = report.behaviors[0].n_values;
    assert!(report.labels[0].n_trials > 0 && report.labels[0].n_trials < 4, "{report:?}");
    assert!(n_valid > 0 && n_valid < 4 * 25, "{report:?}");
}
