//! Audits, decoding and scaling curves on real sessions and small models: what they find, write and refuse.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array3;
use neurobrick::PipelineError;
use neurobrick::config::{AuditConfig, DecodeConfig, ScaleConfig, ScoringConfig, load, parse_toml};
use neurobrick::evaluation::{ModelPredictions, evaluate_session};
use neurobrick::metrics::IntervalMethod;
use neurobrick::metrics::audit::{Check, Outcome};
use neurobrick::pipeline::{self, Observer, Progress, Silent};
use neurobrick::random::{Domain, Stream};
use neurobrick::scaling::ScalePoint;
use neurobrick_data::{
    Alignment, BlockConfig, Part, SessionData, SplitConfig, SplitOrder, TrialSplit, WindowConfig,
};
use neurobrick_schema::{
    Activity, Clock, Interval, Recording, Samples, Signal, SignalColumn, Spikes, Store, Trials,
};
use neurobrick_testkit::synthetic_session;
use neurobrick_train::{EvalTask, TaskPlan, TrainSession};

const FIRST: &str = "session14_Lederberg_2017-12-07";
const SECOND: &str = "session01_Cori_2016-12-14";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn recordings() -> PathBuf {
    root().join("fixtures/recordings/steinmetz2019-binned")
}

#[test]
fn the_shipped_audit_fails_the_planted_leak_and_passes_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let mut config: AuditConfig = load(&root().join("fixtures/configs/audit.toml")).unwrap();
    config.n_shuffles = 60;
    for table in &mut config.tables {
        table.path = root().join(&table.path);
    }
    let found = pipeline::audit(&config, folder.path(), "test", 2, &mut Silent).unwrap();
    assert_eq!(found.failed(), ["number of the run from EEG, random windows"]);
    let flicker = &found.audits[1].report;
    assert!(flicker.outcome() == Outcome::Pass && flicker.score > 0.95, "{flicker:?}");
    let text = std::fs::read_to_string(folder.path().join("audit.md")).unwrap();
    assert!(text.contains("| nuisance alone | FAIL | run alone decodes the label at 1.000"), "{text}");
    let written: neurobrick::auditing::AuditResult =
        serde_json::from_slice(&std::fs::read(folder.path().join("audit.json")).unwrap()).unwrap();
    assert_eq!(written.audits.len(), 2);

    let mut broken = config.clone();
    broken.tables[0].label = "is_even".to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let error = pipeline::audit(&broken, elsewhere.path(), "test", 2, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("no column `is_even`; it has: run, is_odd"), "{error}");
}

/// Rows on neither side of a `column` split are as if they were not in the file, whatever their cells hold.
#[test]
fn rows_on_neither_side_of_a_split_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let audit = |name: &str, extra: &str| {
        let mut text = String::from("run,label,start_s,end_s,x,y,part\n");
        for row in 0..60 {
            let part = if row % 3 == 0 { "test" } else { "train" };
            let x = f64::from(row * 7 % 11) + f64::from(row % 2) * 6.0;
            writeln!(text, "{},{},{row},{}.5,{x},{},{part}", row / 20, row % 2, row, row * 5 % 13).unwrap();
            text.push_str(extra);
        }
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let config: AuditConfig = parse_toml(
            "audit",
            &format!(
                "seed = 1\nn_shuffles = 50\n[[tables]]\nname = \"table\"\npath = \"{}\"\nlabel = \"label\"\n\
                 group = \"run\"\nspan = [\"start_s\", \"end_s\"]\nfeatures = [\"x\", \"y\"]\n\
                 split = {{ column = {{ name = \"part\" }} }}\n",
                path.display()
            ),
        )
        .unwrap();
        pipeline::audit(&config, &folder.path().join(format!("{name}-audit")), "test", 2, &mut Silent)
    };
    let clean = audit("clean.csv", "").unwrap();
    assert_eq!(clean.audits[0].report.n_rows, [40, 20]);
    assert_eq!(audit("more.csv", "elsewhere,2,0,1,9,9,unused\nelsewhere,1,0,1,missing,,\n").unwrap(), clean);
    let error = audit("broken.csv", "0,1,0,1,9,9,unused\n0,1,0,1,missing,9,test\n").unwrap_err();
    assert!(error.to_string().contains("row 3 of column `x` is `missing`"), "{error}");
}

/// Trials that reach into each other, with windows that do not: an audit asks the windows, which hold the spikes.
#[test]
fn windows_are_audited_not_trials() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut parts = synthetic_session(6, 60, 12, 8, 2).into_parts();
    let longer = |interval: &Interval| Interval::new(interval.start_s, interval.end_s + 3.0).unwrap();
    let intervals = parts.trials.intervals().iter().map(longer).collect();
    parts.trials = Trials::new(intervals, parts.trials.columns().to_vec()).unwrap();
    Store::create(&store).unwrap().write(&Recording::from_parts(parts).unwrap()).unwrap();
    let text = format!(
        "seed = 1\nn_shuffles = 50\n[[sessions]]\nsessions = [\"synthetic-6\"]\n\
         label = {{ category = {{ name = \"choice\", column = \"choice\", positive = \"right\", negative = \"left\" }} }}\n\
         data = {{ store = \"{}\", window = {{ start_s = 0.0, end_s = 0.24, bin_size_s = 0.02 }} }}\n",
        store.display()
    );
    let config: AuditConfig = parse_toml("audit", &text).unwrap();
    let found = pipeline::audit(&config, &folder.path().join("out"), "test", 2, &mut Silent).unwrap();
    let overlaps = found.audits[0].report.finding(Check::OverlappingWindows).unwrap();
    assert_eq!(overlaps.outcome, Outcome::Pass, "{overlaps:?}");
}

/// The stimulus tells its own side, which is what a table of stimuli shows; time and vigor do not.
#[test]
fn labels_of_a_session_are_audited_and_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let ingested = pipeline::ingest(&[recordings()], &store, &mut Silent).unwrap();
    assert!(ingested.is_complete());
    let side = "{ larger = { name = \"side\", first = \"contrast_right\", second = \"contrast_left\" } }";
    let data = format!(
        "data = {{ store = \"{}\", window = {{ start_s = 0.0, end_s = 0.4, bin_size_s = 0.04 }} }}\n",
        store.display()
    );
    let audit: AuditConfig = parse_toml(
        "audit",
        &format!(
            "seed = 42\nn_shuffles = 60\n[[sessions]]\nsessions = [\"{SECOND}\"]\nlabel = {side}\n\
             stimulus_columns = [\"contrast_left\", \"contrast_right\"]\n{data}"
        ),
    )
    .unwrap();
    let found = pipeline::audit(&audit, &folder.path().join("audit"), "test", 2, &mut Silent).unwrap();
    let report = &found.audits[0].report;
    assert_eq!(report.finding(Check::RepeatedStimuli).unwrap().outcome, Outcome::Warning);
    assert_eq!(report.finding(Check::SharedTrials).unwrap().outcome, Outcome::Pass);
    assert!(report.score > 0.6, "{}", report.score);

    let decode: DecodeConfig = parse_toml(
        "decode",
        &format!(
            "seed = 42\nsessions = [\"{SECOND}\"]\nn_shuffles = 20\nn_resamples = 200\nlabels = [{side}]\n{data}"
        ),
    )
    .unwrap();
    let out = folder.path().join("decode");
    let found = pipeline::decode(&decode, &out, "test", 2, &mut Silent).unwrap();
    assert_eq!(found.rows.len(), 4, "two features, two decoders");
    for row in &found.rows {
        let score = row.score.as_ref().unwrap();
        assert!((score.baseline().value - 0.5).abs() < 1e-12);
        assert!((score.null().mean - 0.5).abs() < 0.15, "{row:?}");
        assert!(score.interval().lo < score.value() && score.value() < score.interval().hi, "{row:?}");
    }
    let session = &found.rows[0].session;
    let (_, _, best) = found.best(session, "side").unwrap();
    assert!(best > 0.65, "{best}");
    let text = std::fs::read_to_string(out.join("decode.md")).unwrap();
    assert!(text.contains(&format!("## side of {SECOND}")), "{text}");
}

/// A signal that follows six units is decoded from them, one that follows nothing is not.
#[test]
fn behavior_is_decoded_bin_by_bin_against_shifted_trials() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let session = with_signals(&synthetic_session(5, 80, 12, 20, 4));
    Store::create(&store).unwrap().write(&session).unwrap();
    let text = format!(
        "seed = 1\nsessions = [\"synthetic-5\"]\nfeatures = [\"raw_counts\", \"temporal_factors\"]\nn_shuffles = 20\n\
         n_resamples = 100\nbehaviors = [{{ name = \"follows\", signal = \"wheel\", column = \"speed\" }}, \
         {{ name = \"noise\", signal = \"wheel\", column = \"noise\" }}]\n\
         data = {{ store = \"{}\", window = {{ start_s = 0.0, end_s = 0.24, bin_size_s = 0.02 }} }}\n",
        store.display()
    );
    let config: DecodeConfig = parse_toml("decode", &text).unwrap();
    let found = pipeline::decode(&config, &folder.path().join("out"), "test", 2, &mut Silent).unwrap();
    assert_eq!(found.rows.len(), 20, "two behaviors, two features, five decoders");
    for row in &found.rows {
        let score = row.score.as_ref().unwrap_or_else(|| panic!("{row:?}"));
        if row.target == "noise" {
            assert!(score.value() < 0.05, "{row:?}");
        } else if row.feature == "raw_counts" && row.decoder != "kalman" {
            assert!(score.value() > 0.5 && score.null().p_value < 0.05, "{row:?}");
            assert!(score.value() > score.baseline().value + 0.3, "{row:?}");
        } else {
            assert!(score.value() > 0.1, "{row:?}");
        }
    }
    let unknown = text.replace("column = \"noise\"", "column = \"nose\"");
    let config: DecodeConfig = parse_toml("decode", &unknown).unwrap();
    let error = pipeline::decode(&config, &folder.path().join("other"), "test", 2, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("no signal wheel, column nose; there are: speed, noise"), "{error}");
}

/// Remembers the lines that should stay on the screen.
#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn progress(&mut self, _progress: &Progress) {}
    fn note(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

/// Half a second without samples is no straight line: the trials in it are left out, unless a longer gap is allowed.
#[test]
fn behavior_is_not_made_up_across_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    // Trials start every 0.74 s; the signal is sampled every 10 ms, but not from 8 to 9.5 s.
    let mut parts = synthetic_session(5, 80, 12, 20, 4).into_parts();
    let times_s: Vec<f64> =
        (0..6000).map(|i| f64::from(i) / 100.0).filter(|t| !(8.0..9.5).contains(t)).collect();
    let velocity = times_s.iter().map(|t| (9.0 * t).sin()).collect();
    let column = SignalColumn {
        name: "velocity".to_owned(),
        unit: None,
        description: None,
        samples: Samples::Float(velocity),
    };
    parts.signals = vec![Signal::new("wheel", None, Clock::Irregular { times_s }, vec![column]).unwrap()];
    let recording = Recording::from_parts(parts).unwrap();
    let in_gap = recording.trials().intervals().iter().filter(|i| i.end_s > 8.0 && i.start_s < 9.5).count();
    Store::create(&store).unwrap().write(&recording).unwrap();
    let notes = |rule: &str, name: &str| {
        let text = format!(
            "seed = 1\nsessions = [\"synthetic-5\"]\nfeatures = [\"raw_counts\"]\nn_shuffles = 20\nn_resamples = 100\n\
             behaviors = [{{ name = \"speed\", signal = \"wheel\", column = \"velocity\", absolute = true, {rule} }}]\n\
             data = {{ store = \"{}\", window = {{ start_s = 0.0, end_s = 0.24, bin_size_s = 0.02 }} }}\n",
            store.display()
        );
        let config: DecodeConfig = parse_toml("decode", &text).unwrap();
        let mut notes = Notes::default();
        let found = pipeline::decode(&config, &folder.path().join(name), "test", 2, &mut notes).unwrap();
        assert!(found.rows.iter().all(|row| row.score.is_some()), "{found:?}");
        notes.0
    };
    let left = format!("synthetic-5: speed covers every bin of {} of 80 trials", 80 - in_gap);
    assert!((2..=3).contains(&in_gap), "{in_gap}");
    for (rule, name) in [("rule = \"mean\"", "mean"), ("rule = \"linear\"", "linear")] {
        assert_eq!(notes(rule, name).join("|"), left, "{name}");
    }
    assert!(notes("rule = \"linear\", max_gap_s = 2.0", "bridged").is_empty());
}

#[test]
fn names_of_targets_and_features_are_told_apart() {
    let check = |lines: &str, field: &str, part: &str| {
        let text = format!(
            "seed = 1\nsessions = [\"a\"]\n{lines}\n[data]\nstore = \"none\"\n\
             window = {{ start_s = 0.0, end_s = 0.24, bin_size_s = 0.02 }}\n"
        );
        let config: DecodeConfig = parse_toml("decode", &text).unwrap();
        let error = config.validate().unwrap_err();
        assert!(matches!(&error, PipelineError::BadValue { field: f, .. } if f == field), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    let label = "{ larger = { name = \"side\", first = \"a\", second = \"b\" } }";
    let behavior = |name: &str| format!("{{ name = \"{name}\", signal = \"wheel\", column = \"v\" }}");
    let model = |name: &str| format!("{{ name = \"{name}\", path = \"m\" }}");
    check(&format!("labels = [{label}, {label}]"), "labels", "`side`");
    check(&format!("labels = [{label}]\nbehaviors = [{}]", behavior("side")), "labels", "`side`");
    check(&format!("behaviors = [{0}, {0}]", behavior("speed")), "labels", "`speed`");
    let models = |a: &str, b: &str| format!("labels = [{label}]\nmodels = [{}, {}]", model(a), model(b));
    check(&models("ours", "ours"), "models", "`ours`");
    check(
        &format!("{}\nfeatures = [\"raw_counts\"]", models("ours", "temporal_factors")),
        "models",
        "`temporal_f",
    );
    check(
        &format!("labels = [{label}]\nfeatures = [\"raw_counts\", \"raw_counts\"]"),
        "features",
        "listed twice",
    );
    let gap = behavior("speed").replace('}', ", max_gap_s = 0.0 }");
    check(&format!("behaviors = [{gap}]"), "behaviors.max_gap_s", "received 0");
}

/// Windows that slide by a fifth of their length see each spike five times: they are resampled in clusters.
#[test]
fn intervals_of_sliding_windows_resample_clusters() {
    let mut draws = Stream::new(2, Domain::Synthetic, [0, 0, 0]);
    let mut interval = |every_s: f64| {
        let mut parts = synthetic_session(7, 4, 2, 3, 2).into_parts();
        let times: Vec<f64> = (0..6000).map(|_| draws.uniform_in(0.0, 400.0)).collect();
        let units = (0..6000).map(|spike| spike % 3).collect();
        parts.activity = Activity::Spikes(Spikes::from_unsorted(times, units).unwrap());
        let align = Alignment::Every(every_s);
        let window = WindowConfig { align, start_s: 0.0, end_s: 1.0, bin_size_s: 0.1 };
        let data = SessionData::new(&Recording::from_parts(parts).unwrap(), &window).unwrap();
        let pattern = vec![Part::Train, Part::Valid, Part::Test];
        let order = SplitOrder::Blocks(BlockConfig { block_s: 40.0, gap_s: 0.0, pattern });
        let split = TrialSplit::of(&data, &SplitConfig { order, ..SplitConfig::default() }, 1).unwrap();
        let session = TrainSession::new(Arc::new(data), split).unwrap();
        let scoring = ScoringConfig {
            tasks: vec![EvalTask::ForwardPrediction],
            baselines: false,
            with_linear: false,
            n_resamples: 200,
            ..ScoringConfig::default()
        };
        let flat = |plan: &TaskPlan, trials: &[usize]| {
            let n_bins = 10 - plan.first_bin;
            Ok(Array3::from_shape_fn((trials.len(), n_bins, plan.units.len()), |(b, ..)| {
                0.4 + 0.01 * (b % 7) as f64
            }))
        };
        let mut models =
            [ModelPredictions { name: "flat".to_owned(), is_pretrained: false, predict: Box::new(flat) }];
        let found = evaluate_session(&session, &mut models, &[], &scoring, 1, |_| {}).unwrap();
        *found.tasks[0].predictors[0].scores[0].score.as_ref().unwrap().interval()
    };
    assert_eq!(interval(1.0).method, IntervalMethod::TrialBootstrap);
    assert_eq!(interval(0.2).method, IntervalMethod::GroupBootstrap);
}

/// The recording with a signal of two columns, two samples per bin: the counts of six units, and noise.
fn with_signals(recording: &Recording) -> Recording {
    let Activity::Counts(counts) = recording.activity() else { panic!("counts") };
    let mut draws = Stream::new(9, Domain::Synthetic, [0, 0, 0]);
    let (mut times_s, mut speed, mut noise) = (Vec::new(), Vec::new(), Vec::new());
    for (trial, interval) in recording.trials().intervals().iter().enumerate() {
        for bin in 0..counts.n_bins() {
            let sum: f64 = (0..6).map(|unit| f64::from(counts.row(trial, unit)[bin])).sum();
            for part in [0.25, 0.75] {
                times_s.push(interval.start_s + (bin as f64 + part) * counts.bin_size_s());
                speed.push(sum + 0.5 * draws.normal());
                noise.push(draws.normal());
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
    let signal = Signal::new("wheel", None, Clock::Irregular { times_s }, columns).unwrap();
    let mut parts = recording.clone().into_parts();
    parts.signals = vec![signal];
    Recording::from_parts(parts).unwrap()
}

/// A ladder of tiny models along `axis`, evaluated on one session.
fn ladder(axis: &str) -> String {
    let train = "n_steps = 10\nvalid_every = 5\ncheckpoint_every = 10\n";
    format!(
        "seed = 3\nrecordings = [\"{}\"]\npool = [\"{FIRST}\", \"session16_Lederberg_2017-12-09\"]\nevaluate = [\"{SECOND}\"]\n\
         axis = {{ {axis} }}\nrepeats = 2\n\
         targets = [{{ task = \"co_smoothing_group\", bits_per_spike = 9.0 }}]\n\
         window = {{ start_s = 0.0, end_s = 0.4, bin_size_s = 0.04 }}\n\
         [model]\nkind = \"ndt_stitch\"\nn_bins = 10\nd_stitch = 8\nd_embed = 16\nd_model = 8\nn_layers = 1\nn_heads = 2\n\
         d_mlp = 16\ndropout_embed = 0.1\ndropout = 0.1\n[pretrain]\n{train}[finetune]\n{train}[from_scratch]\n{train}\
         [scoring]\ntasks = [\"co_smoothing_group\"]\nn_resamples = 100\n",
        recordings().display()
    )
}

#[test]
fn a_ladder_is_climbed_paired_with_its_control_and_drawn() {
    let text = ladder("sessions = [1, 2]");
    let config: ScaleConfig = parse_toml("scale", &text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("scale");
    let found = pipeline::scale(&config, &out, "test", 2, &mut Silent).unwrap();
    assert_eq!(found.points.len(), 5, "a control, and two sizes twice");
    let laws = &found.laws[0];
    assert_eq!(laws.task, EvalTask::CoSmoothingGroup);
    assert_eq!(
        laws.steps.iter().map(|step| (step.size, step.n_better[0])).collect::<Vec<_>>(),
        [(1, 2), (2, 2)]
    );
    for step in &laws.steps {
        assert!(
            (step.mean - step.control - step.gain).abs() < 1e-12,
            "one session: the mean gain is the gain"
        );
    }
    let (name, best) = laws.baseline.as_ref().unwrap();
    assert!(*best > laws.steps[0].control, "ten steps do not beat {name}");
    assert!(laws.steps.iter().all(|step| step.interval.is_none()), "one session gives no interval");
    assert!(found.points.iter().all(|point| point.saturated > point.bits_per_spike + 1.0));
    assert!(laws.line.is_some() && laws.power.is_none() && !laws.left_out.is_empty());
    assert_eq!(laws.answers.len(), 1);
    let figure = std::fs::read_to_string(out.join("scale.svg")).unwrap();
    assert!(figure.contains("co smoothing group") && figure.matches("<circle").count() == 2);
    // A finished run is read, not repeated.
    let before = std::fs::metadata(out.join("repeat-1/size-2/scores.json")).unwrap().modified().unwrap();
    assert_eq!(pipeline::scale(&config, &out, "test", 2, &mut Silent).unwrap(), found);
    let after = std::fs::metadata(out.join("repeat-1/size-2/scores.json")).unwrap().modified().unwrap();
    assert_eq!(before, after);

    let seen =
        text.replace("evaluate = [\"session01_Cori_2016-12-14\"]", &format!("evaluate = [\"{FIRST}\"]"));
    let config: ScaleConfig = parse_toml("scale", &seen).unwrap();
    let error = pipeline::scale(&config, &out, "test", 2, &mut Silent).unwrap_err();
    assert!(matches!(&error, PipelineError::BadValue { field, .. } if field == "evaluate"), "{error}");
}

/// Sizes of the model in a run folder.
fn model_of(path: &Path) -> neurobrick::models::NdtStitchConfig {
    let (_, record) = pipeline::load_model(path).unwrap();
    let neurobrick::models::ModelConfig::NdtStitch(config) = record.config else { panic!("{record:?}") };
    config
}

#[test]
fn a_width_is_paired_with_a_control_of_its_own() {
    let config: ScaleConfig = parse_toml("scale", &ladder("width = [4, 8]")).unwrap();
    let config = ScaleConfig { repeats: 1, ..config };
    let folder = tempfile::tempdir().unwrap();
    let found = pipeline::scale(&config, folder.path(), "test", 2, &mut Silent).unwrap();
    for size in [4, 8] {
        let widths = ["from-scratch", "repeat-0"].map(|root| {
            let tuned = format!("{root}/size-{size}/fine_tuned/{SECOND}");
            let model = model_of(&folder.path().join(tuned));
            (model.d_model, model.d_mlp)
        });
        assert_eq!(widths, [(size, 2 * size); 2], "a control has the width of what it is paired with");
        let of = |is_control| {
            let is_it = |p: &&ScalePoint| p.size == size && p.is_control == is_control;
            found.points.iter().find(is_it).unwrap().bits_per_spike
        };
        let step = found.laws[0].steps.iter().find(|step| step.size == size).unwrap();
        assert!((step.gain - (of(false) - of(true))).abs() < 1e-12, "{step:?}");
    }
    assert!(found.laws[0].steps[0].control.to_bits() != found.laws[0].steps[1].control.to_bits());
}

#[test]
fn trials_of_pretraining_are_what_the_axis_says() {
    let config: ScaleConfig = parse_toml("scale", &ladder("trials = [8, 16]")).unwrap();
    let config = ScaleConfig { repeats: 1, ..config };
    let folder = tempfile::tempdir().unwrap();
    let found = pipeline::scale(&config, folder.path(), "test", 2, &mut Silent).unwrap();
    assert_eq!(found.points.len(), 3, "one control serves both sizes");
    for size in [8, 16] {
        let path = folder.path().join(format!("repeat-0/size-{size}/pretrain"));
        let (_, record) = pipeline::load_model(&path).unwrap();
        assert_eq!(record.trained_on.len(), 2);
        for trained in &record.trained_on {
            let part = trained.part.as_ref().unwrap();
            assert_eq!(part.split.max_calibration, Some(size), "{}", trained.session);
        }
        let tuned = folder.path().join(format!("repeat-0/size-{size}/fine_tuned/{SECOND}"));
        let (_, record) = pipeline::load_model(&tuned).unwrap();
        let own = record.trained_on.iter().find(|trained| trained.session.as_str() == SECOND).unwrap();
        assert_eq!(
            own.part.as_ref().unwrap().split.max_calibration,
            None,
            "it is fine-tuned on all of its trials"
        );
    }
}

#[test]
fn a_ladder_that_cannot_be_climbed_is_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("never");
    let refusal = |axis: &str, change: fn(&mut ScaleConfig)| {
        let mut config: ScaleConfig = parse_toml("scale", &ladder(axis)).unwrap();
        change(&mut config);
        let error = pipeline::scale(&config, &out, "test", 2, &mut Silent).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    let odd = refusal("width = [4, 9]", |_| {});
    assert!(odd.contains("size 9 makes no model") && odd.contains("n_heads"), "{odd}");
    let blocks =
        |config: &mut ScaleConfig| config.split.order = SplitOrder::Blocks(BlockConfig::brain_wide_bench());
    assert!(refusal("trials = [8, 16]", blocks).contains("`split.order`"));
    let pooled =
        ladder("sessions = [1, 2]").replace("n_resamples = 100", "n_resamples = 100\nwith_linear = true");
    let error = parse_toml::<ScaleConfig>("scale", &pooled).unwrap_err();
    assert!(error.to_string().contains("unknown field `with_linear`"), "{error}");
    assert!(!out.exists());
}

#[test]
fn scores_on_other_data_are_not_read_as_if_on_these() {
    let folder = tempfile::tempdir().unwrap();
    let config: ScaleConfig = parse_toml("scale", &ladder("sessions = [1, 2]")).unwrap();
    let config = ScaleConfig { repeats: 1, ..config };
    let out = folder.path().join("scale");
    pipeline::scale(&config, &out, "test", 2, &mut Silent).unwrap();
    let path = out.join("data.json");
    let written = std::fs::read_to_string(&path).unwrap();
    let hashes: Vec<neurobrick::SessionHash> = serde_json::from_str(&written).unwrap();
    let own = hashes.iter().find(|hash| hash.session.as_str() == SECOND).unwrap();
    // As if the recording had been another one when the scores were made.
    std::fs::write(&path, written.replace(&own.blake3, &"0".repeat(own.blake3.len()))).unwrap();
    let error = pipeline::scale(&config, &out, "test", 2, &mut Silent).unwrap_err();
    assert!(matches!(&error, PipelineError::OtherRun { .. }), "{error}");
    assert!(error.to_string().contains(&format!("on other data of {SECOND}")), "{error}");
}
