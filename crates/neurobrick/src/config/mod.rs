//! Configuration files of the verbs: TOML or YAML, strict, with every path relative to the working folder.

mod files;
mod load;
mod transfer;

pub use files::{
    DataConfig, DecodeTarget, DemoConfig, EvaluateConfig, FinetuneConfig, ModelSource, PretrainConfig,
    ScoringConfig, Start,
};
pub use load::{json_schemas, load, parse_toml};
pub use transfer::TransferConfig;
