//! Splits that the source made: values of a trial column, parts cut off others, and sessions that do not say when trials
//! were.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a few trials")]

mod made;

use std::collections::BTreeSet;

use neurobrick_data::{
    Alignment, BlockConfig, ColumnConfig, CutConfig, CutOrder, DataError, Part, SessionData, SplitConfig,
    SplitOrder, TrialSplit, WindowConfig,
};
use neurobrick_schema::{Activity, BinnedCounts, Column, ColumnValues, Interval, Recording, Spikes, Trials};
use proptest::prelude::*;

fn text(name: &str, values: &[&str]) -> Column {
    let values = values.iter().map(|value| Some((*value).to_owned())).collect();
    Column { name: name.into(), unit: None, description: None, values: ColumnValues::Text(values) }
}

/// Counts of one unit in two bins of every trial.
fn of_trials(trials: Trials) -> SessionData {
    let mut parts = made::parts(1, Spikes::new(Vec::new(), Vec::new()).unwrap());
    let n = trials.len();
    parts.activity = Activity::Counts(BinnedCounts::new(0.5, n, 1, 2, vec![1; 2 * n]).unwrap());
    parts.trials = trials;
    let window = WindowConfig { align: Alignment::TrialStart, start_s: 0.0, end_s: 1.0, bin_size_s: 0.5 };
    SessionData::new(&Recording::from_parts(parts).unwrap(), &window).unwrap()
}

fn without_times(values: &[&str]) -> SessionData {
    of_trials(Trials::end_to_end(values.len(), 1.0, vec![text("split", values)]).unwrap())
}

fn with_times(starts_s: &[f64], values: &[&str]) -> SessionData {
    let interval = |&start_s: &f64| Interval { start_s, end_s: start_s + 1.0 };
    of_trials(Trials::new(starts_s.iter().map(interval).collect(), vec![text("split", values)]).unwrap())
}

fn names(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// LFADS's files have no test trials: those that validate there test here.
fn lfads(fraction: f64, cut_order: CutOrder) -> ColumnConfig {
    ColumnConfig {
        name: "split".into(),
        train: names(&["train"]),
        valid: Vec::new(),
        test: names(&["valid"]),
        leave_out: Vec::new(),
        cut: vec![CutConfig { part: Part::Valid, from: Part::Train, fraction }],
        cut_order,
    }
}

fn split(data: &SessionData, column: &ColumnConfig, seed: u64) -> Result<TrialSplit, DataError> {
    let order = SplitOrder::Column(column.clone());
    TrialSplit::of(data, &SplitConfig { order, ..SplitConfig::default() }, seed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_trial_changes_sides(
        places in prop::collection::vec(0_usize..4, 20..120), seed in any::<u64>(), other in any::<u64>(),
        percent in 10_u32..90, is_random in any::<bool>(),
    ) {
        let kinds = ["train", "eval", "extra", "broken"];
        let values: Vec<&str> = places.iter().map(|&place| kinds[place]).collect();
        let data = without_times(&values);
        let fraction = f64::from(percent) / 100.0;
        let config = ColumnConfig {
            test: names(&["eval", "extra"]),
            leave_out: names(&["broken"]),
            cut_order: if is_random { CutOrder::Random } else { CutOrder::Chronological },
            ..lfads(fraction, CutOrder::Chronological)
        };
        let of = |wanted: &[usize]| (0..places.len()).filter(|&i| wanted.contains(&places[i])).collect::<Vec<_>>();
        let (given, test) = (of(&[0]), of(&[1, 2]));
        let n_cut = (fraction * given.len() as f64).round() as usize;
        let found = split(&data, &config, seed);
        if n_cut == 0 || n_cut >= given.len() || test.is_empty() {
            let is_empty = matches!(found, Err(DataError::EmptyPart { .. }));
            prop_assert!(is_empty, "{found:?}");
            return Ok(());
        }
        let found = found.unwrap();
        prop_assert_eq!(&found.test, &test);
        prop_assert_eq!(found.valid.len(), n_cut);
        let mut both = [&found.train[..], &found.valid].concat();
        both.sort_unstable();
        prop_assert_eq!(both, given);
        prop_assert!(found.train.is_sorted() && found.valid.is_sorted());
        if !is_random {
            prop_assert!(found.train.last() < found.valid.first());
        }
        prop_assert_eq!(&split(&data, &config, seed).unwrap(), &found);
        let again = split(&data, &config, other).unwrap();
        prop_assert_eq!(&again.test, &test);
        if !is_random {
            prop_assert_eq!(again, found);
        }
    }

    #[test]
    fn few_calibration_trials_lie_within_more(
        n_train in 4_usize..60, n_test in 1_usize..20, max in 2_usize..80, seed in any::<u64>(),
    ) {
        let values = [vec!["train"; n_train], vec!["valid"; n_test]].concat();
        let data = without_times(&values);
        let of = |max_calibration| {
            let order = SplitOrder::Column(lfads(0.25, CutOrder::Chronological));
            let config = SplitConfig { order, max_calibration, ..SplitConfig::default() };
            TrialSplit::of(&data, &config, seed).unwrap()
        };
        let (all, more, few) = (of(None), of(Some(max + 1)), of(Some(max)));
        prop_assert_eq!(few.train.len() + few.valid.len(), max.min(n_train));
        prop_assert_eq!(&few.test, &all.test);
        let within = |inner: &[usize], outer: &[usize]| inner.iter().all(|trial| outer.contains(trial));
        prop_assert!(within(&few.train, &more.train) && within(&few.valid, &more.valid));
        prop_assert!(within(&more.train, &all.train) && within(&more.valid, &all.valid));
    }
}

#[test]
fn a_random_cut_follows_the_seed() {
    let data = without_times(&[vec!["train"; 40], vec!["valid"; 8]].concat());
    let cuts: BTreeSet<Vec<usize>> =
        (0..8).map(|seed| split(&data, &lfads(0.25, CutOrder::Random), seed).unwrap().valid).collect();
    assert_eq!(cuts.len(), 8);
}

#[test]
fn cuts_keep_the_order_of_time() {
    // The source lists trials backwards.
    let starts_s: Vec<f64> = (0..10).rev().map(|i| f64::from(i) * 2.0).collect();
    let data = with_times(&starts_s, &["train"; 10]);
    let cut = |part, fraction| CutConfig { part, from: Part::Train, fraction };
    let config = ColumnConfig {
        test: Vec::new(),
        cut: vec![cut(Part::Test, 0.3), cut(Part::Valid, 0.2)],
        ..lfads(0.2, CutOrder::Chronological)
    };
    let found = split(&data, &config, 1).unwrap();
    assert_eq!((&found.test[..], &found.valid[..], found.train[0]), (&[0, 1, 2][..], &[3, 4][..], 5));
    // What validates comes before what tests, also where it is cut off that.
    let values = ["test", "test", "test", "test", "train", "train", "train", "train", "train", "train"];
    let data = with_times(&starts_s, &values);
    let cut = vec![CutConfig { part: Part::Valid, from: Part::Test, fraction: 0.5 }];
    let config = ColumnConfig { test: names(&["test"]), cut, ..lfads(0.2, CutOrder::Chronological) };
    let found = split(&data, &config, 1).unwrap();
    assert_eq!((&found.test[..], &found.valid[..]), (&[0, 1][..], &[2, 3][..]));
}

#[test]
fn windows_that_overlap_stay_on_one_side() {
    let three = |values: [&str; 6]| {
        let data = with_times(&[0.0, 0.5, 4.0, 4.5, 8.0, 8.5], &values);
        let named = [names(&["a"]), names(&["b"]), names(&["c"])];
        let [train, valid, test] = named;
        let config = ColumnConfig { train, valid, test, cut: Vec::new(), ..lfads(0.5, CutOrder::Random) };
        split(&data, &config, 1)
    };
    let found = three(["a", "a", "b", "b", "c", "c"]).unwrap();
    assert_eq!((found.train, found.valid, found.test), (vec![0, 1], vec![2, 3], vec![4, 5]));
    assert!(matches!(three(["a", "a", "b", "b", "c", "a"]), Err(DataError::OverlapLeaks { .. })));
}

#[test]
fn what_makes_no_split_is_refused() {
    let data = without_times(&["train", "train", "train", "valid", "valid"]);
    let good = lfads(0.34, CutOrder::Chronological);
    assert_eq!(split(&data, &good, 1).unwrap().valid, [2]);
    let check = |change: &dyn Fn(&mut ColumnConfig), says: &str| {
        let mut config = good.clone();
        change(&mut config);
        let message = split(&data, &config, 1).unwrap_err().to_string();
        assert!(message.contains(says), "{message:?} does not say {says:?}");
    };
    let cut = |part, from, fraction| vec![CutConfig { part, from, fraction }];
    let from_train = |fraction| cut(Part::Valid, Part::Train, fraction);
    check(
        &|c| c.name = "fold".into(),
        "no column `fold` of text, whole numbers or truth values to split by; they have: split",
    );
    check(&|c| c.test = names(&["eval"]), "`split` of trial 3 is \"valid\", which neither");
    check(&|c| c.test = names(&["valid", "train"]), "\"train\" is named twice");
    check(&|c| c.leave_out = names(&["valid"]), "\"valid\" is named twice");
    check(&|c| c.cut.clear(), "valid has neither values nor a cut");
    check(&|c| c.cut = [from_train(0.2), from_train(0.3)].concat(), "valid is cut 2 times");
    check(&|c| c.cut = [from_train(0.2), cut(Part::Test, Part::Train, 0.3)].concat(), "test has values");
    check(&|c| c.cut = cut(Part::Valid, Part::Valid, 0.2), "valid is cut off valid, which has no values");
    for fraction in [0.0, -0.5, f64::NAN] {
        check(&|c| c.cut = from_train(fraction), "must lie between 0 and 1");
    }
    check(&|c| c.cut = from_train(1.0), "train gives 1 of its trials away");
    check(&|c| c.cut = from_train(0.1), "no usable trial is left for valid by column `split`");
    check(&|c| c.cut = from_train(0.9), "no usable trial is left for train");
    let order = SplitOrder::Column(good.clone());
    let with_fractions = SplitConfig { train: 0.6, test: 0.3, order, ..SplitConfig::default() };
    assert!(matches!(TrialSplit::of(&data, &with_fractions, 1), Err(DataError::ColumnAndFractions)));
    let missing = ColumnValues::Int(vec![Some(0), Some(0), None]);
    let column = Column { name: "split".into(), unit: None, description: None, values: missing };
    let data = of_trials(Trials::end_to_end(3, 1.0, vec![column]).unwrap());
    let whole = ColumnConfig { train: names(&["0"]), test: names(&["1"]), ..good };
    let message = split(&data, &whole, 1).unwrap_err().to_string();
    assert!(message.contains("`split` of trial 2 is missing"), "{message}");
}

/// Such trials may be pieces of longer ones that share spikes; which of them do cannot be seen.
#[test]
fn trials_without_times_keep_the_split_of_their_source() {
    let values = [vec!["train"; 20], vec!["valid"; 10]].concat();
    let pattern = vec![Part::Train, Part::Valid, Part::Test];
    let blocks = SplitOrder::Blocks(BlockConfig { block_s: 2.0, gap_s: 0.0, pattern });
    let starts_s: Vec<f64> = (0..30).map(f64::from).collect();
    for order in [SplitOrder::Random, SplitOrder::Chronological, blocks] {
        let config = SplitConfig { order, ..SplitConfig::default() };
        let of = |data: &SessionData| TrialSplit::of(data, &config, 1);
        let error = of(&without_times(&values)).unwrap_err();
        assert!(
            matches!(&error, DataError::SplitOfSource { values, .. } if *values == ["train", "valid"]),
            "{error}"
        );
        of(&with_times(&starts_s, &values)).unwrap();
        // A file that is all of one part has no split to keep.
        of(&without_times(&["train"; 30])).unwrap();
        of(&of_trials(Trials::end_to_end(30, 1.0, Vec::new()).unwrap())).unwrap();
    }
}

/// What the message says to copy is a configuration that works.
#[test]
fn the_suggested_split_works() {
    for values in [&["train", "valid"][..], &["train", "val", "eval"]] {
        let all = values.repeat(20);
        let data = without_times(&all);
        let message = TrialSplit::of(&data, &SplitConfig::default(), 1).unwrap_err().to_string();
        let copied = message.split('`').find(|part| part.starts_with("order = ")).unwrap();
        let config: SplitConfig = toml::from_str(copied).unwrap();
        let found = TrialSplit::of(&data, &config, 1).unwrap();
        let last = values.len() - 1;
        assert!(found.test.iter().all(|&trial| all[trial] == values[last]), "{message}");
        assert_eq!(found.train.len() + found.valid.len() + found.test.len(), all.len(), "{message}");
    }
}

/// The example of the guide is one of a file with two parts.
#[test]
fn the_split_of_the_guide_works() {
    let guide = include_str!("../../../docs/guide/README.md");
    let from = guide.find("[data.split.order.column]").unwrap();
    let example = guide[from..].split("```").next().unwrap().split_once('\n').unwrap().1;
    let config: ColumnConfig = toml::from_str(example).unwrap();
    let found = split(&without_times(&["train", "valid"].repeat(40)), &config, 1).unwrap();
    assert_eq!((found.train.len(), found.valid.len(), found.test.len()), (35, 5, 40));
}
