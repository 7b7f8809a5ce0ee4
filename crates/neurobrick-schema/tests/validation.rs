//! Parts that do not fit are refused with the error that says why.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use neurobrick_schema::*;

#[track_caller]
fn check<T: std::fmt::Debug>(result: Result<T, SchemaError>, says: &[&str]) {
    let message = result.unwrap_err().to_string();
    for part in says {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn spikes() {
    check(Spikes::new(vec![0.0], vec![]), &["unit of each spike", "expected 1", "found 0"]);
    check(Spikes::new(vec![0.0, f64::NAN], vec![0, 0]), &["spike times", "entry 1 is NaN"]);
    check(Spikes::from_unsorted(vec![f64::INFINITY], vec![0]), &["entry 0 is inf"]);
    check(
        Spikes::new(vec![0.0, 2.0, 1.0], vec![0, 0, 0]),
        &["spike 2 at 1 s comes after one at 2 s", "from_unsorted"],
    );
    let sorted = Spikes::from_unsorted(vec![2.0, 1.0, 2.0, 1.0], vec![0, 1, 2, 3]).unwrap();
    assert_eq!((sorted.times_s(), sorted.units()), (&[1.0, 1.0, 2.0, 2.0][..], &[1, 3, 0, 2][..]));
}

#[test]
fn trains() {
    check(Spikes::from_trains(vec![0.0; 3], &[2]), &["ends of the trains", "expected 3", "found 2"]);
    check(Spikes::from_trains(vec![0.0; 3], &[2, 1, 3]), &["end of train 1 is 1, below 2"]);
    check(Spikes::from_trains(vec![0.0; 3], &[5, 3]), &["end of train 1 is 3, below 5"]);
    check(Spikes::from_trains(vec![0.0; 3], &[2, 5]), &["ends of the trains", "expected 3", "found 5"]);
    check(Spikes::from_trains(vec![0.0], &[]), &["ends of the trains", "found 0"]);
    for (index, bad) in [(0, f64::NAN), (1, f64::INFINITY), (2, f64::NAN), (3, f64::NEG_INFINITY)] {
        let mut times_s = vec![1.0, 2.0, 0.5, 3.0];
        times_s[index] = bad;
        let says = format!("entry {index} is {bad}");
        check(Spikes::from_trains(times_s, &[2, 4]), &["spike times", &says]);
    }
    check(Spikes::from_trains(vec![f64::NAN; 2], &[2]), &["entry 0 is NaN"]);
    // Unit 1 has no spikes, unit 2 is out of order.
    let times_s = vec![1.0, 2.0, 2.0, 1.0, -1.0];
    let (merged, n_unsorted) = Spikes::from_trains(times_s.clone(), &[2, 2, 5]).unwrap();
    assert_eq!(n_unsorted, 1);
    assert_eq!(merged, Spikes::from_unsorted(times_s, vec![0, 0, 2, 2, 2]).unwrap());
    assert_eq!((merged.times_s(), merged.units()), (&[-1.0, 1.0, 1.0, 2.0, 2.0][..], &[2, 0, 2, 0, 2][..]));
    assert_eq!(Spikes::from_trains(Vec::new(), &[0, 0]).unwrap(), (Spikes::default(), 0));
}

#[test]
fn counts() {
    check(BinnedCounts::new(0.0, 1, 1, 1, vec![0]), &["bin_size_s is 0", "positive"]);
    check(BinnedCounts::new(f64::NAN, 1, 1, 1, vec![0]), &["bin_size_s is NaN"]);
    check(BinnedCounts::new(0.01, 1, 0, 1, vec![]), &["n_units of the counts is 0"]);
    check(BinnedCounts::new(0.01, 2, 3, 4, vec![0; 23]), &["counts [2, 3, 4]", "expected 24", "found 23"]);
    check(BinnedCounts::new(0.01, 1 << 31, 1 << 31, 1 << 31, vec![0]), &["expected"]);
}

#[test]
fn trials() {
    let at = |bounds: &[(f64, f64)]| {
        bounds.iter().map(|&(start_s, end_s)| Interval { start_s, end_s }).collect::<Vec<_>>()
    };
    let column = |name: &str, values| Column { name: name.into(), unit: None, description: None, values };
    let ints = |n| ColumnValues::Int(vec![None; n]);
    check(Interval::new(1.0, 0.5), &["from 1 s to 0.5 s"]);
    check(Trials::new(at(&[(0.0, 1.0), (3.0, 2.0)]), vec![]), &["interval 1", "from 3 s to 2 s"]);
    check(Trials::new(at(&[(0.0, f64::NAN)]), vec![]), &["interval 0", "finite"]);
    check(Trials::new(at(&[(0.0, 1.0)]), vec![column("a", ints(2))]), &["\"a\"", "expected 1", "found 2"]);
    check(
        Trials::new(vec![], vec![column("a", ints(0)), column("a", ints(0))]),
        &["trial column \"a\" occurs twice"],
    );
    check(Trials::new(vec![], vec![column("start_s", ints(0))]), &["start_s", "another name"]);
    check(Trials::new(vec![], vec![column("", ints(0))]), &["1 to 128"]);
    check(Trials::new(vec![], vec![column("a\n", ints(0))]), &["control"]);
    let nan = ColumnValues::Float(vec![Some(f64::NAN)]);
    check(Trials::new(at(&[(0.0, 1.0)]), vec![column("a", nan)]), &["\"a\"", "NaN", "None"]);
    let inside = Interval::new(1.0, 2.0).unwrap();
    assert!(inside.contains(1.0) && !inside.contains(2.0), "half-open");
}

#[test]
fn recordings() {
    let spikes = || Activity::Spikes(Spikes::new(vec![0.5], vec![2]).unwrap());
    let new = |info, units, activity, trials| Recording::new(info, units, activity, trials);
    check(
        new(made::info("s"), made::units(2), spikes(), made::trials(1)),
        &["spike 0", "unit index 2", "2 units"],
    );
    let silent = Activity::Spikes(Spikes::default());
    check(
        new(made::info("s"), vec![], silent.clone(), Trials::default()),
        &["session s has no units, trials, intervals or signals"],
    );
    assert_eq!(new(made::info("s"), vec![], silent, made::trials(1)).unwrap().n_units(), 0);
    let mut twins = made::units(3);
    twins[2].id = "u0".into();
    check(new(made::info("s"), twins, spikes(), made::trials(1)), &["unit id \"u0\" occurs twice"]);
    let mut nowhere = made::units(3);
    nowhere[1].region.clear();
    check(new(made::info("s"), nowhere, spikes(), made::trials(1)), &["region of unit 1 is empty"]);
    let mut deep = made::units(3);
    deep[1].depth_um = Some(f64::INFINITY);
    check(new(made::info("s"), deep, spikes(), made::trials(1)), &["depth_um", "entry 1 is inf"]);
    let counts = || Activity::Counts(BinnedCounts::new(0.01, 2, 3, 1, vec![0; 6]).unwrap());
    check(
        new(made::info("s"), made::units(4), counts(), made::trials(2)),
        &["units of the counts", "expected 4"],
    );
    check(
        new(made::info("s"), made::units(3), counts(), made::trials(1)),
        &["trials of the counts", "found 2"],
    );
    let mut anonymous = made::info("s");
    anonymous.card.license = " ".into();
    check(new(anonymous, made::units(3), counts(), made::trials(2)), &["card.license is empty"]);
}

#[test]
fn lists() {
    let ints = |n| ColumnValues::Int(vec![Some(1); n]);
    check(ListValues::new(vec![1, 0], ints(0)), &["end of list 1 is 0", "above it"]);
    check(ListValues::new(vec![1, 3], ints(2)), &["items of all lists", "expected 3", "found 2"]);
    let list = ListValues::new(vec![0, 2, 3], ints(3)).unwrap();
    assert_eq!((list.range(0), list.range(1), list.range(2)), (0..0, 0..2, 2..3));
    let nan = ColumnValues::Float(vec![None, Some(f64::NAN)]);
    let nan = ColumnValues::List(ListValues::new(vec![2], nan).unwrap());
    check(Table::new(1, vec![made::column("a", nan)]), &["table column \"a\"", "entry 1 is NaN"]);
    let nested = |values| ColumnValues::List(ListValues::new(vec![1], values).unwrap());
    let deep = nested(nested(nested(nested(ints(1)))));
    assert_eq!(Table::new(1, vec![made::column("a", deep.clone())]).unwrap().len(), 1);
    check(Table::new(1, vec![made::column("a", nested(deep))]), &["nesting", "is 5"]);
    check(Table::new(1, vec![]), &["number of columns"]);
}

#[test]
fn signals() {
    let column =
        |name: &str, samples| SignalColumn { name: name.into(), unit: None, description: None, samples };
    let regular = |start_s, rate_hz| Clock::Regular { start_s, rate_hz };
    let at = |times_s: &[f64]| Clock::Irregular { times_s: times_s.to_vec() };
    let new = |name: &str, clock, columns| Signal::new(name, None, clock, columns);
    let x = || column("x", Samples::Float(vec![1.0, f64::NAN]));
    for name in ["", ".x", "a/b", "a b", "..", "é"] {
        check(new(name, at(&[]), vec![]), &["signal name", "A-Z"]);
    }
    check(new("s", regular(0.0, 0.0), vec![x()]), &["rate_hz of signal s is 0", "positive"]);
    check(new("s", regular(f64::NAN, 1.0), vec![x()]), &["start_s of signal s is NaN"]);
    check(new("s", regular(0.0, 1.0), vec![]), &["number of columns of signal s"]);
    check(new("s", at(&[0.0]), vec![x()]), &["\"x\" of signal s", "expected 1", "found 2"]);
    check(new("s", at(&[0.0, f64::INFINITY]), vec![]), &["times of signal s", "entry 1"]);
    check(new("s", at(&[0.0, 2.0, 1.0]), vec![]), &["sample 2 of signal s at 1 s", "2 s"]);
    check(new("s", regular(0.0, 1.0), vec![x(), x()]), &["signal column \"x\" occurs twice"]);
    check(new("s", at(&[]), vec![column("time_s", Samples::Int(vec![]))]), &["\"time_s\" occurs twice"]);
    let infinite = column("x", Samples::Float32(vec![0.0, f32::NEG_INFINITY]));
    check(new("s", regular(0.0, 1.0), vec![infinite]), &["\"x\" of signal s", "entry 1 is -inf"]);
    let signal = new("s", regular(10.0, 4.0), vec![x()]).unwrap();
    assert_eq!((signal.len(), signal.time_s(1), signal.columns()[0].samples.n_nan()), (2, 10.25, 1));
    assert_eq!(new("s", at(&[3.0, 3.5]), vec![]).unwrap().time_s(1).to_bits(), 3.5_f64.to_bits());
    let zero = |zero| new("s", at(&[0.0]), vec![column("x", Samples::Float(vec![zero]))]).unwrap();
    assert!(zero(0.0) != zero(-0.0) && zero(f64::NAN) == zero(f64::NAN));
}

#[test]
fn parts_must_fit() {
    let with = |change: fn(&mut RecordingParts)| {
        let mut parts = made::full_recording("s").into_parts();
        change(&mut parts);
        Recording::from_parts(parts)
    };
    check(with(|p| p.unit_columns[0].name = "depth_um".into()), &["\"depth_um\"", "another name"]);
    check(with(|p| p.units.truncate(4)), &["unit column \"waveforms\"", "expected 4", "found 5"]);
    check(with(|p| p.intervals[1].name = "EPOCHS".into()), &["interval table \"EPOCHS\" occurs twice"]);
    check(with(|p| p.intervals[1].name = "a b".into()), &["interval table name", "\"a b\""]);
    check(with(|p| p.signals[1] = p.signals[0].clone()), &["signal \"position\" occurs twice"]);
    let mut parts = made::full_recording("s").into_parts();
    (parts.units, parts.unit_columns, parts.trials) = (vec![], vec![], Trials::default());
    parts.activity = Activity::Spikes(Spikes::default());
    let signals_only = Recording::from_parts(parts).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    store.write(&signals_only).unwrap();
    assert_eq!(store.read(&signals_only.info().session).unwrap(), signals_only);
    let summary = summary(&signals_only);
    assert_eq!((summary.n_units, summary.mean_rate_hz), (0, None));
    let text = summary.to_string();
    let says = "electrodes 3\nintervals epochs: 3 rows of contrast, choice, side, rewarded\nintervals Licks.left-1: \
                0 rows\nsignal    position: 40 samples at 120 Hz of x (m), state (m), 6 NaN\n";
    assert!(text.contains(says), "{text}");
}

#[test]
fn a_summary_counts_what_is_there() {
    let summary = summary(&made::spikes_recording("day-1"));
    assert_eq!((summary.n_units, summary.n_trials, summary.n_spikes, summary.n_silent_units), (5, 4, 500, 1));
    let regions: Vec<(&str, usize)> =
        summary.regions.iter().map(|r| (r.region.as_str(), r.n_units)).collect();
    assert_eq!(regions, [("VISp", 3), ("root", 2)]);
    // From the first trial's start at 0 s to the last spike at 5.49 s.
    assert!((summary.duration_s - 5.49).abs() < 1e-9, "{}", summary.duration_s);
    assert!((summary.mean_rate_hz.unwrap() - 500.0 / 5.49 / 5.0).abs() < 1e-9);
    assert_eq!(
        summary.to_string(),
        "session   day-1 (subject mouse-7, dataset made-up)\nactivity  spike times\nunits     5 (1 silent)\n\
         trials    4\nspikes    500 in 5.5 s, 18.21 Hz per unit\n\
         rates     0.00 | 22.77 | 22.77 Hz (10 | 50 | 90 % of units)\n\
         gaps      longest silence of all units 0.011 s, from 5.479 s\nregions   VISp 3, root 2\n\
         columns   contrast: float, 0.333333 | 0.666667 | 1, 1 missing\n          choice: int, 0 | 1, 1 missing\n\
         \x20         side: text, ß0\\n,\"'\\u{0} | ß1\\n,\"'\\u{0} | ß3\\n,\"'\\u{0}, 1 missing\n\
         \x20         rewarded: bool, false | true, 1 missing\nspecies   Mus musculus\nconsent   non-human\nethics    unknown\n\
         license   CC0-1.0\nsource    made up for a test (1 files)\ncite      nobody\nstep      none\n\
         notes     tabs\tand \"quotes\""
    );
    let binned = neurobrick_schema::summary(&made::counts_recording("day-1"));
    assert!((binned.duration_s - 0.24).abs() < 1e-12);
    assert_eq!((binned.n_bins, binned.n_spikes), (Some(6), 240));
}

#[test]
fn the_json_schema_names_every_key_of_a_session_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    store.write(&made::full_recording("a")).unwrap();
    let text = std::fs::read_to_string(store.path().join("a/session.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let schema = serde_json::to_value(json_schema()).unwrap();
    for key in file.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "{key} is not in {schema:#}");
    }
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["$defs"]["SessionId"]["pattern"].is_string());
}
