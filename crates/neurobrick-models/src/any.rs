//! One type for whichever model a configuration names.
#![allow(
    clippy::large_enum_variant,
    reason = "a handful of models exist at a time, and Burn's derive takes no boxes"
)]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use neurobrick_core::{Mode, ModelError, ModelInput, Output, PopulationModel, SessionSpec};
use neurobrick_schema::SessionId;

use crate::{LinearStitch, ModelConfig, NdtStitch};

/// A model chosen at run time. Its parameters have the names they have in the model itself.
#[derive(Module, Debug)]
pub enum AnyModel {
    /// NDT-1-stitch.
    NdtStitch(NdtStitch),
    /// Reduced-rank Poisson regression.
    LinearStitch(LinearStitch),
}

impl ModelConfig {
    /// Builds the model for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range or a session is listed twice.
    pub fn build(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<AnyModel, ModelError> {
        Ok(match self {
            Self::NdtStitch(config) => {
                AnyModel::NdtStitch(NdtStitch::new(config.clone(), sessions, seed, device)?)
            }
            Self::LinearStitch(config) => {
                AnyModel::LinearStitch(LinearStitch::new(config.clone(), sessions, seed, device)?)
            }
        })
    }
}

impl PopulationModel for AnyModel {
    fn sessions(&self) -> &[SessionSpec] {
        match self {
            Self::NdtStitch(model) => model.sessions(),
            Self::LinearStitch(model) => model.sessions(),
        }
    }

    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError> {
        match self {
            Self::NdtStitch(model) => model.forward(input, mode),
            Self::LinearStitch(model) => model.forward(input, mode),
        }
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Ok(match self {
            Self::NdtStitch(model) => Self::NdtStitch(model.with_sessions(sessions, seed, device)?),
            Self::LinearStitch(model) => Self::LinearStitch(model.with_sessions(sessions, seed, device)?),
        })
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        Ok(match self {
            Self::NdtStitch(model) => Self::NdtStitch(model.for_session(session)?),
            Self::LinearStitch(model) => Self::LinearStitch(model.for_session(session)?),
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        // Paths are those of the models themselves, and no model uses another's prefix for its core.
        NdtStitch::is_session_parameter(path) || LinearStitch::is_session_parameter(path)
    }

    fn forward_leave_one_out(&self, input: &ModelInput, units: &[usize]) -> Result<Tensor<3>, ModelError> {
        match self {
            Self::NdtStitch(model) => model.forward_leave_one_out(input, units),
            Self::LinearStitch(model) => model.forward_leave_one_out(input, units),
        }
    }
}
