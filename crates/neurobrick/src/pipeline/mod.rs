//! The end-to-end runs behind the verbs of `cargo xtask`.

mod demo;
mod evaluate;
mod finetune;
mod ingest;
mod pretrain;
mod progress;
mod training;

pub use demo::demo;
pub use evaluate::evaluate;
pub use finetune::finetune;
pub use ingest::{ingest, inspect};
pub use pretrain::pretrain;
pub use progress::{Observer, Progress, Silent};
pub use training::{ModelRecord, load_model};
