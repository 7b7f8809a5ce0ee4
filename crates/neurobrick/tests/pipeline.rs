//! The pipelines on a small synthetic store: what they write, and what they refuse.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ndarray::{Array3, s};
use neurobrick::config::{DecodeTarget, EvaluateConfig, FinetuneConfig, PretrainConfig, parse_toml};
use neurobrick::core::weights::from_safetensors;
use neurobrick::core::{ModelError, SessionSpec};
use neurobrick::data::{SplitConfig, UnitFilter};
use neurobrick::evaluation::{EvaluationResult, Group, PredictorEvaluation, RunComparison};
use neurobrick::metrics::{Convention, NullModel, bits_per_spike};
use neurobrick::models::{LfadsConfig, ModelConfig, NdtStitchConfig};
use neurobrick::pipeline::{self, ArrayQuestion, ModelRecord, Silent, TrialSet};
use neurobrick::schema::{SessionId, Store};
use neurobrick::train::{EvalTask, save_model_dir};
use neurobrick::{Compute, PipelineError, RunFolder, SessionHash, load_sessions};
use neurobrick_testkit::{synthetic_session, test_compute_device};

/// The device that tests run on.
fn compute(n_threads: usize) -> Compute {
    Compute { device: test_compute_device(), n_threads }
}

const DATA: &str = r#"
store = "STORE"
window = { start_s = 0.0, end_s = 0.4, bin_size_s = 0.02 }
"#;
const TRAIN: &str =
    "n_steps = 30\nvalid_every = 10\ncheckpoint_every = 10\nclip_norm = 1.0\nschedule = { max_lr = 1e-3 }\n";

/// A store of three synthetic sessions, a model pretrained on two, and fine-tuned on the third.
fn trained(folder: &Path) {
    let store = Store::create(folder.join("store")).unwrap();
    for (seed, n_units) in [(1, 12), (2, 15), (3, 18)] {
        store.write(&synthetic_session(seed, 60, 20, n_units, 3)).unwrap();
    }
    let model = "kind = \"ndt_stitch\"\nn_bins = 20\nd_stitch = 8\nd_embed = 16\nd_model = 8\nn_layers = 1\nn_heads = 2\nd_mlp = 16\ndropout_embed = 0.1\ndropout = 0.1\n";
    let text = format!(
        "seed = 5\nexclude = [\"synthetic-3\"]\n[data]\n{}\n[model]\n{model}\n[train]\n{TRAIN}",
        data(folder)
    );
    let config: PretrainConfig = parse_toml("pretrain", &text).unwrap();
    pipeline::pretrain(&config, &folder.join("pretrain"), "test", compute(2), &mut Silent).unwrap();
    pipeline::finetune(&finetune(folder, 5), &folder.join("tuned"), "test", compute(2), &mut Silent).unwrap();
}

fn data(folder: &Path) -> String {
    DATA.replace("STORE", folder.join("store").to_str().unwrap())
}

fn finetune(folder: &Path, seed: u64) -> FinetuneConfig {
    let start = folder.join("pretrain/model");
    let start = start.display();
    let text = format!(
        "seed = {seed}\nsessions = [\"synthetic-3\"]\n[start]\npretrained = \"{start}\"\n[data]\n{}\n[train]\n{TRAIN}",
        data(folder)
    );
    parse_toml("finetune", &text).unwrap()
}

fn evaluation(folder: &Path, seed: u64, name: &str) -> EvaluateConfig {
    let path = folder.join("tuned");
    let path = path.display();
    let text = format!(
        "seed = {seed}\nsessions = [\"synthetic-3\"]\nmodels = [{{ name = \"{name}\", path = \"{path}\" }}]\n[data]\n{}\n\
         [scoring]\nn_resamples = 100\nactive_min_spikes = 5\n\
         decode = [{{ category = {{ name = \"choice\", column = \"choice\", positive = \"right\", negative = \"left\" }} }}]\n",
        data(folder)
    );
    parse_toml("evaluate", &text).unwrap()
}

fn evaluate(folder: &Path, config: &EvaluateConfig, out: &str) -> Result<PathBuf, PipelineError> {
    let out = folder.join(out);
    pipeline::evaluate(config, &out, "test", compute(2), &mut Silent).map(|_| out)
}

#[test]
fn an_evaluation_scores_all_tasks_and_repeats_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let config = evaluation(folder.path(), 5, "fine_tuned");
    let [first, second] = ["one", "two"].map(|out| evaluate(folder.path(), &config, out).unwrap());
    let bytes = fs::read(first.join("metrics.json")).unwrap();
    assert_eq!(bytes, fs::read(second.join("metrics.json")).unwrap());
    for name in ["report.html", "report.json", "card.md", "manifest.json", "run.toml"] {
        assert!(first.join(name).exists(), "{name}");
    }

    let result: EvaluationResult = serde_json::from_slice(&bytes).unwrap();
    let tasks = &result.sessions[0].tasks;
    assert_eq!(tasks.len(), 5);
    for task in tasks {
        assert_eq!(task.n.trials, 12, "a fifth of 60 trials");
        let score = |name: &str, null| {
            let predictor = task.predictors.iter().find(|p| p.name == name).unwrap();
            let entry =
                predictor.scores.iter().find(|s| s.null == null && s.convention == Convention::Pooled);
            entry.unwrap().score.clone().unwrap()
        };
        // The unit mean is the train-mean null up to the half spike of silent units.
        assert!(score("unit_mean", NullModel::TrainMean).value().abs() < 1e-9, "{:?}", task.task);
        // The null from the scored bins knows their mean: nobody who does not can beat it with constants.
        assert!(score("unit_mean", NullModel::EvaluatedMean).value() < 0.0, "{:?}", task.task);
        let tuned = score("fine_tuned", NullModel::EvaluatedMean);
        assert!(tuned.interval().lo <= tuned.value() && tuned.value() <= tuned.interval().hi);
        assert_eq!(tuned.baseline().name, "unit_mean");
        assert!(
            task.differences.iter().all(|d| ["fine_tuned", "fine_tuned+linear"].contains(&d.left.as_str()))
        );
        let pooled = task.predictors.iter().find(|p| p.name == "fine_tuned+linear").unwrap();
        let weight = pooled.choice.as_ref().unwrap()["pool"]["weight"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&weight), "{weight}");
        assert!(score("fine_tuned+linear", NullModel::EvaluatedMean).value().is_finite());
        // The control of that pool has the same partner.
        let control = task.predictors.iter().find(|p| p.name == "linear_shrunk").unwrap();
        let partner = |p: &PredictorEvaluation| p.choice.as_ref().unwrap()["partner"].clone();
        assert_eq!((partner(control), control.group), (partner(pooled), Group::Baseline), "{:?}", task.task);
    }
    // Latents that rotate are shared by all units: other units tell of a hidden one, as the session was made.
    let ridge = tasks[0].predictors.iter().find(|p| p.name == "ridge").unwrap();
    let pooled = ridge.scores[0].score.as_ref().unwrap();
    assert!(pooled.interval().lo > 0.0, "{pooled:?}");
    assert_eq!(result.sessions[0].decoding.len(), 2, "raw counts and latents");
}

#[test]
fn what_cannot_be_scored_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let config = evaluation(folder.path(), 5, "fine_tuned");
    evaluate(folder.path(), &config, "one").unwrap();
    // Without models, whatever is found out late is found out by their absence.
    fs::remove_dir_all(folder.path().join("tuned")).unwrap();
    let mut changed = config.clone();
    changed.scoring.n_resamples = 200;
    let used = evaluate(folder.path(), &changed, "one").unwrap_err();
    assert!(matches!(&used, PipelineError::OtherRun { .. }), "{used}");
    let mut typo = config;
    let DecodeTarget::Category { positive, .. } = &mut typo.scoring.decode[0] else { panic!("a category") };
    *positive = "rihgt".to_owned();
    let typo = evaluate(folder.path(), &typo, "two").unwrap_err().to_string();
    assert!(typo.contains("`rihgt` does not occur") && typo.contains("left, right"), "{typo}");
}

#[test]
fn a_pretrained_model_is_scored_on_its_own_sessions_and_on_no_other() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let mut config = evaluation(folder.path(), 5, "pretrained");
    config.scoring.tasks = vec![EvalTask::ForwardPrediction];
    let own = SessionId::new("synthetic-2").unwrap();
    config.models[0].path = folder.path().join("pretrain");
    let error = evaluate(folder.path(), &config, "unknown").unwrap_err().to_string();
    assert!(error.contains("does not know session synthetic-3") && error.contains("finetune"), "{error}");
    config.sessions = vec![own];
    let out = evaluate(folder.path(), &config, "known").unwrap();
    let result: EvaluationResult =
        serde_json::from_slice(&fs::read(out.join("metrics.json")).unwrap()).unwrap();
    assert!(result.sessions[0].tasks[0].predictors.iter().any(|p| p.name == "pretrained"));
    config.models[0].path = folder.path().join("tuned");
    let error = evaluate(folder.path(), &config, "none").unwrap_err().to_string();
    assert!(error.contains("holds no model of session synthetic-2"), "{error}");
    // Evaluations of different sessions have nothing to be put side by side.
    let other = evaluate(folder.path(), &evaluation(folder.path(), 5, "fine_tuned"), "other").unwrap();
    let error = RunComparison::read(&[out, other]).unwrap_err().to_string();
    assert!(error.contains("no predictor has a score of the same session"), "{error}");
}

#[test]
fn arrays_are_what_evaluation_scores() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let out = evaluate(folder.path(), &evaluation(folder.path(), 5, "fine_tuned"), "one").unwrap();
    let result: EvaluationResult =
        serde_json::from_slice(&fs::read(out.join("metrics.json")).unwrap()).unwrap();
    let (model, store) = (folder.path().join("tuned/synthetic-3"), folder.path().join("store"));
    let question = ArrayQuestion {
        model: &model,
        store: &store,
        session: None,
        trials: TrialSet::Test,
        compute: compute(2),
    };
    let path = folder.path().join("rates.safetensors");
    pipeline::predict_rates(&question, EvalTask::ForwardPrediction, &mut Silent)
        .unwrap()
        .write(&path)
        .unwrap();
    let state = from_safetensors(&fs::read(&path).unwrap()).unwrap();
    let rates = state["rates"].clone();
    assert_eq!(rates.shape().to_vec(), [12, 2, 18], "a fifth of 60 trials, a tenth of 20 bins");
    let starts = state["bin_start_s"].try_to_vec::<f64>().unwrap();
    assert!((starts[0] - 0.36).abs() < 1e-12 && (starts[1] - 0.38).abs() < 1e-12, "{starts:?}");
    let rates: Vec<f64> = rates.try_to_vec::<f32>().unwrap().into_iter().map(f64::from).collect();
    let rates = Array3::from_shape_vec((12, 2, 18), rates).unwrap();

    let sessions = vec![SessionId::new("synthetic-3").unwrap()];
    let loaded =
        load_sessions(&evaluation(folder.path(), 5, "x").data, &sessions, 5).unwrap().remove(0).train;
    let test = loaded.data.counts_of(&loaded.split.test);
    let scored = test.slice(s![.., 18.., ..]);
    let task = result.sessions[0].tasks.iter().find(|t| t.task == EvalTask::ForwardPrediction).unwrap();
    let entry = task.predictors[0]
        .scores
        .iter()
        .find(|s| s.null == NullModel::EvaluatedMean && s.convention == Convention::Pooled);
    let expected = entry.unwrap().score.as_ref().unwrap().value();
    let value = bits_per_spike(&rates.view(), &scored).unwrap();
    assert!((value - expected).abs() < 1e-6, "{value} instead of {expected}");

    let embed =
        |trials, is_causal| pipeline::embed(&ArrayQuestion { trials, ..question }, is_causal).unwrap();
    let all = embed(TrialSet::All, false);
    assert_eq!(all.shape("latents").unwrap(), [60, 20, 8]);
    assert_ne!(all.facts()["context"], embed(TrialSet::Test, true).facts()["context"]);
    let parts: Vec<String> = serde_json::from_str(&all.facts()["split"]).unwrap();
    assert_eq!(parts.iter().filter(|part| *part == "test").count(), 12);
    let several = ArrayQuestion { model: &folder.path().join("pretrain"), ..question };
    let error = pipeline::embed(&several, false).unwrap_err().to_string();
    assert!(error.contains("synthetic-1, synthetic-2"), "{error}");
}

#[test]
fn evaluations_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let runs = [("one", "fine_tuned"), ("two", "other_name")]
        .map(|(out, name)| evaluate(folder.path(), &evaluation(folder.path(), 5, name), out).unwrap());
    let found = RunComparison::read(&runs).unwrap();
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let row = |name: &str| {
        let rows = &found.scores;
        rows.iter().find(|r| r.task == EvalTask::CoSmoothing && r.predictor == name).unwrap()
    };
    let ridge = row("ridge");
    assert!(ridge.scores[0].is_some() && ridge.scores[0] == ridge.scores[1]);
    // The same model under two names: each has its own row, and the same score.
    assert_eq!(row("fine_tuned").scores[0], row("other_name").scores[1]);
    assert!(row("fine_tuned").scores[1].is_none() && found.markdown().contains("| other_name | – |"));

    let mut fewer = evaluation(folder.path(), 5, "fine_tuned");
    fewer.scoring.max_units = Some(2);
    let fewer = evaluate(folder.path(), &fewer, "three").unwrap();
    let warnings = RunComparison::read(&[runs[0].clone(), fewer]).unwrap().warnings;
    assert!(
        warnings.iter().any(|w| w.contains("scored other things") && w.contains("2 units")),
        "{warnings:?}"
    );

    let path = runs[1].join("manifest.json");
    let other = fs::read_to_string(&path).unwrap().replace("\"seed\": 5", "\"seed\": 6");
    fs::write(&path, other).unwrap();
    assert!(RunComparison::read(&runs).unwrap().warnings[0].contains("seeds differ (5, 6)"));
    assert!(RunComparison::read(&runs[..1]).is_err());
    let none = RunComparison::read(&[runs[0].clone(), folder.path().join("store")]).unwrap_err();
    assert!(none.to_string().contains("no metrics.json here"), "{none}");
}

#[test]
fn scores_that_would_mislead_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let refusal = |config: &EvaluateConfig, out: &str| {
        let error = evaluate(folder.path(), config, out).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    // Another seed is another split: training trials would be scored as test trials.
    assert!(refusal(&evaluation(folder.path(), 6, "fine_tuned"), "a").contains("`seed`"));
    let mut coarse = evaluation(folder.path(), 5, "fine_tuned");
    coarse.data.window.end_s = 0.2;
    assert!(refusal(&coarse, "b").contains("`data.window`"));
    let mut chronological = evaluation(folder.path(), 5, "fine_tuned");
    chronological.data.split.order = neurobrick::data::SplitOrder::Chronological;
    assert!(refusal(&chronological, "c").contains("`data.split`"));
    assert!(refusal(&evaluation(folder.path(), 5, "ridge"), "d").contains("`ridge` is taken"));
    assert!(refusal(&evaluation(folder.path(), 5, "a+linear"), "d").contains("`a+linear` has a `+`"));

    // Other data under the same name.
    let store = Store::open(folder.path().join("store")).unwrap();
    let mut other = evaluation(folder.path(), 5, "fine_tuned");
    other.sessions = vec![neurobrick::schema::SessionId::new("synthetic-9").unwrap()];
    let missing = evaluate(folder.path(), &other, "e").unwrap_err();
    assert!(missing.to_string().contains("synthetic-1, synthetic-2, synthetic-3"), "{missing}");
    let session = neurobrick::schema::SessionId::new("synthetic-3").unwrap();
    store.remove(&session).unwrap();
    store.write(&synthetic_session(3, 61, 20, 18, 3)).unwrap();
    assert!(refusal(&evaluation(folder.path(), 5, "fine_tuned"), "f").contains("`data.store`"));
}

/// Fine-tuning under another seed leaves the pretraining sessions under theirs.
#[test]
fn every_session_keeps_the_split_it_was_trained_with() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let other = finetune(folder.path(), 6);
    pipeline::finetune(&other, &folder.path().join("other"), "test", compute(2), &mut Silent).unwrap();
    let (_, record) =
        pipeline::load_model(&folder.path().join("other/synthetic-3"), compute(1).device).unwrap();
    let seeds: Vec<(&str, u64)> =
        record.trained_on.iter().map(|t| (t.session.as_str(), t.part.as_ref().unwrap().seed)).collect();
    assert_eq!(seeds, [("synthetic-1", 5), ("synthetic-2", 5), ("synthetic-3", 6)]);
    for trained in &record.trained_on {
        let own = record.part_of(&trained.session).seed;
        let hash = SessionHash { session: trained.session.clone(), blake3: trained.blake3.clone() };
        for seed in [5, 6] {
            let found = record.check_scores(&other.data, seed, &hash);
            assert_eq!(found.is_ok(), seed == own, "{} with seed {seed}: {found:?}", trained.session);
        }
    }

    // Folders of earlier versions say it for all sessions at once.
    let mut old = serde_json::to_value(&record).unwrap();
    for trained in old["trained_on"].as_array_mut().unwrap() {
        trained.as_object_mut().unwrap().remove("part");
    }
    let old: ModelRecord = serde_json::from_value(old).unwrap();
    assert_eq!(old.part_of(&SessionId::new("synthetic-1").unwrap()).seed, 6);
}

/// What is finished is not taken over when the data behind it changed.
#[test]
fn a_run_goes_on_with_its_own_data_only() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let out = folder.path().join("tuned");
    pipeline::finetune(&finetune(folder.path(), 5), &out, "test", compute(2), &mut Silent).unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    store.remove(&SessionId::new("synthetic-3").unwrap()).unwrap();
    store.write(&synthetic_session(3, 61, 20, 18, 3)).unwrap();
    let error =
        pipeline::finetune(&finetune(folder.path(), 5), &out, "test", compute(2), &mut Silent).unwrap_err();
    assert!(matches!(&error, PipelineError::OtherRun { .. }), "{error}");
    assert!(error.to_string().contains("on other data of synthetic-3"), "{error}");
}

#[test]
fn latents_that_know_the_future_are_not_called_causal() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    Store::create(&store).unwrap().write(&synthetic_session(1, 20, 20, 6, 3)).unwrap();
    let spec =
        SessionSpec { session: SessionId::new("synthetic-1").unwrap(), n_units: 6, log_mean_rates: None };
    let small =
        NdtStitchConfig { d_model: 8, d_stitch: 8, n_layers: 1, n_heads: 2, ..NdtStitchConfig::small(20) };
    let models = [
        ("causal", ModelConfig::NdtStitch(small.clone()), true),
        ("faithful", ModelConfig::NdtStitch(NdtStitchConfig { faithful: true, ..small }), false),
        ("lfads", ModelConfig::Lfads(LfadsConfig::small(20)), false),
    ];
    let window = finetune(folder.path(), 5).data.window;
    for (name, config, is_causal) in models {
        let path = folder.path().join(name);
        let model = config.build(std::slice::from_ref(&spec), 1, &Device::flex()).unwrap();
        let record = ModelRecord {
            config,
            seed: 5,
            window: window.clone(),
            split: SplitConfig::default(),
            units: UnitFilter::default(),
            trained_on: Vec::new(),
            imported_from: None,
            alignment: None,
        };
        save_model_dir(&path, &model, &record, 20).unwrap();
        let question = ArrayQuestion {
            model: &path,
            store: &store,
            session: None,
            trials: TrialSet::All,
            compute: compute(1),
        };
        pipeline::embed(&question, false).unwrap();
        match pipeline::embed(&question, true) {
            Ok(file) => assert!(is_causal && file.facts()["context"] == "causal", "{name}"),
            Err(error) => {
                assert!(!is_causal, "{name}: {error}");
                assert!(matches!(&error, PipelineError::Model(ModelError::Unsupported { .. })), "{error}");
                assert!(error.to_string().contains("lets later bins through"), "{error}");
            }
        }
    }
}

#[test]
fn only_folders_of_runs_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("data.csv"), "1").unwrap();
    assert!(RunFolder::delete(&precious).is_err() && precious.join("data.csv").exists());
    // A lock alone does not make it a run: somebody else's program may keep one.
    fs::write(precious.join("lock"), "").unwrap();
    assert!(RunFolder::delete(&precious).is_err() && precious.join("data.csv").exists());
    fs::write(precious.join("run.toml"), "").unwrap();
    let held = RunFolder::open(&precious).unwrap();
    assert!(matches!(RunFolder::delete(&precious), Err(PipelineError::Locked { .. })));
    drop(held);
    RunFolder::delete(&precious).unwrap();
    assert!(!precious.exists());
}
