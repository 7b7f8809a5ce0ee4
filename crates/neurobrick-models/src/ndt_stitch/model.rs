//! NDT-1-stitch with session and prompt tokens.
//!
//! Zhang Y., Wang Y., Jiménez-Benetó D. et al. (2024), "Towards a 'universal translator' for neural dynamics at
//! single-cell, single-spike resolution", `NeurIPS` 2024, arXiv:2407.14668. Reference code:
//! `colehurwitz/IBL_MtM_model` at e0c39bd (MIT). Deviations are listed in this folder's README.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor};
use neurobrick_core::sessions::{check_alignment, check_input, check_size, check_unique, unit_indices};
use neurobrick_core::{
    Alignment, Context, Mode, ModelError, ModelInput, Output, PopulationModel, SessionSpec,
};
use neurobrick_nn::{
    AttentionMask, Dropout, InitStreams, LayerNorm, PrefixVisibility, ReadOutStart, SessionStitch,
    TokenTable, TransformerLayer, affine, affine_counts, context_mask, embedding, linear, normalize, prepend,
    softsign,
};
use neurobrick_schema::SessionId;

use super::NdtStitchConfig;

/// The Neural Data Transformer with per-session stitching: one token per time bin.
#[derive(Module, Debug)]
pub struct NdtStitch {
    stitches: Vec<SessionStitch>,
    /// Absent, like the projection, where stitches are as wide as tokens.
    embed_spikes: Option<Linear>,
    projection: Option<Linear>,
    embed_pos: Embedding,
    embed_prompt: Option<TokenTable>,
    embed_session: TokenTable,
    embed_dropout: Dropout,
    layers: Vec<TransformerLayer>,
    out_norm: LayerNorm,
    #[module(skip)]
    config: NdtStitchConfig,
    /// Shared by clones, since it holds a number for every unit of every session.
    #[module(skip)]
    table: Arc<Vec<SessionSpec>>,
    /// Position in `stitches` of every session; two sessions share one only when `faithful`.
    #[module(skip)]
    pub(super) stitch_of: Vec<usize>,
    /// Row in the table of session tokens of the first session, whom the others follow.
    #[module(skip)]
    pub(super) first_row: usize,
}

impl NdtStitch {
    /// A fresh model for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range or a session is listed twice.
    pub fn new(
        config: NdtStitchConfig,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        check_unique(sessions)?;
        let mut init = InitStreams::new(seed, "core");
        let mut shared = |d_in, d_out| (config.d_embed > 0).then(|| linear(d_in, d_out, &mut init, device));
        let embed_spikes = shared(config.d_stitch, config.d_embed);
        let projection = shared(config.d_embed, config.d_model);
        let std = config.embed_std();
        let embed_pos = embedding(config.n_bins, config.d_model, std, &mut init, device);
        let embed_prompt = config.prompt.then(|| TokenTable::new(4, config.d_model, std, &mut init, device));
        let transformer = config.transformer();
        let layers = (0..config.n_layers)
            .map(|l| {
                TransformerLayer::new(&transformer, 1 + l * TransformerLayer::N_SITES, &mut init, device)
            })
            .collect();
        let empty = Self {
            stitches: Vec::new(),
            embed_spikes,
            projection,
            embed_pos,
            embed_prompt,
            embed_session: TokenTable {
                weight: Param::from_tensor(Tensor::zeros([1, config.d_model], device)),
            },
            embed_dropout: Dropout::new(config.dropout_embed, 0),
            layers,
            out_norm: LayerNorm::new(config.d_model, device),
            config,
            table: Arc::new(Vec::new()),
            stitch_of: Vec::new(),
            first_row: 0,
        };
        empty.with_sessions(sessions, seed, device)
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &NdtStitchConfig {
        &self.config
    }

    fn fresh_stitch(&self, spec: &SessionSpec, seed: u64, device: &Device) -> SessionStitch {
        let start = match &spec.log_mean_rates {
            Some(log_mean_rates) if !self.config.faithful => {
                ReadOutStart::LogMeanRates { log_mean_rates, weight_scale: self.config.read_out_scale }
            }
            _ => ReadOutStart::Default,
        };
        let mut init = InitStreams::new(seed, spec.session.as_str());
        let NdtStitchConfig { d_stitch, d_model, .. } = self.config;
        SessionStitch::new(spec.n_units, d_stitch, d_model, start, &mut init, device)
    }

    fn mask(&self, context: Context) -> Option<AttentionMask> {
        let prefix =
            if self.config.faithful { PrefixVisibility::Everything } else { PrefixVisibility::PrefixOnly };
        let n_prefix = 1 + usize::from(self.embed_prompt.is_some());
        context_mask(context, n_prefix, self.config.n_bins, prefix)
    }

    /// Latents `[B, T, D]` of stitched counts `[B, T, d_stitch]`.
    fn core(
        &self,
        stitched: Tensor<3>,
        session_idx: usize,
        input: &ModelInput,
        mode: Mode<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        let [b, t, _] = stitched.dims();
        let embedded = match (&self.embed_spikes, &self.projection) {
            (Some(embed_spikes), Some(projection)) => {
                let hidden = softsign(affine(stitched, embed_spikes));
                #[expect(clippy::float_cmp, reason = "a factor of exactly one is no work")]
                let hidden =
                    if self.config.embed_scale == 1.0 { hidden } else { hidden * self.config.embed_scale };
                affine(hidden, projection)
            }
            _ => stitched,
        };
        let bins = embedded + self.embed_pos.weight.val().unsqueeze();
        let mut prefix = vec![self.embed_session.row(self.first_row + session_idx, b)];
        match (&self.embed_prompt, input.prompt) {
            (Some(table), Some(prompt)) => prefix.push(table.row(prompt.row(), b)),
            (None, _) => {}
            (Some(_), None) => {
                return Err(ModelError::Unsupported {
                    what: "run without a prompt".to_owned(),
                    hint: "choose a prompted mask scheme, or build the model with `prompt = false`"
                        .to_owned(),
                });
            }
        }
        let (tokens, n_prefix) = prepend(prefix, bins);
        let mut x = self.embed_dropout.forward(tokens, mode);
        let mask = self.mask(input.context);
        for layer in &self.layers {
            x = layer.forward(x, mask.as_ref(), mode);
        }
        Ok(normalize(x, &self.out_norm).narrow(1, n_prefix, t))
    }
}

impl PopulationModel for NdtStitch {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError> {
        let idx = self.session_idx(&input.session)?;
        check_input(&self.table[idx], self.config.n_bins, input)?;
        let stitch = &self.stitches[self.stitch_of[idx]];
        let latents = self.core(affine_counts(input.counts.clone(), &stitch.read_in), idx, input, mode)?;
        Ok(Output { log_rates: affine(latents.clone(), &stitch.read_out), latents })
    }

    /// The prefix tokens of a `faithful` model carry the future to earlier bins.
    fn can_be_causal(&self) -> bool {
        !self.config.faithful
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_unique(sessions)?;
        let mut stitches: Vec<SessionStitch> = Vec::new();
        let mut stitch_of: Vec<usize> = Vec::with_capacity(sessions.len());
        let mut rows = Vec::with_capacity(sessions.len());
        for (i, spec) in sessions.iter().enumerate() {
            let known = self.session_idx(&spec.session).ok();
            if let Some(idx) = known {
                check_size(spec, "units", self.table[idx].n_units, spec.n_units)?;
            }
            let twin = sessions[..i].iter().position(|s| s.n_units == spec.n_units);
            match (twin, known) {
                (Some(twin), _) if self.config.faithful => stitch_of.push(stitch_of[twin]),
                (_, Some(idx)) => {
                    stitch_of.push(stitches.len());
                    stitches.push(self.stitches[self.stitch_of[idx]].clone());
                }
                (_, None) => {
                    stitch_of.push(stitches.len());
                    stitches.push(self.fresh_stitch(spec, seed, device));
                }
            }
            rows.push(if let Some(idx) = known {
                self.embed_session.weight.val().narrow(0, self.first_row + idx, 1)
            } else {
                let mut init = InitStreams::new(seed, &format!("{}/token", spec.session));
                init.normal([1, self.config.d_model], self.config.embed_std(), device).val()
            });
        }
        let table = if rows.is_empty() { self.embed_session.weight.val() } else { Tensor::cat(rows, 0) };
        Ok(Self {
            stitches,
            stitch_of,
            embed_session: TokenTable { weight: Param::from_tensor(table.detach()) },
            table: Arc::new(sessions.to_vec()),
            first_row: 0,
            ..self.clone()
        })
    }

    fn with_alignment(
        &self,
        session: &SessionId,
        alignment: &Alignment,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        if self.config.faithful {
            return Err(ModelError::Unsupported {
                what: "start a stitch from a closed form and be `faithful`, since sessions with equally many units share theirs"
                    .to_owned(),
                hint: "set `faithful = false`, or leave `alignment` out".to_owned(),
            });
        }
        let n_channels = self.config.d_stitch.min(self.config.d_model);
        check_alignment(&self.table[idx], n_channels, alignment)?;
        let mut model = self.clone();
        let stitch = &mut model.stitches[self.stitch_of[idx]];
        *stitch = stitch.clone().aligned(alignment, self.config.read_out_scale, device);
        Ok(model)
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        // Field by field: `..self.clone()` would clone every stitch first.
        Ok(Self {
            stitches: vec![self.stitches[self.stitch_of[idx]].clone()],
            embed_spikes: self.embed_spikes.clone(),
            projection: self.projection.clone(),
            embed_pos: self.embed_pos.clone(),
            embed_prompt: self.embed_prompt.clone(),
            embed_session: self.embed_session.clone(),
            embed_dropout: self.embed_dropout.clone(),
            layers: self.layers.clone(),
            out_norm: self.out_norm.clone(),
            config: self.config.clone(),
            table: Arc::new(vec![self.table[idx].clone()]),
            stitch_of: vec![0],
            first_row: self.first_row + idx,
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("stitches.") || path.starts_with("embed_session.")
    }

    /// Zeroing unit `n` changes the stitched counts by `−x_n W[n, :]`, so the read-in is computed once and
    /// corrected by that rank-one term; the read-out evaluates one column per unit.
    fn forward_leave_one_out(&self, input: &ModelInput, units: &[usize]) -> Result<Tensor<3>, ModelError> {
        let idx = self.session_idx(&input.session)?;
        check_input(&self.table[idx], self.config.n_bins, input)?;
        let stitch = &self.stitches[self.stitch_of[idx]];
        let ([b, t, _], n_chosen) = (input.counts.dims(), units.len());
        let (width, d) = (self.config.d_stitch, self.config.d_model);
        let chosen = unit_indices(&self.table[idx], units, &input.counts.device())?;

        let stitched = affine_counts(input.counts.clone(), &stitch.read_in).reshape([1, b * t, width]);
        let counts = input.counts.clone().reshape([b * t, self.table[idx].n_units]);
        let counts = counts.select(1, chosen.clone()).swap_dims(0, 1).reshape([n_chosen, b * t, 1]);
        let weights = stitch.read_in.weight.val().select(0, chosen.clone()).reshape([n_chosen, 1, width]);
        let without = stitched - counts * weights;

        let latents = self.core(without.reshape([n_chosen * b, t, width]), idx, input, Mode::Eval)?;
        let columns = stitch.read_out.weight.val().select(1, chosen.clone()).swap_dims(0, 1);
        let log_rates = latents.reshape([n_chosen, b * t, d]).matmul(columns.reshape([n_chosen, d, 1]));
        let log_rates = match &stitch.read_out.bias {
            Some(bias) => log_rates + bias.val().select(0, chosen).reshape([n_chosen, 1, 1]),
            None => log_rates,
        };
        Ok(log_rates.reshape([n_chosen, b, t]))
    }
}
