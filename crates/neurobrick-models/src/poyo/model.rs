//! POYO: spikes as tokens, compressed by a perceiver, decoded at any time.
//!
//! Azabou M., Arora V., Ganesh V. et al. (2023), "A unified, scalable framework for neural population decoding",
//! `NeurIPS` 2023, arXiv:2310.16046. Reference code: `neuro-galaxy/torch_brain` at 0512ee0 (Apache-2.0), configurations of
//! v0.1.2. Deviations are listed in this folder's README.

use burn::module::{Module, Param};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor};
use neurobrick_core::sessions::{check_size, kept_or_fresh};
use neurobrick_core::{Mode, ModelError, SessionSpec};
use neurobrick_nn::{
    Dropout, Gate, GatedConfig, GatedFeedForward, InitStreams, RotaryAttention, RotaryAttentionConfig,
    Rotation, affine, embedding, linear,
};
use neurobrick_schema::SessionId;
use neurobrick_tokenize::SpikeEvents;

use super::{PoyoConfig, PoyoWindow};
use crate::rows::select;

/// Standard deviation that tables start from, as published.
const EMBED_STD: f64 = 0.02;
/// Rows of the table of kinds; the last is never used, as published.
const N_KINDS: usize = 4;

/// The perceiver over spikes: decodes `K` numbers at any time of a window.
///
/// It reads single spikes of several sessions at once and predicts behavior, so it is no
/// [`PopulationModel`](neurobrick_core::PopulationModel), which reads counts and predicts them.
#[derive(Module, Debug)]
pub struct Poyo {
    sessions: Vec<PoyoSession>,
    embed_kind: Embedding,
    embed_latent: Embedding,
    encoder: RotaryAttention,
    encoder_ffn: GatedFeedForward,
    layers: Vec<PoyoLayer>,
    decoder: RotaryAttention,
    decoder_ffn: GatedFeedForward,
    read_out: Linear,
    residual_dropout: Vec<Dropout>,
    #[module(skip)]
    config: PoyoConfig,
    #[module(skip)]
    table: Vec<SessionSpec>,
}

/// What belongs to one session.
#[derive(Module, Debug)]
struct PoyoSession {
    /// A vector for every unit, `[N, D]`.
    units: Param<Tensor<2>>,
    /// The query of the session's outputs, `[1, D]`.
    token: Param<Tensor<2>>,
}

/// Attention among latents, then feed-forward.
#[derive(Module, Debug)]
struct PoyoLayer {
    attention: RotaryAttention,
    ffn: GatedFeedForward,
}

impl Poyo {
    /// A fresh model for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range or a session is listed twice.
    pub fn new(
        config: PoyoConfig,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        let mut init = InitStreams::new(seed, "core");
        let PoyoConfig { d_model, d_head, n_layers, n_cross_heads, n_self_heads, n_outputs, .. } = config;
        let attention = |n_heads, is_cross, turn_values| RotaryAttentionConfig {
            d_model,
            n_heads,
            d_head,
            dropout: config.dropout_attention,
            is_cross,
            turn_values,
        };
        let feed_forward =
            GatedConfig { d_model, d_hidden: 4 * d_model, dropout: config.dropout_ffn, gate: Gate::Gelu };
        let cross = |turn, site, init: &mut InitStreams| {
            RotaryAttention::new(&attention(n_cross_heads, true, turn), site, init, device)
        };
        let layer = |l: usize, init: &mut InitStreams| PoyoLayer {
            attention: RotaryAttention::new(&attention(n_self_heads, false, true), 4 + 4 * l, init, device),
            ffn: GatedFeedForward::new(&feed_forward, 5 + 4 * l, init, device),
        };
        let residual =
            |l: usize| [6 + 4 * l, 7 + 4 * l].map(|site| Dropout::new(config.dropout_residual, site));
        let empty = Self {
            sessions: Vec::new(),
            embed_kind: embedding(N_KINDS, d_model, EMBED_STD, &mut init, device),
            embed_latent: embedding(config.latents_per_step, d_model, EMBED_STD, &mut init, device),
            encoder: cross(true, 0, &mut init),
            encoder_ffn: GatedFeedForward::new(&feed_forward, 1, &mut init, device),
            layers: (0..n_layers).map(|l| layer(l, &mut init)).collect(),
            decoder: cross(false, 2, &mut init),
            decoder_ffn: GatedFeedForward::new(&feed_forward, 3, &mut init, device),
            read_out: linear(d_model, n_outputs, &mut init, device),
            residual_dropout: (0..n_layers).flat_map(residual).collect(),
            config,
            table: Vec::new(),
        };
        empty.with_sessions(sessions, seed, device)
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &PoyoConfig {
        &self.config
    }

    /// The sessions the model can read, in the order of its tables.
    pub fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    /// The model for exactly these sessions: those it knows keep their units, new ones are made from `seed`, shared weights
    /// stay. Fine-tuning on a new session learns its units ("unit identification").
    ///
    /// # Errors
    /// If a session is listed twice, or a known session has another number of units.
    pub fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let d = self.config.d_model;
        let own = kept_or_fresh(sessions, (&self.table, &self.sessions), |spec| {
            let mut init = InitStreams::new(seed, spec.session.as_str());
            Ok(PoyoSession {
                units: init.normal([spec.n_units, d], EMBED_STD, device),
                token: init.normal([1, d], EMBED_STD, device),
            })
        })?;
        Ok(Self { sessions: own, table: sessions.to_vec(), ..self.clone() })
    }

    /// Whether the parameter at this path belongs to sessions (units, session tokens) rather than to the shared core.
    pub fn is_session_parameter(path: &str) -> bool {
        path.starts_with("sessions.")
    }

    fn session_idx(&self, session: &SessionId) -> Result<usize, ModelError> {
        self.table.iter().position(|s| &s.session == session).ok_or_else(|| ModelError::UnknownSession {
            session: session.clone(),
            known: self.table.iter().map(|s| s.session.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Decodes every window at its output times: `[B, Q, K]`. Windows may be of different sessions; those that ask for
    /// fewer outputs than others are filled up at the end, with answers for time zero that nobody asked for.
    ///
    /// # Errors
    /// If there is no window, a session is unknown or has another number of units, or a spike is of a unit that its window does not see.
    pub fn forward(&self, windows: &[PoyoWindow], mode: Mode<'_>) -> Result<Tensor<3>, ModelError> {
        if windows.is_empty() {
            return Err(ModelError::Unsupported {
                what: "decode a batch without a window".to_owned(),
                hint: "pass one at least".to_owned(),
            });
        }
        let which: Vec<usize> =
            windows.iter().map(|w| self.session_idx(&w.session)).collect::<Result<_, _>>()?;
        for (window, &idx) in windows.iter().zip(&which) {
            check_size(&self.table[idx], "units", self.table[idx].n_units, window.input.n_units)?;
        }
        let tokens = SpikeEvents::new(self.config.window_s)?.places(windows.iter().map(|w| &w.input))?;
        let (b, s, d) = (windows.len(), tokens.n_tokens(), self.config.d_model);
        let units = self.sessions.iter().map(|session| session.units.val());
        let units = Tensor::cat(units.collect(), 0);
        let (device, dtype, rotary) = (units.device(), units.dtype(), self.config.rotary());
        // Row of the first unit of each window's session.
        let first = |idx: usize| self.table[..idx].iter().map(|spec| spec.n_units).sum::<usize>();
        let first: Vec<usize> = which.iter().map(|&idx| first(idx)).collect();
        let rows = tokens.table(|window, place| first[window] + place.sources.start, 0);
        let kinds = tokens.table(|_, place| place.kind, SpikeEvents::SPIKE);
        let inputs =
            select(units, rows.into_iter()) + select(self.embed_kind.weight.val(), kinds.into_iter());
        let input_turns = rotary.at(&tokens.table(|_, place| place.start_s, 0.0), [b, s], &device, dtype);
        let padding = tokens.padding();

        let times = self.config.latent_times_s();
        let l = times.len();
        let rows = (0..l).map(|i| i % self.config.latents_per_step);
        let latents = select(self.embed_latent.weight.val(), rows).unsqueeze::<3>().expand([b, l, d]);
        let latent_turns = rotary.at(&times.repeat(b), [b, l], &device, dtype);
        let latents = self.compress(
            latents,
            inputs.reshape([b, s, d]),
            [&latent_turns, &input_turns],
            padding.as_deref(),
            mode,
        );

        let q = windows.iter().map(|w| w.output_times_s.len()).max().unwrap_or(0);
        let output_times: Vec<f64> = windows
            .iter()
            .flat_map(|w| w.output_times_s.iter().copied().chain(std::iter::repeat(0.0)).take(q))
            .collect();
        let queries = which.iter().map(|&idx| self.sessions[idx].token.val().unsqueeze::<3>());
        let queries = Tensor::cat(queries.collect(), 0).expand([b, q, d]);
        let output_turns = rotary.at(&output_times, [b, q], &device, dtype);
        let turns = [&output_turns, &latent_turns];
        let outputs = queries.clone() + self.decoder.forward(queries, Some(latents), turns, None, mode);
        let outputs = outputs.clone() + self.decoder_ffn.forward(outputs, mode);
        Ok(affine(outputs, &self.read_out))
    }

    /// Latents `[B, L, D]` of tokens `[B, S, D]`.
    fn compress(
        &self,
        latents: Tensor<3>,
        inputs: Tensor<3>,
        turns: [&Rotation; 2],
        padding: Option<&[bool]>,
        mode: Mode<'_>,
    ) -> Tensor<3> {
        let own = [turns[0]; 2];
        let mut x = latents.clone() + self.encoder.forward(latents, Some(inputs), turns, padding, mode);
        x = x.clone() + self.encoder_ffn.forward(x, mode);
        for (layer, dropouts) in self.layers.iter().zip(self.residual_dropout.chunks(2)) {
            let attended = layer.attention.forward(x.clone(), None, own, None, mode);
            x = dropouts[0].add(x, attended, mode);
            let hidden = layer.ffn.forward(x.clone(), mode);
            x = dropouts[1].add(x, hidden, mode);
        }
        x
    }
}
