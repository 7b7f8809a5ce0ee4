//! NDT-1: one token per time bin, masked modeling within a band of bins.
//!
//! Ye J., Pandarinath C. (2021), "Representation learning for neural population activity with Neural Data
//! Transformers", Neurons, Behavior, Data analysis, and Theory 5(3), doi:10.51628/001c.27358. Reference code:
//! `snel-repo/neural-data-transformers` at 98dd85a (public domain). Deviations are listed in this folder's README.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::sessions::{check_input, kept_or_fresh};
use neurobrick_core::{Context, Mode, ModelError, ModelInput, Output, PopulationModel, SessionSpec};
use neurobrick_nn::{
    CountEmbedding, Dropout, EncoderLayer, InitStreams, LayerNorm, ScaleNorm, affine, affine_counts,
    embedding, linear, normalize, sinusoid,
};
use neurobrick_schema::SessionId;

use super::{Ndt1Config, Ndt1Embedding};
use crate::stitches::READ_OUT_SCALE;

/// Bound of the uniform start of read-outs and tables of counts, as published.
const INIT_RANGE: f64 = 0.1;

/// The first Neural Data Transformer: one token per time bin.
#[derive(Module, Debug)]
pub struct Ndt1 {
    sessions: Vec<Ndt1Session>,
    embed_counts: Option<CountEmbedding>,
    embed_pos: Option<Embedding>,
    embed_dropout: Dropout,
    layers: Vec<EncoderLayer>,
    out_norm: Option<LayerNorm>,
    out_scale_norm: Option<ScaleNorm>,
    rate_dropout: Dropout,
    #[module(skip)]
    config: Ndt1Config,
    /// Shared by clones, since it holds a number for every unit of every session.
    #[module(skip)]
    table: Arc<Vec<SessionSpec>>,
}

/// What belongs to one session.
#[derive(Module, Debug)]
struct Ndt1Session {
    /// Units → width; only with [`Ndt1Embedding::Linear`].
    read_in: Option<Linear>,
    /// Width → log rates.
    read_out: Linear,
}

impl Ndt1 {
    /// A fresh model for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range, a session is listed twice, or a session has another number of units than
    /// the width allows.
    pub fn new(
        config: Ndt1Config,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        let Ndt1Config { n_bins, d_model, n_layers, .. } = config;
        let mut init = InitStreams::new(seed, "core");
        let embed_counts = match config.embedding {
            Ndt1Embedding::Table { max_count, width } => {
                Some(CountEmbedding::uniform(max_count + 1, width, INIT_RANGE, &mut init, device))
            }
            _ => None,
        };
        let embed_pos = config.learned_positions.then(|| embedding(n_bins, d_model, 1.0, &mut init, device));
        let layer = |l: usize| {
            // The reference copies one layer; streams of one name draw the same weights again.
            let name = if config.faithful { "layer".to_owned() } else { format!("layer-{l}") };
            let site = 2 + l * EncoderLayer::N_SITES;
            let layer =
                EncoderLayer::new(&config.encoder(), site, &mut InitStreams::new(seed, &name), device);
            if config.tfixup { layer.with_tfixup(n_layers, config.faithful) } else { layer }
        };
        let empty = Self {
            sessions: Vec::new(),
            embed_counts,
            embed_pos,
            embed_dropout: Dropout::new(config.dropout_embed, 0),
            layers: (0..n_layers).map(layer).collect(),
            out_norm: (!config.scale_norm).then(|| LayerNorm::new(d_model, device)),
            out_scale_norm: config.scale_norm.then(|| ScaleNorm::new((d_model as f64).sqrt(), device)),
            rate_dropout: Dropout::new(config.dropout_rates, 1),
            config,
            table: Arc::new(Vec::new()),
        };
        empty.with_sessions(sessions, seed, device)
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &Ndt1Config {
        &self.config
    }

    fn fresh_session(&self, spec: &SessionSpec, seed: u64, device: &Device) -> Ndt1Session {
        let mut init = InitStreams::new(seed, spec.session.as_str());
        let (n, d) = (spec.n_units, self.config.d_model);
        let is_linear = self.config.embedding == Ndt1Embedding::Linear;
        let read_in = is_linear.then(|| linear(n, d, &mut init, device));
        let rates = spec.log_mean_rates.as_ref().filter(|_| !self.config.faithful);
        let range = if rates.is_some() { READ_OUT_SCALE * INIT_RANGE } else { INIT_RANGE };
        #[expect(clippy::cast_possible_truncation, reason = "biases are single precision")]
        let bias: Vec<f32> = rates.map_or_else(|| vec![0.0; n], |r| r.iter().map(|&r| r as f32).collect());
        let bias = Tensor::from_data(TensorData::new(bias, [n]), device);
        let weight = init.uniform([d, n], range, device);
        Ndt1Session { read_in, read_out: Linear { weight, bias: Some(Param::from_tensor(bias)) } }
    }

    fn check_width(&self, spec: &SessionSpec) -> Result<(), ModelError> {
        match self.config.n_units() {
            Some(n_units) if n_units != spec.n_units => Err(ModelError::Unsupported {
                what: format!(
                    "read session {} of {} units: its embedding fixes them at {n_units}",
                    spec.session, spec.n_units
                ),
                hint: "set `embedding = { kind = \"linear\" }`, or a `d_model` that fits".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Tokens `[B, T, D]` of counts `[B, T, N]`.
    fn tokens(&self, counts: Tensor<3>, session: &Ndt1Session) -> Tensor<3> {
        let embedded = match (&session.read_in, &self.embed_counts) {
            (Some(read_in), _) => affine_counts(counts, read_in),
            (None, Some(table)) => table.forward(counts),
            (None, None) => counts,
        };
        let Ndt1Config { n_bins, d_model, .. } = self.config;
        let positions = match &self.embed_pos {
            Some(table) => table.weight.val(),
            // The published sinusoids begin at position 1.
            None => sinusoid(n_bins, d_model, 1, &embedded.device()).cast(embedded.dtype()),
        };
        embedded * (d_model as f64).sqrt() + positions.unsqueeze()
    }
}

impl PopulationModel for Ndt1 {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError> {
        let idx = self.session_idx(&input.session)?;
        check_input(&self.table[idx], self.config.n_bins, input)?;
        let session = &self.sessions[idx];
        let mut band = self.config.band();
        if input.context == Context::Causal {
            band.forward = Some(0);
        }
        let mask = band.mask(self.config.n_bins);
        let mut x = self.embed_dropout.forward(self.tokens(input.counts.clone(), session), mode);
        for layer in &self.layers {
            x = layer.forward(x, mask.as_ref(), mode);
        }
        let latents = match (&self.out_norm, &self.out_scale_norm) {
            (Some(norm), _) => normalize(x, norm),
            (None, Some(norm)) => norm.forward(x),
            (None, None) => x,
        };
        let log_rates = affine(self.rate_dropout.forward(latents.clone(), mode), &session.read_out);
        Ok(Output { log_rates, latents })
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let own = kept_or_fresh(sessions, (&self.table, &self.sessions), |spec| {
            self.check_width(spec)?;
            Ok(self.fresh_session(spec, seed, device))
        })?;
        Ok(Self { sessions: own, table: Arc::new(sessions.to_vec()), ..self.clone() })
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        // Field by field: `..self.clone()` would clone every session first.
        Ok(Self {
            sessions: vec![self.sessions[idx].clone()],
            embed_counts: self.embed_counts.clone(),
            embed_pos: self.embed_pos.clone(),
            embed_dropout: self.embed_dropout.clone(),
            layers: self.layers.clone(),
            out_norm: self.out_norm.clone(),
            out_scale_norm: self.out_scale_norm.clone(),
            rate_dropout: self.rate_dropout.clone(),
            config: self.config.clone(),
            table: Arc::new(vec![self.table[idx].clone()]),
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("sessions.")
    }
}
