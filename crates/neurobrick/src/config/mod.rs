//! Configuration files of the verbs: TOML or YAML, strict, with every path relative to the working folder.

mod audit;
mod bwb;
mod decode;
mod files;
mod import;
mod inline;
mod kinds;
mod load;
mod neds;
mod poyo;
mod scale;
mod stack;
mod transfer;

pub use audit::{AuditConfig, NuisanceColumns, RowSplit, SessionsAudit, TableAudit};
pub use bwb::{BwbConfig, ClassTarget, EventTarget};
pub use decode::{BehaviorTarget, DecodeConfig, DecodeFeature};
pub use files::{
    DataConfig, DecodeTarget, DemoConfig, EvaluateConfig, FinetuneConfig, ModelSource, PretrainConfig,
    ScoringConfig, StackSource, Start,
};
pub(crate) use files::{check_model, check_train};
pub use import::{ImportConfig, ImportParity, ImportSession, NewSession};
pub(crate) use inline::in_line;
pub use kinds::{Finetuning, Pretraining};
pub use load::{json_schemas, load, parse_toml};
pub use neds::{FinetuneNedsConfig, ModalitiesConfig, MultimodalConfig, NedsTrainConfig, PretrainNedsConfig};
pub use poyo::{
    DecoderStart, DecoderTrainConfig, FinetuneDecoderConfig, PretrainDecoderConfig, SpikeDecoderConfig,
    UnitDropout,
};
pub use scale::{ScaleAxis, ScaleConfig, ScaleScoring, ScaleTarget};
pub use stack::{StackAblation, StackConfig};
pub(crate) use transfer::CURVE_PREFIX;
pub use transfer::{NetworkConfig, RivalConfig, TransferConfig};
