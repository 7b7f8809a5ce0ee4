//! Updates in place: equal to the plain expressions, unseen by whoever holds a clone, whatever the threads.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::{Tensor, TensorData};
use neurobrick_nn::flat::{
    AdamWRates, Moments, Update, adamw_update, add_in_place, composed_update, sum_squares,
};
use neurobrick_random::{Domain, Stream};
use neurobrick_testkit::test_device;

/// Lengths around the blocks of 16,384 values that threads take.
const LENGTHS: [usize; 6] = [0, 1, 1000, 16_384, 16_385, 40_000];

fn draw(n: usize, seed: u64) -> Tensor<1> {
    let mut stream = Stream::new(seed, Domain::Synthetic, [0; 3]);
    #[expect(clippy::cast_possible_truncation, reason = "inputs are single precision")]
    let values: Vec<f32> = (0..n).map(|_| stream.normal() as f32).collect();
    Tensor::from_data(TensorData::new(values, [n]), &test_device())
}

fn values(x: &Tensor<1>) -> Vec<f32> {
    x.to_data().try_to_vec().unwrap()
}

fn start(n: usize) -> Moments {
    Moments { weight: draw(n, 1), first: draw(n, 2), second: draw(n, 3).square() }
}

/// Third updates of these parameters.
fn updates(states: Vec<Moments>, grads: Vec<Tensor<1>>) -> Vec<Update> {
    states.into_iter().zip(grads).map(|(state, grad)| Update { state, grad, n_updates: 3 }).collect()
}

fn in_pool<T: Send>(n_threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(work)
}

#[test]
fn an_update_in_place_is_the_plain_update_and_spares_clones() {
    let rates = AdamWRates { lr: 1e-2, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
    let starts = || LENGTHS.map(start).to_vec();
    let grads = || LENGTHS.map(|n| draw(n, 4)).to_vec();
    let held = starts();
    let updated = adamw_update(updates(held.clone(), grads()), &rates, 0.5);
    let again = [1, 3].map(|n_threads| {
        let work = move || adamw_update(updates(starts(), grads()), &rates, 0.5);
        in_pool(n_threads, work)
    });
    assert_eq!(updated.len(), LENGTHS.len());
    for (i, n) in LENGTHS.into_iter().enumerate() {
        assert_eq!(values(&held[i].weight), values(&start(n).weight), "a held weight of {n}");
        assert_eq!(values(&held[i].first), values(&start(n).first), "a held moment of {n}");
        let plain = composed_update(start(n), draw(n, 4), &rates, 3, 0.5);
        for (ours, oracle) in [
            (&updated[i].weight, &plain.weight),
            (&updated[i].first, &plain.first),
            (&updated[i].second, &plain.second),
        ] {
            assert_eq!(ours.dims(), [n]);
            for (a, b) in values(ours).iter().zip(values(oracle)) {
                assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{n}: {a} is not {b}");
            }
        }
        assert_eq!(values(&again[0][i].weight), values(&again[1][i].weight), "{n}: threads");
        assert_eq!(values(&again[0][i].weight), values(&updated[i].weight), "{n}: held clones");
    }
}

#[test]
fn sums_are_plain_sums() {
    let draws = |seed| LENGTHS.map(|n| draw(n, seed)).to_vec();
    let held = draws(5);
    let sums = add_in_place(held.clone().into_iter().zip(draws(6)).collect());
    for (i, n) in LENGTHS.into_iter().enumerate() {
        assert_eq!(values(&sums[i]), values(&(draw(n, 5) + draw(n, 6))), "{n}");
        assert_eq!(values(&held[i]), values(&draw(n, 5)), "{n}: a held gradient");
    }
    let squares: f64 = held.iter().flat_map(values).map(|v| f64::from(v).powi(2)).sum();
    let ours = [1, 3].map(|n_threads| {
        let xs = held.clone();
        in_pool(n_threads, move || sum_squares(xs))
    });
    assert!((ours[0] - squares).abs() <= 1e-12 * squares, "{} is not {squares}", ours[0]);
    assert_eq!(ours[0].to_bits(), ours[1].to_bits(), "threads");
}

#[test]
#[should_panic(expected = "lengths of two gradients")]
fn gradients_of_unequal_length_are_refused() {
    add_in_place(vec![(draw(40_000, 1), draw(20_000, 2))]);
}
