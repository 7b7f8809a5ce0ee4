//! Units → recurrent states → units: what a plain network that remembers gains over one that sees a bin at a time.
//!
//! Cho et al. (2014, arXiv:1406.1078) with the cell of LFADS, whose state is clipped and which resets before the
//! recurrent product.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::sessions::{check_alignment, check_input, check_unique, kept_or_fresh};
use neurobrick_core::{Alignment, Mode, ModelError, ModelInput, Output, PopulationModel, SessionSpec};
use neurobrick_nn::{ClippedGru, Dropout, InitStreams, SessionStitch, affine, affine_counts, gru_drive};
use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::require;
use crate::stitches::{READ_OUT_SCALE, fresh_stitch};

/// Sizes of a [`GruStitch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GruStitchConfig {
    /// Bins of a window.
    pub n_bins: usize,
    /// Width of the stitch: every session's units are mapped to it.
    pub d_stitch: usize,
    /// Recurrent units, which are the latents.
    pub d_hidden: usize,
    /// Dropout on stitched counts and on states as they are read.
    pub dropout: f64,
    /// Bound of the state.
    #[serde(default = "five")]
    pub clip: f64,
}

fn five() -> f64 {
    5.0
}

impl GruStitchConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// If a size is zero, dropout lies outside `[0, 1)` or the bound is not positive.
    pub fn validate(&self) -> Result<(), ModelError> {
        for (field, value) in
            [("n_bins", self.n_bins), ("d_stitch", self.d_stitch), ("d_hidden", self.d_hidden)]
        {
            require(field, value, value > 0, "positive")?;
        }
        require("dropout", self.dropout, (0.0..1.0).contains(&self.dropout), "in [0, 1)")?;
        require("clip", self.clip, self.clip > 0.0 && self.clip.is_finite(), "positive and finite")
    }
}

/// A recurrent network over many sessions that reads a window from its first bin to its last.
#[derive(Module, Debug)]
pub struct GruStitch {
    stitches: Vec<SessionStitch>,
    drive: Linear,
    cell: ClippedGru,
    /// First state `[1, H]`, learned.
    start: Param<Tensor<2>>,
    input_dropout: Dropout,
    state_dropout: Dropout,
    #[module(skip)]
    config: GruStitchConfig,
    #[module(skip)]
    table: Vec<SessionSpec>,
}

impl GruStitch {
    /// A fresh model for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range or a session is listed twice.
    pub fn new(
        config: GruStitchConfig,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        check_unique(sessions)?;
        let mut init = InitStreams::new(seed, "core");
        let GruStitchConfig { d_stitch, d_hidden, dropout, clip, .. } = config;
        let std = ((d_stitch + d_hidden) as f64).powf(-0.5);
        Ok(Self {
            stitches: sessions
                .iter()
                .map(|spec| fresh_stitch(spec, [d_stitch, d_hidden], seed, device))
                .collect(),
            drive: gru_drive(d_stitch, d_hidden, 1, std, &mut init, device),
            cell: ClippedGru::new(d_hidden, clip, std, &mut init, device),
            start: Param::from_tensor(Tensor::zeros([1, d_hidden], device)),
            input_dropout: Dropout::new(dropout, 0),
            state_dropout: Dropout::new(dropout, 1),
            config,
            table: sessions.to_vec(),
        })
    }
}

impl PopulationModel for GruStitch {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError> {
        let idx = self.session_idx(&input.session)?;
        check_input(&self.table[idx], self.config.n_bins, input)?;
        let stitch = &self.stitches[idx];
        let read = self.input_dropout.forward(affine_counts(input.counts.clone(), &stitch.read_in), mode);
        let b = read.dims()[0];
        let start = self.start.val().expand([b, self.config.d_hidden]);
        let states = self.cell.forward(affine(read, &self.drive), start, false);
        let latents = self.state_dropout.forward(states, mode);
        Ok(Output { log_rates: affine(latents.clone(), &stitch.read_out), latents })
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let widths = [self.config.d_stitch, self.config.d_hidden];
        let fresh = |spec: &SessionSpec| Ok(fresh_stitch(spec, widths, seed, device));
        let stitches = kept_or_fresh(sessions, (&self.table, &self.stitches), fresh)?;
        Ok(Self { stitches, table: sessions.to_vec(), ..self.clone() })
    }

    fn with_alignment(
        &self,
        session: &SessionId,
        alignment: &Alignment,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        check_alignment(&self.table[idx], self.config.d_stitch.min(self.config.d_hidden), alignment)?;
        let mut model = self.clone();
        model.stitches[idx] = self.stitches[idx].clone().aligned(alignment, READ_OUT_SCALE, device);
        Ok(model)
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        Ok(Self {
            stitches: vec![self.stitches[idx].clone()],
            drive: self.drive.clone(),
            cell: self.cell.clone(),
            start: self.start.clone(),
            input_dropout: self.input_dropout.clone(),
            state_dropout: self.state_dropout.clone(),
            config: self.config.clone(),
            table: vec![self.table[idx].clone()],
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("stitches.")
    }
}
