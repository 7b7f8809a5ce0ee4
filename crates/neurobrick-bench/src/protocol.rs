//! What conductor and sides say to each other: one JSON object per line, an answer for every request.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{BenchCase, BenchError, ModelCase, Work};

/// What the conductor asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Builds model and batch. The first request.
    Open {
        /// Sizes.
        case: BenchCase,
        /// Weights, counts and masks.
        material: PathBuf,
        /// Threads to compute with.
        n_threads: usize,
        /// Learning rate of train steps.
        learning_rate: f64,
        /// Clipping of train steps.
        max_grad_norm: f64,
        /// Whether to compile the model, on a side that can.
        compiled: bool,
    },
    /// Builds any model and its batch. Takes the place of `open`.
    OpenModel {
        /// Sizes.
        case: ModelCase,
        /// Seed of weights and batch, from which our side draws them.
        seed: u64,
        /// Weights and batch, for other sides.
        material: PathBuf,
        /// Threads to compute with.
        n_threads: usize,
        /// Learning rate of train steps.
        learning_rate: f64,
        /// Clipping of train steps.
        max_grad_norm: f64,
        /// Whether to compile the model, on a side that can.
        compiled: bool,
    },
    /// Builds model and batch by drawing them, on our side only. Takes the place of `open`.
    Draw {
        /// Sizes.
        case: BenchCase,
        /// Seed of weights, counts and masks.
        seed: u64,
        /// Threads to compute with.
        n_threads: usize,
    },
    /// Summed masked loss of the batch without dropout, with the weights as they are.
    EvalLoss,
    /// Runs the work a few times without recording it; peak memory counts from here.
    WarmUp {
        /// The work.
        work: Work,
    },
    /// Runs the work and times every repeat.
    Run {
        /// The work.
        work: Work,
        /// Repeats.
        n: usize,
    },
    /// Times `n` products of [`PRODUCT_SHAPE`](crate::PRODUCT_SHAPE) on every thread.
    Product {
        /// Repeats.
        n: usize,
    },
    /// Memory of the process.
    Memory,
    /// What training keeps from step to step, on our side only.
    Kept,
}

/// What a side answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// To `open`.
    Opened {
        /// Version of what runs.
        version: String,
    },
    /// To `eval_loss`.
    Loss {
        /// In nats.
        loss: f64,
    },
    /// To `warm_up`.
    Warm {
        /// Seconds of the last repeat.
        last_s: f64,
        /// What the side chose by measuring, in words; empty if nothing.
        note: String,
    },
    /// To `run`.
    Times {
        /// Seconds of every repeat.
        times_s: Vec<f64>,
        /// Minor page faults of all repeats together, where the system tells.
        page_faults: Option<u64>,
    },
    /// To `product`.
    Product {
        /// Of all threads together, in 10⁹ operations per second.
        gflops: f64,
    },
    /// To `memory`.
    Memory {
        /// Resident before model and batch were built, where the system tells.
        start_bytes: Option<u64>,
        /// Largest resident since the last `warm_up`, where the system tells.
        peak_bytes: Option<u64>,
    },
    /// To `kept`.
    Kept {
        /// Numbers the model is.
        n_parameters: usize,
        /// Weights, the copy of the best ones, and both moments of parameters that have had a gradient.
        bytes: usize,
    },
    /// The request could not be met.
    Failed {
        /// Why.
        message: String,
    },
}

/// One message as a line with its end.
///
/// # Errors
/// If a number in it is not finite: JSON has no such numbers.
pub fn encode<T: Serialize>(message: &T) -> Result<String, BenchError> {
    let mut line = serde_json::to_string(message)
        .map_err(|e| BenchError::Line { line: String::new(), reason: e.to_string() })?;
    line.push('\n');
    Ok(line)
}

/// The message of a line.
///
/// # Errors
/// If the line is not exactly one message.
pub fn decode<T: DeserializeOwned>(line: &str) -> Result<T, BenchError> {
    serde_json::from_str(line.trim_end())
        .map_err(|e| BenchError::Line { line: line.trim_end().to_owned(), reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn requests_and_answers_come_back_as_they_were_sent() {
        let requests = [
            Request::Open {
                case: BenchCase::all().remove(0),
                material: PathBuf::from("a b/m.safetensors"),
                n_threads: 2,
                learning_rate: 1e-5,
                max_grad_norm: 1.0,
                compiled: true,
            },
            Request::OpenModel {
                case: ModelCase::all().unwrap().remove(2),
                seed: 1,
                material: PathBuf::from("m.safetensors"),
                n_threads: 2,
                learning_rate: 1e-5,
                max_grad_norm: 1.0,
                compiled: false,
            },
            Request::EvalLoss,
            Request::WarmUp { work: Work::Train },
            Request::Run { work: Work::SingleTrial, n: 3 },
            Request::Product { n: 4 },
            Request::Memory,
            Request::Kept,
            Request::Draw {
                case: BenchCase { n_sessions: 3, ..BenchCase::all().remove(1) },
                seed: 1,
                n_threads: 2,
            },
        ];
        for request in requests {
            let line = encode(&request).unwrap();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(decode::<Request>(&line).unwrap(), request);
        }
        let answer = Answer::Times { times_s: vec![0.5, 0.25], page_faults: None };
        assert_eq!(decode::<Answer>(&encode(&answer).unwrap()).unwrap(), answer);
    }

    #[test]
    fn what_a_peer_writes_is_read_strictly() {
        for (line, expected) in [
            (r#"{"answer": "loss", "loss": 1.5}"#, Some(Answer::Loss { loss: 1.5 })),
            (
                "{\"answer\":\"memory\",\"start_bytes\":1,\"peak_bytes\":null}\r\n",
                Some(Answer::Memory { start_bytes: Some(1), peak_bytes: None }),
            ),
            (r#"{"answer": "loss"}"#, None),
            (r#"{"answer": "loss", "loss": NaN}"#, None),
            (r#"{"answer": "loss", "loss": 1, "more": 2}"#, None),
            (r#"{"answer": "loss", "loss": 1}{"answer": "loss", "loss": 1}"#, None),
            ("Traceback (most recent call last):", None),
            ("", None),
        ] {
            match (decode::<Answer>(line), expected) {
                (Ok(answer), Some(expected)) => assert_eq!(answer, expected),
                (Err(error), None) => assert!(error.to_string().contains(line.trim_end()), "{error}"),
                (got, _) => panic!("{line}: {got:?}"),
            }
        }
    }
}
