//! NEDS through the verbs: it learns both ways, carries over to a session it never saw, resumes to the bit, and sees no test
//! data.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod cursor;

use std::fs;
use std::path::Path;

use burn::module::Module;
use neurobrick::config::{
    AuditConfig, DecodeConfig, DecodeTarget, FinetuneNedsConfig, Finetuning, NedsTrainConfig,
    PretrainDecoderConfig, PretrainNedsConfig, Pretraining, ScoringConfig, Start, load, parse_toml,
};
use neurobrick::core::weights::state_dict;
use neurobrick::core::{Mode, SessionSpec};
use neurobrick::decoding::{DecodeResult, load_decoder_model, load_neds_model};
use neurobrick::evaluation::Group;
use neurobrick::metrics::{Convention, NullModel};
use neurobrick::models::{
    Neds, NedsConfig, NedsCounted, NedsInput, NedsLabel, NedsMask, NedsModalities, NedsScheme, NedsTargets,
    NedsWindows,
};
use neurobrick::nn::scalar;
use neurobrick::pipeline::{self, Silent, load_model};
use neurobrick::random::{Domain, Stream};
use neurobrick::schema::{Activity, ColumnValues, Recording, RecordingParts, SessionId, Spikes, Trials};
use neurobrick::train::{AdamW, AdamWConfig, Gradients, Rates};
use neurobrick::{PipelineError, load_sessions};
use neurobrick_testkit::{SharedBrain, test_device};

use crate::cursor::{compute, cursor, validations, with_other_values, with_samples, write};

/// Two conditions that half of the variance of the cursor belongs to.
fn brain() -> SharedBrain {
    SharedBrain { n_conditions: 2, shared: 0.5, ..SharedBrain::cursor(1) }
}

const MODALITIES: &str = r#"
[modalities]
labels = [{ category = { name = "condition", column = "condition", positive = "c1", negative = "c0" } }]
behaviors = [
    { name = "cursor_x", signal = "cursor", column = "x", rule = "nearest" },
    { name = "speed_y", signal = "cursor", column = "y", rule = "nearest", absolute = true },
]
"#;

const DATA: &str = r#"
[data]
store = "STORE"
window = { start_s = 0.0, end_s = 0.5, bin_size_s = 0.02 }
"#;

const MODEL: &str = r#"
kind = "neds"
n_bins = 25
d_model = 32
n_layers = 1
n_heads = 2
d_mlp = 64
dropout_embed = 0.0
dropout = 0.0
"#;

const SCHEDULE: &str =
    "schedule = { max_lr = 1e-2, pct_start = 0.3, div_factor = 10.0, final_div_factor = 1e3 }";

fn pretrain_config(store: &Path, train: &str) -> PretrainNedsConfig {
    let data = DATA.replace("STORE", store.to_str().unwrap());
    let text =
        format!("seed = 5\nexclude = [\"shared-1-3\"]\n{data}{MODALITIES}[model]{MODEL}[train]\n{train}");
    parse_toml("pretrain", &text).unwrap()
}

fn finetune_config(store: &Path, start: &Path, train: &str) -> FinetuneNedsConfig {
    let data = DATA.replace("STORE", store.to_str().unwrap());
    let text = format!(
        "seed = 5\nsessions = [\"shared-1-3\"]\nstart = {{ pretrained = \"{}\" }}\n{data}{MODALITIES}[train]\n{train}",
        start.display()
    );
    parse_toml("finetune", &text).unwrap()
}

fn decode_config(store: &Path, session: &str, models: &Path) -> DecodeConfig {
    let modalities = MODALITIES.replace("[modalities]", "");
    let data = DATA.replace("STORE", store.to_str().unwrap());
    let text = format!(
        "seed = 5\nsessions = [\"{session}\"]\nmodels = [{{ name = \"tuned\", path = \"{}\" }}]\nfeatures = [\"raw_counts\"]\n\
         n_shuffles = 40\nn_resamples = 300\n{modalities}{data}",
        models.display()
    );
    parse_toml("decode", &text).unwrap()
}

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

const SMALL: &str = "n_steps = 10\nn_frozen_steps = 3\nbatch_size = 8\nvalid_every = 3\ncheckpoint_every = 4\n\
                     masking = { ratio = 0.3 }\nlabel_weight = 0.5";

/// Two sessions of 40 trials.
fn two_sessions() -> [Recording; 2] {
    [(0, 6), (1, 8)].map(|(session, n_units)| cursor(&brain(), session, 40, n_units))
}

fn small(store: &Path) -> PretrainNedsConfig {
    let mut config = pretrain_config(store, &format!("{SMALL}\n{SCHEDULE}"));
    let neurobrick::config::MultimodalConfig::Neds(sizes) = &mut config.model;
    (sizes.dropout, sizes.dropout_embed, sizes.d_model) = (0.3, 0.2, 16);
    config
}

fn pretrained(config: &PretrainNedsConfig, out: &Path, n_threads: usize) -> [Vec<u8>; 2] {
    pipeline::pretrain_neds(config, out, "test", compute(n_threads), &mut Silent).unwrap();
    ["model/weights.safetensors", "metrics.jsonl"].map(|name| fs::read(out.join(name)).unwrap())
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

/// Labels by the start of a trial and the label it had.
fn with_labels(recording: Recording, new: impl Fn(f64, &str) -> String) -> Recording {
    let parts = recording.into_parts();
    let mut columns = parts.trials.columns().to_vec();
    for column in &mut columns {
        let ColumnValues::Text(values) = &mut column.values else { continue };
        for (value, interval) in values.iter_mut().zip(parts.trials.intervals()) {
            *value = value.as_deref().map(|old| new(interval.start_s, old));
        }
    }
    let trials = Trials::new(parts.trials.intervals().to_vec(), columns).unwrap();
    Recording::from_parts(RecordingParts { trials, ..parts }).unwrap()
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

fn refused(config: &PretrainNedsConfig, out: &Path) -> PipelineError {
    let error = pipeline::pretrain_neds(config, out, "test", compute(1), &mut Silent).unwrap_err();
    assert!(!out.join("run.toml").exists(), "a start that fails leaves no configuration: {error}");
    error
}

#[test]
fn settings_that_make_no_sense_are_refused_with_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("store"), &two_sessions());
    let good = small(&at("store"));
    let refuse = |change: &dyn Fn(&mut PretrainNedsConfig)| {
        let mut config = good.clone();
        change(&mut config);
        refused(&config, &at("run")).to_string()
    };
    let error = refuse(&|config| config.modalities.behaviors[1].column = "z".to_owned());
    assert!(error.contains("no behavior `speed_y`") && error.contains("x, y"), "{error}");
    let error = refuse(&|config| config.data.window.end_s = 0.4);
    assert!(error.contains("model.n_bins") && error.contains("20 bins"), "{error}");
    let error = refuse(&|config| config.modalities.behaviors[1].name = "condition".to_owned());
    assert!(error.contains("condition"), "{error}");
    let error = refuse(&|config| config.train.masking.ratio = 0.0);
    assert!(error.contains("masking.ratio"), "{error}");
    let error = refuse(&|config| config.train.label_weight = Some(-1.0));
    assert!(error.contains("train.label_weight"), "{error}");
    let error = refuse(&|config| config.train.batch_size = 0);
    assert!(error.contains("train.batch_size"), "{error}");
    let category = |column: &str, negative: &str| DecodeTarget::Category {
        name: "condition".to_owned(),
        column: column.to_owned(),
        positive: "c1".to_owned(),
        negative: negative.to_owned(),
    };
    let error = refuse(&|config| config.modalities.labels = vec![category("nowhere", "c0")]);
    assert!(error.contains("no trial column `nowhere`"), "{error}");
    let error = refuse(&|config| config.modalities.labels = vec![category("condition", "c1")]);
    assert!(error.contains("names the class `c1` twice"), "{error}");
    let none = |classes: [&str; 2]| DecodeTarget::Classes {
        name: "condition".to_owned(),
        column: "condition".to_owned(),
        classes: classes.map(str::to_owned).to_vec(),
    };
    let error = refuse(&|config| config.modalities.labels = vec![none(["c0", "left"])]);
    assert!(error.contains("modalities.labels") && error.contains("`left` does not occur"), "{error}");
    assert!(error.contains("it has: c0, c1"), "{error}");
    let error = refuse(&|config| config.modalities.labels = vec![none(["c0", ""])]);
    assert!(error.contains("modalities.labels") && error.contains("missing"), "{error}");
    let error = refuse(&|config| config.modalities.labels = vec![category("condition", "")]);
    assert!(error.contains("modalities.labels") && error.contains("missing"), "{error}");

    // Classes that another session has.
    let [first, second] = two_sessions();
    write(&at("mixed"), &[first, with_labels(second, |_, _| "go".to_owned())]);
    let error = refused(&small(&at("mixed")), &at("run")).to_string();
    assert!(error.contains("shared-1-1") && error.contains("column `condition`"), "{error}");
    assert!(error.contains("which has go") && error.contains("leave the label out"), "{error}");
}

/// A class that pretraining knew may be missing in a session that is fine-tuned on; a typo is none that it knew.
#[test]
fn a_session_without_a_class_of_the_pretrained_model_is_fine_tuned_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let one_sided = with_labels(cursor(&brain(), 3, 40, 7), |_, _| "c0".to_owned());
    let [first, second] = two_sessions();
    write(&at("store"), &[first, second, one_sided]);
    pretrained(&small(&at("store")), &at("run"), 2);
    let mut tune = finetune_config(&at("store"), &at("run"), &format!("{SMALL}\n{SCHEDULE}"));
    pipeline::finetune_neds(&tune, &at("tuned"), "test", compute(2), &mut Silent).unwrap();
    let DecodeTarget::Category { positive, .. } = &mut tune.modalities.labels[0] else { panic!() };
    *positive = "c11".to_owned();
    let error = pipeline::finetune_neds(&tune, &at("typo"), "test", compute(2), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("`c11` does not occur"), "{error}");
}

/// What `decode` says, as it is written.
fn decoded(config: &DecodeConfig, out: &Path) -> serde_json::Value {
    pipeline::decode(config, out, "test", compute(2), &mut Silent).unwrap();
    serde_json::from_str(&fs::read_to_string(out.join("decode.json")).unwrap()).unwrap()
}

/// Read-outs that never had a gradient answer at random: they have no score, and the reason is said.
#[test]
fn a_direction_that_was_not_trained_has_no_score() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("store"), &two_sessions());
    let check = |models: &str, is_encoder: bool| {
        let found = decoded(
            &decode_config(&at("store"), "shared-1-0", &at(models)),
            &at(&format!("{models}-decode")),
        );
        let rows = found["rows"].as_array().unwrap();
        let own: Vec<_> = rows.iter().filter(|row| row["decoder"] == "neds").collect();
        assert_eq!(own.len(), 3);
        for row in own {
            let reason = row["undefined"].as_str().unwrap_or_default();
            assert_eq!(reason.contains("was not trained to decode"), is_encoder, "{models}: {row}");
            assert!(!is_encoder || row["score"].is_null(), "{models}: {row}");
        }
        let encoding = &found["encoding"][0];
        let reason = encoding["undefined"].as_str().unwrap_or_default();
        assert_eq!(reason.contains("was not trained to encode"), !is_encoder, "{models}: {encoding}");
        assert_eq!(encoding["scores"].is_null(), !is_encoder, "{models}: {encoding}");
        let text = fs::read_to_string(at(&format!("{models}-decode")).join("decode.md")).unwrap();
        assert!(
            text.contains(if is_encoder { "not trained to decode" } else { "not trained to encode" }),
            "{text}"
        );
    };
    let mut config = small(&at("store"));
    config.train.masking.schemes = vec![NedsScheme::Encoding];
    pretrained(&config, &at("encoder"), 2);
    check("encoder", true);
    config.train.masking.schemes = vec![NedsScheme::Decoding, NedsScheme::SelfBehavior];
    pretrained(&config, &at("decoder"), 2);
    check("decoder", false);
    // What counts is what weights were trained for last.
    let mut tune = finetune_config(&at("store"), &at("encoder"), &format!("{SMALL}\n{SCHEDULE}"));
    tune.sessions = vec![SessionId::new("shared-1-0").unwrap()];
    tune.train.masking.schemes = vec![NedsScheme::Decoding];
    pipeline::finetune_neds(&tune, &at("tuned"), "test", compute(2), &mut Silent).unwrap();
    check("tuned", false);
}

/// Without a test spike there are no bits per spike: the labels and behaviors have their scores all the same.
#[test]
fn an_encoding_that_cannot_be_scored_does_not_throw_away_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [recording, _] = two_sessions();
    write(&at("whole"), std::slice::from_ref(&recording));
    let config = small(&at("whole"));
    let loaded = load_sessions(&config.data, &[recording.info().session.clone()], config.seed).unwrap();
    let data = &loaded[0].train.data;
    let windows: Vec<_> = loaded[0].train.split.test.iter().map(|&trial| data.windows()[trial]).collect();
    let is_tested = |time: f64| windows.iter().any(|w| w.start_s <= time && time < w.end_s);
    let parts = recording.into_parts();
    let Activity::Spikes(spikes) = &parts.activity else { panic!("single spikes were made") };
    let kept = spikes.times_s().iter().zip(spikes.units()).filter(|(time, _)| !is_tested(**time));
    let (times, units): (Vec<f64>, Vec<u32>) = kept.map(|(&time, &unit)| (time, unit)).unzip();
    let activity = Activity::Spikes(Spikes::from_unsorted(times, units).unwrap());
    write(&at("silent"), &[Recording::from_parts(RecordingParts { activity, ..parts }).unwrap()]);

    pretrained(&small(&at("silent")), &at("run"), 2);
    let config = decode_config(&at("silent"), "shared-1-0", &at("run"));
    let found = decoded(&config, &at("decode"));
    let behaviors = found["rows"].as_array().unwrap().iter().filter(|row| row["decoder"] == "neds");
    assert_eq!(behaviors.filter(|row| !row["score"].is_null()).count(), 3, "{found}");
    let encoding = &found["encoding"][0];
    assert!(encoding["undefined"].as_str().unwrap().contains("spike"), "{encoding}");
    let text = fs::read_to_string(at("decode").join("decode.md")).unwrap();
    assert!(text.contains("## Encoding of shared-1-0") && text.contains("undefined"), "{text}");
}

/// Decoders that are fitted to counts tell two classes apart: files with more are refused by the key that names them.
#[test]
fn labels_of_several_classes_are_refused_where_two_are_told_apart() {
    let classes = "{ classes = { name = \"side\", column = \"side\", classes = [\"a\", \"b\", \"c\"] } }";
    let scoring: ScoringConfig = parse_toml("scoring", &format!("decode = [{classes}]")).unwrap();
    let error = scoring.validate().unwrap_err().to_string();
    assert!(error.contains("scoring.decode") && error.contains("category"), "{error}");
    let audit = format!(
        "seed = 1\n[[sessions]]\nsessions = [\"a\"]\nlabel = {classes}\n\
         data = {{ store = \"s\", window = {{ start_s = 0.0, end_s = 0.5, bin_size_s = 0.02 }} }}"
    );
    let audit: AuditConfig = parse_toml("audit", &audit).unwrap();
    let error = audit.validate().unwrap_err().to_string();
    assert!(error.contains("sessions.label") && error.contains("category"), "{error}");
}

/// Another seed, other modalities, a model of another kind.
#[test]
fn scores_that_would_mislead_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("store"), &two_sessions());
    pretrained(&small(&at("store")), &at("run"), 1);
    let mut tune = finetune_config(&at("store"), &at("run"), &format!("{SMALL}\n{SCHEDULE}"));
    tune.sessions = vec![SessionId::new("shared-1-0").unwrap()];
    let tuned = |tune: &FinetuneNedsConfig| {
        pipeline::finetune_neds(tune, &at("tuned"), "test", compute(1), &mut Silent).unwrap_err()
    };
    let mut other = tune.clone();
    other.modalities.behaviors.swap(0, 1);
    let error = tuned(&other);
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("condition (2 classes), speed_y, cursor_x"), "{error}");
    tune.seed = 6;
    let error = tuned(&tune).to_string();
    assert!(error.contains("`seed`"), "another seed would take training trials for test trials: {error}");
    let error = load_model(&at("run"), compute(1).device).unwrap_err().to_string();
    assert!(error.contains("`decode`") && error.contains("neds"), "{error}");
    let error = load_decoder_model(&at("run"), compute(1).device).unwrap_err().to_string();
    assert!(error.contains("lists `behaviors`"), "{error}");

    let decode = |change: &dyn Fn(&mut DecodeConfig)| {
        let mut config = decode_config(&at("store"), "shared-1-0", &at("run"));
        change(&mut config);
        let out = tempfile::tempdir().unwrap();
        pipeline::decode(&config, out.path(), "test", compute(1), &mut Silent)
    };
    // The model alone, without anything else to decode from.
    let found = decode(&|config| config.features.clear()).unwrap();
    assert_eq!((found.rows.len(), found.encoding.len()), (3, 1));
    assert!(decode(&|config| config.seed = 6).unwrap_err().to_string().contains("`seed`"));
    let error = decode(&|config| config.behaviors[0].absolute = true).unwrap_err().to_string();
    assert!(error.contains("not what the model `tuned` was trained on"), "{error}");
    let error = decode(&|config| {
        let DecodeTarget::Category { positive, negative, .. } = &mut config.labels[0] else { panic!() };
        std::mem::swap(positive, negative);
    });
    assert!(error.unwrap_err().to_string().contains("copy its `labels`"));
}

/// A damaged weight, an unknown key, and files of other kinds.
#[test]
fn folders_and_files_are_read_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("store"), &two_sessions());
    pretrained(&small(&at("store")), &at("run"), 2);
    let (model, record) = load_neds_model(&at("run"), compute(1).device).unwrap();
    assert_eq!(model.sessions().len(), record.config.scales.len());
    assert!(model.num_params() > 0);
    let weights = at("run/model/weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert!(load_neds_model(&at("run"), compute(1).device).is_err());

    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/configs/neds");
    let path = at("pretrain.toml");
    let refused = |from: &str, to: &str| {
        let text = fs::read_to_string(fixtures.join("pretrain.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        Pretraining::load(&path).unwrap_err().to_string()
    };
    assert!(refused("n_heads", "n_head").contains("n_head"));
    assert!(refused("ratio", "rate").contains("did you mean `ratio`?"));
    assert!(refused("[modalities]", "[modality]").contains("modality"));
    assert!(load::<PretrainDecoderConfig>(&fixtures.join("pretrain.toml")).is_err());
    assert!(matches!(Pretraining::load(&fixtures.join("pretrain.toml")), Ok(Pretraining::Neds(_))));
    let Finetuning::Neds(tune) = Finetuning::load(&fixtures.join("finetune.toml")).unwrap() else {
        panic!("a file with modalities fine-tunes NEDS");
    };
    assert!(matches!(tune.start, Start::Pretrained(_)));
}
