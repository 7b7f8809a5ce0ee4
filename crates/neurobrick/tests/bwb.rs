//! The suites of `BrainWideBench` on planted sessions: scores, and files that give the same scores.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use burn::tensor::f16;
use ndarray::{Array3, Axis, s};
use neurobrick::Compute;
use neurobrick::config::{BwbConfig, parse_toml};
use neurobrick::metrics::bwb::ActivityScore;
use neurobrick::pipeline::{self, Silent};
use neurobrick::protocols::{BwbRow, BwbTable, BwbTask};
use neurobrick::random::{Domain, Stream};
use neurobrick_data::{Alignment, SessionData, TrialSplit, hold_out_units};
use neurobrick_schema::{
    Activity, BinnedCounts, Clock, Interval, IntervalTable, Recording, Samples, SessionId, Signal,
    SignalColumn, Store, Trials,
};
use neurobrick_testkit::synthetic_session;
use safetensors::SafeTensors;

const N_TRIALS: usize = 120;

/// Trials of twelve bins every 0.74 s; a signal that follows six units, one that follows nothing, and events where the
/// first two units fire together.
fn planted(seed: u64) -> Recording {
    let recording = synthetic_session(seed, N_TRIALS, 12, 20, 4);
    let Activity::Counts(counts) = recording.activity() else { panic!("counts") };
    let mut draws = Stream::new(seed, Domain::Synthetic, [7, 0, 0]);
    let (mut times_s, mut speed, mut noise, mut events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (trial, interval) in recording.trials().intervals().iter().enumerate() {
        for bin in 0..counts.n_bins() {
            let count = |unit: usize| f64::from(counts.row(trial, unit)[bin]);
            let time_s = interval.start_s + (bin as f64 + 0.5) * counts.bin_size_s();
            times_s.push(time_s);
            speed.push(3.0 + 2.0 * (0..6).map(count).sum::<f64>() + draws.normal());
            noise.push(draws.normal());
            if count(0) + count(1) > 1.0 {
                events.push(Interval::new(time_s, time_s + 0.001).unwrap());
            }
        }
    }
    let column = |name: &str, samples| SignalColumn {
        name: name.to_owned(),
        unit: None,
        description: None,
        samples: Samples::Float(samples),
    };
    let columns = vec![column("speed", speed), column("noise", noise)];
    let mut parts = recording.clone().into_parts();
    parts.signals = vec![Signal::new("wheel", None, Clock::Irregular { times_s }, columns).unwrap()];
    let rows = Trials::new(events, Vec::new()).unwrap();
    parts.intervals = vec![IntervalTable { name: "licks".to_owned(), description: None, rows }];
    Recording::from_parts(parts).unwrap()
}

fn config(store: &Path, more: &str) -> BwbConfig {
    let text = format!(
        "seed = 3\nsessions = [\"synthetic-1\", \"synthetic-2\"]\nregion_fit_sessions = [\"synthetic-3\", \"synthetic-4\"]\n\
         window_s = 0.2\nevents = [{{ name = \"licks\", table = \"licks\" }}]\n\
         labels = [{{ name = \"choice\", column = \"choice\" }}]\n\
         behaviors = [{{ name = \"speed\", signal = \"wheel\", column = \"speed\" }}, \
         {{ name = \"noise\", signal = \"wheel\", column = \"noise\" }}]\n{more}\n[data]\nstore = \"{}\"\n\
         window = {{ start_s = 0.0, end_s = 0.24, bin_size_s = 0.02 }}\n[data.split.order.blocks]\nblock_s = 9.0\n\
         gap_s = 0.8\npattern = [\"train\", \"test\", \"train\", \"valid\", \"test\"]\n",
        store.display()
    );
    parse_toml("bwb", &text).unwrap()
}

fn score<'a>(table: &'a BwbTable, task: &BwbTask, system: &str) -> &'a BwbRow {
    let wanted = |row: &&BwbRow| {
        row.task == *task
            && row.system == system
            && row.session.as_ref().is_some_and(|id| id.as_str() == "synthetic-1")
    };
    table.rows.iter().find(wanted).unwrap()
}

#[test]
fn suites_find_what_is_planted_and_files_give_their_scores() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let opened = Store::create(&store).unwrap();
    for seed in 1..=4 {
        opened.write(&planted(seed)).unwrap();
    }
    let (config, out) = (config(&store, ""), folder.path().join("out"));
    let table = pipeline::brain_wide_bench(&config, &out, "test", Compute::threads(2), &mut Silent).unwrap();
    let value = |task: BwbTask, system: &str| score(&table, &task, system).score.unwrap();
    let behavior = |name: &str| BwbTask::Behavior(name.to_owned());
    // Bounds lie far above chance, which `noise` and `mean` show to stay below 0.05, and below what was planted: of speed all
    // but a variance of 1 follows from counts, whose roots a line reads; licks are a step in them, which no regression
    // follows whole; and single bins of 20 ms are nearly all Poisson noise, so that hidden units are told by hundredths.
    assert!(value(behavior("speed"), "wiener") > 0.6, "{table:?}");
    assert!(value(behavior("speed"), "mean").abs() < 0.05);
    assert!(value(behavior("noise"), "wiener") < 0.05);
    let licks = BwbTask::Events("licks".to_owned());
    assert!(value(licks.clone(), "poisson_regression") > 0.3 && value(licks, "mean").abs() < 0.05);
    assert!(value(BwbTask::CoSmoothing, "reduced_rank") > value(BwbTask::CoSmoothing, "population_coupling"));
    assert!(value(BwbTask::CoSmoothing, "reduced_rank") > 0.02);
    let choice = BwbTask::Classes("choice".to_owned());
    assert!((value(choice, "majority") - 0.5).abs() < 1e-12);
    let systems = |task: BwbTask| table.rows.iter().filter(|row| row.task == task).count();
    assert_eq!(
        (systems(BwbTask::CoSmoothing), systems(BwbTask::Forecasting), systems(BwbTask::Regions)),
        (6, 8, 2)
    );

    // The files alone, against the recording, give the scores in the table.
    let session = SessionId::new("synthetic-1").unwrap();
    let recording = opened.read(&session).unwrap();
    let data = SessionData::new(&recording, &config.data.window).unwrap();
    let split = TrialSplit::of(&data, &config.data.split, 3).unwrap();
    let ids: Vec<&str> = recording.units().iter().map(|unit| unit.id.as_str()).collect();
    let hidden = hold_out_units(&ids, "ts2_co_smoothing_test:", 0.1).unwrap();
    let starts: Vec<f64> = split
        .test
        .iter()
        .flat_map(|&trial| (0..3).map(move |bin| (trial, bin)))
        .map(|(trial, bin)| data.windows()[trial].start_s + f64::from(bin) * 0.02)
        .collect();
    for (task, system) in [("ts2_co_smoothing", "reduced_rank"), ("ts2_forecasting", "autoregression")] {
        let path = out.join("submissions").join(system).join(task).join("synthetic-1/seed_3.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let times = file.tensor("window_start_s").unwrap();
        let times: Vec<f64> =
            times.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        assert_eq!(times, starts);
        let tensor = file.tensor("log_rates").unwrap();
        let [b, t, n] = tensor.shape()[..] else { panic!("{:?}", tensor.shape()) };
        let values: Vec<f64> =
            tensor.data().as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f64()).collect();
        let log_rates = Array3::from_shape_vec((b, t, n), values).unwrap();
        let is_hidden = task == "ts2_co_smoothing";
        assert_eq!((t, n), if is_hidden { (10, 2) } else { (1, 20) });
        let counts = Array3::from_shape_fn((b, 10, 20), |(window, bin, unit)| {
            f64::from(data.counts()[[split.test[window / 3], window % 3 + bin, unit]])
        });
        let counts = if is_hidden { counts.select(Axis(2), &hidden) } else { counts };
        let found = ActivityScore::new(&log_rates.view(), &counts.slice(s![.., 10 - t.., ..])).unwrap();
        let task = if is_hidden { BwbTask::CoSmoothing } else { BwbTask::Forecasting };
        let row = score(&table, &task, system);
        assert!((found.poisson_d2 - row.score.unwrap()).abs() < 1e-12, "{row:?}");
        assert!((found.bits_per_spike - row.bits_per_spike.unwrap()).abs() < 1e-12, "{row:?}");
    }
    let text = std::fs::read_to_string(out.join("bwb.md")).unwrap();
    for title in
        ["ts1_speed", "ts1_licks", "ts1_choice", "ts2_co_smoothing", "ts2_forecasting", "ts3_regions"]
    {
        assert!(text.contains(&format!("\n## {title}\n")), "{text}");
    }
    let again = pipeline::brain_wide_bench(
        &config,
        &folder.path().join("again"),
        "test",
        Compute::threads(1),
        &mut Silent,
    )
    .unwrap();
    assert_eq!(again, table, "one thread gives other bits");
}

/// The same session with the spikes of some units taken away.
fn silenced(recording: &Recording, is_silent: impl Fn(usize) -> bool) -> Recording {
    let mut parts = recording.clone().into_parts();
    let Activity::Counts(counts) = recording.activity() else { panic!("counts") };
    let n_units = recording.units().len();
    let values = (0..N_TRIALS)
        .flat_map(|trial| (0..n_units).map(move |unit| (trial, unit)))
        .flat_map(|(trial, unit)| {
            counts.row(trial, unit).iter().map(|&n| if is_silent(unit) { 0 } else { n }).collect::<Vec<_>>()
        })
        .collect();
    let silent = BinnedCounts::new(counts.bin_size_s(), N_TRIALS, n_units, counts.n_bins(), values).unwrap();
    parts.activity = Activity::Counts(silent);
    Recording::from_parts(parts).unwrap()
}

fn renamed(recording: &Recording, name: &str) -> Recording {
    let mut parts = recording.clone().into_parts();
    parts.info.session = SessionId::new(name).unwrap();
    Recording::from_parts(parts).unwrap()
}

/// One session whose hidden units are silent and one without a spike, among those that are scored and those that teach
/// regions: their rows say why, and the others keep theirs.
#[test]
fn a_session_that_cannot_be_scored_leaves_the_others_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let opened = Store::create(&store).unwrap();
    for seed in 1..=4 {
        let recording = planted(seed);
        let ids: Vec<&str> = recording.units().iter().map(|unit| unit.id.as_str()).collect();
        let hidden = hold_out_units(&ids, "ts2_co_smoothing_test:", 0.1).unwrap();
        let recording = match seed {
            2 => silenced(&recording, |unit| hidden.contains(&unit)),
            _ => recording,
        };
        opened.write(&recording).unwrap();
    }
    opened.write(&renamed(&silenced(&planted(1), |_| true), "silent")).unwrap();
    opened.write(&renamed(&silenced(&planted(1), |_| true), "silent-too")).unwrap();
    let mut config = config(&store, "");
    (config.behaviors, config.events, config.labels) = (Vec::new(), Vec::new(), Vec::new());
    let run = |config: &BwbConfig, out: &str| {
        pipeline::brain_wide_bench(config, &folder.path().join(out), "test", Compute::threads(2), &mut Silent)
            .unwrap()
    };
    let plain = run(&config, "plain");
    config.sessions.insert(0, SessionId::new("silent").unwrap());
    config.region_fit_sessions.insert(0, SessionId::new("silent-too").unwrap());
    let table = run(&config, "more");

    let of = |table: &BwbTable, task: &BwbTask, session: Option<&str>| -> Vec<BwbRow> {
        let is_of =
            |row: &&BwbRow| row.task == *task && row.session.as_ref().map(SessionId::as_str) == session;
        table.rows.iter().filter(is_of).cloned().collect()
    };
    for (session, task, n) in [
        ("synthetic-2", BwbTask::CoSmoothing, 3),
        ("silent", BwbTask::CoSmoothing, 3),
        ("silent", BwbTask::Forecasting, 4),
    ] {
        let rows = of(&table, &task, Some(session));
        assert_eq!(rows.len(), n, "{rows:?}");
        assert!(rows.iter().all(|row| row.score.is_none() && row.undefined.is_some()), "{rows:?}");
    }
    for (session, task) in [
        (Some("synthetic-1"), BwbTask::CoSmoothing),
        (Some("synthetic-1"), BwbTask::Forecasting),
        (Some("synthetic-2"), BwbTask::Forecasting),
        (None, BwbTask::Regions),
    ] {
        let rows = of(&table, &task, session);
        assert_eq!(rows, of(&plain, &task, session));
        assert!(rows.len() > 1 && rows.iter().all(|row| row.score.is_some()), "{rows:?}");
    }
}

#[test]
fn settings_that_make_no_benchmark_are_refused() {
    let check = |change: &dyn Fn(&mut BwbConfig), part: &str| {
        let mut changed = config(Path::new("none"), "");
        changed.validate().unwrap();
        change(&mut changed);
        let error = changed.validate().unwrap_err();
        assert!(error.to_string().contains(part) && error.exit_code() == 2, "{error}");
    };
    check(&|c| c.data.split.order = neurobrick_data::SplitOrder::Random, "the benchmark's are 300 s long");
    check(&|c| c.window_s = 0.3, "from 2 to the interval's 12 bins");
    check(&|c| c.stride_bins = 0, "`stride_bins`");
    check(&|c| c.region_fit_sessions.push(c.sessions[0].clone()), "cannot do both");
    check(&|c| c.sessions.push(c.sessions[0].clone()), "`sessions`: synthetic-1 is named twice");
    let again = |c: &mut BwbConfig| c.region_fit_sessions.push(c.region_fit_sessions[0].clone());
    check(&again, "`region_fit_sessions`: synthetic-3 is named twice");
    check(&|c| c.behaviors[1].max_gap_s = 0.0, "`behaviors.max_gap_s`: must be a positive");
    check(&|c| c.data.window.align = Alignment::Every(0.2), "`data.window.align.every`: is 0.2 s");
    check(&|c| c.behaviors[0].name = "a/b".to_owned(), "names files");
    check(&|c| c.labels[0].name = "licks".to_owned(), "`licks` is taken");
    let model = "models = [{ name = \"ours\", path = \"m\" }]";
    let error = config(Path::new("none"), model).validate().unwrap_err();
    assert!(error.to_string().contains("models read intervals of 12 bins, not windows of 10"), "{error}");
    let with_model = |name: &str| {
        let model = format!("models = [{{ name = \"{name}\", path = \"m\" }}]");
        BwbConfig { window_s: 0.24, ..config(Path::new("none"), &model) }
    };
    for name in
        ["reduced_rank", "shrinkage", "mean_rate", "majority", "mean", "wiener", "discriminant", "all"]
    {
        let error = with_model(name).validate().unwrap_err().to_string();
        assert!(error.contains(&format!("`models.name`: `{name}` is the name of a baseline")), "{error}");
    }
    // A model may be called as a target is, whose name stands elsewhere.
    with_model("speed").validate().unwrap();
    let mut twice = with_model("ours");
    twice.models.push(twice.models[0].clone());
    assert!(twice.validate().unwrap_err().to_string().contains("`ours` is taken"));
    let mut apart = config(Path::new("none"), "");
    apart.data.window.align = Alignment::Every(0.24);
    apart.validate().unwrap();
}
