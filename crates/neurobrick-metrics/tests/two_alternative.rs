//! Choices between two alternatives: calibration and comparisons against scikit-learn and NumPy, and altered spikes.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where asserted"
)]

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};
use neurobrick_metrics::{
    Alteration, Bootstrap, MetricError, Surrogates, TwoAlternative, log_likelihood_ratio, poisson_nll,
};
use neurobrick_random::{Domain, Stream};
use proptest::prelude::*;
use serde_json::Value;

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../../fixtures/brainbench/{name}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
}

/// Log-likelihood ratios of the items that experts wrote, by model: log-perplexities times characters of the true abstract.
fn log_likelihood_ratios() -> BTreeMap<String, Vec<f64>> {
    let items = fixture("items.csv");
    let lengths: BTreeMap<&str, f64> = items
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|cells| cells[0] == "human")
        .map(|cells| (cells[1], cells[4].parse().unwrap()))
        .collect();
    assert_eq!(lengths.len(), 200);
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in fixture("ppl_scores.csv").lines() {
        let cells: Vec<&str> = line.split(',').collect();
        if cells[0] == "human" {
            let [truth, altered] = [3, 4].map(|column: usize| cells[column].parse::<f64>().unwrap().ln());
            found.entry(cells[2].to_owned()).or_default().push((altered - truth) * lengths[cells[1]]);
        }
    }
    found
}

fn assert_calibrated(model: &TwoAlternative, want: &Value) {
    let found = model.calibration(10).unwrap();
    let curve = want["curve"].as_array().unwrap();
    assert_eq!(found.bins.len(), curve.len());
    for (bin, want) in found.bins.iter().zip(curve) {
        assert_eq!(bin.n as u64, want[0].as_u64().unwrap());
        assert!((bin.confidence - want[1].as_f64().unwrap()).abs() < 1e-12, "{bin:?} {want}");
        assert!((bin.accuracy - want[2].as_f64().unwrap()).abs() < 1e-12, "{bin:?} {want}");
    }
    let expected = want["expected_error"].as_f64().unwrap();
    assert!((found.expected_error - expected).abs() < 1e-12, "{found:?}");
}

/// The figures of `fixtures/brainbench/reference.py`; the mean of 0.752 is that of the data's provenance.
#[test]
fn brainbench_ratios_discriminate_and_are_calibrated_as_scikit_learn_says() {
    let golden: Value = serde_json::from_str(&fixture("reference.json")).unwrap();
    let ratios = log_likelihood_ratios();
    let of = |model: &str| TwoAlternative::of_margins(ratios[model].clone()).unwrap();
    let mut sum = 0.0;
    for model in ratios.keys() {
        let want = golden["auc_of_log_likelihood_ratios"][model].as_f64().unwrap();
        let found = of(model).discrimination().unwrap();
        assert!((found - want).abs() < 1e-12, "{model}: {found} {want}");
        sum += found;
    }
    assert_eq!(ratios.len(), 26);
    assert!((sum / 26.0 - 0.752).abs() < 5e-4, "{}", sum / 26.0);

    assert_calibrated(&of("gpt2"), &golden["calibration_of_gpt2"]);
    let lower = ratios["gpt2"].iter().map(|margin| margin / 100.0).collect();
    let lower = TwoAlternative::of_margins(lower).unwrap();
    assert_calibrated(&lower, &golden["calibration_of_gpt2_with_margins_over_100"]);
    let surer = of("gpt2").calibration(10).unwrap();
    assert!(surer.overconfidence > 0.3 && surer.overconfidence <= surer.expected_error + 1e-12, "{surer:?}");

    let pair = &golden["error_correlation"];
    let [first, second] = [0, 1].map(|k: usize| of(pair["models"][k].as_str().unwrap()));
    let phi = first.error_correlation(&second).unwrap();
    assert!((phi - pair["phi"].as_f64().unwrap()).abs() < 1e-12, "{phi}");
    assert!((phi - second.error_correlation(&first).unwrap()).abs() < 1e-15);
    // scipy.stats.binomtest(115, 200).proportion_ci(0.95, method="wilson")
    let interval = of("gpt2").interval(0.95);
    assert!((interval.lo - 0.505_709_326_478_548_5).abs() < 1e-12, "{interval:?}");
    assert!((interval.hi - 0.641_463_874_564_861_5).abs() < 1e-12, "{interval:?}");
}

/// Answers drawn with the probability that a model names are calibrated, and those of a model twice as sure are not.
#[test]
fn a_model_that_says_what_it_knows_is_calibrated() {
    let mut stream = Stream::new(11, Domain::Synthetic, [0; 3]);
    let honest: Vec<f64> = (0..40_000)
        .map(|_| {
            let size = 2.0 * stream.normal().abs();
            if stream.bernoulli(1.0 / (1.0 + (-size).exp())) { size } else { -size }
        })
        .collect();
    let of = |scale: f64| {
        let margins = honest.iter().map(|margin| scale * margin).collect();
        TwoAlternative::of_margins(margins).unwrap().calibration(10).unwrap()
    };
    let (honest, surer, shyer) = (of(1.0), of(2.0), of(0.5));
    assert!(honest.expected_error < 0.012 && honest.overconfidence.abs() < 0.01, "{honest:?}");
    assert!(surer.overconfidence > 0.05 && shyer.overconfidence < -0.05, "{surer:?} {shyer:?}");
    assert_eq!(honest.bins.iter().map(|bin| bin.n).sum::<usize>(), 40_000);
    let none = TwoAlternative::of_margins(vec![0.0, 0.0]).unwrap();
    let guesses = none.calibration(4).unwrap();
    assert_eq!((guesses.bins.len(), guesses.bins[0].confidence, guesses.bins[0].accuracy), (1, 0.5, 0.5));
    assert_eq!((none.accuracy(), none.credits()), (0.5, vec![0.5, 0.5]));
    assert!(none.calibration(0).is_err() && none.error_correlation(&none).is_err());
    assert!(TwoAlternative::of_margins(vec![f64::NAN]).is_err());
}

/// Ten alternatives of each trial that stand or fall together: items one by one would claim too narrow an interval, and a
/// difference that is none.
#[test]
fn items_of_a_cluster_are_one_observation() {
    let mut stream = Stream::new(12, Domain::Synthetic, [0; 3]);
    let mut repeated = |share: f64| -> TwoAlternative {
        let margins =
            (0..60).flat_map(|_| vec![if stream.bernoulli(share) { 1.0 } else { -1.0 }; 10]).collect();
        TwoAlternative::of_margins(margins).unwrap()
    };
    let (first, second) = (repeated(0.65), repeated(0.5));
    let trials: Vec<usize> = (0..600).map(|item| item / 10).collect();
    let alone: Vec<usize> = (0..600).collect();
    let bootstrap = Bootstrap::with_seed(3);
    let width = |clusters: &[usize]| {
        let (value, interval) = first.clustered(clusters, &bootstrap).unwrap();
        assert_eq!(value, first.accuracy());
        interval.hi - interval.lo
    };
    let ratio = width(&trials) / width(&alone);
    assert!((2.6..3.8).contains(&ratio), "the root of ten: {ratio}");
    let honest = first.compare_clustered(&second, &trials, &bootstrap).unwrap();
    let naive = first.compare(&second).unwrap();
    assert!((honest.difference - naive.difference).abs() < 1e-12);
    assert!(honest.p_value > naive.p_value, "{honest:?} {naive:?}");
    assert!(honest.interval.lo <= honest.difference && honest.difference <= honest.interval.hi);
    let same = first.compare_clustered(&first, &trials, &bootstrap).unwrap();
    assert_eq!((same.difference, same.p_value), (0.0, 1.0));
    assert!(matches!(first.clustered(&trials[1..], &bootstrap), Err(MetricError::ShapeMismatch { .. })));
}

fn trial() -> impl Strategy<Value = Array2<f64>> {
    (1usize..9, 2usize..8).prop_flat_map(|(n_bins, n_units)| {
        prop::collection::vec(0u8..4, n_bins * n_units).prop_map(move |counts| {
            let counts = counts.into_iter().map(f64::from).collect();
            Array2::from_shape_vec((n_bins, n_units), counts).unwrap()
        })
    })
}

/// A column of counts, turned so that its least rotation comes first: equal for columns that are rotations of each other.
fn up_to_rotation(column: &[f64]) -> Vec<f64> {
    let rotated = |by: usize| [&column[by..], &column[..by]].concat();
    let order = |a: &Vec<f64>, b: &Vec<f64>| a.partial_cmp(b).unwrap();
    (0..column.len()).map(rotated).min_by(order).unwrap()
}

proptest! {
    /// Every alteration keeps what it says, is the same whenever asked for, and touches no more units than it may.
    #[test]
    fn alterations_keep_what_they_say(
        counts in trial(), seed in 0u64..50, address in (0u64..4, 0u64..4), few in prop::option::of(1usize..4),
    ) {
        let n_units = counts.ncols();
        let rates: Vec<f64> = (0..n_units).map(|unit| ((unit * 7) % 5) as f64).collect();
        for alteration in Alteration::ALL {
            let few = few.map(|n| if alteration == Alteration::UnitSwap { n.max(2) } else { n });
            let surrogates = Surrogates::new(alteration, &rates, few, seed).unwrap();
            let altered = surrogates.altered(&counts.view(), address.into()).unwrap();
            prop_assert_eq!(&altered, &surrogates.altered(&counts.view(), address.into()).unwrap());
            let columns = |of: &Array2<f64>| of.columns().into_iter().map(|c| c.to_vec()).collect::<Vec<_>>();
            let (before, after) = (columns(&counts), columns(&altered));
            let n_changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            prop_assert!(n_changed <= few.unwrap_or(n_units), "{:?}", alteration);
            match alteration {
                Alteration::TimeShift => {
                    for (before, after) in before.iter().zip(&after) {
                        prop_assert_eq!(up_to_rotation(before), up_to_rotation(after));
                    }
                }
                Alteration::UnitSwap => {
                    prop_assert_eq!(counts.sum_axis(Axis(1)), altered.sum_axis(Axis(1)));
                    let sorted = |mut columns: Vec<Vec<f64>>| {
                        columns.sort_by(|a, b| a.partial_cmp(b).unwrap());
                        columns
                    };
                    prop_assert_eq!(sorted(before.clone()), sorted(after.clone()));
                }
                Alteration::RateMatchedPoisson => {
                    prop_assert_eq!(counts.sum_axis(Axis(0)), altered.sum_axis(Axis(0)));
                }
            }
        }
    }

    /// The ratio is the difference of two Poisson likelihoods, zero for equal counts, and its sign turns with the two.
    #[test]
    fn a_ratio_is_a_difference_of_likelihoods(counts in trial(), seed in 0u64..50) {
        let mut stream = Stream::new(seed, Domain::Synthetic, [4, 0, 0]);
        let rates = Array2::from_shape_simple_fn(counts.dim(), || stream.uniform_in(0.05, 3.0));
        let uniform = vec![1.0; counts.ncols()];
        for alteration in Alteration::ALL {
            let surrogates = Surrogates::new(alteration, &uniform, None, seed).unwrap();
            let altered = surrogates.altered(&counts.view(), [0, 0]).unwrap();
            let ratio = |a: &Array2<f64>, b: &Array2<f64>| {
                log_likelihood_ratio(&rates.view(), &a.view(), &b.view()).unwrap()
            };
            let nll = |of: &Array2<f64>| poisson_nll(rates.view(), of.view()).unwrap();
            let want = nll(&altered) - nll(&counts);
            prop_assert!((ratio(&counts, &altered) - want).abs() < 1e-9 * want.abs().max(1.0));
            prop_assert!((ratio(&counts, &altered) + ratio(&altered, &counts)).abs() < 1e-9);
            prop_assert_eq!(ratio(&counts, &counts), 0.0);
        }
    }

    /// A constant rate of each unit cannot tell a shift from the truth, nor equal rates a swap: exact ties, no rounding.
    #[test]
    fn what_knows_nothing_ties(counts in trial(), seed in 0u64..50, rate in 0.01f64..3.0) {
        let n_units = counts.ncols();
        let of_unit: Vec<f64> = (0..n_units).map(|unit| rate * (1.0 + 0.37 * unit as f64)).collect();
        let constant = Array2::from_shape_fn(counts.dim(), |(_, unit)| of_unit[unit]);
        let equal = Array2::from_elem(counts.dim(), rate);
        for (alteration, rates) in [(Alteration::TimeShift, constant), (Alteration::UnitSwap, equal)] {
            let surrogates = Surrogates::new(alteration, &of_unit, None, seed).unwrap();
            let altered = surrogates.altered(&counts.view(), [1, 2]).unwrap();
            let ratio = log_likelihood_ratio(&rates.view(), &counts.view(), &altered.view()).unwrap();
            prop_assert_eq!(ratio, 0.0);
        }
    }
}

/// Partners are neighbors in rate, and every unit meets both of its own over trials.
#[test]
fn units_swap_with_their_like() {
    let rates = [5.0, 0.1, 1.0, 5.5, 0.9, 0.2];
    // Every unit has a count of its own, which tells who sits where.
    let counts = Array2::from_shape_fn((1, 6), |(_, unit)| unit as f64);
    let surrogates = Surrogates::new(Alteration::UnitSwap, &rates, None, 1).unwrap();
    let mut met = std::collections::BTreeSet::new();
    for draw in 0..40 {
        let altered = surrogates.altered(&counts.view(), [0, draw]).unwrap();
        for (unit, count) in altered.iter().enumerate() {
            let partner = counts.iter().position(|own| own == count).unwrap();
            if partner != unit {
                met.insert((unit, partner));
            }
        }
    }
    // In the order of their rates: 1, 5, 4, 2, 0, 3.
    let chain = [1, 5, 4, 2, 0, 3];
    let neighbors = chain.windows(2).flat_map(|pair| [(pair[0], pair[1]), (pair[1], pair[0])]);
    assert_eq!(met, neighbors.collect());
}

#[test]
fn alterations_refuse_what_they_cannot_alter() {
    let surrogates = |alteration, rates: &[f64], few| Surrogates::new(alteration, rates, few, 1);
    assert!(surrogates(Alteration::UnitSwap, &[1.0], None).is_err(), "no partner");
    assert!(surrogates(Alteration::UnitSwap, &[1.0, 2.0], Some(1)).is_err(), "no pair");
    assert!(surrogates(Alteration::TimeShift, &[], None).is_err());
    assert!(surrogates(Alteration::TimeShift, &[f64::NAN], None).is_err());
    let shift = surrogates(Alteration::TimeShift, &[1.0, 1.0], None).unwrap();
    let refused = |counts: Array2<f64>| shift.altered(&counts.view(), [0, 0]).unwrap_err();
    assert!(matches!(refused(Array2::zeros((3, 1))), MetricError::ShapeMismatch { .. }));
    assert!(matches!(refused(Array2::zeros((0, 2))), MetricError::Empty { .. }));
    assert!(matches!(refused(Array2::from_elem((3, 2), 0.5)), MetricError::InvalidCount { .. }));
    let one = Array2::from_elem((2, 2), 1.0);
    let other = Array2::from_elem((2, 2), 2.0);
    let ratio = |rates: f64| {
        log_likelihood_ratio(&Array2::from_elem((2, 2), rates).view(), &one.view(), &other.view())
    };
    assert!(matches!(ratio(f64::NAN), Err(MetricError::NanRate { .. })));
    assert!(matches!(ratio(-1.0), Err(MetricError::NegativeRate { .. })));
    assert!(ratio(0.0).unwrap() > 50.0, "a rate of zero is a floor, not minus infinity");
}

/// A tie is half in every number: accuracy, both intervals, both comparisons.
#[test]
fn ties_count_half_everywhere() {
    let of = |margins: &[f64]| TwoAlternative::of_margins(margins.to_vec()).unwrap();
    let (first, second) = (of(&[1.0, 0.0, -1.0, 0.0]), of(&[0.0, 0.0, -2.0, -1.0]));
    assert_eq!((first.accuracy(), second.accuracy()), (0.5, 0.25));
    let (clusters, bootstrap) = ([0, 0, 1, 1], Bootstrap::with_seed(1));
    assert_eq!(first.clustered(&clusters, &bootstrap).unwrap().0, 0.5);
    let interval = first.interval(0.95);
    assert!((interval.lo + interval.hi - 1.0).abs() < 1e-12, "around one half: {interval:?}");
    let (plain, clustered) =
        (first.compare(&second).unwrap(), first.compare_clustered(&second, &clusters, &bootstrap).unwrap());
    assert_eq!((plain.difference, clustered.difference), (0.25, 0.25));
    assert_eq!(plain.only, [2, 0]);
    assert_eq!(first.calibration(1).unwrap().bins[0].accuracy, 0.5);
    assert_eq!(first.strictly_right(), [true, false, false, false]);
    let ties = of(&[0.0, 0.0, 0.0, 0.0]);
    assert!(
        ties.error_correlation(&first).is_err(),
        "a model that ties on all items has no errors to compare"
    );
}
