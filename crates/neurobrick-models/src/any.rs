//! One type for whichever model a configuration names.
#![allow(
    clippy::large_enum_variant,
    reason = "a handful of models exist at a time, and Burn's derive takes no boxes"
)]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use neurobrick_core::{
    Alignment, Mode, ModelError, ModelInput, Output, Penalty, PopulationModel, SessionSpec,
};
use neurobrick_schema::SessionId;

use crate::{GruStitch, Lfads, LinearStitch, ModelConfig, Ndt1, Ndt2, NdtStitch};

/// A model chosen at run time. Its parameters have the names they have in the model itself.
#[derive(Module, Debug)]
pub enum AnyModel {
    /// NDT-1-stitch.
    NdtStitch(NdtStitch),
    /// Reduced-rank Poisson regression.
    LinearStitch(LinearStitch),
    /// LFADS.
    Lfads(Lfads),
    /// Causal recurrent network.
    GruStitch(GruStitch),
    /// NDT-1.
    Ndt1(Ndt1),
    /// NDT-2.
    Ndt2(Ndt2),
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
            Self::Lfads(config) => AnyModel::Lfads(Lfads::new(config.clone(), sessions, seed, device)?),
            Self::GruStitch(config) => {
                AnyModel::GruStitch(GruStitch::new(config.clone(), sessions, seed, device)?)
            }
            Self::Ndt1(config) => AnyModel::Ndt1(Ndt1::new(config.clone(), sessions, seed, device)?),
            Self::Ndt2(config) => AnyModel::Ndt2(Ndt2::new(config.clone(), sessions, seed, device)?),
        })
    }
}

impl PopulationModel for AnyModel {
    fn sessions(&self) -> &[SessionSpec] {
        match self {
            Self::NdtStitch(model) => model.sessions(),
            Self::LinearStitch(model) => model.sessions(),
            Self::Lfads(model) => model.sessions(),
            Self::GruStitch(model) => model.sessions(),
            Self::Ndt1(model) => model.sessions(),
            Self::Ndt2(model) => model.sessions(),
        }
    }

    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError> {
        match self {
            Self::NdtStitch(model) => model.forward(input, mode),
            Self::LinearStitch(model) => model.forward(input, mode),
            Self::Lfads(model) => model.forward(input, mode),
            Self::GruStitch(model) => model.forward(input, mode),
            Self::Ndt1(model) => model.forward(input, mode),
            Self::Ndt2(model) => model.forward(input, mode),
        }
    }

    fn forward_penalized(
        &self,
        input: &ModelInput,
        mode: Mode<'_>,
    ) -> Result<(Output, Option<Penalty>), ModelError> {
        match self {
            Self::NdtStitch(model) => model.forward_penalized(input, mode),
            Self::LinearStitch(model) => model.forward_penalized(input, mode),
            Self::Lfads(model) => model.forward_penalized(input, mode),
            Self::GruStitch(model) => model.forward_penalized(input, mode),
            Self::Ndt1(model) => model.forward_penalized(input, mode),
            Self::Ndt2(model) => model.forward_penalized(input, mode),
        }
    }

    fn reads_whole_windows(&self) -> bool {
        match self {
            Self::NdtStitch(model) => model.reads_whole_windows(),
            Self::LinearStitch(model) => model.reads_whole_windows(),
            Self::Lfads(model) => model.reads_whole_windows(),
            Self::GruStitch(model) => model.reads_whole_windows(),
            Self::Ndt1(model) => model.reads_whole_windows(),
            Self::Ndt2(model) => model.reads_whole_windows(),
        }
    }

    fn can_be_causal(&self) -> bool {
        match self {
            Self::NdtStitch(model) => model.can_be_causal(),
            Self::LinearStitch(model) => model.can_be_causal(),
            Self::Lfads(model) => model.can_be_causal(),
            Self::GruStitch(model) => model.can_be_causal(),
            Self::Ndt1(model) => model.can_be_causal(),
            Self::Ndt2(model) => model.can_be_causal(),
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
            Self::Lfads(model) => Self::Lfads(model.with_sessions(sessions, seed, device)?),
            Self::GruStitch(model) => Self::GruStitch(model.with_sessions(sessions, seed, device)?),
            Self::Ndt1(model) => Self::Ndt1(model.with_sessions(sessions, seed, device)?),
            Self::Ndt2(model) => Self::Ndt2(model.with_sessions(sessions, seed, device)?),
        })
    }

    fn with_alignment(
        &self,
        session: &SessionId,
        alignment: &Alignment,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Ok(match self {
            Self::NdtStitch(model) => Self::NdtStitch(model.with_alignment(session, alignment, device)?),
            Self::LinearStitch(model) => {
                Self::LinearStitch(model.with_alignment(session, alignment, device)?)
            }
            Self::Lfads(model) => Self::Lfads(model.with_alignment(session, alignment, device)?),
            Self::GruStitch(model) => Self::GruStitch(model.with_alignment(session, alignment, device)?),
            Self::Ndt1(model) => Self::Ndt1(model.with_alignment(session, alignment, device)?),
            Self::Ndt2(model) => Self::Ndt2(model.with_alignment(session, alignment, device)?),
        })
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        Ok(match self {
            Self::NdtStitch(model) => Self::NdtStitch(model.for_session(session)?),
            Self::LinearStitch(model) => Self::LinearStitch(model.for_session(session)?),
            Self::Lfads(model) => Self::Lfads(model.for_session(session)?),
            Self::GruStitch(model) => Self::GruStitch(model.for_session(session)?),
            Self::Ndt1(model) => Self::Ndt1(model.for_session(session)?),
            Self::Ndt2(model) => Self::Ndt2(model.for_session(session)?),
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        // Paths are those of the models themselves, and no model uses another's prefix for its core.
        [
            NdtStitch::is_session_parameter,
            LinearStitch::is_session_parameter,
            Lfads::is_session_parameter,
            GruStitch::is_session_parameter,
            Ndt1::is_session_parameter,
            Ndt2::is_session_parameter,
        ]
        .iter()
        .any(|is_of_session| is_of_session(path))
    }

    fn forward_leave_one_out(&self, input: &ModelInput, units: &[usize]) -> Result<Tensor<3>, ModelError> {
        match self {
            Self::NdtStitch(model) => model.forward_leave_one_out(input, units),
            Self::LinearStitch(model) => model.forward_leave_one_out(input, units),
            Self::Lfads(model) => model.forward_leave_one_out(input, units),
            Self::GruStitch(model) => model.forward_leave_one_out(input, units),
            Self::Ndt1(model) => model.forward_leave_one_out(input, units),
            Self::Ndt2(model) => model.forward_leave_one_out(input, units),
        }
    }
}
