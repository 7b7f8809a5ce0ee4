//! The end-to-end runs behind the verbs of `cargo xtask`.

mod alignment;
mod answers;
mod arrays;
mod audit;
mod bwb;
mod decode;
mod decoder;
mod demo;
mod evaluate;
#[cfg(feature = "remote")]
mod fetch;
mod finetune;
mod ingest;
mod learner;
mod neds;
mod own_models;
mod pretrain;
mod progress;
mod questions;
mod scale;
mod stack;
mod stream;
mod stream_latency;
mod training;
mod transfer;
mod weights;

pub use alignment::SharedConditions;
pub use arrays::{ArrayFile, ArrayQuestion, TrialSet, embed, predict_rates};
pub use audit::audit;
pub use bwb::brain_wide_bench;
pub use decode::decode;
pub use decoder::{finetune_decoder, pretrain_decoder};
pub use demo::demo;
pub use evaluate::evaluate;
#[cfg(feature = "remote")]
pub use fetch::{fetch, remote_sessions};
pub use finetune::finetune;
pub use ingest::{ingest, ingest_with, inspect, plan_ingest};
pub use neds::{finetune_neds, pretrain_neds};
pub use own_models::{OwnModel, evaluate_own};
pub use pretrain::pretrain;
pub use progress::{Observer, Progress, Silent};
pub use questions::{Questions, write_questions};
pub use scale::scale;
pub use stream::{DecoderQuestion, FittedDecoder, fit_decoder, load_decoder, open_stream};
pub use stream_latency::{Pace, StreamLatency, random_stream};
pub use training::{ImportedFrom, ModelRecord, TrainedPart, TrainedSession, load_model};
pub use transfer::transfer;
pub use weights::{Exported, Imported, export_weights, import_weights};
