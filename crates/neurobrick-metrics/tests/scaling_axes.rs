//! Laws of two axes, intervals of lines, and the curve over participants on real EMG.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::{Array2, Array3};
use neurobrick_metrics::decoders::{DiscriminantAnalysis, Shrinkage};
use neurobrick_metrics::scaling::{LogLinear, LogLinearBootstrap, PowerLaw, TwoAxisLaw};
use neurobrick_metrics::{Bootstrap, MetricError, balanced_accuracy};
use neurobrick_random::{Domain, Stream};

const HELD_OUT: [usize; 9] = [12548, 95462, 51425, 46666, 12345, 12378, 99998, 65842, 35622];

/// Features `[trial, window, channel]`, participant and gesture (from zero) of each trial.
fn emg() -> (Array3<f64>, Vec<usize>, Vec<usize>) {
    let folder = format!("{}/../../fixtures/scaling/myo_emg", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(format!("{folder}/log_rms.f32")).unwrap();
    let values =
        bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect();
    let text = std::fs::read_to_string(format!("{folder}/trials.csv")).unwrap();
    let cells: Vec<Vec<usize>> =
        text.lines().skip(1).map(|line| line.split(',').map(|v| v.parse().unwrap()).collect()).collect();
    let features = Array3::from_shape_vec((cells.len(), 12, 8), values).unwrap();
    (features, cells.iter().map(|c| c[0]).collect(), cells.iter().map(|c| c[2] - 1).collect())
}

/// Windows and gestures of these participants.
fn rows(
    (features, participants, gestures): &(Array3<f64>, Vec<usize>, Vec<usize>),
    of: &[usize],
) -> (Array2<f64>, Vec<usize>) {
    let trials: Vec<usize> = (0..participants.len()).filter(|&t| of.contains(&participants[t])).collect();
    let windows =
        Array2::from_shape_fn((trials.len() * 12, 8), |(i, j)| features[[trials[i / 12], i % 12, j]]);
    (windows, trials.iter().flat_map(|&t| [gestures[t]; 12]).collect())
}

/// Balanced accuracy over nine held-out people rises from one to 28 others, in a line over the logarithm of their
/// number: 0.213, 0.330, 0.336, 0.374, 0.399, 0.405 in the reference, whose draws of people are not recorded.
#[test]
fn the_curve_over_participants_is_reproduced() {
    let data = emg();
    let mut people = data.1.clone();
    people.sort_unstable();
    people.dedup();
    assert_eq!(people.len(), 37);
    let others: Vec<usize> = people.into_iter().filter(|p| !HELD_OUT.contains(p)).collect();
    let tests: Vec<_> = HELD_OUT.iter().map(|person| rows(&data, &[*person])).collect();
    let (mut sizes, mut scores, mut draws) = (Vec::new(), Vec::new(), Vec::new());
    for draw in 0..8 {
        let order = Stream::new(1, Domain::Split, [draw, 0, 0]).permutation(others.len());
        for n in [1, 2, 4, 8, 16, 28] {
            let of: Vec<usize> = order[..n].iter().map(|&i| others[i]).collect();
            let (x, y) = rows(&data, &of);
            let fit = DiscriminantAnalysis::fit(&x.view(), &y, Shrinkage::Fixed(0.0)).unwrap();
            let score = |(x, y): &(Array2<f64>, Vec<usize>)| {
                balanced_accuracy(y, &fit.predict(&x.view()).unwrap()).unwrap()
            };
            sizes.push(n as f64);
            scores.push(tests.iter().map(score).sum::<f64>() / 9.0);
            draws.push(usize::try_from(draw).unwrap());
        }
    }
    // The same 28 people in every draw: the reference value itself.
    assert!((scores[5] - 0.405).abs() < 6e-4, "{}", scores[5]);
    // Of the smaller sets the reference is one draw: it must lie among ours.
    for (k, want) in [0.213, 0.330, 0.336, 0.374, 0.399].into_iter().enumerate() {
        let drawn = || (0..8).map(|draw| scores[6 * draw + k]);
        let (lo, hi) = (drawn().fold(1.0, f64::min), drawn().fold(0.0, f64::max));
        assert!((lo - 0.015..=hi + 0.015).contains(&want), "{k}: {want} is not within {lo} to {hi}");
    }
    let bootstrap = Bootstrap::with_seed(1);
    let line = LogLinearBootstrap::new(&sizes, &scores, &draws, &bootstrap).unwrap();
    let slope = line.interval(|law| law.slope);
    assert!(slope.interval.lo > 0.02 && slope.interval.hi < 0.09, "{slope:?}");
    let (more, never) = line.size_for(0.5).unwrap();
    assert!(more.value > 60.0 && more.interval.lo > 28.0 && never < 0.01, "{more:?} {never}");
    // Errors fall toward a floor far above zero: people differ.
    let errors: Vec<f64> = scores.iter().map(|s| 1.0 - s).collect();
    let law = PowerLaw::fit(&sizes, &errors).unwrap();
    assert!((law.predict(28.0) - 0.595).abs() < 0.02, "{law:?}");
}

#[test]
fn two_axes_are_told_apart_in_spite_of_outliers() {
    let truth = TwoAxisLaw { floor: 0.3, scales: [2.0, 0.8], exponents: [0.5, 0.25] };
    let mut stream = Stream::new(2, Domain::Synthetic, [0, 0, 0]);
    let (mut first, mut second, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for n in [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0f64] {
        for d in [1.0, 10.0, 100.0, 1e3, 1e4, 1e5f64] {
            first.push(n);
            second.push(d);
            errors.push(truth.predict(n, d) * (1e-3 * stream.normal()).exp());
        }
    }
    let check = |errors: &[f64], tolerance: f64| {
        let law = TwoAxisLaw::fit(&first, &second, errors).unwrap();
        assert!((law.floor - 0.3).abs() < tolerance, "{law:?}");
        for axis in 0..2 {
            assert!((law.exponents[axis] / truth.exponents[axis] - 1.0).abs() < 3.0 * tolerance, "{law:?}");
            assert!((law.scales[axis] / truth.scales[axis] - 1.0).abs() < 3.0 * tolerance, "{law:?}");
        }
        let (n, d) = (3e3, 1e6);
        assert!((law.predict(n, d) / truth.predict(n, d) - 1.0).abs() < tolerance);
    };
    check(&errors, 0.02);
    // Two runs that failed: their residuals count by size, not by square.
    errors[4] *= 3.0;
    errors[30] *= 2.0;
    check(&errors, 0.03);
    assert!(matches!(
        TwoAxisLaw::fit(&first[..6], &second[..6], &errors[..6]),
        Err(MetricError::InvalidSetting { what: "number of first sizes", .. })
    ));
    // With two sizes of an axis every exponent fits, with a floor of its own.
    let of_two: Vec<usize> = (0..first.len()).filter(|&i| second[i] <= 10.0).collect();
    let pick = |of: &[f64]| of_two.iter().map(|&i| of[i]).collect::<Vec<f64>>();
    assert_eq!(
        TwoAxisLaw::fit(&pick(&first), &pick(&second), &pick(&errors)).unwrap_err(),
        MetricError::InvalidSetting { what: "number of second sizes", value: 2.0, must: "at least 3" }
    );
}

#[test]
fn a_line_answers_how_much_more_it_takes() {
    let sizes = [1.0, 2.0, 4.0, 8.0];
    let values = sizes.map(|n: f64| 0.1 + 0.05 * n.ln());
    let line = LogLinear::fit(&sizes, &values).unwrap();
    assert!((line.size_for(0.1 + 0.05 * 32f64.ln()).unwrap() - 32.0).abs() < 1e-9 && line.r2 > 1.0 - 1e-12);
    let falling = LogLinear::fit(&sizes, &values.map(|v| -v)).unwrap();
    assert_eq!(falling.size_for(1.0), None);
    assert!(matches!(LogLinear::fit(&sizes, &[1.0; 4]), Err(MetricError::NoVariation { .. })));
    assert!(matches!(LogLinear::fit(&[2.0; 4], &values), Err(MetricError::NoVariation { .. })));
    // Equal values whose mean is rounded leave a sum of squares above zero.
    for n in 3..60 {
        let rising: Vec<f64> = (1..=n).map(f64::from).collect();
        let equal = vec![0.3; rising.len()];
        for (sizes, values) in [(&equal, &rising), (&rising, &equal)] {
            let fit = LogLinear::fit(sizes, values);
            assert!(matches!(fit, Err(MetricError::NoVariation { .. })), "{n}: {fit:?}");
        }
    }
    let one_group = LogLinearBootstrap::new(&sizes, &values, &[3; 4], &Bootstrap::with_seed(1));
    assert!(matches!(one_group, Err(MetricError::InvalidSetting { .. })));
}
