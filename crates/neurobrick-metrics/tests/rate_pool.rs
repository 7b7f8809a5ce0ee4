//! A pool of two predictors: at least as good as either where it was chosen, and exact in what it mixes.
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "tests; exact equality is the claim where it is asserted"
)]

use ndarray::{Array3, Axis, Zip, concatenate, s};
use neurobrick_metrics::baselines::{Pooling, RatePool};
use neurobrick_metrics::{BitsTable, Convention, MetricError, NullModel};
use neurobrick_random::{Domain, Stream};

const SHAPE: (usize, usize, usize) = (20, 15, 8);

/// Counts, and two predictors that each know one of the two factors of their rates.
fn draw() -> (Array3<f64>, Array3<f64>, Array3<f64>) {
    let mut stream = Stream::new(4, Domain::Synthetic, [0; 3]);
    let mut factor = || Array3::from_shape_simple_fn(SHAPE, || (0.7 * stream.normal()).exp());
    let (a, b) = (factor(), factor());
    let mut spikes = Stream::new(5, Domain::Synthetic, [0; 3]);
    let counts = Zip::from(&a).and(&b).map_collect(|a, b| f64::from(spikes.poisson(0.3 * a * b)));
    (a.mapv(|a| 0.4 * a), b.mapv(|b| 0.4 * b), counts)
}

fn bits(rates: &Array3<f64>, counts: &Array3<f64>) -> f64 {
    let null = NullModel::EvaluatedMean.rates(&counts.view(), &counts.view()).unwrap();
    BitsTable::new(&rates.view(), &counts.view(), &null).unwrap().value(Convention::Pooled)
}

#[test]
fn complementary_predictors_gain_and_the_choice_is_scored_as_reported() {
    let (a, b, counts) = draw();
    let pool = RatePool::fit(&a.view(), &b.view(), &counts.view()).unwrap();
    let pooled = bits(&pool.rates(&a.view(), &b.view()).unwrap(), &counts);
    assert!(pooled > bits(&a, &counts) + 0.02 && pooled > bits(&b, &counts) + 0.02, "{pooled} {pool:?}");
    assert!((pool.valid_bits_per_spike - pooled).abs() < 1e-9, "{pool:?} scores {pooled}");
    assert!(pool.weight > 0.0 && pool.weight < 1.0);
}

#[test]
fn a_useless_partner_gets_no_weight() {
    let (a, _, counts) = draw();
    let wrong = a.mapv(|rate| 0.05 / rate);
    let first = RatePool::fit(&a.view(), &wrong.view(), &counts.view()).unwrap();
    assert_eq!(first.weight, 1.0);
    let second = RatePool::fit(&wrong.view(), &a.view(), &counts.view()).unwrap();
    assert_eq!(second.weight, 0.0);
}

/// Each predictor knows one of two factors: with few trials the second stands unless the help is clear, with all of them
/// the choice is nearly that of the likelihood.
#[test]
fn a_cautious_pool_keeps_its_partner_unless_the_other_clearly_helps() {
    let (a, b, counts) = draw();
    let each: Vec<usize> = (0..SHAPE.0).collect();
    let cautious = |a: &Array3<f64>, b: &Array3<f64>, counts: &Array3<f64>, clusters: &[usize]| {
        RatePool::fit_cautious(&a.view(), &b.view(), &counts.view(), clusters).unwrap()
    };
    let all = cautious(&a, &b, &counts, &each);
    let want = RatePool::fit(&a.view(), &b.view(), &counts.view()).unwrap();
    assert!(all.weight > 0.2 && all.weight < want.weight, "{all:?}, best {want:?}");
    assert!(all.valid_bits_per_spike > want.valid_bits_per_spike - 0.01, "{all:?}, best {want:?}");
    // One cluster says nothing about errors; the partner stands, to the bit.
    let one = cautious(&a, &b, &counts, &vec![7; SHAPE.0]);
    assert_eq!((one.weight, one.rates(&a.view(), &b.view()).unwrap()), (0.0, b.clone()));
    // Trials shown twice know no more than once.
    let twice = |x: &Array3<f64>| concatenate(Axis(0), &[x.view(), x.view()]).unwrap();
    let labels = [each.clone(), each.clone()].concat();
    assert_eq!(cautious(&twice(&a), &twice(&b), &twice(&counts), &labels), all);
    // The truth against noise around it, two trials at a time.
    let truth = Zip::from(&a).and(&b).map_collect(|a, b| 0.3 * a * b / 0.16);
    let mut stream = Stream::new(9, Domain::Synthetic, [0; 3]);
    let noisy = truth.mapv(|rate| rate * (0.3 * stream.normal()).exp());
    let weights: Vec<[f64; 2]> = (0..SHAPE.0 / 2)
        .map(|i| {
            let [noisy, truth, counts] =
                [&noisy, &truth, &counts].map(|x| x.slice(s![2 * i..2 * i + 2, .., ..]).to_owned());
            let best = RatePool::fit(&noisy.view(), &truth.view(), &counts.view()).unwrap();
            [cautious(&noisy, &truth, &counts, &[0, 1]).weight, best.weight]
        })
        .collect();
    let mean = |k: usize| weights.iter().map(|pair| pair[k]).sum::<f64>() / weights.len() as f64;
    assert!(mean(0) < 0.5 * mean(1), "{weights:?}");
    let short = RatePool::fit_cautious(&a.view(), &b.view(), &counts.view(), &[0]);
    assert!(matches!(short, Err(MetricError::ShapeMismatch { what: "labels of trials", .. })));
}

#[test]
fn rates_are_means_of_rates_or_of_their_logarithms() {
    let (a, b) = (Array3::from_elem((1, 1, 1), 0.2), Array3::from_elem((1, 1, 1), 0.8));
    let rate = |pooling| {
        let pool = RatePool { pooling, weight: 0.25, valid_bits_per_spike: 0.0 };
        pool.rates(&a.view(), &b.view()).unwrap()[[0, 0, 0]]
    };
    assert!((rate(Pooling::Linear) - 0.65).abs() < 1e-15);
    assert!((rate(Pooling::Logarithmic) - 0.2_f64.powf(0.25) * 0.8_f64.powf(0.75)).abs() < 1e-15);
}

#[test]
fn what_cannot_be_pooled_is_refused() {
    let (a, b, counts) = draw();
    let fit = |a: &Array3<f64>, counts: &Array3<f64>| RatePool::fit(&a.view(), &b.view(), &counts.view());
    assert!(matches!(fit(&a, &Array3::zeros(SHAPE)), Err(MetricError::NoSpikes { .. })));
    assert!(matches!(fit(&a.mapv(|_| f64::NAN), &counts), Err(MetricError::NanRate { .. })));
    assert!(matches!(fit(&a.mapv(|r| -r), &counts), Err(MetricError::NegativeRate { .. })));
    assert!(matches!(fit(&Array3::zeros((1, 1, 1)), &counts), Err(MetricError::ShapeMismatch { .. })));
}
