//! POYO through the verbs: it learns, carries over to a session it never saw, resumes to the bit, and sees no test data.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod cursor;

use std::fs;
use std::path::{Path, PathBuf};

use neurobrick::config::{
    DecodeConfig, DecoderStart, DecoderTrainConfig, FinetuneDecoderConfig, Finetuning, PretrainDecoderConfig,
    Pretraining, UnitDropout, load, parse_toml,
};
use neurobrick::data::Alignment;
use neurobrick::decoding::load_decoder_model;
use neurobrick::evaluate::EvaluateError;
use neurobrick::pipeline::{self, Silent, load_model};
use neurobrick::schema::{Recording, RecordingParts, SessionId, Store};
use neurobrick::{PipelineError, load_sessions};
use neurobrick_models::Poyo;
use neurobrick_testkit::{SharedBrain, test_device};

use crate::cursor::{compute, cursor, validations, with_other_values, with_samples, write};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/configs/poyo").join(name)
}

/// First step after which validation is at least `wanted`.
fn first_at(run: &Path, wanted: f64) -> u64 {
    let found = validations(run).into_iter().find(|(_, report)| report.mean >= wanted);
    found.map_or(u64::MAX, |(step, _)| step)
}

/// The example of the guide on its own sessions, with fine-tuning from scratch as the control.
#[test]
fn the_example_learns_and_carries_over_to_a_session_it_never_saw() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = Store::create(at("cursor")).unwrap();
    for (session, n_units) in [(0, 16), (1, 18), (2, 20), (3, 22), (4, 24)] {
        store.write(&cursor(&SharedBrain::cursor(1), session, 120, n_units)).unwrap();
    }
    let Pretraining::Decoder(mut pretrain) = Pretraining::load(&fixture("pretrain.toml")).unwrap() else {
        panic!("a file that lists behaviors trains a decoder");
    };
    let Finetuning::Decoder(mut tune) = Finetuning::load(&fixture("finetune.toml")).unwrap() else {
        panic!("a file that lists behaviors trains a decoder");
    };
    let mut decode: DecodeConfig = load(&fixture("decode.toml")).unwrap();
    pretrain.data.store = at("cursor");
    tune.data.store = at("cursor");
    tune.start = DecoderStart::Pretrained(at("pretrained"));
    decode.data.store = at("cursor");
    decode.models[0].path = at("tuned");

    pipeline::pretrain_decoder(&pretrain, &at("pretrained"), "test", compute(2), &mut Silent).unwrap();
    pipeline::finetune_decoder(&tune, &at("tuned"), "test", compute(2), &mut Silent).unwrap();
    let found = pipeline::decode(&decode, &at("decode"), "test", compute(2), &mut Silent).unwrap();
    for target in ["cursor_x", "cursor_y"] {
        let score = |decoder: &str| {
            let row = found.rows.iter().find(|row| row.target == target && row.decoder == decoder).unwrap();
            row.score.clone().unwrap_or_else(|| panic!("{target} by {decoder}: {:?}", row.undefined))
        };
        let (poyo, wiener) = (score("poyo"), score("wiener"));
        // The cursor is linear in log rates, so the Wiener filter is near the best there is.
        assert!(poyo.value() > 0.7 && wiener.value() > 0.7, "{target}: {} {}", poyo.value(), wiener.value());
        assert!(poyo.interval().lo > poyo.null().upper && poyo.null().p_value < 0.05, "{target}");
        assert!(poyo.interval().lo > poyo.baseline().value, "{target}");
        // The same bins of the same windows for all.
        assert_eq!((poyo.n(), poyo.n().trials), (wiener.n(), 24), "{target}");
        assert_eq!(poyo.baseline(), wiener.baseline(), "{target}");
    }
    assert!(fs::read_to_string(at("decode").join("decode.md")).unwrap().contains("| fine_tuned | poyo |"));

    tune.start = DecoderStart::Scratch(pretrain.model.clone());
    tune.train.n_frozen_steps = 0;
    pipeline::finetune_decoder(&tune, &at("scratch"), "test", compute(2), &mut Silent).unwrap();
    let steps = |run: &str| first_at(&at(run).join("shared-1-4"), 0.3);
    let (tuned, scratch) = (steps("tuned"), steps("scratch"));
    assert!(2 * tuned <= scratch && tuned < u64::MAX, "{tuned} steps, from scratch {scratch}");

    // While only units and the session token learn, the core stays.
    let (before, _) = load_decoder_model(&at("pretrained"), compute(1).device).unwrap();
    tune.start = DecoderStart::Pretrained(at("pretrained/model"));
    (tune.train.n_frozen_steps, tune.train.n_steps) = (20, 20);
    pipeline::finetune_decoder(&tune, &at("frozen"), "test", compute(2), &mut Silent).unwrap();
    let (after, record) = load_decoder_model(&at("frozen").join("shared-1-4"), compute(1).device).unwrap();
    let core = |model: &Poyo| -> Vec<_> {
        let state = neurobrick::core::weights::state_dict(model).into_iter();
        state.filter(|(path, _)| !Poyo::is_session_parameter(path)).collect()
    };
    assert_eq!(core(&before), core(&after));
    assert_eq!(record.trained_on.len(), 5);
    assert_eq!(record.config.scales[0].scales[0].unit.as_deref(), Some("cm/s"));

    // The pretrained model is scored on its own sessions from its one folder.
    decode.sessions = vec![SessionId::new("shared-1-0").unwrap()];
    decode.models[0].path = at("pretrained");
    let found = pipeline::decode(&decode, &at("decode_seen"), "test", compute(2), &mut Silent).unwrap();
    let (row, ..) = found.best(&decode.sessions[0], "cursor_x").unwrap();
    let seen = found.rows.iter().find(|row| row.decoder == "poyo").unwrap().score.as_ref().unwrap().value();
    assert!(seen > 0.6 && row.score.is_some(), "{seen}");
}

/// A model of a few hundred weights, a minute of one long trial, windows that follow each other.
const SMALL: &str = r#"
seed = 5
behaviors = [
    { name = "x", signal = "cursor", column = "x", rule = "nearest" },
    { name = "speed_y", signal = "cursor", column = "y", rule = "nearest", absolute = true },
]
[data]
store = "STORE"
window = { align = { every = 0.5 }, start_s = 0.0, end_s = 0.5, bin_size_s = 0.02 }
[model]
kind = "poyo"
window_s = 0.5
latent_step_s = 0.25
latents_per_step = 2
d_model = 8
d_head = 4
n_layers = 1
n_cross_heads = 1
n_self_heads = 1
n_outputs = 2
dropout_ffn = 0.2
dropout_residual = 0.3
dropout_attention = 0.1
t_min_s = 0.02
t_max_s = 1.0
[train]
n_steps = 10
n_frozen_steps = 3
batch_size = 8
jitter_s = 0.25
unit_dropout = { min = 2, mode = 4, max = 9 }
checkpoint_every = 4
valid_every = 3
schedule = { max_lr = 1e-2, pct_start = 0.5, div_factor = 1.0, final_div_factor = 1e3, base_momentum = 0.9, max_momentum = 0.9 }
"#;

/// Two sessions of 30 s in one long trial.
fn long_trials() -> [Recording; 2] {
    let brain = SharedBrain { n_bins: 1500, ..SharedBrain::cursor(3) };
    [(0, 6), (1, 8)].map(|(session, n_units)| cursor(&brain, session, 1, n_units))
}

fn small(store: &Path) -> PretrainDecoderConfig {
    parse_toml("small", &SMALL.replace("STORE", store.to_str().unwrap())).unwrap()
}

fn pretrained(config: &PretrainDecoderConfig, out: &Path, n_threads: usize) -> [Vec<u8>; 2] {
    pipeline::pretrain_decoder(config, out, "test", compute(n_threads), &mut Silent).unwrap();
    ["model/weights.safetensors", "metrics.jsonl"].map(|name| fs::read(out.join(name)).unwrap())
}

#[test]
fn a_resumed_run_has_the_bits_of_an_uninterrupted_one_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("store"), &long_trials());
    let config = small(&at("store"));
    let whole = pretrained(&config, &at("whole"), 2);
    assert_eq!(whole, pretrained(&config, &at("one_thread"), 1));
    // As a kill after step 8 leaves it.
    fs::remove_dir_all(at("whole/model")).unwrap();
    fs::remove_dir_all(at("whole/checkpoints/step-00000010")).unwrap();
    assert!(at("whole/checkpoints/step-00000008").exists());
    assert_eq!(whole, pretrained(&config, &at("whole"), 2));
    let other = PretrainDecoderConfig { seed: 6, ..config.clone() };
    assert_ne!(whole[0], pretrained(&other, &at("other"), 2)[0]);
    let refused =
        pipeline::pretrain_decoder(&other, &at("whole"), "test", compute(2), &mut Silent).unwrap_err();
    assert!(matches!(refused, PipelineError::OtherRun { .. }), "{refused}");
}

/// Everything in test windows is made another: spikes are of other units, behavior is of another size. Windows touch, and
/// training windows are moved by up to half their length.
#[test]
fn nothing_of_a_test_window_reaches_training() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let recordings = long_trials();
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
            with_other_values(recording, is_tested)
        })
        .collect();
    write(&at("changed"), &changed);
    let whole = pretrained(&config, &at("first"), 2);
    assert_eq!(whole, pretrained(&small(&at("changed")), &at("second"), 2));
    let scales = |run: &str| load_decoder_model(&at(run), compute(1).device).unwrap().1.config.scales;
    assert_eq!(scales("first"), scales("second"));

    // The test of the test: what is changed in training windows is noticed.
    let trained: Vec<Recording> =
        long_trials().into_iter().map(|r| with_other_values(r, |t| t < 2.0)).collect();
    write(&at("noticed"), &trained);
    assert_ne!(whole[0], pretrained(&small(&at("noticed")), &at("third"), 2)[0]);
}

fn refused(config: &PretrainDecoderConfig, out: &Path) -> PipelineError {
    let error = pipeline::pretrain_decoder(config, out, "test", compute(1), &mut Silent).unwrap_err();
    assert!(!out.join("run.toml").exists(), "a start that fails leaves no configuration: {error}");
    error
}

#[test]
fn settings_that_make_no_sense_are_refused_with_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [recording, other] = long_trials();
    write(&at("store"), std::slice::from_ref(&recording));
    let good = small(&at("store"));
    let refuse = |change: &dyn Fn(&mut PretrainDecoderConfig)| {
        let mut config = good.clone();
        change(&mut config);
        refused(&config, &at("run"))
    };
    let error = refuse(&|config| config.sessions = vec![other.info().session.clone()]);
    assert!(matches!(error, PipelineError::Evaluate(EvaluateError::SessionNotInStore { .. })), "{error}");
    let error = refuse(&|config| config.behaviors[1].column = "z".to_owned()).to_string();
    assert!(error.contains("no behavior `speed_y`") && error.contains("x, y"), "{error}");
    let error = refuse(&|config| config.behaviors.truncate(1)).to_string();
    assert!(error.contains("model.n_outputs") && error.contains("lists 1"), "{error}");
    let error = refuse(&|config| config.data.window.end_s = 0.4).to_string();
    assert!(error.contains("model.window_s"), "{error}");
    let error = refuse(&|config| config.behaviors[1].name = "x".to_owned()).to_string();
    assert!(error.contains("two targets are called `x`"), "{error}");
    let refuse_training = |field: &str, change: &dyn Fn(&mut DecoderTrainConfig)| {
        let error = refuse(&|config| change(&mut config.train)).to_string();
        assert!(error.contains(&format!("`train.{field}`")), "{error}");
    };
    refuse_training("jitter_s", &|train| train.jitter_s = f64::NAN);
    refuse_training("batch_size", &|train| train.batch_size = 0);
    refuse_training("unit_dropout", &|train| {
        train.unit_dropout = Some(UnitDropout { min: 3, mode: 2, max: 9 });
    });
    refuse_training("schedule.max_lr", &|train| train.schedule.max_lr = 0.0);
}

/// Behavior that is nowhere, constant, or missing in every window but one; and a session of counts.
#[test]
fn sessions_without_behavior_or_spikes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [recording, _] = long_trials();
    let with = |change: &dyn Fn(f64, f64) -> f64| {
        let parts = recording.clone().into_parts();
        let signals = vec![with_samples(&parts.signals[0], change)];
        Recording::from_parts(RecordingParts { signals, ..parts }).unwrap()
    };
    let start = recording.trials().intervals()[0].start_s;
    let counts = SharedBrain::cursor(3).session(0, 40, 6).recording;
    let cases = [
        ("nan", with(&|_, _| f64::NAN), "every bin of 0 of"),
        (
            "once",
            with(&|time, value| if time < start + 0.6 { value } else { f64::NAN }),
            "windows, and at least",
        ),
        ("still", with(&|_, _| 0.3), "(column `x` of the signal `cursor`) is 0.3"),
        ("counts", counts, "counts only"),
    ];
    for (name, recording, wanted) in cases {
        write(&at(name), &[recording]);
        let mut config = small(&at(name));
        if name == "counts" {
            config.data.window.align = Alignment::TrialStart;
        }
        let error = refused(&config, &at(&format!("{name}_run")));
        assert!(
            matches!(error, PipelineError::SpikeDecoding(_)) && error.exit_code() == 65,
            "{name}: {error}"
        );
        assert!(error.to_string().contains(wanted), "{name}: {error}");
    }
}

/// A model goes on with, and is scored on, only what it was trained for.
#[test]
fn scores_that_would_mislead_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [recording, _] = long_trials();
    write(&at("store"), std::slice::from_ref(&recording));
    let good = small(&at("store"));
    pipeline::pretrain_decoder(&good, &at("run"), "test", compute(1), &mut Silent).unwrap();
    let mut tune = FinetuneDecoderConfig {
        seed: 5,
        sessions: vec![recording.info().session.clone()],
        start: DecoderStart::Pretrained(at("run")),
        data: good.data.clone(),
        behaviors: good.behaviors.clone(),
        train: good.train.clone(),
    };
    tune.behaviors.swap(0, 1);
    let tuned = |tune: &FinetuneDecoderConfig| {
        pipeline::finetune_decoder(tune, &at("tuned"), "test", compute(1), &mut Silent).unwrap_err()
    };
    let error = tuned(&tune);
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("decodes x, speed_y, not speed_y, x"), "{error}");
    tune.behaviors.swap(0, 1);
    tune.seed = 6;
    let error = tuned(&tune).to_string();
    assert!(error.contains("`seed`"), "another seed would take training windows for test windows: {error}");
    let error = load_model(&at("run"), compute(1).device).unwrap_err().to_string();
    assert!(error.contains("`decode`"), "{error}");

    // Scores of another split, and of a target that was trained otherwise.
    let decode = |seed: u64, absolute: bool| {
        let text = format!(
            "seed = {seed}\nsessions = [\"{}\"]\nmodels = [{{ name = \"p\", path = {:?} }}]\nfeatures = []\n\
             behaviors = [{{ name = \"speed_y\", signal = \"cursor\", column = \"y\", rule = \"nearest\", absolute = {absolute} }}]\n\
             [data]\nstore = {:?}\nwindow = {{ align = {{ every = 0.5 }}, start_s = 0.0, end_s = 0.5, bin_size_s = 0.02 }}\n",
            recording.info().session,
            at("run"),
            at("store")
        );
        let config: DecodeConfig = parse_toml("decode", &text).unwrap();
        pipeline::decode(&config, &at(&format!("decode_{seed}_{absolute}")), "test", compute(1), &mut Silent)
    };
    assert_eq!(decode(5, true).unwrap().rows.len(), 1);
    assert!(decode(6, true).unwrap_err().to_string().contains("`seed`"));
    assert!(decode(5, false).unwrap_err().to_string().contains("not what the model `p` was trained on"));
}

/// A damaged weight, and an unknown key, are noticed.
#[test]
fn folders_and_files_are_read_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("store"), &long_trials());
    pretrained(&small(&at("store")), &at("run"), 2);
    let (model, record) = load_decoder_model(&at("run"), compute(1).device).unwrap();
    assert_eq!(model.sessions().len(), record.config.scales.len());
    let build = |config: &neurobrick::decoding::DecoderSpec| {
        Poyo::new(config.model.sizes().clone(), model.sessions(), 1, &test_device()).unwrap()
    };
    assert_ne!(
        neurobrick::core::weights::state_dict(&build(&record.config)),
        neurobrick::core::weights::state_dict(&model)
    );
    let weights = at("run/model/weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert!(load_decoder_model(&at("run"), compute(1).device).is_err());

    let path = at("pretrain.toml");
    let refused = |from: &str, to: &str| {
        let text = fs::read_to_string(fixture("pretrain.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        Pretraining::load(&path).unwrap_err().to_string()
    };
    assert!(refused("batch_size", "batchsize").contains("did you mean `batch_size`?"));
    assert!(refused("behaviors = ", "behavior = ").contains("did you mean `behaviors`?"));
    assert!(refused("\"poyo\"", "\"ndt_stitch\"").contains("poyo"));
}
