//! Published state dicts in, state dicts out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use neurobrick::config::{DataConfig, ImportConfig, parse_toml};
use neurobrick::pipeline::{export_weights, import_weights, load_model};
use neurobrick::{PipelineError, SessionHash};
use neurobrick_core::weights::{StateDict, from_safetensors, to_safetensors};
use neurobrick_core::{Context, Mode, ModelError, ModelInput, PopulationModel, Prompt};
use neurobrick_schema::SessionId;
use neurobrick_testkit::{Golden, golden, part, test_compute_device, test_device};

/// Files of one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Single precision, as checkpoints are.
fn dict(golden: &Golden) -> StateDict {
    let data = |a: &neurobrick_testkit::GoldenArray| {
        #[expect(clippy::cast_possible_truncation, reason = "golden weights are representable")]
        let values: Vec<f32> = a.values.iter().map(|&v| v as f32).collect();
        TensorData::new(values, a.shape.clone())
    };
    golden.iter().map(|(key, array)| (key.clone(), data(array))).collect()
}

fn write(path: &Path, dict: &StateDict) {
    fs::write(path, to_safetensors(dict, BTreeMap::new()).unwrap()).unwrap();
}

const MTM: &str = r#"
names = "mtm"
window = { start_s = 0.0, end_s = 0.7, bin_size_s = 0.1 }
new_sessions = [{ session = "mouse-3", n_units = 4 }]
[model]
kind = "ndt_stitch"
n_bins = 7
d_stitch = 10
d_embed = 14
d_model = 8
n_layers = 2
n_heads = 2
d_mlp = 18
dropout_embed = 0.2
dropout = 0.4
[[sessions]]
session = "mouse-1"
n_units = 5
row = 17
[[sessions]]
session = "mouse-2"
n_units = 6
row = 3
"#;

fn config(text: &str) -> ImportConfig {
    parse_toml("import.toml", text).unwrap()
}

/// The golden batch of `mouse-2` as an example to check with.
fn parity_file(folder: &Folder, arrays: &Golden) -> PathBuf {
    let hidden = &arrays["hidden"].values;
    let visible = arrays["counts"].values.iter().zip(hidden).map(|(c, h)| c * (1.0 - h)).collect();
    let mut example = Golden::from([("log_rates".to_owned(), arrays["log_rates"].clone())]);
    let counts = neurobrick_testkit::GoldenArray { shape: arrays["counts"].shape.clone(), values: visible };
    example.insert("counts".to_owned(), counts);
    let path = folder.at("parity.safetensors");
    write(&path, &dict(&example));
    path
}

fn answers(model: &impl PopulationModel, arrays: &Golden) -> Vec<f32> {
    let counts = dict(&part(arrays, "")).remove("counts").unwrap();
    let input = ModelInput {
        session: SessionId::new("mouse-2").unwrap(),
        counts: Tensor::from_data(counts, &test_device()),
        hidden: None,
        context: Context::Full,
        prompt: Some(Prompt::Neuron),
    };
    model.forward(&input, Mode::Eval).unwrap().log_rates.into_data().iter::<f32>().collect()
}

#[test]
fn a_published_state_dict_becomes_a_model_and_goes_out_again() {
    let folder = Folder::new();
    let arrays = golden("ndt_stitch_names/mtm.safetensors");
    let theirs = dict(&part(&arrays, "weights."));
    write(&folder.at("mtm.safetensors"), &theirs);
    let parity = parity_file(&folder, &arrays);
    let example = format!(
        "{MTM}\n[parity]\nfile = \"{}\"\nsession = \"mouse-2\"\nprompt = \"neuron\"\n",
        parity.display()
    );
    let config = config(&example);
    let model = folder.at("model");
    let found = import_weights(&config, &folder.at("mtm.safetensors"), &model).unwrap();
    // Single precision, and log rates of order one.
    assert!(found.difference.unwrap() < 5e-6, "{:?}", found.difference);
    // A stitch of 4 units between widths 10 and 8, and a row of the table of sessions.
    assert_eq!(found.n_new, 4 * 10 + 10 + 8 * 4 + 4 + 8);
    let (loaded, record) = load_model(&model, test_compute_device()).unwrap();
    assert_eq!(record.config, config.model);
    let ids: Vec<&str> = loaded.sessions().iter().map(|s| s.session.as_str()).collect();
    assert_eq!(ids, ["mouse-1", "mouse-2", "mouse-3"]);

    let to = folder.at("back.safetensors");
    let known = ["mouse-1", "mouse-2"].map(|id| SessionId::new(id).unwrap());
    let exported = export_weights(&model, &known, None, &to).unwrap();
    assert_eq!(exported.sessions, known);
    let back = from_safetensors(&fs::read(&to).unwrap()).unwrap();
    assert_eq!(back.len(), exported.n_tensors);
    for (key, data) in &back {
        if key == "encoder.embedder.embed_session.weight" {
            // Rows in the order of the sessions: 17 and 3 of the table that was read.
            let rows: Vec<f32> =
                [17, 3].iter().flat_map(|&r| theirs[key].iter::<f32>().skip(8 * r).take(8)).collect();
            assert_eq!(data.iter::<f32>().collect::<Vec<_>>(), rows);
        } else {
            assert_eq!(data, &theirs[key], "{key}");
        }
    }
    // What is not ours, and nothing else, is missing.
    let missing: Vec<&String> = theirs.keys().filter(|key| !back.contains_key(*key)).collect();
    assert_eq!(missing, ["decoder.0.bias", "decoder.0.weight"]);

    // Read again, the model is the same.
    let again = MTM.replace("row = 17", "row = 0").replace("row = 3", "row = 1");
    import_weights(&parse_toml("again.toml", &again).unwrap(), &to, &folder.at("again")).unwrap();
    assert_eq!(
        answers(&load_model(&folder.at("again"), test_compute_device()).unwrap().0, &arrays),
        answers(&loaded, &arrays)
    );
}

/// What is missing, left over or of another shape is named, and no folder is left behind.
#[test]
fn a_dict_that_does_not_fit_is_refused_with_names() {
    let folder = Folder::new();
    let arrays = golden("ndt_stitch_names/mtm.safetensors");
    let theirs = dict(&part(&arrays, "weights."));
    let path = folder.at("dict.safetensors");
    let refused = |dict: &StateDict, text: &str, expected: &[&str]| {
        write(&path, dict);
        let out = folder.at("model");
        let message = import_weights(&config(text), &path, &out).unwrap_err().to_string();
        for part in expected {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        assert!(!out.exists(), "a folder was left behind");
    };
    let mut changed = theirs.clone();
    changed.remove("encoder.out_norm.bias");
    changed.insert("encoder.layers.2.ln1.weight".to_owned(), theirs["encoder.out_norm.weight"].clone());
    refused(&changed, MTM, &["missing [encoder.out_norm.bias]", "unexpected [encoder.layers.2.ln1.weight]"]);
    // Sizes of the configuration that the dict does not have.
    refused(
        &theirs,
        &MTM.replace("d_mlp = 18", "d_mlp = 20"),
        &["layers.0.mlp.up_proj.weight", "[8, 20]", "[8, 18]"],
    );
    refused(
        &theirs,
        &MTM.replace("row = 17", "row = 40"),
        &["encoder.embedder.embed_session.weight", "row 40 of a table of 40"],
    );
    // A session that nobody asked for.
    let one = MTM.replace("[[sessions]]\nsession = \"mouse-1\"\nn_units = 5\nrow = 17\n", "");
    refused(&theirs, &one, &["unexpected", "encoder.stitcher.stitcher_dict.5.weight"]);
    refused(&theirs, &MTM.replace("end_s = 0.7", "end_s = 0.8"), &["window", "8 bins", "reads 7"]);
    refused(&theirs, &MTM.replace("names = \"mtm\"", "names = \"ndt2\""), &["`ndt_stitch`", "names of ndt2"]);
    // The wrong row of the table of sessions loads, but the example tells.
    let parity = parity_file(&folder, &arrays);
    let wrong_row = format!(
        "{}\n[parity]\nfile = \"{}\"\nsession = \"mouse-2\"\nprompt = \"neuron\"\n",
        MTM.replace("row = 3", "row = 4"),
        parity.display()
    );
    refused(&theirs, &wrong_row, &["parity.safetensors", "differs by up to", "row"]);
    fs::write(&path, b"PK\x03\x04 a pickle").unwrap();
    let error = import_weights(&config(MTM), &path, &folder.at("model")).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("dict.safetensors") && message.contains("damaged"), "{message}");
}

#[test]
fn what_published_code_has_no_place_for_is_not_exported() {
    let folder = Folder::new();
    let arrays = golden("ndt_stitch_names/mtm.safetensors");
    write(&folder.at("mtm.safetensors"), &dict(&part(&arrays, "weights.")));
    // A new session with as many units as another: the published code would give both one stitch.
    let twin = MTM.replace("n_units = 4", "n_units = 6");
    let model = folder.at("model");
    import_weights(&config(&twin), &folder.at("mtm.safetensors"), &model).unwrap();
    let to = folder.at("out.safetensors");
    let message = export_weights(&model, &[], None, &to).unwrap_err().to_string();
    assert!(message.contains("stitcher_dict.6") && message.contains("export one session"), "{message}");
    assert!(!to.exists());
    let stranger = SessionId::new("stranger").unwrap();
    let error = export_weights(&model, &[stranger], None, &to).unwrap_err();
    assert!(matches!(error, PipelineError::Model(ModelError::UnknownSession { .. })), "{error}");
    let one = SessionId::new("mouse-3").unwrap();
    assert_eq!(export_weights(&model, std::slice::from_ref(&one), None, &to).unwrap().sessions, [one]);
}

/// Trials that published weights were trained on are nobody's to know, before and after fine-tuning.
#[test]
fn sessions_of_published_weights_are_not_scored() {
    let folder = Folder::new();
    let arrays = golden("ndt_stitch_names/mtm.safetensors");
    write(&folder.at("mtm.safetensors"), &dict(&part(&arrays, "weights.")));
    let model = folder.at("model");
    import_weights(&config(MTM), &folder.at("mtm.safetensors"), &model).unwrap();
    let (_, record) = load_model(&model, test_compute_device()).unwrap();
    let from = record.imported_from.as_ref().unwrap();
    assert_eq!(from.sessions.iter().map(SessionId::as_str).collect::<Vec<_>>(), ["mouse-1", "mouse-2"]);

    let data = DataConfig {
        store: folder.at("store"),
        window: record.window.clone(),
        split: record.split.clone(),
        units: record.units.clone(),
    };
    let hash = |id: &str| SessionHash { session: SessionId::new(id).unwrap(), blake3: "0".repeat(64) };
    let error = record.check_scores(&data, 0, &hash("mouse-1")).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("also after fine-tuning"), "{error}");
    // Training goes on with it, and sessions that the weights never saw are scored.
    record.check_data(&data, 0, &hash("mouse-1")).unwrap();
    record.check_scores(&data, 0, &hash("mouse-3")).unwrap();
    assert!(record.is_pretrained_for(&hash("mouse-3").session));
}
