//! Recordings that exist as counts, and signals cut into trials, through `mapping.toml`: real files against the sums of
//! SciPy, NumPy and pandas, made ones in every order of axes, and what is refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_ingest::{IngestError, IngestOptions, Mapping, Reader, ingest};
use neurobrick_schema::{Activity, BinnedCounts, Clock, ColumnValues, Recording, Samples, Signal, Store};
use serde_json::{Value, json};

fn folder(name: &str) -> PathBuf {
    foreign::fixtures().join("../formats/mapping").join(name)
}

fn golden() -> Value {
    serde_json::from_str(&fs::read_to_string(folder("golden.json")).unwrap()).unwrap()
}

/// All sessions of a folder, in the order of its mapping.
fn sessions(path: &Path) -> Result<Vec<Recording>, IngestError> {
    Mapping.sessions(path)?.iter().map(|source| Mapping.read(source)).collect()
}

fn counts(recording: &Recording) -> &BinnedCounts {
    let Activity::Counts(counts) = recording.activity() else { unreachable!("counts") };
    counts
}

fn placed(values: impl Iterator<Item = u64>) -> (u64, u64) {
    values.zip(1_u64..).fold((0, 0), |(sum, placed), (value, place)| {
        (sum.wrapping_add(value), placed.wrapping_add(place.wrapping_mul(value)))
    })
}

#[track_caller]
fn check_counts(recording: &Recording, golden: &Value) {
    let counts = counts(recording);
    let (sum, placed) = placed(counts.values().iter().map(|&count| u64::from(count)));
    let shape = [counts.n_trials(), counts.n_units(), counts.n_bins()];
    assert_eq!(&json!({ "shape": shape, "sum": sum, "placed": placed }), golden);
}

#[track_caller]
fn check_sums<'a>(values: impl IntoIterator<Item = &'a f64>, golden: &Value) {
    let bits: Vec<u64> = values.into_iter().map(|value| value.to_bits()).collect();
    let (sum, placed) = placed(bits.iter().copied());
    assert_eq!(&json!({ "n": bits.len(), "sum": sum, "placed": placed }), golden);
}

fn floats<'a>(signal: &'a Signal, column: &str) -> &'a [f64] {
    let Samples::Float(values) = &signal.column(column).unwrap().samples else { unreachable!("{column}") };
    values
}

#[test]
fn trials_without_times_lie_end_to_end() {
    let golden = golden();
    let all = sessions(&folder("case-trials")).unwrap();
    let [stn, field, ecog] = &all[..] else { unreachable!("three sessions") };
    check_counts(stn, &golden["stn"]);
    assert_eq!((stn.units()[0].id.as_str(), stn.units()[0].region.as_str()), ("stn", "STN"));
    let ColumnValues::Float(direction) = &stn.trials().column("direction").unwrap().values else {
        unreachable!("real numbers")
    };
    check_sums(direction.iter().flatten(), &golden["direction"]);
    assert_eq!(
        (stn.trials().has_times(), stn.trials().intervals()[49].start_s.to_bits()),
        (false, 98.0_f64.to_bits())
    );
    assert!(stn.info().card.changes.last().unwrap().ends_with("so they lie end to end"));

    check_counts(field, &golden["field_spikes"]);
    let signal = field.signal("field").unwrap();
    assert_eq!(*signal.clock(), Clock::Regular { start_s: 0.0, rate_hz: 1000.0 });
    check_sums(floats(signal, "potential"), &golden["field"]);

    let signal = ecog.signal("ecog").unwrap();
    for (column, golden) in ["first", "second"].iter().zip(golden["ecog"].as_array().unwrap()) {
        check_sums(floats(signal, column), golden);
    }
    let trials = ecog.trials();
    assert_eq!((ecog.n_units(), trials.len(), trials.has_times()), (0, 20, false));
    assert_eq!(trials.intervals()[19].end_s.to_bits(), 20.0_f64.to_bits());
}

#[test]
fn one_bin_per_trial_of_several_regions() {
    let golden = &golden()["ibl"];
    let mouse = sessions(&folder("ibl-counts")).unwrap().remove(0);
    check_counts(&mouse, &golden["counts"]);
    for (region, golden) in ["BMA", "CEA", "GPe", "LGd"].iter().zip(golden["regions"].as_array().unwrap()) {
        let of_region = (0..mouse.n_units()).filter(|&unit| mouse.units()[unit].region == *region);
        let sum: u64 = of_region
            .map(|unit| (0..422).map(|trial| u64::from(counts(&mouse).row(trial, unit)[0])).sum::<u64>())
            .sum();
        assert_eq!(json!(sum), *golden, "{region}");
    }
    let ids: Vec<&str> = [0, 50, 51, 133].map(|unit| mouse.units()[unit].id.as_str()).to_vec();
    assert_eq!(ids, ["BMA.0", "BMA.50", "CEA.0", "LGd.20"]);
    let starts: Vec<f64> = mouse.trials().intervals().iter().map(|trial| trial.start_s).collect();
    check_sums(&starts, &golden["starts"]);
    assert!(mouse.trials().has_times());
    let ColumnValues::Float(choice) = &mouse.trials().column("choice").unwrap().values else {
        unreachable!()
    };
    check_sums(choice.iter().flatten(), &golden["choice"]);
    let ColumnValues::Float(left) = &mouse.trials().column("contrastLeft").unwrap().values else {
        unreachable!()
    };
    assert_eq!(json!(left.iter().filter(|value| value.is_none()).count()), golden["n_without_left"]);
    let signal = mouse.signal("motor").unwrap();
    let Clock::Irregular { times_s } = signal.clock() else { unreachable!("times of their own") };
    check_sums(times_s, &golden["times"]);
    for column in ["licking", "whisking_l"] {
        check_sums(floats(signal, column), &golden[column]);
    }
    let said = mouse.info().card.changes.last().unwrap();
    assert!(said.ends_with("; 3 of 425 trials have no times and were left out"), "{said}");
}

#[test]
fn counts_without_trials_are_one_trial() {
    let golden = &golden()["maze"];
    let reach = sessions(&folder("mc-maze-trial")).unwrap().remove(0);
    check_counts(&reach, &golden["counts"]);
    let ids = [0, 181].map(|unit| reach.units()[unit].id.replace('.', "_"));
    assert_eq!(json!(ids), json!([golden["first"], golden["last"]]));
    let trial = reach.trials().intervals()[0];
    assert_eq!((reach.trials().len(), trial.start_s.to_bits()), (1, 2282.6_f64.to_bits()));
    assert!((trial.duration_s() - 0.8).abs() < 1e-9);
    let signal = reach.signal("hand").unwrap();
    let Clock::Irregular { times_s } = signal.clock() else { unreachable!("times of their own") };
    check_sums(times_s, &golden["times"]);
    for (column, golden) in ["x", "y"].iter().zip(golden["hand"].as_array().unwrap()) {
        check_sums(floats(signal, column), golden);
    }
}

#[test]
fn counts_come_back_from_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    let roots = ["case-trials", "ibl-counts", "mc-maze-trial"].map(folder);
    let first = ingest(&roots, &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert!(first.is_complete(), "{:?}", first.refused);
    assert_eq!(first.written.len(), 5);
    for root in &roots {
        for recording in sessions(root).unwrap() {
            let stored = store.read(&recording.info().session).unwrap();
            assert_eq!(stored, recording);
        }
    }
}

const HEAD: &str = "[[session]]\nname = \"s\"\nsubject = \"a\"\n";

/// A folder with `counts.npy` of this shape, which counts from zero, `wheel.npy` likewise, and trials from 1 s and 3 s.
fn made(shape: &str, mapping: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let n: usize = shape.split(',').map(|length| length.trim().parse::<usize>().unwrap()).product();
    let numbers: Vec<f64> = (0..u32::try_from(n).unwrap()).map(f64::from).collect();
    let shape = format!("({shape},)");
    fs::write(dir.path().join("counts.npy"), foreign::npy_f64(&shape, &numbers)).unwrap();
    fs::write(dir.path().join("wheel.npy"), foreign::npy_f64("(2, 3)", &[0.5, 1.5, f64::NAN, 2.5, 3.5, 4.5]))
        .unwrap();
    fs::write(dir.path().join("trials.csv"), "on,off,side\n1,1.5,left\n3,3.5,right\n").unwrap();
    fs::write(dir.path().join("gaps.csv"), "on,side\n,left\n3,right\n").unwrap();
    fs::write(dir.path().join("dataset.toml"), foreign::DATASET).unwrap();
    fs::write(dir.path().join("mapping.toml"), mapping).unwrap();
    dir
}

fn counts_of(axes: &str) -> String {
    format!(
        "{HEAD}[session.counts]\nbin_size_s = 0.25\naxes = [{axes}]\narrays = [{{ id = \"u\", file = \"counts.npy\" }}]\n"
    )
}

#[test]
fn axes_may_have_any_order() {
    for (shape, axes, expected, values) in [
        ("2, 2, 2", "\"trial\", \"unit\", \"bin\"", [2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7]),
        ("2, 2, 2", "\"trial\", \"bin\", \"unit\"", [2, 2, 2], [0, 2, 1, 3, 4, 6, 5, 7]),
        ("2, 2, 2", "\"bin\", \"unit\", \"trial\"", [2, 2, 2], [0, 4, 2, 6, 1, 5, 3, 7]),
        ("2, 4", "\"trial\", \"unit\"", [2, 4, 1], [0, 1, 2, 3, 4, 5, 6, 7]),
        ("4, 2", "\"unit\", \"trial\"", [2, 4, 1], [0, 2, 4, 6, 1, 3, 5, 7]),
        ("2, 4", "\"trial\", \"bin\"", [2, 1, 4], [0, 1, 2, 3, 4, 5, 6, 7]),
        ("8", "\"trial\"", [8, 1, 1], [0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        let recording = sessions(made(shape, &counts_of(axes)).path()).unwrap().remove(0);
        let counts = counts(&recording);
        assert_eq!([counts.n_trials(), counts.n_units(), counts.n_bins()], expected, "{axes}");
        assert_eq!(counts.values(), values, "{axes}");
    }
    let text = counts_of("\"bin\", \"unit\"").replace("axes", "start_s = 5.0\naxes");
    let recording = sessions(made("4, 2", &text).path()).unwrap().remove(0);
    assert_eq!(counts(&recording).row(0, 1), [1, 3, 5, 7]);
    assert_eq!(recording.trials().intervals()[0].end_s.to_bits(), 6.0_f64.to_bits());
}

const WHEEL: &str = "[[session.signals]]\nname = \"wheel\"\naxes = [\"trial\", \"time\"]\nstart_s = -0.1\nrate_hz = 10\n\
                     columns = [{ name = \"v\", file = \"wheel.npy\" }]\n";

#[test]
fn a_signal_is_laid_on_its_trials() {
    let with_times = "[session.trials]\nstart = { file = \"trials.csv\", array = \"on\", unit = \"s\" }\n\
                      columns = [{ name = \"side\", file = \"trials.csv\", array = \"side\" }]\n";
    let text = format!("{}{with_times}{WHEEL}", counts_of("\"trial\", \"bin\", \"unit\""));
    let recording = sessions(made("2, 2, 2", &text).path()).unwrap().remove(0);
    let signal = recording.signal("wheel").unwrap();
    let expected: Vec<f64> =
        [1.0, 3.0].iter().flat_map(|start| [0.0, 1.0, 2.0].map(|i| start + (-0.1 + i / 10.0))).collect();
    assert_eq!(*signal.clock(), Clock::Irregular { times_s: expected });
    assert_eq!(signal.column("v").unwrap().samples, Samples::Float(vec![0.5, 1.5, f64::NAN, 2.5, 3.5, 4.5]));
    assert_eq!(recording.trials().intervals()[1].end_s.to_bits(), 3.5_f64.to_bits());

    // A trial without a start takes its counts, its samples and its row along.
    let text = text
        .replace("trials.csv", "gaps.csv")
        .replace("columns = [{ name = \"side\"", "leave_out_untimed = true\ncolumns = [{ name = \"side\"");
    let recording = sessions(made("2, 2, 2", &text).path()).unwrap().remove(0);
    assert_eq!(counts(&recording).values(), [4, 6, 5, 7]);
    assert_eq!(
        recording.signal("wheel").unwrap().column("v").unwrap().samples,
        Samples::Float(vec![2.5, 3.5, 4.5])
    );
    assert_eq!(
        recording.trials().column("side").unwrap().values,
        ColumnValues::Text(vec![Some("right".into())])
    );

    // Windows that overlap are put in the order of time.
    let text = format!(
        "{HEAD}{with_times}end = {{ file = \"trials.csv\", array = \"off\", unit = \"s\" }}\n{WHEEL}"
    )
    .replace("rate_hz = 10", "rate_hz = 1");
    let recording = sessions(made("1", &text).path()).unwrap().remove(0);
    let signal = recording.signal("wheel").unwrap();
    let Clock::Irregular { times_s } = signal.clock() else { unreachable!("times of their own") };
    assert!(times_s.is_sorted());
    let samples = Samples::Float(vec![0.5, 1.5, f64::NAN, 2.5, 3.5, 4.5]);
    assert_eq!(signal.column("v").unwrap().samples, samples);
    let text = text.replace("rate_hz = 1", "rate_hz = 0.5");
    let recording = sessions(made("1", &text).path()).unwrap().remove(0);
    let samples = Samples::Float(vec![0.5, 1.5, 2.5, f64::NAN, 3.5, 4.5]);
    assert_eq!(recording.signal("wheel").unwrap().column("v").unwrap().samples, samples);
    assert!(recording.info().card.changes.last().unwrap().contains("signal wheel overlap"));

    // A channel gives a column.
    let text =
        format!("{HEAD}{}", WHEEL.replace("\"time\"]", "\"time\", \"channel\"]").replace("-0.1", "0.0"));
    let recording =
        sessions(made("2, 2, 2", &text.replace("wheel.npy", "counts.npy")).path()).unwrap().remove(0);
    let signal = recording.signal("wheel").unwrap();
    assert_eq!(
        (floats(signal, "v.0"), floats(signal, "v.1")),
        (&[0.0, 2.0, 4.0, 6.0][..], &[1.0, 3.0, 5.0, 7.0][..])
    );
    assert_eq!(*signal.clock(), Clock::Regular { start_s: 0.0, rate_hz: 10.0 });
}

#[test]
fn what_is_no_count_is_refused_with_its_place() {
    for (value, says) in [
        (0.5, "0.5 at trial 1 of 2, unit 0 of 3"),
        (-1.0, "-1 at trial 1 of 2, unit 0 of 3"),
        (f64::NAN, "NaN at trial 1 of 2"),
        (65536.0, "65536 at trial 1 of 2"),
    ] {
        let dir = made("2, 3", &counts_of("\"trial\", \"unit\""));
        let mut numbers = [0.0; 6];
        numbers[3] = value;
        fs::write(dir.path().join("counts.npy"), foreign::npy_f64("(2, 3)", &numbers)).unwrap();
        let message = sessions(dir.path()).unwrap_err().to_string();
        assert!(message.contains(says) && message.contains("counts.npy: counts u "), "{message}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let good = format!(
        "{}[session.trials]\nstart = {{ file = \"trials.csv\", array = \"on\", unit = \"s\" }}\n{WHEEL}",
        counts_of("\"trial\", \"bin\", \"unit\"")
    );
    assert!(sessions(made("2, 2, 2", &good).path()).is_ok());
    for (from, to, says) in [
        (
            "\"trial\", \"bin\", \"unit\"",
            "\"trial\", \"unit\"",
            "has shape [2, 2, 2], expected an axis for each of trial, unit",
        ),
        ("\"trial\", \"bin\", \"unit\"", "\"unit\"", "axes need trial, bin or both"),
        ("\"trial\", \"bin\", \"unit\"", "\"bin\", \"bin\", \"unit\"", "axes name bin twice"),
        ("\"trial\", \"bin\", \"unit\"", "\"bin\", \"unit\"", "give start_s, when the first bin starts"),
        ("\"trial\", \"bin\", \"unit\"", "\"time\", \"unit\"", "unknown variant `time`"),
        ("bin_size_s = 0.25", "bin_size_s = 0.25\nstart_s = 1.0", "trials.start says when trials start"),
        ("bin_size_s = 0.25", "bin_size_s = -1.0", "bin_size_s is -1, expected a positive number"),
        ("arrays = [{ id = \"u\", file = \"counts.npy\" }]", "arrays = []", "give at least one array"),
        (
            "file = \"counts.npy\" }",
            "file = \"wheel.npy\" }",
            "wheel.npy: counts u without a name has shape [2, 3]",
        ),
        ("file = \"counts.npy\" }", "file = \"counts.npy\" }, { id = \"u\", file = \"counts.npy\" }", "u.0"),
        (
            "[session.counts]",
            "units = [{ id = \"c\", times = { file = \"counts.npy\", unit = \"s\" } }]\n[session.counts]",
            "one of spikes, units and counts",
        ),
        ("start = {", "end = {", "end needs start"),
        ("rate_hz = 10\n", "rate_hz = -10\n", "rate_hz is -10, expected a positive number"),
        ("rate_hz = 10\n", "rate_hz = inf\n", "rate_hz is inf, expected a positive number"),
        ("start_s = -0.1", "start_s = nan", "start_s is NaN, expected a number of seconds"),
        (
            "array = \"on\", unit = \"s\" }\n",
            "array = \"on\", unit = \"s\" }\nend = { file = \"trials.csv\", array = \"on\", unit = \"s\" }\n",
            "the trial takes 0 s, and its counts 0.5 s",
        ),
        ("\"trials.csv\"", "\"gaps.csv\"", "gaps.csv: times \"on\", entry 0: NaN is not a time"),
        (
            "\"trials.csv\", array = \"on\"",
            "\"counts.npy\", array = 0",
            "counts.npy: the array, of which column 0 is asked for",
        ),
        ("file = \"trials.csv\", array = \"on\"", "file = \"wheel.npy\", array = 3", "column 3"),
        ("[\"trial\", \"time\"]", "[\"time\", \"channel\"]", "signal wheel: axes need trial and time"),
        (
            "[\"trial\", \"time\"]",
            "[\"time\", \"trial\"]",
            "signal wheel: its columns have 3 trials, and the session has 2",
        ),
        ("file = \"wheel.npy\" }", "file = \"wheel.npy\", time_axis = 1 }", "take time_axis out"),
        (
            "[[session.signals]]",
            "[[session.signals]]\nname = \"far\"\nstart_s = 1000.0\nrate_hz = 10\ncolumns = [{ name = \"v\", file = \"trials.csv\", array = \"on\" }]\n[[session.signals]]",
            "none of the 2 trials touches the data",
        ),
        ("start_s = -0.1\n", "", "from the start of a trial to its first sample"),
        (
            "[session.trials]\nstart = { file = \"trials.csv\", array = \"on\", unit = \"s\" }\n",
            "",
            "its trials take 0.3 s from -0.1 s on",
        ),
        (
            "[session.trials]\nstart = { file = \"trials.csv\", array = \"on\", unit = \"s\" }\n",
            "[session.trials]\nleave_out_untimed = true\n",
            "leave_out_untimed needs start",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let dir = made("2, 2, 2", &good.replacen(from, to, 1));
        let message = sessions(dir.path()).map(|_| to.to_owned()).unwrap_err().to_string();
        assert!(message.contains(says), "{to}: {message:?} does not say {says:?}");
    }
}

#[test]
fn trials_without_counts_need_times() {
    for (text, says) in [
        ("[session.trials]\ncolumns = []\n", "give start and end; only trials of counts"),
        (
            "[session.trials]\nstart = { file = \"trials.csv\", array = \"on\", unit = \"s\" }\n",
            "start needs end",
        ),
        ("[session.unit_table]\ncolumns = []\n", "give spikes, units or counts"),
    ] {
        let message = sessions(made("1", &format!("{HEAD}{text}")).path()).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
}
