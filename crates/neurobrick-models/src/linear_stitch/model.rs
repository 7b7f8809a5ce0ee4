//! Reduced-rank Poisson regression: units → latents → units, each bin by itself.
//!
//! Izenman (1975, doi:10.1016/0047-259X(75)90042-1) for reduced rank, with a log link and a latent map that all
//! sessions share. It sees no other bin, so what a transformer gains over it, it gains from time.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::sessions::{check_alignment, check_input, check_unique, kept_or_fresh, unit_indices};
use neurobrick_core::{Alignment, Mode, ModelError, ModelInput, Output, PopulationModel, SessionSpec};
use neurobrick_nn::{InitStreams, SessionStitch, affine, affine_counts, linear};
use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::require;
use crate::stitches::{READ_OUT_SCALE, fresh_stitch};

/// Sizes of a [`LinearStitch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearStitchConfig {
    /// Bins of a window.
    pub n_bins: usize,
    /// Number of latents: the rank.
    pub d_latent: usize,
}

impl LinearStitchConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// If a size is zero.
    pub fn validate(&self) -> Result<(), ModelError> {
        require("n_bins", self.n_bins, self.n_bins > 0, "positive")?;
        require("d_latent", self.d_latent, self.d_latent > 0, "positive")
    }
}

/// Reduced-rank Poisson regression over many sessions.
#[derive(Module, Debug)]
pub struct LinearStitch {
    stitches: Vec<SessionStitch>,
    shared: Linear,
    #[module(skip)]
    config: LinearStitchConfig,
    #[module(skip)]
    table: Vec<SessionSpec>,
}

impl LinearStitch {
    /// A fresh model for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range or a session is listed twice.
    pub fn new(
        config: LinearStitchConfig,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        check_unique(sessions)?;
        let shared = linear(config.d_latent, config.d_latent, &mut InitStreams::new(seed, "core"), device);
        let stitches = sessions.iter().map(|s| fresh_stitch(s, [config.d_latent; 2], seed, device)).collect();
        Ok(Self { stitches, shared, config, table: sessions.to_vec() })
    }
}

impl PopulationModel for LinearStitch {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, _mode: Mode<'_>) -> Result<Output, ModelError> {
        let idx = self.session_idx(&input.session)?;
        check_input(&self.table[idx], self.config.n_bins, input)?;
        let stitch = &self.stitches[idx];
        let latents = affine(affine_counts(input.counts.clone(), &stitch.read_in), &self.shared);
        Ok(Output { log_rates: affine(latents.clone(), &stitch.read_out), latents })
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let fresh = |spec: &SessionSpec| Ok(fresh_stitch(spec, [self.config.d_latent; 2], seed, device));
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
        check_alignment(&self.table[idx], self.config.d_latent, alignment)?;
        let mut model = self.clone();
        model.stitches[idx] = self.stitches[idx].clone().aligned(alignment, READ_OUT_SCALE, device);
        Ok(model)
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        Ok(Self {
            stitches: vec![self.stitches[idx].clone()],
            shared: self.shared.clone(),
            config: self.config.clone(),
            table: vec![self.table[idx].clone()],
        })
    }

    /// Every log rate is linear in every count, so a unit that is hidden takes its count times one weight away from its own log
    /// rate: one forward pass answers for all units.
    fn forward_leave_one_out(&self, input: &ModelInput, units: &[usize]) -> Result<Tensor<3>, ModelError> {
        let idx = self.session_idx(&input.session)?;
        let log_rates = self.forward(input, Mode::Eval)?.log_rates;
        let [b, t, n] = log_rates.dims();
        let n_chosen = units.len();
        let chosen = unit_indices(&self.table[idx], units, &input.counts.device())?;
        let stitch = &self.stitches[idx];
        let into = stitch.read_in.weight.val().select(0, chosen.clone()).matmul(self.shared.weight.val());
        let out_of = stitch.read_out.weight.val().select(1, chosen.clone()).swap_dims(0, 1);
        let own = (into * out_of).sum_dim(1);
        let of_units =
            |values: Tensor<3>| values.reshape([b * t, n]).select(1, chosen.clone()).swap_dims(0, 1);
        let answers = of_units(log_rates) - of_units(input.counts.clone()) * own;
        Ok(answers.reshape([n_chosen, b, t]))
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("stitches.")
    }
}
