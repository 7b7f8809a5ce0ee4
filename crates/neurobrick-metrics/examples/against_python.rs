//! Bits/spike, the ridge grid and GPFA beside `nlb_tools`, scikit-learn and elephant, in turns of one run.
//!
//! ```console
//! $ cargo run --release -p neurobrick-metrics --example against_python -- PYTHON [TURNS] [CASE…]
//! ```
//!
//! `PYTHON` is an interpreter with what `benches/peers/metrics_requirements.txt` lists. Both sides make their data by the
//! same formulas, take turns, and use as many threads as there are cores. Prints medians of seconds on the clock and of
//! seconds of processor, which other work on the machine disturbs less, and both results; stops when they disagree.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures, not a library")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ndarray::{Array2, Array3};
use neurobrick_metrics::{Gpfa, GpfaConfig, RidgeRegression, bits_per_spike};

/// How far results may be apart, relative to theirs. GPFA starts elsewhere and has other steps, so that 25 of them end
/// elsewhere: only a better fit than theirs is asked for.
enum Agreement {
    Equal(f64),
    AtLeast,
}

const CASES: [(&str, &str, Agreement); 3] = [
    ("bits", "bits/spike, 1,000 trials x 100 bins x 700 units (nlb_tools)", Agreement::Equal(1e-9)),
    ("ridge", "ridge, 9 penalties x 5 folds, 8,000 x 120 (scikit-learn)", Agreement::Equal(1e-9)),
    ("gpfa", "GPFA, 25 steps, 3 factors, 20 trials x 60 bins x 30 units (elephant)", Agreement::AtLeast),
];

impl Agreement {
    fn check(&self, case: &str, ours: f64, theirs: f64) {
        let holds = match self {
            Self::Equal(tolerance) => (ours - theirs).abs() <= tolerance * theirs.abs(),
            Self::AtLeast => ours >= theirs,
        };
        assert!(holds, "{case}: the sides disagree, ours is {ours}, theirs {theirs}");
    }
}

/// What one side took and found.
#[derive(Clone, Copy)]
struct Turn {
    wall_s: f64,
    processor_s: f64,
    value: f64,
}

enum Data {
    Bits(Array3<f64>, Array3<f64>),
    Ridge(Array2<f64>, Array2<f64>),
    Gpfa(Vec<Array2<f64>>),
}

/// Uniform in [0, 1) from a multiplicative hash of the flat index.
fn noise(index: usize, salt: u64) -> f64 {
    let mut h = (index as u64).wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    h ^= h >> 29;
    h = h.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    h ^= h >> 32;
    (h >> 11) as f64 / 9_007_199_254_740_992.0
}

fn prepare(case: &str) -> (Data, f64) {
    match case {
        "bits" => {
            let shape = (1000, 100, 700);
            let flat = |(b, t, n): (usize, usize, usize)| (b * 100 + t) * 700 + n;
            let rates = Array3::from_shape_fn(shape, |at| 0.02 + 0.2 * noise(flat(at), 1));
            let counts =
                Array3::from_shape_fn(shape, |at| f64::from(u8::from(noise(flat(at), 2) < rates[at])));
            let sum = rates.sum() + counts.sum();
            (Data::Bits(rates, counts), sum)
        }
        "ridge" => {
            let x = Array2::from_shape_fn((8000, 120), |(i, j)| noise(i * 120 + j, 3));
            let y = Array2::from_shape_fn((8000, 2), |(i, k)| {
                let columns = if k == 0 { 0..30 } else { 20..60 };
                columns.map(|j| x[[i, j]]).sum::<f64>() + 2.0 * noise(i * 2 + k, 4)
            });
            let sum = x.sum() + y.sum();
            (Data::Ridge(x, y), sum)
        }
        _ => {
            let trial = |k: usize| {
                let salt = 1000 * (k as u64 + 1);
                Array2::from_shape_fn((60, 30), |(t, i)| {
                    let (time, k) = (t as f64, k as f64);
                    let z = [
                        (time / 9.0 + k).sin(),
                        (time / 14.0 + 2.0 * k).cos(),
                        (time / 20.0 + 3.0 * k).sin(),
                    ];
                    let drive: f64 = (0..3).map(|l| (noise(i * 3 + l, 5) - 0.5) * z[l]).sum();
                    drive + 1.0 + 0.8 * noise(i * 60 + t, salt)
                })
            };
            let trials: Vec<Array2<f64>> = (0..20).map(trial).collect();
            let sum = trials.iter().map(|trial| trial.sum()).sum();
            (Data::Gpfa(trials), sum)
        }
    }
}

fn run(data: &Data) -> Turn {
    let (start, spent) = (Instant::now(), processor_s());
    let value = match data {
        Data::Bits(rates, counts) => bits_per_spike(&rates.view(), &counts.view()).unwrap(),
        Data::Ridge(x, y) => {
            let alphas: Vec<f64> = (0..9).map(|i| 10f64.powf(-4.0 + 0.5 * f64::from(i))).collect();
            let (_, search) = RidgeRegression::fit_search(&x.view(), &y.view(), &alphas, 5).unwrap();
            search.mean_r2.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        }
        Data::Gpfa(trials) => {
            let views: Vec<_> = trials.iter().map(|trial| trial.view()).collect();
            let config =
                GpfaConfig { n_factors: 3, n_steps: 25, start_tau_bins: 5.0, ..GpfaConfig::default() };
            let model = Gpfa::fit(&views, &config).unwrap();
            model.infer(&views).unwrap().log_likelihood
        }
    };
    Turn { wall_s: start.elapsed().as_secs_f64(), processor_s: processor_s() - spent, value }
}

/// Seconds of processor that this process has used, from its status file, in hundredths.
fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // Fields 14 and 15 of the file, user and system time in ticks.
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

struct Python {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Python {
    fn start(interpreter: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/peers/metrics_side.py");
        let mut child = Command::new(interpreter)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn ask(&mut self, request: &str) -> Vec<f64> {
        writeln!(self.child.stdin.as_mut().unwrap(), "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.split_whitespace().map(|value| value.parse().unwrap()).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(interpreter) = arguments.next() else {
        println!("usage: against_python PYTHON [TURNS] [CASE…]");
        return;
    };
    let turns: usize = arguments.next().map_or(5, |turns| turns.parse().unwrap());
    let wanted: Vec<String> = arguments.collect();
    let mut python = Python::start(&interpreter);
    println!("| work | ours, s | Python, s | factor | ours, CPU s | Python, CPU s | factor | values |");
    println!("|---|---:|---:|---:|---:|---:|---:|---|");
    for (case, label, agreement) in CASES {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == case) {
            continue;
        }
        let (data, sum) = prepare(case);
        let theirs = python.ask(&format!("prepare {case}"))[0];
        assert!((sum - theirs).abs() <= 1e-9 * sum.abs(), "the sides have other data: {sum} and {theirs}");
        let (mut ours, mut other) = (Vec::new(), Vec::new());
        // One turn each to warm up.
        for turn in 0..=turns {
            let own = run(&data);
            let answer = python.ask(&format!("run {case}"));
            agreement.check(case, own.value, answer[2]);
            if turn > 0 {
                ours.push(own);
                other.push(Turn { wall_s: answer[0], processor_s: answer[1], value: answer[2] });
            }
        }
        let of = |turns: &[Turn], part: fn(&Turn) -> f64| median(turns.iter().map(part).collect());
        let (wall, their_wall) = (of(&ours, |t| t.wall_s), of(&other, |t| t.wall_s));
        let (cpu, their_cpu) = (of(&ours, |t| t.processor_s), of(&other, |t| t.processor_s));
        println!(
            "| {label} | {wall:.3} | {their_wall:.3} | {:.1} | {cpu:.2} | {their_cpu:.2} | {:.1} | {:.6}, {:.6} |",
            their_wall / wall,
            their_cpu / cpu,
            ours[0].value,
            other[0].value
        );
    }
    drop(python.child.stdin.take());
    let _ = python.child.wait();
}
