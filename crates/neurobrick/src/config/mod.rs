//! Configuration files of the verbs: TOML or YAML, strict, with every path relative to the working folder.

mod alignment;
mod bwb;
mod decode;
mod files;
mod import;
mod import_behavior;
mod kinds;
mod load;
mod neds;
mod poyo;
mod scale;
mod transfer;

pub use alignment::AlignmentConfig;
pub use bwb::{BwbConfig, ClassTarget, EventTarget};
pub use decode::{DecodeConfig, DecodeFeature};
pub use files::{
    DemoConfig, EvaluateConfig, FinetuneConfig, ModelSource, PredictionSource, PretrainConfig, StackSource,
    Start,
};
pub(crate) use files::{check_model, check_train};
pub(crate) use import::SESSION_WORDS;
pub use import::{ImportConfig, ImportParity, ImportSession, NewSession};
pub use import_behavior::{ImportDecoderConfig, ImportDecoderSession, ImportNedsConfig};
pub(crate) use import_behavior::{UNIT_WORDS, published_names};
pub use kinds::{Finetuning, Importing, Pretraining};
pub use load::{json_schemas, load, parse_toml};
pub use neds::{FinetuneNedsConfig, ModalitiesConfig, MultimodalConfig, NedsTrainConfig, PretrainNedsConfig};
pub use poyo::{
    DecoderStart, DecoderTrainConfig, FinetuneDecoderConfig, PretrainDecoderConfig, SpikeDecoderConfig,
    UnitDropout,
};
pub use scale::{ScaleAxis, ScaleConfig, ScaleScoring, ScaleSteps};
pub use transfer::{NetworkConfig, RivalConfig, TransferConfig};

pub use neurobrick_evaluate::DataConfig;
pub use neurobrick_evaluate::auditing::{AuditConfig, NuisanceColumns, RowSplit, SessionsAudit, TableAudit};
pub use neurobrick_evaluate::decoding::BehaviorTarget;
pub use neurobrick_evaluate::evaluation::{DecodeTarget, ScoringConfig, StackAblation, StackConfig};
pub use neurobrick_evaluate::scaling::ScaleTarget;
