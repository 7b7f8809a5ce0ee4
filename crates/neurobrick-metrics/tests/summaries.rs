//! Retrieval, summaries by group, and intervals over clusters.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use ndarray::{Array2, array};
use neurobrick_metrics::bwb::{ActivityScore, clipped_mean, ranks};
use neurobrick_metrics::{Bootstrap, GroupSummary, MetricError, Retrieval};
use neurobrick_random::{Domain, Stream};

#[test]
fn the_right_item_is_found_and_ties_are_guesses() {
    let bootstrap = Bootstrap::with_seed(1);
    // Own items rank first, second (behind one), and level with one other at the top.
    let similarity = array![[0.9, 0.1, 0.2], [0.8, 0.5, 0.1], [0.3, 0.7, 0.7]];
    let found = Retrieval::new(&similarity.view(), &[0, 1, 2], &[1, 2, 3], &bootstrap).unwrap();
    let top: Vec<f64> = found.top.iter().map(|(_, share)| share.value).collect();
    for (got, want) in top.iter().zip([(1.0 + 0.0 + 0.5) / 3.0, 1.0, 1.0]) {
        assert!((got - want).abs() < 1e-12, "{top:?}");
    }
    assert!((found.two_way.value - (1.0 + 0.5 + 0.75) / 3.0).abs() < 1e-12, "{:?}", found.two_way);
    assert!((found.top[0].1.chance - 1.0 / 3.0).abs() < 1e-12);

    // Guessing reaches chance: of sixty intervals 57 should hold it, and fewer than 51 have a chance below 1 in 1000.
    let own: Vec<usize> = (0..400).map(|i| i % 20).collect();
    let quick = Bootstrap { n_resamples: 200, ..bootstrap };
    let mut covered = [0; 3];
    for draw in 0..60 {
        let mut stream = Stream::new(3, Domain::Synthetic, [draw, 0, 0]);
        let noise = Array2::from_shape_fn((400, 20), |_| stream.normal());
        let guessed = Retrieval::new(&noise.view(), &own, &[1, 5], &quick).unwrap();
        let shares = guessed.top.iter().map(|(_, share)| share).chain([&guessed.two_way]);
        for (covered, share) in covered.iter_mut().zip(shares) {
            let interval = share.interval;
            *covered += usize::from(interval.lo <= share.chance && share.chance <= interval.hi);
        }
    }
    assert!(covered.iter().all(|n| *n >= 51), "{covered:?}");
    // All alike is guessing, exactly.
    let alike = Retrieval::new(&Array2::zeros((5, 20)).view(), &own[..5], &[5], &bootstrap).unwrap();
    assert!((alike.top[0].1.value - 0.25).abs() < 1e-12 && (alike.two_way.value - 0.5).abs() < 1e-12);

    let refused =
        |own: &[usize], ks: &[usize]| Retrieval::new(&similarity.view(), own, ks, &bootstrap).unwrap_err();
    assert!(matches!(refused(&[0, 1], &[1]), MetricError::ShapeMismatch { .. }));
    assert!(matches!(refused(&[0, 1, 3], &[1]), MetricError::OutOfRange { .. }));
    assert!(matches!(refused(&[0, 1, 2], &[4]), MetricError::InvalidSetting { .. }));
}

#[test]
fn groups_weigh_alike_and_the_worst_is_shown() {
    let scores = [0.5, 0.5, 0.5, 0.5, 0.6, 0.1, 0.3];
    let groups = [7, 7, 7, 7, 9, 4, 4];
    let found = GroupSummary::new(&scores, &groups, &Bootstrap::with_seed(2)).unwrap();
    assert!((found.mean - (0.5 + 0.6 + 0.2) / 3.0).abs() < 1e-12, "not the mean of all members: {found:?}");
    assert_eq!((found.worst.group, found.worst.n), (4, 2));
    assert!((found.worst.mean - 0.2).abs() < 1e-12);
    assert_eq!(found.groups.iter().map(|row| row.group).collect::<Vec<_>>(), [4, 7, 9]);
    assert!(found.groups[2].interval.lo.is_nan(), "one member has no spread");
    assert!(found.interval.lo < 0.35 && found.interval.hi > 0.5, "{:?}", found.interval);
    // Resampling members as if they were independent would claim little more than half the width.
    let rows: Vec<usize> = (0..scores.len()).collect();
    let mean = |drawn: &[usize]| Some(drawn.iter().map(|&i| scores[i]).sum::<f64>() / drawn.len() as f64);
    let flat = Bootstrap::with_seed(2).clustered(&rows, mean);
    let (flat, grouped) = (flat.hi - flat.lo, found.interval.hi - found.interval.lo);
    assert!(flat < 0.6 * grouped, "{flat} {grouped}");
    let broken = GroupSummary::new(&[0.1, f64::NAN], &[0, 1], &Bootstrap::with_seed(1));
    assert!(matches!(broken, Err(MetricError::NotFinite { .. })));
    let none = GroupSummary::new(&[], &[], &Bootstrap::with_seed(1));
    assert!(matches!(none, Err(MetricError::Empty { .. })));
}

/// Rows of one trial say the same: the honest interval is that of the trials, wider by the root of the rows per trial.
#[test]
fn clusters_are_resampled_whole() {
    let mut stream = Stream::new(5, Domain::Synthetic, [0, 0, 0]);
    let of_trial: Vec<f64> = (0..50).map(|_| stream.normal()).collect();
    let rows: Vec<f64> = of_trial.iter().flat_map(|&v| [v; 9]).collect();
    let trials: Vec<usize> = (0..450).map(|row| row / 9).collect();
    let bootstrap = Bootstrap::with_seed(6);
    let mean = |drawn: &[usize]| Some(drawn.iter().map(|&i| rows[i]).sum::<f64>() / drawn.len() as f64);
    let by_trial = bootstrap.clustered(&trials, mean);
    let by_row = bootstrap.clustered(&(0..450).collect::<Vec<_>>(), mean);
    let width = |i: &neurobrick_metrics::ConfidenceInterval| i.hi - i.lo;
    let ratio = width(&by_trial) / width(&by_row);
    assert!((2.5..3.5).contains(&ratio), "{ratio}");
    assert!(bootstrap.clustered(&[1; 10], |_| Some(0.0)).lo.is_nan());
}

/// The benchmark's D² is a mean over units, its bits are pooled; a mean rate scores zero in both.
#[test]
fn activity_is_scored_as_by_brain_wide_bench() {
    let counts = ndarray::Array3::from_shape_fn((6, 4, 3), |(b, t, n)| match n {
        0 => ((b + t) % 2) as f64,
        1 => ((b * t) % 3) as f64,
        _ => 0.0,
    });
    let mean_of = |n: usize| counts.index_axis(ndarray::Axis(2), n).sum() / 24.0;
    let means = ndarray::Array3::from_shape_fn((6, 4, 3), |(_, _, n)| mean_of(n).max(1e-9).ln());
    let flat = ActivityScore::new(&means.view(), &counts.view()).unwrap();
    assert!(flat.poisson_d2.abs() < 1e-12 && flat.bits_per_spike.abs() < 1e-12, "{flat:?}");
    assert!(flat.per_unit[2].is_nan(), "a silent unit is left out");
    let better =
        ndarray::Array3::from_shape_fn((6, 4, 3), |(b, t, n)| (0.7 * counts[[b, t, n]] + 0.1f64).ln());
    let score = ActivityScore::new(&better.view(), &counts.view()).unwrap();
    let of_unit = |n: usize| {
        let list = |of: &ndarray::Array3<f64>| {
            of.index_axis(ndarray::Axis(2), n).iter().copied().collect::<Vec<_>>()
        };
        let (rates, seen) =
            (ndarray::Array1::from(list(&better.mapv(f64::exp))), ndarray::Array1::from(list(&counts)));
        neurobrick_metrics::poisson_d2(&rates.view(), &seen.view()).unwrap()
    };
    assert!((score.poisson_d2 - 0.5 * (of_unit(0) + of_unit(1))).abs() < 1e-12, "{score:?}");
    let pooled = neurobrick_metrics::bits_per_spike(
        &better.mapv(f64::exp).slice(ndarray::s![.., .., ..2]),
        &counts.slice(ndarray::s![.., .., ..2]),
    );
    assert!((score.bits_per_spike - pooled.unwrap()).abs() < 1e-12);
    assert!((clipped_mean(&[0.4, -3.0, 0.2]) - 0.2).abs() < 1e-12);

    // A unit whose rate overflows is the worst there is; left out, it would raise the mean.
    let mut diverged = better.clone();
    diverged[[2, 3, 1]] = 800.0;
    let error = ActivityScore::new(&diverged.view(), &counts.view()).unwrap_err();
    let MetricError::NotFinite { what: "rates", index, .. } = error else { panic!("{error}") };
    assert_eq!(index, [2, 3, 1]);
    // The same count everywhere leaves no deviance to explain.
    let mut constant = counts.clone();
    constant.index_axis_mut(ndarray::Axis(2), 1).fill(2.0);
    let score = ActivityScore::new(&better.view(), &constant.view()).unwrap();
    assert!(score.per_unit[1].is_nan() && (score.poisson_d2 - of_unit(0)).abs() < 1e-12, "{score:?}");
}

/// Seeds that overlap share a rank; the next is ranked by how many are ahead.
#[test]
fn systems_are_ranked_in_steps() {
    let scores =
        [vec![0.30, 0.31, 0.29], vec![0.50, 0.52, 0.51], vec![0.51, 0.49, 0.53], vec![0.1, 0.1, 0.1]];
    assert_eq!(ranks(&scores, 0.05).unwrap(), [3, 1, 1, 4]);
    assert!(matches!(ranks(&[vec![0.1]], 0.05), Err(MetricError::InvalidSetting { .. })));
    assert!(matches!(ranks(&[], 0.05), Err(MetricError::Empty { .. })));
}
