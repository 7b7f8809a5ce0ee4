//! The end-to-end runs behind the verbs of `cargo xtask`.

mod arrays;
mod audit;
mod bwb;
mod decode;
mod demo;
mod evaluate;
mod finetune;
mod ingest;
mod own_models;
mod pretrain;
mod progress;
mod scale;
mod stack;
mod stream;
mod stream_latency;
mod training;
mod transfer;
mod weights;

pub use arrays::{ArrayFile, ArrayQuestion, TrialSet, embed, predict_rates};
pub use audit::audit;
pub use bwb::brain_wide_bench;
pub use decode::decode;
pub use demo::demo;
pub use evaluate::evaluate;
pub use finetune::finetune;
pub use ingest::{ingest, ingest_with, inspect, plan_ingest};
pub use own_models::{OwnModel, evaluate_own};
pub use pretrain::pretrain;
pub use progress::{Observer, Progress, Silent};
pub use scale::scale;
pub use stream::{DecoderQuestion, FittedDecoder, fit_decoder, load_decoder, open_stream};
pub use stream_latency::{Pace, StreamLatency, random_stream};
pub use training::{ImportedFrom, ModelRecord, TrainedPart, TrainedSession, load_model};
pub use transfer::transfer;
pub use weights::{Exported, Imported, export_weights, import_weights};
