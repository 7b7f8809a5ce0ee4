//! A trained model folder answers bin by bin, with a decoder fitted for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use neurobrick::config::{DataConfig, DecodeTarget, FinetuneConfig, parse_toml};
use neurobrick::pipeline::{self, DecoderQuestion, Pace, Silent, StreamLatency};
use neurobrick::schema::{ColumnValues, SessionId, Store};
use neurobrick::stream::{Precision, StreamSizes};
use neurobrick::{Compute, load_sessions};
use neurobrick_testkit::synthetic_session;

const SEED: u64 = 5;

/// A model trained for a moment on one synthetic session; its folder and data.
fn trained(folder: &Path) -> (PathBuf, DataConfig, SessionId) {
    let store = Store::create(folder.join("store")).unwrap();
    store.write(&synthetic_session(3, 60, 20, 18, 3)).unwrap();
    let text = format!(
        "seed = {SEED}\nsessions = [\"synthetic-3\"]\n\
         [start.scratch]\nkind = \"ndt_stitch\"\nn_bins = 20\nd_stitch = 8\nd_embed = 16\nd_model = 8\nn_layers = 1\n\
         n_heads = 2\nd_mlp = 16\ndropout_embed = 0.1\ndropout = 0.1\n\
         [data]\nstore = \"{}\"\nwindow = {{ start_s = 0.0, end_s = 0.4, bin_size_s = 0.02 }}\n\
         [train]\nn_steps = 30\nvalid_every = 10\ncheckpoint_every = 10\nclip_norm = 1.0\nschedule = {{ max_lr = 1e-3 }}\n",
        folder.join("store").display()
    );
    let config: FinetuneConfig = parse_toml("finetune", &text).unwrap();
    pipeline::finetune(&config, &folder.join("tuned"), "test", Compute::threads(2), &mut Silent).unwrap();
    (folder.join("tuned/synthetic-3"), config.data, SessionId::new("synthetic-3").unwrap())
}

fn choice() -> DecodeTarget {
    let [column, positive, negative] = ["choice", "right", "left"].map(str::to_owned);
    DecodeTarget::Category { name: "choice".to_owned(), column, positive, negative }
}

#[test]
fn decoded_bins_score_as_the_fit_says() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data, session) = trained(folder.path());
    let target = choice();
    let question = DecoderQuestion { model: &model, session: &session, target: &target, bins_per_trial: 4 };
    let fitted = pipeline::fit_decoder(&question, &data, SEED, 2).unwrap();
    assert_eq!((fitted.n_fit, fitted.n_test), (48, 12), "a fifth of 60 trials is for the test");
    assert_eq!(fitted.decoder.outputs, ["left", "right"]);

    // By way of a file, as the command line goes.
    let path = folder.path().join("choice.json");
    std::fs::write(&path, serde_json::to_vec(&fitted.decoder).unwrap()).unwrap();
    let decoder = pipeline::load_decoder(&path).unwrap();
    assert_eq!(decoder, fitted.decoder);

    let loaded = load_sessions(&data, std::slice::from_ref(&session), SEED).unwrap();
    let (windows, split) = (&loaded[0].train.data, &loaded[0].train.split);
    let Some(ColumnValues::Text(choices)) = windows.trials().column("choice").map(|c| &c.values) else {
        panic!("choices are text");
    };
    let mut stream = pipeline::open_stream(&model, None, Precision::F32, &[decoder]).unwrap();
    let (mut n_right, mut n_right_last) = (0, 0);
    for &trial in &split.test {
        stream.begin_window();
        let is_right = choices[windows.trial_idx()[trial]].as_deref() == Some("right");
        let mut is_last_right = false;
        for bin in windows.counts().index_axis(ndarray::Axis(0), trial).rows() {
            let answer = stream.predict_bin(&bin.to_vec()).unwrap();
            let [left, right] = answer.behavior[0].values() else { panic!("two classes") };
            is_last_right = (right > left) == is_right;
            n_right += usize::from(is_last_right);
        }
        n_right_last += usize::from(is_last_right);
    }
    assert!((n_right as f64 / 240.0 - fitted.all_bins).abs() < 1e-12, "{n_right}, {}", fitted.all_bins);
    assert!((n_right_last as f64 / 12.0 - fitted.last_bin.accuracy).abs() < 1e-12, "{n_right_last}");
}

#[test]
fn what_cannot_be_streamed_or_fitted_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data, session) = trained(folder.path());
    let target = choice();
    let fit = |bins_per_trial, seed| {
        let question = DecoderQuestion { model: &model, session: &session, target: &target, bins_per_trial };
        pipeline::fit_decoder(&question, &data, seed, 2).unwrap_err().to_string()
    };
    assert!(fit(0, SEED).contains("1..=20, received 0"));
    assert!(fit(21, SEED).contains("1..=20, received 21"));
    // Another seed is another split: training trials would be scored as test trials.
    assert!(fit(4, SEED + 1).contains("`seed`"));

    let other = SessionId::new("synthetic-9").unwrap();
    let error = pipeline::open_stream(&model, Some(&other), Precision::F32, &[]).unwrap_err().to_string();
    assert!(error.contains("synthetic-9") && error.contains("synthetic-3"), "{error}");
    let path = folder.path().join("broken.json");
    std::fs::write(&path, "{\"name\": 3}").unwrap();
    let error = pipeline::load_decoder(&path).unwrap_err().to_string();
    assert!(error.contains("broken.json"), "{error}");
}

#[test]
fn latencies_are_ordered_and_need_enough_bins() {
    let sizes = StreamSizes {
        n_units: 10,
        n_bins: 8,
        d_stitch: 8,
        d_embed: 8,
        d_model: 8,
        n_layers: 1,
        n_heads: 1,
        d_mlp: 8,
    };
    let mut stream = pipeline::random_stream(&sizes, Precision::Int8, 1).unwrap();
    let pause = Duration::from_millis(1);
    for (pace, pause_ms, kept_warm) in
        [(Pace::BackToBack, 0, false), (Pace::Asleep(pause), 1, false), (Pace::Warm(pause), 1, true)]
    {
        let started = Instant::now();
        let found = StreamLatency::measure(&mut stream, 150, pace, 1).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(150 * pause_ms), "the pauses were not kept");
        assert!(
            0.0 < found.p50_us && found.p50_us <= found.p99_us && found.p99_us <= found.max_us,
            "{found:?}"
        );
        assert_eq!((found.precision, found.n_bins, found.n_units), (Precision::Int8, 150, 10));
        assert_eq!((found.pause_ms, found.kept_warm), (pause_ms, kept_warm));
    }
    let error = StreamLatency::measure(&mut stream, 99, Pace::BackToBack, 1).unwrap_err().to_string();
    assert!(error.contains("at least 100 bins, received 99"), "{error}");
}
