//! Laws of splits and batch plans.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use neurobrick_data::{BatchPlan, RegionTable, SplitConfig, SplitOrder, TrialSplit};
use neurobrick_schema::SessionId;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_split_deals_every_trial_once_and_keeps_its_fractions(
        n_trials in 10usize..400, seed in any::<u64>(), is_random in any::<bool>(),
    ) {
        let order = if is_random { SplitOrder::Random } else { SplitOrder::Chronological };
        let config = SplitConfig { order, ..SplitConfig::default() };
        let split = TrialSplit::new(&SessionId::new("s").unwrap(), n_trials, &config, seed).unwrap();
        for (part, fraction) in [(&split.train, 0.7), (&split.valid, 0.1), (&split.test, 0.2)] {
            prop_assert!((part.len() as f64 - fraction * n_trials as f64).abs() <= 1.0);
            prop_assert!(part.is_sorted());
        }
        let mut all = [split.train, split.valid, split.test].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..n_trials).collect::<Vec<_>>());
    }

    #[test]
    fn an_epoch_sees_every_trial_once(
        n_trials in prop::collection::vec(1usize..40, 1..5), batch_size in 1usize..20, seed in any::<u64>(), epoch in 0u64..5,
    ) {
        let plan = BatchPlan::new(&n_trials, batch_size, seed);
        let per_epoch = plan.batches_per_epoch() as u64;
        let mut seen: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for step in epoch * per_epoch..(epoch + 1) * per_epoch {
            let batch = plan.batch(step);
            prop_assert_eq!(batch.epoch, epoch);
            prop_assert!((1..=batch_size).contains(&batch.trials.len()));
            for trial in batch.trials {
                *seen.entry((batch.session_idx, trial)).or_default() += 1;
            }
        }
        prop_assert_eq!(seen.len(), n_trials.iter().sum::<usize>());
        prop_assert!(seen.values().all(|&n| n == 1));
    }

    /// As published: batches never change and are full, unless a session has fewer trials than one.
    #[test]
    fn fixed_batches_are_full_and_stay(
        n_trials in prop::collection::vec(1usize..40, 1..5), batch_size in 1usize..20, seed in any::<u64>(),
    ) {
        let plan = BatchPlan::new(&n_trials, batch_size, seed).fixed();
        let per_epoch = plan.batches_per_epoch() as u64;
        let epoch = |epoch: u64| {
            let mut batches: Vec<(usize, Vec<usize>)> = (epoch * per_epoch..(epoch + 1) * per_epoch)
                .map(|step| plan.batch(step))
                .map(|b| (b.session_idx, b.trials))
                .collect();
            batches.sort();
            batches
        };
        prop_assert_eq!(epoch(0), epoch(3));
        for (session_idx, trials) in epoch(0) {
            prop_assert_eq!(trials.len(), batch_size.min(n_trials[session_idx]));
        }
    }

    #[test]
    fn region_tables_do_not_depend_on_the_order_of_units(names in prop::collection::vec("[A-C]{1,2}", 1..20)) {
        let table = RegionTable::new(&names);
        let reversed: Vec<&String> = names.iter().rev().collect();
        let reversed = RegionTable::new(&reversed);
        prop_assert_eq!(table.names(), reversed.names());
        for (unit, name) in names.iter().enumerate() {
            prop_assert_eq!(&table.names()[table.of_unit()[unit]], name);
            prop_assert!(table.units_in(table.of_unit()[unit]).contains(&unit));
        }
    }
}
