//! Checkpoints of every published code base in, state dicts out, and in again: all bits stay.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use neurobrick::PipelineError;
use neurobrick::config::{ImportConfig, ImportSession, Importing, NewSession, parse_toml};
use neurobrick::pipeline::{
    Imported, export_names, export_weights, import_decoder, import_neds, import_weights, load_model,
};
use neurobrick_core::weights::{StateDict, from_safetensors, metadata, to_safetensors};
use neurobrick_models::ModelConfig;
use neurobrick_models::torch::{Checkpoint, TorchNames};
use neurobrick_schema::SessionId;
use neurobrick_testkit::{golden, golden_path, part, test_compute_device};
use serde::Deserialize;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture(name: &str) -> PathBuf {
    root().join("fixtures/checkpoints").join(name)
}

/// The configuration of a checkpoint, with paths from here.
fn config(name: &str) -> Importing {
    let mut config = Importing::load(&fixture(&format!("{name}.toml"))).unwrap();
    if let Importing::Activity(config) = &mut config
        && let Some(parity) = &mut config.parity
    {
        parity.file = root().join(&parity.file);
    }
    config
}

fn import(config: &Importing, from: &Path, out: &Path) -> Result<Imported, PipelineError> {
    match config {
        Importing::Activity(config) => import_weights(config, from, out),
        Importing::Decoder(config) => import_decoder(config, from, out),
        Importing::Neds(config) => import_neds(config, from, out),
    }
}

/// The same sessions where an export keeps them.
fn exported(config: &Importing) -> Importing {
    let mut config = config.clone();
    let moved = |sessions: &mut Vec<ImportSession>| {
        for session in sessions {
            (session.row, session.n_read) = (None, None);
        }
    };
    match &mut config {
        Importing::Activity(config) => moved(&mut config.sessions),
        Importing::Neds(config) => moved(&mut config.sessions),
        Importing::Decoder(config) => {
            for session in &mut config.sessions {
                session.unit_words.clear();
            }
        }
    }
    config
}

fn dict(path: &Path) -> StateDict {
    from_safetensors(&fs::read(path).unwrap()).unwrap()
}

/// Imports, exports, imports and exports again; returns what the first import and export brought.
fn round_trip(config: &Importing, from: &Path, names: TorchNames) -> (Imported, StateDict) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let first = import(config, from, &at("first")).unwrap();
    assert_eq!(first.n_new, 0);
    let found = export_weights(&at("first"), &[], Some(names), &at("first.safetensors")).unwrap();
    assert_eq!(found.names, names);
    let written = dict(&at("first.safetensors"));
    assert_eq!(written.len(), found.n_tensors);
    let again = import(&exported(config), &at("first.safetensors"), &at("again")).unwrap();
    assert_eq!(again.n_imported, first.n_imported);
    assert_eq!(dict(&at("first/weights.safetensors")), dict(&at("again/weights.safetensors")));
    export_weights(&at("again"), &[], Some(names), &at("again.safetensors")).unwrap();
    assert_eq!(written, dict(&at("again.safetensors")));
    // What is exported is what was imported, but for rows of tables and what nothing of ours stands for.
    let theirs = Checkpoint::read(from, None).unwrap().weights;
    for (key, data) in &written {
        let is_table = theirs[key].shape().to_vec().len() == 2 && key.contains("emb");
        if !is_table && data.shape() == theirs[key].shape() {
            assert_eq!(data, &theirs[key].clone().convert_dtype(data.dtype()), "{key}");
        }
    }
    (first, written)
}

#[test]
fn whole_modules_and_benchmark_checkpoints_come_in_and_go_out() {
    let (_, mtm) = round_trip(&config("mtm_module"), &fixture("mtm_module.pt"), TorchNames::Mtm);
    let (_, bwb) =
        round_trip(&config("brain_wide_bench"), &fixture("brain_wide_bench.pt"), TorchNames::BrainWideBench);
    // Row 0 of the benchmark's table stands for no session.
    assert_eq!(bwb["session_emb.weight"].shape().to_vec(), [3, 8]);
    assert!(bwb["session_emb.weight"].iter::<f32>().take(8).all(|v| v == 0.0));
    assert_eq!(mtm["encoder.embedder.embed_session.weight"].shape().to_vec(), [2, 8]);

    // One model under both names.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    import(&config("mtm_module"), &fixture("mtm_module.pt"), &at("model")).unwrap();
    let names = Some(export_names("brain_wide_bench").unwrap());
    export_weights(&at("model"), &[], names, &at("bwb.safetensors")).unwrap();
    let text = metadata(&fs::read(at("bwb.safetensors")).unwrap()).unwrap();
    assert_eq!(text["session_emb.vocab"], r#"["NA","mouse-1","mouse-2"]"#);
    import(&config("brain_wide_bench"), &at("bwb.safetensors"), &at("other")).unwrap();
    assert_eq!(dict(&at("model/weights.safetensors")), dict(&at("other/weights.safetensors")));
    let message = export_names("bwb").unwrap_err().to_string();
    assert!(message.contains("mtm, brain_wide_bench") && message.contains("`bwb`"), "{message}");
    let error = export_weights(&at("model"), &[], Some(TorchNames::Lfads), &at("x")).unwrap_err();
    assert!(error.to_string().contains("names of lfads: it is of kind `ndt_stitch`"), "{error}");
}

#[test]
fn lfads_answers_as_the_checkpoint_it_came_from() {
    for (name, file) in
        [("lfads_sessions", "lfads_sessions.ckpt"), ("lfads_plain", "lfads_plain.safetensors")]
    {
        let (found, _) = round_trip(&config(name), &fixture(file), TorchNames::Lfads);
        assert!(found.difference.unwrap() < 1e-5, "{name}: {:?}", found.difference);
    }
    // A unit that was never read is exported with weights of zero.
    let (_, written) =
        round_trip(&config("lfads_plain"), &fixture("lfads_plain.safetensors"), TorchNames::Lfads);
    let drive = &written["encoder.ic_enc.fwd_gru.cell.weight_ih"];
    assert_eq!(drive.shape().to_vec(), [9, 6]);
    assert!(drive.iter::<f32>().skip(5).step_by(6).all(|w| w == 0.0));
    assert_eq!(written["decoder.con_h0"].shape().to_vec(), [1, 0]);

    let refused = |change: &dyn Fn(&mut ImportConfig), parts: &[&str]| {
        let Importing::Activity(mut config) = config("lfads_sessions") else { panic!("LFADS") };
        change(&mut config);
        let out = tempfile::tempdir().unwrap();
        let error = import_weights(&config, &fixture("lfads_sessions.ckpt"), &out.path().join("model"));
        let message = error.unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    let lfads = |config: &mut ImportConfig, change: &dyn Fn(&mut neurobrick_models::LfadsConfig)| {
        let ModelConfig::Lfads(model) = &mut config.model else { panic!("LFADS") };
        change(model);
    };
    let variance = |config: &mut ImportConfig| lfads(config, &|model| model.initial_prior_var = 0.2);
    refused(&variance, &["ic_prior.logvar", "the log of `initial_prior_var`"]);
    let direct = |config: &mut ImportConfig| lfads(config, &|model| model.d_read_in = None);
    refused(&direct, &["LFADS with 2 sessions", "set `d_read_in`"]);
    refused(&|config| config.sessions.truncate(1), &["unexpected [readin.1.bias"]);
    for n_read in [0, 7] {
        let many = |config: &mut ImportConfig| config.sessions[1].n_read = Some(n_read);
        refused(&many, &["`n_read` must be from 1 to the 6 units of session", &format!("received {n_read}")]);
    }
    let inputs = |config: &mut ImportConfig| lfads(config, &|model| model.d_inputs = 1);
    refused(
        &inputs,
        &["decoder.rnn.cell.gen_cell.weight_ih: expected shape [12, 1], received shape [12, 2]"],
    );
}

#[test]
fn models_of_behavior_come_in_and_go_out() {
    let (_, poyo) = round_trip(&config("poyo"), &fixture("poyo.ckpt"), TorchNames::TorchBrain);
    // Units in our order, from row 1.
    let theirs = Checkpoint::read(&fixture("poyo.ckpt"), None).unwrap().weights;
    let row = |data: &TensorData, row: usize| data.iter::<f32>().skip(6 * row).take(6).collect::<Vec<_>>();
    for (ours, published) in [(1, 1), (2, 2), (3, 3), (4, 5), (5, 4)] {
        assert_eq!(row(&poyo["unit_emb.weight"], ours), row(&theirs["unit_emb.weight"], published));
    }
    let (_, neds) = round_trip(&config("neds"), &fixture("neds.pt"), TorchNames::Neds);
    assert!(
        neds.contains_key(
            "encoder_embeddings.spike.embedder.mod_stitch_encoder.stitcher_dict.mouse-1.weight"
        )
    );

    let folder = tempfile::tempdir().unwrap();
    let refused = |config: &Importing, from: &str, parts: &[&str]| {
        let message = import(config, &fixture(from), &folder.path().join("model")).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    let Importing::Decoder(decoder) = config("poyo") else { panic!("a decoder") };
    let mut stranger = decoder.clone();
    stranger.sessions[1].word = Some("monkey-3".to_owned());
    refused(&Importing::Decoder(stranger), "poyo.ckpt", &["session_emb.vocab", "no word `monkey-3`"]);
    let mut short = decoder.clone();
    short.sessions[0].unit_words.pop();
    refused(&Importing::Decoder(short), "poyo.ckpt", &["sessions[0].unit_words", "lists 2 units", "has 3"]);
    let mut other = decoder;
    other.names = TorchNames::Neds;
    refused(&Importing::Decoder(other), "poyo.ckpt", &["names", "torch_brain, not of neds"]);
    let Importing::Neds(mut neds) = config("neds") else { panic!("NEDS") };
    let mut part = neds.clone();
    part.sessions[0].n_read = Some(1);
    refused(&Importing::Neds(part), "neds.pt", &["`n_read` must be absent", "`neds`, which reads all units"]);
    let Importing::Activity(mut mtm) = config("mtm_module") else { panic!("MtM") };
    mtm.sessions[0].n_read = Some(1);
    refused(&Importing::Activity(mtm), "mtm_module.pt", &["`n_read` must be absent", "of `mtm`"]);
    neds.sessions.pop();
    refused(&Importing::Neds(neds), "neds.pt", &["unexpected", "stitcher_dict.mouse-2"]);
    refused(&config("neds"), "called.pt", &["called.pt", "none is called"]);
}

#[derive(Deserialize)]
struct CasesFile {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: ModelConfig,
    names: TorchNames,
    sessions: Vec<Session>,
}

#[derive(Deserialize)]
struct Session {
    id: SessionId,
    n_units: usize,
    row: usize,
    #[serde(default)]
    subject_row: usize,
}

/// NDT-1 and NDT-2, whose golden dicts have the published names.
#[test]
fn golden_dicts_come_in_and_go_out() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["ndt1", "ndt2"] {
        let text = fs::read_to_string(golden_path(&format!("{kind}/cases.json"))).unwrap();
        let file: CasesFile = serde_json::from_str(&text).unwrap();
        for case in &file.cases {
            let weights = part(&golden(&format!("{kind}/{}.safetensors", case.name)), "weights.");
            let data = |a: &neurobrick_testkit::GoldenArray| {
                TensorData::new(a.values.clone(), a.shape.clone()).convert::<f32>()
            };
            let theirs: StateDict = weights.iter().map(|(key, array)| (key.clone(), data(array))).collect();
            let from = folder.path().join(format!("{}.safetensors", case.name));
            fs::write(&from, to_safetensors(&theirs, BTreeMap::new()).unwrap()).unwrap();
            let n_bins = case.config.n_bins();
            let window = format!("start_s = 0.0\nend_s = {n_bins}.0\nbin_size_s = 1.0");
            let session = |s: &Session| ImportSession {
                session: s.id.clone(),
                n_units: s.n_units,
                stitch: None,
                row: Some(s.row),
                subject_row: s.subject_row,
                n_read: None,
            };
            let config = Importing::Activity(Box::new(ImportConfig {
                names: case.names,
                entry: None,
                model: case.config.clone(),
                window: parse_toml("window", &window).unwrap(),
                sessions: case.sessions.iter().map(session).collect(),
                new_sessions: Vec::new(),
                parity: None,
                seed: 1,
            }));
            round_trip(&config, &from, case.names);
        }
    }
}

/// A model that was trained here goes out as the code it was published with has it.
#[test]
fn sessions_that_a_checkpoint_does_not_know_go_out_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let Importing::Activity(mut config) = config("lfads_sessions") else { panic!("LFADS") };
    let new = NewSession { session: SessionId::new("mouse-3").unwrap(), n_units: 9 };
    config.new_sessions = vec![new];
    let found = import_weights(&config, &fixture("lfads_sessions.ckpt"), &at("model")).unwrap();
    assert_eq!(found.n_new, 9 * 4 + 4 + 3 * 9 + 9);
    let (loaded, record) = load_model(&at("model"), test_compute_device()).unwrap();
    assert_eq!(record.imported_from.unwrap().names, TorchNames::Lfads);
    drop(loaded);
    let one = SessionId::new("mouse-3").unwrap();
    export_weights(&at("model"), &[one], None, &at("one.safetensors")).unwrap();
    let written = dict(&at("one.safetensors"));
    assert_eq!(written["readin.0.weight"].shape().to_vec(), [4, 9]);
    assert_eq!(written["readout.0.weight"].shape().to_vec(), [9, 3]);
    assert!(!written.contains_key("readin.1.weight"));
}
