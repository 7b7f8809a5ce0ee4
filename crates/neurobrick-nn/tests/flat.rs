//! Updates in place: equal to the plain expressions, unseen by whoever holds a clone, whatever the threads.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_nn::flat::{AdamWRates, Moments, adamw_update, add_in_place, composed_update, sum_squares};
use neurobrick_random::{Domain, Stream};

/// Lengths around the blocks of 16,384 values that threads take.
const LENGTHS: [usize; 6] = [0, 1, 1000, 16_384, 16_385, 40_000];

fn draw(n: usize, seed: u64) -> Tensor<1> {
    let mut stream = Stream::new(seed, Domain::Synthetic, [0; 3]);
    #[expect(clippy::cast_possible_truncation, reason = "inputs are single precision")]
    let values: Vec<f32> = (0..n).map(|_| stream.normal() as f32).collect();
    Tensor::from_data(TensorData::new(values, [n]), &Device::flex())
}

fn values(x: &Tensor<1>) -> Vec<f32> {
    x.to_data().try_to_vec().unwrap()
}

fn start(n: usize) -> Moments {
    Moments { weight: draw(n, 1), first: draw(n, 2), second: draw(n, 3).square() }
}

fn in_pool<T: Send>(n_threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(work)
}

#[test]
fn an_update_in_place_is_the_plain_update_and_spares_clones() {
    let rates = AdamWRates { lr: 1e-2, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
    for n in LENGTHS {
        let (state, grad) = (start(n), draw(n, 4));
        let held = state.clone();
        let updated = adamw_update(state, grad.clone(), &rates, 3, 0.5);
        assert_eq!(values(&held.weight), values(&start(n).weight), "a held weight of {n}");
        assert_eq!(values(&held.first), values(&start(n).first), "a held moment of {n}");
        let plain = composed_update(start(n), grad.clone(), &rates, 3, 0.5);
        for (ours, oracle) in [
            (&updated.weight, &plain.weight),
            (&updated.first, &plain.first),
            (&updated.second, &plain.second),
        ] {
            for (a, b) in values(ours).iter().zip(values(oracle)) {
                assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{n}: {a} is not {b}");
            }
        }
        let again = |n_threads| {
            let grad = grad.clone();
            let one = in_pool(n_threads, move || adamw_update(start(n), grad, &rates, 3, 0.5));
            values(&one.weight)
        };
        assert_eq!(again(1), again(3), "{n}: threads");
        assert_eq!(again(1), values(&updated.weight), "{n}: held clones");
    }
}

#[test]
fn sums_are_plain_sums() {
    for n in LENGTHS {
        let (a, b) = (draw(n, 5), draw(n, 6));
        let held = a.clone();
        let sum = values(&add_in_place(a.clone(), b.clone()));
        assert_eq!(sum, values(&(a + b)), "{n}");
        assert_eq!(values(&held), values(&draw(n, 5)), "{n}: a held gradient");
        let squares: f64 = values(&held).iter().map(|&v| f64::from(v).powi(2)).sum();
        let ours = [1, 3].map(|n_threads| {
            let x = held.clone();
            in_pool(n_threads, move || sum_squares(x))
        });
        assert!((ours[0] - squares).abs() <= 1e-12 * squares, "{n}: {} is not {squares}", ours[0]);
        assert_eq!(ours[0].to_bits(), ours[1].to_bits(), "{n}: threads");
    }
}

#[test]
#[should_panic(expected = "lengths of two gradients")]
fn gradients_of_unequal_length_are_refused() {
    add_in_place(draw(40_000, 1), draw(20_000, 2));
}
