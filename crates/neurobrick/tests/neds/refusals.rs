//! What is refused, what has no score and why, and that folders and files are read strictly.

use std::fs;
use std::path::Path;

use burn::module::Module;
use neurobrick::config::{
    DecodeConfig, DecodeTarget, FinetuneNedsConfig, Finetuning, PretrainDecoderConfig, PretrainNedsConfig,
    Pretraining, Start, load,
};
use neurobrick::decoding::{load_decoder_model, load_neds_model};
use neurobrick::models::NedsScheme;
use neurobrick::pipeline::{self, Silent, load_model};
use neurobrick::schema::{Activity, Recording, RecordingParts, SessionId, Spikes};
use neurobrick::{PipelineError, load_sessions};

use crate::cursor::{compute, cursor, write};
use crate::{
    SCHEDULE, SMALL, brain, decode_config, finetune_config, pretrained, small, two_sessions, with_labels,
};

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
