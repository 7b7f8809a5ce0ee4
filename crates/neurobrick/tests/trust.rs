//! Audits and decoding on real sessions and small models: what they find, write and refuse.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use neurobrick::config::{AuditConfig, DecodeConfig, load, parse_toml};
use neurobrick::evaluate::EvaluateError;
use neurobrick::evaluation::decode_session;
use neurobrick::metrics::audit::{Check, Outcome};
use neurobrick::pipeline::{self, Observer, Progress, Silent};
use neurobrick::random::{Domain, Stream};
use neurobrick::{Compute, PipelineError, load_sessions};
use neurobrick_schema::{
    Activity, Clock, Column, ColumnValues, Interval, Recording, Samples, Signal, SignalColumn, Store, Trials,
};
use neurobrick_testkit::synthetic_session;

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
    let found = pipeline::audit(&config, folder.path(), "test", Compute::threads(2), &mut Silent).unwrap();
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
    let error =
        pipeline::audit(&broken, elsewhere.path(), "test", Compute::threads(2), &mut Silent).unwrap_err();
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
        pipeline::audit(
            &config,
            &folder.path().join(format!("{name}-audit")),
            "test",
            Compute::threads(2),
            &mut Silent,
        )
    };
    let clean = audit("clean.csv", "").unwrap();
    assert_eq!(clean.audits[0].report.n_rows, [40, 20]);
    assert_eq!(audit("more.csv", "elsewhere,2,0,1,9,9,unused\nelsewhere,1,0,1,missing,,\n").unwrap(), clean);
    let error = audit("broken.csv", "0,1,0,1,9,9,unused\n0,1,0,1,missing,9,test\n").unwrap_err();
    assert!(error.to_string().contains("line 4, column `x` holds `missing`"), "{error}");
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
    let found =
        pipeline::audit(&config, &folder.path().join("out"), "test", Compute::threads(2), &mut Silent)
            .unwrap();
    let overlaps = found.audits[0].report.finding(Check::OverlappingWindows).unwrap();
    assert_eq!(overlaps.outcome, Outcome::Pass, "{overlaps:?}");
}

/// A source that does not say when trials were, as HDF5 tensors do not: its own split is used, and the audit says that
/// overlap cannot be seen.
#[test]
fn trials_without_times_are_audited_under_the_split_of_their_source() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut parts = synthetic_session(6, 60, 12, 8, 2).into_parts();
    let mut columns = parts.trials.columns().to_vec();
    let values = (0..60).map(|trial| Some(if trial < 45 { "train" } else { "valid" }.to_owned())).collect();
    let values = ColumnValues::Text(values);
    columns.push(Column { name: "split".to_owned(), unit: None, description: None, values });
    parts.trials = Trials::end_to_end(60, 0.24, columns).unwrap();
    Store::create(&store).unwrap().write(&Recording::from_parts(parts).unwrap()).unwrap();
    let audit = |split: &str, out: &str| {
        let text = format!(
            "seed = 1\nn_shuffles = 50\n[[sessions]]\nsessions = [\"synthetic-6\"]\n\
             label = {{ category = {{ name = \"choice\", column = \"choice\", positive = \"right\", negative = \"left\" }} }}\n\
             data = {{ store = \"{}\", window = {{ start_s = 0.0, end_s = 0.24, bin_size_s = 0.02 }}{split} }}\n",
            store.display()
        );
        let config: AuditConfig = parse_toml("audit", &text).unwrap();
        pipeline::audit(&config, &folder.path().join(out), "test", Compute::threads(2), &mut Silent)
    };
    let message = audit("", "random").unwrap_err().to_string();
    let copied = message.split('`').find(|part| part.starts_with("order = ")).unwrap().to_owned();
    let found = audit(&format!(", split = {{ {copied} }}"), "column").unwrap();
    let report = &found.audits[0].report;
    assert!(report.n_rows[1] <= 15 && report.n_rows[0] + report.n_rows[1] > 30, "{:?}", report.n_rows);
    let overlaps = report.finding(Check::OverlappingWindows).unwrap();
    assert_eq!(overlaps.outcome, Outcome::Warning, "{overlaps:?}");
    let text = std::fs::read_to_string(folder.path().join("column/audit.md")).unwrap();
    assert!(text.contains("does not say when trials were") && text.contains("place in the file"), "{text}");
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
    let found =
        pipeline::audit(&audit, &folder.path().join("audit"), "test", Compute::threads(2), &mut Silent)
            .unwrap();
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
    let found = pipeline::decode(&decode, &out, "test", Compute::threads(2), &mut Silent).unwrap();
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
    // The probe of an evaluation is the same: one label from one feature has one number.
    let loaded = load_sessions(&decode.data, &decode.sessions, decode.seed).unwrap();
    let evaluated = decode_session(&loaded[0].train, &[], &decode.labels, (decode.seed, 20)).unwrap();
    let logistic = found.rows.iter().find(|r| r.feature == "raw_counts" && r.decoder == "logistic").unwrap();
    let accuracy = evaluated[0].accuracy.as_ref().unwrap();
    let score = logistic.score.as_ref().unwrap();
    assert!((score.value() - accuracy.balanced).abs() < 1e-12, "{score:?} {accuracy:?}");
    assert_eq!((evaluated[0].null, evaluated[0].shifted), (Some(*score.null()), logistic.shifted));
    assert_eq!(logistic.choice, evaluated[0].c.map(|c| format!("C = {c:e}")));
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
    let found =
        pipeline::decode(&config, &folder.path().join("out"), "test", Compute::threads(2), &mut Silent)
            .unwrap();
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
    let error =
        pipeline::decode(&config, &folder.path().join("other"), "test", Compute::threads(2), &mut Silent)
            .unwrap_err();
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

/// A class that nobody has is a typo; one that too few have is told by its name.
#[test]
fn classes_are_told_by_the_words_of_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    Store::create(&store).unwrap().write(&synthetic_session(5, 60, 12, 8, 2)).unwrap();
    let text = format!(
        "seed = 1\nsessions = [\"synthetic-5\"]\nfeatures = [\"raw_counts\"]\nn_shuffles = 20\nn_resamples = 100\n\
         labels = [{{ category = {{ name = \"side\", column = \"choice\", positive = \"right\", negative = \"LEFT\" }} }}]\n\
         data = {{ store = \"{}\", window = {{ start_s = 0.0, end_s = 0.24, bin_size_s = 0.02 }} }}\n",
        store.display()
    );
    let decode = |text: &str, out: &str| {
        let config: DecodeConfig = parse_toml("decode", text).unwrap();
        pipeline::decode(&config, &folder.path().join(out), "test", Compute::threads(1), &mut Silent)
    };
    let error = decode(&text, "typo").unwrap_err().to_string();
    assert!(error.contains("`LEFT` does not occur in trial column `choice`"), "{error}");
    assert!(error.contains("left, right"), "{error}");
    let error = decode(&text.replace("\"choice\"", "\"chosen\""), "column").unwrap_err().to_string();
    assert!(error.starts_with("`chosen`") && error.contains("it has: "), "{error}");
    // Of one class alone nothing can be learned.
    let text = text
        .replace("LEFT", "left")
        .replace("data = {", "data = { split = { train = 0.02, valid = 0.02, test = 0.96 }, ");
    let found = decode(&text, "few").unwrap();
    let reason = found.rows[0].undefined.as_ref().unwrap();
    assert!(reason.ends_with("(true is `right`, false is `left`)"), "{reason}");
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
        let found =
            pipeline::decode(&config, &folder.path().join(name), "test", Compute::threads(2), &mut notes)
                .unwrap();
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
        // What is wrong with a target is said where targets are read.
        let (PipelineError::BadValue { field: found, .. }
        | PipelineError::Evaluate(EvaluateError::BadValue { field: found, .. })) = &error
        else {
            panic!("{error}")
        };
        assert_eq!(found, field, "{error}");
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

/// The verb lists networks beside linear decoders, with nulls, where they are asked for.
#[test]
fn the_verb_decodes_by_networks_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut parts = synthetic_session(5, 100, 12, 20, 4).into_parts();
    let Some(Activity::Counts(counts)) = Some(&parts.activity) else { panic!("counts") };
    // Which half of the units fires more.
    let total = |trial: usize, units: std::ops::Range<usize>| -> u32 {
        units.map(|unit| counts.row(trial, unit).iter().map(|&n| u32::from(n)).sum::<u32>()).sum()
    };
    let sides = (0..100).map(|t| Some(if total(t, 0..10) > total(t, 10..20) { "a" } else { "b" }.to_owned()));
    let column = Column {
        name: "half".to_owned(),
        unit: None,
        description: None,
        values: ColumnValues::Text(sides.collect()),
    };
    parts.trials = Trials::new(parts.trials.intervals().to_vec(), vec![column]).unwrap();
    Store::create(&store).unwrap().write(&Recording::from_parts(parts).unwrap()).unwrap();
    let text = format!(
        "seed = 1\nsessions = [\"synthetic-5\"]\nfeatures = [\"raw_counts\"]\nn_shuffles = 20\nn_resamples = 100\n\
         labels = [{{ category = {{ name = \"half\", column = \"half\", positive = \"a\", negative = \"b\" }} }}]\n\
         [networks]\nkinds = [\"mlp\"]\nmax_epochs = 20\nweight_decays = [0.01, 1.0]\n[data]\nstore = \"{}\"\n\
         window = {{ start_s = 0.0, end_s = 0.24, bin_size_s = 0.02 }}\n\
         split = {{ train = 0.5, valid = 0.2, test = 0.3 }}\n",
        store.display()
    );
    let config: DecodeConfig = parse_toml("decode", &text).unwrap();
    let found =
        pipeline::decode(&config, &folder.path().join("out"), "test", Compute::threads(2), &mut Silent)
            .unwrap();
    let decoders: Vec<&str> = found.rows.iter().map(|row| row.decoder.as_str()).collect();
    assert_eq!(decoders, ["logistic", "discriminant", "mlp"]);
    let mlp = &found.rows[2];
    let score = mlp.score.as_ref().unwrap_or_else(|| panic!("{mlp:?}"));
    // Over 30 test trials chance has a deviation of 0.09: 0.7 is two of them above one half.
    assert!(score.value() > 0.7 && score.null().p_value < 0.1, "{mlp:?}");
    assert!((score.null().mean - 0.5).abs() < 0.15, "{mlp:?}");
    assert!(mlp.choice.as_ref().unwrap().starts_with("weight decay "), "{mlp:?}");
    let bad: DecodeConfig = parse_toml("decode", &text.replace("max_epochs = 20", "max_epochs = 0")).unwrap();
    assert!(bad.validate().unwrap_err().to_string().contains("`networks.max_epochs`: must be positive"));
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
