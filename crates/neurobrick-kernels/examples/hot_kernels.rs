//! Runs one hot kernel again and again on one thread, for programs that count or sample what it does.
//!
//! Without arguments it prints the names; with a name and a number of calls it makes them and prints a checksum. The
//! inputs depend on nothing, so two runs execute the same instructions. `cargo xtask counts` counts them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line")]

use std::hint::black_box;
use std::process::ExitCode;

use neurobrick_kernels::{
    AdamWRates, AdamWStep, AttentionDropout, AttentionShape, DropoutStream, adamw, attention,
    attention_backward,
};

/// A part of the published MtM core: one sequence of 100 bins, two of its heads.
const SHAPE: AttentionShape =
    AttentionShape { n_examples: 1, n_queries: 100, n_keys: 100, n_heads: 2, d_head: 64 };
/// Probability of dropping a value or a weight.
const P: f64 = 0.1;
/// Values that go through dropout: 100 bins of width 128.
const N_VALUES: usize = 100 * 128;
/// Weights of an update: a square layer of width 128.
const N_WEIGHTS: usize = 128 * 128;

/// Makes inputs, calls a kernel so many times, returns the sum of its last output.
type Kernel = fn(usize) -> f64;

const KERNELS: [(&str, Kernel); 4] = [
    ("attention", attention_forward),
    ("attention_backward", attention_gradients),
    ("dropout", dropout),
    ("adamw", update),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // The calling thread is the pool: no thread beside it, whose waiting would be counted.
    if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global() {
        eprintln!("error: no pool of one thread: {error}");
        return ExitCode::FAILURE;
    }
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            for (name, _) in KERNELS {
                println!("{name}");
            }
            ExitCode::SUCCESS
        }
        [name, n_calls] => call(name, n_calls).map_or_else(
            |message| {
                eprintln!("error: {message}");
                ExitCode::FAILURE
            },
            |checksum| {
                println!("{checksum}");
                ExitCode::SUCCESS
            },
        ),
        _ => {
            eprintln!(
                "error: a kernel and a number of calls are needed, or nothing for the names of kernels"
            );
            ExitCode::FAILURE
        }
    }
}

fn call(name: &str, n_calls: &str) -> Result<f64, String> {
    let (_, kernel) = KERNELS.into_iter().find(|(known, _)| *known == name).ok_or_else(|| {
        let known = KERNELS.map(|(name, _)| name).join(", ");
        format!("no kernel is named `{name}`; there are: {known}")
    })?;
    match n_calls.parse() {
        Ok(n_calls) if n_calls > 0 => Ok(kernel(n_calls)),
        _ => Err(format!("a number of calls from 1 is needed, got `{n_calls}`")),
    }
}

fn attention_forward(n_calls: usize) -> f64 {
    let [query, key, value] = [1, 2, 3].map(|seed| numbers(seed, SHAPE.n_values()));
    let (mut out, mut weights) = (vec![0.0; SHAPE.n_values()], vec![0.0; SHAPE.n_weights()]);
    for _ in 0..n_calls {
        attend(black_box([&query, &key, &value]), &mut out, &mut weights);
    }
    checksum(&out)
}

fn attend(arrays: [&[f32]; 3], out: &mut [f32], weights: &mut [f32]) {
    let streams = [DropoutStream::new(1, 2, 3, 4)];
    attention(SHAPE, arrays, None, Some(AttentionDropout { p: P, streams: &streams }), out, weights);
}

fn attention_gradients(n_calls: usize) -> f64 {
    let [query, key, value, d_out] = [1, 2, 3, 4].map(|seed| numbers(seed, SHAPE.n_values()));
    let (mut out, mut weights) = (vec![0.0; SHAPE.n_values()], vec![0.0; SHAPE.n_weights()]);
    attend([&query, &key, &value], &mut out, &mut weights);
    let mut gradients = [out.clone(), out.clone(), out];
    for _ in 0..n_calls {
        let arrays: [&[f32]; 3] = black_box([&query, &key, &value]);
        let to = gradients.each_mut().map(Vec::as_mut_slice);
        attention_backward(SHAPE, arrays, Some(P), &weights, &d_out, to);
    }
    gradients.iter().map(|gradient| checksum(gradient)).sum()
}

fn dropout(n_calls: usize) -> f64 {
    let (residual, mut x) = (numbers(1, N_VALUES), numbers(2, N_VALUES));
    for _ in 0..n_calls {
        DropoutStream::new(1, 2, 3, 4).apply_add(P, 0, black_box(&residual), &mut x);
    }
    checksum(&x)
}

fn update(n_calls: usize) -> f64 {
    let rates = AdamWRates { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
    let step = AdamWStep::new(&rates, 10, 1.0);
    let (mut weight, grad) = (numbers(1, N_WEIGHTS), numbers(2, N_WEIGHTS));
    let (mut first, mut second) = (vec![0.0; N_WEIGHTS], vec![0.0; N_WEIGHTS]);
    for _ in 0..n_calls {
        adamw(&mut weight, black_box(&grad), &mut first, &mut second, &step);
    }
    checksum(&weight)
}

/// Numbers in [−1, 1) from a linear congruence (Knuth's MMIX constants), the same every time.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The two highest bytes: low bits of a congruence repeat early.
        let [high, low, ..] = state.to_be_bytes();
        f32::from(i16::from_be_bytes([high, low])) / 32768.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn checksum(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum()
}
