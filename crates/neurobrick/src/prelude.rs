//! What most programs need.

pub use burn::tensor::Device;
pub use neurobrick_core::{MaskScheme, Masking, Mode, ModelInput, PopulationModel, SessionSpec};
pub use neurobrick_data::{SessionData, SplitConfig, TrialSplit, WindowConfig};
pub use neurobrick_metrics::{BitsTable, Bootstrap, Convention};
pub use neurobrick_models::{AnyModel, ModelConfig, NdtStitch, NdtStitchConfig};
pub use neurobrick_schema::{Recording, SessionId, Store};
pub use neurobrick_train::{EvalTask, TrainConfig, TrainSession, Trainer};
