//! Splits by time, session, subject and unit, mixed batches, signals on bins, and filters of units.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use std::collections::{BTreeMap, BTreeSet};

use neurobrick_data::{
    Alignment, BehaviorConfig, BlockConfig, DataError, Draw, Grid, MixedPlan, Part, ResampleRule,
    SessionData, SessionSplit, SessionWeights, SplitBy, SplitConfig, SplitOrder, TrialSplit, UnitFilter,
    WindowConfig, hold_out_units, resampling_clusters,
};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::{
    Activity, BinnedCounts, Clock, Column, ColumnValues, Interval, ListValues, Recording, RegionLevel,
    Samples, SessionId, Signal, SignalColumn, Spikes, SubjectId, Trials, unit_quality,
};
use proptest::prelude::*;

fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn windows(starts: impl IntoIterator<Item = f64>, length_s: f64) -> Vec<Interval> {
    starts.into_iter().map(|start| Interval::new(start, start + length_s).unwrap()).collect()
}

#[test]
fn blocks_follow_the_pattern_of_the_benchmark() {
    let all = windows((0..3000).map(f64::from), 1.0);
    let split = BlockConfig::brain_wide_bench().split(&session("a"), &all).unwrap();
    // Blocks of 300 s: train, test, train, valid, test, train, test ...; gaps are cut from what comes before test.
    assert_eq!((split.train[0], split.test[0]), (0, 300));
    assert!(split.train.contains(&279) && !split.train.contains(&280), "20 s before a test block");
    assert!(split.test.contains(&599) && !split.train.contains(&619) && split.train.contains(&620));
    assert!(split.valid.contains(&900) && split.valid.contains(&1179) && !split.valid.contains(&1180));
    assert_eq!(split.test.len(), 4 * 300, "test windows do not depend on the gap");
    assert_eq!(split.valid.len(), 280 + 280);
}

proptest! {
    // A generator that is refused as often as it is used proves little.
    #![proptest_config(ProptestConfig { cases: 64, max_global_rejects: 64, ..ProptestConfig::default() })]

    #[test]
    fn parts_are_a_gap_apart(
        starts in prop::collection::vec(0_u32..100_000, 50..300), length in 1_u32..300, gap in 0_u32..500, block in 300_u32..4000,
    ) {
        let all = windows(starts.iter().map(|s| f64::from(*s) / 10.0), f64::from(length) / 10.0);
        let blocks = BlockConfig {
            block_s: f64::from(block) / 10.0,
            gap_s: f64::from(gap) / 10.0,
            pattern: vec![Part::Train, Part::Test, Part::Train, Part::Valid],
        };
        let split = blocks.split(&session("a"), &all);
        // Few windows may leave a part empty; nothing else may go wrong.
        prop_assume!(!matches!(split, Err(DataError::TooFewTrials { .. })));
        let split = split.unwrap();
        let parts = [&split.train, &split.valid, &split.test];
        for (i, one) in parts.iter().enumerate() {
            for other in &parts[i + 1..] {
                for &a in *one {
                    for &b in *other {
                        let apart = (all[b].start_s - all[a].end_s).max(all[a].start_s - all[b].end_s);
                        prop_assert!(apart >= blocks.gap_s - 1e-9, "{} and {}: {}", a, b, apart);
                    }
                }
            }
        }
    }

    /// Whatever the number of workers, a step of the run sees the same windows; unweighted, an epoch sees each once.
    #[test]
    fn workers_share_what_one_would_see(
        n_windows in prop::collection::vec(0_usize..30, 1..6), per_worker in 1_usize..5, world in 1_usize..5, seed in any::<u64>(), step in 0_u64..50,
    ) {
        prop_assume!(n_windows.iter().sum::<usize>() > 0);
        let tokens: Vec<u64> = n_windows.iter().map(|&n| n as u64 * 7).collect();
        for weights in [SessionWeights::Windows, SessionWeights::Equal, SessionWeights::Tokens(tokens)] {
            let one = MixedPlan::new(&n_windows, &weights, per_worker * world, 1, seed).unwrap();
            let many = MixedPlan::new(&n_windows, &weights, per_worker, world, seed).unwrap();
            let shared: Vec<Draw> = (0..world).flat_map(|rank| many.batch(step, rank)).collect();
            prop_assert_eq!(&shared, &one.batch(step, 0));
            prop_assert!(shared.iter().all(|draw| draw.window < n_windows[draw.session_idx]));
            if weights == SessionWeights::Windows {
                let epoch = one.steps_per_epoch() as u64;
                let seen: Vec<Draw> = (epoch..2 * epoch).flat_map(|step| one.batch(step, 0)).collect();
                let distinct: BTreeSet<&Draw> = seen.iter().collect();
                prop_assert_eq!((seen.len(), distinct.len()), (n_windows.iter().sum(), n_windows.iter().sum()));
            }
        }
    }

    #[test]
    fn whole_subjects_are_dealt(subjects in prop::collection::vec(0_u8..8, 6..40), seed in any::<u64>()) {
        let name = |(i, s): (usize, &u8)| (session(&format!("s{i}")), SubjectId::new(format!("m{s}")).unwrap());
        let list: Vec<(SessionId, SubjectId)> = subjects.iter().enumerate().map(name).collect();
        let Ok(split) = SessionSplit::new(&list, SplitBy::Subject, 0.2, 0.2, seed) else {
            prop_assert!(subjects.iter().collect::<BTreeSet<_>>().len() < 3);
            return Ok(());
        };
        let of = |part: &[usize]| part.iter().map(|&i| list[i].1.clone()).collect::<BTreeSet<_>>();
        let (train, valid, test) = (of(&split.train), of(&split.valid), of(&split.test));
        prop_assert!(train.is_disjoint(&valid) && train.is_disjoint(&test) && valid.is_disjoint(&test));
        prop_assert_eq!(split.train.len() + split.valid.len() + split.test.len(), list.len());
        // The order of the list does not matter.
        let reversed: Vec<_> = list.iter().rev().cloned().collect();
        let again = SessionSplit::new(&reversed, SplitBy::Subject, 0.2, 0.2, seed).unwrap();
        let names = |list: &[(SessionId, SubjectId)], part: &[usize]| part.iter().map(|&i| list[i].0.clone()).collect::<BTreeSet<_>>();
        prop_assert_eq!(names(&list, &split.test), names(&reversed, &again.test));
    }
}

#[test]
fn weights_are_kept_on_average() {
    let n_windows = [100, 10, 0];
    let share = |weights: SessionWeights| {
        let plan = MixedPlan::new(&n_windows, &weights, 50, 1, 3).unwrap();
        let draws: Vec<Draw> = (0..100).flat_map(|step| plan.batch(step, 0)).collect();
        draws.iter().filter(|draw| draw.session_idx == 0).count() as f64 / draws.len() as f64
    };
    // 5000 draws: a standard deviation is below .0071.
    assert!((share(SessionWeights::Equal) - 0.5).abs() < 0.03);
    assert!((share(SessionWeights::Tokens(vec![3, 1, 9])) - 0.75).abs() < 0.03);
    for (windows, weights) in [
        (&[0][..], SessionWeights::Windows),
        (&[3, 3][..], SessionWeights::Tokens(vec![1])),
        (&[3][..], SessionWeights::Tokens(vec![0])),
    ] {
        assert!(matches!(MixedPlan::new(windows, &weights, 2, 1, 0), Err(DataError::BadSampler { .. })));
    }
}

/// Prefix, number of units, and what Python holds out of them.
const GOLDEN: &[(&str, usize, &[usize])] = &[
    ("ts2_co_smoothing_test:", 25, &[0, 4]),
    ("ts2_co_smoothing_test:", 15, &[0, 4]),
    ("ts2_co_smoothing_test:", 7, &[0]),
    ("ts2_co_smoothing_val:", 25, &[3, 11]),
    ("ts2_co_smoothing_val:", 7, &[3]),
];

#[test]
fn units_are_held_out_as_python_does() {
    let ids: Vec<String> = (0..25).map(|i| format!("unit-{i}")).collect();
    // sorted(range(n), key=lambda i: sha256((prefix + ids[i]).encode()).hexdigest())[:max(1, round(.1 * n))]
    for (prefix, n, expected) in GOLDEN {
        assert_eq!(hold_out_units(&ids[..*n], prefix, 0.1).unwrap(), *expected, "{prefix} {n}");
    }
    for (n, fraction) in [(1, 0.1), (5, 0.0), (5, 1.0), (5, 0.95)] {
        assert!(matches!(hold_out_units(&ids[..n], "", fraction), Err(DataError::BadHoldout { .. })), "{n}");
    }
}

fn with_signal(clock: Clock, values: Vec<f64>) -> Vec<Signal> {
    let column =
        SignalColumn { name: "v".into(), unit: None, description: None, samples: Samples::Float(values) };
    vec![Signal::new("wheel", None, clock, vec![column]).unwrap()]
}

fn on_grid(signals: &[Signal], rule: ResampleRule, max_gap_s: f64) -> Vec<f64> {
    let config = BehaviorConfig { signal: "wheel".into(), column: "v".into(), rule, max_gap_s };
    config.on_grid(signals, &Grid::new(0.0, 0.1, 5).unwrap()).unwrap()
}

/// Equal, with NaN equal to NaN.
#[track_caller]
fn check(found: &[f64], expected: &[f64]) {
    let same = |(a, b): (&f64, &f64)| (a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-12;
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(same),
        "{found:?}, not {expected:?}"
    );
}

#[test]
fn signals_get_onto_bins_by_stated_rules() {
    const NAN: f64 = f64::NAN;
    // Bins of 0.1 s with middles .05 .15 .25 .35 .45; a gap from .12 to .4, and a NaN.
    let times_s = vec![0.0, 0.02, 0.08, 0.1, 0.12, 0.4, 0.42];
    let signals = with_signal(Clock::Irregular { times_s }, vec![1.0, 2.0, NAN, 4.0, 6.0, 8.0, 10.0]);
    check(&on_grid(&signals, ResampleRule::Mean, 0.05), &[1.5, 5.0, NAN, NAN, 9.0]);
    check(&on_grid(&signals, ResampleRule::Nearest, 0.035), &[2.0, 6.0, NAN, NAN, 10.0]);
    // A middle whose nearest sample is NaN is NaN; beyond the last sample there is no line.
    check(
        &on_grid(&signals, ResampleRule::Linear, 0.3),
        &[NAN, 6.0 + 2.0 * 0.03 / 0.28, 6.0 + 2.0 * 0.13 / 0.28, 6.0 + 2.0 * 0.23 / 0.28, NAN],
    );
    check(&on_grid(&signals, ResampleRule::Linear, 0.1), &[NAN, NAN, NAN, NAN, NAN]);
    // A regular clock: a line stays a line, and samples on middles stay themselves.
    let line: Vec<f64> = (0..60).map(f64::from).collect();
    let regular = with_signal(Clock::Regular { start_s: 0.0, rate_hz: 100.0 }, line);
    check(&on_grid(&regular, ResampleRule::Linear, 0.02), &[5.0, 15.0, 25.0, 35.0, 45.0]);
    check(&on_grid(&regular, ResampleRule::Nearest, 0.02), &[5.0, 15.0, 25.0, 35.0, 45.0]);
    check(&on_grid(&regular, ResampleRule::Mean, 0.02), &[4.5, 14.5, 24.5, 34.5, 44.5]);
    let grid = Grid::new(0.0, 0.1, 5).unwrap();
    let unknown = |signal: &str, column: &str, max_gap_s| {
        let (signal, column) = (signal.to_owned(), column.to_owned());
        BehaviorConfig { signal, column, rule: ResampleRule::Mean, max_gap_s }
            .on_grid(&regular, &grid)
            .unwrap_err()
            .to_string()
    };
    assert!(unknown("pupil", "v", 0.1).contains("no signal pupil; there are: wheel"));
    assert!(unknown("wheel", "x", 0.1).contains("wheel, column x; there are: v"));
    assert!(unknown("wheel", "v", 0.0).contains("received 0"));
}

fn spiking(n_units: usize, spikes: &[(f64, u32)]) -> Recording {
    let (times, units) = spikes.iter().copied().unzip();
    made::recording(n_units, Spikes::from_unsorted(times, units).unwrap())
}

#[test]
fn behavior_lies_on_the_bins_of_the_windows() {
    let mut parts = spiking(1, &[(0.0, 0), (4.0, 0)]).into_parts();
    let speed: Vec<f64> = (0..400).map(|i| f64::from(i) / 100.0).collect();
    parts.signals = with_signal(Clock::Regular { start_s: 0.0, rate_hz: 100.0 }, speed);
    parts.trials = Trials::new(windows([1.0, 3.0], 1.0), Vec::new()).unwrap();
    let recording = Recording::from_parts(parts).unwrap();
    let window = WindowConfig { align: Alignment::TrialStart, start_s: 0.0, end_s: 1.0, bin_size_s: 0.5 };
    let data = SessionData::new(&recording, &window).unwrap();
    let config = BehaviorConfig {
        signal: "wheel".into(),
        column: "v".into(),
        rule: ResampleRule::Linear,
        max_gap_s: 0.02,
    };
    let values = data.behavior(&recording, &config).unwrap();
    check(values.as_slice().unwrap(), &[1.25, 1.75, 3.25, 3.75]);
}

#[test]
fn overlapping_windows_are_split_by_blocks_only() {
    let spikes: Vec<(f64, u32)> = (0..2000).map(|i| (f64::from(i) * 0.5, 0)).collect();
    let recording = spiking(1, &spikes);
    let window = WindowConfig { align: Alignment::Every(0.5), start_s: 0.0, end_s: 1.0, bin_size_s: 0.1 };
    let data = SessionData::new(&recording, &window).unwrap();
    let error = TrialSplit::of(&data, &SplitConfig::default(), 1).unwrap_err();
    assert!(matches!(error, DataError::OverlapLeaks { .. }), "{error}");
    let pattern = vec![Part::Train, Part::Valid, Part::Test];
    let order = SplitOrder::Blocks(BlockConfig { block_s: 100.0, gap_s: 2.0, pattern });
    let config = SplitConfig { order, ..SplitConfig::default() };
    let split = TrialSplit::of(&data, &config, 1).unwrap();
    assert!(split.train.len() > 500 && split.valid.len() > 300 && split.test.len() > 300);
    let with_fractions = SplitConfig { train: 0.6, test: 0.3, ..config };
    assert!(matches!(TrialSplit::of(&data, &with_fractions, 1), Err(DataError::BlocksAndFractions)));
    let apart = WindowConfig { align: Alignment::Every(1.0), ..window };
    let data = SessionData::new(&recording, &apart).unwrap();
    TrialSplit::of(&data, &SplitConfig::default(), 1).unwrap();
}

/// Windows of ten samples that slide by two see each sample five times. Their mean strays as the clusters say; taken one by
/// one they would claim less than half of it.
#[test]
fn clusters_of_windows_tell_how_far_their_mean_strays() {
    let stride = |every: u32, n: u32| windows((0..n).map(|i| f64::from(i * every) / 10.0), 1.0);
    let all = stride(2, 2000);
    let clusters = resampling_clusters(&all);
    let distinct: BTreeSet<usize> = clusters.iter().copied().collect();
    assert_eq!(distinct.len(), 40, "pieces of ten seconds");
    assert!(clusters.is_sorted());
    let (mut means, mut by_cluster, mut by_window) = (Vec::new(), 0.0, 0.0);
    for draw in 0..200 {
        let mut stream = Stream::new(1, Domain::Synthetic, [draw, 0, 0]);
        let samples: Vec<f64> = (0..4008).map(|_| stream.normal()).collect();
        let values: Vec<f64> = (0..2000).map(|i| samples[2 * i..2 * i + 10].iter().sum()).collect();
        let mean = values.iter().sum::<f64>() / 2000.0;
        let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
        for (value, cluster) in values.iter().zip(&clusters) {
            *sums.entry(*cluster).or_default() += value - mean;
        }
        means.push(mean);
        by_cluster += sums.values().map(|sum| sum * sum).sum::<f64>() / 2000.0f64.powi(2) / 200.0;
        by_window += values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2000.0f64.powi(2) / 200.0;
    }
    let truth = means.iter().map(|mean| mean * mean).sum::<f64>() / 200.0;
    // 200 draws leave a tenth of noise in the variance.
    assert!((0.75..1.3).contains(&(by_cluster / truth)), "{by_cluster} {truth}");
    assert!(by_window < 0.25 * truth, "{by_window} {truth}");

    assert_eq!(resampling_clusters(&stride(10, 5)), [0, 1, 2, 3, 4], "windows that touch share nothing");
    let shuffled = [9.5, 0.0, 20.0, 0.5, 9.0].map(|start_s| Interval { start_s, end_s: start_s + 1.0 });
    assert_eq!(resampling_clusters(&shuffled), [1, 0, 2, 0, 1]);
    assert!(resampling_clusters(&[]).is_empty());
}

#[test]
fn units_are_judged_and_filtered() {
    // Unit 0: 101 spikes over 100 s; unit 1: a burst with short intervals; unit 2: silent.
    let mut spikes: Vec<(f64, u32)> = (0..=100).map(|i| (f64::from(i), 0)).collect();
    spikes.extend((0..10).map(|i| (50.0 + f64::from(i) * 0.001, 1)));
    let mut parts = spiking(3, &spikes).into_parts();
    parts.units[0].quality = Some(1.0);
    parts.units[1].region = "VISp".into();
    let text = |values: [&str; 3]| ColumnValues::Text(values.map(|v| Some(v.to_owned())).to_vec());
    let list = ListValues::new(vec![2, 2, 3], ColumnValues::Int(vec![Some(7), Some(8), Some(9)])).unwrap();
    let column = |name: &str, values| Column { name: name.into(), unit: None, description: None, values };
    parts.unit_columns =
        vec![column("group", text(["good", "mua", "good"])), column("channels", ColumnValues::List(list))];
    let recording = Recording::from_parts(parts).unwrap();
    let quality = unit_quality(&recording);
    assert_eq!((quality[0].n_spikes, quality[1].n_spikes, quality[2].n_spikes), (101, 10, 0));
    assert!((quality[0].rate_hz - 1.01).abs() < 1e-12);
    assert_eq!((quality[0].presence_ratio, quality[1].presence_ratio), (Some(1.0), Some(0.01)));
    assert_eq!(
        (quality[0].refractory_share, quality[1].refractory_share, quality[2].refractory_share),
        (Some(0.0), Some(1.0), None)
    );
    let passing = |filter: UnitFilter| filter.passing(&recording).unwrap();
    let none = UnitFilter::default;
    assert_eq!(passing(none()), [0, 1, 2]);
    assert_eq!(passing(UnitFilter { min_rate_hz: Some(0.05), ..none() }), [0, 1]);
    assert_eq!(passing(UnitFilter { min_presence_ratio: Some(0.5), ..none() }), [0]);
    assert_eq!(passing(UnitFilter { max_refractory_share: Some(0.1), ..none() }), [0, 2]);
    assert_eq!(passing(UnitFilter { min_quality: Some(1.0), ..none() }), [0]);
    assert_eq!(passing(UnitFilter { regions: vec!["CA1".into()], ..none() }), [0, 2]);
    let labels = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), vec![value.to_owned()])]);
    let good = UnitFilter { labels: labels("group", "good"), ..none() };
    assert_eq!(passing(good.clone()), [0, 2]);
    let filtered = good.apply(recording.clone()).unwrap();
    assert_eq!((filtered.n_units(), filtered.n_spikes()), (2, 101));
    assert_eq!(filtered.units()[1].id, "u2");
    let ColumnValues::List(channels) = &filtered.unit_column("channels").unwrap().values else {
        unreachable!()
    };
    assert_eq!(
        (channels.ends(), channels.items()),
        (&[2, 3][..], &ColumnValues::Int(vec![Some(7), Some(8), Some(9)]))
    );
    let coarse =
        UnitFilter { region_level: RegionLevel::Cosmos, regions: vec!["Isocortex".into()], ..none() };
    let cortex = coarse.apply(recording.clone()).unwrap();
    assert_eq!((cortex.n_units(), cortex.units()[0].region.as_str()), (1, "Isocortex"));
    let strict = UnitFilter { min_rate_hz: Some(2.0), ..none() };
    let error = strict.passing(&recording).unwrap_err().to_string();
    assert!(
        error.contains("none of 3 units passes") && error.contains("min_rate_hz = 2 takes out 3"),
        "{error}"
    );
    let unknown = UnitFilter { labels: labels("ks_label", "good"), ..none() };
    assert!(unknown.passing(&recording).unwrap_err().to_string().contains("no column `ks_label`"));
}

#[test]
fn counts_are_filtered_by_what_counts_can_tell() {
    let values: Vec<u16> = (0..2 * 3 * 4).map(|i| u16::from(i / 4 % 3 != 1)).collect();
    let mut parts = made::recording(3, Spikes::default()).into_parts();
    parts.activity = Activity::Counts(BinnedCounts::new(0.1, 2, 3, 4, values).unwrap());
    parts.trials = Trials::new(windows([0.0, 1.0], 0.4), Vec::new()).unwrap();
    let recording = Recording::from_parts(parts).unwrap();
    let filter = UnitFilter { min_rate_hz: Some(1.0), ..UnitFilter::default() };
    let filtered = filter.apply(recording.clone()).unwrap();
    let Activity::Counts(counts) = filtered.activity() else { unreachable!() };
    assert_eq!((counts.n_units(), counts.n_spikes()), (2, 16));
    let presence = UnitFilter { min_presence_ratio: Some(0.1), ..UnitFilter::default() };
    assert!(matches!(
        presence.apply(recording),
        Err(DataError::NeedsSpikeTimes { rule: "min_presence_ratio", .. })
    ));
}

/// The unit that spiked first and last does not pass; what was recorded stays what it was.
#[test]
fn filters_do_not_change_which_trials_are_usable() {
    let mut spikes: Vec<(f64, u32)> = (0..40).map(|i| (2.5 + f64::from(i) * 0.1, 0)).collect();
    spikes.extend([(0.0, 1), (10.0, 1)]);
    let mut parts = spiking(2, &spikes).into_parts();
    parts.trials = Trials::new(windows([0.5, 3.0, 7.0, 9.5], 1.0), Vec::new()).unwrap();
    let recording = Recording::from_parts(parts).unwrap();
    let filter = UnitFilter { min_rate_hz: Some(1.0), ..UnitFilter::default() };
    for (align, n_windows) in [(Alignment::TrialStart, 3), (Alignment::Every(1.0), 10)] {
        let window = WindowConfig { align, start_s: 0.0, end_s: 1.0, bin_size_s: 0.5 };
        let all = SessionData::new(&recording, &window).unwrap();
        let (data, filtered) = SessionData::of_units(recording.clone(), &filter, &window).unwrap();
        assert_eq!((data.n_units(), filtered.n_units(), data.n_trials()), (1, 1, n_windows));
        assert_eq!((data.windows(), data.trial_idx()), (all.windows(), all.trial_idx()));
        assert_eq!(data.excluded(), all.excluded());
        let first_unit = |data: &SessionData| data.counts().index_axis(ndarray::Axis(2), 0).to_owned();
        assert_eq!(first_unit(&data), first_unit(&all));
    }
}
