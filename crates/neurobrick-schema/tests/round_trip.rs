//! Laws of the store: what is written is what is read, bit for bit, and the same recording gives the same bytes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use neurobrick_schema::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![-1e6..1e6_f64, any::<f64>().prop_filter("finite", |x| x.is_finite())]
}

fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), Just(String::new()), Just("a,b\n\"c\"\u{0}🐭".to_owned())]
}

fn values(n: usize) -> BoxedStrategy<ColumnValues> {
    let lists = vec(0..4_usize, n).prop_flat_map(|lengths| {
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, n| {
                *end += n;
                Some(*end)
            })
            .collect();
        let n_items = ends.last().copied().unwrap_or(0);
        let lists = move |items| ColumnValues::List(ListValues::new(ends.clone(), items).unwrap());
        prop_oneof![flat_values(n_items), pairs(n_items)].prop_map(lists)
    });
    prop_oneof![4 => flat_values(n), 1 => lists].boxed()
}

/// Lists of two.
fn pairs(n: usize) -> impl Strategy<Value = ColumnValues> {
    let ends: Vec<usize> = (1..=n).map(|row| 2 * row).collect();
    flat_values(2 * n)
        .prop_map(move |items| ColumnValues::List(ListValues::new(ends.clone(), items).unwrap()))
}

fn flat_values(n: usize) -> impl Strategy<Value = ColumnValues> {
    prop_oneof![
        vec(option::of(finite()), n).prop_map(ColumnValues::Float),
        vec(option::of(any::<i64>()), n).prop_map(ColumnValues::Int),
        vec(option::of(odd_text()), n).prop_map(ColumnValues::Text),
        vec(option::of(any::<bool>()), n).prop_map(ColumnValues::Bool),
    ]
}

fn trials(n: usize) -> impl Strategy<Value = Trials> {
    (vec((finite(), finite()), n), columns(n)).prop_map(|(bounds, columns)| {
        let intervals = bounds.iter().map(|&(a, b)| Interval::new(a.min(b), a.max(b)).unwrap()).collect();
        Trials::new(intervals, columns).unwrap()
    })
}

fn columns(n: usize) -> impl Strategy<Value = Vec<Column>> {
    vec((option::of(odd_text()), option::of(odd_text()), values(n)), 0..4).prop_map(|columns| {
        let column = |(i, (unit, description, values))| Column {
            name: format!("é col.{i} \"x\""),
            unit,
            description,
            values,
        };
        columns.into_iter().enumerate().map(column).collect()
    })
}

fn signal() -> impl Strategy<Value = Signal> {
    let not_infinite = || any::<f64>().prop_filter("not infinite", |x| !x.is_infinite());
    (0..50_usize).prop_flat_map(move |n| {
        let samples = prop_oneof![
            vec(not_infinite(), n).prop_map(Samples::Float),
            vec(any::<f32>().prop_filter("not infinite", |x| !x.is_infinite()), n).prop_map(Samples::Float32),
            vec(any::<i64>(), n).prop_map(Samples::Int),
        ];
        let clock = prop_oneof![
            (finite(), 1e-6..1e6_f64).prop_map(|(start_s, rate_hz)| Clock::Regular { start_s, rate_hz }),
            vec(finite(), n).prop_map(|mut times_s| {
                times_s.sort_by(f64::total_cmp);
                Clock::Irregular { times_s }
            }),
        ];
        (clock, option::of(odd_text()), vec((option::of(odd_text()), samples), 1..4)).prop_map(
            |(clock, description, columns)| {
                let column = |(i, (unit, samples))| SignalColumn {
                    name: format!("ü {i}"),
                    unit,
                    description: None,
                    samples,
                };
                let columns = columns.into_iter().enumerate().map(column).collect();
                Signal::new("s", description, clock, columns).unwrap()
            },
        )
    })
}

/// A signal as it is, under another name.
fn renamed(signal: &Signal, name: String) -> Signal {
    let description = signal.description().map(str::to_owned);
    Signal::new(name, description, signal.clock().clone(), signal.columns().to_vec()).unwrap()
}

fn interval_tables() -> impl Strategy<Value = Vec<IntervalTable>> {
    let table = (option::of(odd_text()), (0..5_usize).prop_flat_map(trials));
    vec(table, 0..3).prop_map(|tables| {
        let named =
            |(i, (description, rows))| IntervalTable { name: format!("table-{i}"), description, rows };
        tables.into_iter().enumerate().map(named).collect()
    })
}

fn units(n: usize) -> impl Strategy<Value = Vec<Unit>> {
    vec((odd_text(), "[A-Za-z]{1,6}", option::of(finite()), option::of(finite())), n).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(i, (id, region, depth_um, quality))| Unit {
                id: format!("{id}#{i}"),
                region,
                depth_um,
                quality,
            })
            .collect()
    })
}

fn activity(n_units: usize, n_trials: usize) -> BoxedStrategy<Activity> {
    let last = u32::try_from(n_units - 1).unwrap();
    let spikes = vec((finite(), 0..=last), 0..200).prop_map(|pairs| {
        let (times_s, units) = pairs.into_iter().unzip();
        Activity::Spikes(Spikes::from_unsorted(times_s, units).unwrap())
    });
    if n_trials == 0 {
        return spikes.boxed();
    }
    let counts = (1..9_usize, 1e-4..1.0_f64).prop_flat_map(move |(n_bins, bin_size_s)| {
        vec(any::<u16>(), n_trials * n_units * n_bins).prop_map(move |values| {
            Activity::Counts(BinnedCounts::new(bin_size_s, n_trials, n_units, n_bins, values).unwrap())
        })
    });
    prop_oneof![spikes, counts].boxed()
}

fn recording() -> impl Strategy<Value = Recording> {
    (1..6_usize, 0..6_usize)
        .prop_flat_map(|(n_units, n_trials)| {
            let own = (units(n_units), activity(n_units, n_trials), trials(n_trials), columns(n_units));
            let electrodes =
                columns(3).prop_map(|c| Table::new(if c.is_empty() { 0 } else { 3 }, c).unwrap());
            let metadata = proptest::collection::btree_map(odd_text(), odd_text(), 0..3);
            (own, electrodes, metadata, interval_tables(), vec(signal(), 0..3))
        })
        .prop_map(|(own, electrodes, metadata, intervals, signals)| {
            let (units, activity, trials, unit_columns) = own;
            let signals = signals.iter().enumerate().map(|(i, s)| renamed(s, format!("s{i}"))).collect();
            Recording::from_parts(RecordingParts {
                info: made::info("s"),
                metadata,
                units,
                unit_columns,
                electrodes,
                activity,
                trials,
                intervals,
                signals,
            })
            .unwrap()
        })
}

/// Bit patterns of all floating-point numbers, since `==` takes -0 for 0.
fn bits(recording: &Recording) -> Vec<u64> {
    let mut bits: Vec<u64> = recording
        .trials()
        .intervals()
        .iter()
        .flat_map(|i| [i.start_s.to_bits(), i.end_s.to_bits()])
        .collect();
    match recording.activity() {
        Activity::Spikes(spikes) => bits.extend(spikes.times_s().iter().map(|t| t.to_bits())),
        Activity::Counts(counts) => bits.push(counts.bin_size_s().to_bits()),
    }
    bits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_what_is_read(recording in recording()) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path()).unwrap();
        let digest = store.write(&recording).unwrap();
        let session = &recording.info().session;
        let back = store.read(session).unwrap();
        prop_assert_eq!(&back, &recording);
        prop_assert_eq!(bits(&back), bits(&recording));
        prop_assert_eq!(back.n_spikes(), recording.n_spikes());
        prop_assert_eq!(&store.info(session).unwrap(), recording.info());
        prop_assert_eq!(store.digest(session).unwrap(), digest.digest);

        let other = Store::create(folder.path().join("other-store-beside")).unwrap();
        prop_assert_eq!(other.write(&back).unwrap().digest, store.digest(session).unwrap());
    }

    #[test]
    fn sorting_keeps_every_spike(pairs in vec((finite(), 0..9_u32), 0..300)) {
        let (times_s, units): (Vec<f64>, Vec<u32>) = pairs.iter().copied().unzip();
        let spikes = Spikes::from_unsorted(times_s, units).unwrap();
        prop_assert_eq!(&Spikes::new(spikes.times_s().to_vec(), spikes.units().to_vec()).unwrap(), &spikes);
        let mut before: Vec<(u64, u32)> = pairs.iter().map(|&(t, u)| (t.to_bits(), u)).collect();
        let mut after: Vec<(u64, u32)> = spikes.times_s().iter().map(|t| t.to_bits()).zip(spikes.units().iter().copied()).collect();
        before.sort_unstable();
        after.sort_unstable();
        prop_assert_eq!(before, after);
    }
}

#[test]
fn more_spikes_than_a_row_group_and_more_counts_than_a_batch() {
    let n = 1_300_000_u32;
    let times = (0..n).map(|i| f64::from(i) * 1e-3).collect();
    let spikes = Spikes::new(times, (0..n).map(|i| i % 5).collect()).unwrap();
    let long =
        Recording::new(made::info("long"), made::units(5), Activity::Spikes(spikes), Trials::default())
            .unwrap();
    let values = (0..7 * 5 * 150_000_u32).map(|i| u16::try_from(i % 7).unwrap()).collect();
    let counts = BinnedCounts::new(0.001, 7, 5, 150_000, values).unwrap();
    let wide = Recording::new(made::info("wide"), made::units(5), Activity::Counts(counts), made::trials(7))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    for recording in [&long, &wide] {
        store.write(recording).unwrap();
        assert_eq!(&store.read(&recording.info().session).unwrap(), recording);
    }
}

#[test]
fn a_signal_longer_than_a_row_group() {
    let n = 1_300_000;
    let column =
        |name: &str, samples| SignalColumn { name: name.into(), unit: None, description: None, samples };
    let times_s = (0..n).map(|i| f64::from(i) * 1e-3).collect();
    let columns = vec![column("up", Samples::Int((0..i64::from(n)).collect()))];
    let signal = Signal::new("long", None, Clock::Irregular { times_s }, columns).unwrap();
    let mut parts = made::spikes_recording("long").into_parts();
    parts.signals.push(signal);
    let recording = Recording::from_parts(parts).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    store.write(&recording).unwrap();
    assert_eq!(store.read(&recording.info().session).unwrap(), recording);
}

/// That times are stand-ins is kept; nothing of it stands in the files of sessions that have times.
#[test]
fn trials_without_times_come_back_without() {
    let mut parts = made::counts_recording("timeless").into_parts();
    let columns = parts.trials.columns().to_vec();
    parts.trials = Trials::end_to_end(4, 1.5, columns.clone()).unwrap();
    let (first, last) = (parts.trials.intervals()[0], parts.trials.intervals()[3]);
    assert_eq!((first.start_s, first.end_s, last.start_s, last.end_s), (0.0, 1.5, 4.5, 6.0));
    let recording = Recording::from_parts(parts.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let timed = made::counts_recording("timed");
    for (recording, has_times) in [(&recording, false), (&timed, true)] {
        let session = &recording.info().session;
        store.write(recording).unwrap();
        let back = store.read(session).unwrap();
        assert_eq!((&back, back.trials().has_times()), (recording, has_times));
        let file = folder.path().join(format!("{session}/session.json"));
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.contains("end_to_end"), !has_times, "{text}");
    }
    // Events of a source have times, or are none.
    let rows = Trials::end_to_end(2, 1.0, Vec::new()).unwrap();
    parts.intervals = vec![IntervalTable { name: "epochs".into(), description: None, rows }];
    let error = Recording::from_parts(parts).unwrap_err().to_string();
    assert!(error.contains("interval table \"epochs\""), "{error}");
}

/// A card without the field is written as before it was there, so that digests stay.
#[test]
fn what_is_said_of_ethics_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    for (session, ethics) in
        [("silent", None), ("said", Some("approved by the board, protocol 7".to_owned()))]
    {
        let mut parts = made::counts_recording(session).into_parts();
        parts.info.card.ethics.clone_from(&ethics);
        let recording = Recording::from_parts(parts).unwrap();
        store.write(&recording).unwrap();
        assert_eq!(store.read(&recording.info().session).unwrap(), recording);
        let text = std::fs::read_to_string(store.path().join(session).join("session.json")).unwrap();
        assert_eq!(text.contains("ethics"), ethics.is_some(), "{text}");
        let shown = format!("ethics    {}", ethics.as_deref().unwrap_or("unknown"));
        assert!(summary(&recording).to_string().contains(&shown), "{}", summary(&recording));
    }
}

/// The folder was written before there were signals and interval tables, and when spikes were still compressed.
#[test]
fn a_store_of_version_1_opens_and_counts_are_still_written_so() {
    let old =
        Store::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/store-v1")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let new = Store::create(folder.path()).unwrap();
    for recording in [made::spikes_recording("spikes"), made::counts_recording("counts")] {
        let session = &recording.info().session;
        assert_eq!(old.read(session).unwrap(), recording);
        let digest = new.write(&recording).unwrap().digest;
        let is_same = digest == old.digest(session).unwrap();
        assert_eq!(is_same, matches!(recording.activity(), Activity::Counts(_)), "{session}");
    }
}

#[test]
fn row_finds_the_bins_of_a_trial_and_unit() {
    let counts = BinnedCounts::new(0.01, 2, 3, 2, (0..12).collect()).unwrap();
    assert_eq!(counts.row(0, 0), [0, 1]);
    assert_eq!(counts.row(0, 1), [2, 3]);
    assert_eq!(counts.row(1, 0), [6, 7]);
    assert_eq!(counts.row(1, 2), [10, 11]);
    assert_eq!(counts.n_spikes(), 66);
}
