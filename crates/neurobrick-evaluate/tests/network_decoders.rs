//! Networks decode what no linear read-out finds, and give the same bits again.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::{Array3, Axis, s};
use neurobrick_evaluate::decoding::{
    NetworkConfig, NetworkDecoder, NetworkKind, NetworkRows, NetworkTargets,
};
use neurobrick_metrics::{LogisticProbe, MetricError, ProbeGrid, balanced_accuracy, r2};
use neurobrick_random::{Domain, Stream};

const N_BINS: usize = 6;

/// Trials of two units, each either busy or not for a whole trial, and five units that mean nothing; the label is whether
/// exactly one of the two is busy.
fn exclusive_or(n_trials: usize) -> (Array3<f64>, Vec<bool>) {
    let mut stream = Stream::new(5, Domain::Synthetic, [0, 0, 0]);
    let busy: Vec<[bool; 2]> =
        (0..n_trials).map(|_| [stream.bernoulli(0.5), stream.bernoulli(0.5)]).collect();
    let x = Array3::from_shape_fn((n_trials, N_BINS, 7), |(trial, _, unit)| {
        let rate = if unit < 2 && busy[trial][unit] { 2.0 } else { 0.3 };
        f64::from(stream.poisson(rate))
    });
    (x, busy.iter().map(|[a, b]| a != b).collect())
}

/// The first trials learn, the next stop, the rest is scored.
fn parts(n_train: usize, n_valid: usize, n_trials: usize) -> [Vec<usize>; 3] {
    let n_fit = n_train + n_valid;
    [(0..n_train).collect(), (n_train..n_fit).collect(), (n_fit..n_trials).collect()]
}

fn numbered(labels: impl IntoIterator<Item = bool>) -> Vec<usize> {
    labels.into_iter().map(usize::from).collect()
}

#[test]
fn networks_learn_an_exclusive_or_that_a_linear_probe_cannot() {
    let (x, labels) = exclusive_or(600);
    let [train, valid, test] = parts(300, 100, 600);
    let truth = numbered(test.iter().map(|&trial| labels[trial]));
    let means = x.sum_axis(Axis(1));
    let fit: Vec<bool> = labels[..400].to_vec();
    let (probe, _) =
        LogisticProbe::fit_search(&means.slice(s![..400, ..]), &fit, &ProbeGrid::with_seed(1)).unwrap();
    let linear = probe.predict(&means.slice(s![400.., ..])).unwrap();
    let linear = balanced_accuracy(&truth, &numbered(linear)).unwrap();
    assert!(linear < 0.65, "{linear}");
    for kind in [NetworkKind::Mlp, NetworkKind::Gru] {
        let rows = NetworkRows { train: &train, valid: &valid };
        let config = NetworkConfig::default();
        let fit = |config: &NetworkConfig| {
            NetworkDecoder::fit(kind, &x, NetworkTargets::Labels(&labels), rows, config, 1).unwrap()
        };
        let found = fit(&config);
        let log_odds = found.predict(&x.select(Axis(0), &test)).unwrap();
        let accuracy = balanced_accuracy(&truth, &numbered(log_odds.iter().map(|z| *z > 0.0))).unwrap();
        // The labels' own bound: two counts over six bins, of mean 12 or 1.8, are both told right in about 97 of 100 trials;
        // 200 test trials leave chance within 0.6. Between lies what 300 trials teach a network of this size.
        assert!(accuracy > 0.85, "{kind:?}: {accuracy}, {}", found.valid_loss());
        assert!(found.valid_loss() < 0.45 && config.weight_decays.contains(&found.weight_decay()));
        // A few epochs again, and on one thread.
        let short = NetworkConfig { max_epochs: 3, ..config.clone() };
        let bits = |fit: NetworkDecoder| -> Vec<u64> {
            fit.predict(&x.select(Axis(0), &test)).unwrap().iter().map(|z| z.to_bits()).collect()
        };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let first = bits(fit(&short));
        assert!(bits(fit(&short)) == first && one.install(|| bits(fit(&short))) == first, "{kind:?}");
    }
}

/// A behavior that is the product of two units' activity, in its own unit; and one that remembers the bins before.
#[test]
fn networks_follow_products_and_the_recurrent_one_remembers() {
    let mut stream = Stream::new(6, Domain::Synthetic, [0, 0, 0]);
    let x = Array3::from_shape_simple_fn((300, 12, 3), || stream.normal());
    let [train, valid, test] = parts(160, 60, 300);
    let rows = NetworkRows { train: &train, valid: &valid };
    let score = |kind: NetworkKind, y: &Array3<f64>| {
        let targets = NetworkTargets::Behavior(y.view());
        let found = NetworkDecoder::fit(kind, &x, targets, rows, &NetworkConfig::default(), 1).unwrap();
        let predicted = found.predict(&x.select(Axis(0), &test)).unwrap();
        let flat = |values: &Array3<f64>| {
            ndarray::Array2::from_shape_vec((values.len(), 1), values.iter().copied().collect()).unwrap()
        };
        r2::uniform(&flat(&y.select(Axis(0), &test)).view(), &flat(&predicted).view()).unwrap()
    };
    let product = Array3::from_shape_fn((300, 12, 1), |(b, t, _)| 40.0 + 5.0 * x[[b, t, 0]] * x[[b, t, 1]]);
    let multiplied = score(NetworkKind::Mlp, &product);
    // Nothing is noise, so that 1 is the bound; a line explains none of a product, and one of 0.8 has found its shape.
    assert!(multiplied > 0.8, "{multiplied}");
    let before = |b: usize, t: usize| if t > 1 { x[[b, t - 2, 0]] } else { 0.0 };
    let late = Array3::from_shape_fn((300, 12, 1), |(b, t, _)| before(b, t));
    let (remembered, blind) = (score(NetworkKind::Gru, &late), score(NetworkKind::Mlp, &late));
    // A sixth of the bins is the zero before the window's third, the rest can be told whole; the blind one has nothing to
    // read, and a tenth is beyond chance over 960 bins.
    assert!(remembered > 0.7 && blind < 0.1, "{remembered} {blind}");
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let (mut x, labels) = exclusive_or(20);
    let fit = |x: &Array3<f64>, labels: &[bool], train: &[usize], config: &NetworkConfig| {
        let rows = NetworkRows { train, valid: &[8, 9, 10, 11, 12, 13] };
        NetworkDecoder::fit(NetworkKind::Mlp, x, NetworkTargets::Labels(labels), rows, config, 1).map(drop)
    };
    let config = NetworkConfig { max_epochs: 2, ..NetworkConfig::default() };
    let train: Vec<usize> = (0..8).collect();
    fit(&x, &labels, &train, &config).unwrap();
    assert!(matches!(fit(&x, &labels, &[], &config), Err(MetricError::Empty { .. })));
    assert!(matches!(fit(&x, &labels, &[0, 20], &config), Err(MetricError::OutOfRange { index: 20, .. })));
    assert!(matches!(fit(&x, &labels[..4], &train, &config), Err(MetricError::ShapeMismatch { .. })));
    assert!(matches!(fit(&x, &[true; 20], &train, &config), Err(MetricError::SingleClass { .. })));
    let wrong = NetworkConfig { d_hidden: 0, ..config.clone() };
    assert!(matches!(fit(&x, &labels, &train, &wrong), Err(MetricError::InvalidSetting { .. })));
    // Finite, but not their sum: the first loss is no number.
    let beyond = x.mapv(|count| if count > 0.0 { f64::MAX } else { 0.0 });
    let error = fit(&beyond, &labels, &train, &config).unwrap_err();
    assert!(matches!(error, MetricError::NotFinite { what: "loss on validation trials", .. }), "{error}");
    x[[3, 0, 0]] = f64::NAN;
    assert!(matches!(fit(&x, &labels, &train, &config), Err(MetricError::NotFinite { .. })));
}
