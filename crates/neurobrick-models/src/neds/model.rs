//! NEDS: spikes and behavior as tokens of one masked transformer.
//!
//! Zhang Y., Wang Y., Azabou M. et al. (2025), "Neural Encoding and Decoding at Scale", `ICML` 2025, arXiv:2504.08201.
//! Reference code: `yzhang511/NEDS` at 61d2ef6 (MIT). Deviations are listed in this folder's README.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor};
use neurobrick_core::sessions::{check_size, kept_or_fresh};
use neurobrick_core::{Mode, ModelError, SessionSpec};
use neurobrick_nn::{
    Dropout, InitStreams, LayerNorm, ReadOutStart, RotaryTime, TransformerLayer, affine, affine_counts,
    embedding, linear, normalize, softsign,
};
use neurobrick_schema::SessionId;

use super::config::ROTARY_BASE;
use super::{NedsConfig, NedsInput, NedsModalities};

/// Features between what is recorded and a token, for each recorded number.
const EXPANSION: usize = 2;

/// The masked transformer over spikes, labels and behaviors: predicts each from what is shown of the others and of itself.
///
/// It reads and predicts more than spikes, so it is no [`PopulationModel`](neurobrick_core::PopulationModel).
#[derive(Module, Debug)]
pub struct Neds {
    sessions: Vec<NedsSession>,
    /// Stands for whatever is hidden, `[1, 1, D]`.
    mask_token: Param<Tensor<3>>,
    embeddings: Vec<ModalityEmbedding>,
    layers: Vec<TransformerLayer>,
    out_norm: LayerNorm,
    #[module(skip)]
    config: NedsConfig,
    #[module(skip)]
    modalities: Arc<NedsModalities>,
    #[module(skip)]
    table: Arc<Vec<SessionSpec>>,
}

/// What all sessions share of one modality.
#[derive(Module, Debug)]
struct ModalityEmbedding {
    /// Added to all tokens, `[1, D]`.
    kind: Param<Tensor<2>>,
    /// Added by bin, `[T, D]`.
    positions: Embedding,
    dropout: Dropout,
}

/// What belongs to one session, by modality.
#[derive(Module, Debug)]
struct NedsSession {
    parts: Vec<SessionModality>,
}

/// One modality of one session. Recorded numbers → `2 ×` as many features → softsign → a token; tokens → answers.
#[derive(Module, Debug)]
struct SessionModality {
    expand: Linear,
    project: Linear,
    /// Added to all tokens, `[1, D]`.
    token: Param<Tensor<2>>,
    /// Weights of the bins, `[T]`, for labels.
    combine: Option<Param<Tensor<1>>>,
    read_out: Linear,
}

/// What a model answers about windows of one session, whatever was hidden of them.
#[derive(Clone, Debug)]
pub struct NedsOutput {
    /// Natural log of expected spikes per bin, `[B, T, N]`.
    pub log_rates: Tensor<3>,
    /// Log odds of the classes of each label, up to a constant, `[B, C]`.
    pub logits: Vec<Tensor<2>>,
    /// Behaviors, `[B, T, K]`.
    pub behaviors: Tensor<3>,
    /// State of the tokens of spikes, `[B, T, D]`.
    pub latents: Tensor<3>,
}

impl Neds {
    /// A fresh model of these modalities for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range or a session is listed twice.
    pub fn new(
        config: NedsConfig,
        modalities: NedsModalities,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        modalities.validate()?;
        let mut init = InitStreams::new(seed, "core");
        let NedsConfig { n_bins, d_model, embed_std, dropout_embed, .. } = config;
        let n_modalities = modalities.n_modalities();
        let transformer = config.transformer();
        let of_modality = |site: usize, init: &mut InitStreams| ModalityEmbedding {
            kind: init.normal([1, d_model], embed_std, device),
            positions: embedding(n_bins, d_model, embed_std, init, device),
            dropout: Dropout::new(dropout_embed, site),
        };
        let site = |l: usize| n_modalities + l * TransformerLayer::N_SITES;
        let empty = Self {
            sessions: Vec::new(),
            mask_token: Param::from_tensor(Tensor::zeros([1, 1, d_model], device)),
            embeddings: (0..n_modalities).map(|site| of_modality(site, &mut init)).collect(),
            layers: (0..config.n_layers)
                .map(|l| TransformerLayer::new(&transformer, site(l), &mut init, device))
                .collect(),
            out_norm: LayerNorm::new(d_model, device),
            config,
            modalities: Arc::new(modalities),
            table: Arc::new(Vec::new()),
        };
        empty.with_sessions(sessions, seed, device)
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &NedsConfig {
        &self.config
    }

    /// What it reads and predicts.
    pub fn modalities(&self) -> &NedsModalities {
        &self.modalities
    }

    /// The sessions the model can read, in the order of its tables.
    pub fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    /// The model for exactly these sessions: those it knows keep their encoders and read-outs, new ones are made from `seed`;
    /// shared weights (layers, positions, modalities, the mask token) stay.
    ///
    /// # Errors
    /// If a session is listed twice, or a known session has another number of units.
    pub fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let own = kept_or_fresh(sessions, (&self.table, &self.sessions), |spec| {
            Ok(self.fresh_session(spec, seed, device))
        })?;
        Ok(self.holding(own, sessions.to_vec()))
    }

    /// What windows of one session need of the model, with the ids and shapes of its parameters.
    ///
    /// # Errors
    /// If the session is unknown.
    pub fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        Ok(self.holding(vec![self.sessions[idx].clone()], vec![self.table[idx].clone()]))
    }

    /// Field by field: `..self.clone()` would clone every session first.
    fn holding(&self, sessions: Vec<NedsSession>, table: Vec<SessionSpec>) -> Self {
        Self {
            sessions,
            mask_token: self.mask_token.clone(),
            embeddings: self.embeddings.clone(),
            layers: self.layers.clone(),
            out_norm: self.out_norm.clone(),
            config: self.config.clone(),
            modalities: self.modalities.clone(),
            table: Arc::new(table),
        }
    }

    fn fresh_session(&self, spec: &SessionSpec, seed: u64, device: &Device) -> NedsSession {
        let NedsConfig { n_bins, d_model: d, embed_std, read_out_scale, .. } = self.config;
        let NedsModalities { labels, behaviors } = &*self.modalities;
        let init = &mut InitStreams::new(seed, spec.session.as_str());
        // Each of `n_parts` parts of a window gets features of its own of the same numbers.
        let part = |d_in: usize, n_parts: usize, read_out: Linear, init: &mut InitStreams| SessionModality {
            expand: linear(d_in, EXPANSION * d_in * n_parts, init, device),
            project: linear(EXPANSION * d_in, d, init, device),
            token: init.normal([1, d], embed_std, device),
            combine: None,
            read_out,
        };
        let start = match &spec.log_mean_rates {
            Some(log_mean_rates) => {
                ReadOutStart::LogMeanRates { log_mean_rates, weight_scale: read_out_scale }
            }
            None => ReadOutStart::Default,
        };
        let read_out = start.read_out(d, spec.n_units, init, device);
        let mut parts = vec![part(spec.n_units, 1, read_out, init)];
        for label in labels {
            let read_out = linear(d, label.n_classes, init, device);
            let mean = Param::from_tensor(Tensor::full([n_bins], 1.0 / n_bins as f64, device));
            parts.push(SessionModality { combine: Some(mean), ..part(1, n_bins, read_out, init) });
        }
        for _ in behaviors {
            let read_out = linear(d, 1, init, device);
            parts.push(part(1, 1, read_out, init));
        }
        NedsSession { parts }
    }

    /// Whether the parameter at this path belongs to sessions (encoders, read-outs, session tokens) rather than to the shared
    /// core.
    pub fn is_session_parameter(path: &str) -> bool {
        path.starts_with("sessions.")
    }

    fn session_idx(&self, session: &SessionId) -> Result<usize, ModelError> {
        self.table.iter().position(|s| &s.session == session).ok_or_else(|| ModelError::UnknownSession {
            session: session.clone(),
            known: self.table.iter().map(|s| s.session.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Predicts all modalities of windows of one session from what is seen of them.
    ///
    /// # Errors
    /// If the session is unknown, the number of units, bins, labels or behaviors is not what the model was built for, or parts of
    /// the input are of different sizes.
    pub fn forward(&self, input: &NedsInput, mode: Mode<'_>) -> Result<NedsOutput, ModelError> {
        let idx = self.session_idx(&input.session)?;
        let (spec, session) = (&self.table[idx], &self.sessions[idx]);
        let [b, t, n] = input.counts.dims();
        check_size(spec, "bins", self.config.n_bins, t)?;
        check_size(spec, "units", spec.n_units, n)?;
        let sizes = [
            ("windows of labels", b, input.labels.dims()[0]),
            ("labels", self.modalities.labels.len(), input.labels.dims()[1]),
            ("windows of behavior", b, input.behaviors.dims()[0]),
            ("bins of behavior", t, input.behaviors.dims()[1]),
            ("behaviors", self.modalities.behaviors.len(), input.behaviors.dims()[2]),
            ("windows of the mask", b, input.unseen.dims()[0]),
            ("modalities of the mask", self.modalities.n_modalities(), input.unseen.dims()[1]),
            ("bins of the mask", t, input.unseen.dims()[2]),
        ];
        for (what, expected, received) in sizes {
            check_size(spec, what, expected, received)?;
        }
        let tokens = self.tokens(session, input, mode);
        let n_modalities = tokens.len();
        let bins: Vec<f64> = (0..n_modalities).flat_map(|_| (0..t).map(|bin| bin as f64)).collect();
        let mut x = Tensor::cat(tokens, 1);
        let rotary = RotaryTime::of_bins(self.config.d_model / self.config.n_heads, ROTARY_BASE);
        let turns = rotary.at(&bins, [1, n_modalities * t], &x.device(), x.dtype());
        for layer in &self.layers {
            x = layer.forward_turned(x, &turns, mode);
        }
        let x = normalize(x, &self.out_norm);
        let of = |modality: usize| x.clone().narrow(1, modality * t, t);

        let latents = of(0);
        let (mut logits, mut behaviors) = (Vec::new(), Vec::new());
        for (modality, part) in session.parts.iter().enumerate().skip(1) {
            match &part.combine {
                Some(weights) => {
                    let pooled = (of(modality) * weights.val().reshape([1, t, 1])).sum_dim(1);
                    logits.push(affine(pooled.reshape([b, self.config.d_model]), &part.read_out));
                }
                None => behaviors.push(affine(of(modality), &part.read_out)),
            }
        }
        Ok(NedsOutput {
            log_rates: affine(latents.clone(), &session.parts[0].read_out),
            logits,
            behaviors: if behaviors.is_empty() { input.behaviors.clone() } else { Tensor::cat(behaviors, 2) },
            latents,
        })
    }

    /// Tokens `[B, T, D]` of every modality: what is recorded, or the mask token, and where and what it is.
    fn tokens(&self, session: &NedsSession, input: &NedsInput, mode: Mode<'_>) -> Vec<Tensor<3>> {
        let [b, t, _] = input.counts.dims();
        let d = self.config.d_model;
        let features = |modality: usize, expand: &Linear| -> Tensor<3> {
            let n_labels = self.modalities.labels.len();
            match modality.checked_sub(1) {
                None => affine_counts(input.counts.clone(), expand),
                Some(number) if number < n_labels => {
                    affine(input.labels.clone().narrow(1, number, 1), expand).reshape([b, t, EXPANSION])
                }
                Some(number) => affine(input.behaviors.clone().narrow(2, number - n_labels, 1), expand),
            }
        };
        let one = |(modality, (part, shared)): (usize, (&SessionModality, &ModalityEmbedding))| {
            let content = affine(softsign(features(modality, &part.expand)), &part.project);
            let content = shared.dropout.forward(content, mode);
            let unseen = input.unseen.clone().narrow(1, modality, 1).reshape([b, t, 1]).expand([b, t, d]);
            // A choice and no product: what is not seen may be anything.
            let content = content.mask_where(unseen, self.mask_token.val().expand([b, t, d]));
            let place = shared.positions.weight.val() + shared.kind.val() + part.token.val();
            content + place.unsqueeze::<3>()
        };
        session.parts.iter().zip(&self.embeddings).enumerate().map(one).collect()
    }
}
