//! Layers of sessions that start aligned: what is shared is found, kept with the model, and used for sessions met later.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView1, Axis, concatenate, s};
use neurobrick::config::{AlignmentConfig, FinetuneConfig, PretrainConfig, parse_toml};
use neurobrick::core::weights::state_dict;
use neurobrick::data::TrialSplit;
use neurobrick::pipeline::{self, SharedConditions, Silent};
use neurobrick::schema::Store;
use neurobrick::train::TrainSession;
use neurobrick::{Compute, PipelineError};
use neurobrick_testkit::{SharedBrain, SharedSession, synthetic_session, test_compute_device};

const DATA: &str =
    "window = { start_s = 0.0, end_s = 1.0, bin_size_s = 0.02 }\nsplit = { train = 0.6, valid = 0.2 }\n";
/// A rate at which nothing moves.
const TRAIN: &str = "n_steps = 2\nvalid_every = 1\ncheckpoint_every = 2\nschedule = { max_lr = 1e-12 }\n";

fn brain() -> SharedBrain {
    SharedBrain { n_pairs: 1, n_bins: 50, n_conditions: 4, ..SharedBrain::new(3) }
}

fn train_session(session: &SharedSession) -> TrainSession {
    let n = session.conditions.len();
    let split = TrialSplit { train: (0..n - 8).collect(), valid: (n - 8..n).collect(), test: Vec::new() };
    TrainSession::new(Arc::new(session.data()), split).unwrap()
}

fn config(n_components: usize) -> AlignmentConfig {
    AlignmentConfig {
        condition_columns: vec!["condition".to_owned()],
        n_components,
        sigma_bins: 2.0,
        alpha: 1.0,
    }
}

/// Averages of a session that took no part, read by its alignment, follow those of another one; by an alignment
/// to nothing they would not.
#[test]
fn sessions_are_read_alike() {
    let brain = SharedBrain { shared: 0.95, rates_hz: [20.0, 60.0], ..brain() };
    let sessions: Vec<SharedSession> = (0..4).map(|i| brain.session(i, 72, 60)).collect();
    let trained: Vec<TrainSession> = sessions.iter().map(train_session).collect();
    let shared = SharedConditions::fit(&config(6), &trained[..3]).unwrap();
    let read = |i: usize| -> Array2<f64> {
        let alignment = shared.align(&trained[i]).unwrap();
        // Validation trials were not averaged; by condition, since latents of conditions have nothing in common.
        let mut read = Vec::new();
        for condition in 0..4 {
            let of_condition = |trial: &&usize| sessions[i].conditions[**trial] == condition;
            let trials: Vec<usize> = trained[i].split.valid.iter().filter(of_condition).copied().collect();
            let mean = trained[i].data.counts_of(&trials).mean_axis(Axis(0)).unwrap();
            read.push(mean.dot(&alignment.read_in) + &Array1::from(alignment.read_in_bias.clone()));
        }
        let views: Vec<_> = read.iter().map(|r| r.view()).collect();
        concatenate(Axis(0), &views).unwrap()
    };
    let (known, new) = (read(0), read(3));
    let correlation = |a: &Array2<f64>, b: &Array2<f64>, k: usize| {
        let (a, b) = (a.column(k), b.column(k));
        let (a, b) = (&a - a.mean().unwrap(), &b - b.mean().unwrap());
        a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
    };
    for k in 0..3 {
        let r = correlation(&known, &new, k);
        assert!(r > 0.6, "component {k}: {r}");
    }
    let alignment = shared.align(&trained[3]).unwrap();
    assert_eq!(alignment.log_mean_rates, trained[3].log_mean_rates);
    // A unit's log rate moves with the latents as its true weights say.
    let truth = &sessions[3].loadings;
    let size = |weights: ArrayView1<f64>| weights.dot(&weights).sqrt();
    let found: f64 = (0..60).map(|n| size(alignment.read_out.column(n))).sum::<f64>() / 60.0;
    let wanted: f64 = (0..60).map(|n| size(truth.row(n))).sum::<f64>() / 60.0;
    assert!((0.5..1.5).contains(&(found / wanted)), "{found} for {wanted}");
}

#[test]
fn conditions_that_some_sessions_lack_are_left_out() {
    let more = SharedBrain { n_conditions: 6, ..brain() };
    let sessions = [brain().session(0, 72, 20), more.session(1, 72, 20)].map(|s| train_session(&s));
    let shared = SharedConditions::fit(&config(3), &sessions).unwrap();
    let json = serde_json::to_value(&shared).unwrap();
    assert_eq!(json["conditions"], serde_json::json!(["c0|", "c1|", "c2|", "c3|"]));
    // A session with two of them is aligned by these.
    let fewer = train_session(&SharedBrain { n_conditions: 2, ..brain() }.session(2, 40, 20));
    assert_eq!(shared.align(&fewer).unwrap().n_components(), 3);
}

#[test]
fn what_cannot_be_aligned_is_refused_by_name() {
    let sessions = [0, 1].map(|i| train_session(&brain().session(i, 72, 20)));
    let message = |config: AlignmentConfig| match SharedConditions::fit(&config, &sessions) {
        Err(error) => error.to_string(),
        Ok(_) => "no error".to_owned(),
    };
    let column = AlignmentConfig { condition_columns: vec!["contrast".to_owned()], ..config(3) };
    assert!(message(column).contains("contrast"));
    assert!(message(config(0)).contains("alignment.n_components"));
    let penalty = AlignmentConfig { alpha: 0.0, ..config(3) };
    assert!(message(penalty).contains("alignment.alpha"));
    let none = AlignmentConfig { condition_columns: Vec::new(), ..config(3) };
    assert!(message(none).contains("alignment.condition_columns"));
    assert!(message(config(999)).contains("n_components"));
    let shared = SharedConditions::fit(&config(3), &sessions).unwrap();
    // Its only condition is c0.
    let strange = train_session(&SharedBrain { n_conditions: 1, ..brain() }.session(7, 40, 20));
    let text = serde_json::to_string(&shared).unwrap().replace("c0|", "d0|");
    let shared: SharedConditions = serde_json::from_str(&text).unwrap();
    let error = shared.align(&strange).unwrap_err();
    assert!(matches!(&error, PipelineError::BadValue { .. }), "{error}");
    assert!(error.to_string().contains("shared-3-7"), "{error}");
}

fn pretrain(folder: &Path, kind: &str) -> Result<(), PipelineError> {
    let store = folder.join("store");
    let text = format!(
        "seed = 5\nexclude = [\"shared-3-2\"]\n[data]\nstore = \"{}\"\n{DATA}\n[model]\n{kind}\n[train]\n{TRAIN}\n\
         [alignment]\ncondition_columns = [\"condition\"]\nn_components = 3\n",
        store.display()
    );
    let config: PretrainConfig = parse_toml("pretrain", &text).unwrap();
    let compute = Compute { device: test_compute_device(), n_threads: 2 };
    pipeline::pretrain(&config, &folder.join("pretrain"), "test", compute, &mut Silent).map(|_| ())
}

/// The components go with the model, and a session that is met in fine-tuning is aligned to them.
#[test]
fn a_session_met_later_starts_aligned() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    for i in 0..3 {
        store.write(&brain().session(i, 72, 20).recording).unwrap();
    }
    let narrow = pretrain(folder.path(), "kind = \"linear_stitch\"\nn_bins = 50\nd_latent = 2").unwrap_err();
    assert!(narrow.to_string().contains("alignment.n_components"), "{narrow}");
    pretrain(folder.path(), "kind = \"linear_stitch\"\nn_bins = 50\nd_latent = 4").unwrap();
    let text = format!(
        "seed = 5\nsessions = [\"shared-3-2\", \"shared-3-0\"]\n[start]\npretrained = \"{}\"\n[data]\nstore = \"{}\"\n{DATA}\n[train]\n{TRAIN}",
        folder.path().join("pretrain").display(),
        folder.path().join("store").display()
    );
    let config: FinetuneConfig = parse_toml("finetune", &text).unwrap();
    let compute = Compute { device: test_compute_device(), n_threads: 2 };
    let out = folder.path().join("tuned");
    pipeline::finetune(&config, &out, "test", compute, &mut Silent).unwrap();
    let load = |path: &Path| pipeline::load_model(path, test_compute_device()).unwrap();
    let read_in = |path: &Path, session: usize| {
        let (model, _) = load(path);
        let data = &state_dict(&model)[&format!("stitches.{session}.read_in.weight")];
        Array2::from_shape_vec((20, 4), data.iter::<f64>().collect()).unwrap()
    };
    let (_, record) = load(&folder.path().join("pretrain"));
    let shared = record.alignment.clone().unwrap();
    let loaded = neurobrick::load_sessions(&config.data, &config.sessions, 5).unwrap();
    for (session, loaded) in config.sessions.iter().zip(&loaded) {
        let tuned = read_in(&out.join(session.as_str()), 0);
        let wanted = shared.align(&loaded.train).unwrap().read_in;
        let difference = (&tuned.slice(s![.., ..3]) - &wanted).mapv(f64::abs);
        assert!(difference.iter().all(|d| *d < 1e-5), "{session}");
    }
    let (_, tuned) = load(&out.join("shared-3-2"));
    assert_eq!(tuned.alignment, Some(shared));
}

/// The control has the same closed form as the pretrained model, of its own trials alone; a pretrained model brings its own.
#[test]
fn training_from_scratch_starts_from_its_own_conditions() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    store.write(&brain().session(0, 72, 20).recording).unwrap();
    let config = |start: &str| -> FinetuneConfig {
        let text = format!(
            "seed = 5\nsessions = [\"shared-3-0\"]\n{start}\n[data]\nstore = \"{}\"\n{DATA}\n[train]\n{TRAIN}\n\
             [alignment]\ncondition_columns = [\"condition\"]\nn_components = 3\n",
            folder.path().join("store").display()
        );
        parse_toml("finetune", &text).unwrap()
    };
    let compute = Compute { device: test_compute_device(), n_threads: 2 };
    let out = folder.path().join("alone");
    let run = |config: &FinetuneConfig| pipeline::finetune(config, &out, "test", compute, &mut Silent);
    let error = run(&config("[start]\npretrained = \"x\"")).unwrap_err();
    assert!(error.to_string().contains("alignment"), "{error}");
    let scratch = config("[start.scratch]\nkind = \"linear_stitch\"\nn_bins = 50\nd_latent = 4");
    run(&scratch).unwrap();
    let (model, record) = pipeline::load_model(&out.join("shared-3-0"), test_compute_device()).unwrap();
    let loaded = neurobrick::load_sessions(&scratch.data, &scratch.sessions, 5).unwrap();
    let own = SharedConditions::fit(&config_of(&scratch), std::slice::from_ref(&loaded[0].train)).unwrap();
    assert_eq!(record.alignment, Some(own.clone()));
    let wanted = own.align(&loaded[0].train).unwrap().read_in;
    let data = &state_dict(&model)["stitches.0.read_in.weight"];
    let found = Array2::from_shape_vec((20, 4), data.iter::<f64>().collect()).unwrap();
    let difference = (&found.slice(s![.., ..3]) - &wanted).mapv(f64::abs);
    assert!(difference.iter().all(|d| *d < 1e-5));
}

fn config_of(config: &FinetuneConfig) -> AlignmentConfig {
    config.alignment.clone().unwrap()
}

#[test]
fn trials_without_the_column_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store")).unwrap();
    store.write(&synthetic_session(1, 60, 50, 12, 3)).unwrap();
    let error = pretrain(folder.path(), "kind = \"linear_stitch\"\nn_bins = 50\nd_latent = 4").unwrap_err();
    assert!(error.to_string().contains("no trial column `condition`"), "{error}");
}
