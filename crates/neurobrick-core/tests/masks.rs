//! Laws of the mask schemes.

use ndarray::{Array3, Axis, s};
use neurobrick_core::{Context, MaskScheme, Masking, Prompt};
use neurobrick_data::RegionTable;
use neurobrick_testkit::strategies::{SCHEMES, counts, mask_scheme};
use proptest::prelude::*;

fn regions(n_units: usize) -> RegionTable {
    let names: Vec<&str> = (0..n_units).map(|u| ["CA1", "VISp", "LP", "VISp"][u % 4]).collect();
    RegionTable::new(&names)
}

/// Along which axes an entry shares the fate of its neighbors: bins of a unit, or units of a bin.
fn is_constant_along(mask: &Array3<bool>, axis: usize) -> bool {
    mask.lanes(Axis(axis)).into_iter().all(|lane| lane.iter().all(|&x| x == lane[0]))
}

fn share(mask: &Array3<bool>) -> f64 {
    mask.iter().filter(|&&x| x).count() as f64 / mask.len() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn masks_are_a_function_of_seed_and_address(
        seed in any::<u64>(), step in any::<u64>(), slot in any::<u64>(), scheme in mask_scheme(), n_units in 4usize..12,
    ) {
        let draw = |seed, address| scheme.draw(6, 20, &regions(n_units), seed, address);
        let base = draw(seed, [step, slot]);
        prop_assert_eq!(&base, &draw(seed, [step, slot]));
        // Small sessions have few masks by region, so single addresses may agree: thirty in a row do not.
        let others = |draw_other: &dyn Fn(u64) -> Masking| (1..=30).any(|i| draw_other(i) != base);
        prop_assert!(others(&|i| draw(seed ^ i, [step, slot])), "the seed changes nothing");
        prop_assert!(others(&|i| draw(seed, [step ^ i, slot])), "the step changes nothing");
        prop_assert!(others(&|i| draw(seed, [step, slot ^ i])), "the slot changes nothing");
    }

    #[test]
    fn masks_of_a_trial_do_not_depend_on_the_others(
        seed in any::<u64>(), scheme in mask_scheme(), n_few in 1usize..6, n_more in 1usize..6,
    ) {
        let draw = |n_trials| scheme.draw(n_trials, 15, &regions(9), seed, [3, 0]);
        prop_assert_eq!(draw(n_few + n_more).trials(0..n_few), draw(n_few));
    }

    #[test]
    fn what_is_counted_is_hidden(seed in any::<u64>(), scheme in mask_scheme()) {
        let masking = scheme.draw(5, 15, &regions(9), seed, [0, 0]);
        let visible_and_counted = masking.hidden().iter().zip(masking.counted()).filter(|&(&h, &c)| c && !h).count();
        prop_assert_eq!(visible_and_counted, 0);
        if !matches!(scheme, MaskScheme::IntraRegion { .. }) {
            prop_assert_eq!(masking.hidden(), masking.counted());
        }
    }

    #[test]
    fn hidden_counts_are_zeroed_and_others_kept(
        seed in any::<u64>(), scheme in mask_scheme(), counts in counts([5, 15, 9], 30),
    ) {
        let masking = scheme.draw(5, 15, &regions(9), seed, [0, 0]);
        for ((at, &seen), &hidden) in masking.visible(counts.view()).indexed_iter().zip(masking.hidden()) {
            let expected = if hidden { 0.0 } else { f32::from(counts[at]) };
            prop_assert!(seen.to_bits() == expected.to_bits(), "{:?}: {} is not {}", at, seen, expected);
        }
    }

    #[test]
    fn inter_region_hides_one_whole_region(seed in any::<u64>()) {
        let table = regions(12);
        let masking = MaskScheme::InterRegion.draw(4, 10, &table, seed, [0, 0]);
        let hidden: Vec<usize> = (0..12).filter(|&u| masking.hidden()[[0, 0, u]]).collect();
        prop_assert!((0..3).any(|r| table.units_in(r) == hidden), "{:?} is no region", hidden);
        prop_assert!(is_constant_along(masking.hidden(), 0) && is_constant_along(masking.hidden(), 1));
    }

    #[test]
    fn intra_region_shows_a_part_of_one_region(seed in any::<u64>()) {
        let table = regions(12);
        let masking = MaskScheme::IntraRegion { ratio: 0.3 }.draw(8, 10, &table, seed, [0, 0]);
        prop_assert!(is_constant_along(masking.hidden(), 1), "units are hidden in all bins or none");
        let region_of = |mask: &Array3<bool>, wanted: bool| -> Vec<usize> {
            let mut found: Vec<usize> =
                mask.indexed_iter().filter(|&(_, &x)| x == wanted).map(|((_, _, u), _)| table.of_unit()[u]).collect();
            found.sort_unstable();
            found.dedup();
            found
        };
        // What is shown and what is counted lie in the drawn region, together all of it.
        let mut own = [region_of(masking.hidden(), false), region_of(masking.counted(), true)].concat();
        own.sort_unstable();
        own.dedup();
        prop_assert_eq!(own.len(), 1);
        let n_own = table.units_in(own[0]).len();
        for trial in 0..8 {
            let shown = masking.hidden().slice(s![trial, 0, ..]).iter().filter(|&&h| !h).count();
            let counted = masking.counted().slice(s![trial, 0, ..]).iter().filter(|&&c| c).count();
            prop_assert_eq!(shown + counted, n_own);
        }
    }
}

/// Draws are independent per (trial, bin), (trial, unit) or entry; the share hidden is within four standard errors.
#[test]
fn ratios_are_kept() {
    let (n_trials, n_bins, n_units) = (200, 50, 40);
    for (scheme, n_draws) in [
        (MaskScheme::Temporal { ratio: 0.3 }, n_trials * n_bins),
        (MaskScheme::Causal { ratio: 0.6 }, n_trials * n_bins),
        (MaskScheme::Neuron { ratio: 0.3 }, n_trials * n_units),
        (MaskScheme::Random { ratio: 0.1 }, n_trials * n_bins * n_units),
    ] {
        let masking = scheme.draw(n_trials, n_bins, &regions(n_units), 7, [0, 0]);
        let ratio = scheme.ratio().unwrap_or_default();
        let error = (ratio * (1.0 - ratio) / n_draws as f64).sqrt();
        let found = share(masking.hidden());
        assert!(
            (found - ratio).abs() < 4.0 * error,
            "{}: {found}, expected {ratio} ± {error}",
            scheme.name()
        );
        let (along_bins, along_units) = match scheme {
            MaskScheme::Neuron { .. } => (true, false),
            MaskScheme::Random { .. } => (false, false),
            _ => (false, true),
        };
        assert_eq!(is_constant_along(masking.hidden(), 1), along_bins, "{}: bins of a unit", scheme.name());
        assert_eq!(is_constant_along(masking.hidden(), 2), along_units, "{}: units of a bin", scheme.name());
        assert!(!is_constant_along(masking.hidden(), 0), "{}: trials are drawn apart", scheme.name());
    }
}

#[test]
fn regions_are_drawn_uniformly_and_targets_with_their_ratio() {
    let table = regions(12);
    let mut n_drawn = [0u32; 3];
    let (mut n_targets, mut n_own) = (0.0, 0.0);
    let n_draws = 3000u32;
    for step in 0..u64::from(n_draws) {
        let inter = MaskScheme::InterRegion.draw(1, 1, &table, 1, [step, 0]);
        let region = (0..3).find(|&r| table.units_in(r).iter().all(|&u| inter.hidden()[[0, 0, u]]));
        n_drawn[region.unwrap_or_default()] += 1;
        let intra = MaskScheme::IntraRegion { ratio: 0.3 }.draw(1, 1, &table, 1, [step, 1]);
        let n_counted = intra.counted().iter().filter(|&&c| c).count();
        let n_shown = intra.hidden().iter().filter(|&&h| !h).count();
        n_targets += n_counted as f64;
        n_own += (n_counted + n_shown) as f64;
    }
    // Standard deviation of a binomial of 3000 and 1/3: 25.8.
    assert!(n_drawn.iter().all(|&n| n.abs_diff(n_draws / 3) < 104), "{n_drawn:?}");
    let error = (0.3 * 0.7 / n_own).sqrt();
    assert!((n_targets / n_own - 0.3).abs() < 4.0 * error, "{}", n_targets / n_own);
}

#[test]
fn context_and_prompt_are_those_of_the_reference() {
    let found: Vec<_> =
        SCHEMES.iter().map(|s| (s.name(), s.context(), s.prompt().map(Prompt::row))).collect();
    let expected = [
        ("temporal", Context::Full, None),
        ("neuron", Context::Full, Some(0)),
        ("causal", Context::Causal, Some(1)),
        ("inter_region", Context::Full, Some(2)),
        ("intra_region", Context::Full, Some(3)),
        ("random", Context::Full, None),
        ("patch", Context::Full, None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn ready_made_masks_hide_what_they_say() {
    let units = Masking::units([2, 3, 4], &[1, 3], Prompt::InterRegion);
    assert!(units.hidden().indexed_iter().all(|((_, _, u), &h)| h == (u == 1 || u == 3)));
    assert_eq!((units.counted(), units.context()), (units.hidden(), Context::Full));
    let future = Masking::future([2, 5, 4], 2);
    assert!(future.hidden().indexed_iter().all(|((_, t, _), &h)| h == (t >= 3)));
    assert_eq!((future.counted(), future.context()), (future.hidden(), Context::Causal));
    let nothing = Masking::nothing([2, 5, 4], Prompt::Causal);
    assert!(!nothing.hidden().iter().chain(nothing.counted()).any(|&x| x));
    assert_eq!(nothing.context(), Context::Causal);
    assert_eq!(Masking::nothing([2, 5, 4], Prompt::Neuron).context(), Context::Full);
}

#[test]
#[should_panic(expected = "every counted entry must be hidden")]
fn counting_what_is_visible_is_refused() {
    let mut counted = Array3::from_elem((1, 2, 2), false);
    counted[[0, 1, 1]] = true;
    let _ = Masking::new(Array3::from_elem((1, 2, 2), false), counted, Context::Full, None);
}

#[test]
#[should_panic(expected = "one shape")]
fn masks_of_different_shape_are_refused() {
    let mask = |n| Array3::from_elem((1, 2, n), true);
    let _ = Masking::new(mask(2), mask(3), Context::Full, None);
}

/// Every trial hides the same number of whole patches; the last of a bin is narrower.
#[test]
fn patches_are_hidden_whole_and_as_many_in_every_trial() {
    let (n_bins, n_units, size) = (7, 10, 4);
    let scheme = MaskScheme::Patch { ratio: 0.5, n_units: size };
    let masking = scheme.draw(20, n_bins, &regions(n_units), 3, [0, 0]);
    for trial in masking.hidden().outer_iter() {
        let patches: Vec<bool> = (0..n_bins)
            .flat_map(|bin| (0..n_units).step_by(size).map(move |first| (bin, first)))
            .map(|(bin, first)| {
                let patch = trial.slice(s![bin, first..(first + size).min(n_units)]);
                assert!(patch.iter().all(|&h| h == patch[0]), "a patch is hidden in part");
                patch[0]
            })
            .collect();
        // 21 patches, of which (1 - 0.5) 21 rounded down stay.
        assert_eq!((patches.len(), patches.iter().filter(|&&h| h).count()), (21, 11));
    }
    let trials: Vec<_> = masking.hidden().outer_iter().collect();
    assert!(trials.windows(2).any(|pair| pair[0] != pair[1]), "trials are drawn apart");
}

fn bert(max_span: usize, zeroed: f64, randomized: f64) -> MaskScheme {
    MaskScheme::Bert { ratio: 0.25, max_span, zeroed, randomized }
}

/// The share of predicted bins is kept whatever the length of spans, and spans have the drawn length at least.
#[test]
fn spans_keep_the_ratio() {
    let (n_trials, n_bins) = (400, 60);
    let mut lengths = std::collections::BTreeSet::new();
    for step in 0..12 {
        let masking = bert(5, 1.0, 0.0).draw(n_trials, n_bins, &regions(4), 11, [step, 0]);
        assert_eq!(masking.hidden(), masking.counted());
        assert!(is_constant_along(masking.hidden(), 2), "whole bins are predicted");
        // Bins of a span share their fate, so the standard error is that of a fifth of the bins at worst.
        let error = (0.25f64 * 0.75 / ((n_trials * n_bins / 5) as f64)).sqrt();
        assert!((share(masking.hidden()) - 0.25).abs() < 4.0 * error, "{}", share(masking.hidden()));
        let mut shortest = n_bins;
        for trial in masking.hidden().outer_iter() {
            let bins: Vec<bool> = trial.column(0).to_vec();
            let runs: Vec<usize> = bins.split(|&h| !h).map(<[bool]>::len).filter(|&l| l > 0).collect();
            // Spans at the ends are cut off.
            let inner = runs.iter().skip(1).take(runs.len().saturating_sub(2));
            shortest = inner.copied().fold(shortest, usize::min);
        }
        lengths.insert(shortest);
    }
    assert!(lengths.len() >= 3 && lengths.iter().all(|l| (1..=5).contains(l)), "{lengths:?}");
}

/// Entries to predict are zeroed, made up and left in the shares asked for; all others are left.
#[test]
fn masked_modeling_shows_what_it_says() {
    let (n_trials, n_bins, n_units) = (60, 50, 12);
    // Every visible count is 3 but one of 8 in each trial: made-up counts lie below that.
    let mut counts = Array3::from_elem((n_trials, n_bins, n_units), 3u16);
    counts.slice_mut(s![.., 0, 0]).fill(8);
    for (zeroed, randomized) in [(1.0, 0.5), (0.5, 1.0), (0.5, 0.5), (0.0, 0.0)] {
        let masking = bert(1, zeroed, randomized).draw(n_trials, n_bins, &regions(n_units), 5, [0, 0]);
        let visible = masking.visible(counts.view());
        let mut tally = [0.0f64; 9];
        for ((at, &seen), &hidden) in visible.indexed_iter().zip(masking.hidden()) {
            if hidden && at.1 > 0 {
                let count = (0u16..8).find(|&count| f32::from(count).to_bits() == seen.to_bits());
                assert!(count.is_some(), "{seen}");
                tally[usize::from(count.unwrap_or_default())] += 1.0;
            } else if !hidden {
                assert_eq!(seen.to_bits(), f32::from(counts[at]).to_bits());
            }
        }
        let n: f64 = tally.iter().sum();
        let made_up = (1.0 - zeroed) * randomized / 8.0;
        let expected = |count: usize| match count {
            0 => zeroed + made_up,
            3 => (1.0 - zeroed) * (1.0 - randomized) + made_up,
            8 => 0.0,
            _ => made_up,
        };
        for (count, found) in tally.iter().enumerate() {
            let p = expected(count);
            let error = (p * (1.0 - p) / n).sqrt();
            assert!(
                (found / n - p).abs() <= 4.5 * error,
                "{zeroed}, {randomized}: {count} in {}, expected {p}",
                found / n
            );
        }
        // A batch cut into shards shows the same.
        let part = masking.trials(7..9).visible(counts.slice(s![7..9, .., ..]));
        assert_eq!(part, visible.slice(s![7..9, .., ..]));
    }
}

#[test]
fn faults_are_named() {
    let fault = |scheme: MaskScheme| scheme.fault().map(|(field, ..)| field);
    assert!(SCHEMES.iter().all(|&scheme| fault(scheme).is_none()));
    assert_eq!(fault(bert(7, 0.5, 0.6)), None);
    for (scheme, field) in [
        (MaskScheme::Temporal { ratio: 0.0 }, "schemes.ratio"),
        (MaskScheme::Neuron { ratio: f64::NAN }, "schemes.ratio"),
        (bert(0, 0.5, 0.5), "schemes.max_span"),
        (bert(1, 1.5, 0.5), "schemes.zeroed"),
        (bert(1, 0.5, -0.1), "schemes.randomized"),
        (MaskScheme::Patch { ratio: 0.5, n_units: 0 }, "schemes.n_units"),
    ] {
        assert_eq!(fault(scheme), Some(field));
    }
}
