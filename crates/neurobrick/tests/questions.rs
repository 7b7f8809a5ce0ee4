//! Models of other programs: questions out, answers in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::TensorData;
use neurobrick::config::{EvaluateConfig, parse_toml};
use neurobrick::core::weights::{StateDict, from_safetensors, metadata, to_safetensors};
use neurobrick::evaluation::{EvaluationResult, PredictorEvaluation};
use neurobrick::pipeline::{self, Silent};
use neurobrick::schema::Store;
use neurobrick::train::EvalTask;
use neurobrick::{Compute, PipelineError};
use neurobrick_testkit::synthetic_session;

const TASKS: [EvalTask; 2] = [EvalTask::CoSmoothing, EvalTask::ForwardPrediction];

fn config(folder: &Path) -> EvaluateConfig {
    let (store, answers) = (folder.join("store"), folder.join("answers"));
    if !store.exists() {
        Store::create(&store).unwrap().write(&synthetic_session(3, 60, 20, 18, 3)).unwrap();
    }
    let text = format!(
        "seed = 5\nsessions = [\"synthetic-3\"]\nmodels = []\n\
         predictions = [{{ name = \"mine\", path = \"{}\", note = \"means\" }}]\n\
         data = {{ store = \"{}\", window = {{ start_s = 0.0, end_s = 0.36, bin_size_s = 0.02 }} }}\n\
         scoring = {{ tasks = [\"co_smoothing\", \"forward_prediction\"], max_units = 7, n_resamples = 100, active_min_spikes = 5 }}\n",
        answers.display(),
        store.display()
    );
    parse_toml("evaluate", &text).unwrap()
}

/// Each scored unit's mean over training trials, from what the questions say alone.
fn unit_means(bytes: &[u8]) -> (StateDict, BTreeMap<String, String>) {
    let facts = metadata(bytes).unwrap();
    let counts = &from_safetensors(bytes).unwrap()["counts"];
    let [n_trials, n_bins, n_units] = counts.shape()[..] else { panic!("three axes") };
    let counts: Vec<f64> = counts.iter::<f64>().collect();
    let parts: Vec<String> = serde_json::from_str(&facts["split"]).unwrap();
    let tasks: Vec<serde_json::Value> = serde_json::from_str(&facts["tasks"]).unwrap();
    let mut answers = StateDict::new();
    for task in tasks {
        let units: Vec<usize> = serde_json::from_value(task["units"].clone()).unwrap();
        let first_bin = usize::try_from(task["first_bin"].as_u64().unwrap()).unwrap();
        let mean = |unit: usize| {
            let train = (0..n_trials).filter(|&trial| parts[trial] == "train");
            let of: Vec<f64> = train
                .flat_map(|b| (0..n_bins).map(move |t| (b * n_bins + t) * n_units + unit))
                .map(|i| counts[i])
                .collect();
            // Half a spike for silent units, as the unit mean among the baselines.
            of.iter().sum::<f64>().max(0.5) / of.len() as f64
        };
        let means: Vec<f64> = units.iter().map(|&unit| mean(unit)).collect();
        let shape = [n_trials, n_bins - first_bin, units.len()];
        let rates = (0..shape[0] * shape[1]).flat_map(|_| means.iter().copied()).collect();
        answers.insert(task["task"].as_str().unwrap().to_owned(), TensorData::new(rates, shape));
    }
    (answers, facts)
}

fn evaluate(config: &EvaluateConfig, out: &Path) -> Result<EvaluationResult, PipelineError> {
    pipeline::evaluate(config, out, "test", Compute::threads(2), &mut Silent)?;
    Ok(serde_json::from_slice(&fs::read(out.join("metrics.json")).unwrap()).unwrap())
}

#[test]
fn answers_of_another_program_are_scored_as_ours_are() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let asked = pipeline::write_questions(&config, &folder.path().join("questions")).unwrap();
    assert_eq!(asked[0].shape, [60, 18, 18]);
    assert_eq!(asked[0].answers, [(TASKS[0], [60, 18, 7]), (TASKS[1], [60, 2, 18])]);
    let (mut answers, facts) = unit_means(&fs::read(&asked[0].path).unwrap());
    fs::create_dir(folder.path().join("answers")).unwrap();
    let path = folder.path().join("answers/synthetic-3.safetensors");
    // Nobody looks at rates of training trials.
    let parts: Vec<String> = serde_json::from_str(&facts["split"]).unwrap();
    for data in answers.values_mut() {
        let (row, mut values) = (data.shape()[1] * data.shape()[2], data.iter::<f64>().collect::<Vec<_>>());
        for trial in (0..60).filter(|&trial| parts[trial] == "train") {
            values[trial * row..(trial + 1) * row].fill(f64::NAN);
        }
        *data = TensorData::new(values, data.shape().to_vec());
    }
    fs::write(&path, to_safetensors(&answers, facts).unwrap()).unwrap();
    let result = evaluate(&config, &folder.path().join("out")).unwrap();
    for task in &result.sessions[0].tasks {
        let find = |name: &str| task.predictors.iter().find(|p| p.name == name).unwrap();
        let values = |p: &PredictorEvaluation| -> Vec<f64> {
            p.scores.iter().filter_map(|entry| Some(entry.score.as_ref()?.value())).collect()
        };
        let (mine, ours) = (values(find("mine")), values(find("unit_mean")));
        assert!(!mine.is_empty() && mine.len() == ours.len(), "{:?}", task.task);
        assert!(mine.iter().zip(&ours).all(|(a, b)| (a - b).abs() < 1e-9), "{mine:?} is not {ours:?}");
        find("mine+linear");
    }
    let card = fs::read_to_string(folder.path().join("out/card.md")).unwrap();
    assert!(card.contains("mine, predicted by another program: means"), "{card}");
    assert!(card.starts_with("# mine") && card.contains("| Parameters | not stated |"), "{card}");
}

#[test]
fn answers_that_do_not_fit_are_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let asked = pipeline::write_questions(&config, &folder.path().join("questions")).unwrap();
    let (answers, facts) = unit_means(&fs::read(&asked[0].path).unwrap());
    let answered = folder.path().join("answers");
    fs::create_dir(&answered).unwrap();
    let refused = |state: &StateDict, facts: &BTreeMap<String, String>| {
        fs::write(answered.join("synthetic-3.safetensors"), to_safetensors(state, facts.clone()).unwrap())
            .unwrap();
        evaluate(&config, &folder.path().join("out")).unwrap_err().to_string()
    };
    let mut other = facts.clone();
    other.insert("seed".to_owned(), "6".to_owned());
    let error = refused(&answers, &other);
    assert!(error.contains("answers other questions: its `seed`"), "{error}");
    let error = refused(&answers, &BTreeMap::new());
    assert!(error.contains("does not say which questions it answers"), "{error}");
    // Another window has as many bins of the same data under the same seed.
    let mut moved = config.clone();
    moved.data.window.start_s += 0.04;
    moved.data.window.end_s += 0.04;
    let asked = pipeline::write_questions(&moved, &folder.path().join("moved")).unwrap();
    let error = refused(&answers, &metadata(&fs::read(&asked[0].path).unwrap()).unwrap());
    assert!(error.contains("answers other questions: its `window"), "{error}");
    let mut fewer = answers.clone();
    fewer.remove("forward_prediction");
    let error = refused(&fewer, &facts);
    assert!(error.contains("no array `forward_prediction` (there are: co_smoothing)"), "{error}");
    let mut small = answers.clone();
    small.insert("co_smoothing".to_owned(), TensorData::new(vec![1.0; 60 * 18 * 6], [60, 18, 6]));
    let error = refused(&small, &facts);
    assert!(error.contains("shape [60, 18, 6]") && error.contains("[60, 18, 7]"), "{error}");
    let mut zero = answers;
    zero.insert("co_smoothing".to_owned(), TensorData::new(vec![0.0; 60 * 18 * 7], [60, 18, 7]));
    let error = refused(&zero, &facts);
    assert!(error.contains("`co_smoothing` is 0 at trial") && error.contains("above zero"), "{error}");
    fs::write(answered.join("synthetic-3.safetensors"), b"not one").unwrap();
    let error = evaluate(&config, &folder.path().join("out")).unwrap_err().to_string();
    assert!(error.contains("synthetic-3.safetensors"), "{error}");
}
