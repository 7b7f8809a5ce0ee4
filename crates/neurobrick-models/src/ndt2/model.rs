//! NDT-2: masked autoencoding over patches of time and units, with tokens for session and subject.
//!
//! Ye J., Collinger J.L., Wehbe L., Gaunt R. (2023), "Neural Data Transformer 2: multi-context pretraining for neural
//! spiking activity", `NeurIPS` 2023, doi:10.1101/2023.09.18.558113. Reference code: `joel99/context_general_bci` at
//! 8b7226c (MIT). Deviations are listed in this folder's README.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::sessions::{check_input, check_size, check_unique};
use neurobrick_core::{Context, Mode, ModelError, ModelInput, Output, PopulationModel, SessionSpec};
use neurobrick_nn::{
    AttentionMask, CountEmbedding, Dropout, EncoderLayer, InitStreams, affine, embedding, linear, scaled,
};
use neurobrick_schema::SessionId;
use neurobrick_tokenize::PatchGrid;

use super::Ndt2Config;
use super::tokens::Tokens;
use crate::stitches::READ_OUT_SCALE;

/// Standard deviation of the tables of places unless `faithful`, as in `docs/decisions/0007-small-tables.md`.
const TABLE_STD: f64 = 0.1;

/// The second Neural Data Transformer: one token per bin and patch of units.
#[derive(Module, Debug)]
pub struct Ndt2 {
    embed_counts: CountEmbedding,
    embed_session: Embedding,
    session_flag: Param<Tensor<1>>,
    embed_subject: Embedding,
    subject_flag: Param<Tensor<1>>,
    encoder: Stack,
    mask_token: Param<Tensor<1>>,
    decoder: Stack,
    read_out: Linear,
    /// Log rate added to each unit of each session; none if `faithful`.
    unit_biases: Vec<Param<Tensor<1>>>,
    #[module(skip)]
    config: Ndt2Config,
    /// Shared by clones, since it holds a number for every unit of every session.
    #[module(skip)]
    table: Arc<Vec<SessionSpec>>,
    /// Rows in the tables of sessions and subjects, by session.
    #[module(skip)]
    rows: Vec<[usize; 2]>,
}

/// Tables of places and layers: the encoder, or the decoder.
#[derive(Module, Debug)]
struct Stack {
    embed_time: Embedding,
    embed_space: Embedding,
    layers: Vec<EncoderLayer>,
    dropout_in: Dropout,
    dropout_out: Dropout,
}

impl Stack {
    fn new(
        config: &Ndt2Config,
        n_layers: usize,
        site: usize,
        init: &mut InitStreams,
        device: &Device,
    ) -> Self {
        let Ndt2Config { max_bins, max_patches, d_model, dropout, faithful, .. } = *config;
        let std = if faithful { 1.0 } else { TABLE_STD };
        let layer = |l: usize, init: &mut InitStreams| {
            EncoderLayer::new(&config.layers(), site + 2 + l * EncoderLayer::N_SITES, init, device)
        };
        Self {
            embed_time: embedding(max_bins, d_model, std, init, device),
            embed_space: embedding(max_patches, d_model, std, init, device),
            layers: (0..n_layers).map(|l| layer(l, init)).collect(),
            dropout_in: Dropout::new(dropout, site),
            dropout_out: Dropout::new(dropout, site + 1),
        }
    }

    /// Dropout sites a stack of `n_layers` layers uses.
    fn n_sites(n_layers: usize) -> usize {
        2 + n_layers * EncoderLayer::N_SITES
    }

    /// What is added to each token for its place, `[1, S, D]`.
    fn places(&self, tokens: &Tokens, device: &Device) -> Tensor<3> {
        let [bins, patches] = tokens.places(device);
        let sum =
            self.embed_time.weight.val().select(0, bins) + self.embed_space.weight.val().select(0, patches);
        sum.unsqueeze()
    }

    /// Transforms placed tokens `[B, S, D]` with `context` `[B, C, D]` behind them.
    fn forward(&self, x: Tensor<3>, context: Tensor<3>, mask: &AttentionMask, mode: Mode<'_>) -> Tensor<3> {
        let n_tokens = x.dims()[1];
        let mut x = Tensor::cat(vec![x, context], 1);
        for layer in &self.layers {
            x = layer.forward(x, Some(mask), mode);
        }
        self.dropout_out.forward(x.narrow(1, 0, n_tokens), mode)
    }
}

impl Ndt2 {
    /// A fresh model for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range, a session is listed twice, or a session has more units than there are
    /// patches for.
    pub fn new(
        config: Ndt2Config,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        let Ndt2Config { d_model: d, patch_units, max_count, n_layers, n_decoder_layers, .. } = config;
        let mut init = InitStreams::new(seed, "core");
        let flag_std = (d as f64).sqrt().recip();
        let none = || Embedding { weight: Param::from_tensor(Tensor::zeros([1, d], device)) };
        let read_out = linear(d, patch_units, &mut init, device);
        let counts = CountEmbedding::normal(max_count + 1, d / patch_units, 1.0, &mut init, device);
        let empty = Self {
            embed_counts: if config.faithful { counts } else { counts.starting_at_nothing() },
            embed_session: none(),
            session_flag: init.normal([d], flag_std, device),
            embed_subject: none(),
            subject_flag: init.normal([d], flag_std, device),
            encoder: Stack::new(&config, n_layers, 0, &mut init, device),
            mask_token: init.normal([d], 1.0, device),
            decoder: Stack::new(&config, n_decoder_layers, Stack::n_sites(n_layers), &mut init, device),
            read_out: if config.faithful { read_out } else { scaled(read_out, READ_OUT_SCALE) },
            unit_biases: Vec::new(),
            config,
            table: Arc::new(Vec::new()),
            rows: Vec::new(),
        };
        empty.with_sessions(sessions, seed, device)
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &Ndt2Config {
        &self.config
    }

    /// Subjects of the model's sessions, in the order of their table.
    pub fn subjects(&self) -> Vec<String> {
        subjects(&self.config, &self.table)
    }

    /// Row of a session's subject in [`subjects`](Self::subjects).
    pub(crate) fn subject_row(&self, idx: usize) -> usize {
        self.rows[idx][1]
    }

    /// Rows of the tables of session and subject, `[2, D]`.
    fn context(&self, idx: usize) -> Tensor<2> {
        let [session, subject] = self.rows[idx];
        let row = |table: &Embedding, row| table.weight.val().narrow(0, row, 1);
        Tensor::cat(vec![row(&self.embed_session, session), row(&self.embed_subject, subject)], 0)
    }

    /// Tokens `[B, S, D]` of counts; entries that are hidden or filled up are nothing, which no count is.
    fn embed(&self, grid: PatchGrid, tokens: &Tokens, counts: Tensor<3>) -> Tensor<3> {
        let embedded = self.embed_counts.forward(grid.cut(counts));
        let [b, s, d] = embedded.dims();
        let size = self.config.patch_units;
        let visible = tokens.visible(&embedded);
        (embedded.reshape([b * s * size, d / size]) * visible).reshape([b, s, d])
    }

    fn fresh_bias(spec: &SessionSpec, device: &Device) -> Param<Tensor<1>> {
        #[expect(clippy::cast_possible_truncation, reason = "biases are single precision")]
        let bias: Vec<f32> = match &spec.log_mean_rates {
            Some(rates) => rates.iter().map(|&r| r as f32).collect(),
            None => vec![0.0; spec.n_units],
        };
        Param::from_tensor(Tensor::from_data(TensorData::new(bias, [spec.n_units]), device))
    }

    fn check_patches(&self, spec: &SessionSpec) -> Result<(), ModelError> {
        let Ndt2Config { patch_units, max_patches, .. } = self.config;
        if spec.n_units > 0 && spec.n_units.div_ceil(patch_units) <= max_patches {
            return Ok(());
        }
        let most = patch_units * max_patches;
        Err(ModelError::Unsupported {
            what: format!(
                "read session {} of {} units: it has patches for 1 to {most}",
                spec.session, spec.n_units
            ),
            hint: "raise `max_patches` or `patch_units`".to_owned(),
        })
    }
}

/// Distinct subjects of `sessions`, in the order they appear.
fn subjects(config: &Ndt2Config, sessions: &[SessionSpec]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for spec in sessions {
        let subject = config.subject(&spec.session);
        if !found.contains(&subject) {
            found.push(subject);
        }
    }
    found
}

impl PopulationModel for Ndt2 {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError> {
        let idx = self.session_idx(&input.session)?;
        let spec = &self.table[idx];
        check_input(spec, self.config.n_bins, input)?;
        let [b, t, _] = input.counts.dims();
        let (d, grid) =
            (self.config.d_model, PatchGrid::new([t, spec.n_units], [1, self.config.patch_units]));
        let is_causal = self.config.causal || input.context == Context::Causal;
        let tokens = Tokens::new(grid, input);
        let device = input.counts.device();
        let expand = |context: Tensor<2>| context.unsqueeze::<3>().expand([b, 2, d]);

        let x = self.embed(grid, &tokens, input.counts.clone());
        let x = self.encoder.dropout_in.forward(x, mode) + self.encoder.places(&tokens, &device);
        let context = self.context(idx);
        let flags = Tensor::stack::<2>(vec![self.session_flag.val(), self.subject_flag.val()], 0);
        let mask = tokens.encoder_mask(is_causal);
        let encoded = self.encoder.forward(tokens.gather(x), expand(context.clone() + flags), &mask, mode);

        let all = tokens.scatter(encoded, self.mask_token.val());
        let latents = all.clone().reshape([b, t, grid.n_patches(), d]).mean_dim(2).reshape([b, t, d]);
        let x = self.decoder.dropout_in.forward(all, mode) + self.decoder.places(&tokens, &device);
        // The decoder's context has no flags, as published.
        let mask = tokens.decoder_mask(is_causal);
        let decoded = self.decoder.forward(x, expand(context), &mask, mode);
        let log_rates = grid.join(affine(decoded, &self.read_out));
        let log_rates = match self.unit_biases.get(idx) {
            Some(bias) => log_rates + bias.val().unsqueeze(),
            None => log_rates,
        };
        Ok(Output { log_rates, latents })
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_unique(sessions)?;
        let d = self.config.d_model;
        let fresh = |name: String| InitStreams::new(seed, &name).normal([1, d], 1.0, device).val();
        let kept = |table: &Embedding, row| table.weight.val().narrow(0, row, 1);
        let known_subjects: Vec<String> =
            self.table.iter().map(|spec| self.config.subject(&spec.session)).collect();
        let (mut session_rows, mut unit_biases) = (Vec::new(), Vec::new());
        for spec in sessions {
            let known = self.session_idx(&spec.session).ok();
            if let Some(idx) = known {
                check_size(spec, "units", self.table[idx].n_units, spec.n_units)?;
                session_rows.push(kept(&self.embed_session, self.rows[idx][0]));
            } else {
                self.check_patches(spec)?;
                session_rows.push(fresh(format!("{}/token", spec.session)));
            }
            if !self.config.faithful {
                let bias = known.and_then(|idx| self.unit_biases.get(idx).cloned());
                unit_biases.push(bias.unwrap_or_else(|| Self::fresh_bias(spec, device)));
            }
        }
        let subjects = subjects(&self.config, sessions);
        let subject_rows =
            subjects.iter().map(|subject| match known_subjects.iter().position(|known| known == subject) {
                Some(idx) => kept(&self.embed_subject, self.rows[idx][1]),
                None => fresh(format!("subject/{subject}")),
            });
        let row_of = |(i, spec): (usize, &SessionSpec)| {
            let subject = self.config.subject(&spec.session);
            [i, subjects.iter().position(|s| *s == subject).unwrap_or_default()]
        };
        let rows = sessions.iter().enumerate().map(row_of).collect();
        let table = |rows: Vec<Tensor<2>>, own: &Embedding| {
            let rows = if rows.is_empty() { own.weight.val() } else { Tensor::cat(rows, 0) };
            Embedding { weight: Param::from_tensor(rows.detach()) }
        };
        Ok(Self {
            embed_session: table(session_rows, &self.embed_session),
            embed_subject: table(subject_rows.collect(), &self.embed_subject),
            unit_biases,
            table: Arc::new(sessions.to_vec()),
            rows,
            ..self.clone()
        })
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        Ok(Self {
            unit_biases: self.unit_biases.get(idx).cloned().into_iter().collect(),
            table: Arc::new(vec![self.table[idx].clone()]),
            rows: vec![self.rows[idx]],
            ..self.clone()
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        ["embed_session.", "embed_subject.", "unit_biases."].iter().any(|stem| path.starts_with(stem))
    }
}
